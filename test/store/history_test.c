#include "help.h"
#include "store/history.h"

#include <lmdb.h>

#define ALICE SPAN_LIT("alice@example.org")
#define BOB   SPAN_LIT("bob@example.org")
#define HOUR  ((int64_t)3600 * 1000)
/* As many bits of a digest as are kept. */
#define KEPT(digest) ((uint64_t)(digest) & ~(uint64_t)0xffffff)

/* The same sequence each time: a failure can be looked into. */
static uint64_t seed = 1;

static uint64_t dice(void)
{
	seed += 0x9e3779b97f4a7c15u;
	uint64_t x = seed;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static struct history_contact contact_of(uint64_t digest)
{
	return (struct history_contact){ digest, (uint16_t)(digest >> 40),
		                         (uint8_t)(digest >> 30), (uint16_t)(digest >> 50) };
}

static void assert_contact(const struct history_contact *have,
                           const struct history_contact *want)
{
	assert_int_equal(have->digest, KEPT(want->digest));
	assert_int_equal(have->first_day, want->first_day);
	assert_int_equal(have->last_month, want->last_month);
	assert_int_equal(have->origin, want->origin);
}

static struct history_head head_of(struct store_txn *txn, struct span account)
{
	struct history_head head;
	assert_int_equal(history_head_get(txn, account, &head), STORE_OK);
	return head;
}

static void put(struct store_txn *txn, struct span account,
                const struct history_contact *contacts, size_t n)
{
	struct history_head head = head_of(txn, account);
	assert_int_equal(history_put(txn, account, &head, contacts, n), STORE_OK);
}

static bool has(struct store_txn *txn, struct span account, uint64_t digest)
{
	struct history_contact contact;
	struct history_head head = head_of(txn, account);
	enum store_result result = history_find(txn, account, &head, digest, &contact);
	assert_true(result == STORE_OK || result == STORE_NOT_FOUND);
	return result == STORE_OK;
}

static bool count_one(void *n, struct history_contact *contact)
{
	(void)contact;
	++*(size_t *)n;
	return true;
}

static size_t count(struct store_txn *txn, struct span account)
{
	struct history_head head = head_of(txn, account);
	size_t n = 0;
	assert_int_equal(history_filter(txn, account, &head, count_one, &n), STORE_OK);
	assert_int_equal(n, head.contacts);
	return n;
}

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

/* ---- contacts against a model ---- */

#define MODEL_MAX 20000

struct model {
	struct history_contact contact[MODEL_MAX];
	size_t n;
	uint32_t ever;
};

static struct history_contact *model_find(struct model *model, uint64_t digest)
{
	for (size_t i = 0; i < model->n; i++) {
		if (KEPT(model->contact[i].digest) == KEPT(digest)) {
			return &model->contact[i];
		}
	}
	return NULL;
}

static void model_put(struct model *model, const struct history_contact *contact)
{
	struct history_contact *there = model_find(model, contact->digest);
	if (!there) {
		assert_true(model->n < MODEL_MAX);
		there = &model->contact[model->n++];
		model->ever++;
	}
	*there = *contact;
}

/* What a filter does to a contact: told by its bits alone. */
static bool model_keep(void *mark, struct history_contact *contact)
{
	uint64_t bits = contact->digest >> 24;
	contact->origin = bits % 5 == 0 ? *(const uint16_t *)mark : contact->origin;
	return bits % 7 != *(const uint16_t *)mark % 7u;
}

static void model_filter(struct model *model, uint16_t mark)
{
	size_t kept = 0;
	for (size_t i = 0; i < model->n; i++) {
		struct history_contact contact = model->contact[i];
		if (model_keep(&mark, &contact)) {
			model->contact[kept++] = contact;
		}
	}
	model->n = kept;
}

static void assert_model(struct store_txn *txn, struct span account, struct model *model)
{
	struct history_head head = head_of(txn, account);
	assert_int_equal(head.contacts, model->n);
	assert_int_equal(head.ever, model->ever);
	for (size_t i = 0; i < model->n; i++) {
		struct history_contact got;
		assert_int_equal(
		    history_find(txn, account, &head, model->contact[i].digest, &got),
		    STORE_OK);
		assert_contact(&got, &model->contact[i]);
	}
	for (size_t i = 0; i < 100; i++) {
		uint64_t digest = dice();
		assert_int_equal(has(txn, account, digest), model_find(model, digest) != NULL);
	}
	assert_int_equal(count(txn, account), model->n);
}

/* New ones, changed ones, and each of two that differ only in bits that are not kept. */
static void model_batch(struct store_txn *txn, struct span account, struct model *model)
{
	struct history_contact batch[300];
	size_t n = 1 + dice() % COUNT(batch);
	for (size_t i = 0; i < n; i++) {
		uint64_t digest = dice();
		if (model->n && dice() % 3 == 0) {
			digest = model->contact[dice() % model->n].digest ^ (dice() & 0xffffff);
		}
		batch[i] = contact_of(digest);
		batch[i].last_month = (uint8_t)dice();
	}
	/* Of two in one batch any may count: here each is there once. */
	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n; j++) {
			if (KEPT(batch[i].digest) == KEPT(batch[j].digest)) {
				batch[j--] = batch[--n];
			}
		}
		model_put(model, &batch[i]);
	}
	put(txn, account, batch, n);
}

