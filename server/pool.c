#include "server/pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/link.h"
#include "server/log.h"
#include "server/resolver.h"

#define LINK_AGE ((uint64_t)300 * 1000) /* then a new one, for those behind load balancers */

/* Where a link lies. */
struct berth {
	struct pool *pool;
	struct link *link;
	enum smarthost_link state;
	unsigned mails;
	uint64_t opened_at;
	struct berth *prev, *next;
};

struct pool {
	struct pool_options options;
	struct smarthost known;
	struct config *config;
	const struct config_smarthost *row;
	struct resolver *resolver;
	struct berth *berths;
	unsigned in_clear; /* so many links go without TLS, whose handshake failed before */
	uint32_t random;
	bool closing;
};

static int64_t now_of(const struct pool *pool)
{
	return (int64_t)uv_now(pool->options.loop);
}

/* ---- what the log and the relay hear ---- */

static void log_change(const struct pool *pool, enum smarthost_change change)
{
	static const struct {
		const char *event;
		enum log_level level;
	} rows[] = {
		[SMARTHOST_CROWDED] = { "smarthost-full", LOG_LEVEL_INFO },
		[SMARTHOST_DOWN] = { "smarthost-down", LOG_LEVEL_WARNING },
		[SMARTHOST_UP] = { "smarthost-up", LOG_LEVEL_INFO },
	};
	struct log_line line;
	log_begin(&line, rows[change].level, rows[change].event);
	log_word(&line, "smarthost", span_str(pool->row->name));
	if (change == SMARTHOST_UP) {
		log_number(&line, "down_ms", now_of(pool) - pool->known.down_since);
	} else {
		log_number(&line, "retry_ms", pool->known.hold_until - now_of(pool));
		log_text(&line, "reason", span_str(pool->known.reason));
	}
	log_end(&line);
}

static void take_change(struct pool *pool, enum smarthost_change change)
{
	if (change != SMARTHOST_SAME) {
		log_change(pool, change);
		pool->options.handler->changed(pool->options.owner, change);
	}
}

/* The cipher of an opportunistic link is worth knowing, if only to see that there is one. */
static void log_link(const struct berth *berth)
{
	const struct conn *conn = link_conn(berth->link);
	const struct tls *tls = conn_tls(conn);
	struct log_line line;
	log_begin(&line, LOG_LEVEL_INFO, "smarthost-link");
	log_word(&line, "smarthost", span_str(berth->pool->row->name));
	log_word(&line, "address", span_str(conn_peer(conn)));
	log_word(&line, "tls", span_str(tls ? tls_version(tls) : "none"));
	if (tls) {
		log_word(&line, "cipher", span_str(tls_cipher(tls)));
	}
	log_end(&line);
}

static void log_no_tls(const struct pool *pool, const char *reason)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_WARNING, "smarthost-tls-failed");
	log_word(&line, "smarthost", span_str(pool->row->name));
	log_text(&line, "reason", span_str(reason));
	log_end(&line);
}

static struct smarthost_backoff backoff_of(struct pool *pool)
{
	pool->random = pool->random * 1664525 + 1013904223;
	return (struct smarthost_backoff){
		.retry = pool->config->retry,
		.nretry = pool->config->nretry,
		.random = pool->random >> 8,
	};
}

static void unreached(struct pool *pool, const char *reason)
{
	struct smarthost_backoff backoff = backoff_of(pool);
	take_change(pool, smarthost_unreached(&pool->known, &backoff, now_of(pool), reason));
}

/* ---- a link's life ---- */

static void move(struct berth *berth, enum smarthost_link state)
{
	berth->pool->known.links[berth->state]--;
	berth->pool->known.links[state]++;
	berth->state = state;
}

static void leave(struct berth *berth)
{
	move(berth, SMARTHOST_LEAVING);
	link_quit(berth->link);
}

