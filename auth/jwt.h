/*
 * A signed token: a compact JWS (RFC 7515 3.1) and the keys that may have signed it, a JWK set
 * (RFC 7517). Each of the three algorithms fits one kind of key, and the kind is written in the
 * key: a token that names another one, or brings a key of its own, gets nowhere (RFC 8725 2.1).
 * What a payload claims is for auth/oauth_claims.h. No I/O, no clock; any thread.
 */
#ifndef GATEPOST_AUTH_JWT_H
#define GATEPOST_AUTH_JWT_H

#include "proto/buf.h"
#include "proto/error.h"

#include <jansson.h>

#define JWT_BYTES_MAX  12288
#define JWT_KEYS_MAX   64
#define JWT_KEYS_TRIED 16   /* for one token */
#define JWT_RSA_MIN    2048 /* bits, RFC 7518 3.3 */
#define JWT_RSA_MAX    8192 /* each login pays for it */

struct jwt_keys;

/*
 * Keys for other uses, and kinds that are not ours, are passed over (RFC 7517 5). NULL with a
 * sentence for what is no set, for a key of ours that is broken, too weak or holds its private
 * part, and when no key is left.
 */
struct jwt_keys *jwt_keys_read(struct span json, struct error *error);
void jwt_keys_free(struct jwt_keys *keys);

/* Appends the payload when one of the keys has signed it; else false, for the log. */
bool jwt_open(const struct jwt_keys *keys, struct span token, struct buf *payload_out,
              struct error *reason);

/* An object and nothing else, no member twice: two readers must not see two different ones.
 * The caller's, for json_decref; NULL with a sentence. */
json_t *jwt_object_read(struct span text, struct error *error);
/* A member that is text, without NUL; else an empty span. It lives as long as the object. */
struct span jwt_object_text(const json_t *object, const char *name);

#endif
