/* Rows, transactions, the clock, the room and the copy; harm is in store_damage_test.c. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "store_help.h"

#define MINUTE ((int64_t)60 * 1000)
#define YEAR   ((int64_t)366 * 24 * 3600 * 1000)

/*
 * The world's clocks as the store sees them: this definition comes before libc's. Both are real
 * ones, moved.
 */
static int64_t wall_step;
static int64_t boot_step;

int clock_gettime(clockid_t id, struct timespec *at)
{
	int rc = (int)syscall(SYS_clock_gettime, id, at);
	int64_t step = id == CLOCK_REALTIME ? wall_step : id == CLOCK_BOOTTIME ? boot_step : 0;
	int64_t ms = (int64_t)at->tv_sec * 1000 + at->tv_nsec / 1000000 + step;
	at->tv_sec = ms / 1000;
	at->tv_nsec = ms % 1000 * 1000000;
	return rc;
}

/* ---- rows and walks ---- */

static void rows(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct span value;
	assert_int_equal(store_get(txn, STORE_LEDGER, SPAN_LIT("a"), &value), STORE_NOT_FOUND);
	assert_int_equal(store_del(txn, STORE_LEDGER, SPAN_LIT("a")), STORE_NOT_FOUND);
	store_put(txn, STORE_LEDGER, SPAN_LIT("a"), SPAN_LIT("one"));
	store_put(txn, STORE_LEDGER, SPAN_LIT("a"), SPAN_LIT("two"));
	store_put(txn, STORE_LEDGER, SPAN_LIT("empty"), SPAN_NONE);
	char *room = store_put_reserve(txn, STORE_LEDGER, SPAN_LIT("big"), 40000);
	assert_non_null(room);
	memset(room, 'x', 40000);
	commit(txn);

	place_reopen(place);
	txn = reading(place->store);
	assert_int_equal(store_get(txn, STORE_LEDGER, SPAN_LIT("a"), &value), STORE_OK);
	assert_span(value, "two");
	assert_int_equal(store_get(txn, STORE_LEDGER, SPAN_LIT("empty"), &value), STORE_OK);
	assert_int_equal(value.len, 0);
	assert_int_equal(store_get(txn, STORE_LEDGER, SPAN_LIT("big"), &value), STORE_OK);
	assert_int_equal(value.len, 40000);
	assert_int_equal(value.ptr[39999], 'x');
	/* A table is no other table. */
	assert_int_equal(store_get(txn, STORE_ACCOUNT, SPAN_LIT("a"), &value), STORE_NOT_FOUND);
	store_abort(txn);
}

