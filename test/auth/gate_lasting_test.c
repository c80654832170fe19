/* What was spent outlasts restarts, clocks that step and kills; damage allows nothing. */
#include "test/auth/gate_help.h"

#define YEAR (365 * DAY)

/* ---- damage: TESTS HL17 ---- */

static enum gate_verdict send_once(const struct gate_rules *rules, struct span account)
{
	struct store_txn *txn = begin();
	enum gate_verdict verdict = message(txn, rules, account, 1);
	store_abort(txn);
	return verdict;
}

/* Nothing that is learned from an answer may be the end of the transaction that notes it. */
static void what_was_sent_is_noted(const struct gate_rules *rules)
{
	static const uint64_t contact = 7;
	struct gate_result result;
	struct act act = act_of(ALICE, 1);
	act.contact = &contact;
	act.ncontacts = 1;
	const struct familiar_lesson lesson = {
		.account = ALICE, .contact = &contact, .n = 1, .now = act.now
	};
	struct store_txn *txn = begin();
	gate_learn(txn, rules, &lesson);
	if (!gate_was_held(txn, ALICE, act.now)) {
		gate_refused(txn, rules, &act, &result);
	}
	assert_int_equal(store_txn_result(txn), STORE_OK);
	store_abort(txn);
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
		what_was_sent_is_noted(&rules);
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
		TEST(damage_is_never_allowed),
		TEST(use_survives_a_restart),
		TEST(clocks_that_step),
		TEST(killed_while_charging),
	};
	return cmocka_run_group_tests_name("gate_lasting", tests, NULL, NULL);
}
