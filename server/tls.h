/*
 * OpenSSL as bytes in, bytes out: contexts (certificate, key, settings; ref-counted, swapped on
 * reload) and one connection's engine. TLS 1.2 and later, as a server AEAD only,
 * X25519:P-256:P-384, no renegotiation, no compression, no early data, one ticket, ticket keys
 * of the process only (kept over a reload). Beside auth/secret.c the only place with libcrypto.
 * A context may be used by many threads, a `tls` by one.
 */
#ifndef GATEPOST_SERVER_TLS_H
#define GATEPOST_SERVER_TLS_H

#include "proto/buf.h"
#include "proto/error.h"

struct tls_context;

/* NULL with a sentence that names the file and the fault (missing, unreadable, no PEM, key does
 * not match, expired). `client_ca` (PEM; NULL: none) signs client certificates for EXTERNAL:
 * one is asked for, never required, and one that can not be verified is as none. */
struct tls_context *tls_context_server(const char *certificate, const char *key,
                                       const char *client_ca, struct error *error);
/* For links to a smarthost: opportunistic, nothing is verified, the cipher is logged. */
struct tls_context *tls_context_client(struct error *error);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

struct tls;

enum tls_state {
	TLS_SHAKING,
	TLS_UP,
	TLS_CLOSED, /* close_notify came */
	TLS_FAILED, /* see tls_reason */
};

/* Holds its own reference. `server_name` (SNI) for clients, may be NULL. NULL without memory.
 */
struct tls *tls_new(struct tls_context *context, const char *server_name);
/* Behind STARTTLS, before any byte: its tickets are worth nothing on a port of TLS only, nor
 * theirs here. False without memory. */
bool tls_upgrade(struct tls *tls);
void tls_free(struct tls *tls);

/* Bytes from the network. */
bool tls_take(struct tls *tls, struct span bytes);
/* Moves the handshake on and reads clear text into `clear_out`, as much as there is or fits its
 * cap. The call that ends the handshake reads nothing yet; clear text comes before CLOSED or
 * FAILED is said. */
enum tls_state tls_work(struct tls *tls, struct buf *clear_out);
/* Whether tls_work has something to do or to say: bytes taken and not yet looked at, a client's
 * first hello, an end. */
bool tls_waiting(const struct tls *tls);
/* Encrypts all of `clear`; never before the handshake is done. False when it failed, see
 * tls_reason. */
bool tls_write(struct tls *tls, struct span clear);
/* Says close_notify. */
void tls_close(struct tls *tls);
/* Bytes for the network are moved to `out`. */
bool tls_output(struct tls *tls, struct buf *out);

/* After the handshake: "TLS_AES_128_GCM_SHA256", "TLSv1.3", bits. Static or living with `tls`.
 */
const char *tls_cipher(const struct tls *tls);
const char *tls_version(const struct tls *tls);
unsigned tls_bits(const struct tls *tls);
/* Channel bindings for SCRAM-PLUS, appended: RFC 9266 (TLS 1.2 only with extended master
 * secret) and RFC 5929 4 (the hash of our certificate). False, nothing appended, where there is
 * none. */
bool tls_binding_exporter(const struct tls *tls, struct buf *out);
bool tls_binding_end_point(const struct tls *tls, struct buf *out);
/* The name in the client's verified certificate, appended: the first rfc822Name of its
 * subjectAltName, else the emailAddress, else the commonName of its subject; a name with
 * control bytes or a NUL is none. False when there is no certificate, or no name. */
bool tls_client_name(const struct tls *tls, struct buf *out);
/* Why FAILED, for the log; "wrong version number" for clear text on a TLS port. Lives with
 * `tls`. */
const char *tls_reason(const struct tls *tls);
/* "OpenSSL 3.0.19 ..." */
const char *tls_library(void);

#endif