static void walks(void **state)
{
	static const char *const keys[] = { "a", "b", "ba", "bb", "bbb", "c" };
	static const struct {
		const char *from, *prefix, *want;
	} table[] = {
		{ "", "", "a b ba bb bbb c " },
		{ "bab", "", "bb bbb c " },
		{ "d", "", "" },
		{ "", "b", "b ba bb bbb " },
		{ "bb", "b", "bb bbb " },
		{ "", "bb", "bb bbb " },
		{ "", "x", "" },
		{ "b", "c", "" },
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (size_t i = 0; i < COUNT(keys); i++) {
		store_put(txn, STORE_ACCOUNT, span_str(keys[i]), span_str(keys[i]));
	}
	for (size_t i = 0; i < COUNT(table); i++) {
		struct store_walk walk;
		struct span key;
		struct span value;
		char seen[64] = "";
		store_walk_begin(&walk, txn, STORE_ACCOUNT, span_str(table[i].from),
		                 span_str(table[i].prefix));
		while (store_walk_next(&walk, &key, &value)) {
			assert_true(span_eq(key, value));
			size_t at = strlen(seen);
			snprintf(seen + at, sizeof seen - at, "%.*s ", SPAN_ARG(key));
		}
		store_walk_end(&walk);
		assert_string_equal(seen, table[i].want);
	}
	store_abort(txn);
}

/* Every second row is deleted while walking; none is left out, none is met twice. */
static void walk_deletes(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (uint64_t id = 0; id < 2000; id++) {
		struct key key = key_id(id);
		store_put(txn, STORE_QUEUE, key_span(&key), SPAN_LIT("some bytes of a row"));
	}
	struct store_walk walk;
	struct span key;
	struct span value;
	uint64_t next = 0;
	store_walk_begin(&walk, txn, STORE_QUEUE, SPAN_NONE, SPAN_NONE);
	while (store_walk_next(&walk, &key, &value)) {
		assert_int_equal(key_get_u64(key, 0), next);
		if (next++ % 2) {
			assert_int_equal(store_walk_del(&walk), STORE_OK);
		}
	}
	store_walk_end(&walk);
	commit(txn);
	assert_int_equal(next, 2000);
	assert_int_equal(count_rows(place->store, STORE_QUEUE), 1000);
}

/* ---- transactions ---- */

static void failure_sticks(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct span value;
	struct store_walk walk;
	struct error error = { "" };
	store_put(txn, STORE_ACCOUNT, SPAN_LIT("a"), SPAN_LIT("1"));
	assert_int_equal(store_txn_fail(txn, STORE_DAMAGED), STORE_DAMAGED);
	assert_int_equal(store_txn_fail(txn, STORE_FULL), STORE_FULL);
	assert_int_equal(store_txn_result(txn), STORE_DAMAGED);
	assert_int_equal(store_put(txn, STORE_ACCOUNT, SPAN_LIT("b"), value = SPAN_LIT("2")),
	                 STORE_DAMAGED);
	assert_int_equal(store_get(txn, STORE_ACCOUNT, SPAN_LIT("a"), &value), STORE_DAMAGED);
	assert_int_equal(store_del(txn, STORE_ACCOUNT, SPAN_LIT("a")), STORE_DAMAGED);
	assert_null(store_put_reserve(txn, STORE_ACCOUNT, SPAN_LIT("c"), 3));
	store_walk_begin(&walk, txn, STORE_ACCOUNT, SPAN_NONE, SPAN_NONE);
	assert_false(store_walk_next(&walk, &value, &value));
	store_walk_end(&walk);
	assert_int_equal(store_commit(txn, &error), STORE_DAMAGED);
	assert_non_null(strstr(error.text, place->dir));
	assert_int_equal(count_rows(place->store, STORE_ACCOUNT), 0);
	put_text(place->store, "d", "the next one is free of it");
	assert_true(has(place->store, "d"));
}

static void abort_drops(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	store_put(txn, STORE_ACCOUNT, SPAN_LIT("a"), SPAN_LIT("1"));
	store_abort(txn);
	store_abort(NULL);
	assert_false(has(place->store, "a"));
}

/* More reads at once than one page of the reader table; each sees the store as it was, also
 * a renewed one. */
static void reads_are_snapshots(void **state)
{
	struct place *place = *state;
	struct store_txn *before[200];
	struct span value;
	for (int round = 0; round < 3; round++) {
		char key[8];
		snprintf(key, sizeof key, "k%d", round);
		for (size_t i = 0; i < COUNT(before); i++) {
			before[i] = reading(place->store);
		}
		put_text(place->store, key, "v");
		for (size_t i = 0; i < COUNT(before); i++) {
			assert_int_equal(
			    store_get(before[i], STORE_ACCOUNT, span_str(key), &value),
			    STORE_NOT_FOUND);
			store_abort(before[i]);
		}
		assert_true(has(place->store, key));
	}
}

#define READERS 4

/* In each commit the two rows are equal: no reader ever sees them differ. */
static void *read_pairs(void *arg)
{
	struct store *store = arg;
	for (uint64_t last = 0; last < 300;) {
		struct store_txn *txn = reading(store);
		struct span a = SPAN_NONE;
		struct span b = SPAN_NONE;
		store_get(txn, STORE_ACCOUNT, SPAN_LIT("a"), &a);
		store_get(txn, STORE_ACCOUNT, SPAN_LIT("b"), &b);
		assert_true(span_eq(a, b));
		uint64_t now = a.len ? strtoull(a.ptr, NULL, 10) : 0;
		assert_true(now >= last);
		last = now;
		store_abort(txn);
		assert_true(store_next_id(store) > 0 && store_now(store) > 0);
		assert_int_equal(store_room(store), STORE_ROOM);
	}
	return NULL;
}

static void threads(void **state)
{
	struct place *place = *state;
	pthread_t ids[READERS];
	for (size_t i = 0; i < READERS; i++) {
		assert_int_equal(pthread_create(&ids[i], NULL, read_pairs, place->store), 0);
	}
	for (unsigned n = 1; n <= 300; n++) {
		char text[16];
		snprintf(text, sizeof text, "%u ", n);
		struct store_txn *txn = writing(place->store);
		store_put(txn, STORE_ACCOUNT, SPAN_LIT("a"), span_of(text, sizeof text));
		store_put(txn, STORE_ACCOUNT, SPAN_LIT("b"), span_of(text, sizeof text));
		commit(txn);
		store_measure(place->store);
		store_resize(place->store, ((uint64_t)1 << 30) + n);
	}
	for (size_t i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	}
}

/* ---- the clock and the ids ---- */

/* Each: what the clocks do while the store is closed, and how far T moves. */
static void clock_over_restart(void **state)
{
	static const struct {
		int64_t wall, boot, want;
	} table[] = {
		{ 0, 0, 0 },
		{ 5 * MINUTE, 5 * MINUTE, 5 * MINUTE },
		{ 5 * MINUTE, -YEAR / 366, 5 * MINUTE }, /* a reboot: that clock starts anew */
		{ 60 * MINUTE, 0, 60 * MINUTE },
		{ WINDOW, 0, WINDOW },
		{ 10 * YEAR, 0, WINDOW },
		{ -60 * MINUTE, 0, 0 },
		{ -10 * YEAR, 0, 0 },
		{ -40 * YEAR, 0, 0 },
		{ 80 * YEAR, 0, WINDOW },
	};
	struct place *place = *state;
	assert_true(store_now(place->store) >= WINDOW);
	for (size_t i = 0; i < COUNT(table); i++) {
		put_text(place->store, "a", "1");
		int64_t before = store_now(place->store);
		place_close(place);
		wall_step += table[i].wall;
		boot_step += table[i].boot;
		place_open(place);
		int64_t moved = store_now(place->store) - before;
		/* What came between two looks at the clock is no part of it. */
		if (moved < table[i].want - MINUTE || moved > table[i].want + MINUTE) {
			fail_msg("row %zu: T moved by %lld", i, (long long)moved);
		}
	}
	wall_step = 0;
	boot_step = 0;
}

static void clock_in_a_running_process(void **state)
{
	struct place *place = *state;
	int64_t before = store_now(place->store);
	wall_step = 10 * YEAR;
	put_text(place->store, "a", "1");
	assert_in_range(store_now(place->store) - before, 0, MINUTE);
	wall_step = -40 * YEAR;
	put_text(place->store, "a", "1");
	assert_in_range(store_now(place->store) - before, 0, MINUTE);
	boot_step = WINDOW;
	assert_in_range(store_now(place->store) - before, WINDOW, WINDOW + MINUTE);
#ifdef GATEPOST_HOOKS
	store_advance(place->store, YEAR);
	assert_in_range(store_now(place->store) - before, YEAR + WINDOW,
	                YEAR + WINDOW + MINUTE);
#endif
	wall_step = 0;
	boot_step = 0;
}

/* Restarts, wall clocks that step, and a store that was wiped: no id comes twice. */
static void ids_never_come_twice(void **state)
{
	static const int64_t steps[] = { 0, YEAR, -2 * YEAR, -40 * YEAR, 0 };
	struct place *place = *state;
	uint64_t last = store_next_id(place->store);
	uint64_t first = last;
	for (size_t i = 0; i < COUNT(steps); i++) {
		wall_step = steps[i];
		for (int n = 0; n < 100; n++) {
			uint64_t id = store_next_id(place->store);
			assert_true(id > last);
			last = id;
		}
		put_text(place->store, "a", "1");
		place_reopen(place);
	}
	wall_step = MINUTE;
	void *own;
	place_setup(&own);
	assert_true(store_next_id(((struct place *)own)->store) > first + 1000);
	place_teardown(&own);
	wall_step = 0;
}

/* ---- how full it is ---- */

static void put_bodies(struct store *store, uint64_t first, uint64_t n)
{
	static const char bytes[4 * BODY_ROW];
	struct store_txn *txn = writing(store);
	for (uint64_t id = first; id < first + n; id++) {
		uint32_t next;
		body_put(txn, id, 0, span_of(bytes, sizeof bytes), &next);
	}
	commit(txn);
	store_measure(store);
}

static void drop_bodies(struct store *store, uint64_t first, uint64_t n)
{
	struct store_txn *txn = writing(store);
	for (uint64_t id = first; id < first + n; id++) {
		body_drop(txn, id);
	}
	commit(txn);
	store_measure(store);
}

static void room(void **state)
{
	struct place *place = *state;
	struct store *store = place->store;
	store_resize(store, 2 << 20);
	assert_int_equal(store_size(store), 2 << 20);
	assert_int_equal(store_room(store), STORE_ROOM);
	put_bodies(store, 0, 28); /* 64 KiB each: 1.75 of 2 MiB */
	assert_in_range(store_live_bytes(store), 28 << 16, 29 << 16);
	assert_int_equal(store_room(store), STORE_ROOM);
	put_bodies(store, 28, 2);
	assert_int_equal(store_room(store), STORE_RESERVED);
	put_bodies(store, 30, 3);
	assert_int_equal(store_room(store), STORE_NO_ROOM);
	/* A mark, no wall: what must be written still is. */
	put_text(store, "a", "1");
	store_resize(store, 4 << 20);
	assert_int_equal(store_room(store), STORE_ROOM);
	store_resize(store, 2 << 20);
	/* The file never shrinks; what is free in it is room again. */
	drop_bodies(store, 0, 33);
	assert_in_range(store_live_bytes(store), 4096, 1 << 17);
	assert_int_equal(store_room(store), STORE_ROOM);
}

/* Something else takes all that is left. */
static void fill_up(const char *dir)
{
	char path[128];
	char block[4096] = "";
	snprintf(path, sizeof path, "%s/other", dir);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof block) > 0) {
	}
	close(fd);
}

