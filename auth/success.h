/*
 * Passwords that were right a moment ago: phones and printers log in for every message. Keyed
 * digests under a key of this process, the account each stood for, and when; fixed memory. Any
 * thread.
 */
#ifndef GATEPOST_AUTH_SUCCESS_H
#define GATEPOST_AUTH_SUCCESS_H

#include "auth/screen.h"

/* Empties it, under a fresh key. Not while others use it. */
void success_reset(void);

struct success_key {
	struct span name; /* as typed, or canonical */
	struct span password;
	struct span against; /* what it was checked against: the stored secret, so that a new
	                        one needs no invalidation; or the back end's name */
};

/* Was it right after T `since`? Then the account is appended. */
bool success_find(const struct success_key *key, int64_t since, struct buf *account_out);
void success_put(const struct success_key *key, struct span account, int64_t now);
/* All of `account`; of all accounts when it is empty. */
void success_forget(struct span account);
/* The digest by which the same wrong password is known again. */
void success_guess(struct span name, struct span password,
                   unsigned char guess_out[SCREEN_GUESS_BYTES]);

#endif
