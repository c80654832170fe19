#include "server/session_state.h"

#include <stdio.h>

#include "server/origin.h"
#include "server/wall.h"
#include "store/queue.h"

/* A refusal for a reason of policy, which an admin may be asked about. */
static void log_refused(const struct session *session, enum reply reply, struct span to)
{
	struct log_line line;
	session_log(&line, session, LOG_LEVEL_INFO, "refused");
	log_number(&line, "code", reply_row(reply)->code);
	log_word(&line, "account", session_account(session));
	if (*session->apppass) {
		log_word(&line, "apppass", span_str(session->apppass));
	}
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
	door_drop(session->door);
	session->door = NULL;
	trip_orphan(session->trip);
	session->trip = NULL;
	envelope_done(&session->envelope);
	session->refused = REPLY_OK;
	session->awaiting_end = false;
	session->queued = 0;
	session->text_bytes = 0;
	session->past = (struct act_past){ .strangers = 0 };
	session->traps = 0;
}

/* ---- MAIL ---- */

/* Is the account good still? One that was when it logged in, and no more is, has had its 550.
 */
static enum reply judge_account(struct session *session)
{
	uint64_t incident = 0;
	switch (session_ask_gate(session, &incident)) {
	case GATE_ALLOW:
		session->stopped = 0;
		session->stopped_at_login = session->tripped = false;
		return REPLY_SENDER_OK;
	case GATE_SUSPENDED:
		session->stopped = incident;
		return session->stopped_at_login ? REPLY_STOPPED : REPLY_STOPPED_BYE;
	case GATE_UNKNOWN:
		return session->device ? REPLY_ACCOUNT_GONE : REPLY_LOGIN_AGAIN;
	default:
		return REPLY_STORE_ERROR;
	}
}

static enum reply judge_mail(struct session *session)
{
	struct server *server = session->worker->server;
	if (atomic_load(&server->draining)) {
		return REPLY_SHUTDOWN;
	}
	enum reply login = session_login_over(session);
	if (login != REPLY_OK) {
		return login;
	}
	if (session->messages >= session->config->messages) {
		return REPLY_TOO_MANY_MESSAGES;
	}
	if (session->role == CONFIG_ROLE_REPLY) {
		return REPLY_SENDER_OK;
	}
	enum reply reply = judge_account(session);
	if (reply == REPLY_SENDER_OK && store_room(server->store) == STORE_NO_ROOM) {
		return REPLY_STORE_FULL;
	}
	return reply;
}

static bool is_stopped_reply(enum reply reply)
{
	return reply == REPLY_STOPPED || reply == REPLY_STOPPED_BYE;
}

/* A refusal that its user will see says whom to ask, and one for now when to try again, as far
 * as is known now; replies without room for it do not. */
static void answer(struct session *session, enum reply reply)
{
	char again[WALL_TEXT], text[100 + WALL_TEXT];
	const char *contact = session->config->contact;
	if (is_stopped_reply(reply)) {
		session_answer_stopped(session, reply);
		return;
	}
	struct span when = reply == REPLY_BUDGET_DEFERRED
	                       ? wall_write(session->again_wall, again)
	                       : SPAN_NONE;
	snprintf(text, sizeof text, "%.*s%s%.90s", (int)when.len, when.len ? when.ptr : "",
	         *contact ? ". Contact: " : "", contact);
	smtp_server_answer(session->smtp, reply, span_str(text));
}

void transaction_mail(struct session *session, struct smtp_event *event)
{
	transaction_reset(session);
	enum reply reply = judge_mail(session);
	if (reply == REPLY_SENDER_OK &&
	    !envelope_set_sender(&session->envelope, event->address.whole)) {
		reply = REPLY_STORE_ERROR;
	}
	session->envelope.fold = session->config->fold_details;
	if (reply == REPLY_SENDER_OK) {
		enum reply name = session_judge_sender(session, event->address.whole);
		reply = name == REPLY_OK ? reply : name;
	}
	if (reply != REPLY_SENDER_OK) {
		log_refused(session, reply, SPAN_NONE);
	}
	answer(session, reply);
}

/* ---- RCPT ---- */

static const enum reply gate_replies[] = {
	[GATE_ALLOW] = REPLY_RECIPIENT_OK,    [GATE_SPENT] = REPLY_BUDGET_SPENT,
	[GATE_NEVER] = REPLY_BUDGET_NEVER,    [GATE_TRIPPED] = REPLY_STOPPED,
	[GATE_SUSPENDED] = REPLY_STOPPED,     [GATE_UNKNOWN] = REPLY_ACCOUNT_GONE,
	[GATE_BROKEN] = REPLY_STORE_ERROR,    [GATE_DEFER] = REPLY_BUDGET_DEFERRED,
	[GATE_HOLD] = REPLY_RECIPIENT_OK,     [GATE_FULL] = REPLY_BUDGET_FULL,
	[GATE_BARRED] = REPLY_NETWORK_BARRED,
};

