#include "server/trip.h"

#include <stdlib.h>

#include "server/suspension.h"
#include "server/wall.h"

struct trip {
	struct commit_job job;
	struct worker *worker;
	struct config *config;
	const struct trip_handler *handler;
	void *owner; /* NULL: orphaned */
	struct arena arena;
	struct act act;
	enum gate_verdict verdict;
	struct gate_result result;
};

static void trip_free(struct trip *trip)
{
	config_unref(trip->config);
	arena_done(&trip->arena);
	free(trip);
}

static void run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct trip *trip = (struct trip *)job;
	struct gate_rules rules = config_gate_rules(trip->config);
	trip->act.now = now;
	trip->act.wall = wall_ms();
	trip->verdict = gate_trip(txn, &rules, &trip->act, &trip->result);
}

static void done(struct commit_job *job, enum store_result result)
{
	struct trip *trip = (struct trip *)job;
	enum gate_verdict verdict = result == STORE_OK ? trip->verdict : GATE_BROKEN;
	if (verdict == GATE_TRIPPED) {
		suspension_begun(trip->worker->server, trip->act.account,
		                 trip->result.suspended.incident);
	}
	if (trip->owner) {
		trip->handler->end(trip->owner, verdict, trip->result.suspended.incident);
	}
	trip_free(trip);
}

struct trip *trip_start(struct worker *worker, struct config *config, const struct act *act,
                        const struct trip_handler *handler, void *owner)
{
	struct trip *trip = calloc(1, sizeof *trip);
	if (!trip) {
		return NULL;
	}
	trip->worker = worker;
	trip->config = config_ref(config);
	trip->handler = handler;
	trip->owner = owner;
	trip->act = *act;
	trip->act.contact = NULL; /* counted in its past */
	trip->act.ncontacts = 0;
	arena_init(&trip->arena, QUEUE_ENTRY_MAX);
	if (!arena_copy(&trip->arena, act->account, &trip->act.account) ||
	    !arena_copy(&trip->arena, act->apppass, &trip->act.apppass) ||
	    !arena_copy(&trip->arena, act->client, &trip->act.client) ||
	    !arena_copy(&trip->arena, act->example, &trip->act.example) ||
	    !arena_copy(&trip->arena, act->subject, &trip->act.subject)) {
		trip_free(trip);
		return NULL;
	}
	trip->job = (struct commit_job){
		.run = run,
		.done = done,
		.port = worker->port,
		.bytes = 4096,
	};
	commit_submit(worker->server->commit, &trip->job);
	return trip;
}

void trip_orphan(struct trip *trip)
{
	if (trip) {
		trip->owner = NULL;
	}
}
