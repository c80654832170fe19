#include "check.h"

#include "proto/line.h"

#define MAX ((size_t)12) /* CRLF included */

static const char letters[] = {
	[LINE_MORE] = '-', [LINE_OK] = 'o',       [LINE_BARE_CR] = 'c', [LINE_BARE_LF] = 'l',
	[LINE_NUL] = 'n',  [LINE_TOO_LONG] = 't', [LINE_ENDLESS] = 'e'
};

/* Input, what comes of it (o = a good line), and the good lines joined by |. */
static const struct {
	struct span in;
	const char *kinds;
	const char *lines;
} rows[] = {
	{ { "", 0 }, "", "" },
	{ { "NOOP\r\n", 6 }, "o", "NOOP|" },
	{ { "\r\n", 2 }, "o", "|" },
	{ { "A\r\nB\r\nC", 7 }, "oo", "A|B|" },
	{ { "A\nB\r\nC\r\n", 8 }, "lo", "C|" },
	{ { "A\rB\r\nC\r\n", 8 }, "co", "C|" },
	{ { "A\r\r\nC\r\n", 7 }, "co", "C|" },
	{ { "\n\r\n\r\n", 5 }, "lo", "|" },
	{ { "A\0B\r\nC\r\n", 8 }, "no", "C|" },
	{ { "A\0\n\r\r\n", 6 }, "n", "" },
	{ { "1234567890\r\nC\r\n", 15 }, "oo", "1234567890|C|" },
	{ { "12345678901\r\nC\r\n", 16 }, "to", "C|" },
	{ { "1234567890\r\r\nC\r\n", 16 }, "to", "C|" },
	{ { "123456789\r\r\nC\r\n", 15 }, "co", "C|" },
	{ { "1234567890123456789012345\n6\0\r8\r\nC\r\n", 35 }, "to", "C|" },
	{ { "12345678901234567890123456\r\r\nC\r\n", 32 }, "to", "C|" },
	{ { "no end\r", 7 }, "", "" },
	{ { "12345678901234567890", 20 }, "", "" },
};

/* Feeds `in` in pieces of `step` bytes as a connection would, and writes down what comes. */
static void play(struct span in, size_t step, struct buf *kinds, struct buf *lines)
{
	struct line line = { 0 };
	struct buf unread = { .cap = 2 * LINE_DROP_MAX };
	while (in.len) {
		buf_put(&unread, span_first(in, step));
		in = span_from(in, step);
		struct span rest = buf_span(&unread), text = SPAN_NONE;
		enum line_kind kind;
		while ((kind = line_next(&line, &rest, MAX, &text)) != LINE_MORE) {
			buf_put_byte(kinds, letters[kind]);
			if (kind == LINE_OK) {
				buf_put(lines, text);
				buf_put_byte(lines, '|');
			}
			if (kind == LINE_ENDLESS) {
				in = SPAN_NONE;
				break;
			}
		}
		assert_true(rest.len < MAX || kind == LINE_ENDLESS);
		buf_drop(&unread, unread.len - rest.len);
	}
	buf_done(&unread);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t step = 1; step <= rows[i].in.len; step++) {
			struct buf kinds = { .cap = 100 }, lines = { .cap = 100 };
			play(rows[i].in, step, &kinds, &lines);
			check_span(rows[i].in.ptr, buf_span(&kinds), span_str(rows[i].kinds));
			check_span(rows[i].in.ptr, buf_span(&lines), span_str(rows[i].lines));
			buf_done(&kinds);
			buf_done(&lines);
		}
	}
}

/* A line without an end is given up on exactly beyond the limit, however it comes. */
static void test_endless(void **state)
{
	(void)state;
	static char text[LINE_DROP_MAX + 3];
	static const size_t steps[] = { 1, 7, 4096, sizeof text };
	for (size_t more = 0; more < 2; more++) {
		size_t len = LINE_DROP_MAX + more;
		memset(text, 'x', len);
		memcpy(text + len, "\r\n", 2);
		for (size_t i = 0; i < COUNT(steps); i++) {
			struct buf kinds = { .cap = 100 }, lines = { .cap = 100 };
			play(span_of(text, len + 2), steps[i], &kinds, &lines);
			check_span("endless", buf_span(&kinds), span_str(more ? "e" : "t"));
			buf_done(&kinds);
			buf_done(&lines);
		}
	}
}

/* Once given up, no later line counts: it may be the payload of a smuggler. */
static void test_endless_stays(void **state)
{
	(void)state;
	static char text[LINE_DROP_MAX + 10];
	memset(text, 'x', sizeof text);
	struct line line = { 0 };
	struct span in = span_of(text, sizeof text), got = SPAN_NONE;
	assert_int_equal(line_next(&line, &in, MAX, &got), LINE_ENDLESS);
	in = SPAN_LIT("\r\nQUIT\r\n");
	assert_int_equal(line_next(&line, &in, MAX, &got), LINE_ENDLESS);
	assert_null(got.ptr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_endless_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
