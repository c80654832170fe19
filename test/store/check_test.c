#include "queue_help.h"

#include "store/check.h"
#include "store/incident.h"

/*
 * The store of each row: 1 and 2 of alice, READY, with bodies of one row and of three; 3 of
 * bob, HELD, no body.
 */
static void fill(struct store *store)
{
	struct store_txn *txn = writing(store);
	struct queue_entry entries[] = {
		entry_of(1, "alice", 100, 1000),
		entry_of(2, "alice", 2 * BODY_ROW + 9, 2000),
		entry_of(3, "bob", 0, 3000),
	};
	entries[2].state = QUEUE_HELD;
	for (size_t i = 0; i < COUNT(entries); i++) {
		put_entry(txn, &entries[i]);
	}
	commit(txn);
}

/* ---- harm ---- */

static void nothing(struct store_txn *txn)
{
	(void)txn;
}

static void orphan(struct store_txn *txn)
{
	static const char bytes[3 * BODY_ROW];
	uint32_t next;
	body_put(txn, 0, 0, SPAN_LIT("before the first"), &next);
	body_put(txn, 77, 0, span_of(bytes, sizeof bytes), &next);
	body_put(txn, UINT64_MAX - 1, 5, SPAN_LIT("only a later row"), &next);
}

static void due_lost(struct store_txn *txn)
{
	struct key key = key_time_id(1000, 1);
	store_del(txn, STORE_DUE, key_span(&key));
}

