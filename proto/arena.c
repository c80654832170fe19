#include "proto/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define ALIGN       alignof(max_align_t)
#define BLOCK_BYTES ((size_t)2048)

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size;
	alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena, size_t cap)
{
	*arena = (struct arena){ .cap = cap };
}

void arena_done(struct arena *arena)
{
	if (!arena) {
		return;
	}
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;
		free(arena->blocks);
		arena->blocks = next;
	}
	arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t n)
{
	if (n > arena->cap || arena->used > arena->cap - n || n > SIZE_MAX / 4) {
		return NULL;
	}
	size_t rounded = (n + ALIGN - 1) / ALIGN * ALIGN;
	struct arena_block *block = arena->blocks;
	if (!block || block->size - block->used < rounded) {
		size_t size = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;
		block = calloc(1, sizeof *block + size);
		if (!block) {
			return NULL;
		}
		block->size = size;
		/* A block made for one big thing goes behind: what is left of the first is
		 * still used. */
		struct arena_block **at = arena->blocks && size > BLOCK_BYTES
		                              ? &arena->blocks->next
		                              : &arena->blocks;
		block->next = *at;
		*at = block;
	}
	void *at = block->bytes + block->used;
	block->used += rounded;
	arena->used += n;
	return at;
}

bool arena_copy(struct arena *arena, struct span bytes, struct span *copy_out)
{
	char *at = arena_alloc(arena, bytes.len + 1);
	if (!at) {
		return false;
	}
	if (bytes.len) {
		memcpy(at, bytes.ptr, bytes.len);
	}
	*copy_out = span_of(at, bytes.len);
	return true;
}
