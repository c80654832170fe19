/*
 * Histories of two accounts: short ways to put and to ask. To be included by one file of a
 * program.
 */
#ifndef GATEPOST_TEST_STORE_HISTORY_HELP_H
#define GATEPOST_TEST_STORE_HISTORY_HELP_H

#include "help.h"
#include "store/history.h"

#define ALICE SPAN_LIT("alice@example.org")
#define BOB   SPAN_LIT("bob@example.org")

/* The same sequence each time: a failure can be looked into. */
static uint64_t seed = 1;

static inline uint64_t dice(void)
{
	seed += 0x9e3779b97f4a7c15u;
	uint64_t x = seed;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline struct history_contact contact_of(uint64_t digest)
{
	return (struct history_contact){ digest, (uint16_t)(digest >> 40),
		                         (uint8_t)(digest >> 30), (uint16_t)(digest >> 50) };
}

static inline struct history_head head_of(struct store_txn *txn, struct span account)
{
	struct history_head head;
	assert_int_equal(history_head_get(txn, account, &head), STORE_OK);
	return head;
}

static inline void put(struct store_txn *txn, struct span account,
                       const struct history_contact *contacts, size_t n)
{
	struct history_head head = head_of(txn, account);
	assert_int_equal(history_put(txn, account, &head, contacts, n), STORE_OK);
}

static inline bool has(struct store_txn *txn, struct span account, uint64_t digest)
{
	struct history_contact contact;
	struct history_head head = head_of(txn, account);
	enum store_result result = history_find(txn, account, &head, digest, &contact);
	assert_true(result == STORE_OK || result == STORE_NOT_FOUND);
	return result == STORE_OK;
}

static inline bool count_one(void *n, struct history_contact *contact)
{
	(void)contact;
	++*(size_t *)n;
	return true;
}

static inline unsigned sharers(struct store_txn *txn, uint64_t network)
{
	unsigned n = 99;
	assert_int_equal(history_sharers(txn, network, &n), STORE_OK);
	return n;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

#endif
