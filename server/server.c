#include "server/server.h"

#include <string.h>

#include "server/enrol.h"
#include "server/log.h"

struct config *server_config(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	struct config *config = config_ref(server->config);
	pthread_mutex_unlock(&server->lock);
	return config;
}

struct tls_context *server_tls(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	struct tls_context *context = tls_context_ref(server->tls);
	pthread_mutex_unlock(&server->lock);
	return context;
}

static void log_reloaded(const struct config *config, const char *restart)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_INFO, "reloaded");
	log_word(&line, "file", span_str(config->path));
	if (*restart) {
		log_text(&line, "needs_restart", span_str(restart));
	}
	log_end(&line);
}

/* Both are new and good: swapped together, the old ones live as long as somebody holds them. */
static void adopt(struct server *server, struct config *config, struct tls_context *tls)
{
	pthread_mutex_lock(&server->lock);
	struct config *old_config = server->config;
	struct tls_context *old_tls = server->tls;
	server->config = config;
	server->tls = tls;
	atomic_fetch_add(&server->generation, 1);
	pthread_mutex_unlock(&server->lock);
	store_resize(server->store, (uint64_t)config->store_size);
	const struct familiar_rules history = config_familiar_rules(config);
	commit_journal_keep(server->commit, config->journal_keep);
	commit_history_rules(server->commit, &history);
	delivery_reload(server->delivery);
	config_unref(old_config);
	tls_context_unref(old_tls);
}

/* Before anybody sees them. A store that fails now is no reason to keep the old certificate: a
 * device without an account is refused. */
static void make_devices(struct server *server, const struct config *config)
{
	struct error error;
	if (!enrol_devices(server, config, &error)) {
		log_fault(LOG_LEVEL_ERROR, "devices-failed", error.text);
	}
}

static bool reload(struct server *server, struct error *notes)
{
	struct config *old = server_config(server);
	struct config *config = config_load(old->path, notes);
	struct tls_context *tls = config ? tls_context_server(config->certificate, config->key,
	                                                      config->client_ca, notes)
	                                 : NULL;
	if (!tls) {
		config_unref(config);
		config_unref(old);
		return false;
	}
	char restart[600] = "";
	if (config_needs_restart(old, config, restart, sizeof restart)) {
		error_set(notes, "needs a restart to take effect: %s", restart);
	} else {
		error_set(notes, "%s", "");
	}
	log_reloaded(config, restart);
	make_devices(server, config);
	adopt(server, config, tls);
	config_unref(old);
	return true;
}

bool server_reload(struct server *server, struct error *notes)
{
	/* libConfuse's scanner has static state: one thread at a time. */
	pthread_mutex_lock(&server->reload_lock);
	bool good = reload(server, notes);
	pthread_mutex_unlock(&server->reload_lock);
	if (!good) {
		log_fault(LOG_LEVEL_ERROR, "reload-failed", notes->text);
	}
	return good;
}

void server_stop(struct server *server, int exit_code)
{
	int expected = 0;
	atomic_compare_exchange_strong(&server->exit_code, &expected, exit_code);
	uv_async_send(&server->stop_async);
}
