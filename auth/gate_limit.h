/*
 * What happens at the limit, pure: one table from where a message meets the budget, and what
 * the site wants done there, to the verdict; the marks that remember what has happened; and
 * tickets, recipients that an admin allows beyond the limits.
 */
#ifndef GATEPOST_AUTH_GATE_LIMIT_H
#define GATEPOST_AUTH_GATE_LIMIT_H

#include "auth/gate.h"

/* Where a message meets its account's budget. */
enum gate_edge {
	GATE_EDGE_WITHIN,
	GATE_EDGE_BEYOND, /* does not fit it, but would fit one more */
	GATE_EDGE_TWICE,  /* nor that one */
	GATE_EDGE_NEVER,  /* would not fit an empty one */
	GATE_EDGE_AGAIN,  /* the third such in an hour: no slip any more */
	GATE_EDGES,
};

/* What is done there: as the action says, or REFUSE where nobody would hear of the others. */
enum gate_course {
	GATE_COURSE_SUSPEND = GATE_ACTION_SUSPEND,
	GATE_COURSE_DEFER = GATE_ACTION_DEFER,
	GATE_COURSE_HOLD = GATE_ACTION_HOLD,
	GATE_COURSE_REFUSE,
	GATE_COURSES,
};

enum gate_verdict gate_limit_verdict(enum gate_edge edge, enum gate_course course);
/* `price` tokens at `now`; `budget` is fitted. BEYOND is of each of the limits alone. */
enum gate_edge gate_limit_edge(const struct budget *budget, const struct budget_limits *limits,
                               uint32_t price, int64_t now);

/* ---- marks: a field of the ledger ---- */

#define GATE_MARKS_NEVER 2 /* and one more is too many */
#define GATE_MARKS_HOUR  ((int64_t)3600 * 1000)
#define GATE_MARKS_DAY   (24 * GATE_MARKS_HOUR)

struct gate_marks {
	int64_t
	    never[GATE_MARKS_NEVER]; /* T of the last messages that could never fit, 0 = none */
	int64_t told[GATE_NEWS_COUNT]; /* T of the last notice of each kind, 0 = none */
	int64_t ticket;                /* the T of the ticket that `used` is of */
	uint32_t used;
};

/* Is a message that could never fit, now, the third in an hour? */
bool gate_marks_is_again(const struct gate_marks *marks, int64_t now);
void gate_marks_note_never(struct gate_marks *marks, int64_t now);
/* True at most once a day for each: notes it. */
bool gate_marks_may_tell(struct gate_marks *marks, enum gate_news news, int64_t now);
void gate_marks_pack(const struct gate_marks *marks, struct buf *out);
/* An empty row is no marks. False for one that makes no sense. */
bool gate_marks_unpack(struct span row, struct gate_marks *marks_out);

/* ---- tickets: a field of the account ---- */

/* How much of `price` is the ticket's: it is charged first. */
uint32_t gate_ticket_part(const struct gate_ticket *ticket, const struct gate_marks *marks,
                          uint32_t price, int64_t now);
void gate_ticket_take(const struct gate_ticket *ticket, struct gate_marks *marks,
                      uint32_t part);
/* What of it is used. */
uint32_t gate_ticket_used(const struct gate_ticket *ticket, const struct gate_marks *marks);
void gate_ticket_pack(const struct gate_ticket *ticket, struct buf *out);
/* An empty row is no ticket. */
bool gate_ticket_unpack(struct span row, struct gate_ticket *ticket_out);

#endif
