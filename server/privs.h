/* Bind, read keys, then drop everything: groups, gid, uid, no-new-privileges, no core dumps. */
#ifndef GATEPOST_SERVER_PRIVS_H
#define GATEPOST_SERVER_PRIVS_H

#include "proto/error.h"
#include "proto/span.h"

/* Is this process root? Only then `user` of the configuration counts. */
bool privs_is_root(void);
/* Makes `dir` (0700, owned by `user`) when it is missing; parents must be there. */
bool privs_make_dir(const char *dir, const char *user, unsigned mode, struct error *error);
/* Can `user` read `path`? Tried in a child that has dropped to it. */
bool privs_can_read(const char *user, const char *path, struct error *error);
/* For a while, before any thread is there: files made between the two belong to `user`. Only as
 * root; else nothing. */
bool privs_enter(const char *user, struct error *error);
void privs_leave(void);
/* For good; results checked. Only as root; else nothing. */
bool privs_drop(const char *user, struct error *error);
/* RLIMIT_CORE 0, PR_SET_DUMPABLE 0, no new privileges. */
void privs_harden(void);

#endif
