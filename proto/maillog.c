#include "proto/maillog.h"

#include "proto/address.h"
#include "proto/names.h"

#include <stdlib.h>

#define SECONDS_MAX ((int64_t)253402300800) /* the year 10000 */
#define CHAINS      8192                    /* a power of two */
#define KEY_MAX     320                     /* host and queue id */

/* A message under way. */
struct mail {
	struct mail *chain;         /* of the same hash */
	struct mail *older, *newer; /* in the order of coming */
	size_t hash;
	char *key; /* host, a blank, queue id */
	char *account;
	char *client;
	int64_t at;
	bool local;
	bool queued;      /* qmgr has it: `at` is when */
	uint32_t nrcpt;   /* as qmgr says; 0: it has not yet */
	struct names to;  /* recipients as submitted */
	struct names as;  /* what aliases made of some of those */
	uint32_t aliased; /* how many of `to` those are */
	size_t bytes;
};

struct maillog {
	size_t open_max;
	struct logtime_years years;
	struct mail *chain[CHAINS];
	struct mail *oldest, *newest;
	size_t open, bytes;
	struct mail *done, **done_tail; /* to be given out, chained by `newer` */
	struct mail *given;             /* by the last maillog_next */
	struct span *list;              /* its recipients */
	size_t list_room;
	bool ending, failed;
	/* a row that waits to be given out */
	bool row_waits;
	struct maillog_event row;
	struct span row_recipient;
	struct buf row_text, key, scratch;
};

/* ---- a message ---- */

static void mail_free(struct mail *mail)
{
	if (mail) {
		names_done(&mail->to);
		names_done(&mail->as);
		free(mail->key);
		free(mail->account);
		free(mail->client);
		free(mail);
	}
}

static size_t hash(struct span key)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < key.len; i++) {
		h = (h ^ (unsigned char)key.ptr[i]) * 0x100000001b3u;
	}
	return (size_t)(h ^ h >> 32) & (CHAINS - 1);
}

static struct mail *mail_find(struct maillog *log, struct span key)
{
	struct mail *mail = log->chain[hash(key)];
	while (mail && !span_eq(span_str(mail->key), key)) {
		mail = mail->chain;
	}
	return mail;
}

static void measure(struct maillog *log, struct mail *mail)
{
	size_t bytes = sizeof *mail + 2 * KEY_MAX + names_bytes(&mail->to) +
	               names_bytes(&mail->as);
	log->bytes += bytes - mail->bytes;
	mail->bytes = bytes;
}

/* Takes it out of the table; given out if it ever was in the queue. */
static void mail_finish(struct maillog *log, struct mail *mail)
{
	struct mail **at = &log->chain[mail->hash];
	while (*at != mail) {
		at = &(*at)->chain;
	}
	*at = mail->chain;
	*(mail->older ? &mail->older->newer : &log->oldest) = mail->newer;
	*(mail->newer ? &mail->newer->older : &log->newest) = mail->older;
	log->open--;
	log->bytes -= mail->bytes;
	mail->newer = NULL;
	if (mail->nrcpt || mail->to.count) {
		*log->done_tail = mail;
		log->done_tail = &mail->newer;
	} else {
		mail_free(mail);
	}
}

static void make_room(struct maillog *log, size_t open_max)
{
	while (log->oldest && (log->open > open_max || log->bytes > MAILLOG_BYTES_MAX)) {
		mail_finish(log, log->oldest);
	}
}

static struct mail *mail_open(struct maillog *log, struct span key)
{
	struct mail *mail = calloc(1, sizeof *mail);
	if (mail) {
		mail->key = strndup(key.ptr, key.len);
	}
	if (!mail || !mail->key) {
		mail_free(mail);
		log->failed = true;
		return NULL;
	}
	mail->hash = hash(key);
	mail->chain = log->chain[mail->hash];
	log->chain[mail->hash] = mail;
	mail->older = log->newest;
	*(log->newest ? &log->newest->newer : &log->oldest) = mail;
	log->newest = mail;
	log->open++;
	measure(log, mail);
	return mail;
}

/* ---- fields of a line ---- */

/* Takes "name=" off the front. */
static bool take_name(struct span *in, const char *name)
{
	struct span want = span_str(name);
	if (!span_starts_nocase(*in, want)) {
		return false;
	}
	*in = span_from(*in, want.len);
	return true;
}

