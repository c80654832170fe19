/* The META table: the schema that the store was written by, its clock T, its next id; the last drill. */
#ifndef GATEPOST_STORE_META_H
#define GATEPOST_STORE_META_H

#include <stdatomic.h>

#include "store/store.h"

struct meta {
	_Atomic int64_t offset; /* T less CLOCK_BOOTTIME */
	_Atomic uint64_t next_id;
};

/* Makes a fresh store one of ours. */
enum store_result meta_create(struct store_txn *txn);
/* Checks the schema and sets the clock; `dir` is for the sentence. NEWER or DAMAGED when it
 * is not ours to touch. */
enum store_result meta_read(struct meta *meta, struct store_txn *txn, int64_t longest_window,
                            const char *dir, struct error *error);
/* Part of every commit. */
enum store_result meta_write(const struct meta *meta, struct store_txn *txn);
/* The last sample notice (auth/drill). */
struct meta_drill {
	int64_t sent_at;     /* T */
	int64_t sent_wall;   /* ms since 1970 */
	int64_t passed_wall; /* when an answer to this or an earlier one counted; 0 = never */
	uint32_t answers;    /* to this one */
};

/* NOT_FOUND before the first. DAMAGED does not mark the transaction. */
enum store_result meta_drill_get(struct store_txn *txn, struct meta_drill *drill_out);
enum store_result meta_drill_put(struct store_txn *txn, const struct meta_drill *drill);
/* T, in ms. Any thread. */
int64_t meta_now(const struct meta *meta);

#endif
