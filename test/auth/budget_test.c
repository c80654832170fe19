#include "auth/budget.h"

#include "test/auth/budget_help.h"

#include "proto/pack.h"

/* ---- limits as text ---- */

static void parses_limits(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t tokens; /* 0: refused */
		int64_t window;
		const char *back; /* or a piece of the reason */
	} rows[] = {
		{ "500/30m", 500, 30 * MINUTE, "500/30m" },
		{ "2000/24h", 2000, DAY, "2000/1d" },
		{ "1/60s", 1, MINUTE, "1/1m" },
		{ "7/61s", 7, 61 * SECOND, "7/61s" },
		{ "10000000/31d", 10000000, 31 * DAY, "10000000/31d" },
		{ "3/90m", 3, 90 * MINUTE, "3/90m" },
		{ "3/120m", 3, 2 * HOUR, "3/2h" },
		{ "0/30m", 0, 0, "no recipient" },
		{ "10000001/30m", 0, 0, "more than 10000000" },
		{ "99999999999999999999999999/30m", 0, 0, "more than" },
		{ "500/59s", 0, 0, "shorter than 1m" },
		{ "500/0d", 0, 0, "shorter than 1m" },
		{ "500/32d", 0, 0, "longer than 31d" },
		{ "500/745h", 0, 0, "longer than 31d" },
		{ "500/99999999999999999999999999s", 0, 0, "longer than 31d" },
		{ "500", 0, 0, "such as" },
		{ "500/", 0, 0, "such as" },
		{ "/30m", 0, 0, "such as" },
		{ "", 0, 0, "such as" },
		{ "500/m", 0, 0, "such as" },
		{ "500/30", 0, 0, "such as" },
		{ "500/30M", 0, 0, "such as" },
		{ "500/30mm", 0, 0, "such as" },
		{ "500/30m ", 0, 0, "such as" },
		{ " 500/30m", 0, 0, "such as" },
		{ "-500/30m", 0, 0, "such as" },
		{ "0500/30m", 0, 0, "such as" },
		{ "500/-30m", 0, 0, "such as" },
		{ "500//30m", 0, 0, "such as" },
		{ "5.5/30m", 0, 0, "such as" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct budget_limit limit = { 77, 77 };
		const char *reason = "";
		bool ok = budget_limit_parse(span_str(rows[i].text), &limit, &reason);
		if (ok != (rows[i].tokens != 0)) {
			fail_msg("%s: %d %s", rows[i].text, ok, reason);
		}
		if (!ok) {
			assert_int_equal(limit.tokens, 77);
			if (!strstr(reason, rows[i].back)) {
				fail_msg("%s: %s", rows[i].text, reason);
			}
			continue;
		}
		struct buf text = { .cap = 64 };
		budget_limit_write(&limit, &text);
		assert_int_equal(limit.tokens, rows[i].tokens);
		assert_int_equal(limit.window, rows[i].window);
		assert_true(span_eq(buf_span(&text), span_str(rows[i].back)));
		buf_done(&text);
	}
}

static void packs_limits(void **state)
{
	(void)state;
	static const char *const rows[] = { "", "500/30m", "500/30m 2000/24h",
		                            "1/1m 2/2m 3/3m 10000000/31d" };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = 256 };
		struct budget_limits limits = limits_of(rows[i]);
		struct budget_limits back = { .count = 99 };
		budget_limits_pack(&limits, &row);
		assert_int_equal(row.len == 0, limits.count == 0);
		assert_true(budget_limits_unpack(buf_span(&row), &back));
		assert_int_equal(back.count, limits.count);
		assert_memory_equal(back.limit, limits.limit, sizeof limits.limit);
		buf_done(&row);
	}
}

static void refuses_damaged_limits(void **state)
{
	(void)state;
	static const struct {
		size_t pairs;
		uint64_t tokens;
		uint64_t window;
		const char *tail;
	} rows[] = {
		{ 1, 0, 60000, "" },
		{ 1, BUDGET_TOKENS_MAX + 1, 60000, "" },
		{ 1, 5, 59000, "" },
		{ 1, 5, 60001, "" },
		{ 1, 5, BUDGET_WINDOW_MAX + 1000, "" },
		{ 1, 5, UINT64_MAX, "" },
		{ 5, 5, 60000, "" },
		{ 1, 5, 60000, "\x05" },
		{ 1, 5, 60000, "\xff" },
		{ 0, 5, 60000, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = 256 };
		struct budget_limits limits = { .count = 99 };
		for (size_t n = 0; n < rows[i].pairs; n++) {
			pack_varint(&row, rows[i].tokens);
			pack_varint(&row, rows[i].window);
		}
		buf_put_str(&row, rows[i].tail);
		if (budget_limits_unpack(buf_span(&row), &limits) || limits.count != 99) {
			fail_msg("row %zu", i);
		}
		buf_done(&row);
	}
}

