/*
 * What the delivery thread does, on its loop: finds what is due, picks whose turn it is, lets
 * the relay try, commits what came of it. All calls are on that loop.
 */
#ifndef GATEPOST_SERVER_DISPATCH_H
#define GATEPOST_SERVER_DISPATCH_H

#include <stdatomic.h>
#include <uv.h>

#include "server/delivery.h"

struct dispatch;

/* `memory` is what handed bodies take: less by each that is dropped here. `changed` is called
 * when there is something new to show, or the last of a quit is done. NULL, with a sentence,
 * when that fails. */
struct dispatch *dispatch_new(struct server *server, uv_loop_t *loop, atomic_size_t *memory,
                              void (*changed)(void *owner), void *owner, struct error *error);
/* Only when dispatch_is_over, or never begun; frees itself as the loop runs on. */
void dispatch_free(struct dispatch *dispatch);

/* A committed entry; the body is taken over or dropped. */
void dispatch_fresh(struct dispatch *dispatch, const struct queue_due *due, struct buf *body);
void dispatch_word(struct dispatch *dispatch, enum delivery_word word, uint64_t id);
/* Forgets what waits of the account, and stops what is on its way. */
void dispatch_suspend(struct dispatch *dispatch, struct span account);
/* Goes on; `rescan`: the index may have what was not told. */
void dispatch_look(struct dispatch *dispatch, bool rescan);
void dispatch_reload(struct dispatch *dispatch);
/* Forgets the back-off. */
void dispatch_flush(struct dispatch *dispatch);

/* Nothing new is begun; `hard`: what is under way is cut, and what can not be committed is
 * forgotten. */
void dispatch_quit(struct dispatch *dispatch, bool hard);
bool dispatch_is_over(const struct dispatch *dispatch);

void dispatch_status(const struct dispatch *dispatch, struct delivery_status *status_out);

#endif
