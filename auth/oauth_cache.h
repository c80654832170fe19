/*
 * Tokens that an endpoint has called good a moment ago: keyed digests under a key of this
 * process, and the name each stood for; fixed memory. Any thread.
 */
#ifndef GATEPOST_AUTH_OAUTH_CACHE_H
#define GATEPOST_AUTH_OAUTH_CACHE_H

#include "proto/buf.h"

#define OAUTH_CACHE_MS    60000
#define OAUTH_CACHE_SLOTS 256

struct oauth_cache;

/* NULL without memory. */
struct oauth_cache *oauth_cache_new(void);
void oauth_cache_free(struct oauth_cache *cache);

/* Then the name is appended. */
bool oauth_cache_find(struct oauth_cache *cache, struct span token, int64_t wall,
                      struct buf *name_out);
/* Until `end`, for OAUTH_CACHE_MS at most. A name of more than 255 bytes is not kept. */
void oauth_cache_put(struct oauth_cache *cache, struct span token, struct span name,
                     int64_t wall, int64_t end);
void oauth_cache_forget(struct oauth_cache *cache);

#endif
