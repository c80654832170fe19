#include "help.h"
#include "store/account.h"

static const struct account alice = {
	.secret = { "verifier", 8 },
	.limits = { "packed\0limits", 13 },
	.created_wall = 1700000000000,
	.changed_wall = 1800000000000,
};

static void assert_account(const struct account *have, const struct account *want)
{
	assert_true(span_eq(have->secret, want->secret));
	assert_true(span_eq(have->limits, want->limits));
	assert_true(span_eq(have->action, want->action));
	assert_true(span_eq(have->ticket, want->ticket));
	assert_true(span_eq(have->tariff, want->tariff));
	assert_true(span_eq(have->mode, want->mode));
	assert_true(span_eq(have->recovery, want->recovery));
	assert_int_equal(have->created_wall, want->created_wall);
	assert_int_equal(have->changed_wall, want->changed_wall);
}

static char long_name[257];

static void round_trip(void **state)
{
	const struct account table[] = {
		alice,
		{ .secret = SPAN_LIT("s") },
		{ .limits = SPAN_LIT("l"), .changed_wall = -1 },
		{ .created_wall = INT64_MAX, .changed_wall = INT64_MIN },
		{ .action = SPAN_LIT("\1") },
		{ .ticket = SPAN_LIT("t\0"), .tariff = SPAN_LIT("\1\2\0") },
		{ .action = SPAN_LIT("a"), .tariff = SPAN_LIT("p") },
		{ .mode = SPAN_LIT("\1\0") },
		{ .recovery = SPAN_LIT("alice@example.com"), .limits = SPAN_LIT("l") },
	};
	struct place *place = *state;
	const struct span names[] = { SPAN_LIT("alice@example.org"), SPAN_LIT("a"),
		                      span_of(long_name, 255) };
	for (size_t i = 0; i < COUNT(table); i++) {
		for (size_t n = 0; n < COUNT(names); n++) {
			struct store_txn *txn = writing(place->store);
			struct account account;
			assert_int_equal(account_put(txn, names[n], &table[i]), STORE_OK);
			commit(txn);
			txn = reading(place->store);
			assert_int_equal(account_get(txn, names[n], &account), STORE_OK);
			assert_account(&account, &table[i]);
			store_abort(txn);
		}
	}
}

/* What can be no key is nobody's account, and spoils nothing. */
static void nobody(void **state)
{
	const struct span names[] = {
		SPAN_LIT("bob"), SPAN_LIT("alic"),        SPAN_LIT("alicee"),
		SPAN_NONE,       span_of(long_name, 256),
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	account_put(txn, SPAN_LIT("alice"), &alice);
	for (size_t i = 0; i < COUNT(names); i++) {
		struct account account;
		struct ledger ledger = { .budget = SPAN_LIT("a"), .standing = SPAN_LIT("b") };
		assert_int_equal(account_get(txn, names[i], &account), STORE_NOT_FOUND);
		assert_int_equal(account_delete(txn, names[i]), STORE_NOT_FOUND);
		assert_int_equal(ledger_get(txn, names[i], &ledger), STORE_OK);
		assert_int_equal(ledger.budget.len + ledger.standing.len, 0);
	}
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_ACCOUNT), 1);
}

static void both_rows_go(void **state)
{
	struct place *place = *state;
	struct ledger ledger = { .budget = SPAN_LIT("rings") };
	struct store_txn *txn = writing(place->store);
	account_put(txn, SPAN_LIT("alice"), &alice);
	account_put(txn, SPAN_LIT("bob"), &alice);
	ledger_put(txn, SPAN_LIT("alice"), &ledger);
	ledger_put(txn, SPAN_LIT("bob"), &ledger);
	assert_int_equal(account_delete(txn, SPAN_LIT("alice")), STORE_OK);
	/* One who never sent has no ledger. */
	account_put(txn, SPAN_LIT("carol"), &alice);
	assert_int_equal(account_delete(txn, SPAN_LIT("carol")), STORE_OK);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_ACCOUNT), 1);
	assert_int_equal(count_rows(place->store, STORE_LEDGER), 1);
	txn = reading(place->store);
	assert_int_equal(ledger_get(txn, SPAN_LIT("bob"), &ledger), STORE_OK);
	assert_span(ledger.budget, "rings");
	store_abort(txn);
}

/* Each part of a ledger is its own: with or without the others, and replaced as a whole. */
static void ledgers(void **state)
{
	static const struct ledger table[] = {
		{ .budget = { "rings", 5 },
		  .standing = { "standing", 8 },
		  .facts = { "f", 1 } },
		{ .budget = { "rings", 5 } },
		{ .standing = { "stopped", 7 } },
		{ .facts = { "f\0", 2 } },
		{ .budget = SPAN_NONE },
		{ .marks = { "marks", 5 } },
		{ .tally = { "tally", 5 } },
		{ .strangers = { "more rings", 10 } },
		{ { "r", 1 }, { "s", 1 }, { "f", 1 }, { "m", 1 }, { "t", 1 }, { "x", 1 }, { "w", 1 } },
		{ .watch = { "watch", 5 } },
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct ledger ledger;
		struct store_txn *txn = writing(place->store);
		assert_int_equal(ledger_put(txn, SPAN_LIT("alice"), &table[i]), STORE_OK);
		commit(txn);
		place_reopen(place);
		txn = reading(place->store);
		assert_int_equal(ledger_get(txn, SPAN_LIT("alice"), &ledger), STORE_OK);
		assert_true(span_eq(ledger.budget, table[i].budget));
		assert_true(span_eq(ledger.standing, table[i].standing));
		assert_true(span_eq(ledger.facts, table[i].facts));
		assert_true(span_eq(ledger.marks, table[i].marks));
		assert_true(span_eq(ledger.tally, table[i].tally));
		assert_true(span_eq(ledger.strangers, table[i].strangers));
		assert_true(span_eq(ledger.watch, table[i].watch));
		store_abort(txn);
	}
}

