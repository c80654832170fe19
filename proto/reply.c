#include "proto/reply.h"

#include <assert.h>
#include <stdio.h>

#define IN_LINE_MAX  ((size_t)8 * 1024)
#define IN_BYTES_MAX ((size_t)64 * 1024)

static const struct reply_row rows[REPLY_COUNT] = {
#define X(name, code, enhanced, text) [REPLY_##name] = { #name, code, enhanced, text },
	REPLY_TABLE(X)
#undef X
};

const struct reply_row *reply_row(enum reply name)
{
	assert((unsigned)name < REPLY_COUNT);
	return &rows[name];
}

/* A reply is ASCII text: a word from outside can neither end the line nor drive a terminal. */
static char printable(char c)
{
	return c >= ' ' && c <= '~' ? c : '?';
}

/* Appends what fits to a line of `len` bytes; gives the new length. */
static size_t append(char *line, size_t len, struct span text)
{
	for (size_t i = 0; i < text.len && len < REPLY_LINE_MAX; i++) {
		line[len++] = printable(text.ptr[i]);
	}
	return len;
}

void reply_write(enum reply name, struct span word, struct buf *out)
{
	const struct reply_row *row = reply_row(name);
	char line[REPLY_LINE_MAX + 2];
	int head = snprintf(line, sizeof line, "%u %s%s", row->code,
	                    row->enhanced ? row->enhanced : "", row->enhanced ? " " : "");
	size_t len = (size_t)head;
	const char *hole = strstr(row->text, "%s");
	if (hole) {
		len = append(line, len, span_of(row->text, (size_t)(hole - row->text)));
		len = append(line, len, word);
		len = append(line, len, span_str(hole + 2));
	} else {
		len = append(line, len, span_str(row->text));
	}
	line[len++] = '\r';
	line[len++] = '\n';
	buf_put(out, span_of(line, len));
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The length of "5.1.1" at the front of `text`, 0 when there is none (RFC 3463 2). */
static size_t enhanced_length(struct span text)
{
	size_t at = 0;
	for (unsigned group = 0; group < 3; group++) {
		size_t start = at;
		while (at < text.len && is_digit(text.ptr[at]) && at - start < 3) {
			at++;
		}
		if (at == start || (group == 0 && at != 1)) {
			return 0;
		}
		if (group < 2 && (at >= text.len || text.ptr[at++] != '.')) {
			return 0;
		}
	}
	return at == text.len || text.ptr[at] == ' ' ? at : 0;
}

static void add_text(struct reply_in *reply, struct span text)
{
	size_t len = strlen(reply->text);
	if (len && text.len && len < sizeof reply->text - 1) {
		reply->text[len++] = ' ';
	}
	for (size_t i = 0; i < text.len && len < sizeof reply->text - 1; i++) {
		reply->text[len++] = printable(text.ptr[i]);
	}
	reply->text[len] = '\0';
}

/* The code at the front of a line, 0 when it is none of RFC 5321 4.2.1. */
static unsigned line_code(struct span line)
{
	if (line.len < 3 || line.ptr[0] < '2' || line.ptr[0] > '5' || line.ptr[1] < '0' ||
	    line.ptr[1] > '5' || !is_digit(line.ptr[2])) {
		return 0;
	}
	return (unsigned)(line.ptr[0] - '0') * 100 + (unsigned)(line.ptr[1] - '0') * 10 +
	       (unsigned)(line.ptr[2] - '0');
}

/* False when the line is no part of this reply. */
static bool take_line(struct reply_in *reply, struct span line)
{
	unsigned code = line_code(line);
	char mark = line.len > 3 ? line.ptr[3] : ' ';
	if (!code || (mark != ' ' && mark != '-') || (reply->lines && code != reply->code)) {
		return false;
	}
	reply->code = code;
	reply->lines++;
	reply->last = mark == ' ';
	struct span text = span_from(line, 4);
	size_t enhanced = enhanced_length(text);
	/* A code of another class than the reply's is text (RFC 2034 4). */
	if (enhanced && text.ptr[0] == line.ptr[0]) {
		memcpy(reply->enhanced, text.ptr, enhanced);
		reply->enhanced[enhanced] = '\0';
		text = span_from(text, enhanced + 1);
	}
	add_text(reply, span_trim(text));
	return true;
}

enum reply_read reply_read(struct reply_in *reply, struct span *in)
{
	while (!reply->last && !reply->bad) {
		size_t end = span_find(span_first(*in, IN_LINE_MAX), '\n');
		if (end == in->len) {
			return REPLY_MORE;
		}
		reply->bytes += end + 1;
		if (end == IN_LINE_MAX || reply->bytes > IN_BYTES_MAX) {
			reply->bad = true;
			break;
		}
		struct span line = span_first(*in, end);
		*in = span_from(*in, end + 1);
		if (line.len && line.ptr[line.len - 1] == '\r') {
			line.len--;
		}
		reply->bad = !take_line(reply, line);
	}
	return reply->bad ? REPLY_BAD : REPLY_DONE;
}
