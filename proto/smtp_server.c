#include "proto/smtp_server.h"

#include "proto/base64.h"
#include "proto/smtp_command.h"

#include <assert.h>
#include <stdlib.h>

/* With CRLF; RFC 5321 4.5.3.1.4 asks for 512 and room for parameters. */
#define COMMAND_MAX ((size_t)4096)
#define SECRET_MAX  ((size_t)64 * 1024)
#define UNREAD_HIGH ((size_t)64 * 1024)
#define INPUT_MAX   (UNREAD_HIGH + SMTP_SERVER_FEED_MAX)

struct smtp_server *smtp_server_new(const struct smtp_server_rules *rules, bool tls)
{
	struct smtp_server *server = calloc(1, sizeof *server);
	if (server) {
		server->rules = rules;
		server->tls = tls;
		server->phase = PHASE_START;
		/* Passwords pass in lines of it, whole and in pieces. */
		buf_init_secret(&server->input, INPUT_MAX);
		buf_init(&server->output, SMTP_OUTPUT_MAX);
		buf_init_secret(&server->secret, SECRET_MAX);
	}
	return server;
}

void smtp_server_free(struct smtp_server *server)
{
	if (server) {
		smtp_command_wipe(server);
		buf_done(&server->input);
		buf_done(&server->output);
		free(server);
	}
}

void smtp_server_rules(struct smtp_server *server, const struct smtp_server_rules *rules)
{
	server->rules = rules;
}

void smtp_server_greet(struct smtp_server *server)
{
	smtp_command_say(server, REPLY_GREETING, server->rules->hostname);
}

/* ---- the exchange of AUTH */

static enum step auth_gone(struct smtp_server *server, struct smtp_event *event,
                           enum reply reply)
{
	server->mode = MODE_COMMAND;
	smtp_command_say(server, reply, SPAN_NONE);
	return smtp_command_tell(event, SMTP_EVENT_AUTH_GONE);
}

static enum step auth_response(struct smtp_server *server, struct span text,
                               struct smtp_event *event)
{
	if (span_eq(text, SPAN_LIT("*"))) {
		return auth_gone(server, event, REPLY_AUTH_CANCELLED);
	}
	if (!smtp_command_decode(server, text)) {
		return server->closing ? STEP_AGAIN
		                       : auth_gone(server, event, REPLY_BAD_BASE64);
	}
	server->mode = MODE_COMMAND;
	event->response = buf_span(&server->secret);
	event->has_response = true;
	return smtp_command_ask(server, event, SMTP_EVENT_AUTH_NEXT);
}

/* ---- reading */

static struct span unread(const struct smtp_server *server)
{
	return span_from(buf_span(&server->input), server->taken);
}

/* Drops what was read. The spans of the last event end here. */
static void drop_taken(struct smtp_server *server)
{
	if (server->taken) {
		buf_drop(&server->input, server->taken);
		server->taken = 0;
	}
}

static bool is_auth_line(const struct smtp_server *server, struct span in)
{
	return server->mode == MODE_AUTH || span_starts_nocase(in, SPAN_LIT("AUTH "));
}

static enum step faulty_line(struct smtp_server *server, enum line_kind kind, bool auth,
                             struct smtp_event *event)
{
	if (kind == LINE_ENDLESS) {
		return smtp_command_hang_up(server, REPLY_TOO_MANY_ERRORS, "endless-line");
	}
	enum reply reply = kind != LINE_TOO_LONG ? REPLY_BAD_LINE
	                   : auth                ? REPLY_AUTH_LINE_TOO_LONG
	                                         : REPLY_LINE_TOO_LONG;
	if (server->mode == MODE_AUTH) {
		return auth_gone(server, event,
		                 kind == LINE_TOO_LONG ? reply : REPLY_BAD_BASE64);
	}
	return smtp_command_reply(server, reply);
}

static size_t longest_line(const struct smtp_server *server)
{
	const struct smtp_server_rules *rules = server->rules;
	if (server->auth_line) {
		return rules->auth_max ? rules->auth_max : SMTP_AUTH_LINE_MAX;
	}
	return rules->command_max ? rules->command_max : COMMAND_MAX;
}

static enum step read_line(struct smtp_server *server, struct smtp_event *event)
{
	struct span in = unread(server);
	if (server->phase == PHASE_START && !server->line.dropped &&
	    span_eq(span_first(in, 2), SPAN_LIT("\x16\x03"))) {
		/* A ClientHello may hold no CRLF, and its sender waits for an answer. */
		return smtp_command_hang_up(server, REPLY_NOT_SMTP, "tls-hello");
	}
	if (!server->line.dropped) {
		server->auth_line = is_auth_line(server, in);
		server->line_max = longest_line(server);
	}
	bool auth = server->auth_line;
	struct span text;
	enum line_kind kind = line_next(&server->line, &in, server->line_max, &text);
	server->taken = server->input.len - in.len;
	if (kind == LINE_MORE) {
		return STEP_MORE;
	}
	if (kind != LINE_OK) {
		return faulty_line(server, kind, auth, event);
	}
	return server->mode == MODE_AUTH ? auth_response(server, text, event)
	                                 : smtp_command_run(server, text, event);
}

static enum step read_text(struct smtp_server *server, struct smtp_event *event)
{
	struct span in = unread(server);
	bool over = smtp_data_in_next(&server->data, &in, &event->text);
	server->taken = server->input.len - in.len;
	if (over) {
		server->mode = MODE_COMMAND;
		event->facts = server->data.facts;
		return smtp_command_ask(server, event, SMTP_EVENT_END);
	}
	return event->text.len ? smtp_command_tell(event, SMTP_EVENT_BODY) : STEP_MORE;
}

