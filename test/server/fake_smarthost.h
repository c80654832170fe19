/*
 * A smarthost in the test's own process: a real socket on a thread of its own, with rules that
 * say what it answers. A rule fits the first line that begins with its prefix ("<" is the
 * greeting, "." the final dot), as often as it says (0 = always); other lines get what a good
 * smarthost says. A "!" at its end cuts the connection behind it, "" says nothing. It speaks no
 * TLS.
 */
#ifndef GATEPOST_TEST_SERVER_FAKE_SMARTHOST_H
#define GATEPOST_TEST_SERVER_FAKE_SMARTHOST_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_LINKS 64
#define FAKE_MAILS 4096
#define FAKE_RULES 8

struct fake_rule {
	const char *prefix;
	const char *reply;
	unsigned times;
};

struct fake_link {
	int fd;
	int in_text;
	unsigned mails;
	char from[512];
	char to[8192]; /* "<a><b>" */
	char *in;
	size_t len;
};

struct fake_mail {
	char from[512];
	char to[8192];
	char *text;
};

struct fake {
	int listener, wake[2];
	unsigned port;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	struct fake_rule rules[FAKE_RULES];
	unsigned used[FAKE_RULES];
	struct fake_link links[FAKE_LINKS];
	unsigned nlinks, connections, at_once, most_at_once;
	struct fake_mail mails[FAKE_MAILS];
	unsigned nmails;
	int stopping;
};

static inline void fake_close(struct fake *fake, struct fake_link *link)
{
	close(link->fd);
	free(link->in);
	memset(link, 0, sizeof *link);
	link->fd = -1;
	fake->at_once--;
}

/* False when the link was cut. */
static inline int fake_say(struct fake *fake, struct fake_link *link, const char *line,
                           const char *otherwise)
{
	const char *reply = otherwise;
	for (size_t i = 0; i < FAKE_RULES && fake->rules[i].prefix; i++) {
		const struct fake_rule *rule = &fake->rules[i];
		int spent = rule->times && fake->used[i] >= rule->times;
		if (!spent && strncmp(line, rule->prefix, strlen(rule->prefix)) == 0) {
			fake->used[i]++;
			reply = rule->reply;
			break;
		}
	}
	size_t len = strlen(reply);
	int cut = len && reply[len - 1] == '!';
	if (len - (size_t)cut) {
		char bytes[65536];
		int n = snprintf(bytes, sizeof bytes, "%.*s\r\n", (int)(len - (size_t)cut),
		                 reply);
		if (send(link->fd, bytes, (size_t)n, MSG_NOSIGNAL) < 0) {
			cut = 1;
		}
	}
	if (cut) {
		fake_close(fake, link);
	} else if (strncmp(reply, "354", 3) == 0) {
		link->in_text = 1;
	} else if (strncmp(line, "RCPT TO:", 8) == 0 && reply[0] == '2') {
		snprintf(link->to + strlen(link->to), sizeof link->to - strlen(link->to),
		         "%.*s", (int)strcspn(line + 8, " "), line + 8);
	}
	return !cut;
}

static inline int fake_command(struct fake *fake, struct fake_link *link, const char *line)
{
	if (strncmp(line, "EHLO", 4) == 0) {
		return fake_say(fake, link, line, "250-fake\r\n250-PIPELINING\r\n250 8BITMIME");
	}
	if (strncmp(line, "MAIL FROM:", 10) == 0) {
		snprintf(link->from, sizeof link->from, "%.*s", (int)strcspn(line + 10, " "),
		         line + 10);
		link->to[0] = '\0';
	}
	if (strcmp(line, "DATA") == 0) {
		return fake_say(fake, link, line,
		                link->to[0] ? "354 go on" : "554 5.5.1 no recipients");
	}
	if (strcmp(line, "QUIT") == 0) {
		return fake_say(fake, link, line, "221 2.0.0 bye!");
	}
	return fake_say(fake, link, line, "250 2.1.0 good");
}

/* The text is kept only when its dot is answered with 250 or was to be (it arrived). */
static inline int fake_text(struct fake *fake, struct fake_link *link, size_t len)
{
	struct fake_mail *mail = &fake->mails[fake->nmails];
	snprintf(mail->from, sizeof mail->from, "%s", link->from);
	snprintf(mail->to, sizeof mail->to, "%s", link->to);
	mail->text = strndup(link->in, len);
	unsigned before = fake->nmails;
	link->mails++;
	fake->nmails += fake->nmails + 1 < FAKE_MAILS;
	link->in_text = 0;
	for (size_t i = 0; i < FAKE_RULES && fake->rules[i].prefix; i++) {
		int spent = fake->rules[i].times && fake->used[i] >= fake->rules[i].times;
		char first = fake->rules[i].reply[0];
		if (!spent && fake->rules[i].prefix[0] == '.' &&
		    (first == '4' || first == '5')) {
			fake->nmails = before;
			free(mail->text);
			mail->text = NULL;
		}
	}
	return fake_say(fake, link, ".", "250 2.0.0 queued as FAKE");
}

