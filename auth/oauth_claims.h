/*
 * What is said about a token, by itself (RFC 7519 4.1) or by an endpoint (RFC 7662 2.2): is it
 * for us, from whom we believe, and still good? Pure.
 */
#ifndef GATEPOST_AUTH_OAUTH_CLAIMS_H
#define GATEPOST_AUTH_OAUTH_CLAIMS_H

#include "auth/jwt.h"
#include "auth/oauth.h"

#define OAUTH_SKEW_MS  60000 /* between their clock and ours */
#define OAUTH_NAME_MAX 255

/* The account's name; it lives as long as `claims`. Empty, with a sentence, when the claims are
 * not good. With rules->jwks `exp` must be there; what of issuer and audience is configured
 * must be there always. `wall`: ms since 1970. */
struct span oauth_claims_name(const struct oauth_rules *rules, const json_t *claims,
                              int64_t wall, struct error *reason);
/* `exp` as ms since 1970; INT64_MAX when it is not there. Of claims that were good. */
int64_t oauth_claims_end(const json_t *claims);

#endif
