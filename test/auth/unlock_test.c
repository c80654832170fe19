#include "test/auth/unlock_help.h"

#include "auth/gate.h"

/* ---- tokens: TESTS UN02, UN03 ---- */

static void tokens_are_derived(void **state)
{
	(void)state;
	static const struct {
		struct span account;
		uint64_t incident;
		const char *token;
	} rows[] = {
		{ { "alice@example.org", 17 }, 1, "uxtvrp45jr3d3y7oern6nitona" },
		{ { "alice@example.org", 17 }, 2, "3i23hoeypfwc3hou6vsn6p33yq" },
		{ { "bob@example.org", 15 }, 1, "n3bbxxt3pihsy6n7s5niku37qa" },
	};
	char got[UNLOCK_TOKEN_LEN + 1];
	for (size_t i = 0; i < COUNT(rows); i++) {
		unlock_token(&rules.key, rows[i].account, rows[i].incident, got);
		assert_string_equal(got, rows[i].token);
	}
	rules.key.bytes[31] ^= 1;
	unlock_token(&rules.key, ALICE, 1, got);
	assert_string_not_equal(got, rows[0].token);
}

static void un02_the_store_holds_no_token(void **state)
{
	(void)state;
	char path[96];
	char want[UNLOCK_TOKEN_LEN + 1];
	suspend_with_token();
	memcpy(want, token, sizeof want);
	snprintf(path, sizeof path, "%s/data.mdb", dir);
	FILE *file = fopen(path, "r");
	struct buf all = { .cap = 64 << 20 };
	char *at = buf_reserve(&all, 32 << 20);
	buf_grow(&all, fread(at, 1, 32 << 20, file));
	fclose(file);
	assert_non_null(memmem(all.ptr, all.len, ALICE.ptr, ALICE.len));
	assert_null(memmem(all.ptr, all.len, want, UNLOCK_TOKEN_LEN));
	buf_done(&all);
}

static void un03_each_letter_counts(void **state)
{
	(void)state;
	struct unlock_answer answer = good_answer(suspend_with_token());
	char wrong[UNLOCK_TOKEN_LEN + 2];
	answer.tag.token = span_of(wrong, UNLOCK_TOKEN_LEN);
	for (size_t i = 0; i < UNLOCK_TOKEN_LEN; i++) {
		for (const char *c = "abcdefghijklmnopqrstuvwxyz234567=018 "; *c; c++) {
			memcpy(wrong, token, sizeof token);
			wrong[i] = *c;
			if (*c != token[i]) {
				assert_int_equal(redeem(&answer), UNLOCK_WRONG);
			}
		}
	}
	memcpy(wrong, token, UNLOCK_TOKEN_LEN);
	wrong[UNLOCK_TOKEN_LEN] = 'a';
	for (size_t len = 0; len <= UNLOCK_TOKEN_LEN + 1; len++) {
		answer.tag.token = span_of(wrong, len);
		if (len != UNLOCK_TOKEN_LEN) {
			assert_int_equal(redeem(&answer), UNLOCK_WRONG);
		}
	}
	assert_aftermath("untouched", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .suspended = 1, .journal = 1);
	for (size_t i = 0; i < UNLOCK_TOKEN_LEN; i++) { /* a gateway shouts */
		wrong[i] = (char)(token[i] >= 'a' ? token[i] - 'a' + 'A' : token[i]);
	}
	answer.tag.token = span_of(wrong, UNLOCK_TOKEN_LEN);
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
}

/* TESTS UN04: of another account, another incident, nobody; used; ended by hand. */
static void un04_a_token_is_for_one_incident(void **state)
{
	(void)state;
	const uint64_t first = suspend_with_token();
	char bob[UNLOCK_TOKEN_LEN + 1];
	unlock_token(&rules.key, BOB, first, bob);
	struct unlock_answer answer = good_answer(first);
	answer.tag.token = span_str(bob);
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
	answer = good_answer(first + 1);
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
	answer = good_answer(0);
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
	answer = good_answer(first);
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
	assert_int_equal(redeem(&answer), UNLOCK_SPENT);
	suspend_alice();
	assert_int_equal(redeem(&answer), UNLOCK_SPENT);
	answer.tag.incident = first + 1; /* with the first's token */
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
	assert_int_equal(aftermath().incident, first + 1);
	end_by_hand(first + 1, STANDING_UNLOCK);
	unlock_token(&rules.key, ALICE, first + 1, token);
	assert_int_equal(redeem(&answer), UNLOCK_SPENT);
	assert_int_equal(aftermath().incident, 0);
}

