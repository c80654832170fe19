/* A relay on a loop of its own, two scripted smarthosts, and mails with what became of them. */
#ifndef GATEPOST_TEST_SERVER_RELAY_HELP_H
#define GATEPOST_TEST_SERVER_RELAY_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/relay.h"
#include "store/body.h"
#include "test/server/fake_smarthost.h"
#include "test/store/help.h"

#define TEXT        "Subject: x\r\n\r\n.dot\r\nline\r\n"
#define PATIENCE_MS 20000 /* of a test that would hang */

static struct fake fakes[2];
static uv_loop_t loop;
static struct relay *relay;
static struct config *config;
static struct store *store;

/* A mail with what became of it. */
struct parcel {
	struct relay_mail mail; /* first */
	struct span to[3];
	bool done;
	char result[200]; /* "answered 250,450,550" */
	char text[600];   /* of the first recipient */
};

static size_t ndone, nroom, nback;
static bool looped_out;

static inline void done(void *owner, struct relay_mail *mail)
{
	static const char *const names[] = { "answered", "broken", "untried", "stopped" };
	struct parcel *parcel = (struct parcel *)mail;
	(void)owner;
	assert_false(parcel->done);
	parcel->done = true;
	ndone++;
	int n = snprintf(parcel->result, sizeof parcel->result, "%s%s", names[mail->outcome],
	                 mail->maybe_sent ? "?" : "");
	for (size_t i = 0; mail->results && i < mail->envelope.nrecipients; i++) {
		n += snprintf(parcel->result + n, sizeof parcel->result - (size_t)n, "%s%u",
		              i ? "," : " ", mail->results[i].code);
	}
	snprintf(parcel->text, sizeof parcel->text, "%s",
	         mail->results ? mail->results[0].text : mail->reason);
}

static inline void room(void *owner, bool back)
{
	(void)owner;
	nroom++;
	nback += back;
}

static const struct relay_handler calls = { .done = done, .room = room };

static inline void on_out(uv_timer_t *timer)
{
	(void)timer;
	looped_out = true;
}

/* Turns the loop until `n` mails in all are done. */
static inline void run_until_done(size_t n)
{
	uv_timer_t timer;
	looped_out = false;
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_out, PATIENCE_MS, 0);
	while (ndone < n && !looped_out) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	if (looped_out) {
		fail_msg("%zu of %zu mails are done", ndone, n);
	}
}

static inline void run_for(uint64_t ms)
{
	uv_timer_t timer;
	looped_out = false;
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_out, ms, 0);
	while (!looped_out) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
}

static inline void make_config(size_t nsmarthosts, const char *const *addresses,
                               unsigned connections)
{
	static char names[2][4] = { "one", "two" };
	static char hostname[] = "gatepost.example.org";
	config = calloc(1, sizeof *config);
	config->references = 1;
	config->hostname = hostname;
	config->nretry = 2;
	config->retry[0] = 1000;
	config->retry[1] = 60000;

	config->nsmarthosts = nsmarthosts;
	for (size_t i = 0; i < nsmarthosts; i++) {
		config->smarthost[i] = (struct config_smarthost){
			.name = names[i],
			.address = (char *)(uintptr_t)addresses[i],
			.port = fakes[i].port,
			.tls = SMTP_CLIENT_TLS_MAY,
			.connections = connections,
			.mails = 100,
		};
	}
}

static inline void open_relay(size_t nsmarthosts, const char *const *addresses,
                              unsigned connections)
{
	make_config(nsmarthosts, addresses, connections);
	ndone = nroom = nback = 0;
	uv_loop_init(&loop);
	relay = relay_new(&loop, config, store, &calls, NULL);
	assert_non_null(relay);
}

static inline void open_one(void)
{
	open_relay(1, (const char *const[]){ "127.0.0.1" }, 16);
}

static inline void close_relay(void)
{
	relay_quit(relay, true);
	while (relay_links(relay)) {
		uv_run(&loop, UV_RUN_ONCE);
	}
	relay_free(relay);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	config_unref(config);
}

static inline struct parcel parcel_of(const char *text)
{
	return (struct parcel){
		.to = { SPAN_LIT("a@x.org"), SPAN_LIT("b@x.org"), SPAN_LIT("c@x.org") },
		.mail = {
			.envelope = { .sender = SPAN_LIT("me@x.org"), .nrecipients = 3,
			              .size = strlen(text) },
			.body = span_str(text),
		},
	};
}

static inline void send_parcel(struct parcel *parcel)
{
	parcel->mail.envelope.recipients = parcel->to;
	relay_send(relay, &parcel->mail);
}

static inline void assert_result(const struct parcel *parcel, const char *want)
{
	if (strcmp(parcel->result, want) != 0) {
		fail_msg("have \"%s\" (%s), want \"%s\"", parcel->result, parcel->text, want);
	}
}

static inline int setup(void **state)
{
	place_setup(state);
	struct place *place = *state;
	store = place->store;
	for (size_t i = 0; i < 2; i++) {
		fake_start(&fakes[i], 0, 0);
	}
	return 0;
}

static inline int teardown(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		fake_stop(&fakes[i]);
	}
	return place_teardown(state);
}

#endif
