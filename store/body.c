#include "store/body.h"

#include "store/keys.h"

enum store_result body_put(struct store_txn *txn, uint64_t id, uint32_t row, struct span bytes,
                           uint32_t *next_row_out)
{
	while (bytes.len) {
		struct key key = key_body(id, row);
		enum store_result result = store_put(txn, STORE_BODY, key_span(&key),
		                                     span_first(bytes, BODY_ROW));
		if (result != STORE_OK) {
			return result;
		}
		bytes = span_from(bytes, BODY_ROW);
		row++;
	}
	*next_row_out = row;
	return STORE_OK;
}

enum store_result body_get(struct store_txn *txn, uint64_t id, uint32_t row,
                           struct span *bytes_out)
{
	struct key key = key_body(id, row);
	return store_get(txn, STORE_BODY, key_span(&key), bytes_out);
}

enum store_result body_drop(struct store_txn *txn, uint64_t id)
{
	struct key prefix = key_id(id);
	struct store_walk walk;
	struct span key;
	struct span bytes;
	store_walk_begin(&walk, txn, STORE_BODY, SPAN_NONE, key_span(&prefix));
	while (store_walk_next(&walk, &key, &bytes)) {
		store_walk_del(&walk);
	}
	store_walk_end(&walk);
	return store_txn_result(txn);
}
