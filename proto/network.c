#include "proto/network.h"

#include <arpa/inet.h>

#define ADDRESS_BITS (8u * NETWORK_ADDRESS_BYTES)
#define MAPPED_BITS  96
#define AROUND_V4    (MAPPED_BITS + 24)
#define AROUND_V6    48

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static bool is_v4(const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	return memcmp(address, mapped, sizeof mapped) == 0;
}

/* An empty text, or one with a NUL, is none. */
bool network_address_parse(struct span text, unsigned char address_out[NETWORK_ADDRESS_BYTES])
{
	char host[INET6_ADDRSTRLEN + 1] = "";
	unsigned char v4[4];
	unsigned char v6[NETWORK_ADDRESS_BYTES];
	if (text.len == 0 || text.len >= sizeof host || span_find(text, '\0') < text.len) {
		return false;
	}
	memcpy(host, text.ptr, text.len);
	if (inet_pton(AF_INET, host, v4) == 1) {
		memcpy(address_out, mapped, sizeof mapped);
		memcpy(address_out + sizeof mapped, v4, sizeof v4);
		return true;
	}
	if (inet_pton(AF_INET6, host, v6) == 1) {
		memcpy(address_out, v6, sizeof v6);
		return true;
	}
	return false;
}

/* "/24" and the like; all bits when there is none. */
static bool read_bits(struct span text, unsigned most, unsigned *bits_out)
{
	unsigned bits = 0;
	if (text.len == 0) {
		*bits_out = most;
		return true;
	}
	for (size_t i = 1; i < text.len; i++) {
		if (i > 3 || text.ptr[i] < '0' || text.ptr[i] > '9') {
			return false;
		}
		bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
	}
	*bits_out = bits;
	return text.len > 1 && bits <= most;
}

/* Bits behind the prefix become 0. */
static void cut(struct network *network)
{
	for (unsigned bit = network->bits; bit < ADDRESS_BITS; bit++) {
		network->address[bit / 8] &= (unsigned char)~(0x80u >> bit % 8);
	}
}

bool network_parse(struct span text, struct network *network_out, const char **reason_out)
{
	struct span host = span_first(text, span_find(text, '/'));
	struct network network = { .bits = 0 };
	*reason_out = "is no network";
	if (!network_address_parse(host, network.address)) {
		return false;
	}
	bool v4 = span_find(host, ':') == host.len;
	if (!read_bits(span_from(text, host.len), v4 ? 32 : ADDRESS_BITS, &network.bits)) {
		*reason_out = v4 ? "ends in no prefix, /0 to /32"
		                 : "ends in no prefix, /0 to /128";
		return false;
	}
	network.bits += v4 ? MAPPED_BITS : 0;
	struct network whole = network;
	cut(&network);
	if (memcmp(whole.address, network.address, sizeof whole.address) != 0) {
		*reason_out = "has bits behind its prefix";
		return false;
	}
	*network_out = network;
	return true;
}

void network_write(const struct network *network, struct buf *out)
{
	char text[INET6_ADDRSTRLEN];
	bool v4 = network->bits >= MAPPED_BITS && is_v4(network->address);
	inet_ntop(v4 ? AF_INET : AF_INET6, network->address + (v4 ? sizeof mapped : 0), text,
	          sizeof text);
	buf_put_str(out, text);
	if (network->bits < ADDRESS_BITS) {
		buf_printf(out, "/%u", network->bits - (v4 ? MAPPED_BITS : 0));
	}
}

bool network_contains(const struct network *network,
                      const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	unsigned whole = network->bits / 8;
	unsigned rest = network->bits % 8;
	return memcmp(address, network->address, whole) == 0 &&
	       (rest == 0 || (address[whole] ^ network->address[whole]) >> (8 - rest) == 0);
}

bool network_any_contains(const struct network *networks, size_t n,
                          const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	for (size_t i = 0; i < n; i++) {
		if (network_contains(&networks[i], address)) {
			return true;
		}
	}
	return false;
}

struct network network_cut(const unsigned char address[NETWORK_ADDRESS_BYTES], unsigned bits)
{
	struct network network = { .bits = bits };
	memcpy(network.address, address, sizeof network.address);
	cut(&network);
	return network;
}

struct network network_around(const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	return network_cut(address, is_v4(address) ? AROUND_V4 : AROUND_V6);
}
