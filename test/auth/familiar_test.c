#include "test/auth/familiar_help.h"

/* ---- digests ---- */

static void digests(void **state)
{
	(void)state;
	static const struct secret_key other = { { 8 } };
	struct network networks[3] = { { .bits = 120 }, { .bits = 48 }, { .bits = 120 } };
	networks[2].address[14] = 1;
	const uint64_t all[] = {
		familiar_contact(&site, ALICE, SPAN_LIT("x@example.net")),
		familiar_contact(&site, BOB, SPAN_LIT("x@example.net")),
		familiar_contact(&other, ALICE, SPAN_LIT("x@example.net")),
		familiar_contact(&site, SPAN_LIT("alice@example.or"),
		                 SPAN_LIT("gx@example.net")),
		familiar_contact(&site, SPAN_NONE, SPAN_NONE),
		familiar_network(&site, &networks[0]),
		familiar_network(&site, &networks[1]),
		familiar_network(&site, &networks[2]),
		familiar_network(&other, &networks[0]),
		familiar_as(&site, 0),
		familiar_as(&site, 64500),
		familiar_as(&other, 64500),
	};
	for (size_t i = 0; i < COUNT(all); i++) {
		assert_int_not_equal(all[i], 0);
		for (size_t j = 0; j < i; j++) {
			assert_int_not_equal(all[i], all[j]);
		}
	}
	assert_int_equal(all[0], familiar_contact(&site, ALICE, SPAN_LIT("x@example.net")));
	assert_int_equal(all[10], familiar_as(&site, 64500));
}

/* ---- a history that is long enough ---- */

static void learned(void **state)
{
	static const struct {
		unsigned contacts;
		int64_t age;
		bool imported, learned;
	} table[] = {
		{ 0, 60 * DAY, false, false },  { 49, 60 * DAY, false, false },
		{ 50, 27 * DAY, false, false }, { 50, 28 * DAY, false, true },
		{ 200, 1 * DAY, false, false }, { 1, 0, true, true },
		{ 0, 0, true, false },
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		if (table[i].imported) {
			imports(0, table[i].contacts);
		} else {
			sends(net(0), 0, table[i].contacts);
		}
		now += table[i].age;
		assert_int_equal(looks(net(0), 0, 1).learned, table[i].learned);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(alice_set_up(state), 0);
	}
}

/* Decay is no way back: who is learned stays so when all contacts are forgotten. */
static void learned_for_ever(void **state)
{
	(void)state;
	sends(net(0), 0, 50);
	now += 20 * MONTH;
	struct store_txn *txn = begin();
	for (unsigned i = 0; i < 2; i++) {
		bool any = i;
		assert_int_equal(familiar_forget(txn, &rules, ALICE, now, &any), STORE_OK);
		assert_int_equal(any, !i);
	}
	commit(txn);
	struct history_head head = head_of(ALICE);
	assert_int_equal(head.contacts, 0);
	assert_int_equal(head.ever, 50);
	struct act_past past = looks(net(0), 0, 50);
	assert_int_equal(past.strangers, 50);
	assert_true(past.learned);
}

/* ---- strangers ---- */

static void strangers(void **state)
{
	(void)state;
	imports(0, 100);
	static const struct {
		unsigned first, n, strangers;
	} table[] = {
		{ 0, 100, 0 }, { 100, 100, 100 }, { 50, 100, 50 },
		{ 99, 1, 0 },  { 100, 1, 1 },     { 0, 0, 0 },
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		struct act_past past = looks(net(0), table[i].first, table[i].n);
		assert_int_equal(past.strangers, table[i].strangers);
		assert_int_equal(past.beyond, 0);
	}
	/* Of recipients that are not told none is one; those counted before stay. */
	struct act act = act_of(net(0), 95, 10);
	struct store_txn *txn = store_begin_read(store, NULL);
	act.past.strangers = 7;
	assert_int_equal(familiar_look(txn, &rules, 0, &act, NULL), STORE_OK);
	assert_int_equal(act.past.strangers, 12);
	act.ncontacts = 0;
	assert_int_equal(familiar_look(txn, &rules, 0, &act, NULL), STORE_OK);
	assert_int_equal(act.past.strangers, 12);
	store_abort(txn);
	/* Alice's contacts are not Bob's. */
	txn = store_begin_read(store, NULL);
	act = act_of(net(0), 0, 10);
	act.account = BOB;
	assert_int_equal(familiar_look(txn, &rules, 0, &act, NULL), STORE_OK);
	assert_int_equal(act.past.strangers, 10);
	assert_false(act.past.learned);
	store_abort(txn);
}

