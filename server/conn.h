/*
 * One TCP connection on a loop: stream, TLS when it is on, deadline, back-pressure. Used by
 * clients' sessions and by links to a smarthost alike. All calls and call-backs are on the
 * connection's own loop. TCP_NODELAY is set; what is written within one call-back leaves in one
 * write.
 */
#ifndef GATEPOST_SERVER_CONN_H
#define GATEPOST_SERVER_CONN_H

#include <uv.h>

#include "proto/buf.h"
#include "proto/network.h"
#include "server/tls.h"

struct conn;

/* What the owner is told. Within any of these, conn_close and conn_abort may be called. */
struct conn_handler {
	/* Connected (client role), or the TLS handshake is done. */
	void (*ready)(void *owner);
	/* Clear bytes; all of them are the owner's now. Not called while paused. */
	void (*data)(void *owner, struct span bytes);
	/* The output is empty again (also after it was small): more may be written. Never from
	 * within conn_write. May be NULL. */
	void (*drained)(void *owner);
	/* The deadline has passed. */
	void (*late)(void *owner);
	/* The last call: the connection is gone; `why` is for the log ("closed by peer",
	 * "reset", "tls: ..."), NULL when it was our close. `truncated` when TCP ended without
	 * close_notify. */
	void (*closed)(void *owner, const char *why, bool truncated);
};

/* Takes an accepted socket. With `context` TLS begins at once; `ready` follows. NULL: the
 * socket was closed. */
struct conn *conn_accept(uv_loop_t *loop, uv_stream_t *listener, struct tls_context *context,
                         const struct conn_handler *handler, void *owner);
/* Begins to connect; `ready` or `closed` follows, never from within this call. NULL without
 * memory. */
struct conn *conn_connect(uv_loop_t *loop, const struct sockaddr *address,
                          const struct conn_handler *handler, void *owner);

/* From now on everything is inside TLS; clear input not yet given to the owner is dropped (RFC
 * 3207). The output before it leaves in clear. `ready` follows. `server_name` only for clients,
 * else NULL. */
void conn_start_tls(struct conn *conn, struct tls_context *context, const char *server_name);

/* Sends and empties `out`. */
void conn_write(struct conn *conn, struct buf *out);
/* Bytes written and not yet taken by the kernel. Above CONN_OUTPUT_HIGH the owner should wait
 * for `drained`. */
size_t conn_pending(const struct conn *conn);
#define CONN_OUTPUT_HIGH ((size_t)256 * 1024)

/* Stops and starts reading from the network (bytes already read are kept, the peer's end waits
 * behind them). `data` is never called from within conn_resume. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);

/* `late` is called once after `ms`; a new call replaces it; 0 = none. Reading and writing do
 * not move it. */
void conn_deadline(struct conn *conn, int64_t ms);

/* Flushes the output, says close_notify, waits for the peer's end (so that no reset eats our
 * last words; CONN_LINGER_MS for all of it) and closes; `closed` follows later, and nothing
 * else does. */
void conn_close(struct conn *conn);
#define CONN_LINGER_MS 2000
/* Closes at once, by reset; `closed` follows later. */
void conn_abort(struct conn *conn);

/* The peer: "192.0.2.1", "2001:db8::1" (v4-mapped shown as v4), lives with the connection. */
const char *conn_peer(const struct conn *conn);
const struct sockaddr *conn_peer_address(const struct conn *conn);
/* The same as 16 bytes, IPv4 as v4-mapped. */
void conn_peer_bytes(const struct conn *conn, unsigned char address_out[NETWORK_ADDRESS_BYTES]);
/* NULL outside TLS and until its handshake is done. */
const struct tls *conn_tls(const struct conn *conn);
/* The loop's time in ms, monotonic. */
int64_t conn_now(const struct conn *conn);

#endif
