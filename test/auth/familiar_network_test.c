#include "test/auth/familiar_help.h"

static void kinds(void **state)
{
	(void)state;
	imports(0, 100);
	ripen(5, 0);
	static const struct {
		struct origin origin;
		enum act_network network;
		bool new_network;
	} table[] = {
		{ { .network = 0 }, ACT_NETWORK_RIPE, false },
		{ { .network = 5 }, ACT_NETWORK_RIPE, false },
		{ { .network = 6 }, ACT_NETWORK_STRANGE, true },
		{ { .network = 6, .familiar = true }, ACT_NETWORK_RIPE, false },
		{ { .network = 0, .familiar = true }, ACT_NETWORK_RIPE, false },
		{ { .network = 6, .shared = true }, ACT_NETWORK_SHARED, false },
		{ { .network = 5, .shared = true }, ACT_NETWORK_SHARED, false },
		{ { .network = 0, .shared = true }, ACT_NETWORK_SHARED, false },
		{ { .network = 6, .shared = true, .familiar = true }, ACT_NETWORK_RIPE, false },
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		struct act_past past = looks(table[i].origin, 0, 20);
		assert_int_equal(past.network, table[i].network);
		assert_int_equal(past.new_network, table[i].new_network);
		assert_int_equal(past.beyond, past.network == ACT_NETWORK_STRANGE ? 10 : 0);
		assert_false(past.barred);
	}
}

/* On which days, at noon, and to whom: known, or not. */
static void ripening(void **state)
{
	static const struct {
		const char *what;
		struct {
			unsigned day, contact;
		} mail[6]; /* contact 0: none */
		bool ripe;
	} table[] = {
		{ "three days in a week", { { 0, 1 }, { 3, 2 }, { 7, 3 } }, true },
		{ "six days only", { { 0, 1 }, { 3, 2 }, { 6, 3 } }, false },
		{ "two days", { { 0, 1 }, { 7, 2 } }, false },
		{ "twice on a day", { { 0, 1 }, { 0, 2 }, { 7, 3 }, { 7, 4 } }, false },
		{ "the first three, and a week later",
		  { { 0, 1 }, { 1, 1 }, { 2, 1 }, { 7, 1 } },
		  true },
		{ "to strangers",
		  { { 0, 500 }, { 3, 501 }, { 5, 502 }, { 7, 503 }, { 8, 504 } },
		  false },
		{ "to a stranger of the first day",
		  { { 0, 500 }, { 3, 500 }, { 5, 500 }, { 7, 500 } },
		  false },
		{ "one day to a stranger", { { 0, 1 }, { 3, 500 }, { 7, 1 } }, false },
		{ "met by a stranger", { { 0, 500 }, { 1, 1 }, { 4, 1 }, { 8, 1 } }, true },
		{ "met by a stranger, a day too soon",
		  { { 0, 500 }, { 1, 1 }, { 4, 1 }, { 7, 1 } },
		  false },
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		imports(0, 100);
		for (size_t j = 0; j < COUNT(table[i].mail) && table[i].mail[j].contact; j++) {
			now = NOON + table[i].mail[j].day * DAY;
			sends(net(5), table[i].mail[j].contact, 1);
		}
		if ((kind(net(5)) == ACT_NETWORK_RIPE) != table[i].ripe) {
			fail_msg("%s", table[i].what);
		}
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(alice_set_up(state), 0);
	}
}

/* Written to from home on the very day on which the network was met: that is not before. */
static void known_that_day(void **state)
{
	(void)state;
	imports(0, 100);
	sends(net(0), 500, 1);
	ripen(5, 500);
	assert_int_equal(kind(net(5)), ACT_NETWORK_STRANGE);
	ripen(6, 500);
	assert_int_equal(kind(net(6)), ACT_NETWORK_RIPE);
}

/* A mail at 23:58 is a day, but not two. */
static void a_probe_at_midnight(void **state)
{
	(void)state;
	imports(0, 100);
	now = 401 * DAY - 2 * MINUTE;
	sends(net(5), 0, 1);
	now += 4 * MINUTE;
	sends(net(5), 0, 1);
	now += 30 * DAY;
	assert_int_equal(kind(net(5)), ACT_NETWORK_STRANGE);
	assert_true(looks(net(5), 0, 1).new_network);
}

