/* Stores that are refused, whole or damaged, and what is left behind a crash. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store_help.h"

/* ---- what is refused ---- */

static void overwrite(const struct place *place, off_t at, size_t n)
{
	char path[96];
	snprintf(path, sizeof path, "%s/data.mdb", place->dir);
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	char byte = 'Z';
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pwrite(fd, &byte, 1, at + (off_t)i), 1);
	}
	close(fd);
}

static void cut(const struct place *place, off_t part, off_t of)
{
	char path[96];
	struct stat st;
	snprintf(path, sizeof path, "%s/data.mdb", place->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size * part / of), 0);
}

static void put_schema(const struct place *place, uint8_t schema, size_t len)
{
	struct store_txn *txn = writing(place->store);
	char row[4] = { (char)schema };
	store_put(txn, STORE_META, SPAN_LIT("schema"), span_of(row, len));
	commit(txn);
}

static void break_nothing(struct place *place)
{
	(void)place;
}

static void break_first_meta(struct place *place)
{
	place_close(place);
	overwrite(place, 0, 4096);
}

static void break_second_meta(struct place *place)
{
	place_close(place);
	overwrite(place, 4096, 64);
}

static void break_both_metas(struct place *place)
{
	place_close(place);
	overwrite(place, 0, 8192);
}

static void cut_in_half(struct place *place)
{
	place_close(place);
	cut(place, 1, 2);
}

/* The trees lie in front, and all of them can be read. */
static void cut_into_bodies(struct place *place)
{
	static const char bytes[20 * BODY_ROW];
	uint32_t next;
	struct store_txn *txn = writing(place->store);
	body_put(txn, 2, 0, span_of(bytes, sizeof bytes), &next);
	commit(txn);
	txn = writing(place->store);
	body_drop(txn, 1);
	commit(txn);
	for (int i = 0; i < 6; i++) {
		put_text(place->store, "a", "what lives moves to the front");
	}
	place_close(place);
	cut(place, 4, 5);
}

static void cut_short(struct place *place)
{
	place_close(place);
	cut(place, 97, 100);
}

static void make_newer(struct place *place)
{
	put_schema(place, 7, 4);
	place_close(place);
}

static void make_foreign(struct place *place)
{
	put_schema(place, 0, 4);
	place_close(place);
}

static void break_schema(struct place *place)
{
	put_schema(place, 1, 2);
	place_close(place);
}

static void make_file(struct place *place)
{
	place_close(place);
	snprintf(place->dir, sizeof place->dir, "%s/file", place->base);
	close(open(place->dir, O_WRONLY | O_CREAT, 0600));
}

static void lose_parent(struct place *place)
{
	place_close(place);
	snprintf(place->dir, sizeof place->dir, "%s/none/store", place->base);
}

/* Each: what was done to the store, and how it is refused, in a sentence that names the
 * place. */
