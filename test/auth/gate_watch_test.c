/* Modes with an end, and what is told at most so often: pure. */
#include "auth/gate_watch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* ---- the mode ---- */

static void stances(void **state)
{
	(void)state;
	static const struct {
		struct gate_stance stance;
		int64_t now;
		enum gate_mode want;
	} rows[] = {
		{ { GATE_MODE_DEFAULT, 0 }, 5, GATE_MODE_DEFAULT },
		{ { GATE_MODE_OBSERVE, 0 }, 5, GATE_MODE_OBSERVE },
		{ { GATE_MODE_OBSERVE, 10 }, 9, GATE_MODE_OBSERVE },
		{ { GATE_MODE_OBSERVE, 10 }, 10, GATE_MODE_DEFAULT },
		{ { GATE_MODE_ENFORCE, 0 }, 5, GATE_MODE_ENFORCE },
		{ { GATE_MODE_ENFORCE, 10 }, 9, GATE_MODE_ENFORCE },
		{ { GATE_MODE_ENFORCE, BUDGET_TIME_MAX }, 9, GATE_MODE_ENFORCE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gate_stance back;
		struct buf row = { .cap = 64 };
		gate_stance_pack(&rows[i].stance, &row);
		assert_int_equal(row.len == 0, rows[i].stance.mode == GATE_MODE_DEFAULT);
		assert_true(gate_stance_unpack(buf_span(&row), &back));
		assert_int_equal(back.mode, rows[i].stance.mode);
		assert_int_equal(back.until, rows[i].stance.until);
		assert_int_equal(gate_stance_mode(&back, rows[i].now), rows[i].want);
		for (size_t len = 1; len < row.len; len++) {
			assert_false(
			    gate_stance_unpack(span_first(buf_span(&row), len), &back));
		}
		buf_put_byte(&row, 'x');
		assert_false(gate_stance_unpack(buf_span(&row), &back));
		buf_done(&row);
	}
}

static void rows_that_make_no_sense(void **state)
{
	(void)state;
	struct gate_stance stance;
	struct gate_watch watch;
	assert_false(gate_stance_unpack(SPAN_LIT("\2\0"), &stance));
	assert_false(
	    gate_stance_unpack(SPAN_LIT("\1\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), &stance));
	assert_false(gate_watch_unpack(SPAN_LIT("\1\11\0"), &watch));
}

/* ---- how often ---- */

static void at_most_once_an_hour_unless_worse(void **state)
{
	(void)state;
	static const struct {
		int64_t now;
		enum gate_would would;
		bool tells;
	} rows[] = {
		{ 0, GATE_WOULD_PASS, false },
		{ 0, GATE_WOULD_HOLD, true },
		{ 1, GATE_WOULD_HOLD, false },
		{ 2, GATE_WOULD_WAIT, false },
		{ HOUR / 2, GATE_WOULD_SUSPEND, true },
		{ HOUR, GATE_WOULD_SUSPEND, false },
		{ HOUR + HOUR / 2 - 1, GATE_WOULD_SUSPEND, false },
		{ HOUR + HOUR / 2, GATE_WOULD_PASS, false },
		{ HOUR + HOUR / 2, GATE_WOULD_WAIT, true },
		{ 2 * HOUR, GATE_WOULD_WAIT, false },
		{ 2 * HOUR, GATE_WOULD_DEFER, true },
	};
	struct gate_watch watch = { .would_at = 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(gate_watch_may_tell(&watch, rows[i].would, rows[i].now),
		                 rows[i].tells);
	}
}

static void warns_near_a_limit(void **state)
{
	(void)state;
	static const struct {
		int64_t pass;
		uint32_t take;
		bool warns;
	} rows[] = {
		{ 0, 79, false },    { 0, 1, true },           { 0, 20, false },
		{ HOUR, 90, false }, /* a second window, the same day */
		{ DAY, 79, false },  { HOUR, 80, true },       { 10 * DAY, 0, false },
		{ 0, 100, true },    { 5 * MINUTE, 1, false },
	};
	const struct budget_limits limits = { { { 100, 30 * MINUTE } }, 1 };
	struct gate_watch watch = { .warned_at = 0 };
	struct budget budget = { .count = 0 };
	int64_t now = 400 * DAY;
	for (size_t i = 0; i < COUNT(rows); i++) {
		now += rows[i].pass;
		budget_fit(&budget, &limits, now);
		budget_take(&budget, rows[i].take, now);
		if (gate_watch_may_warn(&watch, &budget, &limits, now) != rows[i].warns) {
			fail_msg("row %zu", i);
		}
	}
}

/* Of a limit of a week once a week; the other one is told of all the same. */
static void once_in_a_window(void **state)
{
	(void)state;
	const struct budget_limits limits = { { { 100, HOUR }, { 200, 7 * DAY } }, 2 };
	struct gate_watch watch = { .warned_at = 0 };
	struct budget budget = { .count = 0 };
	int64_t now = 400 * DAY;
	budget_fit(&budget, &limits, now);
	budget_take(&budget, 160, now);
	assert_true(gate_watch_may_warn(&watch, &budget, &limits, now));
	now += 3 * DAY;
	budget_fit(&budget, &limits, now);
	assert_false(gate_watch_may_warn(&watch, &budget, &limits, now));
	budget_take(&budget, 90, now);
	assert_true(gate_watch_may_warn(&watch, &budget, &limits, now));
	const struct budget_limits none = { .count = 0 };
	assert_false(gate_watch_may_warn(&watch, &budget, &none, now + 400 * DAY));
}

static void marks_come_back(void **state)
{
	(void)state;
	static const struct gate_watch rows[] = {
		{ .would_at = 0 },
		{ .would_at = 7, .would = GATE_WOULD_SUSPEND },
		{ .warned_at = BUDGET_TIME_MAX },
		{ .would_at = BUDGET_TIME_MAX, .would = GATE_WOULD_WAIT, .warned_at = 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gate_watch back;
		struct buf row = { .cap = 64 };
		gate_watch_pack(&rows[i], &row);
		assert_int_equal(row.len == 0, i == 0);
		assert_true(gate_watch_unpack(buf_span(&row), &back));
		assert_int_equal(back.would_at, rows[i].would_at);
		assert_int_equal(back.would, rows[i].would);
		assert_int_equal(back.warned_at, rows[i].warned_at);
		for (size_t len = 1; len < row.len; len++) {
			assert_false(gate_watch_unpack(span_first(buf_span(&row), len), &back));
		}
		buf_put_byte(&row, 'x');
		assert_false(gate_watch_unpack(buf_span(&row), &back));
		buf_done(&row);
	}
}

/* What the verdicts that let nothing through would have been; the others are as they are. */
static void what_each_verdict_would_be(void **state)
{
	(void)state;
	static const enum gate_verdict kept[] = { GATE_ALLOW, GATE_SUSPENDED, GATE_UNKNOWN,
		                                  GATE_BROKEN };
	static const struct {
		enum gate_verdict verdict;
		const char *word;
	} rows[] = {
		{ GATE_TRIPPED, "suspend" }, { GATE_DEFER, "defer" }, { GATE_HOLD, "hold" },
		{ GATE_FULL, "full" },       { GATE_SPENT, "spent" }, { GATE_NEVER, "never" },
		{ GATE_BARRED, "barred" },   { GATE_ALLOW, "pass" },
	};
	for (size_t i = 0; i < COUNT(kept); i++) {
		assert_int_equal(gate_would_of(kept[i]), GATE_WOULD_PASS);
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_string_equal(gate_would_word(gate_would_of(rows[i].verdict)),
		                    rows[i].word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stances),
		cmocka_unit_test(rows_that_make_no_sense),
		cmocka_unit_test(at_most_once_an_hour_unless_worse),
		cmocka_unit_test(warns_near_a_limit),
		cmocka_unit_test(once_in_a_window),
		cmocka_unit_test(marks_come_back),
		cmocka_unit_test(what_each_verdict_would_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
