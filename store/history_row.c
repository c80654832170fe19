/* The packed rows of history.h: heads, and the networks that accounts share. */
#include "store/history.h"

#include <assert.h>

#include "proto/pack.h"

#define HEAD_VERSION  1
#define SHARE_VERSION 1
#define HEAD_MAX      ((size_t)4096)
#define HOUR          ((int64_t)3600 * 1000)
#define DAYS_MAX      3

enum head_flag { IS_IMPORTED = 1, IS_BARRED_REST = 2, HEAD_FLAGS = 3 };
/* The days are in the two bits above. */
enum network_flag { IS_RIPE = 1, IS_BARRED = 2, HAS_COUNTRY = 4, HAS_KNOWN = 8 };
#define DAYS_SHIFT    4
#define NETWORK_FLAGS (IS_RIPE | IS_BARRED | HAS_COUNTRY | HAS_KNOWN | DAYS_MAX << DAYS_SHIFT)

/* ---- a head ---- */

static void pack_network(const struct history_network *network, struct buf *out)
{
	bool country = network->country[0] != '\0';
	assert(network->serial && network->days <= DAYS_MAX && network->met_at >= 0);
	pack_u64(out, network->digest);
	pack_u8(out, (uint8_t)((network->ripe ? IS_RIPE : 0) |
	                       (network->barred ? IS_BARRED : 0) | (country ? HAS_COUNTRY : 0) |
	                       (network->known ? HAS_KNOWN : 0) | network->days << DAYS_SHIFT));
	pack_varint(out, network->serial);
	pack_varint(out, network->first_day);
	pack_varint(out, (uint64_t)(network->met_at / HOUR));
	if (network->days) {
		pack_varint(out, network->day_from);
		pack_varint(out, network->day_of);
	}
	if (network->known) {
		pack_varint(out, network->known_day);
		pack_varint(out, network->known);
	}
	if (country) {
		buf_put(out, span_of(network->country, sizeof network->country));
	}
}

static void pack_head(const struct history_head *head, struct buf *out)
{
	uint8_t count = 0;
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		count = (uint8_t)(count + (head->network[i].digest != 0));
	}
	assert(head->lost_at >= 0 && head->barred_wall >= 0);
	pack_u8(out, HEAD_VERSION);
	pack_u8(out, (uint8_t)((head->imported ? IS_IMPORTED : 0) |
	                       (head->barred_rest ? IS_BARRED_REST : 0)));
	pack_varint(out, head->born_day);
	pack_varint(out, head->contacts);
	pack_varint(out, head->ever);
	pack_u8(out, head->depth);
	pack_varint(out, head->learned_day);
	pack_varint(out, head->learned);
	pack_varint(out, head->next_serial);
	pack_varint(out, (uint64_t)head->barred_wall);
	pack_varint(out, (uint64_t)(head->lost_at / HOUR));
	pack_u8(out, count);
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		if (head->network[i].digest) {
			pack_network(&head->network[i], out);
		}
	}
}

/* A number that is to be no more than `most`. */
static uint64_t unpack_upto(struct unpacker *in, uint64_t most)
{
	uint64_t value = unpack_varint(in);
	in->bad |= value > most;
	return in->bad ? 0 : value;
}

static uint16_t unpack_u16(struct unpacker *in)
{
	return (uint16_t)unpack_upto(in, UINT16_MAX);
}

static int64_t unpack_hour(struct unpacker *in)
{
	return (int64_t)unpack_upto(in, INT64_MAX / HOUR) * HOUR;
}

static void unpack_network(struct unpacker *in, struct history_network *network)
{
	network->digest = unpack_u64(in);
	uint8_t flags = unpack_u8(in);
	network->serial = unpack_u16(in);
	network->first_day = unpack_u16(in);
	network->met_at = unpack_hour(in);
	network->ripe = flags & IS_RIPE;
	network->barred = flags & IS_BARRED;
	network->days = (uint8_t)(flags >> DAYS_SHIFT & DAYS_MAX);
	if (network->days) {
		network->day_from = unpack_u16(in);
		network->day_of = unpack_u16(in);
	}
	if (flags & HAS_KNOWN) {
		network->known_day = unpack_u16(in);
		network->known = unpack_u16(in);
		in->bad |= network->known == 0;
	}
	if (flags & HAS_COUNTRY) {
		network->country[0] = (char)unpack_u8(in);
		network->country[1] = (char)unpack_u8(in);
		in->bad |= network->country[0] == '\0';
	}
	in->bad |= network->digest == 0 || network->serial == 0 || (flags & ~NETWORK_FLAGS) ||
	           (network->ripe && network->barred);
}

static bool unpack_head(struct span row, struct history_head *head)
{
	struct unpacker in = unpack_from(row);
	in.bad |= unpack_u8(&in) != HEAD_VERSION;
	uint8_t flags = unpack_u8(&in);
	head->imported = flags & IS_IMPORTED;
	head->barred_rest = flags & IS_BARRED_REST;
	head->born_day = unpack_u16(&in);
	head->contacts = (uint32_t)unpack_upto(&in, HISTORY_CONTACTS_MAX);
	head->ever = (uint32_t)unpack_upto(&in, UINT32_MAX);
	head->depth = unpack_u8(&in);
	head->learned_day = unpack_u16(&in);
	head->learned = unpack_u16(&in);
	head->next_serial = unpack_u16(&in);
	head->barred_wall = (int64_t)unpack_upto(&in, INT64_MAX);
	head->lost_at = unpack_hour(&in);
	uint8_t count = unpack_u8(&in);
	in.bad |= flags > HEAD_FLAGS || head->depth > HISTORY_DEPTH_MAX ||
	          count > HISTORY_NETWORKS;
	for (size_t i = 0; !in.bad && i < count; i++) {
		unpack_network(&in, &head->network[i]);
	}
	return unpack_ok(&in);
}