/* Looking for an incident that does not exist takes a token as well; not even that one helps.
 */
static void un04_there_is_no_such_incident(void **state)
{
	(void)state;
	suspend_with_token();
	unlock_token(&rules.key, SPAN_LIT("nobody@example.org"), 99, token);
	struct unlock_answer answer = good_answer(99);
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
}

static void un04_an_account_that_is_gone(void **state)
{
	(void)state;
	const struct account again = { .secret = SPAN_LIT("y") };
	struct unlock_answer answer = good_answer(suspend_with_token());
	struct store_txn *txn = begin();
	assert_int_equal(account_delete(txn, ALICE), STORE_OK);
	commit(txn);
	assert_int_equal(redeem(&answer), UNLOCK_SPENT);
	txn = begin();
	account_put(txn, ALICE, &again); /* another person */
	commit(txn);
	assert_int_equal(redeem(&answer), UNLOCK_SPENT);
}

static void a_token_lives_for_14_days(void **state)
{
	static const struct {
		int64_t after;
		enum unlock_verdict verdict;
	} rows[] = {
		{ 0, UNLOCK_DONE },
		{ 14 * DAY - 1, UNLOCK_DONE },
		{ 14 * DAY, UNLOCK_EXPIRED },
		{ 400 * DAY, UNLOCK_EXPIRED },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		anew(state);
		uint64_t incident = suspend_with_token();
		fake_clock_pass(rows[i].after);
		struct unlock_answer answer = good_answer(incident);
		assert_int_equal(redeem(&answer), rows[i].verdict);
		assert_int_equal(aftermath().incident != 0, rows[i].verdict != UNLOCK_DONE);
	}
}

/* TESTS UN21: another key, another token. */
static void un21_a_lost_key(void **state)
{
	(void)state;
	struct unlock_answer answer = good_answer(suspend_with_token());
	secret_random(rules.key.bytes, SECRET_BYTES);
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
	end_by_hand(1, STANDING_UNLOCK);
	assert_int_equal(aftermath().incident, 0);
}

/* ---- who: TESTS UN01, UN06, UN07, UN09, UN10, UN22, UN24 ---- */

