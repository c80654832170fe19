/* gatepost: start, reload, drain. */
#include <assert.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "auth/sasl.h"
#include "server/control.h"
#include "server/enrol.h"
#include "server/geo.h"
#include "server/hook_helper.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/privs.h"
#include "server/screening.h"
#include "server/suspension.h"
#include "server/worker.h"
#include "store/check.h"

#define DEFAULT_CONFIG  "/etc/gatepost/gatepost.conf"
#define EXIT_IN_USE     1
#define POOL_THREADS    (16 + HOOK_PROGRAMS_MAX) /* SASL, name look-ups; posts of hooks */
#define POOL_MOST       1024
#define FAILED_DRAIN_MS 5000
#define LAST_WORDS_MS   1000 /* for deliveries under way, when the drain has used up its time */
#define LOOK_MS         20

/* The main loop: signals only. */
struct main_loop {
	uv_loop_t loop;
	uv_signal_t hup, term, interrupt;
	uv_timer_t patience; /* the drain's deadline */
	uv_timer_t look;     /* are the workers done? */
	uint64_t drained_by; /* the loop's time */
};

static int complain(int code, const struct error *error)
{
	fprintf(stderr, "gatepost: %s\n", error->text);
	return code;
}

/* ---- -V, -t, -n ---- */

static int print_versions(void)
{
	printf("gatepost %s\n", GATEPOST_VERSION);
	printf("%s\n", tls_library());
	printf("libuv %s\n", uv_version_string());
	printf("%s\n", sasl_version_text());
	printf("%s\n", store_library());
	printf("jansson %s\n", jansson_version_str());
	printf("%s\n", geo_library());
	return 0;
}

/* What root can read now the daemon reads again at each reload, as `user`. */
static bool files_are_readable(const struct config *config, struct error *error)
{
	const char *const single[] = { config->certificate, config->key, config->asn_database,
		                       config->geoip_database };
	bool good = true;
	if (!privs_is_root()) {
		return true;
	}
	for (size_t i = 0; good && i < COUNT(single); i++) {
		good = !single[i] || privs_can_read(config->user, single[i], error);
	}
	for (size_t i = 0; good && i < config->nlists; i++) {
		good = privs_can_read(config->user, config->list[i].members_file, error);
	}
	for (size_t i = 0; good && i < config->nlist_files; i++) {
		good = privs_can_read(config->user, config->list_file[i].ptr, error);
	}
	return good;
}

/* NULL, and true, where none is configured. */
static bool open_oauth(const struct config *config, struct oauth **oauth_out,
                       struct error *error)
{
	bool wanted = config->oauth.jwks || config->oauth.introspect;
	*oauth_out = wanted ? oauth_open(&config->oauth, error) : NULL;
	return *oauth_out || !wanted;
}

static int check(const struct config *config)
{
	struct error error;
	struct tls_context *tls = tls_context_server(config->certificate, config->key,
	                                             config->client_ca, &error);
	if (!tls) {
		return complain(EX_CONFIG, &error);
	}
	tls_context_unref(tls);
	struct oauth *oauth = NULL;
	if (!open_oauth(config, &oauth, &error)) {
		return complain(EX_CONFIG, &error);
	}
	oauth_close(oauth);
	if (!files_are_readable(config, &error)) {
		return complain(EX_CONFIG, &error);
	}
	char warning[300];
	for (size_t i = 0; config_warning(config, i, warning, sizeof warning); i++) {
		fprintf(stderr, "gatepost: %s: warning: %s\n", config->path, warning);
	}
	printf("%s: good\n", config->path);
	return 0;
}

/* ---- start ---- */

static bool make_folders(const struct config *config, struct error *error)
{
	char control_dir[512];
	snprintf(control_dir, sizeof control_dir, "%s", config->control);
	char *slash = strrchr(control_dir, '/');
	if (slash && slash != control_dir) {
		*slash = '\0';
		if (!privs_make_dir(control_dir, config->user, 0755, error)) {
			return false;
		}
	}
	return privs_make_dir(config->data_dir, config->user, 0700, error);
}

/* As `user` already: files are his. */
static int open_store(struct server *server, const struct config *config, struct error *error)
{
	static const int codes[] = {
		[STORE_FULL] = EX_OSERR,    [STORE_IN_USE] = EXIT_IN_USE,
		[STORE_NEWER] = EX_DATAERR, [STORE_DAMAGED] = EX_DATAERR,
		[STORE_FAILED] = EX_OSERR,
	};
	struct store_options options = {
		.size = (uint64_t)config->store_size,
		.longest_window = BUDGET_WINDOW_MAX,
	};
	enum store_result result = store_open(config->data_dir, &options, &server->store,
	                                      error);
	if (result != STORE_OK) {
		return codes[result];
	}
	return secret_load(config->data_dir, &server->key, error) ? 0 : EX_CONFIG;
}

