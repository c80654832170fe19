/*
 * The JWKS file: read when it is opened and again when it has changed, which is looked for at
 * most once a second. A new file that is broken changes nothing: the keys stay. Any thread.
 */
#ifndef GATEPOST_AUTH_OAUTH_KEYS_H
#define GATEPOST_AUTH_OAUTH_KEYS_H

#include "proto/buf.h"
#include "proto/error.h"

#define OAUTH_KEYS_LOOK_MS  1000
#define OAUTH_KEYS_FILE_MAX (256 * 1024)

struct oauth_keys;

/* NULL with a sentence. */
struct oauth_keys *oauth_keys_open(const char *path, struct error *error);
void oauth_keys_close(struct oauth_keys *keys);
/* jwt_open with the keys of now. `wall`: any clock in ms, always the same. */
bool oauth_keys_verify(struct oauth_keys *keys, struct span token, int64_t wall,
                       struct buf *payload_out, struct error *reason);
/* Why the file could not be read again: once each time it has changed, and once while it can
 * not be opened. */
bool oauth_keys_take_note(struct oauth_keys *keys, struct error *note_out);

#endif
