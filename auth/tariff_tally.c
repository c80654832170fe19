#include "auth/tariff.h"

#include "proto/pack.h"

#include <assert.h>

/* What a limit of `window` is made from: the same window, else the next longer one, else the
 * longest, as with the rings of the budget. `tally->count` when there is none. */
static size_t source_find(const struct tariff_tally *tally, int64_t window)
{
	size_t best = tally->count;
	for (size_t i = 0; i < tally->count; i++) {
		int64_t one = tally->limit[i].window;
		int64_t other = best < tally->count ? tally->limit[best].window : 0;
		if (other >= window ? one >= window && one < other : one > other) {
			best = i;
		}
	}
	return best;
}

/* Moves the windows of a limit on to `now`. */
static void move(struct tariff_tally *tally, size_t i, int64_t now)
{
	static const struct tariff_bill nothing;
	int64_t window = tally->limit[i].window;
	int64_t passed = (now - tally->limit[i].from) / window;
	if (now < tally->limit[i].from) { /* only damage puts it there */
		tally->limit[i].from = now;
	} else if (passed > 0) {
		tally->limit[i].last = passed == 1 ? tally->limit[i].now : nothing;
		tally->limit[i].now = nothing;
		tally->limit[i].from += passed * window;
	}
}

/* A limit of another window begins with all that is known of the one it is made from, as if it
 * were its last: rather too much is told than too little. */
static void take_over(struct tariff_tally *tally, size_t i, const struct tariff_tally *from)
{
	size_t source = source_find(from, tally->limit[i].window);
	if (source == from->count) {
		return;
	}
	if (from->limit[source].window == tally->limit[i].window) {
		int64_t now = tally->limit[i].from;
		tally->limit[i] = from->limit[source];
		move(tally, i, now);
		return;
	}
	tally->limit[i].last = tariff_tally_sum(from, source);
}

void tariff_tally_fit(struct tariff_tally *tally, const struct budget_limits *limits,
                      int64_t now)
{
	assert(limits->count <= BUDGET_LIMITS_MAX);
	const struct tariff_tally before = *tally;
	*tally = (struct tariff_tally){ .count = limits->count };
	for (size_t i = 0; i < limits->count; i++) {
		tally->limit[i].window = limits->limit[i].window;
		tally->limit[i].from = now;
		take_over(tally, i, &before);
	}
}

void tariff_tally_note(struct tariff_tally *tally, const struct tariff_bill *bill)
{
	for (size_t i = 0; i < tally->count; i++) {
		tariff_add(&tally->limit[i].now, bill);
	}
}

struct tariff_bill tariff_tally_sum(const struct tariff_tally *tally, size_t limit)
{
	assert(limit < tally->count);
	struct tariff_bill sum = tally->limit[limit].now;
	tariff_add(&sum, &tally->limit[limit].last);
	return sum;
}

/* ---- the stored row ---- */

/* How many limits; of each its window, when it began, and two bills. A bill is a bit for each
 * count that is not 0, then those counts. */

static void pack_bill(const struct tariff_bill *bill, struct buf *out)
{
	uint64_t bits = 0;
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		bits |= (uint64_t)(bill->count[i] != 0) << i;
	}
	pack_varint(out, bits);
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		if (bill->count[i]) {
			pack_varint(out, bill->count[i]);
		}
	}
}

void tariff_tally_pack(const struct tariff_tally *tally, struct buf *out)
{
	if (tally->count == 0) {
		return;
	}
	pack_u8(out, (uint8_t)tally->count);
	for (size_t i = 0; i < tally->count; i++) {
		pack_varint(out, (uint64_t)tally->limit[i].window);
		pack_varint(out, (uint64_t)tally->limit[i].from);
		pack_bill(&tally->limit[i].now, out);
		pack_bill(&tally->limit[i].last, out);
	}
}

static bool unpack_bill(struct unpacker *in, struct tariff_bill *bill)
{
	uint64_t bits = unpack_varint(in);
	if (bits >> TARIFF_ROWS) {
		return false;
	}
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		if (bits >> i & 1) {
			uint64_t count = unpack_varint(in);
			if (in->bad || count < 1 || count > UINT32_MAX) {
				return false;
			}
			bill->count[i] = (uint32_t)count;
		}
	}
	return !in->bad;
}

bool tariff_tally_unpack(struct span row, struct tariff_tally *tally_out)
{
	struct tariff_tally tally = { .count = 0 };
	struct unpacker in = unpack_from(row);
	size_t count = row.len ? unpack_u8(&in) : 0;
	if (count > BUDGET_LIMITS_MAX || (row.len && count == 0)) {
		return false;
	}
	for (; tally.count < count; tally.count++) {
		uint64_t window = unpack_varint(&in);
		uint64_t from = unpack_varint(&in);
		if (window < BUDGET_WINDOW_MIN || window > BUDGET_WINDOW_MAX ||
		    from > BUDGET_TIME_MAX ||
		    !unpack_bill(&in, &tally.limit[tally.count].now) ||
		    !unpack_bill(&in, &tally.limit[tally.count].last)) {
			return false;
		}
		tally.limit[tally.count].window = (int64_t)window;
		tally.limit[tally.count].from = (int64_t)from;
	}
	if (!unpack_ok(&in)) {
		return false;
	}
	*tally_out = tally;
	return true;
}
