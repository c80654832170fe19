/*
 * Asks an introspection endpoint (RFC 7662) what a token is: one POST, one deadline, nothing
 * followed, nothing but TLS unless it is this machine. Blocks: for the pool; any thread. What
 * the answer says is for auth/oauth_claims.h.
 */
#ifndef GATEPOST_AUTH_OAUTH_INTROSPECT_H
#define GATEPOST_AUTH_OAUTH_INTROSPECT_H

#include "auth/oauth.h"

#define OAUTH_ANSWER_MAX (64 * 1024)

/* May this URL be asked? False with a sentence. To be called once before the first question: it
 * wakes libcurl up. */
bool oauth_introspect_init(const struct oauth_rules *rules, struct error *error);
/* The body of a 200 is appended. False for all else, with a sentence. */
bool oauth_introspect_ask(const struct oauth_rules *rules, struct span token,
                          struct buf *body_out, struct error *error);

#endif
