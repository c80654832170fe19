/*
 * Our session with a smarthost as values: bytes in, wants out. One state a row; a result for
 * each recipient. It uses no keyword that was not announced, pipelines when it may (RFC 2920),
 * and counts replies strictly: one too many or one that makes no sense ends the session.
 */
#ifndef GATEPOST_PROTO_SMTP_CLIENT_H
#define GATEPOST_PROTO_SMTP_CLIENT_H

#include "proto/buf.h"
#include "proto/reply.h"

enum smtp_client_want {
	SMTP_CLIENT_WAIT,   /* bytes from the smarthost */
	SMTP_CLIENT_TLS,    /* STARTTLS was granted: all plaintext is dropped; shake hands, then
	                       smtp_client_tls_started */
	SMTP_CLIENT_READY,  /* idle: smtp_client_send or smtp_client_quit */
	SMTP_CLIENT_BODY,   /* 354 came: give the text with smtp_client_body, then
	                       smtp_client_body_end */
	SMTP_CLIENT_RESULT, /* the transaction is over: read the results, then smtp_client_next
	                       again */
	SMTP_CLIENT_BROKEN, /* the session is of no use any more; see smtp_client_failure */
};

enum smtp_client_tls { SMTP_CLIENT_TLS_NONE, SMTP_CLIENT_TLS_MAY, SMTP_CLIENT_TLS_MUST };

/* What the smarthost said to one recipient, in the end. */
struct smtp_client_result {
	unsigned
	    code; /* 2xx taken, 4xx later, 5xx never; 0 = no answer (session broken): later */
	char enhanced[12]; /* "5.1.1", or "" */
	const char *text;  /* NUL-terminated, lives until the next smtp_client_send or free */
};

struct smtp_client_mail {
	struct span sender; /* without brackets, empty for <> */
	const struct span *recipients;
	size_t nrecipients;
	uint64_t size;  /* bytes of text, for SIZE */
	bool eight_bit; /* the text has bytes above 127: BODY=8BITMIME where announced */
};

struct smtp_client;

/* `hostname` is our EHLO name; copied. NULL without memory. */
struct smtp_client *smtp_client_new(struct span hostname, enum smtp_client_tls tls);
void smtp_client_free(struct smtp_client *client);

/* Bytes from the smarthost: copied, bounded by the reply reader. */
void smtp_client_feed(struct smtp_client *client, struct span bytes);
/* What the client wants next. */
enum smtp_client_want smtp_client_next(struct smtp_client *client);
/* The handshake is done: EHLO again, all that was announced before is forgotten (RFC 3207 4.2).
 */
void smtp_client_tls_started(struct smtp_client *client);

/*
 * Begins a transaction, in state READY. `mail` and what it points to must live until RESULT or
 * BROKEN. Mail that the smarthost said it cannot take (SIZE, 8BITMIME missing: RFC 1870, 6152)
 * is refused here with a 552 5.3.4 or 554 5.6.3 result for each recipient, without a word on
 * the wire.
 */
void smtp_client_send(struct smtp_client *client, const struct smtp_client_mail *mail);
/* Writes text into the output, dots stuffed. Call only in state BODY. */
void smtp_client_body(struct smtp_client *client, struct span text);
void smtp_client_body_end(struct smtp_client *client);
/*
 * The result of recipient `i`. In RESULT all are final. In BROKEN a 4xx or 5xx was said to that
 * recipient; who had no answer has code 0, or that of the 4xx with which the smarthost hung up,
 * and the failure as text. Never a 2xx in BROKEN.
 */
const struct smtp_client_result *smtp_client_result(const struct smtp_client *client, size_t i);
/* The connection is gone, timed out or the handshake failed: BROKEN, with `why` as the failure
 * (results not yet read come first). */
void smtp_client_lost(struct smtp_client *client, const char *why);
/* QUIT in state READY (elsewhere nothing); the smarthost's 221 is not waited for: flush and
 * close. */
void smtp_client_quit(struct smtp_client *client);

/* From smtp_client_send until smtp_client_next has told of RESULT; stays true in BROKEN when
 * that came between. */
bool smtp_client_is_busy(const struct smtp_client *client);
/* The final dot left the output and has no answer: a break now may mean that the mail arrived
 * (RFC 1047). */
bool smtp_client_is_committed(const struct smtp_client *client);
/* Why BROKEN: the smarthost's last reply (with its code, 0 when there was none) or our
 * sentence. Lives with the client. */
const char *smtp_client_failure(const struct smtp_client *client, unsigned *code_out);
/* Seconds that the peer may be waited for now, by the phases of RFC 5321 4.5.3.2; 0 = it is not
 * waited for. */
unsigned smtp_client_patience(const struct smtp_client *client);
/* The session went into TLS. For the log. */
bool smtp_client_is_in_tls(const struct smtp_client *client);

/*
 * Bytes to write. The caller drops them with buf_drop when it hands them to the socket or to
 * TLS, not later: a reply to what still lies here is one that came too early. A long text is
 * given in pieces as this gets short.
 */
struct buf *smtp_client_output(struct smtp_client *client);

#endif