static void due_value_wrong(struct store_txn *txn)
{
	struct key key = key_time_id(2000, 2);
	store_put(txn, STORE_DUE, key_span(&key), SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"));
}

static void put_due_row(struct store_txn *txn, int64_t at, uint64_t id)
{
	struct key key = key_time_id(at, id);
	store_put(txn, STORE_DUE, key_span(&key), SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
}

static void due_twice(struct store_txn *txn)
{
	put_due_row(txn, 1500, 1);
}

static void due_but_held(struct store_txn *txn)
{
	put_due_row(txn, 3000, 3);
}

static void due_of_nobody(struct store_txn *txn)
{
	put_due_row(txn, 0, 99);
	store_put(txn, STORE_DUE, SPAN_LIT("short"), SPAN_NONE);
}

static void owner_lost(struct store_txn *txn)
{
	struct key key = key_owner(SPAN_LIT("bob"), 3);
	store_del(txn, STORE_OWNER, key_span(&key));
}

static void owner_wrong(struct store_txn *txn)
{
	struct key keys[] = {
		key_owner(SPAN_LIT("bob"), 1),
		key_owner(SPAN_LIT("zoe"), 99),
		key_owner(SPAN_LIT("al"), 3),
	};
	for (size_t i = 0; i < COUNT(keys); i++) {
		store_put(txn, STORE_OWNER, key_span(&keys[i]), SPAN_NONE);
	}
}

static void set_usage(struct store_txn *txn, const char *account, uint64_t entries,
                      uint64_t bytes)
{
	struct key key = key_account_prefix(span_str(account));
	queue_set_usage(txn, key_span(&key), &(struct queue_usage){ entries, bytes });
}

static void usage_wrong(struct store_txn *txn)
{
	set_usage(txn, "alice", 3, 5);
	set_usage(txn, "bob", 0, 0);
	set_usage(txn, "carol", 4, 4);
}

static void usage_garbage(struct store_txn *txn)
{
	struct key key = key_account_prefix(SPAN_LIT("alice"));
	store_put(txn, STORE_USAGE, key_span(&key), SPAN_LIT("?"));
	store_put(txn, STORE_USAGE, SPAN_LIT("alic"), SPAN_LIT("?"));
}

static void put_body_row(struct store_txn *txn, uint64_t id, uint32_t row, struct span bytes)
{
	uint32_t next;
	body_put(txn, id, row, bytes, &next);
}

static void body_cut(struct store_txn *txn)
{
	put_body_row(txn, 2, 2, SPAN_LIT("8 bytes."));
}

static void body_long(struct store_txn *txn)
{
	put_body_row(txn, 2, 3, SPAN_LIT("more"));
}

static void body_of_none(struct store_txn *txn)
{
	put_body_row(txn, 3, 0, SPAN_LIT("it has none"));
}

static void body_lost(struct store_txn *txn)
{
	body_drop(txn, 1);
}

static void put_row(struct store_txn *txn, uint64_t id, struct span row)
{
	struct key key = key_id(id);
	store_put(txn, STORE_QUEUE, key_span(&key), row);
}

static void row_garbage(struct store_txn *txn)
{
	put_row(txn, 1, SPAN_LIT("garbage"));
}

/* The head can still be read: the indices are right, but nothing can be sent. */
static void row_cut(struct store_txn *txn)
{
	struct key key = key_id(1);
	struct span row;
	char copy[256];
	assert_int_equal(store_get(txn, STORE_QUEUE, key_span(&key), &row), STORE_OK);
	assert_true(row.len <= sizeof copy);
	memcpy(copy, row.ptr, row.len);
	put_row(txn, 1, span_of(copy, row.len - 4));
}

static void indices_lost(struct store_txn *txn)
{
	static const enum store_table tables[] = { STORE_DUE, STORE_OWNER, STORE_USAGE };
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct store_walk walk;
		struct span key;
		struct span value;
		store_walk_begin(&walk, txn, tables[i], SPAN_NONE, SPAN_NONE);
		while (store_walk_next(&walk, &key, &value)) {
			store_walk_del(&walk);
		}
		store_walk_end(&walk);
	}
}

/* ---- and what becomes of it ---- */

static const struct {
	void (*harm)(struct store_txn *txn);
	struct check_report want;
	const char *due; /* afterwards */
} table[] = {
	{ nothing, { 3, 2, 1, 0, 0, 0 }, "1@1000 2@2000" },
	{ orphan, { 3, 2, 1, 3, 0, 0 }, "1@1000 2@2000" },
	{ due_lost, { 3, 2, 1, 0, 1, 0 }, "1@1000 2@2000" },
	{ due_value_wrong, { 3, 2, 1, 0, 1, 0 }, "1@1000 2@2000" },
	{ due_twice, { 3, 2, 1, 0, 1, 0 }, "1@1000 2@2000" },
	{ due_but_held, { 3, 2, 1, 0, 1, 0 }, "1@1000 2@2000" },
	{ due_of_nobody, { 3, 2, 1, 0, 2, 0 }, "1@1000 2@2000" },
	{ owner_lost, { 3, 2, 1, 0, 1, 0 }, "1@1000 2@2000" },
	{ owner_wrong, { 3, 2, 1, 0, 3, 0 }, "1@1000 2@2000" },
	{ usage_wrong, { 3, 2, 1, 0, 3, 0 }, "1@1000 2@2000" },
	{ usage_garbage, { 3, 2, 1, 0, 2, 0 }, "1@1000 2@2000" },
	{ indices_lost, { 3, 2, 1, 0, 7, 0 }, "1@1000 2@2000" },
	{ body_cut, { 3, 1, 2, 0, 0, 1 }, "1@1000" },
	{ body_long, { 3, 1, 2, 0, 0, 1 }, "1@1000" },
	{ body_lost, { 3, 1, 2, 0, 0, 1 }, "2@2000" },
	{ body_of_none, { 3, 2, 1, 0, 0, 1 }, "1@1000 2@2000" },
	{ row_cut, { 3, 1, 2, 0, 0, 1 }, "2@2000" },
	/* Its due row goes, and what it added to the usage. */
	{ row_garbage, { 3, 1, 2, 0, 2, 1 }, "2@2000" },
};

static void assert_report(size_t row, const struct check_report *have,
                          const struct check_report *want)
{
	if (memcmp(have, want, sizeof *have) != 0) {
		fail_msg("row %zu: %llu entries, %llu ready, %llu held, %llu orphans, "
		         "%llu mended, %llu damaged",
		         row, (unsigned long long)have->entries,
		         (unsigned long long)have->ready, (unsigned long long)have->held,
		         (unsigned long long)have->orphan_bodies,
		         (unsigned long long)have->mended, (unsigned long long)have->damaged);
	}
}

static void run(struct store *store, struct check_report *report)
{
	struct error error = { "" };
	if (check_run(store, report, &error) != STORE_OK) {
		fail_msg("check_run: %s", error.text);
	}
}

static void harms(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		void *own;
		place_setup(&own);
		struct place *place = own;
		fill(place->store);
		struct store_txn *txn = writing(place->store);
		table[i].harm(txn);
		commit(txn);
		struct check_report report;
		run(place->store, &report);
		assert_report(i, &report, &table[i].want);

		/* All is in order now, but what is damaged stays so, and is said again. */
		struct check_report again = table[i].want;
		again.mended = 0;
		again.orphan_bodies = 0;
		run(place->store, &report);
		assert_report(i, &report, &again);
		txn = reading(place->store);
		assert_due(txn, table[i].due);
		bool gone = table[i].harm == row_garbage;
		assert_usage(txn, "alice", gone ? 1 : 2, (gone ? 0 : 100) + 2 * BODY_ROW + 9);
		assert_usage(txn, "bob", 1, 0);
		assert_usage(txn, "carol", 0, 0);
		store_abort(txn);
		assert_int_equal(count_rows(place->store, STORE_QUEUE), 3);
		assert_int_equal(count_rows(place->store, STORE_OWNER), 3);
		assert_int_equal(count_rows(place->store, STORE_USAGE), 2);
		place_teardown(&own);
	}
}

/* An account of which not one entry can be read is charged for nothing, and its entry can be
 * discarded. */
static void only_entry_unreadable(void **state)
{
	struct place *place = *state;
	struct queue_entry entry = entry_of(5, "alice", 10, 100);
	struct check_report report;
	uint64_t id;
	struct store_txn *txn = writing(place->store);
	put_entry(txn, &entry);
	row_garbage(txn);
	put_row(txn, 5, SPAN_LIT("garbage"));
	commit(txn);
	run(place->store, &report);
	txn = writing(place->store);
	assert_usage(txn, "alice", 0, 0);
	assert_int_equal(queue_list_next(txn, SPAN_LIT("alice"), 0, &id), STORE_OK);
	assert_int_equal(id, 5);
	assert_int_equal(queue_remove(txn, 5), STORE_OK);
	assert_int_equal(queue_remove(txn, 1), STORE_OK);
	commit(txn);
	run(place->store, &report);
	assert_report(0, &report, &(struct check_report){ .mended = 1 });
	for (int t = STORE_QUEUE; t <= STORE_BODY; t++) {
		assert_int_equal(count_rows(place->store, (enum store_table)t), 0);
	}
}

