#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/wait.h>

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

static void ready(void *owner)
{
	struct side *side = owner;
	assert_int_equal(side->closed, 0);
	side->ready++;
	if (side->on_ready) {
		side->on_ready(side);
	}
}

static void data(void *owner, struct span bytes)
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

static void drained(void *owner)
{
	struct side *side = owner;
	assert_int_equal(side->closed, 0);
	assert_int_equal(conn_pending(side->conn), 0);
	side->drained++;
	if (side->on_drained) {
		side->on_drained(side);
	}
}

static void late(void *owner)
{
	struct side *side = owner;
	assert_int_equal(side->closed, 0);
	side->late++;
	if (side->on_late) {
		side->on_late(side);
	}
}

static void closed(void *owner, const char *why, bool truncated)
{
	struct side *side = owner;
	side->closed++;
	side->ours = !why;
	side->truncated = truncated;
	snprintf(side->why, sizeof(side->why), "%s", why ? why : "");
}

static const struct conn_handler handler = { ready, data, drained, late, closed };

static void say(struct side *side, const char *text)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	buf_put_str(&out, text);
	conn_write(side->conn, &out);
	assert_int_equal(out.len, 0);
}

static void echo(struct side *side, struct span bytes)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	buf_put(&out, bytes);
	conn_write(side->conn, &out);
}

static void on_connection(uv_stream_t *stream, int status)
{
	assert_int_equal(status, 0);
	struct side *side = accepting;
	assert_non_null(side);
	side->conn = conn_accept(&loop, stream, implicit_tls ? server_context : NULL, &handler,
	                         side);
}

static void side_init(struct side *side)
{
	buf_done(&side->got);
	*side = (struct side){ 0 };
	buf_init(&side->got, 1 << 28);
}

/* Turns the loop until `*count` is at least `n`; a hang is a failure by the runner's clock. */
static void turn_until(const int *count, int n)
{
	while (*count < n) {
		uv_run(&loop, UV_RUN_ONCE);
	}
}

static void turn(int n)
{
	while (n-- > 0) {
		uv_run(&loop, UV_RUN_NOWAIT);
	}
}

static void turn_until_got(const struct side *side, size_t len)
{
	while (side->got.len < len) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	assert_int_equal(side->got.len, len);
}

static void assert_got(const struct side *side, const char *text)
{
	assert_true(span_eq(buf_span(&side->got), span_str(text)));
}

static void client_connect(void)
{
	client.conn = conn_connect(&loop, (struct sockaddr *)&address, &handler, &client);
	assert_non_null(client.conn);
}

static void upgrade_client(struct side *side)
{
	if (side->ready == 1) {
		conn_start_tls(side->conn, client_context, "mail.example.org");
	}
}

/* Both ends up, in clear or in TLS. */
static void pair(bool tls)
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

static void part(void)
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

