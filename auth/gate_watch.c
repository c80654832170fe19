#include "auth/gate_watch.h"

#include "proto/pack.h"

#include <assert.h>

/* ---- words ---- */

const char *gate_would_word(enum gate_would would)
{
	static const char *const words[] = {
		[GATE_WOULD_PASS] = "pass",       [GATE_WOULD_WAIT] = "wait",
		[GATE_WOULD_DEFER] = "defer",     [GATE_WOULD_HOLD] = "hold",
		[GATE_WOULD_FULL] = "full",       [GATE_WOULD_SPENT] = "spent",
		[GATE_WOULD_NEVER] = "never",     [GATE_WOULD_BARRED] = "barred",
		[GATE_WOULD_SUSPEND] = "suspend",
	};
	static_assert(COUNT(words) == GATE_WOULDS, "each has its word");
	return words[would];
}

enum gate_would gate_would_of(enum gate_verdict verdict)
{
	switch (verdict) {
	case GATE_TRIPPED:
		return GATE_WOULD_SUSPEND;
	case GATE_DEFER:
		return GATE_WOULD_DEFER;
	case GATE_HOLD:
		return GATE_WOULD_HOLD;
	case GATE_FULL:
		return GATE_WOULD_FULL;
	case GATE_SPENT:
		return GATE_WOULD_SPENT;
	case GATE_NEVER:
		return GATE_WOULD_NEVER;
	case GATE_BARRED:
		return GATE_WOULD_BARRED;
	default:
		return GATE_WOULD_PASS;
	}
}

/* ---- times ---- */

static int64_t mark_of(int64_t now)
{
	return now > 0 ? now : 1; /* 0 is none */
}

static bool is_over(int64_t since, int64_t span, int64_t now)
{
	return !since || now - since >= span;
}

static int64_t unpack_time(struct unpacker *in)
{
	uint64_t time = unpack_varint(in);
	in->bad = in->bad || time > (uint64_t)BUDGET_TIME_MAX;
	return in->bad ? 0 : (int64_t)time;
}

/* ---- the account's own mode ---- */

void gate_stance_pack(const struct gate_stance *stance, struct buf *out)
{
	if (stance->mode != GATE_MODE_DEFAULT) {
		pack_u8(out, (uint8_t)stance->mode);
		pack_varint(out, (uint64_t)stance->until);
	}
}

bool gate_stance_unpack(struct span row, struct gate_stance *stance_out)
{
	struct gate_stance stance = { .mode = GATE_MODE_DEFAULT };
	struct unpacker in = unpack_from(row);
	uint8_t mode = GATE_MODE_DEFAULT;
	if (row.len) {
		mode = unpack_u8(&in);
		stance.until = unpack_time(&in);
		in.bad = in.bad || mode >= GATE_MODE_DEFAULT;
	}
	if (!unpack_ok(&in)) {
		return false;
	}
	stance.mode = (enum gate_mode)mode;
	*stance_out = stance;
	return true;
}

enum gate_mode gate_stance_mode(const struct gate_stance *stance, int64_t now)
{
	bool over = stance->until && now >= stance->until;
	return over ? GATE_MODE_DEFAULT : stance->mode;
}

/* ---- marks ---- */

bool gate_watch_may_tell(struct gate_watch *watch, enum gate_would would, int64_t now)
{
	bool over = is_over(watch->would_at, GATE_WATCH_HOUR, now);
	if (would == GATE_WOULD_PASS || (!over && would <= watch->would)) {
		return false;
	}
	watch->would = would;
	watch->would_at = mark_of(now);
	return true;
}

bool gate_watch_may_warn(struct gate_watch *watch, const struct budget *budget,
                         const struct budget_limits *limits, int64_t now)
{
	bool warn = false;
	for (size_t i = 0; i < limits->count; i++) {
		const struct budget_limit *limit = &limits->limit[i];
		int64_t pause = limit->window > GATE_WATCH_DAY ? limit->window : GATE_WATCH_DAY;
		uint64_t used = budget_spent(&budget->ring[i], now);
		bool near = used * 100 >= (uint64_t)limit->tokens * GATE_WATCH_NEAR;
		warn = warn || (near && is_over(watch->warned_at, pause, now));
	}
	watch->warned_at = warn ? mark_of(now) : watch->warned_at;
	return warn;
}

void gate_watch_pack(const struct gate_watch *watch, struct buf *out)
{
	if (watch->would_at || watch->warned_at) {
		pack_varint(out, (uint64_t)watch->would_at);
		pack_u8(out, (uint8_t)watch->would);
		pack_varint(out, (uint64_t)watch->warned_at);
	}
}

bool gate_watch_unpack(struct span row, struct gate_watch *watch_out)
{
	struct gate_watch watch = { .would = GATE_WOULD_PASS };
	struct unpacker in = unpack_from(row);
	uint8_t would = GATE_WOULD_PASS;
	if (row.len) {
		watch.would_at = unpack_time(&in);
		would = unpack_u8(&in);
		watch.warned_at = unpack_time(&in);
		in.bad = in.bad || would >= GATE_WOULDS;
	}
	if (!unpack_ok(&in)) {
		return false;
	}
	watch.would = (enum gate_would)would;
	*watch_out = watch;
	return true;
}
