/* What the tests of this floor share: a store in a folder of its own, and short ways to look
 * into it. */
#ifndef GATEPOST_TEST_STORE_HELP_H
#define GATEPOST_TEST_STORE_HELP_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

#define WINDOW ((int64_t)24 * 3600 * 1000)

struct place {
	char base[64]; /* made by mkdtemp */
	char dir[80];  /* the store's, inside */
	struct store *store;
};

static inline void place_open(struct place *place)
{
	struct store_options options = { .size = (uint64_t)1 << 30, .longest_window = WINDOW };
	struct error error = { "" };
	enum store_result result = store_open(place->dir, &options, &place->store, &error);
	if (result != STORE_OK) {
		fail_msg("store_open: %d %s", (int)result, error.text);
	}
}

static inline void place_close(struct place *place)
{
	store_close(place->store);
	place->store = NULL;
}

static inline void place_reopen(struct place *place)
{
	place_close(place);
	place_open(place);
}

/* cmocka's set-up and tear-down of each test. */
static inline int place_setup(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	assert_non_null(place);
	snprintf(place->base, sizeof place->base, "%s", "/tmp/gatepost-store-XXXXXX");
	assert_non_null(mkdtemp(place->base));
	snprintf(place->dir, sizeof place->dir, "%s/store", place->base);
	*state = place;
	place_open(place);
	return 0;
}

static inline int place_unlink(const char *path, const struct stat *st, int kind,
                               struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static inline int place_teardown(void **state)
{
	struct place *place = *state;
	place_close(place);
	nftw(place->base, place_unlink, 16, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

static inline struct store_txn *reading(struct store *store)
{
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_non_null(txn);
	return txn;
}

static inline struct store_txn *writing(struct store *store)
{
	struct store_txn *txn = store_begin_write(store, NULL);
	assert_non_null(txn);
	return txn;
}

static inline void commit(struct store_txn *txn)
{
	struct error error = { "" };
	enum store_result result = store_commit(txn, &error);
	if (result != STORE_OK) {
		fail_msg("store_commit: %d %s", (int)result, error.text);
	}
}

static inline size_t count_rows(struct store *store, enum store_table table)
{
	struct store_txn *txn = reading(store);
	struct store_walk walk;
	struct span key;
	struct span value;
	size_t n = 0;
	store_walk_begin(&walk, txn, table, SPAN_NONE, SPAN_NONE);
	while (store_walk_next(&walk, &key, &value)) {
		n++;
	}
	store_walk_end(&walk);
	assert_int_equal(store_txn_result(txn), STORE_OK);
	store_abort(txn);
	return n;
}

static inline void assert_span(struct span have, const char *want)
{
	if (!span_eq(have, span_str(want))) {
		fail_msg("have \"%.*s\", want \"%s\"", SPAN_ARG(have), want);
	}
}

#endif
