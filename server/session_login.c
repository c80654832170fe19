/* Who a client is: STARTTLS, AUTH, and what becomes of a login later. */
#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/screening.h"
#include "server/wall.h"

#define EVIDENCE_MAX ((size_t)1024)

/* ---- TLS ---- */

void session_starttls(struct session *session, struct smtp_event *event)
{
	(void)event;
	struct tls_context *context = server_tls(session->worker->server);
	session_answer(session, REPLY_START_TLS);
	conn_write(session->conn, smtp_server_output(session->smtp));
	session->shaking = true;
	conn_start_tls(session->conn, context, NULL);
	tls_context_unref(context);
}

/* EXTERNAL is offered to who has shown a certificate. */
void session_see_certificate(struct session *session)
{
	struct buf name;
	const struct tls *tls = conn_tls(session->conn);
	buf_init(&name, sizeof session->certificate - 1);
	if (tls && tls_client_name(tls, &name)) {
		snprintf(session->certificate, sizeof session->certificate, "%.*s",
		         SPAN_ARG(buf_span(&name)));
	}
	buf_done(&name);
	session->rules.mechanisms = session_mechanisms(session);
}

struct span session_mechanisms(const struct session *session)
{
	bool none = session->role == CONFIG_ROLE_REPLY || session->device;
	return none ? SPAN_NONE : sasl_mechanisms(*session->certificate);
}

/* ---- the log ---- */

/* fail2ban reads these lines: client_ip first, what a client chose last and quoted. */
static void log_login(struct session *session, const char *event, const char *reason,
                      struct span user)
{
	struct log_line line;
	const struct tls *tls = conn_tls(session->conn);
	session_log(&line, session, LOG_LEVEL_INFO, event);
	log_word(&line, "mech", login_mechanism(session->login));
	if (tls) {
		log_word(&line, "tls", span_str(tls_version(tls)));
	}
	if (*session->apppass) {
		log_word(&line, "apppass", span_str(session->apppass));
	}
	if (reason && *reason) {
		log_text(&line, "reason", span_str(reason));
	}
	log_text(&line, "user", user);
	log_end(&line);
}

/* ---- the end of an attempt ---- */

static void dispose(struct session *session)
{
	login_drop(session->login);
	session->login = NULL;
	enrol_orphan(session->enrol);
	session->enrol = NULL;
	session->holding = false;
}

void session_login_gone(struct session *session, struct smtp_event *event)
{
	(void)event;
	dispose(session);
}

static void finish(struct session *session, enum reply reply)
{
	if (!session->account) {
		*session->apppass = '\0';
	}
	dispose(session);
	session_answer(session, reply);
}

/* ---- a good one ---- */

/* Is there such an account, and is it good? A suspended one may log in, so that its client
 * shows the reason, which comes at MAIL. */
static enum gate_verdict ask_gate(struct session *session, struct span account)
{
	struct store_txn *txn = store_begin_read(session->worker->server->store, NULL);
	enum gate_verdict verdict = txn ? gate_login(txn, account, span_str(session->apppass),
	                                             &session->stopped, &session->secret_wall)
	                                : GATE_BROKEN;
	store_abort(txn);
	session->stopped_at_login = verdict == GATE_SUSPENDED;
	return verdict;
}

/* Does somebody else say who exists? Not our own passwords: a row that is gone was deleted a
 * moment ago. */
static bool is_vouched_for(const struct session *session)
{
	static const char *const mechanisms[] = { "EXTERNAL", "OAUTHBEARER", "XOAUTH2" };
	if (*session->apppass) {
		return false;
	}
	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		if (span_eq(login_mechanism(session->login), span_str(mechanisms[i]))) {
			return true;
		}
	}
	return config_is_external(session->worker->server->began);
}

/* From here on the session is the account's. */
static enum reply enter(struct session *session, struct span account)
{
	struct census *census = session->worker->server->census;
	if (!census_login(census, account, session->config->connections_per_account)) {
		return REPLY_TOO_MANY_CONNECTIONS;
	}
	session->account = strndup(account.ptr, account.len);
	if (!session->account) {
		census_logout(census, account);
		return REPLY_AUTH_UNAVAILABLE;
	}
	session->logged_in = conn_now(session->conn);
	session->vouched = session->login && is_vouched_for(session);
	return REPLY_AUTH_OK;
}

