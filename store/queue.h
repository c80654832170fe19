/*
 * The queue. An entry is READY (due at next_at) or HELD; in flight is memory only, elsewhere.
 * Its row, its due row, its owner row, its account's usage and its body live and die together
 * here.
 *
 * A recipient is PENDING until it is SENT or FAILED; a FAILED one owes its sender a report and
 * is REPORTED once that was sent (or nobody is to be told). An entry without PENDING and FAILED
 * recipients ends.
 */
#ifndef GATEPOST_STORE_QUEUE_H
#define GATEPOST_STORE_QUEUE_H

#include "proto/arena.h"
#include "proto/pack.h"
#include "store/store.h"

#define QUEUE_ENTRY_MAX ((size_t)2 * 1024 * 1024) /* bytes of a row, and cap for its arena */

enum queue_state { QUEUE_READY, QUEUE_HELD };

enum queue_recipient_state {
	RECIPIENT_PENDING,
	RECIPIENT_SENT,
	RECIPIENT_FAILED,
	RECIPIENT_REPORTED,
};

struct queue_recipient {
	struct span address; /* as given to the smarthost */
	enum queue_recipient_state state;
	unsigned code;      /* the smarthost's last reply code, 0 = none yet */
	struct span status; /* its enhanced code, or ours: "5.1.1"; may be empty */
	struct span answer; /* its text, at most 480 bytes */
};

/* Mail we write ourselves has no body: it is rendered when it is sent (server/notice). */
enum queue_kind {
	QUEUE_MAIL,
	QUEUE_NOTICE_SUSPENDED, /* an account was stopped: with the token */
	QUEUE_NOTICE_ENDED,     /* what an answer, or the admin, did */
	QUEUE_NOTICE_IGNORED,   /* a right token came with an answer that did not count */
	QUEUE_NOTICE_EVENT,     /* something about logins; its note says all, incident 0 */
	QUEUE_NOTICE_REMINDER,  /* it is still suspended: with the token */
	QUEUE_NOTICE_EXPIRING,  /* held mail will be deleted */
	QUEUE_NOTICE_DRILL,     /* a sample, with a token that ends nothing; incident 0 */
	QUEUE_NOTICE_DRILLED,   /* what an answer to it would have done; incident 0 */
	QUEUE_NOTICE_DIGEST,    /* what a day had to tell; its note says all, incident 0 */
	QUEUE_NOTICE_OWNER,   /* to the owner of the account that its note names; incident 0 */
	QUEUE_NOTICE_SEVERAL, /* accounts were stopped: its note has the incidents, "17 18" */
	QUEUE_KINDS,
};

struct queue_entry {
	uint64_t id;
	enum queue_kind kind;
	uint64_t incident; /* of a notice; else, of a HELD entry: by which, 0 = by hand */
	struct span note;  /* of a notice: what was said or done, in words; else empty */
	enum queue_state state;
	struct span account;   /* who is charged */
	struct span sender;    /* MAIL FROM, empty for <> */
	struct span client;    /* the client's address, text, for the journal */
	int64_t accepted_at;   /* T */
	int64_t accepted_wall; /* ms since 1970 */
	int64_t next_at;       /* T: when it is due, READY only; keeps its value while HELD */
	int64_t deferred_at;   /* T of the last deferral, 0 = never: due once it is back */
	int64_t report_at;     /* T: when the FAILED ones are to be reported; 0 = none */
	int64_t failed_at;     /* T of the first failure not yet reported: reports end too */
	uint32_t attempts;
	uint64_t size; /* bytes of the body as relayed */
	bool eight_bit;
	struct queue_recipient *recipients;
	size_t nrecipients;
};

/* A new entry; its body rows are already in this transaction or an earlier one. */
enum store_result queue_put(struct store_txn *txn, const struct queue_entry *entry);
/* Everything is copied into `arena`. DAMAGED when the row makes no sense: here and below that
 * concerns this id only, changes nothing and does not mark the transaction. */
enum store_result queue_get(struct store_txn *txn, uint64_t id, struct arena *arena,
                            struct queue_entry *entry_out);
/* Rewrites an entry that exists after an attempt, a hold or a release; when no recipient is
 * PENDING or FAILED it is removed. Account and size are as they were. */
enum store_result queue_update(struct store_txn *txn, const struct queue_entry *entry,
                               bool *ended_out);
/* Removes entry and body. NOT_FOUND when there is none. One that can not be read goes too; what
 * its account's lists and usage still say of it is mended at the next start. */
enum store_result queue_remove(struct store_txn *txn, uint64_t id);

/* State changes by id; NOT_FOUND when there is none, OK when it is so already. A released
 * one, or one that dwells, is due at `now`. One held by an incident and then by hand is held by
 * hand: the incident's end does not release it. */
enum store_result queue_hold(struct store_txn *txn, uint64_t id);
enum store_result queue_release(struct store_txn *txn, uint64_t id, int64_t now);
/* READY and not due: due at `now`; but what was never tried dwells until its time. */
enum store_result queue_flush(struct store_txn *txn, uint64_t id, int64_t now);

