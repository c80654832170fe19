/* Who the peer is: what a channel is bound to, and the name in a client certificate. */
#include "test/server/tls_help.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bindings),     cmocka_unit_test(test_end_point),
		cmocka_unit_test(test_client_names), cmocka_unit_test(test_resumed_names),
		cmocka_unit_test(test_ca_files),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
