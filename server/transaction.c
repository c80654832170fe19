#include "server/session_state.h"

#include <stdio.h>

#include "store/queue.h"

/* A refusal for a reason of policy, which an admin may be asked about. */
static void log_refused(const struct session *session, enum reply reply, struct span to)
{
	struct log_line line;
	session_log(&line, session, LOG_LEVEL_INFO, "refused");
	log_number(&line, "code", reply_row(reply)->code);
	log_word(&line, "account", session_account(session));
	log_word(&line, "reason", span_str(reply_row(reply)->name));
	log_text(&line, "from", session->envelope.sender);
	log_text(&line, "to", to);
	log_end(&line);
}

static void answer_number(struct session *session, enum reply reply, int64_t number)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%lld", (long long)number);
	smtp_server_answer(session->smtp, reply, span_of(text, (size_t)n));
}

void transaction_reset(struct session *session)
{
	if (session->intake) {
		(session->awaiting_end ? intake_orphan : intake_drop)(session->intake);
		session->intake = NULL;
	}
	envelope_done(&session->envelope);
	session->refused = REPLY_OK;
	session->awaiting_end = false;
	session->text_bytes = 0;
}

void transaction_mail(struct session *session, struct smtp_event *event)
{
	struct server *server = session->worker->server;
	session_take_config(session);
	smtp_server_rules(session->smtp, &session->rules);
	transaction_reset(session);
	if (atomic_load(&server->draining)) {
		session_answer(session, REPLY_SHUTDOWN);
	} else if (session->messages >= session->config->messages) {
		session_answer(session, REPLY_TOO_MANY_MESSAGES);
	} else if (store_room(server->store) == STORE_NO_ROOM) {
		log_refused(session, REPLY_STORE_FULL, SPAN_NONE);
		session_answer(session, REPLY_STORE_FULL);
	} else if (!envelope_set_sender(&session->envelope, event->address.whole)) {
		session_answer(session, REPLY_STORE_ERROR);
	} else {
		session_answer(session, REPLY_SENDER_OK);
	}
}

/* The courtesy: would the message with one recipient more be let through as things stand? */
static enum reply ask_gate(struct session *session)
{
	static const enum reply replies[] = {
		[GATE_ALLOW] = REPLY_RECIPIENT_OK, [GATE_SPENT] = REPLY_BUDGET_SPENT,
		[GATE_NEVER] = REPLY_BUDGET_NEVER, [GATE_UNKNOWN] = REPLY_ACCOUNT_GONE,
		[GATE_BROKEN] = REPLY_STORE_ERROR,
	};
	struct store *store = session->worker->server->store;
	struct gate_rules rules = config_gate_rules(session->config);
	struct error error;
	struct store_txn *txn = store_begin_read(store, &error);
	if (!txn) {
		log_fault(LOG_LEVEL_ERROR, "store-unreadable", error.text);
		return REPLY_STORE_ERROR;
	}
	enum gate_verdict verdict = gate_recipient(txn, &rules, session_account(session),
	                                           (uint32_t)session->envelope.nrecipients + 1,
	                                           store_now(store));
	store_abort(txn);
	return replies[verdict];
}

/* <Postmaster> alone is the postmaster of our domain. `text` is where its full address is kept.
 */
static void qualify(const struct session *session, struct address *address,
                    char text[ADDRESS_MAX + 1])
{
	if (address->domain.len) {
		return;
	}
	int n = snprintf(text, ADDRESS_MAX + 1, "%.*s@%s", SPAN_ARG(address->local),
	                 session->config->domain);
	address->whole = span_first(span_str(text), (size_t)n);
	address->domain = span_from(address->whole, address->local.len + 1);
}

void transaction_rcpt(struct session *session, struct smtp_event *event)
{
	char full[ADDRESS_MAX + 1];
	qualify(session, &event->address, full);
	struct envelope *envelope = &session->envelope;
	enum reply reply = session->refused;
	if (reply == REPLY_OK && envelope_has(envelope, &event->address)) {
		session_answer(session, REPLY_RECIPIENT_OK);
		return;
	}
	if (reply == REPLY_OK &&
	    (int64_t)envelope->nrecipients >= session->config->recipients) {
		session_answer(session, REPLY_TOO_MANY_RECIPIENTS);
		return;
	}
	if (reply == REPLY_OK) {
		reply = ask_gate(session);
	}
	if (reply == REPLY_RECIPIENT_OK &&
	    envelope_add(envelope, &event->address) == ENVELOPE_NO_MEMORY) {
		reply = REPLY_STORE_ERROR;
	}
	if (reply_row(reply)->code >= 500 && session->refused == REPLY_OK) {
		/* Half a mailing is no answer to a budget: nothing of this message is queued.
		 */
		session->refused = reply;
		log_refused(session, reply, event->address.whole);
	}
	session_answer(session, reply);
}

