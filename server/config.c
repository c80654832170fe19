#include "server/config.h"

#include <stdlib.h>
#include <unistd.h>

#include "proto/address.h"
#include "server/config_table.h"
#include "server/geo.h"

#define MEMORY_MAX ((size_t)16 * 1024 * 1024)

#define EXTERNAL_SESSION  ((int64_t)3600 * 1000)
#define EXTERNAL_MESSAGES 100

/* ---- the object ---- */

struct config *config_ref(struct config *config)
{
	atomic_fetch_add(&config->references, 1);
	return config;
}

void config_unref(struct config *config)
{
	if (config && atomic_fetch_sub(&config->references, 1) == 1) {
		geo_close(config->asn);
		geo_close(config->country);
		arena_done(&config->memory);
		free(config);
	}
}

struct config *config_new_empty(void)
{
	struct config *config = calloc(1, sizeof *config);
	if (config) {
		atomic_init(&config->references, 1);
		arena_init(&config->memory, MEMORY_MAX);
	}
	return config;
}

static bool copy(struct config *config, struct span text, char **copy_out)
{
	return config_copy_text(&config->memory, text, false, copy_out);
}

static bool init_rows(struct config *config, enum config_block block, void *object, bool sample)
{
	for (size_t i = 0; i < config_nrows; i++) {
		const struct config_row *row = &config_rows[i];
		if (row->block == block &&
		    !config_row_init(row, &config->memory, object, sample)) {
			return false;
		}
	}
	return true;
}

static bool add_listener(struct config *config, const char *name, unsigned port,
                         enum config_tls tls)
{
	if (config->nlisteners == CONFIG_LISTENERS_MAX) {
		return false;
	}
	struct config_listener *listener = &config->listener[config->nlisteners];
	listener->port = port;
	listener->tls = tls;
	bool good = init_rows(config, CONFIG_LISTEN, listener, false) &&
	            copy(config, span_str(name), &listener->name);
	config->nlisteners += good;
	return good;
}

bool config_derive_listeners(struct config *config)
{
	for (size_t i = 0; i < config->nlisteners; i++) {
		if (config->listener[i].role == CONFIG_ROLE_SUBMISSION) {
			return true;
		}
	}
	return add_listener(config, "submission", 587, CONFIG_TLS_STARTTLS) &&
	       add_listener(config, "submissions", 465, CONFIG_TLS_IMPLICIT);
}

struct config *config_new(bool sample)
{
	struct config *config = config_new_empty();
	if (config && init_rows(config, CONFIG_TOP, config, sample) &&
	    init_rows(config, CONFIG_TLS, config, sample) && config_derive_listeners(config)) {
		struct config_smarthost *mta = &config->smarthost[0];
		if (!sample) {
			return config;
		}
		config->nsmarthosts = 1;
		if (config_derive_mail(config, config->hostname, config->domain) &&
		    init_rows(config, CONFIG_SMARTHOST, mta, true) &&
		    copy(config, SPAN_LIT("mta"), &mta->name)) {
			return config;
		}
	}
	config_unref(config);
	return NULL;
}

bool config_derive_hostname(struct config *config)
{
	char name[ADDRESS_DOMAIN_MAX + 1] = "";
	if (gethostname(name, sizeof name - 1) != 0 || !strchr(name, '.') ||
	    !address_domain_is_valid(span_str(name))) {
		return true;
	}
	return copy(config, span_str(name), &config->hostname);
}

bool config_derive_domain(struct config *config, const char *hostname)
{
	struct span name = span_str(hostname);
	struct span domain = span_from(name, span_find(name, '.') + 1);
	if (domain.len == 0 || name.ptr[0] == '[') {
		return true;
	}
	bool good = copy(config, domain, &config->domain);
	for (char *c = config->domain; good && *c; c++) {
		*c = span_lower(*c);
	}
	return good;
}

/* "FRONT@NAME", where the field is not given and the name is known. */
static bool derive_address(struct config *config, const char *front, const char *name,
                           char **field)
{
	struct buf text = { .cap = 512 };
	bool good = true;
	if (!*field && name) {
		good = buf_printf(&text, "%s@%s", front, name) &&
		       copy(config, buf_span(&text), field);
	}
	buf_done(&text);
	return good;
}

bool config_derive_mail(struct config *config, const char *hostname, const char *domain)
{
	return derive_address(config, "unlock+*", hostname, &config->reply_address) &&
	       derive_address(config, "postmaster", domain, &config->notice_from);
}

/* ---- what others need of it ---- */

struct suspend_rules config_suspend_rules(const struct config *config)
{
	return (struct suspend_rules){ .postmaster = config->postmaster,
		                       .npostmaster = config->npostmaster,
		                       .member = config->postmaster_member,
		                       .nmembers = config->npostmaster_members,
		                       .notice_max = config->notice_max };
}

struct linger_rules config_linger_rules(const struct config *config)
{
	return (struct linger_rules){ .suspend = config_suspend_rules(config),
		                      .held_lifetime = config->held_lifetime };
}

