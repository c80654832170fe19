#include "server/dispatch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/dispatch_state.h"
#include "server/log.h"
#include "server/suspension.h"
#include "store/killpoint.h"

#define WINDOW_LOW ((size_t)SCHEDULE_WINDOW / 4) /* fewer wait: the index is looked at */
#define WALKS_MAX  16                            /* in one go */
#define UNSURE_MAX \
	64 /* outcomes not yet durable: what a crash sends twice, beside what the links hold \
	    */

static void on_stalled(uv_timer_t *timer);

static uint32_t random_of(struct dispatch *d)
{
	d->random = d->random * 1664525 + 1013904223;
	return d->random >> 8;
}

void dispatch_drop_body(struct dispatch *d, struct buf *body)
{
	atomic_fetch_sub(d->memory, body->size);
	buf_done(body);
}

/* ---- attempts ---- */

struct attempt *dispatch_begin(struct dispatch *d, struct schedule_item *item)
{
	struct attempt *attempt = attempt_new(d->config, &d->server->key, item, random_of(d));
	if (attempt) {
		attempt->owner = d;
		attempt->next = d->attempts;
		if (attempt->next) {
			attempt->next->prev = attempt;
		}
		d->attempts = attempt;
	}
	return attempt;
}

void dispatch_end(struct dispatch *d, struct attempt *attempt)
{
	*(attempt->prev ? &attempt->prev->next : &d->attempts) = attempt->next;
	if (attempt->next) {
		attempt->next->prev = attempt->prev;
	}
	dispatch_drop_body(d, &attempt->item.body);
	attempt_free(attempt);
}

/* The index may have anything. */
static void look_again(struct dispatch *d)
{
	d->rescan = true;
	d->front = true;
}

/* Nothing came of it: it waits again, first of its account. */
static void give_back(struct dispatch *d, struct schedule_item *item)
{
	if (!schedule_return(d->schedule, item)) {
		dispatch_drop_body(d, &item->body);
		look_again(d);
	}
}

static void land(struct dispatch *d, struct attempt *attempt)
{
	schedule_land(d->schedule, attempt->item.id);
	dispatch_end(d, attempt);
}

static void set_earlier(int64_t *at, int64_t other)
{
	*at = other < *at ? other : *at;
}

/* When the store says that it is due again. */
static void plan(struct dispatch *d, const struct attempt *attempt, int64_t now)
{
	const struct outcome *outcome = &attempt->outcome;
	if (!outcome->found || outcome->ended || outcome->held) {
		return;
	}
	set_earlier(&d->wake_at, outcome->next_at);
	if (attempt->item.first) {
		set_earlier(&d->look_at, outcome->next_at);
	}
	d->rescan = d->rescan || outcome->next_at <= now;
}

/* In flight ends here, where the result is durable. */
static void on_committed(struct commit_job *job, enum store_result result)
{
	struct attempt *attempt = (struct attempt *)job;
	struct dispatch *d = attempt->owner;
	if (result == STORE_FULL) {
		/* A 2xx must never be forgotten: kept until there is room again. */
		attempt->stalled = true;
		if (!uv_is_active((uv_handle_t *)&d->timers[TIMER_STALLED])) {
			uv_timer_start(&d->timers[TIMER_STALLED], on_stalled, DISPATCH_AGAIN_MS,
			               0);
		}
		return;
	}
	KILLPOINT("done-after");
	int64_t now = dispatch_now(d);
	attempt_log(attempt, now, &d->tally);
	if (result == STORE_OK) {
		if (attempt->outcome.learned == GATE_TRIPPED) {
			suspension_begun(d->server, attempt->entry.account,
			                 attempt->outcome.guard.suspended.incident);
		}
		suspension_would(attempt->entry.account, attempt->outcome.guard.would);
		plan(d, attempt, now);
		land(d, attempt);
	} else {
		dispatch_end(
		    d,
		    attempt); /* the process is ending: what may be undecided stays in flight */
	}
	dispatch_pump(d);
}

void dispatch_submit(struct dispatch *d, struct attempt *attempt)
{
	attempt->stalled = false;
	attempt->outcome.job.port = d->port;
	attempt->outcome.job.done = on_committed;
	commit_submit(d->server->commit, &attempt->outcome.job);
}

