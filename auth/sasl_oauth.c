/*
 * OAUTHBEARER (RFC 7628) and XOAUTH2 as mechanisms of Cyrus, which has neither of them as a
 * server. The message is one; a bad token is answered with a challenge that says so, and the
 * client's answer to that, whatever it is, ends in the refusal.
 */
#include "auth/sasl_state.h"

#include <assert.h>

/* Whom the token names; who was typed beside it, if anybody, must be the same. */
static bool take_name(struct sasl_attempt *attempt, struct span user, struct span name)
{
	struct buf claimed = { .cap = SASL_NAME_BYTES };
	struct buf typed = { .cap = SASL_NAME_BYTES };
	bool ok = identity_of_returned(&attempt->map, name, &claimed);
	if (!ok) {
		sasl_attempt_blame(attempt, "the token's claim is no account's name");
	} else if (user.len && !(identity_of_typed(&attempt->map, user, &typed) &&
	                         span_eq(buf_span(&typed), buf_span(&claimed)))) {
		sasl_attempt_blame(attempt, "the token is another account's");
		ok = false;
	} else {
		sasl_name_set(&attempt->proven, buf_span(&claimed));
	}
	buf_done(&claimed);
	buf_done(&typed);
	return ok;
}

/* Failures count for whom was typed: a token that is not good names nobody. */
static void remember_typed(struct sasl_attempt *attempt, struct span user)
{
	struct buf account = { .cap = SASL_NAME_BYTES };
	sasl_name_set(&attempt->tried, user);
	if (user.len && identity_of_typed(&attempt->map, user, &account)) {
		sasl_name_set(&attempt->target, buf_span(&account));
	}
	buf_done(&account);
}

static bool token_is_good(struct sasl_attempt *attempt, struct span user, struct span token)
{
	struct buf name = { .cap = SASL_NAME_BYTES };
	struct error reason = { "" };
	bool good = false;
	assert(attempt->wall > 0); /* else no token ever expires */
	/* A claim that is too long for a name is that of none. */
	switch (oauth_check(sasl_site.oauth, token, attempt->wall, &name, &reason)) {
	case OAUTH_GOOD:
		good = take_name(attempt, user, name.failed ? SPAN_NONE : buf_span(&name));
		break;
	case OAUTH_BAD:
		sasl_attempt_blame(attempt, "%s", reason.text);
		break;
	case OAUTH_UNAVAILABLE:
		sasl_attempt_break(attempt, reason.text);
		break;
	}
	buf_done(&name);
	return good;
}

static int finish(struct sasl_attempt *attempt, sasl_server_params_t *params,
                  sasl_out_params_t *out)
{
	struct span account = sasl_name_span(&attempt->proven);
	if (!attempt->tried.len) {
		attempt->tried = attempt->proven;
	}
	out->doneflag = 1;
	out->mech_ssf = 0; /* no layer */
	return params->canon_user(
	    params->utils->conn, account.ptr, (unsigned)account.len,
	    SASL_CU_AUTHID | SASL_CU_AUTHZID | SASL_CU_EXTERNALLY_VERIFIED, out);
}

static int mech_step(void *context, sasl_server_params_t *params, const char *in,
                     unsigned in_len, const char **challenge_out, unsigned *challenge_len_out,
                     sasl_out_params_t *out)
{
	struct sasl_attempt *attempt = sasl_attempt_of(params->utils);
	bool xoauth2 = strcmp(attempt->mechanism->name, "XOAUTH2") == 0;
	struct span message = span_of(in, in_len);
	struct span user, token;
	(void)context;
	if (attempt->refused) {
		return SASL_BADAUTH; /* RFC 7628 section 3.2.3 */
	}
	if (!(xoauth2 ? oauth_read_xoauth2 : oauth_read_oauthbearer)(message, &user, &token)) {
		sasl_attempt_blame(attempt, "not a message of %s", attempt->mechanism->name);
		return SASL_BADPROT;
	}
	remember_typed(attempt, user);
	if (token_is_good(attempt, user, token)) {
		return finish(attempt, params, out);
	}
	if (attempt->broken) {
		return SASL_UNAVAIL;
	}
	struct span error = oauth_refusal();
	attempt->refused = true;
	*challenge_out = error.ptr;
	*challenge_len_out = (unsigned)error.len;
	return SASL_CONTINUE;
}

static int mech_new(void *global, sasl_server_params_t *params, const char *challenge,
                    unsigned challenge_len, void **context_out)
{
	(void)global;
	(void)params;
	(void)challenge;
	(void)challenge_len;
	*context_out = NULL; /* all of it is in the attempt */
	return SASL_OK;
}

static void mech_dispose(void *context, const sasl_utils_t *utils)
{
	(void)context;
	(void)utils;
}

#define MECHANISM(name) \
	{ \
		.mech_name = (name), \
		.security_flags = SASL_SEC_NOANONYMOUS | SASL_SEC_PASS_CREDENTIALS, \
		.features = SASL_FEAT_WANT_CLIENT_FIRST | SASL_FEAT_ALLOWS_PROXY, \
		.mech_new = mech_new, .mech_step = mech_step, .mech_dispose = mech_dispose, \
	}

int sasl_oauth_init(const sasl_utils_t *utils, int version, int *version_out,
                    sasl_server_plug_t **plugins_out, int *count_out)
{
	static sasl_server_plug_t plugins[] = { MECHANISM("OAUTHBEARER"),
		                                MECHANISM("XOAUTH2") };
	(void)utils;
	if (version < SASL_SERVER_PLUG_VERSION) {
		return SASL_BADVERS;
	}
	*version_out = SASL_SERVER_PLUG_VERSION;
	*plugins_out = plugins;
	*count_out = (int)COUNT(plugins);
	return SASL_OK;
}
