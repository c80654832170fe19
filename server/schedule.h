/*
 * Whose mail is next: a bounded window of due entries, turn and turn about between accounts, a
 * lane for those that go before all of them, and the set of entries in flight. Pure: no store,
 * no clock, no loop. An id is at most once in here, waiting or in flight, so that nothing is
 * sent twice at a time.
 */
#ifndef GATEPOST_SERVER_SCHEDULE_H
#define GATEPOST_SERVER_SCHEDULE_H

#include "proto/buf.h"

#define SCHEDULE_WINDOW    1024
#define SCHEDULE_FIRST     64   /* the lane, beside the window */
#define SCHEDULE_IN_FLIGHT 2048 /* those whose result is not durable yet included */

struct schedule;

struct schedule_item {
	uint64_t id;
	uint32_t account; /* queue_account_hash */
	bool first;       /* before all that are not; in order among themselves */
	struct buf body;  /* handed over with it, or empty */
};

enum schedule_entry {
	SCHEDULE_ENTERED,
	SCHEDULE_KNOWN, /* waits or flies already */
	SCHEDULE_SHARE, /* the account has its share of the window */
	SCHEDULE_FULL,
};

/* NULL without memory. */
struct schedule *schedule_new(void);
/* Bodies are freed. NULL is accepted. */
void schedule_free(struct schedule *schedule);

/*
 * The lane of the first ones has its own room. Of the window an account may fill as
 * much as it leaves free for others (half of it alone, a third when there are two): one that
 * has nothing waiting gets in as long as there is any room.
 * On ENTERED `item->body` is taken over and emptied.
 */
enum schedule_entry schedule_enter(struct schedule *schedule, struct schedule_item *item);
/* The first of the lane, else of the account whose turn it is; it is in flight from now on.
 * False when nothing waits or too much flies. The caller owns the body. */
bool schedule_pick(struct schedule *schedule, struct schedule_item *item_out);
/* What was picked could not be tried: first of its account (or the lane) again. False when
 * there is no room: then it just landed. */
bool schedule_return(struct schedule *schedule, struct schedule_item *item);
/* An entry is worked on although it was not picked. False, unchanged, when it flies or too much
 * does; it must not wait. */
bool schedule_launch(struct schedule *schedule, uint64_t id);
bool schedule_flies(const struct schedule *schedule, uint64_t id);
/* In flight no more. */
void schedule_land(struct schedule *schedule, uint64_t id);
/* Takes it out of the window; false when it does not wait. The caller owns the body. */
bool schedule_forget(struct schedule *schedule, uint64_t id, struct schedule_item *item_out);

/* The same for any one of the window's that are of `account`. */
bool schedule_forget_account(struct schedule *schedule, uint32_t account,
                             struct schedule_item *item_out);

size_t schedule_waiting(const struct schedule *schedule); /* in the window */
size_t schedule_first(const struct schedule *schedule);   /* in the lane */
size_t schedule_flying(const struct schedule *schedule);

/* ms until the next try: retry[tries], the last for ever, up to a tenth more or less as
 * `random` has it; at least 1 s. */
int64_t schedule_retry(const int64_t *retry, size_t nretry, uint32_t tries, uint32_t random);

#endif
