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

#include "keep.h"

#define IN_BYTES       ((size_t)64 * 1024)
#define MESSAGE_MAX    ((size_t)128 << 20)
#define RECIPIENTS_MAX ((size_t)1 << 20) /* bytes of all recipients of a mail */

enum fault {
	FAULT_NONE,
	FAULT_MAIL,
	FAULT_RCPT,
	FAULT_DOT,
	FAULT_BEFORE,
	FAULT_BEHIND,
	FAULTS
};

struct conn {
	int fd;
	bool in_mail, in_text, closing, waits_for_output;
	enum fault fault; /* of this transaction */
	size_t in_len;
	struct buf out, text, recipients;
	struct buf sender;
	unsigned nrecipients;
	int64_t opened;
	struct conn *next, *prev;
	int64_t due;            /* when the answer that is held back goes out; 0 = none is */
	struct conn *next_held; /* all wait equally long, so they stand in order */
	char in[IN_BYTES];
};

struct sink {
	unsigned port, fail, delay;
	bool count;
	uint64_t seed; /* xorshift64 */
	struct keep keep;
	int epoll, listener, signals;
	struct conn *conns, *first_held, *last_held;
	unsigned long long connections, mails, recipients, bytes, faults;
};

static _Noreturn void die(const char *what)
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

static unsigned roll(struct sink *sink, unsigned sides)
{
	sink->seed ^= sink->seed << 13;
	sink->seed ^= sink->seed >> 7;
	sink->seed ^= sink->seed << 17;
	return (unsigned)(sink->seed >> 11) % sides;
}

static void print_counts(const struct sink *sink)
{
	printf("connections=%llu mails=%llu recipients=%llu bytes=%llu faults=%llu\n",
	       sink->connections, sink->mails, sink->recipients, sink->bytes, sink->faults);
	fflush(stdout);
}

/* ---- what becomes of a mail ---- */

static void say(struct conn *conn, const char *text)
{
	buf_put_str(&conn->out, text);
}

static void drop(struct conn *conn)
{
	buf_clear(&conn->out);
	conn->closing = true;
}

static void end_mail(struct conn *conn)
{
	conn->in_mail = false;
	conn->nrecipients = 0;
	conn->fault = FAULT_NONE;
	buf_clear(&conn->recipients);
	buf_clear(&conn->sender);
}

/* Takes off the stuffing dots of a text that begins behind a line end; gives its new length. */
static size_t unstuff(char *text, size_t len)
{
	size_t to = 0;
	size_t at = len && text[0] == '.';
	while (at < len) {
		const char *dot = memmem(text + at, len - at, "\r\n.", 3);
		size_t n = dot ? (size_t)(dot - text) + 2 - at : len - at;
		memmove(text + to, text + at, n);
		to += n;
		at += n + 1;
	}
	return to;
}

/* The final dot is to be answered. */
static void finish_mail(struct sink *sink, struct conn *conn)
{
	/* two bytes of a line end stand before the text, see begin_text */
	char *start = conn->text.ptr + 2;
	struct span text = span_of(start, unstuff(start, conn->text.len - 2));
	if (conn->fault == FAULT_DOT) {
		say(conn, "451 4.3.0 Random fault\r\n");
	} else if (conn->fault == FAULT_BEFORE) {
		drop(conn);
	} else {
		sink->mails++;
		sink->recipients += conn->nrecipients;
		sink->bytes += text.len;
		struct kept kept = {
			.sender = buf_span(&conn->sender),
			.recipients = buf_span(&conn->recipients),
			.nrecipients = conn->nrecipients,
			.text = text,
			.opened = conn->opened,
			.dropped = conn->fault == FAULT_BEHIND,
		};
		if (!keep_mail(&sink->keep, &kept)) {
			die("cannot keep a mail");
		}
		buf_printf(&conn->out, "250 2.0.0 Ok: queued as S%llu\r\n", sink->mails);
		if (conn->fault == FAULT_BEHIND) {
			drop(conn);
		}
	}
	end_mail(conn);
}

/* ---- commands ---- */

static struct span path_of(struct span line)
{
	struct span path = span_from(line, span_find(line, '<') + 1);
	return span_first(path, span_find(path, '>'));
}

