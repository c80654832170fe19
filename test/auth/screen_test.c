#include "test/proto/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/screen.h"

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define START  (1000 * DAY)

static const struct secret_key key = { { 7 } };

/* ---- a small language ---- */

static struct {
	struct screen *screen;
	int64_t now;
	struct screen_effect effect; /* of the last failure */
	unsigned blocks, sprays, guesses;
} scene;

static int begin(void **state)
{
	(void)state;
	memset(&scene, 0, sizeof scene);
	scene.screen = screen_new(&key);
	scene.now = START;
	return scene.screen ? 0 : 1;
}

static int end(void **state)
{
	(void)state;
	screen_free(scene.screen);
	return 0;
}

static struct screen_try try_of(const char *address, const char *account,
                                unsigned char bytes[NETWORK_ADDRESS_BYTES])
{
	assert_true(network_address_parse(span_str(address), bytes));
	return (struct screen_try){ .address = bytes,
		                    .account = span_str(account),
		                    .now = scene.now };
}

/* A wrong password; 0: one that is not seen (SCRAM). */
static bool miss(const char *address, const char *account, uint64_t guess)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES], digest[SCREEN_GUESS_BYTES];
	struct screen_try attempt = try_of(address, account, bytes);
	memcpy(digest, &guess, sizeof digest);
	attempt.guess = guess ? digest : NULL;
	screen_fail(scene.screen, &attempt, &scene.effect);
	scene.blocks += scene.effect.event == SCREEN_EVENT_BLOCK;
	scene.sprays += scene.effect.event == SCREEN_EVENT_SPRAY;
	scene.guesses += scene.effect.event == SCREEN_EVENT_GUESS;
	return scene.effect.event != SCREEN_EVENT_NONE;
}

static void good(const char *address, const char *account)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	struct screen_try attempt = try_of(address, account, bytes);
	screen_good(scene.screen, &attempt);
}

static bool may(const char *address, const char *account)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	struct screen_try attempt = try_of(address, account, bytes);
	return screen_may_try(scene.screen, &attempt);
}

static bool admits(const char *address)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	assert_true(network_address_parse(span_str(address), bytes));
	return screen_admits(scene.screen, bytes, scene.now);
}

static int64_t blocked(const char *address)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	assert_true(network_address_parse(span_str(address), bytes));
	int64_t until = screen_blocked(scene.screen, bytes, scene.now);
	return until == INT64_MAX ? until : until ? until - scene.now : 0;
}

static struct network network(const char *text)
{
	struct network network;
	const char *reason;
	assert_true(network_parse(span_str(text), &network, &reason));
	return network;
}

/* An account, an address, an address in a network of its own, by number. */
static struct name {
	char text[64];
} user(unsigned n)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "user%u@example.org", n);
	return name;
}

static struct name anyone(unsigned n)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "198.51.%u.%u", n / 250, n % 250);
	return name;
}

static struct name far(unsigned n)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "100.%u.%u.9", n / 250, n % 250);
	return name;
}

#define USER(n)   user(n).text
#define ANYONE(n) anyone(n).text
#define FAR(n)    far(n).text

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

/* ---- the admin's ---- */

static void blocks_by_hand(void **state)
{
	(void)state;
	struct network inner = network("192.0.2.0/25"), outer = network("192.0.2.0/24");
	assert_true(screen_add(scene.screen, &inner, INT64_MAX, scene.now));
	assert_true(screen_add(scene.screen, &outer, scene.now + HOUR, scene.now));
	assert_int_equal(blocked("192.0.2.7"), INT64_MAX);
	assert_int_equal(blocked("192.0.2.200"), HOUR);
	good("192.0.2.200", "alice");
	assert_int_equal(blocked("192.0.2.200"), HOUR);
	scene.now += HOUR;
	assert_int_equal(blocked("192.0.2.200"), 0);
	assert_true(screen_remove(scene.screen, &outer, scene.now));
	assert_int_equal(blocked("192.0.2.7"), 0);
	assert_false(screen_remove(scene.screen, &outer, scene.now));
	for (unsigned n = 0; n < SCREEN_BY_HAND; n++) {
		struct network one = network(ANYONE(n));
		assert_true(screen_add(scene.screen, &one, scene.now + HOUR, scene.now));
	}
	assert_false(screen_add(scene.screen, &outer, scene.now + HOUR, scene.now));
	scene.now += HOUR; /* those that are over make room */
	assert_true(screen_add(scene.screen, &outer, scene.now + HOUR, scene.now));
}

