/*
 * OAUTHBEARER (RFC 7628) and XOAUTH2: is this token good, and whose account is it? By a JWKS
 * file (RFC 7515, 7517, 7519: RS256, ES256, EdDSA) or an introspection endpoint (RFC 7662).
 * Calls may block up to their deadline and run in the pool; any thread.
 */
#ifndef GATEPOST_AUTH_OAUTH_H
#define GATEPOST_AUTH_OAUTH_H

#include "proto/buf.h"
#include "proto/error.h"

#define OAUTH_TOKEN_MAX 12288

/* From the configuration; copied by oauth_open. */
struct oauth_rules {
	const char *jwks;       /* a file, read again when it changes; NULL: introspection */
	const char *issuer;     /* `iss` must be it; required with jwks */
	const char *audience;   /* `aud` must hold it; required with jwks */
	const char *claim;      /* names the account: "email", "sub" ... */
	const char *introspect; /* https URL (http only to a loopback address) */
	const char *client_id, *client_secret; /* of ours, there; may be NULL */
	const char *ca;                        /* PEM; NULL: the system's */
	int64_t timeout;                       /* ms */
};

struct oauth;

/* NULL with a sentence: no such file, a key that can not be used, no key at all. */
struct oauth *oauth_open(const struct oauth_rules *rules, struct error *error);
void oauth_close(struct oauth *oauth);

enum oauth_answer {
	OAUTH_GOOD,
	OAUTH_BAD, /* expired, another issuer or audience, a signature that is not theirs,
	              `alg` none, inactive ...: `reason` says it, for the log */
	OAUTH_UNAVAILABLE, /* the endpoint: not the user's fault */
};

/* `wall`: ms since 1970; a minute of skew is allowed. On GOOD the claim's text is appended to
 * `name_out`. */
enum oauth_answer oauth_check(struct oauth *oauth, struct span token, int64_t wall,
                              struct buf *name_out, struct error *reason);

/* What went wrong behind the scenes since the last call, for the log: a JWKS file that has
 * changed and can not be read (the keys from before stay). Each fault is told once. */
bool oauth_take_note(struct oauth *oauth, struct error *note_out);
/* Forgets which tokens the endpoint has called good (it is believed for a minute at most). */
void oauth_forget(struct oauth *oauth);

/* What a client sends, pure. `user_out` may come out empty. Spans point into `message`. False
 * for what is not of that form, for a token with other bytes than RFC 6750 2.1 has, and for a
 * user of OAUTHBEARER with escaped bytes (=2C, =3D). */
bool oauth_read_oauthbearer(struct span message, struct span *user_out, struct span *token_out);
bool oauth_read_xoauth2(struct span message, struct span *user_out, struct span *token_out);
/* The JSON of a refusal (RFC 7628 3.2.2; the same for XOAUTH2), static. */
struct span oauth_refusal(void);

#endif
