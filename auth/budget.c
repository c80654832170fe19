#include "auth/budget.h"

#include "proto/pack.h"

#include <assert.h>

#define STEPS (BUDGET_SLOTS - 1) /* slots that make up a window */

static const struct unit {
	char letter;
	int64_t ms;
} units[] = {
	/* longest first */
	{ 'd', (int64_t)24 * 3600 * 1000 },
	{ 'h', (int64_t)3600 * 1000 },
	{ 'm', (int64_t)60 * 1000 },
	{ 's', (int64_t)1000 },
};

/* ---- limits ---- */

/* A number without sign or leading zero, cut off the front of `text`; far more than any cap is
 * still right. */
static bool take_number(struct span *text, int64_t *number_out)
{
	int64_t n = 0;
	size_t digits = 0;
	while (digits < text->len && text->ptr[digits] >= '0' && text->ptr[digits] <= '9') {
		if (n < INT64_MAX / 100) {
			n = n * 10 + (text->ptr[digits] - '0');
		}
		digits++;
	}
	bool ok = digits > 0 && (text->ptr[0] != '0' || digits == 1);
	*text = span_from(*text, digits);
	*number_out = n;
	return ok;
}

static const struct unit *unit_find(struct span text)
{
	for (size_t i = 0; i < COUNT(units); i++) {
		if (text.len == 1 && text.ptr[0] == units[i].letter) {
			return &units[i];
		}
	}
	return NULL;
}

bool budget_limit_parse(struct span text, struct budget_limit *limit_out,
                        const char **reason_out)
{
	int64_t tokens = 0;
	int64_t count = 0;
	bool ok = take_number(&text, &tokens) && text.len && text.ptr[0] == '/';
	text = span_from(text, 1);
	ok = ok && take_number(&text, &count);
	const struct unit *unit = unit_find(text);
	const int64_t most = unit ? BUDGET_WINDOW_MAX / unit->ms : 0;
	const struct {
		bool fault;
		const char *reason;
	} checks[] = {
		{ !ok || !unit, "is not recipients/time, such as 500/30m" },
		{ tokens < 1, "allows no recipient at all" },
		{ tokens > BUDGET_TOKENS_MAX, "is more than 10000000 recipients" },
		{ unit && count <= most && count * unit->ms < BUDGET_WINDOW_MIN,
		  "has a time shorter than 1m" },
		{ count > most, "has a time longer than 31d" },
	};
	for (size_t i = 0; i < COUNT(checks); i++) {
		if (checks[i].fault) {
			*reason_out = checks[i].reason;
			return false;
		}
	}
	limit_out->tokens = (uint32_t)tokens;
	limit_out->window = count * unit->ms;
	return true;
}

void budget_limit_write(const struct budget_limit *limit, struct buf *out)
{
	const struct unit *unit = units;
	while (limit->window % unit->ms != 0) { /* windows are whole seconds */
		unit++;
	}
	buf_printf(out, "%u/%lld%c", limit->tokens, (long long)(limit->window / unit->ms),
	           unit->letter);
}

static bool window_is_valid(uint64_t window)
{
	return window >= BUDGET_WINDOW_MIN && window <= BUDGET_WINDOW_MAX && window % 1000 == 0;
}

void budget_limits_pack(const struct budget_limits *limits, struct buf *out)
{
	assert(limits->count <= BUDGET_LIMITS_MAX);
	for (size_t i = 0; i < limits->count; i++) {
		pack_varint(out, limits->limit[i].tokens);
		pack_varint(out, (uint64_t)limits->limit[i].window);
	}
}

bool budget_limits_unpack(struct span row, struct budget_limits *limits_out)
{
	struct budget_limits limits = { .count = 0 };
	struct unpacker in = unpack_from(row);
	while (in.rest.len) {
		uint64_t tokens = unpack_varint(&in);
		uint64_t window = unpack_varint(&in);
		if (in.bad || limits.count == BUDGET_LIMITS_MAX || tokens < 1 ||
		    tokens > BUDGET_TOKENS_MAX || !window_is_valid(window)) {
			return false;
		}
		struct budget_limit *limit = &limits.limit[limits.count++];
		limit->tokens = (uint32_t)tokens;
		limit->window = (int64_t)window;
	}
	*limits_out = limits;
	return true;
}

/* ---- rings ---- */

