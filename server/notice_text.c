#include "server/notice_text.h"

#include <assert.h>

#include "proto/header.h"

#define LINE_MAX  ((size_t)16 * 1024)
#define VALUE_MAX ((size_t)4 * 1024)

/* ---- bytes from outside ---- */

/* Bytes of the UTF-8 sequence at the front (RFC 3629), its character in `point`; 0 when it is
 * none. */
static size_t read_point(struct span text, uint32_t *point)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};
	const unsigned char *bytes = (const unsigned char *)text.ptr;
	size_t n = 0;
	while (n < COUNT(forms) && (bytes[0] & forms[n].mask) != forms[n].lead) {
		n++;
	}
	if (n == COUNT(forms) || text.len <= n) {
		return 0;
	}
	*point = bytes[0] & (unsigned char)~forms[n].mask;
	for (size_t i = 1; i <= n; i++) {
		if ((bytes[i] & 0xc0) != 0x80) {
			return 0;
		}
		*point = *point << 6 | (bytes[i] & 0x3f);
	}
	bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
	return *point < forms[n].least || *point > 0x10ffff || surrogate ? 0 : n + 1;
}

/* Control characters, line ends, what turns the direction of writing, what can not be seen. */
static bool is_harmful(uint32_t point)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {
		{ 0, 0x1f },        { 0x7f, 0x9f },     { 0xad, 0xad },
		{ 0x61c, 0x61c },   { 0x180e, 0x180e }, { 0x200b, 0x200f },
		{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xfe00, 0xfe0f },
		{ 0xfeff, 0xfeff }, { 0xfff0, 0xfffb }, { 0xe0000, 0xe0fff },
	};
	for (size_t i = 0; i < COUNT(ranges); i++) {
		if (point >= ranges[i].from && point <= ranges[i].to) {
			return true;
		}
	}
	return false;
}

void notice_text_escape(struct span text, size_t most, struct buf *out)
{
	size_t done = 0;
	while (text.len) {
		uint32_t point = 0;
		size_t n = read_point(text, &point);
		size_t step = n ? n : 1;
		if (done + step > most) {
			buf_put_str(out, "...");
			return;
		}
		buf_put(out, n && !is_harmful(point) ? span_first(text, n) : SPAN_LIT("?"));
		done += step;
		text = span_from(text, step);
	}
}

static bool is_alnum(char c)
{
	char lower = span_lower(c);
	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
}

static bool is_one_of(char c, const char *marks)
{
	return c && strchr(marks, c);
}

void notice_text_quote(struct span text, struct buf *out)
{
	bool plain = text.len > 0;
	for (size_t i = 0; i < text.len; i++) {
		plain = plain && (is_alnum(text.ptr[i]) || is_one_of(text.ptr[i], "@.+_-"));
	}
	if (plain && text.ptr[0] != '-') {
		buf_put(out, text);
		return;
	}
	buf_put_byte(out, '\'');
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\'') {
			buf_put_str(out, "'\\''");
		} else {
			buf_put_byte(out, text.ptr[i]);
		}
	}
	buf_put_byte(out, '\'');
}

static void put_url(struct span text, const char *marks, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (is_alnum(c) || is_one_of(c, marks)) {
			buf_put_byte(out, c);
		} else {
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
		}
	}
}

void notice_text_link(struct span address, struct span subject, struct buf *out)
{
	buf_put_str(out, "mailto:");
	put_url(address, "-._~+@", out);
	buf_put_str(out, "?subject=");
	put_url(subject, "-._~", out);
}

/* ---- lines ---- */

/* The table of proto/orders, and what a mail program may leave before such a word. */
static bool begins_order(struct span word)
{
	static const char *const words[] = { "unlock",  "ok",   "yes", "release", "keep",
		                             "discard", "spam", "no",  "stop" };
	while (word.len && !is_alnum(word.ptr[0])) {
		word = span_from(word, 1);
	}
	size_t n = 0;
	while (n < word.len && is_alnum(word.ptr[n])) {
		n++;
	}
	for (size_t i = 0; i < COUNT(words); i++) {
		if (span_eq_nocase(span_first(word, n), span_str(words[i]))) {
			return true;
		}
	}
	return false;
}

static size_t columns_of(struct span word)
{
	size_t columns = 0;
	for (size_t i = 0; i < word.len; i++) {
		columns += (word.ptr[i] & 0xc0) != 0x80;
	}
	return columns;
}

/* An order's word would rather make its line too long than begin the next one. */
static void put_folded(struct span line, struct buf *out)
{
	size_t column = 0;
	while (line.len) {
		struct span word = span_first(line, span_find(line, ' '));
		size_t wide = columns_of(word);
		line = span_from(line, word.len + 1);
		bool full = column + 1 + wide > NOTICE_TEXT_COLUMNS;
		if (column > 0 && full && !begins_order(word)) {
			buf_put_byte(out, '\n');
			column = 0;
		} else if (column > 0) {
			buf_put_byte(out, ' ');
			column++;
		}
		buf_put(out, word);
		column += wide;
	}
	buf_put_byte(out, '\n');
}

