#include "server/hook.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/hook_helper.h"
#include "server/hook_post.h"
#include "server/log.h"
#include "server/wall.h"

/* Before the second and the third try of a post. */
static const uint64_t pauses[] = { 5000, 60000 };

struct hook {
	struct hooks *hooks;
	enum hook_state state; /* NONE: a free place */
	uint64_t incident;
	enum hook_event event;
	uint64_t id; /* of a program's request; 0: it is a post */
	/* of a post */
	struct config *config; /* as it was when it began */
	char *facts;
	unsigned tries;
	uv_work_t work;
	uv_timer_t pause;
	struct hook_answer answer;
	bool taken;
};

struct hooks {
	struct server *server;
	void (*ended)(void *context);
	void *context;
	struct hook hook[HOOK_PROGRAMS_MAX];
	uint64_t last_id;
	uv_poll_t helper;
	bool helped;      /* it is there */
	unsigned working; /* posts in the pool */
	unsigned handles; /* open ones */
	atomic_bool stopping;
};

const char *hook_name(enum hook_event event)
{
	static const char *const names[] = {
		[HOOK_SUSPEND] = "on_suspend", [HOOK_UNLOCK] = "on_unlock"
	};
	return names[event];
}

/* ---- places ---- */

static struct hook *find(const struct hooks *hooks, uint64_t incident, enum hook_event event)
{
	for (size_t i = 0; i < COUNT(hooks->hook); i++) {
		const struct hook *hook = &hooks->hook[i];
		if (hook->state != HOOK_NONE && hook->incident == incident &&
		    hook->event == event) {
			return (struct hook *)(uintptr_t)hook;
		}
	}
	return NULL;
}

static struct hook *find_place(struct hooks *hooks)
{
	for (size_t i = 0; i < COUNT(hooks->hook); i++) {
		if (hooks->hook[i].state == HOOK_NONE) {
			return &hooks->hook[i];
		}
	}
	return NULL;
}

enum hook_state hooks_state(const struct hooks *hooks, uint64_t incident, enum hook_event event)
{
	const struct hook *hook = find(hooks, incident, event);
	return hook ? hook->state : HOOK_NONE;
}

static void release(struct hook *hook)
{
	free(hook->facts);
	config_unref(hook->config);
	hook->facts = NULL;
	hook->config = NULL;
	hook->state = HOOK_NONE;
}

void hooks_forget(struct hooks *hooks, uint64_t incident, enum hook_event event)
{
	struct hook *hook = find(hooks, incident, event);
	if (hook) {
		release(hook);
	}
}

static void log_hook(struct log_line *line, enum log_level level, const char *name,
                     const struct hook *hook)
{
	log_begin(line, level, name);
	log_word(line, "hook", span_str(hook_name(hook->event)));
	log_number(line, "incident", (int64_t)hook->incident);
}

static void end(struct hook *hook)
{
	hook->state = HOOK_ENDED;
	if (!atomic_load(&hook->hooks->stopping)) {
		hook->hooks->ended(hook->hooks->context);
	}
}

/* ---- programs ---- */

static void take_report(struct hooks *hooks, const struct hook_report *report)
{
	struct log_line line;
	for (size_t i = 0; i < COUNT(hooks->hook); i++) {
		struct hook *hook = &hooks->hook[i];
		if (hook->state != HOOK_RUNNING || hook->id != report->id) {
			continue;
		}
		if (report->fault) {
			log_hook(&line, LOG_LEVEL_ERROR, "alarm-failed", hook);
			log_text(&line, "reason", span_str(strerror(report->fault)));
		} else {
			bool well = !report->status && !report->signal;
			log_hook(&line, well ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
			         "alarm-ended", hook);
			log_number(&line, "status", report->status);
			log_number(&line, "signal", report->signal);
			if (report->late) {
				log_text(&line, "reason", SPAN_LIT("it took too long"));
			}
		}
		log_end(&line);
		end(hook);
		return;
	}
}

/* What it had begun is begun by the next start of the daemon, and so is all that comes: a new
 * helper could only be had from what root has left behind. */
static void lose_helper(struct hooks *hooks)
{
	log_fault(LOG_LEVEL_ERROR, "alarm-helper-gone",
	          "on_suspend and on_unlock start no programs until a restart");
	uv_poll_stop(&hooks->helper);
	hooks->helped = false;
	atomic_store(&hooks->server->hooks_lost, true);
	for (size_t i = 0; i < COUNT(hooks->hook); i++) {
		if (hooks->hook[i].state == HOOK_RUNNING && hooks->hook[i].id) {
			release(&hooks->hook[i]);
		}
	}
}

static void on_helper(uv_poll_t *poll, int status, int events)
{
	struct hooks *hooks = poll->data;
	struct hook_report report;
	enum hook_received received;
	(void)events;
	while ((received = hook_helper_receive(hooks->server->hook_helper, &report)) ==
	       HOOK_RECEIVED) {
		take_report(hooks, &report);
	}
	if (received == HOOK_HELPER_GONE || status < 0) {
		lose_helper(hooks);
	}
}

static enum hook_state run_program(struct hook *hook, const struct config *config,
                                   const struct config_hook *rule, const char *facts)
{
	struct hooks *hooks = hook->hooks;
	struct hook_request request = {
		.id = ++hooks->last_id,
		.timeout = config->hook_timeout,
		.event = span_str(hook_name(hook->event)),
		.argument = rule->argument,
		.narguments = rule->narguments,
		.facts = span_str(facts),
	};
	if (!hooks->helped || !hook_helper_send(hooks->server->hook_helper, &request)) {
		return HOOK_NONE;
	}
	hook->id = request.id;
	hook->state = HOOK_RUNNING;
	return HOOK_RUNNING;
}

