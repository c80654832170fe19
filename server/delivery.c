#include "server/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/dispatch.h"
#include "server/log.h"
#include "server/server.h"

#define LETTERS_MAX  8192 /* fresh ones; beyond, the index has them */
#define LAST_LOOK_MS 2000 /* for what libuv has not given back at the end */

/* What another thread says. */
struct letter {
	struct letter *next;
	enum { FRESH, WORD, SUSPENDED } kind;
	struct queue_due due; /* FRESH */
	struct buf body;
	enum delivery_word word; /* WORD */
	uint64_t id;
	size_t len; /* SUSPENDED */
	char account[];
};

struct inbox {
	struct letter *first, *last;
	size_t n;
	bool look, reload, flush, stop;
	int64_t stop_ms;
};

struct delivery {
	struct server *server;
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t async;
	uv_timer_t stop_timer;
	struct dispatch *dispatch;
	bool closed;
	atomic_size_t memory; /* of handed bodies */

	pthread_mutex_t lock; /* what follows */
	struct inbox inbox;
	struct delivery_status status;
	uint64_t retry_at; /* the status', by uv_hrtime, ms */
};

static uint64_t clock_ms(void)
{
	return uv_hrtime() / 1000000;
}

/* ---- on the delivery's loop ---- */

static void on_stop_late(uv_timer_t *timer)
{
	struct delivery *delivery = timer->data;
	if (delivery->closed) {
		uv_stop(&delivery->loop); /* a look-up of a name that hangs in the pool, say */
	} else {
		dispatch_quit(delivery->dispatch, true);
	}
}

static void close_if_over(struct delivery *delivery)
{
	if (delivery->closed || !dispatch_is_over(delivery->dispatch)) {
		return;
	}
	delivery->closed = true;
	dispatch_free(delivery->dispatch);
	uv_close((uv_handle_t *)&delivery->async, NULL);
	uv_timer_start(&delivery->stop_timer, on_stop_late, LAST_LOOK_MS, 0);
	uv_unref((uv_handle_t *)&delivery->stop_timer);
}

static void on_changed(void *owner)
{
	struct delivery *delivery = owner;
	struct delivery_status status;
	dispatch_status(delivery->dispatch, &status);
	pthread_mutex_lock(&delivery->lock);
	delivery->status = status;
	delivery->retry_at = clock_ms() + (uint64_t)status.retry_in;
	bool stopping = delivery->inbox.stop;
	pthread_mutex_unlock(&delivery->lock);
	if (stopping) {
		uv_async_send(&delivery->async); /* not from within what changed */
	}
}

static void read_letter(struct dispatch *dispatch, struct letter *letter)
{
	switch (letter->kind) {
	case FRESH:
		dispatch_fresh(dispatch, &letter->due, &letter->body);
		break;
	case WORD:
		dispatch_word(dispatch, letter->word, letter->id);
		break;
	case SUSPENDED:
		dispatch_suspend(dispatch, span_of(letter->account, letter->len));
		break;
	}
}

static void read_letters(struct delivery *delivery, struct letter *letter)
{
	for (struct letter *next; letter; letter = next) {
		next = letter->next;
		read_letter(delivery->dispatch, letter);
		free(letter);
	}
}

static void on_async(uv_async_t *async)
{
	struct delivery *delivery = async->data;
	pthread_mutex_lock(&delivery->lock);
	struct inbox inbox = delivery->inbox;
	delivery->inbox = (struct inbox){ .stop = inbox.stop };
	pthread_mutex_unlock(&delivery->lock);
	read_letters(delivery, inbox.first);
	if (inbox.reload) {
		dispatch_reload(delivery->dispatch);
	}
	if (inbox.flush) {
		dispatch_flush(delivery->dispatch);
	}
	if (inbox.stop && inbox.stop_ms) {
		uv_timer_start(&delivery->stop_timer, on_stop_late, (uint64_t)inbox.stop_ms, 0);
		dispatch_quit(delivery->dispatch, false);
	}
	if (inbox.stop) {
		close_if_over(delivery);
	} else {
		dispatch_look(delivery->dispatch, inbox.look);
	}
}

static void *run(void *context)
{
	struct delivery *delivery = context;
	pthread_setname_np(pthread_self(), "delivery");
	dispatch_look(delivery->dispatch, true);
	uv_run(&delivery->loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&delivery->stop_timer, NULL);
	uv_run(&delivery->loop, UV_RUN_NOWAIT);
	return NULL;
}

/* ---- from any thread ---- */

static void post(struct delivery *delivery, struct letter *letter)
{
	struct inbox *inbox = &delivery->inbox;
	pthread_mutex_lock(&delivery->lock);
	bool was_empty = inbox->first == NULL;
	*(inbox->last ? &inbox->last->next : &inbox->first) = letter;
	inbox->last = letter;
	inbox->n++;
	pthread_mutex_unlock(&delivery->lock);
	if (was_empty) {
		uv_async_send(&delivery->async);
	}
}

/* Sets one of the inbox's flags. */
static void ring(struct delivery *delivery, bool *flag)
{
	pthread_mutex_lock(&delivery->lock);
	*flag = true;
	pthread_mutex_unlock(&delivery->lock);
	uv_async_send(&delivery->async);
}

