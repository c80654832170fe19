#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/census.h"

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage storage = { .ss_family = AF_UNSPEC };
	struct sockaddr_in *v4 = (void *)&storage;
	struct sockaddr_in6 *v6 = (void *)&storage;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		storage.ss_family = AF_INET;
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		storage.ss_family = AF_INET6;
	}
	return storage;
}

static bool enter(struct census *census, const char *text, int64_t most, int64_t network)
{
	struct sockaddr_storage peer = address(text);
	return census_connect(census, (struct sockaddr *)&peer, most, network);
}

static void leave(struct census *census, const char *text)
{
	struct sockaddr_storage peer = address(text);
	census_disconnect(census, (struct sockaddr *)&peer);
}

/* Which addresses are one network: the second is refused when one is the limit. */
static void test_networks(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "::ffff:192.0.2.1", "192.0.2.1", true },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
		{ "2001:db8::1", "2001:db8::ffff:1:2:3", true },
		{ "2001:db8:0:1::1", "2001:db8:0:2::1", false },
		{ "::1", "127.0.0.1", false },
		{ "c000:0201::", "192.0.2.1", false }, /* the same first four bytes */
		{ "unix", "unix", true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct census *census = census_new();
		assert_true(enter(census, rows[i].a, 9, 1));
		assert_int_equal(enter(census, rows[i].b, 9, 1), !rows[i].same);
		assert_int_equal(census_connections(census), rows[i].same ? 1 : 2);
		leave(census, rows[i].same ? rows[i].b : rows[i].a);
		assert_true(enter(census, rows[i].a, 9, 1));
		census_free(census);
	}
}

/* '+' enters, '-' leaves, '!' is refused: of at most three in all, two a network. */
static void test_limits(void **state)
{
	(void)state;
	static const struct {
		char what;
		const char *who;
		int64_t after;
	} rows[] = {
		{ '+', "192.0.2.1", 1 },   { '+', "192.0.2.1", 2 }, { '!', "192.0.2.1", 2 },
		{ '+', "2001:db8::1", 3 }, { '!', "192.0.2.9", 3 }, { '!', "2001:db8::2", 3 },
		{ '-', "192.0.2.1", 2 },   { '+', "192.0.2.9", 3 }, { '!', "192.0.2.1", 3 },
		{ '-', "192.0.2.1", 2 },   { '-', "192.0.2.9", 1 }, { '-', "2001:db8::7", 0 },
		{ '+', "192.0.2.1", 1 },
	};
	struct census *census = census_new();
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].what == '-') {
			leave(census, rows[i].who);
		} else {
			assert_int_equal(enter(census, rows[i].who, 3, 2), rows[i].what == '+');
		}
		assert_int_equal(census_connections(census), rows[i].after);
	}
	census_free(census);
	census_free(NULL);
}

static void test_accounts(void **state)
{
	(void)state;
	struct census *census = census_new();
	struct span alice = SPAN_LIT("alice@example.org"), bob = SPAN_LIT("bob@example.org");
	assert_true(census_login(census, alice, 2));
	assert_true(census_login(census, alice, 2));
	assert_false(census_login(census, alice, 2));
	assert_true(census_login(census, bob, 2));
	assert_false(census_login(census, SPAN_LIT("carol"), 0));

	assert_true(census_bytes(census, alice, 600, 1000));
	assert_false(census_bytes(census, alice, 401, 1000));
	assert_true(census_bytes(census, alice, 400, 1000));
	assert_true(census_bytes(census, bob, 1000, 1000));
	/* A smaller limit after a reload refuses more, never the giving back. */
	assert_true(census_bytes(census, alice, -100, 10));
	assert_false(census_bytes(census, alice, 1, 10));

	/* Bytes of a session that has gone are still on their way to the disk. */
	census_logout(census, alice);
	census_logout(census, alice);
	assert_true(census_login(census, alice, 2));
	assert_false(census_bytes(census, alice, 200, 1000));
	census_logout(census, alice);
	assert_true(census_bytes(census, alice, -900, 1000));

	assert_true(census_login(census, alice, 2));
	assert_true(census_bytes(census, alice, 1000, 1000));
	census_free(census);
}

/* An account of a network's bytes is not that network; many entries share chains. */
static void test_many(void **state)
{
	(void)state;
	struct census *census = census_new();
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 20000; i++) {
			struct sockaddr_in peer = { .sin_family = AF_INET };
			memcpy(&peer.sin_addr, &i, 4);
			struct sockaddr *any = (struct sockaddr *)&peer;
			assert_true(census_login(census, span_of(&i, 4), 1));
			assert_true(census_connect(census, any, 20000, 1));
			assert_false(census_connect(census, any, 30000, 1));
		}
		assert_int_equal(census_connections(census), 20000);
		for (unsigned i = 0; i < 20000; i++) {
			struct sockaddr_in peer = { .sin_family = AF_INET };
			memcpy(&peer.sin_addr, &i, 4);
			census_disconnect(census, (struct sockaddr *)&peer);
			census_logout(census, span_of(&i, 4));
		}
		assert_int_equal(census_connections(census), 0);
	}
	census_free(census);
}

static void *come_and_go(void *context)
{
	struct census *census = context;
	uintptr_t refused = 0;
	for (int i = 0; i < 20000; i++) {
		if (!enter(census, "192.0.2.1", 2, 2)) {
			refused++;
			continue;
		}
		if (census_connections(census) > 2) {
			return (void *)UINTPTR_MAX;
		}
		leave(census, "192.0.2.1");
	}
	return (void *)refused;
}

static void test_threads(void **state)
{
	(void)state;
	struct census *census = census_new();
	pthread_t thread[4];
	for (size_t i = 0; i < COUNT(thread); i++) {
		pthread_create(&thread[i], NULL, come_and_go, census);
	}
	for (size_t i = 0; i < COUNT(thread); i++) {
		void *refused = NULL;
		pthread_join(thread[i], &refused);
		assert_true((uintptr_t)refused <= 20000);
	}
	assert_int_equal(census_connections(census), 0);
	census_free(census);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_accounts), cmocka_unit_test(test_many),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
