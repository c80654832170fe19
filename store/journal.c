#include "store/journal.h"

#include "store/keys.h"

#define ROW_VERSION 1
#define ROW_APPPASS 2 /* the version of rows that name one */

static bool pack_row(const struct journal_row *row, struct buf *out)
{
	size_t recipients = queue_recipients_bound(row->recipients, row->nrecipients);
	buf_reserve(out, 64 + row->account.len + row->sender.len + row->client.len +
	                     row->text.len + row->apppass.len + recipients);
	pack_u8(out, row->apppass.len ? ROW_APPPASS : ROW_VERSION);
	pack_u8(out, (uint8_t)row->kind);
	pack_i64(out, row->wall);
	pack_u64(out, row->size);
	pack_span(out, row->account);
	pack_span(out, row->sender);
	pack_span(out, row->client);
	pack_span(out, row->text);
	if (row->apppass.len) {
		pack_span(out, row->apppass);
	}
	queue_pack_recipients(row->recipients, row->nrecipients, out);
	return !out->failed;
}

/* All but the recipients. */
static uint8_t unpack_head(struct unpacker *in, struct journal_row *row)
{
	uint8_t version = unpack_u8(in);
	row->kind = (enum journal_kind)unpack_u8(in);
	row->wall = unpack_i64(in);
	row->size = unpack_u64(in);
	row->account = unpack_span(in);
	row->sender = unpack_span(in);
	row->client = unpack_span(in);
	row->text = unpack_span(in);
	row->apppass = version == ROW_APPPASS ? unpack_span(in) : SPAN_NONE;
	return version;
}

static struct span present_apppass(struct store_txn *txn, struct span key)
{
	struct span value;
	struct journal_row row;
	if (store_get(txn, STORE_JOURNAL, key, &value) != STORE_OK) {
		return SPAN_NONE;
	}
	struct unpacker in = unpack_from(value);
	unpack_head(&in, &row);
	return in.bad ? SPAN_NONE : row.apppass;
}

enum store_result journal_put(struct store_txn *txn, const struct journal_row *row)
{
	struct buf out;
	struct journal_row named = *row;
	struct key key = key_time_id(row->at, row->id);
	if (row->kind == JOURNAL_MESSAGE && !row->apppass.len) {
		named.apppass = present_apppass(txn, key_span(&key));
	}
	buf_init(&out, QUEUE_ENTRY_MAX);
	enum store_result result = pack_row(&named, &out)
	                               ? store_put(txn, STORE_JOURNAL, key_span(&key),
	                                           buf_span(&out))
	                               : store_txn_fail(txn, STORE_FAILED);
	buf_done(&out);
	return result;
}

struct journal_row journal_of_entry(const struct queue_entry *entry)
{
	return (struct journal_row){
		.kind = JOURNAL_MESSAGE,
		.at = entry->accepted_at,
		.wall = entry->accepted_wall,
		.id = entry->id,
		.account = entry->account,
		.sender = entry->sender,
		.client = entry->client,
		.size = entry->size,
		.recipients = entry->recipients,
		.nrecipients = entry->nrecipients,
	};
}

static enum store_result unpack_row(struct span value, struct arena *arena,
                                    struct journal_row *row)
{
	struct span copy;
	if (!arena_copy(arena, value, &copy)) {
		return STORE_FAILED;
	}
	struct unpacker in = unpack_from(copy);
	struct journal_row read = *row;
	uint8_t version = unpack_head(&in, &read);
	struct queue_recipient *recipients = NULL;
	if (!queue_unpack_recipients(&in, arena, &recipients, &read.nrecipients)) {
		return in.bad ? STORE_DAMAGED : STORE_FAILED;
	}
	bool known = (version == ROW_VERSION || version == ROW_APPPASS) &&
	             read.kind >= JOURNAL_MESSAGE && read.kind <= JOURNAL_STANDING;
	if (!unpack_ok(&in) || !known) {
		return STORE_DAMAGED;
	}
	read.recipients = recipients;
	*row = read;
	return STORE_OK;
}

enum store_result journal_next(struct store_txn *txn, int64_t at, uint64_t id,
                               struct arena *arena, struct journal_row *row_out)
{
	struct key from = key_time_id(at, id);
	struct store_walk walk;
	struct span key;
	struct span value;
	store_walk_begin(&walk, txn, STORE_JOURNAL, key_span(&from), SPAN_NONE);
	bool more = store_walk_next(&walk, &key, &value);
	if (more && span_eq(key, key_span(&from))) {
		more = store_walk_next(&walk, &key, &value);
	}
	store_walk_end(&walk);
	if (!more) {
		enum store_result result = store_txn_result(txn);
		return result == STORE_OK ? STORE_NOT_FOUND : result;
	}
	*row_out = (struct journal_row){
		.at = (int64_t)key_get_u64(key, 0),
		.id = key_get_u64(key, 8),
	};
	return unpack_row(value, arena, row_out);
}

enum store_result journal_trim(struct store_txn *txn, int64_t before, size_t most,
                               size_t *deleted_out)
{
	struct store_walk walk;
	struct span key;
	struct span value;
	size_t deleted = 0;
	uint64_t limit = before < 0 ? 0 : (uint64_t)before;
	store_walk_begin(&walk, txn, STORE_JOURNAL, SPAN_NONE, SPAN_NONE);
	while (deleted < most && store_walk_next(&walk, &key, &value) &&
	       key_get_u64(key, 0) < limit && store_walk_del(&walk) == STORE_OK) {
		deleted++;
	}
	store_walk_end(&walk);
	enum store_result result = store_txn_result(txn);
	if (result == STORE_OK) {
		*deleted_out = deleted;
	}
	return result;
}