/* What is done to many of an account's entries. */
enum queue_sweep {
	QUEUE_SWEEP_HOLD,    /* READY ones become HELD by `incident` */
	QUEUE_SWEEP_RELEASE, /* those HELD by `incident` are READY, due at `now` */
	QUEUE_SWEEP_DISCARD, /* those HELD by `incident` are removed, bodies too */
};

struct queue_sweeping {
	struct span account;
	enum queue_sweep what;
	uint64_t incident;
	uint64_t after; /* looked at up to this id; 0 at first; moved on by each call */
	size_t changed; /* entries changed so far, summed up */
	uint64_t bytes; /* of their bodies */
};
/* Looks at up to `most` entries behind `after`. `more_out`: there are others behind. Notices
 * are never swept: they have no account. Passes over what can not be read. */
enum store_result queue_sweep(struct store_txn *txn, struct queue_sweeping *sweeping,
                              size_t most, int64_t now, bool *more_out);

/* The entry's row as bytes, and back: what is handed to delivery with a fresh entry. */
bool queue_pack(const struct queue_entry *entry, struct buf *out);
bool queue_unpack(struct span row, struct arena *arena, struct queue_entry *entry_out);
/* The same, telling a row that makes no sense (DAMAGED) from an arena that is full (FAILED). */
enum store_result queue_unpack_row(struct span row, struct arena *arena,
                                   struct queue_entry *entry_out);

/* The front of a row: what changes of state are about, and all that the indices are made of. */
struct queue_head {
	enum queue_state state;
	enum queue_kind kind;
	int64_t next_at;
	uint64_t incident; /* as of an entry */
	int64_t deferred_at;
	uint64_t size;
	struct span account; /* points into the row */
};

struct queue_head queue_head_of(const struct queue_entry *entry);
/* False when it makes no sense. */
bool queue_read_head(struct span row, struct queue_head *head_out);
/* A copy of `row` with the state, time and incident of `head`. */
bool queue_pack_state(struct span row, const struct queue_head *head, struct buf *out);

/* Recipients alone, as the journal keeps them too: equal answers in a row are packed once. */
void queue_pack_recipients(const struct queue_recipient *recipients, size_t n, struct buf *out);
/* Most bytes that those take. */
size_t queue_recipients_bound(const struct queue_recipient *recipients, size_t n);
/* Their spans point into the row; the array is `arena`'s. False when they make no sense (see
 * unpack_ok) or the arena is full. */
bool queue_unpack_recipients(struct unpacker *in, struct arena *arena,
                             struct queue_recipient **recipients_out, size_t *n_out);

/* ---- the due index ---- */

struct queue_due {
	int64_t next_at;
	uint64_t id;
	uint32_t account; /* queue_account_hash */
	int64_t deferred_at;
};

uint32_t queue_account_hash(struct span account);

struct queue_due_walk {
	struct store_walk walk;
};

/* READY entries in order of next_at; stop when next_at is in the future and nothing else is
 * looked for. */
void queue_due_begin(struct queue_due_walk *walk, struct store_txn *txn);
bool queue_due_next(struct queue_due_walk *walk, struct queue_due *due_out);
void queue_due_end(struct queue_due_walk *walk);

/* Does it wait although nothing was tried, for the guard's sake? */
bool queue_dwells(const struct queue_entry *entry, int64_t now);
/* How many do. */
enum store_result queue_count_dwelling(struct store_txn *txn, int64_t now, uint64_t *count_out);

/* ---- lists ---- */

/* The first entry with an id > `after` (of `account`, when that is not empty); NOT_FOUND at
 * the end. */
enum store_result queue_list_next(struct store_txn *txn, struct span account, uint64_t after,
                                  uint64_t *id_out);

struct queue_usage {
	uint64_t entries;
	uint64_t bytes;
};

/* Zeroes when the account has nothing queued. */
enum store_result queue_usage(struct store_txn *txn, struct span account,
                              struct queue_usage *usage_out);

/* ---- for the check at start ---- */

/* Puts the due row and the owner row where they are missing or wrong; adds to `mended`. */
enum store_result queue_mend(struct store_txn *txn, uint64_t id, const struct queue_head *head,
                             uint64_t *mended);
/* Puts the usage of the account whose owner rows begin with `prefix`; all zero deletes it. */
enum store_result queue_set_usage(struct store_txn *txn, struct span prefix,
                                  const struct queue_usage *usage);
/* As queue_usage, by prefix. */
enum store_result queue_read_usage(struct store_txn *txn, struct span prefix,
                                   struct queue_usage *usage_out);

/* Of all accounts: a row an account is read. */
enum store_result queue_total(struct store_txn *txn, struct queue_usage *total_out);

/* ---- ids as people see them ---- */

#define QUEUE_ID_TEXT 14

/* Writes the id as lower-case base32 (0-9 and a-z without i, l, o, u), NUL-terminated. */
void queue_id_write(uint64_t id, char text_out[QUEUE_ID_TEXT]);
/* False when it is none. Any case. */
bool queue_id_read(struct span text, uint64_t *id_out);

#endif
