#include "history_help.h"

#include <lmdb.h>

#define HOUR ((int64_t)3600 * 1000)

/* ---- heads ---- */

static struct history_head full_head(void)
{
	struct history_head head = {
		.born_day = 366,
		.imported = true,
		.contacts = HISTORY_CONTACTS_MAX,
		.ever = UINT32_MAX,
		.depth = HISTORY_DEPTH_MAX,
		.learned_day = UINT16_MAX,
		.learned = 200,
		.next_serial = 7,
		.barred_rest = true,
		.barred_wall = INT64_MAX,
		.lost_at = 12345 * HOUR,
	};
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		head.network[i] = (struct history_network){
			.digest = UINT64_MAX - i,
			.serial = (uint16_t)(UINT16_MAX - i),
			.first_day = UINT16_MAX,
			.met_at = (int64_t)(500000 + i) * HOUR,
			.days = (uint8_t)(i % 4),
			.ripe = i % 3 == 0,
			.barred = i % 3 == 1,
		};
		if (i % 4) {
			head.network[i].day_from = 400;
			head.network[i].day_of = UINT16_MAX;
		}
		if (i % 2) {
			head.network[i].known_day = 500;
			head.network[i].known = UINT16_MAX;
			memcpy(head.network[i].country, "DE", 2);
		}
	}
	return head;
}

static void assert_network(const struct history_network *have,
                           const struct history_network *want)
{
	assert_int_equal(have->digest, want->digest);
	assert_int_equal(have->serial, want->serial);
	assert_int_equal(have->first_day, want->first_day);
	assert_int_equal(have->met_at, want->met_at);
	assert_int_equal(have->days, want->days);
	assert_int_equal(have->day_from, want->day_from);
	assert_int_equal(have->day_of, want->day_of);
	assert_int_equal(have->ripe, want->ripe);
	assert_int_equal(have->barred, want->barred);
	assert_int_equal(have->known_day, want->known_day);
	assert_int_equal(have->known, want->known);
	assert_memory_equal(have->country, want->country, 2);
}

static void assert_head(const struct history_head *have, const struct history_head *want)
{
	assert_int_equal(have->born_day, want->born_day);
	assert_int_equal(have->imported, want->imported);
	assert_int_equal(have->contacts, want->contacts);
	assert_int_equal(have->ever, want->ever);
	assert_int_equal(have->depth, want->depth);
	assert_int_equal(have->learned_day, want->learned_day);
	assert_int_equal(have->learned, want->learned);
	assert_int_equal(have->next_serial, want->next_serial);
	assert_int_equal(have->barred_rest, want->barred_rest);
	assert_int_equal(have->barred_wall, want->barred_wall);
	assert_int_equal(have->lost_at, want->lost_at);
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		assert_network(&have->network[i], &want->network[i]);
	}
}

static void heads(void **state)
{
	static const struct history_head none;
	struct place *place = *state;
	const struct history_head want = full_head();
	struct history_head got = want;
	struct store_txn *txn = writing(place->store);
	assert_int_equal(history_head_get(txn, ALICE, &got), STORE_OK);
	assert_head(&got, &none);
	assert_int_equal(history_head_put(txn, ALICE, &want), STORE_OK);
	assert_int_equal(history_head_put(txn, BOB, &none), STORE_OK);
	commit(txn);
	place_reopen(place);
	txn = reading(place->store);
	got = head_of(txn, ALICE);
	assert_head(&got, &want);
	got = head_of(txn, BOB);
	assert_head(&got, &none);
	/* Free places cost nothing, and the fullest head is no overflow page. */
	assert_true(history_bytes(txn, BOB) < 16 + BOB.len);
	assert_true(history_bytes(txn, ALICE) < 2038);
	store_abort(txn);
}

/* ---- damage ---- */

static void put_row(struct store_txn *txn, struct key key, struct span row)
{
	store_put(txn, STORE_HISTORY, key_span(&key), row);
}

static size_t copy_row(struct store_txn *txn, struct key key, char *copy, size_t len)
{
	struct span row;
	assert_int_equal(store_get(txn, STORE_HISTORY, key_span(&key), &row), STORE_OK);
	assert_true(row.len <= len);
	memcpy(copy, row.ptr, row.len);
	return row.len;
}

static void damaged_heads(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct history_head head = full_head();
	struct key key = key_account_prefix(ALICE);
	char row[4096];
	history_head_put(txn, BOB, &head);
	history_head_put(txn, ALICE, &head);
	size_t len = copy_row(txn, key, row, sizeof row - 1);
	row[len] = '\0';
	for (size_t n = 0; n <= len + 1; n++) {
		struct history_head got = { .ever = 99 };
		put_row(txn, key, span_of(row, n));
		assert_int_equal(history_head_get(txn, ALICE, &got),
		                 n == len ? STORE_OK : STORE_DAMAGED);
		assert_int_equal(got.ever, n == len ? UINT32_MAX : 99);
	}
	for (size_t bit = 0; bit < 8 * len; bit++) {
		struct history_head got;
		row[bit / 8] = (char)(row[bit / 8] ^ 1 << bit % 8);
		put_row(txn, key, span_of(row, len));
		enum store_result result = history_head_get(txn, ALICE, &got);
		assert_true(result == STORE_OK || result == STORE_DAMAGED);
		if (result == STORE_OK) {
			assert_int_equal(history_head_put(txn, ALICE, &got), STORE_OK);
		}
		row[bit / 8] = (char)(row[bit / 8] ^ 1 << bit % 8);
	}
	/* It is nobody else's matter, and can be deleted. */
	put_row(txn, key, SPAN_LIT("?"));
	assert_int_equal(history_head_get(txn, BOB, &head), STORE_OK);
	assert_int_equal(history_delete(txn, ALICE), STORE_OK);
	assert_int_equal(store_txn_result(txn), STORE_OK);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_HISTORY), 1);
}

