/*
 * A token bucket, pure: N tokens, a recipient takes its price, a spent token comes back one
 * window later. A ring of 61 slots of window/60 (rounded up to whole ms): a slot returns when
 * all of it is older than the window, never early and at most window/60 late, so no span of one
 * window ever admits more than N. Time is the store's clock T in ms, 0 to BUDGET_TIME_MAX.
 */
#ifndef GATEPOST_AUTH_BUDGET_H
#define GATEPOST_AUTH_BUDGET_H

#include "proto/buf.h"

#define BUDGET_SLOTS      61
#define BUDGET_LIMITS_MAX 4
#define BUDGET_WINDOW_MIN ((int64_t)60 * 1000)             /* a minute */
#define BUDGET_WINDOW_MAX ((int64_t)31 * 24 * 3600 * 1000) /* a month */
#define BUDGET_TOKENS_MAX 10000000u

struct budget_limit {
	uint32_t tokens;
	int64_t window; /* ms */
};

/* What holds for one account: up to four limits, all of which must be kept. None: unlimited. */
struct budget_limits {
	struct budget_limit limit[BUDGET_LIMITS_MAX];
	size_t count;
};

/* The store's clock is a count of ms that starts near 0: a T beyond this (30,000 years) is
 * damage. */
#define BUDGET_TIME_MAX ((int64_t)1 << 50)

/* "500/30m", "2000/24h": tokens, a slash, a number with s, m, h or d. False with a reason
 * (static text). */
bool budget_limit_parse(struct span text, struct budget_limit *limit_out,
                        const char **reason_out);
/* The shortest such text: "2000/1d" for a limit that was given as 2000/24h. */
void budget_limit_write(const struct budget_limit *limit, struct buf *out);
/* No limits are an empty row. */
void budget_limits_pack(const struct budget_limits *limits, struct buf *out);
/* False, `limits_out` untouched, for a row that makes no sense. */
bool budget_limits_unpack(struct span row, struct budget_limits *limits_out);

struct budget_ring {
	int64_t window; /* ms; 0: an empty ring of no window yet */
	int64_t newest; /* number of the newest slot: T / (window/60, rounded up) */
	uint32_t spent[BUDGET_SLOTS]; /* spent[n % 61] belongs to slot n, newest-60 .. newest */
};

struct budget {
	struct budget_ring ring[BUDGET_LIMITS_MAX]; /* one a limit, in the limits' order */
	size_t count;
};

/* Fits the rings to `limits` and moves them on to `now`: a ring of the same window is kept; a
 * changed window is re-bucketed from the ring whose window is nearest above (else the longest),
 * each token as if spent at the end of its slot: rounding up, none comes back before the new
 * window has passed. What is in the future of `now` (only damage puts it there) is taken as
 * spent now. */
void budget_fit(struct budget *budget, const struct budget_limits *limits, int64_t now);
/* Tokens not yet come back; saturates. A slot in the future of `now` counts. */
uint32_t budget_spent(const struct budget_ring *ring, int64_t now);

enum budget_verdict {
	BUDGET_FITS,
	BUDGET_SPENT, /* not now */
	BUDGET_NEVER, /* more than some limit's tokens: would not fit an empty budget */
};
/* Would `price` more tokens fit all limits? `budget` was fitted. */
enum budget_verdict budget_ask(const struct budget *budget, const struct budget_limits *limits,
                               uint32_t price, int64_t now);
/* Takes them, fit or not; sums saturate. */
void budget_take(struct budget *budget, uint32_t price, int64_t now);
/* T at which `price` tokens will fit; `now` when they do; INT64_MAX when never. */
int64_t budget_when(const struct budget *budget, const struct budget_limits *limits,
                    uint32_t price, int64_t now);

/* Sparse: an idle account is a few bytes. */
void budget_pack(const struct budget *budget, struct buf *out);
/* False, `budget_out` untouched, for a row that makes no sense: the caller fails closed. An
 * empty row is an empty budget. */
bool budget_unpack(struct span row, struct budget *budget_out);

#endif
