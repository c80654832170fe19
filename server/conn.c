#include "server/conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "server/peer.h"

/* Our last words to a peer that does not read, and its end after them. */
/* A backstop: owners wait above CONN_OUTPUT_HIGH. */
#define OUTPUT_MAX ((size_t)64 * 1024 * 1024)
/* What comes while paused is one read at most: reading stops with it. */
#define KEPT_MAX ((size_t)256 * 1024)

enum conn_state {
	CONNECTING,
	OPEN,
	ENDING, /* last words, then the peer's end; the owner hears no more but `closed` */
	GONE,   /* uv_close was called */
};

struct conn {
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_idle_t kick; /* something to tell the owner, but not from within its own call */
	union {         /* one at a time */
		uv_connect_t connect;
		uv_write_t write;
	} request;
	const struct conn_handler *handler;
	void *owner;
	struct tls *tls;
	struct buf kept;   /* clear input that came while paused */
	struct buf clear;  /* output that waits to be encrypted */
	struct buf out;    /* output for the network */
	struct buf flying; /* output that libuv has and that may not move */
	int64_t late_at;   /* 0 = none */
	const char *why;
	const char *broken; /* why no more can be written; what the peer said is still read */
	enum conn_state state;
	unsigned depth;   /* call-backs of the owner under way: output is collected */
	unsigned handles; /* yet to close */
	bool tls_up;
	bool paused, reading, eof;
	bool busy; /* `drained` is owed */
	bool truncated;
	struct peer peer;
	char text[96]; /* "tls: ..." */
};

/* Shared by all connections of a loop: an idle one owns no read buffer. */
static _Thread_local char network_bytes[64 * 1024];
static _Thread_local char clear_bytes[64 * 1024];

static uv_stream_t *stream_of(struct conn *conn)
{
	return (uv_stream_t *)&conn->tcp;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct conn *conn = handle->data;
	if (--conn->handles) {
		return;
	}
	if (conn->handler) {
		conn->handler->closed(conn->owner, conn->why, conn->truncated);
	}
	tls_free(conn->tls);
	buf_done(&conn->kept);
	buf_done(&conn->clear);
	buf_done(&conn->out);
	buf_done(&conn->flying);
	free(conn);
}

/* The end of all: the socket closes now. The first reason counts. */
static void cut(struct conn *conn, const char *why, bool reset)
{
	if (conn->state == GONE) {
		return;
	}
	if (conn->state != ENDING) {
		conn->why = why;
	}
	conn->state = GONE;
	conn->handles = 3;
	uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
	uv_close((uv_handle_t *)&conn->kick, on_handle_closed);
	if (!reset || uv_tcp_close_reset(&conn->tcp, on_handle_closed) != 0) {
		uv_close((uv_handle_t *)&conn->tcp, on_handle_closed);
	}
}

/* The network took it from us. */
static void lost(struct conn *conn, const char *why)
{
	if (conn->state == OPEN) {
		conn->truncated = conn->tls_up;
	}
	cut(conn, why, false);
}

static const char *tls_why(struct conn *conn)
{
	snprintf(conn->text, sizeof(conn->text), "tls: %s", tls_reason(conn->tls));
	return conn->text;
}

/* Output */

size_t conn_pending(const struct conn *conn)
{
	return conn->clear.len + conn->out.len +
	       uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
}

static void drop_output(struct conn *conn)
{
	buf_done(&conn->clear);
	buf_done(&conn->out);
}

/* All that waits in clear becomes records, as few as hold it; what OpenSSL has to say joins. */
static bool seal(struct conn *conn)
{
	if (!conn->tls) {
		return true;
	}
	bool sealed = true;
	if (conn->tls_up && conn->clear.len) {
		sealed = tls_write(conn->tls, buf_span(&conn->clear));
		buf_drop(&conn->clear, conn->clear.len);
	}
	return tls_output(conn->tls, &conn->out) && sealed;
}

static void settle(struct conn *conn);

/* A smarthost may say 421 and close while we pipeline: that answer is still worth reading. */
static void write_failed(struct conn *conn, int status)
{
	bool by_peer = status == UV_EPIPE || status == UV_ECONNRESET;
	drop_output(conn);
	if (!by_peer || conn->state != OPEN || conn->paused || conn->eof) {
		lost(conn, uv_strerror(status));
	} else {
		conn->broken = uv_strerror(status);
	}
}

