/*
 * One attempt at an entry: what is read of it when its turn has come, the mail made of that,
 * what was answered, the commit job that applies it, and the log lines. It knows neither the
 * loop nor the schedule.
 */
#ifndef GATEPOST_SERVER_ATTEMPT_H
#define GATEPOST_SERVER_ATTEMPT_H

#include "server/outcome.h"
#include "server/relay.h"
#include "server/schedule.h"

struct attempt {
	struct outcome outcome; /* first: its job is the attempt */
	struct relay_mail mail;
	struct schedule_item item; /* `body`: what was handed over */
	/* the owner's */
	void *owner;
	struct attempt *prev, *next;
	bool stalled;
	bool stopped;
	struct config *config;
	const struct secret_key *key; /* borrowed: a notice's token is made of it */
	struct arena arena;
	struct queue_entry entry;
	uint32_t *tried;                /* indices of the envelope's recipients */
	struct outcome_result *results; /* room is made before the mail goes: a 2xx must not be
	                                   lost for want of memory */
	struct lesson *lessons;         /* the same of what is learned from them */
	struct span smarthost;          /* who answered */
	struct buf own;                 /* the text, when we write it: a report, a notice */
};

/* Takes `item` and its body over; `config` is referenced, `key` borrowed. NULL without memory:
 * `item` stays the caller's. */
struct attempt *attempt_new(struct config *config, const struct secret_key *key,
                            struct schedule_item *item, uint32_t random);
void attempt_free(struct attempt *attempt);

enum attempt_load {
	ATTEMPT_IDLE,    /* nothing is to be done: gone, held, not due */
	ATTEMPT_MAIL,    /* `mail` is ready to be sent */
	ATTEMPT_DECIDED, /* without a word to the smarthost: the job is ready */
	ATTEMPT_DAMAGED, /* the entry can not be read */
	ATTEMPT_BARRED,  /* nobody can tell whether its account may send: the ledger can not be
	                    read */
	ATTEMPT_FAILED,  /* no memory or no store: later */
};

struct attempt_times {
	int64_t now;  /* T */
	int64_t wall; /* ms since 1970 */
	/* A smarthost came back then: what was deferred before is due. 0 = never. */
	int64_t back_at;
};

/* Reads the entry, and whether its account may send: mail of one that may not is held, whatever
 * else is due. `unreachable`: why no smarthost can be asked, else NULL. */
enum attempt_load attempt_load(struct attempt *attempt, struct store_txn *txn,
                               const struct attempt_times *times, const char *unreachable);
/* Within the relay's `done`: copies what was said; the job is ready then. */
void attempt_take_results(struct attempt *attempt);

struct attempt_tally {
	uint64_t relayed, deferred, failed; /* recipients */
};

/* After the commit: writes the log lines and adds to `tally`. */
void attempt_log(const struct attempt *attempt, int64_t now, struct attempt_tally *tally);

#endif