static int bind_sockets(struct server *server, const struct config *config, struct error *error)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	server->nworkers = config->workers ? (size_t)config->workers
	                   : cores > 0     ? (size_t)cores
	                                   : 1;
	server->workers = calloc(server->nworkers, sizeof *server->workers);
	if (!server->workers) {
		error_set(error, "out of memory");
		return EX_OSERR;
	}
	for (size_t i = 0; i < server->nworkers; i++) {
		server->workers[i].server = server;
		server->workers[i].sockets = listener_bind(config, error);
		if (!server->workers[i].sockets) {
			return EX_UNAVAILABLE;
		}
	}
	return 0;
}

/* All that needs root, then no more of it. The store is opened as `user`, and before the ports:
 * a second gatepost says that the first is there, not that a port is taken. */
static int acquire(struct server *server, const struct config *config, struct error *error)
{
	server->tls = tls_context_server(config->certificate, config->key, config->client_ca,
	                                 error);
	if (!server->tls || !files_are_readable(config, error)) {
		return EX_CONFIG;
	}
	if (!make_folders(config, error) || !privs_enter(config->user, error)) {
		return EX_CANTCREAT;
	}
	int code = open_store(server, config, error);
	privs_leave();
	if (!code) {
		code = bind_sockets(server, config, error);
	}
	if (!code && !privs_drop(config->user, error)) {
		code = EX_OSERR;
	}
	privs_harden();
	return code;
}

static int sweep(struct server *server, struct error *error)
{
	struct check_report report;
	enum store_result result = check_run(server->store, &report, error);
	if (result != STORE_OK) {
		return result == STORE_DAMAGED ? EX_DATAERR : EX_OSERR;
	}
	/* Without what the sweep deleted: it may be the difference between 452 and room. */
	store_measure(server->store);
	struct log_line line;
	log_begin(&line, report.damaged ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "store-checked");
	log_number(&line, "entries", (int64_t)report.entries);
	log_number(&line, "held", (int64_t)report.held);
	log_number(&line, "orphan_bodies", (int64_t)report.orphan_bodies);
	log_number(&line, "mended", (int64_t)report.mended);
	log_number(&line, "damaged", (int64_t)report.damaged);
	log_end(&line);
	return 0;
}

static void commit_is_lost(void *context)
{
	server_stop(context, EX_OSERR);
}

/* Those from `first` on will never run; what is still bound for them is closed. */
static void forget_workers(struct server *server, size_t first)
{
	for (size_t i = first; i < server->nworkers; i++) {
		listener_sockets_free(server->workers[i].sockets);
	}
	server->nworkers = first;
}

/* All are there before one of them is heard: what it learns the others are told. */
static bool start_workers(struct server *server, struct error *error)
{
	size_t open = 0, running = 0;
	size_t most = server->nworkers;
	while (open < most && worker_open(&server->workers[open], error)) {
		open++;
	}
	while (running < open && worker_start(&server->workers[running], error)) {
		running++;
	}
	forget_workers(server, running);
	return running == most;
}

/* Its back end, its mechanisms and its keys for tokens are those of the start: SASL is one for
 * the life of a process. */
static bool start_sasl(struct server *server, struct config *config, struct error *error)
{
	if (!open_oauth(config, &server->oauth, error)) {
		return false;
	}
	server->began = config_ref(config);
	struct sasl_rules rules = {
		.store = server->store,
		.hostname = config->hostname,
		.domain = config->domain,
		.mechanisms = config->mechanisms,
		.iterations = (unsigned)config->auth_iterations,
		.key = server->key,
		.backend = &config->backend,
		.oauth = server->oauth,
	};
	return sasl_open(&rules, error);
}

/* All that workers need before they begin. */
static bool start_services(struct server *server, struct config *config, struct error *error)
{
	if (!start_sasl(server, config, error)) {
		return false;
	}
	server->census = census_new();
	server->commit = commit_start(server->store, config->journal_keep, commit_is_lost,
	                              server, error);
	if (server->commit) {
		const struct familiar_rules history = config_familiar_rules(config);
		commit_history_rules(server->commit, &history);
	}
	server->delivery = server->commit ? delivery_start(server, error) : NULL;
	if (!server->delivery || !enrol_devices(server, config, error)) {
		return false;
	}
	server->screening = screening_start(server, error);
	return server->screening != NULL;
}

