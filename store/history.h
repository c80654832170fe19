/*
 * Who an account has written to, and from which networks: a head row an account, and its
 * contacts as blocks of fixed records under keyed digests, so that nobody reads an address from
 * the store or makes two of them collide. What is learned, when, and what it means is auth's
 * (auth/familiar); here it is kept: small, found with point reads, written only where a bit
 * changes, and never beyond its caps.
 *
 * A contact's block is told by the first bits of its digest, and of the digest 40 bits are
 * kept: among 100,000 contacts one stranger in ten million passes for one of them. When a block
 * is full the number of blocks doubles, all in the caller's transaction.
 *
 * DAMAGED concerns this account only and does not mark the transaction: the row is left as it
 * is.
 */
#ifndef GATEPOST_STORE_HISTORY_H
#define GATEPOST_STORE_HISTORY_H

#include "store/keys.h"
#include "store/store.h"

#define HISTORY_RECORD       10  /* bytes of a contact */
#define HISTORY_BLOCK        190 /* contacts: two blocks share a page while the name is short */
#define HISTORY_DEPTH_MAX    10
#define HISTORY_CONTACTS_MAX 100000 /* of an account; then the one unused for longest goes */
#define HISTORY_NETWORKS     64     /* of an account */

/* Days and months are of T: T / 86,400,000, and a month is 30 days. */
struct history_contact {
	uint64_t digest;    /* of its bits the first 40 count; the others are read as 0 */
	uint16_t first_day; /* when it was learned; 0: imported */
	uint8_t last_month; /* when it was last written to, mod 256 */
	uint16_t origin;    /* history_network.serial of where it was first written from, while
	                       it was written to from nowhere else; 0: from a ripe network */
};

struct history_network {
	uint64_t digest;    /* 0: a free place */
	uint16_t serial;    /* 1 ... 65535, anew for each network met; wraps */
	uint16_t first_day; /* when it was first met */
	int64_t met_at;     /* T of its last use, to the hour */
	uint8_t days; /* on which mail went from it to a contact older than itself, up to 3 */
	uint16_t day_from; /* the first such day, */
	uint16_t day_of;   /* and the last */
	bool ripe;
	bool barred;
	uint16_t
	    known_day; /* mail to so many known recipients on that day, as far as it counts */
	uint16_t known;
	char country[2]; /* "DE"; NULs: not known */
};

/* Packed it holds only what is there: a free place for a network costs nothing. */
struct history_head {
	uint16_t born_day;    /* of the first thing learned; 0: nothing was */
	bool imported;        /* some of it comes from the site's logs */
	uint32_t contacts;    /* how many there are */
	uint32_t ever;        /* how many were ever learned: decay is no way back to none */
	uint8_t depth;        /* 2^depth blocks */
	uint16_t learned_day; /* contacts learned on that day */
	uint16_t learned;
	uint16_t next_serial; /* for the next network, unless it is taken or 0 */
	bool barred_rest;     /* all networks that are not ripe are barred: more of them were to
	                         be than are kept */
	int64_t barred_wall;  /* when the secret of then was set, ms since 1970, at
	                         least 1; void once the account's is newer; 0: no bars */
	int64_t lost_at; /* T, to the hour: a network that was used then had to go; 0: none */
	struct history_network network[HISTORY_NETWORKS]; /* in any order */
};

/* Months since a contact was last written to. What is ahead was learned out of order: 0. */
static inline unsigned history_age(uint8_t last_month, uint8_t month)
{
	uint8_t age = (uint8_t)(month - last_month);
	return age > UINT8_MAX - 12 ? 0 : age;
}

/* An account without one: STORE_OK, and zeroes. */
enum store_result history_head_get(struct store_txn *txn, struct span account,
                                   struct history_head *head_out);
enum store_result history_head_put(struct store_txn *txn, struct span account,
                                   const struct history_head *head);

/* One contact; NOT_FOUND when it is none. A point read. */
enum store_result history_find(struct store_txn *txn, struct span account,
                               const struct history_head *head, uint64_t digest,
                               struct history_contact *contact_out);
/*
 * Puts `n` of them, new ones and changed ones, in any order: each block once. Counts the new
 * ones into head->contacts and head->ever, and puts the head, with all that the caller changed
 * in it. At the cap, contacts of the same block go: the one unused for longest before the month
 * of those that are put, of those the one learned last. DAMAGED: some may have been put; the
 * head tells what is there.
 */
enum store_result history_put(struct store_txn *txn, struct span account,
                              struct history_head *head, const struct history_contact *contacts,
                              size_t n);
/* Goes over all of them: `keep` may change all but the digest; false deletes it. Puts the head
 * when it deleted any. DAMAGED: it went over those that can be read. */
enum store_result history_filter(struct store_txn *txn, struct span account,
                                 struct history_head *head,
                                 bool (*keep)(void *context, struct history_contact *contact),
                                 void *context);
/* All that is kept about it, readable or not; the networks it shares lose it. NOT_FOUND when
 * that is nothing. */
enum store_result history_delete(struct store_txn *txn, struct span account);
/* The first account behind `after`, in name order, of which something is kept; its name is in
 * `name_out` (key_span). */
enum store_result history_next(struct store_txn *txn, struct span after, struct key *name_out);
/* Bytes of its rows with their keys, for people and benchmarks. */
uint64_t history_bytes(struct store_txn *txn, struct span account);

/* ---- networks that many accounts use: a row a network ---- */

#define HISTORY_SHARERS_MAX 32

/* Notes that it is ripe for this account (by 32 bits of its name); nothing is written when that
 * is known, or there are enough. */
enum store_result history_share(struct store_txn *txn, uint64_t network, struct span account);
/* It is not any more. */
enum store_result history_unshare(struct store_txn *txn, uint64_t network, struct span account);
/* For how many accounts it is ripe, at most HISTORY_SHARERS_MAX. */
enum store_result history_sharers(struct store_txn *txn, uint64_t network, unsigned *count_out);

#endif
