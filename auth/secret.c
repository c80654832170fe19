#include "auth/secret.h"

#include "proto/base64.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SALT_BYTES 16
#define SALT_MAX   64
#define SCHEME     SPAN_LIT("SCRAM-SHA-256$")

struct verifier {
	unsigned iterations;
	unsigned char salt[SALT_MAX];
	size_t salt_len;
	/* RFC 5802 section 3: H(HMAC(SaltedPassword, "Client Key")), HMAC(SaltedPassword,
	 * "Server Key"). */
	unsigned char stored[SECRET_BYTES];
	unsigned char server[SECRET_BYTES];
};

/* Bytes we can not have, or a libcrypto without SHA-256: going on would be guessing. */
static void require(bool ok)
{
	if (!ok) {
		abort();
	}
}

void secret_random(void *bytes_out, size_t n)
{
	assert(n <= INT32_MAX);
	require(RAND_bytes(bytes_out, (int)n) == 1);
}

void secret_cleanse(void *bytes, size_t n)
{
	if (n) {
		OPENSSL_cleanse(bytes, n);
	}
}

bool secret_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

/* ---- HMAC ---- */

/* Fetching an algorithm costs more than using it: done once; a thread copies the template,
 * which nobody writes. */
static EVP_MAC_CTX *hmac_template;
static EVP_MD *sha256;

static void fetch(void)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	require(mac && sha256);
	hmac_template = EVP_MAC_CTX_new(mac);
	require(hmac_template && EVP_MAC_CTX_set_params(hmac_template, params));
	EVP_MAC_free(mac);
}

static void fetch_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	require(pthread_once(&once, fetch) == 0);
}

static EVP_MAC_CTX *hmac_begin(const unsigned char key[SECRET_BYTES])
{
	fetch_once();
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(hmac_template);
	require(ctx && EVP_MAC_init(ctx, key, SECRET_BYTES, NULL));
	return ctx;
}

static void hmac_add(EVP_MAC_CTX *ctx, struct span bytes)
{
	require(EVP_MAC_update(ctx, (const unsigned char *)bytes.ptr, bytes.len));
}

static void hmac_end(EVP_MAC_CTX *ctx, unsigned char digest_out[SECRET_BYTES])
{
	size_t len = 0;
	require(EVP_MAC_final(ctx, digest_out, &len, SECRET_BYTES) && len == SECRET_BYTES);
	EVP_MAC_CTX_free(ctx);
}

void secret_hmac(const struct secret_key *key, const struct span *parts, size_t nparts,
                 unsigned char digest_out[SECRET_BYTES])
{
	EVP_MAC_CTX *ctx = hmac_begin(key->bytes);
	for (size_t i = 0; i < nparts; i++) {
		char len[8];
		for (size_t b = 0; b < sizeof len; b++) {
			len[b] = (char)((uint64_t)parts[i].len >> (8 * b) & 0xff);
		}
		hmac_add(ctx, span_of(len, sizeof len));
		hmac_add(ctx, parts[i]);
	}
	hmac_end(ctx, digest_out);
}

/* As RFC 2104 has it, nothing added: what SCRAM speaks. */
static void hmac_plain(const unsigned char key[SECRET_BYTES], struct span bytes,
                       unsigned char digest_out[SECRET_BYTES])
{
	EVP_MAC_CTX *ctx = hmac_begin(key);
	hmac_add(ctx, bytes);
	hmac_end(ctx, digest_out);
}

/* ---- the site's key ---- */

static bool key_write(const char *path, const struct secret_key *key)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		return false;
	}
	bool ok = write(fd, key->bytes, sizeof key->bytes) == (ssize_t)sizeof key->bytes &&
	          fsync(fd) == 0;
	return close(fd) == 0 && ok;
}

static bool folder_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0) {
		close(fd);
	}
	return ok;
}

/* Written whole beside its place and linked into it: a crash leaves no half key, and a key that
 * is there is never replaced, for all fakes and tokens hang on it. */
