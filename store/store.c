#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/folder.h"
#include "store/idle.h"
#include "store/killpoint.h"
#include "store/meta.h"
#include "store/room.h"

#define MAP_BYTES  ((size_t)64 << 30) /* address space, not memory */
#define READERS    512
#define FREE_TABLE 0 /* LMDB's own list of free pages */

_Static_assert(sizeof(size_t) >= 8, "the map needs a 64-bit address space");

static const char *const table_names[STORE_TABLES] = {
	[STORE_META] = "meta",       [STORE_ACCOUNT] = "account", [STORE_LEDGER] = "ledger",
	[STORE_QUEUE] = "queue",     [STORE_DUE] = "due",         [STORE_OWNER] = "owner",
	[STORE_USAGE] = "usage",     [STORE_BODY] = "body",       [STORE_INCIDENT] = "incident",
	[STORE_JOURNAL] = "journal", [STORE_APPPASS] = "apppass", [STORE_SCREEN] = "screen",
	[STORE_ALIAS] = "alias",     [STORE_HISTORY] = "history", [STORE_NETWORK] = "network",
};

struct store {
	MDB_env *env;
	MDB_dbi tables[STORE_TABLES];
	int claim;   /* of the folder */
	int fd;      /* LMDB's, of data.mdb */
	size_t page; /* bytes */
	struct meta meta;
	struct room room;
	struct idle reads;  /* to be renewed: as many as ever ran at once */
	atomic_size_t open; /* transactions */
	char dir[];
};

struct store_txn {
	struct idle_link idle;
	struct store *store;
	MDB_txn *mdb;
	bool writes;
	enum store_result result; /* the first failure */
	int code;                 /* LMDB's word for it; 0 when a row made no sense */
};

/* ---- codes, clock, ids ---- */

static const struct {
	int code;
	enum store_result result;
} codes[] = {
	{ MDB_SUCCESS, STORE_OK },        { MDB_NOTFOUND, STORE_NOT_FOUND },
	{ ENOSPC, STORE_FULL },           { EDQUOT, STORE_FULL },
	{ MDB_MAP_FULL, STORE_FULL },     { MDB_TXN_FULL, STORE_FULL },
	{ MDB_CORRUPTED, STORE_DAMAGED }, { MDB_PAGE_NOTFOUND, STORE_DAMAGED },
	{ MDB_INVALID, STORE_DAMAGED },   { MDB_VERSION_MISMATCH, STORE_DAMAGED },
};

static enum store_result translate(const struct store *store, int code)
{
	/* LMDB calls a write that a full disk cut short an I/O error. */
	if (code == EIO && folder_space(store->fd) < 256 * store->page) {
		return STORE_FULL;
	}
	for (size_t i = 0; i < COUNT(codes); i++) {
		if (codes[i].code == code) {
			return codes[i].result;
		}
	}
	return STORE_FAILED;
}

static enum store_result complain(const struct store *store, int code, struct error *error)
{
	static const char faults[][16] = {
		[STORE_FULL] = "is full: ",
		[STORE_DAMAGED] = "is damaged: ",
		[STORE_FAILED] = "",
	};
	enum store_result result = translate(store, code);
	error_set(error, "%s/data.mdb: %s%s", store->dir, faults[result], mdb_strerror(code));
	return result;
}

int64_t store_now(const struct store *store)
{
	return meta_now(&store->meta);
}

#ifdef GATEPOST_HOOKS
void store_advance(struct store *store, int64_t ms)
{
	atomic_fetch_add(&store->meta.offset, ms);
}
#endif

uint64_t store_next_id(struct store *store)
{
	return atomic_fetch_add(&store->meta.next_id, 1);
}

/* ---- opening ---- */

