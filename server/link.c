#include "server/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/body.h"

#define CONNECT_PATIENCE   ((int64_t)15 * 1000) /* for each address */
#define IDLE_PATIENCE      ((int64_t)500)       /* then QUIT: a link is for a burst */
#define RECIPIENT_PATIENCE ((int64_t)10 * 1000) /* for each in a pipelined group */

struct link {
	struct link_options options;
	struct sockaddr_storage addresses[LINK_ADDRESSES_MAX];
	size_t address; /* the next to try */
	const struct link_handler *handler;
	void *owner;
	struct conn *conn;
	struct smtp_client *client;
	bool connected;
	bool shaking;
	bool used; /* has been ready once */
	bool idle;
	bool unheard;
	bool driving;
	bool ended;   /* closing: only `closed` is of interest */
	bool stopped; /* by link_stop */
	bool wrote;   /* since the deadline was set */
	unsigned patience;
	enum link_end end;
	char reason[256];
	char server_name[256]; /* for SNI, or "" */

	struct relay_mail *mail;
	uint32_t row;   /* of its body, the next to be read */
	uint64_t taken; /* bytes of it so far */
	struct smtp_client_result *results;
	size_t nresults; /* there is room for */
};

static void drive(struct link *link);
static bool connect_next(struct link *link);

/* ---- writing, and how long we wait ---- */

static void flush(struct link *link)
{
	struct buf *out = smtp_client_output(link->client);
	if (out->len) {
		conn_write(link->conn, out);
		link->wrote = true;
	}
}

/*
 * RFC 5321 4.5.3.2, a phase at a time: the deadline moves when we wrote something or a phase
 * began, never because a byte came (a peer that says one a second would have us for ever).
 * Replies to a pipelined group are waited for as one.
 */
static void set_deadline(struct link *link)
{
	unsigned patience = smtp_client_patience(link->client);
	if (link->idle) {
		conn_deadline(link->conn, IDLE_PATIENCE);
	} else if (link->wrote || patience != link->patience) {
		int64_t recipients = link->mail ? (int64_t)link->mail->envelope.nrecipients : 0;
		conn_deadline(link->conn,
		              (int64_t)patience * 1000 + recipients * RECIPIENT_PATIENCE);
	}
	link->wrote = false;
	link->patience = patience;
}

/* ---- the end of a mail and of a link ---- */

static void finish_mail(struct link *link, enum relay_outcome outcome)
{
	struct relay_mail *mail = link->mail;
	link->mail = NULL;
	mail->outcome = outcome;
	mail->results = NULL;
	if (link->nresults >= mail->envelope.nrecipients) {
		for (size_t i = 0; i < mail->envelope.nrecipients; i++) {
			link->results[i] = *smtp_client_result(link->client, i);
		}
		mail->results = link->results;
	}
	link->handler->done(link->owner, mail);
}

static void set_end(struct link *link, enum link_end end, const char *reason)
{
	if (link->ended) {
		return;
	}
	bool idle = link->idle;
	link->ended = true;
	link->idle = false;
	link->end = end;
	snprintf(link->reason, sizeof link->reason, "%s", reason);
	if (idle) {
		link->handler->leaving(link->owner);
	}
}

/* BROKEN: the client has the last word on why. */
static void end_broken(struct link *link)
{
	unsigned code = 0;
	const char *failure = smtp_client_failure(link->client, &code);
	char reason[sizeof link->reason];
	if (code) {
		snprintf(reason, sizeof reason, "%u %s", code, failure);
	} else {
		snprintf(reason, sizeof reason, "%s", failure);
	}
	bool handshake = link->shaking && link->options.tls == SMTP_CLIENT_TLS_MAY;
	set_end(link,
	        handshake    ? LINK_NO_TLS
	        : link->used ? LINK_ENDED
	                     : LINK_UNREACHED,
	        reason);
	if (link->mail) {
		link->mail->maybe_sent |= smtp_client_is_committed(link->client);
		snprintf(link->mail->reason, sizeof link->mail->reason, "%s", reason);
		finish_mail(link, link->stopped ? RELAY_STOPPED : RELAY_BROKEN);
	}
}

/* The client learns that the connection is of no use; results that came before are still given
 * out. */
