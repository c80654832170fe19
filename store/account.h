/*
 * Two rows an account, under its canonical name: `account` (what the admin set: the secret and
 * the limits) and `ledger` (what happened: budget rings, standing, window facts). Their fields
 * are opaque spans that the auth floor packs; unknown fields of a newer version are kept.
 */
#ifndef GATEPOST_STORE_ACCOUNT_H
#define GATEPOST_STORE_ACCOUNT_H

#include "store/store.h"

struct account {
	struct span secret; /* verifiers, as auth/secret.h makes them; empty: no own password */
	struct span limits; /* packed budget limits; empty: the configured ones */
	struct span action; /* packed: what happens at the limit; empty: as configured */
	struct span ticket; /* packed: what is allowed beyond it; empty: nothing */
	struct span tariff; /* packed: its own prices; empty: the configured ones */
	struct span mode; /* packed: is it only observed, and how long; empty: as configured */
	struct span recovery; /* an address of its owner elsewhere; empty: none */
	int64_t created_wall; /* ms since 1970 */
	int64_t changed_wall; /* of the secret */
};

struct ledger {
	struct span budget;    /* packed rings */
	struct span standing;  /* packed standing; empty: GOOD */
	struct span facts;     /* packed window facts: what a notice tells */
	struct span marks;     /* packed: what has happened at the limit; empty: nothing */
	struct span tally;     /* packed: for what was charged; empty: nothing but recipients */
	struct span strangers; /* packed rings: how many were written to */
	struct span
	    watch; /* packed: what was told of it that changed nothing; empty: nothing */
};

/* Spans as in store_get. NOT_FOUND when there is none. DAMAGED also marks the transaction
 * only when it writes. */
enum store_result account_get(struct store_txn *txn, struct span name,
                              struct account *account_out);
enum store_result account_put(struct store_txn *txn, struct span name,
                              const struct account *account);
/* Both rows. NOT_FOUND when there was no account. */
enum store_result account_delete(struct store_txn *txn, struct span name);
/* The first account behind `after` in name order; its name points into the map. */
enum store_result account_next(struct store_txn *txn, struct span after, struct span *name_out);

/* All accounts in name order, but for those whose rows can not be read. Spans as in
 * store_get. */
struct account_walk {
	struct store_walk walk;
};
void account_walk_begin(struct account_walk *walk, struct store_txn *txn);
bool account_walk_next(struct account_walk *walk, struct span *name_out,
                       struct account *account_out);
void account_walk_end(struct account_walk *walk);

/* Nothing is spent any more, whatever it was for. */
static inline void ledger_refill(struct ledger *ledger)
{
	ledger->budget = ledger->tally = ledger->strangers = SPAN_NONE;
}

/* A missing ledger is an empty one, STORE_OK. An app password's is under key_apppass_ledger. */
enum store_result ledger_get(struct store_txn *txn, struct span name,
                             struct ledger *ledger_out);
enum store_result ledger_put(struct store_txn *txn, struct span name,
                             const struct ledger *ledger);

#endif