/* Who was written to once is a contact, until nobody writes for 13 months. */
static void unused_contacts(void **state)
{
	(void)state;
	sends(net(0), 0, 10);
	assert_int_equal(looks(net(0), 0, 10).strangers, 0);
	now += 13 * MONTH;
	assert_int_equal(looks(net(0), 0, 10).strangers, 0);
	sends(net(0), 0, 1);
	now += MONTH;
	assert_int_equal(looks(net(0), 0, 10).strangers, 9);
	assert_int_equal(head_of(ALICE).contacts, 10);
	/* One that is forgotten is learned again. */
	sends(net(0), 1, 1);
	assert_int_equal(looks(net(0), 0, 10).strangers, 8);
	bool any = false;
	struct store_txn *txn = begin();
	assert_int_equal(familiar_forget(txn, &rules, ALICE, now, &any), STORE_OK);
	assert_true(any);
	commit(txn);
	assert_int_equal(head_of(ALICE).contacts, 2);
	assert_int_equal(looks(net(0), 0, 10).strangers, 8);
	/* For ever: `keep` 0. */
	rules.keep = 0;
	now += 100 * MONTH;
	assert_int_equal(looks(net(0), 0, 10).strangers, 8);
}

/* Mail that was accepted last month and waited says nothing new. */
static void out_of_order(void **state)
{
	(void)state;
	now = 500 * MONTH + HOUR;
	sends(net(0), 0, 5);
	now -= 2 * HOUR;
	assert_int_equal(looks(net(0), 0, 5).strangers, 0);
	costs_no_write(net(0), 0, 5);
}

/* ---- known recipients from a strange network ---- */

static void beyond_the_first_ten(void **state)
{
	(void)state;
	static const struct {
		int64_t later;
		unsigned first, n, beyond, strangers;
	} table[] = {
		{ 0, 0, 4, 0, 0 },     { 0, 0, 4, 0, 0 },    { 0, 0, 4, 2, 0 },
		{ 0, 0, 30, 30, 0 },   { HOUR, 0, 1, 1, 0 }, { DAY, 0, 30, 20, 0 },
		{ DAY, 95, 10, 0, 5 }, { 0, 90, 10, 5, 0 },  { 0, 100, 20, 0, 20 },
	};
	imports(0, 100);
	for (size_t i = 0; i < COUNT(table); i++) {
		now += table[i].later;
		struct act_past past = submits(net(5), table[i].first, table[i].n);
		assert_int_equal(past.beyond, table[i].beyond);
		assert_int_equal(past.strangers, table[i].strangers);
		assert_int_equal(past.network, ACT_NETWORK_STRANGE);
	}
	/* Each network has its own ten; what is refused uses none up. */
	assert_int_equal(looks(net(6), 0, 10).beyond, 0);
	assert_int_equal(looks(net(6), 0, 10).beyond, 0);
	/* The members of a list are no matter of the network. */
	struct act act = act_of(net(6), 0, 1);
	struct store_txn *txn = store_begin_read(store, NULL);
	act.members = 29;
	assert_int_equal(familiar_look(txn, &rules, 0, &act, NULL), STORE_OK);
	assert_int_equal(act.past.beyond, 0);
	store_abort(txn);
}

/* ---- what is written ---- */

static void no_write(void **state)
{
	(void)state;
	imports(0, 100);
	ripen(5, 0);
	/* Ripe, and known: a hundred of them, again and again, all day. */
	sends(net(5), 0, 100);
	for (unsigned i = 0; i < 11; i++) {
		costs_no_write(net(5), 0, 100);
		costs_no_write(net(0), 0, 100);
		now += HOUR;
	}
	/* A strange one, once its ten are used, within the hour. */
	now = now / HOUR * HOUR;
	sends(net(6), 0, 50);
	now += HOUR - 1;
	costs_no_write(net(6), 0, 100);
	/* What was not noted is not learned from either: nothing changes. */
	costs_no_write(net(0), 0, 100);
	rules.off = true;
	costs_no_write(net(77), 500, 100);
	assert_int_equal(looks(net(77), 500, 100).strangers, 0);
	assert_int_equal(looks(net(77), 500, 100).network, ACT_NETWORK_RIPE);
}

/* The other side: where a bit changes a row does. */
static void writes(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint64_t network;
		unsigned first, n;
		int64_t later;
	} table[] = {
		{ "a stranger", 0, 100, 1, 0 },
		{ "a new network", 6, 0, 1, 0 },
		{ "a known recipient from there", 6, 0, 1, 0 },
		{ "an hour later", 6, 0, 0, HOUR },
		{ "the next day of a ripe network", 5, 0, 1, DAY },
		{ "a month later", 0, 0, 1, MONTH },
	};
	imports(0, 100);
	ripen(5, 0);
	for (size_t i = 0; i < COUNT(table); i++) {
		now += table[i].later;
		uint64_t before = rows();
		sends(net(table[i].network), table[i].first, table[i].n);
		if (rows() == before) {
			fail_msg("%s", table[i].what);
		}
	}
}

/* ---- learning ---- */

static void two_hundred_a_day(void **state)
{
	(void)state;
	sends(net(7), 0, 150);
	sends(net(7), 150, 150);
	assert_int_equal(head_of(ALICE).contacts, 200);
	assert_int_equal(looks(net(7), 0, 300).strangers, 100);
	now += DAY;
	sends(net(7), 200, 200);
	assert_int_equal(head_of(ALICE).contacts, 400);
	/* Mail of yesterday, then of today: nobody gets another day by it. */
	now -= DAY;
	relays(net(7), 400, 50);
	now += DAY;
	relays(net(7), 400, 50);
	assert_int_equal(head_of(ALICE).contacts, 400);
	/* From where one always is there are more. */
	now += DAY;
	for (unsigned i = 0; i < 12; i++) {
		sends((struct origin){ .familiar = true }, 400 + 100 * i, 100);
	}
	assert_int_equal(head_of(ALICE).contacts, 1400);
}

