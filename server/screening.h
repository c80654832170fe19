/*
 * The screen (auth/screen.h) of the running process: under its mutex, kept over restarts,
 * logged, told to the postmasters (an event's kind at most once an hour, with the evidence) and
 * to the sessions that a new block concerns. `screen_exempt` networks pass it unseen.
 */
#ifndef GATEPOST_SERVER_SCREENING_H
#define GATEPOST_SERVER_SCREENING_H

#include "auth/screen.h"
#include "server/server.h"

struct screening;

/* Reads the stored blocks. NULL with a sentence. */
struct screening *screening_start(struct server *server, struct error *error);
/* Behind the workers, before the writer ends. NULL is accepted. */
void screening_stop(struct screening *screening);

/* Is it shut out, but perhaps for accounts that are known there? Any thread, no I/O. */
bool screening_blocked(struct server *server, const unsigned char address[16]);
/* May this address speak of logins? */
bool screening_admits(struct server *server, const unsigned char address[16]);
/* May this account be tried from there (else 454)? `account`, `address` and `guess` as in
 * screen_try; its `now` is set here. */
bool screening_may_try(struct server *server, struct screen_try *attempt);
/* A refused login; a block, or a guard, that begins with it is carried out. Returns the ms by
 * which the answer is to be held back. */
int64_t screening_failed(struct server *server, struct screen_try *attempt);
void screening_good(struct server *server, struct screen_try *attempt);

/* Other events that postmasters are told of, at most one of a kind an hour. */
enum screening_alarm {
	SCREENING_BLOCK,
	SCREENING_SPRAY,
	SCREENING_GUESS,
	SCREENING_UNKNOWN_ACCOUNT, /* a good password of somebody we do not know */
	SCREENING_BACKEND,         /* the back end can not be asked */
	SCREENING_ALARMS,
};
/* The word by which the note of a notice begins: "block", "backend"; an LF and the evidence
 * follow. */
const char *screening_alarm_word(enum screening_alarm alarm);
/* `evidence`: a sentence or two for people; bytes from outside are made harmless when it is
 * rendered. */
void screening_alarm(struct server *server, enum screening_alarm alarm, struct span evidence);

/* An account's name as it may be written down: people type passwords into the wrong field, so
 * one that no account has is a digest, by which the same one is known again. `text` is what the
 * answer may point to. */
#define SCREENING_NAME_TEXT 32
struct span screening_name(struct server *server, struct span account,
                           char text[SCREENING_NAME_TEXT]);

/* The admin's; any thread that may block. False: no room; not there. */
bool screening_add(struct server *server, const struct network *network, int64_t until);
bool screening_remove(struct server *server, const struct network *network);
/* The blocks in force, in a copy that the caller frees; NULL without memory. */
struct screen_block *screening_list(struct server *server, size_t *n_out);
size_t screening_count(struct server *server);

#endif
