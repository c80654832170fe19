/* Key builders: big-endian numbers, so that walking order is time order. A key lives in its
 * struct. */
#ifndef GATEPOST_STORE_KEYS_H
#define GATEPOST_STORE_KEYS_H

#include "proto/span.h"

#define KEY_ACCOUNT_MAX 255
#define KEY_NAME_MAX    32 /* of an app password */
#define KEY_LEDGER_MAX  (KEY_ACCOUNT_MAX + 1 + KEY_NAME_MAX)

struct key {
	char bytes[KEY_LEDGER_MAX];
	size_t len;
};

static inline struct span key_span(const struct key *key)
{
	return span_of(key->bytes, key->len);
}

static inline void key_put_u64(struct key *key, uint64_t value)
{
	for (int shift = 56; shift >= 0; shift -= 8) {
		key->bytes[key->len++] = (char)(value >> shift & 0xff);
	}
}

static inline uint64_t key_get_u64(struct span key, size_t at)
{
	uint64_t value = 0;
	for (size_t i = at; i < at + 8 && i < key.len; i++) {
		value = value << 8 | (unsigned char)key.ptr[i];
	}
	return value;
}

/* Queue: id. */
static inline struct key key_id(uint64_t id)
{
	struct key key = { .len = 0 };
	key_put_u64(&key, id);
	return key;
}

/* Due and journal: a time of T (never negative), then an id. */
static inline struct key key_time_id(int64_t time, uint64_t id)
{
	struct key key = { .len = 0 };
	key_put_u64(&key, time < 0 ? 0 : (uint64_t)time);
	key_put_u64(&key, id);
	return key;
}

/* Body: id, then the row's number. */
static inline struct key key_body(uint64_t id, uint32_t row)
{
	struct key key = { .len = 0 };
	key_put_u64(&key, id);
	for (int shift = 24; shift >= 0; shift -= 8) {
		key.bytes[key.len++] = (char)(row >> shift & 0xff);
	}
	return key;
}

/* Owner: account, NUL (accounts hold none), id; with `id` 0 and key_account_prefix all of an
 * account. */
static inline struct key key_account_prefix(struct span account)
{
	struct key key = { .len = span_first(account, KEY_ACCOUNT_MAX).len };
	if (key.len) {
		memcpy(key.bytes, account.ptr, key.len);
	}
	key.bytes[key.len++] = '\0';
	return key;
}

static inline struct key key_owner(struct span account, uint64_t id)
{
	struct key key = key_account_prefix(account);
	key_put_u64(&key, id);
	return key;
}

static inline struct key key_with_name(struct span account, char between, struct span name)
{
	struct key key = key_account_prefix(account);
	name = span_first(name, KEY_NAME_MAX);
	key.bytes[key.len - 1] = between;
	if (name.len) {
		memcpy(key.bytes + key.len, name.ptr, name.len);
		key.len += name.len;
	}
	return key;
}

/* History: account, NUL for the head; then the number of a block. */
static inline struct key key_history_block(struct span account, uint16_t block)
{
	struct key key = key_account_prefix(account);
	key.bytes[key.len++] = (char)(block >> 8);
	key.bytes[key.len++] = (char)(block & 0xff);
	return key;
}

/* App password: account, NUL, name. */
static inline struct key key_apppass(struct span account, struct span name)
{
	return key_with_name(account, '\0', name);
}

/* Its own row of the ledger: account, slash, name. No account is called so: a domain has no
 * slash. With an empty name all of an account. */
static inline struct key key_apppass_ledger(struct span account, struct span name)
{
	return key_with_name(account, '/', name);
}

/* And those of the whole site: suspensions, strangers written to from strange networks,
 * accounts with refused recipients, what the postmasters hear once a day, and their notices of
 * suspensions. */
#define KEY_SITE_LEDGER    SPAN_LIT("/")
#define KEY_SITE_STRANGERS SPAN_LIT("/strangers")
#define KEY_SITE_REFUSED   SPAN_LIT("/refused")
#define KEY_SITE_DIGEST    SPAN_LIT("/digest")
#define KEY_SITE_NOTICES   SPAN_LIT("/notices")

#endif
