#include "auth/suspend.h"

#include "test/auth/suspend_help.h"

#include "auth/budget.h"
#include "store/keys.h"

/* ---- the beginning ---- */

static struct incident read_incident(uint64_t number, struct arena *arena)
{
	struct incident incident;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(incident_get(txn, number, arena, &incident), STORE_OK);
	store_abort(txn);
	return incident;
}

/* TESTS HL21: standing, hold, incident, notice and journal, in one commit. */
static void hl21_a_suspension_is_one_act(void **state)
{
	(void)state;
	put_mail(ALICE, 3);
	put_mail(BOB, 2);
	assert_aftermath("before", aftermath(), .ready = 5);
	assert_int_equal(suspend_alice(), 1);
	assert_aftermath("after", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .ready = 2, .held = 3, .suspended = 1, .journal = 1);
	reopen_store();
	assert_aftermath("again", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .ready = 2, .held = 3, .suspended = 1, .journal = 1);
}

static void what_is_dropped_has_suspended_nobody(void **state)
{
	(void)state;
	struct suspend_result result;
	put_mail(ALICE, 3);
	struct store_txn *txn = begin();
	assert_int_equal(open_in(txn, &result), STORE_OK);
	store_abort(txn);
	assert_aftermath("dropped", aftermath(), .ready = 3);
}

static void the_incident_says_why(void **state)
{
	(void)state;
	struct arena arena;
	struct bill bill;
	arena_init(&arena, ARENA_MAX);
	struct incident incident = read_incident(suspend_alice(), &arena);
	assert_true(span_eq(incident.account, ALICE));
	assert_true(span_eq(incident.cause, SPAN_LIT("budget")));
	assert_int_equal(incident.opened_at, store_now(store));
	assert_int_equal(incident.opened_wall, fake_clock.wall);
	assert_int_equal(incident.ended_at, 0);
	assert_false(incident.reply_off);
	assert_true(bill_unpack(incident.reasons, &bill));
	assert_int_equal(bill.limit.tokens, 500);
	assert_int_equal(bill.spent, 500);
	arena_done(&arena);
}

/* Before all mail, to every postmaster, belonging to nobody: never charged, never held. */
static void the_notice_is_first_in_line(void **state)
{
	(void)state;
	struct arena arena;
	struct queue_entry notice;
	struct queue_due due;
	struct queue_due_walk walk;
	arena_init(&arena, ARENA_MAX);
	put_mail(BOB, 2);
	fake_clock_pass(HOUR);
	suspend_alice();
	struct store_txn *txn = store_begin_read(store, NULL);
	queue_due_begin(&walk, txn);
	assert_true(queue_due_next(&walk, &due));
	queue_due_end(&walk);
	assert_int_equal(queue_get(txn, due.id, &arena, &notice), STORE_OK);
	store_abort(txn);
	assert_int_equal(notice.kind, QUEUE_NOTICE_SUSPENDED);
	assert_int_equal(notice.incident, 1);
	assert_int_equal(notice.next_at, 0);
	assert_int_equal(notice.accepted_at, store_now(store));
	assert_int_equal(notice.accepted_wall, fake_clock.wall);
	assert_int_equal(notice.account.len + notice.sender.len + notice.size, 0);
	assert_int_equal(notice.nrecipients, COUNT(postmasters));
	for (size_t i = 0; i < COUNT(postmasters); i++) {
		assert_true(span_eq(notice.recipients[i].address, postmasters[i]));
		assert_int_equal(notice.recipients[i].state, RECIPIENT_PENDING);
	}
	arena_done(&arena);
}

static void who_comes_second_gets_the_same_incident(void **state)
{
	(void)state;
	struct suspend_result first;
	struct suspend_result second;
	put_mail(ALICE, 1);
	struct store_txn *txn = begin();
	assert_int_equal(open_in(txn, &first), STORE_OK);
	assert_int_equal(open_in(txn, &second), STORE_OK);
	commit(txn);
	assert_int_equal(second.incident, first.incident);
	assert_true(first.swept && second.swept);
	assert_aftermath("one", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .held = 1, .suspended = 1, .journal = 1);
}

