/* on_suspend: a program that is told of a suspension, with the facts as JSON on its stdin: a
 * mail is no alarm when mail is what is broken. It runs as the daemon's user, once a
 * suspension, and is not waited for. */
#ifndef GATEPOST_SERVER_ALARM_H
#define GATEPOST_SERVER_ALARM_H

#include "server/server.h"
#include "store/incident.h"

/* On the loop of `timer` (any handle of the main loop). Nothing happens when none is
 * configured. */
void alarm_run(struct server *server, uv_timer_t *timer, const struct incident *incident);

#endif
