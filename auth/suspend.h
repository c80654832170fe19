/*
 * A suspension as one act, and its end as one: standing, incident with its bill, the notice,
 * what is to be done with the queue, and the journal, inside the caller's write transaction;
 * none can exist without the others.
 */
#ifndef GATEPOST_AUTH_SUSPEND_H
#define GATEPOST_AUTH_SUSPEND_H

#include "auth/budget.h"
#include "auth/facts.h"
#include "auth/standing.h"
#include "store/queue.h"

/* From the configuration; borrowed. */
struct suspend_rules {
	const struct span
	    *postmaster; /* where notices go; none: accounts are refused, never suspended */
	size_t npostmaster;
	/* Accounts that read what the postmasters get, as far as the admin has said so; or
	 * patterns with *. */
	const struct span *member;
	size_t nmembers;
	struct budget_limits notice_max; /* notices that tell of one suspension each; one or
	                                    none: those beyond it share one */
};

#define SUSPEND_HOLD_NOW 200 /* entries held in the same commit; the rest in further ones */

struct suspend_result {
	uint64_t incident;
	bool swept; /* nothing of the queue is left to do */
};

/* Opens an incident for an account that is GOOD. `cause` "budget", or who does it by hand (then
 * `bill` has window 0, and its facts are taken from the ledger). NOT_FOUND when there is no
 * such account; anything else is the store's failure. An account that is SUSPENDED already:
 * STORE_OK with its present incident. */
enum store_result suspend_open(struct store_txn *txn, const struct suspend_rules *rules,
                               const struct act *act, struct span cause,
                               const struct bill *bill, struct suspend_result *result_out);

/* Carries out an event on an open incident; `by` and `how` go into incident, journal and the
 * confirmation (a notice to the postmasters; none where `note` is empty). NOT_FOUND: no such
 * account, or it is not suspended by this incident. */
struct suspend_end {
	struct span account;
	uint64_t incident;
	enum standing_event event;
	struct span by, how;
	struct span note; /* of the confirmation: a sentence for people; may be empty */
	int64_t now, wall;
};
enum store_result suspend_apply(struct store_txn *txn, const struct suspend_rules *rules,
                                const struct suspend_end *end,
                                struct suspend_result *result_out);

/* The account is deleted, and every case of it that is open ends with it: held mail stays held,
 * what was not held yet is held here, a token is spent. Of
 * `end`, incident and event do not count. NOT_FOUND: no such account. */
enum store_result suspend_delete_account(struct store_txn *txn,
                                         const struct suspend_rules *rules,
                                         const struct suspend_end *end);

/* The incident by which an account is suspended, 0 when it is GOOD. DAMAGED when its ledger can
 * not be read. */
enum store_result suspend_incident_of(struct store_txn *txn, struct span account,
                                      uint64_t *incident_out);

/* What the incidents say of an account's standing, for a ledger that can not be read: damage
 * ends no suspension. Trips are forgotten. */
enum store_result suspend_recall(struct store_txn *txn, struct span account,
                                 struct standing *standing_out);

/* Goes on with what an incident still has to do with the queue: up to `most` entries.
 * `more_out`: call again, in a further transaction. */
enum store_result suspend_sweep(struct store_txn *txn, uint64_t incident, size_t most,
                                int64_t now, bool *more_out);

/* A notice to the postmasters as a queue entry: no body, first in line, no account. None when
 * there are no postmasters. */
enum store_result suspend_put_notice(struct store_txn *txn, const struct suspend_rules *rules,
                                     enum queue_kind kind, uint64_t incident, struct span note,
                                     int64_t now, int64_t wall);

/* The same for an entry whose kind, note and times are the caller's; its id is set here. */
enum store_result suspend_put_entry(struct store_txn *txn, const struct suspend_rules *rules,
                                    struct queue_entry *entry);

#define SUSPEND_NO_TOKEN SPAN_LIT("no token") /* the note of a notice that has none */

/* A notice with the token of an incident of `account`. A postmaster who is that account, or any
 * when it is one of the members, gets it without: nobody lets himself go. Where all may have
 * it, a suspension may be told together with others (auth/several). */
enum store_result suspend_put_token_notice(struct store_txn *txn,
                                           const struct suspend_rules *rules,
                                           enum queue_kind kind,
                                           const struct incident *incident, int64_t now,
                                           int64_t wall);

#endif
