#include "check.h"

#include "proto/arena.h"
#include "proto/error.h"

/* Sizes asked for in turn from an arena with a cap of 10,000 bytes, and whether they are had.
 */
static const struct {
	size_t size;
	bool had;
} rows[] = {
	{ 1, true },
	{ 0, true },
	{ 16, true },
	{ 2048, true },
	{ 2049, true },
	{ 5, true },
	{ 3000, true },
	{ SIZE_MAX, false },
	{ 2882, false },
	{ 2881, true },
	{ 1, false },
	{ 0, true },
	{ SIZE_MAX - 8, false },
};

static void test_sizes(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena, 10000);
	for (size_t round = 0; round < 2; round++) {
		char *had[COUNT(rows)] = { NULL };
		for (size_t i = 0; i < COUNT(rows); i++) {
			had[i] = arena_alloc(&arena, rows[i].size);
			assert_int_equal(had[i] != NULL, rows[i].had);
			assert_int_equal((uintptr_t)had[i] % _Alignof(max_align_t), 0);
			for (size_t k = 0; had[i] && k < rows[i].size; k++) {
				assert_int_equal(had[i][k], 0);
				had[i][k] = (char)(i + 1);
			}
		}
		for (size_t i = 0; i < COUNT(rows); i++) {
			for (size_t k = 0; had[i] && k < rows[i].size; k++) {
				assert_int_equal(had[i][k], (char)(i + 1));
			}
		}
		arena_done(&arena);
	}
	arena_done(NULL);
}

/* A big thing in between does not close the block that small things share. */
static void test_big_goes_behind(void **state)
{
	(void)state;
	struct arena arena = { .cap = 100000 };
	char *a = arena_alloc(&arena, 16);
	assert_non_null(arena_alloc(&arena, 50000));
	char *b = arena_alloc(&arena, 16);
	assert_ptr_equal(b, a + 16);
	arena_done(&arena);
}

static void test_copy(void **state)
{
	(void)state;
	struct arena arena = { .cap = 8 };
	struct span copy = SPAN_LIT("before");
	assert_true(arena_copy(&arena, SPAN_LIT("abc"), &copy));
	check_span("copy", copy, SPAN_LIT("abc"));
	assert_int_equal(copy.ptr[3], '\0');
	assert_false(arena_copy(&arena, SPAN_LIT("defg"), &copy));
	check_span("a copy that failed", copy, SPAN_LIT("abc"));
	assert_true(arena_copy(&arena, SPAN_NONE, &copy));
	assert_string_equal(copy.ptr, "");
	arena_done(&arena);
}

static void test_error_is_cut(void **state)
{
	(void)state;
	struct error error;
	char text[600];
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	error_set(&error, "%s: %s", "a", text);
	assert_int_equal(strlen(error.text), sizeof error.text - 1);
	assert_memory_equal(error.text, "a: xx", 5);
	error_set(NULL, "%s", text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_big_goes_behind),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_error_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