static enum step step(struct smtp_server *server, struct smtp_event *event)
{
	if (server->helo_due) {
		return smtp_command_helo_event(server, event);
	}
	if (server->closing) {
		server->mode = MODE_OVER;
		event->text = span_str(server->closing);
		server->closing = NULL;
		return smtp_command_tell(event, SMTP_EVENT_CLOSE);
	}
	if (server->waiting || server->mode == MODE_TLS || server->mode == MODE_OVER ||
	    server->taken == server->input.len) {
		return STEP_MORE;
	}
	return server->mode == MODE_DATA ? read_text(server, event) : read_line(server, event);
}

bool smtp_server_next(struct smtp_server *server, struct smtp_event *event_out)
{
	enum step result;
	do {
		*event_out = (struct smtp_event){ 0 };
		result = step(server, event_out);
	} while (result == STEP_AGAIN);
	if (result == STEP_MORE) {
		drop_taken(server);
	}
	return result == STEP_EVENT;
}

void smtp_server_feed(struct smtp_server *server, struct span bytes)
{
	assert(bytes.len <= SMTP_SERVER_FEED_MAX);
	if (server->mode == MODE_TLS || server->mode == MODE_OVER || server->closing) {
		return;
	}
	drop_taken(server);
	if (!buf_put(&server->input, bytes)) {
		smtp_command_give_up(server, server->output.len);
	}
}

bool smtp_server_wants(const struct smtp_server *server)
{
	return !server->waiting && !server->closing && server->mode != MODE_OVER &&
	       server->input.len - server->taken < UNREAD_HIGH;
}

/* ---- answers */

static void drop_input(struct smtp_server *server)
{
	buf_done(&server->input);
	server->taken = 0;
	server->line = (struct line){ 0 };
}

static void answered(struct smtp_server *server, bool good)
{
	switch (server->asked) {
	case SMTP_EVENT_STARTTLS:
		if (good) {
			/* Plaintext behind the command must never be read as if it came
			 * through TLS (RFC 3207 4.2, CVE-2011-0411). */
			drop_input(server);
			server->mode = MODE_TLS;
		}
		break;
	case SMTP_EVENT_AUTH:
	case SMTP_EVENT_AUTH_NEXT:
		server->authenticated = good;
		break;
	case SMTP_EVENT_MAIL:
		server->phase = good ? PHASE_MAIL : PHASE_IDLE;
		break;
	case SMTP_EVENT_RCPT:
		server->phase = good ? PHASE_RCPT : server->phase;
		break;
	case SMTP_EVENT_DATA:
		if (good) {
			smtp_data_in_init(&server->data);
			server->mode = MODE_DATA;
		}
		break;
	case SMTP_EVENT_END:
		server->phase = PHASE_IDLE;
		server->junk = 0;
		server->errors = good ? 0 : server->errors;
		break;
	default:
		assert(!"an event that asks nothing");
	}
}

void smtp_server_answer(struct smtp_server *server, enum reply reply, struct span word)
{
	assert(server->waiting);
	server->waiting = false;
	smtp_command_wipe(server);
	answered(server, reply_row(reply)->code < 400);
	smtp_command_say(server, reply, word);
}

void smtp_server_challenge(struct smtp_server *server, struct span challenge)
{
	assert(server->waiting &&
	       (server->asked == SMTP_EVENT_AUTH || server->asked == SMTP_EVENT_AUTH_NEXT));
	struct buf *out = &server->output;
	size_t before = out->len;
	server->waiting = false;
	server->mode = MODE_AUTH;
	smtp_command_wipe(server);
	/* An empty challenge keeps its blank (RFC 4954 4). */
	buf_put(out, SPAN_LIT("334 "));
	base64_encode(challenge, out);
	buf_put(out, SPAN_LIT("\r\n"));
	if (out->failed) {
		smtp_command_give_up(server, before);
	}
}

void smtp_server_hang_up(struct smtp_server *server, enum reply reply, struct span word)
{
	if (!server->closing && server->mode != MODE_OVER) {
		smtp_command_close(server, reply_row(reply)->name);
		smtp_command_say(server, reply, word);
	}
}

void smtp_server_tls_started(struct smtp_server *server)
{
	assert(server->mode == MODE_TLS);
	drop_input(server);
	server->mode = MODE_COMMAND;
	server->phase = PHASE_START;
	server->tls = true;
	server->extended = false;
	server->authenticated = false;
	server->helo_len = 0;
}

/* ---- what it is */

bool smtp_server_in_transaction(const struct smtp_server *server)
{
	return server->phase & (PHASE_MAIL | PHASE_RCPT);
}

bool smtp_server_is_authenticated(const struct smtp_server *server)
{
	return server->authenticated;
}

bool smtp_server_is_waiting(const struct smtp_server *server)
{
	return server->waiting;
}

bool smtp_server_in_data(const struct smtp_server *server)
{
	return server->mode == MODE_DATA;
}

struct span smtp_server_helo(const struct smtp_server *server)
{
	return span_of(server->helo, server->helo_len);
}

bool smtp_server_is_extended(const struct smtp_server *server)
{
	return server->extended;
}

struct buf *smtp_server_output(struct smtp_server *server)
{
	return &server->output;
}