static int64_t slot_width(int64_t window)
{
	return (window + STEPS - 1) / STEPS;
}

static int64_t slot_of(int64_t window, int64_t t)
{
	return t / slot_width(window);
}

/* The last ms that belongs to slot `n`. */
static int64_t slot_end(int64_t window, int64_t n)
{
	return (n + 1) * slot_width(window) - 1;
}

/* When slot `n` is back: its youngest token may be as young as its end. */
static int64_t slot_back(int64_t window, int64_t n)
{
	return slot_end(window, n) + window;
}

/* The oldest slot there is; slots before T = 0 do not exist. */
static int64_t slot_oldest(const struct budget_ring *ring)
{
	return ring->newest < STEPS ? 0 : ring->newest - STEPS;
}

static uint32_t saturate(uint64_t sum)
{
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static void slot_add(struct budget_ring *ring, int64_t n, uint32_t tokens)
{
	uint32_t *slot = &ring->spent[n % BUDGET_SLOTS];
	*slot = saturate((uint64_t)*slot + tokens);
}

/* Moves `ring` on to `now`. Every slot that is dropped has come back: it ended more than a
 * window ago. */
static void ring_move(struct budget_ring *ring, int64_t now)
{
	int64_t target = slot_of(ring->window, now);
	if (target >= ring->newest + BUDGET_SLOTS) {
		memset(ring->spent, 0, sizeof ring->spent);
		ring->newest = target;
	}
	while (ring->newest < target) {
		ring->newest++;
		ring->spent[ring->newest % BUDGET_SLOTS] = 0;
	}
}

/* The tokens of `from`, read at `now`, in a ring of another (or the same) window. */
static struct budget_ring ring_convert(const struct budget_ring *from, int64_t window,
                                       int64_t now)
{
	struct budget_ring ring = { .window = window, .newest = slot_of(window, now) };
	for (int64_t n = slot_oldest(from); n <= from->newest; n++) {
		uint32_t spent = from->spent[n % BUDGET_SLOTS];
		int64_t end = slot_end(from->window, n);
		int64_t slot = slot_of(window, end < now ? end : now);
		if (spent && slot >= slot_oldest(&ring)) {
			slot_add(&ring, slot, spent);
		}
	}
	return ring;
}

/* The ring to make one of `window` from: the same, else the nearest above, else the longest;
 * NULL when none. */
static const struct budget_ring *source_find(const struct budget *budget, int64_t window)
{
	const struct budget_ring *best = NULL;
	for (size_t i = 0; i < budget->count; i++) {
		const struct budget_ring *ring = &budget->ring[i];
		bool covers = best && best->window >= window;
		bool nearer = ring->window >= window && best && ring->window < best->window;
		bool longer = best && ring->window > best->window;
		if (!best || (covers ? nearer : longer)) {
			best = ring;
		}
	}
	return best;
}

static struct budget_ring ring_fit(const struct budget *budget, int64_t window, int64_t now)
{
	const struct budget_ring *from = source_find(budget, window);
	if (!from) {
		return (struct budget_ring){ .window = window, .newest = slot_of(window, now) };
	}
	if (from->window != window || from->newest > slot_of(window, now)) {
		return ring_convert(from, window, now);
	}
	struct budget_ring ring = *from;
	ring_move(&ring, now);
	return ring;
}

void budget_fit(struct budget *budget, const struct budget_limits *limits, int64_t now)
{
	assert(limits->count <= BUDGET_LIMITS_MAX && now >= 0 && now <= BUDGET_TIME_MAX);
	struct budget fitted = { .count = limits->count };
	for (size_t i = 0; i < limits->count; i++) {
		fitted.ring[i] = ring_fit(budget, limits->limit[i].window, now);
	}
	*budget = fitted;
}

static uint64_t ring_spent(const struct budget_ring *ring, int64_t now)
{
	uint64_t sum = 0;
	if (ring->window == 0) {
		return 0;
	}
	for (int64_t n = slot_oldest(ring); n <= ring->newest; n++) {
		if (slot_back(ring->window, n) > now) {
			sum += ring->spent[n % BUDGET_SLOTS];
		}
	}
	return sum;
}

uint32_t budget_spent(const struct budget_ring *ring, int64_t now)
{
	return saturate(ring_spent(ring, now));
}

enum budget_verdict budget_ask(const struct budget *budget, const struct budget_limits *limits,
                               uint32_t price, int64_t now)
{
	enum budget_verdict verdict = BUDGET_FITS;
	assert(budget->count == limits->count);
	for (size_t i = 0; i < limits->count; i++) {
		if (price > limits->limit[i].tokens) {
			return BUDGET_NEVER;
		}
		if (ring_spent(&budget->ring[i], now) + price > limits->limit[i].tokens) {
			verdict = BUDGET_SPENT;
		}
	}
	return verdict;
}

void budget_take(struct budget *budget, uint32_t price, int64_t now)
{
	assert(now >= 0 && now <= BUDGET_TIME_MAX);
	for (size_t i = 0; i < budget->count; i++) {
		ring_move(&budget->ring[i], now);
		slot_add(&budget->ring[i], budget->ring[i].newest, price);
	}
}

/* When `ring` has no more than `most` spent tokens. */
static int64_t ring_when(const struct budget_ring *ring, uint64_t most, int64_t now)
{
	uint64_t left = ring_spent(ring, now);
	int64_t when = now;
	for (int64_t n = slot_oldest(ring); n <= ring->newest && left > most; n++) {
		int64_t back = slot_back(ring->window, n);
		if (back > now) {
			left -= ring->spent[n % BUDGET_SLOTS];
			when = back;
		}
	}
	return when;
}

int64_t budget_when(const struct budget *budget, const struct budget_limits *limits,
                    uint32_t price, int64_t now)
{
	int64_t latest = now;
	assert(budget->count == limits->count);
	for (size_t i = 0; i < limits->count; i++) {
		uint32_t tokens = limits->limit[i].tokens;
		if (price > tokens) {
			return INT64_MAX;
		}
		int64_t when = ring_when(&budget->ring[i], tokens - price, now);
		latest = when > latest ? when : latest;
	}
	return latest;
}

/* ---- the stored row ---- */

/* A ring is its window, its newest slot, and (age, tokens) of each slot that is not 0. */

void budget_pack(const struct budget *budget, struct buf *out)
{
	assert(budget->count <= BUDGET_LIMITS_MAX);
	for (size_t i = 0; i < budget->count; i++) {
		const struct budget_ring *ring = &budget->ring[i];
		uint64_t used = 0;
		for (size_t s = 0; s < BUDGET_SLOTS; s++) {
			used += ring->spent[s] != 0;
		}
		pack_varint(out, (uint64_t)ring->window);
		pack_varint(out, (uint64_t)ring->newest);
		pack_varint(out, used);
		for (int64_t n = ring->newest; n >= slot_oldest(ring); n--) {
			if (ring->spent[n % BUDGET_SLOTS]) {
				pack_varint(out, (uint64_t)(ring->newest - n));
				pack_varint(out, ring->spent[n % BUDGET_SLOTS]);
			}
		}
	}
}

static bool ring_unpack(struct unpacker *in, struct budget_ring *ring_out)
{
	uint64_t window = unpack_varint(in);
	uint64_t newest = unpack_varint(in);
	uint64_t used = unpack_varint(in);
	uint64_t next = 0; /* ages only grow, so no slot comes twice */
	if (in->bad || !window_is_valid(window) || used > BUDGET_SLOTS ||
	    newest > (uint64_t)slot_of((int64_t)window, BUDGET_TIME_MAX)) {
		return false;
	}
	*ring_out = (struct budget_ring){ .window = (int64_t)window,
		                          .newest = (int64_t)newest };
	for (uint64_t i = 0; i < used; i++) {
		uint64_t age = unpack_varint(in);
		uint64_t spent = unpack_varint(in);
		if (in->bad || age < next || age > STEPS || age > newest || spent < 1 ||
		    spent > UINT32_MAX) {
			return false;
		}
		ring_out->spent[(newest - age) % BUDGET_SLOTS] = (uint32_t)spent;
		next = age + 1;
	}
	return true;
}

bool budget_unpack(struct span row, struct budget *budget_out)
{
	struct budget budget = { .count = 0 };
	struct unpacker in = unpack_from(row);
	while (in.rest.len) {
		if (budget.count == BUDGET_LIMITS_MAX ||
		    !ring_unpack(&in, &budget.ring[budget.count])) {
			return false;
		}
		budget.count++;
	}
	*budget_out = budget;
	return true;
}
