#include "store/account.h"

#include <assert.h>

#include "proto/pack.h"
#include "store/keys.h"

#define ROW_VERSION 1
#define ROW_MAX     ((size_t)1024 * 1024)
#define FIELDS_MAX  16

/* Tags are for ever: a row is a version, then fields. Those that we do not know are kept. */
enum account_tag {
	TAG_SECRET,
	TAG_LIMITS,
	TAG_CREATED,
	TAG_CHANGED,
	TAG_ACTION,
	TAG_TICKET,
	TAG_TARIFF,
	TAG_MODE,
	TAG_RECOVERY,
	ACCOUNT_TAGS,
};
enum ledger_tag {
	TAG_BUDGET,
	TAG_STANDING,
	TAG_FACTS,
	TAG_MARKS,
	TAG_TALLY,
	TAG_STRANGERS,
	TAG_WATCH,
	LEDGER_TAGS,
};

struct row {
	enum store_table table;
	size_t known; /* tags below are ours */
	struct span fields[FIELDS_MAX];
};

/* A name that can be no key belongs to nobody. App passwords have ledgers, too. */
static bool is_name(enum store_table table, struct span name)
{
	return name.len > 0 &&
	       name.len <= (table == STORE_LEDGER ? KEY_LEDGER_MAX : KEY_ACCOUNT_MAX);
}

static enum store_result damaged(struct store_txn *txn)
{
	return store_txn_writes(txn) ? store_txn_fail(txn, STORE_DAMAGED) : STORE_DAMAGED;
}

static bool read_row(struct span value, struct row *row)
{
	struct unpacker in = unpack_from(value);
	uint8_t version = unpack_u8(&in);
	uint8_t tag;
	struct span field;
	while (unpack_field(&in, &tag, &field)) {
		if (tag < row->known) {
			row->fields[tag] = field;
		}
	}
	return unpack_ok(&in) && version == ROW_VERSION;
}

static enum store_result get_row(struct store_txn *txn, struct span name, struct row *row)
{
	struct span value;
	enum store_result result = is_name(row->table, name)
	                               ? store_get(txn, row->table, name, &value)
	                               : STORE_NOT_FOUND;
	if (result != STORE_OK) {
		return result;
	}
	return read_row(value, row) ? STORE_OK : damaged(txn);
}

/* What a newer version had put into the row that is there. */
static void keep_unknown(struct store_txn *txn, struct span name, const struct row *row,
                         struct buf *out)
{
	struct span value;
	if (store_get(txn, row->table, name, &value) != STORE_OK) {
		return;
	}
	struct unpacker in = unpack_from(span_from(value, 1));
	uint8_t tag;
	struct span field;
	while (unpack_field(&in, &tag, &field)) {
		if (tag >= row->known) {
			pack_field(out, tag, field);
		}
	}
}

static enum store_result put_row(struct store_txn *txn, struct span name, const struct row *row)
{
	assert(is_name(row->table, name));
	struct buf out;
	buf_init(&out, ROW_MAX);
	pack_u8(&out, ROW_VERSION);
	for (size_t tag = 0; tag < row->known; tag++) {
		if (row->fields[tag].len) {
			pack_field(&out, (uint8_t)tag, row->fields[tag]);
		}
	}
	keep_unknown(txn, name, row, &out);
	enum store_result result = out.failed
	                               ? store_txn_fail(txn, STORE_FAILED)
	                               : store_put(txn, row->table, name, buf_span(&out));
	buf_done(&out);
	return result;
}

static int64_t read_time(struct span field)
{
	struct unpacker in = unpack_from(field);
	return unpack_i64(&in);
}

static struct account account_of(const struct row *row)
{
	return (struct account){
		.secret = row->fields[TAG_SECRET],
		.limits = row->fields[TAG_LIMITS],
		.created_wall = read_time(row->fields[TAG_CREATED]),
		.changed_wall = read_time(row->fields[TAG_CHANGED]),
		.action = row->fields[TAG_ACTION],
		.ticket = row->fields[TAG_TICKET],
		.tariff = row->fields[TAG_TARIFF],
		.mode = row->fields[TAG_MODE],
		.recovery = row->fields[TAG_RECOVERY],
	};
}

enum store_result account_get(struct store_txn *txn, struct span name,
                              struct account *account_out)
{
	struct row row = { .table = STORE_ACCOUNT, .known = ACCOUNT_TAGS };
	enum store_result result = get_row(txn, name, &row);
	if (result == STORE_OK) {
		*account_out = account_of(&row);
	}
	return result;
}

