/* The daily walk over the histories, with a real store. */
#include "test/store/help.h"

#include "server/forget.h"

#define DAY      FAMILIAR_DAY
#define NOW      (800 * DAY)
#define ACCOUNTS 50

static void name_of(size_t i, char name[64])
{
	snprintf(name, 64, "user%02zu@example.org", i);
}

/* Every account has three contacts: of `old` months ago those of every `each`th account, of now
 * all others. */
static void fill(struct store *store, size_t each, unsigned months)
{
	static const uint64_t contacts[] = { 1ull << 40, 2ull << 40, 3ull << 40 };
	struct store_txn *txn = writing(store);
	for (size_t i = 0; i < ACCOUNTS; i++) {
		char name[64];
		int64_t at = i % each ? NOW : NOW - months * FAMILIAR_MONTH;
		name_of(i, name);
		assert_int_equal(familiar_import(txn, span_str(name), contacts, 3, at),
		                 STORE_OK);
	}
	commit(txn);
}

static size_t with_contacts(struct store *store)
{
	struct store_txn *txn = reading(store);
	size_t n = 0;
	for (size_t i = 0; i < ACCOUNTS; i++) {
		struct history_head head;
		char name[64];
		name_of(i, name);
		if (history_head_get(txn, span_str(name), &head) == STORE_OK) {
			assert_true(head.imported && head.ever == 3);
			n += head.contacts == 3;
		}
	}
	store_abort(txn);
	return n;
}

static struct forget walk(int64_t keep)
{
	return (struct forget){ .rules = { .keep = keep } };
}

static void old_contacts_go(void **state)
{
	struct place *place = *state;
	struct forget forget = walk(13 * FAMILIAR_MONTH);
	size_t steps = 0;
	fill(place->store, 10, 14);
	assert_int_equal(with_contacts(place->store), ACCOUNTS);
	while (forget_step(&forget, place->store, NOW)) {
		/* A step ends with the account that lost something. */
		assert_in_range(ACCOUNTS - with_contacts(place->store), steps ? 1 : 0,
		                steps + 1);
		steps++;
		assert_in_range(steps, 1, ACCOUNTS);
	}
	assert_int_equal(with_contacts(place->store), ACCOUNTS - 5);
	assert_in_range(steps, 5, 7);
}

/* In small steps, and then not before a day has passed. */
static void it_rests(void **state)
{
	struct place *place = *state;
	struct forget forget = walk(13 * FAMILIAR_MONTH);
	fill(place->store, ACCOUNTS + 1, 0);
	assert_true(forget_step(&forget, place->store, NOW));
	assert_true(forget_step(&forget, place->store, NOW));
	assert_false(forget_step(&forget, place->store, NOW));
	fill(place->store, 1, 0);
	for (int64_t hour = 1; hour < 24; hour++) {
		assert_false(forget_step(&forget, place->store, NOW + hour * DAY / 24));
	}
	assert_true(forget_step(&forget, place->store, NOW + DAY));
}

static void nothing_to_do(void **state)
{
	struct place *place = *state;
	struct forget forget = walk(13 * FAMILIAR_MONTH);
	assert_false(forget_step(&forget, place->store, NOW));
	forget = walk(0); /* for ever */
	fill(place->store, 1, 100);
	assert_false(forget_step(&forget, place->store, NOW));
	assert_int_equal(with_contacts(place->store), ACCOUNTS);
}

/* One that can not be read keeps nobody else's. */
static void one_is_damaged(void **state)
{
	struct place *place = *state;
	struct forget forget = walk(13 * FAMILIAR_MONTH);
	char name[64];
	fill(place->store, 1, 14);
	name_of(0, name);
	struct key key = key_account_prefix(span_str(name));
	struct store_txn *txn = writing(place->store);
	store_put(txn, STORE_HISTORY, key_span(&key), SPAN_LIT("\377\377\377"));
	commit(txn);
	while (forget_step(&forget, place->store, NOW)) {
	}
	assert_int_equal(with_contacts(place->store), 0);
	txn = reading(place->store);
	struct history_head head;
	assert_int_equal(history_head_get(txn, span_str(name), &head), STORE_DAMAGED);
	name_of(1, name);
	assert_int_equal(history_head_get(txn, span_str(name), &head), STORE_OK);
	assert_int_equal(head.contacts, 0);
	store_abort(txn);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(old_contacts_go),
		TEST(it_rests),
		TEST(nothing_to_do),
		TEST(one_is_damaged),
	};
	return cmocka_run_group_tests_name("forget", tests, NULL, NULL);
}
