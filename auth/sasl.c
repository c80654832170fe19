#include "auth/sasl.h"

#include "auth/verifier.h"
#include "proto/address.h"

#include <assert.h>
#include <pthread.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <stdio.h>
#include <stdlib.h>

/* Where Cyrus keeps its plugins; the build knows better. */
#ifndef GATEPOST_SASL_PLUGINS
#define GATEPOST_SASL_PLUGINS "/usr/lib/sasl2"
#endif

#define SERVICE        "smtp" /* RFC 4954 section 4, also for submission */
#define VERIFIER       "*authPassword"
#define OUR_PLUGIN     "gatepost"
#define NAME_MAX_BYTES 255
#define NOBODY         "@" /* no account can be called so */

/* What our verifiers can serve. SCRAM never shows us a password. */
static const struct mechanism {
	const char *name;
	const char *file; /* of the plugin, up to its first dot */
	bool password;    /* the server sees it, and asks us */
} mechanisms[] = {
	{ "PLAIN", "libplain", true },
	{ "LOGIN", "liblogin", true },
	{ "SCRAM-SHA-256", "libscram", false },
};

/* Cyrus has one set of mechanisms, plugins and call-backs a process; so have we. */
static struct {
	struct verifier_source source;
	char hostname[ADDRESS_DOMAIN_MAX + 1];
	char domain[ADDRESS_DOMAIN_MAX + 1];
	char offered[128];
} site;

#define CALLBACKS 3

struct sasl_attempt {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[CALLBACKS]; /* Cyrus keeps a pointer */
	const struct mechanism *mechanism;
	bool broken;  /* our verdict, not Cyrus's: it drops the code of a refusing call-back */
	bool checked; /* the password was right */
	bool ended;
	char tried[NAME_MAX_BYTES];
	size_t tried_len;
	char account[NAME_MAX_BYTES + 1];
};

/* ---- call-backs of an attempt ---- */

static void remember_tried(struct sasl_attempt *attempt, struct span name)
{
	struct span cut = span_first(name, sizeof attempt->tried);
	memcpy(attempt->tried, cut.ptr, cut.len);
	attempt->tried_len = cut.len;
}

/* Cyrus trims blanks, keeps the case, leaks a name that is too long and, in LOGIN, the password
 * that came with a refused one. So none is refused here: what can be nobody's name is that of
 * nobody, and fails as any unknown user does. */
static int canon_user(sasl_conn_t *conn, void *context, const char *in, unsigned inlen,
                      unsigned flags, const char *realm, char *out, unsigned out_max,
                      unsigned *out_len)
{
	struct sasl_attempt *attempt = context;
	struct span name = span_of(in, inlen ? inlen : strlen(in));
	struct buf account = { .cap = NAME_MAX_BYTES };
	(void)conn;
	assert(out_max > NAME_MAX_BYTES);
	if ((flags & SASL_CU_AUTHID) && !attempt->tried_len) { /* later: our own result */
		remember_tried(attempt, name);
	}
	if (!address_account(name, span_str(realm), &account)) {
		buf_clear(&account);
		buf_put_str(&account, NOBODY);
	}
	bool ok = !account.failed;
	if (ok) {
		memcpy(out, account.ptr, account.len);
		out[account.len] = '\0';
		*out_len = (unsigned)account.len;
	}
	buf_done(&account);
	return ok ? SASL_OK : SASL_NOMEM;
}

/* For PLAIN and LOGIN. After a refusal Cyrus goes on to pwcheck_method and asks our plugin for
 * a password in clear, which it never has. */
static int check_password(sasl_conn_t *conn, void *context, const char *user, const char *pass,
                          unsigned len, struct propctx *props)
{
	struct sasl_attempt *attempt = context;
	enum verifier_answer answer = verifier_check(&site.source, span_str(user),
	                                             span_of(pass, len));
	(void)conn;
	(void)props;
	attempt->checked = answer == VERIFIER_RIGHT;
	attempt->broken |= answer == VERIFIER_UNREADABLE;
	return attempt->checked ? SASL_OK : SASL_BADAUTH;
}

/* ---- our auxprop plugin: verifiers for SCRAM ---- */

