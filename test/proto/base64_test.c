#include "check.h"

#include "proto/base64.h"

/* RFC 4648 section 10, and bytes of the far end of the alphabet. */
static void test_both_ways(void **state)
{
	(void)state;
	static const struct {
		struct span bytes;
		const char *text;
	} rows[] = {
		{ { "", 0 }, "" },
		{ { "f", 1 }, "Zg==" },
		{ { "fo", 2 }, "Zm8=" },
		{ { "foo", 3 }, "Zm9v" },
		{ { "foob", 4 }, "Zm9vYg==" },
		{ { "fooba", 5 }, "Zm9vYmE=" },
		{ { "foobar", 6 }, "Zm9vYmFy" },
		{ { "\0", 1 }, "AA==" },
		{ { "\xff\xff\xff", 3 }, "////" },
		{ { "\xfb\xef\xbe\xff", 4 }, "++++/w==" },
		{ { "Username:", 9 }, "VXNlcm5hbWU6" },
		{ { "\0alice\0secret", 13 }, "AGFsaWNlAHNlY3JldA==" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 100 };
		buf_put_str(&out, ">");
		base64_encode(rows[i].bytes, &out);
		check_span("encode", span_from(buf_span(&out), 1), span_str(rows[i].text));
		buf_clear(&out);
		buf_put_str(&out, ">");
		assert_true(base64_decode(span_str(rows[i].text), &out));
		check_span("decode", span_from(buf_span(&out), 1), rows[i].bytes);
		buf_done(&out);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct span rows[] = {
		{ "A", 1 },
		{ "AA", 2 },
		{ "AAA", 3 },
		{ "AAAAA", 5 },
		{ "=", 1 },
		{ "====", 4 },
		{ "A===", 4 },
		{ "@@@@", 4 },
		{ "Zg==Zg==", 8 },
		{ "Zg=g", 4 },
		{ "Z===", 4 },
		{ "Zg==\r\n", 6 },
		{ "Zm 9v", 5 },
		{ " Zg=", 4 },
		{ "Zm9\n", 4 },
		{ "Zh==", 4 },
		{ "Zm9=", 4 },
		{ "Zm\0v", 4 },
		{ "Zm-_", 4 },
		{ "\xc3\xa4"
		  "AA",
		  4 },
		{ "=AAA", 4 },
		{ "AA=A", 4 },
		{ "*", 1 },
		{ "Zg== ", 5 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 100 };
		buf_put_str(&out, "before");
		CHECK(rows[i].ptr, !base64_decode(rows[i], &out));
		check_span(rows[i].ptr, buf_span(&out), SPAN_LIT("before"));
		CHECK(rows[i].ptr, !out.failed);
		buf_done(&out);
	}
}

/* RFC 2045 6.8, as mail is. */
static void test_lines(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		const char *bytes;
	} rows[] = {
		{ "", true, "" },
		{ "\r\n \t", true, "" },
		{ "Zm9v\r\nYmFy\r\n", true, "foobar" },
		{ "Z m\n9\tv", true, "foo" },
		{ "Zm8=", true, "fo" },
		{ "Zm8", true, "fo" },
		{ "Zg", true, "f" },
		{ "Zg==\nZm9v", true, "f" },
		{ "Zm9v\n-- \nlist", true, "foo" },
		{ "Z", false, "" },
		{ "=", false, "" },
		{ "*Zm9v", false, "" },
		{ "\xc3\xa4", false, "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 100 };
		CHECK(rows[i].text,
		      base64_decode_lines(span_str(rows[i].text), &out) == rows[i].good);
		check_span(rows[i].text, buf_span(&out), span_str(rows[i].bytes));
		buf_done(&out);
	}
	struct buf small = { .cap = 2 };
	assert_false(base64_decode_lines(SPAN_LIT("Zm9v"), &small));
	assert_true(small.failed);
	buf_done(&small);
}

static void test_full(void **state)
{
	(void)state;
	struct buf out = { .cap = 4 };
	base64_encode(SPAN_LIT("four"), &out);
	assert_true(out.failed);
	assert_int_equal(out.len, 0);
	buf_clear(&out);
	assert_true(base64_decode(SPAN_LIT("Zm9vYg=="), &out));
	assert_false(base64_decode(SPAN_LIT("Zg=="), &out));
	assert_true(out.failed);
	check_span("full", buf_span(&out), SPAN_LIT("foob"));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
