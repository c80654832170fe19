#include "test/auth/screen_help.h"

/* ---- who is blocked, and who is not ---- */

static void a_bot_is_blocked_for_longer_and_longer(void **state)
{
	(void)state;
	static const int64_t lengths[] = { HOUR, DAY, 7 * DAY, 7 * DAY };
	uint64_t guess = 0;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		unsigned tries = 1;
		while (!miss("192.0.2.7", "alice@example.org", ++guess) && tries < 50) {
			tries++;
		}
		/* Half of the count stays; an hour takes one of it, a day all. */
		CHECK("tries", tries == (i == 1 ? 6 : 10));
		CHECK("length", scene.effect.until - scene.now == lengths[i]);
		CHECK("network", scene.effect.network.bits == 128);
		assert_int_equal(blocked("192.0.2.7"), lengths[i]);
		assert_int_equal(blocked("192.0.2.8"), 0);
		scene.now += lengths[i];
		assert_int_equal(blocked("192.0.2.7"), 0);
	}
	scene.now += 31 * DAY;
	while (!miss("192.0.2.7", "alice@example.org", ++guess)) {
	}
	assert_int_equal(scene.effect.until - scene.now, HOUR);
}

static void refusals_are_held_back_more_and_more(void **state)
{
	(void)state;
	int64_t before = 0;
	for (unsigned n = 1; n <= 10; n++) {
		miss("192.0.2.7", "alice", n);
		CHECK("grows", scene.effect.delay >= before);
		CHECK("two typing errors", (scene.effect.delay == 0) == (n <= 2));
		before = scene.effect.delay;
		assert_int_equal(scene.effect.failures, n);
	}
	assert_true(before > 0 && before <= 10000);
}

static void the_same_password_is_one_failure(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 5000; n++) {
		CHECK("no event", !miss("192.0.2.7", n % 2 ? "Alice" : "alice", 17));
		CHECK("again", scene.effect.again == (n > 0));
		CHECK("one", scene.effect.failures == 1 && scene.effect.delay == 0);
		scene.now += 5 * MINUTE;
	}
	/* Another account, another network, another password: none of them is the same. */
	miss("192.0.2.7", "bob", 17);
	assert_false(scene.effect.again);
	miss("192.0.3.7", "alice", 17);
	assert_false(scene.effect.again);
	miss("192.0.2.7", "alice", 18);
	assert_false(scene.effect.again);
	/* The neighbour is in the same network. */
	miss("192.0.2.9", "alice", 17);
	assert_true(scene.effect.again);
}

static void a_phone_with_scram_blocks_nobody(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 3000; n++) {
		if (n % 12 == 0) {
			good("192.0.2.7", "bob");
		}
		miss("192.0.2.7", "alice", 0);
		CHECK("bob", blocked("192.0.2.7") == 0 && may("192.0.2.7", "bob"));
		scene.now += 5 * MINUTE;
	}
	assert_int_equal(scene.blocks + scene.sprays, 0);
	assert_true(scene.guesses > 0);
}

/* 200 people behind one address, of whom three have forgotten their password. */
static void an_office_is_not_blocked(void **state)
{
	(void)state;
	uint64_t guess = 0;
	for (unsigned hour = 0; hour < 48; hour++) {
		for (unsigned n = 0; n < 200; n++) {
			good("192.0.2.7", USER(n));
		}
		for (unsigned n = 0; n < 12; n++) {
			miss("192.0.2.7", USER(n % 3), ++guess);
			CHECK("small delay", scene.effect.delay <= 2000);
		}
		scene.now += HOUR;
	}
	assert_int_equal(blocked("192.0.2.7"), 0);
	assert_int_equal(scene.blocks + scene.sprays, 0);
	/* After a change of all passwords: forty phones have the old ones. */
	for (unsigned n = 0; n < 40; n++) {
		miss("192.0.2.7", USER(n), 1);
	}
	assert_int_equal(scene.blocks + scene.sprays, 0);
	/* But a guesser there is. */
	unsigned tries = 0;
	while (!blocked("192.0.2.7") && tries < 1000) {
		miss("192.0.2.7", "boss@example.org", ++guess);
		tries++;
	}
	assert_in_range(tries, 50, 300);
}