/* More of each than one transaction looks at: accounts and orphans across the portions. */
static void many(void **state)
{
	enum { ENTRIES = 9000, ACCOUNTS = 3, ORPHANS = 300 };
	static const char *const accounts[ACCOUNTS] = { "alice", "bob", "carol" };
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (uint64_t id = 1; id <= ENTRIES; id++) {
		struct queue_entry entry = entry_of(id, accounts[id % ACCOUNTS], 10,
		                                    (int64_t)(ENTRIES - id));
		put_entry(txn, &entry);
	}
	for (uint64_t id = ENTRIES + 1; id <= ENTRIES + ORPHANS; id++) {
		put_body_row(txn, id, 0, SPAN_LIT("orphan"));
	}
	indices_lost(txn);
	commit(txn);
	struct check_report report;
	run(place->store, &report);
	assert_report(0, &report,
	              &(struct check_report){ .entries = ENTRIES,
	                                      .ready = ENTRIES,
	                                      .orphan_bodies = ORPHANS,
	                                      .mended = 2 * ENTRIES + ACCOUNTS });
	txn = reading(place->store);
	for (size_t i = 0; i < ACCOUNTS; i++) {
		assert_usage(txn, accounts[i], ENTRIES / ACCOUNTS, 10 * (ENTRIES / ACCOUNTS));
	}
	store_abort(txn);
	assert_int_equal(count_rows(place->store, STORE_BODY), ENTRIES);
	run(place->store, &report);
	assert_int_equal(report.mended + report.orphan_bodies + report.damaged, 0);
}

/* ---- mail of our own, and incidents ---- */

static void put_raw(struct store_txn *txn, const struct queue_entry *entry)
{
	struct buf row;
	buf_init(&row, QUEUE_ENTRY_MAX);
	assert_true(queue_pack(entry, &row));
	put_row(txn, entry->id, buf_span(&row));
	buf_done(&row);
}

/* A notice has no body, neither said nor there; who held an entry is nobody's business here. */
static void kinds(void **state)
{
	static const struct {
		int kind;
		uint64_t size;
		bool body;
		struct check_report want;
	} rows[] = {
		{ QUEUE_MAIL, 6, true, { 2, 1, 1, 0, 0, 0 } },
		{ QUEUE_NOTICE_SUSPENDED, 0, false, { 2, 1, 1, 0, 0, 0 } },
		{ QUEUE_NOTICE_IGNORED, 0, false, { 2, 1, 1, 0, 0, 0 } },
		{ QUEUE_NOTICE_SUSPENDED, 0, true, { 2, 0, 2, 0, 0, 1 } },
		{ QUEUE_NOTICE_ENDED, 6, true, { 2, 0, 2, 0, 0, 1 } },
		{ QUEUE_NOTICE_IGNORED, 6, false, { 2, 0, 2, 0, 0, 1 } },
		/* Not even whose it is can be told: its due row goes, its usage too. */
		{ QUEUE_NOTICE_EVENT, 0, false, { 2, 1, 1, 0, 0, 0 } },
		{ QUEUE_KINDS, 0, false, { 2, 0, 2, 0, 2, 1 } },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		void *own;
		place_setup(&own);
		struct place *place = own;
		struct store_txn *txn = writing(place->store);
		struct queue_entry held = entry_of(1, "alice", 100, 1000);
		struct queue_entry other = entry_of(2, "", 0, 0);
		held.state = QUEUE_HELD;
		held.incident = 17;
		put_entry(txn, &held);
		put_entry(txn, &other);
		if (rows[i].size) {
			set_usage(txn, "", 1, rows[i].size);
		}
		if (rows[i].body) {
			put_body_row(txn, 2, 0, SPAN_LIT("6 byte"));
		}
		other.kind = (enum queue_kind)rows[i].kind;
		other.size = rows[i].size;
		other.incident = 17;
		put_raw(txn, &other);
		const struct incident incident = { .number = 17, .account = SPAN_LIT("zoe") };
		incident_put(txn, &incident);
		store_put(txn, STORE_INCIDENT, SPAN_LIT("not a key"), SPAN_LIT("garbage"));
		commit(txn);

		struct check_report report;
		run(place->store, &report);
		assert_report(i, &report, &rows[i].want);
		assert_int_equal(count_rows(place->store, STORE_INCIDENT), 2);
		txn = reading(place->store);
		assert_int_equal(state_of(txn, 1, &held), STORE_OK);
		assert_int_equal(held.incident, 17);
		store_abort(txn);
		place_teardown(&own);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(harms),
		cmocka_unit_test(kinds),
		TEST(only_entry_unreadable),
		TEST(many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