static void on_written(uv_write_t *request, int status)
{
	struct conn *conn = request->handle->data;
	buf_done(&conn->flying);
	if (conn->state == GONE) {
		return;
	}
	if (status < 0) {
		write_failed(conn, status);
	}
	settle(conn);
}

/* What the kernel takes goes now; the rest flies as one request, more output waits behind. */
static void flush(struct conn *conn)
{
	if (conn->state == CONNECTING || conn->state == GONE) {
		return;
	}
	if (conn->broken) {
		drop_output(conn);
		return;
	}
	if (!seal(conn)) {
		cut(conn, tls_why(conn), false);
		return;
	}
	if (conn->flying.len || conn->out.len == 0) {
		return;
	}
	uv_buf_t bytes = uv_buf_init(conn->out.ptr, (unsigned)conn->out.len);
	int n = uv_try_write(stream_of(conn), &bytes, 1);
	if (n < 0 && n != UV_EAGAIN) {
		write_failed(conn, n);
		return;
	}
	buf_drop(&conn->out, n > 0 ? (size_t)n : 0);
	if (conn->out.len) {
		conn->flying = conn->out;
		buf_init(&conn->out, OUTPUT_MAX);
		bytes = uv_buf_init(conn->flying.ptr, (unsigned)conn->flying.len);
		n = uv_write(&conn->request.write, stream_of(conn), &bytes, 1, on_written);
		if (n != 0) {
			buf_done(&conn->flying);
			lost(conn, uv_strerror(n));
		}
	}
}

/* The end that we chose, or the peer's orderly one: last words first. */

static void on_linger(uv_timer_t *timer)
{
	cut(timer->data, NULL, true);
}

static void finish(struct conn *conn, const char *why, bool truncated)
{
	if (conn->state > OPEN) {
		return;
	}
	conn->truncated = truncated;
	if (conn->state == CONNECTING || conn->broken) {
		cut(conn, why, false);
		return;
	}
	if (!seal(conn)) {
		drop_output(conn);
	}
	buf_done(&conn->clear);
	if (conn->tls) {
		tls_close(conn->tls);
	}
	conn->state = ENDING;
	conn->why = why;
	uv_idle_stop(&conn->kick);
	uv_timer_start(&conn->timer, on_linger, CONN_LINGER_MS, 0);
	settle(conn);
}

/* shutdown(2) itself: uv_shutdown would cost a turn of the loop and two epoll_ctl. */
static void say_end(struct conn *conn)
{
	uv_os_fd_t fd = -1;
	if (conn_pending(conn) > 0) {
		return;
	}
	if (conn->eof || uv_fileno((uv_handle_t *)&conn->tcp, &fd) != 0 ||
	    shutdown(fd, SHUT_WR) != 0) {
		cut(conn, NULL, false);
	}
}

/* Input */

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *bytes)
{
	(void)handle;
	(void)size;
	*bytes = uv_buf_init(network_bytes, sizeof(network_bytes));
}

static bool is_waiting(const struct conn *conn)
{
	return conn->tls ? tls_waiting(conn->tls) : conn->kept.len > 0;
}

static void pump_kept(struct conn *conn)
{
	struct buf kept = conn->kept;
	buf_init_secret(&conn->kept, KEPT_MAX);
	conn->handler->data(conn->owner, buf_span(&kept));
	buf_done(&kept);
}

static void pump_tls(struct conn *conn)
{
	/* Over static bytes of its cap's size: it neither grows nor is freed. */
	struct buf clear = { .ptr = clear_bytes,
		             .size = sizeof(clear_bytes),
		             .cap = sizeof(clear_bytes) };
	enum tls_state state = tls_work(conn->tls, &clear);
	if (state == TLS_UP && !conn->tls_up) {
		conn->tls_up = true;
		conn->handler->ready(conn->owner);
	} else if (clear.len) {
		conn->handler->data(conn->owner, buf_span(&clear));
	} else if (state == TLS_CLOSED) {
		finish(conn, "closed by peer", false);
	} else if (state == TLS_FAILED) {
		finish(conn, tls_why(conn), false);
	}
	/* A password may have been among it, and the next read may be a shorter one. */
	explicit_bzero(clear_bytes, clear.len);
}

