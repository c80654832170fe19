/*
 * What becomes of an entry: what is to be done for it now, and the commit job that applies what
 * came of it. The entry is read again within the job: it may have been held, released or
 * discarded while its mail was on the way. A 2xx counts in any state, all else only while
 * READY. Whether an account is still suspended, for which it is to be held, is read there too.
 *
 * An entry is due at next_at. When its report_at is not later than that (or nothing is PENDING)
 * the report is what is due, else the mail. There is one report a message: it waits for the
 * next attempt when there is one, and shares with that. On a notice nobody reports.
 */
#ifndef GATEPOST_SERVER_OUTCOME_H
#define GATEPOST_SERVER_OUTCOME_H

#include "server/commit.h"
#include "server/lesson.h"
#include "store/queue.h"

enum outcome_duty {
	OUTCOME_NOTHING, /* HELD */
	OUTCOME_MAIL,    /* the PENDING ones are tried */
	OUTCOME_REPORT,  /* the sender is told of the FAILED ones */
	OUTCOME_EXPIRE,  /* the PENDING ones have waited too long */
	OUTCOME_GIVE_UP, /* so has the report; or a notice has nothing to say any more */
	OUTCOME_HOLD,    /* its account is suspended */
};

/* Borrowed, as long as the outcome. */
struct outcome_rules {
	const int64_t *retry;
	size_t nretry;
	int64_t lifetime;
};

/* What is due first, if its account may send. `reachable`: a mail that was never tried is tried
 * although its time is over. */
enum outcome_duty outcome_duty(const struct queue_entry *entry, int64_t now, int64_t lifetime,
                               bool reachable);

struct outcome_result {
	uint32_t recipient; /* of the entry; MAIL only */
	unsigned code;      /* 0 = no answer */
	struct span status;
	struct span answer;
};

struct outcome {
	struct commit_job job; /* its `done` and `port` are the caller's */
	enum outcome_duty duty;
	uint64_t id;
	const struct outcome_result *results; /* MAIL: of those tried; REPORT: one */
	size_t nresults;
	struct outcome_rules rules;
	struct span reason; /* EXPIRE: for those who never had an answer */
	size_t note_len;    /* bytes of the entry's note as it was tried */
	uint32_t random;
	/* what the guard learns of it, and by what rules; borrowed */
	const struct lesson *lessons;
	size_t nlessons;
	const struct config *config;
	const struct secret_key *key;
	/* set by the job */
	enum gate_verdict learned; /* TRIPPED: it cost the account its standing */
	struct gate_result guard;  /* how */
	bool found;
	bool ended;
	bool held;
	uint64_t incident; /* HOLD: by which; 0 = the account is good again */
	int64_t next_at;   /* READY and not ended */
};

/* Fills in the job's run and bytes. All other fields are set before or after. */
void outcome_prepare(struct outcome *outcome);
/* The core of it. False when the entry stays as it was. Spans of `outcome` get into `entry`. */
bool outcome_apply(const struct outcome *outcome, struct queue_entry *entry, int64_t now);

#endif
