#include "server/relay.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/log.h"
#include "server/pool.h"

struct relay {
	uv_loop_t *loop;
	uv_timer_t timer; /* the end of a back-off */
	struct config *config;
	struct pool_options options;
	const struct relay_handler *handler;
	void *owner;
	struct pool *pools[CONFIG_SMARTHOSTS_MAX];
	size_t npools;
	struct pool **retired; /* gone from the configuration, with mail on the way */
	size_t nretired;
	struct relay_mail *first, *last; /* waiting for a link */
	size_t waiting;
	size_t links;
	bool quitting;
};

static int64_t now_of(const struct relay *relay)
{
	return (int64_t)uv_now(relay->loop);
}

/* ---- serving the mails that wait ---- */

static struct relay_mail *pop(struct relay *relay)
{
	struct relay_mail *mail = relay->first;
	relay->first = mail->next;
	relay->last = relay->first ? relay->last : NULL;
	relay->waiting--;
	mail->next = NULL;
	return mail;
}

static bool give(struct relay *relay, struct relay_mail *mail)
{
	for (size_t i = 0; i < relay->npools; i++) {
		if (pool_give(relay->pools[i], mail)) {
			return true;
		}
	}
	return false;
}

static bool has_idle(const struct relay *relay)
{
	for (size_t i = 0; i < relay->npools; i++) {
		if (pool_known(relay->pools[i])->links[SMARTHOST_IDLE]) {
			return true;
		}
	}
	return false;
}

/* As many as there are mails waiting; at smarthosts in their order, up to the first that works.
 */
static void open_links(struct relay *relay)
{
	size_t wanted = relay->waiting;
	for (size_t i = 0; i < relay->npools && wanted; i++) {
		const struct smarthost *known = pool_known(relay->pools[i]);
		size_t opening = known->links[SMARTHOST_OPENING];
		bool later = false;
		wanted -= opening < wanted ? opening : wanted;
		while (wanted && !later && pool_open(relay->pools[i], &later)) {
			wanted--;
		}
		if (known->proven) {
			break;
		}
	}
}

/* A smarthost that was down and stands before the one in use is probed although nothing needs
 * it. */
static void probe_earlier(struct relay *relay)
{
	bool later;
	for (size_t i = 0; i < relay->npools && !pool_known(relay->pools[i])->proven; i++) {
		if (pool_known(relay->pools[i])->failures) {
			pool_open(relay->pools[i], &later);
		}
	}
}

static bool is_hopeless(const struct relay *relay)
{
	for (size_t i = 0; i < relay->npools && !relay->quitting; i++) {
		if (smarthost_is_hopeful(pool_known(relay->pools[i]), now_of(relay))) {
			return false;
		}
	}
	return true;
}

static void finish_unsent(struct relay *relay, struct relay_mail *mail,
                          enum relay_outcome outcome, const char *reason)
{
	mail->outcome = outcome;
	mail->results = NULL;
	mail->maybe_sent = false;
	mail->smarthost = "";
	snprintf(mail->reason, sizeof mail->reason, "%s", reason);
	relay->handler->done(relay->owner, mail);
}

static const char *why_not(const struct relay *relay)
{
	if (relay->quitting) {
		return "shutting down";
	}
	return relay->npools ? pool_known(relay->pools[0])->reason : "no smarthost";
}

static void serve(struct relay *relay)
{
	while (relay->first && !relay->quitting && has_idle(relay)) {
		give(relay, pop(relay));
	}
	if (!relay->quitting) {
		open_links(relay);
	}
	/* `done` may send again: only those that wait now. */
	for (size_t n = relay->waiting; n && relay->first && is_hopeless(relay); n--) {
		finish_unsent(relay, pop(relay), RELAY_UNTRIED, why_not(relay));
	}
}

/* ---- the back-off ---- */

static void set_timer(struct relay *relay);

