#include "auth/verifier.h"

#include "auth/success.h"
#include "store/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* sha512crypt of "correct horse" */
#define HASHED \
	"{CRYPT}$6$abcdefgh$yIZAF3gQPvtKZO/9qOJKffAKKbtS3ef3qmwyugk4uWVjX8YZf/" \
	"GV3A8SkFxEPY0T56CcilGrHKLffBsp6dLMG."

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

static enum verifier_answer check(struct span account, struct span password)
{
	struct buf upgrade = { .cap = SECRET_VERIFIER_MAX };
	enum verifier_answer answer = verifier_check(&source, account, password, &upgrade);
	assert_int_equal(upgrade.len, 0);
	buf_done(&upgrade);
	return answer;
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
	success_reset();
	set_password(SPAN_LIT("alice"), SPAN_LIT("correct"));
	set_password(SPAN_LIT("bob"), SPAN_LIT("correct"));
	put_secret(SPAN_LIT("none"), SPAN_NONE);
	put_secret(SPAN_LIT("hashed"), SPAN_LIT(HASHED));
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
		enum verifier_answer answer = check(span_str(rows[row].account),
		                                    span_str(rows[row].password));
		if (answer != rows[row].answer) {
			fail_msg("%s, %s: %d", rows[row].account, rows[row].password, answer);
		}
	}
}

static void the_cache_knows_no_old_password(void **state)
{
	(void)state;
	assert_int_equal(check(SPAN_LIT("alice"), SPAN_LIT("correct")), VERIFIER_RIGHT);
	set_password(SPAN_LIT("alice"), SPAN_LIT("another"));
	assert_int_equal(check(SPAN_LIT("alice"), SPAN_LIT("correct")), VERIFIER_WRONG);
	assert_int_equal(check(SPAN_LIT("alice"), SPAN_LIT("another")), VERIFIER_RIGHT);
	success_reset();
	assert_int_equal(check(SPAN_LIT("alice"), SPAN_LIT("another")), VERIFIER_RIGHT);
}

/* A login that the cache knows is one only while the account is there to be read. */
static void the_store_is_asked_each_time(void **state)
{
	(void)state;
	struct span name = SPAN_LIT("carol");
	set_password(name, SPAN_LIT("correct"));
	assert_int_equal(check(name, SPAN_LIT("correct")), VERIFIER_RIGHT);
	struct store_txn *txn = store_begin_write(source.store, NULL);
	store_put(txn, STORE_ACCOUNT, name, SPAN_LIT("\xff"));
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	assert_int_equal(check(name, SPAN_LIT("correct")), VERIFIER_UNREADABLE);
	txn = store_begin_write(source.store, NULL);
	assert_int_equal(account_delete(txn, name), STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	assert_int_equal(check(name, SPAN_LIT("correct")), VERIFIER_WRONG);
}

/* What does a verifier tell, that of somebody, and that of nobody? */
static void nobody_looks_like_somebody(void **state)
{
	(void)state;
	static const char *const names[] = { "bob", "eve", "eve", "none", "hashed" };
	for (enum secret_hash hash = 0; hash < SECRET_HASHES; hash++) {
		struct buf verifiers[COUNT(names)];
		for (size_t i = 0; i < COUNT(names); i++) {
			verifiers[i] = (struct buf){ .cap = SECRET_VERIFIER_MAX };
			assert_true(
			    verifier_find(&source, span_str(names[i]), hash, &verifiers[i]));
			assert_int_equal(verifiers[i].len, verifiers[0].len);
			/* one, of the hash that was asked for */
			assert_true(span_eq(secret_verifier_of(buf_span(&verifiers[i]), hash),
			                    buf_span(&verifiers[i])));
		}
		assert_true(span_eq(buf_span(&verifiers[1]), buf_span(&verifiers[2])));
		assert_false(span_eq(buf_span(&verifiers[1]), buf_span(&verifiers[3])));
		for (size_t i = 0; i < COUNT(names); i++) {
			verifier_forget(&verifiers[i]);
		}
		struct buf none = { .cap = SECRET_VERIFIER_MAX };
		assert_false(verifier_find(&source, SPAN_LIT("damaged"), hash, &none));
		assert_int_equal(none.len, 0);
	}
}

/* With the right password only, again while nobody has stored them, and they are good ones. */
static void a_hash_becomes_verifiers(void **state)
{
	(void)state;
	static const struct {
		const char *password;
		enum verifier_answer answer;
	} rows[] = {
		{ "wrong", VERIFIER_WRONG },
		{ "correct horse", VERIFIER_RIGHT },
		{ "correct horse", VERIFIER_RIGHT },
		{ "", VERIFIER_WRONG },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span password = span_str(rows[i].password);
		struct buf fresh = { .cap = SECRET_VERIFIER_MAX };
		assert_int_equal(verifier_check(&source, SPAN_LIT("hashed"), password, &fresh),
		                 rows[i].answer);
		assert_int_equal(fresh.len > 0, rows[i].answer == VERIFIER_RIGHT);
		assert_int_equal(secret_verifier_check(buf_span(&fresh), password),
		                 rows[i].answer == VERIFIER_RIGHT);
		buf_done(&fresh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(the_cache_knows_no_old_password),
		cmocka_unit_test(the_store_is_asked_each_time),
		cmocka_unit_test(nobody_looks_like_somebody),
		cmocka_unit_test(a_hash_becomes_verifiers),
	};
	return cmocka_run_group_tests_name("verifier", tests, open_store, close_store);
}
