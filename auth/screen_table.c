#include "auth/screen_table.h"

#include <assert.h>
#include <stdlib.h>

#define WAYS ((size_t)16)

bool screen_table_init(struct screen_table *table)
{
	assert(table->count % WAYS == 0 && table->size >= sizeof(struct screen_slot));
	table->slots = calloc(table->count, table->size);
	return table->slots;
}

void screen_table_done(struct screen_table *table)
{
	free(table->slots);
	table->slots = NULL;
}

static struct screen_slot *slot_at(const struct screen_table *table, size_t i)
{
	return (struct screen_slot *)(void *)(table->slots + i * table->size);
}

static size_t set_of(const struct screen_table *table, uint64_t tag)
{
	return (size_t)(tag % (table->count / WAYS)) * WAYS;
}

void *screen_table_at(const struct screen_table *table, size_t i)
{
	struct screen_slot *slot = slot_at(table, i);
	return slot->tag ? slot : NULL;
}

void *screen_table_find(const struct screen_table *table, uint64_t tag)
{
	size_t set = set_of(table, tag);
	for (size_t i = set; i < set + WAYS; i++) {
		struct screen_slot *slot = slot_at(table, i);
		if (slot->tag == tag) {
			return slot;
		}
	}
	return NULL;
}

static uint64_t worth_of(const struct screen_table *table, const struct screen_slot *slot,
                         int64_t now)
{
	if (!slot->tag) {
		return 0;
	}
	return table->worth ? table->worth(slot, now) : (uint64_t)slot->touched;
}

void *screen_table_take(struct screen_table *table, uint64_t tag, int64_t now)
{
	assert(tag);
	void *found = screen_table_find(table, tag);
	if (found) {
		return found;
	}
	size_t set = set_of(table, tag);
	struct screen_slot *least = slot_at(table, set);
	uint64_t least_worth = worth_of(table, least, now);
	for (size_t i = set + 1; i < set + WAYS && least_worth; i++) {
		struct screen_slot *slot = slot_at(table, i);
		uint64_t worth = worth_of(table, slot, now);
		if (worth < least_worth) {
			least = slot;
			least_worth = worth;
		}
	}
	memset(least, 0, table->size);
	*least = (struct screen_slot){ .tag = tag, .touched = now };
	return least;
}

/* ---- SipHash-2-4: Aumasson and Bernstein, 2012 ---- */

static uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_rounds(uint64_t v[4], int rounds)
{
	for (int i = 0; i < rounds; i++) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32) + v[3];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

/* Up to eight bytes, little-endian. */
static uint64_t load(struct span bytes)
{
	uint64_t word = 0;
	for (size_t i = 0; i < bytes.len; i++) {
		word |= (uint64_t)(unsigned char)bytes.ptr[i] << 8 * i;
	}
	return word;
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

uint64_t screen_hash(const struct screen_hash_key *key, struct span text)
{
	uint64_t v[4] = {
		key->half[0] ^ 0x736f6d6570736575,
		key->half[1] ^ 0x646f72616e646f6d,
		key->half[0] ^ 0x6c7967656e657261,
		key->half[1] ^ 0x7465646279746573,
	};
	uint64_t length = (uint64_t)text.len << 56;
	while (text.len >= 8) {
		sip_word(v, load(span_first(text, 8)));
		text = span_from(text, 8);
	}
	sip_word(v, length | load(text));
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