/* Rows of a head that no writer makes. */
static void heads_that_make_no_sense(void **state)
{
	static const struct {
		const char *what;
		struct span row;
		enum store_result result;
	} rows[] = {
		{ "sound", SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\0"), STORE_OK },
		{ "of a newer version", SPAN_LIT("\2\0\0\0\0\0\0\0\0\0\0\0"), STORE_DAMAGED },
		{ "a flag", SPAN_LIT("\1\4\0\0\0\0\0\0\0\0\0\0"), STORE_DAMAGED },
		{ "depth 10", SPAN_LIT("\1\0\0\0\0\12\0\0\0\0\0\0"), STORE_OK },
		{ "depth 11", SPAN_LIT("\1\0\0\0\0\13\0\0\0\0\0\0"), STORE_DAMAGED },
		{ "a day too far", SPAN_LIT("\1\0\x80\x80\4\0\0\0\0\0\0\0\0\0"),
		  STORE_DAMAGED },
		{ "100,000 contacts", SPAN_LIT("\1\0\0\xa0\x8d\6\0\0\0\0\0\0\0\0"), STORE_OK },
		{ "100,001 contacts", SPAN_LIT("\1\0\0\xa1\x8d\6\0\0\0\0\0\0\0\0"),
		  STORE_DAMAGED },
		{ "one network, missing", SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\1"), STORE_DAMAGED },
		{ "a network",
		  SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\1"
		           "\1\0\0\0\0\0\0\0\0\1\0\0"),
		  STORE_OK },
		{ "a network without a digest",
		  SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\1"
		           "\0\0\0\0\0\0\0\0\0\1\0\0"),
		  STORE_DAMAGED },
		{ "without a serial",
		  SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\1"
		           "\1\0\0\0\0\0\0\0\0\0\0\0"),
		  STORE_DAMAGED },
		{ "ripe and barred",
		  SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\1"
		           "\1\0\0\0\0\0\0\0\3\1\0\0"),
		  STORE_DAMAGED },
		{ "an unknown flag of a network",
		  SPAN_LIT("\1\0\0\0\0\0\0\0\0\0\0\1"
		           "\1\0\0\0\0\0\0\0\x40\1\0\0"),
		  STORE_DAMAGED },
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct history_head head;
		put_row(txn, key_account_prefix(ALICE), rows[i].row);
		if (history_head_get(txn, ALICE, &head) != rows[i].result) {
			fail_msg("%s", rows[i].what);
		}
	}
	store_abort(txn);
}

/* A block that can not be read is damage to those who look there; nothing is written over it,
 * others go on, and no doubling is done by halves. */
static void damaged_blocks(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct history_contact two[] = { contact_of((uint64_t)1 << 24),
		                         contact_of((uint64_t)1 << 63) };
	struct history_contact got;
	char row[64];
	/* Two blocks, with a contact or two in each. */
	struct history_head head = { .depth = 1 };
	assert_int_equal(history_put(txn, ALICE, &head, two, 2), STORE_OK);
	struct history_contact third = contact_of((uint64_t)2 << 24);
	assert_int_equal(history_put(txn, ALICE, &head, &third, 1), STORE_OK);
	struct key key = key_history_block(ALICE, 0);
	size_t len = copy_row(txn, key, row, sizeof row);
	assert_int_equal(len, 2 * HISTORY_RECORD);
	for (size_t n = 0; n < len; n++) {
		enum store_result want = n == HISTORY_RECORD ? STORE_OK : STORE_DAMAGED;
		put_row(txn, key, span_of(row, n));
		assert_int_equal(history_find(txn, ALICE, &head, two[0].digest, &got), want);
		assert_int_equal(history_find(txn, ALICE, &head, two[1].digest, &got),
		                 STORE_OK);
	}
	/* Their order is wrong; or one is of the other block. */
	for (size_t i = 0; i < 2; i++) {
		struct history_contact more[2 * HISTORY_BLOCK];
		struct history_head before = head;
		char bad[2 * HISTORY_RECORD];
		size_t walked = 0;
		memcpy(bad, row + HISTORY_RECORD, HISTORY_RECORD);
		memcpy(bad + HISTORY_RECORD, row, HISTORY_RECORD);
		if (i) {
			memcpy(bad, row, HISTORY_RECORD);
			bad[HISTORY_RECORD] = (char)0x80;
		}
		put_row(txn, key, span_of(bad, sizeof bad));
		assert_int_equal(history_put(txn, ALICE, &head, two, 1), STORE_DAMAGED);
		assert_int_equal(history_filter(txn, ALICE, &head, count_one, &walked),
		                 STORE_DAMAGED);
		assert_int_equal(walked, 1);
		for (uint64_t j = 0; j < COUNT(more); j++) {
			more[j] = contact_of(((uint64_t)1 << 63) + ((j + 1) << 24));
		}
		assert_int_equal(history_put(txn, ALICE, &head, more, COUNT(more)),
		                 STORE_DAMAGED);
		assert_int_equal(head.depth, before.depth);
		assert_int_equal(copy_row(txn, key, bad, sizeof bad), sizeof bad);
		struct history_head stored = head_of(txn, ALICE);
		assert_head(&stored, &head);
		/* The other block, as far as it was filled, can be read. */
		assert_int_equal(history_find(txn, ALICE, &head, two[1].digest, &got),
		                 STORE_OK);
		head = (struct history_head){ .depth = 1 };
		history_delete(txn, ALICE);
		assert_int_equal(history_put(txn, ALICE, &head, two, 2), STORE_OK);
		put_row(txn, key, span_of(row, 1));
	}
	assert_int_equal(store_txn_result(txn), STORE_OK);
	assert_int_equal(history_delete(txn, ALICE), STORE_OK);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_HISTORY), 0);
}

