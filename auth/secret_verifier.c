/* Stored secrets: SCRAM verifiers made and checked, and hashes of crypt(3) checked. */
#include "auth/secret.h"

#include "proto/base64.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#define SALT_BYTES 16
#define SALT_MAX   64
#define CRYPT      SPAN_LIT("{CRYPT}")

static const struct scheme {
	struct span name;
	const EVP_MD *(*md)(void);
	size_t bytes; /* of its keys */
} schemes[SECRET_HASHES] = {
	[SECRET_SHA1] = { SPAN_LIT("SCRAM-SHA-1$"), EVP_sha1, 20 },
	[SECRET_SHA256] = { SPAN_LIT("SCRAM-SHA-256$"), EVP_sha256, 32 },
};

/* What a password is checked against, and what is asked for first. */
static const enum secret_hash preference[] = { SECRET_SHA256, SECRET_SHA1 };

struct verifier {
	const struct scheme *scheme;
	unsigned iterations;
	unsigned char salt[SALT_MAX];
	size_t salt_len;
	/* RFC 5802 section 3: H(HMAC(SaltedPassword, "Client Key")), HMAC(SaltedPassword,
	 * "Server Key"). */
	unsigned char stored[EVP_MAX_MD_SIZE];
	unsigned char server[EVP_MAX_MD_SIZE];
};

bool secret_password_is_valid(struct span password)
{
	return password.len > 0 && password.len <= SECRET_PASSWORD_MAX &&
	       span_find(password, '\0') == password.len &&
	       span_find(password, '\r') == password.len &&
	       span_find(password, '\n') == password.len;
}

/* ---- derive, write, read ---- */

static bool hmac(const struct scheme *scheme, const unsigned char *key, struct span bytes,
                 unsigned char *digest_out)
{
	return HMAC(scheme->md(), key, (int)scheme->bytes, (const unsigned char *)bytes.ptr,
	            bytes.len, digest_out, NULL) != NULL;
}

/* Fills in the keys of `v` from its salt and iterations. False without memory. */
static bool derive(struct verifier *v, struct span password)
{
	unsigned char salted[EVP_MAX_MD_SIZE];
	unsigned char client[EVP_MAX_MD_SIZE];
	const struct scheme *scheme = v->scheme;
	bool ok = PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, v->salt, (int)v->salt_len,
	                            (int)v->iterations, scheme->md(), (int)scheme->bytes,
	                            salted) == 1 &&
	          hmac(scheme, salted, SPAN_LIT("Client Key"), client) &&
	          hmac(scheme, salted, SPAN_LIT("Server Key"), v->server) &&
	          EVP_Digest(client, scheme->bytes, v->stored, NULL, scheme->md(), NULL) == 1;
	secret_cleanse(salted, sizeof salted);
	secret_cleanse(client, sizeof client);
	return ok;
}