static void on_intake_room(void *owner)
{
	session_run(owner);
}

static void on_intake_end(void *owner, enum intake_verdict verdict, uint64_t id)
{
	static const enum reply replies[] = {
		[INTAKE_QUEUED] = REPLY_QUEUED,      [INTAKE_SPENT] = REPLY_BUDGET_SPENT,
		[INTAKE_NEVER] = REPLY_BUDGET_NEVER, [INTAKE_UNKNOWN] = REPLY_ACCOUNT_GONE,
		[INTAKE_FULL] = REPLY_STORE_FULL,    [INTAKE_ACCOUNT_FULL] = REPLY_ACCOUNT_FULL,
		[INTAKE_ERROR] = REPLY_STORE_ERROR,
	};
	struct session *session = owner;
	char text[QUEUE_ID_TEXT];
	queue_id_write(id, text);
	session->intake = NULL;
	if (verdict == INTAKE_QUEUED) {
		session->messages++;
	} else {
		log_refused(session, replies[verdict], SPAN_NONE);
	}
	transaction_reset(session);
	smtp_server_answer(session->smtp, replies[verdict], span_str(text));
	session_run(session);
}

static const struct intake_handler intake_handler = {
	.room = on_intake_room,
	.end = on_intake_end,
};

static void trace(struct session *session)
{
	const struct tls *tls = conn_tls(session->conn);
	struct header_received received = {
		.helo = smtp_server_helo(session->smtp),
		.hostname = span_str(session->config->hostname),
		.protocol = SPAN_LIT("ESMTPSA"),
		.tls = tls ? span_str(tls_cipher(tls)) : SPAN_NONE,
	};
	intake_trace(session->intake, &received);
}

void transaction_data(struct session *session, struct smtp_event *event)
{
	(void)event;
	if (session->refused != REPLY_OK) {
		session_answer(session, session->refused);
		return;
	}
	struct intake_envelope envelope = {
		.account = session_account(session),
		.sender = session->envelope.sender,
		.client = span_str(conn_peer(session->conn)),
		.recipients = session->envelope.recipients,
		.nrecipients = session->envelope.nrecipients,
	};
	session->intake = intake_new(session->worker, session->config, &envelope,
	                             &intake_handler, session);
	if (!session->intake) {
		session_answer(session, REPLY_STORE_ERROR);
		return;
	}
	trace(session);
	session->data_began = session->data_read = conn_now(session->conn);
	session_answer(session, REPLY_GO_AHEAD);
}

void transaction_body(struct session *session, struct smtp_event *event)
{
	session->text_bytes += event->text.len;
	if (!session->intake) {
		return;
	}
	if (session->text_bytes > (uint64_t)session->config->message_size) {
		/* The rest is read and forgotten; the answer comes after the true end (RFC
		 * 1870 6.3). */
		intake_drop(session->intake);
		session->intake = NULL;
		return;
	}
	intake_put(session->intake, event->text);
}

/* What is wrong with the text, or QUEUED. */
static enum reply judge_text(const struct session *session, const struct smtp_data_facts *facts)
{
	const struct config *config = session->config;
	if (!session->intake) {
		return REPLY_TOO_BIG;
	}
	if (facts->bare_cr || facts->bare_lf) {
		return REPLY_BARE_NEWLINE;
	}
	if (facts->nul) {
		return REPLY_NUL_BYTE;
	}
	if (facts->longest > (size_t)config->line_length) {
		return REPLY_TEXT_LINE_TOO_LONG;
	}
	if (intake_header(session->intake)->received >= HEADER_HOPS_MAX) {
		return REPLY_LOOP;
	}
	return REPLY_QUEUED;
}

void transaction_end(struct session *session, struct smtp_event *event)
{
	enum reply reply = judge_text(session, &event->facts);
	if (reply == REPLY_QUEUED) {
		session->awaiting_end = true;
		intake_finish(session->intake, &event->facts);
		return;
	}
	log_refused(session, reply, SPAN_NONE);
	int64_t limit = reply == REPLY_TOO_BIG ? session->config->message_size
	                                       : session->config->line_length;
	transaction_reset(session);
	answer_number(session, reply, limit);
}
