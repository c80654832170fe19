#include "check.h"

#include "proto/names.h"

#include <stdio.h>

static void numbers_in_order(void **state)
{
	(void)state;
	struct names names = { .count = 0 };
	char text[32];
	uint32_t number = 0;
	for (uint32_t i = 0; i < 5000; i++) {
		int len = snprintf(text, sizeof text, "name-%u", i);
		assert_true(names_add(&names, span_of(text, (size_t)len), &number));
		assert_int_equal(number, i);
		/* Again is no other. */
		assert_true(names_add(&names, span_of(text, (size_t)len), &number));
		assert_int_equal(number, i);
	}
	assert_int_equal(names.count, 5000);
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(text, sizeof text, "name-%u", i);
		check_span(text, names_get(&names, i), span_str(text));
	}
	names_done(&names);
	assert_int_equal(names.count, 0);
}

static void any_bytes(void **state)
{
	(void)state;
	static const struct span rows[] = {
		{ NULL, 0 }, { "\0", 1 }, { "\0\0", 2 }, { "a", 1 }, { "A", 1 }, { "a\0", 2 },
	};
	struct names names = { .count = 0 };
	uint32_t number = 0;
	for (uint32_t i = 0; i < COUNT(rows) * 2; i++) {
		assert_true(names_add(&names, rows[i % COUNT(rows)], &number));
		assert_int_equal(number, i % COUNT(rows));
	}
	assert_int_equal(names.count, COUNT(rows));
	names_done(&names);
}

/* What does not fit leaves all as it was. */
static void full(void **state)
{
	(void)state;
	struct names names = { .text = { .cap = 8 } };
	uint32_t number = 7;
	assert_true(names_add(&names, SPAN_LIT("12345"), &number));
	assert_false(names_add(&names, SPAN_LIT("6789"), &number));
	assert_int_equal(number, 0);
	assert_true(names_add(&names, SPAN_LIT("678"), &number));
	assert_int_equal(number, 1);
	assert_int_equal(names.count, 2);
	names_done(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_in_order),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(full),
	};
	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
