#include "server/origin.h"

#include "server/geo.h"

static bool is_this_machine(const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	static const struct network loopback[] = {
		{ { [10] = 0xff, [11] = 0xff, [12] = 127 }, 120 },
		{ { [15] = 1 }, 128 },
	};
	return network_any_contains(loopback, COUNT(loopback), address);
}

struct origin origin_of(const struct config *config, const struct secret_key *key,
                        const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	const struct config_network *declared = config_network_at(config, address);
	const struct network around = network_around(address);
	uint32_t number;
	struct origin origin = {
		.familiar = declared && declared->familiar,
		.shared = declared && declared->shared,
		.limits = declared && declared->limits.count ? &declared->limits : NULL,
	};
	geo_of(config, address, &number, origin.country);
	if (!is_this_machine(address)) {
		origin.network = number ? familiar_as(key, number)
		                        : familiar_network(key, &around);
	}
	return origin;
}
