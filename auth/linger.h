/*
 * What an incident that lasts asks for: that it be brought to mind while its account is
 * suspended, and that mail which it holds does not lie here for ever. One step a call, each in
 * a transaction of its own; what was done is in the incident's row, so that it is done once.
 */
#ifndef GATEPOST_AUTH_LINGER_H
#define GATEPOST_AUTH_LINGER_H

#include "auth/suspend.h"

#define LINGER_LEAD    ((int64_t)2 * 24 * 3600 * 1000) /* from the warning to the deletion */
#define LINGER_COUNTED 1000 /* messages that the warning counts; more are "more than" */

struct linger_rules {
	struct suspend_rules suspend;
	int64_t held_lifetime; /* ms */
};

enum linger_what {
	LINGER_NOTHING,
	LINGER_REMIND, /* 24 h, and 72 h: it is still suspended */
	LINGER_WARN,   /* its held mail will be deleted */
	LINGER_EXPIRE, /* the sweep that deletes it begins (suspend_sweep goes on with it) */
};

/* For the log. */
const char *linger_name(enum linger_what what);

/* What is due: pure. Never a deletion without a warning before it, at least LINGER_LEAD or,
 * where less is configured, half of the lifetime. */
enum linger_what linger_due(const struct incident *incident, int64_t held_lifetime,
                            int64_t now);

/* Does what is due in the caller's write transaction, notice and journal included, and says
 * what it was. */
enum store_result linger_step(struct store_txn *txn, const struct linger_rules *rules,
                              uint64_t incident, int64_t now, int64_t wall,
                              enum linger_what *done_out);

#endif