/* ---- the bucket ---- */

/* TESTS HL11. A limit of 10/1m has slots of a second: what is spent in one is back a minute
 * after its last ms. */
static void keeps_the_edge_of_the_window(void **state)
{
	(void)state;
	static const struct {
		int64_t at;
		uint32_t price;
		enum budget_verdict verdict; /* taken when it fits */
		uint32_t spent;              /* afterwards */
	} rows[] = {
		{ 0, 10, BUDGET_FITS, 10 },       { 1, 1, BUDGET_SPENT, 10 },
		{ 1, 11, BUDGET_NEVER, 10 },      { 999, 1, BUDGET_SPENT, 10 },
		{ 59900, 1, BUDGET_SPENT, 10 },   { 60000, 1, BUDGET_SPENT, 10 },
		{ 60100, 1, BUDGET_SPENT, 10 },   { 60998, 1, BUDGET_SPENT, 10 },
		{ 60999, 4, BUDGET_FITS, 4 },     { 60999, 7, BUDGET_SPENT, 4 },
		{ 61000, 6, BUDGET_FITS, 10 },    { 61500, 1, BUDGET_SPENT, 10 },
		{ 120998, 1, BUDGET_SPENT, 10 },  { 120999, 4, BUDGET_FITS, 10 },
		{ 120999, 1, BUDGET_SPENT, 10 },  { 121998, 1, BUDGET_SPENT, 10 },
		{ 121999, 7, BUDGET_SPENT, 4 },   { 121999, 6, BUDGET_FITS, 10 },
		{ 180998, 1, BUDGET_SPENT, 10 },  { 180999, 4, BUDGET_FITS, 10 },
		{ 9000000, 10, BUDGET_FITS, 10 }, { 9000000, 1, BUDGET_SPENT, 10 },
	};
	struct budget_limits limits = limits_of("10/1m");
	struct budget budget = { .count = 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		budget_fit(&budget, &limits, rows[i].at);
		enum budget_verdict verdict = budget_ask(&budget, &limits, rows[i].price,
		                                         rows[i].at);
		if (verdict == BUDGET_FITS) {
			budget_take(&budget, rows[i].price, rows[i].at);
		}
		uint32_t spent = budget_spent(&budget.ring[0], rows[i].at);
		if (verdict != rows[i].verdict || spent != rows[i].spent) {
			fail_msg("row %zu at %lld: verdict %d, spent %u", i,
			         (long long)rows[i].at, verdict, spent);
		}
	}
}

/* TESTS HL12: 16 a minute never break 500/30m; the 2,001st of the day, in minute 125, is one
 * too many. */
static void the_daily_limit_stops_a_patient_sender(void **state)
{
	(void)state;
	struct budget_limits limits = limits_of("500/30m 2000/24h");
	struct budget budget = { .count = 0 };
	uint32_t sent = 0;
	int64_t now = 0;
	for (;; now += MINUTE) {
		budget_fit(&budget, &limits, now);
		if (budget_ask(&budget, &limits, 16, now) != BUDGET_FITS) {
			break;
		}
		budget_take(&budget, 16, now);
		sent += 16;
	}
	assert_int_equal(sent, 2000);
	assert_int_equal(now, 125 * MINUTE);
	assert_true(budget_spent(&budget.ring[0], now) <= 496);
	assert_int_equal(budget_when(&budget, &limits, 16, now), DAY + 24 * MINUTE - 1);
}

/* ---- rings ---- */

