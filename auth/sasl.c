#include "auth/sasl.h"

#include "auth/sasl_state.h"
#include "auth/success.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Where Cyrus keeps its plugins; the build knows better. */
#ifndef GATEPOST_SASL_PLUGINS
#define GATEPOST_SASL_PLUGINS "/usr/lib/sasl2"
#endif

static const struct sasl_mechanism mechanisms[] = {
	{ "PLAIN", "PLAIN", "libplain", FAMILY_PASSWORD, 0, false },
	{ "LOGIN", "LOGIN", "liblogin", FAMILY_PASSWORD, 0, false },
	{ "SCRAM-SHA-1", "SCRAM-SHA-1", "libscram", FAMILY_SCRAM, SECRET_SHA1, false },
	{ "SCRAM-SHA-256", "SCRAM-SHA-256", "libscram", FAMILY_SCRAM, SECRET_SHA256, false },
	{ "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "libscram", FAMILY_SCRAM, SECRET_SHA1, true },
	{ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "libscram", FAMILY_SCRAM, SECRET_SHA256,
	  true },
	{ "EXTERNAL", "EXTERNAL", NULL, FAMILY_EXTERNAL, 0, false },
	{ "OAUTHBEARER", "OAUTHBEARER", NULL, FAMILY_OAUTH, 0, false },
	{ "XOAUTH2", "XOAUTH2", NULL, FAMILY_OAUTH, 0, false },
};

#define LIST_MAX 160 /* all of their names */

struct sasl_site sasl_site;

static struct {
	bool offered[COUNT(mechanisms)];
	char shown[2][LIST_MAX]; /* by whether there is a certificate */
	char bases[LIST_MAX];    /* as Cyrus is to know them */
	char iterations[16];
} lists;

static void list_add(char list[LIST_MAX], const char *word)
{
	size_t used = strlen(list);
	snprintf(list + used, LIST_MAX - used, "%s%s", used ? " " : "", word);
}

static const struct sasl_mechanism *find_known(struct span name)
{
	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		if (span_eq_nocase(name, span_str(mechanisms[i].name))) {
			return &mechanisms[i];
		}
	}
	return NULL;
}

static bool *offered_of(const struct sasl_mechanism *mechanism)
{
	return &lists.offered[mechanism - mechanisms];
}

const struct sasl_mechanism *sasl_mechanism_find(struct span name)
{
	const struct sasl_mechanism *mechanism = find_known(name);
	return mechanism && *offered_of(mechanism) ? mechanism : NULL;
}

/* ---- call-backs of the process: what Cyrus would take from files and the environment ---- */

static const char *sql_hosts(void)
{
	const char *host = sasl_site.backend->sql.host;
	return host ? host : "";
}

/* Options of Cyrus's own back ends; the plugins keep the pointers. NULL: not ours. */
static const char *backend_option(const char *option)
{
	const struct backend_rules *rules = sasl_site.backend;
	if (!rules || !sasl_cyrus_has_users()) {
		return NULL;
	}
	const struct {
		const char *name, *value;
	} options[] = {
		{ "sasldb_path", rules->sasldb },        { "sql_engine", rules->sql.engine },
		{ "sql_database", rules->sql.database }, { "sql_hostnames", sql_hosts() },
		{ "sql_user", rules->sql.user },         { "sql_passwd", rules->sql.password },
		{ "sql_select", rules->sql.select },
	};
	for (size_t i = 0; i < COUNT(options); i++) {
		if (strcmp(options[i].name, option) == 0) {
			return options[i].value;
		}
	}
	return NULL;
}

static const char *site_option(const char *option)
{
	static const struct {
		const char *name;
		const char *value;
	} options[] = {
		{ "pwcheck_method", "auxprop" },
		{ "auxprop_plugin", SASL_OUR_PLUGIN },
		{ "canon_user_plugin", "INTERNAL" },
		{ "mech_list", lists.bases },
		{ "log_level", "0" },
		/* without it Cyrus reads a pointer that nobody has set */
		{ "scram_iteration_counter", lists.iterations },
	};
	for (size_t i = 0; i < COUNT(options); i++) {
		if (strcmp(options[i].name, option) == 0) {
			return options[i].value;
		}
	}
	return backend_option(option);
}

static int option_get(void *context, const char *plugin, const char *option,
                      const char **value_out, unsigned *len_out)
{
	const char *value = site_option(option);
	(void)context;
	(void)plugin;
	if (!value) {
		return SASL_FAIL;
	}
	*value_out = value;
	if (len_out) {
		*len_out = (unsigned)strlen(value);
	}
	return SASL_OK;
}

/* Else SASL_PATH of the environment would say what is loaded into us. */
static int plugin_path(void *context, const char **path_out)
{
	(void)context;
	*path_out = GATEPOST_SASL_PLUGINS;
	return SASL_OK;
}

static int config_path(void *context, char **path_out)
{
	(void)context;
	*path_out = strdup("/nonexistent"); /* Cyrus frees it */
	return *path_out ? SASL_OK : SASL_FAIL;
}

