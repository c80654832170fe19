/* What the keys about the guard say together, and what is made of them: prices, traps,
 * networks. */
#include <stdlib.h>

#include "proto/address.h"
#include "server/config_load.h"

static bool check_limits(struct config_load *load)
{
	const struct config *config = load->config;
	bool good = config_check_windows(load, CONFIG_TOP, "", "stranger_limits",
	                                 &config->stranger_limits);
	for (size_t i = 0; good && i < config->nnetworks; i++) {
		const struct config_network *network = &config->network[i];
		good = config_check_windows(load, CONFIG_NETWORK, network->name, "limits",
		                            &network->limits);
	}
	return good;
}

/* ---- prices ---- */

static struct span name_of_price(cfg_t *file, unsigned value)
{
	struct span text = span_str(cfg_getnstr(file, "prices", value));
	return span_first(text, span_find(text, '='));
}

/* The tariff itself keeps the last one only. */
static bool check_prices(struct config_load *load)
{
	for (unsigned i = 0; i < cfg_size(load->file, "prices"); i++) {
		for (unsigned before = 0; before < i; before++) {
			if (span_eq(name_of_price(load->file, i),
			            name_of_price(load->file, before))) {
				return config_load_fail_key(load, "prices", i + 1,
				                            "value %u is the price of value %u",
				                            i + 1, before + 1);
			}
		}
	}
	return true;
}

/* ---- traps ---- */

static int compare_keys(const void *a, const void *b)
{
	const struct span *one = a, *other = b;
	size_t least = one->len < other->len ? one->len : other->len;
	int order = memcmp(one->ptr, other->ptr, least);
	return order ? order : (one->len > other->len) - (one->len < other->len);
}

static bool trap_key(struct arena *memory, struct span text, struct span *key_out)
{
	struct buf key = { .cap = ADDRESS_MAX };
	struct address address;
	bool good = address_parse(text, &address) == ADDRESS_OK;
	if (good) {
		address_key(&address, &key);
		good = !key.failed && arena_copy(memory, buf_span(&key), key_out);
	}
	buf_done(&key);
	return good;
}

static bool make_traps(struct config_load *load)
{
	struct config *config = load->config;
	config->trap_keys = arena_alloc(&config->memory,
	                                (config->ntraps + 1) * sizeof *config->trap_keys);
	bool good = config->trap_keys != NULL;
	for (size_t i = 0; good && i < config->ntraps; i++) {
		good = trap_key(&config->memory, config->trap[i], &config->trap_keys[i]);
	}
	if (!good) {
		return config_load_fail(load, 0, "", "no memory");
	}
	qsort(config->trap_keys, config->ntraps, sizeof *config->trap_keys, compare_keys);
	return true;
}

bool config_is_trap(const struct config *config, struct span key)
{
	return key.len && config->ntraps &&
	       bsearch(&key, config->trap_keys, config->ntraps, sizeof key, compare_keys);
}

/* ---- networks ---- */

static bool fail_network(struct config_load *load, const struct config_network *network,
                         const char *key, size_t value, const char *reason)
{
	struct config_name name = config_name_key(CONFIG_NETWORK, network->name, key);
	return config_load_fail(
	    load, config_load_line(load, CONFIG_NETWORK, network->name, key, value), name.text,
	    "%s", reason);
}

/* One of the first `n` that is the same network; NULL when none is. */
static const struct network *same_network(const struct config_network *in, size_t n,
                                          const struct network *network)
{
	for (size_t i = 0; i < n; i++) {
		if (in->address[i].bits == network->bits &&
		    memcmp(in->address[i].address, network->address, sizeof network->address) ==
		        0) {
			return &in->address[i];
		}
	}
	return NULL;
}

/* Of two that are the same neither says more: value `index` may not be in another block, or in
 * this one again. */
static bool check_address(struct config_load *load, size_t block, size_t index)
{
	const struct config_network *here = &load->config->network[block];
	for (size_t before = 0; before <= block; before++) {
		const struct config_network *there = &load->config->network[before];
		size_t n = before == block ? index : there->naddresses;
		if (same_network(there, n, &here->address[index])) {
			struct buf reason = { .cap = 256 };
			buf_put_byte(&reason, '"');
			network_write(&here->address[index], &reason);
			buf_printf(&reason, "\": is one of network %s", there->name);
			buf_put_byte(&reason, '\0');
			fail_network(load, here, "addresses", index + 1, reason.ptr);
			buf_done(&reason);
			return false;
		}
	}
	return true;
}

static bool check_networks(struct config_load *load)
{
	for (size_t i = 0; i < load->config->nnetworks; i++) {
		const struct config_network *network = &load->config->network[i];
		if (network->familiar && network->shared) {
			return fail_network(load, network, "shared", 0,
			                    "familiar = yes is given: one of the two");
		}
		for (size_t a = 0; a < network->naddresses; a++) {
			if (!check_address(load, i, a)) {
				return false;
			}
		}
	}
	return true;
}

const struct config_network *
config_network_at(const struct config *config,
                  const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	const struct config_network *best = NULL;
	unsigned bits = 0;
	for (size_t i = 0; i < config->nnetworks; i++) {
		const struct config_network *network = &config->network[i];
		for (size_t a = 0; a < network->naddresses; a++) {
			const struct network *one = &network->address[a];
			if ((!best || one->bits > bits) && network_contains(one, address)) {
				best = network;
				bits = one->bits;
			}
		}
	}
	return best;
}

bool config_check_guard(struct config_load *load)
{
	static bool (*const steps[])(struct config_load *) = {
		check_limits,
		check_prices,
		make_traps,
		check_networks,
	};
	bool good = true;
	for (size_t i = 0; good && i < COUNT(steps); i++) {
		good = steps[i](load);
	}
	return good;
}