static void do_hello(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	end_mail(conn);
	say(conn, span_starts_nocase(line, SPAN_LIT("HELO"))
	              ? "250 sink.example\r\n"
	              : "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
	                "250-SIZE 104857600\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void do_mail(struct sink *sink, struct conn *conn, struct span line)
{
	if (conn->in_mail) {
		say(conn, "503 5.5.1 Nested MAIL\r\n");
		return;
	}
	if (sink->fail && roll(sink, 100) < sink->fail) {
		conn->fault = FAULT_NONE + 1 + roll(sink, FAULTS - 1);
		sink->faults++;
	}
	if (conn->fault == FAULT_MAIL) {
		conn->fault = FAULT_NONE;
		say(conn, "451 4.3.0 Random fault\r\n");
		return;
	}
	buf_put(&conn->sender, path_of(line));
	conn->in_mail = true;
	say(conn, "250 2.1.0 Ok\r\n");
}

static void do_rcpt(struct sink *sink, struct conn *conn, struct span line)
{
	if (!conn->in_mail) {
		say(conn, "503 5.5.1 MAIL first\r\n");
	} else if (conn->fault == FAULT_RCPT && roll(sink, 2)) {
		say(conn, "451 4.3.0 Random fault\r\n");
	} else {
		if (conn->nrecipients++) {
			buf_put_byte(&conn->recipients, ',');
		}
		buf_put(&conn->recipients, path_of(line));
		say(conn,
		    conn->recipients.failed ? "452 4.5.3 Too many\r\n" : "250 2.1.5 Ok\r\n");
	}
}

static void do_data(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	if (!conn->nrecipients) {
		say(conn, "554 5.5.1 No valid recipients\r\n");
		return;
	}
	/* With a line end in front the terminator looks the same everywhere. */
	buf_clear(&conn->text);
	buf_put_str(&conn->text, "\r\n");
	conn->in_text = true;
	say(conn, "354 Go ahead\r\n");
}

static void do_rset(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	end_mail(conn);
	say(conn, "250 2.0.0 Ok\r\n");
}

static void do_noop(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	say(conn, "250 2.0.0 Ok\r\n");
}

static void do_quit(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	say(conn, "221 2.0.0 Bye\r\n");
	conn->closing = true;
}

static void do_unknown(struct sink *sink, struct conn *conn, struct span line)
{
	(void)sink;
	(void)line;
	say(conn, "500 5.5.2 Unknown command\r\n");
}

static const struct command {
	const char *verb;
	void (*run)(struct sink *sink, struct conn *conn, struct span line);
} commands[] = {
	{ "RCPT", do_rcpt }, { "MAIL", do_mail },  { "DATA", do_data },
	{ "RSET", do_rset }, { "EHLO", do_hello }, { "HELO", do_hello },
	{ "NOOP", do_noop }, { "QUIT", do_quit },  { "", do_unknown },
};

static void run_command(struct sink *sink, struct conn *conn, struct span line)
{
	const struct command *command = commands;
	while (!span_starts_nocase(line, span_str(command->verb))) {
		command++;
	}
	command->run(sink, conn, line);
}

/* ---- bytes ---- */

static void hold(struct sink *sink, struct conn *conn)
{
	conn->due = now_ms() + sink->delay;
	conn->next_held = NULL;
	*(sink->last_held ? &sink->last_held->next_held : &sink->first_held) = conn;
	sink->last_held = conn;
}

/* Moves text from the input; true when its end was in it. */
static bool take_text(struct conn *conn, struct span *in)
{
	struct buf *text = &conn->text;
	size_t before = text->len;
	size_t from = before < 4 ? 0 : before - 4; /* the terminator may be cut anywhere */
	if (!buf_put(text, *in)) {
		drop(conn);
		return false;
	}
	const char *end = memmem(text->ptr + from, text->len - from, "\r\n.\r\n", 5);
	if (!end) {
		*in = SPAN_NONE;
		return false;
	}
	size_t len = (size_t)(end - text->ptr);
	*in = span_from(*in, len + 5 - before);
	text->len = len + 2;
	return true;
}

/* One step through the input; false when it needs more of it, or time. */
static bool step(struct sink *sink, struct conn *conn, struct span *in)
{
	if (conn->in_text) {
		if (!take_text(conn, in)) {
			return false;
		}
		conn->in_text = false;
		if (sink->delay) {
			hold(sink, conn);
		} else {
			finish_mail(sink, conn);
		}
		return true;
	}
	size_t end = span_find(*in, '\n');
	if (end == in->len) {
		return false;
	}
	struct span line = span_first(*in, end);
	*in = span_from(*in, end + 1);
	run_command(sink, conn, line);
	return true;
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
		die("epoll_ctl");
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
	while (!conn->closing && !conn->due && step(sink, conn, &in)) {
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
		finish_mail(sink, conn);
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
		die("epoll_ctl");
	}
}

static struct conn *new_conn(struct sink *sink, int fd)
{
	struct conn *conn = malloc(sizeof *conn);
	if (!conn) {
		die("malloc");
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
		say(conn, "220 sink.example ESMTP\r\n");
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
		die("cannot listen");
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
				die(optarg);
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
