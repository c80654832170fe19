/*
 * A session of any bytes and any answers: whole or split it says the same and asks the same,
 * every reply is well formed, no mail begins without TLS and login, and nothing is asked after
 * the end.
 */
#include "fuzz.h"
#include "proto/smtp_server.h"

struct session {
	struct smtp_server *server;
	struct span choices; /* answers, taken in turn */
	size_t choice;
	bool tls;
	bool closed;
	struct buf log;
	struct buf said;
};

static const enum reply answers[][4] = {
	[SMTP_EVENT_STARTTLS] = { REPLY_START_TLS, REPLY_START_TLS, REPLY_TLS_UNAVAILABLE,
	                          REPLY_SHUTDOWN },
	[SMTP_EVENT_AUTH] = { REPLY_AUTH_OK, REPLY_AUTH_OK, REPLY_AUTH_FAILED,
	                      REPLY_TOO_MANY_AUTH },
	[SMTP_EVENT_AUTH_NEXT] = { REPLY_AUTH_OK, REPLY_AUTH_FAILED, REPLY_AUTH_UNAVAILABLE,
	                           REPLY_TOO_MANY_AUTH },
	[SMTP_EVENT_MAIL] = { REPLY_SENDER_OK, REPLY_SENDER_OK, REPLY_SENDER_OK,
	                      REPLY_STORE_FULL },
	[SMTP_EVENT_RCPT] = { REPLY_RECIPIENT_OK, REPLY_RECIPIENT_OK, REPLY_BUDGET_SPENT,
	                      REPLY_SHUTDOWN },
	[SMTP_EVENT_DATA] = { REPLY_GO_AHEAD, REPLY_GO_AHEAD, REPLY_BUDGET_SPENT,
	                      REPLY_STORE_FULL },
	[SMTP_EVENT_END] = { REPLY_QUEUED, REPLY_QUEUED, REPLY_BARE_NEWLINE,
	                     REPLY_STORE_ERROR },
};

static void answer(struct session *session, const struct smtp_event *event)
{
	struct smtp_server *server = session->server;
	unsigned choice = 0;
	if (session->choices.len) {
		size_t turn = session->choice++ % session->choices.len;
		choice = (unsigned char)session->choices.ptr[turn];
	}
	bool auth = event->kind == SMTP_EVENT_AUTH || event->kind == SMTP_EVENT_AUTH_NEXT;
	PROMISE(smtp_server_is_waiting(server) && !smtp_server_wants(server));
	PROMISE(!auth || session->tls);
	if (auth && choice & 64) {
		smtp_server_challenge(server, SPAN_LIT("Username:"));
		return;
	}
	if (choice & 128) {
		smtp_server_hang_up(server, REPLY_TIMEOUT, SPAN_NONE);
		return;
	}
	enum reply reply = answers[event->kind][choice % 4];
	smtp_server_answer(server, reply, SPAN_LIT("word"));
	if (reply == REPLY_START_TLS) {
		smtp_server_feed(server, SPAN_LIT("NOOP\r\n"));
		smtp_server_tls_started(server);
		session->tls = true;
	}
}

static void handle(struct session *session, const struct smtp_event *event)
{
	PROMISE(!session->closed);
	if (event->kind == SMTP_EVENT_BODY) {
		PROMISE(event->text.len && smtp_server_in_transaction(session->server));
		return;
	}
	buf_printf(&session->log, "%d ", (int)event->kind);
	buf_put(&session->log, event->text);
	buf_put(&session->log, event->response);
	buf_put(&session->log, event->address.whole);
	session->closed = event->kind == SMTP_EVENT_CLOSE;
	if (event->kind == SMTP_EVENT_MAIL || event->kind == SMTP_EVENT_RCPT) {
		PROMISE(session->tls && smtp_server_is_authenticated(session->server));
	}
	if (event->kind < SMTP_EVENT_HELO) {
		answer(session, event);
	}
}

static void run(struct session *session, const struct smtp_server_rules *rules,
                struct span input, size_t step)
{
	session->log.cap = session->said.cap = 1 << 24;
	session->server = smtp_server_new(rules, session->tls);
	if (!session->server) {
		return;
	}
	smtp_server_greet(session->server);
	while (input.len && !session->closed) {
		struct smtp_event event;
		smtp_server_feed(session->server, span_first(input, step));
		input = span_from(input, step);
		while (smtp_server_next(session->server, &event)) {
			handle(session, &event);
		}
	}
	struct buf *out = smtp_server_output(session->server);
	buf_put(&session->said, buf_span(out));
	smtp_server_free(session->server);
}

static void check_replies(struct span said)
{
	while (said.len) {
		struct reply_in reply = { 0 };
		PROMISE(reply_read(&reply, &said) == REPLY_DONE);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_of(data, size);
	unsigned flags = fuzz_byte(&all);
	size_t step = 1 + fuzz_byte(&all);
	struct span choices = span_first(fuzz_piece(&all), 32);
	struct smtp_server_rules rules = {
		.hostname = SPAN_LIT("mail.example.org"),
		.mechanisms = SPAN_LIT("PLAIN LOGIN SCRAM-SHA-256"),
		.message_size = 1000,
		.errors_max = 10,
		.junk_max = 10,
		.starttls = true,
		.need_tls = true,
	};
	struct session whole = { .choices = choices, .tls = flags & 1 };
	struct session split = whole;
	all = span_first(all, 100000);
	run(&whole, &rules, all, all.len + 1);
	run(&split, &rules, all, step);
	/* A handshake cuts the input where the feed was: only then may the two differ. */
	if (whole.tls == (flags & 1) && split.tls == (flags & 1)) {
		PROMISE(span_eq(buf_span(&whole.said), buf_span(&split.said)));
		PROMISE(span_eq(buf_span(&whole.log), buf_span(&split.log)));
	}
	check_replies(buf_span(&whole.said));
	check_replies(buf_span(&split.said));
	buf_done(&whole.said);
	buf_done(&whole.log);
	buf_done(&split.said);
	buf_done(&split.log);
	return 0;
}
