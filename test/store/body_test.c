#include "help.h"
#include "store/body.h"

#define LONGEST (4 * BODY_ROW)

static char bytes[LONGEST];

static int fill(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++) {
		bytes[i] = (char)(i * 31 + i / 256);
	}
	return 0;
}

static void assert_body(struct store *store, uint64_t id, struct span want)
{
	struct store_txn *txn = reading(store);
	struct span row;
	uint32_t n = 0;
	while (body_get(txn, id, n, &row) == STORE_OK) {
		assert_int_equal(row.len, span_first(want, BODY_ROW).len);
		assert_memory_equal(row.ptr, want.ptr, row.len);
		want = span_from(want, BODY_ROW);
		n++;
	}
	assert_int_equal(want.len, 0);
	assert_int_equal(body_get(txn, id, n, &row), STORE_NOT_FOUND);
	assert_int_equal(store_txn_result(txn), STORE_OK);
	store_abort(txn);
}

/* Each: how long, and how many rows are given at a time, in a commit each. */
static void written_in_portions(void **state)
{
	static const struct {
		size_t len;
		size_t portion;
		uint32_t rows;
	} table[] = {
		{ 0, 1, 0 },
		{ 1, 1, 1 },
		{ BODY_ROW - 1, 1, 1 },
		{ BODY_ROW, 1, 1 },
		{ BODY_ROW + 1, 1, 2 },
		{ BODY_ROW + 1, 2, 2 },
		{ 3 * BODY_ROW, 2, 3 },
		{ 4 * BODY_ROW - 5, 3, 4 },
		{ LONGEST, 4, 4 },
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct span rest = span_of(bytes, table[i].len);
		uint32_t next = 0;
		while (rest.len) {
			struct store_txn *txn = writing(place->store);
			struct span part = span_first(rest, table[i].portion * BODY_ROW);
			assert_int_equal(body_put(txn, i, next, part, &next), STORE_OK);
			commit(txn);
			rest = span_from(rest, part.len);
		}
		assert_int_equal(next, table[i].rows);
	}
	place_reopen(place);
	for (size_t i = 0; i < COUNT(table); i++) {
		assert_body(place->store, i, span_of(bytes, table[i].len));
	}
}

/* A row is four pages, not five: that is what its length is for. */
static void a_row_is_four_pages(void **state)
{
	struct place *place = *state;
	uint32_t next;
	store_measure(place->store);
	uint64_t before = store_live_bytes(place->store);
	struct store_txn *txn = writing(place->store);
	for (uint64_t id = 0; id < 100; id++) {
		body_put(txn, id, 0, span_of(bytes, BODY_ROW), &next);
	}
	commit(txn);
	store_measure(place->store);
	uint64_t taken = store_live_bytes(place->store) - before;
	assert_in_range(taken, 100 * 4 * 4096, 104 * 4 * 4096);
}

/* Its neighbours in the order of ids, the last possible one among them, stay whole. */
static void drop(void **state)
{
	static const uint64_t ids[] = { 0, 254, 255, 256, UINT64_MAX - 1, UINT64_MAX };
	struct place *place = *state;
	uint32_t next;
	for (size_t gone = 0; gone < COUNT(ids); gone++) {
		struct store_txn *txn = writing(place->store);
		for (size_t i = 0; i < COUNT(ids); i++) {
			body_put(txn, ids[i], 0, span_of(bytes, sizeof bytes), &next);
		}
		assert_int_equal(body_drop(txn, ids[gone]), STORE_OK);
		assert_int_equal(body_drop(txn, ids[gone]), STORE_OK);
		commit(txn);
		for (size_t i = 0; i < COUNT(ids); i++) {
			assert_body(place->store, ids[i],
			            span_of(bytes, i == gone ? 0 : sizeof bytes));
		}
	}
}

/* Rows of an aborted message that were committed, and those of this very transaction, go
 * alike. */
static void drop_while_writing(void **state)
{
	struct place *place = *state;
	uint32_t next;
	struct store_txn *txn = writing(place->store);
	body_put(txn, 7, 0, span_of(bytes, 2 * BODY_ROW), &next);
	commit(txn);
	txn = writing(place->store);
	body_put(txn, 7, next, span_of(bytes, 2 * BODY_ROW), &next);
	body_drop(txn, 7);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_BODY), 0);
}

static void failed_transaction(void **state)
{
	struct place *place = *state;
	uint32_t next = 99;
	struct span row;
	struct store_txn *txn = writing(place->store);
	store_txn_fail(txn, STORE_FULL);
	assert_int_equal(body_put(txn, 1, 0, span_of(bytes, 10), &next), STORE_FULL);
	assert_int_equal(next, 99);
	assert_int_equal(body_get(txn, 1, 0, &row), STORE_FULL);
	assert_int_equal(body_drop(txn, 1), STORE_FULL);
	store_abort(txn);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(written_in_portions), TEST(a_row_is_four_pages), TEST(drop),
		TEST(drop_while_writing),  TEST(failed_transaction),
	};
	return cmocka_run_group_tests(tests, fill, NULL);
}
