#include "test/auth/familiar_help.h"

/* What a suspension unlearns and bars; networks that many use; more networks than are kept. */

/* ---- a suspension ---- */

static bool is_barred(uint64_t network, int64_t changed_wall)
{
	struct act act = act_of(net(network), 0, 0);
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(familiar_look(txn, &rules, changed_wall, &act, NULL), STORE_OK);
	store_abort(txn);
	return act.past.barred;
}

static bool is_there(uint64_t network)
{
	struct history_head head = head_of(ALICE);
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		if (head.network[i].digest == network) {
			return true;
		}
	}
	return false;
}

/* Contacts: 0-9 imported, 10-19 from home, 20-29 from the ripe network 5, 30-39 from it before
 * it was ripe, 40-49 from the strange one 6, 50-59 from 6 and then from home, 60-69 from the
 * older strange one 7. */
static void lives(void)
{
	imports(0, 10);
	sends(net(0), 10, 10);
	sends(net(5), 30, 10);
	ripen(5, 0);
	sends(net(5), 0, 1);
	now += DAY;
	ripen(5, 0);
	sends(net(5), 20, 10);
	sends(net(7), 60, 10);
	now += 2 * DAY;
	sends(net(6), 40, 20);
	sends(net(0), 50, 10);
}

static void unlearning(void **state)
{
	for (unsigned bar = 0; bar < 2; bar++) {
		lives();
		assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
		assert_int_equal(looks(net(0), 0, 70).strangers, 0);
		now += 23 * HOUR;
		is_suspended(bar);
		assert_int_equal(looks(net(0), 0, 40).strangers, 0);
		assert_int_equal(looks(net(0), 40, 10).strangers, 10);
		assert_int_equal(looks(net(0), 50, 10).strangers, 0);
		assert_int_equal(looks(net(0), 60, 10).strangers, 10);
		assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
		assert_int_equal(is_there(6), bar);
		assert_false(is_there(7));
		assert_int_equal(head_of(ALICE).contacts, 50);
		assert_int_equal(head_of(ALICE).ever, 70);
		assert_int_equal(is_barred(6, WALL), bar);
		assert_int_equal(is_barred(6, WALL + 1), false);
		assert_false(is_barred(5, WALL));
		assert_false(is_barred(7, WALL));
		assert_false(is_barred(0, WALL));
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(alice_set_up(state), 0);
	}
}

/* Nothing is known: nothing is unlearned, not even a row is made. */
static void without_a_history(void **state)
{
	(void)state;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(familiar_unlearn(txn, ALICE, true, now), STORE_OK);
	assert_int_equal(familiar_unlearn(txn, SPAN_LIT("nobody"), true, now), STORE_OK);
	store_abort(txn);
}

/* What it was before is no help to a network that is barred. */
static void a_bar_forgets(void **state)
{
	(void)state;
	imports(0, 10);
	sends(net(5), 0, 1);
	now += 4 * DAY;
	sends(net(5), 0, 1);
	is_suspended(true);
	for (unsigned i = 0; i < 10; i++) {
		now += DAY;
		sends(net(5), 0, 1);
	}
	assert_true(is_barred(5, WALL));
	assert_int_equal(kind(net(5)), ACT_NETWORK_STRANGE);
	/* Declared familiar, it is. */
	struct origin office = { .network = 5, .familiar = true };
	assert_false(looks(office, 0, 1).barred);
}

static void sends_since(int64_t changed_wall, uint64_t network)
{
	struct act act = act_of(net(network), 0, 1);
	struct history_head head;
	struct store_txn *txn = begin();
	assert_int_equal(familiar_look(txn, &rules, changed_wall, &act, &head), STORE_OK);
	assert_int_equal(familiar_note(txn, &rules, &act, &head), STORE_OK);
	assert_int_equal(teaches(txn, net(network), 0, 1), STORE_OK);
	commit(txn);
}

/* A new password opens them: they begin anew, and may become ripe. */
static void a_new_password(void **state)
{
	(void)state;
	imports(0, 10);
	sends(net(5), 0, 1);
	is_suspended(true);
	assert_true(is_barred(5, 0));
	assert_true(is_barred(5, WALL));
	set_password(WALL + 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_false(is_barred(5, WALL + 1));
		sends_since(WALL + 1, 5);
		now += 4 * DAY;
	}
	assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
	/* The next suspension does not bring them back. */
	sends(net(6), 0, 1);
	is_suspended(true);
	assert_true(is_barred(6, 0));
	assert_false(is_barred(5, 0));
}