static void against_a_model(void **state)
{
	struct place *place = *state;
	struct model *alice = calloc(1, sizeof *alice);
	struct model *bob = calloc(1, sizeof *bob);
	assert_true(alice && bob);
	for (unsigned round = 0; round < 60; round++) {
		struct store_txn *txn = writing(place->store);
		model_batch(txn, ALICE, alice);
		if (round % 4 == 0) {
			model_batch(txn, BOB, bob);
		}
		if (round % 10 == 9) {
			uint16_t mark = (uint16_t)(round + 1);
			struct history_head head = head_of(txn, ALICE);
			model_filter(alice, mark);
			assert_int_equal(history_filter(txn, ALICE, &head, model_keep, &mark),
			                 STORE_OK);
		}
		commit(txn);
		if (round % 10 >= 8) {
			txn = writing(place->store);
			assert_model(txn, ALICE, alice);
			assert_model(txn, BOB, bob);
			store_abort(txn);
		}
	}
	struct store_txn *txn = reading(place->store);
	/* It went through doublings, or this showed nothing. */
	assert_true(head_of(txn, ALICE).depth >= 4);
	assert_true(head_of(txn, BOB).depth >= 2);
	store_abort(txn);
	free(alice);
	free(bob);
}

/* All of them begin with the same bits: no doubling parts them. The deepest block is full, and
 * then the one unused for longest goes; never more than a block, never another's. */
static void a_crafted_block(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct history_contact other = contact_of(UINT64_MAX);
	put(txn, ALICE, &other, 1);
	for (uint64_t i = 0; i < HISTORY_BLOCK + 10; i++) {
		struct history_contact contact = { (i + 1) << 24, (uint16_t)(500 + i % 7), 20,
			                           0 };
		contact.last_month = i < 10 ? 10 : 20;
		put(txn, ALICE, &contact, 1);
	}
	struct history_head head = head_of(txn, ALICE);
	assert_int_equal(head.depth, HISTORY_DEPTH_MAX);
	assert_int_equal(head.contacts, HISTORY_BLOCK + 1);
	assert_int_equal(head.ever, HISTORY_BLOCK + 11);
	for (uint64_t i = 0; i < HISTORY_BLOCK + 10; i++) {
		assert_int_equal(has(txn, ALICE, (i + 1) << 24), i >= 10);
	}
	assert_true(has(txn, ALICE, UINT64_MAX));
	/* Of those of the same month the one learned last. */
	struct history_contact late = { (uint64_t)1000 << 24, 600, 21, 0 };
	put(txn, ALICE, &late, 1);
	struct history_contact next = { (uint64_t)1001 << 24, 700, 21, 0 };
	put(txn, ALICE, &next, 1);
	assert_true(has(txn, ALICE, late.digest));
	assert_true(has(txn, ALICE, next.digest));
	size_t missing = 0;
	for (uint64_t i = 10; i < HISTORY_BLOCK + 10; i++) {
		bool gone = !has(txn, ALICE, (i + 1) << 24);
		assert_true(!gone || i % 7 == 6);
		missing += gone;
	}
	assert_int_equal(missing, 2);
	/* One that is ahead was learned out of order: it is not the oldest. */
	assert_int_equal(history_age(21, 20), 0);
	assert_int_equal(history_age(250, 3), 9);
	store_abort(txn);
}

