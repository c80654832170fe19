/*
 * What the rest of the process does once a suspension, or its end, is durable: live sessions,
 * deliveries and the queue learn of it; the hooks run; an unsent notice is not
 * forgotten. The decision itself is auth/suspend's, in one commit; what is here may be lost in
 * a crash and is taken up again at the next start.
 */
#ifndef GATEPOST_SERVER_SUSPENSION_H
#define GATEPOST_SERVER_SUSPENSION_H

#include "server/server.h"

struct suspension;

/* The watch, on the main loop: sweeps that are not finished, notices that are not sent. NULL,
 * with a sentence. */
struct suspension *suspension_start(struct server *server, uv_loop_t *loop,
                                    struct error *error);
/* Before the writer ends; no sweep is begun any more. NULL is accepted. */
void suspension_stop(struct suspension *suspension);

/* Any thread, behind the commit. */
void suspension_begun(struct server *server, struct span account, uint64_t incident);
/* The account is observed, and this is what would have become of its mail: into the log; PASS:
 * nothing. */
void suspension_would(struct span account, enum gate_would would);
/* An answer, or the admin, has changed something about an incident. */
void suspension_changed(struct server *server);

/* How many accounts are suspended, and notices undelivered: for `status`. */
enum store_result suspension_count(struct store_txn *txn, uint64_t *suspended_out,
                                   uint64_t *undelivered_out);

#endif
