/* The writer with a real store: batches, order, one failing job among many, ports and waiting.
 */
#include "test/store/help.h"

#include <stdatomic.h>

#include "server/commit.h"
#include "store/account.h"

static atomic_int fatals;

static void count_fatal(void *context)
{
	(void)context;
	atomic_fetch_add(&fatals, 1);
}

static struct commit *start(struct place *place)
{
	struct error error = { "" };
	struct commit *commit = commit_start(place->store, 1000, count_fatal, NULL, &error);
	assert_non_null(commit);
	return commit;
}

/* Adds one to a number in the store: two of them at once would show. */
struct adder {
	struct commit_job job;
	int runs;
	int *served; /* counts the call-backs */
	enum store_result result;
	bool damaged;
};

static uint64_t number(struct store_txn *txn)
{
	struct account account;
	uint64_t value = 0;
	if (account_get(txn, SPAN_LIT("counter"), &account) == STORE_OK) {
		memcpy(&value, account.secret.ptr, sizeof value);
	}
	return value;
}

static void add_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct adder *adder = (struct adder *)job;
	uint64_t value = number(txn) + 1;
	struct account account = { .secret = span_of(&value, sizeof value) };
	assert_true(now > 0);
	adder->runs++;
	account_put(txn, SPAN_LIT("counter"), &account);
	if (adder->damaged) {
		store_txn_fail(txn, STORE_DAMAGED);
	}
}

static void add_done(struct commit_job *job, enum store_result result)
{
	struct adder *adder = (struct adder *)job;
	adder->result = result;
	++*adder->served;
}

static uint64_t read_number(struct place *place)
{
	struct store_txn *txn = store_begin_read(place->store, NULL);
	uint64_t value = number(txn);
	store_abort(txn);
	return value;
}

static void test_wait(void **state)
{
	struct commit *commit = start(*state);
	for (uint64_t i = 1; i <= 20; i++) {
		struct adder adder = { .job = { .run = add_run, .bytes = 100 } };
		assert_int_equal(commit_wait(commit, &adder.job), STORE_OK);
		assert_int_equal(read_number(*state), i);
	}
	commit_stop(commit);
}

#define JOBS 700 /* more than a batch */

/* All are served on the port's loop, durable; the damaged one alone is refused, and left no
 * trace. */
static void test_port(void **state)
{
	static struct adder adders[JOBS];
	struct commit *commit = start(*state);
	uv_loop_t loop;
	int served = 0;
	uv_loop_init(&loop);
	struct commit_port *port = commit_port_new(commit, &loop);
	for (int i = 0; i < JOBS; i++) {
		adders[i] = (struct adder){
			.job = { .run = add_run,
			         .done = add_done,
			         .port = port,
			         .bytes = 100,
			         .staged = i % 3 == 0 },
			.served = &served,
			.damaged = i == 17,
		};
		commit_submit(commit, &adders[i].job);
	}
	while (served < JOBS) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	assert_int_equal(commit_port_outstanding(port), 0);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(adders[i].result, i == 17 ? STORE_DAMAGED : STORE_OK);
		assert_true(adders[i].runs >= 1);
	}
	assert_int_equal(read_number(*state), JOBS - 1);
	commit_port_close(port);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	commit_stop(commit);
	assert_int_equal(atomic_load(&fatals), 0);
	place_reopen(*state);
	assert_int_equal(read_number(*state), JOBS - 1);
}

/* What was submitted before the stop is done by it. */
static void test_stop_finishes(void **state)
{
	struct commit *commit = start(*state);
	struct adder adders[50];
	int served = 0;
	for (size_t i = 0; i < 50; i++) {
		adders[i] =
		    (struct adder){ .job = { .run = add_run, .done = add_done, .bytes = 100 },
			            .served = &served };
		commit_submit(commit, &adders[i].job);
	}
	commit_stop(commit);
	assert_int_equal(served, 50);
	assert_int_equal(read_number(*state), 50);
}

static void fail_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)job;
	(void)now;
	store_txn_fail(txn, STORE_FULL);
}

static void test_full(void **state)
{
	struct commit *commit = start(*state);
	struct commit_job job = { .run = fail_run };
	assert_int_equal(commit_wait(commit, &job), STORE_FULL);
	struct adder adder = { .job = { .run = add_run, .bytes = 100 } };
	assert_int_equal(commit_wait(commit, &adder.job), STORE_OK);
	commit_stop(commit);
	assert_int_equal(atomic_load(&fatals), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wait, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_port, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_stop_finishes, place_setup,
		                                place_teardown),
		cmocka_unit_test_setup_teardown(test_full, place_setup, place_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
