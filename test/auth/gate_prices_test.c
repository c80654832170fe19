/* An account's own prices, from the admin to its row and back over the site's. */
#include "auth/gate.h"

#include "test/auth/fresh_store.h"

static struct tariff own(enum tariff_row row, uint32_t price)
{
	struct tariff tariff = tariff_unset();
	tariff.price[row] = price;
	return tariff;
}

static void set(struct span account, const struct tariff *prices, enum store_result want)
{
	struct store_txn *txn = begin();
	assert_int_equal(gate_set_prices(txn, account, prices), want);
	commit(txn);
}

/* The site's prices, with those of the account over them. */
static struct tariff in_force(struct span name, const struct tariff *site)
{
	struct tariff tariff = *site;
	struct account account;
	struct store_txn *txn = begin();
	assert_int_equal(account_get(txn, name, &account), STORE_OK);
	assert_true(tariff_unpack(account.tariff, &tariff));
	store_abort(txn);
	return tariff;
}

static void own_prices_come_first(void **state)
{
	(void)state;
	const struct tariff site = tariff_default(), off = tariff_classic();
	const struct tariff one = own(TARIFF_STRANGER, site.price[TARIFF_STRANGER]);
	const struct tariff other = own(TARIFF_TRAP, 0), none = tariff_unset();
	struct tariff want = site;
	set(ALICE, &one, STORE_OK);
	set(BOB, &other, STORE_OK);
	struct tariff is = in_force(ALICE, &site);
	assert_memory_equal(&is, &want, sizeof want);
	/* What was given stays when the site turns all of it off. */
	is = in_force(ALICE, &off);
	assert_int_equal(is.price[TARIFF_STRANGER], site.price[TARIFF_STRANGER]);
	assert_int_equal(is.price[TARIFF_TRAP], 0);
	is = in_force(BOB, &site);
	want.price[TARIFF_TRAP] = 0;
	assert_memory_equal(&is, &want, sizeof want);
	/* In place of those before. */
	set(ALICE, &other, STORE_OK);
	is = in_force(ALICE, &site);
	assert_memory_equal(&is, &want, sizeof want);
	set(ALICE, &none, STORE_OK);
	is = in_force(ALICE, &site);
	assert_memory_equal(&is, &site, sizeof site);
	set(SPAN_LIT("nobody@example.org"), &one, STORE_NOT_FOUND);
}

static void all_else_is_kept(void **state)
{
	(void)state;
	const struct tariff one = own(TARIFF_COUNTRY, 1);
	const struct budget_limits limits = { .limit = { { 7, HOUR } }, .count = 1 };
	struct account before, after;
	struct store_txn *txn = begin();
	assert_int_equal(gate_limit(txn, ALICE, &limits), STORE_OK);
	assert_int_equal(gate_set_action(txn, ALICE, GATE_ACTION_HOLD), STORE_OK);
	commit(txn);
	set(ALICE, &one, STORE_OK);
	txn = begin();
	assert_int_equal(account_get(txn, ALICE, &before), STORE_OK);
	assert_true(before.limits.len && before.action.len && before.tariff.len);
	assert_int_equal(gate_set_action(txn, ALICE, GATE_ACTION_DEFAULT), STORE_OK);
	assert_int_equal(account_get(txn, ALICE, &after), STORE_OK);
	assert_int_equal(after.action.len, 0);
	assert_int_equal(after.tariff.len, 3);
	store_abort(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(own_prices_come_first),
		TEST(all_else_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
