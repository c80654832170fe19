#include "auth/gate.h"

#include "test/auth/fresh_store.h"

#include <pthread.h>

#define YEAR (365 * DAY)

static struct gate_rules rules_of(const char *first, const char *second)
{
	const char *texts[] = { first, second };
	const char *reason = "";
	struct gate_rules rules = { .nexempt = 0 };
	for (size_t i = 0; i < COUNT(texts) && texts[i]; i++) {
		assert_true(budget_limit_parse(
		    span_str(texts[i]), &rules.limits.limit[rules.limits.count++], &reason));
	}
	return rules;
}

static struct act act_of(struct span account, uint32_t recipients)
{
	return (struct act){ .account = account,
		             .recipients = recipients,
		             .client = SPAN_LIT("192.0.2.7"),
		             .subject = SPAN_LIT("hello"),
		             .now = store_now(store),
		             .wall = fake_clock.wall };
}

static enum gate_verdict message(struct store_txn *txn, const struct gate_rules *rules,
                                 struct span account, uint32_t recipients)
{
	struct gate_result result;
	const struct act act = act_of(account, recipients);
	return gate_message(txn, rules, &act, &result);
}

static enum gate_verdict ask(struct store_txn *txn, const struct gate_rules *rules,
                             struct span account, uint32_t recipients)
{
	struct act act = act_of(account, recipients);
	return gate_recipient(txn, rules, &act);
}

/* One message, in a commit of its own. */
static enum gate_verdict send(const struct gate_rules *rules, struct span account,
                              uint32_t recipients)
{
	struct store_txn *txn = begin();
	enum gate_verdict courtesy = ask(txn, rules, account, recipients);
	enum gate_verdict verdict = message(txn, rules, account, recipients);
	assert_int_equal(courtesy, verdict);
	commit(txn);
	return verdict;
}

static uint32_t spent_by(const struct gate_rules *rules, struct span account, size_t limit)
{
	struct gate_view view = { .exempt = false };
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, rules, account, store_now(store), &view), GATE_ALLOW);
	store_abort(txn);
	assert_true(limit < view.limits.count);
	return view.spent[limit];
}

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

/* ---- damage: TESTS HL17 ---- */

static enum gate_verdict send_once(const struct gate_rules *rules, struct span account)
{
	struct store_txn *txn = begin();
	enum gate_verdict verdict = message(txn, rules, account, 1);
	store_abort(txn);
	return verdict;
}

static void damage_is_never_allowed(void **state)
{
	(void)state;
	static const struct span exempt[] = { { "*", 1 } };
	static const struct {
		const char *what;
		enum store_table table;
		struct span row;
	} rows[] = {
		{ "ledger of nothing", STORE_LEDGER, SPAN_LIT("\x01\x00") },
		{ "ledger of a newer version", STORE_LEDGER, SPAN_LIT("\x63") },
		{ "ledger cut off", STORE_LEDGER, SPAN_LIT("\x01\x00\x05\x01") },
		{ "budget of garbage", STORE_LEDGER, SPAN_LIT("\x01\x00\x03\xff\xff\xff") },
		{ "budget without slots", STORE_LEDGER, SPAN_LIT("\x01\x00\x02\x01\x01") },
		{ "standing of garbage", STORE_LEDGER, SPAN_LIT("\x01\x01\x01\x07") },
		{ "facts of garbage", STORE_LEDGER, SPAN_LIT("\x01\x02\x01\xff") },
		{ "account of a newer version", STORE_ACCOUNT, SPAN_LIT("\x63") },
		{ "account cut off", STORE_ACCOUNT, SPAN_LIT("\x01\x00\x05\x01") },
		{ "limits of garbage", STORE_ACCOUNT, SPAN_LIT("\x01\x01\x02\xff\xff") },
		{ "a limit of nothing", STORE_ACCOUNT, SPAN_LIT("\x01\x01\x02\x00\x00") },
	};
	struct gate_rules rules = rules_of("50/30m", NULL);
	rules.exempt = exempt;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct store_txn *txn = begin();
		store_put(txn, rows[i].table, ALICE, rows[i].row);
		commit(txn);
		for (rules.nexempt = 0; rules.nexempt <= 1; rules.nexempt++) {
			struct gate_view view;
			enum gate_verdict verdict = send_once(&rules, ALICE);
			if (verdict != GATE_BROKEN) {
				fail_msg("%s: %d", rows[i].what, verdict);
			}
			assert_int_equal(send_once(&rules, BOB), GATE_ALLOW);
			txn = store_begin_read(store, NULL);
			assert_int_equal(ask(txn, &rules, ALICE, 1), GATE_BROKEN);
			assert_int_equal(gate_show(txn, &rules, ALICE, 5, &view), GATE_BROKEN);
			store_abort(txn);
		}
		const struct account good = { .secret = SPAN_LIT("x") };
		txn = begin();
		account_put(txn, ALICE, &good);
		assert_int_equal(gate_reset(txn, ALICE), STORE_OK); /* what the admin does */
		commit(txn);
		assert_int_equal(send_once(&rules, ALICE), GATE_ALLOW);
	}
}

