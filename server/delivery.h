/*
 * The delivery thread with its own loop: it alone reads the due index, keeps fairness between
 * accounts and the in-flight set, and says what becomes of an entry after an attempt. Memory is
 * bounded whatever the queue holds: entries are read as they come due. A body handed over with
 * a fresh entry is a cache, never a place in the line.
 */
#ifndef GATEPOST_SERVER_DELIVERY_H
#define GATEPOST_SERVER_DELIVERY_H

#include "proto/buf.h"
#include "server/config.h"
#include "store/queue.h"

struct delivery;
struct server;

/* Starts the thread. `server` must outlive it. NULL, with a sentence, when that fails. */
struct delivery *delivery_start(struct server *server, struct error *error);
/* No new transaction; those under way may end until `ms` have passed; then links are cut. Joins
 * the thread. NULL is accepted. */
void delivery_stop(struct delivery *delivery, int64_t ms);

/* All of the following from any thread. */

#define DELIVERY_BODY_MAX ((size_t)64 * 1024)
#define DELIVERY_MEMORY   ((size_t)32 * 1024 * 1024)

/* A committed entry, as its due row has it, and, when it is small, its body, which is taken
 * over or freed: emptied in any case. An empty body means: read it from the store. */
void delivery_hand_over(struct delivery *delivery, const struct queue_due *due,
                        struct buf *body);

/* After the commit that did it. */
enum delivery_word {
	DELIVERY_HELD,     /* stop before the final dot, forget it */
	DELIVERY_RELEASED, /* look at the index */
	DELIVERY_GONE,     /* discarded: as HELD */
};
void delivery_tell(struct delivery *delivery, enum delivery_word word, uint64_t id);
/* The account was suspended: what waits of it is forgotten, what is on its way stops before the
 * final dot. After the commit that did it; from then on nothing of it is begun in any case. The
 * name is copied. */
void delivery_suspend(struct delivery *delivery, struct span account);
/* The configuration was reloaded. */
void delivery_reload(struct delivery *delivery);
/* `gatepostctl queue flush`: try the smarthost now, whatever its back-off. */
void delivery_flush(struct delivery *delivery);

/* For `status`: a snapshot. */
struct delivery_status {
	uint64_t in_flight;
	uint64_t links;
	uint64_t relayed; /* recipients since the start */
	uint64_t deferred;
	uint64_t failed;
	bool smarthost_down;
	int64_t retry_in; /* ms, when down */
	char reason[256]; /* why, when down */
};
void delivery_status(struct delivery *delivery, struct delivery_status *status_out);

#endif
