#include "queue_help.h"

/* ---- entries ---- */

static void put_and_get(void **state)
{
	struct place *place = *state;
	struct queue_entry entry = mixed_entry();
	struct queue_entry out;
	struct arena arena;
	struct store_txn *txn = writing(place->store);
	entry.state = QUEUE_READY;
	entry.incident = 0;
	assert_int_equal(queue_put(txn, &entry), STORE_OK);
	commit(txn);
	place_reopen(place);
	arena_init(&arena, QUEUE_ENTRY_MAX);
	txn = reading(place->store);
	assert_int_equal(queue_get(txn, entry.id, &arena, &out), STORE_OK);
	assert_int_equal(queue_get(txn, entry.id + 1, &arena, &out), STORE_NOT_FOUND);
	store_abort(txn);
	assert_entry(&out, &entry);
	arena_done(&arena);
}

/* By time, then by id; HELD ones not at all. The walk knows the account and the last
 * deferral. */
static void due_order(void **state)
{
	static const struct {
		uint64_t id;
		int64_t next_at;
		enum queue_state state;
	} table[] = {
		{ 5, 300, QUEUE_READY }, { 9, 100, QUEUE_READY },       { 1, 300, QUEUE_READY },
		{ 2, 200, QUEUE_HELD },  { 3, 65536, QUEUE_READY },     { 4, 0, QUEUE_READY },
		{ 6, 255, QUEUE_READY }, { 7, 1ll << 40, QUEUE_READY },
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct queue_entry entry = entry_of(table[i].id, "alice", 5, table[i].next_at);
		entry.state = table[i].state;
		entry.deferred_at = table[i].next_at * 2;
		put_entry(txn, &entry);
	}
	assert_due(txn, "4@0 9@100 6@255 1@300 5@300 3@65536 7@1099511627776");
	struct queue_due_walk walk;
	struct queue_due due;
	queue_due_begin(&walk, txn);
	while (queue_due_next(&walk, &due)) {
		assert_int_equal(due.account, queue_account_hash(SPAN_LIT("alice")));
		assert_int_equal(due.deferred_at, due.next_at * 2);
	}
	queue_due_end(&walk);
	commit(txn);
	assert_int_not_equal(queue_account_hash(SPAN_LIT("alice")),
	                     queue_account_hash(SPAN_LIT("alicf")));
}

static enum store_result hold(struct store_txn *txn, uint64_t id, int64_t now)
{
	(void)now;
	return queue_hold(txn, id);
}