/* Bars of two suspensions: both stand, unless a password came between. */
static void two_suspensions(void **state)
{
	for (unsigned password = 0; password < 2; password++) {
		for (unsigned bar = 0; bar < 2; bar++) {
			imports(0, 10);
			sends(net(5), 0, 1);
			is_suspended(true);
			if (password) {
				set_password(WALL + 1);
			}
			now += 3 * DAY;
			sends(net(6), 0, 1);
			struct store_txn *txn = begin();
			assert_int_equal(familiar_unlearn(txn, ALICE, bar, now), STORE_OK);
			commit(txn);
			assert_int_equal(is_barred(5, password ? WALL + 1 : 0), !password);
			assert_int_equal(is_barred(6, password ? WALL + 1 : 0), bar);
			assert_false(is_barred(5, WALL + 1));
			assert_false(is_barred(6, WALL + 2));
			assert_int_equal(tear_down(state), 0);
			assert_int_equal(alice_set_up(state), 0);
		}
	}
}

/* ---- more networks than are kept ---- */

static void a_botnet(void **state)
{
	static const struct {
		unsigned networks;
		bool rest; /* all others are barred, too */
	} table[] = { { 32, false }, { 33, true }, { 63, true }, { 64, true }, { 300, true } };
	for (size_t i = 0; i < COUNT(table); i++) {
		imports(0, 10);
		ripen(5, 0);
		for (unsigned n = 0; n < table[i].networks; n++) {
			sends(net(1000 + n), 100, 1);
		}
		assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
		is_suspended(true);
		for (unsigned n = 0; n < table[i].networks; n++) {
			assert_true(is_barred(1000 + n, WALL));
			assert_false(is_barred(1000 + n, WALL + 1));
		}
		assert_int_equal(is_barred(999, WALL), table[i].rest);
		assert_false(is_barred(999, WALL + 1));
		assert_false(is_barred(5, WALL));
		assert_false(is_barred(0, WALL));
		/* Nor is one that was used for long and is shared by now. */
		assert_false(looks((struct origin){ 5, .shared = true }, 0, 1).barred);
		assert_int_equal(head_of(ALICE).barred_rest, table[i].rest);
		/* They learn nothing there, and the ripe one does. */
		sends(net(999), 200, 1);
		sends(net(5), 300, 1);
		assert_int_equal(looks(net(0), 200, 1).strangers, table[i].rest);
		assert_int_equal(looks(net(0), 300, 1).strangers, 0);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(alice_set_up(state), 0);
	}
}

/* Without surcharges on the bill none is barred, however many; nor for what was long ago. */
static void no_bar_for_many(void **state)
{
	(void)state;
	imports(0, 10);
	for (unsigned n = 0; n < 100; n++) {
		sends(net(1000 + n), 0, 1);
	}
	is_suspended(false);
	assert_false(head_of(ALICE).barred_rest);
	assert_false(is_barred(1000, WALL));
	sends(net(1500), 0, 1);
	is_suspended(true); /* of those before nothing is left to be barred */
	assert_true(is_barred(1500, WALL));
	assert_false(is_barred(1000, WALL));
	for (unsigned n = 0; n < 100; n++) {
		sends(net(2000 + n), 0, 1);
	}
	now += 2 * DAY;
	is_suspended(true);
	assert_false(head_of(ALICE).barred_rest);
	assert_false(is_barred(2000, WALL));
}

/* The one unused for longest goes, unripe first, barred last. */
static void a_full_table(void **state)
{
	(void)state;
	imports(0, 10);
	for (uint64_t n = 1; n <= 3; n++) {
		ripen(n, 0);
	}
	now += 9 * DAY;
	sends(net(4), 0, 1);
	sends(net(5), 0, 1);
	is_suspended(true);
	for (uint64_t n = 100; n < 100 + HISTORY_NETWORKS - 5; n++) {
		assert_int_equal(is_there(n), false);
		now += HOUR;
		submits(net(n), 0, 1);
		assert_true(is_there(n));
	}
	/* Used again: it is not the oldest any more. */
	now += HOUR;
	submits(net(100), 0, 1);
	for (uint64_t n = 200; n < 200 + 100; n++) {
		now += HOUR;
		submits(net(n), 0, 1);
		for (uint64_t kept = 1; kept <= 5; kept++) {
			assert_true(is_there(kept));
		}
		assert_true(is_there(n));
		assert_int_equal(is_there(100), n - 200 < HISTORY_NETWORKS - 6);
		assert_false(n == 200 && is_there(101));
		assert_true(n > 200 || is_there(102));
	}
}

