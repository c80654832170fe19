/* TESTS HL21, UN18: killed at each step, all or nothing. Of builds with GATEPOST_HOOKS. */
#include "test/auth/suspend_help.h"

static void dying_suspension(void)
{
	suspend_alice();
}

static enum standing_event dying_event;

static void dying_end(void)
{
	end_by_hand(1, dying_event);
}

static void dying_sweep(void)
{
	sweep_all(1);
}

static void hl21_killed_while_suspending(void **state)
{
	static const struct {
		const char *point;
		bool all;
	} rows[] = {
		{ "suspend-before", false },
		{ "suspend-after", false },
		{ "commit-before:2", false }, /* the first is of the opening */
		{ "commit-after:2", true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t all = rows[i].all;
		starts_anew(state);
		put_mail(ALICE, 3);
		assert_true(dies_at(rows[i].point, dying_suspension));
		assert_aftermath(rows[i].point, aftermath(), .incident = all, .incidents = all,
		                 .open = all, .ready = 3 - 3 * all, .held = 3 * all,
		                 .suspended = all, .journal = all);
		/* And again, as if nothing had been: there is one in the end. */
		suspend_alice();
		assert_aftermath(rows[i].point, aftermath(), .incident = 1, .incidents = 1,
		                 .open = 1, .held = 3, .suspended = 1, .journal = 1);
	}
}

static void un18_killed_while_ending(void **state)
{
	static const struct {
		const char *point;
		bool all;
	} rows[] = {
		{ "unlock-before", false },
		{ "unlock-after", false },
		{ "commit-before:2", false },
		{ "commit-after:2", true },
	};
	for (size_t i = 0; i < COUNT(rows) * COUNT(ends); i++) {
		size_t all = rows[i % COUNT(rows)].all;
		size_t e = i / COUNT(rows);
		bool ended = all && ends[e].good;
		starts_anew(state);
		put_mail(ALICE, 3);
		suspend_alice();
		dying_event = ends[e].event;
		assert_true(dies_at(rows[i % COUNT(rows)].point, dying_end));
		assert_aftermath(ends[e].name, aftermath(), .incident = !ended, .incidents = 1,
		                 .open = !ended, .ready = all ? 3 * ends[e].ready : 0,
		                 .held = all ? 3 * ends[e].held : 3, .suspended = 1,
		                 .ended = all ? ends[e].notices : 0, .journal = 1 + all);
	}
}

/* A sweep goes on where its last commit ended. */
static void killed_while_sweeping(void **state)
{
	static const char *const points[] = { "sweep", "sweep:2", "commit-before:2",
		                              "commit-after:2", "commit-after:3" };
	for (size_t i = 0; i < COUNT(points) * COUNT(ends); i++) {
		size_t e = i / COUNT(points);
		starts_anew(state);
		put_mail(ALICE, 3 * SUSPEND_HOLD_NOW);
		suspend_alice();
		if (ends[e].event != STANDING_NOTHING) {
			sweep_all(1);
			end_by_hand(1, ends[e].event);
		}
		if (ends[e].event != STANDING_KEEP) {
			assert_true(dies_at(points[i % COUNT(points)], dying_sweep));
		}
		sweep_all(1);
		struct aftermath a = aftermath();
		assert_int_equal(a.ready, 3 * SUSPEND_HOLD_NOW * ends[e].ready);
		assert_int_equal(a.held, 3 * SUSPEND_HOLD_NOW * ends[e].held);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hl21_killed_while_suspending),
		TEST(un18_killed_while_ending),
		TEST(killed_while_sweeping),
	};
	return cmocka_run_group_tests_name("suspend_killed", tests, NULL, NULL);
}
