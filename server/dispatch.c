#include "server/dispatch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/attempt.h"
#include "server/log.h"
#include "server/server.h"
#include "store/killpoint.h"

#define WINDOW_LOW ((size_t)SCHEDULE_WINDOW / 4) /* fewer wait: the index is looked at */
#define WALK_KEYS 200000                         /* of the index, at most, at a time */
#define WALKS_MAX 16                             /* in one go */
#define LOOK_MS ((int64_t)60 * 1000)             /* it is looked at so often in any case */
#define AGAIN_MS 1000                            /* a full store, no memory: then again */
#define SWEEP_MS 60000
#define SWEEP_PAUSE_MS 1000 /* after a part of a sweep */
#define SWEEP_ENTRIES 2048
#define SWEEP_YOUNG 256 /* so many are in time: those behind are younger still, as ids grow */

enum timer { TIMER_DUE, TIMER_SWEEP, TIMER_STALLED, TIMERS };

struct dispatch {
	struct server *server;
	uv_loop_t *loop;
	uv_timer_t timers[TIMERS];
	size_t handles; /* open ones of these */
	atomic_size_t *memory;
	void (*changed)(void *owner);
	void *owner;
	struct commit_port *port;
	struct relay *relay;
	struct config *config;
	struct schedule *schedule;
	struct attempt *attempts; /* begun, and not durably ended */
	uint32_t random;
	bool rescan;      /* the index may have due entries that are not in the schedule */
	int64_t wake_at;  /* T: the next one is due then */
	int64_t back_at;  /* T: a smarthost came back, and all that was deferred before is due; 0 = never */
	bool back;        /* some of that may still be in the index */
	uint64_t swept;   /* up to this id */
	int64_t probe_at; /* while down: the loop's time of the next probe; it moves when one has failed. 0 = up */
	bool pumping;
	bool quitting;
	struct attempt_tally tally;
};

static void pump(struct dispatch *d);
static void on_stalled(uv_timer_t *timer);
static void sweep_soon(struct dispatch *d, uint64_t ms);

static int64_t now_of(const struct dispatch *d)
{
	return store_now(d->server->store);
}

static uint32_t random_of(struct dispatch *d)
{
	d->random = d->random * 1664525 + 1013904223;
	return d->random >> 8;
}

static void drop_body(struct dispatch *d, struct buf *body)
{
	atomic_fetch_sub(d->memory, body->size);
	buf_done(body);
}

/* ---- attempts ---- */

static struct attempt *begin(struct dispatch *d, struct schedule_item *item)
{
	struct attempt *attempt = attempt_new(d->config, item, random_of(d));
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

static void end(struct dispatch *d, struct attempt *attempt)
{
	*(attempt->prev ? &attempt->prev->next : &d->attempts) = attempt->next;
	if (attempt->next) {
		attempt->next->prev = attempt->prev;
	}
	drop_body(d, &attempt->item.body);
	attempt_free(attempt);
}

/* Nothing came of it: it waits again, first of its account. */
static void give_back(struct dispatch *d, struct schedule_item *item)
{
	if (!schedule_return(d->schedule, item)) {
		drop_body(d, &item->body);
		d->rescan = true;
	}
}

static void land(struct dispatch *d, struct attempt *attempt)
{
	schedule_land(d->schedule, attempt->item.id);
	end(d, attempt);
}

/* When the store says that it is due again. */
static void plan(struct dispatch *d, const struct outcome *outcome, int64_t now)
{
	if (outcome->found && !outcome->ended && !outcome->held) {
		d->wake_at = outcome->next_at < d->wake_at ? outcome->next_at : d->wake_at;
		d->rescan = d->rescan || outcome->next_at <= now;
	}
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
			uv_timer_start(&d->timers[TIMER_STALLED], on_stalled, AGAIN_MS, 0);
		}
		return;
	}
	KILLPOINT("done-after");
	int64_t now = now_of(d);
	attempt_log(attempt, now, &d->tally);
	if (result == STORE_OK) {
		plan(d, &attempt->outcome, now);
		land(d, attempt);
	} else {
		end(d, attempt); /* the process is ending: what may be undecided stays in flight */
	}
	pump(d);
}

static void submit(struct dispatch *d, struct attempt *attempt)
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
			submit(d, attempt);
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
		end(d, attempt);
	} else if (mail->outcome == RELAY_STOPPED) {
		land(d, attempt);
		d->rescan = true; /* it may have been released by now */
	} else {
		attempt_take_results(attempt);
		submit(d, attempt);
	}
}

static void on_room(void *owner, bool back)
{
	struct dispatch *d = owner;
	if (back) {
		d->back_at = now_of(d);
		d->back = true;
		d->rescan = true;
	}
	pump(d);
}

