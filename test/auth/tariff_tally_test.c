#include "auth/tariff.h"

#include "test/auth/budget_help.h"

#include "proto/pack.h"

static struct tariff_bill strangers(uint32_t n)
{
	return (
	    struct tariff_bill){ .count = { [TARIFF_RECIPIENT] = n, [TARIFF_STRANGER] = n } };
}

static uint32_t told(const struct tariff_tally *tally, size_t limit)
{
	struct tariff_bill sum = tariff_tally_sum(tally, limit);
	assert_int_equal(sum.count[TARIFF_RECIPIENT], sum.count[TARIFF_STRANGER]);
	assert_int_equal(sum.count[TARIFF_TRAP], 0);
	return sum.count[TARIFF_STRANGER];
}

/* At each step as many are noted as said; each is told for one whole window at least and for
 * two at most. */
static void tells_a_window_and_at_most_two(void **state)
{
	(void)state;
	static const struct {
		int64_t at;
		uint32_t n;
		uint32_t hour, day; /* afterwards */
	} rows[] = {
		{ 0, 1, 1, 1 },
		{ HOUR - 1, 10, 11, 11 },
		{ HOUR, 100, 111, 111 },
		{ HOUR + 1, 0, 111, 111 },
		{ 2 * HOUR - 1, 0, 111, 111 },
		{ 2 * HOUR, 0, 100, 111 },
		{ 3 * HOUR, 1000, 1000, 1111 },
		{ 5 * HOUR, 0, 0, 1111 },
		{ 5 * HOUR + 1, 10000, 10000, 11111 },
		{ DAY, 0, 0, 11111 },
		{ DAY + HOUR, 1, 1, 11112 },
		{ 2 * DAY, 0, 0, 1 },
		{ 9 * DAY, 0, 0, 0 },
		{ 9 * DAY + 1, 7, 7, 7 },
	};
	const struct budget_limits limits = limits_of("9/1h 9/24h");
	const int64_t start = 12345 * SECOND;
	struct tariff_tally tally = { .count = 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tariff_bill bill = strangers(rows[i].n);
		tariff_tally_fit(&tally, &limits, start + rows[i].at);
		tariff_tally_note(&tally, &bill);
		if (told(&tally, 0) != rows[i].hour || told(&tally, 1) != rows[i].day) {
			fail_msg("row %zu: %u %u", i, told(&tally, 0), told(&tally, 1));
		}
	}
}

