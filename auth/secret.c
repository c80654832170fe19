#include "auth/secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

void secret_free(void *memory)
{
	if (memory) {
		secret_cleanse(memory, malloc_usable_size(memory));
		free(memory);
	}
}

void *secret_resize(void *memory, size_t n)
{
	void *fresh = malloc(n);
	if (fresh && memory) {
		size_t old = malloc_usable_size(memory);
		memcpy(fresh, memory, old < n ? old : n);
		secret_free(memory);
	}
	return fresh;
}

bool secret_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

/* ---- HMAC ---- */

/* Fetching an algorithm costs more than using it: done once; a thread copies the template,
 * which nobody writes. */
static EVP_MAC_CTX *hmac_template;

static void fetch(void)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	require(mac);
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

/* ---- SipHash ---- */

/* As for HMAC: fetched once, a call copies the template. */
static EVP_MAC_CTX *siphash_template;

static void siphash_fetch(void)
{
	unsigned size = sizeof(uint64_t);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_SIZE, &size),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	require(mac);
	siphash_template = EVP_MAC_CTX_new(mac);
	require(siphash_template && EVP_MAC_CTX_set_params(siphash_template, params));
	EVP_MAC_free(mac);
}

uint64_t secret_siphash(const unsigned char key[SECRET_SIPHASH_KEY], const struct span *parts,
                        size_t nparts)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	unsigned char digest[sizeof(uint64_t)];
	uint64_t value = 0;
	size_t len = 0;
	require(pthread_once(&once, siphash_fetch) == 0);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(siphash_template);
	require(ctx && EVP_MAC_init(ctx, key, SECRET_SIPHASH_KEY, NULL));
	for (size_t i = 0; i < nparts; i++) {
		require(EVP_MAC_update(ctx, (const unsigned char *)parts[i].ptr, parts[i].len));
	}
	require(EVP_MAC_final(ctx, digest, &len, sizeof digest) && len == sizeof digest);
	EVP_MAC_CTX_free(ctx);
	for (size_t i = 0; i < sizeof digest; i++) {
		value |= (uint64_t)digest[i] << (8 * i);
	}
	return value;
}
