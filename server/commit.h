/*
 * Group commit: one writer thread takes whatever waits when the last commit ends and runs it in
 * one transaction: all jobs (to 4 MiB), then staged body rows (to 1 MiB), each in order of
 * arrival. When a batch fails, each of its jobs is run again in a transaction of its own, so
 * that one damaged row or one large body fails nobody else. After a commit whose outcome is
 * unknown the process must end and start again: no call-back says OK any more.
 */
#ifndef GATEPOST_SERVER_COMMIT_H
#define GATEPOST_SERVER_COMMIT_H

#include <uv.h>

#include "auth/familiar.h"
#include "store/store.h"

struct commit;
struct commit_port;

/*
 * A piece of work. It belongs to its submitter, who may not touch it between commit_submit and
 * `done`. It carries values, never pointers into a session.
 */
struct commit_job {
	/* On the writer: reads, decides, writes; leaves its verdict in the struct around the
	 * job. A store failure is sticky in `txn` and needs no report. May be called a second
	 * time, in another transaction, when the first was dropped. */
	void (*run)(struct commit_job *job, struct store_txn *txn, int64_t now);
	/* On the port's loop, after the commit: STORE_OK = durable; FULL = nothing happened,
	 * try later; anything else = outcome unknown or not done, the process is ending. NULL:
	 * nobody waits. */
	void (*done)(struct commit_job *job, enum store_result result);
	struct commit_port *port;
	size_t bytes; /* about how much it writes */
	bool staged;  /* body rows only: after the other jobs */
	/* the writer's own */
	struct commit_job *next;
	enum store_result result;
	bool *waiter; /* commit_wait's flag */
};

/* `fatal` is called once, on the writer thread, after a commit whose outcome is unknown. */
struct commit *commit_start(struct store *store, int64_t journal_keep,
                            void (*fatal)(void *context), void *context, struct error *error);
/* Finishes what was submitted, ends the thread; ports must still be served. NULL is accepted.
 */
void commit_stop(struct commit *commit);
void commit_journal_keep(struct commit *commit, int64_t journal_keep);
/* What is forgotten of histories (server/forget); before the first call nothing is. */
void commit_history_rules(struct commit *commit, const struct familiar_rules *rules);

/* Where a loop hears that its jobs are done. Made and closed on that loop, before commit_stop.
 */
struct commit_port *commit_port_new(struct commit *commit, uv_loop_t *loop);
void commit_port_close(struct commit_port *port);
/* Jobs submitted with this port whose `done` has not been called: none may be left when it is
 * closed. */
size_t commit_port_outstanding(const struct commit_port *port);

/* With a port: on its loop's thread; `job->port` NULL: any thread, `done` is called on the
 * writer thread. */
void commit_submit(struct commit *commit, struct commit_job *job);
/* Submits and waits: for threads that may block (control). `job->done` is not called. */
enum store_result commit_wait(struct commit *commit, struct commit_job *job);

#endif