/* Tells the owner all that has come, until it pauses or ends. */
static void pump(struct conn *conn)
{
	conn->depth++;
	while (conn->state == OPEN && !conn->paused && is_waiting(conn)) {
		if (conn->tls) {
			pump_tls(conn);
		} else {
			pump_kept(conn);
		}
	}
	if (conn->state == OPEN && !conn->paused && conn->eof) {
		finish(conn,
		       conn->tls && !conn->tls_up ? "tls: closed in the handshake"
		                                  : "closed by peer",
		       conn->tls_up);
	}
	conn->depth--;
	settle(conn);
}

static void on_kick(uv_idle_t *kick)
{
	uv_idle_stop(kick);
	pump(kick->data);
}

static void take(struct conn *conn, struct span bytes)
{
	if (!conn->tls && !conn->paused && conn->kept.len == 0) {
		conn->handler->data(conn->owner, bytes);
		return;
	}
	if (conn->tls ? !tls_take(conn->tls, bytes) : !buf_put(&conn->kept, bytes)) {
		lost(conn, "out of memory");
		return;
	}
	if (conn->paused) {
		uv_read_stop(stream_of(conn));
		conn->reading = false;
	}
}

static void read_failed(struct conn *conn, int status)
{
	conn->reading = false;
	conn->eof = true;
	if (status != UV_EOF) {
		lost(conn, uv_strerror(status));
	} else if (conn->state == ENDING) {
		settle(conn);
	} else {
		pump(conn);
	}
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
	struct conn *conn = stream->data;
	if (n < 0) {
		read_failed(conn, (int)n);
	} else if (n > 0 && conn->state == OPEN) {
		conn->depth++;
		take(conn, span_of(bytes->base, (size_t)n));
		explicit_bzero(bytes->base, (size_t)n);
		conn->depth--;
		pump(conn);
	}
	/* ENDING: unread input would turn our close into a reset, so it is read and dropped. */
}

static void read_on(struct conn *conn)
{
	bool wanted = conn->state == ENDING || (conn->state == OPEN && !conn->paused);
	if (wanted && !conn->reading && !conn->eof) {
		int status = uv_read_start(stream_of(conn), on_alloc, on_read);
		conn->reading = status == 0;
		if (status != 0) {
			lost(conn, uv_strerror(status));
		}
	}
}

static bool is_drained(const struct conn *conn)
{
	return conn->state == OPEN && conn->busy && !conn->broken && conn_pending(conn) == 0;
}

/* Called when the outermost call-back has returned: all that it wrote leaves at once. */
static void settle(struct conn *conn)
{
	if (conn->depth) {
		return;
	}
	flush(conn);
	if (is_drained(conn)) {
		conn->busy = false;
		if (conn->handler->drained) {
			conn->depth++;
			conn->handler->drained(conn->owner);
			conn->depth--;
			flush(conn);
		}
		if (is_drained(conn)) {
			/* A fast reader must not have the loop alone. */
			uv_idle_start(&conn->kick, on_kick);
		}
	}
	if (conn->state == ENDING) {
		say_end(conn);
	}
	read_on(conn);
}

/* The owner's calls */

static void on_timer(uv_timer_t *timer)
{
	struct conn *conn = timer->data;
	int64_t left = conn->late_at - conn_now(conn);
	if (conn->late_at == 0) {
		return;
	}
	if (left > 0) {
		uv_timer_start(timer, on_timer, (uint64_t)left, 0);
		return;
	}
	conn->late_at = 0;
	conn->depth++;
	conn->handler->late(conn->owner);
	conn->depth--;
	settle(conn);
}

/* A timer that fires too early arms itself anew: to move a deadline on costs nothing. */
void conn_deadline(struct conn *conn, int64_t ms)
{
	if (conn->state > OPEN) {
		return;
	}
	conn->late_at = ms > 0 ? conn_now(conn) + ms : 0;
	if (ms > 0 && (!uv_is_active((uv_handle_t *)&conn->timer) ||
	               uv_timer_get_due_in(&conn->timer) > (uint64_t)ms)) {
		uv_timer_start(&conn->timer, on_timer, (uint64_t)ms, 0);
	}
}

static struct conn *conn_new(uv_loop_t *loop, const struct conn_handler *handler, void *owner)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	if (!conn) {
		return NULL;
	}
	conn->handler = handler;
	conn->owner = owner;
	buf_init_secret(&conn->kept, KEPT_MAX);
	buf_init(&conn->clear, OUTPUT_MAX);
	buf_init(&conn->out, OUTPUT_MAX);
	uv_tcp_init(loop, &conn->tcp);
	uv_timer_init(loop, &conn->timer);
	uv_idle_init(loop, &conn->kick);
	conn->tcp.data = conn->timer.data = conn->kick.data = conn;
	return conn;
}

