/*
 * The links to the smarthosts: a pool with reuse, each link a connection driven by
 * proto/smtp_client. It knows nothing of the queue: it takes a mail, and gives back a result
 * for each recipient. Delivery's loop only.
 *
 * A smarthost that can not be reached (connect, greeting, EHLO, TLS), or that has cut several
 * transactions in a row, is down for retry[n]; then one probe is made with the next mail.
 * Smarthosts are tried in the order of the configuration: the first that is not down takes new
 * links.
 */
#ifndef GATEPOST_SERVER_RELAY_H
#define GATEPOST_SERVER_RELAY_H

#include <uv.h>

#include "proto/smtp_client.h"
#include "server/config.h"
#include "server/tls.h"
#include "store/store.h"

struct relay;

enum relay_outcome {
	RELAY_ANSWERED, /* each recipient has its result */
	RELAY_BROKEN,   /* cut in the middle: those without a result have code 0; `maybe_sent`
	                   after the final dot */
	RELAY_UNTRIED,  /* no link could be had: nothing was said to anybody */
	RELAY_STOPPED,  /* relay_stop came in time */
};

/* A mail on its way; owned by delivery, which may not touch what the relay reads until `done`.
 */
struct relay_mail {
	struct smtp_client_mail envelope;
	/* The text: `body` when it is not empty, else the rows of `body_id` in the store. */
	struct span body;
	uint64_t body_id;
	/* set by the relay before `done` */
	enum relay_outcome outcome;
	bool maybe_sent;
	bool unreadable; /* BROKEN by our own store: no fault of the smarthost's */
	/* ANSWERED and BROKEN: one a recipient; live within `done` only. NULL: nobody has any.
	 */
	const struct smtp_client_result *results;
	const char *smarthost; /* its name, for the log; lives as `results` */
	char reason[256];      /* BROKEN, UNTRIED: why */
	/* the relay's own */
	void *berth;
	struct relay_mail *next;
	bool again; /* its first link turned out to be stale */
};

struct relay_handler {
	void (*done)(void *owner, struct relay_mail *mail);
	/* A link is free, or a smarthost is up again: `back` when it was down before. */
	void (*room)(void *owner, bool back);
};

/* `config` is referenced. NULL without memory. */
struct relay *relay_new(uv_loop_t *loop, struct config *config, struct store *store,
                        const struct relay_handler *handler, void *owner);
/* No mail may be on its way and no link be left (relay_quit, then relay_links() == 0); the loop
 * must run once more. */
void relay_free(struct relay *relay);
void relay_reload(struct relay *relay, struct config *config);

/* How many mails could be given now; one while a smarthost is being probed. */
size_t relay_room(const struct relay *relay);
void relay_send(struct relay *relay, struct relay_mail *mail);
/* Stops it before its final dot, when that is not written yet; `done` follows in any case,
 * maybe within the call. */
void relay_stop(struct relay *relay, struct relay_mail *mail);
/* Forgets the back-off: the next mail is a probe. */
void relay_wake(struct relay *relay);
/* No new links from now on; mails that wait end UNTRIED. QUIT to idle links; with `hard` the
 * busy ones are cut too (their mails end BROKEN). */
void relay_quit(struct relay *relay, bool hard);

size_t relay_links(const struct relay *relay);
/* All are down: ms until the next probe and why. */
bool relay_is_down(const struct relay *relay, int64_t *retry_in_out, const char **reason_out);

#endif
