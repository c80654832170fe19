/* The gate where there is a postmaster: a broken budget is a suspension. */
#include "auth/gate.h"

#include "test/auth/fresh_store.h"

#include "test/auth/aftermath.h"

static struct gate_rules rules;

static int site(void **state)
{
	rules = (struct gate_rules){
		.limits = { { { 50, 30 * MINUTE }, { 200, DAY } }, 2 },
		.suspend = to_postmasters,
	};
	return set_up(state);
}

static enum gate_verdict message(struct store_txn *txn, struct span account,
                                 uint32_t recipients, uint64_t *incident_out)
{
	struct gate_result result = { .dwell = 0 };
	const struct act act = act_of(account, recipients);
	enum gate_verdict verdict = gate_message(txn, &rules, &act, &result);
	*incident_out = result.suspended.incident;
	return verdict;
}

static enum gate_verdict send(struct span account, uint32_t recipients)
{
	uint64_t incident;
	struct store_txn *txn = begin();
	enum gate_verdict verdict = message(txn, account, recipients, &incident);
	commit(txn);
	return verdict;
}

static enum gate_verdict trip(struct span account, uint32_t recipients)
{
	struct gate_result result;
	const struct act act = act_of(account, recipients);
	struct store_txn *txn = begin();
	enum gate_verdict verdict = gate_trip(txn, &rules, &act, &result);
	commit(txn);
	return verdict;
}

static enum gate_verdict ask(struct span account, uint32_t recipients)
{
	struct act act = act_of(account, recipients);
	struct store_txn *txn = store_begin_read(store, NULL);
	enum gate_verdict verdict = gate_recipient(txn, &rules, &act);
	store_abort(txn);
	return verdict;
}

static enum gate_verdict login(struct span account)
{
	uint64_t incident = 0;
	int64_t since = -1;
	struct store_txn *txn = store_begin_read(store, NULL);
	enum gate_verdict verdict = gate_login(txn, account, SPAN_NONE, &incident, &since);
	store_abort(txn);
	assert_int_equal(since == -1, verdict == GATE_UNKNOWN || verdict == GATE_BROKEN);
	assert_int_equal(incident != 0, verdict == GATE_SUSPENDED);
	return verdict;
}

static struct gate_view show(struct span account)
{
	struct gate_view view;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, &rules, account, store_now(store), &view), GATE_ALLOW);
	store_abort(txn);
	return view;
}

static void hl21_the_message_that_breaks_it(void **state)
{
	(void)state;
	put_mail(ALICE, 2);
	assert_int_equal(send(ALICE, 50), GATE_ALLOW);
	assert_int_equal(login(ALICE), GATE_ALLOW);
	assert_int_equal(ask(ALICE, 1), GATE_TRIPPED); /* it would be: nothing has happened */
	assert_aftermath("asked", aftermath(), .ready = 2);
	assert_int_equal(send(ALICE, 1), GATE_TRIPPED);
	assert_aftermath("tripped", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .held = 2, .suspended = 1, .journal = 1);
	assert_int_equal(login(ALICE), GATE_SUSPENDED);
	assert_int_equal(ask(ALICE, 1), GATE_SUSPENDED);
	assert_int_equal(ask(ALICE, 51), GATE_SUSPENDED);
	assert_int_equal(send(ALICE, 1), GATE_SUSPENDED);
	assert_int_equal(trip(ALICE, 1), GATE_SUSPENDED);
	fake_clock_pass(2 * DAY); /* time heals it not */
	assert_int_equal(send(ALICE, 1), GATE_SUSPENDED);
	assert_int_equal(login(BOB), GATE_ALLOW);
	assert_int_equal(send(BOB, 50), GATE_ALLOW);
	assert_aftermath("once", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .held = 2, .suspended = 1, .journal = 1);
	assert_int_equal(show(ALICE).incident, 1);
	assert_int_equal(show(BOB).incident, 0);
}

/* Mail that was in DATA when another session tripped, in one batch of the writer. */
static void hl22_in_the_same_transaction(void **state)
{
	(void)state;
	uint64_t incident;
	struct store_txn *txn = begin();
	assert_int_equal(message(txn, ALICE, 50, &incident), GATE_ALLOW);
	assert_int_equal(message(txn, ALICE, 1, &incident), GATE_TRIPPED);
	assert_int_equal(incident, 1);
	assert_int_equal(message(txn, ALICE, 1, &incident), GATE_SUSPENDED);
	assert_int_equal(message(txn, BOB, 1, &incident), GATE_ALLOW);
	commit(txn);
	assert_int_equal(show(ALICE).spent[0], 50); /* neither was charged */
	assert_int_equal(show(BOB).spent[0], 1);
}

static void what_never_fits_is_no_theft(void **state)
{
	(void)state;
	assert_int_equal(ask(ALICE, 51), GATE_NEVER);
	assert_int_equal(send(ALICE, 51), GATE_NEVER);
	assert_int_equal(trip(ALICE, 51), GATE_NEVER);
	assert_aftermath("never", aftermath(), .incident = 0);
}