static struct raw raw_connect(void)
{
	struct raw raw = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	static const int one = 1; /* or a close with unread input drops what Nagle holds back */
	setsockopt(raw.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(connect(raw.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fcntl(raw.fd, F_SETFL, O_NONBLOCK);
	return raw;
}

static void raw_shake(struct raw *raw)
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
static ssize_t raw_read(struct raw *raw, char *to, size_t size)
{
	ssize_t n;
	do {
		turn(1);
		n = raw->ssl ? SSL_read(raw->ssl, to, (int)size) : recv(raw->fd, to, size, 0);
	} while (raw->ssl ? n <= 0 && SSL_get_error(raw->ssl, (int)n) == SSL_ERROR_WANT_READ
	                  : n < 0 && errno == EAGAIN);
	return n;
}

static void raw_done(struct raw *raw)
{
	SSL_free(raw->ssl);
	SSL_CTX_free(raw->ctx);
	close(raw->fd);
	ERR_clear_error();
}

static int set_up(void **state)
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

static int tear_down(void **state)
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

static void test_echo(void **state)
{
	bool tls = *state != NULL;
	server.on_data = echo;
	pair(tls);
	say(&client, "one ");
	say(&client, "two ");
	say(&client, "");
	turn_until_got(&client, 8);
	say(&client, "three");
	turn_until_got(&client, 13);
	assert_got(&client, "one two three");
	assert_string_equal(conn_peer(server.conn), "127.0.0.1");
	unsigned char bytes[NETWORK_ADDRESS_BYTES], loopback[NETWORK_ADDRESS_BYTES];
	conn_peer_bytes(server.conn, bytes);
	assert_true(network_address_parse(SPAN_LIT("127.0.0.1"), loopback));
	assert_memory_equal(bytes, loopback, sizeof bytes);
	assert_int_equal(conn_peer_address(server.conn)->sa_family, AF_INET);
	assert_true(client.drained > 0 && server.drained > 0);
	part();
	assert_string_equal(server.why, "closed by peer");
}

static void answer_in_parts(struct side *side, struct span bytes)
{
	(void)bytes;
	say(side, "250-one\r\n");
	say(side, "250-two\r\n");
	say(side, "250 three\r\n");
}

/* What one call-back writes is one record and one segment. */
static void test_group(void **state)
{
	bool tls = *state != NULL;
	implicit_tls = tls;
	server.on_data = answer_in_parts;
	struct raw raw = raw_connect();
	if (tls) {
		raw_shake(&raw);
		SSL_write(raw.ssl, "EHLO x\r\n", 8);
	} else {
		send(raw.fd, "EHLO x\r\n", 8, 0);
	}
	char reply[100] = "";
	assert_int_equal(raw_read(&raw, reply, sizeof(reply)), 29);
	assert_string_equal(reply, "250-one\r\n250-two\r\n250 three\r\n");
	raw_done(&raw);
	turn_until(&server.closed, 1);
	assert_int_equal(server.truncated, tls);
}

static void pause_at_data(struct side *side, struct span bytes)
{
	buf_put(&side->got, bytes);
	conn_pause(side->conn);
}

/* RFC 3207 section 6, CVE-2011-0411: what came in clear behind STARTTLS is never read. */
static void test_injection(void **state)
{
	(void)state;
	server.on_data = pause_at_data;
	struct raw raw = raw_connect();
	send(raw.fd, "STARTTLS\r\n", 10, 0);
	turn_until_got(&server, 10);
	send(raw.fd, "EHLO evil\r\nMAIL FROM:<evil@example.org>\r\n", 41, 0);
	turn(20);
	say(&server, "220 go\r\n");
	conn_start_tls(server.conn, server_context, NULL);
	server.on_data = NULL;
	conn_resume(server.conn);
	char reply[100] = "";
	assert_int_equal(raw_read(&raw, reply, sizeof(reply)), 8);
	assert_string_equal(reply, "220 go\r\n");
	raw_shake(&raw);
	SSL_write(raw.ssl, "EHLO good\r\n", 11);
	turn_until_got(&server, 21);
	assert_got(&server, "STARTTLS\r\nEHLO good\r\n");
	say(&server, "250 ok\r\n");
	assert_int_equal(raw_read(&raw, reply, sizeof(reply)), 8);
	raw_done(&raw);
	turn_until(&server.closed, 1);
}

static void start_tls_at_data(struct side *side, struct span bytes)
{
	buf_put(&side->got, bytes);
	say(side, "220 go\r\n");
	conn_start_tls(side->conn, server_context, NULL);
}

/* In the kernel's buffer at the switch: it can only be taken for TLS, and fails as such. */
static void test_injection_behind(void **state)
{
	(void)state;
	server.on_data = start_tls_at_data;
	struct raw raw = raw_connect();
	send(raw.fd, "STARTTLS\r\n", 10, 0);
	turn_until_got(&server, 10);
	send(raw.fd, "EHLO evil\r\n", 11, 0);
	turn_until(&server.closed, server.closed);
	char reply[100] = "";
	assert_int_equal(raw_read(&raw, reply, 8), 8);
	assert_string_equal(reply, "220 go\r\n");
	assert_int_equal(raw_read(&raw, reply, sizeof(reply)), 0);
	raw_done(&raw);
	turn_until(&server.closed, 1);
	assert_string_equal(server.why, "tls: wrong version number");
	assert_int_equal(server.ready, 0);
}

/* Bulk: a pattern whose sum tells order, too. */
static uint64_t sum_up(uint64_t sum, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum = sum * 31 + (unsigned char)bytes[i];
	}
	return sum;
}

static void pour(struct side *side)
{
	static char piece[50000];
	while (side->sent < side->to_send && conn_pending(side->conn) < CONN_OUTPUT_HIGH) {
		size_t n = side->to_send - side->sent;
		n = n < sizeof(piece) ? n : sizeof(piece);
		for (size_t i = 0; i < n; i++) {
			piece[i] = (char)((side->sent + i) * 7 % 253);
		}
		side->sum_sent = sum_up(side->sum_sent, piece, n);
		side->sent += n;
		echo(side, span_of(piece, n));
		size_t pending = conn_pending(side->conn);
		if (pending > side->most_pending) {
			side->most_pending = pending;
		}
	}
}

static void count_bytes(struct side *side, struct span bytes)
{
	side->sum_got = sum_up(side->sum_got, bytes.ptr, bytes.len);
	side->n_got += bytes.len;
}

static void test_bulk(void **state)
{
	bool tls = *state != NULL;
	struct side *sides[] = { &client, &server };
	pair(tls);
	for (size_t i = 0; i < 2; i++) {
		sides[i]->on_data = count_bytes;
		sides[i]->on_drained = pour;
		sides[i]->to_send = 20000000;
	}
	pour(&client);
	pour(&server);
	while (client.n_got < 20000000 || server.n_got < 20000000) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	assert_int_equal(client.sum_got, server.sum_sent);
	assert_int_equal(server.sum_got, client.sum_sent);
	assert_true(client.most_pending < CONN_OUTPUT_HIGH + 60000);
	assert_true(server.most_pending < CONN_OUTPUT_HIGH + 60000);
	part();
}

static void pause_each_time(struct side *side, struct span bytes)
{
	count_bytes(side, bytes);
	conn_pause(side->conn);
}

/* A reader that pauses after each piece holds the writer back and loses nothing. */
static void test_pause(void **state)
{
	bool tls = *state != NULL;
	pair(tls);
	server.on_data = pause_each_time;
	client.on_drained = pour;
	client.to_send = 20000000;
	pour(&client);
	turn(1000);
	assert_int_equal(server.data, 1);
	assert_true(server.n_got <= 64 * 1024);
	assert_true(client.sent < client.to_send);
	int seen = 1;
	while (server.n_got < client.to_send) {
		conn_resume(server.conn);
		assert_int_equal(server.data, seen); /* never from within conn_resume */
		turn_until(&server.data, seen + 1);
		seen = server.data;
	}
	assert_int_equal(server.sum_got, client.sum_sent);
	conn_resume(server.conn);
	part();
}

/* The end waits behind what was sent before it; a half-closed peer still gets its answer. */
static void test_half_close(void **state)
{
	(void)state;
	server.on_data = pause_at_data;
	struct raw raw = raw_connect();
	send(raw.fd, "DATA\r\n", 6, 0);
	turn_until_got(&server, 6);
	send(raw.fd, "QUIT\r\n", 6, 0);
	shutdown(raw.fd, SHUT_WR);
	turn(50);
	assert_int_equal(server.closed, 0);
	say(&server, "250 queued\r\n");
	server.on_data = NULL;
	conn_resume(server.conn);
	turn_until(&server.closed, 1);
	assert_got(&server, "DATA\r\nQUIT\r\n");
	assert_string_equal(server.why, "closed by peer");
	assert_false(server.truncated);
	char reply[100] = "";
	assert_int_equal(raw_read(&raw, reply, sizeof(reply)), 12);
	assert_int_equal(raw_read(&raw, reply, sizeof(reply)), 0);
	raw_done(&raw);
}

/* TL16: only close_notify ends a TLS session well. */
static void test_truncation(void **state)
{
	(void)state;
	for (int polite = 0; polite < 2; polite++) {
		side_init(&server);
		implicit_tls = true;
		struct raw raw = raw_connect();
		raw_shake(&raw);
		SSL_write(raw.ssl, "half a mes", 10);
		if (polite) {
			SSL_shutdown(raw.ssl);
		}
		raw_done(&raw);
		turn_until(&server.closed, 1);
		assert_got(&server, "half a mes");
		assert_int_equal(server.truncated, !polite);
		/* The ticket is unread: the kernel may say reset in place of the end. */
		assert_true(polite || strcmp(server.why, "closed by peer") == 0 ||
		            strcmp(server.why, "connection reset by peer") == 0);
		assert_false(server.ours);
	}
}

static void test_handshake_faults(void **state)
{
	(void)state;
	static const struct {
		const char *bytes, *why;
	} rows[] = {
		{ "EHLO mail.example.org\r\n", "tls: wrong version number" },
		{ "GET / HTTP/1.0\r\n\r\n", "tls: http request" },
		{ "\x16\x03\x01", "tls: closed in the handshake" },
		{ "", "tls: closed in the handshake" },
	};
	implicit_tls = true;
	for (size_t i = 0; i < COUNT(rows); i++) {
		side_init(&server);
		struct raw raw = raw_connect();
		send(raw.fd, rows[i].bytes, strlen(rows[i].bytes), 0);
		shutdown(raw.fd, SHUT_WR);
		turn_until(&server.closed, 1);
		assert_string_equal(server.why, rows[i].why);
		assert_false(server.truncated);
		assert_int_equal(server.ready + server.data, 0);
		raw_done(&raw);
	}
}

static void abort_side(struct side *side)
{
	conn_abort(side->conn);
}

static void abort_at_data(struct side *side, struct span bytes)
{
	(void)bytes;
	say(side, "never sent");
	conn_abort(side->conn);
	conn_abort(side->conn);
	conn_close(side->conn);
	say(side, "nor this");
	conn_pause(side->conn);
	conn_resume(side->conn);
	conn_deadline(side->conn, 1);
}

static void close_side(struct side *side)
{
	conn_close(side->conn);
}

static void close_at_data(struct side *side, struct span bytes)
{
	(void)bytes;
	say(side, "221 bye\r\n");
	conn_close(side->conn);
	say(side, "nothing after it");
	conn_pause(side->conn);
	conn_resume(side->conn);
}

static void test_abort(void **state)
{
	bool tls = *state != NULL;
	implicit_tls = tls;
	server.on_data = abort_at_data;
	struct raw raw = raw_connect();
	char reply[100] = "";
	if (tls) {
		raw_shake(&raw);
		SSL_write(raw.ssl, "x", 1);
		assert_true(raw_read(&raw, reply, sizeof(reply)) < 0);
	} else {
		send(raw.fd, "x", 1, 0);
		assert_int_equal(raw_read(&raw, reply, sizeof(reply)), -1);
		assert_int_equal(errno, ECONNRESET);
	}
	turn_until(&server.closed, 1);
	assert_true(server.ours);
	assert_int_equal(server.data, 1);
	raw_done(&raw);
}

/* The owner may end it in any call-back; then nothing follows but `closed`, once. */
static void test_end_within(void **state)
{
	(void)state;
	static void (*const ends[])(struct side *) = { close_side, abort_side };
	for (size_t i = 0; i < COUNT(ends) * 4 * 2; i++) {
		void (*end)(struct side *) = ends[i % 2];
		side_init(&server);
		side_init(&client);
		size_t where = i / 2 % 4;
		server.on_data = end == close_side ? close_at_data : abort_at_data;
		if (where == 0) {
			client.on_ready = end;
			client_connect();
		} else {
			pair(i / 8 == 1);
			client.on_drained = where == 1 ? end : NULL;
			client.on_late = where == 2 ? end : NULL;
			conn_deadline(client.conn, where == 2 ? 1 : 0);
			if (where != 2) {
				say(&client, "EHLO x\r\n");
			}
		}
		turn_until(&client.closed, 1);
		turn(5);
		assert_int_equal(client.closed, 1);
		assert_int_equal(client.ours, where != 3);
		if (server.conn) {
			turn_until(&server.closed, 1);
		}
	}
}

static void test_end_while_connecting(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		side_init(&client);
		client_connect();
		say(&client, "too early");
		(i ? conn_close : conn_abort)(client.conn);
		assert_int_equal(client.closed, 0);
		turn_until(&client.closed, 1);
		assert_true(client.ours);
		assert_int_equal(client.ready, 0);
	}
	/* The listener may have seen some of them. */
	if (server.conn) {
		turn_until(&server.closed, 1);
	}
}

static void test_refused(void **state)
{
	(void)state;
	struct sockaddr_in free_port = { .sin_family = AF_INET };
	free_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(free_port);
	assert_int_equal(bind(fd, (struct sockaddr *)&free_port, size), 0);
	getsockname(fd, (struct sockaddr *)&free_port, &size);
	client.conn = conn_connect(&loop, (struct sockaddr *)&free_port, &handler, &client);
	assert_int_equal(client.closed, 0);
	turn_until(&client.closed, 1);
	assert_string_equal(client.why, "connection refused");
	assert_int_equal(client.ready, 0);
	close(fd);
}

static void test_deadline(void **state)
{
	(void)state;
	pair(false);
	int64_t from = conn_now(client.conn);
	conn_deadline(client.conn, 20);
	conn_deadline(client.conn, 80); /* moved on: the timer itself fires early, in silence */
	conn_deadline(server.conn, 3600000);
	conn_deadline(server.conn, 40); /* drawn in */
	turn_until(&server.late, 1);
	assert_int_equal(client.late, 0);
	assert_true(conn_now(client.conn) - from >= 40);
	turn_until(&client.late, 1);
	assert_true(conn_now(client.conn) - from >= 80);
	conn_deadline(client.conn, 1);
	conn_deadline(client.conn, 0);
	conn_deadline(server.conn, 30);
	turn_until(&server.late, 2);
	assert_int_equal(client.late, 1);
	part();
}

/* All is flushed to a slow reader, whose unread input causes no reset. */
static void test_close_flushes(void **state)
{
	(void)state;
	server.to_send = 250000;
	struct raw raw = raw_connect();
	while (!server.conn) {
		turn(1);
	}
	while (server.sent < 5000000) {
		server.to_send = server.sent + 250000;
		size_t before = server.sent;
		while (server.sent < server.to_send) {
			static char piece[50000];
			memset(piece, (int)(server.sent % 251), sizeof(piece));
			server.sum_sent = sum_up(server.sum_sent, piece, sizeof(piece));
			echo(&server, span_of(piece, sizeof(piece)));
			server.sent += sizeof(piece);
		}
		assert_true(server.sent > before);
	}
	conn_close(server.conn);
	send(raw.fd, "unread\r\n", 8, 0);
	turn(10);
	assert_int_equal(server.closed, 0);
	static char bytes[100000];
	uint64_t sum = 0;
	size_t total = 0;
	for (ssize_t n; (n = raw_read(&raw, bytes, sizeof(bytes))) != 0; total += (size_t)n) {
		assert_true(n > 0);
		sum = sum_up(sum, bytes, (size_t)n);
	}
	assert_int_equal(total, server.sent);
	assert_int_equal(sum, server.sum_sent);
	raw_done(&raw);
	turn_until(&server.closed, 1);
	assert_true(server.ours);
	assert_int_equal(server.data, 0);
}

/* Who never reads is cut after a while. */
static void test_close_cuts(void **state)
{
	(void)state;
	struct raw raw = raw_connect();
	while (!server.conn) {
		turn(1);
	}
	static char piece[500000];
	for (int i = 0; i < 40; i++) {
		echo(&server, span_of(piece, sizeof(piece)));
	}
	int64_t from = conn_now(server.conn);
	conn_close(server.conn);
	turn_until(&server.closed, 1);
	assert_true((int64_t)uv_now(&loop) - from >= CONN_LINGER_MS);
	assert_true(server.ours);
	raw_done(&raw);
}

/* A server that says 421 and goes while we write: its answer is still read. */
static void test_last_answer(void **state)
{
	(void)state;
	client.on_ready = NULL;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in here = { .sin_family = AF_INET };
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t size = sizeof(here);
	bind(fd, (struct sockaddr *)&here, size);
	getsockname(fd, (struct sockaddr *)&here, &size);
	listen(fd, 1);
	client.conn = conn_connect(&loop, (struct sockaddr *)&here, &handler, &client);
	turn_until(&client.ready, 1);
	int peer = accept(fd, NULL, NULL);
	send(peer, "421 busy\r\n", 10, 0);
	close(peer);
	for (int i = 0; i < 3; i++) {
		say(&client, "MAIL FROM:<a@example.org>\r\n"); /* the loop sees nothing yet */
		usleep(10000);
	}
	turn_until(&client.closed, 1);
	assert_got(&client, "421 busy\r\n");
	assert_false(client.ours);
	close(fd);
}

static int count_fds(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (readdir(dir)) {
		n++;
	}
	closedir(dir);
	return n;
}

/* Dropped before a byte, in the hello, after the handshake, and by reset. */
static void test_many_drops(void **state)
{
	(void)state;
	int before = 0;
	for (int i = 0; i < 1000; i++) {
		side_init(&server);
		implicit_tls = i % 4 > 0;
		struct raw raw = raw_connect();
		if (i % 4 == 1) {
			send(raw.fd, "\x16\x03\x01\x02\x00\x01", 6, 0);
		} else if (i % 16 == 2) {
			raw_shake(&raw);
		} else if (i % 4 == 3) {
			struct linger now = { 1, 0 };
			setsockopt(raw.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		}
		turn(1);
		raw_done(&raw);
		/* One that was reset while it waited is closed before anybody is told. */
		for (int j = 0; j < 200 && !server.closed; j++) {
			turn(1);
		}
		if (server.conn) {
			turn_until(&server.closed, 1);
		}
		before = i == 10 ? count_fds() : before;
	}
	assert_int_equal(count_fds(), before);
}

static void test_mapped(void **state)
{
	(void)state;
	uv_tcp_t both;
	struct sockaddr_in6 any;
	uv_tcp_init(&loop, &both);
	uv_ip6_addr("::", 0, &any);
	if (uv_tcp_bind(&both, (struct sockaddr *)&any, 0) == 0 &&
	    uv_listen((uv_stream_t *)&both, 1, on_connection) == 0) {
		int size = sizeof(any);
		uv_tcp_getsockname(&both, (struct sockaddr *)&any, &size);
		address.sin_port = any.sin6_port;
		pair(false);
		assert_string_equal(conn_peer(server.conn), "127.0.0.1");
		assert_int_equal(conn_peer_address(server.conn)->sa_family, AF_INET);
		part();
	} else {
		print_message("no IPv6 here: mapped addresses not tested\n");
	}
	uv_close((uv_handle_t *)&both, NULL);
	turn(2);
}

#define IDLE 500

/* Clients in a process of their own, so that their memory is not counted. */
static void idle_clients(int go)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	for (int i = 0; i < IDLE; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		SSL *ssl = SSL_new(ctx);
		char byte;
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		    SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1 ||
		    SSL_write(ssl, "EHLO x\r\n", 8) != 8 || SSL_read(ssl, &byte, 1) != 1) {
			_exit(1);
		}
	}
	char byte;
	_exit(read(go, &byte, 1) == 0 ? 0 : 1);
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%*u %zu", &pages) != 1) {
		pages = 0;
	}
	if (file) {
		fclose(file);
	}
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static struct side idle[IDLE];
static size_t n_idle;