static bool key_make(const char *dir, const char *path, struct secret_key *key_out,
                     struct error *error)
{
	struct buf fresh = { .cap = 4096 };
	struct secret_key key;
	secret_random(key.bytes, sizeof key.bytes);
	buf_printf(&fresh, "%s.new", path);
	bool ok = buf_put_byte(&fresh, '\0') && (unlink(fresh.ptr) == 0 || errno == ENOENT) &&
	          key_write(fresh.ptr, &key) && link(fresh.ptr, path) == 0 &&
	          unlink(fresh.ptr) == 0 && folder_sync(dir);
	if (ok) {
		*key_out = key;
	} else {
		error_set(error, "%s: can not be made: %s", path, strerror(errno));
	}
	secret_cleanse(&key, sizeof key);
	buf_done(&fresh);
	return ok;
}

static bool key_read(int fd, const char *path, struct secret_key *key_out, struct error *error)
{
	struct stat st;
	struct secret_key key;
	bool ok = false;
	if (fstat(fd, &st) != 0) {
		error_set(error, "%s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0) {
		error_set(error, "%s: must be a file that only its owner may read (mode 0600)",
		          path);
	} else if (st.st_size != SECRET_BYTES ||
	           read(fd, key.bytes, sizeof key.bytes) != (ssize_t)sizeof key.bytes) {
		error_set(error, "%s: is not a key of %d bytes", path, SECRET_BYTES);
	} else {
		*key_out = key;
		ok = true;
	}
	secret_cleanse(&key, sizeof key);
	return ok;
}

bool secret_load(const char *dir, struct secret_key *key_out, struct error *error)
{
	struct buf path = { .cap = 4000 };
	bool ok = false;
	if (!buf_printf(&path, "%s/secret", dir) || !buf_put_byte(&path, '\0')) {
		error_set(error, "%s: the path is too long", dir);
		goto out;
	}
	int fd = open(path.ptr, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		ok = key_read(fd, path.ptr, key_out, error);
		close(fd);
	} else if (errno == ENOENT) {
		ok = key_make(dir, path.ptr, key_out, error);
	} else {
		error_set(error, "%s: %s", path.ptr, strerror(errno));
	}
out:
	buf_done(&path);
	return ok;
}

/* ---- SCRAM verifiers ---- */

bool secret_password_is_valid(struct span password)
{
	return password.len > 0 && password.len <= SECRET_PASSWORD_MAX &&
	       span_find(password, '\0') == password.len &&
	       span_find(password, '\r') == password.len &&
	       span_find(password, '\n') == password.len;
}

/* Fills in the keys of `v` from its salt and iterations. False without memory. */
static bool verifier_derive(struct verifier *v, struct span password)
{
	unsigned char salted[SECRET_BYTES];
	unsigned char client[SECRET_BYTES];
	fetch_once();
	bool ok = PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, v->salt, (int)v->salt_len,
	                            (int)v->iterations, sha256, sizeof salted, salted) == 1;
	if (ok) {
		hmac_plain(salted, SPAN_LIT("Client Key"), client);
		hmac_plain(salted, SPAN_LIT("Server Key"), v->server);
		require(EVP_Digest(client, sizeof client, v->stored, NULL, sha256, NULL));
	}
	secret_cleanse(salted, sizeof salted);
	secret_cleanse(client, sizeof client);
	return ok;
}

static bool verifier_write(const struct verifier *v, struct buf *out)
{
	struct buf text = { .cap = SECRET_VERIFIER_MAX };
	buf_put(&text, SCHEME);
	buf_printf(&text, "%u:", v->iterations);
	base64_encode(span_of(v->salt, v->salt_len), &text);
	buf_put_byte(&text, '$');
	base64_encode(span_of(v->stored, sizeof v->stored), &text);
	buf_put_byte(&text, ':');
	base64_encode(span_of(v->server, sizeof v->server), &text);
	bool ok = !text.failed && buf_put(out, buf_span(&text));
	secret_cleanse(text.ptr, text.len);
	buf_done(&text);
	return ok;
}

/* Cuts what stands before `end` off the front of `rest`. False when `end` is not there. */
static bool take_until(struct span *rest, char end, struct span *piece_out)
{
	size_t at = span_find(*rest, end);
	if (at == rest->len) {
		return false;
	}
	*piece_out = span_first(*rest, at);
	*rest = span_from(*rest, at + 1);
	return true;
}