static void a_removed_block_is_forgotten(void **state)
{
	(void)state;
	struct network all = network("192.0.0.0/16");
	uint64_t guess = 0;
	for (int i = 0; i < 3; i++) {
		unsigned tries = 1;
		while (!miss("192.0.2.7", USER((unsigned)i), ++guess)) {
			tries++;
		}
		assert_int_equal(tries, 10);
		assert_int_equal(blocked("192.0.2.7"), HOUR);
		assert_true(screen_remove(scene.screen, &all, scene.now));
		assert_int_equal(blocked("192.0.2.7"), 0);
	}
}

/* ---- rows ---- */

static void restore_row(void *context, const struct screen_block *block)
{
	struct screen *other = context;
	struct screen_block read;
	struct buf row_key = { .cap = SCREEN_ROW_MAX }, row = { .cap = SCREEN_ROW_MAX };
	screen_block_key(block, &row_key);
	screen_block_pack(block, &row);
	assert_false(row_key.failed || row.failed);
	assert_true(screen_block_unpack(buf_span(&row_key), buf_span(&row), &read));
	assert_memory_equal(&read.network, &block->network, sizeof read.network);
	assert_true(read.until == block->until && read.level == block->level &&
	            read.failures == block->failures && read.by_hand == block->by_hand);
	screen_restore(other, &read, scene.now);
	buf_done(&row_key);
	buf_done(&row);
}

static void blocks_survive_a_restart(void **state)
{
	(void)state;
	static const char *const addresses[] = { "192.0.2.7", "2001:db8:1:2::3" };
	struct network site = network("10.0.0.0/8");
	struct screen_block block;
	uint64_t guess = 0;
	for (size_t i = 0; i < COUNT(addresses); i++) {
		while (!miss(addresses[i], "alice", ++guess)) {
		}
	}
	assert_true(screen_add(scene.screen, &site, INT64_MAX, scene.now));
	struct screen *other = screen_new(&key);
	screen_walk(scene.screen, scene.now, restore_row, other);
	end(NULL);
	scene.screen = other;
	assert_int_equal(blocked("192.0.2.7"), HOUR);
	assert_int_equal(blocked("2001:db8:1:2::9"), HOUR);
	assert_int_equal(blocked("10.9.9.9"), INT64_MAX);
	assert_int_equal(blocked("192.0.2.8"), 0);
	/* The next one is longer, as if nothing had happened; in a month that is over. */
	scene.now += HOUR;
	struct network one = network("192.0.2.7");
	assert_true(screen_find(other, &one, false, scene.now, &block));
	assert_int_equal(block.level, 1);
	assert_false(screen_find(other, &one, true, scene.now, &block));
	while (!miss("192.0.2.7", "alice", ++guess)) {
	}
	assert_int_equal(blocked("192.0.2.7"), DAY);
	scene.now += 40 * DAY;
	assert_false(screen_find(other, &one, false, scene.now, &block));
	assert_true(screen_find(other, &site, true, scene.now, &block));
}

/* What is read, packed again, is the same; nothing else is read. */
static void any_row_is_read_safely(void **state)
{
	(void)state;
	srand(17);
	size_t sound = 0;
	for (unsigned n = 0; n < 300000; n++) {
		size_t key_len = n % 3 ? 18 : (size_t)rand() % 21;
		size_t len = n % 5 ? 17 : (size_t)rand() % 20;
		char *bytes = malloc(key_len + len + 1); /* its end is guarded */
		for (size_t i = 0; i < key_len + len; i++) {
			bytes[i] = (char)(rand() % 4 ? 0 : rand());
		}
		if (key_len == 18 && n % 2) {
			memcpy(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
			bytes[16] = (char)128;
			bytes[17] &= 1;
		}
		if (len) {
			bytes[key_len] &= 1;
		}
		struct span row_key = span_of(bytes, key_len);
		struct span row = span_of(bytes + key_len, len);
		struct screen_block block;
		if (screen_block_unpack(row_key, row, &block)) {
			struct buf again = { .cap = SCREEN_ROW_MAX };
			screen_block_key(&block, &again);
			screen_block_pack(&block, &again);
			CHECK("the same",
			      span_eq(buf_span(&again), span_of(bytes, key_len + len)));
			screen_restore(scene.screen, &block, scene.now);
			buf_done(&again);
			sound++;
		}
		free(bytes);
	}
	assert_true(sound > 1000);
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
#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)
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
		SCENE(blocks_by_hand),
		SCENE(a_removed_block_is_forgotten),
		SCENE(blocks_survive_a_restart),
		SCENE(any_row_is_read_safely),
		SCENE(a_million_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
