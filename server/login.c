#include "server/login.h"

#include <assert.h>
#include <stdlib.h>

#include "auth/oauth.h"
#include "server/log.h"
#include "server/wall.h"

#define MECHANISM_MAX 32
#define RESPONSE_MAX  ((size_t)16 * 1024)
#define CHALLENGE_MAX ((size_t)16 * 1024)

struct login {
	uv_work_t work;
	uv_timer_t timer;
	struct worker *worker;
	struct config *config; /* its map is the attempt's */
	const struct login_handler *handler;
	void *owner; /* NULL: dropped */
	struct sasl_attempt *attempt;
	char mechanism[MECHANISM_MAX + 1];
	size_t mechanism_len;
	struct buf response;
	bool has_response;
	bool started;
	bool busy; /* in the pool */
	bool late; /* its deadline passed: the owner was told already */
	/* the pool's, while busy */
	enum sasl_status status;
	struct buf challenge;
};

struct login *login_new(struct worker *worker, struct config *config,
                        const struct sasl_peer *peer, const struct login_handler *handler,
                        void *owner)
{
	struct sasl_peer known = *peer;
	struct login *login = calloc(1, sizeof *login);
	if (!login) {
		return NULL;
	}
	known.map = &config->map;
	known.now = store_now(worker->server->store);
	known.wall = wall_ms();
	known.cache_time = config->cache_time;
	login->attempt = sasl_attempt_new(&known);
	if (!login->attempt) {
		free(login);
		return NULL;
	}
	login->worker = worker;
	login->config = config_ref(config);
	login->handler = handler;
	login->owner = owner;
	login->work.data = login;
	login->timer.data = login;
	uv_timer_init(&worker->loop, &login->timer);
	buf_init_secret(&login->response, RESPONSE_MAX);
	buf_init_secret(&login->challenge, CHALLENGE_MAX);
	return login;
}

static void login_free(uv_handle_t *timer)
{
	struct login *login = timer->data;
	sasl_attempt_free(login->attempt);
	config_unref(login->config);
	buf_done(&login->response);
	buf_done(&login->challenge);
	free(login);
}

/* Keys that could not be read again are nobody's failure, and seen in the log only. */
static void tell_oauth(struct oauth *oauth)
{
	struct error note;
	if (oauth && oauth_take_note(oauth, &note)) {
		log_fault(LOG_LEVEL_WARNING, "oauth-keys", note.text);
	}
}

static void in_pool(uv_work_t *work)
{
	struct login *login = work->data;
	struct span response = buf_span(&login->response);
	if (login->started) {
		login->status = sasl_attempt_step(login->attempt, response, &login->challenge);
	} else {
		login->status = sasl_attempt_start(
		    login->attempt, span_of(login->mechanism, login->mechanism_len),
		    login->has_response ? &response : NULL, &login->challenge);
		login->started = true;
	}
	tell_oauth(login->worker->server->oauth);
}

static void back_on_loop(uv_work_t *work, int cancelled)
{
	struct login *login = work->data;
	login->busy = false;
	atomic_fetch_sub(&login->worker->server->auth_jobs, 1);
	buf_done(&login->response);
	uv_timer_stop(&login->timer);
	if (!login->owner) {
		uv_close((uv_handle_t *)&login->timer, login_free);
		return;
	}
	if (!login->late) {
		enum sasl_status status = cancelled ? SASL_UNAVAILABLE : login->status;
		login->handler->result(login->owner, status, buf_span(&login->challenge));
	}
}

static void too_late(uv_timer_t *timer)
{
	struct login *login = timer->data;
	login->late = true;
	if (login->owner) {
		login->handler->result(login->owner, SASL_UNAVAILABLE, SPAN_NONE);
	}
}

static bool run(struct login *login, const struct span *response)
{
	struct server *server = login->worker->server;
	assert(!login->busy);
	struct config *config = server_config(server);
	int64_t most = config->auth_jobs;
	int64_t timeout = config->auth_timeout;
	config_unref(config);
	buf_done(&login->challenge);
	login->has_response = response != NULL;
	if (response && !buf_put(&login->response, *response)) {
		return false;
	}
	if (atomic_fetch_add(&server->auth_jobs, 1) >= most ||
	    uv_queue_work(&login->worker->loop, &login->work, in_pool, back_on_loop)) {
		atomic_fetch_sub(&server->auth_jobs, 1);
		return false;
	}
	login->busy = true;
	uv_timer_start(&login->timer, too_late, (uint64_t)timeout, 0);
	return true;
}

bool login_start(struct login *login, struct span mechanism, const struct span *initial)
{
	/* A longer name than any mechanism has is cut, and not found. */
	mechanism = span_first(mechanism, MECHANISM_MAX);
	memcpy(login->mechanism, mechanism.ptr, mechanism.len);
	login->mechanism_len = mechanism.len;
	return run(login, initial);
}

bool login_step(struct login *login, struct span response)
{
	return run(login, &response);
}

static void over(uv_timer_t *timer)
{
	struct login *login = timer->data;
	login->handler->held(login->owner);
}

void login_hold(struct login *login, int64_t ms)
{
	assert(!login->busy);
	uv_timer_start(&login->timer, over, (uint64_t)ms, 0);
}

bool login_is_busy(const struct login *login)
{
	return login->busy;
}

const struct sasl_attempt *login_attempt(const struct login *login)
{
	assert(!login->busy);
	return login->attempt;
}

struct span login_mechanism(const struct login *login)
{
	return span_of(login->mechanism, login->mechanism_len);
}

void login_drop(struct login *login)
{
	if (!login) {
		return;
	}
	login->owner = NULL;
	if (!login->busy) {
		uv_close((uv_handle_t *)&login->timer, login_free);
	} else {
		uv_timer_stop(&login->timer);
	}
}
