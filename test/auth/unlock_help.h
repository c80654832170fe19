/*
 * A site that knows who may unlock, and alice's incident with its token. To be included by one
 * file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_UNLOCK_HELP_H
#define GATEPOST_TEST_AUTH_UNLOCK_HELP_H

#include "auth/unlock.h"

#include "test/auth/fresh_store.h"

#include "test/auth/aftermath.h"

static const struct span listed[] = { { "*@it.example.org", 16 }, { "ops", 3 } };
static struct unlock_rules rules;
static char token[UNLOCK_TOKEN_LEN + 1]; /* of alice's incident */

static inline int site(void **state)
{
	rules = (struct unlock_rules){ .suspend = to_postmasters,
		                       .may_unlock = listed,
		                       .nmay_unlock = COUNT(listed) };
	for (size_t i = 0; i < SECRET_BYTES; i++) {
		rules.key.bytes[i] = (unsigned char)i;
	}
	return set_up(state);
}

static inline void anew(void **state)
{
	assert_int_equal(tear_down(state), 0);
	assert_int_equal(site(state), 0);
}

static inline uint64_t suspend_with_token(void)
{
	uint64_t incident = suspend_alice();
	unlock_token(&rules.key, ALICE, incident, token);
	return incident;
}

/* The postmaster's UNLOCK through submission. */
static inline struct unlock_answer good_answer(uint64_t incident)
{
	return (struct unlock_answer){
		.tag = { .incident = incident, .token = span_str(token) },
		.login = postmasters[0],
		.now = store_now(store),
		.wall = fake_clock.wall,
	};
}

static inline enum unlock_verdict redeem(const struct unlock_answer *answer)
{
	struct suspend_result result;
	struct store_txn *txn = begin();
	enum unlock_verdict verdict = unlock_redeem(txn, &rules, answer, &result);
	commit(txn);
	return verdict;
}

static inline struct span last_note(enum queue_kind kind, struct arena *arena)
{
	struct span note = SPAN_NONE;
	uint64_t id = 0;
	struct store_txn *txn = store_begin_read(store, NULL);
	while (queue_list_next(txn, SPAN_NONE, id, &id) == STORE_OK) {
		struct queue_entry entry;
		assert_int_equal(queue_get(txn, id, arena, &entry), STORE_OK);
		note = entry.kind == kind ? entry.note : note;
	}
	store_abort(txn);
	return note;
}

static inline bool holds(struct span text, const char *part)
{
	return !*part || (text.len && memmem(text.ptr, text.len, part, strlen(part)));
}

#define SITE(f) cmocka_unit_test_setup_teardown(f, site, tear_down)

#endif