static void refusals(void **state)
{
	static const struct {
		void (*harm)(struct place *place);
		enum store_result want;
		const char *word;
	} table[] = {
		{ break_nothing, STORE_IN_USE, "in use by another gatepost, process" },
		{ break_first_meta, STORE_DAMAGED, "data.mdb: is damaged" },
		{ break_second_meta, STORE_DAMAGED, "data.mdb: is damaged" },
		{ break_both_metas, STORE_DAMAGED, "data.mdb: is damaged" },
		{ cut_in_half, STORE_DAMAGED, "pages are there" },
		{ cut_into_bodies, STORE_DAMAGED, "pages are there" },
		{ cut_short, STORE_DAMAGED, "pages are there" },
		{ make_newer, STORE_NEWER, "schema 7, this one knows 1" },
		{ make_foreign, STORE_DAMAGED, "no store of gatepost" },
		{ break_schema, STORE_DAMAGED, "no store of gatepost" },
		{ make_file, STORE_FAILED, "Not a directory" },
		{ lose_parent, STORE_FAILED, "No such file" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		void *own;
		struct store *store = NULL;
		struct store_options options = { .size = 1 << 30, .longest_window = WINDOW };
		struct error error = { "" };
		place_setup(&own);
		struct place *place = own;
		struct store_txn *txn = writing(place->store);
		uint32_t next;
		static const char bytes[100000];
		body_put(txn, 1, 0, span_of(bytes, sizeof bytes), &next);
		commit(txn);
		table[i].harm(place);
		for (int again = 0; again < 2; again++) {
			enum store_result have = store_open(place->dir, &options, &store,
			                                    &error);
			if (have != table[i].want || !strstr(error.text, table[i].word) ||
			    !strstr(error.text, place->dir)) {
				fail_msg("row %zu: %d \"%s\"", i, (int)have, error.text);
			}
			assert_null(store);
		}
		if (place->store) {
			put_text(place->store, "a", "the one who has it goes on");
		}
		place_teardown(&own);
	}
}

static void other_process_is_refused(void **state)
{
	struct place *place = *state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* A fresh opening, as another gatepost would. */
		struct store *store = NULL;
		struct store_options options = { .size = 1 << 30, .longest_window = WINDOW };
		struct error error;
		char word[32];
		snprintf(word, sizeof word, "process %ld", (long)getppid());
		enum store_result result = store_open(place->dir, &options, &store, &error);
		_exit(result == STORE_IN_USE && strstr(error.text, word) ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	put_text(place->store, "a", "1");
	assert_true(has(place->store, "a"));
}

/* Pages at the end that were never written are no damage when they are free. */
static void short_file_of_free_pages(void **state)
{
	static const char bytes[1 << 20];
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	uint32_t next;
	body_put(txn, 1, 0, span_of(bytes, sizeof bytes), &next);
	commit(txn);
	txn = writing(place->store);
	body_drop(txn, 1);
	commit(txn);
	for (int i = 0; i < 4; i++) {
		put_text(place->store, "a", "what lives moves to the front");
	}
	place_close(place);
	cut(place, 2, 3);
	place_open(place);
	assert_true(has(place->store, "a"));
	txn = writing(place->store);
	body_put(txn, 1, 0, span_of(bytes, sizeof bytes), &next);
	commit(txn);
	place_reopen(place);
	assert_int_equal(count_rows(place->store, STORE_BODY), next);
}

static void files_are_private(void **state)
{
	static const struct {
		const char *name;
		unsigned mode;
	} table[] = {
		{ "", S_IFDIR | 0700 },
		{ "/data.mdb", S_IFREG | 0600 },
		{ "/lock.mdb", S_IFREG | 0600 },
		{ "/gatepost.lock", S_IFREG | 0600 },
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(table); i++) {
		char path[128];
		struct stat st;
		snprintf(path, sizeof path, "%s%s", place->dir, table[i].name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode, table[i].mode);
		/* No descriptor on it survives an exec. */
		for (int fd = 3; fd < 64; fd++) {
			struct stat open_st;
			if (fstat(fd, &open_st) == 0 && open_st.st_ino == st.st_ino &&
			    open_st.st_dev == st.st_dev) {
				assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			}
		}
	}
}

/* ---- crashes ---- */

/* Commits rows 0, 1, 2 ... and says so, each behind its commit, until it is killed in the
 * middle of one. */
static void write_until_killed(struct place *place, int report)
{
	struct store *store = NULL;
	struct store_options options = { .size = 1 << 30, .longest_window = WINDOW };
	struct error error = { "" };
	if (store_open(place->dir, &options, &store, &error) != STORE_OK) {
		fprintf(stderr, "%s\n", error.text);
		_exit(1);
	}
	for (uint64_t id = count_rows(store, STORE_QUEUE);; id++) {
		struct store_txn *txn = writing(store);
		struct key key = key_id(id);
		uint32_t next;
		static const char bytes[3 * BODY_ROW];
		body_put(txn, id, 0, span_of(bytes, sizeof bytes), &next);
		store_put(txn, STORE_QUEUE, key_span(&key), SPAN_LIT("entry"));
		if (store_commit(txn, &error) != STORE_OK ||
		    write(report, &id, sizeof id) != sizeof id) {
			fprintf(stderr, "%s\n", error.text);
			_exit(1);
		}
	}
}

static void kill_loses_nothing(void **state)
{
	struct place *place = *state;
	uint64_t said = 0;
	place_close(place);
	for (unsigned round = 0; round < 10; round++) {
		int report[2];
		assert_int_equal(pipe(report), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			write_until_killed(place, report[1]);
		}
		close(report[1]);
		for (unsigned n = 0; n < 3 + round; n++) {
			assert_int_equal(read(report[0], &said, sizeof said), sizeof said);
		}
		kill(child, SIGKILL);
		while (read(report[0], &said, sizeof said) == sizeof said) {
		}
		close(report[0]);
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		place_open(place);
		size_t n = count_rows(place->store, STORE_QUEUE);
		assert_true(n >= said + 1);
		assert_int_equal(count_rows(place->store, STORE_BODY), 3 * n);
		place_close(place);
	}
}

/* One that dies inside a transaction, of which half had been given to LMDB, leaves nothing
 * of it. */
static void death_inside_a_transaction(void **state)
{
	struct place *place = *state;
	put_text(place->store, "before", "1");
	place_close(place);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		place_open(place);
		struct store_txn *read = reading(place->store);
		struct store_txn *txn = writing(place->store);
		store_put(txn, STORE_ACCOUNT, SPAN_LIT("during"), SPAN_LIT("1"));
		store_del(txn, STORE_ACCOUNT, SPAN_LIT("before"));
		(void)read;
		raise(SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	place_open(place);
	assert_true(has(place->store, "before"));
	assert_false(has(place->store, "during"));
	put_text(place->store, "after", "1");
	assert_true(has(place->store, "after"));
}

#ifdef GATEPOST_HOOKS
static void kill_points(void **state)
{
	static const struct {
		const char *order;
		size_t rows;
	} table[] = {
		{ "commit-before:2", 0 }, /* the first commit is the opening */
		{ "commit-after:2", 1 },
		{ "commit-before:4", 2 },
		{ "commit-after:4", 3 },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		void *own;
		place_setup(&own);
		struct place *place = own;
		place_close(place);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			setenv("GATEPOST_KILL", table[i].order, 1);
			place_open(place);
			put_text(place->store, "a", "1");
			put_text(place->store, "b", "1");
			put_text(place->store, "c", "1");
			_exit(0);
		}
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		place_open(place);
		assert_int_equal(count_rows(place->store, STORE_ACCOUNT), table[i].rows);
		place_teardown(&own);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refusals),
		TEST(other_process_is_refused),
		TEST(short_file_of_free_pages),
		TEST(files_are_private),
		TEST(kill_loses_nothing),
		TEST(death_inside_a_transaction),
#ifdef GATEPOST_HOOKS
		TEST(kill_points),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