static const struct relay_handler relay_calls = { .done = on_done, .room = on_room };

/* ---- what is due ---- */

static struct attempt_times times_of(const struct dispatch *d)
{
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct attempt_times){
		.now = now_of(d),
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

static void act(struct dispatch *d, struct attempt *attempt, enum attempt_load load)
{
	switch (load) {
	case ATTEMPT_MAIL:
		relay_send(d->relay, &attempt->mail);
		break;
	case ATTEMPT_DECIDED:
		submit(d, attempt);
		break;
	case ATTEMPT_DAMAGED:
		/* It stays in flight: looked at once in the life of a process. */
		log_damaged(attempt->item.id);
		end(d, attempt);
		break;
	case ATTEMPT_FAILED:
	case ATTEMPT_IDLE:
		land(d, attempt);
		break;
	}
}

static enum attempt_load load(struct dispatch *d, struct attempt *attempt, const char *unreachable)
{
	struct attempt_times times = times_of(d);
	struct store_txn *txn = store_begin_read(d->server->store, NULL);
	enum attempt_load load =
	    txn ? attempt_load(attempt, txn, &times, unreachable) : ATTEMPT_FAILED;
	store_abort(txn);
	return load;
}

/* False: no memory, no store. The index is looked at again in a while. */
static bool start(struct dispatch *d, struct schedule_item *item)
{
	struct attempt *attempt = begin(d, item);
	if (!attempt) {
		give_back(d, item);
		return false;
	}
	enum attempt_load loaded = load(d, attempt, NULL);
	d->rescan = d->rescan || loaded == ATTEMPT_FAILED;
	act(d, attempt, loaded);
	return loaded != ATTEMPT_FAILED;
}

/* One key of the index. False when there is no more room for any. */
static bool enter(struct dispatch *d, const struct queue_due *due, bool *more)
{
	struct schedule_item item = { .id = due->id, .account = due->account };
	enum schedule_entry entry = schedule_enter(d->schedule, &item);
	*more = *more || entry == SCHEDULE_SHARE || entry == SCHEDULE_FULL;
	return entry != SCHEDULE_FULL;
}

/*
 * Brings due entries into the window, skipping accounts that have their share of it. One that was deferred before a smarthost
 * came back is due, wherever it stands, until a walk to the end finds none.
 */
static void walk_index(struct dispatch *d, struct store_txn *txn, int64_t now)
{
	struct queue_due_walk walk;
	struct queue_due due;
	size_t found = 0;
	bool more = false;
	d->wake_at = now + LOOK_MS;
	queue_due_begin(&walk, txn);
	for (size_t keys = 0; queue_due_next(&walk, &due) && keys < WALK_KEYS; keys++) {
		bool is_back = d->back && due.deferred_at && due.deferred_at <= d->back_at;
		if (due.next_at > now && !is_back) {
			d->wake_at = due.next_at < d->wake_at ? due.next_at : d->wake_at;
			if (!d->back) {
				break;
			}
			continue;
		}
		found++;
		if (!enter(d, &due, &more)) {
			break;
		}
	}
	queue_due_end(&walk);
	d->rescan = more;
	d->back = d->back && (more || found);
}

static void walk(struct dispatch *d)
{
	struct store_txn *txn = store_begin_read(d->server->store, NULL);
	if (txn) {
		walk_index(d, txn, now_of(d));
	} else {
		d->wake_at = now_of(d) + AGAIN_MS;
		d->rescan = false; /* until then */
	}
	store_abort(txn);
}

static void on_due(uv_timer_t *timer)
{
	struct dispatch *d = timer->data;
	d->rescan = true;
	pump(d);
}

static void set_due_timer(struct dispatch *d)
{
	int64_t in = d->wake_at - now_of(d);
	in = in < 1 ? 1 : in > LOOK_MS ? LOOK_MS : in;
	uv_timer_start(&d->timers[TIMER_DUE], on_due, (uint64_t)in, 0);
}

/* While down, a moved probe time is a failed probe. */
static void watch_relay(struct dispatch *d)
{
	int64_t in;
	const char *reason;
	bool down = relay_is_down(d->relay, &in, &reason);
	int64_t at = down ? (int64_t)uv_now(d->loop) + in : 0;
	if (down && at > d->probe_at && in > 0) {
		sweep_soon(d, 0);
	}
	d->probe_at = at;
}

static bool is_low(const struct dispatch *d)
{
	return d->rescan && schedule_waiting(d->schedule) <= WINDOW_LOW && relay_room(d->relay);
}

/* Gives the relay all it has room for. Called whenever something may have changed; it is not entered twice. */
static void pump(struct dispatch *d)
{
	struct schedule_item item;
	bool fine = true;
	if (d->pumping) {
		return;
	}
	d->pumping = true;
	for (size_t walks = 0; fine && !d->quitting && walks < WALKS_MAX; walks++) {
		while (fine && relay_room(d->relay) && schedule_pick(d->schedule, &item)) {
			fine = start(d, &item);
		}
		if (!fine || !is_low(d)) {
			break;
		}
		walk(d);
	}
	if (!fine) {
		d->wake_at = now_of(d) + AGAIN_MS;
	}
	if (!d->quitting) {
		watch_relay(d);
		set_due_timer(d);
	}
	d->pumping = false;
	d->changed(d->owner);
}

/* ---- while no smarthost can be reached ---- */

/* True when the entry is one of those whose time may come later. */
static bool sweep_entry(struct dispatch *d, uint64_t id, const char *reason)
{
	struct schedule_item item = { .id = id };
	struct attempt *attempt = schedule_flies(d->schedule, id) ? NULL : begin(d, &item);
	if (!attempt) {
		return false;
	}
	bool decided = load(d, attempt, reason) == ATTEMPT_DECIDED;
	bool young = attempt->outcome.duty == OUTCOME_MAIL;
	if (decided && schedule_forget(d->schedule, id, &item)) {
		drop_body(d, &item.body);
	}
	if (decided && schedule_launch(d->schedule, id)) {
		submit(d, attempt);
	} else {
		end(d, attempt);
	}
	return young;
}

/*
 * Nothing is picked, but lifetimes go on. Ids grow, so the oldest entries come first; those held or waiting for their report
 * only are in the way, and passed.
 */
static void on_sweep(uv_timer_t *timer)
{
	struct dispatch *d = timer->data;
	int64_t in;
	const char *reason;
	if (d->quitting || !relay_is_down(d->relay, &in, &reason)) {
		return;
	}
	size_t young = 0;
	bool more = true;
	for (size_t n = 0; more && n < SWEEP_ENTRIES && young < SWEEP_YOUNG; n++) {
		struct store_txn *txn = store_begin_read(d->server->store, NULL);
		more = txn && queue_list_next(txn, SPAN_NONE, d->swept, &d->swept) == STORE_OK;
		store_abort(txn);
		young += more && sweep_entry(d, d->swept, reason);
	}
	bool complete = !more || young == SWEEP_YOUNG;
	d->swept = complete ? 0 : d->swept;
	sweep_soon(d, complete ? SWEEP_MS : SWEEP_PAUSE_MS);
}

static void sweep_soon(struct dispatch *d, uint64_t ms)
{
	uv_timer_start(&d->timers[TIMER_SWEEP], on_sweep, ms, 0);
}

/* ---- what others say ---- */

void dispatch_fresh(struct dispatch *dispatch, struct span row, struct buf *body)
{
	struct arena arena;
	struct queue_entry entry;
	arena_init(&arena, QUEUE_ENTRY_MAX);
	bool due = queue_unpack(row, &arena, &entry) && entry.state == QUEUE_READY &&
	           entry.next_at <= now_of(dispatch);
	if (due) {
		struct schedule_item item = {
			.id = entry.id,
			.account = queue_account_hash(entry.account),
			.body = *body,
		};
		enum schedule_entry entered = schedule_enter(dispatch->schedule, &item);
		*body = item.body;
		due = entered == SCHEDULE_ENTERED || entered == SCHEDULE_KNOWN;
	}
	dispatch->rescan = dispatch->rescan || !due;
	drop_body(dispatch, body);
	arena_done(&arena);
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
		dispatch->rescan = true;
	} else if (schedule_forget(dispatch->schedule, id, &item)) {
		drop_body(dispatch, &item.body);
	} else if (schedule_flies(dispatch->schedule, id)) {
		stop_attempt(dispatch, id);
	}
}

void dispatch_look(struct dispatch *dispatch, bool rescan)
{
	dispatch->rescan = dispatch->rescan || rescan;
	pump(dispatch);
}

void dispatch_reload(struct dispatch *dispatch)
{
	config_unref(dispatch->config);
	dispatch->config = server_config(dispatch->server);
	relay_reload(dispatch->relay, dispatch->config);
}

void dispatch_flush(struct dispatch *dispatch)
{
	dispatch->rescan = true;
	relay_wake(dispatch->relay);
	pump(dispatch);
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
	d->rescan = true;
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
		for (struct attempt *next, *attempt = dispatch->attempts; attempt; attempt = next) {
			next = attempt->next;
			if (attempt->stalled) {
				end(dispatch, attempt); /* after the restart it is sent again */
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
	status_out->smarthost_down =
	    relay_is_down(dispatch->relay, &status_out->retry_in, &reason);
	if (status_out->smarthost_down) {
		snprintf(status_out->reason, sizeof status_out->reason, "%s", reason);
	} else {
		status_out->retry_in = 0;
	}
}
