#include "auth/jwt.h"

#include "proto/base64.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#define P256_BYTES    32 /* of a coordinate, of r, of s */
#define ED25519_BYTES 32
#define PIECE_MAX     (JWT_RSA_MAX / 4) /* of a JWK, decoded */

struct key {
	const struct kind *kind;
	EVP_PKEY *public;
	const char *id; /* in the set; NULL: none */
};

struct jwt_keys {
	json_t *set;
	size_t n;
	struct key keys[JWT_KEYS_MAX];
};

/* ---- text ---- */

json_t *jwt_object_read(struct span text, struct error *error)
{
	json_error_t why = { .line = 0 };
	json_t *json = text.len ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why)
	                        : NULL;
	if (json_is_object(json)) {
		return json;
	}
	if (json) {
		error_set(error, "is not a JSON object");
	} else {
		error_set(error, "is not JSON: line %d: %s", why.line, why.text);
	}
	json_decref(json);
	return NULL;
}

struct span jwt_object_text(const json_t *object, const char *name)
{
	const json_t *member = json_object_get(object, name);
	return json_is_string(member)
	           ? span_of(json_string_value(member), json_string_length(member))
	           : SPAN_NONE;
}

/* base64url without padding (RFC 7515 2), one spelling for the same bytes. Appends. */
static bool decode(struct span text, struct buf *out)
{
	struct buf plain = { .cap = JWT_BYTES_MAX + 4, .secret = true };
	bool ok = text.len > 0;
	for (size_t i = 0; ok && i < text.len; i++) {
		char c = text.ptr[i];
		ok = c != '+' && c != '/' && c != '=';
		buf_put_byte(&plain, (char)(c == '-' ? '+' : c == '_' ? '/' : c));
	}
	while (plain.len % 4) {
		buf_put_byte(&plain, '=');
	}
	ok = ok && !plain.failed && base64_decode(buf_span(&plain), out);
	buf_done(&plain);
	return ok;
}

/* ---- keys ---- */

static EVP_PKEY *public_key(const char *type, OSSL_PARAM_BLD *parts)
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(parts);
	EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY_CTX *checker = NULL;
	bool ok = params && maker && EVP_PKEY_fromdata_init(maker) == 1 &&
	          EVP_PKEY_fromdata(maker, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
	checker = ok ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
	if (!checker || EVP_PKEY_public_check(checker) != 1) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	EVP_PKEY_CTX_free(checker);
	EVP_PKEY_CTX_free(maker);
	OSSL_PARAM_free(params);
	return key;
}

/* `n` and `e`, big-endian numbers (RFC 7518 6.3.1). */
static EVP_PKEY *make_rsa(struct span n_bytes, struct span e_bytes)
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
	BIGNUM *n = BN_bin2bn((const unsigned char *)n_bytes.ptr, (int)n_bytes.len, NULL);
	BIGNUM *e = BN_bin2bn((const unsigned char *)e_bytes.ptr, (int)e_bytes.len, NULL);
	if (parts && n && e && BN_num_bits(n) >= JWT_RSA_MIN && BN_num_bits(n) <= JWT_RSA_MAX &&
	    BN_num_bits(e) <= 64 && OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_E, e)) {
		key = public_key("RSA", parts);
	}
	OSSL_PARAM_BLD_free(parts);
	BN_free(n);
	BN_free(e);
	return key;
}

/* `x` and `y` in full length (RFC 7518 6.2.1.2); public_check: is the point on the curve? */
static EVP_PKEY *make_p256(struct span x, struct span y)
{
	unsigned char point[1 + 2 * P256_BYTES] = { POINT_CONVERSION_UNCOMPRESSED };
	EVP_PKEY *key = NULL;
	if (x.len != P256_BYTES || y.len != P256_BYTES) {
		return NULL;
	}
	memcpy(point + 1, x.ptr, P256_BYTES);
	memcpy(point + 1 + P256_BYTES, y.ptr, P256_BYTES);
	OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
	if (parts &&
	    OSSL_PARAM_BLD_push_utf8_string(parts, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
	    OSSL_PARAM_BLD_push_octet_string(parts, OSSL_PKEY_PARAM_PUB_KEY, point,
	                                     sizeof point)) {
		key = public_key("EC", parts);
	}
	OSSL_PARAM_BLD_free(parts);
	return key;
}

/* RFC 8037 2. */
static EVP_PKEY *make_ed25519(struct span x, struct span none)
{
	(void)none;
	return x.len == ED25519_BYTES
	           ? EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL,
	                                            (const unsigned char *)x.ptr, x.len)
	           : NULL;
}

/* ---- signatures ---- */

