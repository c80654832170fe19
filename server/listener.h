/* The listening sockets of one worker (SO_REUSEPORT): accept, count, hand to a session. */
#ifndef GATEPOST_SERVER_LISTENER_H
#define GATEPOST_SERVER_LISTENER_H

#include <uv.h>

#include "server/config.h"

struct listener;
struct worker;

/* All sockets of the configuration, bound and not yet listening: one set a worker, made before
 * privileges are dropped. A sentence "listen NAME: 0.0.0.0:587: address already in use" on
 * failure. */
struct listener_sockets;
struct listener_sockets *listener_bind(const struct config *config, struct error *error);
void listener_sockets_free(struct listener_sockets *sockets);

/* Begins to accept on the worker's loop; takes the sockets over. */
struct listener *listener_start(struct worker *worker, struct listener_sockets *sockets,
                                struct error *error);
/* Closes the sockets (drain). Asynchronous; the memory goes with the last close call-back. NULL
 * is accepted. */
void listener_stop(struct listener *listener);

#endif
