#include "link.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_SECONDS 120

SSL_CTX *link_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)) {
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
		/* An idle session's buffers are this process's, but it may hold thousands. */
		SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	}
	return context;
}

static bool fail(struct link *link, const char *why)
{
	snprintf(link->reply, sizeof link->reply, "%s", why);
	link_close(link);
	return false;
}

bool link_send(struct link *link, struct span bytes)
{
	while (bytes.len) {
		size_t n = 0;
		if (link->ssl) {
			n = SSL_write_ex(link->ssl, bytes.ptr, bytes.len, &n) ? n : 0;
		} else {
			ssize_t sent = send(link->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
			n = sent > 0 ? (size_t)sent : 0;
		}
		if (n == 0) {
			return fail(link, "connection lost while writing");
		}
		bytes = span_from(bytes, n);
	}
	return true;
}

static bool fill(struct link *link)
{
	size_t n = 0;
	size_t room = sizeof link->in - link->len;
	if (link->ssl) {
		n = SSL_read_ex(link->ssl, link->in + link->len, room, &n) ? n : 0;
	} else {
		ssize_t got = recv(link->fd, link->in + link->len, room, 0);
		n = got > 0 ? (size_t)got : 0;
	}
	link->len += n;
	return n > 0 || fail(link, "connection lost while waiting for a reply");
}

/* Takes a line into `reply`; false when the connection is gone. */
static bool take_line(struct link *link)
{
	size_t end;
	while ((end = span_find(span_of(link->in, link->len), '\n')) == link->len) {
		if (!fill(link)) {
			return false;
		}
	}
	snprintf(link->reply, sizeof link->reply, "%.*s", (int)(end ? end - 1 : 0), link->in);
	link->len -= end + 1;
	memmove(link->in, link->in + end + 1, link->len);
	return true;
}

unsigned link_reply(struct link *link)
{
	do {
		if (link->fd < 0 || !take_line(link)) {
			return 0;
		}
	} while (link->reply[0] && strlen(link->reply) > 3 && link->reply[3] == '-');
	return (unsigned)strtoul(link->reply, NULL, 10);
}

unsigned link_command(struct link *link, const char *line)
{
	char text[1024];
	int n = snprintf(text, sizeof text, "%s\r\n", line);
	if ((size_t)n >= sizeof text || link->fd < 0 ||
	    !link_send(link, span_of(text, (size_t)n))) {
		return 0;
	}
	return link_reply(link);
}

static bool dial(struct link *link, unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	int one = 1;
	*link = (struct link){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	if (link->fd < 0) {
		return fail(link, "no socket");
	}
	setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	return connect(link->fd, (struct sockaddr *)&to, sizeof to) == 0 ||
	       fail(link, "connection refused");
}

static bool start_tls(struct link *link, SSL_CTX *context)
{
	link->ssl = SSL_new(context);
	return (link->ssl && SSL_set_fd(link->ssl, link->fd) && SSL_connect(link->ssl) == 1) ||
	       fail(link, "TLS handshake failed");
}

static bool expect(struct link *link, unsigned code, unsigned want)
{
	char said[sizeof link->reply];
	if (code == want) {
		return true;
	}
	snprintf(said, sizeof said, "%s", link->reply);
	return fail(link, said);
}

bool link_open(struct link *link, SSL_CTX *context, unsigned port, enum link_tls tls)
{
	static const char hello[] = "EHLO client.example";
	if (!dial(link, port) || (tls == LINK_IMPLICIT && !start_tls(link, context)) ||
	    !expect(link, link_reply(link), 220) ||
	    !expect(link, link_command(link, hello), 250)) {
		return false;
	}
	return tls != LINK_STARTTLS ||
	       (expect(link, link_command(link, "STARTTLS"), 220) && start_tls(link, context) &&
	        expect(link, link_command(link, hello), 250));
}

unsigned link_login(struct link *link, const char *user, const char *pass)
{
	unsigned char plain[600];
	char line[1000] = "AUTH PLAIN ";
	int n = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, user, 0, pass);
	if (n < 0 || (size_t)n >= sizeof plain) {
		return 0;
	}
	EVP_EncodeBlock((unsigned char *)line + strlen(line), plain, n);
	return link_command(link, line);
}

void link_quit(struct link *link)
{
	if (link->fd >= 0 && link_command(link, "QUIT") && link->ssl) {
		SSL_shutdown(link->ssl);
	}
	link_close(link);
}

void link_close(struct link *link)
{
	SSL_free(link->ssl);
	link->ssl = NULL;
	if (link->fd >= 0) {
		close(link->fd);
	}
	link->fd = -1;
}
