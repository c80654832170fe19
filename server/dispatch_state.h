/* Private to dispatch.c and due.c: what the delivery's loop knows, and what the two share. */
#ifndef GATEPOST_SERVER_DISPATCH_STATE_H
#define GATEPOST_SERVER_DISPATCH_STATE_H

#include "server/attempt.h"
#include "server/dispatch.h"
#include "server/server.h"

#define DISPATCH_LOOK_MS \
	((int64_t)60 * 1000)   /* the index is looked at so often in any case \
	                        */
#define DISPATCH_AGAIN_MS 1000 /* a full store, no memory: then again */

#define DISPATCH_BARRED_MAX 64 /* accounts */

/* An account whose ledger can not be read: nothing of it is sent. It is said once; once in a
 * while it is tried again. */
struct barred {
	uint32_t account; /* queue_account_hash */
	bool now;
};

enum timer { TIMER_DUE, TIMER_SWEEP, TIMER_STALLED, TIMERS };

struct dispatch {
	struct server *server;
	uv_loop_t *loop;
	uv_timer_t timers[TIMERS];
	size_t handles; /* open ones of these */
	atomic_size_t *memory;
	void (*changed)(void *owner);
	void *owner;
	struct commit_port *port;
	struct relay *relay;
	struct config *config;
	struct schedule *schedule;
	struct attempt *attempts; /* begun, and not durably ended */
	uint32_t random;
	bool rescan; /* the index may have due entries that are not in the schedule */
	bool front;  /* so may its front have fresh notices: they do not wait for room in the
	                window */
	int64_t look_at; /* T: then the index is walked, however full the window is */
	int64_t wake_at; /* T: the next one is due then */
	int64_t back_at; /* T: a smarthost came back, and all that was deferred before is due; 0
	                    = never */
	bool back;       /* some of that may still be in the index */
	uint64_t swept;  /* up to this id */
	int64_t probe_at; /* while down: the loop's time of the next probe; it moves when one
	                     has failed. 0 = up */
	struct barred barred[DISPATCH_BARRED_MAX];
	size_t nbarred;
	bool pumping;
	bool quitting;
	struct attempt_tally tally;
};

static inline int64_t dispatch_now(const struct dispatch *d)
{
	return store_now(d->server->store);
}

/* Mail without an account is ours: a notice, ahead of all other. */
static inline struct schedule_item dispatch_item(const struct queue_due *due)
{
	return (struct schedule_item){
		.id = due->id,
		.account = due->account,
		.first = due->account == queue_account_hash(SPAN_NONE),
	};
}

/* ---- dispatch.c ---- */

/* Gives the relay all it has room for. Called whenever something may have changed; it is not
 * entered twice. */
void dispatch_pump(struct dispatch *d);

/* An attempt of this dispatch, NULL without memory; and its end, by which nothing is in flight
 * or waits. */
struct attempt *dispatch_begin(struct dispatch *d, struct schedule_item *item);
void dispatch_end(struct dispatch *d, struct attempt *attempt);
/* attempt_load in a transaction of its own. */
enum attempt_load dispatch_load(struct dispatch *d, struct attempt *attempt,
                                const char *unreachable);
/* Its job to the writer; in flight until that is durable. */
void dispatch_submit(struct dispatch *d, struct attempt *attempt);
void dispatch_drop_body(struct dispatch *d, struct buf *body);

/* ---- due.c ---- */

/* Brings what is due into the schedule, and sets wake_at, look_at, rescan, front and back by
 * what it has seen. */
void due_walk(struct dispatch *d);
/* The same for fresh notices alone, which are at the front: sets `front`. */
void due_walk_front(struct dispatch *d);
/* From now on walks pass the account by, for a while. `news_out`: it was not known to be such.
 * False when there are too many. */
bool due_bar(struct dispatch *d, uint32_t account, bool *news_out);
/* A look for entries whose time is over, in so many ms; while no smarthost can be reached, and
 * again and again. */
void due_sweep_soon(struct dispatch *d, uint64_t ms);

#endif
