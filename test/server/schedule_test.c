#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/schedule.h"

static struct schedule *schedule;

static int setup(void **state)
{
	(void)state;
	schedule = schedule_new();
	return schedule ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	schedule_free(schedule);
	return 0;
}

static enum schedule_entry enter(uint64_t id, uint32_t account)
{
	struct schedule_item item = { .id = id, .account = account };
	return schedule_enter(schedule, &item);
}

static enum schedule_entry enter_first(uint64_t id)
{
	struct schedule_item item = { .id = id, .account = 1, .first = true };
	return schedule_enter(schedule, &item);
}

/* "1 2 3": ids in the order in which they are picked. */
static void assert_picked(size_t n, const char *want)
{
	char text[512] = "";
	size_t at = 0;
	struct schedule_item item;
	for (size_t i = 0; i < n && schedule_pick(schedule, &item); i++) {
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", at ? " " : "",
		                       (unsigned long long)item.id);
		buf_done(&item.body);
	}
	assert_string_equal(text, want);
}

/* Entries as "account:id", and the order they come out in. */
static void test_accounts_take_turns(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} rows[] = {
		{ "", "" },
		{ "1:1 1:2 1:3", "1 2 3" },
		{ "1:1 1:2 1:3 2:4", "1 4 2 3" },
		{ "1:1 1:2 2:3 2:4 3:5 3:6", "1 3 5 2 4 6" },
		{ "2:9 1:1 2:8 1:2 2:7 1:3", "9 1 8 2 7 3" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned account, id;
		int n;
		for (const char *at = rows[i].in; sscanf(at, "%u:%u%n", &account, &id, &n) == 2;
		     at += n) {
			assert_int_equal(enter(id, account), SCHEDULE_ENTERED);
		}
		assert_picked(100, rows[i].out);
		teardown(state);
		setup(state);
	}
}

/* The one who comes in the middle of a round is next after it, not behind the whole backlog. */
static void test_newcomer(void **state)
{
	(void)state;
	for (uint64_t id = 1; id <= 400; id++) {
		assert_int_equal(enter(id, 1), SCHEDULE_ENTERED);
	}
	assert_picked(3, "1 2 3");
	assert_int_equal(enter(1000, 2), SCHEDULE_ENTERED);
	assert_int_equal(enter(1001, 2), SCHEDULE_ENTERED);
	assert_picked(5, "4 1000 5 1001 6");
}

/* An id is in here once, whatever others say meanwhile. */
static void test_known(void **state)
{
	(void)state;
	struct schedule_item item;
	assert_int_equal(enter(7, 1), SCHEDULE_ENTERED);
	assert_int_equal(enter(7, 1), SCHEDULE_KNOWN);
	assert_false(schedule_flies(schedule, 7));
	assert_true(schedule_pick(schedule, &item));
	assert_true(schedule_flies(schedule, 7));
	assert_int_equal(enter(7, 1), SCHEDULE_KNOWN);
	assert_false(schedule_launch(schedule, 7));
	assert_false(schedule_forget(schedule, 7, &item));
	assert_int_equal(schedule_flying(schedule), 1);
	schedule_land(schedule, 7);
	assert_int_equal(schedule_flying(schedule), 0);
	assert_int_equal(enter(7, 1), SCHEDULE_ENTERED);
}

/* With n accounts that want all they can get, each has an equal share, and there is room for
 * one more. */
static void test_shares(void **state)
{
	static const struct {
		uint32_t accounts;
		size_t least_each;
	} rows[] = { { 1, 512 }, { 2, 341 }, { 3, 256 }, { 15, 64 }, { 100, 9 } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t entered[101] = { 0 };
		uint64_t id = 1;
		for (size_t round = 0; round < 1100; round++) {
			for (uint32_t a = 0; a < rows[i].accounts; a++) {
				entered[a] += enter(id++, a) == SCHEDULE_ENTERED;
			}
		}
		for (uint32_t a = 0; a < rows[i].accounts; a++) {
			assert_in_range(entered[a], rows[i].least_each, rows[i].least_each + 2);
		}
		assert_int_equal(enter(id++, 0), SCHEDULE_SHARE);
		assert_int_equal(enter(id++, 9999), SCHEDULE_ENTERED);
		teardown(state);
		setup(state);
	}
}

static void test_full(void **state)
{
	(void)state;
	for (uint64_t id = 1; id <= SCHEDULE_WINDOW; id++) {
		assert_int_equal(enter(id, (uint32_t)id), SCHEDULE_ENTERED);
	}
	assert_int_equal(enter(5000, 5000), SCHEDULE_FULL);
	assert_int_equal(schedule_waiting(schedule), SCHEDULE_WINDOW);
	assert_picked(2, "1 2");
	struct schedule_item one = { .id = 1, .account = 1 };
	struct schedule_item two = { .id = 2, .account = 2 };
	assert_int_equal(enter(5000, 5000), SCHEDULE_ENTERED);
	assert_true(schedule_return(schedule, &one));
	assert_false(schedule_return(schedule, &two));
	assert_int_equal(schedule_flying(schedule), 0);
}

