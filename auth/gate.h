/*
 * The one door. gate_recipient reads and is a courtesy; gate_message charges, inside the
 * caller's write transaction, in the commit that queues the mail, and is the judge: fifty
 * parallel sessions of one account meet it one after the other. Nothing is reserved, so nothing
 * can leak. It fails closed: what can not be read is GATE_BROKEN, never allowed.
 */
#ifndef GATEPOST_AUTH_GATE_H
#define GATEPOST_AUTH_GATE_H

#include "auth/budget.h"
#include "store/account.h"

/* From the configuration; borrowed, must live through the call. */
struct gate_rules {
	struct budget_limits limits; /* where an account has none of its own */
	const struct span *exempt;   /* canonical accounts, or patterns with * */
	size_t nexempt;
};

enum gate_verdict {
	GATE_ALLOW,
	GATE_SPENT,   /* the budget is used up: 550 5.7.1 */
	GATE_NEVER,   /* would not fit an empty budget: 550 5.5.3 */
	GATE_UNKNOWN, /* the account is not there (any more) */
	GATE_BROKEN,  /* account or ledger can not be read: 451 */
};

/* Does `name` match `pattern`: ASCII case-blind, `*` stands for any run of characters. Linear,
 * no recursion. */
bool gate_pattern_matches(struct span pattern, struct span name);

/* Would a message with `recipients` recipients (those of the transaction so far and this one)
 * be let through? */
enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 struct span account, uint32_t recipients, int64_t now);
/* The same question; when the answer is ALLOW it is charged in `txn`. On any other nothing is
 * written. Exempt accounts are charged, too (their use is shown), and always allowed. */
enum gate_verdict gate_message(struct store_txn *txn, const struct gate_rules *rules,
                               struct span account, uint32_t recipients, int64_t now);
/* Forgets what was spent. NOT_FOUND when there is no such account. */
enum store_result gate_reset(struct store_txn *txn, struct span account);
/* Sets the account's own limits; a count of 0 gives back the configured ones. NOT_FOUND as
 * above. */
enum store_result gate_limit(struct store_txn *txn, struct span account,
                             const struct budget_limits *limits);

/* What `gatepostctl account show` prints. */
struct gate_view {
	struct budget_limits limits;
	bool own_limits;
	bool exempt;
	uint32_t spent[BUDGET_LIMITS_MAX];
};
enum gate_verdict gate_show(struct store_txn *txn, const struct gate_rules *rules,
                            struct span account, int64_t now, struct gate_view *view_out);

#endif