static void write_verifier(const struct verifier *v, struct buf *out)
{
	buf_put(out, v->scheme->name);
	buf_printf(out, "%u:", v->iterations);
	base64_encode(span_of(v->salt, v->salt_len), out);
	buf_put_byte(out, '$');
	base64_encode(span_of(v->stored, v->scheme->bytes), out);
	buf_put_byte(out, ':');
	base64_encode(span_of(v->server, v->scheme->bytes), out);
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

static bool read_verifier(const struct scheme *scheme, struct span text, struct verifier *v_out)
{
	struct span rest = text;
	struct span iterations;
	struct span salt;
	struct span stored;
	size_t bytes = scheme->bytes;
	size_t len;
	if (!span_starts_nocase(text, scheme->name)) {
		return false;
	}
	v_out->scheme = scheme;
	rest = span_from(text, scheme->name.len);
	return take_until(&rest, ':', &iterations) && take_until(&rest, '$', &salt) &&
	       take_until(&rest, ':', &stored) &&
	       read_iterations(iterations, &v_out->iterations) &&
	       read_base64(salt, v_out->salt, 1, SALT_MAX, &v_out->salt_len) &&
	       read_base64(stored, v_out->stored, bytes, bytes, &len) &&
	       read_base64(rest, v_out->server, bytes, bytes, &len);
}

struct span secret_verifier_of(struct span secret, enum secret_hash hash)
{
	struct span rest = secret;
	while (rest.len) {
		struct span verifier = span_first(rest, span_find(rest, ' '));
		if (span_starts_nocase(verifier, schemes[hash].name)) {
			return verifier;
		}
		rest = span_from(rest, verifier.len + 1);
	}
	return SPAN_NONE;
}

/* ---- make ---- */

/* Writes one verifier a scheme, `fill` having filled it in. All of them or nothing. */
static bool write_all(bool (*fill)(struct verifier *v, void *context), void *context,
                      unsigned iterations, struct buf *out)
{
	struct buf text = { .cap = SECRET_VERIFIER_MAX };
	bool ok = true;
	for (size_t i = 0; i < COUNT(preference) && ok; i++) {
		struct verifier v = { .scheme = &schemes[preference[i]],
			              .iterations = iterations,
			              .salt_len = SALT_BYTES };
		ok = fill(&v, context) && (i == 0 || buf_put_byte(&text, ' '));
		write_verifier(&v, &text);
		secret_cleanse(&v, sizeof v);
	}
	ok = ok && !text.failed && buf_put(out, buf_span(&text));
	secret_cleanse(text.ptr, text.len);
	buf_done(&text);
	return ok;
}

static bool fill_real(struct verifier *v, void *context)
{
	const struct span *password = context;
	secret_random(v->salt, v->salt_len);
	return derive(v, *password);
}

bool secret_verifier_make(struct span password, unsigned iterations, struct buf *verifier_out)
{
	return secret_password_is_valid(password) && iterations >= SECRET_ITERATIONS_MIN &&
	       iterations <= SECRET_ITERATIONS_MAX &&
	       write_all(fill_real, &password, iterations, verifier_out);
}

struct fake {
	const struct secret_key *key;
	struct span account;
};

static bool fill_fake(struct verifier *v, void *context)
{
	const struct fake *fake = context;
	unsigned char salt[SECRET_BYTES];
	const struct {
		struct span use;
		unsigned char *digest;
	} part[] = {
		{ SPAN_LIT("fake salt"), salt },
		{ SPAN_LIT("fake stored key"), v->stored },
		{ SPAN_LIT("fake server key"), v->server },
	};
	for (size_t i = 0; i < COUNT(part); i++) {
		const struct span parts[] = { part[i].use, v->scheme->name, fake->account };
		secret_hmac(fake->key, parts, COUNT(parts), part[i].digest);
	}
	memcpy(v->salt, salt, SALT_BYTES);
	return true;
}

bool secret_verifier_fake(const struct secret_key *key, struct span account,
                          unsigned iterations, struct buf *verifier_out)
{
	struct fake fake = { .key = key, .account = account };
	return write_all(fill_fake, &fake, iterations, verifier_out);
}

/* ---- crypt(3) ---- */

bool secret_is_crypt(struct span secret)
{
	/* What is left out is broken (DES, MD5) or nobody's for mail. */
	static const struct span methods[] = {
		SPAN_LIT("$5$"),  SPAN_LIT("$6$"), SPAN_LIT("$2a$"), SPAN_LIT("$2b$"),
		SPAN_LIT("$2y$"), SPAN_LIT("$7$"), SPAN_LIT("$y$"),  SPAN_LIT("$gy$"),
	};
	struct span hash = span_from(secret, CRYPT.len);
	if (!span_starts_nocase(secret, CRYPT) || hash.len >= CRYPT_OUTPUT_SIZE ||
	    span_find(hash, ' ') < hash.len || span_find(hash, '\0') < hash.len) {
		return false;
	}
	for (size_t i = 0; i < COUNT(methods); i++) {
		if (span_eq(span_first(hash, methods[i].len), methods[i])) {
			return true;
		}
	}
	return false;
}

static bool check_crypt(struct span secret, struct span password)
{
	struct work {
		struct crypt_data data;
		char password[SECRET_PASSWORD_MAX + 1];
		char hash[CRYPT_OUTPUT_SIZE];
	};
	struct span hash = span_from(secret, CRYPT.len);
	struct work *work = calloc(1, sizeof *work);
	if (!work) {
		return false;
	}
	memcpy(work->password, password.ptr, password.len);
	memcpy(work->hash, hash.ptr, hash.len);
	const char *got = crypt_rn(work->password, work->hash, &work->data, sizeof work->data);
	bool same = got && strlen(got) == hash.len && secret_equal(got, hash.ptr, hash.len);
	secret_cleanse(work, sizeof *work);
	free(work);
	return same;
}

/* ---- check ---- */

static bool check_verifier(const struct verifier *want, struct span password)
{
	struct verifier got = *want;
	size_t bytes = want->scheme->bytes;
	bool derived = derive(&got, password);
	bool stored = secret_equal(got.stored, want->stored, bytes);
	bool server = secret_equal(got.server, want->server, bytes);
	secret_cleanse(&got, sizeof got);
	return derived && stored && server;
}

bool secret_verifier_check(struct span secret, struct span password)
{
	if (!secret_password_is_valid(password)) {
		return false;
	}
	if (secret_is_crypt(secret)) {
		return check_crypt(secret, password);
	}
	struct verifier want = { .scheme = NULL };
	bool readable = false;
	for (size_t i = 0; i < COUNT(preference) && !readable; i++) {
		enum secret_hash hash = preference[i];
		readable = read_verifier(&schemes[hash], secret_verifier_of(secret, hash),
		                         &want);
	}
	if (!readable) { /* as long as any other */
		want = (struct verifier){ .scheme = &schemes[SECRET_SHA256],
			                  .iterations = SECRET_ITERATIONS,
			                  .salt_len = SALT_BYTES };
	}
	bool same = check_verifier(&want, password);
	secret_cleanse(&want, sizeof want);
	return readable && same;
}