static void on_timer(uv_timer_t *timer)
{
	struct relay *relay = timer->data;
	serve(relay);
	set_timer(relay);
	relay->handler->room(relay->owner, false);
}

/* To the first end of a back-off. */
static void set_timer(struct relay *relay)
{
	int64_t first = INT64_MAX;
	for (size_t i = 0; i < relay->npools; i++) {
		int64_t until = pool_known(relay->pools[i])->hold_until;
		first = until > now_of(relay) && until < first ? until : first;
	}
	if (first < INT64_MAX) {
		uv_timer_start(&relay->timer, on_timer, (uint64_t)(first - now_of(relay)), 0);
	}
}

/* ---- what the pools tell ---- */

static void free_retired(struct relay *relay)
{
	for (size_t i = relay->nretired; i-- > 0;) {
		if (!pool_has_links(relay->retired[i])) {
			pool_free(relay->retired[i]);
			relay->retired[i] = relay->retired[--relay->nretired];
		}
	}
}

static void on_look(void *owner)
{
	struct relay *relay = owner;
	serve(relay);
	relay->handler->room(relay->owner, false);
	free_retired(relay);
}

static void on_done(void *owner, struct relay_mail *mail)
{
	struct relay *relay = owner;
	relay->handler->done(relay->owner, mail);
}

static void on_again(void *owner, struct relay_mail *mail)
{
	struct relay *relay = owner;
	mail->again = true;
	mail->next = relay->first;
	relay->first = mail;
	relay->last = relay->last ? relay->last : mail;
	relay->waiting++;
}

static void on_changed(void *owner, enum smarthost_change change)
{
	struct relay *relay = owner;
	set_timer(relay);
	if (change == SMARTHOST_UP && !relay->quitting) {
		relay->handler->room(relay->owner, true);
	}
}

static const struct pool_handler pool_calls = {
	.look = on_look,
	.done = on_done,
	.again = on_again,
	.changed = on_changed,
};

/* ---- configuration ---- */

/* The present pool of that smarthost is kept, with its links and its history. */
static struct pool *keep_or_make(struct relay *relay, struct pool **old, size_t nold,
                                 const struct config_smarthost *row)
{
	for (size_t i = 0; i < nold; i++) {
		if (old[i] && pool_reload(old[i], relay->config, row)) {
			struct pool *pool = old[i];
			old[i] = NULL;
			return pool;
		}
	}
	return pool_new(&relay->options, relay->config, row);
}

static void retire(struct relay *relay, struct pool *pool)
{
	pool_empty(pool, false);
	relay->retired[relay->nretired++] = pool;
}

/* Room for all that may have to go. */
static bool make_retired(struct relay *relay)
{
	size_t n = relay->nretired + CONFIG_SMARTHOSTS_MAX;
	struct pool **more = realloc(relay->retired, n * sizeof(struct pool *));
	relay->retired = more ? more : relay->retired;
	return more != NULL;
}

/* False without memory: some smarthosts are missing then. */
static bool take_config(struct relay *relay, struct config *config)
{
	struct pool *old[CONFIG_SMARTHOSTS_MAX] = { NULL };
	size_t nold = relay->npools;
	if (!make_retired(relay)) {
		return false;
	}
	memcpy(old, relay->pools, nold * sizeof(struct pool *));
	config_ref(config);
	config_unref(relay->config);
	relay->config = config;
	relay->npools = 0;
	for (size_t i = 0; i < config->nsmarthosts; i++) {
		struct pool *pool = keep_or_make(relay, old, nold, &config->smarthost[i]);
		if (pool) {
			relay->pools[relay->npools++] = pool;
		}
	}
	for (size_t i = 0; i < nold; i++) {
		if (old[i]) {
			retire(relay, old[i]);
		}
	}
	return relay->npools == config->nsmarthosts;
}

