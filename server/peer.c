#include "server/peer.h"

#include <arpa/inet.h>

static void set_v6(struct peer *peer, const struct sockaddr_in6 *v6)
{
	if (!IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		peer->address.v6 = *v6;
		return;
	}
	peer->address.v4 = (struct sockaddr_in){ .sin_family = AF_INET,
		                                 .sin_port = v6->sin6_port };
	memcpy(&peer->address.v4.sin_addr, &v6->sin6_addr.s6_addr[12], 4);
}

void peer_set(struct peer *peer, const struct sockaddr *address)
{
	*peer = (struct peer){ .text = "unknown" };
	if (address->sa_family == AF_INET) {
		peer->address.v4 = *(const struct sockaddr_in *)(const void *)address;
	} else if (address->sa_family == AF_INET6) {
		set_v6(peer, (const struct sockaddr_in6 *)(const void *)address);
	}
	int family = peer->address.any.sa_family;
	const void *bytes = family == AF_INET ? (const void *)&peer->address.v4.sin_addr
	                                      : &peer->address.v6.sin6_addr;
	if (family == AF_INET || family == AF_INET6) {
		inet_ntop(family, bytes, peer->text, sizeof(peer->text));
	}
}

void peer_bytes(const struct peer *peer, unsigned char address_out[NETWORK_ADDRESS_BYTES])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	memset(address_out, 0, NETWORK_ADDRESS_BYTES);
	if (peer->address.any.sa_family == AF_INET) {
		memcpy(address_out, mapped, sizeof mapped);
		memcpy(address_out + sizeof mapped, &peer->address.v4.sin_addr, 4);
	} else if (peer->address.any.sa_family == AF_INET6) {
		memcpy(address_out, &peer->address.v6.sin6_addr, NETWORK_ADDRESS_BYTES);
	}
}

struct span peer_network(const struct peer *peer)
{
	switch (peer->address.any.sa_family) {
	case AF_INET:
		return span_of(&peer->address.v4.sin_addr, 4);
	case AF_INET6:
		return span_of(&peer->address.v6.sin6_addr, 8);
	default:
		return SPAN_NONE;
	}
}