/* What it has begun when it fails, `finish` ends. */
static bool start_threads(struct server *server, struct config *config, uv_loop_t *loop,
                          struct error *error)
{
	if (!start_services(server, config, error)) {
		forget_workers(server, 0);
		return false;
	}
	if (!start_workers(server, error)) {
		return false;
	}
	server->suspension = suspension_start(server, loop, error);
	if (!server->suspension) {
		return false;
	}
	server->control = control_start(server, config->control, error);
	return server->control != NULL;
}

/* ---- run ---- */

static void drain(struct server *server, int how)
{
	atomic_store(&server->draining, how);
	for (size_t i = 0; i < server->nworkers; i++) {
		worker_nudge(&server->workers[i]);
	}
}

static void on_hup(uv_signal_t *signal, int number)
{
	(void)number;
	struct error notes;
	notify_send("RELOADING=1");
	server_reload(signal->data, &notes);
	notify_send("READY=1");
}

static void out_of_patience(uv_timer_t *timer)
{
	drain(timer->data, 2);
}

static void look_for_workers(uv_timer_t *timer)
{
	struct server *server = timer->data;
	if (!atomic_load(&server->workers_running)) {
		uv_stop(timer->loop);
	}
}

/* Once: finish what is under way. Twice: hurry. */
static void end(struct main_loop *main_loop, struct server *server)
{
	if (atomic_load(&server->draining)) {
		drain(server, 2);
		return;
	}
	log_fault(LOG_LEVEL_INFO, "stopping", "");
	notify_send("STOPPING=1");
	struct config *config = server_config(server);
	int64_t ms = atomic_load(&server->exit_code) ? FAILED_DRAIN_MS : config->drain_timeout;
	config_unref(config);
	main_loop->drained_by = uv_now(&main_loop->loop) + (uint64_t)ms;
	uv_timer_start(&main_loop->patience, out_of_patience, (uint64_t)ms, 0);
	uv_timer_start(&main_loop->look, look_for_workers, 0, LOOK_MS);
	drain(server, 1);
}

static void on_term(uv_signal_t *signal, int number)
{
	(void)number;
	end((struct main_loop *)signal->loop, signal->data);
}

static void on_stop(uv_async_t *async)
{
	end((struct main_loop *)async->loop, async->data);
}

static void main_loop_init(struct main_loop *main_loop, struct server *server)
{
	uv_loop_init(&main_loop->loop);
	uv_signal_init(&main_loop->loop, &main_loop->hup);
	uv_signal_init(&main_loop->loop, &main_loop->term);
	uv_signal_init(&main_loop->loop, &main_loop->interrupt);
	uv_timer_init(&main_loop->loop, &main_loop->patience);
	uv_timer_init(&main_loop->loop, &main_loop->look);
	uv_async_init(&main_loop->loop, &server->stop_async, on_stop);
	main_loop->hup.data = main_loop->term.data = main_loop->interrupt.data = server;
	main_loop->patience.data = main_loop->look.data = server;
	server->stop_async.data = server;
	uv_signal_start(&main_loop->hup, on_hup, SIGHUP);
	uv_signal_start(&main_loop->term, on_term, SIGTERM);
	uv_signal_start(&main_loop->interrupt, on_term, SIGINT);
}

/* Behind all that could still call server_stop. */
static void main_loop_done(struct main_loop *main_loop, struct server *server)
{
	uv_handle_t *const handles[] = {
		(uv_handle_t *)&main_loop->hup,       (uv_handle_t *)&main_loop->term,
		(uv_handle_t *)&main_loop->interrupt, (uv_handle_t *)&main_loop->patience,
		(uv_handle_t *)&main_loop->look,      (uv_handle_t *)&server->stop_async,
	};
	for (size_t i = 0; i < COUNT(handles); i++) {
		uv_close(handles[i], NULL);
	}
	uv_run(&main_loop->loop, UV_RUN_DEFAULT);
	int busy = uv_loop_close(&main_loop->loop);
	assert(!busy);
}

