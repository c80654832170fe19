#include "proto/aliases.h"

#include <assert.h>

static_assert(ALIASES_TEXT_MAX > 2 * ADDRESS_MAX, "a name with its domain fits");

/* ---- bytes and lines ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next byte; a NUL, which is none that matters here, at the end. */
static char peek(const struct aliases *in)
{
	return in->rest.len ? in->rest.ptr[0] : '\0';
}

static void skip(struct aliases *in, size_t n)
{
	for (size_t i = 0; i < n && i < in->rest.len; i++) {
		in->line += in->rest.ptr[i] == '\n';
	}
	in->rest = span_from(in->rest, n);
}

static void skip_line(struct aliases *in)
{
	skip(in, span_find(in->rest, '\n') + 1);
}

/* Lines with nothing on them but blanks and a comment, at the begin of a line. */
static void skip_idle_lines(struct aliases *in)
{
	for (;;) {
		size_t n = 0;
		while (n < in->rest.len && is_blank(in->rest.ptr[n])) {
			n++;
		}
		if (n == in->rest.len || (in->rest.ptr[n] != '\n' && in->rest.ptr[n] != '#')) {
			return;
		}
		skip_line(in);
	}
}

/* Behind the end of a line: does what stands before it go on? */
static bool goes_on(struct aliases *in)
{
	skip_idle_lines(in);
	return in->rest.len && (in->form != ALIASES_TABLE || is_blank(peek(in)));
}

void aliases_init(struct aliases *in, struct span text, enum aliases_form form,
                  struct span domain)
{
	in->rest = text;
	in->domain = domain;
	in->form = form;
	in->line = 1;
	in->inside = form != ALIASES_TABLE;
	in->len = 0;
	if (in->inside) {
		skip_idle_lines(in);
	}
}

/* ---- items ---- */

static struct aliases_item fault(struct aliases *in, unsigned line, const char *reason)
{
	in->rest = SPAN_NONE;
	in->inside = in->form != ALIASES_TABLE;
	return (struct aliases_item){ .kind = ALIASES_FAULT, .line = line, .reason = reason };
}

static bool take_byte(struct aliases *in)
{
	if (in->len == sizeof in->raw) {
		return false;
	}
	in->raw[in->len++] = peek(in);
	skip(in, 1);
	return true;
}

/* Bytes between two quotes, or behind a backslash, mean nothing. NULL, else what is wrong. */
static const char *take_quoted(struct aliases *in)
{
	bool quote = peek(in) == '"';
	bool fits = take_byte(in);
	while (fits && quote && in->rest.len && peek(in) != '"' && peek(in) != '\n') {
		bool escape = peek(in) == '\\';
		fits = take_byte(in);
		if (escape && fits && in->rest.len && peek(in) != '\n') {
			fits = take_byte(in);
		}
	}
	if (fits && quote && peek(in) != '"') {
		return "has a quote that does not end on its line";
	}
	if (fits && in->rest.len && peek(in) != '\n') {
		fits = take_byte(in);
	}
	return fits ? NULL : "is too long";
}

/* "(a comment)", where a word could begin; with no end on its line it is no comment. */
static bool skip_comment(struct aliases *in)
{
	bool begins = in->len == 0 || is_blank(in->raw[in->len - 1]);
	struct span line = span_first(in->rest, span_find(in->rest, '\n'));
	size_t end = span_find(line, ')');
	if (in->form == ALIASES_LIST || !begins || peek(in) != '(' || end == line.len) {
		return false;
	}
	skip(in, end + 1);
	return true;
}

/* Does the item end here? A name does with its colon. */
static bool is_end(const struct aliases *in, char end)
{
	char c = peek(in);
	bool begins = in->len == 0 || is_blank(in->raw[in->len - 1]);
	return in->rest.len == 0 || c == '\n' || (c == end && in->form != ALIASES_LIST) ||
	       (c == '#' && begins && in->form == ALIASES_LIST);
}

/* Takes an item up to its end, without blanks around it, into `raw`. */
static const char *take(struct aliases *in, char end)
{
	const char *reason = NULL;
	in->len = 0;
	while (!reason && !is_end(in, end)) {
		if (peek(in) == '"' || peek(in) == '\\') {
			reason = take_quoted(in);
		} else if (in->len == 0 && is_blank(peek(in))) {
			skip(in, 1);
		} else if (!skip_comment(in) && !take_byte(in)) {
			reason = "is too long";
		}
	}
	while (in->len && is_blank(in->raw[in->len - 1])) {
		in->len--;
	}
	return reason;
}

/* A quoted thing that is no address: "|program with, a comma". */
static struct span unquote(struct aliases *in)
{
	struct span raw = span_of(in->raw, in->len);
	if (raw.len < 3 || raw.ptr[0] != '"' || raw.ptr[raw.len - 1] != '"' ||
	    !memchr("|/:", raw.ptr[1], 3)) {
		return raw;
	}
	size_t n = 0;
	for (size_t i = 1; i + 1 < raw.len; i++) {
		i += raw.ptr[i] == '\\' && i + 2 < raw.len;
		in->text[n++] = raw.ptr[i];
	}
	return span_of(in->text, n);
}