static void admit(struct session *session, enum gate_verdict verdict)
{
	struct span account = sasl_attempt_account(login_attempt(session->login));
	bool stopped = verdict == GATE_SUSPENDED;
	log_login(session, stopped ? "login-suspended" : "login", NULL, account);
	if (stopped && session->config->suspended_at == CONFIG_SUSPENDED_AT_AUTH) {
		*session->apppass = '\0';
		dispose(session);
		session_answer_stopped(session, REPLY_STOPPED_LOGIN);
		return;
	}
	finish(session, enter(session, account));
}

static void settle(struct session *session, bool enrolled);

static void on_enrolled(void *owner, bool good)
{
	struct session *session = owner;
	session->enrol = NULL;
	if (session->closing) {
		return;
	}
	if (good) {
		settle(session, true);
	} else {
		finish(session, REPLY_AUTH_UNAVAILABLE);
	}
	session_run(session);
}

static const struct enrol_handler enrol_handler = { .end = on_enrolled };

/* A good password of somebody who has no account. */
static void stranger(struct session *session, struct span account, bool enrolled)
{
	bool vouched = is_vouched_for(session);
	if (vouched && session->config->enrol == CONFIG_ENROL_OPEN && !enrolled) {
		session->enrol = enrol_start(session->worker, account, &enrol_handler, session);
		if (session->enrol) {
			return;
		}
	}
	log_login(session, "login-unknown", NULL, account);
	if (vouched) {
		struct buf text;
		buf_init(&text, EVIDENCE_MAX);
		buf_printf(&text,
		           "%.*s logged in from %s with a good password and has no account",
		           SPAN_ARG(account), conn_peer(session->conn));
		screening_alarm(session->worker->server, SCREENING_UNKNOWN_ACCOUNT,
		                buf_span(&text));
		buf_done(&text);
	}
	finish(session, REPLY_AUTH_UNAVAILABLE);
}

static void settle(struct session *session, bool enrolled)
{
	struct span account = sasl_attempt_account(login_attempt(session->login));
	enum gate_verdict verdict = ask_gate(session, account);
	if (verdict == GATE_UNKNOWN) {
		stranger(session, account, enrolled);
	} else if (verdict == GATE_BROKEN) {
		log_login(session, "auth-unavailable", "the store can not be read", account);
		finish(session, REPLY_AUTH_UNAVAILABLE);
	} else {
		admit(session, verdict);
	}
}

static void take_apppass(struct session *session, const struct sasl_attempt *attempt)
{
	struct span name = sasl_attempt_apppass(attempt);
	snprintf(session->apppass, sizeof session->apppass, "%.*s", SPAN_ARG(name));
}

static struct screen_try try_of(const struct session *session,
                                const struct sasl_attempt *attempt)
{
	struct span target = sasl_attempt_target(attempt);
	return (struct screen_try){
		.address = session->address,
		.account = target.len ? target : sasl_attempt_tried(attempt),
	};
}

static void login_good(struct session *session)
{
	struct server *server = session->worker->server;
	const struct sasl_attempt *attempt = login_attempt(session->login);
	struct screen_try attempted = try_of(session, attempt);
	struct span upgrade = sasl_attempt_upgrade(attempt);
	screening_good(server, &attempted);
	if (upgrade.len) {
		enrol_upgrade(server, sasl_attempt_account(attempt), upgrade,
		              session->login_wall);
	}
	take_apppass(session, attempt);
	settle(session, false);
}

/* ---- one that is not ---- */

/* The session's own count: its reply is `reply`, and after too many of them it is the last. */
static void count_failure(struct session *session, enum reply reply)
{
	session->auth_failures++;
	finish(session, reply);
	if (session->auth_failures >= session->config->auth_failures) {
		smtp_server_hang_up(session->smtp, REPLY_TOO_MANY_AUTH, SPAN_NONE);
	}
}

