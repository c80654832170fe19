#include "store/incident.h"

#include <assert.h>

#include "proto/pack.h"
#include "store/keys.h"

#define ROW_VERSION 2 /* 1 ends behind ended_how */
#define ROW_MAX     ((size_t)64 * 1024)

/* What is yes or no, in one byte. */
#define IS_REPLY_OFF   1
#define IS_UNDELIVERED 2
#define IS_ALARMED     4
#define IS_CLEARED     8
#define IS_UNTOLD      16
#define FLAGS          (IS_REPLY_OFF | IS_UNDELIVERED | IS_ALARMED | IS_CLEARED | IS_UNTOLD)

static void pack_row(const struct incident *incident, struct buf *out)
{
	pack_u8(out, ROW_VERSION);
	pack_u8(out, (uint8_t)incident->state);
	pack_u8(out, (uint8_t)incident->sweep);
	pack_u8(out, (uint8_t)((incident->reply_off ? IS_REPLY_OFF : 0) |
	                       (incident->undelivered ? IS_UNDELIVERED : 0) |
	                       (incident->alarmed ? IS_ALARMED : 0) |
	                       (incident->cleared ? IS_CLEARED : 0) |
	                       (incident->untold ? IS_UNTOLD : 0)));
	pack_u64(out, incident->swept_to);
	pack_i64(out, incident->opened_at);
	pack_i64(out, incident->opened_wall);
	pack_i64(out, incident->ended_at);
	pack_i64(out, incident->ended_wall);
	pack_i64(out, incident->notified_at);
	pack_i64(out, incident->complained_at);
	pack_varint(out, incident->ignored);
	pack_span(out, incident->account);
	pack_span(out, incident->cause);
	pack_span(out, incident->reasons);
	pack_span(out, incident->ended_by);
	pack_span(out, incident->ended_how);
	pack_varint(out, incident->reminders);
	pack_i64(out, incident->warned_at);
}

/* Returns the version. */
static uint8_t unpack_front(struct unpacker *in, struct incident *incident)
{
	uint8_t version = unpack_u8(in);
	uint8_t state = unpack_u8(in);
	uint8_t sweep = unpack_u8(in);
	uint8_t flags = unpack_u8(in);
	in->bad |= version < 1 || version > ROW_VERSION || state > INCIDENT_ENDED ||
	           sweep > INCIDENT_DISCARD || flags > FLAGS;
	incident->state = in->bad ? INCIDENT_OPEN : (enum incident_state)state;
	incident->sweep = in->bad ? INCIDENT_SWEPT : (enum incident_sweep)sweep;
	incident->reply_off = flags & IS_REPLY_OFF;
	incident->undelivered = flags & IS_UNDELIVERED;
	incident->alarmed = flags & IS_ALARMED;
	incident->cleared = flags & IS_CLEARED;
	incident->untold = flags & IS_UNTOLD;
	return version;
}

static bool is_account(struct span name)
{
	return name.len > 0 && name.len <= KEY_ACCOUNT_MAX;
}

/* One copy of the row holds all bytes of the incident: its spans point into that. */
static enum store_result unpack_row(struct span row, struct arena *arena,
                                    struct incident *incident_out)
{
	struct span copy;
	struct incident incident = { .number = incident_out->number };
	if (!arena_copy(arena, row, &copy)) {
		return STORE_FAILED;
	}
	struct unpacker in = unpack_from(copy);
	uint8_t version = unpack_front(&in, &incident);
	incident.swept_to = unpack_u64(&in);
	incident.opened_at = unpack_i64(&in);
	incident.opened_wall = unpack_i64(&in);
	incident.ended_at = unpack_i64(&in);
	incident.ended_wall = unpack_i64(&in);
	incident.notified_at = unpack_i64(&in);
	incident.complained_at = unpack_i64(&in);
	incident.ignored = (uint32_t)unpack_varint(&in);
	incident.account = unpack_span(&in);
	incident.cause = unpack_span(&in);
	incident.reasons = unpack_span(&in);
	incident.ended_by = unpack_span(&in);
	incident.ended_how = unpack_span(&in);
	if (version > 1) {
		incident.reminders = (uint32_t)unpack_varint(&in);
		incident.warned_at = unpack_i64(&in);
	}
	if (!unpack_ok(&in) || !is_account(incident.account)) {
		return STORE_DAMAGED;
	}
	*incident_out = incident;
	return STORE_OK;
}

/* The first row with a number >= `from`. */
static bool find(struct store_txn *txn, uint64_t from, uint64_t *number_out,
                 struct span *row_out)
{
	struct key start = key_id(from);
	struct store_walk walk;
	struct span key;
	bool found = false;
	store_walk_begin(&walk, txn, STORE_INCIDENT, key_span(&start), SPAN_NONE);
	while (!found && store_walk_next(&walk, &key, row_out)) {
		found = key.len == start.len;
	}
	store_walk_end(&walk);
	if (found) {
		*number_out = key_get_u64(key, 0);
	}
	return found;
}

/* The last number is found bit by bit: a counter of its own could be wrong. */
enum store_result incident_next_number(struct store_txn *txn, uint64_t *number_out)
{
	uint64_t last = 0;
	for (uint64_t bit = (uint64_t)1 << 63; bit; bit >>= 1) {
		uint64_t number;
		struct span row;
		if (find(txn, last | bit, &number, &row)) {
			last |= bit;
		}
	}
	enum store_result result = store_txn_result(txn);
	if (result == STORE_OK && last == UINT64_MAX) {
		return STORE_DAMAGED; /* nobody counts that far */
	}
	if (result == STORE_OK) {
		*number_out = last + 1;
	}
	return result;
}

enum store_result incident_put(struct store_txn *txn, const struct incident *incident)
{
	struct buf row;
	struct key key = key_id(incident->number);
	assert(incident->number && is_account(incident->account));
	buf_init(&row, ROW_MAX);
	pack_row(incident, &row);
	enum store_result result = row.failed ? store_txn_fail(txn, STORE_FAILED)
	                                      : store_put(txn, STORE_INCIDENT, key_span(&key),
	                                                  buf_span(&row));
	buf_done(&row);
	return result;
}

enum store_result incident_get(struct store_txn *txn, uint64_t number, struct arena *arena,
                               struct incident *incident_out)
{
	struct key key = key_id(number);
	struct span row;
	struct incident incident = { .number = number };
	enum store_result result = store_get(txn, STORE_INCIDENT, key_span(&key), &row);
	if (result == STORE_OK) {
		result = unpack_row(row, arena, &incident);
	}
	if (result == STORE_OK) {
		*incident_out = incident;
	}
	return result;
}

enum store_result incident_next(struct store_txn *txn, uint64_t after, struct arena *arena,
                                struct incident *incident_out)
{
	struct span row;
	uint64_t number;
	if (after == UINT64_MAX || !find(txn, after + 1, &number, &row)) {
		enum store_result result = store_txn_result(txn);
		return result == STORE_OK ? STORE_NOT_FOUND : result;
	}
	*incident_out = (struct incident){ .number = number };
	return unpack_row(row, arena, incident_out);
}
