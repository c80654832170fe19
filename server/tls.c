#include "server/tls.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Backstops: conn takes one read at a time and watches its output. */
#define IN_MAX  ((size_t)256 * 1024)
#define OUT_MAX ((size_t)64 * 1024 * 1024)
/* A whole record's clear text: a smaller read would leave the rest inside OpenSSL's buffer. */
#define PIECE ((size_t)16384)

/* AES-128 first: one round of CPU less than AES-256, and SHA-256 for the key schedule. */
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_12 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

struct tls_context {
	atomic_uint references;
	SSL_CTX *ctx;
	bool server;
};

struct tls {
	struct tls_context *context;
	SSL *ssl;
	struct buf in;  /* from the network, not yet read by OpenSSL */
	struct buf out; /* for the network */
	enum tls_state state;
	bool fresh;         /* a client that has yet to say hello */
	const char *reason; /* of OpenSSL's tables, static */
};

/*
 * Our BIO, in place of a memory BIO, which keeps its largest size for the life of an idle
 * session: OpenSSL reads from `in` and writes to `out`; empty, both hold no memory.
 */
static int bio_read(BIO *bio, char *to, int n)
{
	struct tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (tls->in.len == 0 || n <= 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	size_t take = tls->in.len < (size_t)n ? tls->in.len : (size_t)n;
	memcpy(to, tls->in.ptr, take);
	buf_drop(&tls->in, take);
	return (int)take;
}

static int bio_write(BIO *bio, const char *from, int n)
{
	struct tls *tls = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	return n > 0 && buf_put(&tls->out, span_of(from, (size_t)n)) ? n : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* What all contexts of the process share. Ticket keys outlive a reload, never a restart. */
static struct {
	BIO_METHOD *method;
	unsigned char session_id_context[SSL_MAX_SID_CTX_LENGTH];
	unsigned char ticket_keys[80];
	bool ready;
} process;
static pthread_once_t process_once = PTHREAD_ONCE_INIT;

static void process_init(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buf");
	process.method = method;
	process.ready = method && BIO_meth_set_read(method, bio_read) == 1 &&
	                BIO_meth_set_write(method, bio_write) == 1 &&
	                BIO_meth_set_ctrl(method, bio_ctrl) == 1 &&
	                RAND_bytes(process.session_id_context,
	                           sizeof(process.session_id_context)) == 1 &&
	                RAND_priv_bytes(process.ticket_keys, sizeof(process.ticket_keys)) == 1;
}

/* Of a queue of errors the first says what was found, the last what was tried. */
static const char *words(unsigned long code, const char *otherwise)
{
	const char *reason = ERR_reason_error_string(code);
	return reason ? reason : otherwise;
}

/* Each setting is stated, whatever openssl.cnf says. */
static bool settings(struct tls_context *context)
{
	SSL_CTX *ctx = context->ctx;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	                             SSL_OP_SINGLE_ECDH_USE | SSL_OP_SINGLE_DH_USE |
	                             SSL_OP_CIPHER_SERVER_PREFERENCE |
	                             SSL_OP_PRIORITIZE_CHACHA);
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
		error_set(error, "tls: %s", words(ERR_peek_error(), "out of memory"));
		return NULL;
	}
	atomic_init(&context->references, 1);
	context->server = server;
	context->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!context->ctx || !settings(context)) {
		error_set(error, "tls: %s", words(ERR_peek_error(), "out of memory"));
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
		          no_pem ? "holds no PEM certificate" : words(code, "not usable"));
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
		          words(code, "unknown"));
	}
	return loaded && !mismatch;
}

