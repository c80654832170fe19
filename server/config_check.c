/* What the keys of a configuration say together. */
#include <arpa/inet.h>

#include "proto/orders.h"
#include "server/config_load.h"

static bool check_names(struct config_load *load)
{
	struct config *config = load->config;
	if ((!config->hostname && !config_derive_hostname(config)) ||
	    (!config->domain && !config_derive_domain(config, config->hostname)) ||
	    !config_derive_mail(config, config->hostname, config->domain) ||
	    !config_derive_listeners(config)) {
		return config_load_fail(load, 0, "", "no memory");
	}
	if (!config->hostname) {
		return config_load_fail(load, 0, "hostname",
		                        "is missing, and the machine's own name has no dot");
	}
	if (!config->domain) {
		return config_load_fail(load, 0, "domain", "is missing, and hostname has none");
	}
	return true;
}

static bool check_smarthosts(struct config_load *load)
{
	return load->config->nsmarthosts > 0 ||
	       config_load_fail(load, 0, "smarthost", "at least one smarthost block is needed");
}

struct place {
	unsigned char ip[sizeof(struct in6_addr)];
	int family;
	unsigned port;
};

static struct place place_of(const struct config_listener *listener, size_t address)
{
	struct place place = { .family = AF_INET, .port = listener->port };
	const char *text = listener->address[address];
	if (inet_pton(AF_INET, text, place.ip) != 1) {
		place.family = AF_INET6;
		inet_pton(AF_INET6, text, place.ip);
	}
	return place;
}

/* SO_REUSEPORT would let both have it, and clients would meet one or the other. */
static bool check_listeners(struct config_load *load)
{
	struct place places[CONFIG_LISTENERS_MAX * CONFIG_ADDRESSES_MAX];
	const struct config *config = load->config;
	size_t n = 0;
	for (size_t i = 0; i < config->nlisteners; i++) {
		const struct config_listener *listener = &config->listener[i];
		for (size_t a = 0; a < listener->naddresses; a++, n++) {
			places[n] = place_of(listener, a);
			for (size_t before = 0; before < n; before++) {
				if (memcmp(&places[before], &places[n], sizeof places[n]) ==
				    0) {
					struct config_name name = config_name_key(
					    CONFIG_LISTEN, listener->name, "address");
					int line = config_load_line(load, CONFIG_LISTEN,
					                            listener->name, "address",
					                            a + 1);
					return config_load_fail(
					    load, line, name.text,
					    "\"%s\": port %u is given twice",
					    listener->address[a], listener->port);
				}
			}
		}
	}
	return true;
}

bool config_check_windows(const struct config_load *load, enum config_block block,
                          const char *title, const char *key,
                          const struct budget_limits *limits)
{
	for (size_t i = 0; i < limits->count; i++) {
		for (size_t before = 0; before < i; before++) {
			if (limits->limit[before].window == limits->limit[i].window) {
				struct config_name name = config_name_key(block, title, key);
				return config_load_fail(
				    load, config_load_line(load, block, title, key, i + 1),
				    name.text, "value %zu has the window of value %zu", i + 1,
				    before + 1);
			}
		}
	}
	return true;
}

static bool check_limits(struct config_load *load)
{
	const struct config *config = load->config;
	bool good = config_check_windows(load, CONFIG_TOP, "", "limits", &config->limits);
	for (size_t i = 0; good && i < config->ndevices; i++) {
		const struct config_device *device = &config->device[i];
		good = config_check_windows(load, CONFIG_DEVICE, device->name, "limits",
		                            &device->limits);
	}
	return good;
}

/* Only the site's own MTA hands in answers, and nobody else's passwords go in the clear. */
static bool check_roles(struct config_load *load)
{
	for (size_t i = 0; i < load->config->nlisteners; i++) {
		const struct config_listener *listener = &load->config->listener[i];
		bool reply = listener->role == CONFIG_ROLE_REPLY;
		const struct {
			bool fault;
			const char *key, *reason;
		} checks[] = {
			{ listener->tls == CONFIG_TLS_NONE && !reply, "tls",
			  "none is for role = reply only" },
			{ listener->npeers && !reply, "peers", "are for role = reply only" },
			{ reply && !listener->npeers, "peers",
			  "role = reply needs those who may connect" },
		};
		for (size_t c = 0; c < COUNT(checks); c++) {
			if (checks[c].fault) {
				struct config_name name = config_name_key(
				    CONFIG_LISTEN, listener->name, checks[c].key);
				return config_load_fail(load,
				                        config_load_line(load, CONFIG_LISTEN,
				                                         listener->name,
				                                         checks[c].key, 0),
				                        name.text, "%s", checks[c].reason);
			}
		}
	}
	return true;
}

/* One notice a postmaster. */
static bool check_postmasters(struct config_load *load)
{
	const struct config *config = load->config;
	for (size_t i = 0; i < config->npostmaster; i++) {
		for (size_t before = 0; before < i; before++) {
			if (span_eq_nocase(config->postmaster[i], config->postmaster[before])) {
				return config_load_fail_key(load, "postmaster", i + 1,
				                            "value %zu is value %zu again",
				                            i + 1, before + 1);
			}
		}
	}
	return true;
}

/* Mail to an address of this form never leaves: a notice would come back to us, as an answer.
 */
static bool check_reply_address(struct config_load *load)
{
	const struct config *config = load->config;
	struct span pattern = span_str(config->reply_address);
	const char *reason = "";
	if (!orders_pattern_is_valid(pattern, &reason)) {
		return config_load_fail_key(load, "reply_address", 0, "\"%.80s\": %s",
		                            config->reply_address, reason);
	}
	struct span from = span_str(config->notice_from);
	for (size_t i = 0; i <= config->npostmaster; i++) {
		struct span one = i ? config->postmaster[i - 1] : from;
		if (gate_pattern_matches(pattern, one)) {
			return config_load_fail_key(
			    load, "reply_address", 0, "takes %s: \"%.*s\"",
			    i ? "a postmaster" : "notice_from", SPAN_ARG(one));
		}
	}
	return true;
}

/* An account must be able to send one message of the largest size. */
static bool check_sizes(struct config_load *load)
{
	const struct config *config = load->config;
	const struct {
		const char *key;
		int64_t bytes;
	} rows[] = {
		{ "queued_bytes", config->queued_bytes },
		{ "uncommitted_bytes", config->uncommitted_bytes },
		{ "store_size", config->store_size },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (config->message_size > rows[i].bytes) {
			int line = config_load_line(load, CONFIG_TOP, "", "message_size", 0);
			line = line ? line
			            : config_load_line(load, CONFIG_TOP, "", rows[i].key, 0);
			return config_load_fail(load, line, "message_size", "is more than %s",
			                        rows[i].key);
		}
	}
	return true;
}

bool config_check(struct config_load *load)
{
	static bool (*const checks[])(struct config_load *) = {
		check_names, check_smarthosts, check_listeners,   check_limits,
		check_sizes, check_roles,      check_postmasters, check_reply_address,
	};
	bool good = true;
	for (size_t i = 0; good && i < COUNT(checks); i++) {
		good = checks[i](load);
	}
	return good;
}