static void lose(struct link *link, const char *why)
{
	if (link->mail) {
		link->mail->maybe_sent = smtp_client_is_committed(link->client);
	}
	smtp_client_lost(link->client, why);
	drive(link);
}

/* ---- the text ---- */

/* As many rows as the output takes, in one short transaction. False when the text can not be
 * had. */
static bool read_rows(struct link *link)
{
	struct relay_mail *mail = link->mail;
	struct store_txn *txn = store_begin_read(link->options.store, NULL);
	struct buf *out = smtp_client_output(link->client);
	bool fine = txn != NULL;
	while (fine && link->taken < mail->envelope.size &&
	       out->len + conn_pending(link->conn) < CONN_OUTPUT_HIGH) {
		struct span bytes;
		fine = body_get(txn, mail->body_id, link->row, &bytes) == STORE_OK &&
		       bytes.len > 0;
		if (fine) {
			smtp_client_body(link->client, bytes);
			link->taken += bytes.len;
			link->row++;
		}
	}
	store_abort(txn);
	return fine && link->taken <= mail->envelope.size;
}

/* The text must be whole before its final dot: half a message is worse than none. */
static bool step_body(struct link *link)
{
	struct relay_mail *mail = link->mail;
	if (mail->body.len) {
		assert(mail->body.len == mail->envelope.size);
		smtp_client_body(link->client, mail->body);
		smtp_client_body_end(link->client);
		return true;
	}
	if (!read_rows(link)) {
		mail->unreadable = true;
		smtp_client_lost(link->client, "The text could not be read from the store");
		return true;
	}
	if (link->taken == mail->envelope.size) {
		smtp_client_body_end(link->client);
		return true;
	}
	flush(link);
	return false; /* `drained` goes on */
}

/* ---- a step for each want of the client; true: ask again ---- */

static bool step_wait(struct link *link)
{
	flush(link);
	return false;
}

static bool step_tls(struct link *link)
{
	if (!link->shaking) {
		flush(link);
		link->shaking = true;
		const char *name = link->server_name[0] ? link->server_name : NULL;
		conn_start_tls(link->conn, link->options.context, name);
	}
	return false;
}

static bool step_ready(struct link *link)
{
	if (link->idle) {
		return false;
	}
	link->idle = true;
	link->used = true;
	link->handler->ready(link->owner);
	return link->mail != NULL;
}

static bool step_result(struct link *link)
{
	finish_mail(link, RELAY_ANSWERED);
	return true;
}

static bool step_broken(struct link *link)
{
	unsigned code = 0;
	smtp_client_failure(link->client, &code);
	end_broken(link);
	if (link->conn && code) {
		conn_close(link->conn); /* it took leave in words */
	} else if (link->conn) {
		conn_abort(link->conn);
	}
	return false;
}

static void drive(struct link *link)
{
	static bool (*const steps[])(struct link *) = {
		[SMTP_CLIENT_WAIT] = step_wait,     [SMTP_CLIENT_TLS] = step_tls,
		[SMTP_CLIENT_READY] = step_ready,   [SMTP_CLIENT_BODY] = step_body,
		[SMTP_CLIENT_RESULT] = step_result, [SMTP_CLIENT_BROKEN] = step_broken,
	};
	if (link->driving) {
		return; /* the loop below, further out, goes on */
	}
	link->driving = true;
	while (!link->ended && steps[smtp_client_next(link->client)](link)) {
	}
	if (!link->ended && link->conn) {
		set_deadline(link);
	}
	link->driving = false;
}

/* ---- what the connection tells ---- */

static void on_ready(void *owner)
{
	struct link *link = owner;
	if (link->ended) {
		return;
	}
	if (link->shaking) {
		link->shaking = false;
		smtp_client_tls_started(link->client);
	}
	link->connected = true;
	link->wrote = true;
	drive(link);
}

static void on_data(void *owner, struct span bytes)
{
	struct link *link = owner;
	if (!link->ended) {
		link->unheard = false;
		smtp_client_feed(link->client, bytes);
		drive(link);
	}
}

static void on_drained(void *owner)
{
	struct link *link = owner;
	if (!link->ended && link->mail) {
		drive(link);
	}
}