struct conn *conn_accept(uv_loop_t *loop, uv_stream_t *listener, struct tls_context *context,
                         const struct conn_handler *handler, void *owner)
{
	struct conn *conn = conn_new(loop, handler, owner);
	if (!conn) {
		return NULL;
	}
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	int size = (int)sizeof(peer);
	conn->state = OPEN;
	conn->tls = context ? tls_new(context, NULL) : NULL;
	if (uv_accept(listener, stream_of(conn)) != 0 || (context && !conn->tls) ||
	    uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&peer, &size) != 0) {
		conn->handler = NULL; /* nobody is told */
		cut(conn, NULL, false);
		return NULL;
	}
	peer_set(&conn->peer, (struct sockaddr *)&peer);
	uv_tcp_nodelay(&conn->tcp, 1);
	read_on(conn);
	return conn;
}

static void on_connect(uv_connect_t *request, int status)
{
	struct conn *conn = request->handle->data;
	if (conn->state == GONE) {
		return;
	}
	if (status < 0) {
		lost(conn, uv_strerror(status));
		return;
	}
	conn->state = OPEN;
	conn->depth++;
	conn->handler->ready(conn->owner);
	conn->depth--;
	settle(conn);
}

struct conn *conn_connect(uv_loop_t *loop, const struct sockaddr *address,
                          const struct conn_handler *handler, void *owner)
{
	struct conn *conn = conn_new(loop, handler, owner);
	if (!conn) {
		return NULL;
	}
	peer_set(&conn->peer, address);
	uv_tcp_nodelay(&conn->tcp, 1); /* remembered until there is a socket */
	int status = uv_tcp_connect(&conn->request.connect, &conn->tcp, address, on_connect);
	if (status != 0) {
		lost(conn, uv_strerror(status));
	}
	return conn;
}

void conn_start_tls(struct conn *conn, struct tls_context *context, const char *server_name)
{
	if (conn->state != OPEN) {
		return;
	}
	assert(!conn->tls);
	/* RFC 3207 section 6: what came in clear behind STARTTLS may be an attacker's. */
	buf_done(&conn->kept);
	conn->tls = tls_new(context, server_name);
	if (!conn->tls || !tls_upgrade(conn->tls)) {
		lost(conn, "tls: out of memory");
	} else if (tls_waiting(conn->tls)) {
		uv_idle_start(&conn->kick, on_kick);
	}
}

void conn_write(struct conn *conn, struct buf *out)
{
	struct buf *to = conn->tls ? &conn->clear : &conn->out;
	if (conn->state > OPEN || (out->len == 0 && !out->failed)) {
		buf_done(out);
		return;
	}
	conn->busy = true;
	if (out->failed || !buf_put(to, buf_span(out))) {
		cut(conn, "out of memory", false); /* half an answer is worse than none */
	}
	buf_done(out);
	if (conn->depth == 0) {
		flush(conn);
		if (is_drained(conn) && conn->handler->drained) {
			uv_idle_start(&conn->kick, on_kick);
		}
	}
}

void conn_pause(struct conn *conn)
{
	conn->paused = true;
	if (conn->broken) {
		lost(conn, conn->broken);
	}
	/* Reading stops with the next bytes: most pauses end earlier and cost nothing. */
}

void conn_resume(struct conn *conn)
{
	conn->paused = false;
	if (conn->state == OPEN) {
		if (is_waiting(conn) || conn->eof) {
			uv_idle_start(&conn->kick, on_kick);
		}
		read_on(conn);
	}
}

void conn_close(struct conn *conn)
{
	finish(conn, NULL, false);
}

void conn_abort(struct conn *conn)
{
	cut(conn, NULL, true);
}

const char *conn_peer(const struct conn *conn)
{
	return conn->peer.text;
}

const struct sockaddr *conn_peer_address(const struct conn *conn)
{
	return &conn->peer.address.any;
}

void conn_peer_bytes(const struct conn *conn, unsigned char address_out[NETWORK_ADDRESS_BYTES])
{
	peer_bytes(&conn->peer, address_out);
}

const struct tls *conn_tls(const struct conn *conn)
{
	return conn->tls_up ? conn->tls : NULL;
}

int64_t conn_now(const struct conn *conn)
{
	return (int64_t)uv_now(conn->tcp.loop);
}
