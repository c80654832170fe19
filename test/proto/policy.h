/*
 * The smallest policy that answers a session, for tests of the protocol alone:
 * alice@example.org with the password "secret" may log in by PLAIN or LOGIN, and all else is
 * accepted. Events are written down.
 */
#ifndef GATEPOST_TEST_PROTO_POLICY_H
#define GATEPOST_TEST_PROTO_POLICY_H

#include "check.h"
#include "proto/smtp_server.h"

enum policy_login { LOGIN_NONE, LOGIN_PLAIN, LOGIN_NAME, LOGIN_PASSWORD };

struct policy {
	struct smtp_server_rules rules;
	struct smtp_server *server;
	enum policy_login login;
	bool name_good;
	bool tls_due; /* START_TLS was answered */
	bool closed;
	unsigned mails;
	struct buf log;  /* a line an event */
	struct buf body; /* of the last message */
	struct buf said; /* all output */
};

/* The rules are a starting point: change them before bytes are fed. */
static inline void policy_init(struct policy *policy, bool tls)
{
	*policy = (struct policy){
		.rules = {
			.hostname = SPAN_LIT("mail.example.org"),
			.mechanisms = SPAN_LIT("PLAIN LOGIN"),
			.message_size = 1000000,
			.errors_max = 20,
			.junk_max = 100,
			.starttls = !tls,
			.need_tls = true,
		},
		.log = { .cap = 1 << 24 },
		.body = { .cap = 1 << 24 },
		.said = { .cap = 1 << 24 },
	};
	policy->server = smtp_server_new(&policy->rules, tls);
	assert_non_null(policy->server);
	smtp_server_greet(policy->server);
}

static inline void policy_done(struct policy *policy)
{
	smtp_server_free(policy->server);
	buf_done(&policy->log);
	buf_done(&policy->body);
	buf_done(&policy->said);
}

static inline void policy_verdict(struct policy *policy, bool good)
{
	policy->login = LOGIN_NONE;
	smtp_server_answer(policy->server, good ? REPLY_AUTH_OK : REPLY_AUTH_FAILED, SPAN_NONE);
}

static inline void policy_response(struct policy *policy, struct span response)
{
	struct span name = SPAN_LIT("alice@example.org");
	if (policy->login == LOGIN_PLAIN) {
		struct span authcid = span_from(response, span_find(response, '\0') + 1);
		policy_verdict(policy, span_eq(authcid, SPAN_LIT("alice@example.org\0secret")));
	} else if (policy->login == LOGIN_NAME) {
		policy->name_good = span_eq(response, name);
		policy->login = LOGIN_PASSWORD;
		smtp_server_challenge(policy->server, SPAN_LIT("Password:"));
	} else {
		bool good = policy->name_good && span_eq(response, SPAN_LIT("secret"));
		policy_verdict(policy, good);
	}
}

static inline void policy_auth(struct policy *policy, const struct smtp_event *event)
{
	bool plain = span_eq(event->text, SPAN_LIT("PLAIN"));
	policy->login = plain ? LOGIN_PLAIN : LOGIN_NAME;
	if (event->has_response) {
		policy_response(policy, event->response);
	} else {
		smtp_server_challenge(policy->server,
		                      plain ? SPAN_NONE : SPAN_LIT("Username:"));
	}
}

static inline void policy_event(struct policy *policy, const struct smtp_event *event)
{
	struct smtp_server *server = policy->server;
	struct buf *log = &policy->log;
	const struct smtp_data_facts *facts = &event->facts;
	switch (event->kind) {
	case SMTP_EVENT_STARTTLS:
		buf_printf(log, "STARTTLS\n");
		policy->tls_due = true;
		smtp_server_answer(server, REPLY_START_TLS, SPAN_NONE);
		break;
	case SMTP_EVENT_AUTH:
		buf_printf(log, "AUTH %.*s\n", SPAN_ARG(event->text));
		policy_auth(policy, event);
		break;
	case SMTP_EVENT_AUTH_NEXT:
		buf_printf(log, "AUTH_NEXT\n");
		policy_response(policy, event->response);
		break;
	case SMTP_EVENT_MAIL:
		buf_printf(log, "MAIL <%.*s> %llu %d\n", SPAN_ARG(event->address.whole),
		           (unsigned long long)event->size, (int)event->body);
		smtp_server_answer(server, REPLY_SENDER_OK, SPAN_NONE);
		break;
	case SMTP_EVENT_RCPT:
		buf_printf(log, "RCPT <%.*s>\n", SPAN_ARG(event->address.whole));
		smtp_server_answer(server, REPLY_RECIPIENT_OK, SPAN_NONE);
		break;
	case SMTP_EVENT_DATA:
		buf_printf(log, "DATA\n");
		buf_clear(&policy->body);
		smtp_server_answer(server, REPLY_GO_AHEAD, SPAN_NONE);
		break;
	case SMTP_EVENT_BODY:
		buf_put(&policy->body, event->text);
		break;
	case SMTP_EVENT_END:
		buf_printf(log, "END %llu %zu%s%s\n", (unsigned long long)facts->bytes,
		           facts->longest, facts->bare_cr || facts->bare_lf ? " bare" : "",
		           facts->nul ? " nul" : "");
		assert_int_equal(facts->bytes, policy->body.len);
		policy->mails++;
		smtp_server_answer(server,
		                   facts->bare_cr || facts->bare_lf ? REPLY_BARE_NEWLINE
		                                                    : REPLY_QUEUED,
		                   SPAN_LIT("ID"));
		break;
	case SMTP_EVENT_HELO:
		buf_printf(log, "HELO %.*s\n", SPAN_ARG(event->text));
		break;
	case SMTP_EVENT_AUTH_GONE:
		policy->login = LOGIN_NONE;
		buf_printf(log, "AUTH_GONE\n");
		break;
	case SMTP_EVENT_RESET:
		buf_printf(log, "RESET\n");
		break;
	case SMTP_EVENT_CLOSE:
		buf_printf(log, "CLOSE %.*s\n", SPAN_ARG(event->text));
		policy->closed = true;
		break;
	}
}

/* Feeds bytes, answers all events, and collects the output. */
static inline void policy_feed(struct policy *policy, struct span bytes)
{
	struct smtp_event event;
	smtp_server_feed(policy->server, bytes);
	while (smtp_server_next(policy->server, &event)) {
		policy_event(policy, &event);
	}
	struct buf *out = smtp_server_output(policy->server);
	buf_put(&policy->said, buf_span(out));
	buf_drop(out, out->len);
}

static inline void policy_tls(struct policy *policy)
{
	assert_true(policy->tls_due);
	policy->tls_due = false;
	smtp_server_tls_started(policy->server);
}

#endif