static void nobody_is_not_suspended(void **state)
{
	(void)state;
	struct suspend_result result;
	const struct act act = act_of(SPAN_LIT("eve@example.org"), 1);
	const struct bill bill = { .spent = 0 };
	struct store_txn *txn = begin();
	assert_int_equal(
	    suspend_open(txn, &to_postmasters, &act, SPAN_LIT("uid 0"), &bill, &result),
	    STORE_NOT_FOUND);
	commit(txn);
	assert_aftermath("nobody", aftermath(), .incident = 0);
}

/* By hand: the bill has no limit, and tells what the ledger knows. Without a postmaster there
 * is nobody to tell, and it is done all the same. */
static void by_hand(void **state)
{
	(void)state;
	static const struct suspend_rules nobody = { .npostmaster = 0 };
	struct arena arena;
	struct suspend_result result;
	struct facts facts = { .peak_before = 42 };
	struct buf packed = { .cap = 1024 };
	struct bill bill = { .spent = 0 };
	const struct act act = act_of(ALICE, 0);
	facts_note(&facts, &act, 3, HOUR);
	facts_pack(&facts, &packed);
	const struct ledger ledger = { .facts = buf_span(&packed) };
	struct store_txn *txn = begin();
	assert_int_equal(ledger_put(txn, ALICE, &ledger), STORE_OK);
	assert_int_equal(suspend_open(txn, &nobody, &act, SPAN_LIT("uid 0"), &bill, &result),
	                 STORE_OK);
	commit(txn);
	buf_done(&packed);
	assert_aftermath("by hand", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .journal = 1);
	arena_init(&arena, ARENA_MAX);
	struct incident incident = read_incident(result.incident, &arena);
	assert_true(span_eq(incident.cause, SPAN_LIT("uid 0")));
	assert_true(bill_unpack(incident.reasons, &bill));
	assert_int_equal(bill.limit.window, 0);
	assert_int_equal(bill.facts.peak_before, 42);
	assert_string_equal(bill.facts.subject[0], "cheap watches");
	arena_done(&arena);
}

/* A portion a commit; no entry is looked at twice, however often we start again. */
static void a_long_queue_is_held_in_portions(void **state)
{
	(void)state;
	struct suspend_result result;
	bool more = true;
	put_mail(ALICE, 5 * SUSPEND_HOLD_NOW - 1);
	put_mail(BOB, 1);
	struct store_txn *txn = begin();
	assert_int_equal(open_in(txn, &result), STORE_OK);
	commit(txn);
	assert_false(result.swept);
	assert_int_equal(aftermath().held, SUSPEND_HOLD_NOW);
	for (size_t step = 2; step <= 5; step++) {
		reopen_store();
		txn = begin();
		assert_int_equal(suspend_sweep(txn, result.incident, SUSPEND_HOLD_NOW,
		                               store_now(store), &more),
		                 STORE_OK);
		commit(txn);
		assert_int_equal(more, step < 5);
		assert_int_equal(aftermath().held,
		                 step * SUSPEND_HOLD_NOW - (step == 5 ? 1 : 0));
	}
	assert_int_equal(sweep_all(result.incident), 1); /* nothing is left to do */
	assert_int_equal(aftermath().ready, 1);
	txn = begin();
	assert_int_equal(suspend_sweep(txn, 77, 1, 0, &more), STORE_NOT_FOUND);
	store_abort(txn);
}

/* ---- the end ---- */

static void spend(uint32_t tokens)
{
	struct budget budget = { .count = 0 };
	const struct budget_limits limits = { .limit = { { 500, HOUR } }, .count = 1 };
	struct buf packed = { .cap = 4096 };
	budget_fit(&budget, &limits, store_now(store));
	budget_take(&budget, tokens, store_now(store));
	budget_pack(&budget, &packed);
	const struct ledger ledger = { .budget = buf_span(&packed) };
	struct store_txn *txn = begin();
	assert_int_equal(ledger_put(txn, ALICE, &ledger), STORE_OK);
	commit(txn);
	buf_done(&packed);
}

static bool has_spent(void)
{
	struct ledger ledger;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(ledger_get(txn, ALICE, &ledger), STORE_OK);
	bool has = ledger.budget.len > 0;
	store_abort(txn);
	return has;
}

/* Each end of each length of queue: after its sweep the held mail is where it belongs, even if
 * the holding had not come to its end. */
