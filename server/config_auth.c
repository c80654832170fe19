/* What the keys about logins say together, and the files that they name: secrets and the
 * login_map. */
#include <stdio.h>

#include "proto/address.h"
#include "server/config_load.h"
#include "server/file.h"

#define MAP_FILE_MAX    ((size_t)4 * 1024 * 1024)
#define SECRET_FILE_MAX 1024

/* ---- the back end ---- */

static bool derive_backend(struct config_load *load)
{
	static const char *const engines[] = { "sqlite3", "mysql", "pgsql" };
	struct config *config = load->config;
	struct backend_rules *backend = &config->backend;
	/* It gives up a little sooner than the login does: so its own sentence is told. */
	backend->timeout = config->auth_timeout * 9 / 10;
	config->oauth.timeout = backend->timeout;
	backend->domain = config->domain;
	backend->sql.engine = engines[config->sql_engine];
	backend->ldap.starttls = config->ldap_starttls;
	backend->realms = config->auth_realms;
	const char *usual = backend->kind == BACKEND_DOVECOT ? "/run/dovecot/auth-client"
	                                                     : "/run/saslauthd/mux";
	backend->socket = config->auth_socket ? config->auth_socket : usual;
	backend->ldap.account = config->ldap_account[0] ? config->ldap_account : NULL;
	config->map.domain = span_str(config->domain);
	config->map.fold_details = config_is_external(config);
	return true;
}

/* Keys that one back end can not do without. */
static bool check_needed(struct config_load *load)
{
	const struct config *config = load->config;
	const struct backend_rules *backend = &config->backend;
	bool jwks = config->oauth.jwks != NULL;
	const struct {
		bool asked;
		const char *value;
		const char *key, *reason;
	} rows[] = {
		{ backend->kind == BACKEND_LDAP, backend->ldap.uri, "ldap_uri",
		  "is needed by auth = ldap" },
		{ backend->kind == BACKEND_LDAP, backend->ldap.base, "ldap_base",
		  "is needed by auth = ldap" },
		{ backend->kind == BACKEND_SQL, backend->sql.database, "sql_database",
		  "is needed by auth = sql" },
		{ backend->kind == BACKEND_SQL, backend->sql.select, "sql_select",
		  "is needed by auth = sql" },
		{ jwks, config->oauth.issuer, "oauth_issuer", "is needed by oauth_jwks" },
		{ jwks, config->oauth.audience, "oauth_audience", "is needed by oauth_jwks" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].asked && (!rows[i].value || !rows[i].value[0])) {
			return config_load_fail_key(load, rows[i].key, 0, "%s", rows[i].reason);
		}
	}
	if (backend->kind == BACKEND_LDAP && !backend_filter_is_valid(backend->ldap.filter)) {
		return config_load_fail_key(load, "ldap_filter", 0,
		                            "knows %%u, %%n and %%d, and %%%% for a %%");
	}
	if (jwks && config->oauth.introspect) {
		return config_load_fail_key(load, "oauth_introspect", 0,
		                            "oauth_jwks is given: one of the two");
	}
	return true;
}

bool config_read_secret(struct config_load *load, const char *key, const char *path,
                        const char **secret_out)
{
	struct buf text;
	char *secret = NULL;
	buf_init_secret(&text, SECRET_FILE_MAX);
	const char *reason = path ? file_read(path, &text) : NULL;
	struct span line = span_first(buf_span(&text), span_find(buf_span(&text), '\n'));
	if (line.len && line.ptr[line.len - 1] == '\r') {
		line.len--;
	}
	if (path && !reason && (line.len == 0 || span_find(line, '\0') < line.len)) {
		reason = "has no secret in its first line";
	}
	if (path && !reason && !config_copy_text(&load->config->memory, line, false, &secret)) {
		reason = "no memory";
	}
	buf_done(&text);
	*secret_out = secret;
	return !reason || config_load_fail_key(load, key, 0, "\"%.80s\": %s", path, reason);
}

static bool read_secrets(struct config_load *load)
{
	struct config *config = load->config;
	return config_read_secret(load, "ldap_password_file", config->ldap_password_file,
	                          &config->backend.ldap.password) &&
	       config_read_secret(load, "sql_password_file", config->sql_password_file,
	                          &config->backend.sql.password) &&
	       config_read_secret(load, "oauth_secret_file", config->oauth_secret_file,
	                          &config->oauth.client_secret);
}

static bool read_map(struct config_load *load)
{
	struct config *config = load->config;
	struct buf text = { .cap = MAP_FILE_MAX };
	struct identity_rule *rules = NULL;
	unsigned line = 0;
	if (!config->login_map) {
		return true;
	}
	const char *reason = file_read(config->login_map, &text);
	bool read = !reason;
	if (read && identity_parse(buf_span(&text), &config->memory, &rules,
	                           &config->map.nrules, &line, &reason)) {
		config->map.rules = rules;
		reason = NULL;
	}
	buf_done(&text);
	if (reason && read) {
		error_set(load->error, "%s:%u: %s", config->login_map, line, reason);
		return false;
	}
	return !reason || config_load_fail_key(load, "login_map", 0, "\"%.80s\": %s",
	                                       config->login_map, reason);
}

