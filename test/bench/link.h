/*
 * A mail client's blocking connection: plain, STARTTLS or implicit TLS 1.3, and AUTH PLAIN. No
 * certificate is verified: it talks to a daemon under test.
 */
#ifndef GATEPOST_TEST_BENCH_LINK_H
#define GATEPOST_TEST_BENCH_LINK_H

#include <openssl/ssl.h>

#include "proto/buf.h"

enum link_tls { LINK_PLAIN, LINK_STARTTLS, LINK_IMPLICIT };

struct link {
	int fd; /* -1 = closed */
	SSL *ssl;
	size_t len; /* bytes in `in` */
	char in[4096];
	char reply[512]; /* the last line that came, or what went wrong */
};

/* The context that all links share; NULL when OpenSSL fails. */
SSL_CTX *link_context(void);

/* Connects to 127.0.0.1 and greets: EHLO is answered, within TLS where `tls` says so. False,
 * with the reason in `reply`, when anything failed; the link is closed then. */
bool link_open(struct link *link, SSL_CTX *context, unsigned port, enum link_tls tls);
/* AUTH PLAIN with an initial response; the code of the reply. */
unsigned link_login(struct link *link, const char *user, const char *pass);
/* One write. False when the connection is gone. */
bool link_send(struct link *link, struct span bytes);
/* Reads one whole reply; its code, 0 when the connection is gone. */
unsigned link_reply(struct link *link);
unsigned link_command(struct link *link, const char *line);
/* QUIT, its answer waited for, and the end. */
void link_quit(struct link *link);
void link_close(struct link *link);

#endif