static void each_end(void **state)
{
	static const size_t queues[] = { 0, 1, SUSPEND_HOLD_NOW, 2 * SUSPEND_HOLD_NOW + 50 };
	for (size_t q = 0; q < COUNT(queues); q++) {
		for (size_t i = 0; i < COUNT(ends); i++) {
			starts_anew(state);
			spend(500);
			put_mail(ALICE, queues[q]);
			put_mail(BOB, 1);
			suspend_alice();
			assert_true(has_spent());
			end_by_hand(1, ends[i].event);
			assert_int_equal(has_spent(), !ends[i].good);
			reopen_store();
			sweep_all(1);
			assert_aftermath(ends[i].name, aftermath(),
			                 .incident = ends[i].good ? 0 : 1, .incidents = 1,
			                 .open = !ends[i].good,
			                 .ready = queues[q] * ends[i].ready + 1,
			                 .held = queues[q] * ends[i].held, .suspended = 1,
			                 .ended = ends[i].notices, .journal = 2);
		}
	}
}

static void an_end_is_written_down(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena, ARENA_MAX);
	suspend_alice();
	fake_clock_pass(HOUR);
	end_by_hand(1, STANDING_UNLOCK);
	struct incident incident = read_incident(1, &arena);
	assert_int_equal(incident.state, INCIDENT_ENDED);
	assert_int_equal(incident.ended_at, store_now(store));
	assert_int_equal(incident.ended_wall, fake_clock.wall);
	assert_true(span_eq(incident.ended_by, SPAN_LIT("uid 0")));
	assert_true(span_eq(incident.ended_how, SPAN_LIT("by hand")));
	arena_done(&arena);
}

/* Mail that is to stay or to go is never READY under a good account, not even between two
 * steps of the sweep. */
static void nothing_slips_out(void **state)
{
	for (size_t i = 0; i < COUNT(ends); i++) {
		starts_anew(state);
		put_mail(ALICE, 2 * SUSPEND_HOLD_NOW + 50);
		suspend_alice();
		end_by_hand(1, ends[i].event);
		if (ends[i].good && !ends[i].ready) {
			assert_int_equal(aftermath().ready, 0);
		}
	}
}

/* What SPAM has begun to delete stays condemned. */
static void an_unlock_does_not_save_spam(void **state)
{
	(void)state;
	put_mail(ALICE, 2 * SUSPEND_HOLD_NOW + 50);
	suspend_alice();
	assert_false(end_by_hand(1, STANDING_SPAM).swept);
	assert_int_equal(aftermath().held, SUSPEND_HOLD_NOW + 50);
	assert_false(end_by_hand(1, STANDING_UNLOCK).swept);
	sweep_all(1);
	assert_aftermath("condemned", aftermath(), .incidents = 1, .suspended = 1, .ended = 2,
	                 .journal = 3);
}

/* Mail is released by what held it, and by nothing else. */
static void each_incident_has_its_own_mail(void **state)
{
	(void)state;
	uint64_t id = 0;
	put_mail(ALICE, 1);
	struct store_txn *txn = begin();
	assert_int_equal(queue_list_next(txn, ALICE, 0, &id), STORE_OK);
	assert_int_equal(queue_hold(txn, id), STORE_OK);
	commit(txn);
	put_mail(ALICE, 2);
	suspend_alice();
	end_by_hand(1, STANDING_KEEP);
	put_mail(ALICE, 4);
	suspend_alice();
	assert_aftermath("two", aftermath(), .incident = 2, .incidents = 2, .open = 1,
	                 .held = 6, .held_by_hand = 1, .suspended = 2, .ended = 1,
	                 .journal = 3);
	end_by_hand(2, STANDING_UNLOCK);
	assert_aftermath("released", aftermath(), .incidents = 2, .ready = 4, .held = 2,
	                 .held_by_hand = 1, .suspended = 2, .ended = 2, .journal = 4);
}

