/*
 * What happened, in order of T: one row a message with what became of each recipient, the
 * admin's acts, and suspensions with their ends. Trimmed after journal_keep. A row is written
 * when its message is accepted and rewritten when a recipient's fate is known, under the same
 * key.
 */
#ifndef GATEPOST_STORE_JOURNAL_H
#define GATEPOST_STORE_JOURNAL_H

#include "proto/arena.h"
#include "store/queue.h"

enum journal_kind { JOURNAL_MESSAGE = 1, JOURNAL_ADMIN = 2, JOURNAL_STANDING = 3 };

struct journal_row {
	enum journal_kind kind;
	int64_t at;   /* T */
	int64_t wall; /* ms since 1970 */
	uint64_t id;  /* of the message; of an act: a fresh id */
	struct span account;
	struct span sender;
	struct span client;
	struct span apppass; /* MESSAGE: by which app password it came; empty: none */
	struct span text;    /* ADMIN: the command and who gave it; STANDING: what happened */
	uint64_t size;
	const struct queue_recipient *recipients; /* MESSAGE: state, code and answer of each */
	size_t nrecipients;
};

/* Puts or replaces the row of (at, id). Without an `apppass` that of the row which is replaced
 * stays: a queue entry does not know it. */
enum store_result journal_put(struct store_txn *txn, const struct journal_row *row);
/* The journal row of a message, from its entry. */
struct journal_row journal_of_entry(const struct queue_entry *entry);

/* The first row behind (`at`, `id`), copied into `arena`. NOT_FOUND at the end. DAMAGED:
 * only its `at` and `id` can be told, enough to go on behind it. */
enum store_result journal_next(struct store_txn *txn, int64_t at, uint64_t id,
                               struct arena *arena, struct journal_row *row_out);
/* Deletes up to `most` rows older than `before`; says in `deleted_out` how many. */
enum store_result journal_trim(struct store_txn *txn, int64_t before, size_t most,
                               size_t *deleted_out);

#endif