static void who_may_answer(void **state)
{
	static const struct {
		const char *what, *login, *sender, *from;
		enum orders_kind kind;
		enum unlock_verdict verdict;
	} rows[] = {
		{ "un01 postmaster", "postmaster@example.org", "", "", ORDERS_HUMAN,
		  UNLOCK_DONE },
		{ "in another case", "Postmaster@EXAMPLE.org", "", "", ORDERS_HUMAN,
		  UNLOCK_DONE },
		{ "by a pattern", "kim@it.example.org", "", "", ORDERS_HUMAN, UNLOCK_DONE },
		{ "by a name", "OPS", "", "", ORDERS_HUMAN, UNLOCK_DONE },
		{ "un06 itself", "alice@example.org", "", "", ORDERS_HUMAN, UNLOCK_SELF },
		{ "un06 itself, with a detail", "", "alice+work@example.org", "", ORDERS_HUMAN,
		  UNLOCK_SELF },
		{ "un06 itself, as the postmaster", "Alice@Example.ORG",
		  "postmaster@example.org", "postmaster@example.org", ORDERS_HUMAN,
		  UNLOCK_SELF },
		{ "un07 another user", "bob@example.org", "", "", ORDERS_HUMAN,
		  UNLOCK_STRANGER },
		{ "un09 forged by a user", "bob@example.org", "postmaster@example.org",
		  "postmaster@example.org", ORDERS_HUMAN, UNLOCK_STRANGER },
		{ "un24 envelope sender", "", "jane@it.example.org", "", ORDERS_HUMAN,
		  UNLOCK_DONE },
		{ "un24 From", "", "jane@home.example.net", "Jane@it.example.org", ORDERS_HUMAN,
		  UNLOCK_DONE },
		{ "un24 a stranger", "", "eve@example.net", "eve@example.net", ORDERS_HUMAN,
		  UNLOCK_STRANGER },
		{ "un24 nearly", "", "jane@it.example.org.example.net", "", ORDERS_HUMAN,
		  UNLOCK_STRANGER },
		{ "un24 itself in the envelope", "", "alice@example.org", "jane@it.example.org",
		  ORDERS_HUMAN, UNLOCK_SELF },
		{ "un24 itself in From", "", "jane@it.example.org", "alice@example.org",
		  ORDERS_HUMAN, UNLOCK_SELF },
		{ "un24 nobody at all", "", "", "", ORDERS_HUMAN, UNLOCK_STRANGER },
		{ "un10 a machine", "postmaster@example.org", "", "", ORDERS_MACHINE,
		  UNLOCK_MACHINE },
		{ "un10 a stranger's machine", "", "", "", ORDERS_MACHINE, UNLOCK_MACHINE },
		{ "un10 its own machine", "alice@example.org", "", "", ORDERS_MACHINE,
		  UNLOCK_MACHINE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		anew(state);
		struct unlock_answer answer = good_answer(suspend_with_token());
		answer.login = span_str(rows[i].login);
		answer.sender = span_str(rows[i].sender);
		answer.from = span_str(rows[i].from);
		answer.kind = rows[i].kind;
		enum unlock_verdict verdict = redeem(&answer);
		if (verdict != rows[i].verdict) {
			fail_msg("%s: %s", rows[i].what, unlock_verdict_name(verdict));
		}
		size_t done = verdict == UNLOCK_DONE;
		assert_aftermath(rows[i].what, aftermath(), .incident = !done, .incidents = 1,
		                 .open = !done, .suspended = 1, .ended = done,
		                 .ignored = !done && verdict != UNLOCK_MACHINE, .journal = 2);
	}
}

/* A pattern of all is no licence for a null sender. */
static void an_empty_name_matches_nothing(void **state)
{
	(void)state;
	static const struct span all[] = { { "*", 1 } };
	rules.may_unlock = all;
	rules.nmay_unlock = 1;
	struct unlock_answer answer = good_answer(suspend_with_token());
	answer.login = SPAN_NONE;
	assert_int_equal(redeem(&answer), UNLOCK_STRANGER);
	answer.from = SPAN_LIT("anybody@example.net");
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
}

/* A * in a postmaster's address is a letter. */
static void a_postmaster_is_no_pattern(void **state)
{
	(void)state;
	static const struct span star[] = { { "*@example.org", 13 } };
	struct unlock_answer answer = good_answer(suspend_with_token());
	rules.suspend.postmaster = star;
	rules.suspend.npostmaster = 1;
	answer.login = BOB;
	assert_int_equal(redeem(&answer), UNLOCK_STRANGER);
	answer.login = star[0];
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
}

/* ---- what ---- */

static void each_order(void **state)
{
	static const struct {
		enum order order;
		bool word_required;
		enum unlock_verdict verdict;
		bool good;
		size_t ready, held;
		const char *says;
	} rows[] = {
		{ ORDER_UNLOCK, false, UNLOCK_DONE, true, 3, 0, "on its way" },
		{ ORDER_UNLOCK, true, UNLOCK_DONE, true, 3, 0, "on its way" },
		{ ORDER_KEEP, false, UNLOCK_DONE, true, 0, 3,
		  "queue discard alice@example.org'" },
		{ ORDER_KEEP, true, UNLOCK_DONE, true, 0, 3,
		  "queue release alice@example.org'" },
		{ ORDER_OTHER, false, UNLOCK_DONE, true, 0, 3, "was not said" },
		{ ORDER_OTHER, true, UNLOCK_NO_WORD, false, 0, 3, "" },
		{ ORDER_UNREADABLE, false, UNLOCK_DONE, true, 0, 3, "could not be read" },
		{ ORDER_UNREADABLE, true, UNLOCK_NO_WORD, false, 0, 3, "" },
		{ ORDER_DISCARD, false, UNLOCK_DONE, true, 0, 0, "is deleted" },
		{ ORDER_SPAM, true, UNLOCK_DONE, false, 0, 0, "stays suspended" },
		{ ORDER_NO, true, UNLOCK_DONE, false, 0, 3, "Nothing was changed" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		anew(state);
		put_mail(ALICE, 3);
		struct arena arena;
		struct unlock_answer answer = good_answer(suspend_with_token());
		answer.order = rows[i].order;
		rules.word_required = rows[i].word_required;
		assert_int_equal(redeem(&answer), rows[i].verdict);
		assert_aftermath(
		    order_name(rows[i].order), aftermath(), .incident = !rows[i].good,
		    .incidents = 1, .open = !rows[i].good, .ready = rows[i].ready,
		    .held = rows[i].held, .suspended = 1, .ended = *rows[i].says != '\0',
		    .ignored = rows[i].verdict != UNLOCK_DONE, .journal = 2);
		arena_init(&arena, ARENA_MAX);
		struct span note = last_note(QUEUE_NOTICE_ENDED, &arena);
		assert_true(holds(note, rows[i].says));
		assert_true(holds(note, *rows[i].says ? "postmaster@example.org" : ""));
		arena_done(&arena);
		/* A token that has not ended anything is good for another answer. */
		answer.order = ORDER_UNLOCK;
		assert_int_equal(redeem(&answer), rows[i].good ? UNLOCK_SPENT : UNLOCK_DONE);
	}
}

/* TESTS UN05. */
static void un05_two_at_once(void **state)
{
	(void)state;
	struct suspend_result result;
	struct unlock_answer answer = good_answer(suspend_with_token());
	struct store_txn *txn = begin();
	assert_int_equal(unlock_redeem(txn, &rules, &answer, &result), UNLOCK_DONE);
	assert_int_equal(unlock_redeem(txn, &rules, &answer, &result), UNLOCK_SPENT);
	commit(txn);
	assert_int_equal(aftermath().ended, 1);
}

/* ---- noise: TESTS UN17, UN23 ---- */

static void un17_wrong_tokens_leave_no_trace(void **state)
{
	(void)state;
	struct unlock_answer answer = good_answer(suspend_with_token());
	struct unlock_answer wrong = answer;
	struct suspend_result result;
	wrong.tag.token = SPAN_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaa");
	struct store_txn *txn = begin();
	for (int i = 0; i < 5000; i++) {
		wrong.tag.incident = (uint64_t)(i % 3);
		assert_int_equal(unlock_redeem(txn, &rules, &wrong, &result), UNLOCK_WRONG);
	}
	commit(txn);
	assert_aftermath("nothing", aftermath(), .incident = 1, .incidents = 1, .open = 1,
	                 .suspended = 1, .journal = 1);
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
}

static void un23_a_harvested_address(void **state)
{
	(void)state;
	struct unlock_answer answer = good_answer(suspend_with_token());
	struct suspend_result result;
	answer.login = SPAN_NONE;
	answer.from = SPAN_LIT("eve@example.net");
	for (size_t hour = 1; hour <= 3; hour++) {
		struct store_txn *txn = begin();
		for (int i = 0; i < 1000; i++) {
			answer.kind = i % 10 ? ORDERS_HUMAN : ORDERS_MACHINE;
			answer.now = store_now(store) + i;
			unlock_redeem(txn, &rules, &answer, &result);
		}
		commit(txn);
		assert_aftermath("bounded", aftermath(), .incident = 1, .incidents = 1,
		                 .open = 1, .suspended = 1, .ignored = hour,
		                 .journal = 1 + UNLOCK_IGNORED_MAX);
		fake_clock_pass(HOUR + 2000);
	}
	answer = good_answer(1);
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
}

static void a_complaint_says_why(void **state)
{
	static const struct {
		const char *login, *why, *command;
	} rows[] = {
		{ "bob@example.org", "may_unlock", "'gatepostctl account unlock alice@" },
		{ "alice@example.org", "itself", "'gatepostctl account unlock alice@" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		anew(state);
		struct arena arena;
		struct unlock_answer answer = good_answer(suspend_with_token());
		answer.login = span_str(rows[i].login);
		redeem(&answer);
		arena_init(&arena, ARENA_MAX);
		struct span note = last_note(QUEUE_NOTICE_IGNORED, &arena);
		assert_true(holds(note, rows[i].login) && holds(note, rows[i].why) &&
		            holds(note, rows[i].command));
		assert_false(holds(note, token)); /* it would be a licence */
		arena_done(&arena);
	}
}

/* ---- and again: TESTS UN19, UN20 ---- */

/* The second in a day: an answer stops it, and only the command ends it. */
static void un19_too_many_trips(void **state)
{
	(void)state;
	static const struct {
		enum order order;
		enum unlock_verdict verdict;
	} rows[] = {
		{ ORDER_UNLOCK, UNLOCK_OFF },  { ORDER_EMPTY, UNLOCK_OFF },
		{ ORDER_KEEP, UNLOCK_OFF },    { ORDER_OTHER, UNLOCK_OFF },
		{ ORDER_DISCARD, UNLOCK_OFF }, { ORDER_UNREADABLE, UNLOCK_OFF },
		{ ORDER_NO, UNLOCK_DONE },     { ORDER_SPAM, UNLOCK_DONE },
	};
	struct unlock_answer answer = good_answer(suspend_with_token());
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
	put_mail(ALICE, 3);
	answer = good_answer(suspend_with_token());
	assert_int_equal(answer.tag.incident, 2);
	for (size_t i = 0; i < COUNT(rows); i++) {
		answer.order = rows[i].order;
		assert_int_equal(redeem(&answer), rows[i].verdict);
		assert_int_equal(aftermath().incident, 2);
		assert_int_equal(aftermath().held, rows[i].order == ORDER_SPAM ? 0 : 3);
	}
	end_by_hand(2, STANDING_UNLOCK);
	assert_int_equal(aftermath().incident, 0);
}

/* The counter begins at 0, and what is released is not charged again. */
static void un20_the_counter_after_an_unlock(void **state)
{
	(void)state;
	struct gate_rules gate = { .limits = { { { 5, 30 * MINUTE } }, 1 },
		                   .suspend = to_postmasters };
	struct gate_view view;
	struct gate_result result;
	put_mail(ALICE, 4);
	struct store_txn *txn = begin();
	struct act act = act_of(ALICE, 4);
	assert_int_equal(gate_message(txn, &gate, &act, &result), GATE_ALLOW);
	act.recipients = 2;
	assert_int_equal(gate_message(txn, &gate, &act, &result), GATE_TRIPPED);
	commit(txn);
	unlock_token(&rules.key, ALICE, 1, token);
	struct unlock_answer answer = good_answer(1);
	assert_int_equal(redeem(&answer), UNLOCK_DONE);
	assert_int_equal(aftermath().ready, 4);
	txn = begin();
	assert_int_equal(gate_show(txn, &gate, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_int_equal(view.spent[0], 0);
	act.recipients = 5;
	assert_int_equal(gate_message(txn, &gate, &act, &result), GATE_ALLOW);
	commit(txn);
}

/* ---- TESTS UN18: suspended and the token good, or active and the token dead ---- */

#ifdef GATEPOST_HOOKS
static void dying_answer(void)
{
	struct unlock_answer answer = good_answer(1);
	redeem(&answer);
}

static void un18_killed_while_redeeming(void **state)
{
	static const struct {
		const char *point;
		bool all;
	} rows[] = {
		{ "unlock-before", false },
		{ "unlock-after", false },
		{ "commit-before:2", false }, /* the first is of the opening */
		{ "commit-after:2", true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t all = rows[i].all;
		anew(state);
		put_mail(ALICE, 2);
		suspend_with_token();
		assert_true(dies_at(rows[i].point, dying_answer));
		assert_aftermath(rows[i].point, aftermath(), .incident = !all, .incidents = 1,
		                 .open = !all, .ready = 2 * all, .held = 2 - 2 * all,
		                 .suspended = 1, .ended = all, .journal = 1 + all);
		struct unlock_answer answer = good_answer(1);
		assert_int_equal(redeem(&answer), all ? UNLOCK_SPENT : UNLOCK_DONE);
	}
}
#endif

static void damage_unlocks_nobody(void **state)
{
	(void)state;
	struct suspend_result result;
	const struct ledger garbage = { .standing = SPAN_LIT("\x07") };
	struct unlock_answer answer = good_answer(suspend_with_token());
	struct store_txn *txn = begin();
	ledger_put(txn, ALICE, &garbage);
	commit(txn);
	txn = begin();
	assert_int_equal(unlock_redeem(txn, &rules, &answer, &result), UNLOCK_FAILED);
	assert_int_equal(store_commit(txn, NULL), STORE_DAMAGED);
	answer.tag.token = SPAN_LIT(
	    "aaaaaaaaaaaaaaaaaaaaaaaaaa"); /* whoever can not prove it */
	assert_int_equal(redeem(&answer), UNLOCK_WRONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(tokens_are_derived),
		SITE(un02_the_store_holds_no_token),
		SITE(un03_each_letter_counts),
		SITE(un04_a_token_is_for_one_incident),
		SITE(un04_there_is_no_such_incident),
		SITE(un04_an_account_that_is_gone),
		SITE(a_token_lives_for_14_days),
		SITE(un21_a_lost_key),
		SITE(who_may_answer),
		SITE(an_empty_name_matches_nothing),
		SITE(a_postmaster_is_no_pattern),
		SITE(each_order),
		SITE(un05_two_at_once),
		SITE(un17_wrong_tokens_leave_no_trace),
		SITE(un23_a_harvested_address),
		SITE(a_complaint_says_why),
		SITE(un19_too_many_trips),
		SITE(un20_the_counter_after_an_unlock),
#ifdef GATEPOST_HOOKS
		SITE(un18_killed_while_redeeming),
#endif
		SITE(damage_unlocks_nobody),
	};
	return cmocka_run_group_tests_name("unlock", tests, NULL, NULL);
}