/* "Alice <alice@example.org>" is what is in the brackets. */
static struct span bare(struct span raw)
{
	size_t at = span_find(raw, '<');
	bool brackets = at < raw.len && raw.ptr[raw.len - 1] == '>';
	return brackets ? span_of(raw.ptr + at + 1, raw.len - at - 2) : raw;
}

/* The key of an address, in lower case; what is none is its own. False: no address, or an empty
 * one. */
static bool put_key(struct aliases *in, struct span raw, struct span *key_out)
{
	struct address address;
	struct buf key = { .cap = ALIASES_TEXT_MAX };
	enum address_result result = address_parse(raw, &address);
	bool good = result == ADDRESS_OK || result == ADDRESS_UNQUALIFIED;
	if (good) {
		address_key(&address, &key);
	} else {
		buf_put(&key, raw);
	}
	bool whole = good ? result == ADDRESS_OK : span_find(raw, '@') < raw.len;
	if (!whole) {
		buf_put_byte(&key, '@');
		buf_put(&key, in->domain);
	}
	size_t len = key.failed ? 0 : key.len;
	for (size_t i = 0; i < len; i++) {
		in->text[i] = span_lower(key.ptr[i]);
	}
	buf_done(&key);
	*key_out = span_of(in->text, len);
	return len > 0 && raw.len > 0 && (good || result == ADDRESS_UTF8);
}

static struct aliases_item address_item(struct aliases *in, enum aliases_kind kind,
                                        struct span raw, unsigned line)
{
	struct aliases_item item = { .kind = kind, .line = line };
	bool good = put_key(in, raw, &item.text);
	if (in->form == ALIASES_LIST && !good) {
		return fault(in, line, "is no mail address");
	}
	return item.text.len ? item : fault(in, line, "is too long");
}

/* What a member is, by its first bytes. END: nobody at all, and nobody behind it. */
static struct aliases_item member_item(struct aliases *in, unsigned line)
{
	static const struct span include = { ":include:", 9 };
	struct span raw = unquote(in);
	struct aliases_item item = { .kind = ALIASES_OTHER, .text = raw, .line = line };
	if (in->form == ALIASES_LIST) {
		return address_item(in, ALIASES_ADDRESS, bare(raw), line);
	}
	if (span_starts_nocase(raw, include)) {
		struct span path = span_trim(span_from(raw, include.len));
		bool quoted = path.len > 1 && path.ptr[0] == '"' &&
		              path.ptr[path.len - 1] == '"';
		item.kind = ALIASES_INCLUDE;
		item.text = quoted ? span_of(path.ptr + 1, path.len - 2) : path;
		return item.text.len ? item : fault(in, line, ":include: names no file");
	}
	switch (raw.ptr[0]) {
	case '|':
	case '/':
		return item;
	case ':': /* Exim's :blackhole: and :fail: with its text */
		item.kind = ALIASES_END;
		return item;
	case '\\':
		return address_item(in, ALIASES_MAILBOX, span_from(raw, 1), line);
	default:
		return address_item(in, ALIASES_ADDRESS, bare(raw), line);
	}
}

/* ---- the whole ---- */

static struct aliases_item next_name(struct aliases *in)
{
	skip_idle_lines(in);
	unsigned line = in->line;
	if (in->rest.len == 0) {
		return (struct aliases_item){ .kind = ALIASES_END, .line = line };
	}
	if (is_blank(peek(in))) {
		return fault(in, line, "begins with a blank, and goes on with nothing");
	}
	const char *reason = take(in, ':');
	if (!reason && (peek(in) != ':' || in->len == 0)) {
		reason = "must be a name, a colon and its members";
	}
	if (reason) {
		return fault(in, line, reason);
	}
	skip(in, 1);
	in->inside = true;
	return address_item(in, ALIASES_NAME, span_of(in->raw, in->len), line);
}

/* All lines up to the end of an entry, or one of another form. */
static void skip_entry(struct aliases *in)
{
	bool more;
	do {
		skip_line(in);
		more = goes_on(in);
	} while (more && in->form == ALIASES_TABLE);
	in->inside = in->form != ALIASES_TABLE;
}

/* The next member; END behind the last one. */
static struct aliases_item next_member(struct aliases *in)
{
	for (;;) {
		unsigned line = in->line;
		const char *reason = take(in, ',');
		if (reason) {
			return fault(in, line, reason);
		}
		if (in->len) {
			struct aliases_item item = member_item(in, line);
			if (item.kind != ALIASES_END) {
				return item;
			}
			skip_entry(in);
			if (!in->inside) {
				return item;
			}
		} else if (peek(in) == ',') {
			skip(in, 1);
		} else {
			skip_line(in);
			if (!goes_on(in)) {
				in->inside = in->form != ALIASES_TABLE;
				return (struct aliases_item){ .kind = ALIASES_END,
					                      .line = in->line };
			}
		}
	}
}

struct aliases_item aliases_next(struct aliases *in)
{
	struct aliases_item item = { .kind = ALIASES_END };
	if (in->inside) {
		item = next_member(in);
	}
	return item.kind == ALIASES_END && in->form == ALIASES_TABLE ? next_name(in) : item;
}
