/*
 * Entries found by a 64-bit tag, in sets of sixteen: the memory is what it was at the start,
 * whoever comes. In a full set the entry of the least worth makes room. Tags are keyed hashes:
 * nobody chooses in which set he lies, or whose entry he drives out.
 */
#ifndef GATEPOST_AUTH_SCREEN_TABLE_H
#define GATEPOST_AUTH_SCREEN_TABLE_H

#include "proto/span.h"

/* How an entry begins. */
struct screen_slot {
	uint64_t tag;    /* 0: nothing is here */
	int64_t touched; /* T: for its owner to set */
};

struct screen_table {
	char *slots;
	size_t count; /* of entries; a multiple of sixteen */
	size_t size;  /* of one */
	/* NULL: the one that was touched last is worth most. */
	uint64_t (*worth)(const struct screen_slot *slot, int64_t now);
};

/* `count`, `size` and `worth` are set. False without memory. */
bool screen_table_init(struct screen_table *table);
void screen_table_done(struct screen_table *table);

/* NULL: not here. */
void *screen_table_find(const struct screen_table *table, uint64_t tag);
/* The entry; a new one is zero but for its tag and `touched`. Never NULL. */
void *screen_table_take(struct screen_table *table, uint64_t tag, int64_t now);
/* Number `i` of `count`; NULL: nothing is there. */
void *screen_table_at(const struct screen_table *table, size_t i);

struct screen_hash_key {
	uint64_t half[2];
};

/* SipHash-2-4: fast on short texts, and not to be guessed without the key. */
uint64_t screen_hash(const struct screen_hash_key *key, struct span text);

#endif