/* What the transaction would be with one recipient more. */
static struct act act_of(const struct session *session)
{
	const struct server *server = session->worker->server;
	return (struct act){
		.account = session_account(session),
		.apppass = span_str(session->apppass),
		.recipients = (uint32_t)session->envelope.nrecipients + 1,
		.members = envelope_members_with(&session->envelope, session->asked_members),
		.traps = session->traps + session->asked_trap,
		.origin = origin_of(session->config, &server->key, session->address),
		.client = span_str(conn_peer(session->conn)),
		.example = span_str(session->asked),
		.now = store_now(server->store),
		.wall = wall_ms(),
	};
}

/* What the guard wants to know of a recipient. Without memory it is no stranger, trap or list
 * here, and the writer does not get to see it, for the envelope fails as well. */
static void look_at(struct session *session, const struct address *address)
{
	struct buf text;
	buf_init(&text, ADDRESS_MAX + 1);
	envelope_write_key(&session->envelope, address, &text);
	struct span key = text.failed ? SPAN_NONE : buf_span(&text);
	session->asked_trap = config_is_trap(session->config, key);
	session->asked_members = lists_members(&session->config->lists, key);
	session->asked_contact = familiar_contact(&session->worker->server->key,
	                                          session_account(session), key);
	buf_done(&text);
}

/* The courtesy: would the message with one recipient more be let through as things stand? What
 * the history says of the others was asked at their time. */
static enum gate_verdict ask_gate(struct session *session)
{
	struct store *store = session->worker->server->store;
	struct gate_rules rules = config_gate_rules(session->config);
	struct error error;
	struct store_txn *txn = store_begin_read(store, &error);
	if (!txn) {
		log_fault(LOG_LEVEL_ERROR, "store-unreadable", error.text);
		return GATE_BROKEN;
	}
	struct act act = act_of(session);
	act.contact = &session->asked_contact;
	act.ncontacts = 1;
	act.past = session->past;
	enum gate_verdict verdict = gate_recipient(txn, &rules, &act);
	session->asked_past = act.past;
	session->again_wall = act.wall;
	if (verdict == GATE_DEFER) {
		act.ncontacts = 0;
		session->again_wall += gate_when(txn, &rules, &act) - act.now;
	}
	if (verdict == GATE_SUSPENDED) {
		gate_login(txn, act.account, act.apppass, &session->stopped, NULL);
	}
	store_abort(txn);
	return verdict;
}

/* Takes it into the envelope. */
static bool add_recipient(struct session *session, const struct address *address)
{
	enum envelope_added added = envelope_add(
	    &session->envelope, address, session->asked_members, session->asked_contact);
	if (added == ENVELOPE_ADDED) {
		session->past = session->asked_past;
		session->traps += session->asked_trap;
	}
	return added != ENVELOPE_NO_MEMORY;
}

/* The end of a RCPT: taken, or refused with all of its message. */
static void conclude(struct session *session, const struct address *address,
                     enum gate_verdict verdict)
{
	enum reply reply = gate_replies[verdict];
	if (reply == REPLY_RECIPIENT_OK && !add_recipient(session, address)) {
		reply = REPLY_STORE_ERROR;
	}
	if (reply_row(reply)->code >= 500 && session->refused == REPLY_OK) {
		/* Half a mailing is no answer to a budget: nothing of this message is queued.
		 */
		session->refused = reply;
		log_refused(session, reply, address->whole);
	}
	answer(session, reply);
}

static void on_trip_end(void *owner, enum gate_verdict verdict, uint64_t incident)
{
	struct session *session = owner;
	struct address address;
	session->trip = NULL;
	session->tripped = verdict == GATE_TRIPPED;
	if (verdict == GATE_TRIPPED || verdict == GATE_SUSPENDED) {
		session->stopped = incident;
	}
	address_parse(span_str(session->asked), &address); /* it was read before */
	conclude(session, &address, verdict);
	session_run(session);
}

static const struct trip_handler trip_handler = { .end = on_trip_end };

