/* What a notice about logins, or of an account at its limit, says of each kind of event: a
 * table. */
#ifndef GATEPOST_SERVER_NOTICE_EVENT_H
#define GATEPOST_SERVER_NOTICE_EVENT_H

#include "server/screening.h"

struct notice_event {
	const char *word; /* by which the note begins */
	const char *subject;
	const char *what;  /* a sentence */
	const char *did;   /* the same: what Gatepost has done about it */
	const char *hint;  /* the condition of its own lines in event.txt */
	const char *pause; /* for so long there is no other of its kind */
};

/* Takes the word and its line end off the front of `note`. A word that is not known here (of
 * another version) has a row of its own. */
const struct notice_event *notice_event_of(struct span *note);

#endif