/* With ripe ones only, the one unused for longest; it is shared by one less. */
static void a_table_of_ripe_ones(void **state)
{
	(void)state;
	imports(0, 10);
	for (unsigned day = 0; day < 3; day++) {
		for (uint64_t n = 0; n < HISTORY_NETWORKS; n++) {
			sends(net(100 + n), 0, 1);
			now += MINUTE;
		}
		now += day < 2 ? 4 * DAY : 0;
	}
	for (uint64_t n = 0; n < HISTORY_NETWORKS; n++) {
		assert_int_equal(kind(net(100 + n)), ACT_NETWORK_RIPE);
	}
	sends(net(5), 100, 1);
	unsigned ripe = 0;
	unsigned shares = 0;
	struct store_txn *txn = store_begin_read(store, NULL);
	for (uint64_t n = 0; n < HISTORY_NETWORKS; n++) {
		unsigned count = 99;
		ripe += is_there(100 + n);
		assert_int_equal(history_sharers(txn, 100 + n, &count), STORE_OK);
		assert_int_equal(count, is_there(100 + n));
		shares += count;
	}
	store_abort(txn);
	assert_int_equal(ripe, HISTORY_NETWORKS - 1);
	assert_int_equal(shares, HISTORY_NETWORKS - 1);
	assert_true(is_there(5));
	/* One that was ripe is nobody to be barred. */
	is_suspended(true);
	assert_true(is_barred(5, WALL));
	assert_false(is_barred(999, WALL));
}

/* A ripe network that nobody uses for long is a strange one again, and what was learned from it
 * stays. */
static void unused_networks(void **state)
{
	(void)state;
	imports(0, 10);
	ripen(5, 0);
	sends(net(5), 10, 10);
	for (unsigned i = 0; i < 12; i++) {
		now += MONTH;
		sends(net(0), 0, 20);
	}
	assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
	now += MONTH;
	sends(net(5), 0, 1);
	now += 13 * MONTH;
	assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
	now += DAY;
	assert_int_equal(kind(net(5)), ACT_NETWORK_STRANGE);
	unsigned count = 99;
	bool any = false;
	struct store_txn *txn = begin();
	assert_int_equal(familiar_forget(txn, &rules, ALICE, now, &any), STORE_OK);
	assert_true(any);
	assert_int_equal(history_sharers(txn, 5, &count), STORE_OK);
	assert_int_equal(count, 0);
	store_abort(txn);
	/* Met again, it begins anew. */
	submits(net(5), 0, 1);
	struct history_head head = head_of(ALICE);
	assert_int_equal(head.network[0].digest, 5);
	assert_int_equal(head.network[0].days, 0);
	assert_int_equal(head.network[0].first_day, now / DAY);
	txn = store_begin_read(store, NULL);
	assert_int_equal(history_sharers(txn, 5, &count), STORE_OK);
	assert_int_equal(count, 0);
	store_abort(txn);
	rules.keep = 0; /* for ever */
	is_suspended(true);
	assert_int_equal(looks(net(0), 10, 10).strangers, 0);
	ripen(6, 0);
	now += 100 * MONTH;
	assert_int_equal(kind(net(6)), ACT_NETWORK_RIPE);
}

/* ---- networks that many use ---- */

/* Somebody else for whom it is ripe. */
static void is_ripe_for(uint64_t network, const char *account)
{
	struct store_txn *txn = begin();
	assert_int_equal(history_share(txn, network, span_str(account)), STORE_OK);
	commit(txn);
}

static void shared_networks(void **state)
{
	(void)state;
	imports(0, 10);
	is_ripe_for(5, "bob");
	ripen(5, 0);
	assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
	is_ripe_for(5, "carol");
	assert_int_equal(kind(net(5)), ACT_NETWORK_SHARED);
	rules.shared_from = 4;
	assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
	rules.shared_from = 0;
	assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
	rules.shared_from = 3;
	struct origin office = { .network = 5, .familiar = true };
	assert_int_equal(kind(office), ACT_NETWORK_RIPE);
	/* Alice is not there any more. */
	struct store_txn *txn = begin();
	assert_int_equal(history_delete(txn, ALICE), STORE_OK);
	commit(txn);
	assert_int_equal(kind(net(5)), ACT_NETWORK_STRANGE);
}