static void at_the_cap(void **state)
{
	enum { MANY = HISTORY_CONTACTS_MAX, MORE = 1000 };
	struct place *place = *state;
	struct history_contact *contacts = calloc(MANY + MORE, sizeof *contacts);
	assert_non_null(contacts);
	for (size_t i = 0; i < MANY + MORE; i++) {
		contacts[i] = contact_of(dice());
		contacts[i].last_month = i < MANY / 2 ? 1 : i < MANY ? 2 : 3;
	}
	struct store_txn *txn = writing(place->store);
	put(txn, ALICE, contacts, MANY);
	assert_int_equal(count(txn, ALICE), MANY);
	put(txn, ALICE, contacts + MANY, MORE);
	struct history_head head = head_of(txn, ALICE);
	assert_int_equal(count(txn, ALICE), MANY);
	assert_int_equal(head.ever, MANY + MORE);
	size_t gone[3] = { 0 };
	for (size_t i = 0; i < MANY + MORE; i++) {
		gone[i < MANY / 2 ? 0
		     : i < MANY   ? 1
		                  : 2] += !has(txn, ALICE, contacts[i].digest);
	}
	assert_int_equal(gone[0], MORE);
	assert_int_equal(gone[1], 0);
	assert_int_equal(gone[2], 0);
	/* About ten bytes each, head and keys included. */
	assert_true(history_bytes(txn, ALICE) < (uint64_t)MANY * 11);
	commit(txn);
	free(contacts);
}

/* ---- all of an account ---- */

static void accounts_do_not_meet(void **state)
{
	/* Names that begin with each other, and the longest. */
	static char longest[KEY_ACCOUNT_MAX];
	memset(longest, 'a', sizeof longest);
	const struct span names[] = {
		SPAN_LIT("a"),
		SPAN_LIT("a@example.org"),
		SPAN_LIT("a@example.org.uk"),
		span_of(longest, sizeof longest - 1),
		span_of(longest, sizeof longest),
		SPAN_LIT("b"),
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (uint64_t i = 0; i < COUNT(names); i++) {
		for (uint64_t j = 0; j < 300; j++) {
			struct history_contact contact = contact_of((j << 55) +
			                                            ((i + 1) << 24));
			put(txn, names[i], &contact, 1);
		}
	}
	struct key name = { .len = 0 };
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_int_equal(history_next(txn, key_span(&name), &name), STORE_OK);
		assert_true(span_eq(key_span(&name), names[i]));
	}
	assert_int_equal(history_next(txn, key_span(&name), &name), STORE_NOT_FOUND);
	assert_int_equal(history_delete(txn, names[1]), STORE_OK);
	assert_int_equal(history_delete(txn, names[1]), STORE_NOT_FOUND);
	assert_int_equal(history_bytes(txn, names[1]), 0);
	for (uint64_t i = 0; i < COUNT(names); i++) {
		assert_int_equal(count(txn, names[i]), i == 1 ? 0 : 300);
		assert_int_equal(has(txn, names[i], (i + 1) << 24), i != 1);
		assert_false(has(txn, names[i], (i + 2) << 24));
	}
	for (size_t i = 0; i < COUNT(names); i++) {
		history_delete(txn, names[i]);
	}
	assert_int_equal(history_next(txn, SPAN_NONE, &name), STORE_NOT_FOUND);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_HISTORY), 0);
}

