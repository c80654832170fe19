/* An attempt: what its names mean, its steps, and who it was in the end. */
#include "auth/sasl_state.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVICE     "smtp" /* RFC 4954 section 4, also for submission */
#define NOBODY      "@"    /* no account can be called so */
#define UPGRADE_MAX SECRET_VERIFIER_MAX

void sasl_name_set(struct sasl_name *name, struct span bytes)
{
	struct span cut = span_first(bytes, SASL_NAME_BYTES);
	if (cut.len) {
		memcpy(name->text, cut.ptr, cut.len);
	}
	name->text[cut.len] = '\0';
	name->len = cut.len;
}

void sasl_attempt_blame(struct sasl_attempt *attempt, const char *format, ...)
{
	va_list args;
	if (attempt->reason.text[0]) {
		return;
	}
	va_start(args, format);
	vsnprintf(attempt->reason.text, sizeof attempt->reason.text, format, args);
	va_end(args);
}

void sasl_attempt_break(struct sasl_attempt *attempt, const char *reason)
{
	attempt->broken = true;
	sasl_attempt_blame(attempt, "%s", reason);
}

/* ---- call-backs of an attempt ---- */

/* A name that is no account keeps its own form: were all of them one, that one could act for
 * any other. */
static void put_raw(struct span name, struct buf *out)
{
	struct span trimmed = span_trim(name);
	bool ok = trimmed.len > 0 && trimmed.len <= SASL_NAME_BYTES;
	for (size_t i = 0; ok && i < trimmed.len; i++) {
		unsigned char c = (unsigned char)trimmed.ptr[i];
		ok = c >= ' ' && c != 0x7f && buf_put_byte(out, span_lower(trimmed.ptr[i]));
	}
	if (!ok) {
		buf_clear(out);
		buf_put_str(out, NOBODY);
	}
}

/* The first name is the one to be proven; others are asked for in its stead (authzid). */
static void put_canonical(struct sasl_attempt *attempt, struct span name, bool authid,
                          struct buf *out)
{
	if (authid && attempt->canonical.len) { /* our own result, come back */
		buf_put(out, sasl_name_span(&attempt->canonical));
		return;
	}
	if (authid && !attempt->tried.len) {
		sasl_name_set(&attempt->tried, name);
	}
	bool proven = authid && attempt->proven.len > 0;
	bool known = !proven && name.len <= SASL_NAME_BYTES &&
	             identity_of_typed(&attempt->map, name, out);
	if (proven) {
		buf_put(out, sasl_name_span(&attempt->proven));
	} else if (!known) {
		put_raw(name, out);
	}
	if (authid) {
		sasl_name_set(&attempt->canonical, buf_span(out));
		sasl_name_set(&attempt->target, known || proven ? buf_span(out) : SPAN_NONE);
	}
}

/* Cyrus trims blanks, keeps the case, leaks a name that is too long and, in LOGIN, the password
 * that came with a refused one. So none is refused here: what can be nobody's name is that of
 * nobody, and fails as any unknown user does. */
static int canon_user(sasl_conn_t *conn, void *context, const char *in, unsigned inlen,
                      unsigned flags, const char *realm, char *out, unsigned out_max,
                      unsigned *out_len)
{
	struct span name = span_of(in, inlen ? inlen : strlen(in));
	struct buf canonical = { .cap = SASL_NAME_BYTES };
	(void)conn;
	(void)realm;
	assert(out_max > SASL_NAME_BYTES);
	put_canonical(context, name, flags & SASL_CU_AUTHID, &canonical);
	bool ok = !canonical.failed;
	if (ok) {
		memcpy(out, canonical.ptr, canonical.len);
		out[canonical.len] = '\0';
		*out_len = (unsigned)canonical.len;
	}
	buf_done(&canonical);
	return ok ? SASL_OK : SASL_NOMEM;
}

/* The name that is asked for must be the account's own, as typed or as the back end has it. */
static int may_act_as(sasl_conn_t *conn, void *context, const char *wanted, unsigned wanted_len,
                      const char *identity, unsigned identity_len, const char *realm,
                      unsigned realm_len, struct propctx *props)
{
	struct sasl_attempt *attempt = context;
	struct span name = span_of(wanted, wanted_len);
	(void)conn;
	(void)realm;
	(void)realm_len;
	(void)props;
	if (span_eq(name, span_of(identity, identity_len)) ||
	    (attempt->proven.len && span_eq(name, sasl_name_span(&attempt->proven)))) {
		return SASL_OK;
	}
	sasl_attempt_blame(attempt, "asked to act for another account");
	return SASL_BADAUTH;
}