/* In a child: a disk of 16 MiB. 0 = as it should be, 77 = this machine mounts nothing. */
static int fill_a_disk(struct place *place)
{
	char mount_at[96];
	snprintf(mount_at, sizeof mount_at, "%s/disk", place->base);
	if (mkdir(mount_at, 0700) != 0 ||
	    unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) != 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", mount_at, "tmpfs", 0, "size=16m") != 0) {
		return 77;
	}
	snprintf(place->dir, sizeof place->dir, "%s/disk/store", place->base);
	place_open(place);
	store_resize(place->store, 16 << 20);
	put_bodies(place->store, 0, 80); /* 5 MiB */
	assert_int_equal(store_room(place->store), STORE_ROOM);
	fill_up(mount_at);
	store_measure(place->store);
	assert_int_equal(store_room(place->store), STORE_NO_ROOM);

	static const char bytes[8 << 20];
	struct error error = { "" };
	struct store_txn *txn = writing(place->store);
	uint32_t next;
	body_put(txn, 1000, 0, span_of(bytes, sizeof bytes), &next);
	assert_int_equal(store_commit(txn, &error), STORE_FULL);
	assert_non_null(strstr(error.text, "is full"));
	assert_int_equal(count_rows(place->store, STORE_BODY), 80 * 4);

	/* Nothing was lost, what is sent makes room, and there it goes on. */
	drop_bodies(place->store, 0, 40);
	assert_int_equal(store_room(place->store), STORE_ROOM);
	put_bodies(place->store, 1000, 30);
	assert_int_equal(count_rows(place->store, STORE_BODY), 70 * 4);
	place_reopen(place);
	assert_int_equal(count_rows(place->store, STORE_BODY), 70 * 4);
	place_close(place);
	return 0;
}

