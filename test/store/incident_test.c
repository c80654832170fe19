#include "help.h"
#include "store/incident.h"
#include "store/keys.h"

static struct incident full(uint64_t number)
{
	return (struct incident){
		.number = number,
		.account = SPAN_LIT("alice@example.org"),
		.state = INCIDENT_ENDED,
		.sweep = INCIDENT_DISCARD,
		.swept_to = UINT64_MAX,
		.opened_at = 1,
		.opened_wall = -2,
		.cause = SPAN_LIT("budget"),
		.reasons = SPAN_LIT("a\0bill"),
		.ended_at = INT64_MAX,
		.ended_wall = INT64_MIN,
		.ended_by = SPAN_LIT("jane@example.org"),
		.ended_how = SPAN_LIT("DISCARD"),
		.reply_off = true,
		.notified_at = 5,
		.undelivered = true,
		.alarmed = true,
		.untold = true,
		.complained_at = 6,
		.reminders = UINT32_MAX,
		.warned_at = 7,
		.cleared = true,
		.ignored = UINT32_MAX,
	};
}

static struct incident fresh(uint64_t number, const char *account)
{
	return (struct incident){ .number = number,
		                  .account = span_str(account),
		                  .sweep = INCIDENT_HOLD,
		                  .opened_at = 1000,
		                  .cause = SPAN_LIT("uid 0") };
}

static void assert_incident(const struct incident *have, const struct incident *want)
{
	assert_int_equal(have->number, want->number);
	assert_true(span_eq(have->account, want->account));
	assert_int_equal(have->state, want->state);
	assert_int_equal(have->sweep, want->sweep);
	assert_int_equal(have->swept_to, want->swept_to);
	assert_int_equal(have->opened_at, want->opened_at);
	assert_int_equal(have->opened_wall, want->opened_wall);
	assert_true(span_eq(have->cause, want->cause));
	assert_true(span_eq(have->reasons, want->reasons));
	assert_int_equal(have->ended_at, want->ended_at);
	assert_int_equal(have->ended_wall, want->ended_wall);
	assert_true(span_eq(have->ended_by, want->ended_by));
	assert_true(span_eq(have->ended_how, want->ended_how));
	assert_int_equal(have->reply_off, want->reply_off);
	assert_int_equal(have->notified_at, want->notified_at);
	assert_int_equal(have->undelivered, want->undelivered);
	assert_int_equal(have->alarmed, want->alarmed);
	assert_int_equal(have->untold, want->untold);
	assert_int_equal(have->complained_at, want->complained_at);
	assert_int_equal(have->reminders, want->reminders);
	assert_int_equal(have->warned_at, want->warned_at);
	assert_int_equal(have->cleared, want->cleared);
	assert_int_equal(have->ignored, want->ignored);
}

static void round_trip(void **state)
{
	static char name[KEY_ACCOUNT_MAX];
	memset(name, 'n', sizeof name);
	struct incident table[] = {
		full(1),
		fresh(2, "a"),
		full(3),
		fresh(1 << 20, "bob"),
		fresh(UINT64_MAX, "zoe"),
	};
	table[1].account = span_of(name, sizeof name);
	table[2].reply_off = false;
	table[3].reply_off = true;
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	/* The last put counts. */
	const struct incident before = full(2);
	assert_int_equal(incident_put(txn, &before), STORE_OK);
	for (size_t i = COUNT(table); i-- > 0;) {
		assert_int_equal(incident_put(txn, &table[i]), STORE_OK);
	}
	commit(txn);
	place_reopen(place);
	struct arena arena;
	struct incident walk = { .number = 0 };
	arena_init(&arena, 1 << 20);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct incident got;
		txn = reading(place->store);
		assert_int_equal(incident_get(txn, table[i].number, &arena, &got), STORE_OK);
		assert_int_equal(incident_next(txn, walk.number, &arena, &walk), STORE_OK);
		store_abort(txn);
		/* It is the arena's, not the map's. */
		assert_incident(&got, &table[i]);
		assert_incident(&walk, &table[i]);
	}
	txn = reading(place->store);
	assert_int_equal(incident_next(txn, walk.number, &arena, &walk), STORE_NOT_FOUND);
	assert_int_equal(incident_next(txn, 1 << 21, &arena, &walk), STORE_OK);
	assert_int_equal(walk.number, UINT64_MAX);
	assert_int_equal(incident_get(txn, 0, &arena, &walk), STORE_NOT_FOUND);
	assert_int_equal(incident_get(txn, 4, &arena, &walk), STORE_NOT_FOUND);
	store_abort(txn);
	arena_done(&arena);
}

