/*
 * Two ends of a connection on one loop, in clear or in TLS, and a peer that is not ours. To be
 * included by one file of a program.
 */
#ifndef GATEPOST_TEST_SERVER_CONN_HELP_H
#define GATEPOST_TEST_SERVER_CONN_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "server/conn.h"
#include "test/server/certificate.h"

static struct certificate_folder folder;
static struct tls_context *server_context, *client_context;
static uv_loop_t loop;
static uv_tcp_t listener;
static struct sockaddr_in address;

/* One end as its owner sees it, with what it shall do. */
struct side {
	struct conn *conn;
	struct buf got;
	int ready, data, drained, late, closed;
	char why[100];
	bool ours, truncated;
	void (*on_ready)(struct side *side);
	void (*on_data)(struct side *side, struct span bytes);
	void (*on_drained)(struct side *side);
	void (*on_late)(struct side *side);
	size_t to_send, sent, most_pending;
	uint64_t sum_sent, sum_got;
	size_t n_got;
};

static struct side server, client;
static struct side *accepting; /* the next connection's */
static bool implicit_tls;

static inline void ready(void *owner)
{
	struct side *side = owner;
	assert_int_equal(side->closed, 0);
	side->ready++;
	if (side->on_ready) {
		side->on_ready(side);
	}
}

static inline void data(void *owner, struct span bytes)
{
	struct side *side = owner;
	assert_int_equal(side->closed, 0);
	assert_true(bytes.len > 0);
	side->data++;
	if (side->on_data) {
		side->on_data(side, bytes);
	} else {
		buf_put(&side->got, bytes);
	}
}

static inline void drained(void *owner)
{
	struct side *side = owner;
	assert_int_equal(side->closed, 0);
	assert_int_equal(conn_pending(side->conn), 0);
	side->drained++;
	if (side->on_drained) {
		side->on_drained(side);
	}
}

static inline void late(void *owner)
{
	struct side *side = owner;
	assert_int_equal(side->closed, 0);
	side->late++;
	if (side->on_late) {
		side->on_late(side);
	}
}

static inline void closed(void *owner, const char *why, bool truncated)
{
	struct side *side = owner;
	side->closed++;
	side->ours = !why;
	side->truncated = truncated;
	snprintf(side->why, sizeof(side->why), "%s", why ? why : "");
}

static const struct conn_handler handler = { ready, data, drained, late, closed };

static inline void say(struct side *side, const char *text)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	buf_put_str(&out, text);
	conn_write(side->conn, &out);
	assert_int_equal(out.len, 0);
}

static inline void echo(struct side *side, struct span bytes)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	buf_put(&out, bytes);
	conn_write(side->conn, &out);
}

static inline void on_connection(uv_stream_t *stream, int status)
{
	assert_int_equal(status, 0);
	struct side *side = accepting;
	assert_non_null(side);
	side->conn = conn_accept(&loop, stream, implicit_tls ? server_context : NULL, &handler,
	                         side);
}

static inline void side_init(struct side *side)
{
	buf_done(&side->got);
	*side = (struct side){ 0 };
	buf_init(&side->got, 1 << 28);
}

/* Turns the loop until `*count` is at least `n`; a hang is a failure by the runner's clock. */
static inline void turn_until(const int *count, int n)
{
	while (*count < n) {
		uv_run(&loop, UV_RUN_ONCE);
	}
}

static inline void turn(int n)
{
	while (n-- > 0) {
		uv_run(&loop, UV_RUN_NOWAIT);
	}
}

static inline void turn_until_got(const struct side *side, size_t len)
{
	while (side->got.len < len) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	assert_int_equal(side->got.len, len);
}

static inline void assert_got(const struct side *side, const char *text)
{
	assert_true(span_eq(buf_span(&side->got), span_str(text)));
}

static inline void client_connect(void)
{
	client.conn = conn_connect(&loop, (struct sockaddr *)&address, &handler, &client);
	assert_non_null(client.conn);
}

static inline void upgrade_client(struct side *side)
{
	if (side->ready == 1) {
		conn_start_tls(side->conn, client_context, "mail.example.org");
	}
}

