#include "auth/gate_limit.h"

#include "proto/pack.h"

#include <assert.h>

/* ---- the table ---- */

/* Mail that waits can be looked at, so a held message never costs anybody his account; nor does
 * a message that could not go at all, where the site wants nobody suspended. */
static const enum gate_verdict verdicts[GATE_EDGES][GATE_COURSES] = {
	/* clang-format off */
	/*                      suspend        defer       hold        refuse */
	[GATE_EDGE_WITHIN] = { GATE_ALLOW,   GATE_ALLOW, GATE_ALLOW, GATE_ALLOW },
	[GATE_EDGE_BEYOND] = { GATE_TRIPPED, GATE_DEFER, GATE_HOLD,  GATE_SPENT },
	[GATE_EDGE_TWICE]  = { GATE_TRIPPED, GATE_DEFER, GATE_FULL,  GATE_SPENT },
	[GATE_EDGE_NEVER]  = { GATE_NEVER,   GATE_NEVER, GATE_NEVER, GATE_NEVER },
	[GATE_EDGE_AGAIN]  = { GATE_TRIPPED, GATE_NEVER, GATE_NEVER, GATE_NEVER },
	/* clang-format on */
};

enum gate_verdict gate_limit_verdict(enum gate_edge edge, enum gate_course course)
{
	assert(edge < GATE_EDGES && course < GATE_COURSES);
	return verdicts[edge][course];
}

enum gate_edge gate_limit_edge(const struct budget *budget, const struct budget_limits *limits,
                               uint32_t price, int64_t now)
{
	struct budget_limits twice = *limits;
	for (size_t i = 0; i < twice.count; i++) {
		twice.limit[i].tokens *= 2;
	}
	switch (budget_ask(budget, limits, price, now)) {
	case BUDGET_FITS:
		return GATE_EDGE_WITHIN;
	case BUDGET_NEVER:
		return GATE_EDGE_NEVER;
	default:
		return budget_ask(budget, &twice, price, now) == BUDGET_FITS ? GATE_EDGE_BEYOND
		                                                             : GATE_EDGE_TWICE;
	}
}

/* ---- marks ---- */

static int64_t mark_of(int64_t now)
{
	return now > 0 ? now : 1; /* 0 is none */
}

bool gate_marks_is_again(const struct gate_marks *marks, int64_t now)
{
	int64_t oldest = marks->never[GATE_MARKS_NEVER - 1];
	return oldest && now - oldest < GATE_MARKS_HOUR;
}

void gate_marks_note_never(struct gate_marks *marks, int64_t now)
{
	memmove(marks->never + 1, marks->never, (GATE_MARKS_NEVER - 1) * sizeof *marks->never);
	marks->never[0] = mark_of(now);
}

bool gate_marks_may_tell(struct gate_marks *marks, enum gate_news news, int64_t now)
{
	int64_t *told = &marks->told[news];
	bool may = !*told || now - *told >= GATE_MARKS_DAY;
	*told = may ? mark_of(now) : *told;
	return may;
}

static int64_t unpack_time(struct unpacker *in)
{
	uint64_t time = unpack_varint(in);
	in->bad = in->bad || time > (uint64_t)BUDGET_TIME_MAX;
	return in->bad ? 0 : (int64_t)time;
}

static uint32_t unpack_count(struct unpacker *in)
{
	uint64_t count = unpack_varint(in);
	in->bad = in->bad || count > UINT32_MAX;
	return in->bad ? 0 : (uint32_t)count;
}

static void pack_times(const int64_t *times, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		pack_varint(out, (uint64_t)times[i]);
	}
}

static bool any(const int64_t *times, size_t n)
{
	size_t i = 0;
	while (i < n && !times[i]) {
		i++;
	}
	return i < n;
}

