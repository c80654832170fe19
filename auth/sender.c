#include "auth/sender.h"

#include <assert.h>

#include "auth/gate.h"
#include "proto/address.h"
#include "proto/pack.h"
#include "store/keys.h"

#define ROW_VERSION 1
#define ROW_MAX     16
#define KEY_MAX     (KEY_ACCOUNT_MAX + 1 + ADDRESS_MAX)

static_assert(KEY_MAX <= 511, "LMDB's longest key");

/* Account, NUL, pattern in lower case. */
struct alias_key {
	char bytes[KEY_MAX];
	size_t len;
};

static struct span key_bytes(const struct alias_key *key)
{
	return span_of(key->bytes, key->len);
}

static struct alias_key key_of(struct span account, struct span pattern)
{
	struct key prefix = key_account_prefix(account);
	struct alias_key key = { .len = prefix.len };
	pattern = span_first(pattern, ADDRESS_MAX);
	memcpy(key.bytes, prefix.bytes, prefix.len);
	for (size_t i = 0; i < pattern.len; i++) {
		key.bytes[key.len++] = span_lower(pattern.ptr[i]);
	}
	return key;
}

bool sender_pattern_is_valid(struct span pattern)
{
	size_t at = span_find(pattern, '@');
	bool good = at < pattern.len && pattern.len <= ADDRESS_MAX &&
	            span_from(pattern, at + 1).len > 0 && at > 0;
	for (size_t i = 0; i < pattern.len; i++) {
		good = good && pattern.ptr[i] > ' ' && pattern.ptr[i] < 127 &&
		       (i <= at || pattern.ptr[i] != '@');
	}
	return good;
}

/* ---- rows ---- */

static bool unpack_row(struct span row, struct sender_alias *alias)
{
	struct unpacker in = unpack_from(row);
	uint8_t version = unpack_u8(&in);
	uint8_t seen = unpack_u8(&in);
	alias->seen = seen != 0;
	alias->wall = unpack_i64(&in);
	return unpack_ok(&in) && version == ROW_VERSION && seen <= 1;
}

static enum store_result put_row(struct store_txn *txn, struct span account,
                                 const struct sender_alias *alias)
{
	struct alias_key key = key_of(account, alias->pattern);
	struct buf row = { .cap = ROW_MAX };
	pack_u8(&row, ROW_VERSION);
	pack_u8(&row, alias->seen);
	pack_i64(&row, alias->wall);
	enum store_result result = row.failed ? store_txn_fail(txn, STORE_FAILED)
	                                      : store_put(txn, STORE_ALIAS, key_bytes(&key),
	                                                  buf_span(&row));
	buf_done(&row);
	return result;
}

/* Goes through an account's rows. One that can not be read is none: it allows nothing. */
struct walk {
	struct store_walk rows;
	struct key prefix;
};

static void walk_begin(struct walk *walk, struct store_txn *txn, struct span account)
{
	walk->prefix = key_account_prefix(account);
	store_walk_begin(&walk->rows, txn, STORE_ALIAS, key_span(&walk->prefix),
	                 key_span(&walk->prefix));
}

static bool walk_next(struct walk *walk, struct sender_alias *alias)
{
	struct span key;
	struct span row;
	while (store_walk_next(&walk->rows, &key, &row)) {
		alias->pattern = span_from(key, walk->prefix.len);
		if (unpack_row(row, alias)) {
			return true;
		}
	}
	return false;
}

static size_t count(struct store_txn *txn, struct span account, bool seen)
{
	struct sender_alias alias;
	struct walk walk;
	size_t n = 0;
	walk_begin(&walk, txn, account);
	while (walk_next(&walk, &alias)) {
		n += alias.seen == seen;
	}
	store_walk_end(&walk.rows);
	return n;
}

/* ---- asking ---- */

enum store_result sender_may(struct store_txn *txn, struct span account, struct span address,
                             bool *may_out)
{
	struct sender_alias alias;
	struct walk walk;
	bool may = false;
	if (address.len == 0 || span_eq_nocase(address, account)) {
		*may_out = true; /* nearly always: no row is looked at */
		return STORE_OK;
	}
	walk_begin(&walk, txn, account);
	while (!may && walk_next(&walk, &alias)) {
		may = !alias.seen && gate_pattern_matches(alias.pattern, address);
	}
	store_walk_end(&walk.rows);
	enum store_result result = store_txn_result(txn);
	if (result == STORE_OK) {
		*may_out = may;
	}
	return result;
}

/* An address may be longer than a key holds: such a one is never noted. */
static enum store_result get_row(struct store_txn *txn, struct span account,
                                 struct span pattern, struct sender_alias *alias)
{
	struct alias_key key = key_of(account, pattern);
	struct span row;
	enum store_result result = store_get(txn, STORE_ALIAS, key_bytes(&key), &row);
	return result == STORE_OK && !unpack_row(row, alias) ? STORE_DAMAGED : result;
}

bool sender_is_noted(struct store_txn *txn, struct span account, struct span address)
{
	struct sender_alias alias;
	return get_row(txn, account, address, &alias) == STORE_OK;
}

/* ---- writing ---- */

enum store_result sender_note(struct store_txn *txn, struct span account, struct span address,
                              int64_t wall)
{
	if (!sender_pattern_is_valid(address) || span_find(address, '*') < address.len ||
	    sender_is_noted(txn, account, address) ||
	    count(txn, account, true) >= SENDER_SEEN_MAX) {
		return store_txn_result(txn);
	}
	const struct sender_alias alias = { .pattern = address, .seen = true, .wall = wall };
	return put_row(txn, account, &alias);
}

enum store_result sender_alias_add(struct store_txn *txn, struct span account,
                                   struct span pattern, int64_t wall, bool *full_out)
{
	const struct sender_alias alias = { .pattern = pattern, .wall = wall };
	*full_out = count(txn, account, false) >= SENDER_ALIASES_MAX;
	return *full_out ? store_txn_result(txn) : put_row(txn, account, &alias);
}

enum store_result sender_alias_delete(struct store_txn *txn, struct span account,
                                      struct span pattern)
{
	struct alias_key key = key_of(account, pattern);
	return store_del(txn, STORE_ALIAS, key_bytes(&key));
}

enum store_result sender_alias_delete_all(struct store_txn *txn, struct span account)
{
	struct walk walk;
	struct span key;
	struct span row;
	walk_begin(&walk, txn, account);
	while (store_walk_next(&walk.rows, &key, &row) &&
	       store_walk_del(&walk.rows) == STORE_OK) {
	}
	store_walk_end(&walk.rows);
	return store_txn_result(txn);
}

enum store_result sender_alias_next(struct store_txn *txn, struct span account,
                                    struct span after, struct sender_alias *alias_out)
{
	struct alias_key from = key_of(account, after);
	struct walk walk = { .prefix = key_account_prefix(account) };
	struct sender_alias alias;
	store_walk_begin(&walk.rows, txn, STORE_ALIAS, key_bytes(&from),
	                 key_span(&walk.prefix));
	bool more = walk_next(&walk, &alias);
	if (more && after.len && span_eq_nocase(alias.pattern, after)) {
		more = walk_next(&walk, &alias);
	}
	store_walk_end(&walk.rows);
	if (!more) {
		enum store_result result = store_txn_result(txn);
		return result == STORE_OK ? STORE_NOT_FOUND : result;
	}
	*alias_out = alias;
	return STORE_OK;
}