/* Both ends up, in clear or in TLS. */
static inline void pair(bool tls)
{
	implicit_tls = tls;
	client.on_ready = tls ? upgrade_client : NULL;
	client_connect();
	turn_until(&client.ready, tls ? 2 : 1);
	while (!server.conn || (tls && !server.ready)) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	assert_int_equal(conn_tls(server.conn) != NULL, tls);
	assert_int_equal(conn_tls(client.conn) != NULL, tls);
}

static inline void part(void)
{
	conn_close(client.conn);
	conn_close(client.conn);
	turn_until(&client.closed, 1);
	turn_until(&server.closed, 1);
	assert_true(client.ours);
	assert_int_equal(client.closed + server.closed, 2);
	assert_false(server.truncated);
}

/* A peer that is not ours: a socket, and OpenSSL on it. */
struct raw {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
};

static inline struct raw raw_connect(void)
{
	struct raw raw = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	static const int one = 1; /* or a close with unread input drops what Nagle holds back */
	setsockopt(raw.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(connect(raw.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fcntl(raw.fd, F_SETFL, O_NONBLOCK);
	return raw;
}

static inline void raw_shake(struct raw *raw)
{
	raw->ctx = SSL_CTX_new(TLS_client_method());
	raw->ssl = SSL_new(raw->ctx);
	SSL_set_fd(raw->ssl, raw->fd);
	while (SSL_connect(raw->ssl) != 1) {
		turn(1);
		assert_int_equal(SSL_get_error(raw->ssl, -1), SSL_ERROR_WANT_READ);
	}
	turn_until(&server.ready, 1);
}

/* Waits for bytes or the end: 0 = FIN, -1 = reset. */
static inline ssize_t raw_read(struct raw *raw, char *to, size_t size)
{
	ssize_t n;
	do {
		turn(1);
		n = raw->ssl ? SSL_read(raw->ssl, to, (int)size) : recv(raw->fd, to, size, 0);
	} while (raw->ssl ? n <= 0 && SSL_get_error(raw->ssl, (int)n) == SSL_ERROR_WANT_READ
	                  : n < 0 && errno == EAGAIN);
	return n;
}

static inline void raw_done(struct raw *raw)
{
	SSL_free(raw->ssl);
	SSL_CTX_free(raw->ctx);
	close(raw->fd);
	ERR_clear_error();
}

static inline int set_up(void **state)
{
	(void)state;
	side_init(&server);
	side_init(&client);
	accepting = &server;
	implicit_tls = false;
	uv_loop_init(&loop);
	uv_tcp_init(&loop, &listener);
	uv_ip4_addr("127.0.0.1", 0, &address);
	uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
	uv_listen((uv_stream_t *)&listener, 1024, on_connection);
	int size = sizeof(address);
	uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	struct side *sides[] = { &server, &client };
	for (size_t i = 0; i < COUNT(sides); i++) {
		/* The test has failed: let the others run. */
		if (sides[i]->conn && !sides[i]->closed) {
			conn_abort(sides[i]->conn);
		}
	}
	uv_close((uv_handle_t *)&listener, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	buf_done(&server.got);
	buf_done(&client.got);
	return 0;
}

static inline void pause_at_data(struct side *side, struct span bytes)
{
	buf_put(&side->got, bytes);
	conn_pause(side->conn);
}

/* Bulk: a pattern whose sum tells order, too. */
static inline uint64_t sum_up(uint64_t sum, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum = sum * 31 + (unsigned char)bytes[i];
	}
	return sum;
}

static inline int all_set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as main does */
	certificate_folder_make(&folder);
	certificate_pair(&folder);
	struct error error;
	server_context = tls_context_server(certificate_file(&folder, "cert.pem"),
	                                    certificate_file(&folder, "key.pem"), NULL, &error);
	client_context = tls_context_client(&error);
	return server_context && client_context ? 0 : -1;
}

static inline int all_tear_down(void **state)
{
	(void)state;
	tls_context_unref(server_context);
	tls_context_unref(client_context);
	certificate_folder_remove(&folder);
	return 0;
}

static inline int set_up_tls(void **state)
{
	static int tls;
	set_up(state);
	*state = &tls;
	return 0;
}

#define IN_CLEAR(f) \
	{ \
#f " in clear", f, set_up, tear_down, NULL \
	}
#define IN_TLS(f) \
	{ \
#f " in TLS", f, set_up_tls, tear_down, NULL \
	}

#endif