struct sasl_attempt *sasl_attempt_of(const sasl_utils_t *utils)
{
	sasl_callback_ft function;
	void *context = NULL;
	int code = utils->getcallback(utils->conn, SASL_CB_CANON_USER, &function, &context);
	assert(code == SASL_OK && context);
	return context;
}

/* ---- begin and end ---- */

static bool attempt_open(struct sasl_attempt *attempt, unsigned tls_bits)
{
	/* No security layer of SASL's own; a password in clear only inside TLS, whatever our
	 * caller forgot. */
	const sasl_security_properties_t properties = {
		.security_flags = SASL_SEC_NOANONYMOUS | SASL_SEC_NOPLAINTEXT,
	};
	const sasl_ssf_t outside = tls_bits;
	return sasl_server_new(SERVICE, sasl_site.hostname, sasl_site.domain, NULL, NULL,
	                       attempt->callbacks, 0, &attempt->conn) == SASL_OK &&
	       sasl_setprop(attempt->conn, SASL_SEC_PROPS, &properties) == SASL_OK &&
	       sasl_setprop(attempt->conn, SASL_SSF_EXTERNAL, &outside) == SASL_OK &&
	       sasl_setprop(attempt->conn, SASL_AUTH_EXTERNAL, attempt->certificate.text) ==
	           SASL_OK;
}

static void learn_peer(struct sasl_attempt *attempt, const struct sasl_peer *peer)
{
	attempt->map = peer->map ? *peer->map : (struct identity_map){ .rules = NULL };
	if (!attempt->map.domain.len) {
		attempt->map.domain = span_str(sasl_site.domain);
	}
	attempt->now = peer->now;
	attempt->wall = peer->wall;
	attempt->cache_time = peer->cache_time;
	attempt->tls = peer->tls_bits > 0;
	sasl_name_set(&attempt->client, span_str(peer->client));
	sasl_name_set(&attempt->certificate, peer->certificate);
	assert(peer->exporter.len <= SASL_BINDING_MAX &&
	       peer->end_point.len <= SASL_BINDING_MAX);
	sasl_name_set(&attempt->exporter, peer->exporter);
	sasl_name_set(&attempt->end_point, peer->end_point);
}

