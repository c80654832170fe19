#include "server/tls_state.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

/* AES-128 first: one round of CPU less than AES-256, and SHA-256 for the key schedule. */
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_12 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

/* What all contexts of the process share. Ticket keys outlive a reload, never a restart. */
static struct {
	BIO_METHOD *method;
	unsigned char session_id_context[TLS_SESSION_CONTEXT];
	unsigned char ticket_keys[80];
	bool ready;
} process;
static pthread_once_t process_once = PTHREAD_ONCE_INIT;

static void process_init(void)
{
	process.method = tls_bio_method();
	process.ready = process.method &&
	                RAND_bytes(process.session_id_context,
	                           sizeof(process.session_id_context)) == 1 &&
	                RAND_priv_bytes(process.ticket_keys, sizeof(process.ticket_keys)) == 1;
}

/* Each setting is stated, whatever openssl.cnf says. */
static bool settings(struct tls_context *context)
{
	SSL_CTX *ctx = context->ctx;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	                             SSL_OP_SINGLE_ECDH_USE | SSL_OP_SINGLE_DH_USE |
	                             SSL_OP_CIPHER_SERVER_PREFERENCE |
	                             SSL_OP_PRIORITIZE_CHACHA | SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                          SSL_MODE_RELEASE_BUFFERS);
	/* Tickets are stateless: a cache would only hold memory. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, GROUPS) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, SUITES_13) != 1) {
		return false;
	}
	if (!context->server) {
		/* OpenSSL's own list for 1.2: where nothing is verified, a weaker cipher still
		 * beats the clear text that would follow a failed handshake. */
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		return true;
	}
	return SSL_CTX_set_cipher_list(ctx, CIPHERS_12) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
	       SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
	       SSL_CTX_set_session_id_context(ctx, process.session_id_context,
	                                      sizeof(process.session_id_context)) == 1 &&
	       SSL_CTX_set_tlsext_ticket_keys(ctx, process.ticket_keys,
	                                      sizeof(process.ticket_keys)) == 1;
}

static struct tls_context *context_new(bool server, struct error *error)
{
	ERR_clear_error();
	pthread_once(&process_once, process_init);
	struct tls_context *context = process.ready ? calloc(1, sizeof(*context)) : NULL;
	if (!context) {
		error_set(error, "tls: %s", tls_words(ERR_peek_error(), "out of memory"));
		return NULL;
	}
	atomic_init(&context->references, 1);
	context->server = server;
	context->bio = process.method;
	memcpy(context->session_id_context, process.session_id_context, TLS_SESSION_CONTEXT);
	context->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!context->ctx || !settings(context)) {
		error_set(error, "tls: %s", tls_words(ERR_peek_error(), "out of memory"));
		tls_context_unref(context);
		return NULL;
	}
	return context;
}

/* OpenSSL's words for a missing file are poor: look first. */
static bool readable(const char *what, const char *path, struct error *error)
{
	FILE *file = fopen(path, "re");
	if (!file) {
		error_set(error, "tls: %s %s: %s", what, path, strerror(errno));
		return false;
	}
	fclose(file);
	return true;
}

static bool load_certificate(SSL_CTX *ctx, const char *path, struct error *error)
{
	if (!readable("certificate", path, error)) {
		return false;
	}
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, path) != 1) {
		unsigned long code = ERR_peek_error();
		bool no_pem = ERR_GET_LIB(code) == ERR_LIB_PEM &&
		              ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
		error_set(error, "tls: certificate %s: %s", path,
		          no_pem ? "holds no PEM certificate" : tls_words(code, "not usable"));
		return false;
	}
	const ASN1_TIME *end = X509_get0_notAfter(SSL_CTX_get0_certificate(ctx));
	if (X509_cmp_current_time(end) < 0) {
		struct tm tm = { 0 };
		char date[32] = "?";
		if (ASN1_TIME_to_tm(end, &tm) == 1) {
			strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
		}
		error_set(error, "tls: certificate %s: expired on %s", path, date);
		return false;
	}
	return true;
}

