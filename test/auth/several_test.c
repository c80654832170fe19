#include "auth/several.h"

#include "test/auth/suspend_help.h"

#include "store/keys.h"

/* A site with postmasters, and how many were suspended at it. */
static struct suspend_rules rules;
static unsigned fallen;

static int begins(void **state)
{
	rules = to_postmasters;
	rules.notice_max = (struct budget_limits){ .limit = { { 5, MINUTE } }, .count = 1 };
	fallen = 0;
	return set_up(state);
}

/* One account more, in a commit of its own. */
static void fall(struct store_txn *txn)
{
	static const struct account account = { .secret = SPAN_LIT("x") };
	static const struct bill bill = { .limit = { 500, 30 * MINUTE }, .spent = 500 };
	struct suspend_result result;
	char name[32];
	int len = snprintf(name, sizeof name, "u%u@example.org", ++fallen);
	const struct act act = act_of(span_of(name, (size_t)len), 1);
	assert_int_equal(account_put(txn, act.account, &account), STORE_OK);
	assert_int_equal(suspend_open(txn, &rules, &act, SPAN_LIT("budget"), &bill, &result),
	                 STORE_OK);
	assert_int_equal(result.incident, fallen);
}

static uint64_t last_entry(struct store_txn *txn)
{
	uint64_t id = 0;
	while (queue_list_next(txn, SPAN_NONE, id, &id) == STORE_OK) {
	}
	return id;
}

/* An attempt came to nothing. */
static void defer(struct store_txn *txn, uint64_t id)
{
	struct arena arena;
	struct queue_entry entry;
	bool ended;
	arena_init(&arena, ARENA_MAX);
	assert_int_equal(queue_get(txn, id, &arena, &entry), STORE_OK);
	entry.attempts = 1;
	entry.deferred_at = store_now(store);
	entry.next_at = store_now(store) + HOUR;
	assert_int_equal(queue_update(txn, &entry, &ended), STORE_OK);
	arena_done(&arena);
}

static void step(char what)
{
	static const struct span member[] = { { "u*", 2 } };
	if (what == 'r') {
		reopen_store();
	} else if (what == 'd' || what == 'm') {
		fake_clock_pass(what == 'd' ? 10 * 1000 : MINUTE + 2 * 1000);
	} else if (what == 'p') {
		rules.npostmaster = 1;
	} else if (what == 'x') {
		rules.member = member;
		rules.nmembers = 1;
	} else if (what == '-') {
		rules.notice_max.count = 0;
	} else {
		struct store_txn *txn = begin();
		for (int i = 0; i < (what == 'S' ? 50 : what == 's'); i++) {
			fall(txn);
		}
		if (what == 'h') {
			assert_int_equal(queue_hold(txn, last_entry(txn)), STORE_OK);
		} else if (what == 'f') {
			assert_int_equal(queue_flush(txn, last_entry(txn), store_now(store)),
			                 STORE_OK);
		} else if (what == 't') {
			defer(txn, last_entry(txn));
		}
		commit(txn);
	}
}

/* "1" one of its own, "1?" without a token, "(1 2)" for several; "1..9" is in a row. */
static void show(const struct queue_entry *entry, struct buf *out)
{
	struct span note = entry->note;
	uint64_t first = 0, last = 0, number;
	if (entry->kind == QUEUE_NOTICE_SUSPENDED) {
		buf_printf(out, "%s%llu%s", out->len ? " " : "",
		           (unsigned long long)entry->incident, entry->note.len ? "?" : "");
		assert_int_equal(entry->next_at, 0);
		return;
	}
	assert_int_equal(entry->kind, QUEUE_NOTICE_SEVERAL);
	while (several_next(&note, &number)) {
		assert_true(!first || number == last + 1);
		first = first ? first : number;
		last = number;
	}
	assert_int_equal(first, entry->incident);
	buf_printf(out, " (%llu..%llu)", (unsigned long long)first, (unsigned long long)last);
}

static void assert_notices(const char *steps, const char *want)
{
	struct buf text = { .cap = 4096 };
	struct store_txn *txn = store_begin_read(store, NULL);
	uint64_t id = 0;
	while (queue_list_next(txn, SPAN_NONE, id, &id) == STORE_OK) {
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, ARENA_MAX);
		assert_int_equal(queue_get(txn, id, &arena, &entry), STORE_OK);
		show(&entry, &text);
		arena_done(&arena);
	}
	store_abort(txn);
	buf_put_byte(&text, '\0');
	if (strcmp(text.ptr, want) != 0) {
		fail_msg("%s: got %s, want %s", steps, text.ptr, want);
	}
	buf_done(&text);
}

