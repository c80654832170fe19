#include "server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/log.h"
#include "server/server.h"
#include "server/session.h"

#define BACKLOG 1024
/* Descriptors that clients may not have: store, log, certificates at a reload. */
#define FD_RESERVE     16
#define REST_MS        1000
#define NO_DESCRIPTORS "too many open files"

struct bound {
	int fd;
	struct config_listener *config; /* of the set */
	/* What follows belongs to the loop. */
	struct listener *listener;
	uv_tcp_t tcp;
	uv_timer_t rest;
};

struct listener_sockets {
	struct config_listener config[CONFIG_LISTENERS_MAX]; /* copies */
	size_t n;
	struct bound bound[CONFIG_LISTENERS_MAX * CONFIG_ADDRESSES_MAX];
};

struct listener {
	struct worker *worker;
	struct listener_sockets *sockets;
	size_t users; /* open handles, and one until it is stopped */
	rlim_t fd_limit;
	int64_t logged_at;
	bool stopped;
};

/* Sets that this process holds: only the first can tell a foreign server from its siblings. */
static atomic_uint live_sets;

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static void on_rested(uv_timer_t *timer);

/* Returns a bound socket or -errno. */
static int bind_socket(const union address *address, bool shared)
{
	static const int one = 1;
	int family = address->any.sa_family;
	socklen_t size = family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool done = fd >= 0 &&
	            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	            (!shared ||
	             setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0) &&
	            (family == AF_INET ||
	             setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0) &&
	            bind(fd, &address->any, size) == 0;
	if (done) {
		return fd;
	}
	int fault = -errno;
	if (fd >= 0) {
		close(fd);
	}
	return fault;
}

static int bind_one(const char *text, unsigned port, bool first)
{
	union address address;
	int status = uv_ip4_addr(text, (int)port, &address.v4);
	if (status != 0) {
		status = uv_ip6_addr(text, (int)port, &address.v6);
	}
	if (status != 0) {
		return status;
	}
	if (first) {
		/* SO_REUSEPORT alone would share the port with any process of the same user. */
		int probe = bind_socket(&address, false);
		if (probe < 0) {
			return probe;
		}
		close(probe);
	}
	return bind_socket(&address, true);
}

static bool bind_listener(struct listener_sockets *sockets, struct config_listener *copy,
                          const struct config_listener *from, struct error *error)
{
	for (size_t i = 0; i < from->naddresses; i++) {
		const char *text = from->address[i];
		bool v6 = strchr(text, ':') != NULL;
		int fd = bind_one(text, from->port, atomic_load(&live_sets) == 1);
		if (fd < 0) {
			error_set(error, v6 ? "listen %s: [%s]:%u: %s" : "listen %s: %s:%u: %s",
			          from->name, text, from->port, uv_strerror(fd));
			return false;
		}
		sockets->bound[sockets->n++] = (struct bound){ .fd = fd, .config = copy };
	}
	return true;
}

/* What a session asks of its listener; it outlives the configuration it came from. */
static bool copy_listener(struct config_listener *copy, const struct config_listener *from)
{
	*copy = (struct config_listener){
		.name = strdup(from->name),
		.port = from->port,
		.tls = from->tls,
		.role = from->role,
		.peers = calloc(from->npeers ? from->npeers : 1, sizeof *from->peers),
		.npeers = from->npeers,
	};
	if (copy->peers && from->npeers) {
		memcpy(copy->peers, from->peers, from->npeers * sizeof *from->peers);
	}
	return copy->name && copy->peers;
}

struct listener_sockets *listener_bind(const struct config *config, struct error *error)
{
	struct listener_sockets *sockets = calloc(1, sizeof(*sockets));
	if (!sockets) {
		error_set(error, "listen: out of memory");
		return NULL;
	}
	atomic_fetch_add(&live_sets, 1);
	for (size_t i = 0; i < config->nlisteners; i++) {
		const struct config_listener *from = &config->listener[i];
		struct config_listener *copy = &sockets->config[i];
		if (!copy_listener(copy, from)) {
			error_set(error, "listen: out of memory");
			listener_sockets_free(sockets);
			return NULL;
		}
		if (!bind_listener(sockets, copy, from, error)) {
			listener_sockets_free(sockets);
			return NULL;
		}
	}
	return sockets;
}

void listener_sockets_free(struct listener_sockets *sockets)
{
	if (!sockets) {
		return;
	}
	for (size_t i = 0; i < sockets->n; i++) {
		close(sockets->bound[i].fd);
	}
	for (size_t i = 0; i < CONFIG_LISTENERS_MAX; i++) {
		free(sockets->config[i].name);
		free(sockets->config[i].peers);
	}
	free(sockets);
	atomic_fetch_sub(&live_sets, 1);
}

