/*
 * on_suspend and on_unlock: a program that gets the facts as JSON on its stdin, or an HTTPS
 * POST of them; a mail is no alarm when mail is what is broken. Programs are started by a
 * helper (server/hook_helper), posts are made in the pool and tried three times. Nobody waits
 * for either.
 *
 * What is under way is memory only: the caller keeps in the store what is still to be run, and
 * marks it when it has ended. A crash in between runs it again, rather than never. The same
 * store is the queue: what finds no room now is offered again at the next look.
 *
 * All of it on the main loop, but for the facts.
 */
#ifndef GATEPOST_SERVER_HOOK_H
#define GATEPOST_SERVER_HOOK_H

#include "server/server.h"
#include "store/incident.h"

enum hook_event { HOOK_SUSPEND, HOOK_UNLOCK };

enum hook_state {
	HOOK_NONE, /* not begun, and not to be begun now */
	HOOK_RUNNING,
	HOOK_ENDED, /* well or not, or there is none */
};

struct hooks;

/* `ended` is called with `context` when one has ended, never from within hooks_run. NULL
 * without memory. */
struct hooks *hooks_start(struct server *server, uv_loop_t *loop, void (*ended)(void *context),
                          void *context);
/* Posts under way are cut short; programs end with their helper. NULL is accepted. */
void hooks_stop(struct hooks *hooks);

enum hook_state hooks_state(const struct hooks *hooks, uint64_t incident,
                            enum hook_event event);
/* Begins what is configured. */
enum hook_state hooks_run(struct hooks *hooks, const struct incident *incident,
                          enum hook_event event);
/* That it has ended is written down. */
void hooks_forget(struct hooks *hooks, uint64_t incident, enum hook_event event);

/* "on_suspend". */
const char *hook_name(enum hook_event event);
/* The facts as JSON, to be freed; NULL without memory. Pure. */
char *hook_facts(const struct incident *incident, enum hook_event event);

#endif
