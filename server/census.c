#include "server/census.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "server/peer.h"

/* Chains stay short far beyond the connections that one machine serves. */
#define BUCKETS ((size_t)4096)

enum kind { NETWORK, ACCOUNT };

/* A network or an account that is here. It goes when both counts are zero. */
struct entry {
	struct entry *next;
	int64_t count;
	int64_t bytes;
	enum kind kind;
	size_t len;
	char key[];
};

struct census {
	pthread_mutex_t lock;
	int64_t connections;
	uint64_t seed; /* so that nobody can choose networks that share a chain */
	struct entry *bucket[BUCKETS];
};

struct census *census_new(void)
{
	struct census *census = calloc(1, sizeof(*census));
	if (census) {
		pthread_mutex_init(&census->lock, NULL);
		if (getrandom(&census->seed, sizeof(census->seed), GRND_NONBLOCK) < 0) {
			census->seed = (uint64_t)(uintptr_t)census;
		}
	}
	return census;
}

void census_free(struct census *census)
{
	if (!census) {
		return;
	}
	for (size_t i = 0; i < BUCKETS; i++) {
		while (census->bucket[i]) {
			struct entry *gone = census->bucket[i];
			census->bucket[i] = gone->next;
			free(gone);
		}
	}
	pthread_mutex_destroy(&census->lock);
	free(census);
}

/* The place that points to the entry, or where it would be linked: never NULL itself. */
static struct entry **find(struct census *census, enum kind kind, struct span key)
{
	uint64_t hash = census->seed + (uint64_t)kind;
	for (size_t i = 0; i < key.len; i++) {
		hash = (hash ^ (unsigned char)key.ptr[i]) * 0x9e3779b97f4a7c15U;
		hash ^= hash >> 29;
	}
	struct entry **at = &census->bucket[hash % BUCKETS];
	while (*at && ((*at)->kind != kind || !span_eq(span_of((*at)->key, (*at)->len), key))) {
		at = &(*at)->next;
	}
	return at;
}

static bool count_in(struct census *census, enum kind kind, struct span key, int64_t most)
{
	struct entry **at = find(census, kind, key);
	if ((*at ? (*at)->count : 0) >= most) {
		return false;
	}
	if (!*at) {
		*at = calloc(1, sizeof(**at) + key.len);
		if (!*at) {
			return false;
		}
		(*at)->kind = kind;
		(*at)->len = key.len;
		if (key.len) {
			memcpy((*at)->key, key.ptr, key.len);
		}
	}
	(*at)->count++;
	return true;
}

static void forget_empty(struct entry **at)
{
	struct entry *entry = *at;
	if (entry->count == 0 && entry->bytes == 0) {
		*at = entry->next;
		free(entry);
	}
}

static void count_out(struct census *census, enum kind kind, struct span key)
{
	struct entry **at = find(census, kind, key);
	assert(*at && (*at)->count > 0);
	(*at)->count--;
	forget_empty(at);
}

bool census_connect(struct census *census, const struct sockaddr *address, int64_t most,
                    int64_t most_per_network)
{
	struct peer peer;
	peer_set(&peer, address);
	pthread_mutex_lock(&census->lock);
	bool may = census->connections < most &&
	           count_in(census, NETWORK, peer_network(&peer), most_per_network);
	census->connections += may;
	pthread_mutex_unlock(&census->lock);
	return may;
}

void census_disconnect(struct census *census, const struct sockaddr *address)
{
	struct peer peer;
	peer_set(&peer, address);
	pthread_mutex_lock(&census->lock);
	count_out(census, NETWORK, peer_network(&peer));
	census->connections--;
	pthread_mutex_unlock(&census->lock);
}

bool census_login(struct census *census, struct span account, int64_t most_per_account)
{
	pthread_mutex_lock(&census->lock);
	bool may = count_in(census, ACCOUNT, account, most_per_account);
	pthread_mutex_unlock(&census->lock);
	return may;
}

void census_logout(struct census *census, struct span account)
{
	pthread_mutex_lock(&census->lock);
	count_out(census, ACCOUNT, account);
	pthread_mutex_unlock(&census->lock);
}

bool census_bytes(struct census *census, struct span account, int64_t delta, int64_t most)
{
	pthread_mutex_lock(&census->lock);
	struct entry **at = find(census, ACCOUNT, account);
	assert(*at && (*at)->bytes + delta >= 0);
	/* Giving back is always granted: `most` may have become smaller by a reload. */
	bool may = delta <= 0 || (*at)->bytes <= most - delta;
	if (may) {
		(*at)->bytes += delta;
		forget_empty(at);
	}
	pthread_mutex_unlock(&census->lock);
	return may;
}

int64_t census_connections(struct census *census)
{
	pthread_mutex_lock(&census->lock);
	int64_t connections = census->connections;
	pthread_mutex_unlock(&census->lock);
	return connections;
}