/* ---- time ---- */

static void use_survives_a_restart(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("50/30m", "60/24h");
	for (int i = 0; i < 50; i++) {
		assert_int_equal(send(&rules, ALICE, 1), GATE_ALLOW);
		if (i % 10 == 0) {
			reopen_store();
		}
	}
	reopen_store();
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	fake_clock_pass(31 * MINUTE);
	assert_int_equal(send(&rules, ALICE, 10), GATE_ALLOW);
	assert_int_equal(send(&rules, ALICE, 1), GATE_SPENT);
	reopen_store();
	assert_int_equal(spent_by(&rules, ALICE, 0), 10);
	assert_int_equal(spent_by(&rules, ALICE, 1), 60);
}

/* TESTS HL13 and HL14. 50 are spent; then the clocks are moved, the process starts again or
 * not, the machine with it or not; how much of an hour's budget is free? */
static void clocks_that_step(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t wall; /* step */
		bool restart;
		bool reboot; /* the clock since boot begins anew */
		int64_t down;
		uint32_t spent;
		int64_t back_in; /* when all is free again */
	} rows[] = {
		{ "an hour on", HOUR, false, false, 0, 50, 62 * MINUTE },
		{ "an hour back", -HOUR, false, false, 0, 50, 62 * MINUTE },
		{ "ten years on", 10 * YEAR, false, false, 0, 50, 62 * MINUTE },
		{ "to 1970", -1700000000000, false, false, 0, 50, 62 * MINUTE },
		{ "restart", 0, true, false, 0, 50, 62 * MINUTE },
		{ "restart, down for 30m", 0, true, false, 30 * MINUTE, 50, 32 * MINUTE },
		{ "restart, down for 2h", 0, true, false, 2 * HOUR, 0, 0 },
		{ "restart, an hour back", -HOUR, true, false, 0, 50, 62 * MINUTE },
		{ "restart, to 1970", -1700000000000, true, false, 0, 50, 62 * MINUTE },
		{ "restart, ten years on", 10 * YEAR, true, false, 0, 0, 0 },
		{ "reboot", 0, true, true, MINUTE, 50, 61 * MINUTE },
		{ "reboot, down for 2h", 0, true, true, 2 * HOUR, 0, 0 },
		{ "reboot without a clock", -1700000000000, true, true, 2 * HOUR, 50,
		  62 * MINUTE },
	};
	const struct gate_rules rules = rules_of("50/1h", NULL);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct store_txn *txn = begin();
		gate_reset(txn, ALICE);
		commit(txn);
		assert_int_equal(send(&rules, ALICE, 50), GATE_ALLOW);
		int64_t before = store_now(store);
		fake_clock.wall += rows[i].wall;
		fake_clock_pass(rows[i].down);
		if (rows[i].reboot) {
			fake_clock.boot = 5000;
		}
		if (rows[i].restart) {
			reopen_store();
		}
		int64_t moved = store_now(store) - before;
		if (moved < 0 || moved > DAY || spent_by(&rules, ALICE, 0) != rows[i].spent) {
			fail_msg("%s: T moved by %lld ms, %u spent", rows[i].what,
			         (long long)moved, spent_by(&rules, ALICE, 0));
		}
		fake_clock_pass(rows[i].back_in);
		assert_int_equal(spent_by(&rules, ALICE, 0), 0);
		fake_clock.wall = 1700000000000;
	}
}

/* ---- TESTS HL15: killed at any place, at least what was answered has been charged ---- */

static void charge_until_killed(int answers)
{
	const struct gate_rules rules = rules_of("10000000/30m", NULL);
	for (;;) {
		struct store_txn *txn = store_begin_write(store, NULL);
		bool ok = txn && message(txn, &rules, ALICE, 1) == GATE_ALLOW;
		if (!ok || store_commit(txn, NULL) != STORE_OK || write(answers, "2", 1) != 1) {
			_exit(1);
		}
	}
}

static size_t kill_after(size_t want)
{
	int answers[2];
	char byte;
	size_t answered = 0;
	assert_int_equal(pipe(answers), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(answers[0]);
		open_store();
		charge_until_killed(answers[1]);
	}
	close(answers[1]);
	while (answered < want && read(answers[0], &byte, 1) == 1) {
		answered++;
	}
	kill(pid, SIGKILL);
	while (read(answers[0], &byte, 1) == 1) {
		answered++;
	}
	close(answers[0]);
	waitpid(pid, NULL, 0);
	return answered;
}

static void killed_while_charging(void **state)
{
	(void)state;
	const struct gate_rules rules = rules_of("10000000/30m", NULL);
	size_t answered = 0;
	uint32_t spent = 0;
	for (size_t round = 0; round < 40; round++) {
		store_close(store);
		answered += kill_after(1 + round * 7 % 13);
		open_store();
		spent = spent_by(&rules, ALICE, 0);
		assert_true(spent >= answered);
		assert_true(spent <= answered + round + 1); /* one in flight a kill */
	}
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
		TEST(damage_is_never_allowed),
		TEST(use_survives_a_restart),
		TEST(clocks_that_step),
		TEST(killed_while_charging),
	};
	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
