#include "auth/standing.h"

#include "auth/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOUR ((int64_t)3600 * 1000)

/* The promises of the table, said in another way: row by row is what it would be itself. */
static void the_table_keeps_its_promises(void **state)
{
	(void)state;
	for (enum standing_state from = STANDING_GOOD; from <= STANDING_SUSPENDED; from++) {
		for (enum standing_event e = 0; e < STANDING_EVENTS; e++) {
			struct standing_effect effect = standing_effect(from, e);
			bool trips = e == STANDING_TRIP;
			/* A good one can only trip, a suspended one not again. */
			assert_int_equal(effect.legal, trips == (from == STANDING_GOOD));
			if (!effect.legal) {
				assert_int_equal(effect.state, from);
				assert_int_equal(effect.sweep, INCIDENT_SWEPT);
			}
			/* It is over if and only if the account is good again, with a full
			 * budget: else the next message would trip at once. */
			bool good = effect.legal && effect.state == STANDING_GOOD;
			assert_int_equal(effect.ends, good);
			assert_int_equal(effect.refill, good);
		}
	}
}

static void what_becomes_of_the_queue(void **state)
{
	(void)state;
	static const struct {
		enum standing_event event;
		enum standing_state state;
		enum incident_sweep sweep;
	} rows[] = {
		{ STANDING_UNLOCK, STANDING_GOOD, INCIDENT_RELEASE },
		{ STANDING_KEEP, STANDING_GOOD, INCIDENT_SWEPT },
		{ STANDING_DISCARD, STANDING_GOOD, INCIDENT_DISCARD },
		{ STANDING_SPAM, STANDING_SUSPENDED, INCIDENT_DISCARD },
		{ STANDING_NOTHING, STANDING_SUSPENDED, INCIDENT_SWEPT },
	};
	assert_int_equal(standing_effect(STANDING_GOOD, STANDING_TRIP).sweep, INCIDENT_HOLD);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct standing_effect effect = standing_effect(STANDING_SUSPENDED,
		                                                rows[i].event);
		assert_int_equal(effect.state, rows[i].state);
		assert_int_equal(effect.sweep, rows[i].sweep);
	}
}

/* TESTS UN19. */
static void two_in_a_day_are_one_too_many(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		size_t trips;
		int64_t at[5];
		const char *too_many; /* a letter a trip: y, n */
	} rows[] = {
		{ "one", 1, { 5 }, "n" },
		{ "four at once", 4, { 5, 5, 5, 5 }, "nyyy" },
		{ "at the store's own zero", 3, { 0, 0, 0 }, "nyy" },
		{ "just within", 2, { 5, 24 * HOUR + 4 }, "ny" },
		{ "just not", 2, { 5, 24 * HOUR + 5 }, "nn" },
		{ "one a day", 4, { 1, 25 * HOUR, 50 * HOUR, 75 * HOUR }, "nnnn" },
		{ "every ten hours",
		  5,
		  { HOUR, 11 * HOUR, 21 * HOUR, 31 * HOUR, 60 * HOUR },
		  "nyyyn" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct standing standing = { .state = STANDING_GOOD };
		for (size_t t = 0; t < rows[i].trips; t++) {
			bool too_many = standing_note_trip(&standing, t + 1, rows[i].at[t]);
			if (too_many != (rows[i].too_many[t] == 'y')) {
				fail_msg("%s: trip %zu", rows[i].what, t + 1);
			}
			assert_int_equal(standing.state, STANDING_SUSPENDED);
			assert_int_equal(standing.incident, t + 1);
		}
	}
}

static void rows_come_back(void **state)
{
	(void)state;
	static const struct standing rows[] = {
		{ STANDING_GOOD, 0, { 0 } },
		{ STANDING_SUSPENDED, 1, { 7 } },
		{ STANDING_GOOD, 1, { 7 } },
		{ STANDING_SUSPENDED, UINT64_MAX, { BUDGET_TIME_MAX, 2, 1 } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct standing back;
		struct buf row = { .cap = 64 };
		standing_pack(&rows[i], &row);
		assert_int_equal(row.len == 0, i == 0); /* most accounts have no row */
		assert_true(standing_unpack(buf_span(&row), &back));
		assert_int_equal(back.state, rows[i].state);
		assert_int_equal(back.incident, rows[i].incident);
		assert_memory_equal(back.trips, rows[i].trips, sizeof back.trips);
		for (size_t n = 1; n < row.len; n++) {
			assert_false(standing_unpack(span_first(buf_span(&row), n), &back));
		}
		if (row.len) {
			buf_put_byte(&row, 0);
			assert_false(standing_unpack(buf_span(&row), &back));
		}
		buf_done(&row);
	}
}

static void rows_that_make_no_sense(void **state)
{
	(void)state;
	static const struct span rows[] = {
		SPAN_LIT("\x02\x01\x00\x00\x00"), /* no such state */
		SPAN_LIT("\x01\x00\x07\x00\x00"), /* suspended by nothing */
		SPAN_LIT("\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00"), /* a T */
		SPAN_LIT("\xff"),
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct standing standing = { .incident = 77 };
		assert_false(standing_unpack(rows[i], &standing));
		assert_int_equal(standing.incident, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_keeps_its_promises),
		cmocka_unit_test(what_becomes_of_the_queue),
		cmocka_unit_test(two_in_a_day_are_one_too_many),
		cmocka_unit_test(rows_come_back),
		cmocka_unit_test(rows_that_make_no_sense),
	};
	return cmocka_run_group_tests_name("standing", tests, NULL, NULL);
}