/* From a state, the incident that did it and a time, by an act at time 500, to the same. */
static void acts(void **state)
{
	static const struct {
		enum queue_state from;
		uint64_t by;
		int64_t at;
		enum store_result (*act)(struct store_txn *txn, uint64_t id, int64_t now);
		enum queue_state to;
		int64_t then;
		const char *due;
		bool fresh; /* never tried */
	} table[] = {
		{ QUEUE_READY, 0, 900, hold, QUEUE_HELD, 900, "", false },
		{ QUEUE_READY, 0, 100, hold, QUEUE_HELD, 100, "", false },
		{ QUEUE_HELD, 0, 900, hold, QUEUE_HELD, 900, "", false },
		{ QUEUE_HELD, 17, 900, hold, QUEUE_HELD, 900, "", false },
		{ QUEUE_HELD, 1 << 30, 900, hold, QUEUE_HELD, 900, "", false },
		{ QUEUE_HELD, 0, 900, queue_release, QUEUE_READY, 500, "7@500", false },
		{ QUEUE_HELD, 0, 100, queue_release, QUEUE_READY, 500, "7@500", false },
		{ QUEUE_HELD, 17, 900, queue_release, QUEUE_READY, 500, "7@500", false },
		{ QUEUE_HELD, UINT64_MAX, 9, queue_release, QUEUE_READY, 500, "7@500", false },
		{ QUEUE_READY, 0, 900, queue_release, QUEUE_READY, 900, "7@900", false },
		{ QUEUE_READY, 0, 900, queue_flush, QUEUE_READY, 500, "7@500", false },
		{ QUEUE_READY, 0, 500, queue_flush, QUEUE_READY, 500, "7@500", false },
		{ QUEUE_READY, 0, 100, queue_flush, QUEUE_READY, 100, "7@100", false },
		{ QUEUE_HELD, 0, 900, queue_flush, QUEUE_HELD, 900, "", false },
		/* What was never tried dwells: only a release ends that. */
		{ QUEUE_READY, 0, 900, queue_flush, QUEUE_READY, 900, "7@900", true },
		{ QUEUE_READY, 0, 900, queue_release, QUEUE_READY, 500, "7@500", true },
		{ QUEUE_READY, 0, 100, queue_release, QUEUE_READY, 100, "7@100", true },
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct store_txn *txn = writing(place->store);
		struct queue_entry entry = entry_of(7, "alice", 100, table[i].at);
		struct queue_entry out;
		struct arena arena;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		entry.state = table[i].from;
		entry.incident = table[i].by;
		entry.deferred_at = table[i].fresh ? 0 : 44;
		put_entry(txn, &entry);
		assert_int_equal(table[i].act(txn, 8, 500), STORE_NOT_FOUND);
		assert_int_equal(table[i].act(txn, 7, 500), STORE_OK);
		entry.state = table[i].to;
		entry.incident = 0;
		entry.next_at = table[i].then;
		assert_int_equal(queue_get(txn, 7, &arena, &out), STORE_OK);
		assert_entry(&out, &entry);
		assert_due(txn, table[i].due);
		assert_usage(txn, "alice", 1, 100);
		arena_done(&arena);
		store_abort(txn);
	}
}

/* What waits at time 500 for the guard's sake, alone and counted among the others. */
static void dwelling(void **state)
{
	static const struct {
		enum queue_state is;
		int64_t at, deferred_at;
		bool dwells;
	} table[] = {
		{ QUEUE_READY, 900, 0, true },   { QUEUE_READY, 501, 0, true },
		{ QUEUE_READY, 500, 0, false },  { QUEUE_READY, 100, 0, false },
		{ QUEUE_READY, 900, 44, false }, { QUEUE_HELD, 900, 0, false },
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	uint64_t sum = 0, count = 99;
	assert_int_equal(queue_count_dwelling(txn, 500, &count), STORE_OK);
	assert_int_equal(count, 0);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct queue_entry entry = entry_of(i + 1, "alice", 100, table[i].at);
		entry.state = table[i].is;
		entry.deferred_at = table[i].deferred_at;
		entry.attempts = table[i].deferred_at ? 1 : 0;
		put_entry(txn, &entry);
		sum += table[i].dwells;
		assert_int_equal(queue_dwells(&entry, 500), table[i].dwells);
		assert_int_equal(queue_count_dwelling(txn, 500, &count), STORE_OK);
		assert_int_equal(count, sum);
	}
	struct queue_entry notice = entry_of(20, "", 0, 900);
	notice.kind = QUEUE_NOTICE_SUSPENDED;
	assert_false(queue_dwells(&notice, 500));
	store_abort(txn);
}

/* Held or released by hand, a notice goes on telling of its incident. */
static void acts_on_a_notice(void **state)
{
	static const struct {
		enum store_result (*act)(struct store_txn *txn, uint64_t id, int64_t now);
		enum queue_state to;
		const char *due;
	} table[] = {
		{ hold, QUEUE_HELD, "" },
		{ hold, QUEUE_HELD, "" },
		{ queue_flush, QUEUE_HELD, "" },
		{ queue_release, QUEUE_READY, "7@500" },
		{ queue_release, QUEUE_READY, "7@500" },
		{ queue_flush, QUEUE_READY, "7@500" },
	};
	struct place *place = *state;
	struct queue_entry entry = notice_entry(QUEUE_NOTICE_SUSPENDED);
	struct store_txn *txn = writing(place->store);
	put_entry(txn, &entry);
	assert_usage(txn, "", 1, 0);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct queue_entry out;
		struct arena arena;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		assert_int_equal(table[i].act(txn, 7, 500), STORE_OK);
		assert_int_equal(queue_get(txn, 7, &arena, &out), STORE_OK);
		entry.state = table[i].to;
		entry.next_at = out.next_at;
		assert_entry(&out, &entry);
		assert_due(txn, table[i].due);
		arena_done(&arena);
	}
	assert_int_equal(queue_remove(txn, 7), STORE_OK);
	assert_usage(txn, "", 0, 0);
	commit(txn);
}

