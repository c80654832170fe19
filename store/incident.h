/*
 * Suspensions, one row each under a number that people see ("case 17"): who, why, how it ended,
 * and what is still to be done with the account's queued mail. Nothing of a token is stored;
 * used and expired are seen from the row.
 */
#ifndef GATEPOST_STORE_INCIDENT_H
#define GATEPOST_STORE_INCIDENT_H

#include "proto/arena.h"
#include "store/store.h"

enum incident_state {
	INCIDENT_OPEN,
	INCIDENT_ENDED, /* the account is good again */
};

/* What is still to be done with the account's queue: many entries take further commits, and a
 * crash may lie between. */
enum incident_sweep {
	INCIDENT_SWEPT,   /* nothing */
	INCIDENT_HOLD,    /* READY -> HELD by this incident */
	INCIDENT_RELEASE, /* HELD by this incident -> READY */
	INCIDENT_DISCARD, /* HELD by this incident -> gone */
};

struct incident {
	uint64_t number; /* 1, 2, 3 ... */
	struct span account;
	enum incident_state state;
	enum incident_sweep sweep;
	uint64_t swept_to;   /* the sweep has looked at entries up to this id */
	int64_t opened_at;   /* T */
	int64_t opened_wall; /* ms since 1970 */
	struct span cause;   /* "budget", or who did it by hand: "uid 0" */
	struct span reasons; /* packed by the auth floor: the bill */
	int64_t ended_at;    /* T; 0 = open */
	int64_t ended_wall;
	struct span ended_by;  /* a login, an address, "uid 0" */
	struct span ended_how; /* the order's name */
	bool reply_off;        /* too many in a day: a reply stops it, only a command ends it */
	int64_t notified_at;   /* T when its notice was taken by the smarthost; 0 = not yet */
	bool undelivered;      /* that took too long: said in the log, kept in a file */
	bool alarmed;          /* on_suspend was run, if there is one */
	bool untold;           /* it has ended, and on_unlock was not run yet */
	int64_t complained_at; /* T of the last notice that an answer did not count; 0 = none */
	uint32_t reminders;    /* times that its being open was brought to mind */
	int64_t warned_at;     /* T when it was said that its held mail will go; 0 = not yet */
	bool cleared;          /* of its held mail nothing is left, or the last sweep is on */
	uint32_t ignored;      /* answers with its token that did not count, as journaled */
};

/* The next free number; its row is put by the caller in the same transaction. */
enum store_result incident_next_number(struct store_txn *txn, uint64_t *number_out);
enum store_result incident_put(struct store_txn *txn, const struct incident *incident);
/* Copied into `arena`. DAMAGED, here and below, changes nothing and does not mark the
 * transaction: it is this incident's matter alone. */
enum store_result incident_get(struct store_txn *txn, uint64_t number, struct arena *arena,
                               struct incident *incident_out);
/* The first with a number > `after`. NOT_FOUND at the end. DAMAGED: only its number can be
 * told, enough to go on behind it. */
enum store_result incident_next(struct store_txn *txn, uint64_t after, struct arena *arena,
                                struct incident *incident_out);

#endif
