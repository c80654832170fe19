/*
 * Is that the password of an account of our own? The account's secret out of the store, a fake
 * one for who does not exist (so that both take the same path and time), and the cache of
 * successes (auth/success.h). What it is checked against is part of what the cache knows, so a
 * changed password needs no invalidation. Any thread.
 */
#ifndef GATEPOST_AUTH_VERIFIER_H
#define GATEPOST_AUTH_VERIFIER_H

#include "auth/secret.h"
#include "store/store.h"

struct verifier_source {
	struct store *store;
	unsigned iterations;   /* of the fakes: as new accounts get */
	struct secret_key key; /* for the fakes */
};

/* For SCRAM: the verifier of `account` for this hash. A fake one when there is no account, or
 * its secret (none, a crypt hash) has no such verifier. False when the store can not be read.
 * To be ended with verifier_forget. */
bool verifier_find(const struct verifier_source *source, struct span account,
                   enum secret_hash hash, struct buf *verifier_out);
/* Cleanses and frees. */
void verifier_forget(struct buf *verifier);

enum verifier_answer {
	VERIFIER_RIGHT,
	VERIFIER_WRONG,
	VERIFIER_UNREADABLE, /* the store, not the user */
};
/* Takes milliseconds unless the cache knows it: never on a loop. When the password is right and
 * the secret is a crypt hash, fresh verifiers to be stored in its place are appended to
 * `upgrade_out`. */
enum verifier_answer verifier_check(const struct verifier_source *source, struct span account,
                                    struct span password, struct buf *upgrade_out);

#endif