/* No more fly than their results could be kept of. */
static void test_flight_is_bounded(void **state)
{
	(void)state;
	struct schedule_item item;
	uint64_t id = 1;
	for (size_t i = 0; i < SCHEDULE_IN_FLIGHT; i++, id++) {
		assert_int_equal(enter(id, 1), SCHEDULE_ENTERED);
		assert_true(schedule_pick(schedule, &item));
	}
	assert_int_equal(enter(id, 1), SCHEDULE_ENTERED);
	assert_false(schedule_pick(schedule, &item));
	assert_false(schedule_launch(schedule, 77777));
	schedule_land(schedule, 1);
	assert_true(schedule_pick(schedule, &item));
	assert_int_equal(item.id, id);
}

static void test_return_is_first(void **state)
{
	(void)state;
	struct schedule_item item;
	for (uint64_t id = 1; id <= 3; id++) {
		assert_int_equal(enter(id, 1), SCHEDULE_ENTERED);
	}
	assert_true(schedule_pick(schedule, &item));
	assert_true(schedule_return(schedule, &item));
	assert_false(schedule_flies(schedule, 1));
	assert_picked(9, "1 2 3");
}

/* The body goes where its entry goes, and is freed once. */
static void test_bodies(void **state)
{
	(void)state;
	struct schedule_item item = { .id = 1, .account = 1, .body = { .cap = 100 } };
	struct schedule_item again = { .id = 1, .account = 1, .body = { .cap = 100 } };
	buf_put_str(&item.body, "text");
	buf_put_str(&again.body, "text");
	assert_int_equal(schedule_enter(schedule, &item), SCHEDULE_ENTERED);
	assert_int_equal(item.body.len, 0);
	assert_int_equal(schedule_enter(schedule, &again), SCHEDULE_KNOWN);
	assert_int_equal(again.body.len, 4);
	buf_done(&again.body);
	assert_true(schedule_pick(schedule, &item));
	assert_int_equal(item.body.len, 4);
	assert_true(schedule_return(schedule, &item));
	assert_true(schedule_forget(schedule, 1, &item));
	assert_memory_equal(item.body.ptr, "text", 4);
	buf_done(&item.body);
	item = (struct schedule_item){ .id = 2, .account = 1, .body = { .cap = 100 } };
	buf_put_str(&item.body, "left in the window");
	assert_int_equal(schedule_enter(schedule, &item), SCHEDULE_ENTERED);
}

/* Out of any place of the line. */
static void test_forget(void **state)
{
	static const struct {
		uint64_t id;
		const char *left;
	} rows[] = { { 1, "2 3" }, { 2, "1 3" }, { 3, "1 2" } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct schedule_item item;
		for (uint64_t id = 1; id <= 3; id++) {
			enter(id, 1);
		}
		assert_true(schedule_forget(schedule, rows[i].id, &item));
		assert_int_equal(item.id, rows[i].id);
		assert_false(schedule_forget(schedule, rows[i].id, &item));
		assert_int_equal(enter(4, 1), SCHEDULE_ENTERED);
		assert_true(schedule_forget(schedule, 4, &item));
		assert_picked(9, rows[i].left);
		teardown(state);
		setup(state);
	}
}

/* A long life of ids in no order: what went in comes out, once. */
static void test_churn(void **state)
{
	(void)state;
	uint64_t seed = 42, in = 0, out = 0, sum = 0;
	for (size_t i = 0; i < 200000; i++) {
		struct schedule_item item;
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		uint64_t id = seed >> 20;
		unsigned what = (unsigned)(seed >> 60);
		if (what < 8 && enter(id, (uint32_t)(id % 50)) == SCHEDULE_ENTERED) {
			in++;
			sum += id;
		} else if (what >= 8 && schedule_pick(schedule, &item)) {
			schedule_land(schedule, item.id);
			out++;
			sum -= item.id;
		}
	}
	struct schedule_item item;
	while (schedule_pick(schedule, &item)) {
		schedule_land(schedule, item.id);
		out++;
		sum -= item.id;
	}
	assert_true(in > 10000);
	assert_int_equal(in, out);
	assert_int_equal(sum, 0);
}

/* Before all others, however many wait and whose turn it is; in order among themselves. The
 * turns go on as if nothing had been. */
