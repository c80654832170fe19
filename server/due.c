#include "server/dispatch_state.h"

#define WALK_KEYS      200000 /* of the index, at most, at a time */
#define SWEEP_MS       60000
#define SWEEP_PAUSE_MS 1000 /* after a part of a sweep */
#define SWEEP_ENTRIES  2048
#define SWEEP_YOUNG    256 /* so many are in time: those behind are younger still, as ids grow */

/* ---- accounts that can not be judged ---- */

static struct barred *barred_of(struct dispatch *d, uint32_t account)
{
	for (size_t i = 0; i < d->nbarred; i++) {
		if (d->barred[i].account == account) {
			return &d->barred[i];
		}
	}
	return NULL;
}

bool due_bar(struct dispatch *d, uint32_t account, bool *news_out)
{
	struct barred *barred = barred_of(d, account);
	*news_out = barred == NULL;
	if (!barred && d->nbarred < DISPATCH_BARRED_MAX) {
		barred = &d->barred[d->nbarred++];
	}
	if (barred) {
		*barred = (struct barred){ account, true };
	}
	return barred != NULL;
}

static bool is_barred(struct dispatch *d, uint32_t account)
{
	const struct barred *barred = barred_of(d, account);
	return barred && barred->now;
}

/* ---- walks ---- */

/* What a walk was left with. */
struct leftover {
	bool front; /* the lane was full */
	bool more;  /* so was the window, or an account's share of it */
};

/* One key of the index. */
static void enter(struct dispatch *d, const struct queue_due *due, struct leftover *left)
{
	struct schedule_item item = dispatch_item(due);
	if (is_barred(d, due->account)) {
		return;
	}
	enum schedule_entry entry = schedule_enter(d->schedule, &item);
	bool out = entry == SCHEDULE_SHARE || entry == SCHEDULE_FULL;
	left->more = left->more || out;
	left->front = left->front || (out && item.first);
}

/*
 * Brings due entries into the window, skipping accounts that have their share of it; to the
 * end, as a notice that was deferred stands somewhere among them. One that was deferred before
 * a smarthost came back is due, wherever it stands, until a walk to the end finds none.
 */
static void walk_index(struct dispatch *d, struct store_txn *txn, int64_t now)
{
	struct queue_due_walk walk;
	struct queue_due due;
	struct leftover left = { false, false };
	size_t found = 0;
	d->wake_at = now + DISPATCH_LOOK_MS;
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
		enter(d, &due, &left);
	}
	queue_due_end(&walk);
	d->rescan = left.more;
	d->front = left.front;
	d->back = d->back && (left.more || found);
}

/* Once in a while everybody has another chance. */
static void look_anew(struct dispatch *d, int64_t now)
{
	if (d->look_at <= now) {
		d->look_at = now + DISPATCH_LOOK_MS;
		for (size_t i = 0; i < d->nbarred; i++) {
			d->barred[i].now = false;
		}
	}
}

void due_walk(struct dispatch *d)
{
	struct store_txn *txn = store_begin_read(d->server->store, NULL);
	int64_t now = dispatch_now(d);
	look_anew(d, now);
	if (txn) {
		walk_index(d, txn, now);
	} else {
		d->wake_at = now + DISPATCH_AGAIN_MS;
		d->rescan = false; /* until then */
	}
	store_abort(txn);
}

void due_walk_front(struct dispatch *d)
{
	struct leftover left = { false, false };
	struct store_txn *txn = store_begin_read(d->server->store, NULL);
	struct queue_due_walk walk;
	struct queue_due due;
	d->front = false;
	if (txn) {
		queue_due_begin(&walk, txn);
		while (queue_due_next(&walk, &due) && due.next_at == 0 && !left.front) {
			enter(d, &due, &left);
		}
		queue_due_end(&walk);
		d->front = left.front;
	}
	store_abort(txn);
}

/* ---- while no smarthost can be reached ---- */

/* True when the entry is one of those whose time may come later. */
static bool sweep_entry(struct dispatch *d, uint64_t id, const char *reason)
{
	struct schedule_item item = { .id = id };
	struct attempt *attempt = schedule_flies(d->schedule, id) ? NULL
	                                                          : dispatch_begin(d, &item);
	if (!attempt) {
		return false;
	}
	bool decided = dispatch_load(d, attempt, reason) == ATTEMPT_DECIDED;
	bool young = attempt->outcome.duty == OUTCOME_MAIL;
	if (decided && schedule_forget(d->schedule, id, &item)) {
		dispatch_drop_body(d, &item.body);
	}
	if (decided && schedule_launch(d->schedule, id)) {
		dispatch_submit(d, attempt);
	} else {
		dispatch_end(d, attempt);
	}
	return young;
}

/*
 * Nothing is picked, but lifetimes go on. Ids grow, so the oldest entries come first; those
 * held or waiting for their report only are in the way, and passed.
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
	due_sweep_soon(d, complete ? SWEEP_MS : SWEEP_PAUSE_MS);
}

void due_sweep_soon(struct dispatch *d, uint64_t ms)
{
	uv_timer_start(&d->timers[TIMER_SWEEP], on_sweep, ms, 0);
}
