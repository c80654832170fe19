#include "auth/sender.h"

#include "test/auth/fresh_store.h"

static bool may(struct span account, const char *address)
{
	bool answer = false;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_non_null(txn);
	assert_int_equal(sender_may(txn, account, span_str(address), &answer), STORE_OK);
	store_abort(txn);
	return answer;
}

static bool add(struct span account, const char *pattern)
{
	bool full = true;
	struct store_txn *txn = begin();
	assert_int_equal(sender_alias_add(txn, account, span_str(pattern), 5, &full), STORE_OK);
	commit(txn);
	return !full;
}

static void note(struct span account, const char *address)
{
	struct store_txn *txn = begin();
	assert_int_equal(sender_note(txn, account, span_str(address), 7), STORE_OK);
	commit(txn);
}

/* "+address" an alias, "?address" noted, with a blank in front of each. */
static const char *all(struct span account)
{
	static char text[4000];
	char after[256] = "";
	size_t n = 0;
	struct sender_alias alias;
	struct store_txn *txn = store_begin_read(store, NULL);
	text[0] = '\0';
	while (n < sizeof text - 300 &&
	       sender_alias_next(txn, account, span_str(after), &alias) == STORE_OK) {
		n += (size_t)snprintf(text + n, sizeof text - n, " %c%.*s",
		                      alias.seen ? '?' : '+', SPAN_ARG(alias.pattern));
		assert_int_equal(alias.wall, alias.seen ? 7 : 5);
		snprintf(after, sizeof after, "%.*s", SPAN_ARG(alias.pattern));
	}
	store_abort(txn);
	return text;
}

static void own_name_and_aliases(void **state)
{
	(void)state;
	static const struct {
		const char *address;
		bool alice, bob;
	} rows[] = {
		{ "", true, true }, /* <> is anybody's */
		{ "alice@example.org", true, false },
		{ "Alice@Example.ORG", true, false },
		{ "sales@example.org", true, false },
		{ "SALES@example.org", true, false },
		{ "alice+tag@example.org", true, false },
		{ "anybody@lists.example.org", true, false },
		{ "bob@example.org", false, true },
		{ "sales@example.org.evil.example", false, false },
		{ "xsales@example.org", false, false },
		{ "alice@example.com", false, false },
		{ "noted@example.com", false, false },
		{ "*@lists.example.org", true, false }, /* a strange name, but of that domain */
	};
	assert_true(add(ALICE, "Sales@Example.org"));
	assert_true(add(ALICE, "alice+*@example.org"));
	assert_true(add(ALICE, "*@lists.example.org"));
	note(ALICE, "noted@example.com");
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (may(ALICE, rows[i].address) != rows[i].alice ||
		    may(BOB, rows[i].address) != rows[i].bob) {
			fail_msg("%s", rows[i].address);
		}
	}
	assert_string_equal(all(ALICE),
	                    " +*@lists.example.org +alice+*@example.org ?noted@example.com "
	                    "+sales@example.org");
	assert_string_equal(all(BOB), "");
}

static void notes_become_aliases(void **state)
{
	(void)state;
	note(ALICE, "Me@Example.com");
	note(ALICE, "me@example.com"); /* once */
	note(ALICE, "no domain@");
	note(ALICE, "*@example.com"); /* a client's word is no pattern */
	assert_string_equal(all(ALICE), " ?me@example.com");
	assert_false(may(ALICE, "me@example.com"));
	assert_true(add(ALICE, "me@example.com"));
	assert_true(may(ALICE, "me@example.com"));
	note(ALICE, "me@example.com"); /* takes nothing back */
	assert_string_equal(all(ALICE), " +me@example.com");
	struct store_txn *txn = begin();
	assert_int_equal(sender_alias_delete(txn, ALICE, SPAN_LIT("ME@example.com")), STORE_OK);
	assert_int_equal(sender_alias_delete(txn, ALICE, SPAN_LIT("me@example.com")),
	                 STORE_NOT_FOUND);
	commit(txn);
	assert_false(may(ALICE, "me@example.com"));
}

static void there_are_bounds(void **state)
{
	(void)state;
	char name[64];
	for (int i = 0; i < SENDER_SEEN_MAX + 10; i++) {
		snprintf(name, sizeof name, "n%d@example.com", i);
		note(ALICE, name);
	}
	struct store_txn *txn = begin();
	bool full = false;
	for (int i = 0; i < SENDER_ALIASES_MAX; i++) {
		snprintf(name, sizeof name, "a%d@example.com", i);
		assert_int_equal(sender_alias_add(txn, ALICE, span_str(name), 5, &full),
		                 STORE_OK);
		assert_false(full);
	}
	assert_int_equal(sender_alias_add(txn, ALICE, SPAN_LIT("b@c"), 5, &full), STORE_OK);
	assert_true(full);
	commit(txn);
	txn = store_begin_read(store, NULL);
	struct sender_alias alias;
	char after[256] = "";
	int seen = 0, aliases = 0;
	while (sender_alias_next(txn, ALICE, span_str(after), &alias) == STORE_OK) {
		*(alias.seen ? &seen : &aliases) += 1;
		snprintf(after, sizeof after, "%.*s", SPAN_ARG(alias.pattern));
	}
	store_abort(txn);
	assert_int_equal(seen, SENDER_SEEN_MAX);
	assert_int_equal(aliases, SENDER_ALIASES_MAX);
	txn = begin();
	assert_int_equal(sender_alias_delete_all(txn, ALICE), STORE_OK);
	commit(txn);
	assert_string_equal(all(ALICE), "");
}

static void patterns(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{ "a@b", true },    { "*@b", true },         { "a+*@b.c", true },
		{ "", false },      { "a", false },          { "@b", false },
		{ "a@", false },    { "a@b@c", false },      { "a b@c", false },
		{ "a@b\n", false }, { "\xc3\xa4@b", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (sender_pattern_is_valid(span_str(rows[i].text)) != rows[i].valid) {
			fail_msg("%s", rows[i].text);
		}
	}
}

/* A row that can not be read allows nothing, and fails nobody else. */
static void damage_allows_nothing(void **state)
{
	(void)state;
	static const char key[] = "alice@example.org\0x@example.com";
	assert_true(add(ALICE, "y@example.com"));
	struct store_txn *txn = begin();
	store_put(txn, STORE_ALIAS, span_of(key, sizeof key - 1), SPAN_LIT("\1\2damage"));
	commit(txn);
	assert_false(may(ALICE, "x@example.com"));
	assert_true(may(ALICE, "y@example.com"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(own_name_and_aliases), TEST(notes_become_aliases),  TEST(there_are_bounds),
		cmocka_unit_test(patterns), TEST(damage_allows_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