static void only_the_present_incident_can_be_ended(void **state)
{
	(void)state;
	static const uint64_t others[] = { 0, 1, 3, UINT64_MAX };
	struct suspend_result result;
	suspend_alice();
	end_by_hand(1, STANDING_UNLOCK);
	suspend_alice();
	for (size_t i = 0; i < COUNT(others); i++) {
		struct store_txn *txn = begin();
		assert_int_equal(end_in(txn, others[i], STANDING_UNLOCK, &result),
		                 STORE_NOT_FOUND);
		commit(txn);
	}
	end_by_hand(2, STANDING_UNLOCK);
	struct store_txn *txn = begin();
	assert_int_equal(end_in(txn, 2, STANDING_UNLOCK, &result), STORE_NOT_FOUND);
	assert_int_equal(account_delete(txn, ALICE), STORE_OK);
	assert_int_equal(end_in(txn, 2, STANDING_UNLOCK, &result), STORE_NOT_FOUND);
	commit(txn);
}

static enum store_result delete_in(struct store_txn *txn)
{
	const struct suspend_end end = {
		.account = ALICE,
		.by = SPAN_LIT("uid 0"),
		.how = SPAN_LIT("account deleted"),
		.note = SPAN_LIT("It is gone."),
		.now = store_now(store),
		.wall = fake_clock.wall,
	};
	return suspend_delete_account(txn, &to_postmasters, &end);
}

static void delete_alice(void)
{
	struct store_txn *txn = begin();
	assert_int_equal(delete_in(txn), STORE_OK);
	commit(txn);
}

/* Whatever its ledger says, and however far the holding was: nobody's case is open, and nothing
 * of its mail slips out. */
static void a_case_ends_with_its_account(void **state)
{
	static const struct span standings[] = { { "", 0 }, { "\x07", 1 } };
	for (size_t i = 0; i < COUNT(standings); i++) {
		struct arena arena;
		const struct ledger damaged = { .standing = standings[i] };
		starts_anew(state);
		put_mail(ALICE, 2 * SUSPEND_HOLD_NOW + 50);
		put_mail(BOB, 1);
		suspend_alice();
		end_by_hand(1, STANDING_KEEP);
		put_mail(ALICE, 2 * SUSPEND_HOLD_NOW + 50);
		suspend_alice();
		if (damaged.standing.len) {
			struct store_txn *txn = begin();
			ledger_put(txn, ALICE, &damaged);
			commit(txn);
		}
		fake_clock_pass(HOUR);
		delete_alice();
		assert_aftermath("deleted", aftermath(), .incidents = 2, .ready = 1,
		                 .held = 4 * SUSPEND_HOLD_NOW + 100, .suspended = 2, .ended = 2,
		                 .journal = 4);
		arena_init(&arena, ARENA_MAX);
		struct incident incident = read_incident(2, &arena);
		assert_int_equal(incident.ended_at, store_now(store));
		assert_int_equal(incident.sweep, INCIDENT_SWEPT);
		assert_true(span_eq(incident.ended_by, SPAN_LIT("uid 0")));
		assert_true(span_eq(incident.ended_how, SPAN_LIT("account deleted")));
		assert_true(read_incident(1, &arena).ended_at < incident.ended_at);
		arena_done(&arena);
	}
}

/* Another of the same name begins GOOD, even if his ledger is damaged one day. */
static void a_deleted_account_leaves_nothing_to_recall(void **state)
{
	(void)state;
	struct standing standing = { .state = STANDING_SUSPENDED };
	suspend_alice();
	delete_alice();
	struct store_txn *txn = begin();
	assert_int_equal(suspend_recall(txn, ALICE, &standing), STORE_OK);
	assert_int_equal(standing.state, STANDING_GOOD);
	assert_int_equal(delete_in(txn), STORE_NOT_FOUND);
	commit(txn);
}

static void deleting_a_good_account_is_no_case(void **state)
{
	(void)state;
	put_mail(ALICE, 2);
	delete_alice();
	assert_aftermath("good", aftermath(), .ready = 2);
}

/* TESTS UN19. */
static void the_second_in_a_day_takes_no_unlock(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena, ARENA_MAX);
	for (uint64_t i = 1; i <= 4; i++) {
		assert_int_equal(suspend_alice(), i);
		assert_int_equal(read_incident(i, &arena).reply_off, i == 2);
		end_by_hand(i, STANDING_UNLOCK);
		fake_clock_pass(i < 2 ? 11 * HOUR : 25 * HOUR);
	}
	arena_done(&arena);
}

/* ---- damage ---- */