static void on_held(void *owner)
{
	struct session *session = owner;
	if (!session->closing) {
		count_failure(session, REPLY_AUTH_FAILED);
		session_run(session);
	}
}

/* A drain does not wait for what only keeps a guesser waiting. */
void session_hurry_login(struct session *session)
{
	if (session->holding) {
		on_held(session);
	}
}

static void login_refused(struct session *session)
{
	unsigned char guess[SCREEN_GUESS_BYTES];
	char text[SCREENING_NAME_TEXT];
	const struct sasl_attempt *attempt = login_attempt(session->login);
	struct screen_try attempted = try_of(session, attempt);
	if (sasl_attempt_guess(attempt, guess)) {
		attempted.guess = guess;
	}
	log_login(session, "auth-fail", sasl_attempt_reason(attempt),
	          screening_name(session->worker->server, attempted.account, text));
	int64_t delay = screening_failed(session->worker->server, &attempted);
	if (delay > 0) {
		session->holding = true;
		login_hold(session->login, delay);
	} else {
		count_failure(session, REPLY_AUTH_FAILED);
	}
}

static void login_unavailable(struct session *session)
{
	/* One that is late is in the pool still, and not to be looked at. */
	const char *reason = login_is_busy(session->login)
	                         ? "no answer within auth_timeout"
	                         : sasl_attempt_reason(login_attempt(session->login));
	log_login(session, "auth-unavailable", reason, SPAN_NONE);
	screening_alarm(session->worker->server, SCREENING_BACKEND, span_str(reason));
	finish(session, REPLY_AUTH_UNAVAILABLE);
}

static void login_no_mechanism(struct session *session)
{
	finish(session, REPLY_BAD_MECHANISM);
}

static void login_no_initial(struct session *session)
{
	finish(session, REPLY_AUTH_NO_INITIAL);
}

/* Is the account being guessed, or the address shut out, and the network not known to be the
 * owner's? It is asked as soon as the name is known: the last challenge of SCRAM would tell a
 * right password from a wrong one. */
static bool is_guarded(struct session *session, enum sasl_status status)
{
	char text[SCREENING_NAME_TEXT];
	if (status != SASL_MORE && status != SASL_GOOD && status != SASL_REFUSED) {
		return false;
	}
	const struct sasl_attempt *attempt = login_attempt(session->login);
	struct screen_try attempted = try_of(session, attempt);
	if (!attempted.account.len || screening_may_try(session->worker->server, &attempted)) {
		return false;
	}
	bool blocked = screening_blocked(session->worker->server, session->address);
	log_login(session, "auth-guarded",
	          blocked ? "the address is shut out" : "the account is being guessed",
	          screening_name(session->worker->server, attempted.account, text));
	count_failure(session, REPLY_AUTH_UNAVAILABLE);
	return true;
}

static void on_login_result(void *owner, enum sasl_status status, struct span challenge)
{
	static void (*const ends[])(struct session * session) = {
		[SASL_GOOD] = login_good,
		[SASL_REFUSED] = login_refused,
		[SASL_NO_MECHANISM] = login_no_mechanism,
		[SASL_NO_INITIAL] = login_no_initial,
		[SASL_UNAVAILABLE] = login_unavailable,
	};
	struct session *session = owner;
	if (session->closing) {
		return; /* on_closed drops the login */
	}
	if (is_guarded(session, status)) {
		/* it is answered */
	} else if (status == SASL_MORE) {
		smtp_server_challenge(session->smtp, challenge);
	} else {
		ends[status](session);
	}
	session_run(session);
}

static const struct login_handler login_handler = {
	.result = on_login_result,
	.held = on_held,
};

/* ---- AUTH ---- */

