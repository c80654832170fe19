/* What a connection carries, in clear and in TLS; how it ends is in conn_end_test.c. */
#include <malloc.h>
#include <sys/wait.h>

#include "test/server/conn_help.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_CLEAR(test_echo),      IN_TLS(test_echo),
		IN_CLEAR(test_group),     IN_TLS(test_group),
		IN_CLEAR(test_injection), IN_CLEAR(test_injection_behind),
		IN_CLEAR(test_bulk),      IN_TLS(test_bulk),
		IN_CLEAR(test_pause),     IN_TLS(test_pause),
		IN_CLEAR(test_deadline),  IN_CLEAR(test_mapped),
		IN_TLS(test_idle_memory),
	};
	return cmocka_run_group_tests(tests, all_set_up, all_tear_down);
}
