#include "auth/linger.h"

#include "test/auth/fresh_store.h"

#include "test/auth/aftermath.h"

#define LIFETIME (14 * DAY)

static const struct linger_rules rules = { .suspend = { .postmaster = postmasters,
	                                                .npostmaster = COUNT(postmasters) },
	                                   .held_lifetime = LIFETIME };

/* ---- what is due ---- */

static void what_is_due(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t age, lifetime;
		bool ended, cleared, sweeping;
		uint32_t reminders;
		int64_t warned; /* its age then; 0 = not yet */
		enum linger_what due;
	} rows[] = {
		{ "new", 0, LIFETIME, .due = LINGER_NOTHING },
		{ "nearly a day", 24 * HOUR - 1, LIFETIME, .due = LINGER_NOTHING },
		{ "a day", 24 * HOUR, LIFETIME, .due = LINGER_REMIND },
		{ "said", 24 * HOUR, LIFETIME, .reminders = 1, .due = LINGER_NOTHING },
		{ "nearly three", 72 * HOUR - 1, LIFETIME, .reminders = 1,
		  .due = LINGER_NOTHING },
		{ "three", 72 * HOUR, LIFETIME, .reminders = 1, .due = LINGER_REMIND },
		{ "said twice", 11 * DAY, LIFETIME, .reminders = 2, .due = LINGER_NOTHING },
		{ "over", 5 * DAY, LIFETIME, .ended = true, .due = LINGER_NOTHING },
		{ "just not", 12 * DAY - 1, LIFETIME, .reminders = 2, .due = LINGER_NOTHING },
		{ "two days left", 12 * DAY, LIFETIME, .reminders = 2, .due = LINGER_WARN },
		{ "over, mail kept", 12 * DAY, LIFETIME, .ended = true, .due = LINGER_WARN },
		{ "nothing held", 99 * DAY, LIFETIME, .ended = true, .cleared = true,
		  .due = LINGER_NOTHING },
		{ "a sweep is on", 99 * DAY, LIFETIME, .ended = true, .sweeping = true,
		  .due = LINGER_NOTHING },
		{ "warned", 14 * DAY - 1, LIFETIME, .ended = true, .warned = 12 * DAY,
		  .due = LINGER_NOTHING },
		{ "its time is over", 14 * DAY, LIFETIME, .ended = true, .warned = 12 * DAY,
		  .due = LINGER_EXPIRE },
		{ "the first look is late", 99 * DAY, LIFETIME, .ended = true,
		  .due = LINGER_WARN },
		{ "two days are two days", 101 * DAY - 1, LIFETIME, .ended = true,
		  .warned = 99 * DAY, .due = LINGER_NOTHING },
		{ "and then it goes", 101 * DAY, LIFETIME, .ended = true, .warned = 99 * DAY,
		  .due = LINGER_EXPIRE },
		{ "a day, half", 12 * HOUR, DAY, .due = LINGER_WARN },
		{ "a day, whole", 24 * HOUR, DAY, .reminders = 1, .warned = 12 * HOUR,
		  .due = LINGER_EXPIRE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const int64_t opened = 400 * DAY;
		const struct incident incident = {
			.state = rows[i].ended ? INCIDENT_ENDED : INCIDENT_OPEN,
			.sweep = rows[i].sweeping ? INCIDENT_HOLD : INCIDENT_SWEPT,
			.opened_at = opened,
			.cleared = rows[i].cleared,
			.reminders = rows[i].reminders,
			.warned_at = rows[i].warned ? opened + rows[i].warned : 0,
		};
		if (linger_due(&incident, rows[i].lifetime, opened + rows[i].age) !=
		    rows[i].due) {
			fail_msg("%s", rows[i].what);
		}
	}
}

/* ---- steps ---- */

/* One look of the watch. */
static enum linger_what look(uint64_t incident)
{
	enum linger_what what = LINGER_NOTHING;
	struct store_txn *txn = begin();
	assert_int_equal(
	    linger_step(txn, &rules, incident, store_now(store), fake_clock.wall, &what),
	    STORE_OK);
	commit(txn);
	return what;
}

/* Notices of a kind, and the note of the last. */
static size_t notices(enum queue_kind kind, char note_out[256])
{
	struct store_txn *txn = store_begin_read(store, NULL);
	uint64_t id = 0;
	size_t n = 0;
	while (queue_list_next(txn, SPAN_NONE, id, &id) == STORE_OK) {
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, ARENA_MAX);
		assert_int_equal(queue_get(txn, id, &arena, &entry), STORE_OK);
		if (entry.kind == kind) {
			n++;
			snprintf(note_out, 256, "%.*s", SPAN_ARG(entry.note));
		}
		arena_done(&arena);
	}
	store_abort(txn);
	return n;
}

static void sweep(uint64_t incident)
{
	bool more = true;
	while (more) {
		struct store_txn *txn = begin();
		assert_int_equal(suspend_sweep(txn, incident, 2, store_now(store), &more),
		                 STORE_OK);
		commit(txn);
	}
}

