#include "server/tls_state.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* Backstops: conn takes one read at a time and watches its output. */
#define IN_MAX  ((size_t)256 * 1024)
#define OUT_MAX ((size_t)64 * 1024 * 1024)
/* A whole record's clear text: a smaller read would leave the rest inside OpenSSL's buffer. */
#define PIECE ((size_t)16384)

#define CLIENT_NAME_MAX 255

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

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buf");
	if (method && BIO_meth_set_read(method, bio_read) == 1 &&
	    BIO_meth_set_write(method, bio_write) == 1 &&
	    BIO_meth_set_ctrl(method, bio_ctrl) == 1) {
		return method;
	}
	BIO_meth_free(method);
	return NULL;
}

/* Of a queue of errors the first says what was found, the last what was tried. */
const char *tls_words(unsigned long code, const char *otherwise)
{
	const char *reason = ERR_reason_error_string(code);
	return reason ? reason : otherwise;
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
	BIO *bio = BIO_new(context->bio);
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
	unsigned char other[TLS_SESSION_CONTEXT];
	memcpy(other, tls->context->session_id_context, sizeof(other));
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
		tls->reason = tls_words(ERR_peek_last_error(),
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

/* ---- who is who ---- */

#define EXPORTER_LABEL "EXPORTER-Channel-Binding"
#define EXPORTER_BYTES 32

bool tls_binding_exporter(const struct tls *tls, struct buf *out)
{
	unsigned char value[EXPORTER_BYTES];
	/* Without the extended master secret a man in the middle can give both sides the same
	 * keys (RFC 9266 section 1, the triple handshake). */
	bool sound = SSL_version(tls->ssl) > TLS1_2_VERSION ||
	             SSL_get_extms_support(tls->ssl) == 1;
	/* An empty context is not the same as none in TLS 1.2 (RFC 5705 section 4). */
	return sound && tls->state != TLS_SHAKING &&
	       SSL_export_keying_material(tls->ssl, value, sizeof(value), EXPORTER_LABEL,
	                                  strlen(EXPORTER_LABEL), (const unsigned char *)"", 0,
	                                  1) == 1 &&
	       buf_put(out, span_of(value, sizeof(value)));
}

bool tls_binding_end_point(const struct tls *tls, struct buf *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int hash = NID_undef;
	X509 *certificate = SSL_get_certificate(tls->ssl);
	/* Undefined for a signature without a hash of its own: Ed25519 (RFC 5929 section 4.1).
	 */
	if (!certificate ||
	    X509_get_signature_info(certificate, &hash, NULL, NULL, NULL) != 1 ||
	    hash == NID_undef) {
		return false;
	}
	hash = hash == NID_md5 || hash == NID_sha1 ? NID_sha256 : hash;
	const EVP_MD *md = EVP_get_digestbynid(hash);
	return md && X509_digest(certificate, md, digest, &n) == 1 &&
	       buf_put(out, span_of(digest, n));
}

/* A name that is all letters, or none: one with a NUL once fooled whoever compared it as a C
 * string, and one with a newline has no place in a log. */
static bool put_name(const ASN1_STRING *string, struct buf *out)
{
	unsigned char *text = NULL;
	int n = string ? ASN1_STRING_to_UTF8(&text, string) : -1;
	bool good = n > 0 && n <= CLIENT_NAME_MAX;
	for (int i = 0; good && i < n; i++) {
		good = text[i] >= ' ' && text[i] != 0x7f;
	}
	good = good && buf_put(out, span_of(text, (size_t)n));
	OPENSSL_free(text);
	return good;
}

static const ASN1_STRING *first_email(const GENERAL_NAMES *names)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_EMAIL) {
			return name->d.rfc822Name;
		}
	}
	return NULL;
}

static const ASN1_STRING *of_subject(const X509 *certificate, int nid)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, nid, -1);
	return at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
}

bool tls_client_name(const struct tls *tls, struct buf *out)
{
	X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
	/* A resumed session was verified when it began, which may be a while ago. */
	if (!tls->context->server || !certificate ||
	    SSL_get_verify_result(tls->ssl) != X509_V_OK ||
	    X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
		return false;
	}
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	const ASN1_STRING *name = first_email(names);
	name = name ? name : of_subject(certificate, NID_pkcs9_emailAddress);
	name = name ? name : of_subject(certificate, NID_commonName);
	bool good = put_name(name, out);
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return good;
}

const char *tls_reason(const struct tls *tls)
{
	return tls->reason ? tls->reason : "unknown";
}

const char *tls_library(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}