/* One more than the last, whatever is missing before; a number given but not put is given
 * again, one that was put is not, over a restart too. */
static void numbers(void **state)
{
	static const uint64_t last[] = {
		0, 1, 2, 3, 4, 7, 8, 255, 256, 1000, (uint64_t)1 << 40, UINT64_MAX - 1,
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(last); i++) {
		struct store_txn *txn = writing(place->store);
		uint64_t number = 0;
		if (last[i]) {
			const struct incident incident = fresh(last[i], "alice");
			incident_put(txn, &incident);
		}
		assert_int_equal(incident_next_number(txn, &number), STORE_OK);
		assert_int_equal(number, last[i] + 1);
		assert_int_equal(incident_next_number(txn, &number), STORE_OK);
		assert_int_equal(number, last[i] + 1);
		commit(txn);
		place_reopen(place);
	}
	struct store_txn *txn = writing(place->store);
	const struct incident incident = fresh(UINT64_MAX, "alice");
	uint64_t number = 7;
	incident_put(txn, &incident);
	assert_int_equal(incident_next_number(txn, &number), STORE_DAMAGED);
	assert_int_equal(number, 7);
	store_abort(txn);
}

/* One that was not committed never was: its number goes to the next. */
static void dropped_with_its_transaction(void **state)
{
	struct place *place = *state;
	const char *const accounts[] = { "lost", "kept" };
	for (size_t i = 0; i < COUNT(accounts); i++) {
		uint64_t number = 0;
		struct store_txn *txn = writing(place->store);
		assert_int_equal(incident_next_number(txn, &number), STORE_OK);
		assert_int_equal(number, 1);
		const struct incident incident = fresh(number, accounts[i]);
		incident_put(txn, &incident);
		if (i == 0) {
			store_abort(txn);
		} else {
			commit(txn);
		}
		place_reopen(place);
	}
	struct arena arena;
	struct incident incident;
	arena_init(&arena, 1 << 20);
	struct store_txn *txn = reading(place->store);
	assert_int_equal(incident_get(txn, 1, &arena, &incident), STORE_OK);
	assert_span(incident.account, "kept");
	store_abort(txn);
	arena_done(&arena);
}

/* ---- damage ---- */

static void put_row(struct store_txn *txn, uint64_t number, struct span row)
{
	struct key key = key_id(number);
	store_put(txn, STORE_INCIDENT, key_span(&key), row);
}

static size_t copy_row(struct store_txn *txn, uint64_t number, char *copy, size_t len)
{
	struct key key = key_id(number);
	struct span row;
	assert_int_equal(store_get(txn, STORE_INCIDENT, key_span(&key), &row), STORE_OK);
	assert_true(row.len <= len);
	memcpy(copy, row.ptr, row.len);
	return row.len;
}

/* `n` bytes of a row under the number 2 are damage that 1 and 3 do not feel. */
static void assert_damaged(struct store_txn *txn, const char *bytes, size_t n)
{
	struct arena arena;
	struct incident incident = { .number = 99 };
	uint64_t number;
	arena_init(&arena, 1 << 20);
	put_row(txn, 2, span_of(bytes, n));
	assert_int_equal(incident_get(txn, 2, &arena, &incident), STORE_DAMAGED);
	assert_int_equal(incident.number, 99);
	assert_int_equal(incident_next(txn, 1, &arena, &incident), STORE_DAMAGED);
	assert_int_equal(incident.number, 2);
	assert_int_equal(incident_next(txn, incident.number, &arena, &incident), STORE_OK);
	const struct incident want = full(3);
	assert_incident(&incident, &want);
	assert_int_equal(incident_next_number(txn, &number), STORE_OK);
	assert_int_equal(number, 4);
	assert_int_equal(store_txn_result(txn), STORE_OK);
	arena_done(&arena);
}

