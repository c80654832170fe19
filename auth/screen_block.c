#include "auth/screen_state.h"

#include "proto/pack.h"

/* ---- the admin's ---- */

/* NULL: there is none. */
static struct screen_block *find_by_hand(struct screen *screen, const struct network *network)
{
	for (size_t i = 0; i < screen->nby_hand; i++) {
		if (screen_same_network(&screen->by_hand[i].network, network)) {
			return &screen->by_hand[i];
		}
	}
	return NULL;
}

static void drop_by_hand(struct screen *screen, size_t i)
{
	screen->by_hand[i] = screen->by_hand[--screen->nby_hand];
}

bool screen_add(struct screen *screen, const struct network *network, int64_t until,
                int64_t now)
{
	for (size_t i = screen->nby_hand; i-- > 0;) {
		if (screen->by_hand[i].until <= now) {
			drop_by_hand(screen, i);
		}
	}
	struct screen_block *block = find_by_hand(screen, network);
	if (!block && screen->nby_hand == SCREEN_BY_HAND) {
		return false;
	}
	block = block ? block : &screen->by_hand[screen->nby_hand++];
	*block = (struct screen_block){ .network = *network, .until = until, .by_hand = true };
	return true;
}

static bool is_inside(const struct network *outer, const struct network *network)
{
	return network->bits >= outer->bits && network_contains(outer, network->address);
}

static bool pardon(struct source *source, int64_t now)
{
	bool blocked = screen_source_is_blocked(source, now);
	source->until = source->level = 0;
	source->count = (struct fading){ .faded = now };
	source->failures = 0;
	source->failed = source->addresses = (struct tally){ .since = now };
	return blocked;
}

bool screen_remove(struct screen *screen, const struct network *network, int64_t now)
{
	bool removed = false;
	for (size_t i = screen->nby_hand; i-- > 0;) {
		if (is_inside(network, &screen->by_hand[i].network)) {
			removed |= screen->by_hand[i].until > now;
			drop_by_hand(screen, i);
		}
	}
	for (enum kind kind = ADDRESS; kind < KINDS; kind++) {
		for (size_t i = 0; i < screen->sources[kind].count; i++) {
			struct source *source = screen_table_at(&screen->sources[kind], i);
			if (source && is_inside(network, &source->network)) {
				removed |= pardon(source, now);
			}
		}
	}
	return removed;
}

/* ---- rows ---- */

static struct screen_block block_of(const struct source *source)
{
	return (struct screen_block){ .network = source->network,
		                      .until = source->until,
		                      .level = source->level,
		                      .failures = source->failures };
}

void screen_walk(const struct screen *screen, int64_t now,
                 void (*each)(void *context, const struct screen_block *block), void *context)
{
	for (size_t i = 0; i < screen->nby_hand; i++) {
		if (screen->by_hand[i].until > now) {
			each(context, &screen->by_hand[i]);
		}
	}
	for (enum kind kind = ADDRESS; kind < KINDS; kind++) {
		for (size_t i = 0; i < screen->sources[kind].count; i++) {
			const struct source *source = screen_table_at(&screen->sources[kind],
			                                              i);
			if (screen_source_is_blocked(source, now)) {
				struct screen_block block = block_of(source);
				each(context, &block);
			}
		}
	}
}

static bool find_block_by_hand(const struct screen *screen, const struct network *network,
                               int64_t now, struct screen_block *block_out)
{
	for (size_t i = 0; i < screen->nby_hand; i++) {
		const struct screen_block *block = &screen->by_hand[i];
		if (screen_same_network(&block->network, network) && block->until > now) {
			*block_out = *block;
			return true;
		}
	}
	return false;
}

bool screen_find(const struct screen *screen, const struct network *network, bool by_hand,
                 int64_t now, struct screen_block *block_out)
{
	if (by_hand) {
		return find_block_by_hand(screen, network, now, block_out);
	}
	enum kind kind = screen_kind_of(network);
	const struct source *source = kind < KINDS ? screen_source_find(screen, network, kind)
	                                           : NULL;
	if (!source || !screen_source_is_remembered(source, now)) {
		return false;
	}
	*block_out = block_of(source);
	return true;
}

void screen_restore(struct screen *screen, const struct screen_block *block, int64_t now)
{
	enum kind kind = screen_kind_of(&block->network);
	if (block->by_hand && block->until > now) {
		screen_add(screen, &block->network, block->until, now);
	} else if (!block->by_hand && kind < KINDS) {
		struct source source = { .level = block->level, .until = block->until };
		if (screen_source_is_remembered(&source, now)) {
			struct source *taken = screen_source_take(screen, &block->network, kind,
			                                          now);
			taken->level = block->level;
			taken->until = block->until;
			taken->failures = block->failures;
		}
	}
}

#define ROW_VERSION 1
#define KEY_BYTES   (NETWORK_ADDRESS_BYTES + 2)

/* In the order of addresses, so that a network's are together. */
void screen_block_key(const struct screen_block *block, struct buf *out)
{
	buf_put(out, span_of(block->network.address, sizeof block->network.address));
	pack_u8(out, (uint8_t)block->network.bits);
	pack_u8(out, block->by_hand);
}

void screen_block_pack(const struct screen_block *block, struct buf *out)
{
	pack_u8(out, ROW_VERSION);
	pack_i64(out, block->until);
	pack_u32(out, block->level);
	pack_u32(out, block->failures);
}

static bool is_sound(const struct screen_block *block)
{
	const struct network *network = &block->network;
	if (network->bits > 8 * NETWORK_ADDRESS_BYTES || block->until < 0) {
		return false;
	}
	struct network cut = network_cut(network->address, network->bits);
	bool ours = block->level && block->until < INT64_MAX / 2 &&
	            screen_kind_of(network) < KINDS;
	return screen_same_network(network, &cut) && (block->by_hand || ours);
}

bool screen_block_unpack(struct span key, struct span row, struct screen_block *block_out)
{
	struct screen_block block = { .level = 0 };
	struct unpacker in = unpack_from(row);
	if (key.len != KEY_BYTES || (unsigned char)key.ptr[KEY_BYTES - 1] > 1) {
		return false;
	}
	memcpy(block.network.address, key.ptr, NETWORK_ADDRESS_BYTES);
	block.network.bits = (unsigned char)key.ptr[NETWORK_ADDRESS_BYTES];
	block.by_hand = key.ptr[KEY_BYTES - 1];
	uint8_t version = unpack_u8(&in);
	block.until = unpack_i64(&in);
	block.level = unpack_u32(&in);
	block.failures = unpack_u32(&in);
	if (!unpack_ok(&in) || version != ROW_VERSION || !is_sound(&block)) {
		return false;
	}
	*block_out = block;
	return true;
}
