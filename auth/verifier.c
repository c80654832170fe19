#include "auth/verifier.h"

#include "store/account.h"

#include <pthread.h>

#define CACHE_SLOTS 4096

static struct {
	pthread_mutex_t lock;
	struct secret_key key;
	unsigned char digest[CACHE_SLOTS][SECRET_BYTES];
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

void verifier_cache_reset(void)
{
	pthread_mutex_lock(&cache.lock);
	secret_random(&cache.key, sizeof cache.key);
	secret_cleanse(cache.digest, sizeof cache.digest);
	pthread_mutex_unlock(&cache.lock);
}

static unsigned char *cache_slot(const unsigned char digest[SECRET_BYTES])
{
	return cache.digest[(digest[0] | digest[1] << 8) % CACHE_SLOTS];
}

static bool cache_has(const unsigned char digest[SECRET_BYTES])
{
	pthread_mutex_lock(&cache.lock);
	bool has = secret_equal(cache_slot(digest), digest, SECRET_BYTES);
	pthread_mutex_unlock(&cache.lock);
	return has;
}

static void cache_put(const unsigned char digest[SECRET_BYTES])
{
	pthread_mutex_lock(&cache.lock);
	memcpy(cache_slot(digest), digest, SECRET_BYTES);
	pthread_mutex_unlock(&cache.lock);
}

/* The transaction ends here: during PBKDF2 it would hold pages for milliseconds. */
bool verifier_find(const struct verifier_source *source, struct span account,
                   struct buf *verifier_out)
{
	struct account row = { .secret = SPAN_NONE };
	struct store_txn *txn = store_begin_read(source->store, NULL);
	if (!txn) {
		return false;
	}
	enum store_result result = account_get(txn, account, &row);
	bool found = result == STORE_OK && row.secret.len > 0;
	bool ok = found ? buf_put(verifier_out, row.secret)
	                : result == STORE_OK || result == STORE_NOT_FOUND;
	store_abort(txn);
	if (ok && !found) {
		ok = secret_verifier_fake(&source->key, account, source->iterations,
		                          verifier_out);
	}
	return ok;
}

void verifier_forget(struct buf *verifier)
{
	secret_cleanse(verifier->ptr, verifier->len);
	buf_done(verifier);
}

/* The verifier is part of what is hashed: a new password makes the old entry unreachable. */
static bool is_right(struct span account, struct span password, struct span verifier)
{
	const struct span parts[] = { account, password, verifier };
	unsigned char digest[SECRET_BYTES];
	secret_hmac(&cache.key, parts, COUNT(parts), digest);
	bool right = cache_has(digest);
	if (!right && secret_verifier_check(verifier, password)) {
		cache_put(digest);
		right = true;
	}
	secret_cleanse(digest, sizeof digest);
	return right;
}

enum verifier_answer verifier_check(const struct verifier_source *source, struct span account,
                                    struct span password)
{
	struct buf verifier = { .cap = SECRET_VERIFIER_MAX };
	enum verifier_answer answer = VERIFIER_UNREADABLE;
	if (verifier_find(source, account, &verifier)) {
		answer = is_right(account, password, buf_span(&verifier)) ? VERIFIER_RIGHT
		                                                          : VERIFIER_WRONG;
	}
	verifier_forget(&verifier);
	return answer;
}
