#include "check.h"

#include "proto/pack.h"

/* The bytes are a promise to every store on disk. */
static void test_layout(void **state)
{
	(void)state;
	struct buf row = { .cap = 1000 };
	pack_u8(&row, 0xfe);
	pack_u32(&row, 0x01020304);
	pack_u64(&row, 0x0102030405060708);
	pack_i64(&row, -2);
	pack_varint(&row, 300);
	pack_span(&row, SPAN_LIT("abc"));
	pack_field(&row, 7, SPAN_LIT("z"));
	check_span("layout", buf_span(&row),
	           SPAN_LIT("\xfe"
	                    "\4\3\2\1"
	                    "\10\7\6\5\4\3\2\1"
	                    "\xfe\xff\xff\xff\xff\xff\xff\xff"
	                    "\xac\2"
	                    "\3"
	                    "abc"
	                    "\7\1z"));
	struct unpacker in = unpack_from(buf_span(&row));
	assert_int_equal(unpack_u8(&in), 0xfe);
	assert_int_equal(unpack_u32(&in), 0x01020304);
	assert_true(unpack_u64(&in) == 0x0102030405060708);
	assert_true(unpack_i64(&in) == -2);
	assert_int_equal(unpack_varint(&in), 300);
	check_span("span", unpack_span(&in), SPAN_LIT("abc"));
	uint8_t tag = 0;
	struct span bytes = SPAN_NONE;
	assert_false(unpack_ok(&in));
	assert_true(unpack_field(&in, &tag, &bytes));
	assert_int_equal(tag, 7);
	check_span("field", bytes, SPAN_LIT("z"));
	assert_false(unpack_field(&in, &tag, &bytes));
	assert_true(unpack_ok(&in));
	buf_done(&row);
}

static void test_varint(void **state)
{
	(void)state;
	static const struct {
		struct span bytes;
		uint64_t value;
		bool good;
	} rows[] = {
		{ { "\0", 1 }, 0, true },
		{ { "\x7f", 1 }, 127, true },
		{ { "\x80\1", 2 }, 128, true },
		{ { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10 }, UINT64_MAX, true },
		{ { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 10 }, 0, false }, /* 65 bits */
		{ { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\1", 11 },
		  0,
		  false },                     /* 11 bytes */
		{ { "\x80\0", 2 }, 0, false }, /* longer than it needs */
		{ { "\x80", 1 }, 0, false },   /* cut */
		{ { "", 0 }, 0, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct unpacker in = unpack_from(rows[i].bytes);
		assert_true(unpack_varint(&in) == rows[i].value);
		assert_int_equal(unpack_ok(&in), rows[i].good);
		struct buf out = { .cap = 16 };
		pack_varint(&out, rows[i].value);
		if (rows[i].good) {
			check_span("varint", buf_span(&out), rows[i].bytes);
		}
		buf_done(&out);
	}
}

/* Any row that is cut is an error, once and for all, and gives zeros from there on. */
static void test_cut_anywhere(void **state)
{
	(void)state;
	struct buf row = { .cap = 100 };
	pack_u32(&row, 0xffffffff);
	pack_span(&row, SPAN_LIT("abc"));
	pack_u64(&row, UINT64_MAX);
	for (size_t n = 0; n <= row.len; n++) {
		struct unpacker in = unpack_from(span_first(buf_span(&row), n));
		uint32_t number = unpack_u32(&in);
		struct span bytes = unpack_span(&in);
		uint64_t last = unpack_u64(&in);
		assert_int_equal(number, n >= 4 ? 0xffffffff : 0);
		check_span("cut", bytes, n >= 8 ? SPAN_LIT("abc") : SPAN_NONE);
		assert_true(last == (n == row.len ? UINT64_MAX : 0));
		assert_int_equal(unpack_ok(&in), n == row.len);
		assert_int_equal(unpack_u8(&in), 0);
		assert_false(unpack_ok(&in));
	}
	buf_done(&row);
}

/* A length that lies, and bytes left over. */
static void test_lies(void **state)
{
	(void)state;
	struct unpacker in = unpack_from(SPAN_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\1zz"));
	check_span("a length of 2^64-1", unpack_span(&in), SPAN_NONE);
	assert_true(in.bad);
	in = unpack_from(SPAN_LIT("\1zz"));
	check_span("left over", unpack_span(&in), SPAN_LIT("z"));
	assert_false(in.bad);
	assert_false(unpack_ok(&in));
	uint8_t tag = 99;
	struct span bytes = SPAN_LIT("before");
	in = unpack_from(SPAN_LIT("\1\5zz"));
	assert_false(unpack_field(&in, &tag, &bytes));
	assert_false(unpack_ok(&in));
	assert_int_equal(tag, 99);
	check_span("untouched", bytes, SPAN_LIT("before"));
}

/* The writer fails with its buffer. */
static void test_full(void **state)
{
	(void)state;
	struct buf row = { .cap = 4 };
	pack_u32(&row, 1);
	assert_false(row.failed);
	pack_u8(&row, 1);
	assert_true(row.failed);
	buf_done(&row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),       cmocka_unit_test(test_varint),
		cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_lies),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