struct tls_context *tls_context_server(const char *certificate, const char *key,
                                       struct error *error)
{
	struct tls_context *context = context_new(true, error);
	if (context && (!load_certificate(context->ctx, certificate, error) ||
	                !load_key(context->ctx, key, certificate, error))) {
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

/* RFC 6066 section 3: SNI is a DNS name, never an address. */
static bool is_dns_name(const char *name)
{
	return name && *name && !strchr(name, ':') && name[strspn(name, "0123456789.")] != '\0';
}

struct tls *tls_new(struct tls_context *context, const char *server_name)
{
	ERR_clear_error();
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio = BIO_new(process.method);
	SSL *ssl = SSL_new(context->ctx);
	if (!tls || !bio || !ssl) {
		free(tls);
		BIO_free(bio);
		SSL_free(ssl);
		return NULL;
	}
	*tls = (struct tls){ .context = tls_context_ref(context),
		             .ssl = ssl,
		             .fresh = !context->server };
	buf_init(&tls->in, IN_MAX);
	buf_init(&tls->out, OUT_MAX);
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	if (context->server) {
		SSL_set_accept_state(ssl);
		return tls;
	}
	SSL_set_connect_state(ssl);
	if (is_dns_name(server_name)) {
		SSL_set_tlsext_host_name(ssl, server_name);
	}
	return tls;
}

bool tls_upgrade(struct tls *tls)
{
	unsigned char other[sizeof(process.session_id_context)];
	memcpy(other, process.session_id_context, sizeof(other));
	other[0] ^= 1;
	return SSL_set_session_id_context(tls->ssl, other, sizeof(other)) == 1;
}

void tls_free(struct tls *tls)
{
	if (!tls) {
		return;
	}
	SSL_free(tls->ssl);
	tls_context_unref(tls->context);
	buf_done(&tls->in);
	buf_done(&tls->out);
	free(tls);
}

bool tls_take(struct tls *tls, struct span bytes)
{
	return buf_put(&tls->in, bytes);
}

bool tls_waiting(const struct tls *tls)
{
	return tls->fresh || tls->in.len > 0 || tls->state == TLS_CLOSED ||
	       tls->state == TLS_FAILED || SSL_pending(tls->ssl) > 0;
}

/* What an SSL call that gave nothing means. The error queue was empty before the call: one
 * stale entry would turn "wants more bytes" into a failure. */
static enum tls_state judge(struct tls *tls, int result)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return tls->state;
	case SSL_ERROR_ZERO_RETURN:
		if (tls->state == TLS_UP) {
			return tls->state = TLS_CLOSED;
		}
		tls->reason = "closed in the handshake";
		break;
	default:
		tls->reason = words(ERR_peek_last_error(),
		                    tls->out.failed ? "out of memory" : "unknown");
		ERR_clear_error();
	}
	return tls->state = TLS_FAILED;
}

static enum tls_state shake(struct tls *tls)
{
	ERR_clear_error();
	int result = SSL_do_handshake(tls->ssl);
	return result == 1 ? (tls->state = TLS_UP) : judge(tls, result);
}

enum tls_state tls_work(struct tls *tls, struct buf *clear_out)
{
	tls->fresh = false;
	if (tls->state == TLS_SHAKING) {
		return shake(tls);
	}
	while (tls->state == TLS_UP && clear_out->len < clear_out->cap && tls_waiting(tls)) {
		size_t room = clear_out->cap - clear_out->len;
		room = room < PIECE ? room : PIECE;
		char *to = buf_reserve(clear_out, room);
		if (!to) {
			tls->reason = "out of memory";
			return tls->state = TLS_FAILED;
		}
		size_t n = 0;
		ERR_clear_error();
		int result = SSL_read_ex(tls->ssl, to, room, &n);
		if (result != 1) {
			return judge(tls, result);
		}
		buf_grow(clear_out, n);
	}
	return tls->state;
}

bool tls_write(struct tls *tls, struct span clear)
{
	assert(tls->state != TLS_SHAKING);
	while (clear.len && tls->state != TLS_FAILED) {
		size_t n = 0;
		ERR_clear_error();
		int result = SSL_write_ex(tls->ssl, clear.ptr, clear.len, &n);
		if (result != 1) {
			judge(tls, result);
			return false;
		}
		clear = span_from(clear, n);
	}
	return clear.len == 0;
}

void tls_close(struct tls *tls)
{
	if (tls->state == TLS_UP || tls->state == TLS_CLOSED) {
		ERR_clear_error();
		SSL_shutdown(tls->ssl);
	}
}

bool tls_output(struct tls *tls, struct buf *out)
{
	if (tls->out.len == 0) {
		return true;
	}
	if (!buf_put(out, buf_span(&tls->out))) {
		tls->reason = "out of memory";
		return false;
	}
	buf_drop(&tls->out, tls->out.len);
	return true;
}

const char *tls_cipher(const struct tls *tls)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
	return cipher ? SSL_CIPHER_standard_name(cipher) : "none";
}

const char *tls_version(const struct tls *tls)
{
	return SSL_get_version(tls->ssl);
}

unsigned tls_bits(const struct tls *tls)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(tls->ssl);
	return cipher ? (unsigned)SSL_CIPHER_get_bits(cipher, NULL) : 0;
}

const char *tls_reason(const struct tls *tls)
{
	return tls->reason ? tls->reason : "unknown";
}

const char *tls_library(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}