static void test_first(void **state)
{
	(void)state;
	struct schedule_item item;
	for (uint64_t id = 1; id <= SCHEDULE_WINDOW; id++) {
		assert_int_equal(enter(id, (uint32_t)id), SCHEDULE_ENTERED);
	}
	assert_picked(1, "1");
	assert_int_equal(enter(5000, 5000), SCHEDULE_ENTERED);
	assert_int_equal(enter_first(2000), SCHEDULE_ENTERED);
	assert_int_equal(enter_first(2001), SCHEDULE_ENTERED);
	assert_int_equal(enter_first(2001), SCHEDULE_KNOWN);
	assert_int_equal(schedule_waiting(schedule), SCHEDULE_WINDOW);
	assert_int_equal(schedule_first(schedule), 2);
	assert_true(schedule_pick(schedule, &item));
	assert_int_equal(item.id, 2000);
	assert_true(item.first);
	assert_true(schedule_return(schedule, &item));
	assert_int_equal(enter_first(2002), SCHEDULE_ENTERED);
	assert_true(schedule_forget(schedule, 2001, &item));
	assert_picked(4, "2000 2002 2 3");
	assert_int_equal(schedule_first(schedule), 0);
}

/* The lane takes nothing from the window, nor the window from it; nobody's share is less. */
static void test_first_is_bounded(void **state)
{
	(void)state;
	struct schedule_item item, lost = { .id = 3000, .account = 1, .first = true };
	uint64_t id = 1;
	assert_true(schedule_launch(schedule, lost.id));
	for (size_t i = 0; i < SCHEDULE_FIRST; i++) {
		assert_int_equal(enter_first(id++), SCHEDULE_ENTERED);
	}
	assert_int_equal(enter_first(id++), SCHEDULE_FULL);
	assert_false(schedule_return(schedule, &lost));
	assert_int_equal(schedule_waiting(schedule), 0);
	for (size_t i = 0; i < SCHEDULE_WINDOW / 2; i++) {
		assert_int_equal(enter(id++, 1), SCHEDULE_ENTERED);
	}
	assert_int_equal(enter(id++, 1), SCHEDULE_SHARE);
	for (size_t i = 0; i < SCHEDULE_WINDOW / 2; i++) {
		assert_int_equal(enter(id, (uint32_t)id), SCHEDULE_ENTERED);
		id++;
	}
	assert_int_equal(enter(id, 9999), SCHEDULE_FULL);
	for (size_t i = 0; i < SCHEDULE_FIRST; i++) {
		assert_true(schedule_pick(schedule, &item));
		assert_true(item.first);
	}
	assert_true(schedule_pick(schedule, &item));
	assert_false(item.first);
}

/* All that waits of an account, in the window; what flies, and the lane, is another matter. */
static void test_forget_account(void **state)
{
	(void)state;
	struct schedule_item item;
	enter(1, 1);
	enter(2, 2);
	enter(3, 1);
	enter(4, 1);
	enter_first(5);
	assert_picked(2, "5 1");
	enter_first(6);
	assert_true(schedule_forget_account(schedule, 1, &item));
	assert_int_equal(item.id, 3);
	assert_true(schedule_forget_account(schedule, 1, &item));
	assert_int_equal(item.id, 4);
	assert_false(schedule_forget_account(schedule, 1, &item));
	assert_false(schedule_forget_account(schedule, 7, &item));
	assert_true(schedule_flies(schedule, 1));
	assert_int_equal(enter(3, 1), SCHEDULE_ENTERED);
	assert_picked(9, "6 2 3");
}

static void test_retry(void **state)
{
	(void)state;
	static const int64_t retry[] = { 30000, 60000, 900000 };
	static const int64_t quick[] = { 10 };
	static const struct {
		const int64_t *retry;
		size_t n;
		uint32_t tries;
		int64_t least, most;
	} rows[] = {
		{ retry, 3, 0, 27000, 33000 },         { retry, 3, 1, 54000, 66000 },
		{ retry, 3, 2, 810000, 990000 },       { retry, 3, 3, 810000, 990000 },
		{ retry, 3, 4000000, 810000, 990000 }, { quick, 1, 0, 1000, 1000 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t seen_least = INT64_MAX, seen_most = 0;
		for (uint32_t random = 0; random < 2000000; random += 997) {
			int64_t in = schedule_retry(rows[i].retry, rows[i].n, rows[i].tries,
			                            random);
			assert_true(in >= rows[i].least && in <= rows[i].most);
			seen_least = in < seen_least ? in : seen_least;
			seen_most = in > seen_most ? in : seen_most;
		}
		/* Jitter is there at all. */
		assert_true(rows[i].least == rows[i].most ||
		            seen_most - seen_least > rows[i].least / 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_accounts_take_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newcomer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flight_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_return_is_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_churn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget_account, setup, teardown),
		cmocka_unit_test(test_retry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
