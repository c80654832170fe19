#include "server/session_state.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

void session_log(struct log_line *line, const struct session *session, enum log_level level,
                 const char *event)
{
	log_begin(line, level, event);
	log_word(line, "client_ip", span_str(conn_peer(session->conn)));
	log_number(line, "sid", (int64_t)session->id);
	log_word(line, "listener", span_str(session->listener));
}

/* What is offered follows the configuration: taken anew at the start of each transaction. */
void session_take_config(struct session *session)
{
	session->generation = atomic_load(&session->worker->server->generation);
	struct config *config = server_config(session->worker->server);
	config_unref(session->config);
	session->config = config;
	bool reply = session->role == CONFIG_ROLE_REPLY;
	session->rules = (struct smtp_server_rules){
		.hostname = span_str(config->hostname),
		.mechanisms = reply ? SPAN_NONE : sasl_mechanisms(),
		.message_size = (uint64_t)config->message_size,
		.command_max = (size_t)config->command_length,
		.auth_max = (size_t)config->auth_length + 2,
		.errors_max = (unsigned)config->errors,
		.junk_max = (unsigned)config->junk,
		.starttls = session->tls == CONFIG_TLS_STARTTLS,
		.need_tls = !reply,
		.no_auth = reply,
	};
}

/* One line under 200 characters: what a mail client shows to somebody who has done nothing. */
static struct span stopped_word(const struct session *session, char text[160])
{
	const char *contact = session->config->contact;
	int n = snprintf(text, 160, "%s%s (case %llu)",
	                 *contact ? "Contact: " : "Ask your postmaster", contact,
	                 (unsigned long long)session->stopped);
	return span_of(text, (size_t)n);
}

void session_answer_stopped(struct session *session, enum reply reply)
{
	char text[160];
	smtp_server_answer(session->smtp, reply, stopped_word(session, text));
}

/* ---- STARTTLS and AUTH ---- */

static void on_starttls(struct session *session, struct smtp_event *event)
{
	(void)event;
	struct tls_context *context = server_tls(session->worker->server);
	session_answer(session, REPLY_START_TLS);
	conn_write(session->conn, smtp_server_output(session->smtp));
	session->shaking = true;
	conn_start_tls(session->conn, context, NULL);
	tls_context_unref(context);
}

static void log_login(struct session *session, const char *event, struct span user)
{
	struct log_line line;
	session_log(&line, session, LOG_LEVEL_INFO, event);
	log_word(&line, "mech", login_mechanism(session->login));
	log_word(&line, "tls", span_str(tls_version(conn_tls(session->conn))));
	log_text(&line, "user", user);
	log_end(&line);
}

/* Is the account good? A suspended one may log in, so that its client shows the reason, which
 * comes at MAIL. */
static enum reply judge_login(struct session *session, struct span account)
{
	struct store_txn *txn = store_begin_read(session->worker->server->store, NULL);
	enum gate_verdict verdict = txn ? gate_login(txn, account, &session->stopped)
	                                : GATE_BROKEN;
	store_abort(txn);
	session->stopped_at_login = verdict == GATE_SUSPENDED;
	if (verdict == GATE_SUSPENDED) {
		bool here = session->config->suspended_at == CONFIG_SUSPENDED_AT_AUTH;
		return here ? REPLY_STOPPED_LOGIN : REPLY_AUTH_OK;
	}
	return verdict == GATE_BROKEN ? REPLY_AUTH_UNAVAILABLE : REPLY_AUTH_OK;
}

static void login_good(struct session *session)
{
	struct census *census = session->worker->server->census;
	struct span account = login_account(session->login);
	enum reply reply = judge_login(session, account);
	log_login(session, session->stopped_at_login ? "login-suspended" : "login", account);
	if (reply == REPLY_STOPPED_LOGIN) {
		session_answer_stopped(session, reply);
		return;
	}
	if (reply != REPLY_AUTH_OK) {
		session_answer(session, reply);
		return;
	}
	if (!census_login(census, account, session->config->connections_per_account)) {
		session_answer(session, REPLY_TOO_MANY_CONNECTIONS);
		return;
	}
	session->account = strndup(account.ptr, account.len);
	if (!session->account) {
		census_logout(census, account);
		session_answer(session, REPLY_AUTH_UNAVAILABLE);
		return;
	}
	session_answer(session, REPLY_AUTH_OK);
}

static void login_refused(struct session *session)
{
	log_login(session, "auth-fail", login_tried(session->login));
	session->auth_failures++;
	bool last = session->auth_failures >= session->config->auth_failures;
	session_answer(session, REPLY_AUTH_FAILED);
	if (last) {
		smtp_server_hang_up(session->smtp, REPLY_TOO_MANY_AUTH, SPAN_NONE);
	}
}

