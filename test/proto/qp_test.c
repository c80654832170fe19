#include "check.h"

#include "proto/qp.h"

/* RFC 2045 6.7, and what breaks it. */
static void test_decode(void **state)
{
	(void)state;
	static const struct {
		const char *text, *bytes;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "=48=65=6C=6c=6F", "Hello" },
		{ "=C3=A9t=c3=a9", "\xc3\xa9t\xc3\xa9" },
		{ "soft=\r\n break", "soft break" },
		{ "soft=\nbreak", "softbreak" },
		{ "soft= \t\r\nbreak", "softbreak" },
		{ "soft=", "soft" },
		{ "soft=  ", "soft" },
		{ "U=\r\nN=\r\nL=4F=\r\nCK", "UNLOCK" },
		{ "blanks \t \r\nat ends  ", "blanks\r\nat ends" },
		{ "blanks \nat ends", "blanks\nat ends" },
		{ "a  b\tc", "a  b\tc" },
		{ "kept=20\r\n", "kept \r\n" },
		{ "no = escape", "no = escape" },
		{ "=", "" },
		{ "==41", "=A" },
		{ "=4", "=4" },
		{ "=4G=G4", "=4G=G4" },
		{ "=\r", "=\r" },
		{ "= x", "= x" },
		{ "a_b?=", "a_b?" },
		{ "bare\rcr", "bare\rcr" },
		{ "\r\n\r\n", "\r\n\r\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 100 };
		qp_decode(span_str(rows[i].text), &out);
		check_span(rows[i].text, buf_span(&out), span_str(rows[i].bytes));
		buf_done(&out);
	}
}

/* RFC 2047 4.2 */
static void test_decode_word(void **state)
{
	(void)state;
	static const struct {
		const char *text, *bytes;
	} rows[] = {
		{ "", "" },     { "a_b", "a b" }, { "=5F_=E9", "_ \xe9" },
		{ "a ", "a " }, { "=", "=" },     { "=\r\n", "=\r\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 100 };
		qp_decode_word(span_str(rows[i].text), &out);
		check_span(rows[i].text, buf_span(&out), span_str(rows[i].bytes));
		buf_done(&out);
	}
}

static void test_nul_and_cap(void **state)
{
	(void)state;
	struct buf out = { .cap = 3 };
	qp_decode(SPAN_LIT("\0=00\0"), &out);
	check_span("nul", buf_span(&out), SPAN_LIT("\0\0\0"));
	qp_decode(SPAN_LIT("x"), &out);
	assert_true(out.failed);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_decode_word),
		cmocka_unit_test(test_nul_and_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
