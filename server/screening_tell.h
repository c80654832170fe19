/* What the screen has decided, in words: for the log, and as the evidence of an alarm. */
#ifndef GATEPOST_SERVER_SCREENING_TELL_H
#define GATEPOST_SERVER_SCREENING_TELL_H

#include "server/screening.h"

#define SCREENING_EVIDENCE ((size_t)1024)

/* `effect` has an event. */
void screening_tell(struct server *server, const struct screen_try *attempt,
                    const struct screen_effect *effect);

#endif
