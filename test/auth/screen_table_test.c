#include "test/proto/check.h"

#include "auth/screen_table.h"

/* Appendix A of the paper. */
static void siphash(void **state)
{
	(void)state;
	static const struct screen_hash_key hash_key = { { 0x0706050403020100,
		                                           0x0f0e0d0c0b0a0908 } };
	char text[15];
	for (size_t i = 0; i < sizeof text; i++) {
		text[i] = (char)i;
	}
	assert_true(screen_hash(&hash_key, span_of(text, sizeof text)) == 0xa129ca6149be45e5);
}

static const struct rank {
	struct screen_slot slot;
	uint64_t worth;
} * rank;

static uint64_t worth(const struct screen_slot *slot, int64_t now)
{
	(void)now;
	return ((const struct rank *)slot)->worth;
}

static void the_least_goes(void **state)
{
	(void)state;
	struct screen_table table = { .count = 16, .size = sizeof *rank, .worth = worth };
	assert_true(screen_table_init(&table));
	for (uint64_t n = 1; n <= 100; n++) {
		struct rank *entry = screen_table_take(&table, n, 0);
		assert_int_equal(entry->worth, 0);
		entry->worth = n % 10 + 1;
		assert_ptr_equal(screen_table_take(&table, n, 0), entry);
	}
	size_t best = 0;
	for (size_t i = 0; i < table.count; i++) {
		const struct rank *entry = screen_table_at(&table, i);
		best += entry->worth == 10;
	}
	assert_int_equal(best, 10); /* all that there were */
	screen_table_done(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash),
		cmocka_unit_test(the_least_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
