/*
 * A daemon that answers what its script says, on a UNIX socket or on TCP: a thread that takes
 * one connection. Each line of the script waits for a whole request first, or does not.
 */
#ifndef GATEPOST_TEST_FAKE_DAEMON_H
#define GATEPOST_TEST_FAKE_DAEMON_H

#include "proto/buf.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum fake_end {
	FAKE_CLOSE,  /* hang up behind the last byte */
	FAKE_SILENT, /* say nothing more until the client hangs up */
	FAKE_DRIP,   /* say the last byte again and again until then */
};

struct fake_line {
	bool (*heard_all)(struct span heard); /* NULL: says it at once */
	struct span text;
};

struct fake_daemon {
	/* set by the test */
	struct fake_line script[4];
	size_t most; /* bytes it says in all; SIZE_MAX: all */
	bool byte_by_byte;
	enum fake_end end;
	/* its own */
	char dir[40];
	char path[64];
	unsigned port;
	int listener;
	pthread_t thread;
	struct buf heard; /* all requests */
};

/* False when the client has hung up. */
static inline bool fake_say(struct fake_daemon *d, int fd, struct span text)
{
	size_t step = d->byte_by_byte ? 1 : text.len;
	while (text.len) {
		size_t n = step < text.len ? step : text.len;
		ssize_t sent = send(fd, text.ptr, n, MSG_NOSIGNAL);
		if (sent <= 0) {
			return false;
		}
		text = span_from(text, (size_t)sent);
	}
	return true;
}

static inline bool fake_hear(struct fake_daemon *d, int fd, bool (*all)(struct span))
{
	size_t begin = d->heard.len;
	while (!all(span_from(buf_span(&d->heard), begin))) {
		char bytes[512];
		ssize_t n = recv(fd, bytes, sizeof bytes, 0);
		if (n <= 0) {
			return false;
		}
		buf_put(&d->heard, span_of(bytes, (size_t)n));
	}
	return true;
}

static inline void fake_end(struct fake_daemon *d, int fd, char last)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	bool gone = d->end == FAKE_CLOSE;
	while (!gone) {
		char bytes[512];
		int n = poll(&poll_fd, 1, d->end == FAKE_DRIP ? 10 : -1);
		gone = n > 0 ? recv(fd, bytes, sizeof bytes, 0) <= 0
		             : !fake_say(d, fd, span_of(&last, 1));
	}
}

static inline void *fake_run(void *data)
{
	struct fake_daemon *d = data;
	int fd = accept(d->listener, NULL, NULL);
	size_t left = d->most;
	char last = '\0';
	bool there = fd >= 0;
	for (size_t i = 0; there && i < COUNT(d->script); i++) {
		struct span text = span_first(d->script[i].text, left);
		there = !d->script[i].heard_all || fake_hear(d, fd, d->script[i].heard_all);
		there = there && fake_say(d, fd, text);
		left -= text.len;
		last = text.len ? text.ptr[text.len - 1] : last;
		there = there && (left > 0 || d->most == SIZE_MAX);
	}
	if (fd >= 0) {
		fake_end(d, fd, last);
		close(fd);
	}
	return NULL;
}

/* `backlog` is that of listen(2). */
static inline void fake_listen(struct fake_daemon *d, bool tcp, int backlog)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct sockaddr_in on = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof on;
	d->heard.cap = 65536;
	d->listener = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(d->listener >= 0);
	if (tcp) {
		assert(bind(d->listener, (struct sockaddr *)&on, sizeof on) == 0);
		assert(getsockname(d->listener, (struct sockaddr *)&on, &len) == 0);
		d->port = ntohs(on.sin_port);
	} else {
		snprintf(d->dir, sizeof d->dir, "/tmp/gatepost-fake.XXXXXX");
		assert(mkdtemp(d->dir));
		snprintf(d->path, sizeof d->path, "%s/socket", d->dir);
		snprintf(at.sun_path, sizeof at.sun_path, "%s", d->path);
		assert(bind(d->listener, (struct sockaddr *)&at, sizeof at) == 0);
	}
	assert(listen(d->listener, backlog) == 0);
}

static inline void fake_start(struct fake_daemon *d, bool tcp)
{
	fake_listen(d, tcp, 4);
	assert(pthread_create(&d->thread, NULL, fake_run, d) == 0);
}

static inline void fake_forget(struct fake_daemon *d)
{
	close(d->listener);
	buf_done(&d->heard);
	if (d->dir[0]) {
		unlink(d->path);
		rmdir(d->dir);
	}
}

/* Behind the client's last word; `heard` can be read until fake_forget. A client that never
 * came is not waited for. */
static inline void fake_join(struct fake_daemon *d)
{
	shutdown(d->listener, SHUT_RDWR);
	pthread_join(d->thread, NULL);
}

#endif