/* Workers are done: then deliveries, then the writer, which has no customers left. */
static void finish(struct main_loop *main_loop, struct server *server)
{
	uint64_t now = uv_now(&main_loop->loop);
	uint64_t left = main_loop->drained_by > now ? main_loop->drained_by - now : 0;
	control_stop(server->control);
	for (size_t i = 0; i < server->nworkers; i++) {
		worker_join(&server->workers[i]);
	}
	screening_stop(server->screening);
	suspension_stop(server->suspension);
	delivery_stop(server->delivery, left > LAST_WORDS_MS ? (int64_t)left : LAST_WORDS_MS);
	commit_stop(server->commit);
	sasl_close();
	oauth_close(server->oauth);
	config_unref(server->began);
	store_close(server->store);
	census_free(server->census);
	tls_context_unref(server->tls);
	config_unref(server->config);
	free(server->workers);
	secret_cleanse(&server->key, sizeof server->key);
}

/* A connection is a file; the soft limit of 1,024 is for programs that use select(). */
static void raise_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Somebody else's answer may keep a thread waiting for each login; names must be looked up
 * meanwhile. A password of ours keeps a core busy: more threads would only slow the loops. */
static void size_pool(const struct config *config)
{
	char text[16];
	bool waits = config_is_external(config) || config->oauth.introspect;
	int64_t threads = POOL_THREADS + (waits ? config->auth_jobs : 0);
	snprintf(text, sizeof text, "%d", (int)(threads < POOL_MOST ? threads : POOL_MOST));
	setenv("UV_THREADPOOL_SIZE", text, 0);
}

static void log_started(struct server *server, const struct config *config)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_INFO, "started");
	log_word(&line, "version", span_str(GATEPOST_VERSION));
	log_number(&line, "workers", (int64_t)server->nworkers);
	log_text(&line, "store", span_str(store_library()));
	log_end(&line);
	char warning[300];
	for (size_t i = 0; config_warning(config, i, warning, sizeof warning); i++) {
		log_fault(LOG_LEVEL_WARNING, "config-warning", warning);
	}
	notify_send("READY=1");
}

static int run(struct server *server, struct config *config)
{
	struct main_loop main_loop;
	struct error error;
	pthread_mutex_init(&server->lock, NULL);
	pthread_mutex_init(&server->reload_lock, NULL);
	server->config = config;
	server->started_wall = (int64_t)time(NULL) * 1000;
	int code = acquire(server, config, &error);
	if (code) {
		return complain(code, &error);
	}
	log_start();
	main_loop_init(&main_loop, server);
	code = sweep(server, &error);
	if (code) {
		forget_workers(server, 0);
	} else if (!start_threads(server, config, &main_loop.loop, &error)) {
		code = EX_OSERR;
	}
	if (code) {
		complain(code, &error);
		server_stop(server, code); /* a start that failed ends as all others do */
	} else {
		log_started(server, config);
	}
	uv_run(&main_loop.loop, UV_RUN_DEFAULT);
	finish(&main_loop, server);
	main_loop_done(&main_loop, server);
	log_fault(LOG_LEVEL_INFO, "stopped", "");
	log_stop();
	return atomic_load(&server->exit_code);
}

/* ---- command line ---- */

static const char usage[] =
    "usage: gatepost [-c FILE]      run in the foreground, log to stderr\n"
    "       gatepost -t [-c FILE]   check the configuration\n"
    "       gatepost -n [-c FILE]   print what differs from the defaults\n"
    "       gatepost -V             print versions\n";

int main(int argc, char **argv)
{
	static struct server server;
	const char *path = DEFAULT_CONFIG;
	char mode = 'r';
	for (int option; (option = getopt(argc, argv, "c:tnVh")) != -1;) {
		if (option == 'c') {
			path = optarg;
		} else if (option == '?') {
			fputs(usage, stderr);
			return EX_USAGE;
		} else {
			mode = (char)option;
		}
	}
	if (optind != argc || mode == 'h') {
		fputs(usage, mode == 'h' ? stdout : stderr);
		return mode == 'h' ? 0 : EX_USAGE;
	}
	if (mode == 'V') {
		return print_versions();
	}
	struct error error;
	json_set_alloc_funcs(malloc, secret_free); /* passwords come and go as JSON, too */
	struct config *config = config_load(path, &error);
	if (!config) {
		return complain(EX_CONFIG, &error);
	}
	if (mode != 'r') {
		int code = 0;
		if (mode == 't') {
			code = check(config);
		} else {
			config_print(config, stdout);
		}
		config_unref(config);
		return code;
	}
	umask(0077);
	signal(SIGPIPE, SIG_IGN);
	/* While there is nothing yet that it could inherit. */
	server.hook_helper = hook_helper_start(config->user, &error);
	if (server.hook_helper < 0) {
		config_unref(config);
		return complain(EX_OSERR, &error);
	}
	raise_files();
	size_pool(config);
	return run(&server, config);
}
