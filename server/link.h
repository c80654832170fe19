/*
 * One link to a smarthost: a connection driven by proto/smtp_client. It tries the addresses in
 * order, greets, goes into TLS, and then carries one mail at a time. It decides nothing: the
 * relay owns it and says what comes next.
 */
#ifndef GATEPOST_SERVER_LINK_H
#define GATEPOST_SERVER_LINK_H

#include "server/conn.h"
#include "server/relay.h"

struct link;

enum link_end {
	LINK_ENDED,     /* it was of use, or we ended it ourselves */
	LINK_UNREACHED, /* it never got to its first mail: connect, greeting, EHLO, TLS */
	LINK_NO_TLS,    /* the handshake failed */
};

struct link_handler {
	/* Idle: link_send or link_quit may be called, now or later. An idle link quits by
	 * itself after a while. */
	void (*ready)(void *owner);
	/* An idle link ends (by itself or by link_quit): no mail any more; `gone` follows. */
	void (*leaving)(void *owner);
	/* The mail's outcome, reason and results are set; the results live within the call. */
	void (*done)(void *owner, struct relay_mail *mail);
	/* The last call; the link frees itself behind it. */
	void (*gone)(void *owner, enum link_end end, const char *reason);
};

/* Loop, store and context must live as long as the link; all else is copied. */
struct link_options {
	uv_loop_t *loop;
	struct store *store;
	struct tls_context *context;
	const char *hostname;    /* ours */
	const char *server_name; /* for SNI, may be NULL */
	enum smtp_client_tls tls;
	const struct sockaddr_storage *addresses;
	size_t naddresses;
};

#define LINK_ADDRESSES_MAX 8

/* Begins to connect; call-backs follow, never from within this call. NULL without memory. */
struct link *link_open(const struct link_options *options, const struct link_handler *handler,
                       void *owner);
/* Begins a transaction; only when idle. */
void link_send(struct link *link, struct relay_mail *mail);
/* Before the final dot was written: cuts the link, and the mail ends STOPPED. False, and
 * nothing happens, later. */
bool link_stop(struct link *link);
/* QUIT and close; only when idle. */
void link_quit(struct link *link);
/* Closes at once; a mail ends BROKEN. `gone` follows later. */
void link_cut(struct link *link, const char *why);

/* The peer has said nothing since the last link_send: a link that was idle before it was stale,
 * and the mail unseen. */
bool link_is_unheard(const struct link *link);
/* For the log: peer, cipher. NULL when it is gone. */
const struct conn *link_conn(const struct link *link);

#endif