static void a_spray_is_blocked_soon(void **state)
{
	(void)state;
	unsigned n = 0;
	while (n < 200 && !miss("192.0.2.7", USER(n), 100 + n)) {
		n++;
	}
	assert_in_range(n + 1, 8, 10);
	assert_int_equal(scene.effect.event, SCREEN_EVENT_SPRAY);
	assert_in_range(scene.effect.accounts, 8, 10);
	/* With an account of one's own: many more failures, few more accounts. */
	good("192.0.3.7", "mallory");
	for (n = 0; n < 200 && !blocked("192.0.3.7"); n++) {
		miss("192.0.3.7", USER(n), 0);
	}
	assert_in_range(n, 8, 12);
	assert_true(blocked("192.0.3.7"));
}

/* */
static void a_success_clears_nothing(void **state)
{
	(void)state;
	unsigned tries = 0;
	while (may("192.0.2.7", "carol") && !blocked("192.0.2.7") && tries < 100) {
		miss("192.0.2.7", tries % 2 ? "carol" : "CAROL", 1 + tries);
		if (++tries % 2 == 0) {
			good("192.0.2.7", "alice");
		}
	}
	assert_in_range(tries, 10, 22);
	assert_int_equal(blocked("198.51.100.1"), 0);
	assert_true(may("198.51.100.1", "alice"));
}

static void a_network_needs_many(void **state)
{
	(void)state;
	uint64_t guess = 0;
	/* One alone never blocks its neighbours. */
	for (unsigned n = 0; n < 200; n++) {
		miss("192.0.2.1", "alice", ++guess);
	}
	assert_int_equal(blocked("192.0.2.200"), 0);
	good("192.0.2.100", "bob");
	/* Many do, though each of them stays below its own limit. */
	for (unsigned n = 0; n < 200 && !blocked("192.0.2.200"); n++) {
		char address[64];
		snprintf(address, sizeof address, "192.0.2.%u", 2 + n % 40);
		miss(address, USER(n % 5), ++guess);
	}
	assert_int_equal(scene.effect.network.bits, 120);
	assert_true(blocked("192.0.2.200"));
	/* Who lately logged in well is spared, and nobody else's network is meant. */
	assert_int_equal(blocked("192.0.2.100"), 0);
	assert_int_equal(blocked("192.0.3.1"), 0);
}

static void ipv6_by_its_64_and_48(void **state)
{
	(void)state;
	uint64_t guess = 0;
	char address[64];
	while (!blocked("2001:db8:1:2::1")) {
		snprintf(address, sizeof address, "2001:db8:1:2::%x", (unsigned)++guess);
		miss(address, "alice", guess);
	}
	assert_int_equal(guess, 10);
	assert_int_equal(scene.effect.network.bits, 64);
	assert_int_equal(blocked("2001:db8:1:3::1"), 0);
	while (!blocked("2001:db8:1:ffff::1") && guess < 1000) {
		unsigned n = (unsigned)++guess;
		snprintf(address, sizeof address, "2001:db8:1:%x::%x", 3 + n % 50, n);
		miss(address, USER(n % 5), guess);
	}
	assert_int_equal(scene.effect.network.bits, 48);
	assert_int_equal(blocked("2001:db8:2::1"), 0);
}

static void a_guessed_account_is_its_owners_only(void **state)
{
	(void)state;
	static const int64_t back_offs[] = { MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, HOUR };
	unsigned n = 0;
	good("192.0.2.7", "alice@example.org");
	scene.now += 20 * DAY;
	for (size_t i = 0; i < COUNT(back_offs); i++) {
		unsigned first = n;
		while (!miss(FAR(n), "alice@example.org", n + 1) && n < 200) {
			n++;
		}
		unsigned tries = ++n - first;
		CHECK("guess", scene.effect.event == SCREEN_EVENT_GUESS);
		CHECK("tries", i ? tries == 5 || tries == 6 : tries == 20);
		CHECK("until", scene.effect.until - scene.now == back_offs[i]);
		CHECK("others", !may("198.51.100.1", "ALICE@example.org"));
		CHECK("owner", may("192.0.2.7", "alice@example.org") &&
		                   may("192.0.2.8", "alice@example.org"));
		CHECK("bob", may("198.51.100.1", "bob@example.org"));
		scene.now += back_offs[i];
		CHECK("over", may("198.51.100.1", "alice@example.org"));
	}
	assert_int_equal(scene.blocks + scene.sprays, 0);
	/* The owner's own typing errors do not count for it. */
	scene.now += 2 * DAY;
	for (n = 0; n < 9; n++) {
		miss("192.0.2.7", "alice@example.org", 1000 + n);
		assert_int_equal(scene.effect.guesses, 0);
	}
	/* What was known is forgotten in the end. */
	scene.now += 31 * DAY;
	while (!miss(FAR(n), "alice@example.org", 5000 + n) && n < 100) {
		n++;
	}
	assert_false(may("192.0.2.7", "alice@example.org"));
}