/* It does not fit: the writer judges, and the answer follows its commit. */
static bool start_trip(struct session *session, const struct address *address)
{
	snprintf(session->asked, sizeof session->asked, "%.*s", SPAN_ARG(address->whole));
	struct act act = act_of(session);
	act.past = session->asked_past;
	session->tripped = true; /* before the others hear of it: our 421 comes later */
	session->trip = trip_start(session->worker, session->config, &act, &trip_handler,
	                           session);
	return session->trip != NULL;
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

static void on_door_end(void *owner, bool kept);

static const struct door_handler door_handler = { .end = on_door_end };

/* An answer to a notice: it is not relayed, and not charged. */
static enum reply knock(struct session *session, struct span address)
{
	struct door_visitor visitor = {
		.login = session_account(session),
		.nobody = *session->apppass || session->device,
		.client = span_str(conn_peer(session->conn)),
	};
	if (!session->door) {
		session->door = door_new(session->worker, session->config, &visitor,
		                         &door_handler, session);
	}
	if (!session->door || !door_sender(session->door, session->envelope.sender)) {
		return REPLY_STORE_ERROR;
	}
	if (door_is_full(session->door)) {
		return REPLY_TOO_MANY_RECIPIENTS;
	}
	return door_add(session->door, address) ? REPLY_RECIPIENT_OK : REPLY_NO_MAILBOX;
}

/* What can be said without the gate; RECIPIENT_OK: ask it. `done`: it is said. */
static enum reply receive(struct session *session, const struct address *address, bool *done)
{
	struct envelope *envelope = &session->envelope;
	*done = true;
	if (session->refused != REPLY_OK) {
		return session->refused;
	}
	if (door_is_ours(session->config, address->whole)) {
		return knock(session, address->whole);
	}
	if (session->role == CONFIG_ROLE_REPLY) {
		return REPLY_NO_MAILBOX;
	}
	if (envelope_has(envelope, address)) {
		return REPLY_RECIPIENT_OK;
	}
	if ((int64_t)envelope->nrecipients >= session->config->recipients) {
		return REPLY_TOO_MANY_RECIPIENTS;
	}
	*done = false;
	return REPLY_RECIPIENT_OK;
}

void transaction_rcpt(struct session *session, struct smtp_event *event)
{
	char full[ADDRESS_MAX + 1];
	bool done;
	qualify(session, &event->address, full);
	enum reply reply = receive(session, &event->address, &done);
	if (done) {
		answer(session, reply);
		return;
	}
	look_at(session, &event->address);
	enum gate_verdict verdict = ask_gate(session);
	/* What could never fit is a slip that the writer counts: the third is a trip. */
	if ((verdict == GATE_TRIPPED || verdict == GATE_NEVER) &&
	    start_trip(session, &event->address)) {
		return;
	}
	conclude(session, &event->address, verdict == GATE_TRIPPED ? GATE_BROKEN : verdict);
}

/* ---- DATA ---- */

static void on_intake_room(void *owner)
{
	session_run(owner);
}

/* The last word on a message that was taken: of the queue, of the door, or of both. */
static void answer_taken(struct session *session)
{
	char text[QUEUE_ID_TEXT];
	uint64_t id = session->queued;
	queue_id_write(id, text);
	session->messages++;
	transaction_reset(session);
	smtp_server_answer(session->smtp, id ? REPLY_QUEUED : REPLY_OK, span_str(text));
}

static void on_door_end(void *owner, bool kept)
{
	struct session *session = owner;
	session->door = NULL;
	if (kept) {
		answer_taken(session);
	} else {
		transaction_reset(session);
		session_answer(session, REPLY_STORE_ERROR);
	}
	session_run(session);
}

static void on_intake_end(void *owner, enum intake_verdict verdict, uint64_t id)
{
	static const enum reply replies[] = {
		[INTAKE_QUEUED] = REPLY_QUEUED,
		[INTAKE_SPENT] = REPLY_BUDGET_SPENT,
		[INTAKE_NEVER] = REPLY_BUDGET_NEVER,
		[INTAKE_TRIPPED] = REPLY_STOPPED,
		[INTAKE_STOPPED] = REPLY_STOPPED,
		[INTAKE_UNKNOWN] = REPLY_ACCOUNT_GONE,
		[INTAKE_FULL] = REPLY_STORE_FULL,
		[INTAKE_ACCOUNT_FULL] = REPLY_ACCOUNT_FULL,
		[INTAKE_ERROR] = REPLY_STORE_ERROR,
		[INTAKE_DEFERRED] = REPLY_BUDGET_DEFERRED,
		[INTAKE_HELD_FULL] = REPLY_BUDGET_FULL,
		[INTAKE_BARRED] = REPLY_NETWORK_BARRED,
	};
	struct session *session = owner;
	session->intake = NULL;
	session->awaiting_end = false;
	if (verdict == INTAKE_QUEUED) {
		session->queued = id;
		if (session->door) {
			door_finish(session->door);
			return;
		}
		answer_taken(session);
	} else {
		bool stopped = verdict == INTAKE_TRIPPED || verdict == INTAKE_STOPPED;
		session->again_wall = verdict == INTAKE_DEFERRED ? (int64_t)id : 0;
		session->stopped = stopped ? id : session->stopped;
		session->tripped = session->tripped || verdict == INTAKE_TRIPPED;
		log_refused(session, replies[verdict], SPAN_NONE);
		transaction_reset(session);
		answer(session, replies[verdict]);
	}
	session_run(session);
}

static const struct intake_handler intake_handler = {
	.room = on_intake_room,
	.end = on_intake_end,
};

/* RFC 3848. Only a device may do without EHLO, TLS and a login. */
static struct span protocol_of(const struct session *session)
{
	static const struct span names[2][2] = {
		{ SPAN_LIT("ESMTP"), SPAN_LIT("ESMTPA") },
		{ SPAN_LIT("ESMTPS"), SPAN_LIT("ESMTPSA") },
	};
	if (!smtp_server_is_extended(session->smtp)) {
		return SPAN_LIT("SMTP");
	}
	return names[conn_tls(session->conn) != NULL][!session->device];
}

static void trace(struct session *session)
{
	const struct tls *tls = conn_tls(session->conn);
	struct header_received received = {
		.helo = smtp_server_helo(session->smtp),
		.hostname = span_str(session->config->hostname),
		.protocol = protocol_of(session),
		.tls = tls ? span_str(tls_cipher(tls)) : SPAN_NONE,
	};
	intake_trace(session->intake, &received);
}

static bool begin_intake(struct session *session)
{
	struct intake_envelope envelope = {
		.account = session_account(session),
		.apppass = span_str(session->apppass),
		.sender = session->envelope.sender,
		.client = span_str(conn_peer(session->conn)),
		.origin = origin_of(session->config, &session->worker->server->key,
		                    session->address),
		.recipients = session->envelope.recipients,
		.contacts = session->envelope.contacts,
		.traps = session->traps,
		.nrecipients = session->envelope.nrecipients,
		.members = session->envelope.members,
	};
	session->intake = intake_new(session->worker, session->config, &envelope,
	                             &intake_handler, session);
	if (session->intake) {
		trace(session);
	}
	return session->intake != NULL;
}

void transaction_data(struct session *session, struct smtp_event *event)
{
	(void)event;
	bool late = session->stopped && !session->door;
	if (session->refused != REPLY_OK || late) {
		answer(session, late ? REPLY_STOPPED : session->refused);
		return;
	}
	if (session->envelope.nrecipients && !begin_intake(session)) {
		session_answer(session, REPLY_STORE_ERROR);
		return;
	}
	session->data_began = session->data_read = conn_now(session->conn);
	session_answer(session, REPLY_GO_AHEAD);
}

void transaction_body(struct session *session, struct smtp_event *event)
{
	session->text_bytes += event->text.len;
	if (session->door) {
		door_put(session->door, event->text);
	}
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

/* What is wrong with the text, or QUEUED. An answer handed in by the site's MTA is taken as it
 * is: nothing may bounce. */
static enum reply judge_text(const struct session *session, const struct smtp_data_facts *facts)
{
	const struct config *config = session->config;
	if (session->role == CONFIG_ROLE_REPLY) {
		return REPLY_QUEUED;
	}
	if (session->text_bytes > (uint64_t)config->message_size) {
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
	if (session->intake && intake_header(session->intake)->received >= HEADER_HOPS_MAX) {
		return REPLY_LOOP;
	}
	return REPLY_QUEUED;
}

/* Some faults of a text have a number in their reply. */
static void answer_text(struct session *session, enum reply reply)
{
	const struct config *config = session->config;
	switch (reply) {
	case REPLY_TOO_BIG:
		answer_number(session, reply, config->message_size);
		break;
	case REPLY_TEXT_LINE_TOO_LONG:
		answer_number(session, reply, config->line_length);
		break;
	default:
		answer(session, reply);
	}
}

void transaction_end(struct session *session, struct smtp_event *event)
{
	/* The password was changed while the text came: it is a thief's. */
	enum reply reply = session_login_over(session);
	if (reply == REPLY_OK) {
		reply = judge_text(session, &event->facts);
	}
	if (reply == REPLY_QUEUED) {
		enum reply name = session_judge_from(session);
		reply = name == REPLY_OK ? reply : name;
	}
	if (reply == REPLY_QUEUED && session->intake) {
		session->awaiting_end = true;
		intake_finish(session->intake, &event->facts);
		return;
	}
	if (reply == REPLY_QUEUED) {
		door_finish(session->door);
		return;
	}
	log_refused(session, reply, SPAN_NONE);
	transaction_reset(session);
	answer_text(session, reply);
}
