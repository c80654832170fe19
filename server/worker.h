/* One event loop for clients in its own thread: started with its sockets, drained, joined. */
#ifndef GATEPOST_SERVER_WORKER_H
#define GATEPOST_SERVER_WORKER_H

#include "proto/network.h"
#include "server/server.h"

/* `worker->server` and `worker->sockets` are set. From now on it may be told things. False with
 * a sentence. */
bool worker_open(struct worker *worker, struct error *error);
/* Once all of them are open. False with a sentence. */
bool worker_start(struct worker *worker, struct error *error);
/* Looks at server->draining: 1 = no new connections, let transactions end; 2 = cut. Any thread.
 */
void worker_nudge(struct worker *worker);
/* Its sessions of `account` are suspended by `incident`. Any thread. */
void worker_tell_stopped(struct worker *worker, struct span account, uint64_t incident);
/* The account's password, or an app password of it, was changed or deleted: its sessions look
 * again, and those whose secret is no more end with 421. Any thread. */
void worker_tell_changed(struct worker *worker, struct span account);
/* Sessions from `network` end with 421: it is blocked. Those that are logged in only when
 * `all`. Any thread. */
void worker_tell_blocked(struct worker *worker, const struct network *network, bool all);
/* Waits for its end, which a drain brings. */
void worker_join(struct worker *worker);

#endif
