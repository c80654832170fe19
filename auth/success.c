#include "auth/success.h"

#include "auth/secret.h"

#include <pthread.h>

#define SLOTS    4096
#define NAME_MAX 255

/* Each digest has one place. Two that want the same one push each other out: then a password
 * is checked once more, and nothing else happens. */
static struct {
	pthread_mutex_t lock;
	struct secret_key key;
	struct slot {
		unsigned char digest[SECRET_BYTES];
		int64_t at;
		unsigned char len; /* of the account; 0: nothing is here */
		char account[NAME_MAX];
	} slots[SLOTS];
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

void success_reset(void)
{
	pthread_mutex_lock(&cache.lock);
	secret_random(&cache.key, sizeof cache.key);
	secret_cleanse(cache.slots, sizeof cache.slots);
	pthread_mutex_unlock(&cache.lock);
}

/* The key is written by success_reset alone, when nobody else is here. */
static void digest_of(const struct success_key *key, unsigned char digest_out[SECRET_BYTES])
{
	const struct span parts[] = { key->name, key->password, key->against };
	secret_hmac(&cache.key, parts, COUNT(parts), digest_out);
}

static struct slot *slot_of(const unsigned char digest[SECRET_BYTES])
{
	return &cache.slots[(digest[0] | digest[1] << 8) % SLOTS];
}

bool success_find(const struct success_key *key, int64_t since, struct buf *account_out)
{
	unsigned char digest[SECRET_BYTES];
	digest_of(key, digest);
	pthread_mutex_lock(&cache.lock);
	const struct slot *slot = slot_of(digest);
	bool found = slot->len && slot->at > since &&
	             secret_equal(slot->digest, digest, sizeof digest) &&
	             buf_put(account_out, span_of(slot->account, slot->len));
	pthread_mutex_unlock(&cache.lock);
	secret_cleanse(digest, sizeof digest);
	return found;
}

void success_put(const struct success_key *key, struct span account, int64_t now)
{
	struct slot fresh = { .at = now, .len = (unsigned char)account.len };
	if (account.len == 0 || account.len > NAME_MAX) {
		return;
	}
	digest_of(key, fresh.digest);
	memcpy(fresh.account, account.ptr, account.len);
	pthread_mutex_lock(&cache.lock);
	*slot_of(fresh.digest) = fresh;
	pthread_mutex_unlock(&cache.lock);
	secret_cleanse(&fresh, sizeof fresh);
}

void success_forget(struct span account)
{
	pthread_mutex_lock(&cache.lock);
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *slot = &cache.slots[i];
		if (account.len == 0 || span_eq(span_of(slot->account, slot->len), account)) {
			secret_cleanse(slot, sizeof *slot);
		}
	}
	pthread_mutex_unlock(&cache.lock);
}

void success_guess(struct span name, struct span password,
                   unsigned char guess_out[SCREEN_GUESS_BYTES])
{
	unsigned char digest[SECRET_BYTES];
	const struct success_key key = { .name = name,
		                         .password = password,
		                         .against = SPAN_LIT("a guess") };
	digest_of(&key, digest);
	memcpy(guess_out, digest, SCREEN_GUESS_BYTES);
	secret_cleanse(digest, sizeof digest);
}
