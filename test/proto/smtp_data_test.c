#include "proto/smtp_data.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

/* What reading came to. */
struct outcome {
	struct buf text;
	struct smtp_data_facts facts;
	bool ended;
	size_t rest; /* bytes behind the terminator */
};

/* Reads `wire` in pieces that end at `cut` and at the end; cut 0 = byte by byte. */
static struct outcome read_wire(struct span wire, size_t cut)
{
	struct outcome outcome = { .text = { .cap = 1 << 20 } };
	struct smtp_data_in data;
	smtp_data_in_init(&data);
	size_t at = 0;
	while (at < wire.len && !outcome.ended) {
		size_t n = cut == 0 ? 1 : at < cut && cut < wire.len ? cut - at : wire.len - at;
		struct span in = span_of(wire.ptr + at, n);
		at += n;
		while (in.len && !outcome.ended) {
			struct span run;
			outcome.ended = smtp_data_in_next(&data, &in, &run);
			buf_put(&outcome.text, run);
		}
		outcome.rest = in.len + wire.len - at;
	}
	outcome.facts = data.facts;
	return outcome;
}

enum { CR = 1, LF = 2, NUL = 4, HIGH = 8 };

static const struct {
	const char *wire;
	size_t len;
	const char *text;
	size_t text_len;
	unsigned seen;
	size_t longest;
	bool ended;
	size_t rest;
} rows[] = {
#define ROW(wire, text, seen, longest, ended, rest) \
	{ \
		wire, sizeof(wire) - 1, text, sizeof(text) - 1, seen, longest, ended, rest \
	}
	ROW(".\r\n", "", 0, 0, true, 0),
	ROW("a\r\n.\r\n", "a\r\n", 0, 1, true, 0),
	ROW("a\r\n.\r\nQUIT\r\n", "a\r\n", 0, 1, true, 6),
	ROW("..\r\n.\r\n", ".\r\n", 0, 1, true, 0),
	ROW("..a\r\n...b\r\n.c\r\n.\r\n", ".a\r\n..b\r\nc\r\n", 0, 3, true, 0),
	ROW("a.\r\n.\r\n", "a.\r\n", 0, 2, true, 0),
	ROW("\r\n.\r\n", "\r\n", 0, 0, true, 0),
	ROW("abc\r\nde\r\n\r\n.\r\n", "abc\r\nde\r\n\r\n", 0, 3, true, 0),
	ROW("a\0b\r\n\xc3\xa9\r\n.\r\n", "a\0b\r\n\xc3\xa9\r\n", NUL | HIGH, 3, true, 0),
	ROW("a", "a", 0, 1, false, 0),
	/* PS01: none of these ends the text. The dot goes only where a line begins with it. */
	ROW("a\n.\nM", "a\n.\nM", LF, 5, false, 0),
	ROW("a\n.\rM", "a\n.\rM", LF | CR, 5, false, 0),
	ROW("a\r.\nM", "a\r.\nM", LF | CR, 5, false, 0),
	ROW("a\r.\rM", "a\r.\rM", CR, 5, false, 0),
	ROW("a\n.\r\nM", "a\n.\r\nM", LF, 3, false, 0),
	ROW("a\r.\r\nM", "a\r.\r\nM", CR, 3, false, 0),
	ROW("a\r\n.\nM", "a\r\n\nM", LF, 2, false, 0),
	ROW("a\r\n.\rM", "a\r\n\rM", CR, 2, false, 0),
	ROW("a\r\n.\0\r\nM", "a\r\n\0\r\nM", NUL, 1, false, 0),
	ROW("a\r\n.\r\r\nM", "a\r\n\r\r\nM", CR, 1, false, 0),
	ROW("\n.\r\n", "\n.\r\n", LF, 2, false, 0),
	ROW("\r.\r\n", "\r.\r\n", CR, 2, false, 0),
	/* PS04: it contains the true terminator. */
	ROW("a\r\r\n.\r\nM", "a\r\r\n", CR, 2, true, 1),
	ROW("a\r\n..\r\n.\r\nM", "a\r\n.\r\n", 0, 1, true, 1),
	ROW("a\r\r.\r\n.\r\n", "a\r\r.\r\n", CR, 4, true, 0),
#undef ROW
};

