/* Files, handshakes and records; who the peer is is in tls_peer_test.c. */
#include "test/server/tls_help.h"

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
		cmocka_unit_test(test_server_name),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
