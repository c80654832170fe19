#include "proto/smtp_command.h"

#include "proto/base64.h"

#include <assert.h>
#include <stdio.h>

#define LAST_WORD_MAX ((size_t)256)

/* Nobody may find a password in freed memory; half-decoded ones lie behind `len`. */
void smtp_command_wipe(struct smtp_server *server)
{
	if (server->secret.size) {
		explicit_bzero(server->secret.ptr, server->secret.size);
	}
	buf_done(&server->secret);
	server->secret.failed = false;
}

/* ---- replies */

void smtp_command_close(struct smtp_server *server, const char *why)
{
	server->waiting = false;
	if (!server->closing) {
		server->closing = why;
	}
}

/* A half-written reply is taken back, and 421 said as far as there is room for it. */
void smtp_command_give_up(struct smtp_server *server, size_t output_len)
{
	server->output.len = output_len;
	server->output.failed = false;
	server->output.cap = SMTP_OUTPUT_MAX + LAST_WORD_MAX;
	reply_write(REPLY_NO_MEMORY, SPAN_NONE, &server->output);
	server->output.failed = false;
	smtp_command_close(server, "memory");
}

/* RFC 5321's errors of syntax and order; what policy refuses is no error of the client. */
static bool is_client_error(unsigned code)
{
	return (code >= 500 && code <= 504) || code == 530 || code == 555;
}

void smtp_command_say(struct smtp_server *server, enum reply reply, struct span word)
{
	size_t before = server->output.len;
	bool error = is_client_error(reply_row(reply)->code);
	if (error && server->errors++ >= server->rules->errors_max) {
		reply = REPLY_TOO_MANY_ERRORS;
	}
	reply_write(reply, word, &server->output);
	if (reply_row(reply)->code == 421) {
		smtp_command_close(server, reply_row(reply)->name);
	}
	if (server->output.failed) {
		smtp_command_give_up(server, before);
	}
}

/* Answers a command that needs no decision. */
enum step smtp_command_reply(struct smtp_server *server, enum reply reply)
{
	smtp_command_say(server, reply, SPAN_NONE);
	return STEP_AGAIN;
}

enum step smtp_command_hang_up(struct smtp_server *server, enum reply reply, const char *why)
{
	smtp_command_close(server, why);
	return smtp_command_reply(server, reply);
}

enum step smtp_command_ask(struct smtp_server *server, struct smtp_event *event,
                           enum smtp_event_kind kind)
{
	event->kind = kind;
	server->asked = kind;
	server->waiting = true;
	return STEP_EVENT;
}

enum step smtp_command_tell(struct smtp_event *event, enum smtp_event_kind kind)
{
	event->kind = kind;
	return STEP_EVENT;
}

/* The first word must be our own name: sendmail takes its own for a mail loop. */
static void say_ehlo(struct smtp_server *server)
{
	const struct smtp_server_rules *rules = server->rules;
	struct buf *out = &server->output;
	size_t before = out->len;
	buf_printf(out, "250-%.*s\r\n", SPAN_ARG(rules->hostname));
	buf_put(out, SPAN_LIT("250-PIPELINING\r\n"));
	buf_printf(out, "250-SIZE %llu\r\n", (unsigned long long)rules->message_size);
	if (rules->starttls && !server->tls) {
		buf_put(out, SPAN_LIT("250-STARTTLS\r\n"));
	}
	if (server->tls && rules->mechanisms.len) {
		buf_printf(out, "250-AUTH %.*s\r\n", SPAN_ARG(rules->mechanisms));
	}
	buf_put(out, SPAN_LIT("250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"));
	if (out->failed) {
		smtp_command_give_up(server, before);
	}
}

/* ---- commands */

enum step smtp_command_helo_event(struct smtp_server *server, struct smtp_event *event)
{
	server->helo_due = false;
	event->text = span_of(server->helo, server->helo_len);
	return smtp_command_tell(event, SMTP_EVENT_HELO);
}

/* Verbs that move nothing keep a session alive for nothing: so many between two messages. */
static bool stalls(struct smtp_server *server)
{
	return server->junk++ >= server->rules->junk_max;
}

static enum step on_helo(struct smtp_server *server, const struct verb *verb,
                         struct smtp_event *event)
{
	assert(event->text.len <= sizeof server->helo);
	if (stalls(server)) {
		return smtp_command_hang_up(server, REPLY_TOO_MANY_ERRORS, "junk");
	}
	bool reset = smtp_server_in_transaction(server);
	memcpy(server->helo, event->text.ptr, event->text.len);
	server->helo_len = event->text.len;
	server->extended = verb->id == VERB_EHLO;
	server->phase = PHASE_IDLE;
	if (server->extended) {
		say_ehlo(server);
	} else {
		smtp_command_say(server, REPLY_HELO, server->rules->hostname);
	}
	event->text = SPAN_NONE;
	server->helo_due = reset;
	return reset ? smtp_command_tell(event, SMTP_EVENT_RESET)
	             : smtp_command_helo_event(server, event);
}

/* The offered mechanism of that name; empty when there is none. */
static struct span offered(const struct smtp_server *server, struct span name)
{
	struct span rest = server->rules->mechanisms;
	while (rest.len) {
		struct span word = span_first(rest, span_find(rest, ' '));
		if (span_eq_nocase(word, name)) {
			return word;
		}
		rest = span_from(rest, word.len + 1);
	}
	return SPAN_NONE;
}