/* r and s side by side (RFC 7518 3.4) as the DER that libcrypto reads. */
static bool put_der(struct span raw, struct buf *out)
{
	unsigned char *der = NULL;
	bool ok = false;
	if (raw.len != 2 * P256_BYTES) {
		return false;
	}
	const unsigned char *bytes = (const unsigned char *)raw.ptr;
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(bytes, P256_BYTES, NULL);
	BIGNUM *s = BN_bin2bn(bytes + P256_BYTES, P256_BYTES, NULL);
	if (pair && r && s && ECDSA_SIG_set0(pair, r, s)) {
		r = s = NULL;
		int len = i2d_ECDSA_SIG(pair, &der);
		ok = len > 0 && buf_put(out, span_of(der, (size_t)len));
	}
	OPENSSL_free(der);
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(pair);
	return ok;
}

/* What we know: a kind of key, what it is made of, and the one `alg` that it fits. Never
 * `none`, nothing with a shared key. */
static const struct kind {
	const char *type, *curve; /* `kty`, `crv`; NULL: has none */
	const char *algorithm;
	const char *parts[2]; /* members of the JWK */
	EVP_PKEY *(*make)(struct span first, struct span second);
	const char *digest; /* NULL: the algorithm has its own */
	bool (*put_signature)(struct span raw, struct buf *out);
} kinds[] = {
	{ "RSA", NULL, "RS256", { "n", "e" }, make_rsa, "SHA256", NULL },
	{ "EC", "P-256", "ES256", { "x", "y" }, make_p256, "SHA256", put_der },
	{ "OKP", "Ed25519", "EdDSA", { "x", NULL }, make_ed25519, NULL, NULL },
};

static bool is_text(const json_t *object, const char *name, const char *text)
{
	return span_eq(jwt_object_text(object, name), span_str(text));
}

static bool signed_by(const struct key *key, struct span signed_text, struct span signature)
{
	struct buf form = { .cap = 4 * P256_BYTES, .secret = true };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = true;
	if (key->kind->put_signature) {
		ok = key->kind->put_signature(signature, &form);
		signature = buf_span(&form);
	}
	ok = ok && ctx &&
	     EVP_DigestVerifyInit_ex(ctx, NULL, key->kind->digest, NULL, NULL, key->public,
	                             NULL) == 1 &&
	     EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
	                      (const unsigned char *)signed_text.ptr, signed_text.len) == 1;
	EVP_MD_CTX_free(ctx);
	buf_done(&form);
	ERR_clear_error(); /* a stranger's bytes leave nothing in this thread's queue */
	return ok;
}

/* ---- a set ---- */

/* NULL for keys that are not for this. */
static const struct kind *kind_of(const json_t *jwk)
{
	const json_t *use = json_object_get(jwk, "use");
	const json_t *algorithm = json_object_get(jwk, "alg");
	for (size_t i = 0; i < COUNT(kinds); i++) {
		const struct kind *kind = &kinds[i];
		if (is_text(jwk, "kty", kind->type) &&
		    (!kind->curve || is_text(jwk, "crv", kind->curve)) &&
		    (!use || is_text(jwk, "use", "sig")) &&
		    (!algorithm || is_text(jwk, "alg", kind->algorithm))) {
			return kind;
		}
	}
	return NULL;
}

/* A sentence, or NULL. */
static const char *key_read(const json_t *jwk, const struct kind *kind, struct key *key_out)
{
	struct buf parts[2] = { { .cap = PIECE_MAX }, { .cap = PIECE_MAX } };
	const json_t *id = json_object_get(jwk, "kid");
	const char *fault = NULL;
	EVP_PKEY *public = NULL;
	for (size_t i = 0; i < COUNT(parts) && kind->parts[i]; i++) {
		if (!decode(jwt_object_text(jwk, kind->parts[i]), &parts[i])) {
			fault = "a part of it is missing or is not base64url";
		}
	}
	if (id && !json_is_string(id)) {
		fault = "its kid is not text";
	} else if (json_object_get(jwk, "d")) {
		fault = "it holds the private part, which is not for us";
	} else if (!fault) {
		public = kind->make(buf_span(&parts[0]), buf_span(&parts[1]));
		fault = public ? NULL : "it is not sound, or too weak (RSA: 2048 bits)";
	}
	if (!fault) {
		*key_out = (struct key){ kind, public, json_string_value(id) };
	}
	buf_done(&parts[0]);
	buf_done(&parts[1]);
	ERR_clear_error();
	return fault;
}

static bool set_read(struct jwt_keys *keys, struct error *error)
{
	const json_t *list = json_object_get(keys->set, "keys");
	if (!json_is_array(list)) {
		error_set(error, "is not a JWK set: it has no list of keys");
		return false;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *jwk = json_array_get(list, i);
		const struct kind *kind = kind_of(jwk);
		if (!kind) {
			continue;
		}
		if (keys->n == JWT_KEYS_MAX) {
			error_set(error, "has more than %d keys", JWT_KEYS_MAX);
			return false;
		}
		const char *fault = key_read(jwk, kind, &keys->keys[keys->n]);
		if (fault) {
			error_set(error, "key %zu (%s): %s", i + 1, kind->algorithm, fault);
			return false;
		}
		keys->n++;
	}
	if (keys->n == 0) {
		error_set(error, "has no key for RS256, ES256 or EdDSA");
	}
	return keys->n > 0;
}

