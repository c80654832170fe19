/*
 * What is known of one smarthost: its links by state, whether it may have more, and its
 * back-off. Pure: no I/O, the time is passed in. It is down when it could not be reached, or
 * has cut several transactions in a row, and has no link that works. Until a link was ready for
 * mail (after cuts: until a transaction was answered) it is probed: one link at a time.
 */
#ifndef GATEPOST_SERVER_SMARTHOST_H
#define GATEPOST_SERVER_SMARTHOST_H

#include "proto/span.h"

#define SMARTHOST_CUTS 3 /* transactions in a row */

enum smarthost_link {
	SMARTHOST_OPENING,
	SMARTHOST_IDLE,
	SMARTHOST_BUSY,
	SMARTHOST_LEAVING,
	SMARTHOST_LINKS
};

struct smarthost {
	unsigned connections;            /* most links */
	unsigned links[SMARTHOST_LINKS]; /* kept by the owner */
	bool proven;                     /* since the last failure */
	unsigned failures;               /* in a row */
	unsigned cuts;                   /* in a row */
	int64_t hold_until;              /* no new link before */
	int64_t down_since;
	char reason[256]; /* of the last failure */
};

/* Borrowed for a call. */
struct smarthost_backoff {
	const int64_t *retry;
	size_t nretry;
	uint32_t random;
};

/* What the log is to be told. */
enum smarthost_change { SMARTHOST_SAME, SMARTHOST_CROWDED, SMARTHOST_DOWN, SMARTHOST_UP };

/* A link never got to its first mail. While others work it is full, not down. Later failures of
 * one burst count once. */
enum smarthost_change smarthost_unreached(struct smarthost *host,
                                          const struct smarthost_backoff *backoff, int64_t now,
                                          const char *reason);
/* A transaction was cut. */
enum smarthost_change smarthost_cut(struct smarthost *host,
                                    const struct smarthost_backoff *backoff, int64_t now,
                                    const char *reason);
/* A new link is ready for its first mail. UP when it was down before. */
enum smarthost_change smarthost_reached(struct smarthost *host);
/* A transaction was answered, with whatever. The same. */
enum smarthost_change smarthost_answered(struct smarthost *host);
/* Forgets the back-off, not the failure: it is probed. */
void smarthost_wake(struct smarthost *host);

bool smarthost_may_open(const struct smarthost *host, int64_t now);
/* Mails it could take now, those under way not counted. */
size_t smarthost_room(const struct smarthost *host, int64_t now);
/* A mail that waits may hope: a link is there, on its way, or allowed. */
bool smarthost_is_hopeful(const struct smarthost *host, int64_t now);
bool smarthost_is_down(const struct smarthost *host);

#endif
