#include "auth/verifier.h"

#include "store/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char dir[] = "/tmp/gatepost-verifier-XXXXXX";
static struct verifier_source source = { .iterations = SECRET_ITERATIONS_MIN,
	                                 .key = { { 1 } } };

static void put_secret(struct span name, struct span secret)
{
	const struct account account = { .secret = secret };
	struct store_txn *txn = store_begin_write(source.store, NULL);
	assert_int_equal(account_put(txn, name, &account), STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
}

static void set_password(struct span name, struct span password)
{
	struct buf verifier = { .cap = SECRET_VERIFIER_MAX };
	assert_true(secret_verifier_make(password, SECRET_ITERATIONS_MIN, &verifier));
	put_secret(name, buf_span(&verifier));
	buf_done(&verifier);
}

static int open_store(void **state)
{
	const struct store_options options = { .size = 64 << 20, .longest_window = 86400000 };
	(void)state;
	if (!mkdtemp(dir) || store_open(dir, &options, &source.store, NULL) != STORE_OK) {
		return -1;
	}
	verifier_cache_reset();
	set_password(SPAN_LIT("alice"), SPAN_LIT("correct"));
	set_password(SPAN_LIT("bob"), SPAN_LIT("correct"));
	put_secret(SPAN_LIT("none"), SPAN_NONE);
	put_secret(SPAN_LIT("garbage"), SPAN_LIT("SCRAM-SHA-256$x"));
	struct store_txn *txn = store_begin_write(source.store, NULL);
	store_put(txn, STORE_ACCOUNT, SPAN_LIT("damaged"), SPAN_LIT("\xff"));
	return store_commit(txn, NULL) == STORE_OK ? 0 : -1;
}

static int close_store(void **state)
{
	char command[64];
	(void)state;
	store_close(source.store);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

/* Twice over: the second time the cache is asked first. */
static void answers(void **state)
{
	(void)state;
	static const struct {
		const char *account;
		const char *password;
		enum verifier_answer answer;
	} rows[] = {
		{ "alice", "correct", VERIFIER_RIGHT },  { "bob", "correct", VERIFIER_RIGHT },
		{ "alice", "Correct", VERIFIER_WRONG },  { "alice", "", VERIFIER_WRONG },
		{ "eve", "correct", VERIFIER_WRONG },    { "none", "correct", VERIFIER_WRONG },
		{ "none", "", VERIFIER_WRONG },          { "garbage", "x", VERIFIER_WRONG },
		{ "damaged", "x", VERIFIER_UNREADABLE },
	};
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		size_t row = i % COUNT(rows);
		enum verifier_answer answer = verifier_check(
		    &source, span_str(rows[row].account), span_str(rows[row].password));
		if (answer != rows[row].answer) {
			fail_msg("%s, %s: %d", rows[row].account, rows[row].password, answer);
		}
	}
}

static void the_cache_knows_no_old_password(void **state)
{
	(void)state;
	assert_int_equal(verifier_check(&source, SPAN_LIT("alice"), SPAN_LIT("correct")),
	                 VERIFIER_RIGHT);
	set_password(SPAN_LIT("alice"), SPAN_LIT("another"));
	assert_int_equal(verifier_check(&source, SPAN_LIT("alice"), SPAN_LIT("correct")),
	                 VERIFIER_WRONG);
	assert_int_equal(verifier_check(&source, SPAN_LIT("alice"), SPAN_LIT("another")),
	                 VERIFIER_RIGHT);
	verifier_cache_reset();
	assert_int_equal(verifier_check(&source, SPAN_LIT("alice"), SPAN_LIT("another")),
	                 VERIFIER_RIGHT);
}

/* A login that the cache knows is one only while the account is there to be read. */
static void the_store_is_asked_each_time(void **state)
{
	(void)state;
	struct span name = SPAN_LIT("carol");
	set_password(name, SPAN_LIT("correct"));
	assert_int_equal(verifier_check(&source, name, SPAN_LIT("correct")), VERIFIER_RIGHT);
	struct store_txn *txn = store_begin_write(source.store, NULL);
	store_put(txn, STORE_ACCOUNT, name, SPAN_LIT("\xff"));
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	assert_int_equal(verifier_check(&source, name, SPAN_LIT("correct")),
	                 VERIFIER_UNREADABLE);
	txn = store_begin_write(source.store, NULL);
	assert_int_equal(account_delete(txn, name), STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	assert_int_equal(verifier_check(&source, name, SPAN_LIT("correct")), VERIFIER_WRONG);
}

static void nobody_looks_like_somebody(void **state)
{
	(void)state;
	struct buf real = { .cap = SECRET_VERIFIER_MAX };
	struct buf fake = { .cap = SECRET_VERIFIER_MAX };
	struct buf again = { .cap = SECRET_VERIFIER_MAX };
	assert_true(verifier_find(&source, SPAN_LIT("bob"), &real));
	assert_true(verifier_find(&source, SPAN_LIT("eve"), &fake));
	assert_true(verifier_find(&source, SPAN_LIT("eve"), &again));
	assert_int_equal(real.len, fake.len);
	assert_true(span_eq(buf_span(&fake), buf_span(&again)));
	verifier_forget(&real);
	verifier_forget(&fake);
	verifier_forget(&again);
	assert_false(verifier_find(&source, SPAN_LIT("damaged"), &real));
	assert_int_equal(real.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(the_cache_knows_no_old_password),
		cmocka_unit_test(the_store_is_asked_each_time),
		cmocka_unit_test(nobody_looks_like_somebody),
	};
	return cmocka_run_group_tests_name("verifier", tests, open_store, close_store);
}