static void a_lost_incident_locks_nobody_out(void **state)
{
	(void)state;
	struct arena arena;
	struct store_txn *txn = begin();
	struct buf packed = { .cap = 64 };
	const struct standing standing = { STANDING_SUSPENDED, 9, { 0 } };
	standing_pack(&standing, &packed);
	const struct ledger ledger = { .standing = buf_span(&packed) };
	assert_int_equal(ledger_put(txn, ALICE, &ledger), STORE_OK);
	commit(txn);
	buf_done(&packed);
	end_by_hand(9, STANDING_UNLOCK);
	assert_int_equal(aftermath().incident, 0);
	suspend_alice();
	const struct key key = key_id(10);
	txn = begin();
	store_put(txn, STORE_INCIDENT, key_span(&key), SPAN_LIT("\x63"));
	commit(txn);
	end_by_hand(10, STANDING_UNLOCK);
	assert_int_equal(aftermath().incident, 0);
	arena_init(&arena, ARENA_MAX);
	assert_true(span_eq(read_incident(9, &arena).account, ALICE));
	arena_done(&arena);
}

static void what_can_not_be_read_is_not_changed(void **state)
{
	(void)state;
	const struct ledger rows[] = {
		{ .standing = SPAN_LIT("\x07") },
		{ .standing = SPAN_LIT("\x01\x00\x00\x00\x00") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct suspend_result result;
		uint64_t incident = 77;
		struct store_txn *txn = begin();
		ledger_put(txn, ALICE, &rows[i]);
		commit(txn);
		txn = store_begin_read(store, NULL);
		assert_int_equal(suspend_incident_of(txn, ALICE, &incident), STORE_DAMAGED);
		assert_int_equal(incident, 77);
		store_abort(txn);
		txn = begin();
		assert_int_equal(open_in(txn, &result), STORE_DAMAGED);
		assert_int_equal(store_commit(txn, NULL), STORE_DAMAGED);
		txn = begin();
		assert_int_equal(end_in(txn, 1, STANDING_UNLOCK, &result), STORE_DAMAGED);
		assert_int_equal(store_commit(txn, NULL), STORE_DAMAGED);
	}
}

static void incidents_recall_a_standing(void **state)
{
	(void)state;
	struct standing standing;
	const struct key key = key_id(1); /* before hers: a row that makes no sense */
	struct store_txn *txn = begin();
	store_put(txn, STORE_INCIDENT, key_span(&key), SPAN_LIT("\x63"));
	commit(txn);
	for (uint64_t i = 0; i <= 2; i++) {
		txn = store_begin_read(store, NULL);
		assert_int_equal(suspend_recall(txn, ALICE, &standing), STORE_OK);
		assert_int_equal(standing.state, i == 1 ? STANDING_SUSPENDED : STANDING_GOOD);
		assert_int_equal(standing.incident, i > 0 ? 2 : 0);
		assert_int_equal(suspend_recall(txn, BOB, &standing), STORE_OK);
		assert_int_equal(standing.incident, 0);
		store_abort(txn);
		if (i == 0) {
			suspend_alice();
		} else if (i == 1) {
			end_by_hand(2, STANDING_UNLOCK);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hl21_a_suspension_is_one_act),
		TEST(what_is_dropped_has_suspended_nobody),
		TEST(the_incident_says_why),
		TEST(the_notice_is_first_in_line),
		TEST(who_comes_second_gets_the_same_incident),
		TEST(nobody_is_not_suspended),
		TEST(by_hand),
		TEST(a_long_queue_is_held_in_portions),
		TEST(each_end),
		TEST(an_end_is_written_down),
		TEST(nothing_slips_out),
		TEST(an_unlock_does_not_save_spam),
		TEST(each_incident_has_its_own_mail),
		TEST(only_the_present_incident_can_be_ended),
		TEST(a_case_ends_with_its_account),
		TEST(a_deleted_account_leaves_nothing_to_recall),
		TEST(deleting_a_good_account_is_no_case),
		TEST(the_second_in_a_day_takes_no_unlock),
		TEST(a_lost_incident_locks_nobody_out),
		TEST(what_can_not_be_read_is_not_changed),
		TEST(incidents_recall_a_standing),
	};
	return cmocka_run_group_tests_name("suspend", tests, NULL, NULL);
}
