/*
 * App passwords: send-only secrets of an account with names of their own, optional own limits
 * and own networks, for what can not keep a real password safe ("scanner"). A secret is 130
 * random bits, shown once; what is stored is its digest. They are taken by PLAIN and LOGIN
 * only, whatever the back end, and never end a suspension.
 */
#ifndef GATEPOST_AUTH_APPPASS_H
#define GATEPOST_AUTH_APPPASS_H

#include "auth/budget.h"
#include "proto/network.h"
#include "store/store.h"

#define APPPASS_MOST         32 /* of an account */
#define APPPASS_NAME_MAX     32 /* letters, digits, - _ . */
#define APPPASS_NETWORKS_MAX 16
#define APPPASS_SECRET_MAX   48 /* "gp-xxxxx-xxxxx-..." */

struct apppass {
	struct span name;
	struct budget_limits limits;                  /* beside the account's; none: count 0 */
	struct network network[APPPASS_NETWORKS_MAX]; /* where it may be used; none: anywhere */
	size_t nnetworks;
	int64_t created_wall; /* ms since 1970 */
};

bool apppass_name_is_valid(struct span name);
/* Has a password the form of one: "gp-" and 26 of a-z 2-7 in any case, with dashes anywhere
 * between? Others are not looked up; one that is and is NOT_FOUND may still be the account's
 * own password. */
bool apppass_is_one(struct span password);

/* A new one, its secret appended to `secret_out`. NOT_FOUND: no such account. `full_out`: there
 * are APPPASS_MOST already, or one of that name; nothing is written then. */
enum store_result apppass_add(struct store_txn *txn, struct span account,
                              const struct apppass *apppass, struct buf *secret_out,
                              bool *full_out);
/* With what it has spent. NOT_FOUND when there is none. */
enum store_result apppass_delete(struct store_txn *txn, struct span account, struct span name);
/* With the account: all of them. */
enum store_result apppass_delete_all(struct store_txn *txn, struct span account);
/* All of an account are full again. */
enum store_result apppass_refill(struct store_txn *txn, struct span account);
/* The one behind `after` in name order; NOT_FOUND at the end. Spans as in store_get. DAMAGED:
 * only its name can be told. */
enum store_result apppass_next(struct store_txn *txn, struct span account, struct span after,
                               struct apppass *apppass_out);
enum store_result apppass_get(struct store_txn *txn, struct span account, struct span name,
                              struct apppass *apppass_out);

/* Whose secret is it, of this account's? NOT_FOUND: none. Compared in constant time. */
enum store_result apppass_find(struct store_txn *txn, struct span account, struct span password,
                               struct apppass *apppass_out);
/* May it be used from there? */
bool apppass_is_allowed(const struct apppass *apppass,
                        const unsigned char address[NETWORK_ADDRESS_BYTES]);

#endif
