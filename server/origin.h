/*
 * Where a client is, as the judge sees it: its network as a digest, and what the admin has
 * declared of it. Pure but for the key; any thread.
 */
#ifndef GATEPOST_SERVER_ORIGIN_H
#define GATEPOST_SERVER_ORIGIN_H

#include "auth/familiar.h"
#include "server/config.h"

/* `address`: 16 bytes, IPv4 as v4-mapped. This machine itself is network 0; what is declared of
 * it holds all the same (a webmail that runs here is shared). */
struct origin origin_of(const struct config *config, const struct secret_key *key,
                        const unsigned char address[NETWORK_ADDRESS_BYTES]);

#endif
