#include "test/auth/gate_help.h"

#include <pthread.h>

/* ---- patterns ---- */

static void matches_patterns(void **state)
{
	(void)state;
	static const struct {
		const char *pattern;
		const char *name;
		bool matches;
	} rows[] = {
		{ "newsletter@example.org", "newsletter@example.org", true },
		{ "Newsletter@Example.ORG", "newsletter@example.org", true },
		{ "newsletter@example.org", "NEWSLETTER@example.org", true },
		{ "newsletter@example.org", "newsletter@example.or", false },
		{ "newsletter@example.org", "newsletter@example.orgs", false },
		{ "newsletter@example.org", "xnewsletter@example.org", false },
		{ "*@lists.example.org", "a@lists.example.org", true },
		{ "*@lists.example.org", "@lists.example.org", true },
		{ "*@lists.example.org", "a@LISTS.example.org", true },
		{ "*@lists.example.org", "a@lists.example.org.evil", false },
		{ "*@lists.example.org", "a@listsxexample.org", false },
		{ "*@lists.example.org", "lists.example.org", false },
		{ "news-*", "news-", true },
		{ "news-*", "news-1@example.org", true },
		{ "news-*", "new", false },
		{ "a*b*c", "abc", true },
		{ "a*b*c", "axbxbxc", true },
		{ "a*b*c", "axcxb", false },
		{ "a*bc", "abcbcbc", true },
		{ "a**b", "ab", true },
		{ "*", "", true },
		{ "*", "anything", true },
		{ "***", "anything", true },
		{ "", "", true },
		{ "", "a", false },
		{ "a", "", false },
		{ "?", "a", false },
		{ "*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (gate_pattern_matches(span_str(rows[i].pattern), span_str(rows[i].name)) !=
		    rows[i].matches) {
			fail_msg("%s on %s", rows[i].pattern, rows[i].name);
		}
	}
}

/* ---- exactness ---- */

/* TESTS HL02: however they are cut into messages, as many recipients get through. */
static void counts_recipients_not_messages(void **state)
{
	(void)state;
	static const uint32_t sizes[] = { 1, 2, 5, 10, 25, 50 };
	const struct gate_rules rules = rules_of("50/30m", "200/24h");
	for (size_t i = 0; i < COUNT(sizes); i++) {
		for (uint32_t sent = 0; sent < 50; sent += sizes[i]) {
			assert_int_equal(send(&rules, ALICE, sizes[i]), GATE_ALLOW);
		}
		assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
		assert_int_equal(send(&rules, ALICE, 50), GATE_SPENT);
		assert_int_equal(send(&rules, ALICE, 51), GATE_NEVER);
		assert_int_equal(spent_by(&rules, ALICE, 0), 50);
		assert_int_equal(spent_by(&rules, BOB, 0), 0);
		struct store_txn *txn = begin();
		assert_int_equal(gate_reset(txn, ALICE), STORE_OK);
		commit(txn);
	}
}

/* Each who is behind a list is one, in both budgets and in every answer. */
static void counts_members(void **state)
{
	(void)state;
	static const struct {
		uint32_t recipients, members;
		enum gate_verdict want;
		uint32_t spent;
	} rows[] = {
		{ 1, 29, GATE_ALLOW, 30 },         { 2, 18, GATE_ALLOW, 50 },
		{ 1, 0, GATE_SPENT, 50 },          { 1, 49, GATE_SPENT, 50 },
		{ 1, 50, GATE_SPENT, 50 },         { 51, 0, GATE_NEVER, 50 },
		{ 1, UINT32_MAX, GATE_SPENT, 50 }, { 50, UINT32_MAX - 49, GATE_SPENT, 50 },
	};
	struct gate_rules rules = rules_of("50/30m", "200/24h");
	rules.tariff = tariff_default();
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct gate_result result;
		struct store_txn *txn = begin();
		struct act act = act_of(ALICE, rows[i].recipients);
		act.members = rows[i].members;
		assert_int_equal(gate_recipient(txn, &rules, &act), rows[i].want);
		assert_int_equal(gate_message(txn, &rules, &act, &result), rows[i].want);
		commit(txn);
		assert_int_equal(spent_by(&rules, ALICE, 0), rows[i].spent);
		assert_int_equal(spent_by(&rules, ALICE, 1), rows[i].spent);
	}
}

/* A batch of the writer: each message meets what those before it in the same transaction have
 * spent. */
static void many_messages_in_one_transaction(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("500/30m", NULL);
	struct store_txn *txn = begin();
	size_t allowed = 0;
	for (int i = 0; i < 400; i++) {
		allowed += message(txn, &rules, ALICE, 2) == GATE_ALLOW;
		assert_int_equal(message(txn, &rules, BOB, 1), GATE_ALLOW);
	}
	commit(txn);
	assert_int_equal(allowed, 250);
	assert_int_equal(spent_by(&rules, BOB, 0), 400);
}