struct sasl_attempt *sasl_attempt_new(const struct sasl_peer *peer)
{
	struct sasl_attempt *attempt = calloc(1, sizeof *attempt);
	if (!attempt) {
		return NULL;
	}
	const sasl_callback_t callbacks[SASL_CALLBACKS] = {
		{ SASL_CB_CANON_USER, SASL_PROC(canon_user), attempt },
		{ SASL_CB_SERVER_USERDB_CHECKPASS, SASL_PROC(sasl_password_check), attempt },
		{ SASL_CB_PROXY_POLICY, SASL_PROC(may_act_as), attempt },
		{ SASL_CB_GETOPT, SASL_PROC(sasl_attempt_option), attempt },
		{ SASL_CB_LOG, SASL_PROC(sasl_attempt_log), attempt },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	memcpy(attempt->callbacks, callbacks, sizeof callbacks);
	buf_init_secret(&attempt->upgrade, UPGRADE_MAX);
	learn_peer(attempt, peer);
	if (!attempt_open(attempt, peer->tls_bits)) {
		sasl_attempt_free(attempt);
		return NULL;
	}
	return attempt;
}

void sasl_attempt_free(struct sasl_attempt *attempt)
{
	if (attempt) {
		sasl_dispose(&attempt->conn);
		buf_done(&attempt->upgrade);
		secret_cleanse(attempt, sizeof *attempt);
		free(attempt);
	}
}

/* ---- what must hold before Cyrus sees a message ---- */

/* RFC 5802 section 6: "p" belongs to -PLUS and to it alone, and one who says that we can not
 * bind though we say that we can has been lied to on the way. Cyrus takes one kind of binding a
 * handle, so it is told the one that the client named. */
static bool binding_is_good(struct sasl_attempt *attempt, struct span message)
{
	const struct {
		const char *name;
		const struct sasl_name *value;
	} kinds[] = {
		{ "tls-exporter", &attempt->exporter },         /* RFC 9266 */
		{ "tls-server-end-point", &attempt->end_point } /* RFC 5929 section 4 */
	};
	char flag = message.len ? message.ptr[0] : '\0';
	bool can = attempt->exporter.len || attempt->end_point.len;
	if (flag != 'p') {
		return !attempt->mechanism->plus &&
		       !(flag == 'y' && can && sasl_site.plus_is_offered);
	}
	struct span rest = span_from(message, 2);
	struct span name = span_first(rest, span_find(rest, ','));
	for (size_t i = 0; i < COUNT(kinds) && attempt->mechanism->plus; i++) {
		if (span_eq(name, span_str(kinds[i].name)) && kinds[i].value->len) {
			attempt->binding = (sasl_channel_binding_t){
				.name = kinds[i].name,
				.critical = 1,
				.len = kinds[i].value->len,
				.data = (const unsigned char *)kinds[i].value->text,
			};
			return sasl_setprop(attempt->conn, SASL_CHANNEL_BINDING,
			                    &attempt->binding) == SASL_OK;
		}
	}
	return false;
}

/* Its first message, which may come with AUTH or in answer to an empty challenge. */
static bool may_go_on(struct sasl_attempt *attempt, const struct span *message)
{
	if (attempt->mechanism->family != FAMILY_SCRAM || attempt->heard || !message) {
		return true;
	}
	attempt->heard = message->len > 0; /* to an empty one Cyrus may ask again */
	if (sasl_cyrus_has_users() && !sasl_users_are_there(attempt)) {
		return false;
	}
	if (!binding_is_good(attempt, *message)) {
		sasl_attempt_blame(attempt, "the channel binding is not ours");
		return false;
	}
	return true;
}

/* Is the mechanism one for this connection? */
static bool is_usable(const struct sasl_attempt *attempt)
{
	switch (attempt->mechanism->family) {
	case FAMILY_EXTERNAL:
		return attempt->certificate.len > 0;
	case FAMILY_OAUTH: /* a token is as good as a password */
		return attempt->tls;
	case FAMILY_SCRAM:
		return !attempt->mechanism->plus || attempt->exporter.len ||
		       attempt->end_point.len;
	case FAMILY_PASSWORD:
		return true;
	}
	return false;
}

/* The certificate's name as an account; false when it can not be one. */
static bool take_certificate(struct sasl_attempt *attempt)
{
	struct buf account = { .cap = SASL_NAME_BYTES };
	struct span name = sasl_name_span(&attempt->certificate);
	bool ok = identity_of_returned(&attempt->map, name, &account);
	sasl_name_set(&attempt->tried, name);
	if (ok) {
		sasl_name_set(&attempt->proven, buf_span(&account));
		attempt->target = attempt->proven;
	} else {
		sasl_attempt_blame(attempt, "the certificate's name is no account's");
	}
	buf_done(&account);
	return ok;
}

/* ---- steps ---- */

static enum sasl_status attempt_succeed(struct sasl_attempt *attempt)
{
	bool password = attempt->mechanism->family == FAMILY_PASSWORD;
	/* A good end without our word on the password is none, but where the users are
	 * Cyrus's. */
	if (password && !attempt->right && !(attempt->by_cyrus && sasl_cyrus_has_users())) {
		return SASL_REFUSED;
	}
	if (!attempt->proven.len) {
		if (!attempt->target.len) { /* right for a name that is no account's */
			sasl_attempt_blame(attempt, "the name is no account's");
			return sasl_cyrus_has_users() ? SASL_UNAVAILABLE : SASL_REFUSED;
		}
		attempt->proven = attempt->target;
	}
	attempt->good = true;
	return SASL_GOOD;
}

/* Of sasldb and sql: SASL_FAIL is that they can not be read. */
static bool is_failure_of_users(const struct sasl_attempt *attempt, int code)
{
	bool asked = attempt->by_cyrus || attempt->mechanism->family == FAMILY_SCRAM;
	return asked && sasl_cyrus_has_users() &&
	       (code == SASL_FAIL || code == SASL_UNAVAIL ||
	        (code != SASL_OK && code != SASL_CONTINUE && attempt->sql_failed));
}

static enum sasl_status attempt_status(struct sasl_attempt *attempt, int code,
                                       struct span challenge, struct buf *challenge_out)
{
	if (attempt->broken) {
		return SASL_UNAVAILABLE;
	}
	if (is_failure_of_users(attempt, code)) {
		sasl_attempt_blame(attempt, "%s can not be read", backend_name(sasl_backend()));
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

/* What Cyrus was given of an account's secret is needed no more once it has read it. */
static void forget_verifiers(struct sasl_attempt *attempt)
{
	struct propctx *props = sasl_auxprop_getctx(attempt->conn);
	if (props) {
		prop_erase(props, "*authPassword");
		prop_erase(props, "*" SASL_AUX_PASSWORD_PROP);
		prop_erase(props, SASL_AUX_PASSWORD_PROP);
	}
}

static enum sasl_status attempt_end(struct sasl_attempt *attempt, enum sasl_status status)
{
	static const char *const reasons[] = {
		[SASL_MORE] = "given up",
		[SASL_GOOD] = "",
		[SASL_REFUSED] = "wrong password or no such account",
		[SASL_NO_MECHANISM] = "the mechanism is not offered",
		[SASL_NO_INITIAL] = "the mechanism speaks second",
		[SASL_UNAVAILABLE] = "no memory",
	};
	forget_verifiers(attempt);
	attempt->ended = status != SASL_MORE;
	if (attempt->ended) {
		sasl_attempt_blame(attempt, "%s", reasons[status]);
	}
	return status;
}

/* A message that was not let through ends the attempt. */
static enum sasl_status attempt_stop(struct sasl_attempt *attempt)
{
	return attempt_end(attempt, attempt->broken ? SASL_UNAVAILABLE : SASL_REFUSED);
}

enum sasl_status sasl_attempt_start(struct sasl_attempt *attempt, struct span mechanism,
                                    const struct span *initial, struct buf *challenge_out)
{
	const char *challenge = NULL;
	unsigned len = 0;
	assert(!attempt->mechanism && !attempt->ended);
	attempt->mechanism = sasl_mechanism_find(mechanism);
	if (!attempt->mechanism || !is_usable(attempt)) {
		return attempt_end(attempt, SASL_NO_MECHANISM);
	}
	if ((attempt->mechanism->family == FAMILY_EXTERNAL && !take_certificate(attempt)) ||
	    !may_go_on(attempt, initial)) {
		return attempt_stop(attempt);
	}
	const char *bytes = initial && initial->len ? initial->ptr : "";
	int code = sasl_server_start(attempt->conn, attempt->mechanism->base,
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
	if (!may_go_on(attempt, &response)) {
		return attempt_stop(attempt);
	}
	int code = sasl_server_step(attempt->conn, response.len ? response.ptr : "",
	                            (unsigned)response.len, &challenge, &len);
	return attempt_end(
	    attempt, attempt_status(attempt, code, span_of(challenge, len), challenge_out));
}

/* ---- who ---- */

struct span sasl_attempt_account(const struct sasl_attempt *attempt)
{
	return attempt->good ? sasl_name_span(&attempt->proven) : SPAN_NONE;
}

struct span sasl_attempt_apppass(const struct sasl_attempt *attempt)
{
	return attempt->good ? sasl_name_span(&attempt->apppass) : SPAN_NONE;
}

struct span sasl_attempt_tried(const struct sasl_attempt *attempt)
{
	return sasl_name_span(&attempt->tried);
}

struct span sasl_attempt_target(const struct sasl_attempt *attempt)
{
	return sasl_name_span(&attempt->target);
}

bool sasl_attempt_guess(const struct sasl_attempt *attempt,
                        unsigned char guess_out[SCREEN_GUESS_BYTES])
{
	if (attempt->has_guess) {
		memcpy(guess_out, attempt->guess, SCREEN_GUESS_BYTES);
	}
	return attempt->has_guess;
}

const char *sasl_attempt_reason(const struct sasl_attempt *attempt)
{
	return attempt->reason.text;
}

struct span sasl_attempt_upgrade(const struct sasl_attempt *attempt)
{
	return attempt->good ? buf_span(&attempt->upgrade) : SPAN_NONE;
}