struct gate_rules config_gate_rules(const struct config *config)
{
	return (struct gate_rules){ .limits = config->limits,
		                    .action = config->action,
		                    .mode = config->mode,
		                    .suspend_max = config->suspend_max,
		                    .tariff = config->prices,
		                    .dwell = config->dwell,
		                    .familiar = config_familiar_rules(config),
		                    .stranger_limits = config->stranger_limits,
		                    .site_strangers = config->site_strangers,
		                    .devices = config->gate_devices,
		                    .ndevices = config->ndevices,
		                    .exempt = config->exempt,
		                    .nexempt = config->nexempt,
		                    .suspend = config_suspend_rules(config) };
}

struct familiar_rules config_familiar_rules(const struct config *config)
{
	return (struct familiar_rules){ .off = config->history == CONFIG_HISTORY_OFF,
		                        .keep = config->history_keep,
		                        .shared_from = config->shared_from };
}

struct unlock_rules config_unlock_rules(const struct config *config,
                                        const struct secret_key *key)
{
	return (struct unlock_rules){
		.suspend = config_suspend_rules(config),
		.may_unlock = config->may_unlock,
		.nmay_unlock = config->nmay_unlock,
		.word_required = config->unlock_word == CONFIG_UNLOCK_WORD_REQUIRED,
		.key = *key,
	};
}

const struct config_device *config_device_at(const struct config *config,
                                             const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	for (size_t i = 0; i < config->ndevices; i++) {
		const struct config_device *device = &config->device[i];
		if (network_any_contains(device->address, device->naddresses, address)) {
			return device;
		}
	}
	return NULL;
}

bool config_is_external(const struct config *config)
{
	return config->backend.kind != BACKEND_INTERNAL;
}

bool config_external_is_over(int64_t age, unsigned messages)
{
	return age >= EXTERNAL_SESSION || messages >= EXTERNAL_MESSAGES;
}

/* ---- warnings ---- */

/* A mailbox that several read, or a machine. */
static bool is_role(struct span address)
{
	static const char *const names[] = {
		"abuse",     "admin",    "administrator", "helpdesk", "hostmaster",
		"info",      "it",       "noc",           "office",   "postmaster",
		"root",      "security", "servicedesk",   "support",  "sysadmin",
		"webmaster",
	};
	struct span local = span_first(address, span_find(address, '@'));
	for (size_t i = 0; i < COUNT(names); i++) {
		if (span_eq_nocase(local, span_str(names[i]))) {
			return true;
		}
	}
	return false;
}

static bool nobody_is_told(const struct config *config)
{
	return config->npostmaster == 0;
}

static bool only_observes(const struct config *config)
{
	return config->mode == GATE_MODE_OBSERVE;
}

static bool only_roles(const struct config *config)
{
	bool roles = config->npostmaster > 0;
	for (size_t i = 0; i < config->npostmaster; i++) {
		roles = roles && is_role(config->postmaster[i]);
	}
	for (size_t i = 0; i < config->nmay_unlock; i++) {
		roles = roles && is_role(config->may_unlock[i]);
	}
	return roles;
}

/* A pattern that any domain fits. */
static bool anybody(const struct config *config)
{
	for (size_t i = 0; i < config->nmay_unlock; i++) {
		struct span pattern = config->may_unlock[i];
		size_t last = pattern.len - 1;
		if (pattern.ptr[last] == '*') {
			return true;
		}
	}
	return false;
}

/* A bind over the network without TLS. */
static bool clear_ldap(const struct config *config)
{
	static const char *const near[] = { "ldap://127.", "ldap://[::1]", "ldap://localhost" };
	const struct backend_rules *backend = &config->backend;
	if (backend->kind != BACKEND_LDAP || backend->ldap.starttls) {
		return false;
	}
	for (size_t i = 0; i < COUNT(near); i++) {
		if (span_starts_nocase(span_str(backend->ldap.uri), span_str(near[i]))) {
			return false;
		}
	}
	return span_starts_nocase(span_str(backend->ldap.uri), SPAN_LIT("ldap://"));
}

static const struct {
	bool (*holds)(const struct config *config);
	const char *text;
} warnings[] = {
	{ nobody_is_told,
	  "postmaster: is not given: an account that breaks its limits is refused, "
	  "but not suspended, and nobody is told" },
	{ only_observes, "mode: is observe: nothing is refused, held or delayed and nobody is "
	                 "suspended, until "
	                 "four times the limits are used" },
	{ only_roles,
	  "may_unlock: only role addresses may end a suspension: whoever reads such a "
	  "mailbox may, and a ticket system that answers mail; name people as well" },
	{ anybody,
	  "may_unlock: a pattern that ends in * lets in senders of any domain: whoever "
	  "gets hold of a notice may end the suspension" },
	{ clear_ldap,
	  "ldap_uri: passwords go to the server in clear: ldaps://, or ldap_starttls = yes" },
};

bool config_warning(const struct config *config, size_t number, char *text_out, size_t size)
{
	for (size_t i = 0; i < COUNT(warnings); i++) {
		if (warnings[i].holds(config) && number-- == 0) {
			snprintf(text_out, size, "%s", warnings[i].text);
			return true;
		}
	}
	return false;
}
