/* The own lines of a reply; what each is read as lies in orders_test and test/replies. */
#include "check.h"

#include "proto/own_text.h"

/* All own lines, one behind the other: "|line", "?line" for a doubtful one. */
static void test_lines(void **state)
{
	(void)state;
	static const struct {
		const char *text, *lines;
	} rows[] = {
		{ "", "" },
		{ "\n", "" },
		{ "a", "|a" },
		{ " a \n\n\tb\xc2\xa0\n", "|a|b" },
		{ "a\n> q\nb\nc\n\nd\n", "|a?b?c|d" },
		{ "> q\nb\n> q\n\nd\n", "?b|d" },
		{ "> q\nOn 25 Nov 2026, X wrote:\nd\n", "|d" },
		{ "a\n-- \nb\n", "|a" },
		{ "a\n\n-----Original Message-----\nb\n", "|a" },
		{ "a\n____________\nFrom: x\nTo: y\nb\n", "|a" },
		{ "a\nFrom: x\n\nTo: y\n", "|a|From: x|To: y" },
		{ "a\nOn 25 Nov 2026, X\n<x@y.example> wrote:\n> q\n", "|a" },
		{ "a\nOn 25 Nov 2026, X\n> q\n", "|a|On 25 Nov 2026, X" },
		{ "1\n2\n3\n4 wrote:\n> q\n", "|1|2|3" },
		{ "-----BEGIN PGP SIGNED MESSAGE-----\nHash: x\n\na\n"
		  "-----BEGIN PGP SIGNATURE-----\nb\n",
		  "|a" },
		{ "a\nSent from my Telephone\nb", "|a|b" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf lines = { .cap = 200 };
		struct own_text own = { .rest = span_str(rows[i].text) };
		struct own_line line;
		while (own_text_next(&own, &line)) {
			buf_put_byte(&lines, line.doubtful ? '?' : '|');
			buf_put(&lines, line.text);
		}
		check_span(rows[i].text, buf_span(&lines), span_str(rows[i].lines));
		CHECK(rows[i].text, !own_text_next(&own, &line));
		buf_done(&lines);
	}
}

static void test_trim(void **state)
{
	(void)state;
	static const struct {
		const char *text, *trimmed;
	} rows[] = {
		{ "", "" },
		{ " \t\r", "" },
		{ "a b", "a b" },
		{ "\xef\xbb\xbf a \xe2\x80\x8b", "a" },
		{ "\xc2\xa0\xe2\x80\xaf\xe3\x80\x80", "" },
		{ "\xe2\x81\xa6spam\xe2\x81\xa9", "spam" },
		{ "\xa0 a", "\xa0 a" }, /* half a character */
		{ "\xe2\x80", "\xe2\x80" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		check_span(rows[i].text, own_text_trim(span_str(rows[i].text)),
		           span_str(rows[i].trimmed));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_trim),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