static void on_stalled(uv_timer_t *timer)
{
	struct dispatch *d = timer->data;
	for (struct attempt *attempt = d->attempts; attempt; attempt = attempt->next) {
		if (attempt->stalled) {
			dispatch_submit(d, attempt);
		}
	}
}

static struct attempt *attempt_of(struct relay_mail *mail)
{
	return (struct attempt *)((char *)mail - offsetof(struct attempt, mail));
}

static void on_done(void *owner, struct relay_mail *mail)
{
	struct dispatch *d = owner;
	struct attempt *attempt = attempt_of(mail);
	if (mail->outcome == RELAY_UNTRIED) {
		give_back(d, &attempt->item);
		dispatch_end(d, attempt);
	} else if (mail->outcome == RELAY_STOPPED) {
		land(d, attempt);
		d->rescan = true; /* it may have been released by now */
	} else {
		attempt_take_results(attempt);
		dispatch_submit(d, attempt);
	}
}

static void on_room(void *owner, bool back)
{
	struct dispatch *d = owner;
	if (back) {
		d->back_at = dispatch_now(d);
		d->back = true;
		look_again(d);
	}
	dispatch_pump(d);
}

static const struct relay_handler relay_calls = { .done = on_done, .room = on_room };

/* ---- what is due ---- */

static struct attempt_times times_of(const struct dispatch *d)
{
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct attempt_times){
		.now = dispatch_now(d),
		.wall = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
		.back_at = d->back_at,
	};
}

static void log_damaged(uint64_t id)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_ERROR, "entry-damaged");
	log_id(&line, id);
	log_text(&line, "reason", SPAN_LIT("it can not be read; a restart holds it"));
	log_end(&line);
}

static void log_barred(struct span account)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_ERROR, "ledger-damaged");
	log_word(&line, "account", account);
	log_text(&line, "reason", SPAN_LIT("it can not be read; its queued mail is not sent"));
	log_end(&line);
}

/* One of very many stays in flight, as a damaged entry does, so that it is not tried in turn
 * with the others. */
static void bar(struct dispatch *d, struct attempt *attempt)
{
	bool news;
	bool barred = due_bar(d, attempt->item.account, &news);
	if (news) {
		log_barred(attempt->entry.account);
	}
	if (barred) {
		schedule_land(d->schedule, attempt->item.id);
	}
	dispatch_end(d, attempt);
}

static void act(struct dispatch *d, struct attempt *attempt, enum attempt_load load)
{
	switch (load) {
	case ATTEMPT_MAIL:
		relay_send(d->relay, &attempt->mail);
		break;
	case ATTEMPT_DECIDED:
		dispatch_submit(d, attempt);
		break;
	case ATTEMPT_DAMAGED:
		/* It stays in flight: looked at once in the life of a process. */
		log_damaged(attempt->item.id);
		dispatch_end(d, attempt);
		break;
	case ATTEMPT_BARRED:
		bar(d, attempt);
		break;
	case ATTEMPT_FAILED:
	case ATTEMPT_IDLE:
		land(d, attempt);
		break;
	}
}

enum attempt_load dispatch_load(struct dispatch *d, struct attempt *attempt,
                                const char *unreachable)
{
	struct attempt_times times = times_of(d);
	struct store_txn *txn = store_begin_read(d->server->store, NULL);
	enum attempt_load loaded = txn ? attempt_load(attempt, txn, &times, unreachable)
	                               : ATTEMPT_FAILED;
	store_abort(txn);
	return loaded;
}

/* False: no memory, no store. The index is looked at again in a while. */
static bool start(struct dispatch *d, struct schedule_item *item)
{
	struct attempt *attempt = dispatch_begin(d, item);
	if (!attempt) {
		give_back(d, item);
		return false;
	}
	enum attempt_load loaded = dispatch_load(d, attempt, NULL);
	d->rescan = d->rescan || loaded == ATTEMPT_FAILED;
	act(d, attempt, loaded);
	return loaded != ATTEMPT_FAILED;
}

static void on_due(uv_timer_t *timer)
{
	struct dispatch *d = timer->data;
	look_again(d);
	dispatch_pump(d);
}

/* While down, a moved probe time is a failed probe. */
static void watch_relay(struct dispatch *d)
{
	int64_t in;
	const char *reason;
	bool down = relay_is_down(d->relay, &in, &reason);
	int64_t at = down ? (int64_t)uv_now(d->loop) + in : 0;
	if (down && at > d->probe_at && in > 0) {
		due_sweep_soon(d, 0);
	}
	d->probe_at = at;
}