static bool read_iterations(struct span digits, unsigned *iterations_out)
{
	unsigned n = 0;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.ptr[i] < '0' || digits.ptr[i] > '9' || n > SECRET_ITERATIONS_MAX) {
			return false;
		}
		n = n * 10 + (unsigned)(digits.ptr[i] - '0');
	}
	*iterations_out = n;
	return n >= SECRET_ITERATIONS_MIN && n <= SECRET_ITERATIONS_MAX;
}

/* Between `min` and `max` bytes of base64. */
static bool read_base64(struct span text, unsigned char *bytes_out, size_t min, size_t max,
                        size_t *len_out)
{
	struct buf bytes = { .cap = max };
	bool ok = base64_decode(text, &bytes) && bytes.len >= min;
	if (ok) {
		memcpy(bytes_out, bytes.ptr, bytes.len);
		*len_out = bytes.len;
	}
	secret_cleanse(bytes.ptr, bytes.len);
	buf_done(&bytes);
	return ok;
}

static bool verifier_read(struct span text, struct verifier *v_out)
{
	struct span rest = text;
	struct span iterations;
	struct span salt;
	struct span stored;
	size_t len;
	if (!span_starts_nocase(text, SCHEME)) {
		return false;
	}
	rest = span_from(text, SCHEME.len);
	return take_until(&rest, ':', &iterations) && take_until(&rest, '$', &salt) &&
	       take_until(&rest, ':', &stored) &&
	       read_iterations(iterations, &v_out->iterations) &&
	       read_base64(salt, v_out->salt, 1, SALT_MAX, &v_out->salt_len) &&
	       read_base64(stored, v_out->stored, SECRET_BYTES, SECRET_BYTES, &len) &&
	       read_base64(rest, v_out->server, SECRET_BYTES, SECRET_BYTES, &len);
}

bool secret_verifier_make(struct span password, unsigned iterations, struct buf *verifier_out)
{
	if (!secret_password_is_valid(password) || iterations < SECRET_ITERATIONS_MIN ||
	    iterations > SECRET_ITERATIONS_MAX) {
		return false;
	}
	struct verifier v = { .iterations = iterations, .salt_len = SALT_BYTES };
	secret_random(v.salt, v.salt_len);
	bool ok = verifier_derive(&v, password) && verifier_write(&v, verifier_out);
	secret_cleanse(&v, sizeof v);
	return ok;
}

bool secret_verifier_fake(const struct secret_key *key, struct span account,
                          unsigned iterations, struct buf *verifier_out)
{
	struct verifier v = { .iterations = iterations, .salt_len = SALT_BYTES };
	unsigned char salt[SECRET_BYTES];
	const struct {
		struct span use;
		unsigned char *digest;
	} part[] = {
		{ SPAN_LIT("fake salt"), salt },
		{ SPAN_LIT("fake stored key"), v.stored },
		{ SPAN_LIT("fake server key"), v.server },
	};
	for (size_t i = 0; i < COUNT(part); i++) {
		const struct span parts[] = { part[i].use, account };
		secret_hmac(key, parts, COUNT(parts), part[i].digest);
	}
	memcpy(v.salt, salt, SALT_BYTES);
	bool ok = verifier_write(&v, verifier_out);
	secret_cleanse(&v, sizeof v);
	return ok;
}

bool secret_verifier_check(struct span verifier, struct span password)
{
	if (!secret_password_is_valid(password)) {
		return false;
	}
	struct verifier want = { .iterations = 0 };
	bool readable = verifier_read(verifier, &want);
	if (!readable) {
		want = (struct verifier){ .iterations = SECRET_ITERATIONS,
			                  .salt_len = SALT_BYTES };
	}
	struct verifier got = { .iterations = want.iterations, .salt_len = want.salt_len };
	memcpy(got.salt, want.salt, sizeof got.salt);
	bool derived = verifier_derive(&got, password);
	bool stored = secret_equal(got.stored, want.stored, SECRET_BYTES);
	bool server = secret_equal(got.server, want.server, SECRET_BYTES);
	secret_cleanse(&want, sizeof want);
	secret_cleanse(&got, sizeof got);
	return readable && derived && stored && server;
}