/* The states of two recipients after an attempt: does that end it? */
static void update(void **state)
{
	static const struct {
		enum queue_recipient_state a, b;
		bool ends;
	} table[] = {
		{ RECIPIENT_PENDING, RECIPIENT_PENDING, false },
		{ RECIPIENT_PENDING, RECIPIENT_SENT, false },
		{ RECIPIENT_SENT, RECIPIENT_PENDING, false },
		{ RECIPIENT_SENT, RECIPIENT_FAILED, false },
		{ RECIPIENT_FAILED, RECIPIENT_REPORTED, false },
		{ RECIPIENT_SENT, RECIPIENT_SENT, true },
		{ RECIPIENT_SENT, RECIPIENT_REPORTED, true },
		{ RECIPIENT_REPORTED, RECIPIENT_REPORTED, true },
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct queue_recipient two[] = {
			{ .address = SPAN_LIT("a@x") },
			{ .address = SPAN_LIT("b@x") },
		};
		struct store_txn *txn = writing(place->store);
		struct queue_entry entry = entry_of(7, "alice", 2 * BODY_ROW + 1, 100);
		struct queue_entry other = entry_of(8, "alice", 10, 150);
		entry.recipients = two;
		entry.nrecipients = 2;
		put_entry(txn, &entry);
		put_entry(txn, &other);
		two[0].state = table[i].a;
		two[1].state = table[i].b;
		entry.next_at = 200;
		entry.deferred_at = 99;
		entry.attempts = 1;
		bool ended = !table[i].ends;
		assert_int_equal(queue_update(txn, &entry, &ended), STORE_OK);
		assert_int_equal(ended, table[i].ends);
		commit(txn);

		size_t left = table[i].ends ? 1 : 2;
		assert_int_equal(count_rows(place->store, STORE_QUEUE), left);
		assert_int_equal(count_rows(place->store, STORE_DUE), left);
		assert_int_equal(count_rows(place->store, STORE_OWNER), left);
		assert_int_equal(count_rows(place->store, STORE_BODY), table[i].ends ? 1 : 4);
		txn = writing(place->store);
		assert_due(txn, table[i].ends ? "8@150" : "8@150 7@200");
		assert_usage(txn, "alice", left, table[i].ends ? 10 : 10 + 2 * BODY_ROW + 1);
		assert_int_equal(queue_remove(txn, 7),
		                 table[i].ends ? STORE_NOT_FOUND : STORE_OK);
		assert_int_equal(queue_remove(txn, 8), STORE_OK);
		assert_int_equal(queue_update(txn, &entry, &ended), STORE_NOT_FOUND);
		commit(txn);
		for (int t = STORE_QUEUE; t <= STORE_BODY; t++) {
			assert_int_equal(count_rows(place->store, (enum store_table)t), 0);
		}
	}
}

/* A HELD one that an attempt still ends, and one that is held by the same update that defers
 * it. */
static void update_of_held_ones(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct queue_recipient one = { .address = SPAN_LIT("a@x") };
	struct queue_entry entry = entry_of(7, "alice", 10, 100);
	bool ended;
	entry.recipients = &one;
	put_entry(txn, &entry);
	entry.state = QUEUE_HELD;
	entry.next_at = 300;
	assert_int_equal(queue_update(txn, &entry, &ended), STORE_OK);
	assert_false(ended);
	assert_due(txn, "");
	one.state = RECIPIENT_SENT;
	assert_int_equal(queue_update(txn, &entry, &ended), STORE_OK);
	assert_true(ended);
	commit(txn);
	for (int t = STORE_QUEUE; t <= STORE_BODY; t++) {
		assert_int_equal(count_rows(place->store, (enum store_table)t), 0);
	}
}