static bool plugin_is_needed(struct span stem)
{
	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		if (lists.offered[i] && span_eq(stem, span_str(mechanisms[i].file))) {
			return true;
		}
	}
	return (sasl_backend() == BACKEND_SASLDB && span_eq(stem, SPAN_LIT("libsasldb"))) ||
	       (sasl_backend() == BACKEND_SQL && span_eq(stem, SPAN_LIT("libsql")));
}

/* A plugin that is not opened can not be attacked: DIGEST-MD5, NTLM, OTP and GSSAPI stay
 * outside. */
static int file_verify(void *context, const char *path, sasl_verify_type_t type)
{
	const char *slash = strrchr(path, '/');
	struct span file = span_str(slash ? slash + 1 : path);
	struct span stem = span_first(file, span_find(file, '.'));
	(void)context;
	bool ok = type == SASL_VRFY_PLUGIN
	              ? plugin_is_needed(stem)
	              : type == SASL_VRFY_PASSWD && sasl_backend() == BACKEND_SASLDB;
	return ok ? SASL_OK : SASL_CONTINUE;
}

/* Names and reasons are logged by whoever asked us, and only those he chooses. */
static int log_nothing(void *context, int level, const char *message)
{
	(void)context;
	(void)level;
	(void)message;
	return SASL_OK;
}

static void *mutex_new(void)
{
	pthread_mutex_t *mutex = malloc(sizeof *mutex);
	if (mutex) {
		pthread_mutex_init(mutex, NULL);
	}
	return mutex;
}