static void on_login_result(void *owner, enum sasl_status status, struct span challenge)
{
	struct session *session = owner;
	if (session->closing) {
		return; /* on_closed drops the login */
	}
	if (status == SASL_MORE) {
		smtp_server_challenge(session->smtp, challenge);
		session_run(session);
		return;
	}
	switch (status) {
	case SASL_GOOD:
		login_good(session);
		break;
	case SASL_REFUSED:
		login_refused(session);
		break;
	case SASL_NO_MECHANISM:
		session_answer(session, REPLY_BAD_MECHANISM);
		break;
	case SASL_NO_INITIAL:
		session_answer(session, REPLY_AUTH_NO_INITIAL);
		break;
	default:
		log_login(session, "auth-unavailable", SPAN_NONE);
		session_answer(session, REPLY_AUTH_UNAVAILABLE);
	}
	login_drop(session->login);
	session->login = NULL;
	session_run(session);
}

static const struct login_handler login_handler = { .result = on_login_result };

static void login_ended(struct session *session, bool submitted)
{
	if (!submitted) {
		session_answer(session, REPLY_AUTH_UNAVAILABLE);
		login_drop(session->login);
		session->login = NULL;
	}
}

static void on_auth(struct session *session, struct smtp_event *event)
{
	const struct tls *tls = conn_tls(session->conn);
	session->login = login_new(session->worker, tls ? tls_bits(tls) : 0, &login_handler,
	                           session);
	login_ended(session, session->login &&
	                         login_start(session->login, event->text,
	                                     event->has_response ? &event->response : NULL));
}

static void on_auth_next(struct session *session, struct smtp_event *event)
{
	login_ended(session, login_step(session->login, event->response));
}

static void on_auth_gone(struct session *session, struct smtp_event *event)
{
	(void)event;
	login_drop(session->login);
	session->login = NULL;
}

static void on_reset(struct session *session, struct smtp_event *event)
{
	(void)event;
	transaction_reset(session);
}

static void on_close(struct session *session, struct smtp_event *event)
{
	if (!span_eq(event->text, SPAN_LIT("quit"))) {
		struct log_line line;
		session_log(&line, session, LOG_LEVEL_INFO, "closing");
		log_word(&line, "reason", event->text);
		log_end(&line);
	}
	session->closing = true;
}

/* ---- the loop of a session ---- */

static void (*const session_on[])(struct session *session, struct smtp_event *event) = {
	[SMTP_EVENT_STARTTLS] = on_starttls,   [SMTP_EVENT_AUTH] = on_auth,
	[SMTP_EVENT_AUTH_NEXT] = on_auth_next, [SMTP_EVENT_MAIL] = transaction_mail,
	[SMTP_EVENT_RCPT] = transaction_rcpt,  [SMTP_EVENT_DATA] = transaction_data,
	[SMTP_EVENT_END] = transaction_end,    [SMTP_EVENT_HELO] = on_reset,
	[SMTP_EVENT_AUTH_GONE] = on_auth_gone, [SMTP_EVENT_BODY] = transaction_body,
	[SMTP_EVENT_RESET] = on_reset,         [SMTP_EVENT_CLOSE] = on_close,
};

