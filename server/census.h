/*
 * Who is here: connections in all, per network and per account, and bytes of messages that an
 * account's sessions have staged but not committed. One mutex; memory bounded by the
 * connections there are.
 */
#ifndef GATEPOST_SERVER_CENSUS_H
#define GATEPOST_SERVER_CENSUS_H

#include <sys/socket.h>

#include "proto/span.h"

struct census;

struct census *census_new(void);
void census_free(struct census *census);

/* Counts one connection of the peer's network (IPv4 address, IPv6 /64); false, uncounted,
 * beyond a limit. */
bool census_connect(struct census *census, const struct sockaddr *peer, int64_t most,
                    int64_t most_per_network);
void census_disconnect(struct census *census, const struct sockaddr *peer);

/* The same for the sessions of an account. */
bool census_login(struct census *census, struct span account, int64_t most_per_account);
void census_logout(struct census *census, struct span account);

/* `delta` more (or less) uncommitted bytes of a logged-in account; false, unchanged, beyond
 * `most`. */
bool census_bytes(struct census *census, struct span account, int64_t delta, int64_t most);

/* Connections now. */
int64_t census_connections(struct census *census);

#endif