static bool has_room(const struct dispatch *d)
{
	return relay_room(d->relay) && commit_port_outstanding(d->port) < UNSURE_MAX;
}

static bool is_low(const struct dispatch *d)
{
	return d->rescan && schedule_waiting(d->schedule) <= WINDOW_LOW && has_room(d);
}

/* What is due and has no room is no matter of time: room, and an emptier window, tell. */
static void set_due_timer(struct dispatch *d)
{
	int64_t in = d->wake_at - dispatch_now(d);
	in = in < 1 ? 1 : in;
	if (in > DISPATCH_LOOK_MS || (in == 1 && d->rescan && !is_low(d))) {
		in = DISPATCH_LOOK_MS;
	}
	uv_timer_start(&d->timers[TIMER_DUE], on_due, (uint64_t)in, 0);
}

/* Who goes next is asked as late as can be: notices do not wait until the window is low. */
static bool pick(struct dispatch *d, struct schedule_item *item_out)
{
	if (!has_room(d)) {
		return false;
	}
	if (d->look_at <= dispatch_now(d)) {
		due_walk(d);
	} else if (d->front && schedule_first(d->schedule) == 0) {
		due_walk_front(d);
	}
	return schedule_pick(d->schedule, item_out);
}

/* Gives the relay all it has room for. Called whenever something may have changed; it is not
 * entered twice. */
void dispatch_pump(struct dispatch *d)
{
	struct schedule_item item;
	bool fine = true;
	if (d->pumping) {
		return;
	}
	d->pumping = true;
	for (size_t walks = 0; fine && !d->quitting && walks < WALKS_MAX; walks++) {
		while (fine && pick(d, &item)) {
			fine = start(d, &item);
		}
		if (!fine || !is_low(d)) {
			break;
		}
		due_walk(d);
	}
	if (!fine) {
		d->wake_at = dispatch_now(d) + DISPATCH_AGAIN_MS;
	}
	if (!d->quitting) {
		watch_relay(d);
		set_due_timer(d);
	}
	d->pumping = false;
	d->changed(d->owner);
}

/* ---- what others say ---- */

void dispatch_fresh(struct dispatch *dispatch, const struct queue_due *due, struct buf *body)
{
	bool known = false;
	if (due->next_at <= dispatch_now(dispatch)) {
		struct schedule_item item = dispatch_item(due);
		item.body = *body;
		enum schedule_entry entered = schedule_enter(dispatch->schedule, &item);
		*body = item.body;
		known = entered == SCHEDULE_ENTERED || entered == SCHEDULE_KNOWN;
	}
	if (!known) {
		look_again(dispatch);
	}
	dispatch_drop_body(dispatch, body);
}

static void stop_attempt(struct dispatch *d, uint64_t id)
{
	for (struct attempt *attempt = d->attempts; attempt; attempt = attempt->next) {
		if (attempt->item.id == id) {
			relay_stop(d->relay, &attempt->mail);
			return; /* it may be gone */
		}
	}
}

void dispatch_word(struct dispatch *dispatch, enum delivery_word word, uint64_t id)
{
	struct schedule_item item;
	if (word == DELIVERY_RELEASED) {
		look_again(dispatch);
	} else if (schedule_forget(dispatch->schedule, id, &item)) {
		dispatch_drop_body(dispatch, &item.body);
	} else if (schedule_flies(dispatch->schedule, id)) {
		stop_attempt(dispatch, id);
	}
}

/* One that is not stopped yet. What it has come to may be applied already: then there is
 * nothing to stop. */
static struct attempt *flying_of(struct dispatch *d, struct span account)
{
	struct attempt *attempt = d->attempts;
	while (attempt && (attempt->stopped || !span_eq(attempt->entry.account, account))) {
		attempt = attempt->next;
	}
	return attempt;
}

/* What was loaded before the suspension is here; what is loaded from now on is held. */
void dispatch_suspend(struct dispatch *dispatch, struct span account)
{
	struct schedule_item item;
	struct attempt *attempt;
	uint32_t hash = queue_account_hash(account);
	while (schedule_forget_account(dispatch->schedule, hash, &item)) {
		dispatch_drop_body(dispatch, &item.body);
	}
	/* From the front each time: a stop may end others, too. */
	while ((attempt = flying_of(dispatch, account))) {
		attempt->stopped = true;
		relay_stop(dispatch->relay, &attempt->mail);
	}
	look_again(dispatch); /* two accounts may have one hash */
}

