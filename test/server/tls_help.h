/*
 * Certificates good and bad, contexts of both ends, and a client of OpenSSL's own. To be
 * included by one file of a program.
 */
#ifndef GATEPOST_TEST_SERVER_TLS_HELP_H
#define GATEPOST_TEST_SERVER_TLS_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "server/tls.h"
#include "test/server/certificate.h"

static struct certificate_folder folder;
static struct tls_context *server_context, *client_context;
static EVP_PKEY *ca_key; /* of ca.pem */

static inline struct tls_context *load(const char *certificate, const char *key,
                                       struct error *error)
{
	return tls_context_server(certificate_file(&folder, certificate),
	                          certificate_file(&folder, key), NULL, error);
}

static inline int set_up(void **state)
{
	(void)state;
	certificate_folder_make(&folder);
	certificate_pair(&folder);
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	certificate_key(&folder, "other-ec.pem", ec, NULL);
	certificate_key(&folder, "rsa.pem", rsa, NULL);
	certificate_key(&folder, "locked.pem", ec, "secret");
	certificate_make(&folder, "other-cert.pem", ec, 86400);
	certificate_make(&folder, "rsa-cert.pem", rsa, 86400);
	certificate_make(&folder, "expired.pem", ec, -3600);
	certificate_text(&folder, "empty.pem", "");
	certificate_text(&folder, "text.pem", "not a certificate\n");
	certificate_text(&folder, "broken.pem",
	                 "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	ca_key = EVP_EC_gen("P-256");
	certificate_make(&folder, "ca.pem", ca_key, 86400);
	server_context = load("cert.pem", "key.pem", NULL);
	client_context = tls_context_client(NULL);
	return server_context && client_context ? 0 : -1;
}

static inline int tear_down(void **state)
{
	(void)state;
	tls_context_unref(server_context);
	tls_context_unref(client_context);
	tls_context_unref(NULL);
	EVP_PKEY_free(ca_key);
	certificate_folder_remove(&folder);
	return 0;
}

/* A client of OpenSSL's own, on memory BIOs, against our server. */
struct odd_client {
	SSL_CTX *ctx;
	SSL *ssl;
	struct tls *server;
	struct buf clear;
};

static inline void odd_begin(struct odd_client *odd, struct tls_context *context, int version,
                             const char *ciphers, const char *groups)
{
	*odd = (struct odd_client){ .ctx = SSL_CTX_new(TLS_client_method()) };
	buf_init(&odd->clear, 1 << 20);
	SSL_CTX_set_security_level(odd->ctx, 0);
	SSL_CTX_set_min_proto_version(odd->ctx, version);
	SSL_CTX_set_max_proto_version(odd->ctx, version);
	SSL_CTX_set_session_cache_mode(odd->ctx,
	                               SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	if (ciphers) {
		assert_int_equal(SSL_CTX_set_cipher_list(odd->ctx, ciphers), 1);
	}
	if (groups) {
		assert_int_equal(SSL_CTX_set1_groups_list(odd->ctx, groups), 1);
	}
	odd->ssl = SSL_new(odd->ctx);
	SSL_set_bio(odd->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(odd->ssl);
	odd->server = tls_new(context, NULL);
}

static inline enum tls_state odd_turn(struct odd_client *odd)
{
	static char bytes[1 << 17];
	int n = BIO_read(SSL_get_wbio(odd->ssl), bytes, sizeof(bytes));
	if (n > 0) {
		assert_true(tls_take(odd->server, span_of(bytes, (size_t)n)));
	}
	enum tls_state state;
	do {
		state = tls_work(odd->server, &odd->clear);
	} while (tls_waiting(odd->server) && state != TLS_CLOSED && state != TLS_FAILED);
	struct buf wire;
	buf_init(&wire, 1 << 20);
	assert_true(tls_output(odd->server, &wire));
	if (wire.len) {
		BIO_write(SSL_get_rbio(odd->ssl), wire.ptr, (int)wire.len);
	}
	buf_done(&wire);
	return state;
}

/* Shakes hands; reads a byte of nothing at the end, so that tickets are seen. */
static inline enum tls_state odd_shake(struct odd_client *odd)
{
	enum tls_state state = TLS_SHAKING;
	for (int i = 0; i < 4; i++) {
		char byte;
		ERR_clear_error();
		if (SSL_do_handshake(odd->ssl) == 1) {
			SSL_read(odd->ssl, &byte, 1);
		}
		state = odd_turn(odd);
	}
	return state;
}

static inline void odd_end(struct odd_client *odd)
{
	tls_free(odd->server);
	SSL_shutdown(odd->ssl); /* or its ticket counts as spoilt */
	SSL_free(odd->ssl);
	SSL_CTX_free(odd->ctx);
	buf_done(&odd->clear);
	ERR_clear_error();
}

static int tickets;
static SSL_SESSION *ticket;

static inline int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	tickets++;
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

#endif
