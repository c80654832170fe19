#include "check.h"

#include <stdlib.h>

/* Steps on one buffer with a cap of 1000: p = put n bytes, d = drop n, r = reserve only. */
static const struct {
	const char *name;
	const char *steps;
	size_t len;
	bool failed;
} rows[] = {
	{ "nothing", "", 0, false },
	{ "put", "p10", 10, false },
	{ "put nothing", "p0", 0, false },
	{ "to the cap", "p999 p1", 1000, false },
	{ "beyond the cap", "p999 p2", 999, true },
	{ "a failure stays", "p999 p2 d999 p1", 0, true },
	{ "one piece beyond the cap", "p1001", 0, true },
	{ "dropped bytes do not count", "p900 d800 p900", 1000, false },
	{ "dropped bytes do not count, one more", "p900 d800 p901", 100, true },
	{ "drop all", "p900 d900 p1000", 1000, false },
	{ "drop nothing", "p5 d0", 5, false },
	{ "reserve counts nothing", "p5 r995", 5, false },
	{ "reserve beyond", "p5 r996", 5, true },
	{ "grow while dropping", "p100 d60 p100 d60 p300 d10 p500 d400 p400", 870, false },
};

/* The bytes put are 0 1 2 ... without end; what is live must be the last of them, in order. */
static void test_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf buf = { .cap = 1000 };
		unsigned char next = 0, first = 0;
		for (const char *at = rows[i].steps; *at; at += strspn(at, " ")) {
			char step = *at++;
			size_t n = strtoul(at, (char **)&at, 10);
			char bytes[1100];
			for (size_t k = 0; k < n; k++) {
				bytes[k] = (char)(next + k);
			}
			if (step == 'p' && buf_put(&buf, span_of(bytes, n))) {
				next = (unsigned char)(next + n);
			} else if (step == 'd') {
				buf_drop(&buf, n);
				first = (unsigned char)(first + n);
			} else if (step == 'r') {
				buf_reserve(&buf, n);
			}
		}
		CHECK(rows[i].name, buf.len == rows[i].len);
		CHECK(rows[i].name, buf.failed == rows[i].failed);
		for (size_t k = 0; k < buf.len; k++) {
			CHECK(rows[i].name,
			      (unsigned char)buf.ptr[k] == (unsigned char)(first + k));
		}
		buf_clear(&buf);
		CHECK(rows[i].name, buf.len == 0 && !buf.failed && buf_put_byte(&buf, 'x'));
		buf_done(&buf);
		CHECK(rows[i].name, buf.ptr == NULL && buf.len == 0 && buf.cap == 1000);
	}
}

/* The buffer holds no memory when it is drained: ten thousand idle sessions have one each. */
static void test_drained_is_free(void **state)
{
	(void)state;
	struct buf buf = { .cap = 64 };
	buf_put_str(&buf, "hello");
	buf_drop(&buf, 5);
	assert_null(buf.ptr);
	assert_int_equal(buf.size, 0);
	buf_done(&buf);
	buf_done(NULL);
}

/* A full queue drained byte by byte is not moved at every put, nor does it grow without end. */
static void test_queue(void **state)
{
	(void)state;
	struct buf buf = { .cap = 65536 };
	for (unsigned i = 0; i < 65536; i++) {
		assert_true(buf_put_byte(&buf, (char)i));
	}
	for (unsigned i = 0; i < 1000000; i++) {
		assert_int_equal((unsigned char)buf.ptr[0], i & 0xff);
		buf_drop(&buf, 1);
		assert_true(buf_put_byte(&buf, (char)i));
	}
	assert_true(buf.size <= 4 * buf.cap);
	buf_done(&buf);
}