/* One of those behind an address guesses: the others go on, each at his own account. */
static void a_blocked_address_keeps_its_owners(void **state)
{
	(void)state;
	uint64_t guess = 0;
	good("192.0.2.7", "alice");
	scene.now += DAY;
	while (!miss("192.0.2.7", "bob", ++guess) && guess < 50) {
	}
	assert_true(blocked("192.0.2.7") && admits("192.0.2.7"));
	assert_true(may("192.0.2.7", "alice") && may("192.0.2.7", "ALICE"));
	assert_false(may("192.0.2.7", "bob") || may("192.0.2.7", "nobody"));
	/* Known there is no licence to guess. */
	unsigned tries = 0;
	while (may("192.0.2.7", "alice") && tries < 50) {
		miss("192.0.2.7", "alice", ++guess);
		tries++;
	}
	assert_int_equal(tries, 10);
	scene.now += HOUR;
	assert_true(may("192.0.2.7", "alice"));
	/* A neighbour that nobody logged in from, and what an admin says. */
	while (!blocked("192.0.2.8") && guess < 200) {
		miss("192.0.2.8", "bob", ++guess);
	}
	assert_false(admits("192.0.2.8"));
	struct network all = network("192.0.2.0/24");
	assert_true(screen_add(scene.screen, &all, scene.now + HOUR, scene.now));
	assert_false(admits("192.0.2.7"));
}

static void failures_fade(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 500; n++) {
		miss("192.0.2.7", "alice", 1 + n);
		scene.now += 61 * MINUTE;
	}
	assert_int_equal(scene.blocks + scene.guesses, 0);
	assert_int_equal(scene.effect.failures, 1);
}

/* ---- memory ---- */

/* AU14 */
static void a_million_addresses(void **state)
{
	(void)state;
	struct network site = network("10.0.0.0/8");
	uint64_t guess = 0;
	assert_true(screen_add(scene.screen, &site, INT64_MAX, scene.now));
	for (int i = 0; i < 3; i++) {
		while (!miss("192.0.2.7", "alice", ++guess)) {
		}
		scene.now = scene.effect.until - 1; /* a week is nearly over ... */
		scene.now += i < 2;
	}
	scene.now -= 6 * DAY; /* ... and has just begun */
	for (unsigned n = 0; n < 20; n++) {
		good("198.51.100.1", USER(n));
	}
	size_t bytes = screen_bytes();
	assert_true(bytes < (size_t)32 << 20);
	unsigned char address[NETWORK_ADDRESS_BYTES] = { 0x20, 0x01 };
	for (unsigned n = 0; n < 1000000; n++) {
		struct screen_effect effect;
		memcpy(address + 2, &n, sizeof n);
		char name[32];
		snprintf(name, sizeof name, "u%u", n);
		struct screen_try attempt = { .address = address,
			                      .account = span_str(name),
			                      .guess = address + 2,
			                      .now = scene.now };
		screen_fail(scene.screen, &attempt, &effect);
		scene.now += 10;
	}
	assert_int_equal(screen_bytes(), bytes);
	assert_true(blocked("192.0.2.7"));
	assert_int_equal(blocked("10.1.2.3"), INT64_MAX);
	/* The office is known still: its failures weigh little. */
	miss("198.51.100.1", "boss", ++guess);
	for (unsigned n = 0; n < 20; n++) {
		miss("198.51.100.1", "boss", ++guess);
	}
	assert_int_equal(blocked("198.51.100.1"), 0);
	/* And those who come now are counted as ever. */
	for (unsigned n = 0; n < 10; n++) {
		miss("192.0.9.7", "alice", ++guess);
	}
	assert_true(blocked("192.0.9.7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_bot_is_blocked_for_longer_and_longer),
		SCENE(refusals_are_held_back_more_and_more),
		SCENE(the_same_password_is_one_failure),
		SCENE(a_phone_with_scram_blocks_nobody),
		SCENE(an_office_is_not_blocked),
		SCENE(a_spray_is_blocked_soon),
		SCENE(a_success_clears_nothing),
		SCENE(a_network_needs_many),
		SCENE(ipv6_by_its_64_and_48),
		SCENE(a_guessed_account_is_its_owners_only),
		SCENE(a_blocked_address_keeps_its_owners),
		SCENE(failures_fade),
		SCENE(a_million_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
