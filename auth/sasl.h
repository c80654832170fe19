/*
 * Cyrus SASL, walled off: mechanisms, start, step, who. No file is read, only our call-backs.
 * Where accounts are our own (`internal`) our auxprop plugin serves SCRAM verifiers out of
 * store/account, and PLAIN and LOGIN are checked against the same row (auth/verifier.h); sasldb
 * and sql are Cyrus's own plugins; other back ends are asked (auth/backend.h). EXTERNAL is a
 * verified client certificate; OAUTHBEARER and XOAUTH2 are mechanisms of ours in Cyrus
 * (auth/oauth.h). App passwords (auth/apppass.h) are taken by PLAIN and LOGIN everywhere.
 * Calls may take milliseconds to seconds: they run in the pool, one at a time for each attempt.
 */
#ifndef GATEPOST_AUTH_SASL_H
#define GATEPOST_AUTH_SASL_H

#include "auth/backend.h"
#include "auth/identity.h"
#include "auth/oauth.h"
#include "auth/screen.h"
#include "auth/secret.h"
#include "store/store.h"

enum sasl_status {
	SASL_MORE,         /* send the challenge, give the response to sasl_attempt_step */
	SASL_GOOD,         /* sasl_attempt_account says who */
	SASL_REFUSED,      /* wrong password, unknown user, malformed credentials: 535 */
	SASL_NO_MECHANISM, /* not offered: 504 */
	SASL_NO_INITIAL,   /* the mechanism speaks second: 501 */
	SASL_UNAVAILABLE,  /* store, memory: 454, not counted against the user */
};

struct sasl_rules {
	struct store *store;
	const char *hostname; /* server FQDN */
	const char *domain;   /* the realm of a login without one */
	/* "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS EXTERNAL
	 * OAUTHBEARER XOAUTH2", any of them, in the order to be shown */
	const char *mechanisms;
	unsigned iterations;                 /* of the fake verifiers: as new accounts get */
	struct secret_key key;               /* for the fakes */
	const struct backend_rules *backend; /* borrowed until sasl_close */
	struct oauth *oauth; /* borrowed until sasl_close; NULL: no OAUTHBEARER, no XOAUTH2 */
};

/* Once a process, before any thread uses it; strings are copied. False, with a sentence, when a
 * mechanism that is configured is not there, or can not be served by the back end. */
bool sasl_open(const struct sasl_rules *rules, struct error *error);
void sasl_close(void);
/* What is offered, as EHLO shows it; EXTERNAL only to a client that has shown a certificate.
 * Lives until sasl_close. */
struct span sasl_mechanisms(bool has_certificate);
/* Versions for `gatepost -V`: "Cyrus SASL 2.1.28". Static. */
const char *sasl_version_text(void);

struct sasl_attempt;

#define SASL_BINDING_MAX 64

/* Who is at the other end; copied, but for the map, which must outlive the attempt. */
struct sasl_peer {
	unsigned tls_bits;     /* the cipher's strength; 0: no TLS, no password */
	const char *client;    /* numeric address */
	struct span exporter;  /* channel binding tls-exporter (RFC 9266); empty: none */
	struct span end_point; /* tls-server-end-point (RFC 5929 4); empty: none */
	struct span
	    certificate; /* the name in the client's verified certificate; empty: none */
	const struct identity_map *map; /* NULL: the site's domain is added, nothing else */
	int64_t now;                    /* T */
	int64_t cache_time; /* ms for which a back end's yes is good; 0: not at all */
	int64_t wall;       /* ms since 1970, for tokens; required with OAuth */
};

/* A new handle for each attempt (CVE-2011-1720). NULL without memory. */
struct sasl_attempt *sasl_attempt_new(const struct sasl_peer *peer);
/* Disposes and cleanses. NULL is accepted. */
void sasl_attempt_free(struct sasl_attempt *attempt);
/* `initial` is NULL when none was given. The challenge is appended to `challenge_out` (not
 * base64). */
enum sasl_status sasl_attempt_start(struct sasl_attempt *attempt, struct span mechanism,
                                    const struct span *initial, struct buf *challenge_out);
enum sasl_status sasl_attempt_step(struct sasl_attempt *attempt, struct span response,
                                   struct buf *challenge_out);
/* After SASL_GOOD: the canonical account, lower case, with a realm; it is what the back end,
 * the certificate or the token said, else the map's answer to the typed name. Lives with the
 * attempt. */
struct span sasl_attempt_account(const struct sasl_attempt *attempt);
/* The app password by which it logged in; empty: none. Lives with the attempt. */
struct span sasl_attempt_apppass(const struct sasl_attempt *attempt);
/* The name that was tried, as far as known; may be empty. Attacker's bytes. Lives with the
 * attempt. */
struct span sasl_attempt_tried(const struct sasl_attempt *attempt);
/* Its canonical form, by the map: the key under which failures are counted; empty: nobody's. */
struct span sasl_attempt_target(const struct sasl_attempt *attempt);
/* A keyed digest of name and password, to know the same wrong one again; false: the mechanism
 * does not show it. */
bool sasl_attempt_guess(const struct sasl_attempt *attempt,
                        unsigned char guess_out[SCREEN_GUESS_BYTES]);
/* Why it was refused or could not be checked, for the log: a fixed phrase, or a back end's
 * sentence; never a secret. */
const char *sasl_attempt_reason(const struct sasl_attempt *attempt);

/* Verifiers to be stored in place of what the account has: its secret was a crypt(3) hash and
 * the password was right. Empty: nothing to do. Lives with the attempt. */
struct span sasl_attempt_upgrade(const struct sasl_attempt *attempt);

/* Forgets the successes of `account` that are cached; all of them when it is empty. */
void sasl_forget(struct span account);

#endif