static void log_rest(struct listener *listener, const char *reason)
{
	int64_t now = (int64_t)uv_now(&listener->worker->loop);
	if (now - listener->logged_at >= REST_MS) {
		listener->logged_at = now;
		log_fault(LOG_LEVEL_WARNING, "accept-paused", reason);
	}
}

static void release(struct listener *listener)
{
	if (--listener->users == 0) {
		listener_sockets_free(listener->sockets);
		free(listener);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct bound *bound = handle->data;
	if (!bound->listener->stopped) {
		uv_timer_start(&bound->rest, on_rested, REST_MS, 0);
	}
	release(bound->listener);
}

/* Clients wait in the kernel's queue for a second. Without this, libuv out of descriptors
 * closes them silently, or spins when another thread took its spare one. */
static void rest(struct bound *bound, const char *reason)
{
	log_rest(bound->listener, reason);
	uv_close((uv_handle_t *)&bound->tcp, on_closed);
}

/* A new descriptor is the lowest free one: its number tells how many there are. */
static bool is_last_descriptor(const struct bound *bound, int fd)
{
	return fd < 0 || (rlim_t)fd + FD_RESERVE >= bound->listener->fd_limit;
}

static bool is_short_of_descriptors(const struct bound *bound)
{
	int fd = fcntl(bound->fd, F_DUPFD_CLOEXEC, 0);
	bool is_short = is_last_descriptor(bound, fd);
	if (fd >= 0) {
		close(fd);
	}
	return is_short;
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct bound *bound = stream->data;
	if (status < 0) {
		rest(bound, uv_strerror(status));
		return;
	}
	bool last = is_last_descriptor(bound, stream->accepted_fd);
	session_accept(bound->listener->worker, stream, bound->config);
	if (stream->accepted_fd != -1) {
		rest(bound, "out of memory");
	} else if (last) {
		rest(bound, NO_DESCRIPTORS);
	}
}

/* libuv gets a duplicate: the socket, and who waits at it, outlive a rest. */
static int open_bound(struct bound *bound)
{
	uv_tcp_init(&bound->listener->worker->loop, &bound->tcp);
	bound->tcp.data = bound;
	bound->listener->users++;
	int fd = fcntl(bound->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		return uv_translate_sys_error(errno);
	}
	int status = uv_tcp_open(&bound->tcp, fd);
	if (status != 0) {
		close(fd);
		return status;
	}
	return uv_listen((uv_stream_t *)&bound->tcp, BACKLOG, on_connection);
}

static void on_rested(uv_timer_t *timer)
{
	struct bound *bound = timer->data;
	if (is_short_of_descriptors(bound)) {
		log_rest(bound->listener, NO_DESCRIPTORS);
		uv_timer_start(timer, on_rested, REST_MS, 0);
		return;
	}
	int status = open_bound(bound);
	if (status != 0) {
		rest(bound, uv_strerror(status));
	}
}

struct listener *listener_start(struct worker *worker, struct listener_sockets *sockets,
                                struct error *error)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	struct rlimit limit = { .rlim_cur = RLIM_INFINITY };
	if (!listener) {
		error_set(error, "listen: out of memory");
		listener_sockets_free(sockets);
		return NULL;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	*listener = (struct listener){ .worker = worker,
		                       .sockets = sockets,
		                       .users = 1,
		                       .fd_limit = limit.rlim_cur,
		                       .logged_at = INT64_MIN / 2 };
	for (size_t i = 0; i < sockets->n; i++) {
		struct bound *bound = &sockets->bound[i];
		bound->listener = listener;
		bound->rest.data = bound;
		uv_timer_init(&worker->loop, &bound->rest);
		listener->users++;
		int status = open_bound(bound);
		if (status != 0) {
			error_set(error, "listen %s: %s", bound->config->name,
			          uv_strerror(status));
			listener_stop(listener);
			return NULL;
		}
	}
	return listener;
}

static void close_once(uv_handle_t *handle)
{
	if (!uv_is_closing(handle)) {
		uv_close(handle, on_closed);
	}
}

void listener_stop(struct listener *listener)
{
	if (!listener || listener->stopped) {
		return;
	}
	listener->stopped = true;
	for (size_t i = 0; i < listener->sockets->n; i++) {
		struct bound *bound = &listener->sockets->bound[i];
		if (bound->listener) {
			close_once((uv_handle_t *)&bound->rest);
			close_once((uv_handle_t *)&bound->tcp);
		}
	}
	release(listener);
}