/* Decodes a response into `secret`; "=" is an empty one (RFC 4954 4). */
bool smtp_command_decode(struct smtp_server *server, struct span text)
{
	smtp_command_wipe(server);
	if (span_eq(text, SPAN_LIT("="))) {
		return true;
	}
	/* All room at once: a growing buffer would leave copies of a password behind. */
	if (text.len && !buf_reserve(&server->secret, text.len)) {
		smtp_command_give_up(server, server->output.len);
		return false;
	}
	return base64_decode(text, &server->secret);
}

static enum step on_auth(struct smtp_server *server, const struct verb *verb,
                         struct smtp_event *event)
{
	(void)verb;
	event->text = offered(server, event->text);
	if (event->text.len == 0) {
		return smtp_command_reply(server, REPLY_BAD_MECHANISM);
	}
	if (event->has_response && !smtp_command_decode(server, event->response)) {
		return server->closing ? STEP_AGAIN
		                       : smtp_command_reply(server, REPLY_BAD_BASE64);
	}
	event->response = buf_span(&server->secret);
	return smtp_command_ask(server, event, SMTP_EVENT_AUTH);
}

static enum step on_mail(struct smtp_server *server, const struct verb *verb,
                         struct smtp_event *event)
{
	(void)verb;
	uint64_t max = server->rules->message_size;
	if (max && event->size > max) {
		char digits[24];
		int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)max);
		smtp_command_say(server, REPLY_TOO_BIG, span_of(digits, (size_t)len));
		return STEP_AGAIN;
	}
	return smtp_command_ask(server, event, SMTP_EVENT_MAIL);
}

static enum step on_question(struct smtp_server *server, const struct verb *verb,
                             struct smtp_event *event)
{
	static const enum smtp_event_kind kinds[] = {
		[VERB_STARTTLS] = SMTP_EVENT_STARTTLS,
		[VERB_RCPT] = SMTP_EVENT_RCPT,
		[VERB_DATA] = SMTP_EVENT_DATA,
	};
	return smtp_command_ask(server, event, kinds[verb->id]);
}

static enum step on_idle(struct smtp_server *server, const struct verb *verb,
                         struct smtp_event *event)
{
	static const enum reply replies[] = {
		[VERB_RSET] = REPLY_OK,
		[VERB_NOOP] = REPLY_OK,
		[VERB_VRFY] = REPLY_VRFY,
		[VERB_HELP] = REPLY_HELP,
	};
	(void)event;
	return stalls(server) ? smtp_command_hang_up(server, REPLY_TOO_MANY_ERRORS, "junk")
	                      : smtp_command_reply(server, replies[verb->id]);
}

static enum step on_rset(struct smtp_server *server, const struct verb *verb,
                         struct smtp_event *event)
{
	bool reset = smtp_server_in_transaction(server);
	if (reset) {
		server->phase = PHASE_IDLE;
	}
	on_idle(server, verb, event);
	return reset ? smtp_command_tell(event, SMTP_EVENT_RESET) : STEP_AGAIN;
}

static enum step on_quit(struct smtp_server *server, const struct verb *verb,
                         struct smtp_event *event)
{
	(void)verb;
	(void)event;
	return smtp_command_hang_up(server, REPLY_BYE, "quit");
}

static enum step (*const command_on[])(struct smtp_server *, const struct verb *,
                                       struct smtp_event *) = {
	[VERB_HELO] = on_helo,     [VERB_EHLO] = on_helo, [VERB_STARTTLS] = on_question,
	[VERB_AUTH] = on_auth,     [VERB_MAIL] = on_mail, [VERB_RCPT] = on_question,
	[VERB_DATA] = on_question, [VERB_RSET] = on_rset, [VERB_NOOP] = on_idle,
	[VERB_VRFY] = on_idle,     [VERB_HELP] = on_idle, [VERB_QUIT] = on_quit,
};

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		if (c < ' ' || c == 0x7f) {
			return true;
		}
	}
	return false;
}

enum step smtp_command_run(struct smtp_server *server, struct span text,
                           struct smtp_event *event)
{
	const char *foreign = server->phase == PHASE_START ? verb_foreign(text) : NULL;
	if (foreign) {
		return smtp_command_hang_up(server, REPLY_NOT_SMTP, foreign);
	}
	if (has_control(text)) {
		return smtp_command_reply(server, REPLY_BAD_LINE);
	}
	struct span argument;
	const struct verb *verb = verb_find(text, &argument);
	if (!verb) {
		return smtp_command_reply(server, REPLY_BAD_COMMAND);
	}
	const struct verb_context now = {
		.phase = server->phase,
		.tls = server->tls,
		.need_tls = server->rules->need_tls,
		.starttls = server->rules->starttls,
		.authenticated = server->authenticated,
		.no_auth = server->rules->no_auth,
	};
	enum reply reply = verb_objection(verb, &now);
	if (reply == REPLY_OK) {
		reply = verb->parse(argument, event);
	}
	return reply == REPLY_OK ? command_on[verb->id](server, verb, event)
	                         : smtp_command_reply(server, reply);
}
