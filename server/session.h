/*
 * A client: protocol events to gate and queue, answers back. One function an event, named by a
 * table. It lives from accept to close, on its worker's loop; a login or a commit under way
 * outlives it and finds it gone.
 */
#ifndef GATEPOST_SERVER_SESSION_H
#define GATEPOST_SERVER_SESSION_H

#include <uv.h>

#include "server/config.h"

struct session;
struct worker;

/* Takes the connection that waits at `socket`. `listener` names it and says how TLS begins;
 * borrowed for this call. */
void session_accept(struct worker *worker, uv_stream_t *socket,
                    const struct config_listener *listener);
/* Drain: idle ones get 421 4.3.2 at once, others after their transaction. All of the worker's
 * sessions. */
void session_drain(struct worker *worker);
/* Cuts all that are left. */
void session_cut(struct worker *worker);
/* Those of `account` are suspended by `incident`: idle ones get 421 at once, others after what
 * is under way. */
void session_stop_account(struct worker *worker, struct span account, uint64_t incident);
/* A secret of `account` was changed: sessions that came by it end with 421. */
void session_look_again(struct worker *worker, struct span account);
/* Those from `network` end with 421; those that are logged in when `all`. */
void session_shut_out(struct worker *worker, const struct network *network, bool all);
/* How many there are. */
size_t session_count(const struct worker *worker);

#endif
