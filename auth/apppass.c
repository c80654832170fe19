#include "auth/apppass.h"

#include <assert.h>

#include "auth/secret.h"
#include "proto/pack.h"
#include "store/account.h"
#include "store/keys.h"

#define PREFIX       "gp-"
#define LETTERS      26 /* of 5 bits each: 130 */
#define GROUP        5  /* the last one has one more */
#define ROW_VERSION  1
#define ROW_MAX      1024
#define NETWORK_PART (NETWORK_ADDRESS_BYTES + 1)

static_assert(APPPASS_NAME_MAX == KEY_NAME_MAX, "a name is part of a key");

/* ---- names and secrets ---- */

static bool is_name_char(char c)
{
	char lower = span_lower(c);
	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_' || c == '.';
}

bool apppass_name_is_valid(struct span name)
{
	size_t i = 0;
	while (i < name.len && is_name_char(name.ptr[i])) {
		i++;
	}
	return i == name.len && name.len > 0 && name.len <= APPPASS_NAME_MAX;
}

/* What is typed off a screen: case does not matter, and dashes behind the first may be left
 * out, or be elsewhere. */
static bool read_letters(struct span password, char letters[LETTERS])
{
	size_t n = 0;
	if (password.len > APPPASS_SECRET_MAX ||
	    !span_starts_nocase(password, SPAN_LIT(PREFIX))) {
		return false;
	}
	for (size_t i = strlen(PREFIX); i < password.len; i++) {
		char c = span_lower(password.ptr[i]);
		bool letter = (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
		if (c != '-' && (!letter || n == LETTERS)) {
			return false;
		}
		if (letter) {
			letters[n++] = c;
		}
	}
	return n == LETTERS;
}

bool apppass_is_one(struct span password)
{
	char letters[LETTERS];
	bool is = read_letters(password, letters);
	secret_cleanse(letters, sizeof letters);
	return is;
}

/* 130 random bits need neither salt nor rounds: nobody guesses one from its digest. */
static void digest_of(struct span account, const char letters[LETTERS],
                      unsigned char digest_out[SECRET_BYTES])
{
	static const struct secret_key public = { "gatepost app password" };
	const struct span parts[] = { account, span_of(letters, LETTERS) };
	secret_hmac(&public, parts, COUNT(parts), digest_out);
}

/* 256 is a multiple of 32: each letter is as likely as any other. */
static void make_letters(char letters[LETTERS])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	secret_random(letters, LETTERS);
	for (size_t i = 0; i < LETTERS; i++) {
		letters[i] = alphabet[letters[i] & 31];
	}
}

static void write_secret(const char letters[LETTERS], struct buf *out)
{
	buf_put_str(out, PREFIX);
	for (size_t i = 0; i < LETTERS; i++) {
		bool ends_group = i % GROUP == GROUP - 1 && i + 1 < LETTERS - 1;
		buf_put_byte(out, letters[i]);
		buf_put_str(out, ends_group ? "-" : "");
	}
}

/* ---- rows ---- */

static void pack_networks(const struct apppass *apppass, struct buf *out)
{
	for (size_t i = 0; i < apppass->nnetworks; i++) {
		const struct network *network = &apppass->network[i];
		buf_put(out, span_of(network->address, sizeof network->address));
		pack_u8(out, (uint8_t)network->bits);
	}
}

static void pack_row(const struct apppass *apppass, const unsigned char digest[SECRET_BYTES],
                     struct buf *out)
{
	struct buf limits = { .cap = ROW_MAX };
	struct buf networks = { .cap = ROW_MAX };
	budget_limits_pack(&apppass->limits, &limits);
	pack_networks(apppass, &networks);
	pack_u8(out, ROW_VERSION);
	buf_put(out, span_of(digest, SECRET_BYTES));
	pack_i64(out, apppass->created_wall);
	pack_span(out, buf_span(&limits));
	pack_span(out, buf_span(&networks));
	/* A row without its limits or networks would allow more. */
	out->failed = out->failed || limits.failed || networks.failed;
	buf_done(&limits);
	buf_done(&networks);
}

