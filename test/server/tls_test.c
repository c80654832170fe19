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

static struct tls_context *load(const char *certificate, const char *key, struct error *error)
{
	return tls_context_server(certificate_file(&folder, certificate),
	                          certificate_file(&folder, key), NULL, error);
}

static int set_up(void **state)
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

static int tear_down(void **state)
{
	(void)state;
	tls_context_unref(server_context);
	tls_context_unref(client_context);
	tls_context_unref(NULL);
	EVP_PKEY_free(ca_key);
	certificate_folder_remove(&folder);
	return 0;
}

static void test_files(void **state)
{
	(void)state;
	static const struct {
		const char *certificate, *key;
		const char *what, *file, *fault; /* NULL: it is good */
	} rows[] = {
		{ "cert.pem", "key.pem", NULL, NULL, NULL },
		{ "rsa-cert.pem", "rsa.pem", NULL, NULL, NULL },
		{ "missing.pem", "key.pem", "certificate", "missing.pem", "No such file" },
		{ "cert.pem", "missing.pem", "key", "missing.pem", "No such file" },
		{ "", "key.pem", "certificate", "", "" },
		{ "empty.pem", "key.pem", "certificate", "empty.pem", "no PEM certificate" },
		{ "text.pem", "key.pem", "certificate", "text.pem", "no PEM certificate" },
		{ "key.pem", "key.pem", "certificate", "key.pem", "no PEM certificate" },
		{ "broken.pem", "key.pem", "certificate", "broken.pem", "" },
		{ "expired.pem", "other-ec.pem", "certificate", "expired.pem", "expired on" },
		{ "cert.pem", "empty.pem", "key", "empty.pem", "no usable PEM private key" },
		{ "cert.pem", "text.pem", "key", "text.pem", "no usable PEM private key" },
		{ "cert.pem", "cert.pem", "key", "cert.pem", "no usable PEM private key" },
		{ "cert.pem", "other-ec.pem", "key", "other-ec.pem", "does not match" },
		{ "cert.pem", "rsa.pem", "key", "rsa.pem", "does not match" },
		{ "other-cert.pem", "locked.pem", "key", "locked.pem", "passphrase" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error error = { "" };
		struct tls_context *context = load(rows[i].certificate, rows[i].key, &error);
		assert_int_equal(context != NULL, rows[i].file == NULL);
		if (rows[i].file) {
			char where[300];
			snprintf(where, sizeof(where), "tls: %s %s/%s: ", rows[i].what,
			         folder.path, rows[i].file);
			assert_int_equal(strncmp(error.text, where, strlen(where)), 0);
			assert_non_null(strstr(error.text, rows[i].fault));
		}
		assert_int_equal(ERR_peek_error(), 0);
		tls_context_unref(context);
	}
}

/* Moves what `from` says to `to`, `step` bytes at a time; all clear text ends in `clear`. */
static enum tls_state carry(struct tls *from, struct tls *to, size_t step, struct buf *clear)
{
	struct buf wire;
	buf_init(&wire, SIZE_MAX / 8);
	assert_true(tls_output(from, &wire));
	enum tls_state state = tls_work(to, clear);
	for (struct span left = buf_span(&wire); left.len; left = span_from(left, step)) {
		assert_true(tls_take(to, span_first(left, step)));
		do {
			state = tls_work(to, clear);
		} while (tls_waiting(to) && state != TLS_CLOSED && state != TLS_FAILED);
	}
	buf_done(&wire);
	return state;
}

static void test_splits(void **state)
{
	(void)state;
	static const size_t steps[] = { 1, 2, 5, 7, 100, 1000, SIZE_MAX };
	char *text = malloc(50000);
	for (size_t i = 0; i < 50000; i++) {
		text[i] = (char)(i * 31 % 251);
	}
	for (size_t i = 0; i < COUNT(steps); i++) {
		struct tls *server = tls_new(server_context, NULL);
		struct tls *client = tls_new(client_context, "mail.example.org");
		struct buf at_server, at_client;
		buf_init(&at_server, 1 << 20);
		buf_init(&at_client, 1 << 20);
		assert_true(tls_waiting(client));
		assert_false(tls_waiting(server));
		assert_int_equal(tls_work(client, &at_client), TLS_SHAKING);
		assert_int_equal(carry(client, server, steps[i], &at_server), TLS_SHAKING);
		assert_int_equal(carry(server, client, steps[i], &at_client), TLS_UP);
		assert_true(tls_write(client, span_of(text, 50000)));
		assert_int_equal(carry(client, server, steps[i], &at_server), TLS_UP);
		assert_true(span_eq(buf_span(&at_server), span_of(text, 50000)));
		assert_true(tls_write(server, span_of(text, 17)));
		assert_true(tls_write(server, span_of(text, 0)));
		tls_close(server);
		assert_int_equal(carry(server, client, steps[i], &at_client), TLS_CLOSED);
		assert_true(span_eq(buf_span(&at_client), span_of(text, 17)));
		assert_string_equal(tls_version(server), "TLSv1.3");
		assert_string_equal(tls_cipher(client), "TLS_AES_128_GCM_SHA256");
		assert_int_equal(tls_bits(server), 128);
		tls_free(server);
		tls_free(client);
		buf_done(&at_server);
		buf_done(&at_client);
	}
	tls_free(NULL);
	free(text);
}

/* Clear text comes in the reader's portions, whatever the records were; the end comes last. */
static void test_portions(void **state)
{
	(void)state;
	struct tls *server = tls_new(server_context, NULL);
	struct tls *client = tls_new(client_context, NULL);
	struct buf none, all, wire;
	buf_init(&none, 1 << 20);
	buf_init(&all, 1 << 20);
	buf_init(&wire, 1 << 20);
	tls_work(client, &none);
	carry(client, server, SIZE_MAX, &none);
	carry(server, client, SIZE_MAX, &none);
	carry(client, server, SIZE_MAX, &none);
	for (int i = 0; i < 100; i++) {
		tls_write(client, SPAN_LIT("0123456789"));
	}
	tls_close(client);
	assert_true(tls_output(client, &wire));
	assert_true(tls_take(server, buf_span(&wire)));
	while (tls_waiting(server)) {
		struct buf portion;
		buf_init(&portion, 7);
		enum tls_state now = tls_work(server, &portion);
		assert_true(portion.len || now == TLS_CLOSED);
		buf_put(&all, buf_span(&portion));
		size_t n = portion.len;
		buf_done(&portion);
		if (now == TLS_CLOSED && n == 0) {
			break;
		}
	}
	assert_int_equal(all.len, 1000);
	/* The peer closed its half only: our last words can still be said. */
	assert_true(tls_write(server, SPAN_LIT("221\r\n")));
	tls_free(server);
	tls_free(client);
	buf_done(&all);
	buf_done(&wire);
}

/* A client of OpenSSL's own, on memory BIOs, against our server. */
struct odd_client {
	SSL_CTX *ctx;
	SSL *ssl;
	struct tls *server;
	struct buf clear;
};

static void odd_begin(struct odd_client *odd, struct tls_context *context, int version,
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

static enum tls_state odd_turn(struct odd_client *odd)
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
static enum tls_state odd_shake(struct odd_client *odd)
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

static void odd_end(struct odd_client *odd)
{
	tls_free(odd->server);
	SSL_shutdown(odd->ssl); /* or its ticket counts as spoilt */
	SSL_free(odd->ssl);
	SSL_CTX_free(odd->ctx);
	buf_done(&odd->clear);
	ERR_clear_error();
}

static void test_settings(void **state)
{
	(void)state;
	static const struct {
		int version;
		const char *ciphers, *groups;
		bool rsa;
		const char *cipher; /* NULL: refused */
	} rows[] = {
		{ TLS1_3_VERSION, NULL, NULL, false, "TLS_AES_128_GCM_SHA256" },
		{ TLS1_3_VERSION, NULL, "P-384", false, "TLS_AES_128_GCM_SHA256" },
		{ TLS1_3_VERSION, NULL, "P-521", false, NULL },
		{ TLS1_2_VERSION, NULL, NULL, false,
		  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" },
		{ TLS1_2_VERSION, NULL, NULL, true, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", NULL, false, NULL },
		{ TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA", NULL, true, NULL },
		{ TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, true, NULL },
		{ TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", NULL, true, NULL },
		{ TLS1_2_VERSION, "AECDH-AES128-SHA", NULL, true, NULL },
		{ TLS1_1_VERSION, "ALL", NULL, false, NULL },
		{ TLS1_VERSION, "ALL", NULL, true, NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls_context *context = rows[i].rsa
		                                  ? load("rsa-cert.pem", "rsa.pem", NULL)
		                                  : tls_context_ref(server_context);
		struct odd_client odd;
		odd_begin(&odd, context, rows[i].version, rows[i].ciphers, rows[i].groups);
		assert_int_equal(odd_shake(&odd), rows[i].cipher ? TLS_UP : TLS_FAILED);
		if (rows[i].cipher) {
			assert_string_equal(tls_cipher(odd.server), rows[i].cipher);
			assert_int_equal(SSL_get_current_compression(odd.ssl) != NULL, 0);
			assert_int_equal(SSL_get_secure_renegotiation_support(odd.ssl),
			                 rows[i].version == TLS1_2_VERSION);
		}
		odd_end(&odd);
		tls_context_unref(context);
	}
}

static void test_renegotiation(void **state)
{
	(void)state;
	struct odd_client odd;
	odd_begin(&odd, server_context, TLS1_2_VERSION, NULL, NULL);
	assert_int_equal(odd_shake(&odd), TLS_UP);
	assert_int_equal(SSL_renegotiate(odd.ssl), 1);
	SSL_do_handshake(odd.ssl);
	assert_int_not_equal(odd_turn(&odd), TLS_SHAKING);
	char byte;
	assert_true(SSL_read(odd.ssl, &byte, 1) <= 0);
	assert_int_equal(SSL_get_error(odd.ssl, -1), SSL_ERROR_SSL);
	odd_end(&odd);
}

static int tickets;
static SSL_SESSION *ticket;

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	tickets++;
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

/* One ticket, no early data; it is good after a reload of the certificate. */
static void test_ticket(void **state)
{
	(void)state;
	struct odd_client odd;
	odd_begin(&odd, server_context, TLS1_3_VERSION, NULL, NULL);
	SSL_CTX_sess_set_new_cb(odd.ctx, keep_ticket);
	assert_int_equal(odd_shake(&odd), TLS_UP);
	assert_int_equal(tickets, 1);
	assert_int_equal(SSL_SESSION_get_max_early_data(ticket), 0);
	odd_end(&odd);

	struct tls_context *reloaded = load("cert.pem", "key.pem", NULL);
	odd_begin(&odd, reloaded, TLS1_3_VERSION, NULL, NULL);
	assert_int_equal(SSL_set_session(odd.ssl, ticket), 1);
	assert_int_equal(odd_shake(&odd), TLS_UP);
	assert_true(SSL_session_reused(odd.ssl));
	SSL_SESSION_free(ticket);
	ticket = NULL;
	odd_end(&odd);
	tls_context_unref(reloaded);
}

/* ---- channel bindings ---- */

static void check_binding(struct odd_client *odd, const struct buf *exporter)
{
	unsigned char mine[32];
	assert_int_equal(SSL_export_keying_material(odd->ssl, mine, sizeof(mine),
	                                            "EXPORTER-Channel-Binding", 24,
	                                            (const unsigned char *)"", 0, 1),
	                 1);
	assert_true(span_eq(buf_span(exporter), span_of(mine, sizeof(mine))));
}

static void test_bindings(void **state)
{
	(void)state;
	static const struct {
		int version;
		bool ems;
		bool exporter;
	} rows[] = {
		{ TLS1_3_VERSION, true, true },
		{ TLS1_2_VERSION, true, true },
		{ TLS1_2_VERSION, false, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct odd_client odd;
		struct buf exporter, end_point;
		buf_init(&exporter, 64);
		buf_init(&end_point, 64);
		odd_begin(&odd, server_context, rows[i].version, NULL, NULL);
		if (!rows[i].ems) {
			SSL_set_options(odd.ssl, SSL_OP_NO_EXTENDED_MASTER_SECRET);
		}
		assert_false(tls_binding_exporter(odd.server, &exporter)); /* too early */
		assert_int_equal(odd_shake(&odd), TLS_UP);
		assert_int_equal(tls_binding_exporter(odd.server, &exporter), rows[i].exporter);
		if (rows[i].exporter) {
			check_binding(&odd, &exporter);
		}
		unsigned char digest[EVP_MAX_MD_SIZE];
		unsigned n;
		X509_digest(SSL_get0_peer_certificate(odd.ssl), EVP_sha256(), digest, &n);
		assert_true(tls_binding_end_point(odd.server, &end_point));
		assert_true(span_eq(buf_span(&end_point), span_of(digest, n)));
		buf_done(&exporter);
		buf_done(&end_point);
		odd_end(&odd);
	}
}

/* The hash is that of the certificate's signature, but for the weak ones; Ed25519 has none. */
static void test_end_point(void **state)
{
	(void)state;
	static const struct {
		const char *md; /* NULL: an Ed25519 key */
		size_t bytes;   /* 0: no binding */
	} rows[] = { { "SHA256", 32 },
		     { "SHA384", 48 },
		     { "SHA512", 64 },
		     { "SHA1", 32 },
		     { NULL, 0 } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		EVP_PKEY *key = rows[i].md ? EVP_EC_gen("P-256")
		                           : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		certificate_key(&folder, "point.key", key, NULL);
		certificate_signed(&folder, "point.pem", key, 86400,
		                   rows[i].md ? EVP_get_digestbyname(rows[i].md) : NULL);
		struct tls_context *context = load("point.pem", "point.key", NULL);
		struct tls *server = tls_new(context, NULL);
		struct buf value;
		buf_init(&value, 64);
		assert_int_equal(tls_binding_end_point(server, &value), rows[i].bytes > 0);
		assert_int_equal(value.len, rows[i].bytes);
		buf_done(&value);
		tls_free(server);
		tls_context_unref(context);
		EVP_PKEY_free(key);
	}
}

/* ---- the client's certificate ---- */

static struct tls_context *with_ca(const char *ca)
{
	struct error error = { "" };
	struct tls_context *context = tls_context_server(certificate_file(&folder, "cert.pem"),
	                                                 certificate_file(&folder, "key.pem"),
	                                                 certificate_file(&folder, ca), &error);
	assert_string_equal(error.text, "");
	return context;
}

/* Shows it, and says which name the server has seen: "" for none. */
static void show(struct odd_client *odd, X509 *certificate, EVP_PKEY *key, char name[300])
{
	struct buf seen;
	buf_init(&seen, 299);
	if (certificate) {
		assert_int_equal(SSL_use_certificate(odd->ssl, certificate), 1);
		assert_int_equal(SSL_use_PrivateKey(odd->ssl, key), 1);
	}
	assert_int_equal(odd_shake(odd), TLS_UP); /* whatever it is worth */
	bool good = tls_client_name(odd->server, &seen);
	assert_int_equal(good, seen.len > 0);
	snprintf(name, 300, "%.*s", SPAN_ARG(buf_span(&seen)));
	buf_done(&seen);
}

static void test_client_names(void **state)
{
	(void)state;
	static const struct {
		struct certificate_client client;
		const char *name;
		bool by_another; /* not signed by the CA */
	} rows[] = {
		{ { "Alice", -1, NULL, NULL, 3600 }, "Alice", false },
		{ { "Alice", -1, "alice@example.org", NULL, 3600 },
		  "alice@example.org",
		  false },
		{ { "Alice", -1, "old@example.org", "DNS:x.example.org,email:alice@example.org",
		    3600 },
		  "alice@example.org",
		  false },
		{ { "Alice", -1, NULL, "email:a@example.org,email:b@example.org", 3600 },
		  "a@example.org",
		  false },
		{ { "Alice", -1, NULL, "DNS:x.example.org", 3600 }, "Alice", false },
		{ { "J\xc3\xbcrgen", -1, NULL, NULL, 3600 }, "J\xc3\xbcrgen", false },
		{ { "root\0.example.org", 17, NULL, NULL, 3600 }, "", false },
		{ { "alice\n", -1, NULL, NULL, 3600 }, "", false },
		{ { NULL, 0, NULL, NULL, 3600 }, "", false },
		{ { "Alice", -1, NULL, NULL, -3600 }, "", false },
		{ { "Alice", -1, NULL, NULL, 3600 }, "", true },
	};
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		for (size_t i = 0; i < COUNT(rows); i++) {
			char name[300];
			struct odd_client odd;
			struct tls_context *context = with_ca("ca.pem");
			X509 *x509 = certificate_of_client(&rows[i].client, key,
			                                   rows[i].by_another ? other : ca_key);
			odd_begin(&odd, context, version, NULL, NULL);
			show(&odd, x509, key, name);
			assert_string_equal(name, rows[i].name);
			odd_end(&odd);
			X509_free(x509);
			tls_context_unref(context);
		}
	}
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

/* A ticket of a session with a certificate: good for the same CA, worth nothing for others, and
 * what was not verified then is not now. */
static void test_resumed_names(void **state)
{
	(void)state;
	static const struct {
		const char *then, *now; /* CA files; NULL: none is asked for */
		bool by_another;
		bool reused;
		const char *name;
	} rows[] = {
		{ "ca.pem", "ca.pem", false, true, "Alice" },
		{ "ca.pem", "ca.pem", true, true, "" },
		{ "ca.pem", "other-cert.pem", false, false, "" },
		{ "ca.pem", NULL, false, false, "" },
		{ NULL, "ca.pem", false, false, "" },
	};
	static const struct certificate_client alice = { "Alice", -1, NULL, NULL, 3600 };
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	for (size_t i = 0; i < COUNT(rows); i++) {
		char name[300];
		struct odd_client odd;
		struct tls_context *then = rows[i].then ? with_ca(rows[i].then)
		                                        : tls_context_ref(server_context);
		struct tls_context *now = rows[i].now ? with_ca(rows[i].now)
		                                      : tls_context_ref(server_context);
		X509 *x509 = certificate_of_client(&alice, key,
		                                   rows[i].by_another ? other : ca_key);
		odd_begin(&odd, then, TLS1_3_VERSION, NULL, NULL);
		SSL_CTX_sess_set_new_cb(odd.ctx, keep_ticket);
		show(&odd, x509, key, name);
		odd_end(&odd);
		odd_begin(&odd, now, TLS1_3_VERSION, NULL, NULL);
		assert_int_equal(SSL_set_session(odd.ssl, ticket), 1);
		show(&odd, NULL, NULL, name);
		assert_int_equal(SSL_session_reused(odd.ssl), rows[i].reused);
		assert_string_equal(name, rows[i].name);
		odd_end(&odd);
		SSL_SESSION_free(ticket);
		ticket = NULL;
		X509_free(x509);
		tls_context_unref(then);
		tls_context_unref(now);
	}
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void test_ca_files(void **state)
{
	(void)state;
	static const char *const bad[] = { "missing.pem", "empty.pem", "text.pem",
		                           "broken.pem" };
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error error = { "" };
		assert_null(tls_context_server(certificate_file(&folder, "cert.pem"),
		                               certificate_file(&folder, "key.pem"),
		                               certificate_file(&folder, bad[i]), &error));
		assert_non_null(strstr(error.text, "tls: client_ca "));
		assert_non_null(strstr(error.text, bad[i]));
		assert_int_equal(ERR_peek_error(), 0);
	}
}

/* What is not TLS, and what is not any more. */
static void test_reasons(void **state)
{
	(void)state;
	static const struct {
		const char *bytes, *reason;
	} rows[] = {
		{ "EHLO mail.example.org\r\n", "wrong version number" },
		{ "QUIT\r\n", "wrong version number" },
		{ "GET / HTTP/1.0\r\n\r\n", "http request" },
		{ "\x15\x03\x01\x00\x02\x02\x28", "unexpected message" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls *tls = tls_new(server_context, NULL);
		struct buf clear;
		buf_init(&clear, 100);
		/* A stale error of somebody else must not become ours. */
		ERR_raise(ERR_LIB_USER, 1);
		assert_int_equal(tls_work(tls, &clear), TLS_SHAKING);
		size_t len = i == 3 ? 7 : strlen(rows[i].bytes);
		assert_true(tls_take(tls, span_of(rows[i].bytes, len)));
		assert_int_equal(tls_work(tls, &clear), TLS_FAILED);
		assert_string_equal(tls_reason(tls), rows[i].reason);
		assert_true(tls_waiting(tls));
		assert_int_equal(tls_work(tls, &clear), TLS_FAILED);
		assert_false(tls_write(tls, SPAN_LIT("220\r\n")));
		tls_free(tls);
	}
	assert_non_null(strstr(tls_library(), "OpenSSL"));
}

/* A flipped bit: what came before is given, then the failure. */
static void test_damage(void **state)
{
	(void)state;
	struct odd_client odd;
	odd_begin(&odd, server_context, TLS1_3_VERSION, NULL, NULL);
	assert_int_equal(odd_shake(&odd), TLS_UP);
	SSL_write(odd.ssl, "good", 4);
	SSL_write(odd.ssl, "evil", 4);
	char bytes[1000];
	int n = BIO_read(SSL_get_wbio(odd.ssl), bytes, sizeof(bytes));
	bytes[n - 1] ^= 1;
	tls_take(odd.server, span_of(bytes, (size_t)n));
	assert_int_equal(tls_work(odd.server, &odd.clear), TLS_FAILED);
	assert_true(span_eq(buf_span(&odd.clear), SPAN_LIT("good")));
	assert_non_null(strstr(tls_reason(odd.server), "bad record mac"));
	odd_end(&odd);
}

/* RFC 6066: a name goes as SNI, an address does not. */
static void test_server_name(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool sent;
	} rows[] = {
		{ "mail.example.org", true },
		{ "192.0.2.1", false },
		{ "2001:db8::1", false },
		{ "", false },
		{ NULL, false },
		{ "1.example", true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls *tls = tls_new(client_context, rows[i].name);
		struct buf hello, none;
		buf_init(&hello, 1 << 16);
		buf_init(&none, 10);
		tls_work(tls, &none);
		assert_true(tls_output(tls, &hello));
		bool sent = rows[i].name && *rows[i].name &&
		            memmem(hello.ptr, hello.len, rows[i].name, strlen(rows[i].name));
		assert_int_equal(sent, rows[i].sent);
		buf_done(&hello);
		tls_free(tls);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),         cmocka_unit_test(test_splits),
		cmocka_unit_test(test_portions),      cmocka_unit_test(test_settings),
		cmocka_unit_test(test_renegotiation), cmocka_unit_test(test_ticket),
		cmocka_unit_test(test_reasons),       cmocka_unit_test(test_damage),
		cmocka_unit_test(test_server_name),   cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_end_point),     cmocka_unit_test(test_client_names),
		cmocka_unit_test(test_resumed_names), cmocka_unit_test(test_ca_files),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
