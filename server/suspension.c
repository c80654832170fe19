#include "server/suspension.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/digest.h"
#include "auth/linger.h"
#include "server/hook.h"
#include "server/log.h"
#include "server/notice.h"
#include "server/wall.h"
#include "server/worker.h"

#define LOOK_MS         5000
#define SWEEP_ENTRIES   500                      /* a transaction */
#define NOTICE_PATIENCE ((int64_t)5 * 60 * 1000) /* then it counts as undelivered */
#define NOTICE_TEXT_MAX ((size_t)64 * 1024)
#define INCIDENT_MAX    ((size_t)64 * 1024)

enum task { TASK_SWEEP, TASK_UNDELIVERED, TASK_ALARMED, TASK_TOLD, TASK_LINGER, TASK_DIGEST };

struct suspension {
	struct server *server;
	uv_timer_t timer;
	uv_async_t async;
	struct commit_port *port;
	struct hooks *hooks;
	bool stopping;
	/* the one job under way */
	struct commit_job job;
	bool busy;
	uint64_t number; /* its incident */
	enum task task;
	enum linger_what lingered; /* what a step of auth/linger did */
	int64_t held_lifetime;     /* as configured at this look */
};

static void look(struct suspension *s);

/* ---- a job ---- */

static void sweep_run(struct suspension *s, struct store_txn *txn, int64_t now)
{
	bool more;
	suspend_sweep(txn, s->number, SWEEP_ENTRIES, now, &more);
}

static void mark_run(struct suspension *s, struct store_txn *txn, int64_t now)
{
	(void)now;
	struct arena arena;
	struct incident incident;
	arena_init(&arena, INCIDENT_MAX);
	if (incident_get(txn, s->number, &arena, &incident) == STORE_OK) {
		incident.undelivered |= s->task == TASK_UNDELIVERED;
		incident.alarmed |= s->task == TASK_ALARMED;
		incident.untold &= s->task != TASK_TOLD;
		incident_put(txn, &incident);
	}
	arena_done(&arena);
}

static void linger_run(struct suspension *s, struct store_txn *txn, int64_t now)
{
	struct config *config = server_config(s->server);
	const struct linger_rules rules = config_linger_rules(config);
	linger_step(txn, &rules, s->number, now, wall_ms(), &s->lingered);
	config_unref(config);
}

static void digest_run(struct suspension *s, struct store_txn *txn, int64_t now)
{
	struct config *config = server_config(s->server);
	const struct suspend_rules rules = config_suspend_rules(config);
	digest_tell(txn, &rules, now, wall_ms(), NULL);
	config_unref(config);
}

static void (*const tasks[])(struct suspension *s, struct store_txn *txn, int64_t now) = {
	[TASK_SWEEP] = sweep_run, [TASK_UNDELIVERED] = mark_run, [TASK_ALARMED] = mark_run,
	[TASK_TOLD] = mark_run,   [TASK_LINGER] = linger_run,    [TASK_DIGEST] = digest_run,
};

static void run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct suspension *s = (struct suspension *)((char *)job -
	                                             offsetof(struct suspension, job));
	s->lingered = LINGER_NOTHING;
	tasks[s->task](s, txn, now);
}

static void log_lingered(const struct suspension *s)
{
	struct log_line line;
	if (s->lingered != LINGER_NOTHING) {
		log_begin(&line, LOG_LEVEL_INFO, linger_name(s->lingered));
		log_number(&line, "incident", (int64_t)s->number);
		log_end(&line);
	}
}

/* Its end is written down. */
static void forget_hook(struct suspension *s)
{
	if (s->task == TASK_ALARMED || s->task == TASK_TOLD) {
		hooks_forget(s->hooks, s->number,
		             s->task == TASK_ALARMED ? HOOK_SUSPEND : HOOK_UNLOCK);
	}
}

static void done(struct commit_job *job, enum store_result result)
{
	struct suspension *s = (struct suspension *)((char *)job -
	                                             offsetof(struct suspension, job));
	s->busy = false;
	delivery_tell(s->server->delivery, DELIVERY_RELEASED, 0);
	if (result == STORE_OK) {
		log_lingered(s);
		forget_hook(s);
	}
	if (result == STORE_OK && !s->stopping) {
		look(s);
	}
}