static bool unpack_networks(struct span field, struct apppass *apppass)
{
	apppass->nnetworks = field.len / NETWORK_PART;
	if (field.len % NETWORK_PART || apppass->nnetworks > APPPASS_NETWORKS_MAX) {
		return false;
	}
	for (size_t i = 0; i < apppass->nnetworks; i++) {
		struct network *network = &apppass->network[i];
		const char *at = field.ptr + i * NETWORK_PART;
		memcpy(network->address, at, NETWORK_ADDRESS_BYTES);
		network->bits = (unsigned char)at[NETWORK_ADDRESS_BYTES];
		if (network->bits > 8 * NETWORK_ADDRESS_BYTES) {
			return false;
		}
	}
	return true;
}

/* No tagged fields: what an older version skipped might narrow what the password may do. */
static bool unpack_row(struct span row, struct apppass *apppass, struct span *digest)
{
	struct unpacker in = unpack_from(row);
	uint8_t version = unpack_u8(&in);
	*digest = span_first(in.rest, SECRET_BYTES);
	in.rest = span_from(in.rest, digest->len);
	apppass->created_wall = unpack_i64(&in);
	struct span limits = unpack_span(&in);
	struct span networks = unpack_span(&in);
	return unpack_ok(&in) && version == ROW_VERSION &&
	       budget_limits_unpack(limits, &apppass->limits) &&
	       unpack_networks(networks, apppass);
}

static enum store_result damaged(struct store_txn *txn)
{
	return store_txn_writes(txn) ? store_txn_fail(txn, STORE_DAMAGED) : STORE_DAMAGED;
}

/* The next row of an account: its name, which the account and a NUL stand before. */
static bool next_row(struct store_walk *walk, size_t prefix, struct span *name_out,
                     struct span *row_out)
{
	struct span key;
	if (!store_walk_next(walk, &key, row_out)) {
		return false;
	}
	*name_out = span_from(key, prefix);
	return true;
}

static enum store_result not_found(struct store_txn *txn)
{
	enum store_result result = store_txn_result(txn);
	return result == STORE_OK ? STORE_NOT_FOUND : result;
}

/* ---- one ---- */

enum store_result apppass_get(struct store_txn *txn, struct span account, struct span name,
                              struct apppass *apppass_out)
{
	struct apppass apppass = { .name = name };
	struct span row;
	struct span digest;
	if (!apppass_name_is_valid(name) || account.len > KEY_ACCOUNT_MAX) {
		return STORE_NOT_FOUND;
	}
	struct key key = key_apppass(account, name);
	enum store_result result = store_get(txn, STORE_APPPASS, key_span(&key), &row);
	if (result == STORE_OK && !unpack_row(row, &apppass, &digest)) {
		result = damaged(txn);
	}
	if (result == STORE_OK) {
		*apppass_out = apppass;
	}
	return result;
}

/* How many there are, and whether one is called so. */
static size_t count_rows(struct store_txn *txn, struct span account, struct span name,
                         bool *taken_out)
{
	struct key prefix = key_account_prefix(account);
	struct store_walk walk;
	struct span other;
	struct span row;
	size_t n = 0;
	*taken_out = false;
	store_walk_begin(&walk, txn, STORE_APPPASS, key_span(&prefix), key_span(&prefix));
	while (next_row(&walk, prefix.len, &other, &row)) {
		*taken_out |= span_eq(other, name);
		n++;
	}
	store_walk_end(&walk);
	return n;
}

static enum store_result put_new(struct store_txn *txn, struct span account,
                                 const struct apppass *apppass, struct buf *secret_out)
{
	char letters[LETTERS];
	unsigned char digest[SECRET_BYTES];
	struct buf row = { .cap = ROW_MAX };
	struct key key = key_apppass(account, apppass->name);
	make_letters(letters);
	digest_of(account, letters, digest);
	pack_row(apppass, digest, &row);
	write_secret(letters, secret_out);
	enum store_result result = row.failed || secret_out->failed
	                               ? store_txn_fail(txn, STORE_FAILED)
	                               : store_put(txn, STORE_APPPASS, key_span(&key),
	                                           buf_span(&row));
	secret_cleanse(letters, sizeof letters);
	buf_done(&row);
	return result;
}

enum store_result apppass_add(struct store_txn *txn, struct span account,
                              const struct apppass *apppass, struct buf *secret_out,
                              bool *full_out)
{
	struct account row;
	bool taken;
	assert(apppass_name_is_valid(apppass->name));
	assert(apppass->nnetworks <= APPPASS_NETWORKS_MAX);
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	*full_out = count_rows(txn, account, apppass->name, &taken) >= APPPASS_MOST || taken;
	return *full_out || store_txn_result(txn) != STORE_OK
	           ? store_txn_result(txn)
	           : put_new(txn, account, apppass, secret_out);
}

