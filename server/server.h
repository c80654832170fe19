/*
 * The one context: pointers only, each owned by main. Shared mutable state is a closed list:
 * SASL's success cache, the screen, the census, the configuration and the TLS contexts
 * (ref-counted, swapped under `lock`).
 */
#ifndef GATEPOST_SERVER_SERVER_H
#define GATEPOST_SERVER_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "auth/secret.h"
#include "server/census.h"
#include "server/commit.h"
#include "server/config.h"
#include "server/delivery.h"
#include "server/tls.h"
#include "store/store.h"

struct listener;
struct session;
struct control;
struct suspension;
struct screening;
struct oauth;

/* One event loop for clients, in its own thread. */
struct worker {
	struct server *server;
	uv_loop_t loop;
	pthread_t thread;
	uv_async_t nudge; /* from main: look at server->draining */
	struct commit_port *port;
	struct listener *listener;
	struct session *sessions; /* a list; its own loop only */
	size_t nsessions;
	struct listener_sockets *sockets; /* until the loop starts */
	uv_timer_t drain_timer;           /* while draining: is all done? */
	bool stopped_listening;
	pthread_mutex_t lock; /* news */
	struct news *news;    /* what happened a moment ago: sessions must hear of it */
};

struct server {
	pthread_mutex_t lock; /* config, tls */
	struct config *config;
	struct config *began; /* as at the start: SASL has its back end */
	struct tls_context *tls;
	atomic_uint generation; /* of the two: a reload has happened when it moved */
	struct store *store;
	struct commit *commit;
	struct delivery *delivery;
	struct census *census;
	struct control *control;
	struct suspension *suspension;
	struct screening *screening;
	struct oauth *oauth;    /* NULL: none is configured */
	int hook_helper;        /* the socket of who starts the programs of hooks */
	atomic_bool hooks_lost; /* it is gone */
	struct secret_key key;
	struct worker *workers;
	size_t nworkers;
	atomic_int draining;  /* 0, 1 = finish, 2 = cut */
	atomic_int auth_jobs; /* logins being checked */
	atomic_int workers_running;
	uv_async_t stop_async; /* main loop: server_stop was called */
	atomic_int exit_code;
	pthread_mutex_t reload_lock;
	int64_t started_wall; /* ms since 1970 */
};

/* The present ones; the caller gives its reference back. Any thread. */
struct config *server_config(struct server *server);
struct tls_context *server_tls(struct server *server);
/* Reads configuration and certificates anew; nothing changes when something is wrong (then
 * false with the reason). `notes` gets what needs a restart. Any thread, one at a time. */
bool server_reload(struct server *server, struct error *notes);
/* Ends as TERM does, with this exit code. Any thread. */
void server_stop(struct server *server, int exit_code);

#endif