/* TESTS HL25: s suspends one, S fifty at once; d passes ten seconds, m more than a minute; r
 * opens the store again; of the last notice, h holds it, f makes it due, t tries it in vain;
 * p: a postmaster less; x: they are members; -: there is no limit. */
static void hl25_who_shares_a_notice(void **state)
{
	static const struct {
		const char *steps, *want;
	} rows[] = {
		{ "sssss", "1 2 3 4 5" },
		{ "ssssss", "1 2 3 4 5 (6..6)" },
		{ "ssssssss", "1 2 3 4 5 (6..8)" },
		/* What is known is in the store. */
		{ "srsrsrsrsrsrsrs", "1 2 3 4 5 (6..8)" },
		/* It takes more while it waits, and no longer. */
		{ "sssssssdsdsdsdsds", "1 2 3 4 5 (6..12)" },
		{ "sssssssdsdsdsdsdsdsds", "1 2 3 4 5 (6..12) (13..14)" },
		{ "ssssssrddddddrs", "1 2 3 4 5 (6..6) (7..7)" },
		/* Then the first ones have their own again. */
		{ "ssssssms", "1 2 3 4 5 (6..6) 7" },
		{ "sssssmsssss", "1 2 3 4 5 6 7 8 9 10" },
		{ "dsdsdsdsdsmdsdsds", "1 2 3 4 5 6 7 8" },
		{ "SS", "1 2 3 4 5 (6..55) (56..100)" },
		{ "SsssssS", "1 2 3 4 5 (6..55) (56..105)" },
		/* What is not there to be sent takes nothing. */
		{ "sssssshs", "1 2 3 4 5 (6..6) (7..7)" },
		{ "ssssssfs", "1 2 3 4 5 (6..6) (7..7)" },
		{ "sssssstss", "1 2 3 4 5 (6..6) (7..8)" },
		/* It is for those to whom it goes. */
		{ "sssssspss", "1 2 3 4 5 (6..6) (7..8)" },
		/* Nobody lets himself go, nor one by one. */
		{ "ssssssxss", "1 2 3 4 5 (6..6) 7? 8?" },
		{ "-ssssssss", "1 2 3 4 5 6 7 8" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(begins(state), 0);
		for (const char *s = rows[i].steps; *s; s++) {
			step(*s);
		}
		assert_notices(rows[i].steps, rows[i].want);
	}
}

/* To all postmasters, a minute later, belonging to nobody. */
static void it_waits_a_minute(void **state)
{
	(void)state;
	struct arena arena;
	struct queue_entry entry;
	arena_init(&arena, ARENA_MAX);
	for (int i = 0; i < 6; i++) {
		step('s');
	}
	int64_t due = store_now(store) + MINUTE;
	fake_clock_pass(30 * 1000);
	step('s');
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(queue_get(txn, last_entry(txn), &arena, &entry), STORE_OK);
	store_abort(txn);
	assert_int_equal(entry.state, QUEUE_READY);
	assert_int_equal(entry.next_at, due);
	assert_int_equal(entry.accepted_at, due - MINUTE);
	assert_int_equal(entry.account.len + entry.sender.len + entry.size, 0);
	assert_int_equal(entry.nrecipients, COUNT(postmasters));
	arena_done(&arena);
}

/* A suspension that is given up has told nobody; a row that makes no sense stops none. */
static void with_its_transaction(void **state)
{
	(void)state;
	static const struct ledger ruined = { .facts = SPAN_LIT("?"), .budget = SPAN_LIT("?") };
	for (int i = 0; i < 6; i++) {
		step('s');
	}
	struct store_txn *txn = begin();
	fall(txn);
	store_abort(txn);
	fallen--;
	step('s');
	assert_notices("one given up", "1 2 3 4 5 (6..7)");
	txn = begin();
	assert_int_equal(ledger_put(txn, KEY_SITE_NOTICES, &ruined), STORE_OK);
	commit(txn);
	step('s');
	assert_notices("ruined", "1 2 3 4 5 (6..7) 8");
}

int main(void)
{
#define SITE(f) cmocka_unit_test_setup_teardown(f, begins, tear_down)
	const struct CMUnitTest tests[] = {
		SITE(hl25_who_shares_a_notice),
		SITE(it_waits_a_minute),
		SITE(with_its_transaction),
	};
	return cmocka_run_group_tests_name("several", tests, NULL, NULL);
}
