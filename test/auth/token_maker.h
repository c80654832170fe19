/* An issuer of tokens for tests: keys, their JWK, and a JWS of any header and payload. */
#ifndef GATEPOST_TEST_TOKEN_MAKER_H
#define GATEPOST_TEST_TOKEN_MAKER_H

#include "proto/base64.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static inline void maker_put(struct buf *out, struct span bytes)
{
	struct buf text = { .cap = 65536 };
	base64_encode(bytes, &text);
	for (size_t i = 0; i < text.len && text.ptr[i] != '='; i++) {
		char c = text.ptr[i];
		buf_put_byte(out, (char)(c == '+' ? '-' : c == '/' ? '_' : c));
	}
	buf_done(&text);
}

static inline void maker_put_number(struct buf *out, const EVP_PKEY *key, const char *name)
{
	unsigned char bytes[2048];
	BIGNUM *number = NULL;
	assert(EVP_PKEY_get_bn_param(key, name, &number));
	/* coordinates in full length; n and e of RSA as long as they are */
	int len = EVP_PKEY_is_a(key, "EC") ? BN_bn2binpad(number, bytes, 32)
	                                   : BN_bn2bin(number, bytes);
	assert(len > 0);
	maker_put(out, span_of(bytes, (size_t)len));
	BN_free(number);
}

/* {"kty": ..., MEMBERS}: `members` begins with a comma or is empty. */
static inline void maker_put_jwk(struct buf *out, const EVP_PKEY *key, const char *members)
{
	if (EVP_PKEY_is_a(key, "RSA")) {
		buf_put_str(out, "{\"kty\":\"RSA\",\"n\":\"");
		maker_put_number(out, key, OSSL_PKEY_PARAM_RSA_N);
		buf_put_str(out, "\",\"e\":\"");
		maker_put_number(out, key, OSSL_PKEY_PARAM_RSA_E);
	} else if (EVP_PKEY_is_a(key, "EC")) {
		buf_put_str(out, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
		maker_put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_X);
		buf_put_str(out, "\",\"y\":\"");
		maker_put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_Y);
	} else {
		unsigned char x[32];
		size_t len = sizeof x;
		assert(EVP_PKEY_get_raw_public_key(key, x, &len));
		buf_put_str(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
		maker_put(out, span_of(x, len));
	}
	buf_printf(out, "\"%s}", members);
}

/* r and s side by side. */
static inline size_t maker_raw(unsigned char *signature, size_t len)
{
	const unsigned char *at = signature;
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
	assert(pair);
	assert(BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, 32) == 32);
	assert(BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + 32, 32) == 32);
	ECDSA_SIG_free(pair);
	return 64;
}

static inline void maker_put_parts(struct buf *out, const char *header, struct span payload)
{
	maker_put(out, span_str(header));
	buf_put_byte(out, '.');
	maker_put(out, payload);
}

/* `der`: the signature of P-256 as libcrypto writes it. */
static inline void maker_put_signature(struct buf *out, EVP_PKEY *key, bool der)
{
	unsigned char signature[1200];
	size_t len = sizeof signature;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const EVP_MD *digest = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
	assert(EVP_DigestSignInit(ctx, NULL, digest, NULL, key) == 1);
	assert(EVP_DigestSign(ctx, signature, &len, (const unsigned char *)out->ptr,
	                      out->len) == 1);
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_is_a(key, "EC") && !der) {
		len = maker_raw(signature, len);
	}
	buf_put_byte(out, '.');
	maker_put(out, span_of(signature, len));
}

static inline void maker_put_token(struct buf *out, EVP_PKEY *key, const char *header,
                                   const char *payload)
{
	maker_put_parts(out, header, span_str(payload));
	maker_put_signature(out, key, false);
}

/* What a verifier believes that takes its public key for a shared one. */
static inline void maker_put_hmac(struct buf *out, struct span key)
{
	unsigned char mac[32];
	unsigned len = sizeof mac;
	assert(HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)out->ptr,
	            out->len, mac, &len));
	buf_put_byte(out, '.');
	maker_put(out, span_of(mac, len));
}

#endif