/* With what it has spent: another one of that name begins anew. */
enum store_result apppass_delete(struct store_txn *txn, struct span account, struct span name)
{
	if (!apppass_name_is_valid(name) || account.len > KEY_ACCOUNT_MAX) {
		return STORE_NOT_FOUND;
	}
	struct key key = key_apppass(account, name);
	struct key ledger = key_apppass_ledger(account, name);
	enum store_result result = store_del(txn, STORE_APPPASS, key_span(&key));
	if (result == STORE_OK) {
		store_del(txn, STORE_LEDGER, key_span(&ledger));
		result = store_txn_result(txn);
	}
	return result;
}

/* ---- all of an account ---- */

static enum store_result delete_rows(struct store_txn *txn, enum store_table table,
                                     struct span prefix)
{
	struct store_walk walk;
	struct span key;
	struct span value;
	store_walk_begin(&walk, txn, table, prefix, prefix);
	while (store_walk_next(&walk, &key, &value) && store_walk_del(&walk) == STORE_OK) {
	}
	store_walk_end(&walk);
	return store_txn_result(txn);
}

enum store_result apppass_refill(struct store_txn *txn, struct span account)
{
	struct key prefix = key_apppass_ledger(account, SPAN_NONE);
	return delete_rows(txn, STORE_LEDGER, key_span(&prefix));
}

enum store_result apppass_delete_all(struct store_txn *txn, struct span account)
{
	struct key prefix = key_account_prefix(account);
	enum store_result result = delete_rows(txn, STORE_APPPASS, key_span(&prefix));
	return result == STORE_OK ? apppass_refill(txn, account) : result;
}

enum store_result apppass_next(struct store_txn *txn, struct span account, struct span after,
                               struct apppass *apppass_out)
{
	struct apppass apppass = { .nnetworks = 0 };
	struct key prefix = key_account_prefix(account);
	struct key from = key_apppass(account, after);
	struct store_walk walk;
	struct span row;
	struct span digest;
	store_walk_begin(&walk, txn, STORE_APPPASS, key_span(&from), key_span(&prefix));
	bool more = next_row(&walk, prefix.len, &apppass.name, &row);
	if (more && span_eq(apppass.name, after)) {
		more = next_row(&walk, prefix.len, &apppass.name, &row);
	}
	store_walk_end(&walk);
	if (!more) {
		return not_found(txn);
	}
	enum store_result result = unpack_row(row, &apppass, &digest) ? STORE_OK : damaged(txn);
	*apppass_out = apppass;
	return result;
}

/* ---- logging in ---- */

/* All are looked at, whichever fits; one that can not be read keeps no other from being used.
 */
static enum store_result find_digest(struct store_txn *txn, struct span account,
                                     const unsigned char digest[SECRET_BYTES],
                                     struct apppass *apppass_out)
{
	struct key prefix = key_account_prefix(account);
	struct store_walk walk;
	struct span name;
	struct span row;
	enum store_result result = STORE_NOT_FOUND;
	store_walk_begin(&walk, txn, STORE_APPPASS, key_span(&prefix), key_span(&prefix));
	while (next_row(&walk, prefix.len, &name, &row)) {
		struct apppass apppass = { .name = name };
		struct span stored;
		bool readable = unpack_row(row, &apppass, &stored);
		if (readable && secret_equal(stored.ptr, digest, SECRET_BYTES)) {
			*apppass_out = apppass;
			result = STORE_OK;
		} else if (!readable && result == STORE_NOT_FOUND) {
			result = STORE_DAMAGED;
		}
	}
	store_walk_end(&walk);
	return store_txn_result(txn) == STORE_OK ? result : store_txn_result(txn);
}

enum store_result apppass_find(struct store_txn *txn, struct span account, struct span password,
                               struct apppass *apppass_out)
{
	char letters[LETTERS];
	unsigned char digest[SECRET_BYTES];
	enum store_result result = STORE_NOT_FOUND;
	if (account.len && account.len <= KEY_ACCOUNT_MAX && read_letters(password, letters)) {
		digest_of(account, letters, digest);
		result = find_digest(txn, account, digest, apppass_out);
	}
	secret_cleanse(letters, sizeof letters);
	return result;
}

bool apppass_is_allowed(const struct apppass *apppass,
                        const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	return apppass->nnetworks == 0 ||
	       network_any_contains(apppass->network, apppass->nnetworks, address);
}
