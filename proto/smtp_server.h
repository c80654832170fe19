/*
 * A client's session as values: bytes in, events out, answers in, reply bytes out. It knows the
 * order and the syntax of RFC 5321, 3207, 4954, 2920, 1870 and 6152 and nothing of policy: no
 * socket, no clock, no account. What needs a decision comes out as an event, and nothing behind
 * it is read before it is answered; so replies are in order, and a pipelined group is one
 * write.
 *
 *     smtp_server_feed(s, bytes);
 *     while (smtp_server_next(s, &ev)) { ... smtp_server_answer(s, REPLY_..., word); }
 *     write smtp_server_output(s)
 */
#ifndef GATEPOST_PROTO_SMTP_SERVER_H
#define GATEPOST_PROTO_SMTP_SERVER_H

#include "proto/address.h"
#include "proto/buf.h"
#include "proto/reply.h"
#include "proto/smtp_data.h"

enum smtp_event_kind {
	/* to be answered with smtp_server_answer; until then smtp_server_next returns false */
	SMTP_EVENT_STARTTLS,  /* answer START_TLS (then call smtp_server_tls_started) or
	                         TLS_UNAVAILABLE */
	SMTP_EVENT_AUTH,      /* mechanism, initial: smtp_server_challenge, or answer AUTH_OK,
	                         AUTH_FAILED ... */
	SMTP_EVENT_AUTH_NEXT, /* the client's response to a challenge, decoded */
	SMTP_EVENT_MAIL,
	SMTP_EVENT_RCPT,
	SMTP_EVENT_DATA, /* answer GO_AHEAD or a refusal */
	SMTP_EVENT_END,  /* the terminator was read: facts; answer QUEUED or a refusal */
	/* told, not asked: no answer */
	SMTP_EVENT_HELO, /* `text` is the name; answered by us; any transaction before it is
	                    over */
	SMTP_EVENT_AUTH_GONE, /* cancelled, bad base64 or too long a line: already answered,
	                         dispose of the attempt */
	SMTP_EVENT_BODY,      /* `text` is the next run of the message */
	SMTP_EVENT_RESET, /* the transaction is over without a message: drop what was staged of
	                     it */
	SMTP_EVENT_CLOSE, /* QUIT, too many errors, not SMTP: the reply is in the output; flush
	                     and close */
};

enum smtp_body { SMTP_BODY_UNSAID, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

/*
 * Spans live until the next call with this server. The reasons of CLOSE: quit, junk, http, ssh,
 * tls-hello, endless-line, memory, or the name in replies.h of the reply that ended the
 * session.
 */
struct smtp_event {
	enum smtp_event_kind kind;
	struct span text; /* HELO: name; AUTH: mechanism in upper case; BODY: bytes; CLOSE: why,
	                     for the log */
	struct span response; /* AUTH, AUTH_NEXT: decoded bytes */
	bool has_response; /* AUTH: an initial response was given, maybe an empty one ("=") */
	struct address address; /* MAIL (empty for <>), RCPT (<Postmaster> has no domain) */
	uint64_t size;          /* MAIL: declared, 0 = not */
	enum smtp_body body;    /* MAIL */
	struct smtp_data_facts facts; /* END */
};

/* Borrowed, may change between events (a reload): read anew each time. */
struct smtp_server_rules {
	struct span hostname;
	struct span
	    mechanisms;        /* "PLAIN LOGIN ...": exactly what is offered; empty = no AUTH */
	uint64_t message_size; /* SIZE; a larger declared size is answered TOO_BIG here */
	unsigned errors_max; /* so many error replies (500-504, 530, 555) between messages; the
	                        next is 421 */
	unsigned junk_max;   /* so many NOOP, RSET, VRFY, HELP, HELO, EHLO between messages end
	                        the session */
	size_t command_max;  /* a command line with its CRLF; 0: 4,096 */
	size_t auth_max;     /* a line of an AUTH exchange; 0: 12,290 (RFC 4954 4) */
	bool starttls;       /* offer STARTTLS while TLS is not active */
	bool no_auth;        /* MAIL without a login: a listener for answers only */
	bool need_tls;       /* nothing but EHLO, HELO, STARTTLS, NOOP, QUIT before TLS; no AUTH
	                        outside TLS ever */
};

struct smtp_server;

/* `rules` must outlive the server. `tls` when the session began inside TLS. NULL without
 * memory. */
struct smtp_server *smtp_server_new(const struct smtp_server_rules *rules, bool tls);
void smtp_server_free(struct smtp_server *server);
/* From now on other rules hold (a reload). */
void smtp_server_rules(struct smtp_server *server, const struct smtp_server_rules *rules);

/* Writes the greeting. */
void smtp_server_greet(struct smtp_server *server);

#define SMTP_SERVER_FEED_MAX ((size_t)256 * 1024)

/* Gives bytes from the client, at most SMTP_SERVER_FEED_MAX at once. They are copied; give no
 * more while smtp_server_wants is false. */
void smtp_server_feed(struct smtp_server *server, struct span bytes);
/* False while an answer is awaited or 64 KiB of input are unread. */
bool smtp_server_wants(const struct smtp_server *server);
/* The next event, in `event_out`; false when more bytes or an answer are needed. */
bool smtp_server_next(struct smtp_server *server, struct smtp_event *event_out);

/* Answers the event that awaits it; `word` replaces %s. A code of 421 is followed by
 * SMTP_EVENT_CLOSE. */
void smtp_server_answer(struct smtp_server *server, enum reply reply, struct span word);
/* Answers AUTH or AUTH_NEXT with 334 and the challenge, base64 encoded here. */
void smtp_server_challenge(struct smtp_server *server, struct span challenge);
/* Says 421 (or another last word) out of turn, at once; a SMTP_EVENT_CLOSE follows. */
void smtp_server_hang_up(struct smtp_server *server, enum reply reply, struct span word);

/* After START_TLS was flushed and the handshake is done: forgets all of the session, all unread
 * bytes included (RFC 3207 4.2). */
void smtp_server_tls_started(struct smtp_server *server);

bool smtp_server_is_authenticated(const struct smtp_server *server);
/* An event awaits its answer. */
bool smtp_server_is_waiting(const struct smtp_server *server);
/* Inside MAIL .. end of data. */
bool smtp_server_in_transaction(const struct smtp_server *server);
/* Reading text of a message. */
bool smtp_server_in_data(const struct smtp_server *server);
/* EHLO or HELO name, empty before; lives until the next HELO event or STARTTLS. */
struct span smtp_server_helo(const struct smtp_server *server);
/* EHLO was said, not HELO. */
bool smtp_server_is_extended(const struct smtp_server *server);

/* Reply bytes not yet taken; the caller drops them with buf_drop as it writes them. */
struct buf *smtp_server_output(struct smtp_server *server);

#endif