/* The body counts as it is allocated; beyond the cap it stays with its owner, the store. */
static bool take_body(struct delivery *delivery, struct buf *body)
{
	size_t before = atomic_fetch_add(&delivery->memory, body->size);
	if (before + body->size > DELIVERY_MEMORY || body->len > DELIVERY_BODY_MAX) {
		atomic_fetch_sub(&delivery->memory, body->size);
		return false;
	}
	return true;
}

static bool is_flooded(struct delivery *delivery)
{
	pthread_mutex_lock(&delivery->lock);
	bool flooded = delivery->inbox.n >= LETTERS_MAX;
	pthread_mutex_unlock(&delivery->lock);
	return flooded;
}

void delivery_hand_over(struct delivery *delivery, const struct queue_due *due,
                        struct buf *body)
{
	struct letter *letter = is_flooded(delivery) ? NULL : calloc(1, sizeof *letter);
	if (!letter || !take_body(delivery, body)) {
		free(letter);
		buf_done(body);
		ring(delivery, &delivery->inbox.look);
		return;
	}
	letter->kind = FRESH;
	letter->due = *due;
	letter->body = *body;
	*body = (struct buf){ .cap = body->cap };
	post(delivery, letter);
}

void delivery_tell(struct delivery *delivery, enum delivery_word word, uint64_t id)
{
	struct letter *letter = calloc(1, sizeof *letter);
	if (!letter) {
		/* What is picked is read again, and a held entry not sent; only one on its way
		 * is not stopped. */
		ring(delivery, &delivery->inbox.look);
		return;
	}
	letter->kind = WORD;
	letter->word = word;
	letter->id = id;
	post(delivery, letter);
}

void delivery_suspend(struct delivery *delivery, struct span account)
{
	struct letter *letter = calloc(1, sizeof *letter + account.len);
	if (!letter) {
		ring(delivery, &delivery->inbox.look); /* as above */
		return;
	}
	letter->kind = SUSPENDED;
	letter->len = account.len;
	if (account.len) {
		memcpy(letter->account, account.ptr, account.len);
	}
	post(delivery, letter);
}

void delivery_reload(struct delivery *delivery)
{
	ring(delivery, &delivery->inbox.reload);
}

void delivery_flush(struct delivery *delivery)
{
	ring(delivery, &delivery->inbox.flush);
}

void delivery_status(struct delivery *delivery, struct delivery_status *status_out)
{
	uint64_t now = clock_ms();
	pthread_mutex_lock(&delivery->lock);
	*status_out = delivery->status;
	if (status_out->smarthost_down) {
		status_out->retry_in =
		    (int64_t)(delivery->retry_at > now ? delivery->retry_at - now : 0);
	}
	pthread_mutex_unlock(&delivery->lock);
}

/* ---- life ---- */

/* Something of the loop is still in the pool's hands: then it is left alone; the process is
 * ending. */
static void free_delivery(struct delivery *delivery)
{
	if (uv_loop_close(&delivery->loop) == 0) {
		pthread_mutex_destroy(&delivery->lock);
		free(delivery);
	}
}

struct delivery *delivery_start(struct server *server, struct error *error)
{
	struct delivery *delivery = calloc(1, sizeof *delivery);
	if (!delivery || uv_loop_init(&delivery->loop)) {
		free(delivery);
		error_set(error, "no memory for the delivery");
		return NULL;
	}
	delivery->server = server;
	pthread_mutex_init(&delivery->lock, NULL);
	uv_async_init(&delivery->loop, &delivery->async, on_async);
	uv_timer_init(&delivery->loop, &delivery->stop_timer);
	delivery->async.data = delivery;
	delivery->stop_timer.data = delivery;
	delivery->dispatch = dispatch_new(server, &delivery->loop, &delivery->memory,
	                                  on_changed, delivery, error);
	if (delivery->dispatch && pthread_create(&delivery->thread, NULL, run, delivery) == 0) {
		return delivery;
	}
	if (delivery->dispatch) {
		error_set(error, "the delivery thread could not be started");
		dispatch_free(delivery->dispatch);
	}
	uv_close((uv_handle_t *)&delivery->async, NULL);
	uv_close((uv_handle_t *)&delivery->stop_timer, NULL);
	uv_run(&delivery->loop, UV_RUN_DEFAULT);
	free_delivery(delivery);
	return NULL;
}

static void free_letters(struct delivery *delivery)
{
	for (struct letter *next, *letter = delivery->inbox.first; letter; letter = next) {
		next = letter->next;
		buf_done(&letter->body);
		free(letter);
	}
}

void delivery_stop(struct delivery *delivery, int64_t ms)
{
	if (!delivery) {
		return;
	}
	pthread_mutex_lock(&delivery->lock);
	delivery->inbox.stop = true;
	delivery->inbox.stop_ms = ms > 0 ? ms : 1;
	pthread_mutex_unlock(&delivery->lock);
	uv_async_send(&delivery->async);
	pthread_join(delivery->thread, NULL);
	free_letters(delivery);
	free_delivery(delivery);
}
