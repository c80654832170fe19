#include "auth/drill.h"

#include "test/auth/unlock_help.h"

static void begin_drill(void)
{
	struct store_txn *txn = begin();
	assert_int_equal(drill_begin(txn, &to_postmasters, store_now(store), fake_clock.wall),
	                 STORE_OK);
	commit(txn);
	unlock_drill_token(&rules.key, store_now(store), token);
}

static struct meta_drill the_drill(void)
{
	struct meta_drill drill = { .sent_at = 0 };
	struct store_txn *txn = store_begin_read(store, NULL);
	meta_drill_get(txn, &drill);
	store_abort(txn);
	return drill;
}

static enum unlock_verdict redeem_drill(const struct unlock_answer *answer)
{
	struct store_txn *txn = begin();
	enum unlock_verdict verdict = drill_redeem(txn, &rules, answer);
	commit(txn);
	return verdict;
}

static struct unlock_answer drill_answer(void)
{
	struct unlock_answer answer = good_answer(DRILL_INCIDENT);
	answer.way = SPAN_LIT("submission");
	answer.client = SPAN_LIT("192.0.2.7");
	return answer;
}

/* What an answer would have done, in the report; and whether the drill has passed by it. */
static void a_drill_reports(void **state)
{
	static const struct {
		const char *login, *from;
		enum orders_kind kind;
		enum order order;
		bool word_required;
		int64_t later;
		enum unlock_verdict verdict;
		const char *says;
	} rows[] = {
		{ "postmaster@example.org", "", ORDERS_HUMAN, ORDER_UNLOCK, false, 0,
		  UNLOCK_DONE, "read as unlock: it would have unlocked the account, and sent" },
		{ "ops", "", ORDERS_HUMAN, ORDER_EMPTY, false, 0, UNLOCK_DONE,
		  "would have unlocked the account, and sent" },
		{ "", "jane@it.example.org", ORDERS_HUMAN, ORDER_OTHER, false, 0, UNLOCK_DONE,
		  "mail would have stayed" },
		{ "ops", "", ORDERS_HUMAN, ORDER_SPAM, true, 0, UNLOCK_DONE,
		  "the account would have stayed suspended" },
		{ "ops", "", ORDERS_HUMAN, ORDER_NO, true, 0, UNLOCK_DONE,
		  "would have changed nothing" },
		{ "ops", "", ORDERS_HUMAN, ORDER_EMPTY, true, 0, UNLOCK_NO_WORD,
		  "not have counted: it begins with none of the words" },
		{ "bob@example.org", "ops", ORDERS_HUMAN, ORDER_UNLOCK, false, 0,
		  UNLOCK_STRANGER, "not have counted: it came from nobody in may_unlock" },
		{ "", "", ORDERS_HUMAN, ORDER_UNLOCK, false, 0, UNLOCK_STRANGER,
		  "was given by somebody" },
		{ "ops", "", ORDERS_MACHINE, ORDER_UNLOCK, false, 0, UNLOCK_MACHINE,
		  "read as machine mail: it would not have counted" },
		{ "ops", "", ORDERS_HUMAN, ORDER_UNLOCK, false, 13 * DAY, UNLOCK_DONE,
		  "would have unlocked" },
		{ "ops", "", ORDERS_HUMAN, ORDER_UNLOCK, false, 14 * DAY, UNLOCK_EXPIRED,
		  "older than 14 days" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		anew(state);
		struct arena arena;
		begin_drill();
		fake_clock_pass(rows[i].later);
		struct unlock_answer answer = drill_answer();
		answer.login = span_str(rows[i].login);
		answer.from = span_str(rows[i].from);
		answer.kind = rows[i].kind;
		answer.order = rows[i].order;
		rules.word_required = rows[i].word_required;
		assert_int_equal(redeem_drill(&answer), rows[i].verdict);
		assert_int_equal(the_drill().passed_wall,
		                 rows[i].verdict == UNLOCK_DONE ? fake_clock.wall : 0);
		assert_aftermath(rows[i].says, aftermath(), .journal = 1);
		arena_init(&arena, ARENA_MAX);
		struct span note = last_note(QUEUE_NOTICE_DRILLED, &arena);
		assert_true(holds(note, rows[i].says));
		assert_true(holds(note, "by submission from 192.0.2.7"));
		arena_done(&arena);
	}
}

/* It is the token of no incident, an incident's is none of a drill, and only the last counts.
 */
static void a_drill_ends_nothing(void **state)
{
	(void)state;
	char first[UNLOCK_TOKEN_LEN + 1], alice[UNLOCK_TOKEN_LEN + 1];
	struct unlock_answer answer = drill_answer();
	answer.tag.token = SPAN_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_int_equal(redeem_drill(&answer), UNLOCK_WRONG); /* before there is one */
	uint64_t incident = suspend_with_token();
	memcpy(alice, token, sizeof alice);
	begin_drill();
	memcpy(first, token, sizeof first);
	answer = good_answer(incident);
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
	answer = drill_answer();
	answer.tag.token = span_str(alice);
	assert_int_equal(redeem_drill(&answer), UNLOCK_WRONG);
	answer.tag.token = span_str(token);
	assert_int_equal(redeem_drill(&answer), UNLOCK_DONE);
	int64_t passed = the_drill().passed_wall;
	fake_clock_pass(MINUTE);
	begin_drill();
	answer.tag.token = span_str(first);
	assert_int_equal(redeem_drill(&answer), UNLOCK_WRONG);
	assert_int_equal(the_drill().passed_wall, passed);
	assert_int_equal(aftermath().incident, incident);
}

static void an_echo_of_a_drill_dies_away(void **state)
{
	(void)state;
	begin_drill();
	struct unlock_answer answer = drill_answer();
	answer.kind = ORDERS_MACHINE;
	for (size_t i = 0; i < DRILL_ANSWERS_MAX + 10; i++) {
		assert_int_equal(redeem_drill(&answer), UNLOCK_MACHINE);
	}
	assert_int_equal(aftermath().journal, DRILL_ANSWERS_MAX);
	answer.kind = ORDERS_HUMAN;
	assert_int_equal(redeem_drill(&answer), UNLOCK_DONE);
	assert_int_equal(the_drill().passed_wall, fake_clock.wall);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(a_drill_reports),
		SITE(a_drill_ends_nothing),
		SITE(an_echo_of_a_drill_dies_away),
	};
	return cmocka_run_group_tests_name("drill", tests, NULL, NULL);
}