void relay_reload(struct relay *relay, struct config *config)
{
	if (!take_config(relay, config)) {
		log_fault(LOG_LEVEL_ERROR, "smarthost-missing", "out of memory");
	}
	set_timer(relay);
	on_look(relay);
}

/* ---- life ---- */

struct relay *relay_new(uv_loop_t *loop, struct config *config, struct store *store,
                        const struct relay_handler *handler, void *owner)
{
	struct relay *relay = calloc(1, sizeof *relay);
	if (!relay) {
		return NULL;
	}
	relay->loop = loop;
	relay->handler = handler;
	relay->owner = owner;
	relay->options = (struct pool_options){
		.loop = loop,
		.store = store,
		.context = tls_context_client(NULL),
		.handler = &pool_calls,
		.owner = relay,
		.links = &relay->links,
	};
	uv_timer_init(loop, &relay->timer);
	relay->timer.data = relay;
	if (!relay->options.context || !take_config(relay, config)) {
		relay_free(relay);
		return NULL;
	}
	return relay;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void relay_free(struct relay *relay)
{
	if (!relay) {
		return;
	}
	assert(relay->links == 0 && relay->waiting == 0);
	free_retired(relay);
	for (size_t i = 0; i < relay->npools; i++) {
		pool_free(relay->pools[i]);
	}
	free(relay->retired);
	config_unref(relay->config);
	tls_context_unref(relay->options.context);
	uv_close((uv_handle_t *)&relay->timer, on_timer_closed);
}

/* ---- mails ---- */

size_t relay_room(const struct relay *relay)
{
	size_t room = 0;
	for (size_t i = 0; i < relay->npools && !relay->quitting; i++) {
		const struct smarthost *known = pool_known(relay->pools[i]);
		room += smarthost_room(known, now_of(relay));
		if (known->proven) {
			break;
		}
	}
	return room > relay->waiting ? room - relay->waiting : 0;
}

void relay_send(struct relay *relay, struct relay_mail *mail)
{
	assert(mail->envelope.nrecipients > 0);
	mail->next = NULL;
	mail->berth = NULL;
	mail->again = false;
	*(relay->last ? &relay->last->next : &relay->first) = mail;
	relay->last = mail;
	relay->waiting++;
	probe_earlier(relay);
	serve(relay);
}

void relay_stop(struct relay *relay, struct relay_mail *mail)
{
	if (mail->berth) {
		pool_stop(mail);
		return;
	}
	struct relay_mail *before = NULL;
	struct relay_mail *at = relay->first;
	while (at && at != mail) {
		before = at;
		at = at->next;
	}
	if (at) {
		*(before ? &before->next : &relay->first) = mail->next;
		relay->last = relay->last == mail ? before : relay->last;
		relay->waiting--;
		finish_unsent(relay, mail, RELAY_STOPPED, "stopped");
	}
}

void relay_wake(struct relay *relay)
{
	for (size_t i = 0; i < relay->npools; i++) {
		pool_wake(relay->pools[i]);
	}
	on_look(relay);
}

void relay_quit(struct relay *relay, bool hard)
{
	relay->quitting = true;
	for (size_t i = 0; i < relay->npools; i++) {
		pool_empty(relay->pools[i], hard);
	}
	for (size_t i = 0; i < relay->nretired; i++) {
		pool_empty(relay->retired[i], hard);
	}
	serve(relay);
}

size_t relay_links(const struct relay *relay)
{
	return relay->links;
}

bool relay_is_down(const struct relay *relay, int64_t *retry_in_out, const char **reason_out)
{
	int64_t first = INT64_MAX;
	for (size_t i = 0; i < relay->npools; i++) {
		const struct smarthost *known = pool_known(relay->pools[i]);
		if (!smarthost_is_down(known)) {
			return false;
		}
		first = known->hold_until < first ? known->hold_until : first;
	}
	*retry_in_out = first > now_of(relay) ? first - now_of(relay) : 0;
	*reason_out = why_not(relay);
	return true;
}
