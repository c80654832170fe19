/*
 * What is unused for longer than history_keep is forgotten: once a day all histories are gone
 * over, a few accounts in a step, on the writer.
 */
#ifndef GATEPOST_SERVER_FORGET_H
#define GATEPOST_SERVER_FORGET_H

#include "auth/familiar.h"

#define FORGET_ACCOUNTS 20 /* looked at in a step */

/* Where a walk is. Zeroes: one begins. */
struct forget {
	struct familiar_rules rules; /* `keep` 0: nothing is forgotten */
	struct key after;            /* the account looked at last; empty: none yet */
	int64_t rest_until;          /* T; a walk that is over begins anew then */
};

/* One step at T `now`, in transactions of its own. It ends with the first account of which
 * something was forgotten: each is a commit, and others want to write. True when there is more
 * to do now. A history that can not be read is passed over. */
bool forget_step(struct forget *forget, struct store *store, int64_t now);

#endif
