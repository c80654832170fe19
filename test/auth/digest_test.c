/* What a day had to tell: one mail, a day after the first of it. */
#include "auth/digest.h"

#include "test/auth/fresh_store.h"

static const struct span to[] = { { "postmaster@example.org", 22 } };
static const struct suspend_rules rules = { .postmaster = to, .npostmaster = 1 };

static void add(struct span account, enum gate_would would, bool near)
{
	const struct digest_news news = { account, would, near, store_now(store),
		                          fake_clock.wall };
	struct store_txn *txn = begin();
	assert_int_equal(digest_add(txn, &news), STORE_OK);
	commit(txn);
}

static bool is_due(void)
{
	struct store_txn *txn = store_begin_read(store, NULL);
	bool due = digest_is_due(txn, store_now(store));
	store_abort(txn);
	return due;
}

static bool tell(void)
{
	bool told = false;
	struct store_txn *txn = begin();
	assert_int_equal(digest_tell(txn, &rules, store_now(store), fake_clock.wall, &told),
	                 STORE_OK);
	commit(txn);
	return told;
}

/* The note of the n-th notice, behind the line that says since when; all are digests. */
static void assert_note(size_t n, const char *want)
{
	struct arena arena;
	struct queue_entry entry;
	uint64_t id = 0;
	struct store_txn *txn = store_begin_read(store, NULL);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(queue_list_next(txn, SPAN_NONE, id, &id), STORE_OK);
	}
	arena_init(&arena, QUEUE_ENTRY_MAX);
	assert_int_equal(queue_get(txn, id, &arena, &entry), STORE_OK);
	assert_int_equal(entry.kind, QUEUE_NOTICE_DIGEST);
	assert_int_equal(entry.nrecipients, 1);
	assert_true(span_eq(entry.recipients[0].address, to[0]));
	struct span rest = span_from(entry.note, span_find(entry.note, '\n') + 1);
	if (!span_eq(rest, span_str(want))) {
		fail_msg("%.*s", SPAN_ARG(entry.note));
	}
	assert_int_equal(queue_list_next(txn, SPAN_NONE, id, &id), STORE_NOT_FOUND);
	arena_done(&arena);
	store_abort(txn);
}

static void one_a_day(void **state)
{
	(void)state;
	assert_false(is_due());
	assert_false(tell());
	add(ALICE, GATE_WOULD_HOLD, false);
	fake_clock_pass(HOUR);
	add(BOB, GATE_WOULD_PASS, true);
	add(ALICE, GATE_WOULD_SUSPEND, false);
	add(ALICE, GATE_WOULD_WAIT, true);
	fake_clock_pass(23 * HOUR - 1);
	assert_false(is_due());
	assert_false(tell());
	reopen_store();
	fake_clock_pass(1);
	assert_true(is_due());
	assert_true(tell());
	assert_note(
	    1,
	    "Account alice@example.org: would have been suspended (seen 3 times); came near a "
	    "limit\nAccount bob@example.org: came near a limit\n");
	/* It is told; the next begins with the next. */
	assert_false(is_due());
	fake_clock_pass(2 * DAY);
	assert_false(tell());
	add(BOB, GATE_WOULD_DEFER, false);
	assert_false(is_due());
	fake_clock_pass(DAY);
	assert_true(tell());
	assert_note(2, "Account bob@example.org: mail would have been deferred\n");
}

/* So many accounts that there is no room: their number is bounded, and it is said. */
static void bounded(void **state)
{
	(void)state;
	char name[32];
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "user%d@example.org", i);
		add(span_str(name), GATE_WOULD_SPENT, false);
	}
	struct ledger ledger;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(ledger_get(txn, SPAN_LIT("/digest"), &ledger), STORE_OK);
	assert_in_range(ledger.facts.len, 8 * 1024, 17 * 1024);
	store_abort(txn);
	fake_clock_pass(DAY);
	assert_true(tell());
	uint64_t id = 0;
	struct arena arena;
	struct queue_entry entry;
	txn = store_begin_read(store, NULL);
	arena_init(&arena, QUEUE_ENTRY_MAX);
	assert_int_equal(queue_list_next(txn, SPAN_NONE, id, &id), STORE_OK);
	assert_int_equal(queue_get(txn, id, &arena, &entry), STORE_OK);
	assert_non_null(memmem(entry.note.ptr, entry.note.len, "\nOthers", 7));
	assert_null(memmem(entry.note.ptr, entry.note.len, "user999@", 8));
	arena_done(&arena);
	store_abort(txn);
}

/* A row that makes no sense begins anew. */
static void ruined(void **state)
{
	(void)state;
	const struct ledger ledger = { .facts = SPAN_LIT("nonsense") };
	struct store_txn *txn = begin();
	assert_int_equal(ledger_put(txn, SPAN_LIT("/digest"), &ledger), STORE_OK);
	commit(txn);
	assert_false(is_due());
	add(ALICE, GATE_WOULD_NEVER, false);
	fake_clock_pass(DAY);
	assert_true(tell());
	assert_note(
	    1,
	    "Account alice@example.org: a message that is too large for its limits would have "
	    "been refused\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(one_a_day), TEST(bounded), TEST(ruined) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
