#include "auth/wire.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t wire_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t wire_left(const struct wire *wire)
{
	int64_t left = wire->deadline - wire_now();
	return left > 0 ? left : 0;
}

static bool fail(const struct wire *wire, struct error *error)
{
	error_set(error, "%s: %s", wire->name,
	          errno == ETIMEDOUT ? "no answer in time" : strerror(errno));
	return false;
}

/* Until `events` are there, or `limit`. */
static bool wait_for(int fd, short events, int64_t limit)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	for (;;) {
		int64_t left = limit - wire_now();
		if (left <= 0) {
			errno = ETIMEDOUT;
			return false;
		}
		int n = poll(&poll_fd, 1, left < INT_MAX ? (int)left : INT_MAX);
		if (n > 0) {
			return true;
		}
		if (n < 0 && errno != EINTR) {
			return false;
		}
	}
}

bool wire_open(struct wire *wire, const char *path, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int64_t left = wire_left(wire);
	struct timeval patience = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };
	wire->fd = -1;
	if (len >= sizeof address.sun_path) {
		error_set(error, "%s: the path is too long for a socket", wire->name);
		return false;
	}
	memcpy(address.sun_path, path, len + 1);
	errno = ETIMEDOUT;
	wire->fd = left ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
	/* Where many ask at once the peer's queue is full. A socket that does not block would
	 * be told so (EAGAIN) and nothing could be polled; one that blocks waits as long as it
	 * may send. */
	bool ok = wire->fd >= 0 &&
	          setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) ==
	              0 &&
	          connect(wire->fd, (const struct sockaddr *)&address, sizeof address) == 0;
	if (!ok) {
		errno = errno == EAGAIN ? ETIMEDOUT : errno;
		fail(wire, error);
		wire_close(wire);
	}
	return ok;
}

/* One address, until `limit`. -1 with errno. */
static int dial_one(const struct addrinfo *to, int64_t limit)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int fault = 0;
	socklen_t len = sizeof fault;
	if (fd < 0) {
		return -1;
	}
	if (connect(fd, to->ai_addr, to->ai_addrlen) == 0) {
		return fd;
	}
	if (errno == EINPROGRESS && wait_for(fd, POLLOUT, limit) &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0) {
		if (fault == 0) {
			return fd;
		}
		errno = fault;
	}
	fault = errno;
	close(fd);
	errno = fault;
	return -1;
}

bool wire_dial(struct wire *wire, const char *host, unsigned port, struct error *error)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *all = NULL;
	char digits[16];
	int64_t count = 0;
	wire->fd = -1;
	snprintf(digits, sizeof digits, "%u", port);
	int fault = getaddrinfo(host, digits, &hints, &all);
	if (fault != 0) {
		error_set(error, "%s: %s", wire->name, gai_strerror(fault));
		return false;
	}
	for (const struct addrinfo *one = all; one; one = one->ai_next) {
		count++;
	}
	errno = ETIMEDOUT;
	for (const struct addrinfo *one = all; one && wire->fd < 0; one = one->ai_next) {
		wire->fd = dial_one(one, wire_now() + wire_left(wire) / count--);
	}
	freeaddrinfo(all);
	if (wire->fd < 0) {
		return fail(wire, error);
	}
	/* Questions and answers are small: Nagle's algorithm would hold each back for 40 ms. */
	setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	return true;
}

void wire_close(struct wire *wire)
{
	if (wire->fd >= 0) {
		close(wire->fd);
		wire->fd = -1;
	}
}

bool wire_wait(const struct wire *wire)
{
	return wait_for(wire->fd, POLLIN, wire->deadline);
}

bool wire_send(struct wire *wire, struct span bytes, struct error *error)
{
	while (bytes.len) {
		if (!wait_for(wire->fd, POLLOUT, wire->deadline)) {
			return fail(wire, error);
		}
		ssize_t n = send(wire->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return fail(wire, error);
		}
		bytes = n > 0 ? span_from(bytes, (size_t)n) : bytes;
	}
	return true;
}

bool wire_receive_some(struct wire *wire, void *bytes_out, size_t n, size_t *got_out,
                       struct error *error)
{
	assert(n > 0);
	for (;;) {
		if (!wait_for(wire->fd, POLLIN, wire->deadline)) {
			return fail(wire, error);
		}
		ssize_t got = recv(wire->fd, bytes_out, n, MSG_DONTWAIT);
		if (got > 0) {
			*got_out = (size_t)got;
			return true;
		}
		if (got == 0) {
			error_set(error, "%s: hung up before it had answered", wire->name);
			return false;
		}
		if (errno != EAGAIN && errno != EINTR) {
			return fail(wire, error);
		}
	}
}

bool wire_receive(struct wire *wire, void *bytes_out, size_t n, struct error *error)
{
	char *to = bytes_out;
	size_t got = 0;
	while (n) {
		if (!wire_receive_some(wire, to, n, &got, error)) {
			return false;
		}
		to += got;
		n -= got;
	}
	return true;
}
