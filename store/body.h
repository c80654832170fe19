/*
 * Message bytes as rows of 16,368 bytes (four pages less LMDB's header), written as they arrive
 * and visible only with their queue entry. Every row but the last is full.
 */
#ifndef GATEPOST_STORE_BODY_H
#define GATEPOST_STORE_BODY_H

#include "store/store.h"

#define BODY_ROW ((size_t)16368)

/* Writes `bytes` as rows from number `row` on; all rows full but, where `bytes` does not
 * fill it, the last. Returns the number of the next free row in `next_row_out`. */
enum store_result body_put(struct store_txn *txn, uint64_t id, uint32_t row, struct span bytes,
                           uint32_t *next_row_out);
/* One row; NOT_FOUND behind the last. Valid as in store_get. */
enum store_result body_get(struct store_txn *txn, uint64_t id, uint32_t row,
                           struct span *bytes_out);
/* Deletes all rows of `id`; none is fine. */
enum store_result body_drop(struct store_txn *txn, uint64_t id);

#endif