static void reminded_twice(void **state)
{
	(void)state;
	char note[256];
	uint64_t incident = suspend_alice();
	for (int hour = 1; hour <= 100; hour++) {
		fake_clock_pass(HOUR);
		bool due = hour == 24 || hour == 72;
		assert_int_equal(look(incident), due ? LINGER_REMIND : LINGER_NOTHING);
		assert_int_equal(look(incident), LINGER_NOTHING);
	}
	assert_int_equal(notices(QUEUE_NOTICE_REMINDER, note), 2);
}

/* Down for days: one notice. Ended, or its account gone: none. */
static void reminded_once_or_not(void **state)
{
	(void)state;
	char note[256];
	uint64_t incident = suspend_alice();
	fake_clock_pass(5 * DAY);
	assert_int_equal(look(incident), LINGER_REMIND);
	assert_int_equal(look(incident), LINGER_NOTHING);
	assert_int_equal(notices(QUEUE_NOTICE_REMINDER, note), 1);
	end_by_hand(incident, STANDING_UNLOCK);
	incident = suspend_alice();
	struct store_txn *txn = begin();
	assert_int_equal(account_delete(txn, ALICE), STORE_OK);
	commit(txn);
	fake_clock_pass(5 * DAY);
	assert_int_equal(look(incident), LINGER_REMIND);
	assert_int_equal(look(incident), LINGER_NOTHING);
	assert_int_equal(notices(QUEUE_NOTICE_REMINDER, note), 1);
}

/* Mail of the incident goes, without a word to anybody else; what is held by hand stays. */
static void held_mail_expires(void **state)
{
	(void)state;
	char note[256];
	uint64_t id = 0;
	put_mail(ALICE, 1);
	struct store_txn *txn = begin();
	assert_int_equal(queue_list_next(txn, ALICE, 0, &id), STORE_OK);
	assert_int_equal(queue_hold(txn, id), STORE_OK);
	commit(txn);
	put_mail(ALICE, 5);
	put_mail(BOB, 1);
	uint64_t incident = suspend_alice();
	fake_clock_pass(12 * DAY);
	assert_int_equal(look(incident), LINGER_REMIND);
	assert_int_equal(look(incident), LINGER_WARN);
	assert_int_equal(notices(QUEUE_NOTICE_EXPIRING, note), 1);
	assert_non_null(
	    strstr(note, "5 messages of alice@example.org will be deleted on 2023-11-28"));
	fake_clock_pass(2 * DAY);
	assert_int_equal(look(incident), LINGER_EXPIRE);
	sweep(incident);
	assert_int_equal(look(incident), LINGER_NOTHING);
	assert_aftermath("expired", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .ready = 1, .held_by_hand = 1, .suspended = 1, .journal = 2);
	assert_int_equal(notices(QUEUE_NOTICE_EXPIRING, note), 1);
}

/* Kept by an answer, it is still held by the incident; released, there is nothing to say. */
static void what_an_end_leaves(void **state)
{
	(void)state;
	static const struct {
		enum standing_event event;
		enum linger_what first, second;
		size_t warnings;
	} rows[] = {
		{ STANDING_KEEP, LINGER_WARN, LINGER_EXPIRE, 1 },
		{ STANDING_UNLOCK, LINGER_WARN, LINGER_NOTHING, 0 },
		{ STANDING_DISCARD, LINGER_WARN, LINGER_NOTHING, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char note[256];
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
		put_mail(ALICE, 3);
		uint64_t incident = suspend_alice();
		end_by_hand(incident, rows[i].event);
		fake_clock_pass(12 * DAY);
		assert_int_equal(look(incident), rows[i].first);
		fake_clock_pass(2 * DAY);
		assert_int_equal(look(incident), rows[i].second);
		assert_int_equal(notices(QUEUE_NOTICE_EXPIRING, note), rows[i].warnings);
	}
}

/* More than are looked at: the warning says so rather than hold the writer up. */
static void a_thousand_are_enough(void **state)
{
	(void)state;
	char note[256];
	put_mail(ALICE, LINGER_COUNTED + 1);
	uint64_t incident = suspend_alice();
	sweep(incident);
	end_by_hand(incident, STANDING_KEEP);
	fake_clock_pass(12 * DAY);
	assert_int_equal(look(incident), LINGER_WARN);
	assert_int_equal(notices(QUEUE_NOTICE_EXPIRING, note), 1);
	assert_non_null(strstr(note, "At least 1000 messages"));
}

int main(void)
{
#define FRESH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_due), FRESH(reminded_twice),
		FRESH(reminded_once_or_not),   FRESH(held_mail_expires),
		FRESH(what_an_end_leaves),     FRESH(a_thousand_are_enough),
	};
	return cmocka_run_group_tests_name("linger", tests, NULL, NULL);
}
