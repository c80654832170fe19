/*
 * Mail by recipients alone, through a gate with one limit or two. To be included by one file of
 * a program.
 */
#ifndef GATEPOST_TEST_AUTH_GATE_HELP_H
#define GATEPOST_TEST_AUTH_GATE_HELP_H

#include "auth/gate.h"

#include "test/auth/fresh_store.h"

static inline struct gate_rules rules_of(const char *first, const char *second)
{
	const char *texts[] = { first, second };
	const char *reason = "";
	struct gate_rules rules = { .nexempt = 0 };
	for (size_t i = 0; i < COUNT(texts) && texts[i]; i++) {
		assert_true(budget_limit_parse(
		    span_str(texts[i]), &rules.limits.limit[rules.limits.count++], &reason));
	}
	return rules;
}

static inline struct act act_of(struct span account, uint32_t recipients)
{
	return (struct act){ .account = account,
		             .recipients = recipients,
		             .client = SPAN_LIT("192.0.2.7"),
		             .subject = SPAN_LIT("hello"),
		             .now = store_now(store),
		             .wall = fake_clock.wall };
}

static inline enum gate_verdict message(struct store_txn *txn, const struct gate_rules *rules,
                                        struct span account, uint32_t recipients)
{
	struct gate_result result;
	const struct act act = act_of(account, recipients);
	return gate_message(txn, rules, &act, &result);
}

static inline enum gate_verdict ask(struct store_txn *txn, const struct gate_rules *rules,
                                    struct span account, uint32_t recipients)
{
	struct act act = act_of(account, recipients);
	return gate_recipient(txn, rules, &act);
}

/* One message, in a commit of its own. */
static inline enum gate_verdict send(const struct gate_rules *rules, struct span account,
                                     uint32_t recipients)
{
	struct store_txn *txn = begin();
	enum gate_verdict courtesy = ask(txn, rules, account, recipients);
	enum gate_verdict verdict = message(txn, rules, account, recipients);
	assert_int_equal(courtesy, verdict);
	commit(txn);
	return verdict;
}

static inline uint32_t spent_by(const struct gate_rules *rules, struct span account,
                                size_t limit)
{
	struct gate_view view = { .exempt = false };
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, rules, account, store_now(store), &view), GATE_ALLOW);
	store_abort(txn);
	assert_true(limit < view.limits.count);
	return view.spent[limit];
}

#endif