/* Most accounts never come to their limit: no field at all. */
void gate_marks_pack(const struct gate_marks *marks, struct buf *out)
{
	if (!any(marks->never, GATE_MARKS_NEVER) && !any(marks->told, GATE_NEWS_COUNT) &&
	    !marks->ticket) {
		return;
	}
	pack_times(marks->never, GATE_MARKS_NEVER, out);
	pack_varint(out, (uint64_t)marks->ticket);
	pack_varint(out, marks->used);
	pack_times(marks->told, GATE_NEWS_COUNT, out); /* the last: there may be more one day */
}

static void unpack_times(struct unpacker *in, int64_t *times, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		times[i] = unpack_time(in);
	}
}

bool gate_marks_unpack(struct span row, struct gate_marks *marks_out)
{
	struct gate_marks marks = { .ticket = 0 };
	struct unpacker in = unpack_from(row);
	if (row.len) {
		unpack_times(&in, marks.never, GATE_MARKS_NEVER);
		marks.ticket = unpack_time(&in);
		marks.used = unpack_count(&in);
		unpack_times(&in, marks.told, GATE_NEWS_COUNT);
	}
	if (!unpack_ok(&in)) {
		return false;
	}
	*marks_out = marks;
	return true;
}

/* ---- news ---- */

const char *gate_news_word(enum gate_news news)
{
	static const char *const words[] = {
		[GATE_NEWS_HELD] = "held",         [GATE_NEWS_STRANGERS] = "strangers",
		[GATE_NEWS_PROVOKED] = "provoked", [GATE_NEWS_WAITS] = "waits",
		[GATE_NEWS_EXEMPT] = "exempt",     [GATE_NEWS_CROWD] = "crowd",
		[GATE_NEWS_SITE] = "site",         [GATE_NEWS_ILL] = "ill",
	};
	static_assert(COUNT(words) == GATE_NEWS_COUNT, "each has its word");
	return words[news];
}

/* ---- tickets ---- */

uint32_t gate_ticket_used(const struct gate_ticket *ticket, const struct gate_marks *marks)
{
	return ticket->at && marks->ticket == ticket->at ? marks->used : 0;
}

uint32_t gate_ticket_part(const struct gate_ticket *ticket, const struct gate_marks *marks,
                          uint32_t price, int64_t now)
{
	uint32_t used = gate_ticket_used(ticket, marks);
	bool open = now - ticket->at < ticket->grant.window && used < ticket->grant.tokens;
	uint32_t left = open ? ticket->grant.tokens - used : 0;
	return price < left ? price : left;
}

void gate_ticket_take(const struct gate_ticket *ticket, struct gate_marks *marks, uint32_t part)
{
	if (part) {
		marks->used = gate_ticket_used(ticket, marks) + part;
		marks->ticket = ticket->at;
	}
}

void gate_ticket_pack(const struct gate_ticket *ticket, struct buf *out)
{
	if (!ticket->at) {
		return;
	}
	const struct budget_limits grant = { { ticket->grant }, 1 };
	struct buf packed = { .cap = 64 };
	budget_limits_pack(&grant, &packed);
	pack_varint(out, (uint64_t)ticket->at);
	pack_i64(out, ticket->wall);
	pack_span(out, buf_span(&packed));
	pack_span(out, ticket->why);
	out->failed = out->failed || packed.failed;
	buf_done(&packed);
}

bool gate_ticket_unpack(struct span row, struct gate_ticket *ticket_out)
{
	struct gate_ticket ticket = { .at = 0 };
	struct budget_limits grant = { .count = 1 };
	struct unpacker in = unpack_from(row);
	if (row.len) {
		ticket.at = unpack_time(&in);
		ticket.wall = unpack_i64(&in);
		in.bad = in.bad || !budget_limits_unpack(unpack_span(&in), &grant);
		ticket.why = unpack_span(&in);
		ticket.grant = grant.limit[0];
	}
	if (!unpack_ok(&in) || grant.count != 1 || (row.len && !ticket.at)) {
		return false;
	}
	*ticket_out = ticket;
	return true;
}
