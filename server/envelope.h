/*
 * The transaction of a session so far: sender, and each recipient once under its canonical key,
 * however often and in whatever spelling it was given (TESTS HL07). With `fold` a detail is a
 * spelling, too: bob+a@ and bob+b@ are one, and the first that is given is relayed. Pure.
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
	bool fold;        /* from the first recipient on */
	uint32_t members; /* of lists among them, beyond the one recipient each */
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
/* `members`: how many people it is, as lists_members has it; `contact`: its digest. KNOWN: it
 * is there already, nothing changed. */
enum envelope_added envelope_add(struct envelope *envelope, const struct address *recipient,
                                 uint32_t members, uint64_t contact);
/* What `members` would be with a recipient more, who is so many people. Saturates. */
uint32_t envelope_members_with(const struct envelope *envelope, uint32_t members);
/* The key by which a recipient is told from others: of address_key, folded if so set. */
void envelope_write_key(const struct envelope *envelope, const struct address *recipient,
                        struct buf *out);
bool envelope_has(const struct envelope *envelope, const struct address *recipient);

#endif
