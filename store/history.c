#include "store/history.h"

#include <assert.h>
#include <stdlib.h>

#define DIGEST_BYTES 5
#define DIGEST_MASK  (~(uint64_t)0 << (64 - 8 * DIGEST_BYTES))

/* A block while it is worked on: what was there and what comes in. In order of digests. */
struct block {
	size_t n;
	struct history_contact contact[2 * HISTORY_BLOCK];
	bool fresh[2 * HISTORY_BLOCK]; /* it comes in now */
};

/* Which one of an account, of how many. */
struct place {
	struct store_txn *txn;
	struct span account;
	unsigned depth;
	unsigned block;
};

/* ---- records ---- */

static unsigned block_of(uint64_t digest, unsigned depth)
{
	return depth ? (unsigned)(digest >> (64 - depth)) : 0;
}

static uint64_t read_be(const char *at, size_t n)
{
	uint64_t value = 0;
	for (size_t i = 0; i < n; i++) {
		value = value << 8 | (unsigned char)at[i];
	}
	return value;
}

static void write_be(char *at, uint64_t value, size_t n)
{
	while (n > 0) {
		at[--n] = (char)(value & 0xff);
		value >>= 8;
	}
}

static uint64_t digest_at(const char *record)
{
	return read_be(record, DIGEST_BYTES) << (64 - 8 * DIGEST_BYTES);
}

static struct history_contact read_record(const char *record)
{
	return (struct history_contact){
		.digest = digest_at(record),
		.first_day = (uint16_t)read_be(record + 5, 2),
		.last_month = (uint8_t)record[7],
		.origin = (uint16_t)read_be(record + 8, 2),
	};
}

static void write_record(char *record, const struct history_contact *contact)
{
	write_be(record, contact->digest >> (64 - 8 * DIGEST_BYTES), DIGEST_BYTES);
	write_be(record + 5, contact->first_day, 2);
	write_be(record + 7, contact->last_month, 1);
	write_be(record + 8, contact->origin, 2);
}

/* ---- blocks ---- */

static bool is_account(struct span name)
{
	return name.len > 0 && name.len <= KEY_ACCOUNT_MAX;
}

/* The bytes of a block; none where it is missing: an empty one has no row. Its length is looked
 * at, and whether its ends belong to it. */
static enum store_result get_bytes(const struct place *place, struct span *bytes_out)
{
	struct span bytes = SPAN_NONE;
	struct key key = key_history_block(place->account, (uint16_t)place->block);
	enum store_result result = is_account(place->account)
	                               ? store_get(place->txn, STORE_HISTORY, key_span(&key),
	                                           &bytes)
	                               : STORE_NOT_FOUND;
	if (result == STORE_NOT_FOUND) {
		*bytes_out = SPAN_NONE;
		return STORE_OK;
	}
	if (result != STORE_OK) {
		return result;
	}
	if (bytes.len == 0 || bytes.len % HISTORY_RECORD ||
	    bytes.len > HISTORY_BLOCK * HISTORY_RECORD) {
		return STORE_DAMAGED;
	}
	uint64_t first = digest_at(bytes.ptr);
	uint64_t last = digest_at(bytes.ptr + bytes.len - HISTORY_RECORD);
	*bytes_out = bytes;
	return block_of(first, place->depth) == place->block &&
	               block_of(last, place->depth) == place->block
	           ? STORE_OK
	           : STORE_DAMAGED;
}

/* All of it, and its order: whoever writes it again writes what made sense. */
static enum store_result get_block(const struct place *place, struct block *block)
{
	struct span bytes;
	enum store_result result = get_bytes(place, &bytes);
	block->n = 0;
	if (result != STORE_OK) {
		return result;
	}
	for (size_t at = 0; at < bytes.len; at += HISTORY_RECORD) {
		struct history_contact contact = read_record(bytes.ptr + at);
		if (block->n && block->contact[block->n - 1].digest >= contact.digest) {
			block->n = 0;
			return STORE_DAMAGED;
		}
		block->fresh[block->n] = false;
		block->contact[block->n++] = contact;
	}
	return STORE_OK;
}