static void on_idle_connection(uv_stream_t *stream, int status)
{
	assert_int_equal(status, 0);
	struct side *side = &idle[n_idle++];
	side_init(side);
	side->on_data = echo;
	side->conn = conn_accept(&loop, stream, server_context, &handler, side);
}

static void test_idle_memory(void **state)
{
	(void)state;
	int go[2];
	assert_int_equal(pipe(go), 0);
	pid_t child = fork();
	if (child == 0) {
		close(go[1]);
		idle_clients(go[0]);
	}
	close(go[0]);
	listener.connection_cb = on_idle_connection;
	size_t heap = mallinfo2().uordblks, rss = resident();
	while (n_idle < IDLE || !idle[IDLE - 1].drained) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	turn(10);
	/* Under a sanitizer there is no heap figure, and the resident one is its own. */
	print_message("an idle TLS session: %zu bytes of heap, %zu resident (%d sessions)\n",
	              (mallinfo2().uordblks - heap) / IDLE, (resident() - rss) / IDLE, IDLE);
	close(go[1]);
	for (size_t i = 0; i < IDLE; i++) {
		turn_until(&idle[i].closed, 1);
	}
	int status = -1;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
}

static int all_set_up(void **state)
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

static int all_tear_down(void **state)
{
	(void)state;
	tls_context_unref(server_context);
	tls_context_unref(client_context);
	certificate_folder_remove(&folder);
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

static int set_up_tls(void **state)
{
	static int tls;
	set_up(state);
	*state = &tls;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_CLEAR(test_echo),
		IN_TLS(test_echo),
		IN_CLEAR(test_group),
		IN_TLS(test_group),
		IN_CLEAR(test_injection),
		IN_CLEAR(test_injection_behind),
		IN_CLEAR(test_bulk),
		IN_TLS(test_bulk),
		IN_CLEAR(test_pause),
		IN_TLS(test_pause),
		IN_CLEAR(test_half_close),
		IN_TLS(test_truncation),
		IN_TLS(test_handshake_faults),
		IN_CLEAR(test_abort),
		IN_TLS(test_abort),
		IN_CLEAR(test_end_within),
		IN_CLEAR(test_end_while_connecting),
		IN_CLEAR(test_refused),
		IN_CLEAR(test_deadline),
		IN_CLEAR(test_close_flushes),
		IN_CLEAR(test_close_cuts),
		IN_CLEAR(test_last_answer),
		IN_CLEAR(test_many_drops),
		IN_CLEAR(test_mapped),
		IN_TLS(test_idle_memory),
	};
	return cmocka_run_group_tests(tests, all_set_up, all_tear_down);
}
