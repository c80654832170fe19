#include "help.h"
#include "store/journal.h"
#include "store/keys.h"

static const struct queue_recipient recipients[] = {
	{ .address = { "a@x", 3 }, .state = RECIPIENT_PENDING },
	{ .address = { "b@x", 3 },
	  .state = RECIPIENT_SENT,
	  .code = 250,
	  .status = { "2.0.0", 5 },
	  .answer = { "queued as 7F2", 13 } },
	{ .address = { "c@x", 3 },
	  .state = RECIPIENT_SENT,
	  .code = 250,
	  .status = { "2.0.0", 5 },
	  .answer = { "queued as 7F2", 13 } },
	{ .address = { "d@x", 3 },
	  .state = RECIPIENT_REPORTED,
	  .code = 550,
	  .status = { "5.1.1", 5 },
	  .answer = { "no such user", 12 } },
};

static struct journal_row message(int64_t at, uint64_t id)
{
	const struct queue_entry entry = {
		.id = id,
		.account = SPAN_LIT("alice"),
		.sender = SPAN_LIT("alice@example.org"),
		.client = SPAN_LIT("192.0.2.1"),
		.accepted_at = at,
		.accepted_wall = 1700000000000 - at,
		.size = 5000,
		.recipients = (struct queue_recipient *)(uintptr_t)recipients,
		.nrecipients = COUNT(recipients),
	};
	return journal_of_entry(&entry);
}

static void assert_row(const struct journal_row *have, const struct journal_row *want)
{
	assert_int_equal(have->kind, want->kind);
	assert_int_equal(have->at, want->at);
	assert_int_equal(have->wall, want->wall);
	assert_int_equal(have->id, want->id);
	assert_int_equal(have->size, want->size);
	assert_true(span_eq(have->account, want->account));
	assert_true(span_eq(have->sender, want->sender));
	assert_true(span_eq(have->client, want->client));
	assert_true(span_eq(have->text, want->text));
	assert_true(span_eq(have->apppass, want->apppass));
	assert_int_equal(have->nrecipients, want->nrecipients);
	for (size_t i = 0; i < want->nrecipients; i++) {
		const struct queue_recipient *a = &have->recipients[i];
		const struct queue_recipient *b = &want->recipients[i];
		assert_int_equal(a->state, b->state);
		assert_int_equal(a->code, b->code);
		assert_true(span_eq(a->address, b->address));
		assert_true(span_eq(a->status, b->status));
		assert_true(span_eq(a->answer, b->answer));
	}
}

static void round_trip(void **state)
{
	const struct journal_row table[] = {
		message(1, 7),
		message(1, 8),
		message(2, 3),
		{ .kind = JOURNAL_ADMIN,
		  .at = 5,
		  .wall = 6,
		  .id = 9,
		  .text = SPAN_LIT("account limit alice 1500/30m") },
		{ .kind = JOURNAL_STANDING,
		  .at = 5,
		  .wall = 6,
		  .id = 10,
		  .account = SPAN_LIT("alice"),
		  .text = SPAN_LIT("suspended, case 17") },
		{ .kind = JOURNAL_MESSAGE,
		  .at = 7,
		  .id = 1,
		  .account = SPAN_LIT("alice"),
		  .apppass = SPAN_LIT("scanner"),
		  .recipients = recipients,
		  .nrecipients = COUNT(recipients) },
		message(INT64_MAX, UINT64_MAX),
	};
	struct place *place = *state;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	struct store_txn *txn = writing(place->store);
	for (size_t i = COUNT(table); i-- > 0;) {
		assert_int_equal(journal_put(txn, &table[i]), STORE_OK);
	}
	commit(txn);
	place_reopen(place);
	txn = reading(place->store);
	struct journal_row row = { .at = 0 };
	for (size_t i = 0; i < COUNT(table); i++) {
		assert_int_equal(journal_next(txn, row.at, row.id, &arena, &row), STORE_OK);
		assert_row(&row, &table[i]);
	}
	assert_int_equal(journal_next(txn, row.at, row.id, &arena, &row), STORE_NOT_FOUND);
	store_abort(txn);
	/* It is the arena's, not the map's. */
	assert_row(&row, &table[COUNT(table) - 1]);
	arena_done(&arena);
}

/* A fate that becomes known is written over the row of its message. */
static void rewritten_in_place(void **state)
{
	struct place *place = *state;
	struct arena arena;
	struct journal_row row;
	struct journal_row other = message(5, 1);
	arena_init(&arena, 1 << 20);
	other.nrecipients = 1;
	struct store_txn *txn = writing(place->store);
	journal_put(txn, &other);
	other = message(5, 1);
	journal_put(txn, &other);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_JOURNAL), 1);
	txn = reading(place->store);
	assert_int_equal(journal_next(txn, 0, 0, &arena, &row), STORE_OK);
	assert_int_equal(row.nrecipients, COUNT(recipients));
	store_abort(txn);
	arena_done(&arena);
}