static void assert_row(size_t i, struct span prefix, size_t cut)
{
	struct buf wire = { .cap = 1 << 20 };
	buf_put(&wire, prefix);
	buf_put(&wire, span_of(rows[i].wire, rows[i].len));
	struct outcome got = read_wire(buf_span(&wire), cut);
	const struct smtp_data_facts *facts = &got.facts;
	unsigned seen = (facts->bare_cr ? CR : 0) | (facts->bare_lf ? LF : 0) |
	                (facts->nul ? NUL : 0) | (facts->eight_bit ? HIGH : 0);
	assert_int_equal(got.ended, rows[i].ended);
	assert_int_equal(got.rest, rows[i].rest);
	assert_int_equal(seen, rows[i].seen);
	assert_int_equal(facts->bytes, got.text.len);
	if (prefix.len == 0) {
		assert_int_equal(facts->longest, rows[i].longest);
	}
	struct span text = span_from(buf_span(&got.text), prefix.len);
	assert_true(span_eq(text, span_of(rows[i].text, rows[i].text_len)));
	buf_done(&got.text);
	buf_done(&wire);
}

static void ps01_only_crlf_dot_crlf_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_row(i, SPAN_NONE, rows[i].len);
	}
}

static void ps02_any_split_is_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t cut = 0; cut < rows[i].len; cut++) {
			assert_row(i, SPAN_NONE, cut);
		}
	}
}

/* Behind lines of text, so that the sequence lies across every border of the words and blocks
 * that a scan may use. */
static void ps03_any_offset_is_the_same(void **state)
{
	(void)state;
	char text[140];
	memset(text, 'x', sizeof text);
	for (size_t len = 2; len <= sizeof text; len++) {
		memset(text, 'x', sizeof text);
		memcpy(text + len - 2, "\r\n", 2);
		for (size_t i = 0; i < COUNT(rows); i++) {
			assert_row(i, span_of(text, len), len + rows[i].len);
			assert_row(i, span_of(text, len), 64);
		}
	}
}

static void runs_are_slices_of_the_input(void **state)
{
	(void)state;
	struct span in = SPAN_LIT("line one\r\nline two\r\n..dot\r\n.\r\n");
	const char *start = in.ptr;
	struct smtp_data_in data;
	smtp_data_in_init(&data);
	struct span run;
	assert_false(smtp_data_in_next(&data, &in, &run));
	assert_true(run.ptr == start && run.len == 20);
	assert_false(smtp_data_in_next(&data, &in, &run));
	assert_true(run.ptr == start + 21 && run.len == 6);
	assert_true(smtp_data_in_next(&data, &in, &run));
	assert_int_equal(in.len, 0);
}

static void writes_stuffed(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *wire;
	} out_rows[] = {
		{ "", ".\r\n" },
		{ "a\r\n", "a\r\n.\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ ".", "..\r\n.\r\n" },
		{ ".a\r\n..\r\nb.c\r\n", "..a\r\n...\r\nb.c\r\n.\r\n" },
		{ "a.\r\n.b.\r\n", "a.\r\n..b.\r\n.\r\n" },
		{ "\r\n\r\n.\r\n", "\r\n\r\n..\r\n.\r\n" },
	};
	for (size_t i = 0; i < COUNT(out_rows); i++) {
		struct span text = span_str(out_rows[i].text);
		for (size_t cut = 0; cut <= text.len; cut++) {
			struct smtp_data_out data = { 0 };
			struct buf out = { .cap = 4096 };
			smtp_data_out_put(&data, span_first(text, cut), &out);
			smtp_data_out_put(&data, span_from(text, cut), &out);
			smtp_data_out_end(&data, &out);
			assert_true(span_eq(buf_span(&out), span_str(out_rows[i].wire)));
			buf_done(&out);
		}
	}
}

/* What goes out comes back, for every text of up to seven pieces. */
static void out_then_in_is_the_same(void **state)
{
	(void)state;
	static const char *const pieces[] = { ".", "\r\n", "a" };
	for (unsigned code = 0; code < 2187; code++) {
		struct buf text = { .cap = 64 };
		for (unsigned k = code; k; k /= 3) {
			buf_put_str(&text, pieces[k % 3]);
		}
		buf_put_str(&text, "\r\n");
		struct smtp_data_out data = { 0 };
		struct buf wire = { .cap = 4096 };
		smtp_data_out_put(&data, buf_span(&text), &wire);
		smtp_data_out_end(&data, &wire);
		struct outcome got = read_wire(buf_span(&wire), code % wire.len);
		assert_true(got.ended && got.rest == 0);
		assert_true(span_eq(buf_span(&got.text), buf_span(&text)));
		assert_false(got.facts.bare_cr || got.facts.bare_lf);
		buf_done(&got.text);
		buf_done(&wire);
		buf_done(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ps01_only_crlf_dot_crlf_ends),
		cmocka_unit_test(ps02_any_split_is_the_same),
		cmocka_unit_test(ps03_any_offset_is_the_same),
		cmocka_unit_test(runs_are_slices_of_the_input),
		cmocka_unit_test(writes_stuffed),
		cmocka_unit_test(out_then_in_is_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
