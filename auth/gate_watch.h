/*
 * Watching without doing, pure: whether an account is only observed, and until when (a field of
 * the account); and the marks that remember what was told of it and changed nothing (a field of
 * the ledger).
 */
#ifndef GATEPOST_AUTH_GATE_WATCH_H
#define GATEPOST_AUTH_GATE_WATCH_H

#include "auth/gate.h"

/* DEFAULT is an empty row. */
void gate_stance_pack(const struct gate_stance *stance, struct buf *out);
/* False, `stance_out` untouched, for a row that makes no sense. */
bool gate_stance_unpack(struct span row, struct gate_stance *stance_out);
/* What it says at `now`: one that is over says nothing. */
enum gate_mode gate_stance_mode(const struct gate_stance *stance, int64_t now);

/* What would have become of a message with this verdict; PASS where observing changes nothing.
 */
enum gate_would gate_would_of(enum gate_verdict verdict);

struct gate_watch {
	int64_t would_at; /* T when that was told last, 0 = never */
	enum gate_would would;
	int64_t warned_at; /* T of the last warning before a limit, 0 = never */
};

#define GATE_WATCH_HOUR ((int64_t)3600 * 1000)
#define GATE_WATCH_DAY  (24 * GATE_WATCH_HOUR)

/* True at most once an hour, but for what is worse than what was told last: notes it. */
bool gate_watch_may_tell(struct gate_watch *watch, enum gate_would would, int64_t now);
/* Has the use come near a limit (GATE_WATCH_NEAR percent)? True at most once a day, and in a
 * window of that limit: notes it. `budget` is fitted. */
#define GATE_WATCH_NEAR 80
bool gate_watch_may_warn(struct gate_watch *watch, const struct budget *budget,
                         const struct budget_limits *limits, int64_t now);

/* No marks are an empty row. */
void gate_watch_pack(const struct gate_watch *watch, struct buf *out);
bool gate_watch_unpack(struct span row, struct gate_watch *watch_out);

#endif