/* A row from before there were reminders. */
static void an_older_row(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct key at = key_id(2);
	struct incident want = full(2), got;
	struct arena arena;
	char row[512];
	incident_put(txn, &want);
	size_t len = copy_row(txn, 2, row, sizeof row);
	row[0] = 1;
	row[3] = 7;
	store_put(txn, STORE_INCIDENT, key_span(&at), span_of(row, len - 5 - 8));
	arena_init(&arena, 1 << 20);
	want.reminders = 0;
	want.warned_at = 0;
	want.cleared = false;
	want.untold = false;
	assert_int_equal(incident_get(txn, 2, &arena, &got), STORE_OK);
	assert_incident(&got, &want);
	arena_done(&arena);
	store_abort(txn);
}

static void damaged_rows(void **state)
{
	static const struct {
		size_t at;
		char byte;
	} table[] = {
		{ 0, 0 },
		{ 0, 3 },
		{ 1, INCIDENT_ENDED + 1 },
		{ 2, INCIDENT_DISCARD + 1 },
		{ 2, (char)0xff },
		{ 3, 32 },
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (uint64_t number = 1; number <= 3; number++) {
		const struct incident incident = full(number);
		incident_put(txn, &incident);
	}
	/* No key of ours, in the midst of them. */
	store_put(txn, STORE_INCIDENT, SPAN_LIT("\0\0\0\0\0\0\0\2x"), SPAN_LIT("?"));
	store_put(txn, STORE_INCIDENT, SPAN_LIT("x"), SPAN_LIT("?"));
	char row[512];
	size_t len = copy_row(txn, 2, row, sizeof row - 1);
	for (size_t n = 0; n < len; n++) {
		assert_damaged(txn, row, n);
	}
	row[len] = '\0';
	assert_damaged(txn, row, len + 1);
	for (size_t i = 0; i < COUNT(table); i++) {
		char copy[512];
		memcpy(copy, row, len);
		copy[table[i].at] = table[i].byte;
		assert_damaged(txn, copy, len);
	}
	store_abort(txn);
}

/* No flipped bit is read outside of the row. */
static void flipped_bits(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	const struct incident whole = full(2);
	char row[512];
	incident_put(txn, &whole);
	size_t len = copy_row(txn, 2, row, sizeof row);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		struct arena arena;
		struct incident incident;
		arena_init(&arena, 1 << 20);
		row[bit / 8] = (char)(row[bit / 8] ^ 1 << bit % 8);
		put_row(txn, 2, span_of(row, len));
		enum store_result result = incident_get(txn, 2, &arena, &incident);
		assert_true(result == STORE_OK || result == STORE_DAMAGED);
		row[bit / 8] = (char)(row[bit / 8] ^ 1 << bit % 8);
		arena_done(&arena);
	}
	store_abort(txn);
}

/* An arena that is full is no damage; a row that is too long fails its transaction. */
static void caps(void **state)
{
	static const char long_bill[64 * 1024];
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct incident incident = full(1);
	struct arena arena;
	incident_put(txn, &incident);
	arena_init(&arena, 100);
	assert_int_equal(incident_get(txn, 1, &arena, &incident), STORE_FAILED);
	arena_done(&arena);
	incident.reasons = span_of(long_bill, sizeof long_bill);
	assert_int_equal(incident_put(txn, &incident), STORE_FAILED);
	assert_int_equal(store_commit(txn, NULL), STORE_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(round_trip),   TEST(numbers),      TEST(dropped_with_its_transaction),
		TEST(an_older_row), TEST(flipped_bits), TEST(caps),
		TEST(damaged_rows), TEST(flipped_bits), TEST(caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
