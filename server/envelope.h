/*
 * The transaction of a session so far: sender, and each recipient once under its canonical key,
 * however often and in whatever spelling it was given (TESTS HL07). Pure.
 */
#ifndef GATEPOST_SERVER_ENVELOPE_H
#define GATEPOST_SERVER_ENVELOPE_H

#include "proto/address.h"
#include "proto/arena.h"

struct envelope {
	struct arena arena;
	struct span sender;      /* empty for <> */
	struct span *recipients; /* as given */
	uint64_t *contacts;      /* a digest of each (auth/familiar) */
	size_t nrecipients;
	/* an open-addressed table of recipient numbers + 1, by hash of the canonical key */
	struct span *keys;
	uint32_t *slots;
	size_t size; /* of the four, a power of two; recipients fill at most half */
};

void envelope_init(struct envelope *envelope);
/* Forgets all. */
void envelope_done(struct envelope *envelope);

/* False without memory. */
bool envelope_set_sender(struct envelope *envelope, struct span sender);

enum envelope_added { ENVELOPE_ADDED, ENVELOPE_KNOWN, ENVELOPE_NO_MEMORY };
/* KNOWN: it is there already, nothing changed. */
enum envelope_added envelope_add(struct envelope *envelope, const struct address *recipient,
                                 uint64_t contact);
bool envelope_has(const struct envelope *envelope, const struct address *recipient);

#endif