static void on_ready(void *owner)
{
	struct berth *berth = owner;
	struct pool *pool = berth->pool;
	bool fresh = berth->state == SMARTHOST_OPENING;
	move(berth, SMARTHOST_IDLE);
	if (pool->closing || berth->mails >= pool->row->mails ||
	    uv_now(pool->options.loop) - berth->opened_at > LINK_AGE) {
		leave(berth);
		return;
	}
	if (fresh) {
		log_link(berth);
		take_change(pool, smarthost_reached(&pool->known));
	}
	pool->options.handler->look(pool->options.owner);
}

/* Between its last word and its end a link takes no mail, and is not asked to leave again. */
static void on_leaving(void *owner)
{
	struct berth *berth = owner;
	if (berth->state == SMARTHOST_IDLE) {
		move(berth, SMARTHOST_LEAVING);
	}
}

static bool was_stale(const struct berth *berth, const struct relay_mail *mail)
{
	return mail->outcome == RELAY_BROKEN && berth->mails > 1 &&
	       link_is_unheard(berth->link) && !mail->maybe_sent && !mail->again &&
	       !berth->pool->closing;
}

static enum smarthost_change judge(struct pool *pool, const struct relay_mail *mail)
{
	if (mail->outcome == RELAY_ANSWERED) {
		return smarthost_answered(&pool->known);
	}
	if (mail->outcome == RELAY_STOPPED || mail->unreadable || pool->closing) {
		return SMARTHOST_SAME;
	}
	struct smarthost_backoff backoff = backoff_of(pool);
	return smarthost_cut(&pool->known, &backoff, now_of(pool), mail->reason);
}

static void on_done(void *owner, struct relay_mail *mail)
{
	struct berth *berth = owner;
	struct pool *pool = berth->pool;
	mail->berth = NULL;
	mail->smarthost = pool->row->name;
	if (mail->outcome != RELAY_ANSWERED) {
		move(berth, SMARTHOST_LEAVING);
	}
	if (was_stale(berth, mail)) {
		pool->options.handler->again(pool->options.owner, mail);
		return;
	}
	enum smarthost_change change = judge(pool, mail);
	pool->options.handler->done(pool->options.owner, mail);
	take_change(pool, change);
}

static void forget(struct berth *berth)
{
	struct pool *pool = berth->pool;
	pool->known.links[berth->state]--;
	--*pool->options.links;
	*(berth->prev ? &berth->prev->next : &pool->berths) = berth->next;
	if (berth->next) {
		berth->next->prev = berth->prev;
	}
	free(berth);
}

static void on_gone(void *owner, enum link_end end, const char *reason)
{
	struct berth *berth = owner;
	struct pool *pool = berth->pool;
	forget(berth);
	if (end == LINK_NO_TLS) {
		pool->in_clear++;
		log_no_tls(pool, reason);
	} else if (end == LINK_UNREACHED && !pool->closing) {
		unreached(pool, reason);
	}
	pool->options.handler->look(pool->options.owner);
}

static const struct link_handler link_calls = {
	.ready = on_ready,
	.leaving = on_leaving,
	.done = on_done,
	.gone = on_gone,
};

/* ---- opening one ---- */

static struct link *open_to(struct berth *berth, const struct sockaddr_storage *addresses,
                            size_t n)
{
	struct pool *pool = berth->pool;
	bool clear = pool->row->tls == SMTP_CLIENT_TLS_MAY && pool->in_clear > 0;
	pool->in_clear -= clear;
	struct link_options options = {
		.loop = pool->options.loop,
		.store = pool->options.store,
		.context = pool->options.context,
		.hostname = pool->config->hostname,
		.server_name = resolver_is_number(pool->resolver) ? NULL : pool->row->address,
		.tls = clear ? SMTP_CLIENT_TLS_NONE : pool->row->tls,
		.addresses = addresses,
		.naddresses = n,
	};
	return link_open(&options, &link_calls, berth);
}

