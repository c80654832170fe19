/*
 * One attempt to log in: its SASL steps run in libuv's pool, one at a time, bounded in number
 * over the whole process and each with a deadline. It outlives its session: a late result is
 * dropped.
 */
#ifndef GATEPOST_SERVER_LOGIN_H
#define GATEPOST_SERVER_LOGIN_H

#include "auth/sasl.h"
#include "server/server.h"

struct login;

/* On the worker's loop; never from within login_start or login_step. The login is still the
 * owner's to drop. */
struct login_handler {
	void (*result)(void *owner, enum sasl_status status, struct span challenge);
	/* The time of login_hold is over. */
	void (*held)(void *owner);
};

/* NULL without memory. `config` (its login_map) is kept until the login's end; what `peer` says
 * of the site is set here: map, now, cache_time. */
struct login *login_new(struct worker *worker, struct config *config,
                        const struct sasl_peer *peer, const struct login_handler *handler,
                        void *owner);
/* False: too many are being checked, answer 454. Bytes are copied and cleansed after use;
 * `initial` may be NULL. */
bool login_start(struct login *login, struct span mechanism, const struct span *initial);
bool login_step(struct login *login, struct span response);
/* The answer is to be held back: `held` is called after `ms`. Not while busy. */
void login_hold(struct login *login, int64_t ms);
/* A step is in the pool. */
bool login_is_busy(const struct login *login);
/* As in auth/sasl.h; not while busy. */
const struct sasl_attempt *login_attempt(const struct login *login);
struct span login_mechanism(const struct login *login);
/* Disposes of it, at once or when its step comes back; no call-back follows. NULL is accepted.
 */
void login_drop(struct login *login);

#endif