/* ---- mechanisms ---- */

/* What each needs, in the order in which they are offered when none are named. */
static const struct {
	const char *name;
	bool verifier;    /* stored secrets that SCRAM can use */
	bool certificate; /* client_ca */
	bool token;       /* oauth_* */
} mechanisms[] = {
	{ "PLAIN", false, false, false },
	{ "LOGIN", false, false, false },
	{ "SCRAM-SHA-1", true, false, false },
	{ "SCRAM-SHA-256", true, false, false },
	{ "SCRAM-SHA-1-PLUS", true, false, false },
	{ "SCRAM-SHA-256-PLUS", true, false, false },
	{ "EXTERNAL", false, true, false },
	{ "OAUTHBEARER", false, false, true },
	{ "XOAUTH2", false, false, true },
};

/* NULL when it can be served. */
static const char *fault_of_mechanism(const struct config *config, size_t i)
{
	if (mechanisms[i].verifier && backend_wants_password(config->backend.kind)) {
		return "can not be had from this auth, which must see the password";
	}
	if (mechanisms[i].certificate && !config->client_ca) {
		return "needs tls: client_ca";
	}
	if (mechanisms[i].token && !config->oauth.jwks && !config->oauth.introspect) {
		return "needs oauth_jwks or oauth_introspect";
	}
	return NULL;
}

static bool is_named(const struct config *config, const char *name, size_t *value_out)
{
	for (size_t i = 0; i < config->nmechanisms; i++) {
		if (span_eq(config->mechanism[i], span_str(name))) {
			*value_out = i + 1;
			return true;
		}
	}
	return false;
}

static bool derive_mechanisms(struct config_load *load)
{
	struct config *config = load->config;
	struct buf text = { .cap = 512 };
	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		const char *reason = fault_of_mechanism(config, i);
		size_t value = 0;
		bool named = is_named(config, mechanisms[i].name, &value);
		if (named && reason) {
			buf_done(&text);
			return config_load_fail_key(load, "mechanisms", value, "%s %s",
			                            mechanisms[i].name, reason);
		}
		if (config->nmechanisms == 0 && !reason) {
			buf_printf(&text, "%s%s", text.len ? " " : "", mechanisms[i].name);
		}
	}
	for (size_t i = 0; i < config->nmechanisms; i++) {
		buf_printf(&text, "%s%.*s", i ? " " : "", SPAN_ARG(config->mechanism[i]));
	}
	bool good = !text.failed && config_copy_text(&config->memory, buf_span(&text), false,
	                                             &config->mechanisms);
	buf_done(&text);
	return good || config_load_fail(load, 0, "", "no memory");
}

/* ---- devices ---- */

static bool fail_device(struct config_load *load, const struct config_device *device,
                        const char *key, const char *reason, const char *other)
{
	struct config_name name = config_name_key(CONFIG_DEVICE, device->name, key);
	return config_load_fail(load,
	                        config_load_line(load, CONFIG_DEVICE, device->name, key, 0),
	                        name.text, "%s%s", reason, other);
}

/* One address is one device, one account has one set of limits. */
static bool check_devices(struct config_load *load)
{
	struct config *config = load->config;
	config->gate_devices = arena_alloc(&config->memory, (config->ndevices + 1) *
	                                                        sizeof *config->gate_devices);
	if (!config->gate_devices) {
		return config_load_fail(load, 0, "", "no memory");
	}
	for (size_t i = 0; i < config->ndevices; i++) {
		const struct config_device *device = &config->device[i];
		for (size_t before = 0; before < i; before++) {
			const struct config_device *other = &config->device[before];
			if (strcmp(device->account, other->account) == 0) {
				return fail_device(load, device, "account",
				                   "is that of device ", other->name);
			}
			for (size_t a = 0; a < device->naddresses; a++) {
				if (network_any_contains(other->address, other->naddresses,
				                         device->address[a].address)) {
					return fail_device(load, device, "address",
					                   "is one of device ", other->name);
				}
			}
		}
		config->gate_devices[i] =
		    (struct gate_device){ .account = span_str(device->account),
			                  .limits = device->limits,
			                  .action = device->action };
	}
	return true;
}

bool config_check_auth(struct config_load *load)
{
	static bool (*const steps[])(struct config_load *) = {
		derive_backend, check_needed,      read_secrets,
		read_map,       derive_mechanisms, check_devices,
	};
	bool good = true;
	for (size_t i = 0; good && i < COUNT(steps); i++) {
		good = steps[i](load);
	}
	return good;
}