/* No flipped bit is read outside of the row, or written elsewhere. */
static void flipped_bits(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct history_contact contacts[20];
	char row[20 * HISTORY_RECORD];
	struct key key = key_history_block(ALICE, 0);
	for (size_t i = 0; i < COUNT(contacts); i++) {
		contacts[i] = contact_of(dice());
	}
	put(txn, ALICE, contacts, COUNT(contacts));
	size_t len = copy_row(txn, key, row, sizeof row);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		struct history_contact got;
		struct history_head head = head_of(txn, ALICE);
		row[bit / 8] = (char)(row[bit / 8] ^ 1 << bit % 8);
		put_row(txn, key, span_of(row, len));
		for (size_t i = 0; i < COUNT(contacts); i++) {
			enum store_result found = history_find(txn, ALICE, &head,
			                                       contacts[i].digest, &got);
			assert_true(found == STORE_OK || found == STORE_NOT_FOUND);
		}
		enum store_result result = history_put(txn, ALICE, &head, contacts, 1);
		assert_true(result == STORE_OK || result == STORE_DAMAGED);
		row[bit / 8] = (char)(row[bit / 8] ^ 1 << bit % 8);
	}
	assert_int_equal(store_txn_result(txn), STORE_OK);
	store_abort(txn);
}

/* ---- networks ---- */

static void damaged_networks(void **state)
{
	static const char full[1 + 4 * HISTORY_SHARERS_MAX + 4] = "\1";
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct key key = key_id(5);
	history_share(txn, 6, BOB);
	for (size_t n = 0; n <= sizeof full; n++) {
		bool good = n > 1 && n < sizeof full && n % 4 == 1;
		unsigned count = 99;
		store_put(txn, STORE_NETWORK, key_span(&key), span_of(full, n));
		assert_int_equal(history_sharers(txn, 5, &count),
		                 good ? STORE_OK : STORE_DAMAGED);
		assert_int_equal(count, good ? n / 4 : 99);
		assert_int_equal(history_unshare(txn, 5, ALICE),
		                 good ? STORE_OK : STORE_DAMAGED);
	}
	store_put(txn, STORE_NETWORK, key_span(&key), SPAN_LIT("\2abcd"));
	assert_int_equal(history_share(txn, 5, ALICE), STORE_DAMAGED);
	assert_int_equal(sharers(txn, 6), 1);
	assert_int_equal(store_txn_result(txn), STORE_OK);
	store_abort(txn);
}

/* ---- a store of the version before ---- */

/* Takes the two tables out, as they never were. */
static void make_old(const char *dir)
{
	static const char *const names[] = { "history", "network" };
	MDB_env *env;
	MDB_txn *txn;
	assert_int_equal(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 2);
	assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	for (size_t i = 0; i < COUNT(names); i++) {
		MDB_dbi table;
		assert_int_equal(mdb_dbi_open(txn, names[i], 0, &table), 0);
		assert_int_equal(mdb_drop(txn, table, 1), 0);
	}
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void an_older_store(void **state)
{
	struct place *place = *state;
	struct history_contact contact = contact_of(dice());
	place_close(place);
	make_old(place->dir);
	place_open(place);
	struct store_txn *txn = writing(place->store);
	put(txn, ALICE, &contact, 1);
	history_share(txn, 5, ALICE);
	commit(txn);
	place_reopen(place);
	txn = reading(place->store);
	assert_true(has(txn, ALICE, contact.digest));
	assert_int_equal(sharers(txn, 5), 1);
	store_abort(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(heads),          TEST(damaged_heads), TEST(heads_that_make_no_sense),
		TEST(damaged_blocks), TEST(flipped_bits),  TEST(damaged_networks),
		TEST(an_older_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