/* It ripens nobody: not while it is shared, whatever was sent from there. */
static void shared_ones_ripen_nobody(void **state)
{
	(void)state;
	struct origin vpn = { .network = 5, .shared = true };
	imports(0, 10);
	for (unsigned i = 0; i < 10; i++) {
		struct act_past past = sends(vpn, i, 1);
		assert_int_equal(past.network, ACT_NETWORK_SHARED);
		assert_false(past.new_network || past.new_country || past.beyond);
		now += 3 * DAY;
	}
	/* That it was declared fills no row. */
	unsigned count = 99;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(history_sharers(txn, 5, &count), STORE_OK);
	assert_int_equal(count, 0);
	store_abort(txn);
	sends(vpn, 0, 10);
	now += HOUR;
	costs_no_write(vpn, 0, 10);
	/* Once used for so long, what is learned from it is kept by a suspension; before that it
	 * goes like that from any other. Nobody is locked out of the webmail. */
	sends(vpn, 100, 1);
	struct origin other = { .network = 6, .shared = true };
	sends(other, 101, 1);
	is_suspended(true);
	assert_int_equal(looks(net(0), 100, 1).strangers, 0);
	assert_int_equal(looks(net(0), 101, 1).strangers, 1);
	assert_false(looks(vpn, 0, 1).barred);
	assert_false(looks(other, 0, 1).barred);
}

/* ---- for the admin ---- */

static struct familiar_network_view shown(uint64_t network)
{
	struct familiar_network_view view = { .days = 99 };
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(familiar_show_network(txn, ALICE, network, now, &view), STORE_OK);
	store_abort(txn);
	return view;
}

static enum store_result unbars(void)
{
	struct store_txn *txn = begin();
	enum store_result result = familiar_unbar(txn, ALICE);
	commit(txn);
	return result;
}

static void what_is_shown_of_a_network(void **state)
{
	(void)state;
	lives();
	assert_true(shown(5).known && shown(5).ripe && !shown(5).barred);
	assert_true(shown(6).known && !shown(6).ripe && !shown(6).barred);
	assert_int_equal(shown(6).days, 0);
	assert_int_equal(shown(7).days, 2);
	assert_false(shown(8).known);
	is_suspended(true);
	assert_true(shown(6).known && shown(6).barred);
	assert_false(shown(5).barred);
	assert_false(shown(7).known); /* unlearned */
}

static void bars_are_lifted_by_hand(void **state)
{
	(void)state;
	assert_int_equal(unbars(), STORE_NOT_FOUND); /* no history */
	lives();
	assert_int_equal(unbars(), STORE_NOT_FOUND); /* no bar */
	is_suspended(true);
	assert_true(is_barred(6, 0));
	assert_int_equal(unbars(), STORE_OK);
	assert_false(is_barred(6, 0));
	assert_false(shown(6).known); /* it begins anew */
	assert_int_equal(kind(net(5)), ACT_NETWORK_RIPE);
	assert_int_equal(looks(net(0), 0, 40).strangers, 0);
	assert_int_equal(unbars(), STORE_NOT_FOUND);
	/* Too many to tell: all that are not ripe. */
	for (uint64_t network = 100; network < 100 + FAMILIAR_BAR_MAX + 1; network++) {
		submits(net(network), 0, 1);
	}
	is_suspended(true);
	assert_true(is_barred(8, 0) && shown(8).barred && !shown(5).barred);
	assert_int_equal(unbars(), STORE_OK);
	assert_false(is_barred(8, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unlearning),
		TEST(without_a_history),
		TEST(a_bar_forgets),
		TEST(a_new_password),
		TEST(two_suspensions),
		TEST(a_botnet),
		TEST(no_bar_for_many),
		TEST(a_full_table),
		TEST(a_table_of_ripe_ones),
		TEST(unused_networks),
		TEST(shared_networks),
		TEST(shared_ones_ripen_nobody),
		TEST(what_is_shown_of_a_network),
		TEST(bars_are_lifted_by_hand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