static void full_disk(void **state)
{
	struct place *place = *state;
	place_close(place);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		_exit(fill_a_disk(place));
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}

/* ---- backup ---- */

static void backup(void **state)
{
	struct place *place = *state;
	char path[160];
	struct error error = { "" };
	put_text(place->store, "a", "1");
	put_bodies(place->store, 0, 20);
	drop_bodies(place->store, 0, 10);
	uint64_t id = store_next_id(place->store);
	put_text(place->store, "b", "2");
	snprintf(path, sizeof path, "%s/copy", place->base);
	mkdir(path, 0700);
	strncat(path, "/data.mdb", sizeof path - strlen(path) - 1);
	/* A write that is under way is not in it. */
	struct store_txn *txn = writing(place->store);
	store_put(txn, STORE_ACCOUNT, SPAN_LIT("c"), SPAN_LIT("3"));
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(store_copy(place->store, fd, &error), STORE_OK);
	close(fd);
	commit(txn);
	fd = open(path, O_RDONLY);
	assert_int_equal(store_copy(place->store, fd, &error), STORE_FAILED);
	assert_true(error.text[0]);
	close(fd);
	place_close(place);

	snprintf(place->dir, sizeof place->dir, "%s/copy", place->base);
	place_open(place);
	assert_int_equal(count_rows(place->store, STORE_BODY), 40);
	assert_true(has(place->store, "a"));
	assert_true(has(place->store, "b"));
	assert_false(has(place->store, "c"));
	assert_true(store_next_id(place->store) > id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows),
		TEST(walks),
		TEST(walk_deletes),
		TEST(failure_sticks),
		TEST(abort_drops),
		TEST(reads_are_snapshots),
		TEST(threads),
		TEST(clock_over_restart),
		TEST(clock_in_a_running_process),
		TEST(ids_never_come_twice),
		TEST(room),
		TEST(full_disk),
		TEST(backup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
