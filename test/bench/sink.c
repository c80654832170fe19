/*
 * The smarthost of tests and benches: takes every mail on 127.0.0.1, fast, on one thread. It
 * can keep mail as files, fail at random, and it is the oracle of crash tests: a line in its
 * journal is written before the 250 that answers for it.
 *
 * Port 0 takes a free one; the first line of output names it. --maildir writes DIR/new/NAME
 * with X-Envelope-From and X-Envelope-To in front. Each line of the journal is
 *
 *     queue-id message-id nrcpt bytes fnv64-of-body recipient,recipient... ms ok|dropped
 *
 * (queue-id from the topmost Received field, `-` when there is none; the body is what follows
 * the header, since a relay adds fields; ms of CLOCK_MONOTONIC when its connection was
 * accepted; `dropped` when no answer follows). --fail gives so many percent of the transactions
 * one fault: 451 to MAIL, to some RCPT or to the final dot, or a drop before or behind the
 * journal line.
 * --delay holds back the answer to the final dot. --count prints counters at the end; SIGUSR1
 * does so at any time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "sink.h"

_Noreturn void sink_die(const char *what)
{
	fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void print_counts(const struct sink *sink)
{
	printf("connections=%llu mails=%llu recipients=%llu bytes=%llu faults=%llu\n",
	       sink->connections, sink->mails, sink->recipients, sink->bytes, sink->faults);
	fflush(stdout);
}

/* ---- bytes ---- */

void sink_hold(struct sink *sink, struct conn *conn)
{
	conn->due = now_ms() + sink->delay;
	conn->next_held = NULL;
	*(sink->last_held ? &sink->last_held->next_held : &sink->first_held) = conn;
	sink->last_held = conn;
}

static void free_conn(struct sink *sink, struct conn *conn)
{
	*(conn->prev ? &conn->prev->next : &sink->conns) = conn->next;
	if (conn->next) {
		conn->next->prev = conn->prev;
	}
	close(conn->fd);
	buf_done(&conn->out);
	buf_done(&conn->text);
	buf_done(&conn->recipients);
	buf_done(&conn->sender);
	free(conn);
}

static void watch(struct sink *sink, struct conn *conn, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = conn };
	if (epoll_ctl(sink->epoll, EPOLL_CTL_MOD, conn->fd, &event)) {
		sink_die("epoll_ctl");
	}
}

/* Writes what there is to say. True when the connection lives on. */
static bool flush(struct sink *sink, struct conn *conn)
{
	while (conn->out.len) {
		ssize_t n = send(conn->fd, conn->out.ptr, conn->out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			conn->waits_for_output = true;
			watch(sink, conn, EPOLLOUT);
			return true;
		}
		if (n < 0) {
			return false;
		}
		if ((size_t)n == conn->out.len) {
			buf_clear(&conn->out);
		} else {
			buf_drop(&conn->out, (size_t)n);
		}
	}
	if (conn->waits_for_output) {
		conn->waits_for_output = false;
		watch(sink, conn, EPOLLIN);
	}
	return !conn->closing;
}

/* All that can be done with the input. True when the connection lives on. */
static bool work(struct sink *sink, struct conn *conn)
{
	struct span in = span_of(conn->in, conn->in_len);
	while (!conn->closing && !conn->due && talk_step(sink, conn, &in)) {
	}
	if (in.len == IN_BYTES && !conn->due) {
		return false; /* a command line that never ends */
	}
	if (in.len) {
		memmove(conn->in, in.ptr, in.len);
	}
	conn->in_len = in.len;
	return flush(sink, conn);
}

static void serve(struct sink *sink, struct conn *conn)
{
	bool lives = true;
	if (conn->waits_for_output) {
		lives = flush(sink, conn);
	} else if (!conn->due) {
		ssize_t n = read(conn->fd, conn->in + conn->in_len, IN_BYTES - conn->in_len);
		if (n < 0 && errno == EAGAIN) {
			return;
		}
		conn->in_len += n > 0 ? (size_t)n : 0;
		lives = n > 0 && work(sink, conn);
	}
	if (!lives) {
		free_conn(sink, conn);
	} else if (conn->due && !conn->waits_for_output) {
		watch(sink, conn, EPOLLONESHOT); /* a hang-up is told once */
	}
}

/* Answers what was held back long enough; gives the time until the next, -1 = there is none. */
static int release_held(struct sink *sink)
{
	while (sink->first_held) {
		struct conn *conn = sink->first_held;
		int64_t wait = conn->due - now_ms();
		if (wait > 0) {
			return (int)wait;
		}
		sink->first_held = conn->next_held;
		if (!sink->first_held) {
			sink->last_held = NULL;
		}
		conn->due = 0;
		watch(sink, conn, conn->waits_for_output ? EPOLLOUT : EPOLLIN);
		talk_finish_mail(sink, conn);
		if (!work(sink, conn)) {
			free_conn(sink, conn);
		} else if (conn->due && !conn->waits_for_output) {
			watch(sink, conn, EPOLLONESHOT); /* a hang-up is told once */
		}
	}
	return -1;
}

