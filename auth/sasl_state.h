/*
 * Private to auth/sasl*.c, which alone see Cyrus: what the process has opened, and one attempt.
 *
 *   sasl.c           the process: mechanisms, options, plugins
 *   sasl_attempt.c   the life of an attempt: names, start, step, who
 *   sasl_password.c  PLAIN and LOGIN: who says whether the password is right
 *   sasl_auxprop.c   SCRAM: verifiers for Cyrus; what its sasldb and sql tell and do not tell
 *   sasl_oauth.c     OAUTHBEARER and XOAUTH2, mechanisms of ours in Cyrus
 */
#ifndef GATEPOST_AUTH_SASL_STATE_H
#define GATEPOST_AUTH_SASL_STATE_H

#include "auth/sasl.h"
#include "auth/verifier.h"
#include "proto/address.h"

#include <sasl/sasl.h>
#include <sasl/saslplug.h>

#define SASL_NAME_BYTES 255
#define SASL_OUR_PLUGIN "gatepost"

/* The one type that Cyrus keeps them all in. */
#define SASL_PROC(f) ((int (*)(void))(void (*)(void))(f))

enum sasl_family { FAMILY_PASSWORD, FAMILY_SCRAM, FAMILY_EXTERNAL, FAMILY_OAUTH };

struct sasl_mechanism {
	const char *name;
	const char *base; /* as Cyrus knows it, without -PLUS */
	const char *file; /* of its plugin, up to the first dot; NULL: built in, or ours */
	enum sasl_family family;
	enum secret_hash hash; /* of SCRAM */
	bool plus;
};

/* Cyrus has one set of mechanisms, plugins and call-backs a process; so have we. Written by
 * sasl_open and sasl_close alone. */
struct sasl_site {
	struct verifier_source source;
	const struct backend_rules *backend; /* NULL: internal */
	struct oauth *oauth;
	char hostname[ADDRESS_DOMAIN_MAX + 1];
	char domain[ADDRESS_DOMAIN_MAX + 1];
	bool plus_is_offered;
	_Atomic int64_t sql_again; /* T until which the database is left alone */
};
extern struct sasl_site sasl_site;

static inline enum backend_kind sasl_backend(void)
{
	return sasl_site.backend ? sasl_site.backend->kind : BACKEND_INTERNAL;
}

/* Does Cyrus look the users up itself, and compare? */
static inline bool sasl_cyrus_has_users(void)
{
	return sasl_backend() == BACKEND_SASLDB || sasl_backend() == BACKEND_SQL;
}

/* In any case of its letters; NULL when it is not offered. */
const struct sasl_mechanism *sasl_mechanism_find(struct span name);

struct sasl_name {
	char text[SASL_NAME_BYTES + 1];
	size_t len;
};

static inline struct span sasl_name_span(const struct sasl_name *name)
{
	return span_of(name->text, name->len);
}

/* Cut at its capacity. */
void sasl_name_set(struct sasl_name *name, struct span bytes);

#define SASL_CALLBACKS 6

struct sasl_attempt {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[SASL_CALLBACKS]; /* Cyrus keeps a pointer */
	const struct sasl_mechanism *mechanism;

	/* who is at the other end */
	struct identity_map map;
	int64_t now, cache_time, wall;
	bool tls;
	struct sasl_name client, certificate;
	struct sasl_name exporter, end_point;
	sasl_channel_binding_t binding; /* Cyrus keeps a pointer */

	/* what is known by now */
	struct sasl_name tried;     /* as typed */
	struct sasl_name canonical; /* as Cyrus has it */
	struct sasl_name target;    /* its account by the map; empty: nobody's */
	struct sasl_name proven;    /* by a back end, a certificate, a token or a password */
	struct sasl_name apppass;
	struct buf upgrade;
	unsigned char guess[SCREEN_GUESS_BYTES];
	bool has_guess;
	struct error reason;

	/* our verdict, not Cyrus's: it drops the code of a refusing call-back */
	bool broken;
	bool right;       /* the password is */
	bool by_cyrus;    /* the password is for Cyrus to compare */
	bool heard;       /* the first message of SCRAM was looked at */
	bool refused;     /* OAuth: its error was sent, one more message comes */
	bool sql_serious; /* it looks for the password now, not for what may be missing */
	bool sql_failed;
	bool ended, good;
};

/* The attempt in whose course Cyrus calls a plugin. */
struct sasl_attempt *sasl_attempt_of(const sasl_utils_t *utils);
/* Why it fails; the first word counts. */
void sasl_attempt_blame(struct sasl_attempt *attempt, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Nothing more is to be expected of whom we asked: 454. */
void sasl_attempt_break(struct sasl_attempt *attempt, const char *reason);

/* SASL_CB_SERVER_USERDB_CHECKPASS, of PLAIN and LOGIN. */
int sasl_password_check(sasl_conn_t *conn, void *context, const char *user, const char *pass,
                        unsigned len, struct propctx *props);

/* sasl_auxprop_init_t. */
int sasl_verifiers_init(const sasl_utils_t *utils, int version, int *version_out,
                        sasl_auxprop_plug_t **plugin_out, const char *name);
/* SASL_CB_GETOPT of an attempt: which auxprop plugins are asked. */
int sasl_attempt_option(void *context, const char *plugin, const char *option,
                        const char **value_out, unsigned *len_out);
/* SASL_CB_LOG of an attempt: the sql plugin says only here that a query failed. */
int sasl_attempt_log(void *context, int level, const char *message);
/* May sasldb or the database be asked now? Else the attempt is broken. To both sasldb and
 * SQLite a missing file is one without users, SQLite even makes it; and with each connection
 * that fails the sql plugin loses memory, so it is left alone for a while. */
bool sasl_users_are_there(struct sasl_attempt *attempt);
/* May the name be put into an SQL query? */
bool sasl_sql_may_ask(struct span name);
/* Has the sql plugin this engine? */
bool sasl_sql_engine_is_known(void);

/* sasl_server_plug_init_t. */
int sasl_oauth_init(const sasl_utils_t *utils, int version, int *version_out,
                    sasl_server_plug_t **plugins_out, int *count_out);

#endif