/* ---- posts ---- */

static const struct config_hook *rule_of(const struct config *config, enum hook_event event)
{
	return event == HOOK_SUSPEND ? &config->on_suspend : &config->on_unlock;
}

/* In the pool. */
static void post(uv_work_t *work)
{
	struct hook *hook = work->data;
	const struct config *config = hook->config;
	const struct hook_post question = {
		.url = rule_of(config, hook->event)->argument[0].ptr,
		.ca = config->hook_ca,
		.key = span_str(config->hook_key),
		.body = span_str(hook->facts),
		.timeout = config->hook_timeout,
		.cancelled = &hook->hooks->stopping,
	};
	hook->taken = hook_post_send(&question, wall_ms() / 1000, &hook->answer);
}

static void log_posted(const struct hook *hook, bool again)
{
	struct log_line line;
	if (hook->taken) {
		log_hook(&line, LOG_LEVEL_INFO, "alarm-ended", hook);
	} else {
		log_hook(&line, again ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR,
		         again ? "alarm-again" : "alarm-failed", hook);
	}
	log_number(&line, "http", hook->answer.status);
	log_number(&line, "try", hook->tries);
	if (!hook->taken) {
		log_text(&line, "reason", span_str(hook->answer.error.text));
	}
	log_end(&line);
}

static void on_pause(uv_timer_t *pause);

static void on_posted(uv_work_t *work, int status)
{
	struct hook *hook = work->data;
	hook->hooks->working--;
	if (status || atomic_load(&hook->hooks->stopping)) {
		return; /* the next start does it again */
	}
	bool again = !hook->taken && hook->answer.again && hook->tries <= COUNT(pauses);
	log_posted(hook, again);
	if (again) {
		uv_timer_start(&hook->pause, on_pause, pauses[hook->tries - 1], 0);
	} else {
		end(hook);
	}
}

static void try(struct hook *hook)
{
	hook->tries++;
	hook->hooks->working++;
	int status = uv_queue_work(hook->pause.loop, &hook->work, post, on_posted);
	assert(status == 0);
}

static void on_pause(uv_timer_t *pause)
{
	try(pause->data);
}

static enum hook_state run_post(struct hook *hook, struct config *config, char *facts)
{
	hook->id = 0;
	hook->config = config_ref(config);
	hook->facts = facts;
	hook->tries = 0;
	hook->state = HOOK_RUNNING;
	try(hook);
	return HOOK_RUNNING;
}

/* ---- both ---- */

enum hook_state hooks_run(struct hooks *hooks, const struct incident *incident,
                          enum hook_event event)
{
	struct config *config = server_config(hooks->server);
	const struct config_hook *rule = rule_of(config, event);
	struct hook *hook = find_place(hooks);
	enum hook_state state = rule->narguments ? HOOK_NONE : HOOK_ENDED;
	char *facts = state == HOOK_NONE && hook ? hook_facts(incident, event) : NULL;
	if (facts) {
		hook->incident = incident->number;
		hook->event = event;
	}
	if (facts && rule->is_post) {
		state = run_post(hook, config, facts);
	} else if (facts) {
		state = run_program(hook, config, rule, facts);
		free(facts);
	}
	config_unref(config);
	return state;
}

/* ---- life ---- */

struct hooks *hooks_start(struct server *server, uv_loop_t *loop, void (*ended)(void *context),
                          void *context)
{
	struct hooks *hooks = calloc(1, sizeof *hooks);
	if (!hooks) {
		return NULL;
	}
	hooks->server = server;
	hooks->ended = ended;
	hooks->context = context;
	for (size_t i = 0; i < COUNT(hooks->hook); i++) {
		struct hook *hook = &hooks->hook[i];
		hook->hooks = hooks;
		hook->work.data = hook->pause.data = hook;
		uv_timer_init(loop, &hook->pause);
	}
	hooks->handles = COUNT(hooks->hook) + 1;
	int status = uv_poll_init(loop, &hooks->helper, server->hook_helper);
	assert(status == 0);
	hooks->helper.data = hooks;
	hooks->helped = uv_poll_start(&hooks->helper, UV_READABLE, on_helper) == 0;
	return hooks;
}

static void on_closed(uv_handle_t *handle)
{
	struct hooks *hooks = uv_handle_get_type(handle) == UV_POLL
	                          ? handle->data
	                          : ((struct hook *)handle->data)->hooks;
	if (--hooks->handles == 0) {
		free(hooks);
	}
}

void hooks_stop(struct hooks *hooks)
{
	if (!hooks) {
		return;
	}
	uv_loop_t *loop = hooks->helper.loop;
	atomic_store(&hooks->stopping, true);
	for (size_t i = 0; i < COUNT(hooks->hook); i++) {
		struct hook *hook = &hooks->hook[i];
		if (hook->state == HOOK_RUNNING && !hook->id) {
			uv_cancel((uv_req_t *)&hook->work);
		}
		uv_close((uv_handle_t *)&hook->pause, on_closed);
	}
	while (hooks->working) {
		uv_run(loop, UV_RUN_ONCE);
	}
	for (size_t i = 0; i < COUNT(hooks->hook); i++) {
		release(&hooks->hook[i]);
	}
	uv_close((uv_handle_t *)&hooks->helper, on_closed);
}