/* Takes what is whole from the front of the input; false when the link is gone. */
static inline int fake_work(struct fake *fake, struct fake_link *link)
{
	for (;;) {
		if (link->in_text && link->len >= 3 && memcmp(link->in, ".\r\n", 3) == 0) {
			memmove(link->in, link->in + 3, link->len - 3); /* no text at all */
			link->len -= 3;
			link->in_text = 0;
			if (!fake_say(fake, link, ".", "554 5.6.0 nothing")) {
				return 0;
			}
		}
		const char *end = link->in_text ? memmem(link->in, link->len, "\r\n.\r\n", 5)
		                                : memmem(link->in, link->len, "\r\n", 2);
		if (!end) {
			return 1;
		}
		size_t len = (size_t)(end - link->in);
		size_t whole = len + (link->in_text ? 5 : 2);
		char *copy = strndup(link->in, len);
		int alive = link->in_text ? fake_text(fake, link, len + 2)
		                          : fake_command(fake, link, copy);
		free(copy);
		if (!alive) {
			return 0;
		}
		memmove(link->in, link->in + whole, link->len - whole);
		link->len -= whole;
	}
}

static inline void fake_read(struct fake *fake, struct fake_link *link)
{
	static _Thread_local char bytes[262144];
	ssize_t n = recv(link->fd, bytes, sizeof bytes, 0);
	if (n <= 0) {
		fake_close(fake, link);
		return;
	}
	link->in = realloc(link->in, link->len + (size_t)n);
	memcpy(link->in + link->len, bytes, (size_t)n);
	link->len += (size_t)n;
	if (link->in[0] == 0x16) {
		fake_say(fake, link, "", "this is no handshake!"); /* to a ClientHello */
		return;
	}
	fake_work(fake, link);
}

static inline void fake_accept(struct fake *fake)
{
	int fd = accept(fake->listener, NULL, NULL);
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	for (size_t i = 0; fd >= 0 && i < FAKE_LINKS; i++) {
		if (fake->links[i].fd < 0) {
			fake->links[i].fd = fd;
			fake->connections++;
			fake->at_once++;
			fake->most_at_once = fake->at_once > fake->most_at_once
			                         ? fake->at_once
			                         : fake->most_at_once;
			fake_say(fake, &fake->links[i], "<", "220 fake ESMTP");
			return;
		}
	}
	close(fd);
}

static inline void *fake_run(void *context)
{
	struct fake *fake = context;
	for (;;) {
		struct pollfd polled[FAKE_LINKS + 2] = {
			{ .fd = fake->listener, .events = POLLIN },
			{ .fd = fake->wake[0], .events = POLLIN },
		};
		for (size_t i = 0; i < FAKE_LINKS; i++) {
			polled[i + 2] = (struct pollfd){ .fd = fake->links[i].fd,
				                         .events = POLLIN };
		}
		poll(polled, FAKE_LINKS + 2, -1);
		pthread_mutex_lock(&fake->lock);
		if (fake->stopping) {
			pthread_mutex_unlock(&fake->lock);
			return NULL;
		}
		for (size_t i = 0; i < FAKE_LINKS; i++) {
			if (polled[i + 2].revents && fake->links[i].fd >= 0) {
				fake_read(fake, &fake->links[i]);
			}
		}
		if (polled[0].revents) {
			fake_accept(fake);
		}
		pthread_mutex_unlock(&fake->lock);
	}
}

/* `port` 0 takes a free one. Binds without listening when `dead`: the port is ours and refuses.
 */
static inline void fake_start(struct fake *fake, unsigned port, int dead)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons((uint16_t)port) };
	socklen_t size = sizeof address;
	int one = 1;
	memset(fake, 0, sizeof *fake);
	pthread_mutex_init(&fake->lock, NULL);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fake->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fake->listener, (struct sockaddr *)&address, sizeof address) ||
	    (!dead && listen(fake->listener, 128)) || pipe(fake->wake)) {
		perror("fake smarthost");
		abort();
	}
	getsockname(fake->listener, (struct sockaddr *)&address, &size);
	fake->port = ntohs(address.sin_port);
	for (size_t i = 0; i < FAKE_LINKS; i++) {
		fake->links[i].fd = -1;
	}
	fake->stopping = dead;
	pthread_create(&fake->thread, NULL, fake_run, fake);
	if (dead) {
		(void)!write(fake->wake[1], "x", 1);
	}
}

static inline void fake_stop(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->stopping = 1;
	pthread_mutex_unlock(&fake->lock);
	(void)!write(fake->wake[1], "x", 1);
	pthread_join(fake->thread, NULL);
	for (size_t i = 0; i < FAKE_LINKS; i++) {
		if (fake->links[i].fd >= 0) {
			fake_close(fake, &fake->links[i]);
		}
	}
	for (unsigned i = 0; i < fake->nmails; i++) {
		free(fake->mails[i].text);
	}
	close(fake->listener);
	close(fake->wake[0]);
	close(fake->wake[1]);
	pthread_mutex_destroy(&fake->lock);
}

/* The links now open, as by a smarthost that is stopped; new rules for what comes. */
static inline void fake_rules(struct fake *fake, const struct fake_rule *rules)
{
	pthread_mutex_lock(&fake->lock);
	memset(fake->rules, 0, sizeof fake->rules);
	memset(fake->used, 0, sizeof fake->used);
	for (size_t i = 0; rules && i < FAKE_RULES && rules[i].prefix; i++) {
		fake->rules[i] = rules[i];
	}
	pthread_mutex_unlock(&fake->lock);
}

static inline void fake_cut_all(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	for (size_t i = 0; i < FAKE_LINKS; i++) {
		if (fake->links[i].fd >= 0) {
			/* The thread reads the end and closes. */
			shutdown(fake->links[i].fd, SHUT_RDWR);
		}
	}
	pthread_mutex_unlock(&fake->lock);
}

static inline unsigned fake_count(struct fake *fake, const unsigned *what)
{
	pthread_mutex_lock(&fake->lock);
	unsigned n = *what;
	pthread_mutex_unlock(&fake->lock);
	return n;
}

#endif
