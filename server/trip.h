/*
 * A session saw that a recipient more does not fit: the writer judges again with the same
 * function, suspends the account when that is so, and the answer follows that commit. It
 * survives its session.
 */
#ifndef GATEPOST_SERVER_TRIP_H
#define GATEPOST_SERVER_TRIP_H

#include "server/server.h"

struct trip;

/* `verdict`: as of gate_trip; BROKEN also when the commit failed. */
struct trip_handler {
	void (*end)(void *owner, enum gate_verdict verdict, uint64_t incident);
};

/* Copies the act. NULL without memory; else `end` follows, and the trip is freed behind it. */
struct trip *trip_start(struct worker *worker, struct config *config, const struct act *act,
                        const struct trip_handler *handler, void *owner);
/* The owner is gone: the trip goes on, nobody is told. NULL is accepted. */
void trip_orphan(struct trip *trip);

#endif