/* Bindings take a while, and only SCRAM-...-PLUS asks for them. */
static struct login *new_login(struct session *session, struct span mechanism)
{
	struct buf exporter, end_point;
	const struct tls *tls = conn_tls(session->conn);
	buf_init(&exporter, SASL_BINDING_MAX);
	buf_init(&end_point, SASL_BINDING_MAX);
	if (tls && span_starts_nocase(mechanism, SPAN_LIT("SCRAM-"))) {
		tls_binding_exporter(tls, &exporter);
		tls_binding_end_point(tls, &end_point);
	}
	struct sasl_peer peer = {
		.tls_bits = tls ? tls_bits(tls) : 0,
		.client = conn_peer(session->conn),
		.exporter = buf_span(&exporter),
		.end_point = buf_span(&end_point),
		.certificate = span_str(session->certificate),
	};
	struct login *login = login_new(session->worker, session->config, &peer, &login_handler,
	                                session);
	buf_done(&exporter);
	buf_done(&end_point);
	return login;
}

static void too_many(struct session *session)
{
	if (session->login) {
		log_login(session, "auth-unavailable", "too many logins at a time", SPAN_NONE);
	}
	finish(session, REPLY_AUTH_UNAVAILABLE);
}

void session_auth(struct session *session, struct smtp_event *event)
{
	if (!screening_admits(session->worker->server, session->address)) {
		session_answer(session, REPLY_SHUT_OUT);
		return;
	}
	session->login_wall = wall_ms();
	session->login = new_login(session, event->text);
	if (!session->login || !login_start(session->login, event->text,
	                                    event->has_response ? &event->response : NULL)) {
		too_many(session);
	}
}

void session_auth_next(struct session *session, struct smtp_event *event)
{
	if (!login_step(session->login, event->response)) {
		too_many(session);
	}
}

/* ---- a device ---- */

enum reply session_enter_device(struct session *session)
{
	struct log_line line;
	const struct config_device *device = config_device_at(session->config,
	                                                      session->address);
	if (!device || session->role != CONFIG_ROLE_SUBMISSION) {
		return REPLY_OK;
	}
	struct span account = span_str(device->account);
	session->device = true;
	ask_gate(session, account);
	enum reply reply = enter(session, account);
	if (reply != REPLY_AUTH_OK) {
		return reply == REPLY_TOO_MANY_CONNECTIONS ? reply : REPLY_NO_MEMORY;
	}
	session_log(&line, session, LOG_LEVEL_INFO, "device");
	log_word(&line, "device", span_str(device->name));
	log_word(&line, "account", account);
	log_end(&line);
	return REPLY_OK;
}

static bool is_device_still(const struct session *session)
{
	const struct config_device *device = config_device_at(session->config,
	                                                      session->address);
	return device && span_eq(span_str(device->account), session_account(session));
}

/* ---- later ---- */

enum gate_verdict session_ask_gate(const struct session *session, uint64_t *incident_out)
{
	int64_t wall = session->secret_wall;
	struct store_txn *txn = store_begin_read(session->worker->server->store, NULL);
	enum gate_verdict verdict = txn ? gate_login(txn, session_account(session),
	                                             span_str(session->apppass), incident_out,
	                                             &wall)
	                                : GATE_BROKEN;
	store_abort(txn);
	return wall == session->secret_wall || session->device ? verdict : GATE_UNKNOWN;
}

/* Something about its account's secrets was changed a moment ago. One that was set while the
 * login was being checked may not be the one that was checked. */
static bool is_secret_gone(struct session *session)
{
	uint64_t incident;
	enum gate_verdict verdict = session_ask_gate(session, &incident);
	session->changed = false;
	return verdict == GATE_UNKNOWN ||
	       (!session->device && session->secret_wall >= session->login_wall);
}

/* Where the password is not ours we do not hear that it was changed: so it is asked for again
 * now and then. */
static bool is_stale(const struct session *session)
{
	int64_t age = conn_now(session->conn) - session->logged_in;
	return session->vouched && config_external_is_over(age, session->messages);
}

enum reply session_login_over(struct session *session)
{
	if (session->shut_out) {
		return REPLY_SHUT_OUT;
	}
	if (!session->account) {
		return REPLY_OK;
	}
	bool gone = (session->changed && is_secret_gone(session)) ||
	            (session->device && !is_device_still(session));
	bool between = !smtp_server_in_transaction(session->smtp);
	return gone || (between && is_stale(session)) ? REPLY_LOGIN_AGAIN : REPLY_OK;
}
