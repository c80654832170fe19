/* What the tests of the store itself share: a row put, and a row looked for. */
#ifndef GATEPOST_TEST_STORE_STORE_HELP_H
#define GATEPOST_TEST_STORE_STORE_HELP_H

#include "store/body.h"
#include "store/keys.h"
#include "test/store/help.h"

static inline void put_text(struct store *store, const char *key, const char *value)
{
	struct store_txn *txn = writing(store);
	store_put(txn, STORE_ACCOUNT, span_str(key), span_str(value));
	commit(txn);
}

static inline bool has(struct store *store, const char *key)
{
	struct store_txn *txn = reading(store);
	struct span value;
	enum store_result result = store_get(txn, STORE_ACCOUNT, span_str(key), &value);
	store_abort(txn);
	assert_true(result == STORE_OK || result == STORE_NOT_FOUND);
	return result == STORE_OK;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

#endif