static void put_block(const struct place *place, const struct history_contact *contacts,
                      size_t n)
{
	struct key key = key_history_block(place->account, (uint16_t)place->block);
	assert(n <= HISTORY_BLOCK);
	if (n == 0) {
		store_del(place->txn, STORE_HISTORY, key_span(&key));
		return;
	}
	char *row = store_put_reserve(place->txn, STORE_HISTORY, key_span(&key),
	                              n * HISTORY_RECORD);
	for (size_t i = 0; row && i < n; i++) {
		write_record(row + i * HISTORY_RECORD, &contacts[i]);
	}
}

/*
 * All blocks are read before the first is written: half of a doubling would be damage. From the
 * last one down none is overwritten before it was split. The head goes with it.
 */
static enum store_result double_blocks(struct store_txn *txn, struct span account,
                                       struct history_head *head)
{
	struct block block;
	struct place place = { txn, account, head->depth, 0 };
	unsigned count = 1u << head->depth;
	enum store_result result = STORE_OK;
	for (; result == STORE_OK && place.block < count; place.block++) {
		result = get_block(&place, &block);
	}
	if (result != STORE_OK) {
		return result;
	}
	head->depth++;
	for (unsigned b = count; b-- > 0;) {
		size_t low = 0;
		place = (struct place){ txn, account, head->depth - 1u, b };
		get_block(&place, &block);
		place = (struct place){ txn, account, head->depth, 2 * b };
		while (low < block.n &&
		       block_of(block.contact[low].digest, place.depth) == place.block) {
			low++;
		}
		put_block(&place, block.contact, low);
		place.block++;
		put_block(&place, block.contact + low, block.n - low);
	}
	return history_head_put(txn, account, head);
}

/* ---- finding ---- */

enum store_result history_find(struct store_txn *txn, struct span account,
                               const struct history_head *head, uint64_t digest,
                               struct history_contact *contact_out)
{
	digest &= DIGEST_MASK;
	struct place place = { txn, account, head->depth, block_of(digest, head->depth) };
	struct span bytes;
	enum store_result result = get_bytes(&place, &bytes);
	if (result != STORE_OK) {
		return result;
	}
	size_t low = 0;
	size_t high = bytes.len / HISTORY_RECORD;
	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *record = bytes.ptr + middle * HISTORY_RECORD;
		uint64_t there = digest_at(record);
		if (there == digest) {
			*contact_out = read_record(record);
			return STORE_OK;
		}
		if (there < digest) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return STORE_NOT_FOUND;
}

/* ---- putting ---- */

static int compare(const void *a, const void *b)
{
	uint64_t left = ((const struct history_contact *)a)->digest;
	uint64_t right = ((const struct history_contact *)b)->digest;
	return left < right ? -1 : left > right;
}

/* In order, each digest once. Returns how many. */
static size_t arrange(struct history_contact *contacts, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		contacts[i].digest &= DIGEST_MASK;
	}
	qsort(contacts, n, sizeof *contacts, compare);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || contacts[kept - 1].digest != contacts[i].digest) {
			contacts[kept++] = contacts[i];
		}
	}
	return kept;
}

static void add(struct block *block, const struct history_contact *contact, bool fresh)
{
	block->contact[block->n] = *contact;
	block->fresh[block->n++] = fresh;
}

/* Both in order; where both have a digest that of `fresh` counts. */
static void merge(const struct block *old, const struct history_contact *fresh, size_t n,
                  struct block *merged)
{
	size_t i = 0;
	size_t j = 0;
	merged->n = 0;
	while (i < old->n || j < n) {
		bool take_old = j == n ||
		                (i < old->n && old->contact[i].digest < fresh[j].digest);
		if (!take_old && i < old->n && old->contact[i].digest == fresh[j].digest) {
			i++;
		}
		add(merged, take_old ? &old->contact[i++] : &fresh[j++], !take_old);
	}
}

