#include "proto/header.h"

#include "proto/address.h"
#include "proto/mime.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#define WIDTH          78  /* RFC 5322 2.1.1: should not be more ... */
#define WORD_MAX       900 /* ... and must not be more than 998, indentation included */
#define HELO_MAX       255
#define YEAR_1         INT64_C(-62135596800)
#define YEAR_9999_ENDS INT64_C(253402300799)

/* Where we are. Up to BLANKS the line is held and undecided; from FIELD on it is decided. */
enum state {
	FIRST,   /* at the begin of the message: no line to continue yet */
	LINE,    /* at the begin of a line */
	CR,      /* a line that is only a CR so far */
	NAME,    /* inside what may be a field name */
	BLANKS,  /* blanks behind it: RFC 5322 4.5 still allows them before the colon */
	FIELD,   /* a field, or a line that continues one: passed on up to its end */
	ENDED,   /* the blank line */
	NOTHING, /* no header line at all: body without the blank line before it */
	BODY,
};

enum kind { BLANK, LF, RETURN, COLON, PRINT, OTHER };

static const unsigned char next_state[][OTHER + 1] = {
	/*           blank    LF       CR       colon    printing other */
	[FIRST] = { NOTHING, ENDED, CR, NOTHING, NAME, NOTHING },
	[LINE] = { FIELD, ENDED, CR, NOTHING, NAME, NOTHING },
	[CR] = { NOTHING, ENDED, NOTHING, NOTHING, NOTHING, NOTHING },
	[NAME] = { BLANKS, NOTHING, NOTHING, FIELD, NAME, NOTHING },
	[BLANKS] = { BLANKS, NOTHING, NOTHING, FIELD, NOTHING, NOTHING },
};

static enum kind kind_of(char c)
{
	switch (c) {
	case ' ':
	case '\t':
		return BLANK;
	case '\n':
		return LF;
	case '\r':
		return RETURN;
	case ':':
		return COLON;
	default:
		return c > ' ' && c < 127 ? PRINT : OTHER;
	}
}

/* The fields that are counted. */
static const struct {
	struct span name;
	size_t count; /* where in the facts */
} counted[] = {
	{ { "From", 4 }, offsetof(struct header_facts, from) },
	{ { "Date", 4 }, offsetof(struct header_facts, date) },
	{ { "Message-ID", 10 }, offsetof(struct header_facts, message_id) },
	{ { "Received", 8 }, offsetof(struct header_facts, received) },
};

/* Of the first From field the value is kept. */
static void keep_from(struct header *header, struct span text)
{
	struct span room = span_first(text, HEADER_FROM_MAX - header->nfrom);
	if (header->in_from && room.len) {
		memcpy(header->from + header->nfrom, room.ptr, room.len);
		header->nfrom += room.len;
	}
	header->from_cut |= header->in_from && room.len < text.len;
}

/* What is held of it ends with its colon; of a line that continues a field, with its blank. */
static void count_field(struct header *header)
{
	struct span line = span_of(header->held, header->nheld);
	struct span name = span_trim(span_first(line, span_find(line, ':')));
	if (name.len == 0) {
		keep_from(header, line);
		return;
	}
	for (size_t i = 0; i < COUNT(counted); i++) {
		if (span_eq_nocase(name, counted[i].name)) {
			(*(unsigned *)((char *)&header->facts + counted[i].count))++;
		}
	}
	header->in_from = header->facts.from == 1 && span_eq_nocase(name, SPAN_LIT("From"));
}

static void add(const char *name, struct span value, struct buf *out)
{
	if (value.len) {
		buf_put_str(out, name);
		buf_put(out, value);
		buf_put_str(out, "\r\n");
	}
}

static void end_header(struct header *header, struct buf *out)
{
	if (!header->facts.date) {
		add("Date: ", header->additions->date, out);
	}
	if (!header->facts.message_id) {
		add("Message-ID: ", header->additions->message_id, out);
	}
	header->facts.done = true;
}

/* The line that is held is decided: does what its state asks for and passes it on. */
static void release(struct header *header, enum state state, struct buf *out)
{
	if (state == FIELD) {
		count_field(header);
	} else {
		end_header(header, out);
	}
	if (state == NOTHING) {
		buf_put_str(out, "\r\n");
	}
	buf_put(out, span_of(header->held, header->nheld));
	header->nheld = 0;
	header->state = state == FIELD ? FIELD : BODY;
}

/* Takes bytes of an undecided line; returns how many. */
static size_t hold(struct header *header, struct span text, struct buf *out)
{
	enum state state = header->state;
	size_t n = 0;
	while (n < text.len && state <= BLANKS) {
		header->held[header->nheld++] = text.ptr[n];
		state = next_state[state][kind_of(text.ptr[n++])];
		if (state <= BLANKS && header->nheld == sizeof header->held) {
			state = NOTHING; /* nobody's field name is as long */
		}
	}
	header->state = state;
	if (state > BLANKS) {
		release(header, state, out);
	}
	return n;
}