static struct sasl_attempt *attempt_of(const sasl_server_params_t *params)
{
	sasl_callback_ft function;
	void *context = NULL;
	const sasl_utils_t *utils = params->utils;
	int code = utils->getcallback(utils->conn, SASL_CB_CANON_USER, &function, &context);
	assert(code == SASL_OK && context);
	return context;
}

static bool verifier_is_wanted(const sasl_server_params_t *params)
{
	const char *names[] = { VERIFIER, NULL };
	struct propval values[COUNT(names)] = { { .name = NULL } };
	params->utils->prop_getnames(params->propctx, names, values);
	return values[0].name != NULL;
}

static int auxprop_lookup(void *context, sasl_server_params_t *params, unsigned flags,
                          const char *user, unsigned len)
{
	struct buf verifier = { .cap = SECRET_VERIFIER_MAX };
	int code = SASL_OK;
	(void)context;
	if ((flags & SASL_AUXPROP_AUTHZID) || !verifier_is_wanted(params)) {
		return SASL_OK;
	}
	if (verifier_find(&site.source, span_of(user, len ? len : strlen(user)), &verifier)) {
		code = params->utils->prop_set(params->propctx, VERIFIER, verifier.ptr,
		                               (int)verifier.len);
	} else {
		attempt_of(params)->broken = true;
		code = SASL_UNAVAIL;
	}
	verifier_forget(&verifier);
	return code;
}