/* Of two, does `i` go rather than `j`? What comes in now goes last. */
static bool goes_before(const struct block *block, size_t i, size_t j, uint8_t month)
{
	const struct history_contact *a = &block->contact[i];
	const struct history_contact *b = &block->contact[j];
	unsigned age_a = history_age(a->last_month, month);
	unsigned age_b = history_age(b->last_month, month);
	if (block->fresh[i] != block->fresh[j]) {
		return block->fresh[j];
	}
	return age_a != age_b ? age_a > age_b : a->first_day > b->first_day;
}

static void evict(struct block *block, size_t count, uint8_t month)
{
	for (; count > 0 && block->n > 0; count--) {
		size_t victim = 0;
		for (size_t i = 1; i < block->n; i++) {
			if (goes_before(block, i, victim, month)) {
				victim = i;
			}
		}
		size_t behind = --block->n - victim;
		memmove(&block->contact[victim], &block->contact[victim + 1],
		        behind * sizeof *block->contact);
		memmove(&block->fresh[victim], &block->fresh[victim + 1],
		        behind * sizeof *block->fresh);
	}
}

/* How many contacts of a block have to go. */
static size_t excess(const struct history_head *head, size_t before, size_t after)
{
	size_t others = head->contacts > before ? head->contacts - before : 0;
	size_t block = after > HISTORY_BLOCK ? after - HISTORY_BLOCK : 0;
	size_t all = others + after > HISTORY_CONTACTS_MAX
	                 ? others + after - HISTORY_CONTACTS_MAX
	                 : 0;
	return block > all ? block : all;
}

static void count_change(struct history_head *head, size_t before, size_t merged, size_t after)
{
	size_t others = head->contacts > before ? head->contacts - before : 0;
	uint64_t ever = (uint64_t)head->ever + (merged - before);
	head->contacts = (uint32_t)(others + after);
	head->ever = ever > UINT32_MAX ? UINT32_MAX : (uint32_t)ever;
}

/* How many of the first of them are of one block, as far as it can hold them at all. */
static size_t count_group(const struct history_contact *contacts, size_t n, unsigned depth)
{
	size_t count = 0;
	unsigned block = block_of(contacts[0].digest, depth);
	while (count < n && count < HISTORY_BLOCK &&
	       block_of(contacts[count].digest, depth) == block) {
		count++;
	}
	return count;
}

/* Puts those of the first block; `count_out` of them, 0 when the blocks were doubled instead.
 */
static enum store_result put_group(struct store_txn *txn, struct span account,
                                   struct history_head *head,
                                   const struct history_contact *contacts, size_t *count)
{
	struct block old;
	struct block merged;
	size_t group = count_group(contacts, *count, head->depth);
	struct place place = { txn, account, head->depth,
		               block_of(contacts[0].digest, head->depth) };
	enum store_result result = get_block(&place, &old);
	*count = 0;
	if (result != STORE_OK) {
		return result;
	}
	merge(&old, contacts, group, &merged);
	if (merged.n > HISTORY_BLOCK && head->depth < HISTORY_DEPTH_MAX) {
		return double_blocks(txn, account, head);
	}
	size_t all = merged.n;
	evict(&merged, excess(head, old.n, merged.n), contacts[0].last_month);
	put_block(&place, merged.contact, merged.n);
	count_change(head, old.n, all, merged.n);
	*count = group;
	return store_txn_result(txn);
}

enum store_result history_put(struct store_txn *txn, struct span account,
                              struct history_head *head, const struct history_contact *contacts,
                              size_t n)
{
	struct history_contact *sorted = malloc((n ? n : 1) * sizeof *sorted);
	enum store_result result = STORE_OK;
	assert(is_account(account));
	if (!sorted) {
		return store_txn_fail(txn, STORE_FAILED);
	}
	if (n) {
		memcpy(sorted, contacts, n * sizeof *sorted);
	}
	n = arrange(sorted, n);
	for (size_t i = 0; result == STORE_OK && i < n;) {
		size_t count = n - i;
		result = put_group(txn, account, head, sorted + i, &count);
		i += count;
	}
	free(sorted);
	enum store_result put = history_head_put(txn, account, head);
	return put == STORE_OK ? result : put;
}

