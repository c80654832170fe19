#include "auth/success.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KEY(n, p, a) ((struct success_key){ SPAN_LIT(n), SPAN_LIT(p), SPAN_LIT(a) })

static int reset(void **state)
{
	(void)state;
	success_reset();
	return 0;
}

/* Whose it is; "" when it is not known. */
static const char *find(struct success_key key, int64_t since)
{
	static char account[256];
	struct buf found = { .cap = 255 };
	bool known = success_find(&key, since, &found);
	assert_int_equal(known, found.len > 0);
	snprintf(account, sizeof account, "%.*s", SPAN_ARG(buf_span(&found)));
	buf_done(&found);
	return account;
}

static void put(struct success_key key, const char *account, int64_t now)
{
	success_put(&key, span_str(account), now);
}

static void knows_what_was_right(void **state)
{
	(void)state;
	put(KEY("alice", "pw", "ldap"), "alice@example.org", 1000);
	const struct {
		struct success_key key;
		int64_t since;
		const char *account;
	} rows[] = {
		{ KEY("alice", "pw", "ldap"), 999, "alice@example.org" },
		{ KEY("alice", "pw", "ldap"), INT64_MIN, "alice@example.org" },
		{ KEY("alice", "pw", "ldap"), 1000, "" },
		{ KEY("alice", "pw", "ldap"), INT64_MAX, "" },
		{ KEY("alice", "pW", "ldap"), 999, "" },
		{ KEY("Alice", "pw", "ldap"), 999, "" },
		{ KEY("alice", "pw", "dovecot"), 999, "" },
		/* the parts are told apart */
		{ KEY("alicep", "w", "ldap"), 999, "" },
		{ KEY("alice", "pwldap", ""), 999, "" },
		{ KEY("", "", ""), 999, "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_string_equal(find(rows[i].key, rows[i].since), rows[i].account);
	}
	put(KEY("alice", "pw", "ldap"), "smith@example.org", 2000); /* the last one counts */
	assert_string_equal(find(KEY("alice", "pw", "ldap"), 1500), "smith@example.org");
}

static void forgets(void **state)
{
	(void)state;
	static const struct {
		const char *forget;
		const char *alice, *bob;
	} rows[] = {
		{ "eve@x", "alice@x", "bob@x" },
		{ "alice@", "alice@x", "bob@x" },
		{ "alice@x", "", "bob@x" },
		{ "bob@x", "alice@x", "" },
		{ "", "", "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		put(KEY("alice", "pw", "ldap"), "alice@x", 0);
		put(KEY("al", "pw2", "ldap"), "alice@x", 0);
		put(KEY("bob", "pw", "ldap"), "bob@x", 0);
		success_forget(span_str(rows[i].forget));
		assert_string_equal(find(KEY("alice", "pw", "ldap"), -1), rows[i].alice);
		assert_string_equal(find(KEY("al", "pw2", "ldap"), -1), rows[i].alice);
		assert_string_equal(find(KEY("bob", "pw", "ldap"), -1), rows[i].bob);
	}
	put(KEY("alice", "pw", "ldap"), "alice@x", 0);
	success_reset();
	assert_string_equal(find(KEY("alice", "pw", "ldap"), -1), "");
}

/* Nobody's success is none, nor is that of a name that is too long. */
static void takes_accounts_only(void **state)
{
	(void)state;
	char account[257];
	memset(account, 'a', sizeof account);
	static const struct {
		size_t len;
		bool taken;
	} rows[] = { { 0, false }, { 1, true }, { 255, true }, { 256, false } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		success_reset();
		account[rows[i].len] = '\0';
		put(KEY("alice", "pw", "ldap"), account, 0);
		assert_string_equal(find(KEY("alice", "pw", "ldap"), -1),
		                    rows[i].taken ? account : "");
		account[rows[i].len] = 'a';
	}
}

/* However many come, none is mistaken for another, and the latest is there. */
static void many_push_each_other_out(void **state)
{
	(void)state;
	char name[16];
	size_t known = 0;
	for (int i = 0; i < 20000; i++) {
		int len = snprintf(name, sizeof name, "u%d", i);
		const struct success_key key = { span_of(name, (size_t)len), SPAN_LIT("pw"),
			                         SPAN_LIT("ldap") };
		put(key, name, i);
		assert_string_equal(find(key, i - 1), name);
	}
	for (int i = 0; i < 20000; i++) {
		int len = snprintf(name, sizeof name, "u%d", i);
		const struct success_key key = { span_of(name, (size_t)len), SPAN_LIT("pw"),
			                         SPAN_LIT("ldap") };
		const char *account = find(key, -1);
		assert_true(!account[0] || strcmp(account, name) == 0);
		known += account[0] != '\0';
	}
	assert_true(known > 1000 && known < 20000);
}

static void guesses_are_told_apart(void **state)
{
	(void)state;
	static const struct {
		const char *name, *password;
	} rows[] = { { "alice", "a" }, { "alice", "b" }, { "bob", "a" }, { "alicea", "" } };
	unsigned char seen[COUNT(rows)][SCREEN_GUESS_BYTES];
	unsigned char again[SCREEN_GUESS_BYTES];
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span name = span_str(rows[i].name),
			    password = span_str(rows[i].password);
		success_guess(name, password, seen[i]);
		success_guess(name, password, again);
		assert_memory_equal(seen[i], again, sizeof again);
		for (size_t j = 0; j < i; j++) {
			assert_memory_not_equal(seen[i], seen[j], sizeof again);
		}
	}
	success_reset(); /* worth nothing in another process */
	success_guess(span_str(rows[0].name), span_str(rows[0].password), again);
	assert_memory_not_equal(seen[0], again, sizeof again);
}

static void *use(void *arg)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	const int seed = *(const int *)arg;
	for (int i = 0; i < 2000; i++) {
		const char *name = names[(seed + i) % 4];
		const struct success_key key = { span_str(name), SPAN_LIT("pw"),
			                         SPAN_LIT("x") };
		struct buf found = { .cap = 255 };
		success_put(&key, span_str(name), i);
		if (success_find(&key, -1, &found) &&
		    !span_eq(buf_span(&found), span_str(name))) {
			return arg;
		}
		buf_done(&found);
		success_forget(span_str(names[i % 4]));
	}
	return NULL;
}

static void from_many_threads(void **state)
{
	(void)state;
	pthread_t threads[4];
	int seeds[COUNT(threads)];
	for (int i = 0; i < (int)COUNT(threads); i++) {
		seeds[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, use, &seeds[i]), 0);
	}
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *wrong = NULL;
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(knows_what_was_right, reset),
		cmocka_unit_test_setup(forgets, reset),
		cmocka_unit_test_setup(takes_accounts_only, reset),
		cmocka_unit_test_setup(many_push_each_other_out, reset),
		cmocka_unit_test_setup(guesses_are_told_apart, reset),
		cmocka_unit_test_setup(from_many_threads, reset),
	};
	return cmocka_run_group_tests_name("success", tests, NULL, NULL);
}
