/*
 * Is that the password? An account's verifier out of the store, a fake one for who does not
 * exist (so that both take the same path and time), and a cache of successes: phones and
 * printers log in for every message. The cache holds keyed digests that include the verifier,
 * so a changed password needs no invalidation. Any thread.
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

/* Empties the cache, under a fresh key: a digest is worth nothing in another process. Not while
 * others use it. */
void verifier_cache_reset(void);

/* That of `account`, or a fake one. False when the store can not be read. To be ended with
 * verifier_forget. */
bool verifier_find(const struct verifier_source *source, struct span account,
                   struct buf *verifier_out);
/* Cleanses and frees. */
void verifier_forget(struct buf *verifier);

enum verifier_answer {
	VERIFIER_RIGHT,
	VERIFIER_WRONG,
	VERIFIER_UNREADABLE, /* the store, not the user */
};
/* Takes milliseconds unless the cache knows it: never on a loop. */
enum verifier_answer verifier_check(const struct verifier_source *source, struct span account,
                                    struct span password);

#endif
