/*
 * A smarthost's addresses. Numbers are known at once; names are looked up in the pool, one
 * lookup at a time a resolver, so that a name server that hangs holds one thread of the pool
 * and no more. Answers are kept for a minute.
 */
#ifndef GATEPOST_SERVER_RESOLVER_H
#define GATEPOST_SERVER_RESOLVER_H

#include <uv.h>

#include "proto/span.h"

struct resolver;

enum resolver_answer { RESOLVER_READY, RESOLVER_WAIT, RESOLVER_FAILED };

/* `done` is called when a lookup ended: ask again. NULL without memory. `name` is copied. */
struct resolver *resolver_new(uv_loop_t *loop, const char *name, unsigned port,
                              void (*done)(void *owner), void *owner);
/* A lookup under way ends by itself later; `done` is not called any more. NULL is accepted. */
void resolver_free(struct resolver *resolver);

/* READY: the addresses live until the next call. WAIT: a lookup is under way. FAILED:
 * `reason_out` says why, once; the next call looks up again. */
enum resolver_answer resolver_ask(struct resolver *resolver,
                                  const struct sockaddr_storage **addresses_out, size_t *n_out,
                                  const char **reason_out);
bool resolver_is_number(const struct resolver *resolver);

#endif
