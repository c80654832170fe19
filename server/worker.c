#include "server/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/listener.h"
#include "server/session.h"

#define DRAIN_LOOK_MS 20

/* Something that sessions must hear of, on their own loop. */
struct news {
	struct news *next;
	void (*tell)(struct worker *worker, const struct news *news);
	uint64_t incident;
	struct network network;
	bool all;
	size_t len;
	char account[];
};

/* The loop ends when nothing is left on it but the nudge, which main may still want to send. */
static void drain_look(uv_timer_t *timer)
{
	struct worker *worker = timer->data;
	if (session_count(worker) || commit_port_outstanding(worker->port)) {
		return;
	}
	commit_port_close(worker->port);
	worker->port = NULL;
	uv_unref((uv_handle_t *)&worker->nudge);
	uv_close((uv_handle_t *)timer, NULL);
}

static struct span account_of(const struct news *news)
{
	return span_of(news->account, news->len);
}

static void tell_stopped(struct worker *worker, const struct news *news)
{
	session_stop_account(worker, account_of(news), news->incident);
}

static void tell_changed(struct worker *worker, const struct news *news)
{
	session_look_again(worker, account_of(news));
}

static void tell_blocked(struct worker *worker, const struct news *news)
{
	session_shut_out(worker, &news->network, news->all);
}

static struct news *take_news(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	struct news *news = worker->news;
	worker->news = NULL;
	pthread_mutex_unlock(&worker->lock);
	return news;
}

static void tell_sessions(struct worker *worker)
{
	struct news *news = take_news(worker);
	for (struct news *next; news; news = next) {
		next = news->next;
		news->tell(worker, news);
		free(news);
	}
}

/* Without memory nobody is told: each session is, by the gate, at its next MAIL. */
static struct news *news_new(struct span account)
{
	struct news *news = calloc(1, sizeof *news + account.len);
	if (news && account.len) {
		news->len = account.len;
		memcpy(news->account, account.ptr, account.len);
	}
	return news;
}

static void post(struct worker *worker, struct news *news)
{
	pthread_mutex_lock(&worker->lock);
	news->next = worker->news;
	worker->news = news;
	pthread_mutex_unlock(&worker->lock);
	uv_async_send(&worker->nudge);
}

void worker_tell_stopped(struct worker *worker, struct span account, uint64_t incident)
{
	struct news *news = news_new(account);
	if (news) {
		news->tell = tell_stopped;
		news->incident = incident;
		post(worker, news);
	}
}

void worker_tell_changed(struct worker *worker, struct span account)
{
	struct news *news = news_new(account);
	if (news) {
		news->tell = tell_changed;
		post(worker, news);
	}
}

void worker_tell_blocked(struct worker *worker, const struct network *network, bool all)
{
	struct news *news = news_new(SPAN_NONE);
	if (news) {
		news->tell = tell_blocked;
		news->network = *network;
		news->all = all;
		post(worker, news);
	}
}

static void on_nudge(uv_async_t *async)
{
	struct worker *worker = async->data;
	tell_sessions(worker);
	int draining = atomic_load(&worker->server->draining);
	if (!draining) {
		return;
	}
	if (!worker->stopped_listening) {
		worker->stopped_listening = true;
		listener_stop(worker->listener);
		worker->listener = NULL;
		uv_timer_start(&worker->drain_timer, drain_look, 0, DRAIN_LOOK_MS);
	}
	(draining == 1 ? session_drain : session_cut)(worker);
}

static void *run(void *context)
{
	struct worker *worker = context;
	uv_run(&worker->loop, UV_RUN_DEFAULT);
	atomic_fetch_sub(&worker->server->workers_running, 1);
	return NULL;
}

bool worker_open(struct worker *worker, struct error *error)
{
	if (uv_loop_init(&worker->loop)) {
		error_set(error, "cannot make an event loop");
		return false;
	}
	pthread_mutex_init(&worker->lock, NULL);
	worker->nudge.data = worker;
	worker->drain_timer.data = worker;
	uv_async_init(&worker->loop, &worker->nudge, on_nudge);
	uv_timer_init(&worker->loop, &worker->drain_timer);
	worker->port = commit_port_new(worker->server->commit, &worker->loop);
	if (!worker->port) {
		error_set(error, "out of memory");
		return false;
	}
	worker->listener = listener_start(worker, worker->sockets, error);
	worker->sockets = NULL;
	return worker->listener != NULL;
}

bool worker_start(struct worker *worker, struct error *error)
{
	atomic_fetch_add(&worker->server->workers_running, 1);
	if (pthread_create(&worker->thread, NULL, run, worker)) {
		atomic_fetch_sub(&worker->server->workers_running, 1);
		error_set(error, "cannot start a worker thread");
		return false;
	}
	return true;
}

void worker_nudge(struct worker *worker)
{
	uv_async_send(&worker->nudge);
}

void worker_join(struct worker *worker)
{
	pthread_join(worker->thread, NULL);
	uv_close((uv_handle_t *)&worker->nudge, NULL);
	uv_run(&worker->loop, UV_RUN_DEFAULT);
	int busy = uv_loop_close(&worker->loop);
	assert(!busy);
	for (struct news *news = take_news(worker), *next; news; news = next) {
		next = news->next;
		free(news);
	}
	pthread_mutex_destroy(&worker->lock);
}