static void submit(struct suspension *s, uint64_t number, enum task task)
{
	s->busy = true;
	s->number = number;
	s->task = task;
	s->job = (struct commit_job){
		.run = run,
		.done = done,
		.port = s->port,
		.bytes = 256 * 1024,
		.staged = true,
	};
	commit_submit(s->server->commit, &s->job);
}

/* ---- a notice that was not sent ---- */

/* Its text, without the token, for an admin whose mail is what is broken. */
static void keep_text(struct suspension *s, struct store_txn *txn, uint64_t number)
{
	struct config *config = server_config(s->server);
	struct notice_facts facts;
	struct buf text;
	char path[600];
	buf_init(&text, NOTICE_TEXT_MAX);
	snprintf(path, sizeof path, "%s/incidents", config->data_dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/incidents/%llu.txt", config->data_dir,
	         (unsigned long long)number);
	int fd = -1;
	if (notice_facts_read(&facts, config, &s->server->key, number, txn) == STORE_OK &&
	    notice_explain(config, &facts, &text) == STORE_OK) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	}
	if (fd >= 0 && write(fd, text.ptr, text.len) != (ssize_t)text.len) {
		unlink(path);
	}
	if (fd >= 0) {
		close(fd);
	}
	notice_facts_done(&facts);
	buf_done(&text);
	config_unref(config);
}

static void tell_undelivered(struct suspension *s, struct store_txn *txn,
                             const struct incident *incident)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_ERROR, "notice-undelivered");
	log_number(&line, "incident", (int64_t)incident->number);
	log_word(&line, "account", incident->account);
	log_end(&line);
	keep_text(s, txn, incident->number);
}

/* ---- the look ---- */

static bool is_overdue(const struct incident *incident, int64_t now)
{
	return incident->state == INCIDENT_OPEN && !incident->notified_at &&
	       !incident->undelivered && now - incident->opened_at >= NOTICE_PATIENCE;
}

/* As it is, or as it is once begun. */
static enum hook_state hook_state(struct suspension *s, const struct incident *incident,
                                  enum hook_event event, bool due)
{
	enum hook_state state = hooks_state(s->hooks, incident->number, event);
	return state == HOOK_NONE && due ? hooks_run(s->hooks, incident, event) : state;
}

/* One after the other; nobody is told of a suspension that is over. */
static void look_at_hooks(struct suspension *s, const struct incident *incident)
{
	bool open = incident->state == INCIDENT_OPEN;
	enum hook_state begun = hook_state(s, incident, HOOK_SUSPEND,
	                                   open && !incident->alarmed);
	if (begun == HOOK_ENDED) {
		submit(s, incident->number, TASK_ALARMED);
		return;
	}
	bool due = !open && incident->untold && begun == HOOK_NONE;
	if (hook_state(s, incident, HOOK_UNLOCK, due) == HOOK_ENDED) {
		submit(s, incident->number, TASK_TOLD);
	}
}

/* The first incident that wants something gets it; `done` looks for the next. */
static void look_at(struct suspension *s, struct store_txn *txn,
                    const struct incident *incident)
{
	int64_t now = store_now(s->server->store);
	if (s->busy) {
		return;
	}
	look_at_hooks(s, incident);
	if (s->busy) {
		return;
	}
	if (incident->sweep != INCIDENT_SWEPT) {
		submit(s, incident->number, TASK_SWEEP);
	} else if (is_overdue(incident, now)) {
		tell_undelivered(s, txn, incident);
		submit(s, incident->number, TASK_UNDELIVERED);
	} else if (linger_due(incident, s->held_lifetime, now) != LINGER_NOTHING) {
		submit(s, incident->number, TASK_LINGER);
	}
}

