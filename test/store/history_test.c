#include "history_help.h"

/* As many bits of a digest as are kept. */
#define KEPT(digest) ((uint64_t)(digest) & ~(uint64_t)0xffffff)

static void assert_contact(const struct history_contact *have,
                           const struct history_contact *want)
{
	assert_int_equal(have->digest, KEPT(want->digest));
	assert_int_equal(have->first_day, want->first_day);
	assert_int_equal(have->last_month, want->last_month);
	assert_int_equal(have->origin, want->origin);
}

static size_t count(struct store_txn *txn, struct span account)
{
	struct history_head head = head_of(txn, account);
	size_t n = 0;
	assert_int_equal(history_filter(txn, account, &head, count_one, &n), STORE_OK);
	assert_int_equal(n, head.contacts);
	return n;
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

/* ---- networks ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(against_a_model),           TEST(a_crafted_block), TEST(at_the_cap),
		TEST(accounts_do_not_meet),      TEST(no_names),        TEST(shared_networks),
		TEST(deleted_with_its_networks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