static int auxprop_init(const sasl_utils_t *utils, int version, int *version_out,
                        sasl_auxprop_plug_t **plugin_out, const char *name)
{
	static char our_name[] = OUR_PLUGIN;
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

/* ---- call-backs of the process: what Cyrus would take from files and the environment ---- */

static int option_get(void *context, const char *plugin, const char *option,
                      const char **value_out, unsigned *len_out)
{
	static const struct {
		const char *name;
		const char *value;
	} options[] = {
		{ "pwcheck_method", "auxprop" },
		{ "auxprop_plugin", OUR_PLUGIN },
		{ "canon_user_plugin", "INTERNAL" },
		{ "mech_list", site.offered },
		{ "log_level", "0" },
	};
	(void)context;
	(void)plugin;
	for (size_t i = 0; i < COUNT(options); i++) {
		if (strcmp(options[i].name, option) == 0) {
			*value_out = options[i].value;
			if (len_out) {
				*len_out = (unsigned)strlen(options[i].value);
			}
			return SASL_OK;
		}
	}
	return SASL_FAIL;
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

static bool is_offered(const char *name)
{
	struct span rest = span_str(site.offered);
	while (rest.len) {
		size_t end = span_find(rest, ' ');
		if (span_eq(span_first(rest, end), span_str(name))) {
			return true;
		}
		rest = span_from(rest, end + 1);
	}
	return false;
}

/* A plugin that is not opened can not be attacked: DIGEST-MD5, NTLM, OTP and GSSAPI stay
 * outside. */
static int file_verify(void *context, const char *path, sasl_verify_type_t type)
{
	const char *slash = strrchr(path, '/');
	struct span file = span_str(slash ? slash + 1 : path);
	struct span stem = span_first(file, span_find(file, '.'));
	(void)context;
	for (size_t i = 0; i < COUNT(mechanisms) && type == SASL_VRFY_PLUGIN; i++) {
		if (span_eq(stem, span_str(mechanisms[i].file)) &&
		    is_offered(mechanisms[i].name)) {
			return SASL_OK;
		}
	}
	return SASL_CONTINUE;
}

/* Names and reasons are logged by whoever asked us, and only those he chooses. */
static int log_nothing(void *context, int level, const char *message)
{
	(void)context;
	(void)level;
	(void)message;
	return SASL_OK;
}

/* The one type that Cyrus keeps them all in. */
#define CALLBACK(f) ((int (*)(void))(void (*)(void))(f))

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

static const struct mechanism *mechanism_find(struct span name)
{
	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		if (span_eq_nocase(name, span_str(mechanisms[i].name))) {
			return &mechanisms[i];
		}
	}
	return NULL;
}

/* Sets site.offered: our spelling, in the order given, each once. */
static bool offer(const char *names, struct error *error)
{
	struct span rest = span_str(names);
	site.offered[0] = '\0';
	for (size_t used = 0; rest.len;) {
		struct span name = span_first(rest, span_find(rest, ' '));
		rest = span_from(rest, name.len + 1);
		const struct mechanism *mechanism = mechanism_find(name);
		if (name.len && !mechanism) {
			error_set(error,
			          "SASL mechanism %.*s is not known: PLAIN, LOGIN and "
			          "SCRAM-SHA-256 are",
			          SPAN_ARG(name));
			return false;
		}
		if (name.len && !is_offered(mechanism->name)) {
			const char *blank = used ? " " : "";
			used += (size_t)snprintf(site.offered + used,
			                         sizeof site.offered - used, "%s%s", blank,
			                         mechanism->name);
		}
	}
	if (!site.offered[0]) {
		error_set(error, "no SASL mechanism is configured");
	}
	return site.offered[0] != '\0';
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
	struct sasl_attempt *probe = sasl_attempt_new(256);
	bool ok = probe &&
	          sasl_listmech(probe->conn, NULL, " ", " ", " ", &list, NULL, NULL) == SASL_OK;
	if (!ok) {
		error_set(error, "Cyrus SASL offers no mechanism: no plugins in %s",
		          GATEPOST_SASL_PLUGINS);
	}
	for (size_t i = 0; i < COUNT(mechanisms) && ok; i++) {
		char word[64];
		snprintf(word, sizeof word, " %s ", mechanisms[i].name);
		if (is_offered(mechanisms[i].name) && !strstr(list, word)) {
			error_set(error, "SASL mechanism %s is not there: no plugin %s in %s",
			          mechanisms[i].name, mechanisms[i].file,
			          GATEPOST_SASL_PLUGINS);
			ok = false;
		}
	}
	sasl_attempt_free(probe);
	return ok;
}

bool sasl_open(const struct sasl_rules *rules, struct error *error)
{
	static const sasl_callback_t callbacks[] = {
		{ SASL_CB_GETOPT, CALLBACK(option_get), NULL },
		{ SASL_CB_GETPATH, CALLBACK(plugin_path), NULL },
		{ SASL_CB_GETCONFPATH, CALLBACK(config_path), NULL },
		{ SASL_CB_VERIFYFILE, CALLBACK(file_verify), NULL },
		{ SASL_CB_LOG, CALLBACK(log_nothing), NULL },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	site.source = (struct verifier_source){
		.store = rules->store,
		.iterations = rules->iterations,
		.key = rules->key,
	};
	if (!copy_name(site.hostname, rules->hostname, error) ||
	    !copy_name(site.domain, rules->domain, error) || !offer(rules->mechanisms, error)) {
		return false;
	}
	verifier_cache_reset();
	sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
	int code = sasl_server_init(callbacks, NULL); /* without a name no NAME.conf is read */
	if (code != SASL_OK) {
		error_set(error, "Cyrus SASL: %s", sasl_errstring(code, NULL, NULL));
		return false;
	}
	code = sasl_auxprop_add_plugin(OUR_PLUGIN, auxprop_init);
	if (code != SASL_OK) {
		error_set(error, "Cyrus SASL: %s", sasl_errstring(code, NULL, NULL));
	}
	if (code != SASL_OK || !mechanisms_are_there(error)) {
		sasl_close();
		return false;
	}
	return true;
}

void sasl_close(void)
{
	sasl_server_done();
	secret_cleanse(&site, sizeof site);
	verifier_cache_reset();
}

struct span sasl_mechanisms(void)
{
	return span_str(site.offered);
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

/* ---- an attempt ---- */

static bool attempt_open(struct sasl_attempt *attempt, unsigned tls_bits)
{
	/* No security layer of SASL's own; a password in clear only inside TLS, whatever our
	 * caller forgot. */
	const sasl_security_properties_t properties = {
		.security_flags = SASL_SEC_NOANONYMOUS | SASL_SEC_NOPLAINTEXT,
	};
	const sasl_ssf_t outside = tls_bits;
	return sasl_server_new(SERVICE, site.hostname, site.domain, NULL, NULL,
	                       attempt->callbacks, 0, &attempt->conn) == SASL_OK &&
	       sasl_setprop(attempt->conn, SASL_SEC_PROPS, &properties) == SASL_OK &&
	       sasl_setprop(attempt->conn, SASL_SSF_EXTERNAL, &outside) == SASL_OK;
}

struct sasl_attempt *sasl_attempt_new(unsigned tls_bits)
{
	struct sasl_attempt *attempt = calloc(1, sizeof *attempt);
	if (!attempt) {
		return NULL;
	}
	const sasl_callback_t callbacks[CALLBACKS] = {
		{ SASL_CB_CANON_USER, CALLBACK(canon_user), attempt },
		{ SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(check_password), attempt },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	memcpy(attempt->callbacks, callbacks, sizeof callbacks);
	if (!attempt_open(attempt, tls_bits)) {
		sasl_attempt_free(attempt);
		return NULL;
	}
	return attempt;
}

void sasl_attempt_free(struct sasl_attempt *attempt)
{
	if (attempt) {
		sasl_dispose(&attempt->conn);
		secret_cleanse(attempt, sizeof *attempt);
		free(attempt);
	}
}

/* Copies out who it is. A good end without a name, or without our word on the password, is
 * none. */
static enum sasl_status attempt_succeed(struct sasl_attempt *attempt)
{
	const void *name = NULL;
	if (sasl_getprop(attempt->conn, SASL_USERNAME, &name) != SASL_OK || !name ||
	    strcmp(name, NOBODY) == 0 || (attempt->mechanism->password && !attempt->checked)) {
		return SASL_REFUSED;
	}
	size_t len = strlen(name);
	assert(len > 0 && len <= NAME_MAX_BYTES); /* canon_user wrote it */
	memcpy(attempt->account, name, len + 1);
	return SASL_GOOD;
}

static enum sasl_status attempt_status(struct sasl_attempt *attempt, int code,
                                       struct span challenge, struct buf *challenge_out)
{
	if (attempt->broken) {
		return SASL_UNAVAILABLE;
	}
	switch (code) {
	case SASL_CONTINUE:
		return buf_put(challenge_out, challenge) ? SASL_MORE : SASL_UNAVAILABLE;
	case SASL_OK:
		return attempt_succeed(attempt);
	case SASL_NOMEM:
		return SASL_UNAVAILABLE;
	case SASL_NOMECH:
	case SASL_ENCRYPT:
	case SASL_TOOWEAK:
		return SASL_NO_MECHANISM;
	default:
		return SASL_REFUSED;
	}
}

static enum sasl_status attempt_end(struct sasl_attempt *attempt, enum sasl_status status)
{
	attempt->ended = status != SASL_MORE;
	return status;
}

enum sasl_status sasl_attempt_start(struct sasl_attempt *attempt, struct span mechanism,
                                    const struct span *initial, struct buf *challenge_out)
{
	const char *challenge = NULL;
	unsigned len = 0;
	assert(!attempt->mechanism && !attempt->ended);
	attempt->mechanism = mechanism_find(mechanism);
	if (!attempt->mechanism || !is_offered(attempt->mechanism->name)) {
		return attempt_end(attempt, SASL_NO_MECHANISM);
	}
	const char *bytes = initial && initial->len ? initial->ptr : "";
	int code = sasl_server_start(attempt->conn, attempt->mechanism->name,
	                             initial ? bytes : NULL,
	                             initial ? (unsigned)initial->len : 0, &challenge, &len);
	return attempt_end(
	    attempt, attempt_status(attempt, code, span_of(challenge, len), challenge_out));
}

enum sasl_status sasl_attempt_step(struct sasl_attempt *attempt, struct span response,
                                   struct buf *challenge_out)
{
	const char *challenge = NULL;
	unsigned len = 0;
	assert(attempt->mechanism && !attempt->ended);
	int code = sasl_server_step(attempt->conn, response.len ? response.ptr : "",
	                            (unsigned)response.len, &challenge, &len);
	return attempt_end(
	    attempt, attempt_status(attempt, code, span_of(challenge, len), challenge_out));
}

struct span sasl_attempt_account(const struct sasl_attempt *attempt)
{
	return span_str(attempt->account);
}

struct span sasl_attempt_tried(const struct sasl_attempt *attempt)
{
	return span_of(attempt->tried, attempt->tried_len);
}
