#include "auth/oauth_cache.h"

#include "auth/secret.h"

#include <pthread.h>
#include <stdlib.h>

#define NAME_MAX 255

struct slot {
	unsigned char digest[SECRET_BYTES];
	int64_t from, end;
	unsigned char len; /* of the name; 0: nothing is here */
	char name[NAME_MAX];
};

/* As auth/success.c: each digest has one place, and a token that is pushed out is asked for
 * once more. */
struct oauth_cache {
	struct secret_key key;
	pthread_mutex_t lock; /* of the slots */
	struct slot slots[OAUTH_CACHE_SLOTS];
};

struct oauth_cache *oauth_cache_new(void)
{
	struct oauth_cache *cache = calloc(1, sizeof *cache);
	if (cache) {
		secret_random(&cache->key, sizeof cache->key);
		pthread_mutex_init(&cache->lock, NULL);
	}
	return cache;
}

void oauth_cache_free(struct oauth_cache *cache)
{
	if (cache) {
		pthread_mutex_destroy(&cache->lock);
		secret_cleanse(cache, sizeof *cache);
		free(cache);
	}
}

static struct slot *slot_of(struct oauth_cache *cache, const unsigned char digest[SECRET_BYTES])
{
	return &cache->slots[digest[0] % OAUTH_CACHE_SLOTS];
}

bool oauth_cache_find(struct oauth_cache *cache, struct span token, int64_t wall,
                      struct buf *name_out)
{
	unsigned char digest[SECRET_BYTES];
	secret_hmac(&cache->key, &token, 1, digest);
	pthread_mutex_lock(&cache->lock);
	const struct slot *slot = slot_of(cache, digest);
	/* A clock that was set back makes nothing good for longer. */
	bool found = slot->len && wall >= slot->from && wall < slot->end &&
	             secret_equal(slot->digest, digest, sizeof digest) &&
	             buf_put(name_out, span_of(slot->name, slot->len));
	pthread_mutex_unlock(&cache->lock);
	secret_cleanse(digest, sizeof digest);
	return found;
}

void oauth_cache_put(struct oauth_cache *cache, struct span token, struct span name,
                     int64_t wall, int64_t end)
{
	struct slot fresh = { .from = wall, .len = (unsigned char)name.len };
	if (name.len == 0 || name.len > NAME_MAX) {
		return;
	}
	fresh.end = end < wall + OAUTH_CACHE_MS ? end : wall + OAUTH_CACHE_MS;
	secret_hmac(&cache->key, &token, 1, fresh.digest);
	memcpy(fresh.name, name.ptr, name.len);
	pthread_mutex_lock(&cache->lock);
	*slot_of(cache, fresh.digest) = fresh;
	pthread_mutex_unlock(&cache->lock);
	secret_cleanse(&fresh, sizeof fresh);
}

void oauth_cache_forget(struct oauth_cache *cache)
{
	pthread_mutex_lock(&cache->lock);
	secret_cleanse(cache->slots, sizeof cache->slots);
	pthread_mutex_unlock(&cache->lock);
}
