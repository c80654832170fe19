/*
 * A set of byte strings that are numbered in the order in which they came: 0, 1, 2 ... Each is
 * kept once. Zeroed memory is an empty set. Nothing is ever taken out of it.
 */
#ifndef GATEPOST_PROTO_NAMES_H
#define GATEPOST_PROTO_NAMES_H

#include "proto/buf.h"

struct names {
	struct buf text; /* cap 0: names_add makes it NAMES_BYTES_MAX */
	size_t *end;     /* of each in `text` */
	uint32_t *slot;  /* number + 1; 0 = free; a power of two of them */
	size_t count;
	size_t nslots;
};

#define NAMES_BYTES_MAX ((size_t)1 << 30)
#define NAMES_MAX       ((size_t)1 << 26)

/* Puts `name` if it is not there; its number in any case, in `number_out`. False without
 * memory, or beyond the caps: nothing is changed. */
bool names_add(struct names *names, struct span name, uint32_t *number_out);
/* Valid until the next names_add. */
struct span names_get(const struct names *names, size_t number);
/* What it holds, in bytes, as far as a bound wants to know. */
size_t names_bytes(const struct names *names);
/* NULL is accepted. */
void names_done(struct names *names);

#endif