void dispatch_look(struct dispatch *dispatch, bool rescan)
{
	if (rescan) {
		look_again(dispatch);
	}
	dispatch_pump(dispatch);
}

void dispatch_reload(struct dispatch *dispatch)
{
	config_unref(dispatch->config);
	dispatch->config = server_config(dispatch->server);
	relay_reload(dispatch->relay, dispatch->config);
}

void dispatch_flush(struct dispatch *dispatch)
{
	look_again(dispatch);
	relay_wake(dispatch->relay);
	dispatch_pump(dispatch);
}

/* ---- life ---- */

static bool start_parts(struct dispatch *d, struct error *error)
{
	for (size_t i = 0; i < TIMERS; i++) {
		uv_timer_init(d->loop, &d->timers[i]);
		d->timers[i].data = d;
		d->handles++;
	}
	d->config = server_config(d->server);
	d->schedule = schedule_new();
	d->relay = relay_new(d->loop, d->config, d->server->store, &relay_calls, d);
	d->port = commit_port_new(d->server->commit, d->loop);
	if (!d->schedule || !d->relay || !d->port) {
		error_set(error, "no memory for the delivery");
		return false;
	}
	return true;
}

struct dispatch *dispatch_new(struct server *server, uv_loop_t *loop, atomic_size_t *memory,
                              void (*changed)(void *owner), void *owner, struct error *error)
{
	struct dispatch *d = calloc(1, sizeof *d);
	if (!d) {
		error_set(error, "no memory for the delivery");
		return NULL;
	}
	d->server = server;
	d->loop = loop;
	d->memory = memory;
	d->changed = changed;
	d->owner = owner;
	look_again(d);
	d->random = (uint32_t)uv_hrtime();
	if (!start_parts(d, error)) {
		dispatch_free(d);
		return NULL;
	}
	return d;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct dispatch *d = handle->data;
	if (--d->handles == 0) {
		free(d);
	}
}

void dispatch_free(struct dispatch *dispatch)
{
	if (!dispatch) {
		return;
	}
	assert(!dispatch->attempts);
	relay_free(dispatch->relay);
	if (dispatch->port) {
		commit_port_close(dispatch->port);
	}
	schedule_free(dispatch->schedule);
	config_unref(dispatch->config);
	for (size_t i = 0; i < TIMERS; i++) {
		uv_close((uv_handle_t *)&dispatch->timers[i], on_handle_closed);
	}
}

void dispatch_quit(struct dispatch *dispatch, bool hard)
{
	dispatch->quitting = true;
	uv_timer_stop(&dispatch->timers[TIMER_DUE]);
	uv_timer_stop(&dispatch->timers[TIMER_SWEEP]);
	relay_quit(dispatch->relay, hard);
	if (hard) {
		uv_timer_stop(&dispatch->timers[TIMER_STALLED]);
		for (struct attempt *next, *attempt = dispatch->attempts; attempt;
		     attempt = next) {
			next = attempt->next;
			if (attempt->stalled) {
				dispatch_end(dispatch,
				             attempt); /* after the restart it is sent again */
			}
		}
	}
	dispatch->changed(dispatch->owner);
}

bool dispatch_is_over(const struct dispatch *dispatch)
{
	return dispatch->quitting && !dispatch->attempts && relay_links(dispatch->relay) == 0;
}

void dispatch_status(const struct dispatch *dispatch, struct delivery_status *status_out)
{
	const char *reason = "";
	*status_out = (struct delivery_status){
		.in_flight = schedule_flying(dispatch->schedule),
		.links = relay_links(dispatch->relay),
		.relayed = dispatch->tally.relayed,
		.deferred = dispatch->tally.deferred,
		.failed = dispatch->tally.failed,
	};
	status_out->smarthost_down = relay_is_down(dispatch->relay, &status_out->retry_in,
	                                           &reason);
	if (status_out->smarthost_down) {
		snprintf(status_out->reason, sizeof status_out->reason, "%s", reason);
	} else {
		status_out->retry_in = 0;
	}
}
