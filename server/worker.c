#include "server/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/listener.h"
#include "server/session.h"

#define DRAIN_LOOK_MS 20

struct stopped {
	struct stopped *next;
	uint64_t incident;
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

static void tell_sessions(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	struct stopped *stopped = worker->stopped;
	worker->stopped = NULL;
	pthread_mutex_unlock(&worker->lock);
	for (struct stopped *next; stopped; stopped = next) {
		next = stopped->next;
		session_stop_account(worker, span_of(stopped->account, stopped->len),
		                     stopped->incident);
		free(stopped);
	}
}

void worker_tell_stopped(struct worker *worker, struct span account, uint64_t incident)
{
	struct stopped *stopped = malloc(sizeof *stopped + account.len);
	if (!stopped) {
		return; /* each session is told by the gate at its next step */
	}
	stopped->incident = incident;
	stopped->len = account.len;
	memcpy(stopped->account, account.ptr, account.len);
	pthread_mutex_lock(&worker->lock);
	stopped->next = worker->stopped;
	worker->stopped = stopped;
	pthread_mutex_unlock(&worker->lock);
	uv_async_send(&worker->nudge);
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

bool worker_start(struct worker *worker, struct error *error)
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
	if (!worker->listener) {
		return false;
	}
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
	while (worker->stopped) {
		struct stopped *next = worker->stopped->next;
		free(worker->stopped);
		worker->stopped = next;
	}
	pthread_mutex_destroy(&worker->lock);
}
