#include "server/origin.h"

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
	return (struct origin){
		.network = is_this_machine(address) ? 0 : familiar_network(key, &around),
		.familiar = declared && declared->familiar,
		.shared = declared && declared->shared,
		.limits = declared && declared->limits.count ? &declared->limits : NULL,
	};
}
