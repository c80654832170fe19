/*
 * A small language: who misses, who is good, who is blocked, under a clock in the test's hand.
 * To be included by one file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_SCREEN_HELP_H
#define GATEPOST_TEST_AUTH_SCREEN_HELP_H

#include "test/proto/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/screen.h"

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define START  (1000 * DAY)

static const struct secret_key key = { { 7 } };

static struct {
	struct screen *screen;
	int64_t now;
	struct screen_effect effect; /* of the last failure */
	unsigned blocks, sprays, guesses;
} scene;

static inline int begin(void **state)
{
	(void)state;
	memset(&scene, 0, sizeof scene);
	scene.screen = screen_new(&key);
	scene.now = START;
	return scene.screen ? 0 : 1;
}

static inline int end(void **state)
{
	(void)state;
	screen_free(scene.screen);
	return 0;
}

static inline struct screen_try try_of(const char *address, const char *account,
                                       unsigned char bytes[NETWORK_ADDRESS_BYTES])
{
	assert_true(network_address_parse(span_str(address), bytes));
	return (struct screen_try){ .address = bytes,
		                    .account = span_str(account),
		                    .now = scene.now };
}

/* A wrong password; 0: one that is not seen (SCRAM). */
static inline bool miss(const char *address, const char *account, uint64_t guess)
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

static inline void good(const char *address, const char *account)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	struct screen_try attempt = try_of(address, account, bytes);
	screen_good(scene.screen, &attempt);
}

static inline bool may(const char *address, const char *account)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	struct screen_try attempt = try_of(address, account, bytes);
	return screen_may_try(scene.screen, &attempt);
}

static inline bool admits(const char *address)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	assert_true(network_address_parse(span_str(address), bytes));
	return screen_admits(scene.screen, bytes, scene.now);
}

static inline int64_t blocked(const char *address)
{
	unsigned char bytes[NETWORK_ADDRESS_BYTES];
	assert_true(network_address_parse(span_str(address), bytes));
	int64_t until = screen_blocked(scene.screen, bytes, scene.now);
	return until == INT64_MAX ? until : until ? until - scene.now : 0;
}

static inline struct network network(const char *text)
{
	struct network network;
	const char *reason;
	assert_true(network_parse(span_str(text), &network, &reason));
	return network;
}

struct name {
	char text[64];
};

/* An account, an address, an address in a network of its own, by number. */
static inline struct name user(unsigned n)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "user%u@example.org", n);
	return name;
}

static inline struct name anyone(unsigned n)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "198.51.%u.%u", n / 250, n % 250);
	return name;
}

static inline struct name far(unsigned n)
{
	struct name name;
	snprintf(name.text, sizeof name.text, "100.%u.%u.9", n / 250, n % 250);
	return name;
}

#define USER(n)   user(n).text
#define ANYONE(n) anyone(n).text
#define FAR(n)    far(n).text

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
