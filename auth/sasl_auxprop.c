/*
 * What Cyrus looks users up with. For accounts of our own that is our plugin, which gives SCRAM
 * its verifiers. Where users are in sasldb or SQL it is Cyrus's plugin and then ours, which
 * makes up for who is not there, so that SCRAM goes the same way for all.
 */
#include "auth/sasl_state.h"

#include <stdio.h>
#include <unistd.h>

#define VERIFIER "*authPassword"
#define PASSWORD "*" SASL_AUX_PASSWORD_PROP

#define SQL_PAUSE 5000 /* ms */

/* ---- our plugin ---- */

static struct propval value_of(const sasl_server_params_t *params, const char *name)
{
	const char *names[] = { name, NULL };
	struct propval values[COUNT(names)] = { { .name = NULL } };
	params->utils->prop_getnames(params->propctx, names, values);
	return values[0];
}

/* No password at all is never given: one in clear is what Cyrus would take PLAIN's for. */
static int give_verifier(const sasl_server_params_t *params, struct sasl_attempt *attempt)
{
	struct buf verifier;
	int code = SASL_UNAVAIL;
	struct span account = attempt->target.len ? sasl_name_span(&attempt->target)
	                                          : SPAN_LIT("@");
	buf_init_secret(&verifier, SECRET_VERIFIER_MAX);
	if (verifier_find(&sasl_site.source, account, attempt->mechanism->hash, &verifier)) {
		code = params->utils->prop_set(params->propctx, VERIFIER, verifier.ptr,
		                               (int)verifier.len);
	} else {
		sasl_attempt_break(attempt, "the store can not be read");
	}
	verifier_forget(&verifier);
	return code;
}

/* Cyrus makes verifiers out of a password in clear, with a salt of its own. Only one in clear
 * that nobody knows looks the same: by the name and the site's key, always the same one. */
static int give_unknown(const sasl_server_params_t *params, struct sasl_attempt *attempt)
{
	static const char hex[] = "0123456789abcdef";
	const struct span parts[] = { SPAN_LIT("fake password"),
		                      sasl_name_span(&attempt->canonical) };
	unsigned char digest[SECRET_BYTES];
	char text[2 * SECRET_BYTES];
	secret_hmac(&sasl_site.source.key, parts, COUNT(parts), digest);
	for (size_t i = 0; i < SECRET_BYTES; i++) {
		text[2 * i] = hex[digest[i] >> 4];
		text[2 * i + 1] = hex[digest[i] & 15];
	}
	int code = params->utils->prop_set(params->propctx, PASSWORD, text, sizeof text);
	secret_cleanse(digest, sizeof digest);
	secret_cleanse(text, sizeof text);
	return code;
}

static int auxprop_lookup(void *context, sasl_server_params_t *params, unsigned flags,
                          const char *user, unsigned len)
{
	struct sasl_attempt *attempt = sasl_attempt_of(params->utils);
	(void)context;
	(void)user;
	(void)len;
	if ((flags & SASL_AUXPROP_AUTHZID) || !attempt->mechanism ||
	    attempt->mechanism->family != FAMILY_SCRAM || !value_of(params, VERIFIER).name) {
		return SASL_OK;
	}
	if (sasl_backend() == BACKEND_INTERNAL) {
		return give_verifier(params, attempt);
	}
	if (attempt->sql_failed) {
		return SASL_UNAVAIL;
	}
	return value_of(params, PASSWORD).values || value_of(params, VERIFIER).values
	           ? SASL_OK
	           : give_unknown(params, attempt);
}

int sasl_verifiers_init(const sasl_utils_t *utils, int version, int *version_out,
                        sasl_auxprop_plug_t **plugin_out, const char *name)
{
	static char our_name[] = SASL_OUR_PLUGIN;
	static sasl_auxprop_plug_t plugin = { .auxprop_lookup = auxprop_lookup,
		                              .name = our_name };
	(void)utils;
	(void)name;
	if (version < SASL_AUXPROP_PLUG_VERSION) {
		return SASL_BADVERS;
	}
	*version_out = SASL_AUXPROP_PLUG_VERSION;
	*plugin_out = &plugin;
	return SASL_OK;
}

