/*
 * Private to smtp_server: the session's struct, and one command line as a step of it. What
 * smtp_server adds is reading, the authentication exchange, and answers.
 */
#ifndef GATEPOST_PROTO_SMTP_COMMAND_H
#define GATEPOST_PROTO_SMTP_COMMAND_H

#include "proto/line.h"
#include "proto/smtp_server.h"
#include "proto/verbs.h"

/* RFC 4954 4: base64 lines of 12288 octets. */
#define SMTP_AUTH_LINE_MAX ((size_t)12288 + 2)
/* Replies to a full input, were they never written. */
#define SMTP_OUTPUT_MAX ((size_t)1024 * 1024)

/* What the next bytes are. */
enum mode {
	MODE_COMMAND,
	MODE_AUTH, /* a response in an authentication exchange */
	MODE_DATA, /* text of a message */
	MODE_TLS,  /* nothing: a handshake is due, plaintext is thrown away */
	MODE_OVER, /* nothing: SMTP_EVENT_CLOSE was given */
};

struct smtp_server {
	const struct smtp_server_rules *rules;
	enum mode mode;
	enum verb_phase phase;
	bool tls;
	bool extended;
	bool authenticated;
	bool waiting; /* for the answer to `asked` */
	enum smtp_event_kind asked;
	bool helo_due;       /* SMTP_EVENT_HELO follows the RESET just given */
	const char *closing; /* why SMTP_EVENT_CLOSE is due; NULL while it is not */
	unsigned errors;
	unsigned junk;
	struct line line;
	bool auth_line;  /* the line being read may be of an AUTH exchange */
	size_t line_max; /* of the line being read */
	size_t taken;    /* bytes at the front of `input` that were read */
	struct buf input;
	struct buf output;
	struct buf secret; /* a decoded response, until it is answered */
	struct smtp_data_in data;
	size_t helo_len;
	char helo[VERB_HELO_MAX];
};

/* What a step of reading came to. */
enum step {
	STEP_MORE,  /* more bytes are needed */
	STEP_AGAIN, /* answered here: go on */
	STEP_EVENT,
};

/* Reads and runs one command line. */
enum step smtp_command_run(struct smtp_server *server, struct span text,
                           struct smtp_event *event);
/* The HELO event that follows a RESET. */
enum step smtp_command_helo_event(struct smtp_server *server, struct smtp_event *event);

/* An event that awaits its answer, and one that does not. */
enum step smtp_command_ask(struct smtp_server *server, struct smtp_event *event,
                           enum smtp_event_kind kind);
enum step smtp_command_tell(struct smtp_event *event, enum smtp_event_kind kind);

/* Writes a reply; counts errors; after a 421 the session closes. */
void smtp_command_say(struct smtp_server *server, enum reply reply, struct span word);
/* The same as the whole of a step. */
enum step smtp_command_reply(struct smtp_server *server, enum reply reply);
/* No command is read any more; `why` is the text of SMTP_EVENT_CLOSE. */
void smtp_command_close(struct smtp_server *server, const char *why);
/* The same as a last word; `why` is the text of SMTP_EVENT_CLOSE. */
enum step smtp_command_hang_up(struct smtp_server *server, enum reply reply, const char *why);
/* No memory: takes a half-written reply back to `output_len` bytes and ends the session. */
void smtp_command_give_up(struct smtp_server *server, size_t output_len);

/* Decodes a base64 response into `secret`; false when it is none or the session closes. */
bool smtp_command_decode(struct smtp_server *server, struct span text);
void smtp_command_wipe(struct smtp_server *server);

#endif
