#include "server/envelope.h"

#include <stdlib.h>

#define ENVELOPE_BYTES ((size_t)64 * 1024 * 1024)
#define KEY_BYTES      ((size_t)1024)

void envelope_init(struct envelope *envelope)
{
	*envelope = (struct envelope){ .size = 0 };
	arena_init(&envelope->arena, ENVELOPE_BYTES);
}

void envelope_done(struct envelope *envelope)
{
	arena_done(&envelope->arena);
	free(envelope->recipients);
	free(envelope->contacts);
	free(envelope->keys);
	free(envelope->slots);
	envelope_init(envelope);
}

bool envelope_set_sender(struct envelope *envelope, struct span sender)
{
	return arena_copy(&envelope->arena, sender, &envelope->sender);
}

/* FNV-1a: the table lives as long as one transaction of one client, who can only slow himself.
 */
static uint32_t hash(struct span key)
{
	uint32_t value = 2166136261u;
	for (size_t i = 0; i < key.len; i++) {
		value = (value ^ (unsigned char)key.ptr[i]) * 16777619u;
	}
	return value;
}

/* The slot that holds `key`, or the free one where it belongs. */
static uint32_t *find_slot(const struct envelope *envelope, struct span key)
{
	size_t mask = envelope->size - 1;
	for (size_t at = hash(key) & mask;; at = (at + 1) & mask) {
		uint32_t *slot = &envelope->slots[at];
		if (!*slot || span_eq(envelope->keys[*slot - 1], key)) {
			return slot;
		}
	}
}

static bool grow(struct envelope *envelope)
{
	size_t size = envelope->size ? 2 * envelope->size : 8;
	uint32_t *slots = calloc(size, sizeof *slots);
	struct span *recipients = reallocarray(envelope->recipients, size, sizeof *recipients);
	envelope->recipients = recipients ? recipients : envelope->recipients;
	struct span *keys = reallocarray(envelope->keys, size, sizeof *keys);
	envelope->keys = keys ? keys : envelope->keys;
	uint64_t *contacts = reallocarray(envelope->contacts, size, sizeof *contacts);
	envelope->contacts = contacts ? contacts : envelope->contacts;
	if (!slots || !recipients || !keys || !contacts) {
		free(slots);
		return false;
	}
	free(envelope->slots);
	envelope->slots = slots;
	envelope->size = size;
	for (size_t i = 0; i < envelope->nrecipients; i++) {
		*find_slot(envelope, keys[i]) = (uint32_t)i + 1;
	}
	return true;
}

void envelope_write_key(const struct envelope *envelope, const struct address *recipient,
                        struct buf *key)
{
	struct buf whole;
	buf_init(&whole, KEY_BYTES);
	address_key(recipient, envelope->fold ? &whole : key);
	if (envelope->fold) {
		address_key_fold(buf_span(&whole), key);
		key->failed = key->failed || whole.failed;
	}
	buf_done(&whole);
}

bool envelope_has(const struct envelope *envelope, const struct address *recipient)
{
	struct buf key;
	buf_init(&key, KEY_BYTES);
	envelope_write_key(envelope, recipient, &key);
	bool found = envelope->size && !key.failed && *find_slot(envelope, buf_span(&key));
	buf_done(&key);
	return found;
}

static enum envelope_added add(struct envelope *envelope, struct span key, struct span whole,
                               uint64_t contact)
{
	uint32_t *slot = find_slot(envelope, key);
	if (*slot) {
		return ENVELOPE_KNOWN;
	}
	size_t n = envelope->nrecipients;
	if (!arena_copy(&envelope->arena, key, &envelope->keys[n]) ||
	    !arena_copy(&envelope->arena, whole, &envelope->recipients[n])) {
		return ENVELOPE_NO_MEMORY;
	}
	envelope->contacts[n] = contact;
	*slot = (uint32_t)++envelope->nrecipients;
	return ENVELOPE_ADDED;
}

uint32_t envelope_members_with(const struct envelope *envelope, uint32_t members)
{
	uint32_t more = members > 1 ? members - 1 : 0;
	uint32_t room = UINT32_MAX - envelope->members;
	return envelope->members + (more < room ? more : room);
}

enum envelope_added envelope_add(struct envelope *envelope, const struct address *recipient,
                                 uint32_t members, uint64_t contact)
{
	if (2 * (envelope->nrecipients + 1) > envelope->size && !grow(envelope)) {
		return ENVELOPE_NO_MEMORY;
	}
	struct buf key;
	buf_init(&key, KEY_BYTES);
	envelope_write_key(envelope, recipient, &key);
	enum envelope_added added = key.failed ? ENVELOPE_NO_MEMORY
	                                       : add(envelope, buf_span(&key), recipient->whole,
	                                             contact);
	buf_done(&key);
	if (added == ENVELOPE_ADDED) {
		envelope->members = envelope_members_with(envelope, members);
	}
	return added;
}
