#include "store/meta.h"

#include <time.h>

#include "proto/pack.h"

#define SCHEMA        1
#define CLOCK_VERSION 1
#define DRILL_VERSION 1
/* T starts a year after its zero, so that what lies a window back never is before it. */
#define FIRST_T  ((int64_t)366 * 24 * 3600 * 1000)
#define ID_SHIFT 10

static const struct span schema_key = { "schema", 6 };
static const struct span clock_key = { "clock", 5 };
static const struct span drill_key = { "drill", 5 };

static int64_t clock_ms(clockid_t id)
{
	struct timespec at = { 0 };
	clock_gettime(id, &at);
	return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

int64_t meta_now(const struct meta *meta)
{
	return atomic_load(&meta->offset) + clock_ms(CLOCK_BOOTTIME);
}

static enum store_result put(struct store_txn *txn, struct span key, const struct buf *row)
{
	return row->failed ? store_txn_fail(txn, STORE_FAILED)
	                   : store_put(txn, STORE_META, key, buf_span(row));
}

enum store_result meta_create(struct store_txn *txn)
{
	struct buf row;
	buf_init(&row, 64);
	pack_u32(&row, SCHEMA);
	enum store_result result = put(txn, schema_key, &row);
	buf_done(&row);
	return result;
}

enum store_result meta_write(const struct meta *meta, struct store_txn *txn)
{
	struct buf row;
	buf_init(&row, 64);
	pack_u8(&row, CLOCK_VERSION);
	pack_i64(&row, meta_now(meta));
	pack_i64(&row, clock_ms(CLOCK_REALTIME));
	pack_u64(&row, atomic_load(&meta->next_id));
	enum store_result result = put(txn, clock_key, &row);
	buf_done(&row);
	return result;
}

static enum store_result check_schema(struct store_txn *txn, const char *dir,
                                      struct error *error)
{
	struct span row = SPAN_NONE;
	enum store_result result = store_get(txn, STORE_META, schema_key, &row);
	struct unpacker in = unpack_from(row);
	uint32_t schema = unpack_u32(&in);
	if (result != STORE_OK || in.bad || schema == 0) {
		error_set(error, "%s/data.mdb is damaged, or no store of gatepost", dir);
		return STORE_DAMAGED;
	}
	if (schema > SCHEMA) {
		error_set(error, "%s is of a newer gatepost: schema %u, this one knows %u", dir,
		          schema, SCHEMA);
		return STORE_NEWER;
	}
	return STORE_OK;
}

static int64_t clamp(int64_t value, int64_t most)
{
	return value < 0 ? 0 : value < most ? value : most;
}

struct clock_row {
	int64_t now;
	int64_t wall;
	uint64_t next_id;
};

/* A store without the row is a fresh one: it is written in each commit. */
static enum store_result read_clock(struct store_txn *txn, struct clock_row *clock)
{
	struct span row;
	enum store_result result = store_get(txn, STORE_META, clock_key, &row);
	if (result != STORE_OK) {
		return result;
	}
	struct unpacker in = unpack_from(row);
	uint8_t version = unpack_u8(&in);
	clock->now = unpack_i64(&in);
	clock->wall = unpack_i64(&in);
	clock->next_id = unpack_u64(&in);
	return unpack_ok(&in) && version == CLOCK_VERSION && clock->now > 0 ? STORE_OK
	                                                                    : STORE_DAMAGED;
}

/*
 * The time that we were down counts, but never more than the longest window: neither a wall
 * clock that was set nor a row of another year refills more than one budget. Ids start no lower
 * than the wall clock says, so that an id that was only spoken of is not given to another
 * message after a crash, nor after the store was wiped.
 */
enum store_result meta_read(struct meta *meta, struct store_txn *txn, int64_t longest_window,
                            const char *dir, struct error *error)
{
	enum store_result result = check_schema(txn, dir, error);
	if (result != STORE_OK) {
		return result;
	}
	int64_t wall = clock_ms(CLOCK_REALTIME);
	struct clock_row then = {
		.now = FIRST_T > longest_window ? FIRST_T : longest_window,
		.wall = wall,
		.next_id = 1,
	};
	result = read_clock(txn, &then);
	if (result != STORE_OK && result != STORE_NOT_FOUND) {
		error_set(error, "%s/data.mdb is damaged: its clock can not be read", dir);
		return result;
	}
	int64_t now = then.now + clamp(wall - then.wall, longest_window);
	uint64_t next_id = (uint64_t)clamp(wall, INT64_MAX >> ID_SHIFT) << ID_SHIFT;
	atomic_store(&meta->offset, now - clock_ms(CLOCK_BOOTTIME));
	atomic_store(&meta->next_id, next_id > then.next_id ? next_id : then.next_id);
	return STORE_OK;
}

/* ---- the last drill ---- */

enum store_result meta_drill_get(struct store_txn *txn, struct meta_drill *drill_out)
{
	struct span row;
	enum store_result result = store_get(txn, STORE_META, drill_key, &row);
	if (result != STORE_OK) {
		return result;
	}
	struct unpacker in = unpack_from(row);
	uint8_t version = unpack_u8(&in);
	struct meta_drill drill;
	drill.sent_at = unpack_i64(&in);
	drill.sent_wall = unpack_i64(&in);
	drill.passed_wall = unpack_i64(&in);
	drill.answers = unpack_u32(&in);
	if (!unpack_ok(&in) || version != DRILL_VERSION) {
		return STORE_DAMAGED;
	}
	*drill_out = drill;
	return STORE_OK;
}

enum store_result meta_drill_put(struct store_txn *txn, const struct meta_drill *drill)
{
	struct buf row;
	buf_init(&row, 64);
	pack_u8(&row, DRILL_VERSION);
	pack_i64(&row, drill->sent_at);
	pack_i64(&row, drill->sent_wall);
	pack_i64(&row, drill->passed_wall);
	pack_u32(&row, drill->answers);
	enum store_result result = put(txn, drill_key, &row);
	buf_done(&row);
	return result;
}
