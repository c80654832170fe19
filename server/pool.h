/*
 * The links to one smarthost, with what is known of it (server/smarthost) and its addresses. It
 * reuses links, counts mails on each, and keeps the books on back-off; which mail goes where is
 * the relay's.
 */
#ifndef GATEPOST_SERVER_POOL_H
#define GATEPOST_SERVER_POOL_H

#include "server/relay.h"
#include "server/smarthost.h"

struct pool;

struct pool_handler {
	/* A link is idle or gone, or an address became known: mails that wait may be served.
	 * The last act of the pool in that event: it may be freed when it has no link. */
	void (*look)(void *owner);
	void (*done)(void *owner, struct relay_mail *mail);
	/* It went out on a link that had died while idle: nobody saw it, it is first in line
	 * again. */
	void (*again)(void *owner, struct relay_mail *mail);
	/* The smarthost went down, is full, or is up again. It is in the log already. */
	void (*changed)(void *owner, enum smarthost_change change);
};

/* Borrowed, as long as the pool. */
struct pool_options {
	uv_loop_t *loop;
	struct store *store;
	struct tls_context *context;
	const struct pool_handler *handler;
	void *owner;
	size_t *links; /* counted here over all pools */
};

/* `config` is referenced; `row` is one of its smarthosts. NULL without memory. */
struct pool *pool_new(const struct pool_options *options, struct config *config,
                      const struct config_smarthost *row);
/* It must have no link. NULL is accepted. */
void pool_free(struct pool *pool);

/* The same smarthost under a new configuration? Then that is taken. */
bool pool_reload(struct pool *pool, struct config *config, const struct config_smarthost *row);

const struct smarthost *pool_known(const struct pool *pool);
bool pool_has_links(const struct pool *pool);

/* Begins to open one. False when it can not or may not now; true also while an address is
 * looked up, then with *later_out. */
bool pool_open(struct pool *pool, bool *later_out);
/* To an idle link; false when there is none. */
bool pool_give(struct pool *pool, struct relay_mail *mail);
/* The mail is on a link. */
void pool_stop(struct relay_mail *mail);
/* Forgets the back-off. */
void pool_wake(struct pool *pool);
/* No new links, mails or verdicts from now on. Links without a mail leave; with `hard` all. */
void pool_empty(struct pool *pool, bool hard);

#endif