/* From a network that is not there, or that is barred, nothing new is learned. */
static void closed_networks(void **state)
{
	(void)state;
	imports(0, 100);
	relays(net(5), 100, 10);
	assert_int_equal(looks(net(0), 100, 10).strangers, 10);
	/* Nor does it make of a contact from elsewhere one of home. */
	sends(net(6), 200, 1);
	relays(net(5), 200, 1);
	assert_int_equal(looks(net(0), 200, 1).strangers, 0);
	submits(net(5), 100, 10);
	is_suspended(false);
	assert_int_equal(looks(net(0), 200, 1).strangers, 1);
	relays(net(5), 100, 10);
	assert_int_equal(looks(net(0), 100, 10).strangers, 10);
	submits(net(5), 100, 10);
	is_suspended(true);
	relays(net(5), 100, 10);
	assert_int_equal(looks(net(0), 100, 10).strangers, 10);
	for (unsigned i = 0; i < 10; i++) {
		relays(net(5), 0, 1);
		now += DAY;
	}
	assert_true(looks(net(5), 0, 1).barred);
	assert_int_equal(kind(net(5)), ACT_NETWORK_STRANGE);
}

/* ---- an import ---- */

static void importing(void **state)
{
	(void)state;
	sends(net(5), 0, 10);
	imports(0, 500);
	imports(500, 500);
	struct history_head head = head_of(ALICE);
	assert_true(head.imported);
	assert_int_equal(head.contacts, 1000);
	assert_int_equal(head.ever, 1000);
	/* What was learned from a strange network stands in the logs, too. */
	is_suspended(true);
	assert_int_equal(looks(net(0), 0, 1000).strangers, 0);
	struct familiar_view view;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(familiar_show(txn, &rules, ALICE, now, &view), STORE_OK);
	store_abort(txn);
	assert_true(view.learned && view.imported);
	assert_int_equal(view.contacts, 1000);
	assert_int_equal(view.born_at, NOON / DAY * DAY);
	assert_int_equal(view.networks, 1);
	assert_int_equal(view.ripe, 0);
	assert_int_equal(view.barred, 1);
	assert_true(view.bytes > 10000 && view.bytes < 12000);
}

/* ---- damage ---- */

static void damage(void **state)
{
	(void)state;
	struct familiar_view view;
	struct history_head head;
	imports(0, 10);
	struct act act = act_of(net(5), 0, 10);
	struct store_txn *txn = begin();
	for (unsigned i = 0; i < 2; i++) {
		struct key key = i ? key_account_prefix(ALICE) : key_history_block(ALICE, 0);
		assert_int_equal(store_put(txn, STORE_HISTORY, key_span(&key), SPAN_LIT("?")),
		                 STORE_OK);
		act.past = (struct act_past){ .beyond = 99 };
		assert_int_equal(familiar_look(txn, &rules, 0, &act, &head), STORE_DAMAGED);
		assert_int_equal(act.past.beyond, 99);
		assert_int_equal(teaches(txn, net(0), 0, 10), STORE_DAMAGED);
		assert_int_equal(familiar_import(txn, ALICE, contacts(0, 10), 10, now),
		                 STORE_DAMAGED);
		bool any;
		assert_int_equal(familiar_unlearn(txn, ALICE, true, now), STORE_DAMAGED);
		assert_int_equal(familiar_forget(txn, &rules, ALICE, now, &any), STORE_DAMAGED);
		assert_int_equal(familiar_show(txn, &rules, ALICE, now, &view),
		                 i ? STORE_DAMAGED : STORE_OK);
		/* It is nobody else's matter. */
		struct act bob = act_of(net(5), 0, 10);
		bob.account = BOB;
		assert_int_equal(familiar_look(txn, &rules, 0, &bob, &head), STORE_OK);
		assert_int_equal(store_txn_result(txn), STORE_OK);
	}
	store_abort(txn);
	/* A network's row that can not be read: shared, says the careful. */
	struct key key = key_id(5);
	txn = begin();
	store_put(txn, STORE_NETWORK, key_span(&key), SPAN_LIT("?"));
	commit(txn);
	assert_int_equal(kind(net(5)), ACT_NETWORK_SHARED);
	assert_int_equal(kind(net(6)), ACT_NETWORK_STRANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(digests),
		TEST(learned),
		TEST(learned_for_ever),
		TEST(strangers),
		TEST(unused_contacts),
		TEST(out_of_order),
		TEST(beyond_the_first_ten),
		TEST(no_write),
		TEST(writes),
		TEST(two_hundred_a_day),
		TEST(closed_networks),
		TEST(importing),
		TEST(damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