/* What a session saw at RCPT is judged again. */
static void a_trip_is_judged_again(void **state)
{
	(void)state;
	assert_int_equal(send(ALICE, 50), GATE_ALLOW);
	assert_int_equal(ask(ALICE, 1), GATE_TRIPPED);
	struct store_txn *txn = begin();
	gate_reset(txn, ALICE);
	commit(txn);
	assert_int_equal(trip(ALICE, 1), GATE_ALLOW);
	assert_int_equal(show(ALICE).spent[0], 0); /* and nothing is charged */
	assert_int_equal(send(ALICE, 50), GATE_ALLOW);
	assert_int_equal(trip(ALICE, 1), GATE_TRIPPED);
	assert_int_equal(aftermath().suspended, 1);
}

/* TESTS HL23: counted, shown, never suspended by the budget; by hand they are. */
static void hl23_exempt_accounts(void **state)
{
	(void)state;
	static const struct span exempt[] = { { "alice@*", 7 } };
	struct suspend_result result;
	rules.exempt = exempt;
	rules.nexempt = 1;
	assert_int_equal(send(ALICE, 50), GATE_ALLOW);
	assert_int_equal(ask(ALICE, 500), GATE_ALLOW);
	assert_int_equal(trip(ALICE, 500), GATE_ALLOW);
	assert_int_equal(send(ALICE, 500), GATE_ALLOW);
	assert_int_equal(show(ALICE).spent[0], 550);
	struct store_txn *txn = begin();
	assert_int_equal(open_in(txn, &result), STORE_OK);
	commit(txn);
	assert_int_equal(send(ALICE, 1), GATE_SUSPENDED);
	assert_int_equal(login(ALICE), GATE_SUSPENDED);
}

/* Nobody is suspended where nobody would hear of it. */
static void without_a_postmaster(void **state)
{
	(void)state;
	rules.suspend.npostmaster = 0;
	assert_int_equal(send(ALICE, 50), GATE_ALLOW);
	assert_int_equal(ask(ALICE, 1), GATE_SPENT);
	assert_int_equal(trip(ALICE, 1), GATE_SPENT);
	assert_int_equal(send(ALICE, 1), GATE_SPENT);
	assert_aftermath("classic", aftermath(), .incident = 0);
	fake_clock_pass(31 * MINUTE);
	assert_int_equal(send(ALICE, 1), GATE_ALLOW);
}

static struct bill bill_of(uint64_t number)
{
	struct arena arena;
	struct incident incident;
	struct bill bill;
	struct store_txn *txn = store_begin_read(store, NULL);
	arena_init(&arena, ARENA_MAX);
	assert_int_equal(incident_get(txn, number, &arena, &incident), STORE_OK);
	assert_true(bill_unpack(incident.reasons, &bill));
	arena_done(&arena);
	store_abort(txn);
	return bill;
}

/* The limit that broke, what was spent of it, what was asked for, and what went before. */
static void the_bill(void **state)
{
	(void)state;
	assert_int_equal(send(ALICE, 12), GATE_ALLOW);
	fake_clock_pass(10 * HOUR);
	assert_int_equal(send(ALICE, 45), GATE_ALLOW);
	assert_int_equal(send(ALICE, 10), GATE_TRIPPED);
	struct bill bill = bill_of(1);
	assert_int_equal(bill.limit.tokens, 50);
	assert_int_equal(bill.limit.window, 30 * MINUTE);
	assert_int_equal(bill.spent, 45);
	assert_int_equal(bill.asked, 10);
	assert_string_equal(bill.apppass, "");
	assert_int_equal(bill.facts.peak_before, 12);
	assert_int_equal(bill.facts.peak_now, 45);
	assert_string_equal(bill.facts.network[0].text, "192.0.2.7");
	assert_int_equal(bill.facts.network[0].recipients, 67);
	assert_string_equal(bill.facts.network[1].text, "");
	assert_string_equal(bill.facts.subject[0], "cheap watches");
	assert_string_equal(bill.facts.subject[1], "");
	struct store_txn *txn = store_begin_read(store, NULL);
	struct ledger ledger;
	struct buf noted = { .cap = 1024 };
	facts_pack(&bill.facts, &noted);
	assert_int_equal(ledger_get(txn, ALICE, &ledger), STORE_OK);
	assert_true(span_eq(ledger.facts, buf_span(&noted)));
	buf_done(&noted);
	store_abort(txn);
}

static void the_limit_of_the_day_on_the_bill(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(send(ALICE, 50), GATE_ALLOW);
		fake_clock_pass(31 * MINUTE);
	}
	assert_int_equal(send(ALICE, 3), GATE_TRIPPED);
	assert_int_equal(bill_of(1).limit.window, DAY);
	assert_int_equal(bill_of(1).spent, 200);
	assert_int_equal(bill_of(1).asked, 3);
}

/* A device that only has to wait is never stopped; by hand it is, and an ordinary one by its
 * budget. */
