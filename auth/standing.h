/*
 * GOOD or SUSPENDED, and who may end it: the transition table with its effects. Pure; a few
 * bytes of the ledger row.
 */
#ifndef GATEPOST_AUTH_STANDING_H
#define GATEPOST_AUTH_STANDING_H

#include "proto/buf.h"
#include "store/incident.h"

enum standing_state { STANDING_GOOD, STANDING_SUSPENDED };

#define STANDING_TRIPS_MAX  2 /* in a day: then a reply may stop it, but not end it */
#define STANDING_TRIPS_KEPT 3 /* in the row: its form is older than that number */
#define STANDING_TRIPS_SPAN ((int64_t)24 * 3600 * 1000)

struct standing {
	enum standing_state state;
	uint64_t incident;                  /* the present or the last one */
	int64_t trips[STANDING_TRIPS_KEPT]; /* T of the last suspensions, 0 = none */
};

enum standing_event {
	STANDING_TRIP,    /* the budget broke, or the admin suspends */
	STANDING_UNLOCK,  /* re-enable, release held mail */
	STANDING_KEEP,    /* re-enable, held mail stays */
	STANDING_DISCARD, /* re-enable, delete held mail */
	STANDING_SPAM,    /* delete held mail, stay suspended */
	STANDING_NOTHING, /* NO: acknowledged */
	STANDING_EVENTS,
};

/* What a transition asks of its caller, beside the new state. */
struct standing_effect {
	bool legal;                /* else: nothing happens */
	enum standing_state state; /* afterwards */
	enum incident_sweep sweep; /* of the queue; INCIDENT_SWEPT: leave it */
	bool refill;               /* the budget is full again */
	bool ends;                 /* the incident is over, its token spent */
};

/* The table. */
struct standing_effect standing_effect(enum standing_state state, enum standing_event event);
/* Notes a trip; true when it is one too many for an unlock by reply. */
bool standing_note_trip(struct standing *standing, uint64_t incident, int64_t now);

void standing_pack(const struct standing *standing, struct buf *out);
/* An empty row is GOOD. False for one that makes no sense: the caller fails closed. */
bool standing_unpack(struct span row, struct standing *standing_out);

#endif