/* TESTS HL05: what is dropped has cost nothing. */
static void an_aborted_message_costs_nothing(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("50/30m", NULL);
	for (int i = 0; i < 1000; i++) {
		struct store_txn *txn = begin();
		assert_int_equal(message(txn, &rules, ALICE, 50), GATE_ALLOW);
		store_abort(txn);
	}
	assert_int_equal(spent_by(&rules, ALICE, 0), 0);
}

/* The courtesy at RCPT writes nothing: it runs in a transaction that only reads. */
static void a_recipient_only_reads(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("50/30m", NULL);
	static const struct {
		uint32_t recipients;
		enum gate_verdict verdict;
	} rows[] = {
		{ 1, GATE_ALLOW },
		{ 10, GATE_ALLOW },
		{ 11, GATE_SPENT },
		{ 51, GATE_NEVER },
	};
	assert_int_equal(send(&rules, ALICE, 40), GATE_ALLOW);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct store_txn *txn = store_begin_read(store, NULL);
		assert_int_equal(ask(txn, &rules, ALICE, rows[i].recipients), rows[i].verdict);
		store_abort(txn);
	}
	assert_int_equal(spent_by(&rules, ALICE, 0), 40);
}

static pthread_mutex_t writer = PTHREAD_MUTEX_INITIALIZER;

static void *race(void *arg)
{
	const struct gate_rules rules = rules_of("50/30m", NULL);
	size_t *allowed = arg;
	for (int i = 0; i < 12; i++) {
		pthread_mutex_lock(&writer);
		struct store_txn *txn = store_begin_write(store, NULL);
		*allowed += message(txn, &rules, ALICE, 1) == GATE_ALLOW;
		store_commit(txn, NULL);
		pthread_mutex_unlock(&writer);
	}
	return NULL;
}

/* TESTS HL03, as far as this floor goes. */
static void a_race_of_sessions(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		pthread_t threads[8];
		size_t allowed[COUNT(threads)] = { 0 };
		size_t sum = 0;
		for (size_t i = 0; i < COUNT(threads); i++) {
			int code = pthread_create(&threads[i], NULL, race, &allowed[i]);
			assert_int_equal(code, 0);
		}
		for (size_t i = 0; i < COUNT(threads); i++) {
			pthread_join(threads[i], NULL);
			sum += allowed[i];
		}
		assert_int_equal(sum, 50);
		fake_clock_pass(31 * MINUTE);
	}
}

/* ---- rules ---- */