static bool moor(struct pool *pool, const struct sockaddr_storage *addresses, size_t n)
{
	struct berth *berth = calloc(1, sizeof *berth);
	if (!berth) {
		return false;
	}
	berth->pool = pool;
	berth->state = SMARTHOST_OPENING;
	berth->opened_at = uv_now(pool->options.loop);
	berth->link = open_to(berth, addresses, n);
	if (!berth->link) {
		free(berth);
		return false;
	}
	berth->next = pool->berths;
	if (berth->next) {
		berth->next->prev = berth;
	}
	pool->berths = berth;
	pool->known.links[SMARTHOST_OPENING]++;
	++*pool->options.links;
	return true;
}

bool pool_open(struct pool *pool, bool *later_out)
{
	const struct sockaddr_storage *addresses;
	size_t n;
	const char *reason = "out of memory";
	*later_out = false;
	if (pool->closing || !smarthost_may_open(&pool->known, now_of(pool))) {
		return false;
	}
	enum resolver_answer answer = resolver_ask(pool->resolver, &addresses, &n, &reason);
	if (answer == RESOLVER_WAIT) {
		*later_out = true;
		return true;
	}
	if (answer == RESOLVER_FAILED || !moor(pool, addresses, n)) {
		unreached(pool, reason);
		return false;
	}
	return true;
}

/* ---- mails ---- */

bool pool_give(struct pool *pool, struct relay_mail *mail)
{
	if (pool->known.links[SMARTHOST_IDLE] == 0) {
		return false;
	}
	/* Always the first in the list, so that those not needed grow old. */
	struct berth *berth = pool->berths;
	while (berth->state != SMARTHOST_IDLE) {
		berth = berth->next;
	}
	move(berth, SMARTHOST_BUSY);
	berth->mails++;
	mail->berth = berth;
	link_send(berth->link, mail);
	return true;
}

void pool_stop(struct relay_mail *mail)
{
	struct berth *berth = mail->berth;
	link_stop(berth->link);
}

/* ---- the pool's life ---- */

static void on_resolved(void *owner)
{
	struct pool *pool = owner;
	pool->options.handler->look(pool->options.owner);
}

static void take_row(struct pool *pool, struct config *config,
                     const struct config_smarthost *row)
{
	config_ref(config);
	config_unref(pool->config);
	pool->config = config;
	pool->row = row;
	pool->known.connections = row->connections;
}

struct pool *pool_new(const struct pool_options *options, struct config *config,
                      const struct config_smarthost *row)
{
	struct pool *pool = calloc(1, sizeof *pool);
	if (!pool) {
		return NULL;
	}
	pool->options = *options;
	pool->random = (uint32_t)uv_hrtime();
	pool->resolver = resolver_new(options->loop, row->address, row->port, on_resolved,
	                              pool);
	if (!pool->resolver) {
		free(pool);
		return NULL;
	}
	take_row(pool, config, row);
	return pool;
}

void pool_free(struct pool *pool)
{
	if (pool) {
		assert(!pool->berths);
		resolver_free(pool->resolver);
		config_unref(pool->config);
		free(pool);
	}
}

bool pool_reload(struct pool *pool, struct config *config, const struct config_smarthost *row)
{
	const struct config_smarthost *old = pool->row;
	bool same = strcmp(old->name, row->name) == 0 &&
	            strcmp(old->address, row->address) == 0 && old->port == row->port &&
	            old->tls == row->tls;
	if (same) {
		take_row(pool, config, row);
	}
	return same;
}

const struct smarthost *pool_known(const struct pool *pool)
{
	return &pool->known;
}

bool pool_has_links(const struct pool *pool)
{
	return pool->berths != NULL;
}

void pool_wake(struct pool *pool)
{
	smarthost_wake(&pool->known);
}

void pool_empty(struct pool *pool, bool hard)
{
	struct berth *next;
	pool->closing = true;
	for (struct berth *berth = pool->berths; berth; berth = next) {
		next = berth->next;
		if (berth->state == SMARTHOST_IDLE) {
			leave(berth);
		} else if (berth->state == SMARTHOST_OPENING) {
			move(berth, SMARTHOST_LEAVING);
			link_cut(berth->link, "not needed any more");
		} else if (hard) {
			link_cut(berth->link, "cut at shutdown");
		}
	}
}