static void on_late(void *owner)
{
	struct link *link = owner;
	if (link->ended) {
		return;
	}
	if (!link->connected) {
		snprintf(link->reason, sizeof link->reason, "no connection in time");
		conn_abort(link->conn);
	} else if (link->idle) {
		link_quit(link);
	} else {
		lose(link, "The smarthost did not answer in time");
	}
}

static void on_closed(void *owner, const char *why, bool truncated)
{
	struct link *link = owner;
	(void)truncated;
	link->conn = NULL;
	if (!link->connected && !link->ended) {
		if (link->reason[0] == '\0') {
			snprintf(link->reason, sizeof link->reason, "%s", why ? why : "closed");
		}
		if (connect_next(link)) {
			return;
		}
		link->ended = true; /* UNREACHED, with the last address's reason */
		link->end = LINK_UNREACHED;
	}
	if (!link->ended) {
		lose(link, why ? why : "closed");
	}
	link->handler->gone(link->owner, link->end, link->reason);
	smtp_client_free(link->client);
	free(link->results);
	free(link);
}

static const struct conn_handler conn_calls = {
	.ready = on_ready,
	.data = on_data,
	.drained = on_drained,
	.late = on_late,
	.closed = on_closed,
};

/* ---- life ---- */

static bool connect_next(struct link *link)
{
	if (link->address == link->options.naddresses) {
		return false;
	}
	const struct sockaddr_storage *address = &link->addresses[link->address++];
	link->conn = conn_connect(link->options.loop, (const struct sockaddr *)address,
	                          &conn_calls, link);
	if (link->conn) {
		link->reason[0] = '\0';
		conn_deadline(link->conn, CONNECT_PATIENCE);
	}
	return link->conn != NULL;
}

struct link *link_open(const struct link_options *options, const struct link_handler *handler,
                       void *owner)
{
	struct link *link = calloc(1, sizeof *link);
	if (!link) {
		return NULL;
	}
	assert(options->naddresses > 0 && options->naddresses <= LINK_ADDRESSES_MAX);
	link->options = *options;
	link->handler = handler;
	link->owner = owner;
	if (options->server_name) {
		snprintf(link->server_name, sizeof link->server_name, "%s",
		         options->server_name);
	}
	memcpy(link->addresses, options->addresses,
	       options->naddresses * sizeof *link->addresses);
	link->client = smtp_client_new(span_str(options->hostname), options->tls);
	if (!link->client || !connect_next(link)) {
		smtp_client_free(link->client);
		free(link);
		return NULL;
	}
	return link;
}

static bool make_results(struct link *link, size_t n)
{
	if (n > link->nresults) {
		struct smtp_client_result *more = realloc(link->results, n * sizeof *more);
		if (!more) {
			return false;
		}
		link->results = more;
		link->nresults = n;
	}
	return true;
}

void link_send(struct link *link, struct relay_mail *mail)
{
	assert(link->idle && !link->mail && !link->ended);
	link->idle = false;
	link->unheard = true;
	link->mail = mail;
	link->row = 0;
	link->taken = 0;
	mail->maybe_sent = false;
	mail->reason[0] = '\0';
	if (make_results(link, mail->envelope.nrecipients)) {
		smtp_client_send(link->client, &mail->envelope);
	} else {
		smtp_client_lost(link->client, "Out of memory");
	}
	drive(link);
}

bool link_stop(struct link *link)
{
	assert(link->mail);
	if (smtp_client_is_committed(link->client) || link->ended) {
		return false;
	}
	link->stopped = true;
	link_cut(link, "The mail was stopped");
	return true;
}

void link_quit(struct link *link)
{
	assert(link->idle);
	set_end(link, LINK_ENDED, "quit");
	smtp_client_quit(link->client);
	flush(link);
	conn_close(link->conn);
}

void link_cut(struct link *link, const char *why)
{
	if (link->ended) {
		conn_abort(link->conn); /* no last words */
	} else if (link->mail) {
		lose(link, why);
	} else {
		set_end(link, LINK_ENDED, why);
		conn_abort(link->conn);
	}
}

bool link_is_unheard(const struct link *link)
{
	return link->unheard;
}

const struct conn *link_conn(const struct link *link)
{
	return link->conn;
}