static bool is_account(struct span name)
{
	return name.len > 0 && name.len <= KEY_ACCOUNT_MAX;
}

enum store_result history_head_get(struct store_txn *txn, struct span account,
                                   struct history_head *head_out)
{
	struct history_head head = { 0 };
	struct key key = key_account_prefix(account);
	struct span row;
	enum store_result result = is_account(account)
	                               ? store_get(txn, STORE_HISTORY, key_span(&key), &row)
	                               : STORE_NOT_FOUND;
	if (result == STORE_OK && !unpack_head(row, &head)) {
		return STORE_DAMAGED;
	}
	if (result == STORE_OK || result == STORE_NOT_FOUND) {
		*head_out = head;
		result = STORE_OK;
	}
	return result;
}

enum store_result history_head_put(struct store_txn *txn, struct span account,
                                   const struct history_head *head)
{
	struct buf row = { .cap = HEAD_MAX };
	struct key key = key_account_prefix(account);
	assert(is_account(account));
	pack_head(head, &row);
	enum store_result result = row.failed ? store_txn_fail(txn, STORE_FAILED)
	                                      : store_put(txn, STORE_HISTORY, key_span(&key),
	                                                  buf_span(&row));
	buf_done(&row);
	return result;
}

/* ---- a network that accounts share ---- */

struct sharers {
	size_t n;
	uint32_t account[HISTORY_SHARERS_MAX];
};

/* FNV-1a: names that were made to collide make a network look less shared than it is, and
 * names are the admin's. */
static uint32_t sharer(struct span account)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < account.len; i++) {
		hash = (hash ^ (unsigned char)account.ptr[i]) * 16777619u;
	}
	return hash;
}

static enum store_result get_sharers(struct store_txn *txn, uint64_t network,
                                     struct sharers *sharers)
{
	struct key key = key_id(network);
	struct span row;
	sharers->n = 0;
	enum store_result result = store_get(txn, STORE_NETWORK, key_span(&key), &row);
	if (result != STORE_OK) {
		return result == STORE_NOT_FOUND ? STORE_OK : result;
	}
	struct unpacker in = unpack_from(row);
	in.bad |= unpack_u8(&in) != SHARE_VERSION || in.rest.len == 0 ||
	          in.rest.len > sizeof sharers->account;
	while (!in.bad && in.rest.len) {
		sharers->account[sharers->n++] = unpack_u32(&in);
	}
	return unpack_ok(&in) ? STORE_OK : STORE_DAMAGED;
}

static enum store_result put_sharers(struct store_txn *txn, uint64_t network,
                                     const struct sharers *sharers)
{
	struct key key = key_id(network);
	struct buf row = { .cap = 1 + sizeof sharers->account };
	if (sharers->n == 0) {
		return store_del(txn, STORE_NETWORK, key_span(&key));
	}
	pack_u8(&row, SHARE_VERSION);
	for (size_t i = 0; i < sharers->n; i++) {
		pack_u32(&row, sharers->account[i]);
	}
	enum store_result result = row.failed ? store_txn_fail(txn, STORE_FAILED)
	                                      : store_put(txn, STORE_NETWORK, key_span(&key),
	                                                  buf_span(&row));
	buf_done(&row);
	return result;
}

/* Where it is, or `n`. */
static size_t find_sharer(const struct sharers *sharers, uint32_t account)
{
	size_t i = 0;
	while (i < sharers->n && sharers->account[i] != account) {
		i++;
	}
	return i;
}

enum store_result history_share(struct store_txn *txn, uint64_t network, struct span account)
{
	struct sharers sharers;
	uint32_t who = sharer(account);
	enum store_result result = get_sharers(txn, network, &sharers);
	if (result != STORE_OK || sharers.n == COUNT(sharers.account) ||
	    find_sharer(&sharers, who) < sharers.n) {
		return result;
	}
	sharers.account[sharers.n++] = who;
	return put_sharers(txn, network, &sharers);
}

enum store_result history_unshare(struct store_txn *txn, uint64_t network, struct span account)
{
	struct sharers sharers;
	enum store_result result = get_sharers(txn, network, &sharers);
	size_t at = find_sharer(&sharers, sharer(account));
	if (result != STORE_OK || at == sharers.n) {
		return result;
	}
	sharers.account[at] = sharers.account[--sharers.n];
	return put_sharers(txn, network, &sharers);
}

enum store_result history_sharers(struct store_txn *txn, uint64_t network, unsigned *count_out)
{
	struct sharers sharers;
	enum store_result result = get_sharers(txn, network, &sharers);
	if (result == STORE_OK) {
		*count_out = (unsigned)sharers.n;
	}
	return result;
}
