/*
 * The libcrypto corner: random bytes, HMAC-SHA256, constant-time compare, cleansing, and
 * SCRAM-SHA-256 verifiers (RFC 5803 form `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`,
 * RFC 7677). A password is never kept; buffers that held one are cleansed here. Nothing of
 * libcrypto is visible in this header.
 */
#ifndef GATEPOST_AUTH_SECRET_H
#define GATEPOST_AUTH_SECRET_H

#include "proto/buf.h"
#include "proto/error.h"

#define SECRET_BYTES 32
/* Of new accounts, unless configured: about 2 ms for a login that is not cached. */
#define SECRET_ITERATIONS     10000
#define SECRET_ITERATIONS_MIN 4096
#define SECRET_ITERATIONS_MAX 65536 /* Cyrus clients refuse more */
#define SECRET_VERIFIER_MAX   192
#define SECRET_PASSWORD_MAX   1024

struct secret_key {
	unsigned char bytes[SECRET_BYTES];
};

/* Never fails: a machine without randomness ends the process. */
void secret_random(void *bytes_out, size_t n);
void secret_cleanse(void *bytes, size_t n);
bool secret_equal(const void *a, const void *b, size_t n);
/* `parts` are hashed with their lengths, so that ("ab","c") is not ("a","bc"). */
void secret_hmac(const struct secret_key *key, const struct span *parts, size_t nparts,
                 unsigned char digest_out[SECRET_BYTES]);

/* Reads the 0600 file dir/secret, or makes it at first start. False, with a sentence, when that
 * fails or others may read it. */
bool secret_load(const char *dir, struct secret_key *key_out, struct error *error);

/* 1 to SECRET_PASSWORD_MAX bytes without NUL, CR and LF. HMAC pads its key with zeros: to
 * PBKDF2 "x" and "x\0" are the same password. */
bool secret_password_is_valid(struct span password);

/* Makes a verifier with a random salt. Takes milliseconds (PBKDF2): never on a loop. False,
 * with the buffer as it was, for a password that is not valid, iterations out of range, or
 * without memory. */
bool secret_verifier_make(struct span password, unsigned iterations, struct buf *verifier_out);
/* A verifier for an account that does not exist: always the same for the same name, matches no
 * password. */
bool secret_verifier_fake(const struct secret_key *key, struct span account,
                          unsigned iterations, struct buf *verifier_out);
/* PBKDF2 against the verifier. False also for a verifier that can not be read (as much time is
 * spent as on a usual one), and at once for a password that is not valid. */
bool secret_verifier_check(struct span verifier, struct span password);

#endif