static int open_env(struct store *store)
{
	int stale = 0;
	MDB_stat stat = { 0 };
	int code = mdb_env_create(&store->env);
	code = code ? code : mdb_env_set_mapsize(store->env, MAP_BYTES);
	code = code ? code : mdb_env_set_maxdbs(store->env, STORE_TABLES);
	code = code ? code : mdb_env_set_maxreaders(store->env, READERS);
	code = code ? code : mdb_env_open(store->env, store->dir, MDB_NOTLS, 0600);
	code = code ? code : mdb_reader_check(store->env, &stale);
	code = code ? code : mdb_env_stat(store->env, &stat);
	code = code ? code : mdb_env_get_fd(store->env, &store->fd);
	store->page = stat.ms_psize;
	/* LMDB sets it on all of its descriptors but this one. */
	return code || fcntl(store->fd, F_SETFD, FD_CLOEXEC) == 0 ? code : errno;
}

/* How many free pages there are from number `first` on. */
static int count_free(MDB_txn *txn, size_t first, uint64_t *count_out)
{
	MDB_cursor *cursor = NULL;
	MDB_val key;
	MDB_val list; /* a count, then page numbers; not aligned */
	uint64_t count = 0;
	int code = mdb_cursor_open(txn, FREE_TABLE, &cursor);
	while (code == 0 && (code = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
		size_t n = 0;
		memcpy(&n, list.mv_data, sizeof n);
		if (n >= list.mv_size / sizeof n) {
			code = MDB_CORRUPTED;
			break;
		}
		for (size_t i = 1; first && i <= n; i++) {
			size_t page;
			memcpy(&page, (char *)list.mv_data + i * sizeof page, sizeof page);
			count += page >= first;
		}
		count += first ? 0 : n;
	}
	mdb_cursor_close(cursor);
	*count_out = count;
	return code == MDB_NOTFOUND ? 0 : code;
}

/*
 * A page behind the end of the file would be a SIGBUS when it is read. Free pages there were
 * never written, and that is fine; anything else was cut off. The missing part is lent as
 * zeroes for the look, and taken away again: what is damaged stays as it was found.
 */
static enum store_result check_length(struct store *store, struct error *error)
{
	MDB_envinfo info;
	struct stat file;
	if (mdb_env_info(store->env, &info) || fstat(store->fd, &file) != 0) {
		return complain(store, errno, error);
	}
	uint64_t expected = (uint64_t)info.me_last_pgno + 1;
	uint64_t present = (uint64_t)file.st_size / store->page;
	if (present >= expected) {
		return STORE_OK;
	}
	MDB_txn *txn = NULL;
	uint64_t unwritten = 0;
	int code = ftruncate(store->fd, (off_t)(expected * store->page)) == 0 ? 0 : errno;
	code = code ? code : mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	code = code ? code : count_free(txn, (size_t)present, &unwritten);
	mdb_txn_abort(txn);
	if (code == 0 && unwritten == expected - present) {
		return STORE_OK;
	}
	(void)!ftruncate(store->fd, file.st_size);
	error_set(error, "%s/data.mdb is damaged: %llu of %llu pages are there", store->dir,
	          (unsigned long long)present, (unsigned long long)expected);
	return STORE_DAMAGED;
}

/* A store without any table is a fresh one. */
static enum store_result open_tables(struct store_txn *txn, struct error *error)
{
	struct store *store = txn->store;
	MDB_stat stat = { 0 };
	int code = mdb_env_stat(store->env, &stat);
	for (size_t i = 0; code == 0 && i < STORE_TABLES; i++) {
		code = mdb_dbi_open(txn->mdb, table_names[i], MDB_CREATE, &store->tables[i]);
	}
	if (code) {
		return complain(store, code, error);
	}
	return stat.ms_entries ? STORE_OK : meta_create(txn);
}

static enum store_result fill(struct store *store, int64_t longest_window, struct error *error)
{
	struct store_txn *txn = store_begin_write(store, error);
	if (!txn) {
		return STORE_FAILED;
	}
	enum store_result result = open_tables(txn, error);
	if (result == STORE_OK) {
		result = meta_read(&store->meta, txn, longest_window, store->dir, error);
	}
	if (result == STORE_OK) {
		return store_commit(txn, error);
	}
	store_abort(txn);
	return result;
}

static enum store_result open_parts(struct store *store, const struct store_options *options,
                                    struct error *error)
{
	enum store_result result = folder_enter(store->dir, &store->claim, error);
	if (result != STORE_OK) {
		return result;
	}
	int code = open_env(store);
	result = code ? complain(store, code, error) : check_length(store, error);
	if (result == STORE_OK) {
		result = fill(store, options->longest_window, error);
	}
	return result == STORE_OK ? folder_sync(store->dir, error) : result;
}

enum store_result store_open(const char *dir, const struct store_options *options,
                             struct store **store_out, struct error *error)
{
	size_t len = strlen(dir);
	struct store *store = calloc(1, sizeof *store + len + 1);
	if (!store) {
		error_set(error, "%s: out of memory", dir);
		return STORE_FAILED;
	}
	memcpy(store->dir, dir, len);
	store->claim = -1;
	pthread_mutex_init(&store->reads.lock, NULL);
	atomic_store(&store->room.size, options->size);
	enum store_result result = open_parts(store, options, error);
	if (result != STORE_OK) {
		store_close(store);
		return result;
	}
	store_measure(store);
	*store_out = store;
	return STORE_OK;
}

void store_close(struct store *store)
{
	if (!store) {
		return;
	}
	assert(atomic_load(&store->open) == 0);
	struct store_txn *txn;
	while ((txn = idle_take(&store->reads))) {
		mdb_txn_abort(txn->mdb);
		free(txn);
	}
	mdb_env_close(store->env);
	folder_leave(store->claim);
	pthread_mutex_destroy(&store->reads.lock);
	free(store);
}

/* ---- how full it is ---- */

void store_measure(struct store *store)
{
	MDB_envinfo info;
	uint64_t unused = 0;
	int stale = 0;
	mdb_reader_check(store->env, &stale);
	struct store_txn *txn = store_begin_read(store, NULL);
	if (!txn) {
		return;
	}
	if (count_free(txn->mdb, 0, &unused) == 0 && mdb_env_info(store->env, &info) == 0) {
		uint64_t used = (uint64_t)info.me_last_pgno + 1;
		folder_reserve(store->fd, used * store->page);
		used = used > unused ? used - unused : 0;
		atomic_store(&store->room.live, used * store->page);
		unused *= store->page;
		atomic_store(&store->room.spare, folder_space(store->fd) + unused);
	}
	store_abort(txn);
}

enum store_room store_room(const struct store *store)
{
	return room_judge(&store->room);
}

uint64_t store_live_bytes(const struct store *store)
{
	return atomic_load(&store->room.live);
}

uint64_t store_size(const struct store *store)
{
	return atomic_load(&store->room.size);
}

void store_resize(struct store *store, uint64_t size)
{
	atomic_store(&store->room.size, size);
}

/* ---- transactions ---- */

static int start(struct store_txn *txn)
{
	if (txn->mdb) {
		return mdb_txn_renew(txn->mdb);
	}
	MDB_env *env = txn->store->env;
	unsigned flags = txn->writes ? 0 : MDB_RDONLY;
	int stale = 0;
	int code = mdb_txn_begin(env, NULL, flags, &txn->mdb);
	if (code == MDB_READERS_FULL && mdb_reader_check(env, &stale) == 0 && stale > 0) {
		code = mdb_txn_begin(env, NULL, flags, &txn->mdb);
	}
	return code;
}

/*
 * LMDB takes the number of a snapshot first and its roots then. When two commits came between,
 * those are of the later one, which may not even be durable yet.
 */
static bool is_overtaken(const struct store_txn *txn)
{
	MDB_envinfo info;
	return mdb_env_info(txn->store->env, &info) == 0 &&
	       info.me_last_txnid > mdb_txn_id(txn->mdb) + 1;
}

static struct store_txn *begin(struct store *store, bool writes, struct error *error)
{
	struct store_txn *txn = writes ? NULL : idle_take(&store->reads);
	txn = txn ? txn : calloc(1, sizeof *txn);
	if (!txn) {
		complain(store, ENOMEM, error);
		return NULL;
	}
	*txn = (struct store_txn){ .store = store, .mdb = txn->mdb, .writes = writes };
	int code = start(txn);
	while (code == 0 && !writes && is_overtaken(txn)) {
		mdb_txn_reset(txn->mdb);
		code = start(txn);
	}
	if (code) {
		complain(store, code, error);
		mdb_txn_abort(txn->mdb);
		free(txn);
		return NULL;
	}
	atomic_fetch_add(&store->open, 1);
	return txn;
}

struct store_txn *store_begin_read(struct store *store, struct error *error)
{
	return begin(store, false, error);
}

struct store_txn *store_begin_write(struct store *store, struct error *error)
{
	return begin(store, true, error);
}

void store_abort(struct store_txn *txn)
{
	if (!txn) {
		return;
	}
	atomic_fetch_sub(&txn->store->open, 1);
	if (txn->writes) {
		mdb_txn_abort(txn->mdb);
		free(txn);
	} else {
		mdb_txn_reset(txn->mdb);
		idle_give(&txn->store->reads, &txn->idle);
	}
}

/* LMDB is beyond use when it failed on a meta page: then nobody knows what the disk holds. */
static bool in_panic(struct store *store)
{
	MDB_txn *probe = NULL;
	int code = mdb_txn_begin(store->env, NULL, 0, &probe);
	mdb_txn_abort(probe);
	return code != 0;
}

enum store_result store_commit(struct store_txn *txn, struct error *error)
{
	assert(txn->writes);
	struct store *store = txn->store;
	meta_write(&store->meta, txn);
	enum store_result result = txn->result;
	if (result != STORE_OK) {
		error_set(error, "%s/data.mdb: %s", store->dir,
		          txn->code ? mdb_strerror(txn->code) : "a row makes no sense");
		store_abort(txn);
		return result;
	}
	KILLPOINT("commit-before");
	int code = mdb_txn_commit(txn->mdb);
	KILLPOINT("commit-after");
	if (code) {
		result = complain(store, code, error);
		result = result == STORE_FULL && !in_panic(store) ? STORE_FULL : STORE_FAILED;
	}
	free(txn);
	atomic_fetch_sub(&store->open, 1);
	return result;
}

enum store_result store_txn_result(const struct store_txn *txn)
{
	return txn->result;
}

bool store_txn_writes(const struct store_txn *txn)
{
	return txn->writes;
}

struct store *store_txn_store(const struct store_txn *txn)
{
	return txn->store;
}

enum store_result store_txn_fail(struct store_txn *txn, enum store_result result)
{
	assert(result != STORE_OK && result != STORE_NOT_FOUND);
	if (txn->result == STORE_OK) {
		txn->result = result;
	}
	return result;
}

/* The first failure sticks; that there is no such row is none. */
static enum store_result settle(struct store_txn *txn, int code)
{
	if (code == MDB_SUCCESS || code == MDB_NOTFOUND) {
		return code ? STORE_NOT_FOUND : STORE_OK;
	}
	txn->code = code;
	return store_txn_fail(txn, translate(txn->store, code));
}

/* ---- rows ---- */

static MDB_val val_of(struct span bytes)
{
	return (MDB_val){ .mv_size = bytes.len, .mv_data = (void *)(uintptr_t)bytes.ptr };
}

static struct span span_of_val(MDB_val val)
{
	return span_of(val.mv_data, val.mv_size);
}

static MDB_dbi dbi(const struct store_txn *txn, enum store_table table)
{
	return txn->store->tables[table];
}

enum store_result store_get(struct store_txn *txn, enum store_table table, struct span key,
                            struct span *value_out)
{
	if (txn->result != STORE_OK) {
		return txn->result;
	}
	MDB_val at = val_of(key);
	MDB_val value;
	int code = mdb_get(txn->mdb, dbi(txn, table), &at, &value);
	if (code == 0) {
		*value_out = span_of_val(value);
	}
	return settle(txn, code);
}

static enum store_result put(struct store_txn *txn, enum store_table table, struct span key,
                             MDB_val *value, unsigned flags)
{
	assert(txn->writes);
	MDB_val at = val_of(key);
	return txn->result != STORE_OK
	           ? txn->result
	           : settle(txn, mdb_put(txn->mdb, dbi(txn, table), &at, value, flags));
}

enum store_result store_put(struct store_txn *txn, enum store_table table, struct span key,
                            struct span value)
{
	MDB_val bytes = val_of(value);
	return put(txn, table, key, &bytes, 0);
}

void *store_put_reserve(struct store_txn *txn, enum store_table table, struct span key,
                        size_t len)
{
	MDB_val room = { .mv_size = len };
	return put(txn, table, key, &room, MDB_RESERVE) == STORE_OK ? room.mv_data : NULL;
}

enum store_result store_del(struct store_txn *txn, enum store_table table, struct span key)
{
	assert(txn->writes);
	MDB_val at = val_of(key);
	return txn->result != STORE_OK
	           ? txn->result
	           : settle(txn, mdb_del(txn->mdb, dbi(txn, table), &at, NULL));
}

/* ---- walks ---- */

void store_walk_begin(struct store_walk *walk, struct store_txn *txn, enum store_table table,
                      struct span from, struct span prefix)
{
	*walk = (struct store_walk){ .txn = txn, .table = table, .prefix = prefix };
	if (txn->result != STORE_OK) {
		return;
	}
	MDB_cursor *cursor = NULL;
	MDB_val key = val_of(from.len ? from : prefix);
	MDB_val value;
	MDB_cursor_op first = key.mv_size ? MDB_SET_RANGE : MDB_FIRST;
	int code = mdb_cursor_open(txn->mdb, dbi(txn, table), &cursor);
	code = code ? code : mdb_cursor_get(cursor, &key, &value, first);
	if (settle(txn, code) != STORE_OK) {
		mdb_cursor_close(cursor);
		cursor = NULL;
	}
	walk->cursor = cursor;
}

bool store_walk_next(struct store_walk *walk, struct span *key_out, struct span *value_out)
{
	if (!walk->cursor || walk->txn->result != STORE_OK) {
		return false;
	}
	MDB_val key;
	MDB_val value;
	MDB_cursor_op step = walk->started ? MDB_NEXT : MDB_GET_CURRENT;
	walk->started = true;
	if (settle(walk->txn, mdb_cursor_get(walk->cursor, &key, &value, step)) != STORE_OK ||
	    !span_eq(span_first(span_of_val(key), walk->prefix.len), walk->prefix)) {
		return false;
	}
	*key_out = span_of_val(key);
	*value_out = span_of_val(value);
	return true;
}

enum store_result store_walk_del(struct store_walk *walk)
{
	struct store_txn *txn = walk->txn;
	if (txn->result != STORE_OK) {
		return txn->result;
	}
	assert(txn->writes && walk->cursor && walk->started);
	return settle(txn, mdb_cursor_del(walk->cursor, 0));
}

void store_walk_end(struct store_walk *walk)
{
	mdb_cursor_close(walk->cursor);
	walk->cursor = NULL;
}

/* LMDB does not compact where it lost count of a page (ITS#9155): then a plain copy. */
enum store_result store_copy(struct store *store, int fd, struct error *error)
{
	int code = mdb_env_copyfd2(store->env, fd, MDB_CP_COMPACT);
	if (code == MDB_INCOMPATIBLE) {
		bool again = ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0;
		code = again ? mdb_env_copyfd2(store->env, fd, 0) : errno;
	}
	if (code) {
		error_set(error, "%s", mdb_strerror(code));
	}
	return translate(store, code);
}

const char *store_library(void)
{
	return mdb_version(NULL, NULL, NULL);
}
