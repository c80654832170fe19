#include "auth/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char map_text[] = "# FROM TO\n"
			       "EXAMPLE\\*           *@example.org\r\n"
			       "\n"
			       "  *@corp.example.org\t*@example.org  # the UPN\n"
			       "scanner-*            printers@example.org\n"
			       "root                 Admin\n"
			       "*@first.example      a-*\n"
			       "*@first.example      b-*";

static struct identity_map read_map(struct arena *arena, bool fold)
{
	struct identity_rule *rules = NULL;
	size_t n = 0;
	unsigned line = 0;
	const char *reason = NULL;
	assert_true(identity_parse(span_str(map_text), arena, &rules, &n, &line, &reason));
	return (struct identity_map){ .rules = rules,
		                      .nrules = n,
		                      .domain = SPAN_LIT("example.org"),
		                      .fold_details = fold };
}

static void names_are_accounts(void **state)
{
	(void)state;
	static const struct {
		const char *typed;
		const char *account; /* NULL: nobody */
	} rows[] = {
		/* four spellings of one person */
		{ "alice", "alice@example.org" },
		{ "EXAMPLE\\alice", "alice@example.org" },
		{ "alice@corp.example.org", "alice@example.org" },
		{ "alice@example.org", "alice@example.org" },
		/* case and blanks */
		{ " Alice@Example.ORG\t", "alice@example.org" },
		{ "example\\ALICE", "alice@example.org" },
		{ "scanner-2nd-floor", "printers@example.org" },
		{ "ROOT", "admin@example.org" },
		/* the first that fits counts */
		{ "x@first.example", "a-x@example.org" },
		/* nobody's */
		{ "", NULL },
		{ "   ", NULL },
		{ "EXAMPLE\\", NULL },
		{ "EXAMPLE\\a@b", NULL },
		{ "@corp.example.org", NULL },
		{ "a b", NULL },
		{ "a\nb", NULL },
		{ "a@b@c", NULL },
		{ "\xc3\xa4@example.org", NULL },
		/* no rule */
		{ "OTHER\\alice", "other\\alice@example.org" },
		{ "alice+tag", "alice+tag@example.org" },
	};
	struct arena arena;
	arena_init(&arena, 100000);
	struct identity_map map = read_map(&arena, false);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf account = { .cap = 300 };
		buf_put_str(&account, "|");
		bool good = identity_of_typed(&map, span_str(rows[i].typed), &account);
		const char *want = rows[i].account ? rows[i].account : "";
		if (good != (rows[i].account != NULL) ||
		    !span_eq(span_from(buf_span(&account), 1), span_str(want))) {
			fail_msg("%s: %.*s", rows[i].typed, SPAN_ARG(buf_span(&account)));
		}
		buf_done(&account);
	}
	arena_done(&arena);
}

/* A back end that takes any detail makes one account, not fifty. */
static void details_are_folded(void **state)
{
	(void)state;
	struct arena arena;
	arena_init(&arena, 100000);
	struct identity_map map = read_map(&arena, true);
	for (int i = 1; i <= 50; i++) {
		char typed[64];
		struct buf account = { .cap = 300 };
		snprintf(typed, sizeof typed, "alice+%d+%d@example.org", i, i);
		assert_true(identity_of_typed(&map, span_str(typed), &account));
		assert_true(span_eq(buf_span(&account), SPAN_LIT("alice@example.org")));
		buf_done(&account);
	}
	struct buf account = { .cap = 300 };
	assert_true(identity_of_typed(&map, SPAN_LIT("+1"), &account));
	assert_true(span_eq(buf_span(&account), SPAN_LIT("+1@example.org")));
	buf_clear(&account);
	/* What was returned is taken as it is. */
	assert_true(identity_of_returned(&map, SPAN_LIT("Alice+x@corp.example.org"), &account));
	assert_true(span_eq(buf_span(&account), SPAN_LIT("alice+x@corp.example.org")));
	buf_clear(&account);
	assert_false(identity_of_returned(&map, SPAN_LIT(" alice"), &account));
	buf_done(&account);
	arena_done(&arena);
}

static void long_names_are_nobodys(void **state)
{
	(void)state;
	char name[400];
	struct arena arena;
	arena_init(&arena, 100000);
	struct identity_map map = read_map(&arena, true);
	memset(name, 'a', sizeof name);
	for (size_t len = 200; len < sizeof name; len++) {
		struct buf account = { .cap = 300 };
		bool good = identity_of_typed(&map, span_of(name, len), &account);
		assert_int_equal(good, len + sizeof "@example.org" - 1 <= 255);
		assert_int_equal(account.len > 0, good);
		buf_done(&account);
	}
	arena_done(&arena);
}

static void faults_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned line;
		const char *reason;
	} rows[] = {
		{ "a b\nc\n", 2, "needs two names: what is typed, and its account" },
		{ "a b c", 1, "has a third word" },
		{ "\n\n*x* b", 3, "has more than one * in a name" },
		{ "a *@b", 1, "has a * in the account, but none in what is typed" },
		{ "# only\n\n", 0, NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct arena arena;
		struct identity_rule *rules = NULL;
		size_t n = 99;
		unsigned line;
		const char *reason;
		arena_init(&arena, 100000);
		bool good = identity_parse(span_str(rows[i].text), &arena, &rules, &n, &line,
		                           &reason);
		assert_int_equal(good, !rows[i].reason);
		if (good) {
			assert_int_equal(n, 0);
		} else {
			assert_int_equal(line, rows[i].line);
			assert_string_equal(reason, rows[i].reason);
		}
		arena_done(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_accounts),
		cmocka_unit_test(details_are_folded),
		cmocka_unit_test(long_names_are_nobodys),
		cmocka_unit_test(faults_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
