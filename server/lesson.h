/*
 * What the smarthost's answers teach the guard, within the transaction that notes them: whom
 * the account has written to, and strangers who are not there.
 */
#ifndef GATEPOST_SERVER_LESSON_H
#define GATEPOST_SERVER_LESSON_H

#include "auth/gate.h"
#include "server/config.h"
#include "store/queue.h"

/* One recipient that has had its last answer. */
struct lesson {
	uint64_t contact;
	bool refused; /* as unknown, 5.1.x; else it was taken */
};

struct lesson_rules {
	const struct secret_key *key;
	bool fold; /* details of addresses (fold_details) */
};

struct lesson_answer {
	struct span address; /* of the recipient */
	unsigned code;
	struct span status;
};

/* Notes what was said of a recipient; false when there is nothing to learn of it: only
 * mail of an account teaches, and only a 2xx or a 5.1.x. Any thread. */
bool lesson_of(const struct lesson_rules *rules, const struct queue_entry *entry,
               const struct lesson_answer *answer, struct lesson *lesson_out);
/* In the writer's transaction. TRIPPED: the account is suspended by it, as `result_out` says.
 */
enum gate_verdict lesson_learn(struct store_txn *txn, const struct config *config,
                               const struct secret_key *key, const struct queue_entry *entry,
                               const struct lesson *lessons, size_t n, int64_t now,
                               struct gate_result *result_out);

#endif