/* Mail of one day that waits in the queue is no use on many. */
static void mail_that_waited(void **state)
{
	(void)state;
	imports(0, 100);
	submits(net(5), 0, 3);
	for (unsigned i = 0; i < 20; i++) {
		relays(net(5), i % 3, 1);
	}
	assert_int_equal(head_of(ALICE).network[0].days, 1);
}

/* Before there is a history nothing is older than a network: each mail counts. */
static void the_first_network(void **state)
{
	(void)state;
	for (unsigned day = 0; day < 28; day++) {
		sends(net(5), 2 * day, 2);
		assert_int_equal(kind(net(5)),
		                 day < 7 ? ACT_NETWORK_STRANGE : ACT_NETWORK_RIPE);
		now += DAY;
	}
	assert_true(looks(net(5), 0, 1).learned);
	/* What was learned from there is as good as any: it vouches for the next one. */
	ripen(6, 0);
	assert_int_equal(kind(net(6)), ACT_NETWORK_RIPE);
	is_suspended(false);
	assert_int_equal(looks(net(5), 0, 56).strangers, 0);
}

/* A stranger of the one is no witness for the other. */
static void two_strange_networks(void **state)
{
	(void)state;
	imports(0, 100);
	sends(net(5), 500, 1);
	for (unsigned day = 0; day < 10; day++) {
		now += DAY;
		sends(net(6), 500, 1);
	}
	assert_int_equal(kind(net(6)), ACT_NETWORK_STRANGE);
	/* Until it was written to from home: then it is Alice's. */
	sends(net(0), 500, 1);
	now += DAY;
	ripen(6, 500);
	assert_int_equal(kind(net(6)), ACT_NETWORK_RIPE);
}

static void new_networks(void **state)
{
	(void)state;
	static const struct {
		int64_t later;
		bool new_network;
	} table[] = {
		{ 0, true },          { 0, false },        { 23 * HOUR, false },
		{ 23 * HOUR, false }, { 24 * HOUR, true }, { 30 * DAY, true },
	};
	imports(0, 10);
	for (size_t i = 0; i < COUNT(table); i++) {
		now += table[i].later;
		assert_int_equal(submits(net(5), 0, 1).new_network, table[i].new_network);
		assert_true(looks(net(6), 0, 1).new_network);
	}
}

static void countries(void **state)
{
	(void)state;
	static const struct {
		uint64_t network;
		int64_t later;
		char country[3];
		bool new_country;
	} table[] = {
		{ 5, 0, "", false },   { 5, 0, "DE", false }, /* the database was just set */
		{ 5, 0, "DE", false }, { 6, HOUR, "BR", true }, { 6, 0, "BR", false },
		{ 7, 0, "BR", false }, { 8, 0, "", false },     { 8, 0, "US", true },
		{ 9, 0, "DE", false }, { 7, DAY, "BR", true },  { 10, 0, "BR", false },
		{ 0, 0, "CN", false },
	};
	imports(0, 10);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct origin origin = net(table[i].network);
		memcpy(origin.country, table[i].country, 3);
		now += table[i].later;
		assert_int_equal(submits(origin, 0, 1).new_country, table[i].new_country);
	}
	/* That of a ripe network is never new. */
	struct origin home = net(20), away = net(21);
	memcpy(home.country, "AT", 3);
	memcpy(away.country, "AT", 3);
	for (unsigned i = 0; i < 3; i++) {
		sends(home, 0, 1);
		now += 4 * DAY;
	}
	assert_int_equal(kind(home), ACT_NETWORK_RIPE);
	assert_false(looks(away, 0, 1).new_country);
	/* Nor one that such a network got later. */
	memcpy(home.country, "CH", 3);
	memcpy(away.country, "CH", 3);
	assert_true(looks(away, 0, 1).new_country);
	sends(home, 0, 1);
	now += 2 * DAY;
	assert_false(looks(away, 0, 1).new_country);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(kinds),
		TEST(ripening),
		TEST(known_that_day),
		TEST(a_probe_at_midnight),
		TEST(mail_that_waited),
		TEST(the_first_network),
		TEST(two_strange_networks),
		TEST(new_networks),
		TEST(countries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