/* A name that can be no key has no history. */
static void no_names(void **state)
{
	static char long_name[KEY_ACCOUNT_MAX + 1];
	memset(long_name, 'a', sizeof long_name);
	const struct span names[] = { SPAN_NONE, span_of(long_name, sizeof long_name) };
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct history_contact contact = contact_of(1 << 24);
	put(txn, span_of(long_name, KEY_ACCOUNT_MAX), &contact, 1);
	for (size_t i = 0; i < COUNT(names); i++) {
		struct history_head head = head_of(txn, names[i]);
		assert_int_equal(head.contacts, 0);
		assert_int_equal(history_find(txn, names[i], &head, 1 << 24, &contact),
		                 STORE_NOT_FOUND);
		assert_int_equal(history_delete(txn, names[i]), STORE_NOT_FOUND);
	}
	assert_int_equal(count(txn, span_of(long_name, KEY_ACCOUNT_MAX)), 1);
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

static unsigned sharers(struct store_txn *txn, uint64_t network)
{
	unsigned n = 99;
	assert_int_equal(history_sharers(txn, network, &n), STORE_OK);
	return n;
}

static void shared_networks(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	char name[16];
	assert_int_equal(sharers(txn, 5), 0);
	for (unsigned i = 0; i < HISTORY_SHARERS_MAX + 3; i++) {
		unsigned want = i < HISTORY_SHARERS_MAX ? i + 1 : HISTORY_SHARERS_MAX;
		snprintf(name, sizeof name, "user%u", i);
		assert_int_equal(history_share(txn, 5, span_str(name)), STORE_OK);
		assert_int_equal(sharers(txn, 5), want);
		assert_int_equal(history_share(txn, 5, span_str(name)), STORE_OK);
		assert_int_equal(sharers(txn, 5), want);
	}
	assert_int_equal(sharers(txn, 6), 0);
	for (unsigned i = 0; i < HISTORY_SHARERS_MAX; i++) {
		assert_int_equal(history_unshare(txn, 5, SPAN_LIT("nobody")), STORE_OK);
		snprintf(name, sizeof name, "user%u", i);
		assert_int_equal(history_unshare(txn, 5, span_str(name)), STORE_OK);
		assert_int_equal(sharers(txn, 5), HISTORY_SHARERS_MAX - 1 - i);
	}
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_NETWORK), 0);
}

/* With the account its part in them goes. */
static void deleted_with_its_networks(void **state)
{
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct history_head head = { .network = { { .digest = 5, .serial = 1, .ripe = true },
		                                  { .digest = 6, .serial = 2 } } };
	history_head_put(txn, ALICE, &head);
	history_share(txn, 5, ALICE);
	history_share(txn, 5, BOB);
	history_share(txn, 6, BOB);
	assert_int_equal(history_delete(txn, ALICE), STORE_OK);
	assert_int_equal(sharers(txn, 5), 1);
	assert_int_equal(sharers(txn, 6), 1);
	history_share(txn, 5, BOB);
	assert_int_equal(sharers(txn, 5), 1);
	store_abort(txn);
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(heads),
		TEST(against_a_model),
		TEST(a_crafted_block),
		TEST(at_the_cap),
		TEST(accounts_do_not_meet),
		TEST(no_names),
		TEST(damaged_heads),
		TEST(heads_that_make_no_sense),
		TEST(damaged_blocks),
		TEST(flipped_bits),
		TEST(shared_networks),
		TEST(deleted_with_its_networks),
		TEST(damaged_networks),
		TEST(an_older_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