/* No byte of what was dropped or moved stays in its block. */
static void test_secret(void **state)
{
	(void)state;
	static const struct {
		size_t put, drop;
	} turns[] = {
		{ 100, 60 }, { 20, 0 }, { 30, 50 }, { 500, 400 }, { 200, 1 }, { 7, 200 }
	};
	struct buf buf;
	buf_init_secret(&buf, 2000);
	for (size_t i = 0; i < 10 * COUNT(turns); i++) {
		char bytes[500];
		memset(bytes, 'S', sizeof bytes);
		assert_true(buf_put(&buf, span_of(bytes, turns[i % COUNT(turns)].put)));
		size_t drop = turns[i % COUNT(turns)].drop;
		buf_drop(&buf, drop < buf.len ? drop : buf.len - 1);
		const char *block = buf.ptr - buf.head;
		assert_null(memmem(block, buf.head, "SSSS", 4));
		assert_null(
		    memmem(buf.ptr + buf.len, buf.size - buf.head - buf.len, "SSSS", 4));
		for (size_t k = 0; k < buf.len; k++) {
			CHECK("live", buf.ptr[k] == 'S');
		}
	}
	const char *block = buf.ptr - buf.head;
	buf_clear(&buf);
	assert_null(memmem(block, buf.size, "SSSS", 4));
	buf_done(&buf);
	assert_true(buf.secret);
	assert_int_equal(buf.cap, 2000);
}

static void test_printf(void **state)
{
	(void)state;
	struct buf buf = { .cap = 10 };
	assert_true(buf_printf(&buf, "%s", ""));
	assert_false(buf.failed);
	buf_done(&buf);
	assert_non_null(buf_reserve(&buf, 0));
	assert_true(buf_printf(&buf, "%s-%d", "abc", 42));
	check_span("printf", buf_span(&buf), SPAN_LIT("abc-42"));
	assert_true(buf_printf(&buf, "%s", "4567"));
	assert_false(buf.failed);
	assert_false(buf_printf(&buf, "%d", 1));
	assert_true(buf.failed);
	check_span("printf beyond the cap", buf_span(&buf), SPAN_LIT("abc-424567"));
	buf_done(&buf);
}

static void test_span(void **state)
{
	(void)state;
	static const struct {
		struct span a, b;
		bool eq, eq_nocase, starts;
	} spans[] = {
		{ { NULL, 0 }, { "", 0 }, true, true, true },
		{ { "abc", 3 }, { "abc", 3 }, true, true, true },
		{ { "abc", 3 }, { "AbC", 3 }, false, true, true },
		{ { "abc", 3 }, { "AB", 2 }, false, false, true },
		{ { "ab", 2 }, { "abc", 3 }, false, false, false },
		{ { "a\0b", 3 }, { "A\0c", 3 }, false, false, false },
		{ { "[", 1 }, { "{", 1 }, false, false, false },
		{ { "\xc4", 1 }, { "\xe4", 1 }, false, false, false },
	};
	for (size_t i = 0; i < COUNT(spans); i++) {
		assert_int_equal(span_eq(spans[i].a, spans[i].b), spans[i].eq);
		assert_int_equal(span_eq_nocase(spans[i].a, spans[i].b), spans[i].eq_nocase);
		assert_int_equal(span_starts_nocase(spans[i].a, spans[i].b), spans[i].starts);
	}
	check_span("trim", span_trim(SPAN_LIT(" \t a b\t ")), SPAN_LIT("a b"));
	check_span("trim all", span_trim(SPAN_LIT(" \t ")), SPAN_NONE);
	check_span("from", span_from(SPAN_LIT("abc"), 1), SPAN_LIT("bc"));
	check_span("from beyond", span_from(SPAN_LIT("abc"), 9), SPAN_NONE);
	check_span("first", span_first(SPAN_LIT("abc"), 9), SPAN_LIT("abc"));
	assert_int_equal(span_find(SPAN_LIT("abc"), 'c'), 2);
	assert_int_equal(span_find(SPAN_LIT("abc"), 'd'), 3);
	assert_int_equal(span_find(SPAN_NONE, 'd'), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),  cmocka_unit_test(test_drained_is_free),
		cmocka_unit_test(test_queue),  cmocka_unit_test(test_secret),
		cmocka_unit_test(test_printf), cmocka_unit_test(test_span),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