static void chooses_the_right_source(void **state)
{
	(void)state;
	static const struct {
		const char *before;
		const char *after;
		int64_t pause;
		uint32_t spent[2]; /* 100, a pause, 7, half a minute */
	} rows[] = {
		{ "999/30m 999/24h", "999/30m 999/24h", HOUR, { 7, 107 } },
		{ "999/30m 999/24h", "999/24h 999/30m", HOUR, { 107, 7 } },
		{ "999/30m 999/24h", "999/2h", HOUR, { 107 } },  /* the nearest above */
		{ "999/30m 999/24h", "999/48h", HOUR, { 107 } }, /* the longest */
		{ "999/30m 999/24h", "999/10m", HOUR, { 7 } },   /* not from 24h */
		/* What the old ring still holds, be it back in it: */
		{ "999/30m", "999/30m 999/24h", 30 * MINUTE, { 7, 107 } },
		{ "999/30m", "999/30m 999/24h", HOUR, { 7, 7 } },
		/* Slots of 24 minutes: rounded up. */
		{ "999/24h", "999/30m 999/24h", 40 * MINUTE, { 107, 107 } },
		{ "999/24h", "999/30m 999/24h", HOUR, { 7, 107 } },
		{ "999/2h 999/2h", "999/2h", HOUR, { 107 } },
		{ "999/30m", "", HOUR, { 0 } },
		{ "", "999/30m", HOUR, { 0 } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct budget_limits before = limits_of(rows[i].before);
		struct budget_limits after = limits_of(rows[i].after);
		struct budget budget = { .count = 0 };
		int64_t now = 10 * DAY;
		budget_fit(&budget, &before, now);
		budget_take(&budget, 100, now);
		now += rows[i].pause;
		budget_fit(&budget, &before, now);
		budget_take(&budget, 7, now);
		budget_fit(&budget, &after, now + 31 * SECOND);
		assert_int_equal(budget.count, after.count);
		for (size_t r = 0; r < after.count; r++) {
			uint32_t spent = budget_spent(&budget.ring[r], now + 31 * SECOND);
			if (spent != rows[i].spent[r]) {
				fail_msg("row %zu ring %zu: %u", i, r, spent);
			}
		}
	}
}

static void the_future_counts_and_is_healed(void **state)
{
	(void)state;
	struct budget_limits limits = limits_of("10/1m");
	struct budget budget = { .count = 0 };
	budget_fit(&budget, &limits, 1000 * DAY);
	budget_take(&budget, 10, 1000 * DAY);
	assert_int_equal(budget_spent(&budget.ring[0], 5), 10);
	assert_int_equal(budget_ask(&budget, &limits, 1, 5), BUDGET_SPENT);
	budget_take(&budget, 1, 5); /* does not go back in time */
	assert_int_equal(budget_spent(&budget.ring[0], 5), 11);
	budget_fit(&budget, &limits, 5);
	assert_int_equal(budget_spent(&budget.ring[0], 5), 11);
	assert_int_equal(budget_spent(&budget.ring[0], MINUTE + SECOND - 2), 11);
	assert_int_equal(budget_spent(&budget.ring[0], MINUTE + SECOND - 1), 0);
}

static void sums_saturate(void **state)
{
	(void)state;
	struct budget_limits limits = limits_of("10000000/1m");
	struct budget budget = { .count = 0 };
	budget_fit(&budget, &limits, 0);
	for (int64_t now = 0; now < 4000; now += 500) {
		budget_take(&budget, UINT32_MAX - 1, now);
		assert_int_equal(budget_spent(&budget.ring[0], now),
		                 now ? UINT32_MAX : UINT32_MAX - 1);
		assert_int_equal(budget_ask(&budget, &limits, 1, now), BUDGET_SPENT);
		assert_int_equal(budget_ask(&budget, &limits, UINT32_MAX, now), BUDGET_NEVER);
	}
	assert_round_trip(&budget);
	budget_fit(&budget, &limits, 2 * MINUTE);
	assert_int_equal(budget_spent(&budget.ring[0], 2 * MINUTE), 0);
}

static void no_limits_allow_everything(void **state)
{
	(void)state;
	struct budget_limits limits = { .count = 0 };
	struct budget budget = { .count = 0 };
	budget_fit(&budget, &limits, 7);
	budget_take(&budget, 1000000, 7);
	assert_int_equal(budget_ask(&budget, &limits, UINT32_MAX, 7), BUDGET_FITS);
	assert_int_equal(budget_when(&budget, &limits, UINT32_MAX, 7), 7);
	struct budget_ring none = { .window = 0 };
	assert_int_equal(budget_spent(&none, 7), 0);
}

/* ---- rows ---- */

static void an_idle_account_is_small(void **state)
{
	(void)state;
	struct budget_limits limits = limits_of("500/30m 2000/24h");
	struct budget budget = { .count = 0 };
	struct buf row = { .cap = 4096 };
	budget_pack(&budget, &row);
	assert_int_equal(row.len, 0);
	budget_fit(&budget, &limits, 365 * DAY);
	budget_take(&budget, 3, 365 * DAY);
	budget_pack(&budget, &row);
	assert_true(row.len <= 24);
	buf_done(&row);
	assert_true(budget_unpack(SPAN_NONE, &budget));
	assert_int_equal(budget.count, 0);
}

/* A row as numbers; each of them is a varint. */
static void refuses_damaged_rows(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint64_t number[12];
		size_t count;
		bool good;
	} rows[] = {
		{ "empty ring", { 60000, 70, 0 }, 3, true },
		{ "two slots", { 60000, 70, 2, 0, 5, 60, 6 }, 7, true },
		{ "T near 0", { 60000, 3, 1, 3, 5 }, 5, true },
		{ "two rings", { 60000, 3, 0, 61000, 2, 0 }, 6, true },
		{ "before T = 0", { 60000, 3, 1, 4, 5 }, 5, false },
		{ "window 0", { 0, 0, 0 }, 3, false },
		{ "short window", { 59000, 70, 0 }, 3, false },
		{ "long window", { 32 * 86400000u, 70, 0 }, 3, false },
		{ "odd window", { 60001, 70, 0 }, 3, false },
		{ "far future", { 60000, UINT64_MAX, 0 }, 3, false },
		{ "beyond time", { 60000, ((uint64_t)1 << 50) / 1000 + 1, 0 }, 3, false },
		{ "age 61", { 60000, 70, 1, 61, 5 }, 5, false },
		{ "age twice", { 60000, 70, 2, 1, 5, 1, 5 }, 7, false },
		{ "age falls", { 60000, 70, 2, 5, 5, 1, 5 }, 7, false },
		{ "nothing spent", { 60000, 70, 1, 0, 0 }, 5, false },
		{ "too much", { 60000, 70, 1, 0, (uint64_t)UINT32_MAX + 1 }, 5, false },
		{ "62 slots", { 60000, 70, 62 }, 3, false },
		{ "count of 2^64-1", { 60000, 70, UINT64_MAX }, 3, false },
		{ "slot missing", { 60000, 70, 2, 0, 5 }, 5, false },
		{ "half a slot", { 60000, 70, 1, 0 }, 4, false },
		{ "window only", { 60000 }, 1, false },
		{ "tail", { 60000, 70, 0, 1 }, 4, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = 4096 };
		struct budget budget = { .count = 9 };
		for (size_t n = 0; n < rows[i].count; n++) {
			pack_varint(&row, rows[i].number[n]);
		}
		bool ok = budget_unpack(buf_span(&row), &budget);
		if (ok != rows[i].good || (!ok && budget.count != 9)) {
			fail_msg("%s", rows[i].what);
		}
		if (ok) {
			assert_round_trip(&budget);
		}
		buf_done(&row);
	}
}

