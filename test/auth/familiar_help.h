/*
 * Alice sends: short ways to say from where, to whom, and when. Her contacts are numbers. To be
 * included by one file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_FAMILIAR_HELP_H
#define GATEPOST_TEST_AUTH_FAMILIAR_HELP_H

#include "auth/familiar.h"

#include "test/auth/fresh_store.h"

#define MOST  1000 /* recipients of a mail */
#define NOON  (400 * DAY + 12 * HOUR)
#define WALL  ((int64_t)1700000000000)
#define MONTH (30 * DAY)

static const struct secret_key site = { { 7 } };
static struct familiar_rules rules;
static int64_t now;

static inline void set_password(int64_t wall)
{
	const struct account account = { .secret = SPAN_LIT("y"), .changed_wall = wall };
	struct store_txn *txn = begin();
	assert_int_equal(account_put(txn, ALICE, &account), STORE_OK);
	commit(txn);
}

static inline int alice_set_up(void **state)
{
	rules = (struct familiar_rules){ .keep = 13 * MONTH, .shared_from = 3 };
	now = NOON;
	int failed = set_up(state);
	if (!failed) {
		set_password(WALL);
	}
	return failed;
}

static inline uint64_t contact(unsigned number)
{
	char name[32];
	snprintf(name, sizeof name, "c%u@example.net", number);
	return familiar_contact(&site, ALICE, span_str(name));
}

static inline const uint64_t *contacts(unsigned first, unsigned n)
{
	static uint64_t digests[MOST];
	assert_true(n <= MOST);
	for (unsigned i = 0; i < n; i++) {
		digests[i] = contact(first + i);
	}
	return digests;
}

static inline struct act act_of(struct origin origin, unsigned first, unsigned n)
{
	return (struct act){
		.account = ALICE,
		.recipients = n,
		.contact = contacts(first, n),
		.ncontacts = n,
		.origin = origin,
		.now = now,
		.wall = WALL,
	};
}

/* A network that nobody has declared. */
static inline struct origin net(uint64_t number)
{
	return (struct origin){ .network = number };
}

static inline struct act_past looks(struct origin origin, unsigned first, unsigned n)
{
	struct act act = act_of(origin, first, n);
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(familiar_look(txn, &rules, 0, &act, NULL), STORE_OK);
	store_abort(txn);
	return act.past;
}

/* It is taken. */
static inline struct act_past submits(struct origin origin, unsigned first, unsigned n)
{
	struct act act = act_of(origin, first, n);
	struct history_head head;
	struct store_txn *txn = begin();
	assert_int_equal(familiar_look(txn, &rules, 0, &act, &head), STORE_OK);
	assert_int_equal(familiar_note(txn, &rules, &act, &head), STORE_OK);
	commit(txn);
	return act.past;
}

static inline enum store_result teaches(struct store_txn *txn, struct origin origin,
                                        unsigned first, unsigned n)
{
	const struct familiar_lesson lesson = {
		.account = ALICE,
		.contact = contacts(first, n),
		.n = n,
		.origin = origin,
		.now = now,
	};
	return familiar_learn(txn, &rules, &lesson);
}

static inline void relays(struct origin origin, unsigned first, unsigned n)
{
	struct store_txn *txn = begin();
	assert_int_equal(teaches(txn, origin, first, n), STORE_OK);
	commit(txn);
}

/* It is taken, by the smarthost, too. */
static inline struct act_past sends(struct origin origin, unsigned first, unsigned n)
{
	struct act act = act_of(origin, first, n);
	struct history_head head;
	struct store_txn *txn = begin();
	assert_int_equal(familiar_look(txn, &rules, 0, &act, &head), STORE_OK);
	assert_int_equal(familiar_note(txn, &rules, &act, &head), STORE_OK);
	assert_int_equal(teaches(txn, origin, first, n), STORE_OK);
	commit(txn);
	return act.past;
}

static inline void imports(unsigned first, unsigned n)
{
	struct store_txn *txn = begin();
	assert_int_equal(familiar_import(txn, ALICE, contacts(first, n), n, now), STORE_OK);
	commit(txn);
}

static inline void is_suspended(bool bar)
{
	struct store_txn *txn = begin();
	assert_int_equal(familiar_unlearn(txn, ALICE, bar, now), STORE_OK);
	commit(txn);
}

static inline struct history_head head_of(struct span account)
{
	struct history_head head;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(history_head_get(txn, account, &head), STORE_OK);
	store_abort(txn);
	return head;
}

/* All rows of the two tables, as a number: it changes when they do. */
static inline uint64_t rows(void)
{
	static const enum store_table tables[] = { STORE_HISTORY, STORE_NETWORK };
	uint64_t sum = 14695981039346656037u;
	struct store_txn *txn = store_begin_read(store, NULL);
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct store_walk walk;
		struct span part[2];
		store_walk_begin(&walk, txn, tables[i], SPAN_NONE, SPAN_NONE);
		while (store_walk_next(&walk, &part[0], &part[1])) {
			for (size_t j = 0; j < part[0].len + part[1].len; j++) {
				bool key = j < part[0].len;
				char byte = key ? part[0].ptr[j] : part[1].ptr[j - part[0].len];
				sum = (sum ^ (unsigned char)byte) * 1099511628211u;
			}
		}
		store_walk_end(&walk);
	}
	store_abort(txn);
	return sum;
}

/* It is taken, and learned from, in a transaction that can not write: a put is an abort. */
static inline void costs_no_write(struct origin origin, unsigned first, unsigned n)
{
	struct act act = act_of(origin, first, n);
	struct history_head head;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(familiar_look(txn, &rules, 0, &act, &head), STORE_OK);
	assert_int_equal(familiar_note(txn, &rules, &act, &head), STORE_OK);
	assert_int_equal(teaches(txn, origin, first, n), STORE_OK);
	store_abort(txn);
}

static inline enum act_network kind(struct origin origin)
{
	return looks(origin, 0, 0).network;
}

/* So that a network is ripe: three days in a week, to somebody known. */
static inline void ripen(uint64_t network, unsigned known)
{
	for (unsigned i = 0; i < 3; i++) {
		sends(net(network), known, 1);
		now += i < 2 ? 4 * DAY : 0;
	}
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, alice_set_up, tear_down)

#endif
