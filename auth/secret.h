/*
 * The libcrypto corner: random bytes, HMAC-SHA256, constant-time compare, cleansing, and the
 * stored secrets of accounts. A secret is verifiers with a blank between: SCRAM-SHA-256 (RFC
 * 7677), SCRAM-SHA-1 (RFC 5802), each in the form of RFC 5803
 * `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`; or one crypt(3) hash of an import,
 * `{CRYPT}$6$...`, which becomes verifiers at the first good login. A password is never kept;
 * buffers that held one are cleansed here. Nothing of libcrypto is visible in this header.
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
#define SECRET_VERIFIER_MAX   512   /* all verifiers of a secret, or a hash */
#define SECRET_PASSWORD_MAX   1024

struct secret_key {
	unsigned char bytes[SECRET_BYTES];
};

/* Never fails: a machine without randomness ends the process. */
void secret_random(void *bytes_out, size_t n);
void secret_cleanse(void *bytes, size_t n);
/* free and realloc for what may hold a secret, ours or a library's that copies passwords and
 * gives them back as they are: nothing is left in what is returned. Memory of malloc; NULL is
 * accepted. */
void secret_free(void *memory);
void *secret_resize(void *memory, size_t n);
bool secret_equal(const void *a, const void *b, size_t n);
/* `parts` are hashed with their lengths, so that ("ab","c") is not ("a","bc"). */
void secret_hmac(const struct secret_key *key, const struct span *parts, size_t nparts,
                 unsigned char digest_out[SECRET_BYTES]);

/* Reads the 0600 file dir/secret, or makes it at first start. False, with a sentence, when that
 * fails or others may read it. */
bool secret_load(const char *dir, struct secret_key *key_out, struct error *error);

#define SECRET_SIPHASH_KEY 16

/* SipHash-2-4, 64 bits, of the parts one behind another: for digests that are made by the
 * hundred, at a tenth of an HMAC's price. */
uint64_t secret_siphash(const unsigned char key[SECRET_SIPHASH_KEY], const struct span *parts,
                        size_t nparts);

/* 1 to SECRET_PASSWORD_MAX bytes without NUL, CR and LF. HMAC pads its key with zeros: to
 * PBKDF2 "x" and "x\0" are the same password. */
bool secret_password_is_valid(struct span password);

enum secret_hash { SECRET_SHA1, SECRET_SHA256, SECRET_HASHES };

/* Makes both verifiers, each with a random salt of its own. Takes milliseconds (PBKDF2): never
 * on a loop. False, with the buffer as it was, for a password that is not valid, iterations out
 * of range, or without memory. */
bool secret_verifier_make(struct span password, unsigned iterations, struct buf *verifier_out);
/* A secret for an account that does not exist: always the same for the same name, matches no
 * password. */
bool secret_verifier_fake(const struct secret_key *key, struct span account,
                          unsigned iterations, struct buf *verifier_out);
/* The verifier for one of the SCRAM mechanisms; empty when the secret has none. */
struct span secret_verifier_of(struct span secret, enum secret_hash hash);
/* Is it a hash of crypt(3): sha256, sha512, bcrypt, yescrypt and what else libcrypt knows and
 * is not weak (no DES, no MD5)? */
bool secret_is_crypt(struct span secret);
/* The password against its SCRAM-SHA-256 verifier, else its other one, else its hash. False
 * also for a secret that can not be read (as much time is spent as on a usual one), and at once
 * for a password that is not valid. */
bool secret_verifier_check(struct span secret, struct span password);

#endif
