/*
 * Memory freed as one: what lives as long as one transaction, one entry or one reply. There
 * is a hard cap on the sum; beyond it, or without memory, allocation returns NULL.
 */
#ifndef GATEPOST_PROTO_ARENA_H
#define GATEPOST_PROTO_ARENA_H

#include "proto/span.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used; /* bytes handed out */
	size_t cap;
};

void arena_init(struct arena *arena, size_t cap);
/* Frees all; the arena is empty and usable again. NULL is accepted. */
void arena_done(struct arena *arena);

/* Zeroed bytes, aligned for any type. They live until arena_done. NULL when beyond the cap. */
void *arena_alloc(struct arena *arena, size_t n);
/* A copy of `bytes`, followed by a NUL that is not counted. On failure `copy_out` is untouched.
 */
bool arena_copy(struct arena *arena, struct span bytes, struct span *copy_out);

#endif