/* ---- going over all ---- */

static bool is_same(const struct history_contact *a, const struct history_contact *b)
{
	return a->first_day == b->first_day && a->last_month == b->last_month &&
	       a->origin == b->origin;
}

enum store_result history_filter(struct store_txn *txn, struct span account,
                                 struct history_head *head,
                                 bool (*keep)(void *context, struct history_contact *contact),
                                 void *context)
{
	struct block block;
	struct place place = { txn, account, head->depth, 0 };
	enum store_result damage = STORE_OK;
	uint32_t before = head->contacts;
	assert(is_account(account));
	for (; place.block < 1u << head->depth; place.block++) {
		enum store_result result = get_block(&place, &block);
		size_t kept = 0;
		bool changed = false;
		damage = result == STORE_OK ? damage : result;
		for (size_t i = 0; i < block.n; i++) {
			struct history_contact contact = block.contact[i];
			bool stays = keep(context, &contact);
			contact.digest = block.contact[i].digest;
			changed |= !stays || !is_same(&contact, &block.contact[i]);
			block.contact[kept] = contact;
			kept += stays;
		}
		if (changed) {
			put_block(&place, block.contact, kept);
			count_change(head, block.n, block.n, kept);
		}
	}
	enum store_result put = head->contacts != before ? history_head_put(txn, account, head)
	                                                 : store_txn_result(txn);
	return put == STORE_OK ? damage : put;
}

/* ---- all of an account ---- */

static void unshare_all(struct store_txn *txn, struct span account)
{
	struct history_head head;
	if (history_head_get(txn, account, &head) != STORE_OK) {
		return;
	}
	for (size_t i = 0; i < COUNT(head.network); i++) {
		if (head.network[i].digest && head.network[i].ripe) {
			history_unshare(txn, head.network[i].digest, account);
		}
	}
}

enum store_result history_delete(struct store_txn *txn, struct span account)
{
	struct key prefix = key_account_prefix(account);
	struct store_walk walk;
	struct span key;
	struct span row;
	bool any = false;
	if (!is_account(account)) {
		return STORE_NOT_FOUND;
	}
	unshare_all(txn, account);
	store_walk_begin(&walk, txn, STORE_HISTORY, SPAN_NONE, key_span(&prefix));
	while (store_walk_next(&walk, &key, &row) && store_walk_del(&walk) == STORE_OK) {
		any = true;
	}
	store_walk_end(&walk);
	enum store_result result = store_txn_result(txn);
	return result == STORE_OK && !any ? STORE_NOT_FOUND : result;
}

/* No name has a byte below a blank: behind all rows of one is its name and a 1. */
enum store_result history_next(struct store_txn *txn, struct span after, struct key *name_out)
{
	struct key from = key_account_prefix(after);
	struct store_walk walk;
	struct span key;
	struct span row;
	bool found = false;
	from.bytes[from.len - 1] = '\1';
	store_walk_begin(&walk, txn, STORE_HISTORY, key_span(&from), SPAN_NONE);
	while (!found && store_walk_next(&walk, &key, &row)) {
		size_t len = span_find(key, '\0');
		found = len > 0 && len < key.len && len <= KEY_ACCOUNT_MAX;
		if (found) {
			name_out->len = len;
			memcpy(name_out->bytes, key.ptr, len);
		}
	}
	store_walk_end(&walk);
	enum store_result result = store_txn_result(txn);
	return result == STORE_OK && !found ? STORE_NOT_FOUND : result;
}

uint64_t history_bytes(struct store_txn *txn, struct span account)
{
	struct key prefix = key_account_prefix(account);
	struct store_walk walk;
	struct span key;
	struct span row;
	uint64_t bytes = 0;
	store_walk_begin(&walk, txn, STORE_HISTORY, SPAN_NONE, key_span(&prefix));
	while (store_walk_next(&walk, &key, &row)) {
		bytes += key.len + row.len;
	}
	store_walk_end(&walk);
	return bytes;
}