/* The field of this name among those parted by ", ": what follows its "=". */
static bool find_field(struct span in, const char *name, struct span *value_out)
{
	while (in.len) {
		struct span field = in;
		if (take_name(&field, name)) {
			const char *end = field.len ? memmem(field.ptr, field.len, ", ", 2)
			                            : NULL;
			*value_out = end ? span_first(field, (size_t)(end - field.ptr)) : field;
			return true;
		}
		const char *next = memmem(in.ptr, in.len, ", ", 2);
		in = next ? span_from(in, (size_t)(next - in.ptr) + 2) : SPAN_NONE;
	}
	return false;
}

/* "<...>" off the front; what a sender has quoted ends nothing. */
static bool take_address(struct span *in, struct span *address_out)
{
	bool quoted = false;
	if (!in->len || in->ptr[0] != '<') {
		return false;
	}
	for (size_t i = 1; i < in->len; i++) {
		char c = in->ptr[i];
		if (quoted && c == '\\') {
			i++;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (c == '>' && !quoted) {
			*address_out = span_from(span_first(*in, i), 1);
			*in = span_from(*in, i + 1);
			return true;
		}
	}
	return false;
}

/* A count, saturated; 0 when it is none. */
static uint32_t read_count(struct span text)
{
	uint64_t n = 0;
	for (size_t i = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
		n = n * 10 + (uint64_t)(text.ptr[i] - '0');
		n = n > INT32_MAX ? INT32_MAX : n;
	}
	return (uint32_t)n;
}

/* In `out`, which is emptied: two ways to write a recipient are one recipient. */
static void write_recipient(struct span text, struct buf *out)
{
	struct address address;
	buf_clear(out);
	if (address_parse(text, &address) == ADDRESS_OK) {
		address_key(&address, out);
	} else {
		buf_put(out, text);
	}
}

/* ---- Postfix ---- */

/* What a line of it is about. */
struct line {
	struct logtime time;
	int year;
	struct span key;     /* host and queue id */
	struct span service; /* "smtpd", "qmgr" */
	struct span text;    /* behind the queue id */
};

/* "203.0.113.5" of "host[203.0.113.5]" or "host[203.0.113.5]:4711". */
static struct span bracketed(struct span text)
{
	struct span in = span_from(text, span_find(text, '[') + 1);
	return span_first(in, span_find(in, ']'));
}

static void read_client(struct maillog *log, const struct line *line, struct mail *old)
{
	struct span client, account;
	if (old) {
		/* The id is used again: the old one's end is not in the log. */
		mail_finish(log, old);
	}
	if (!find_field(line->text, "client=", &client) ||
	    !find_field(line->text, "sasl_username=", &account) || !account.len ||
	    span_find(account, '\0') < account.len) {
		return;
	}
	struct mail *mail = mail_open(log, line->key);
	if (!mail) {
		return;
	}
	client = bracketed(client);
	mail->account = strndup(account.ptr, account.len);
	mail->client = client.len ? strndup(client.ptr, client.len) : NULL;
	mail->at = logtime_at(&line->time, line->year);
	mail->local = line->time.local;
	if (!mail->account) {
		log->failed = true;
		mail_finish(log, mail);
	}
	make_room(log, log->open_max);
}

static void read_queued(const struct line *line, struct mail *mail)
{
	struct span text;
	if (!find_field(line->text, "nrcpt=", &text)) {
		return;
	}
	/* Later ones are of those that were deferred. */
	uint32_t nrcpt = read_count(text);
	if (!mail->queued) {
		mail->at = logtime_at(&line->time, line->year);
		mail->local = line->time.local;
		mail->queued = true;
	}
	mail->nrcpt = nrcpt > mail->nrcpt ? nrcpt : mail->nrcpt;
}

/* A delivery, done or not: it was submitted to whom it was written to. */
static void read_delivery(struct maillog *log, const struct line *line, struct mail *mail)
{
	struct span text = line->text, to, original;
	uint32_t number;
	size_t before = mail->to.count;
	if (!take_name(&text, "to=") || !take_address(&text, &to) ||
	    before >= MAILLOG_RECIPIENTS_MAX || mail->as.count >= MAILLOG_RECIPIENTS_MAX) {
		return;
	}
	bool aliased = take_name(&text, ", orig_to=") && take_address(&text, &original);
	write_recipient(aliased ? original : to, &log->scratch);
	bool good = !log->scratch.failed &&
	            names_add(&mail->to, buf_span(&log->scratch), &number);
	if (good && aliased) {
		mail->aliased += mail->to.count > before;
		good = names_add(&mail->as, to, &number);
	}
	log->failed = log->failed || !good;
	measure(log, mail);
	make_room(log, log->open_max);
}

static bool is_queue_id(struct span text)
{
	static const char *const words[] = { "NOQUEUE", "warning", "fatal", "panic", "error" };
	for (size_t i = 0; i < COUNT(words); i++) {
		if (span_eq(text, span_str(words[i]))) {
			return false;
		}
	}
	for (size_t i = 0; i < text.len; i++) {
		char lower = span_lower(text.ptr[i]);
		if (!((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9'))) {
			return false;
		}
	}
	return text.len >= 5 && text.len <= 32;
}

/* "host postfix/submission/smtpd[123]: QUEUEID: text" */
static bool split(struct maillog *log, struct span in, struct line *line)
{
	in = span_trim(in);
	struct span host = span_first(in, span_find(in, ' '));
	in = span_trim(span_from(in, host.len));
	struct span tag = span_first(in, span_find(in, ':'));
	in = span_trim(span_from(in, tag.len + 1));
	tag = span_first(tag, span_find(tag, '['));
	struct span id = span_first(in, span_find(in, ':'));
	if (!span_starts_nocase(tag, SPAN_LIT("postfix")) || host.len > KEY_MAX / 2 ||
	    id.len == in.len || !is_queue_id(id)) {
		return false;
	}
	line->service = tag;
	for (size_t at; (at = span_find(line->service, '/')) < line->service.len;) {
		line->service = span_from(line->service, at + 1);
	}
	line->text = span_trim(span_from(in, id.len + 1));
	buf_clear(&log->key);
	buf_printf(&log->key, "%.*s %.*s", SPAN_ARG(host), SPAN_ARG(id));
	line->key = buf_span(&log->key);
	return !log->key.failed && !memchr(line->key.ptr, '\0', line->key.len);
}

static void read_line(struct maillog *log, const struct line *line)
{
	struct mail *mail = mail_find(log, line->key);
	if (span_eq(line->service, SPAN_LIT("smtpd"))) {
		if (span_starts_nocase(line->text, SPAN_LIT("client="))) {
			read_client(log, line, mail);
		}
	} else if (!mail) {
		return;
	} else if (span_starts_nocase(line->text, SPAN_LIT("to=<"))) {
		read_delivery(log, line, mail);
	} else if (span_starts_nocase(line->text, SPAN_LIT("from=<"))) {
		read_queued(line, mail);
	} else if (span_eq(line->text, SPAN_LIT("removed"))) {
		mail_finish(log, mail);
	}
}

/* ---- rows ---- */

/* Seconds since 1970 with or without a fraction, or RFC 3339. */
static bool read_time(struct span text, struct logtime *time_out)
{
	int64_t seconds = 0;
	size_t n = 0;
	while (n < text.len && n < 12 && text.ptr[n] >= '0' && text.ptr[n] <= '9') {
		seconds = seconds * 10 + (text.ptr[n++] - '0');
	}
	bool whole = n == text.len || text.ptr[n] == '.';
	if (n && whole && seconds < SECONDS_MAX) {
		int64_t ms = 0, unit = 100;
		for (n++; n < text.len; n++, unit /= 10) {
			if (text.ptr[n] < '0' || text.ptr[n] > '9') {
				return false;
			}
			ms += unit * (text.ptr[n] - '0');
		}
		*time_out = (struct logtime){ .at = seconds * 1000 + ms };
		return true;
	}
	return logtime_read(&text, time_out) && !text.len && !time_out->yearless;
}

static struct span take_column(struct span *in)
{
	struct span column = span_first(*in, span_find(*in, '\t'));
	*in = span_from(*in, column.len + 1);
	return span_trim(column);
}

/* False when it is none. */
static bool read_row(struct maillog *log, struct span in)
{
	struct logtime time;
	if (!read_time(take_column(&in), &time)) {
		return false;
	}
	struct span account = take_column(&in);
	struct span recipient = take_column(&in);
	struct span network = take_column(&in);
	if (!account.len || !recipient.len || in.len) {
		return false;
	}
	write_recipient(recipient, &log->scratch);
	/* One buffer for all three: the spans are made when nothing moves any more. */
	buf_clear(&log->row_text);
	buf_put(&log->row_text, account);
	buf_put(&log->row_text, network);
	buf_put(&log->row_text, buf_span(&log->scratch));
	log->row_waits = !log->row_text.failed && !log->scratch.failed;
	log->failed = log->failed || !log->row_waits;
	struct span text = buf_span(&log->row_text);
	log->row = (struct maillog_event){ .at = time.at,
		                           .local = time.local,
		                           .row = true,
		                           .account = span_first(text, account.len),
		                           .recipient = &log->row_recipient,
		                           .nrecipients = 1 };
	text = span_from(text, account.len);
	log->row.client = span_first(text, network.len);
	log->row_recipient = span_from(text, network.len);
	return true;
}

/* ---- the reader ---- */

struct maillog *maillog_new(size_t open_max)
{
	struct maillog *log = calloc(1, sizeof *log);
	if (log) {
		log->open_max = open_max ? open_max : MAILLOG_OPEN_MAX;
		log->done_tail = &log->done;
		log->row_text.cap = log->scratch.cap = (size_t)1 << 24;
		log->key.cap = KEY_MAX;
	}
	return log;
}

void maillog_file(struct maillog *log, int year)
{
	log->years = (struct logtime_years){ .year = year };
}

static struct span without_cr(struct span line)
{
	line.len -= line.len && line.ptr[line.len - 1] == '\r';
	return line;
}

enum maillog_line maillog_feed(struct maillog *log, struct span line)
{
	struct line parts = { .year = 0 };
	line = without_cr(line);
	if (!span_trim(line).len || line.ptr[0] == '#') {
		return MAILLOG_OTHER;
	}
	struct span in = line;
	bool timed = logtime_read(&in, &parts.time);
	if (timed && parts.time.yearless) {
		parts.year = logtime_year_next(&log->years, &parts.time);
	}
	/* A time is followed by a blank in a log, and by a tab in a row. */
	if (!timed || !in.len || in.ptr[0] != ' ') {
		return read_row(log, line) ? MAILLOG_TAKEN : MAILLOG_BAD;
	}
	if (!split(log, in, &parts)) {
		return MAILLOG_OTHER;
	}
	read_line(log, &parts);
	return MAILLOG_TAKEN;
}

void maillog_end(struct maillog *log)
{
	log->ending = true;
}

/* Its recipients as a list, and how many more there were. */
static bool give(struct maillog *log, struct mail *mail, struct maillog_event *event_out)
{
	size_t n = mail->to.count;
	if (n > log->list_room) {
		struct span *list = realloc(log->list, n * sizeof *list);
		if (!list) {
			log->failed = true;
			return false;
		}
		log->list = list;
		log->list_room = n;
	}
	for (size_t i = 0; i < n; i++) {
		log->list[i] = names_get(&mail->to, i);
	}
	/* qmgr counts behind the aliases. */
	size_t seen = n - mail->aliased + mail->as.count;
	*event_out = (struct maillog_event){
		.at = mail->at,
		.local = mail->local,
		.account = span_str(mail->account),
		.client = span_str(mail->client),
		.recipient = log->list,
		.nrecipients = n,
		.rest = mail->nrcpt > seen ? mail->nrcpt - (uint32_t)seen : 0,
	};
	return true;
}

bool maillog_next(struct maillog *log, struct maillog_event *event_out)
{
	if (log->row_waits) {
		log->row_waits = false;
		*event_out = log->row;
		return true;
	}
	mail_free(log->given);
	log->given = NULL;
	if (log->ending && !log->done) {
		make_room(log, 0);
	}
	struct mail *mail = log->done;
	if (!mail) {
		return false;
	}
	log->done = mail->newer;
	log->done_tail = log->done ? log->done_tail : &log->done;
	log->given = mail;
	return give(log, mail, event_out);
}

bool maillog_failed(const struct maillog *log)
{
	return log->failed;
}

void maillog_free(struct maillog *log)
{
	struct maillog_event event;
	if (!log) {
		return;
	}
	maillog_end(log);
	while (maillog_next(log, &event)) {
	}
	free(log->list);
	buf_done(&log->row_text);
	buf_done(&log->scratch);
	buf_done(&log->key);
	free(log);
}

/* ---- a first look ---- */

void maillog_scan_line(struct maillog_scan *scan, struct span line)
{
	struct logtime time;
	struct span text = line;
	bool timed = logtime_read(&text, &time) ||
	             read_time(span_first(line, span_find(line, '\t')), &time);
	if (!timed) {
		return;
	}
	if (!scan->any) {
		scan->first = time;
		scan->any = true;
	}
	if (time.yearless) {
		scan->last_year = logtime_year_next(&scan->years, &time);
		scan->last = time;
		scan->yearless = true;
	}
}

void maillog_scan_end(const struct maillog_scan *scan, int64_t until, int *year_out,
                      int64_t *begin_out)
{
	int year = scan->yearless ? logtime_year_until(&scan->last, until) - scan->last_year
	                          : 1970;
	*year_out = year;
	*begin_out = scan->any ? logtime_at(&scan->first, year) : INT64_MAX;
}