static int mutex_lock(void *mutex)
{
	return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static int mutex_unlock(void *mutex)
{
	return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static void mutex_free(void *mutex)
{
	pthread_mutex_destroy(mutex);
	free(mutex);
}

/* ---- the process ---- */

/* Who has the passwords of this mechanism? */
static bool can_serve(const struct sasl_mechanism *mechanism, struct error *error)
{
	if (mechanism->family == FAMILY_SCRAM && backend_wants_password(sasl_backend())) {
		error_set(error,
		          "SASL mechanism %s can not be had with auth = %s, which keeps its "
		          "passwords to itself: PLAIN and LOGIN can",
		          mechanism->name, backend_name(sasl_backend()));
		return false;
	}
	if (mechanism->family == FAMILY_OAUTH && !sasl_site.oauth) {
		error_set(error,
		          "SASL mechanism %s can not be had with auth = %s alone: nothing is "
		          "configured that checks its tokens",
		          mechanism->name, backend_name(sasl_backend()));
		return false;
	}
	return true;
}

static void offer(const struct sasl_mechanism *mechanism)
{
	if (*offered_of(mechanism)) {
		return;
	}
	*offered_of(mechanism) = true;
	sasl_site.plus_is_offered |= mechanism->plus;
	list_add(lists.shown[true], mechanism->name);
	if (mechanism->family != FAMILY_EXTERNAL) {
		list_add(lists.shown[false], mechanism->name);
	}
	for (const struct sasl_mechanism *m = mechanisms; m < mechanisms + COUNT(mechanisms);
	     m++) {
		if (m != mechanism && *offered_of(m) && strcmp(m->base, mechanism->base) == 0) {
			return; /* Cyrus knows it already */
		}
	}
	list_add(lists.bases, mechanism->base);
}

/* Our spelling, in the order given, each once. */
static bool offer_all(const char *names, struct error *error)
{
	memset(&lists, 0, sizeof lists);
	for (struct span rest = span_str(names); rest.len;) {
		struct span name = span_first(rest, span_find(rest, ' '));
		const struct sasl_mechanism *mechanism = find_known(name);
		rest = span_from(rest, name.len + 1);
		if (name.len == 0) {
			continue;
		}
		if (!mechanism) {
			error_set(
			    error,
			    "SASL mechanism %.*s is not known: PLAIN, LOGIN, SCRAM-SHA-1, "
			    "SCRAM-SHA-256, both with -PLUS, EXTERNAL, OAUTHBEARER and "
			    "XOAUTH2 are",
			    SPAN_ARG(span_first(name, 64)));
			return false;
		}
		if (!can_serve(mechanism, error)) {
			return false;
		}
		offer(mechanism);
	}
	if (!lists.bases[0]) {
		error_set(error, "no SASL mechanism is configured");
	}
	return lists.bases[0] != '\0';
}

static bool copy_name(char out[ADDRESS_DOMAIN_MAX + 1], const char *name, struct error *error)
{
	size_t len = strlen(name);
	if (len == 0 || len > ADDRESS_DOMAIN_MAX) {
		error_set(error, "SASL needs a name of 1 to %d bytes, not \"%.40s\"",
		          ADDRESS_DOMAIN_MAX, name);
		return false;
	}
	memcpy(out, name, len + 1);
	return true;
}

/* Does Cyrus have them all? Asked of a real handle, as clients will. */
static bool mechanisms_are_there(struct error *error)
{
	const char *list = NULL;
	const struct sasl_peer somebody = { .tls_bits = 256,
		                            .certificate = SPAN_LIT("a@example.org") };
	struct sasl_attempt *probe = sasl_attempt_new(&somebody);
	bool ok = probe &&
	          sasl_listmech(probe->conn, NULL, " ", " ", " ", &list, NULL, NULL) == SASL_OK;
	if (!ok) {
		error_set(error, "Cyrus SASL offers no mechanism: no plugins in %s",
		          GATEPOST_SASL_PLUGINS);
	}
	for (size_t i = 0; i < COUNT(mechanisms) && ok; i++) {
		char word[64];
		snprintf(word, sizeof word, " %s ", mechanisms[i].base);
		if (lists.offered[i] && !strstr(list, word)) {
			error_set(error, "SASL mechanism %s is not there: no plugin %s in %s",
			          mechanisms[i].name, mechanisms[i].file,
			          GATEPOST_SASL_PLUGINS);
			ok = false;
		}
	}
	sasl_attempt_free(probe);
	return ok;
}

static void backend_seen(sasl_auxprop_plug_t *plugin, sasl_info_callback_stage_t stage,
                         void *context)
{
	bool *there = context;
	*there |= stage == SASL_INFO_LIST_MECH &&
	          strcmp(plugin->name, backend_name(sasl_backend())) == 0;
}

/* To a query without a % the plugin would read before the beginning of its memory; and without
 * %u all users have one password. */
static bool sql_is_sane(const struct backend_rules *rules, struct error *error)
{
	if (!sasl_sql_engine_is_known()) {
		error_set(error,
		          "auth = sql can not be had from \"%.40s\": from sqlite3, mysql and "
		          "pgsql it can",
		          rules->sql.engine ? rules->sql.engine : "");
		return false;
	}
	if (!rules->sql.select || !strstr(rules->sql.select, "%u")) {
		error_set(error, "auth = sql needs a query for the password of %%u");
		return false;
	}
	return true;
}

/* Has Cyrus the plugin for the users? */
static bool backend_is_there(struct error *error)
{
	bool there = !sasl_cyrus_has_users();
	if (there) {
		return true;
	}
	auxprop_plugin_info(NULL, backend_seen, &there);
	if (!there) {
		error_set(error, "auth = %s needs a plugin of Cyrus SASL that is not in %s",
		          backend_name(sasl_backend()), GATEPOST_SASL_PLUGINS);
	}
	return there;
}

static bool cyrus_open(struct error *error)
{
	static const sasl_callback_t callbacks[] = {
		{ SASL_CB_GETOPT, SASL_PROC(option_get), NULL },
		{ SASL_CB_GETPATH, SASL_PROC(plugin_path), NULL },
		{ SASL_CB_GETCONFPATH, SASL_PROC(config_path), NULL },
		{ SASL_CB_VERIFYFILE, SASL_PROC(file_verify), NULL },
		{ SASL_CB_LOG, SASL_PROC(log_nothing), NULL },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	/* Passwords of sasldb, keys of SCRAM, names. */
	sasl_set_alloc(malloc, calloc, secret_resize, secret_free);
	sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
	int code = sasl_server_init(callbacks, NULL); /* without a name no NAME.conf is read */
	if (code != SASL_OK) {
		error_set(error, "Cyrus SASL: %s", sasl_errstring(code, NULL, NULL));
		return false;
	}
	code = sasl_auxprop_add_plugin(SASL_OUR_PLUGIN, sasl_verifiers_init);
	if (code == SASL_OK) {
		code = sasl_server_add_plugin(SASL_OUR_PLUGIN, sasl_oauth_init);
	}
	if (code != SASL_OK) {
		error_set(error, "Cyrus SASL: %s", sasl_errstring(code, NULL, NULL));
	}
	if (code != SASL_OK || !mechanisms_are_there(error) || !backend_is_there(error)) {
		sasl_close();
		return false;
	}
	return true;
}

bool sasl_open(const struct sasl_rules *rules, struct error *error)
{
	sasl_site = (struct sasl_site){
		.source = { .store = rules->store,
		            .iterations = rules->iterations,
		            .key = rules->key },
		.backend = rules->backend,
		.oauth = rules->oauth,
	};
	if (!copy_name(sasl_site.hostname, rules->hostname, error) ||
	    !copy_name(sasl_site.domain, rules->domain, error) ||
	    !offer_all(rules->mechanisms, error) ||
	    (sasl_backend() == BACKEND_SQL && !sql_is_sane(sasl_site.backend, error))) {
		return false;
	}
	snprintf(lists.iterations, sizeof lists.iterations, "%u", rules->iterations);
	success_reset();
	return cyrus_open(error);
}

void sasl_close(void)
{
	sasl_server_done();
	secret_cleanse(&sasl_site, sizeof sasl_site);
	memset(&lists, 0, sizeof lists);
	success_reset();
}

struct span sasl_mechanisms(bool has_certificate)
{
	return span_str(lists.shown[has_certificate]);
}

void sasl_forget(struct span account)
{
	success_forget(account);
}

static char version_text[64];

static void version_read(void)
{
	const char *name = NULL;
	const char *version = NULL;
	sasl_version_info(&name, &version, NULL, NULL, NULL, NULL);
	snprintf(version_text, sizeof version_text, "%s %s", name, version);
}

const char *sasl_version_text(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, version_read);
	return version_text;
}