/* ---- Cyrus's plugins ---- */

/* They are asked by SCRAM, and by PLAIN and LOGIN once all others have been: an app password
 * needs no database, and each question to one is a connection. */
int sasl_attempt_option(void *context, const char *plugin, const char *option,
                        const char **value_out, unsigned *len_out)
{
	static const char *const lookups[] = {
		[BACKEND_SASLDB] = "sasldb " SASL_OUR_PLUGIN,
		[BACKEND_SQL] = "sql " SASL_OUR_PLUGIN,
	};
	const struct sasl_attempt *attempt = context;
	(void)plugin;
	if (strcmp(option, "auxprop_plugin") != 0 || !sasl_cyrus_has_users() ||
	    !attempt->mechanism) {
		return SASL_FAIL; /* as the process has it */
	}
	bool scram = attempt->mechanism->family == FAMILY_SCRAM &&
	             (sasl_backend() != BACKEND_SQL ||
	              sasl_sql_may_ask(sasl_name_span(&attempt->canonical)));
	if (!scram && !attempt->by_cyrus) {
		return SASL_FAIL;
	}
	*value_out = lookups[sasl_backend()];
	if (len_out) {
		*len_out = (unsigned)strlen(*value_out);
	}
	return SASL_OK;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static bool is_engine(const char *name)
{
	return span_eq_nocase(span_str(sasl_site.backend->sql.engine), span_str(name));
}

/* Of any other the plugin tells the log alone. */
bool sasl_sql_engine_is_known(void)
{
	return is_engine("sqlite3") || is_engine("mysql") || is_engine("pgsql");
}

/* The file that must be there; NULL: none. */
static const char *users_file(void)
{
	if (sasl_backend() == BACKEND_SASLDB) {
		return or_empty(sasl_site.backend->sasldb);
	}
	return is_engine("sqlite3") ? or_empty(sasl_site.backend->sql.database) : NULL;
}

bool sasl_users_are_there(struct sasl_attempt *attempt)
{
	const char *file = users_file();
	if (file && access(file, R_OK) != 0) {
		sasl_attempt_break(attempt, "the users' file can not be read");
	} else if (attempt->now < sasl_site.sql_again) {
		sasl_attempt_break(attempt, "the users' database did not answer lately");
	}
	return !attempt->broken;
}

/* The plugin writes ' as \' into its query: to SQLite that ends the text, and what follows is
 * SQL; to MySQL it does so in some of its modes. An admin may have quoted with ". */
bool sasl_sql_may_ask(struct span name)
{
	const char *quotes = is_engine("pgsql") ? "\"\\`" : "'\"\\`";
	for (size_t i = 0; i < name.len; i++) {
		if (strchr(quotes, name.ptr[i])) {
			return false;
		}
	}
	return true;
}

static bool starts(const char *text, const char *front)
{
	return strncmp(text, front, strlen(front)) == 0;
}

/* The sql plugin returns "no such user" when a query fails (the table is gone, the database
 * locked), and tells the truth to the log alone. A property that the admin's query does not
 * know (SELECT %p ...) is no failure: only what happens while it looks for the password. */
int sasl_attempt_log(void *context, int level, const char *message)
{
	static const char statement[] = "sql plugin create statement from ";
	struct sasl_attempt *attempt = context;
	if (sasl_backend() != BACKEND_SQL || !message) {
		return SASL_OK;
	}
	if (starts(message, statement)) {
		attempt->sql_serious = starts(message + sizeof statement - 1,
		                              SASL_AUX_PASSWORD_PROP " ");
	} else if (level == SASL_LOG_ERR && starts(message, "sql plugin c")) { /* connect */
		attempt->sql_failed = true;
		sasl_site.sql_again = attempt->now + SQL_PAUSE;
	} else if (level == SASL_LOG_ERR) {
		attempt->sql_failed |= attempt->sql_serious;
	} else if (level == SASL_LOG_DEBUG) {
		attempt->sql_failed |= attempt->sql_serious && starts(message, "sql plugin: ");
	}
	return SASL_OK;
}