/* A daemon must never ask for a passphrase on its terminal, as OpenSSL does by default. */
static int no_passphrase(char *to, int size, int writing, void *asked)
{
	(void)to;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static bool load_key(SSL_CTX *ctx, const char *path, const char *certificate,
                     struct error *error)
{
	if (!readable("key", path, error)) {
		return false;
	}
	ERR_clear_error();
	bool asked = false;
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
	bool loaded = SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1;
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	unsigned long code = ERR_peek_error();
	/* A key of another type goes to a slot of its own: the second check sees it. */
	bool mismatch = loaded ? SSL_CTX_check_private_key(ctx) != 1
	                       : ERR_GET_LIB(code) == ERR_LIB_X509 &&
	                             ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH;
	if (mismatch) {
		error_set(error, "tls: key %s: does not match certificate %s", path,
		          certificate);
	} else if (asked) {
		error_set(error, "tls: key %s: is protected by a passphrase", path);
	} else if (!loaded) {
		error_set(error, "tls: key %s: holds no usable PEM private key (%s)", path,
		          tls_words(code, "unknown"));
	}
	return loaded && !mismatch;
}

/* In place of OpenSSL's verdict, which would end the handshake: a client whose certificate is
 * not good is one without, and its mail client need not even know that it showed one. The error
 * stays in the session's verify result, which tls_client_name looks at. */
static int verify_softly(X509_STORE_CTX *chain, void *unused)
{
	(void)unused;
	if (X509_verify_cert(chain) <= 0 && X509_STORE_CTX_get_error(chain) == X509_V_OK) {
		X509_STORE_CTX_set_error(chain, X509_V_ERR_UNSPECIFIED);
	}
	return 1;
}

/* A ticket brings the client's name along, verified when it was made. It is worth nothing once
 * other CAs are configured: their digest is part of what it is bound to. */
static bool bind_tickets(struct tls_context *context, STACK_OF(X509_NAME) * names,
                         const char *path)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char piece[4096];
	unsigned n = 0;
	FILE *file = fopen(path, "re");
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool good = file && hash && names && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
	            EVP_DigestUpdate(hash, process.session_id_context, TLS_SESSION_CONTEXT) ==
	                1;
	for (size_t got; good && (got = fread(piece, 1, sizeof(piece), file)) > 0;) {
		good = EVP_DigestUpdate(hash, piece, got) == 1;
	}
	good = good && !ferror(file) && EVP_DigestFinal_ex(hash, digest, &n) == 1;
	if (good) {
		assert(n >= TLS_SESSION_CONTEXT);
		memcpy(context->session_id_context, digest, TLS_SESSION_CONTEXT);
		SSL_CTX_set_session_id_context(context->ctx, digest, TLS_SESSION_CONTEXT);
	}
	EVP_MD_CTX_free(hash);
	if (file) {
		fclose(file);
	}
	return good;
}

static bool load_client_ca(struct tls_context *context, const char *path, struct error *error)
{
	if (!readable("client_ca", path, error)) {
		return false;
	}
	ERR_clear_error();
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
	if (!names || SSL_CTX_load_verify_file(context->ctx, path) != 1 ||
	    !bind_tickets(context, names, path)) {
		error_set(error, "tls: client_ca %s: %s", path,
		          tls_words(ERR_peek_error(), "holds no PEM certificate"));
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return false;
	}
	SSL_CTX_set_client_CA_list(context->ctx, names);
	SSL_CTX_set_verify(context->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context->ctx, verify_softly, NULL);
	return true;
}

struct tls_context *tls_context_server(const char *certificate, const char *key,
                                       const char *client_ca, struct error *error)
{
	struct tls_context *context = context_new(true, error);
	if (context && (!load_certificate(context->ctx, certificate, error) ||
	                !load_key(context->ctx, key, certificate, error) ||
	                (client_ca && !load_client_ca(context, client_ca, error)))) {
		tls_context_unref(context);
		context = NULL;
	}
	ERR_clear_error();
	return context;
}

struct tls_context *tls_context_client(struct error *error)
{
	return context_new(false, error);
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	atomic_fetch_add(&context->references, 1);
	return context;
}

void tls_context_unref(struct tls_context *context)
{
	if (context && atomic_fetch_sub(&context->references, 1) == 1) {
		SSL_CTX_free(context->ctx);
		free(context);
	}
}
