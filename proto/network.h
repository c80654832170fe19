/*
 * A network in CIDR notation, IPv4 as v4-mapped: "10.0.0.0/8", "2001:db8::/32", "::1". Pure.
 */
#ifndef GATEPOST_PROTO_NETWORK_H
#define GATEPOST_PROTO_NETWORK_H

#include "proto/buf.h"

#define NETWORK_ADDRESS_BYTES 16
#define NETWORK_TEXT_MAX      48 /* with its prefix and a NUL */

struct network {
	unsigned char address[NETWORK_ADDRESS_BYTES]; /* bits behind the prefix are 0 */
	unsigned bits;                                /* of 128 */
};

/* One numeric address, "192.0.2.1" or "2001:db8::1" (no zone). False: `address_out` untouched.
 */
bool network_address_parse(struct span text, unsigned char address_out[NETWORK_ADDRESS_BYTES]);
/* An address or a network; bits set behind the prefix are refused: 10.0.0.1/8 may mean one host
 * or all of 10. False with a reason (static text). */
bool network_parse(struct span text, struct network *network_out, const char **reason_out);
/* "10.0.0.0/8"; a whole address without its prefix. */
void network_write(const struct network *network, struct buf *out);
bool network_contains(const struct network *network,
                      const unsigned char address[NETWORK_ADDRESS_BYTES]);
bool network_any_contains(const struct network *networks, size_t n,
                          const unsigned char address[NETWORK_ADDRESS_BYTES]);
/* The network of so many bits around an address. */
struct network network_cut(const unsigned char address[NETWORK_ADDRESS_BYTES], unsigned bits);
/* What one holder is likely to have: the IPv4 /24 or the IPv6 /48 around an address. */
struct network network_around(const unsigned char address[NETWORK_ADDRESS_BYTES]);

#endif
