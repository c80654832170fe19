/*
 * Account rows that change without an admin: of somebody whom a back end knows and who comes
 * for the first time (enrol = open), of a device of the configuration, and verifiers in place
 * of an imported hash. Each is one small commit; it survives the session that asked for it.
 */
#ifndef GATEPOST_SERVER_ENROL_H
#define GATEPOST_SERVER_ENROL_H

#include "server/server.h"

struct enrol;

struct enrol_handler {
	/* Durable, or not. On the worker's loop. */
	void (*end)(void *owner, bool good);
};

/* Makes the row, without a secret, unless there is one. NULL without memory; else `end`
 * follows, and it is freed behind it. */
struct enrol *enrol_start(struct worker *worker, struct span account,
                          const struct enrol_handler *handler, void *owner);
/* The owner is gone: nobody is told. NULL is accepted. */
void enrol_orphan(struct enrol *enrol);

/* The rows of all devices; waits for the commit. A device whose row was deleted by an admin
 * gets it back. False with a sentence. */
bool enrol_devices(struct server *server, const struct config *config, struct error *error);

/* Puts `verifiers` in place of the crypt(3) hash against which a password was right, unless the
 * secret was set at or after `wall` (ms since 1970), when the login began: it may be another
 * one by now. Nobody waits for it: at worst the hash is there at the next login, too. */
void enrol_upgrade(struct server *server, struct span account, struct span verifiers,
                   int64_t wall);

#endif
