/*
 * One LMDB environment, and the only place where MDB codes exist: opening, the table list, the
 * store's clock and ids, transactions with a sticky result, walks, and the high-water mark.
 * Default sync flags, always: a commit that returned STORE_OK is durable.
 *
 * One process has the store open (dir/gatepost.lock is flocked); one thread at a time writes.
 * Read transactions may run in any thread, are short, and never outlive the call-back that
 * began them.
 */
#ifndef GATEPOST_STORE_STORE_H
#define GATEPOST_STORE_STORE_H

#include "proto/error.h"
#include "proto/span.h"

enum store_result {
	STORE_OK,
	STORE_NOT_FOUND,
	STORE_FULL,    /* map or disk: nothing was written; may pass */
	STORE_IN_USE,  /* another process has it open */
	STORE_NEWER,   /* written by a newer schema */
	STORE_DAMAGED, /* a row that can not be read, a corrupt page */
	STORE_FAILED,  /* I/O, memory: a commit's outcome is unknown; exit and start again */
};

enum store_table {
	STORE_META,     /* schema, clock, next id */
	STORE_ACCOUNT,  /* account -> secret and limits */
	STORE_LEDGER,   /* account -> budget rings, standing, facts */
	STORE_QUEUE,    /* id -> entry */
	STORE_DUE,      /* next_at, id -> account hash, deferred_at; READY entries only */
	STORE_OWNER,    /* account, 0, id -> nothing */
	STORE_USAGE,    /* account, 0 -> entries and bytes in the queue */
	STORE_BODY,     /* id, row number -> up to 16,368 bytes */
	STORE_INCIDENT, /* number -> a suspension */
	STORE_JOURNAL,  /* T, id -> what happened */
	STORE_APPPASS,  /* account, 0, name -> an app password */
	STORE_SCREEN,   /* network -> a block */
	STORE_ALIAS,    /* account, 0, address or pattern -> may it be written as */
	STORE_HISTORY,  /* account, 0 -> head; account, 0, block -> contacts */
	STORE_NETWORK,  /* digest of a network -> for which accounts it is ripe */
	STORE_TABLES,
};

struct store;
struct store_txn;

struct store_options {
	uint64_t size;          /* high-water mark in bytes of live data; beyond it 452 */
	int64_t longest_window; /* ms: most that T advances over a time in which we were down */
};

/*
 * Opens or creates the store in the folder `dir` (created 0700 when missing). On STORE_OK
 * `store_out` is owned by the caller. The clock row is read, T is set: T += clamp(wall_now -
 * wall, 0, longest_window).
 */
enum store_result store_open(const char *dir, const struct store_options *options,
                             struct store **store_out, struct error *error);
/* No transaction may be open. NULL is accepted. */
void store_close(struct store *store);
/* A new high-water mark (a reload). Any thread. */
void store_resize(struct store *store, uint64_t size);

/* The store's own clock T, in ms: never goes back, a wall clock step in a running process
 * changes nothing. */
int64_t store_now(const struct store *store);
#ifdef GATEPOST_HOOKS
/* Moves T (tests only). */
void store_advance(struct store *store, int64_t ms);
#endif
/* A fresh id, unique over restarts once a commit of this process has happened after it. Any
 * thread. */
uint64_t store_next_id(struct store *store);

/* How full it is, by live bytes; measured by store_measure, readable from any thread. */
enum store_room {
	STORE_ROOM,     /* below nine tenths */
	STORE_RESERVED, /* the last tenth: for notices, suspensions and small accounts */
	STORE_NO_ROOM,
};
enum store_room store_room(const struct store *store);
uint64_t store_live_bytes(const struct store *store);
uint64_t store_size(const struct store *store);
/* Counts live bytes (last page less free pages) and looks at the free space of the disk;
 * clears stale readers. The writer calls it once a second. */
void store_measure(struct store *store);

/* ---- transactions ---- */

/*
 * NULL when none can be had (the error is in `error`). A transaction has a sticky result: after
 * the first failure every call on it does nothing and returns that failure; NOT_FOUND is no
 * failure.
 */
struct store_txn *store_begin_read(struct store *store, struct error *error);
struct store_txn *store_begin_write(struct store *store, struct error *error);
/* Ends a read; drops a write. NULL is accepted. */
void store_abort(struct store_txn *txn);
/* Writes clock and next id, commits durably, frees `txn` in any case. Not OK: nothing of it
 * happened, but see STORE_FAILED. */
enum store_result store_commit(struct store_txn *txn, struct error *error);

enum store_result store_txn_result(const struct store_txn *txn);
bool store_txn_writes(const struct store_txn *txn);
struct store *store_txn_store(const struct store_txn *txn);
/* Marks the transaction as failed: a row that its owner could not read. Returns `result`. */
enum store_result store_txn_fail(struct store_txn *txn, enum store_result result);

/* `value_out` points into the map: valid until the next write in this transaction or its
 * end. */
enum store_result store_get(struct store_txn *txn, enum store_table table, struct span key,
                            struct span *value_out);
/* Puts or replaces. */
enum store_result store_put(struct store_txn *txn, enum store_table table, struct span key,
                            struct span value);
/* Room for `len` bytes to be written by the caller before the next call on `txn`; NULL on
 * failure. Saves a copy of bodies. */
void *store_put_reserve(struct store_txn *txn, enum store_table table, struct span key,
                        size_t len);
/* NOT_FOUND when there was none. */
enum store_result store_del(struct store_txn *txn, enum store_table table, struct span key);

/* ---- walks, in key order ---- */

struct store_walk {
	struct store_txn *txn;
	void *cursor;
	enum store_table table;
	struct span prefix; /* the walk ends where keys stop to begin with it; borrowed */
	bool started;
};

/* From the first key >= `from` while keys begin with `prefix` (both borrowed until
 * store_walk_end; both may be empty). */
void store_walk_begin(struct store_walk *walk, struct store_txn *txn, enum store_table table,
                      struct span from, struct span prefix);
/* False at the end or on failure (see store_txn_result). Spans as in store_get. */
bool store_walk_next(struct store_walk *walk, struct span *key_out, struct span *value_out);
/* Deletes the row that store_walk_next gave last. */
enum store_result store_walk_del(struct store_walk *walk);
void store_walk_end(struct store_walk *walk);

/* "LMDB 0.9.24: ...", static. */
const char *store_library(void);

/* A consistent copy of the open store, compacted, written to `fd` from its start. */
enum store_result store_copy(struct store *store, int fd, struct error *error);

#endif
