/*
 * A connection to a daemon of the site, with one deadline for all that is done on it: connect,
 * each write, each read. A peer that sends a byte a minute is as late as one that is silent.
 * Blocks, so it is for the pool. It reads the clock (CLOCK_MONOTONIC) for its deadline only.
 */
#ifndef GATEPOST_AUTH_WIRE_H
#define GATEPOST_AUTH_WIRE_H

#include "proto/error.h"
#include "proto/span.h"

struct wire {
	int fd;           /* -1: none */
	int64_t deadline; /* ms of the same clock as wire_now */
	const char *name; /* of the peer, for sentences; borrowed */
};

int64_t wire_now(void);
/* ms until the deadline; 0 when it is over. */
int64_t wire_left(const struct wire *wire);

/* All below are false, with a sentence, when the world failed or the deadline is over. `wire`
 * has its deadline and its name. */

/* Connects to the UNIX socket at `path`. */
bool wire_open(struct wire *wire, const char *path, struct error *error);
/* Connects to the first address of `host` that answers, each with its share of the time. Names
 * are resolved by the system, in its own time: a site gives addresses, or /etc/hosts. */
bool wire_dial(struct wire *wire, const char *host, unsigned port, struct error *error);
/* Closes; nothing when it is not open. */
void wire_close(struct wire *wire);

/* Until there is something to read; false when the deadline is over first. */
bool wire_wait(const struct wire *wire);
bool wire_send(struct wire *wire, struct span bytes, struct error *error);
/* Exactly `n` bytes. */
bool wire_receive(struct wire *wire, void *bytes_out, size_t n, struct error *error);
/* What has come, up to `n` bytes and at least one. */
bool wire_receive_some(struct wire *wire, void *bytes_out, size_t n, size_t *got_out,
                       struct error *error);

#endif