static void devices(void **state)
{
	(void)state;
	const struct gate_device rows[] = {
		{ .account = ALICE,
		  .limits = { { { 5, HOUR } }, 1 },
		  .action = GATE_ACTION_DEFER },
		{ .account = BOB, .limits = { { { 5, HOUR } }, 1 } },
	};
	rules.devices = rows;
	rules.ndevices = COUNT(rows);
	assert_int_equal(send(ALICE, 5), GATE_ALLOW);
	assert_int_equal(ask(ALICE, 1), GATE_DEFER);
	assert_int_equal(trip(ALICE, 1), GATE_DEFER);
	assert_int_equal(send(ALICE, 1), GATE_DEFER);
	assert_int_equal(show(ALICE).spent[0], 5);
	assert_aftermath("deferred", aftermath(), .incident = 0);
	assert_int_equal(send(BOB, 5), GATE_ALLOW);
	assert_int_equal(ask(BOB, 1), GATE_TRIPPED);
	assert_int_equal(send(BOB, 1), GATE_TRIPPED);
	assert_int_equal(show(BOB).incident, 1);
	fake_clock_pass(HOUR + 2 * MINUTE);
	assert_int_equal(send(ALICE, 5), GATE_ALLOW);
	suspend_alice();
	assert_int_equal(send(ALICE, 1), GATE_SUSPENDED);
}

/* To forget what was spent is not to unlock, not even when the ledger is in ruins. */
static void a_reset_ends_no_suspension(void **state)
{
	(void)state;
	static const struct span ruins[] = {
		SPAN_LIT("\x63"),
		SPAN_LIT("\x01\x01\x01\x07"),
		SPAN_LIT("\x01\x00\x05\x01"),
	};
	assert_int_equal(send(ALICE, 50), GATE_ALLOW);
	assert_int_equal(send(ALICE, 1), GATE_TRIPPED);
	for (size_t i = 0; i <= COUNT(ruins); i++) {
		struct store_txn *txn = begin();
		assert_int_equal(gate_reset(txn, ALICE), STORE_OK);
		commit(txn);
		assert_int_equal(show(ALICE).spent[0], 0);
		assert_int_equal(show(ALICE).incident, 1);
		assert_int_equal(send(ALICE, 1), GATE_SUSPENDED);
		if (i < COUNT(ruins)) {
			txn = begin();
			store_put(txn, STORE_LEDGER, ALICE, ruins[i]);
			commit(txn);
			assert_int_equal(login(ALICE), GATE_BROKEN);
			assert_int_equal(trip(BOB, 1), GATE_ALLOW);
		}
	}
	end_by_hand(1, STANDING_UNLOCK);
	assert_int_equal(send(ALICE, 50), GATE_ALLOW);
}

static void who_may_log_in(void **state)
{
	(void)state;
	assert_int_equal(login(ALICE), GATE_ALLOW);
	assert_int_equal(login(SPAN_LIT("eve@example.org")), GATE_UNKNOWN);
	assert_int_equal(login(SPAN_NONE), GATE_UNKNOWN);
	suspend_alice();
	assert_int_equal(login(ALICE), GATE_SUSPENDED);
	end_by_hand(1, STANDING_SPAM);
	assert_int_equal(login(ALICE), GATE_SUSPENDED);
	end_by_hand(1, STANDING_KEEP);
	assert_int_equal(login(ALICE), GATE_ALLOW);
}

/* TESTS HL25, as far as this floor goes. */
static void hl25_a_hundred_at_once(void **state)
{
	(void)state;
	const struct account account = { .secret = SPAN_LIT("x") };
	char name[32];
	struct store_txn *txn = begin();
	for (int i = 0; i < 100; i++) {
		uint64_t incident;
		struct span who = span_of(
		    name, (size_t)snprintf(name, sizeof name, "u%d@example.org", i));
		account_put(txn, who, &account);
		assert_int_equal(message(txn, who, 50, &incident), GATE_ALLOW);
		assert_int_equal(message(txn, who, 1, &incident), GATE_TRIPPED);
		assert_int_equal(incident, i + 1);
	}
	commit(txn);
	assert_aftermath("a hundred", aftermath(), .incidents = 100, .open = 100,
	                 .suspended = 100, .journal = 100);
}

int main(void)
{
#define SITE(f) cmocka_unit_test_setup_teardown(f, site, tear_down)
	const struct CMUnitTest tests[] = {
		SITE(hl21_the_message_that_breaks_it),
		SITE(hl22_in_the_same_transaction),
		SITE(what_never_fits_is_no_theft),
		SITE(a_trip_is_judged_again),
		SITE(hl23_exempt_accounts),
		SITE(without_a_postmaster),
		SITE(the_bill),
		SITE(the_limit_of_the_day_on_the_bill),
		SITE(devices),
		SITE(a_reset_ends_no_suspension),
		SITE(who_may_log_in),
		SITE(hl25_a_hundred_at_once),
	};
	return cmocka_run_group_tests_name("trip", tests, NULL, NULL);
}
