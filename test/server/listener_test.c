#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/listener.h"
#include "server/server.h"
#include "server/session.h"

/* In place of the real one: takes the connection and remembers where it came from. */
struct guest {
	uv_tcp_t tcp;
	struct guest *next;
};

static struct guest *guests;
static size_t n_guests;
static size_t seen[2];
static struct worker workers[2];
static char name[2][32];

void session_accept(struct worker *worker, uv_stream_t *socket,
                    const struct config_listener *from)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	uv_tcp_init(&worker->loop, &guest->tcp);
	assert_int_equal(uv_accept(socket, (uv_stream_t *)&guest->tcp), 0);
	guest->next = guests;
	guests = guest;
	n_guests++;
	seen[worker - workers]++;
	snprintf(name[worker - workers], sizeof(name[0]), "%s", from->name);
}

static void on_guest_closed(uv_handle_t *handle)
{
	free(handle);
}

static void send_guests_home(void)
{
	while (guests) {
		struct guest *gone = guests;
		guests = gone->next;
		uv_close((uv_handle_t *)&gone->tcp, on_guest_closed);
	}
	n_guests = 0;
}

/* A port that was free a moment ago. */
static unsigned free_port(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	socklen_t size = sizeof(here);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bind(fd, (struct sockaddr *)&here, size);
	getsockname(fd, (struct sockaddr *)&here, &size);
	close(fd);
	return ntohs(here.sin_port);
}

static int bind_foreign(unsigned port)
{
	static const int one = 1;
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int knock(unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static struct config config_of(const char *address, unsigned port)
{
	struct config config = { .nlisteners = 1 };
	config.listener[0].name = (char *)(uintptr_t) "submission";
	config.listener[0].address[0] = (char *)(uintptr_t)address;
	config.listener[0].naddresses = 1;
	config.listener[0].port = port;
	return config;
}

/* A foreign server is told even though it shares its port. */
static void test_faults(void **state)
{
	(void)state;
	unsigned taken = free_port();
	int foreign = bind_foreign(taken);
	struct {
		const char *address;
		unsigned port;
		const char *fault;
	} rows[] = {
		{ "127.0.0.1", taken, "address already in use" },
		{ "0.0.0.0", taken, "address already in use" },
		{ "192.0.2.1", taken, "address not available" },
		{ "2001:db8::1", taken, "" },
		{ "localhost", taken, "invalid argument" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config config = config_of(rows[i].address, rows[i].port);
		struct error error = { "" };
		assert_null(listener_bind(&config, &error));
		char text[200];
		bool v6 = strchr(rows[i].address, ':');
		snprintf(text, sizeof(text),
		         v6 ? "listen submission: [%s]:%u: %s" : "listen submission: %s:%u: %s",
		         rows[i].address, rows[i].port, rows[i].fault);
		assert_int_equal(strncmp(error.text, text, strlen(text)), 0);
	}
	close(foreign);
	struct config config = config_of("127.0.0.1", taken);
	struct listener_sockets *sockets = listener_bind(&config, NULL);
	assert_non_null(sockets);
	listener_sockets_free(sockets);
	listener_sockets_free(NULL);
}

static unsigned start(size_t n)
{
	unsigned port = free_port();
	struct config config = config_of("127.0.0.1", port);
	for (size_t i = 0; i < n; i++) {
		workers[i] = (struct worker){ 0 };
		seen[i] = 0;
		uv_loop_init(&workers[i].loop);
		workers[i].sockets = listener_bind(&config, NULL);
		assert_non_null(workers[i].sockets);
	}
	for (size_t i = 0; i < n; i++) {
		struct error error = { "" };
		workers[i].listener = listener_start(&workers[i], workers[i].sockets, &error);
		assert_non_null(workers[i].listener);
	}
	return port;
}

static void stop(size_t n)
{
	send_guests_home();
	for (size_t i = 0; i < n; i++) {
		listener_stop(workers[i].listener);
		uv_run(&workers[i].loop, UV_RUN_DEFAULT);
		assert_int_equal(uv_loop_close(&workers[i].loop), 0);
	}
	listener_stop(NULL);
}

/* Two loops share a port; each connection comes to one of them. */
static void test_share(void **state)
{
	(void)state;
	unsigned port = start(2);
	int fds[100];
	for (size_t i = 0; i < COUNT(fds); i++) {
		fds[i] = knock(port);
		assert_true(fds[i] >= 0);
	}
	while (n_guests < COUNT(fds)) {
		uv_run(&workers[0].loop, UV_RUN_NOWAIT);
		uv_run(&workers[1].loop, UV_RUN_NOWAIT);
	}
	assert_true(seen[0] > 0 && seen[1] > 0);
	assert_string_equal(name[0], "submission");
	for (size_t i = 0; i < COUNT(fds); i++) {
		close(fds[i]);
	}
	stop(2);
	assert_int_equal(knock(port), -1);
}

#define CROWD 150

/* Stays until all have been let in and sent home. */
static void crowd(unsigned port)
{
	int fds[CROWD];
	char byte;
	for (int i = 0; i < CROWD; i++) {
		fds[i] = knock(port);
	}
	for (int i = 0; i < CROWD; i++) {
		if (fds[i] < 0 || read(fds[i], &byte, 1) != 0) {
			_exit(1);
		}
	}
	_exit(0);
}

static int free_descriptors(void)
{
	int fds[64], n = 0;
	while (n < 64 && (fds[n] = dup(0)) >= 0) {
		n++;
	}
	for (int i = 0; i < n; i++) {
		close(fds[i]);
	}
	return n;
}

/* RX06: with too few descriptors nobody is turned away, some are left for the store, and all
 * are served in the end. */
static void test_descriptors(void **state)
{
	(void)state;
	struct rlimit before, few;
	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	unsigned port = start(1);
	pid_t child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_NOFILE, &before);
		crowd(port);
	}
	size_t served = 0;
	int rounds = 0, least_free = 64;
	for (int quiet = 0; served < CROWD; quiet++) {
		size_t here = n_guests;
		uv_run(&workers[0].loop, UV_RUN_NOWAIT);
		usleep(1000);
		int left = free_descriptors();
		least_free = left < least_free ? left : least_free;
		quiet = n_guests == here ? quiet : 0;
		/* Only when no more are let in are they sent home. */
		if (quiet >= 50 && here > 0) {
			served += here;
			rounds++;
			send_guests_home();
		}
	}
	assert_true(least_free >= 14);
	assert_true(rounds >= 2);
	int status = -1;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	stop(1);
	setrlimit(RLIMIT_NOFILE, &before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