static void add_source(struct sink *sink, int fd, void *mark)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = mark };
	if (fd < 0 || epoll_ctl(sink->epoll, EPOLL_CTL_ADD, fd, &event)) {
		sink_die("epoll_ctl");
	}
}

static struct conn *new_conn(struct sink *sink, int fd)
{
	struct conn *conn = malloc(sizeof *conn);
	if (!conn) {
		sink_die("malloc");
	}
	memset(conn, 0, offsetof(struct conn, in));
	conn->fd = fd;
	conn->opened = now_ms();
	buf_init(&conn->out, IN_BYTES * 4);
	buf_init(&conn->text, MESSAGE_MAX);
	buf_init(&conn->recipients, RECIPIENTS_MAX);
	buf_init(&conn->sender, IN_BYTES);
	conn->next = sink->conns;
	if (conn->next) {
		conn->next->prev = conn;
	}
	sink->conns = conn;
	return conn;
}

static void take_connections(struct sink *sink)
{
	int one = 1;
	int fd;
	while ((fd = accept4(sink->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *conn = new_conn(sink, fd);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		add_source(sink, fd, conn);
		sink->connections++;
		talk_greet(conn);
		if (!flush(sink, conn)) {
			free_conn(sink, conn);
		}
	}
}

/* ---- start ---- */

static void start(struct sink *sink)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)sink->port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int one = 1;
	sink->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(sink->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(sink->listener, (struct sockaddr *)&at, len) || listen(sink->listener, 1024) ||
	    getsockname(sink->listener, (struct sockaddr *)&at, &len)) {
		sink_die("cannot listen");
	}
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sink->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	sink->epoll = epoll_create1(EPOLL_CLOEXEC);
	add_source(sink, sink->listener, &sink->listener);
	add_source(sink, sink->signals, &sink->signals);
	printf("listening on 127.0.0.1:%u\n", ntohs(at.sin_port));
	fflush(stdout);
}

/* False when it is time to go. */
static bool take_signal(struct sink *sink)
{
	struct signalfd_siginfo info;
	bool stop = false;
	while (read(sink->signals, &info, sizeof info) == sizeof info) {
		stop = stop || info.ssi_signo != SIGUSR1;
		if (info.ssi_signo == SIGUSR1 || sink->count) {
			print_counts(sink);
		}
	}
	return !stop;
}

static void run(struct sink *sink)
{
	struct epoll_event events[64];
	bool going = true;
	while (going) {
		int n = epoll_wait(sink->epoll, events, COUNT(events), release_held(sink));
		for (int i = 0; i < n; i++) {
			void *mark = events[i].data.ptr;
			if (mark == &sink->listener) {
				take_connections(sink);
			} else if (mark == &sink->signals) {
				going = take_signal(sink);
			} else {
				serve(sink, mark);
			}
		}
	}
}

static unsigned number(const char *text, unsigned max)
{
	char *end = NULL;
	unsigned long value = strtoul(text, &end, 10);
	if (!*text || *end || value > max) {
		fprintf(stderr, "sink: %s is no number from 0 to %u\n", text, max);
		exit(64);
	}
	return (unsigned)value;
}

static void read_options(struct sink *sink, int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", 1, NULL, 'p' },    { "maildir", 1, NULL, 'm' },
		{ "journal", 1, NULL, 'j' }, { "fail", 1, NULL, 'f' },
		{ "seed", 1, NULL, 's' },    { "delay", 1, NULL, 'd' },
		{ "count", 0, NULL, 'c' },   { NULL, 0, NULL, 0 },
	};
	bool (*open_kept)(struct keep * keep, const char *where);
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			sink->port = number(optarg, 65535);
			break;
		case 'f':
			sink->fail = number(optarg, 100);
			break;
		case 's':
			sink->seed = number(optarg, UINT32_MAX) | 1ULL << 32;
			break;
		case 'd':
			sink->delay = number(optarg, 3600000);
			break;
		case 'c':
			sink->count = true;
			break;
		case 'm':
		case 'j':
			open_kept = option == 'm' ? keep_open_maildir : keep_open_journal;
			if (!open_kept(&sink->keep, optarg)) {
				sink_die(optarg);
			}
			break;
		default:
			fprintf(stderr, "usage: sink --port N [--maildir DIR] [--journal FILE] "
			                "[--fail PERCENT] [--seed N] [--delay MS] [--count]\n");
			exit(64);
		}
	}
}

int main(int argc, char **argv)
{
	struct sink sink = { .seed = 88172645463325252U };
	keep_init(&sink.keep);
	read_options(&sink, argc, argv);
	start(&sink);
	run(&sink);
	while (sink.conns) {
		free_conn(&sink, sink.conns);
	}
	keep_done(&sink.keep);
	return 0;
}
