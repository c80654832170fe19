/*
 * Where a connection comes from: its address, as text, as bytes, and as the network that is
 * counted. An IPv4 address inside IPv6 (::ffff:192.0.2.1) is the IPv4 address.
 */
#ifndef GATEPOST_SERVER_PEER_H
#define GATEPOST_SERVER_PEER_H

#include <netinet/in.h>

#include "proto/network.h"

struct peer {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	char text[INET6_ADDRSTRLEN];
};

void peer_set(struct peer *peer, const struct sockaddr *address);
/* As proto/network counts: IPv4 as v4-mapped; all zero for other families. */
void peer_bytes(const struct peer *peer, unsigned char address_out[NETWORK_ADDRESS_BYTES]);
/* The IPv4 address or the IPv6 /64, within `peer`; empty for other families. */
struct span peer_network(const struct peer *peer);

#endif
