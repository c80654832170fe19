#include "server/session_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/screening.h"

void session_log(struct log_line *line, const struct session *session, enum log_level level,
                 const char *event)
{
	log_begin(line, level, event);
	log_word(line, "client_ip", span_str(conn_peer(session->conn)));
	log_number(line, "sid", (int64_t)session->id);
	log_word(line, "listener", span_str(session->listener));
}

static void apply_config(struct session *session)
{
	const struct config *config = session->config;
	bool answers = session->role == CONFIG_ROLE_REPLY; /* of any size: none bounces */
	bool no_auth = answers || session->device;
	session->rules = (struct smtp_server_rules){
		.hostname = span_str(config->hostname),
		.mechanisms = session_mechanisms(session),
		.message_size = answers ? 0 : (uint64_t)config->message_size,
		.command_max = (size_t)config->command_length,
		.auth_max = (size_t)config->auth_length + 2,
		.errors_max = (unsigned)config->errors,
		.junk_max = (unsigned)config->junk,
		.starttls = session->tls == CONFIG_TLS_STARTTLS,
		.need_tls = !no_auth,
		.no_auth = no_auth,
	};
}

/* What is offered follows the configuration: taken anew at the start of each transaction. */
static void take_config(struct session *session)
{
	session->generation = atomic_load(&session->worker->server->generation);
	config_unref(session->config);
	session->config = server_config(session->worker->server);
	apply_config(session);
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

/* ---- the loop of a session ---- */

static void on_reset(struct session *session, struct smtp_event *event)
{
	(void)event;
	transaction_reset(session);
}

static void log_closing(const struct session *session, struct span reason)
{
	struct log_line line;
	session_log(&line, session, LOG_LEVEL_INFO, "closing");
	log_word(&line, "reason", reason);
	log_end(&line);
}

static void on_close(struct session *session, struct smtp_event *event)
{
	if (!span_eq(event->text, SPAN_LIT("quit"))) {
		log_closing(session, event->text);
	}
	session->closing = true;
}

static void (*const session_on[])(struct session *session, struct smtp_event *event) = {
	[SMTP_EVENT_STARTTLS] = session_starttls,
	[SMTP_EVENT_AUTH] = session_auth,
	[SMTP_EVENT_AUTH_NEXT] = session_auth_next,
	[SMTP_EVENT_MAIL] = transaction_mail,
	[SMTP_EVENT_RCPT] = transaction_rcpt,
	[SMTP_EVENT_DATA] = transaction_data,
	[SMTP_EVENT_END] = transaction_end,
	[SMTP_EVENT_HELO] = on_reset,
	[SMTP_EVENT_AUTH_GONE] = session_login_gone,
	[SMTP_EVENT_BODY] = transaction_body,
	[SMTP_EVENT_RESET] = on_reset,
	[SMTP_EVENT_CLOSE] = on_close,
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

/* May the server end it now, and with which words? Between two transactions: a drain, a
 * suspension that somebody else brought about; between two commands: a login that is no more.
 */
static enum reply why_over(struct session *session)
{
	if (smtp_server_is_waiting(session->smtp) || smtp_server_in_data(session->smtp)) {
		return REPLY_OK;
	}
	enum reply login = session_login_over(session);
	if (login != REPLY_OK || smtp_server_in_transaction(session->smtp)) {
		return login;
	}
	if (atomic_load(&session->worker->server->draining)) {
		return REPLY_SHUTDOWN;
	}
	bool stopped = session->stopped && !session->stopped_at_login && !session->tripped;
	return stopped ? REPLY_STOPPED_BYE : REPLY_OK;
}

static bool is_over(struct session *session)
{
	char text[160];
	enum reply reply = why_over(session);
	if (reply == REPLY_OK) {
		return false;
	}
	transaction_reset(session);
	log_closing(session, span_str(reply_row(reply)->name));
	smtp_server_hang_up(session->smtp, reply,
	                    reply == REPLY_STOPPED_BYE ? stopped_word(session, text)
	                                               : SPAN_NONE);
	return true;
}

/* Between two transactions a reload takes effect: before MAIL is read, for it is judged by its
 * SIZE. */
static void renew_config(struct session *session)
{
	unsigned present = atomic_load(&session->worker->server->generation);
	if (session->generation != present && !smtp_server_in_transaction(session->smtp) &&
	    !smtp_server_is_waiting(session->smtp)) {
		take_config(session);
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
	session_see_certificate(session);
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
	enrol_orphan(session->enrol);
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

/* The reply listener is for the site's own MTA. */
static bool is_welcome(const struct session *session, const struct config_listener *listener)
{
	return listener->role != CONFIG_ROLE_REPLY ||
	       network_any_contains(listener->peers, listener->npeers, session->address);
}

/* OK, or why it can not stay. */
static enum reply judge_peer(struct session *session, const struct config_listener *listener)
{
	struct server *server = session->worker->server;
	session->counted = census_connect(server->census, conn_peer_address(session->conn),
	                                  session->config->connections,
	                                  session->config->connections_per_network);
	if (!is_welcome(session, listener)) {
		return REPLY_NOT_A_PEER;
	}
	if (!session->counted) {
		return REPLY_TOO_MANY_CONNECTIONS;
	}
	enum reply reply = session_enter_device(session);
	bool speaks_of_logins = listener->role == CONFIG_ROLE_SUBMISSION && !session->device;
	if (speaks_of_logins && !screening_admits(server, session->address)) {
		return REPLY_SHUT_OUT;
	}
	return reply;
}

static void log_turned_away(const struct session *session, enum reply reply)
{
	struct log_line line;
	if (reply == REPLY_TOO_MANY_CONNECTIONS) {
		session_log(&line, session, LOG_LEVEL_WARNING, "too-many-connections");
		log_end(&line);
	}
}

static void welcome(struct session *session, const struct config_listener *listener)
{
	session->born = session->progress = conn_now(session->conn);
	conn_peer_bytes(session->conn, session->address);
	enum reply reply = judge_peer(session, listener);
	if (session->device) {
		apply_config(session);
	}
	log_turned_away(session, reply);
	if (session->shaking && reply != REPLY_OK) {
		/* A 421 in clear would only be noise to a client that waits for TLS. */
		session->closing = true;
		conn_abort(session->conn);
	} else if (session->shaking) {
		arm(session);
	} else if (reply != REPLY_OK) {
		smtp_server_hang_up(session->smtp, reply, SPAN_NONE);
		session_run(session);
	} else {
		smtp_server_greet(session->smtp);
		session_run(session);
	}
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
	take_config(session);
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
	welcome(session, listener);
}

void session_drain(struct worker *worker)
{
	for (struct session *session = worker->sessions, *next; session; session = next) {
		next = session->next;
		if (session->shaking) {
			session->closing = true;
			conn_abort(session->conn);
		} else if (!session->closing) {
			session_hurry_login(session);
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

void session_look_again(struct worker *worker, struct span account)
{
	for (struct session *session = worker->sessions, *next; session; session = next) {
		next = session->next;
		bool its = session->account && span_eq(session_account(session), account);
		if (its || session->login) { /* whose that will be is not known yet */
			session->changed = true;
			session_run(session);
		}
	}
}

void session_shut_out(struct worker *worker, const struct network *network, bool all)
{
	for (struct session *session = worker->sessions, *next; session; session = next) {
		next = session->next;
		bool spared = session->role == CONFIG_ROLE_REPLY || session->device ||
		              (session->account && !all) ||
		              !network_contains(network, session->address);
		if (spared || !screening_blocked(worker->server, session->address)) {
			continue;
		}
		session->shut_out = true;
		if (session->shaking) {
			session->closing = true;
			conn_abort(session->conn);
		} else {
			session_run(session);
		}
	}
}

size_t session_count(const struct worker *worker)
{
	return worker->nsessions;
}