/* Five rings, every cut of a good row, and every byte of it changed: refused, or a budget that
 * packs again. */
static void any_row_is_refused_or_sound(void **state)
{
	(void)state;
	struct budget_limits limits = limits_of("50/1m 60/7m 300/1d 9999/31d");
	struct budget budget = { .count = 0 };
	struct buf row = { .cap = 8192 };
	for (int64_t now = 0; now < 2 * MINUTE; now += 1700) {
		budget_fit(&budget, &limits, now);
		budget_take(&budget, 200, now);
	}
	budget_pack(&budget, &row);
	for (size_t cut = 0; cut <= row.len; cut++) {
		struct budget back = { .count = 0 };
		if (budget_unpack(span_first(buf_span(&row), cut), &back)) {
			assert_round_trip(&back);
		}
	}
	for (size_t at = 0; at < row.len; at++) {
		char was = row.ptr[at];
		for (unsigned bit = 0; bit < 8; bit++) {
			struct budget back = { .count = 0 };
			row.ptr[at] = (char)(was ^ (1 << bit));
			if (budget_unpack(buf_span(&row), &back)) {
				assert_round_trip(&back);
				budget_fit(&back, &limits, 3 * MINUTE);
				budget_take(&back, 1, 3 * MINUTE);
			}
		}
		row.ptr[at] = was;
	}
	pack_varint(&row, 60000);
	pack_varint(&row, 5);
	pack_varint(&row, 0);
	assert_false(budget_unpack(buf_span(&row), &budget));
	buf_done(&row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_limits),
		cmocka_unit_test(packs_limits),
		cmocka_unit_test(refuses_damaged_limits),
		cmocka_unit_test(keeps_the_edge_of_the_window),
		cmocka_unit_test(the_daily_limit_stops_a_patient_sender),
		cmocka_unit_test(chooses_the_right_source),
		cmocka_unit_test(the_future_counts_and_is_healed),
		cmocka_unit_test(sums_saturate),
		cmocka_unit_test(no_limits_allow_everything),
		cmocka_unit_test(an_idle_account_is_small),
		cmocka_unit_test(refuses_damaged_rows),
		cmocka_unit_test(any_row_is_refused_or_sound),
	};
	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
