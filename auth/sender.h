/*
 * Whose name may an account write under? Its own, and those of its aliases: addresses, or
 * patterns with `*`. What it wrote under without either is noted, so that an admin can see it
 * and make aliases of it before he has such mail refused (RFC 6409 6.1).
 */
#ifndef GATEPOST_AUTH_SENDER_H
#define GATEPOST_AUTH_SENDER_H

#include "store/store.h"

enum sender_check {
	SENDER_CHECK_OFF,
	SENDER_CHECK_LOG,      /* noted only */
	SENDER_CHECK_ENVELOPE, /* MAIL FROM is refused */
	SENDER_CHECK_BOTH,     /* and the header's From */
};

#define SENDER_ALIASES_MAX 1000 /* of an account */
#define SENDER_SEEN_MAX    100

struct sender_alias {
	struct span pattern; /* lower case */
	bool seen;           /* noted, not allowed */
	int64_t wall;        /* ms since 1970: when it was made, or first seen */
};

/* An address or a pattern with a domain, no blanks, at most ADDRESS_MAX bytes. */
bool sender_pattern_is_valid(struct span pattern);

/* May `account` write as `address`? ASCII case-blind, as a key of addresses is not: mail
 * programs write names as people do. An empty address (<>) is anybody's. `may_out` is set on
 * STORE_OK only. */
enum store_result sender_may(struct store_txn *txn, struct span account, struct span address,
                             bool *may_out);

/* Notes an address that is not the account's own; nothing when it was noted before, or there
 * are SENDER_SEEN_MAX of them. For a transaction that writes. */
enum store_result sender_note(struct store_txn *txn, struct span account, struct span address,
                              int64_t wall);
/* Is it noted already? A point read, so that only new ones are written. */
bool sender_is_noted(struct store_txn *txn, struct span account, struct span address);

/* Makes an alias, of a noted address as well. `full_out`: there are SENDER_ALIASES_MAX. */
enum store_result sender_alias_add(struct store_txn *txn, struct span account,
                                   struct span pattern, int64_t wall, bool *full_out);
/* An alias or a note; NOT_FOUND when it is neither. */
enum store_result sender_alias_delete(struct store_txn *txn, struct span account,
                                      struct span pattern);
/* With the account: all of them. */
enum store_result sender_alias_delete_all(struct store_txn *txn, struct span account);
/* The one behind `after`; NOT_FOUND at the end. Spans as in store_get. */
enum store_result sender_alias_next(struct store_txn *txn, struct span account,
                                    struct span after, struct sender_alias *alias_out);

#endif