/* ---- usage and lists ---- */

static void usage(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	assert_usage(txn, "alice", 0, 0);
	for (uint64_t id = 1; id <= 3; id++) {
		struct queue_entry entry = entry_of(id, id == 3 ? "" : "alice", 100 * id, 0);
		put_entry(txn, &entry);
	}
	assert_usage(txn, "alice", 2, 300);
	assert_usage(txn, "", 1, 300);
	assert_usage(txn, "alic", 0, 0);
	struct queue_usage total;
	assert_int_equal(queue_total(txn, &total), STORE_OK);
	assert_int_equal(total.entries, 3);
	assert_int_equal(total.bytes, 600);
	queue_hold(txn, 2);
	assert_usage(txn, "alice", 2, 300);
	queue_remove(txn, 1);
	assert_usage(txn, "alice", 1, 200);

	/* It was counted too low: that never makes it a huge number. */
	struct key prefix = key_account_prefix(SPAN_LIT("alice"));
	queue_set_usage(txn, key_span(&prefix), &(struct queue_usage){ 1, 50 });
	queue_remove(txn, 2);
	assert_usage(txn, "alice", 0, 0);
	queue_remove(txn, 3);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_USAGE), 0);
}

/* Accounts that begin with one another, and ids whose bytes could be a name's end. */
static void lists(void **state)
{
	static const struct {
		uint64_t id;
		const char *account;
	} entries[] = {
		{ 0, "a" },           { 1, "ab" }, { 255, "a" },
		{ 256, "a.b" },       { 7, "a" },  { 0x6100000000000000, "a" },
		{ UINT64_MAX, "ab" }, { 9, "" },
	};
	static const struct {
		const char *account;
		uint64_t after;
		const char *want;
	} table[] = {
		{ "a", 0, "7 255 6989586621679009792 " },
		{ "a", 6, "7 255 6989586621679009792 " },
		{ "a", 255, "6989586621679009792 " },
		{ "ab", 0, "1 18446744073709551615 " },
		{ "a.b", 0, "256 " },
		{ "b", 0, "" },
		{ "", 0, "1 7 9 255 256 6989586621679009792 18446744073709551615 " },
		{ "", UINT64_MAX, "" },
		{ "ab", UINT64_MAX, "" },
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (size_t i = 0; i < COUNT(entries); i++) {
		struct queue_entry entry = entry_of(entries[i].id, entries[i].account, 1, 0);
		put_entry(txn, &entry);
	}
	for (size_t i = 0; i < COUNT(table); i++) {
		char seen[160] = "";
		uint64_t id = table[i].after;
		while (queue_list_next(txn, span_str(table[i].account), id, &id) == STORE_OK) {
			size_t at = strlen(seen);
			snprintf(seen + at, sizeof seen - at, "%llu ", (unsigned long long)id);
		}
		assert_string_equal(seen, table[i].want);
	}
	store_abort(txn);
}

/* ---- damage ---- */

#define HEAD "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

/* One row that makes no sense is that id's matter alone; it can be discarded. */
static void damaged_row(void **state)
{
	static const struct span rows[] = {
		SPAN_LIT(""),
		SPAN_LIT("\1"),
		SPAN_LIT("\2"),
		/* Versions that we do not know, and the same as ours. */
		SPAN_LIT("\1" HEAD),
		SPAN_LIT("\3" HEAD),
		SPAN_LIT("all garbage, but long enough for a head"),
	};
	struct place *place = *state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct store_txn *txn = writing(place->store);
		struct queue_entry bad = entry_of(7, "alice", 10, 100);
		struct queue_entry good = entry_of(8, "alice", 20, 200);
		struct queue_entry out = good;
		struct key key = key_id(7);
		bool ended = true;
		good.deferred_at = 44;
		put_entry(txn, &bad);
		put_entry(txn, &good);
		store_put(txn, STORE_QUEUE, key_span(&key), rows[i]);
		assert_int_equal(state_of(txn, 7, &out), STORE_DAMAGED);
		assert_int_equal(out.id, 8);
		assert_int_equal(queue_hold(txn, 7), STORE_DAMAGED);
		assert_int_equal(queue_release(txn, 7, 1), STORE_DAMAGED);
		assert_int_equal(queue_flush(txn, 7, 1), STORE_DAMAGED);
		assert_int_equal(queue_update(txn, &bad, &ended), STORE_DAMAGED);
		assert_int_equal(store_txn_result(txn), STORE_OK);
		assert_int_equal(queue_flush(txn, 8, 150), STORE_OK);
		assert_due(txn, "7@100 8@150");
		assert_int_equal(queue_remove(txn, 7), STORE_OK);
		assert_int_equal(state_of(txn, 7, &out), STORE_NOT_FOUND);
		assert_int_equal(queue_remove(txn, 8), STORE_OK);
		commit(txn);
		assert_int_equal(count_rows(place->store, STORE_BODY), 0);
		assert_int_equal(count_rows(place->store, STORE_QUEUE), 0);
	}
}

