/* What a site of a million accounts costs, in bytes and not in seconds, and which names never
 * become keys. */
#include "auth/gate.h"

#include "test/auth/fresh_store.h"

#include "auth/facts.h"

#define MANY     ((size_t)1000 * 1000)
#define FEW      ((size_t)1000)
#define BATCH    ((size_t)20000)
#define CHARGES  50
#define PAGE     4096u
#define MAP_SIZE ((uint64_t)4 << 30)

/* A page's worth of freed memory is not to be counted as kept: small quarantine, if there is a
 * sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}

/* "NAME: 123" of a file in /proc/self. */
static uint64_t proc_number(const char *path, const char *name)
{
	char line[128];
	unsigned long long number = 0;
	bool found = false;
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while (!found && fgets(line, sizeof line, file)) {
		found = strncmp(line, name, strlen(name)) == 0;
	}
	fclose(file);
	assert_true(found);
	number = strtoull(line + strlen(name), NULL, 10);
	return number;
}

/* All that was written, by the commits and by nothing else here. */
static uint64_t written(void)
{
	return proc_number("/proc/self/io", "wchar:");
}

static uint64_t memory_kib(void)
{
	return proc_number("/proc/self/status", "RssAnon:");
}

static void open_large(void)
{
	struct error error = { "" };
	const struct store_options options = { .size = MAP_SIZE, .longest_window = DAY };
	if (store_open(dir, &options, &store, &error) != STORE_OK) {
		fail_msg("%s", error.text);
	}
}

static uint64_t live_bytes(void)
{
	store_measure(store);
	return store_live_bytes(store);
}

static struct span name_of(size_t i, char (*name)[40])
{
	int len = snprintf(*name, sizeof *name, "u%07zu@example.org", i);
	return span_of(*name, (size_t)len);
}

/* Accounts `from` to `to`, with a verifier of the usual length, a batch a transaction. */
static void add_accounts(size_t from, size_t to)
{
	char verifier[160];
	char name[40];
	memset(verifier, 'v', sizeof verifier);
	const struct account account = { .secret = span_of(verifier, sizeof verifier) };
	for (size_t i = from; i < to;) {
		struct store_txn *txn = begin();
		for (size_t end = i + BATCH < to ? i + BATCH : to; i < end; i++) {
			account_put(txn, name_of(i, &name), &account);
		}
		commit(txn);
	}
}

static const struct gate_rules rules = {
	.limits = { { { 500, 30 * MINUTE }, { 2000, DAY } }, 2 },
};

static void charge(size_t i)
{
	char name[40];
	struct gate_result result;
	struct act act = {
		.account = name_of(i, &name),
		.client = SPAN_LIT("192.0.2.7"),
		.subject = SPAN_LIT("hello"),
		.recipients = 1,
		.now = store_now(store),
		.wall = fake_clock.wall,
	};
	struct store_txn *txn = begin();
	assert_int_equal(gate_message(txn, &rules, &act, &result), GATE_ALLOW);
	commit(txn);
}

/* The most that one of some charges has written, each of another account in a commit of its
 * own. */
static uint64_t dearest_charge(size_t accounts)
{
	uint64_t dearest = 0;
	for (size_t i = 0; i < CHARGES; i++) {
		uint64_t before = written();
		charge(i * (accounts / CHARGES));
		uint64_t cost = written() - before;
		dearest = cost > dearest ? cost : dearest;
	}
	return dearest;
}

static void delete_accounts(size_t from, size_t to)
{
	char name[40];
	for (size_t i = from; i < to;) {
		struct store_txn *txn = begin();
		for (size_t end = i + BATCH < to ? i + BATCH : to; i < end; i++) {
			assert_int_equal(account_delete(txn, name_of(i, &name)), STORE_OK);
		}
		commit(txn);
	}
}

/* TESTS HL24. A charge writes the pages from a leaf to the root: a tree of a thousand times as
 * many is two or three levels higher, in two tables. The rest of what could grow does not:
 * memory, bytes an account, a row that is used again. */
static void hl24_a_million_accounts(void **state)
{
	(void)state;
	store_close(store);
	open_large();
	add_accounts(0, FEW);
	dearest_charge(FEW); /* their rows exist from now on */
	fake_clock_pass(2 * DAY);
	uint64_t cost_of_few = dearest_charge(FEW);
	uint64_t memory = memory_kib();
	add_accounts(FEW, MANY);
	assert_true(memory_kib() < memory + 64 * 1024);
	assert_true(live_bytes() < MANY * 500);
	dearest_charge(MANY);
	fake_clock_pass(2 * DAY);
	uint64_t cost = dearest_charge(MANY);
	if (cost > cost_of_few + 8 * PAGE) {
		fail_msg("a charge writes %llu bytes, among few accounts %llu",
		         (unsigned long long)cost, (unsigned long long)cost_of_few);
	}
	/* The windows over and over: what is used and expired leaves nothing. */
	uint64_t live = live_bytes();
	for (int day = 0; day < 10; day++) {
		fake_clock_pass(2 * DAY);
		dearest_charge(MANY);
	}
	assert_true(live_bytes() < live + 64 * PAGE);
	assert_true(memory_kib() < memory + 64 * 1024);
	delete_accounts(FEW, MANY);
	assert_true(live_bytes() < live / 20);
	reopen_store();
	charge(0);
}

/* TESTS HL26: what can be no key belongs to nobody, at each door, and reaches no table. */
static void hl26_names_that_are_no_keys(void **state)
{
	(void)state;
	static char text[600];
	static const struct {
		const char *what;
		size_t len; /* of x..x, where there is no name */
		struct span name;
		bool is_key;
	} rows[] = {
		{ .what = "empty", .name = SPAN_NONE },
		{ .what = "255", .len = 255, .is_key = true },
		{ .what = "256", .len = 256 },
		{ .what = "511", .len = 511 },
		{ .what = "512", .len = 512 },
		{ .what = "600", .len = 600 },
		{ .what = "dots",
		  .name = SPAN_LIT(".."),
		  .is_key = true }, /* no path, a name like another */
		{ .what = "a NUL", .name = SPAN_LIT("alice@example.org\0x"), .is_key = true },
	};
	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span name = rows[i].len ? span_of(text, rows[i].len) : rows[i].name;
		struct gate_result result;
		struct account account;
		uint64_t incident = 0;
		struct act act = { .account = name,
			                 .recipients = 1,
			                 .now = store_now(store) };
		struct store_txn *txn = begin();
		assert_int_equal(gate_message(txn, &rules, &act, &result), GATE_UNKNOWN);
		assert_int_equal(gate_recipient(txn, &rules, &act), GATE_UNKNOWN);
		assert_int_equal(gate_login(txn, name, SPAN_NONE, &incident, NULL),
		                 GATE_UNKNOWN);
		assert_int_equal(account_get(txn, name, &account), STORE_NOT_FOUND);
		assert_int_equal(account_delete(txn, name), STORE_NOT_FOUND);
		assert_int_equal(gate_reset(txn, name), STORE_NOT_FOUND);
		if (rows[i].is_key) {
			const struct account row = { .secret = SPAN_LIT("x") };
			assert_int_equal(account_put(txn, name, &row), STORE_OK);
			assert_int_equal(gate_message(txn, &rules, &act, &result), GATE_ALLOW);
		}
		commit(txn); /* nothing has failed in it */
	}
	struct gate_view view;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, &rules, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_int_equal(view.spent[0], 0); /* nobody was taken for her */
	store_abort(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hl24_a_million_accounts),
		TEST(hl26_names_that_are_no_keys),
	};
	return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
