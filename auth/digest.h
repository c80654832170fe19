/*
 * The day's digest: what was seen of accounts that cost nobody anything (observed ones, and
 * those near a limit), gathered in one row of the store and told to the postmasters in one mail
 * a day, a day after the first of it. What is due is seen from the row, whatever restarts came
 * between.
 */
#ifndef GATEPOST_AUTH_DIGEST_H
#define GATEPOST_AUTH_DIGEST_H

#include "auth/gate.h"

#define DIGEST_PAUSE ((int64_t)24 * 3600 * 1000)

struct digest_news {
	struct span account;
	enum gate_would would; /* PASS: nothing */
	bool near;             /* it has come near a limit */
	int64_t now;           /* T */
	int64_t wall;          /* ms since 1970 */
};

/* Adds it to what is known of the account today; where there is no room, only its number. */
enum store_result digest_add(struct store_txn *txn, const struct digest_news *news);
/* Is there one to be told? Reads only. */
bool digest_is_due(struct store_txn *txn, int64_t now);
/* Tells it, if it is due, and begins the next one. `told_out` (may be NULL): it did. */
enum store_result digest_tell(struct store_txn *txn, const struct suspend_rules *rules,
                              int64_t now, int64_t wall, bool *told_out);

#endif