static void exempt_accounts(void **state)
{
	(void)state;
	static const struct span exempt[] = {
		{ "newsletter@example.org", 22 },
		{ "BOB@*", 5 },
	};
	struct gate_rules rules = rules_of("50/30m", NULL);
	struct gate_view view;
	rules.exempt = exempt;
	rules.nexempt = COUNT(exempt);
	assert_int_equal(send(&rules, BOB, 4000), GATE_ALLOW);
	assert_int_equal(send(&rules, BOB, 4000), GATE_ALLOW);
	assert_int_equal(spent_by(&rules, BOB, 0), 8000);
	assert_int_equal(send(&rules, ALICE, 4000), GATE_NEVER);
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, &rules, BOB, store_now(store), &view), GATE_ALLOW);
	assert_true(view.exempt);
	assert_int_equal(gate_show(txn, &rules, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_false(view.exempt);
	/* There is no exemption from being an account. */
	assert_int_equal(gate_show(txn, &rules, SPAN_LIT("newsletter@example.org"), 0, &view),
	                 GATE_UNKNOWN);
	store_abort(txn);
	rules.nexempt = 0; /* a reload: what was sent as an exempt account counts */
	assert_int_equal(send(&rules, BOB, 1), GATE_SPENT);
}

static void set_limit(const char *text)
{
	struct budget_limits limits = { .count = 0 };
	if (text) {
		limits = rules_of(text, NULL).limits;
	}
	struct store_txn *txn = begin();
	assert_int_equal(gate_limit(txn, ALICE, &limits), STORE_OK);
	commit(txn);
}

/* The account's own limits win; use goes on through every change (TESTS HL20). */
static void own_limits(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("50/30m", NULL);
	struct account account;
	assert_int_equal(send(&rules, ALICE, 50), GATE_ALLOW);
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	set_limit("80/30m");
	assert_int_equal(send(&rules, ALICE, 30), GATE_ALLOW);
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	set_limit("10/30m"); /* below what was spent */
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	assert_int_equal(send(&rules, ALICE, 11), GATE_NEVER);
	assert_int_equal(spent_by(&rules, ALICE, 0), 80);
	set_limit("100/2h"); /* another window */
	assert_int_equal(send(&rules, ALICE, 20), GATE_ALLOW);
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	set_limit(NULL);
	assert_int_equal(send(&rules, ALICE, 51), GATE_NEVER);
	fake_clock_pass(33 * MINUTE); /* a slot of 2h is two minutes */
	assert_int_equal(send(&rules, ALICE, 50), GATE_ALLOW);
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(account_get(txn, ALICE, &account), STORE_OK);
	assert_true(span_eq(account.secret, SPAN_LIT("x"))); /* nothing else has changed */
	assert_int_equal(account.limits.len, 0);
	store_abort(txn);
}

/* A device's limits stand where the site's do; the admin's for the account win. */
static void devices(void **state)
{
	(void)state;
	struct gate_rules rules = rules_of("50/30m", NULL);
	const struct gate_device rows[] = {
		{ .account = ALICE, .limits = rules_of("5/1h", "8/24h").limits },
		{ .account = BOB, .action = GATE_ACTION_DEFER },
	};
	struct gate_view view;
	rules.devices = rows;
	rules.ndevices = COUNT(rows);
	assert_int_equal(send(&rules, ALICE, 5), GATE_ALLOW);
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	assert_int_equal(send(&rules, ALICE, 6), GATE_NEVER);
	assert_int_equal(send(&rules, BOB, 50), GATE_ALLOW);
	assert_int_equal(send(&rules, BOB, 1), GATE_DEFER);
	assert_int_equal(send(&rules, BOB, 51), GATE_NEVER);
	fake_clock_pass(HOUR + 2 * MINUTE);
	assert_int_equal(send(&rules, ALICE, 4), GATE_SPENT); /* the day's */
	assert_int_equal(send(&rules, ALICE, 3), GATE_ALLOW);
	assert_int_equal(send(&rules, BOB, 50), GATE_ALLOW);
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, &rules, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_ptr_equal(view.device, &rows[0]);
	assert_int_equal(view.limits.count, 2);
	assert_int_equal(view.spent[1], 8);
	store_abort(txn);
	set_limit("60/1h");
	assert_int_equal(send(&rules, ALICE, 50), GATE_ALLOW);
	rules.ndevices = 0; /* a reload: it is an account as any other */
	set_limit(NULL);
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	assert_int_equal(send(&rules, BOB, 1), GATE_SPENT);
	txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, &rules, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_null(view.device);
	store_abort(txn);
}

static void no_limits_at_all(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of(NULL, NULL);
	assert_int_equal(send(&rules, ALICE, UINT32_MAX), GATE_ALLOW);
	assert_int_equal(send(&rules, ALICE, UINT32_MAX), GATE_ALLOW);
}

static void shows_an_account(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("500/30m", "2000/24h");
	struct gate_view view;
	assert_int_equal(send(&rules, ALICE, 7), GATE_ALLOW);
	fake_clock_pass(HOUR);
	assert_int_equal(send(&rules, ALICE, 5), GATE_ALLOW);
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, &rules, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_false(view.own_limits);
	assert_int_equal(view.limits.count, 2);
	assert_int_equal(view.spent[0], 5);
	assert_int_equal(view.spent[1], 12);
	store_abort(txn);
	set_limit("9/1h");
	txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, &rules, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_true(view.own_limits);
	assert_int_equal(view.limits.count, 1);
	assert_int_equal(view.limits.limit[0].tokens, 9);
	store_abort(txn);
}

static void an_account_that_is_not_there(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("50/30m", NULL);
	struct store_txn *txn = begin();
	assert_int_equal(message(txn, &rules, ALICE, 50), GATE_ALLOW);
	assert_int_equal(account_delete(txn, ALICE), STORE_OK);
	commit(txn);
	assert_int_equal(send(&rules, ALICE, 1), GATE_UNKNOWN);
	assert_int_equal(send(&rules, SPAN_LIT("eve@example.org"), 1), GATE_UNKNOWN);
	assert_int_equal(send(&rules, SPAN_NONE, 1), GATE_UNKNOWN);
	txn = begin();
	assert_int_equal(gate_reset(txn, ALICE), STORE_NOT_FOUND);
	assert_int_equal(gate_limit(txn, ALICE, &rules.limits), STORE_NOT_FOUND);
	const struct account again = { .secret = SPAN_LIT("y") };
	account_put(txn, ALICE, &again); /* another person of that name begins anew */
	commit(txn);
	assert_int_equal(spent_by(&rules, ALICE, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_patterns),
		TEST(counts_recipients_not_messages),
		TEST(counts_members),
		TEST(many_messages_in_one_transaction),
		TEST(an_aborted_message_costs_nothing),
		TEST(a_recipient_only_reads),
		TEST(a_race_of_sessions),
		TEST(exempt_accounts),
		TEST(own_limits),
		TEST(devices),
		TEST(no_limits_at_all),
		TEST(shows_an_account),
		TEST(an_account_that_is_not_there),
	};
	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
