#include "proto/names.h"

#include <stdlib.h>

#define SLOTS_FIRST 16

/* FNV-1a, 64 bit; the upper half is mixed into the lower, which is what is used. */
static size_t hash(struct span name)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < name.len; i++) {
		h = (h ^ (unsigned char)name.ptr[i]) * 0x100000001b3u;
	}
	return (size_t)(h ^ h >> 32);
}

struct span names_get(const struct names *names, size_t number)
{
	size_t begin = number ? names->end[number - 1] : 0;
	size_t len = names->end[number] - begin;
	return len ? span_of(names->text.ptr + begin, len) : SPAN_NONE;
}

/* Where it is, or where it would be. */
static uint32_t *find(const struct names *names, struct span name)
{
	size_t at = hash(name) & (names->nslots - 1);
	while (names->slot[at] && !span_eq(names_get(names, names->slot[at] - 1), name)) {
		at = (at + 1) & (names->nslots - 1);
	}
	return &names->slot[at];
}

/* At least half of the slots are free; as many ends as half of the slots. */
static bool grow(struct names *names)
{
	if (names->count < names->nslots / 2) {
		return true;
	}
	size_t nslots = names->nslots ? names->nslots * 2 : SLOTS_FIRST;
	uint32_t *slot = calloc(nslots, sizeof *slot);
	size_t *end = slot ? realloc(names->end, nslots / 2 * sizeof *end) : NULL;
	if (!end) {
		free(slot);
		return false;
	}
	free(names->slot);
	names->end = end;
	names->slot = slot;
	names->nslots = nslots;
	for (size_t i = 0; i < names->count; i++) {
		*find(names, names_get(names, i)) = (uint32_t)i + 1;
	}
	return true;
}

bool names_add(struct names *names, struct span name, uint32_t *number_out)
{
	if (!names->text.cap) {
		names->text.cap = NAMES_BYTES_MAX;
	}
	if (names->count == NAMES_MAX || !grow(names)) {
		return false;
	}
	uint32_t *slot = find(names, name);
	if (!*slot) {
		if (!buf_put(&names->text, name)) {
			names->text.failed = false;
			return false;
		}
		names->end[names->count++] = names->text.len;
		*slot = (uint32_t)names->count;
	}
	*number_out = *slot - 1;
	return true;
}

size_t names_bytes(const struct names *names)
{
	return names->text.size + names->nslots / 2 * sizeof *names->end +
	       names->nslots * sizeof *names->slot;
}

void names_done(struct names *names)
{
	if (names) {
		buf_done(&names->text);
		free(names->end);
		free(names->slot);
		*names = (struct names){ .count = 0 };
	}
}
