#include "proto/mime.h"

#include "proto/base64.h"
#include "proto/qp.h"

#define BOUNDARY_MAX 200                 /* RFC 2046 5.1.1 allows 70 */
#define VALUE_MAX    4096                /* of a field that we understand */
#define RAW_MAX      (4 * MIME_TEXT_MAX) /* of an encoded leaf: its head is enough */

/* ---- lines and fields ---- */

/* Takes a line off the front of `rest`; the line is without its end. */
static struct span take_line(struct span *rest)
{
	size_t n = span_find(*rest, '\n');
	struct span line = span_first(*rest, n);
	*rest = span_from(*rest, n + 1);
	if (line.len && line.ptr[line.len - 1] == '\r') {
		line.len--;
	}
	return line;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Blanks before the colon are obsolete (RFC 5322 4.5) and alive. */
static bool split_field(struct span line, struct mime_field *field)
{
	size_t n = 0;
	while (n < line.len && line.ptr[n] > ' ' && line.ptr[n] < 127 && line.ptr[n] != ':') {
		n++;
	}
	size_t colon = n;
	while (colon < line.len && is_blank(line.ptr[colon])) {
		colon++;
	}
	if (n == 0 || colon == line.len || line.ptr[colon] != ':') {
		return false;
	}
	field->name = span_first(line, n);
	field->value = span_of(line.ptr + colon + 1, line.len - colon - 1);
	return true;
}

bool mime_next_field(struct span *rest, struct mime_field *field_out)
{
	struct span behind = *rest;
	struct span line = take_line(&behind);
	if (!split_field(line, field_out)) {
		*rest = line.len == 0 ? behind : *rest;
		return false;
	}
	while (behind.len && is_blank(behind.ptr[0])) {
		line = take_line(&behind);
		field_out->value.len = (size_t)(line.ptr + line.len - field_out->value.ptr);
	}
	*rest = behind;
	return true;
}

void mime_unfold(struct span value, struct buf *out)
{
	while (value.len && (is_blank(value.ptr[0]) || memchr("\r\n", value.ptr[0], 2))) {
		value = span_from(value, 1);
	}
	size_t end = out->len;
	while (value.len) {
		buf_put(out, take_line(&value));
	}
	while (out->len > end && is_blank(out->ptr[out->len - 1])) {
		out->len--;
	}
}

bool mime_field(struct span message, struct span name, struct buf *out, size_t *count_out)
{
	struct mime_field field;
	size_t count = 0;
	buf_clear(out);
	while (mime_next_field(&message, &field)) {
		if (span_eq_nocase(field.name, name) && count++ == 0) {
			mime_unfold(field.value, out);
		}
	}
	if (count_out) {
		*count_out = count;
	}
	return count > 0 && !out->failed;
}

/* ---- structured values ---- */

size_t mime_unit(struct span text)
{
	if (text.len == 0 || (text.ptr[0] != '"' && text.ptr[0] != '(')) {
		return text.len > 0;
	}
	bool comment = text.ptr[0] == '(';
	size_t depth = 1, n = 1;
	for (; n < text.len && depth > 0; n++) {
		char c = text.ptr[n];
		if (c == '\\') {
			n++;
		} else if (c == (comment ? ')' : '"')) {
			depth--;
		} else if (comment && c == '(') {
			depth++;
		}
	}
	return depth == 0 ? n : 0;
}

/* The first word of a value: "text/plain". */
static struct span first_token(struct span value)
{
	size_t n = 0;
	value = span_trim(value);
	while (n < value.len && !is_blank(value.ptr[n]) && !memchr(";(", value.ptr[n], 2)) {
		n++;
	}
	return span_first(value, n);
}

/* Appends what a parameter's value means: quotes and backslashes away. */
static void unquote(struct span value, struct buf *out)
{
	if (value.len == 0 || value.ptr[0] != '"') {
		buf_put(out, first_token(value));
		return;
	}
	size_t end = mime_unit(value);
	for (size_t i = 1; i + 1 < end; i++) {
		i += value.ptr[i] == '\\';
		buf_put_byte(out, value.ptr[i]);
	}
}

/* The parameter `name` of a value (RFC 2045 5.1), in `out`; empty when it is not there. */
static struct span parameter(struct span value, struct span name, struct buf *out)
{
	buf_clear(out);
	for (size_t n = mime_unit(value); n > 0; n = mime_unit(value)) {
		if (value.ptr[0] != ';') {
			value = span_from(value, n);
			continue;
		}
		value = span_trim(span_from(value, 1));
		struct span behind = span_from(value, name.len);
		behind = span_trim(behind);
		if (span_starts_nocase(value, name) && behind.len && behind.ptr[0] == '=') {
			unquote(span_trim(span_from(behind, 1)), out);
			break;
		}
	}
	return span_trim(buf_span(out));
}

/* ---- character sets ---- */

enum charset {
	CHARSET_UTF8,
	CHARSET_LATIN1,
	CHARSET_ASCII_HALF, /* ASCII below 128, letters we have no table for above */
	CHARSET_UNKNOWN,
};

static const struct {
	struct span prefix;
	bool whole; /* the prefix is all of the name */
	enum charset charset;
} charsets[] = {
	{ { "us-ascii", 8 }, true, CHARSET_UTF8 },
	{ { "ascii", 5 }, true, CHARSET_UTF8 },
	{ { "ansi_x3.4-1968", 14 }, true, CHARSET_UTF8 },
	{ { "utf-8", 5 }, true, CHARSET_UTF8 },
	{ { "utf8", 4 }, true, CHARSET_UTF8 },
	{ { "unknown-8bit", 12 }, true, CHARSET_UTF8 },
	{ { "iso-8859-1", 10 }, true, CHARSET_LATIN1 },
	{ { "iso-8859-15", 11 }, true, CHARSET_LATIN1 },
	{ { "latin1", 6 }, true, CHARSET_LATIN1 },
	{ { "windows-1252", 12 }, true, CHARSET_LATIN1 },
	{ { "cp1252", 6 }, true, CHARSET_LATIN1 },
	{ { "iso-8859-", 9 }, false, CHARSET_ASCII_HALF },
	{ { "windows-125", 11 }, false, CHARSET_ASCII_HALF },
	{ { "koi8-", 5 }, false, CHARSET_ASCII_HALF },
};

static enum charset charset_of(struct span name)
{
	if (name.len == 0) {
		return CHARSET_UTF8;
	}
	for (size_t i = 0; i < COUNT(charsets); i++) {
		if (span_starts_nocase(name, charsets[i].prefix) &&
		    (!charsets[i].whole || name.len == charsets[i].prefix.len)) {
			return charsets[i].charset;
		}
	}
	return CHARSET_UNKNOWN;
}

/* The length of the UTF-8 character at the front of `text`, 0 when there is none (RFC 3629 4:
 * neither overlong forms nor surrogates nor beyond U+10FFFF). */
static size_t utf8_length(struct span text)
{
	static const struct {
		unsigned char first, last, low, high; /* of the lead byte, of the second byte */
		unsigned char length;
	} rows[] = {
		{ 0x00, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const unsigned char *bytes = (const unsigned char *)text.ptr;
	size_t row = 0;
	while (row < COUNT(rows) && (bytes[0] < rows[row].first || bytes[0] > rows[row].last)) {
		row++;
	}
	size_t length = row < COUNT(rows) ? rows[row].length : 0;
	if (length == 0 || length > text.len) {
		return 0;
	}
	bool good = length == 1 || (bytes[1] >= rows[row].low && bytes[1] <= rows[row].high);
	for (size_t i = 2; i < length; i++) {
		good = good && (bytes[i] & 0xc0) == 0x80;
	}
	return good ? length : 0;
}

/* Appends the character at the front of `text` as UTF-8; says how many bytes it had. */
static size_t put_character(struct span text, enum charset charset, struct buf *out)
{
	unsigned char c = (unsigned char)text.ptr[0];
	size_t length = charset == CHARSET_UTF8 ? utf8_length(text) : c < 128;
	if (length > 0) {
		buf_put(out, span_first(text, length));
		return length;
	}
	if (charset == CHARSET_LATIN1) {
		buf_put_byte(out, (char)(0xc0 | c >> 6));
		buf_put_byte(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_put_byte(out, '?');
	}
	return 1;
}

/* Appends `text` with every kind of line end as LF, cut at `max` bytes, never in a character.
 */
static void put_text(struct span text, enum charset charset, size_t max, struct buf *out)
{
	while (text.len && !out->failed && out->len + 4 <= max) {
		if (text.ptr[0] != '\r') {
			text = span_from(text, put_character(text, charset, out));
			continue;
		}
		text = span_from(text, 1);
		if (text.len == 0 || text.ptr[0] != '\n') {
			buf_put_byte(out, '\n');
		}
	}
}

/* ---- encodings ---- */

static bool decode_plain(struct span text, struct buf *out)
{
	return buf_put(out, text);
}

static bool decode_qp(struct span text, struct buf *out)
{
	qp_decode(text, out);
	return !out->failed;
}

static const struct encoding {
	struct span name;
	bool (*decode)(struct span text, struct buf *out);
} encodings[] = {
	{ { "", 0 }, decode_plain },
	{ { "7bit", 4 }, decode_plain },
	{ { "8bit", 4 }, decode_plain },
	{ { "binary", 6 }, decode_plain },
	{ { "quoted-printable", 16 }, decode_qp },
	{ { "base64", 6 }, base64_decode_lines },
};

static const struct encoding *encoding_of(struct span name)
{
	for (size_t i = 0; i < COUNT(encodings); i++) {
		if (span_eq_nocase(name, encodings[i].name)) {
			return &encodings[i];
		}
	}
	return NULL;
}

/* ---- parts ---- */

/* What a part's header says. */
struct head {
	enum { OPAQUE, TEXT, MULTIPART } kind;
	bool digest, alternative; /* of a multipart */
	enum charset charset;
	const struct encoding *encoding; /* NULL: one we do not know */
	size_t boundary_len;
	char boundary[BOUNDARY_MAX];
};

/* A multipart that we are in. */
struct level {
	struct span rest; /* behind the last delimiter line */
	bool closed;      /* that was the closing one, or there is none to come */
	struct head head;
};

static void read_type(struct span value, struct head *head)
{
	struct buf scratch = { .cap = VALUE_MAX };
	struct span type = first_token(value);
	if (span_eq_nocase(type, SPAN_LIT("text/plain")) ||
	    span_eq_nocase(type, SPAN_LIT("text"))) {
		head->kind = TEXT;
		head->charset = charset_of(parameter(value, SPAN_LIT("charset"), &scratch));
	} else if (span_starts_nocase(type, SPAN_LIT("multipart/"))) {
		struct span boundary = parameter(value, SPAN_LIT("boundary"), &scratch);
		if (boundary.len > 0 && boundary.len <= BOUNDARY_MAX) {
			head->kind = MULTIPART;
			head->digest = span_eq_nocase(type, SPAN_LIT("multipart/digest"));
			head->alternative = span_eq_nocase(type,
			                                   SPAN_LIT("multipart/alternative"));
			head->boundary_len = boundary.len;
			memcpy(head->boundary, boundary.ptr, boundary.len);
		}
	}
	buf_done(&scratch);
}

/* Without a type it is text (RFC 2045 5.2), but in a digest a message (RFC 2046 5.1.5). */
static struct head read_head(struct span part, bool in_digest)
{
	struct head head = { .kind = OPAQUE };
	struct buf value = { .cap = VALUE_MAX };
	if (mime_field(part, SPAN_LIT("Content-Type"), &value, NULL)) {
		read_type(buf_span(&value), &head);
	} else if (!value.failed && !in_digest) {
		head.kind = TEXT;
	}
	if (mime_field(part, SPAN_LIT("Content-Disposition"), &value, NULL) &&
	    span_eq_nocase(first_token(buf_span(&value)), SPAN_LIT("attachment"))) {
		head.kind = OPAQUE;
	}
	mime_field(part, SPAN_LIT("Content-Transfer-Encoding"), &value, NULL);
	head.encoding = value.failed ? NULL : encoding_of(first_token(buf_span(&value)));
	buf_done(&value);
	return head;
}

static struct span body_of(struct span part)
{
	struct mime_field field;
	while (mime_next_field(&part, &field)) {
	}
	return part;
}

/* Is this a line of the boundary, with blanks behind it at most? */
static bool is_delimiter(struct span line, const struct head *head, bool *closing_out)
{
	struct span boundary = span_of(head->boundary, head->boundary_len);
	if (!span_starts_nocase(line, SPAN_LIT("--")) ||
	    !span_eq(span_first(span_from(line, 2), boundary.len), boundary)) {
		return false;
	}
	struct span behind = span_from(line, 2 + boundary.len);
	*closing_out = span_starts_nocase(behind, SPAN_LIT("--"));
	return span_trim(span_from(behind, *closing_out ? 2 : 0)).len == 0;
}

/* Takes what is before the next delimiter; false when there is none left. */
static bool take_part(struct level *level, struct span *part_out)
{
	if (level->closed) {
		return false;
	}
	struct span text = level->rest;
	while (level->rest.len) {
		size_t before = text.len - level->rest.len;
		struct span line = take_line(&level->rest);
		if (is_delimiter(line, &level->head, &level->closed)) {
			*part_out = span_first(text, before);
			return true;
		}
	}
	/* RFC 2046 5.1.2: the end of what is around it ends it, too. */
	level->closed = true;
	*part_out = text;
	return true;
}

/* Steps over the preamble. */
static bool enter(struct level *level, const struct head *head, struct span body)
{
	struct span preamble = SPAN_NONE;
	*level = (struct level){ .rest = body, .head = *head };
	return take_part(level, &preamble) && !level->closed;
}

static bool is_all_blank(struct span text)
{
	while (text.len) {
		bool hard = span_eq(span_first(text, 2), SPAN_LIT("\xc2\xa0"));
		if (!hard && (unsigned char)text.ptr[0] > ' ') {
			return false;
		}
		text = span_from(text, hard ? 2 : 1);
	}
	return true;
}

static enum mime_result read_text(const struct head *head, struct span body, struct buf *out)
{
	if (head->charset == CHARSET_UNKNOWN || !head->encoding) {
		return MIME_UNDECODABLE;
	}
	struct buf raw = { .cap = RAW_MAX };
	bool good = head->encoding->decode(span_first(body, RAW_MAX), &raw);
	if (good) {
		put_text(buf_span(&raw), head->charset, MIME_TEXT_MAX, out);
	}
	buf_done(&raw);
	return good && !out->failed ? MIME_TEXT : MIME_UNDECODABLE;
}

enum mime_result mime_first_text(struct span message, struct buf *out)
{
	struct level levels[MIME_DEPTH_MAX];
	size_t depth = 0;
	struct span part = message;
	for (size_t parts = 0; parts < MIME_PARTS_MAX; parts++) {
		const struct level *around = depth ? &levels[depth - 1] : NULL;
		struct head head = read_head(part, around && around->head.digest);
		if (head.kind == TEXT) {
			buf_clear(out);
			enum mime_result result = read_text(&head, body_of(part), out);
			if (result != MIME_TEXT || !around || !around->head.alternative ||
			    !is_all_blank(buf_span(out))) {
				return result;
			}
		} else if (head.kind == MULTIPART && depth < MIME_DEPTH_MAX &&
		           enter(&levels[depth], &head, body_of(part))) {
			depth++;
		}
		while (depth && !take_part(&levels[depth - 1], &part)) {
			depth--;
		}
		if (depth == 0) {
			break;
		}
	}
	buf_clear(out);
	return MIME_NO_TEXT;
}

/* ---- encoded words ---- */

/* Takes an encoded word (RFC 2047 2) off the front of `text`, decoded; false when there is none
 * that we can read. */
static bool take_word(struct span *text, struct buf *out)
{
	/* Looked at first: each look for a '?' must be paid for with one. */
	if (!span_starts_nocase(*text, SPAN_LIT("=?"))) {
		return false;
	}
	struct span rest = span_from(*text, 2);
	struct span charset = span_first(rest, span_find(rest, '?'));
	rest = span_from(rest, charset.len + 1);
	struct span letter = span_first(rest, span_find(rest, '?'));
	rest = span_from(rest, letter.len + 1);
	struct span coded = span_first(rest, span_find(rest, '?'));
	rest = span_from(rest, coded.len);
	/* RFC 2231 5: a language may stand behind the set. */
	charset = span_first(charset, span_find(charset, '*'));
	enum charset set = charset_of(charset);
	bool q = span_eq_nocase(letter, SPAN_LIT("q"));
	if (!span_starts_nocase(rest, SPAN_LIT("?=")) || charset.len == 0 ||
	    set == CHARSET_UNKNOWN || (!q && !span_eq_nocase(letter, SPAN_LIT("b")))) {
		return false;
	}
	struct buf raw = { .cap = coded.len };
	if (q) {
		qp_decode_word(coded, &raw);
	}
	bool good = q || base64_decode_lines(coded, &raw);
	if (good) {
		put_text(buf_span(&raw), set, SIZE_MAX, out);
		*text = span_from(rest, 2);
	}
	buf_done(&raw);
	return good;
}

void mime_decode_words(struct span text, struct buf *out)
{
	size_t begin = out->len;
	bool behind_word = false;
	while (text.len && !out->failed) {
		size_t blanks = 0;
		while (blanks < text.len && memchr(" \t\r\n", text.ptr[blanks], 4)) {
			blanks++;
		}
		/* Blanks between two encoded words only fold the line (RFC 2047 6.2). */
		struct span word = span_from(text, blanks);
		size_t before = out->len;
		if (blanks && !behind_word) {
			buf_put(out, span_first(text, blanks));
		}
		if (take_word(&word, out)) {
			behind_word = true;
			text = word;
			continue;
		}
		if (out->len == before) {
			buf_put(out, span_first(text, blanks));
		}
		behind_word = false;
		size_t plain = word.len > 0;
		while (plain < word.len && !memchr("= \t\r\n", word.ptr[plain], 5)) {
			plain++;
		}
		put_text(span_first(word, plain), CHARSET_UTF8, SIZE_MAX, out);
		text = span_from(word, plain);
	}
	for (size_t i = begin; i < out->len; i++) {
		bool control = (unsigned char)out->ptr[i] < ' ' || out->ptr[i] == 127;
		out->ptr[i] = control ? ' ' : out->ptr[i];
	}
}
