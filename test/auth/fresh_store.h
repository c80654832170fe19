/*
 * A store of its own for each test, with the accounts alice and bob, under clocks in the test's
 * hand. To be included by one file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_FRESH_STORE_H
#define GATEPOST_TEST_AUTH_FRESH_STORE_H

#include "store/account.h"
#include "test/auth/fake_clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define ALICE SPAN_LIT("alice@example.org")
#define BOB   SPAN_LIT("bob@example.org")

static char dir[64];
static struct store *store;

static inline void open_store(void)
{
	struct error error = { "" };
	const struct store_options options = { .size = 64 << 20, .longest_window = DAY };
	if (store_open(dir, &options, &store, &error) != STORE_OK) {
		fail_msg("%s", error.text);
	}
}

static inline void reopen_store(void)
{
	store_close(store);
	open_store();
}

static inline void commit(struct store_txn *txn)
{
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
}

static inline struct store_txn *begin(void)
{
	struct store_txn *txn = store_begin_write(store, NULL);
	assert_non_null(txn);
	return txn;
}

static inline int set_up(void **state)
{
	const struct account account = { .secret = SPAN_LIT("x") };
	(void)state;
	fake_clock.boot = 20000;
	fake_clock.wall = 1700000000000;
	snprintf(dir, sizeof dir, "/tmp/gatepost-auth-XXXXXX");
	if (!mkdtemp(dir)) {
		return -1;
	}
	open_store();
	struct store_txn *txn = begin();
	account_put(txn, ALICE, &account);
	account_put(txn, BOB, &account);
	commit(txn);
	return 0;
}

static inline int tear_down(void **state)
{
	char command[128];
	(void)state;
	store_close(store);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

#ifdef GATEPOST_HOOKS
/* Does `act` in a process of its own that dies at a kill point; false when it did not. */
static inline bool dies_at(const char *point, void (*act)(void))
{
	int status = 0;
	store_close(store);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("GATEPOST_KILL", point, 1);
		open_store();
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	open_store();
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