struct jwt_keys *jwt_keys_read(struct span json, struct error *error)
{
	struct jwt_keys *keys = calloc(1, sizeof *keys);
	if (!keys) {
		error_set(error, "no memory");
		return NULL;
	}
	keys->set = jwt_object_read(json, error);
	if (!keys->set || !set_read(keys, error)) {
		jwt_keys_free(keys);
		return NULL;
	}
	return keys;
}

void jwt_keys_free(struct jwt_keys *keys)
{
	if (!keys) {
		return;
	}
	for (size_t i = 0; i < keys->n; i++) {
		EVP_PKEY_free(keys->keys[i].public);
	}
	json_decref(keys->set);
	free(keys);
}

/* ---- a token ---- */

enum { HEADER, PAYLOAD, SIGNATURE, PARTS };

/* Exactly two dots; five parts would be an encrypted one. */
static bool split(struct span token, struct span parts_out[PARTS])
{
	for (size_t i = 0; i < PARTS; i++) {
		size_t dot = span_find(token, '.');
		parts_out[i] = span_first(token, dot);
		if (dot == 0 || (dot == token.len) != (i == SIGNATURE)) {
			return false;
		}
		token = span_from(token, dot + 1);
	}
	return true;
}

/* Tokens for something else - a logout, an event - are signed by the same keys (RFC 8725 3.11).
 */
static bool type_is_good(const json_t *header)
{
	static const char *const types[] = { "JWT", "at+jwt", "application/at+jwt",
		                             "application/jwt" };
	if (!json_object_get(header, "typ")) {
		return true;
	}
	for (size_t i = 0; i < COUNT(types); i++) {
		if (span_eq_nocase(jwt_object_text(header, "typ"), span_str(types[i]))) {
			return true;
		}
	}
	return false;
}

/* The one kind of key that can have signed it. `jwk`, `jku`, `x5c`, `x5u` are the sender's word
 * for whom to believe: never read. */
static const struct kind *header_read(const json_t *header, struct error *reason)
{
	struct span algorithm = jwt_object_text(header, "alg");
	const json_t *id = json_object_get(header, "kid");
	if (json_object_get(header, "crit")) {
		error_set(reason, "the token wants extensions (crit)"); /* RFC 7515 4.1.11 */
		return NULL;
	}
	if (!type_is_good(header)) {
		error_set(reason, "the token is for something else (typ)");
		return NULL;
	}
	if (id && !json_is_string(id)) {
		error_set(reason, "the token's kid is not text");
		return NULL;
	}
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (span_eq(algorithm, span_str(kinds[i].algorithm))) {
			return &kinds[i];
		}
	}
	error_set(reason, "the token's alg \"%.*s\" is none of ours",
	          SPAN_ARG(span_first(algorithm, 40)));
	return NULL;
}

static bool verify(const struct jwt_keys *keys, const json_t *header, struct span signed_text,
                   struct span signature, struct error *reason)
{
	const struct kind *kind = header_read(header, reason);
	const char *id = json_string_value(json_object_get(header, "kid"));
	unsigned tried = 0;
	for (size_t i = 0; kind && i < keys->n && tried < JWT_KEYS_TRIED; i++) {
		const struct key *key = &keys->keys[i];
		if (key->kind != kind || (id && !(key->id && strcmp(id, key->id) == 0))) {
			continue;
		}
		if (signed_by(key, signed_text, signature)) {
			return true;
		}
		tried++;
	}
	if (kind && tried) {
		error_set(reason, "the token's signature is wrong");
	} else if (kind) {
		error_set(reason, "no %s key%s%.60s%s", kind->algorithm, id ? " \"" : "",
		          id ? id : "", id ? "\"" : "");
	}
	return false;
}

bool jwt_open(const struct jwt_keys *keys, struct span token, struct buf *payload_out,
              struct error *reason)
{
	struct span parts[PARTS];
	struct buf header = { .cap = JWT_BYTES_MAX };
	struct buf payload = { .cap = JWT_BYTES_MAX, .secret = true };
	struct buf signature = { .cap = JWT_BYTES_MAX, .secret = true };
	json_t *head = NULL;
	bool ok = false;
	if (token.len > JWT_BYTES_MAX || !split(token, parts) ||
	    !decode(parts[HEADER], &header) || !decode(parts[PAYLOAD], &payload) ||
	    !decode(parts[SIGNATURE], &signature)) {
		error_set(reason, "the token is not a signed JWT");
		goto out;
	}
	head = jwt_object_read(buf_span(&header), NULL);
	if (!head) {
		error_set(reason, "the token's header is not a JSON object");
		goto out;
	}
	struct span signed_text = span_first(token, parts[HEADER].len + 1 + parts[PAYLOAD].len);
	ok = verify(keys, head, signed_text, buf_span(&signature), reason);
	if (ok && !buf_put(payload_out, buf_span(&payload))) {
		error_set(reason, "no memory");
		ok = false;
	}
out:
	json_decref(head);
	buf_done(&header);
	buf_done(&payload);
	buf_done(&signature);
	return ok;
}
