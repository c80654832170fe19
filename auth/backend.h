/*
 * "Is that the password?", asked of whoever keeps the site's users: saslauthd, LDAP (a bind as
 * the user), Dovecot's auth socket. Calls block up to their deadline and run in the pool; any
 * thread. What can not be asked is UNAVAILABLE, never a wrong password.
 *
 * sasldb and sql are read by Cyrus's own plugins (auth/sasl), `internal` by auth/verifier.
 */
#ifndef GATEPOST_AUTH_BACKEND_H
#define GATEPOST_AUTH_BACKEND_H

#include "proto/buf.h"
#include "proto/error.h"

enum backend_kind {
	BACKEND_INTERNAL,
	BACKEND_SASLAUTHD,
	BACKEND_SASLDB,
	BACKEND_LDAP,
	BACKEND_SQL,
	BACKEND_DOVECOT,
};

/* From the configuration; strings are borrowed and must live through the call. */
struct backend_rules {
	enum backend_kind kind;
	int64_t timeout;     /* ms, for the whole of a call */
	const char *socket;  /* saslauthd's or Dovecot's */
	const char *service; /* saslauthd: the PAM service */
	const char *domain;  /* the realm of a name without one */
	/* saslauthd runs with -r (or its mechanism looks at the realm): alice@a.org and
	 * alice@b.org are two people. Otherwise it looks at "alice" alone: a name with a domain
	 * that is not `domain` is WRONG, or each domain that somebody makes up would be a
	 * further account with a budget of its own. */
	bool realms;
	struct {
		const char *uri;      /* "ldaps://ldap.example.org", several with blanks */
		bool starttls;        /* on ldap:// */
		const char *ca;       /* PEM file; NULL: the system's */
		const char *bind_dn;  /* who searches; NULL: anonymous */
		const char *password; /* of bind_dn; NULL: none */
		const char *base;
		/* %u the name as typed, %n its part before the @, %d behind it; of
		 * EXAMPLE\alice %n is alice and %d EXAMPLE; without a domain %d is `domain`; %%
		 * is a % */
		const char *filter;
		/* The attribute that names the account, of several values the first in the
		 * order of bytes; NULL: the typed name. */
		const char *account;
	} ldap;
	struct {
		const char *engine; /* sqlite3, mysql, pgsql */
		const char *database, *host, *user, *password;
		const char *select; /* Cyrus's sql_select: %u %r %p */
	} sql;
	const char *sasldb; /* path */
};

struct backend_question {
	struct span user;     /* as typed, blanks at its ends cut off */
	struct span password; /* an empty one is WRONG: to LDAP it would be an anonymous bind */
	struct span client;   /* its numeric address; empty: not known */
	bool tls;
};

enum backend_answer { BACKEND_RIGHT, BACKEND_WRONG, BACKEND_UNAVAILABLE };

/*
 * kind SASLAUTHD, LDAP or DOVECOT. On RIGHT the name that the back end returned is appended to
 * `name_out`; nothing when it returns none. On UNAVAILABLE a sentence for the log, without
 * secrets and without the name; on WRONG the reason if the back end gave one ("the account is
 * disabled"), else an empty text. No copy of the password stays behind.
 */
enum backend_answer backend_check(const struct backend_rules *rules,
                                  const struct backend_question *question, struct buf *name_out,
                                  struct error *error);

/* Whether ldap.filter has no % but those above. */
bool backend_filter_is_valid(const char *filter);

/* The word of the configuration: "saslauthd". */
const char *backend_name(enum backend_kind kind);
/* Whether the server sees passwords only (PLAIN, LOGIN): nothing is stored that SCRAM could
 * use. */
bool backend_wants_password(enum backend_kind kind);

#endif