static void follows_changed_limits(void **state)
{
	(void)state;
	static const struct {
		const char *before, *after;
		uint32_t want[2]; /* 1 an hour, 2 a day, both noted just before */
	} rows[] = {
		{ "9/1h 9/24h", "9/1h 9/24h", { 1, 3 } },
		{ "9/1h 9/24h", "7/24h 7/1h", { 3, 1 } },
		{ "9/1h 9/24h", "9/1h", { 1 } },
		{ "9/1h 9/24h", "9/24h", { 3 } },
		/* The next longer one, else the longest. */
		{ "9/1h 9/24h", "9/2h 9/30m", { 3, 1 } },
		{ "9/1h 9/24h", "9/7d", { 3 } },
		{ "9/24h 9/1h", "9/7d 9/30m", { 3, 1 } },
		{ "9/1h 9/24h", "", { 0 } },
		{ "", "9/1h", { 0 } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tariff_tally tally = { .count = 0 };
		const struct budget_limits before = limits_of(rows[i].before);
		const struct budget_limits after = limits_of(rows[i].after);
		const struct tariff_bill two = strangers(2), one = strangers(1);
		tariff_tally_fit(&tally, &before, DAY);
		tariff_tally_note(&tally, &two);
		tariff_tally_fit(&tally, &before, DAY + 3 * HOUR);
		tariff_tally_note(&tally, &one);
		tariff_tally_fit(&tally, &after, DAY + 3 * HOUR);
		assert_int_equal(tally.count, after.count);
		for (size_t l = 0; l < after.count; l++) {
			if (told(&tally, l) != rows[i].want[l]) {
				fail_msg("row %zu: limit %zu tells %u", i, l, told(&tally, l));
			}
		}
		/* Once for all: to fit again changes nothing. */
		struct tariff_tally again = tally;
		tariff_tally_fit(&again, &after, DAY + 3 * HOUR);
		assert_memory_equal(&again, &tally, sizeof tally);
	}
}

/* Only damage puts a tally into the future: what it tells is kept, for as long as if it were
 * of now. */
static void a_tally_of_the_future_is_of_now(void **state)
{
	(void)state;
	const struct budget_limits limits = limits_of("9/1h");
	const struct tariff_bill one = strangers(1);
	struct tariff_tally tally = { .count = 0 };
	tariff_tally_fit(&tally, &limits, BUDGET_TIME_MAX);
	tariff_tally_note(&tally, &one);
	tariff_tally_fit(&tally, &limits, DAY);
	assert_int_equal(told(&tally, 0), 1);
	tariff_tally_fit(&tally, &limits, DAY + HOUR);
	assert_int_equal(told(&tally, 0), 1);
	tariff_tally_fit(&tally, &limits, DAY + 2 * HOUR);
	assert_int_equal(told(&tally, 0), 0);
}

static void packs_tallies(void **state)
{
	(void)state;
	static const struct {
		const char *limits;
		struct tariff_bill first, second; /* an hour apart */
		size_t most;                      /* bytes it may take */
	} rows[] = {
		{ "", { .count = { 1 } }, { .count = { 1 } }, 0 },
		{ "500/30m 2000/24h", { .count = { 0 } }, { .count = { 0 } }, 24 },
		{ "500/30m 2000/24h", { .count = { 50 } }, { .count = { 1 } }, 28 },
		{ "1/1m 2/2h 3/3h 4/31d",
		  { .count = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } },
		  { .count = { [TARIFF_TRAP] = UINT32_MAX, [TARIFF_REFUSED] = 1 } },
		  160 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = 1024 };
		const struct budget_limits limits = limits_of(rows[i].limits);
		struct tariff_tally tally = { .count = 0 }, back;
		tariff_tally_fit(&tally, &limits, 400 * DAY);
		tariff_tally_note(&tally, &rows[i].first);
		tariff_tally_fit(&tally, &limits, 400 * DAY + HOUR);
		tariff_tally_note(&tally, &rows[i].second);
		tariff_tally_pack(&tally, &row);
		assert_false(row.failed);
		if (row.len > rows[i].most) {
			fail_msg("row %zu: %zu bytes", i, row.len);
		}
		memset(&back, 0x55, sizeof back);
		assert_true(tariff_tally_unpack(buf_span(&row), &back));
		assert_memory_equal(&back, &tally, sizeof tally);
		for (size_t cut = 1; cut < row.len; cut++) {
			assert_false(
			    tariff_tally_unpack(span_first(buf_span(&row), cut), &back));
			assert_memory_equal(&back, &tally, sizeof tally);
		}
		assert_true(buf_put_byte(&row, 0));
		assert_false(tariff_tally_unpack(buf_span(&row), &back));
		buf_done(&row);
	}
}

static void refuses_damaged_tallies(void **state)
{
	(void)state;
	static const struct {
		bool good;
		unsigned char limits;
		uint64_t window, from, bits, count;
	} rows[] = {
		{ true, 1, 60000, 0, 1, 1 },
		{ true, 4, BUDGET_WINDOW_MAX, BUDGET_TIME_MAX, 1 << (TARIFF_ROWS - 1),
		  UINT32_MAX },
		{ false, 5, 60000, 0, 1, 1 },
		{ false, 255, 60000, 0, 1, 1 },
		{ false, 1, 59999, 0, 1, 1 },
		{ false, 1, 0, 0, 1, 1 },
		{ false, 1, BUDGET_WINDOW_MAX + 1, 0, 1, 1 },
		{ false, 1, UINT64_MAX, 0, 1, 1 },
		{ false, 1, 60000, BUDGET_TIME_MAX + 1, 1, 1 },
		{ false, 1, 60000, UINT64_MAX, 1, 1 },
		{ false, 1, 60000, 0, 1 << TARIFF_ROWS, 1 },
		{ false, 1, 60000, 0, (uint64_t)1 << 63, 1 },
		{ false, 1, 60000, 0, 1, 0 },
		{ false, 1, 60000, 0, 1, (uint64_t)UINT32_MAX + 1 },
		{ false, 0, 60000, 0, 1, 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = 1024 };
		struct tariff_tally tally = { .count = 99 };
		pack_u8(&row, rows[i].limits);
		for (size_t l = 0; l < rows[i].limits && l < 9; l++) {
			pack_varint(&row, rows[i].window);
			pack_varint(&row, rows[i].from);
			for (size_t b = 0; b < 2; b++) {
				pack_varint(&row, rows[i].bits);
				pack_varint(&row, rows[i].count);
			}
		}
		if (tariff_tally_unpack(buf_span(&row), &tally) != rows[i].good) {
			fail_msg("row %zu", i);
		}
		assert_int_equal(tally.count, rows[i].good ? rows[i].limits : 99);
		buf_done(&row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_window_and_at_most_two),
		cmocka_unit_test(follows_changed_limits),
		cmocka_unit_test(a_tally_of_the_future_is_of_now),
		cmocka_unit_test(packs_tallies),
		cmocka_unit_test(refuses_damaged_tallies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