/* ---- templates ---- */

static struct span value_of(const struct notice_value *values, size_t n, struct span name)
{
	size_t i = 0;
	while (i < n && !span_eq(span_str(values[i].name), name)) {
		i++;
	}
	assert(i < n); /* a template of ours says what nobody knows */
	return values[i].text;
}

/* Takes "{name}" off the front; what follows the brace is at least a name and a brace. */
static struct span take_name(struct span *rest, size_t brace)
{
	struct span name = span_from(*rest, brace);
	size_t end = span_find(name, '}');
	assert(end < name.len);
	*rest = span_from(name, end + 1);
	return span_first(name, end);
}

/* Fills one line; false when its condition does not hold. */
static bool fill_line(struct span line, const struct notice_value *values, size_t n,
                      struct buf *out)
{
	if (span_starts_nocase(line, SPAN_LIT("{?")) &&
	    value_of(values, n, take_name(&line, 2)).len == 0) {
		return false;
	}
	while (line.len) {
		struct span text = span_first(line, span_find(line, '{'));
		buf_put(out, text);
		line = span_from(line, text.len);
		if (line.len) {
			struct span value = value_of(values, n, take_name(&line, 1));
			notice_text_escape(value, VALUE_MAX, out);
		}
	}
	return true;
}

void notice_text_fill(const char *template, const struct notice_value *values, size_t n,
                      struct buf *out)
{
	struct span rest = span_str(template);
	struct buf line = { .cap = LINE_MAX };
	while (rest.len) {
		struct span text = span_first(rest, span_find(rest, '\n'));
		rest = span_from(rest, text.len + 1);
		buf_clear(&line);
		if (!fill_line(text, values, n, &line)) {
			continue;
		}
		if (line.len && line.ptr[0] == ' ') {
			buf_put(out, buf_span(&line));
			buf_put_byte(out, '\n');
		} else {
			put_folded(buf_span(&line), out);
		}
		out->failed = out->failed || line.failed;
	}
	buf_done(&line);
}

/* ---- the message ---- */

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] > 127) {
			return false;
		}
	}
	return true;
}

__attribute__((format(printf, 3, 4))) static void put_field(struct buf *out, const char *lead,
                                                            const char *format, ...)
{
	struct buf words = { .cap = LINE_MAX };
	va_list args;
	va_start(args, format);
	buf_vprintf(&words, format, args);
	va_end(args);
	header_fold(span_str(lead), SPAN_LIT(" "), buf_span(&words), out);
	out->failed = out->failed || words.failed;
	buf_done(&words);
}

/* A name may look like an encoded-word (RFC 2047 2), and would be read as another. */
static void put_subject(struct span subject, struct buf *out)
{
	struct buf plain = { .cap = LINE_MAX };
	for (size_t i = 0; i < subject.len; i++) {
		char c = subject.ptr[i];
		bool good = c >= ' ' && c < 127 &&
		            !(c == '?' && i && subject.ptr[i - 1] == '=');
		buf_put_byte(&plain, good ? c : '_');
	}
	put_field(out, "Subject:", "%.*s", SPAN_ARG(buf_span(&plain)));
	buf_done(&plain);
}

static void put_ids(const struct notice_message *message, struct buf *out)
{
	static const char *const leads[] = { "In-Reply-To:", "References:" };
	put_field(out, "Message-ID:", "<%.*s@%s>", SPAN_ARG(message->id), message->hostname);
	for (size_t i = 0; message->parent.len && i < COUNT(leads); i++) {
		put_field(out, leads[i], "<%.*s@%s>", SPAN_ARG(message->parent),
		          message->hostname);
	}
}

static void put_header(const struct notice_message *message, struct buf *out)
{
	put_field(out, "From:", "Gatepost <%.*s>", SPAN_ARG(message->from));
	put_field(out, "To:", "%.*s", SPAN_ARG(message->to));
	if (message->reply_to.len) {
		put_field(out, "Reply-To:", "<%.*s>", SPAN_ARG(message->reply_to));
	}
	put_subject(message->subject, out);
	buf_put_str(out, "Date: ");
	header_date(message->seconds, out);
	buf_put_str(out, "\r\n");
	put_ids(message, out);
	put_field(out, "Auto-Submitted:", "auto-generated"); /* RFC 3834 5 */
	put_field(out, "MIME-Version:", "1.0");
	put_field(out, "Content-Type:", "text/plain; charset=utf-8");
	put_field(out, "Content-Transfer-Encoding:", "%s",
	          is_ascii(message->body) ? "7bit" : "8bit");
}

void notice_text_message(const struct notice_message *message, struct buf *out)
{
	put_header(message, out);
	buf_put_str(out, "\r\n");
	struct span rest = message->body;
	while (rest.len) {
		struct span line = span_first(rest, span_find(rest, '\n'));
		buf_put(out, line);
		buf_put_str(out, "\r\n");
		rest = span_from(rest, line.len + 1);
	}
}