enum store_result account_put(struct store_txn *txn, struct span name,
                              const struct account *account)
{
	struct buf times; /* both, 8 bytes each */
	buf_init(&times, 16);
	pack_i64(&times, account->created_wall);
	pack_i64(&times, account->changed_wall);
	struct row row = {
		.table = STORE_ACCOUNT,
		.known = ACCOUNT_TAGS,
		.fields = {
			[TAG_SECRET] = account->secret,
			[TAG_LIMITS] = account->limits,
			[TAG_CREATED] = span_first(buf_span(&times), 8),
			[TAG_CHANGED] = span_from(buf_span(&times), 8),
			[TAG_ACTION] = account->action,
			[TAG_TICKET] = account->ticket,
			[TAG_TARIFF] = account->tariff,
			[TAG_MODE] = account->mode,
			[TAG_RECOVERY] = account->recovery,
		},
	};
	enum store_result result = times.failed ? store_txn_fail(txn, STORE_FAILED)
	                                        : put_row(txn, name, &row);
	buf_done(&times);
	return result;
}

enum store_result account_delete(struct store_txn *txn, struct span name)
{
	enum store_result result = is_name(STORE_ACCOUNT, name)
	                               ? store_del(txn, STORE_ACCOUNT, name)
	                               : STORE_NOT_FOUND;
	if (result != STORE_OK) {
		return result;
	}
	store_del(txn, STORE_LEDGER, name);
	return store_txn_result(txn);
}

enum store_result account_next(struct store_txn *txn, struct span after, struct span *name_out)
{
	struct store_walk walk;
	struct span name;
	struct span value;
	store_walk_begin(&walk, txn, STORE_ACCOUNT, after, SPAN_NONE);
	bool more = store_walk_next(&walk, &name, &value);
	if (more && span_eq(name, after)) {
		more = store_walk_next(&walk, &name, &value);
	}
	store_walk_end(&walk);
	if (!more) {
		enum store_result result = store_txn_result(txn);
		return result == STORE_OK ? STORE_NOT_FOUND : result;
	}
	*name_out = name;
	return STORE_OK;
}

void account_walk_begin(struct account_walk *walk, struct store_txn *txn)
{
	store_walk_begin(&walk->walk, txn, STORE_ACCOUNT, SPAN_NONE, SPAN_NONE);
}

bool account_walk_next(struct account_walk *walk, struct span *name_out,
                       struct account *account_out)
{
	struct span value;
	while (store_walk_next(&walk->walk, name_out, &value)) {
		struct row row = { .table = STORE_ACCOUNT, .known = ACCOUNT_TAGS };
		if (read_row(value, &row)) {
			*account_out = account_of(&row);
			return true;
		}
	}
	return false;
}

void account_walk_end(struct account_walk *walk)
{
	store_walk_end(&walk->walk);
}

enum store_result ledger_get(struct store_txn *txn, struct span name, struct ledger *ledger_out)
{
	struct row row = { .table = STORE_LEDGER, .known = LEDGER_TAGS };
	enum store_result result = get_row(txn, name, &row);
	if (result == STORE_OK || result == STORE_NOT_FOUND) {
		*ledger_out = (struct ledger){
			.budget = row.fields[TAG_BUDGET],
			.standing = row.fields[TAG_STANDING],
			.facts = row.fields[TAG_FACTS],
			.marks = row.fields[TAG_MARKS],
			.tally = row.fields[TAG_TALLY],
			.strangers = row.fields[TAG_STRANGERS],
			.watch = row.fields[TAG_WATCH],
		};
		return STORE_OK;
	}
	return result;
}

enum store_result ledger_put(struct store_txn *txn, struct span name,
                             const struct ledger *ledger)
{
	struct row row = {
		.table = STORE_LEDGER,
		.known = LEDGER_TAGS,
		.fields = {
			[TAG_BUDGET] = ledger->budget,
			[TAG_STANDING] = ledger->standing,
			[TAG_FACTS] = ledger->facts,
			[TAG_MARKS] = ledger->marks,
			[TAG_TALLY] = ledger->tally,
			[TAG_STRANGERS] = ledger->strangers,
			[TAG_WATCH] = ledger->watch,
		},
	};
	return put_row(txn, name, &row);
}
