/*
 * Private to tls: a context, and the connections that are made from it. tls_context.c loads
 * certificates and states the settings, tls.c moves bytes.
 */
#ifndef GATEPOST_SERVER_TLS_STATE_H
#define GATEPOST_SERVER_TLS_STATE_H

#include <stdatomic.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "server/tls.h"

#define TLS_SESSION_CONTEXT SSL_MAX_SID_CTX_LENGTH

struct tls_context {
	atomic_uint references;
	SSL_CTX *ctx;
	const BIO_METHOD *bio; /* the process's */
	bool server;
	/* Tickets of another one start no session here. */
	unsigned char session_id_context[TLS_SESSION_CONTEXT];
};

/* Makes the BIO that stands between a connection's buffers and OpenSSL; NULL without memory. */
BIO_METHOD *tls_bio_method(void);
/* OpenSSL's words for an error; `otherwise` where it has none. Static. */
const char *tls_words(unsigned long code, const char *otherwise);

#endif