static void in_name_order(void **state)
{
	static const char *const names[] = { "bob", "a", "zoe@x", "alice", "al" };
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (size_t i = 0; i < COUNT(names); i++) {
		account_put(txn, span_str(names[i]), &alice);
	}
	commit(txn);
	txn = reading(place->store);
	char seen[64] = "";
	struct span name = SPAN_NONE;
	while (account_next(txn, name, &name) == STORE_OK) {
		size_t at = strlen(seen);
		snprintf(seen + at, sizeof seen - at, "%.*s ", SPAN_ARG(name));
	}
	assert_string_equal(seen, "a al alice bob zoe@x ");
	assert_int_equal(account_next(txn, SPAN_LIT("am"), &name), STORE_OK);
	assert_span(name, "bob");
	store_abort(txn);
}

/* All of them, but for the one whose row makes no sense. */
static void walks_over_what_can_not_be_read(void **state)
{
	static const char *const names[] = { "bob", "a", "zoe@x" };
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct account_walk walk;
	struct account account;
	struct span name;
	char seen[64] = "";
	for (size_t i = 0; i < COUNT(names); i++) {
		account_put(txn, span_str(names[i]), &alice);
	}
	store_put(txn, STORE_ACCOUNT, SPAN_LIT("b"), SPAN_LIT("\1\0\7"));
	commit(txn);
	txn = reading(place->store);
	account_walk_begin(&walk, txn);
	while (account_walk_next(&walk, &name, &account)) {
		size_t at = strlen(seen);
		assert_account(&account, &alice);
		snprintf(seen + at, sizeof seen - at, "%.*s ", SPAN_ARG(name));
	}
	account_walk_end(&walk);
	assert_string_equal(seen, "a bob zoe@x ");
	store_abort(txn);
}

/* The rows of a version that knows field 40: we change ours and keep that. */
static void fields_of_a_newer_version_stay(void **state)
{
	static const struct span newer = SPAN_LIT("\1\50\3new\0\3old");
	static const enum store_table tables[] = { STORE_ACCOUNT, STORE_LEDGER };
	struct place *place = *state;
	struct ledger ledger = { .budget = SPAN_LIT("rings") };
	struct account account;
	struct store_txn *txn = writing(place->store);
	for (size_t i = 0; i < COUNT(tables); i++) {
		store_put(txn, tables[i], SPAN_LIT("alice"), newer);
	}
	assert_int_equal(account_get(txn, SPAN_LIT("alice"), &account), STORE_OK);
	assert_span(account.secret, "old");
	for (int again = 0; again < 2; again++) {
		account_put(txn, SPAN_LIT("alice"), &alice);
		ledger_put(txn, SPAN_LIT("alice"), &ledger);
	}
	assert_int_equal(account_get(txn, SPAN_LIT("alice"), &account), STORE_OK);
	assert_account(&account, &alice);
	assert_int_equal(ledger_get(txn, SPAN_LIT("alice"), &ledger), STORE_OK);
	assert_span(ledger.budget, "rings");
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct span row;
		store_get(txn, tables[i], SPAN_LIT("alice"), &row);
		assert_non_null(memmem(row.ptr, row.len, "\50\3new", 5));
	}
	store_abort(txn);
}

/* Fails closed: a writer that can not read a ledger must not commit as if it were empty. */
static void damaged_rows(void **state)
{
	static const struct span rows[] = {
		SPAN_LIT(""),     SPAN_LIT("\2"),      SPAN_LIT("\1\0\5abc"),
		SPAN_LIT("\1\0"), SPAN_LIT("garbage"),
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct account account = alice;
		struct ledger ledger = { .budget = SPAN_LIT("rings") };
		struct store_txn *txn = writing(place->store);
		store_put(txn, STORE_ACCOUNT, SPAN_LIT("alice"), rows[i]);
		store_put(txn, STORE_LEDGER, SPAN_LIT("alice"), rows[i]);
		account_put(txn, SPAN_LIT("bob"), &alice);
		commit(txn);

		txn = reading(place->store);
		assert_int_equal(account_get(txn, SPAN_LIT("alice"), &account), STORE_DAMAGED);
		assert_int_equal(ledger_get(txn, SPAN_LIT("alice"), &ledger), STORE_DAMAGED);
		assert_account(&account, &alice);
		assert_span(ledger.budget, "rings");
		assert_int_equal(account_get(txn, SPAN_LIT("bob"), &account), STORE_OK);
		store_abort(txn);

		txn = writing(place->store);
		assert_int_equal(ledger_get(txn, SPAN_LIT("alice"), &ledger), STORE_DAMAGED);
		assert_int_equal(store_commit(txn, NULL), STORE_DAMAGED);

		/* It can still be put right. */
		txn = writing(place->store);
		assert_int_equal(account_delete(txn, SPAN_LIT("alice")), STORE_OK);
		commit(txn);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	memset(long_name, 'n', sizeof long_name);
	const struct CMUnitTest tests[] = {
		TEST(round_trip),   TEST(nobody),        TEST(both_rows_go),
		TEST(ledgers),      TEST(in_name_order), TEST(fields_of_a_newer_version_stay),
		TEST(damaged_rows), TEST(walks_over_what_can_not_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
