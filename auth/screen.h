/*
 * Failed logins, counted per address, per network (IPv4 /24, IPv6 /48) and per account: growing
 * delays, then blocks that grow (an hour, a day ...). Pure: time is given, memory is fixed at
 * screen_new, whoever attacks with a million addresses: the oldest and least of them go out.
 * Keys are keyed digests: nobody chooses where his entry lies. One thread at a time.
 *
 *  - The same wrong password again (a phone with an old one) is one failure. Where SCRAM hides
 *    it, further ones for the same account from the same network weigh next to nothing: the
 *    account's own count ends them.
 *  - A success never clears another account's failures, nor those of an address.
 *  - A network that has lately logged in well to an account is not shut out of it by others'
 *    guessing, be it at the account or from behind the same address.
 *  - One address that fails for many accounts is a spray, and blocked much sooner.
 *  - The more accounts log in well from an address, the less a failure weighs there: an office
 *    is not shut out by those few who mistype. A blocked network spares the addresses in it
 *    that log in well.
 */
#ifndef GATEPOST_AUTH_SCREEN_H
#define GATEPOST_AUTH_SCREEN_H

#include "auth/secret.h"
#include "proto/network.h"

#define SCREEN_GUESS_BYTES 8
#define SCREEN_ROW_MAX     64
#define SCREEN_BY_HAND     1024

struct screen;

/* NULL without memory. */
struct screen *screen_new(const struct secret_key *key);
void screen_free(struct screen *screen);
/* Bytes it takes: the same for ever. */
size_t screen_bytes(void);

struct screen_try {
	const unsigned char *address; /* NETWORK_ADDRESS_BYTES */
	struct span account;          /* canonical, or the name as tried */
	/* SCREEN_GUESS_BYTES of a digest of name and password; NULL: not known (SCRAM) */
	const unsigned char *guess;
	int64_t now; /* T */
};

/* T until which the address is shut out; 0: it is not. By its own block, its network's, or an
 * admin's (INT64_MAX: for good). */
int64_t screen_blocked(const struct screen *screen,
                       const unsigned char address[NETWORK_ADDRESS_BYTES], int64_t now);
/* May anybody log in from there? Not from a blocked address, unless the block is the screen's
 * own and an account logged in well from there lately: screen_may_try says which. */
bool screen_admits(const struct screen *screen,
                   const unsigned char address[NETWORK_ADDRESS_BYTES], int64_t now);
/* False: the account is being guessed or the address is blocked, and the network has not lately
 * logged in well to this account; or it has, and is now the one that guesses. The answer then
 * is 454, whether the password is right or not. */
bool screen_may_try(const struct screen *screen, const struct screen_try *attempt);

enum screen_event {
	SCREEN_EVENT_NONE,
	SCREEN_EVENT_BLOCK, /* the address, or its network, is blocked from now on */
	SCREEN_EVENT_SPRAY, /* the same, for trying many accounts */
	SCREEN_EVENT_GUESS, /* the account is being guessed from now on */
};

struct screen_effect {
	bool again;        /* counted before: the same wrong password */
	int64_t delay;     /* ms by which the refusal is to be held back */
	uint32_t failures; /* of the address, or the network of a block, so far */
	uint32_t accounts; /* it failed for, about */
	uint32_t guesses;  /* at the account, from networks that are not its owner's */
	enum screen_event event;
	struct network network; /* of a block: the address (128 bits) or the network */
	int64_t until;          /* T, of an event */
};

void screen_fail(struct screen *screen, const struct screen_try *attempt,
                 struct screen_effect *effect_out);
void screen_good(struct screen *screen, const struct screen_try *attempt);

/* ---- the admin's ---- */

/* Blocks a network until T; the block is an admin's. False: there is no room for it
 * (SCREEN_BY_HAND). */
bool screen_add(struct screen *screen, const struct network *network, int64_t until,
                int64_t now);
/* Ends every block on this network or inside it, and forgets the failures; false: there was
 * none. */
bool screen_remove(struct screen *screen, const struct network *network, int64_t now);

/* ---- rows: what survives a restart are blocks, and the level that the next one starts at ----
 */

struct screen_block {
	struct network network;
	int64_t until;  /* T; INT64_MAX: for good */
	uint32_t level; /* how often it was blocked of late: the next one is longer */
	uint32_t failures;
	bool by_hand;
};

/* Calls `each` for all blocks that are in force at `now`. */
void screen_walk(const struct screen *screen, int64_t now,
                 void (*each)(void *context, const struct screen_block *block), void *context);
/* What a row about this network should say at `now`; false: there should be none. A block that
 * has ended is remembered for a month, so that the next one is longer. */
bool screen_find(const struct screen *screen, const struct network *network, bool by_hand,
                 int64_t now, struct screen_block *block_out);
/* A row of the store, key and value; and back. False for one that makes no sense. */
void screen_block_key(const struct screen_block *block, struct buf *out);
void screen_block_pack(const struct screen_block *block, struct buf *out);
bool screen_block_unpack(struct span key, struct span row, struct screen_block *block_out);
/* Puts a block back that was stored; one that is over and forgotten is left out. */
void screen_restore(struct screen *screen, const struct screen_block *block, int64_t now);

#endif