static void look(struct suspension *s)
{
	struct store_txn *txn = s->busy ? NULL : store_begin_read(s->server->store, NULL);
	struct config *config = server_config(s->server);
	struct incident incident = { .number = 0 };
	enum store_result result = txn ? STORE_OK : STORE_FAILED;
	s->held_lifetime = config->held_lifetime;
	config_unref(config);
	while (!s->busy && (result == STORE_OK || result == STORE_DAMAGED)) {
		struct arena arena;
		arena_init(&arena, INCIDENT_MAX);
		/* One that can not be read keeps nobody from the others. */
		result = incident_next(txn, incident.number, &arena, &incident);
		if (result == STORE_OK) {
			look_at(s, txn, &incident);
		}
		arena_done(&arena);
	}
	if (txn && !s->busy && digest_is_due(txn, store_now(s->server->store))) {
		submit(s, 0, TASK_DIGEST);
	}
	store_abort(txn);
}

static void on_timer(uv_timer_t *timer)
{
	look(timer->data);
}

static void on_async(uv_async_t *async)
{
	look(async->data);
}

static void on_hook(void *context)
{
	look(context);
}

/* ---- life ---- */

struct suspension *suspension_start(struct server *server, uv_loop_t *loop, struct error *error)
{
	struct suspension *s = calloc(1, sizeof *s);
	if (!s) {
		error_set(error, "out of memory");
		return NULL;
	}
	s->server = server;
	s->hooks = hooks_start(server, loop, on_hook, s);
	if (!s->hooks) {
		free(s);
		error_set(error, "out of memory");
		return NULL;
	}
	s->port = commit_port_new(server->commit, loop);
	uv_timer_init(loop, &s->timer);
	uv_async_init(loop, &s->async, on_async);
	s->timer.data = s->async.data = s;
	uv_timer_start(&s->timer, on_timer, 0, LOOK_MS);
	return s;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void suspension_stop(struct suspension *suspension)
{
	struct suspension *s = suspension;
	if (!s) {
		return;
	}
	uv_loop_t *loop = s->timer.loop;
	s->stopping = true;
	while (commit_port_outstanding(s->port)) {
		uv_run(loop, UV_RUN_ONCE);
	}
	commit_port_close(s->port);
	hooks_stop(s->hooks);
	uv_close((uv_handle_t *)&s->timer, NULL);
	uv_close((uv_handle_t *)&s->async, on_closed);
}

/* ---- from any thread ---- */

void suspension_begun(struct server *server, struct span account, uint64_t incident)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_WARNING, "suspended");
	log_number(&line, "incident", (int64_t)incident);
	log_word(&line, "account", account);
	log_end(&line);
	for (size_t i = 0; i < server->nworkers; i++) {
		worker_tell_stopped(&server->workers[i], account, incident);
	}
	delivery_suspend(server->delivery, account);
	delivery_tell(server->delivery, DELIVERY_RELEASED, 0); /* the notice is due */
	uv_async_send(&server->suspension->async);
}

void suspension_would(struct span account, enum gate_would would)
{
	struct log_line line;
	if (would != GATE_WOULD_PASS) {
		log_begin(&line, LOG_LEVEL_WARNING, "would-have");
		log_word(&line, "account", account);
		log_word(&line, "verdict", span_str(gate_would_word(would)));
		log_end(&line);
	}
}

void suspension_changed(struct server *server)
{
	delivery_tell(server->delivery, DELIVERY_RELEASED, 0);
	uv_async_send(&server->suspension->async);
}

enum store_result suspension_count(struct store_txn *txn, uint64_t *suspended_out,
                                   uint64_t *undelivered_out)
{
	struct incident incident = { .number = 0 };
	uint64_t suspended = 0, undelivered = 0;
	enum store_result result = STORE_OK;
	while (result == STORE_OK || result == STORE_DAMAGED) {
		struct arena arena;
		uint64_t present = 0;
		arena_init(&arena, INCIDENT_MAX);
		result = incident_next(txn, incident.number, &arena, &incident);
		bool open = result == STORE_OK && incident.state == INCIDENT_OPEN &&
		            suspend_incident_of(txn, incident.account, &present) == STORE_OK &&
		            present == incident.number;
		suspended += open;
		undelivered += open && incident.undelivered && !incident.notified_at;
		arena_done(&arena);
	}
	*suspended_out = suspended;
	*undelivered_out = undelivered;
	return result == STORE_NOT_FOUND ? STORE_OK : result;
}