/* By which app password it came is known when it is accepted, and not lost when its fate is. */
static void rewritten_with_its_apppass(void **state)
{
	struct place *place = *state;
	struct arena arena;
	struct journal_row row;
	struct journal_row named = message(5, 1);
	arena_init(&arena, 1 << 20);
	named.apppass = SPAN_LIT("scanner");
	named.nrecipients = 1;
	struct store_txn *txn = writing(place->store);
	journal_put(txn, &named);
	commit(txn);
	for (int i = 0; i < 2; i++) {
		txn = writing(place->store);
		struct journal_row again = message(5, 1);
		journal_put(txn, &again);
		commit(txn);
	}
	named.nrecipients = COUNT(recipients);
	txn = reading(place->store);
	assert_int_equal(journal_next(txn, 0, 0, &arena, &row), STORE_OK);
	assert_row(&row, &named);
	store_abort(txn);
	arena_done(&arena);
}

/* Rows of the times 1 to 10, and what is left after a trim. */
static void trim(void **state)
{
	static const struct {
		int64_t before;
		size_t most, deleted;
	} table[] = {
		{ -5, 100, 0 }, { 0, 100, 0 }, { 1, 100, 0 },   { 2, 100, 1 },
		{ 6, 100, 5 },  { 6, 3, 3 },   { 100, 0, 0 },   { 10, 100, 9 },
		{ 11, 10, 10 }, { 11, 9, 9 },  { 500, 99, 10 },
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct store_txn *txn = writing(place->store);
		for (int64_t at = 1; at <= 10; at++) {
			struct journal_row row = message(at, 50 - (uint64_t)at);
			journal_put(txn, &row);
		}
		size_t deleted = 99;
		assert_int_equal(journal_trim(txn, table[i].before, table[i].most, &deleted),
		                 STORE_OK);
		assert_int_equal(deleted, table[i].deleted);
		commit(txn);
		assert_int_equal(count_rows(place->store, STORE_JOURNAL), 10 - deleted);
	}
}

/* A kind of a newer version, or none. */
static void unknown_kinds(void **state)
{
	static const struct {
		char kind;
		enum store_result want;
	} table[] = {
		{ 0, STORE_DAMAGED },        { JOURNAL_MESSAGE, STORE_OK },
		{ JOURNAL_ADMIN, STORE_OK }, { JOURNAL_STANDING, STORE_OK },
		{ 4, STORE_DAMAGED },        { (char)0xff, STORE_DAMAGED },
	};
	struct place *place = *state;
	struct journal_row row = message(1, 1);
	struct key key = key_time_id(1, 1);
	struct span value;
	char copy[512];
	struct store_txn *txn = writing(place->store);
	journal_put(txn, &row);
	assert_int_equal(store_get(txn, STORE_JOURNAL, key_span(&key), &value), STORE_OK);
	assert_true(value.len <= sizeof copy);
	size_t len = value.len;
	memcpy(copy, value.ptr, len);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct arena arena;
		arena_init(&arena, 1 << 20);
		copy[1] = table[i].kind;
		store_put(txn, STORE_JOURNAL, key_span(&key), span_of(copy, len));
		assert_int_equal(journal_next(txn, 0, 0, &arena, &row), table[i].want);
		arena_done(&arena);
	}
	store_abort(txn);
}

/* One that can not be read is told, and gone past. Any cut of a row is such a one. */
static void damaged_rows(void **state)
{
	struct place *place = *state;
	struct journal_row rows[] = { message(1, 1), message(2, 2), message(3, 3) };
	struct key key = key_time_id(2, 2);
	char whole[512];
	struct span value;
	struct store_txn *txn = writing(place->store);
	for (size_t i = 0; i < COUNT(rows); i++) {
		journal_put(txn, &rows[i]);
	}
	assert_int_equal(store_get(txn, STORE_JOURNAL, key_span(&key), &value), STORE_OK);
	size_t len = value.len;
	assert_true(len < sizeof whole);
	memcpy(whole, value.ptr, len);
	for (size_t n = 0; n <= len; n++) {
		struct arena arena;
		struct journal_row row;
		arena_init(&arena, 1 << 20);
		whole[0] = n == len ? 9 : 1; /* the last: a version that we do not know */
		store_put(txn, STORE_JOURNAL, key_span(&key), span_of(whole, n));
		assert_int_equal(journal_next(txn, 1, 1, &arena, &row), STORE_DAMAGED);
		assert_int_equal(row.at, 2);
		assert_int_equal(row.id, 2);
		assert_int_equal(journal_next(txn, row.at, row.id, &arena, &row), STORE_OK);
		assert_row(&row, &rows[2]);
		arena_done(&arena);
	}
	store_abort(txn);
}

static void arena_too_small(void **state)
{
	struct place *place = *state;
	struct journal_row row = message(1, 1);
	struct arena arena;
	struct store_txn *txn = writing(place->store);
	journal_put(txn, &row);
	for (size_t cap = 0; cap < 300; cap += 100) {
		arena_init(&arena, cap);
		assert_int_equal(journal_next(txn, 0, 0, &arena, &row), STORE_FAILED);
		arena_done(&arena);
	}
	commit(txn);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(round_trip),    TEST(rewritten_in_place), TEST(rewritten_with_its_apppass),
		TEST(trim),          TEST(damaged_rows),       TEST(arena_too_small),
		TEST(unknown_kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
