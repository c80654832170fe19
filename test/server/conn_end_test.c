/* How a connection ends: by the peer, by its owner, by a fault, and what is flushed before it.
 */
#include <arpa/inet.h>
#include <dirent.h>

#include "test/server/conn_help.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_CLEAR(test_half_close),
		IN_TLS(test_truncation),
		IN_TLS(test_handshake_faults),
		IN_CLEAR(test_abort),
		IN_TLS(test_abort),
		IN_CLEAR(test_end_within),
		IN_CLEAR(test_end_while_connecting),
		IN_CLEAR(test_refused),
		IN_CLEAR(test_close_flushes),
		IN_CLEAR(test_close_cuts),
		IN_CLEAR(test_last_answer),
		IN_CLEAR(test_many_drops),
	};
	return cmocka_run_group_tests(tests, all_set_up, all_tear_down);
}