/* A row under another's key is not that entry. */
static void misplaced_row(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct queue_entry entry = entry_of(7, "alice", 10, 100);
	struct queue_entry out;
	struct key seven = key_id(7);
	struct key nine = key_id(9);
	struct span row;
	char copy[256];
	put_entry(txn, &entry);
	assert_int_equal(store_get(txn, STORE_QUEUE, key_span(&seven), &row), STORE_OK);
	assert_true(row.len <= sizeof copy);
	memcpy(copy, row.ptr, row.len);
	store_put(txn, STORE_QUEUE, key_span(&nine), span_of(copy, row.len));
	assert_int_equal(state_of(txn, 9, &out), STORE_DAMAGED);
	store_abort(txn);
}

static void due_rows_that_make_no_sense(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct queue_entry entry = entry_of(7, "alice", 10, 100);
	struct key key = key_time_id(1, 1);
	put_entry(txn, &entry);
	store_put(txn, STORE_DUE, SPAN_LIT("\0"), SPAN_LIT("x"));
	store_put(txn, STORE_DUE, key_span(&key), SPAN_LIT("x"));
	assert_due(txn, "7@100");
	store_abort(txn);
}

/* ---- ids ---- */

static void ids(void **state)
{
	static const struct {
		uint64_t id;
		const char *text;
	} table[] = {
		{ 0, "0" },
		{ 31, "z" },
		{ 32, "10" },
		{ 18, "j" },
		{ 20, "m" },
		{ 27, "v" },
		{ 1700000000000ull << 10, "1hf7yat0000" },
		{ UINT64_MAX, "fzzzzzzzzzzzz" },
	};
	static const char *const none[] = {
		"",
		"i",
		"l",
		"o",
		"u",
		"1 ",
		"-1",
		"g000000000000",
		"zzzzzzzzzzzzz",
		"10000000000000",
		"1\xc3\xa9",
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		char text[QUEUE_ID_TEXT];
		char upper[QUEUE_ID_TEXT] = "";
		uint64_t id = 1;
		queue_id_write(table[i].id, text);
		assert_string_equal(text, table[i].text);
		for (size_t n = 0; text[n]; n++) {
			upper[n] = (char)(text[n] >= 'a' ? text[n] - 32 : text[n]);
		}
		assert_true(queue_id_read(span_str(text), &id));
		assert_true(id == table[i].id);
		assert_true(queue_id_read(span_str(upper), &id));
		assert_true(id == table[i].id);
	}
	for (size_t i = 0; i < COUNT(none); i++) {
		uint64_t id = 1;
		assert_false(queue_id_read(span_str(none[i]), &id));
		assert_int_equal(id, 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		TEST(put_and_get),
		TEST(due_order),
		TEST(acts),
		TEST(acts_on_a_notice),
		TEST(dwelling),
		TEST(update),
		TEST(update_of_held_ones),
		TEST(usage),
		TEST(lists),
		TEST(damaged_row),
		TEST(misplaced_row),
		TEST(due_rows_that_make_no_sense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