void header_init(struct header *header, const struct header_additions *additions)
{
	assert(additions);
	*header = (struct header){ .additions = additions, .state = FIRST };
}

void header_put(struct header *header, struct span text, struct buf *out)
{
	while (text.len && header->state != BODY) {
		if (header->state == FIELD) {
			size_t n = span_find(text, '\n');
			n += n < text.len;
			header->state = text.ptr[n - 1] == '\n' ? LINE : FIELD;
			keep_from(header, span_first(text, n));
			buf_put(out, span_first(text, n));
			text = span_from(text, n);
		} else {
			text = span_from(text, hold(header, text, out));
		}
	}
	buf_put(out, text);
}

void header_end(struct header *header, struct buf *out)
{
	if (header->state == BODY) {
		return;
	}
	if (header->nheld) {
		release(header, NOTHING, out);
		return;
	}
	if (header->state == FIELD) {
		buf_put_str(out, "\r\n");
	}
	end_header(header, out);
	header->state = BODY;
}

bool header_from(const struct header *header, struct buf *out)
{
	mime_unfold(span_of(header->from, header->nfrom), out);
	return !header->from_cut && !out->failed;
}

/* One more word on the line, or on the next one: the only place where our lines break. */
static size_t put_word(struct span word, struct span indent, size_t column, struct buf *out)
{
	if (column > 0 && column + 1 + word.len > WIDTH) {
		buf_put_str(out, "\r\n");
		buf_put(out, indent);
		column = indent.len;
	} else if (column > 0) {
		buf_put_byte(out, ' ');
		column++;
	}
	char *to = buf_reserve(out, word.len);
	for (size_t i = 0; to && i < word.len; i++) {
		char c = word.ptr[i];
		to[i] = c > ' ' && c < 127 ? c : '?';
	}
	buf_grow(out, to ? word.len : 0);
	return column + word.len;
}

void header_fold(struct span lead, struct span indent, struct span words, struct buf *out)
{
	assert(lead.len < WIDTH && indent.len < WIDTH);
	buf_put(out, lead);
	size_t column = lead.len;
	for (words = span_trim(words); words.len; words = span_trim(words)) {
		size_t n = 0;
		while (n < words.len && n < WORD_MAX && words.ptr[n] != ' ' &&
		       words.ptr[n] != '\t') {
			n++;
		}
		column = put_word(span_first(words, n), indent, column, out);
		words = span_from(words, n);
	}
	buf_put_str(out, "\r\n");
}

void header_date(int64_t seconds, struct buf *out)
{
	/* Not strftime: its names follow the locale. */
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	/* From a damaged row may come any number; a year has four digits. */
	time_t time = seconds < YEAR_1           ? YEAR_1
	              : seconds > YEAR_9999_ENDS ? YEAR_9999_ENDS
	                                         : seconds;
	struct tm tm = { 0 };
	gmtime_r(&time, &tm);
	buf_printf(out, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
	           months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/*
 * The client's name as one word. What is no domain is kept as far as its bytes are those of
 * one: parentheses, semicolons and blanks would write clauses of their own into our field.
 */
static void put_helo(struct span helo, struct buf *out)
{
	if (helo.len == 0 || address_domain_is_valid(helo)) {
		buf_put(out, helo.len ? helo : SPAN_LIT("unknown"));
		return;
	}
	helo = span_first(helo, HELO_MAX);
	for (size_t i = 0; i < helo.len; i++) {
		char c = helo.ptr[i];
		char lower = span_lower(c);
		bool good = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
		            memchr(".-_:[]", c, 6);
		buf_put_byte(out, good ? c : '?');
	}
}

void header_received(const struct header_received *facts, struct buf *out)
{
	buf_put_str(out, "Received: from ");
	put_helo(facts->helo, out);
	buf_put_str(out, "\r\n");
	/* RFC 8314 4.3: tls is a registered clause, not a comment, so it stands behind the id.
	 */
	struct buf by = { .cap = 2048 };
	buf_printf(&by, "%.*s with %.*s id %.*s%s%.*s;", SPAN_ARG(facts->hostname),
	           SPAN_ARG(facts->protocol), SPAN_ARG(facts->id),
	           facts->tls.len ? " tls " : "", SPAN_ARG(facts->tls));
	header_fold(SPAN_LIT("\tby"), SPAN_LIT("\t"), buf_span(&by), out);
	out->failed = out->failed || by.failed;
	buf_done(&by);
	buf_put_byte(out, '\t');
	header_date(facts->seconds, out);
	buf_put_str(out, "\r\n");
}