static int64_t earliest(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The time by which the client, or the handshake, must have got on: of its phase and in total
 * (TESTS D19). */
static int64_t deadline(const struct session *session)
{
	const struct config *config = session->config;
	int64_t at = session->born + config->session_timeout;
	if (!session->account && session->role == CONFIG_ROLE_SUBMISSION) {
		at = earliest(at, session->born + config->login_timeout);
	}
	if (session->shaking) {
		return earliest(at, session->progress + config->tls_timeout);
	}
	if (!smtp_server_in_data(session->smtp)) {
		return earliest(at, session->progress + config->idle_timeout);
	}
	at = earliest(at, session->data_read + config->data_timeout);
	if (config->data_rate) {
		int64_t earned = (int64_t)session->text_bytes * 1000 / config->data_rate;
		at = earliest(at, session->data_began + config->data_timeout + earned);
	}
	return at;
}

static void arm(struct session *session)
{
	/* While we owe the client an answer, no time of his is running; login and writer have
	 * their own. */
	bool ours = smtp_server_is_waiting(session->smtp) && !session->shaking;
	int64_t left = deadline(session) - conn_now(session->conn);
	conn_deadline(session->conn, ours ? 0 : left > 0 ? left : 1);
}

static bool may_go_on(const struct session *session)
{
	return !session->closing &&
	       (!session->intake || session->awaiting_end || intake_wants(session->intake)) &&
	       conn_pending(session->conn) < CONN_OUTPUT_HIGH;
}

static void set_reading(struct session *session)
{
	bool read = may_go_on(session) && smtp_server_wants(session->smtp);
	if (read == !session->paused) {
		return;
	}
	session->paused = !read;
	(read ? conn_resume : conn_pause)(session->conn);
}

/* Between two transactions the server may end it: a drain, a suspension that somebody else
 * brought about. */
static bool is_over(struct session *session)
{
	char text[160];
	if (smtp_server_is_waiting(session->smtp) ||
	    smtp_server_in_transaction(session->smtp)) {
		return false;
	}
	if (atomic_load(&session->worker->server->draining)) {
		smtp_server_hang_up(session->smtp, REPLY_SHUTDOWN, SPAN_NONE);
		return true;
	}
	if (session->stopped && !session->stopped_at_login && !session->tripped) {
		smtp_server_hang_up(session->smtp, REPLY_STOPPED_BYE,
		                    stopped_word(session, text));
		return true;
	}
	return false;
}

/* Between two transactions a reload takes effect: before MAIL is read, for it is judged by its
 * SIZE. */
static void renew_config(struct session *session)
{
	unsigned present = atomic_load(&session->worker->server->generation);
	if (session->generation != present && !smtp_server_in_transaction(session->smtp) &&
	    !smtp_server_is_waiting(session->smtp)) {
		session_take_config(session);
		smtp_server_rules(session->smtp, &session->rules);
	}
}

void session_run(struct session *session)
{
	struct smtp_event event;
	if (session->closing) {
		return;
	}
	renew_config(session);
	while (may_go_on(session) && smtp_server_next(session->smtp, &event)) {
		session->progress = conn_now(session->conn);
		session_on[event.kind](session, &event);
	}
	struct buf *output = smtp_server_output(session->smtp);
	if (output->len) {
		session->progress = conn_now(session->conn);
		conn_write(session->conn, output);
	}
	if (session->closing) {
		transaction_reset(session);
		conn_close(session->conn);
		return;
	}
	if (is_over(session)) {
		session->closing = true;
		conn_write(session->conn, smtp_server_output(session->smtp));
		conn_close(session->conn);
		return;
	}
	arm(session);
	set_reading(session);
}

/* ---- what the connection tells ---- */

static void on_ready(void *owner)
{
	struct session *session = owner;
	session->shaking = false;
	session->progress = conn_now(session->conn);
	if (session->tls == CONFIG_TLS_IMPLICIT) {
		smtp_server_greet(session->smtp);
	} else {
		smtp_server_tls_started(session->smtp);
	}
	session_run(session);
}

static void on_input(void *owner, struct span bytes)
{
	struct session *session = owner;
	if (session->closing) {
		return;
	}
	session->data_read = conn_now(session->conn);
	smtp_server_feed(session->smtp, bytes);
	session_run(session);
}

static void on_drained(void *owner)
{
	struct session *session = owner;
	if (session->paused && !session->closing) {
		session_run(session);
	}
}

static void on_late(void *owner)
{
	struct session *session = owner;
	struct log_line line;
	session_log(&line, session, LOG_LEVEL_INFO, "timeout");
	log_word(&line, "account", session_account(session));
	log_end(&line);
	transaction_reset(session);
	session->closing = true;
	if (session->shaking) {
		conn_abort(session->conn);
		return;
	}
	smtp_server_hang_up(session->smtp, REPLY_TIMEOUT, SPAN_NONE);
	conn_write(session->conn, smtp_server_output(session->smtp));
	conn_close(session->conn);
}

static void session_free(struct session *session)
{
	if (session->link) {
		*session->link = session->next;
		if (session->next) {
			session->next->link = session->link;
		}
		session->worker->nsessions--;
	}
	smtp_server_free(session->smtp);
	config_unref(session->config);
	free(session->account);
	free(session);
}

/* Clear text on the TLS port and the like: worth a line of its own, an admin is looking for it.
 */
static void log_gone(const struct session *session, const char *why)
{
	struct log_line line;
	bool tls = why && strncmp(why, "tls: ", 5) == 0;
	if (!tls && !session->account) {
		return; /* probes of ports, every few seconds: the log is for people */
	}
	session_log(&line, session, LOG_LEVEL_INFO, tls ? "tls-fail" : "disconnect");
	log_number(&line, "messages", session->messages);
	log_word(&line, "account", session_account(session));
	log_text(&line, "reason", span_str(why));
	log_end(&line);
}

static void on_closed(void *owner, const char *why, bool truncated)
{
	struct session *session = owner;
	struct census *census = session->worker->server->census;
	(void)truncated; /* what has no end is dropped, however its connection ended (TESTS
	                    TL16) */
	log_gone(session, why);
	transaction_reset(session);
	login_drop(session->login);
	if (session->account) {
		census_logout(census, session_account(session));
	}
	if (session->counted) {
		census_disconnect(census, conn_peer_address(session->conn));
	}
	session_free(session);
}

static const struct conn_handler conn_handler = {
	.ready = on_ready,
	.data = on_input,
	.drained = on_drained,
	.late = on_late,
	.closed = on_closed,
};

/* ---- from outside ---- */

static void welcome(struct session *session, bool is_peer)
{
	struct server *server = session->worker->server;
	session->born = session->progress = conn_now(session->conn);
	session->counted = census_connect(server->census, conn_peer_address(session->conn),
	                                  session->config->connections,
	                                  session->config->connections_per_network);
	if (!is_peer) {
		smtp_server_hang_up(session->smtp, REPLY_NOT_A_PEER, SPAN_NONE);
		session_run(session);
		return;
	}
	if (!session->counted) {
		struct log_line line;
		session_log(&line, session, LOG_LEVEL_WARNING, "too-many-connections");
		log_end(&line);
	}
	if (session->shaking && !session->counted) {
		/* A 421 in clear would only be noise to a client that waits for TLS. */
		session->closing = true;
		conn_abort(session->conn);
	} else if (session->shaking) {
		arm(session);
	} else if (!session->counted) {
		smtp_server_hang_up(session->smtp, REPLY_TOO_MANY_CONNECTIONS, SPAN_NONE);
		session_run(session);
	} else {
		smtp_server_greet(session->smtp);
		session_run(session);
	}
}

/* The reply listener is for the site's own MTA. */
static bool is_welcome(const struct session *session, const struct config_listener *listener)
{
	const struct sockaddr *address = conn_peer_address(session->conn);
	unsigned char bytes[16] = { [10] = 0xff, [11] = 0xff };
	if (listener->role != CONFIG_ROLE_REPLY) {
		return true;
	}
	if (address->sa_family == AF_INET) {
		memcpy(bytes + 12,
		       &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	} else {
		memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
		       16);
	}
	return config_is_peer(listener, bytes);
}

void session_accept(struct worker *worker, uv_stream_t *socket,
                    const struct config_listener *listener)
{
	static atomic_uint_fast64_t last_id;
	struct session *session = calloc(1, sizeof *session);
	assert(session);
	session->worker = worker;
	snprintf(session->listener, sizeof session->listener, "%s", listener->name);
	session->tls = listener->tls;
	session->role = listener->role;
	session->id = atomic_fetch_add(&last_id, 1) + 1;
	session->shaking = listener->tls == CONFIG_TLS_IMPLICIT;
	envelope_init(&session->envelope);
	session->refused = REPLY_OK;
	session_take_config(session);
	session->smtp = smtp_server_new(&session->rules, session->shaking);
	assert(session->smtp);
	struct tls_context *context = session->shaking ? server_tls(worker->server) : NULL;
	session->conn = conn_accept(&worker->loop, socket, context, &conn_handler, session);
	tls_context_unref(context);
	if (!session->conn) {
		session_free(session);
		return;
	}
	session->next = worker->sessions;
	session->link = &worker->sessions;
	if (session->next) {
		session->next->link = &session->next;
	}
	worker->sessions = session;
	worker->nsessions++;
	welcome(session, is_welcome(session, listener));
}

void session_drain(struct worker *worker)
{
	for (struct session *session = worker->sessions, *next; session; session = next) {
		next = session->next;
		if (session->shaking) {
			session->closing = true;
			conn_abort(session->conn);
		} else if (!session->closing) {
			session_run(session);
		}
	}
}

void session_cut(struct worker *worker)
{
	for (struct session *session = worker->sessions, *next; session; session = next) {
		next = session->next;
		session->closing = true;
		conn_abort(session->conn);
	}
}

void session_stop_account(struct worker *worker, struct span account, uint64_t incident)
{
	for (struct session *session = worker->sessions, *next; session; session = next) {
		next = session->next;
		if (session->account && span_eq(session_account(session), account)) {
			session->stopped = incident;
			session_run(session);
		}
	}
}

size_t session_count(const struct worker *worker)
{
	return worker->nsessions;
}
