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

#define TEXT "Subject: x\r\n\r\n.dot\r\nline\r\n"
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

static void done(void *owner, struct relay_mail *mail)
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

static void room(void *owner, bool back)
{
	(void)owner;
	nroom++;
	nback += back;
}

static const struct relay_handler calls = { .done = done, .room = room };

static void on_out(uv_timer_t *timer)
{
	(void)timer;
	looped_out = true;
}

/* Turns the loop until `n` mails in all are done. */
static void run_until_done(size_t n)
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

static void run_for(uint64_t ms)
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

static void make_config(size_t nsmarthosts, const char *const *addresses, unsigned connections)
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

static void open_relay(size_t nsmarthosts, const char *const *addresses, unsigned connections)
{
	make_config(nsmarthosts, addresses, connections);
	ndone = nroom = nback = 0;
	uv_loop_init(&loop);
	relay = relay_new(&loop, config, store, &calls, NULL);
	assert_non_null(relay);
}

static void open_one(void)
{
	open_relay(1, (const char *const[]){ "127.0.0.1" }, 16);
}

static void close_relay(void)
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

static struct parcel parcel_of(const char *text)
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

static void send_parcel(struct parcel *parcel)
{
	parcel->mail.envelope.recipients = parcel->to;
	relay_send(relay, &parcel->mail);
}

static void assert_result(const struct parcel *parcel, const char *want)
{
	if (strcmp(parcel->result, want) != 0) {
		fail_msg("have \"%s\" (%s), want \"%s\"", parcel->result, parcel->text, want);
	}
}

static int setup(void **state)
{
	place_setup(state);
	struct place *place = *state;
	store = place->store;
	for (size_t i = 0; i < 2; i++) {
		fake_start(&fakes[i], 0, 0);
	}
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		fake_stop(&fakes[i]);
	}
	return place_teardown(state);
}

/* SH01 to SH05, SH11: what a smarthost may do to one mail, and what its recipients get. */
static void test_one_mail(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct fake_rule rules[4];
		const char *result;
		const char *text; /* is in the first recipient's */
		unsigned arrived;
	} rows[] = {
		{ "all is well", { { 0 } }, "answered 250,250,250", "queued as FAKE", 1 },
		{ "SH01 cut behind the dot", { { ".", "!", 0 } }, "broken? 0,0,0", "", 1 },
		{ "SH02 4xx greeting", { { "<", "450 busy", 0 } }, "untried", "busy", 0 },
		{ "SH02 5xx greeting",
		  { { "<", "554 no service", 0 } },
		  "untried",
		  "no service",
		  0 },
		{ "SH02 4xx to EHLO", { { "EHLO", "451 later", 0 } }, "untried", "later", 0 },
		{ "SH02 4xx to MAIL",
		  { { "MAIL", "451 4.3.0 full", 0 } },
		  "answered 451,451,451",
		  "full",
		  0 },
		{ "SH02 5xx to MAIL",
		  { { "MAIL", "550 5.7.1 not you", 0 } },
		  "answered 550,550,550",
		  "not you",
		  0 },
		{ "SH02 4xx to RCPT",
		  { { "RCPT", "450 4.2.1 grey", 0 } },
		  "answered 450,450,450",
		  "grey",
		  0 },
		{ "SH02 4xx to DATA",
		  { { "DATA", "451 4.3.0 disk", 0 } },
		  "answered 451,451,451",
		  "disk",
		  0 },
		{ "SH02 5xx to the dot",
		  { { ".", "554 5.6.0 spam", 0 } },
		  "answered 554,554,554",
		  "spam",
		  0 },
		{ "SH02 4xx to the dot",
		  { { ".", "451 4.3.0 wait", 0 } },
		  "answered 451,451,451",
		  "wait",
		  0 },
		{ "SH03 421 to MAIL",
		  { { "MAIL", "421 4.3.2 going down!", 0 } },
		  "broken 421,421,421",
		  "going down",
		  0 },
		{ "SH03 421 to the dot",
		  { { ".", "421 4.3.2 going down!", 0 } },
		  "broken 421,421,421",
		  "going down",
		  0 },
		{ "SH04 mixed",
		  { { "RCPT TO:<b", "450 4.2.1 later", 0 },
		    { "RCPT TO:<c", "550 5.1.1 unknown", 0 } },
		  "answered 250,450,550",
		  "queued",
		  1 },
		{ "SH04 mixed, and the dot refused",
		  { { "RCPT TO:<c", "550 5.1.1 unknown", 0 }, { ".", "451 4.3.0 wait", 0 } },
		  "answered 451,451,550",
		  "wait",
		  0 },
		{ "SH05 250 in place of 354",
		  { { "DATA", "250 what", 0 } },
		  "broken 0,0,0",
		  "no sense",
		  0 },
		{ "SH05 two replies",
		  { { ".", "250 one\r\n250 two", 0 } },
		  "answered 250,250,250",
		  "one",
		  1 },
		{ "no SMTP at all", { { "<", "SSH-2.0-OpenSSH", 0 } }, "untried", "SMTP", 0 },
		{ "cut at RCPT", { { "RCPT TO:<b", "!", 0 } }, "broken 0,0,0", "", 0 },
		{ "cut at once", { { "<", "!", 0 } }, "untried", "", 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct parcel parcel = parcel_of(TEXT);
		unsigned before = fake_count(&fakes[0], &fakes[0].nmails);
		fake_rules(&fakes[0], rows[i].rules);
		open_one();
		send_parcel(&parcel);
		run_until_done(1);
		if (strcmp(parcel.result, rows[i].result) != 0 ||
		    !strstr(parcel.text, rows[i].text) ||
		    fake_count(&fakes[0], &fakes[0].nmails) - before != rows[i].arrived) {
			fail_msg("%s: \"%s\" (%s)", rows[i].name, parcel.result, parcel.text);
		}
		close_relay();
	}
}

/* Dots are stuffed, and the text is what the store has, to the byte, over several rows and more
 * than a socket takes at once. */
static void test_text_from_the_store(void **state)
{
	(void)state;
	static const size_t sizes[] = { 2, 100, BODY_ROW - 1, BODY_ROW, BODY_ROW + 1, 3000000 };
	open_one();
	for (size_t i = 0; i < COUNT(sizes); i++) {
		char *text = malloc(sizes[i] + 1);
		for (size_t at = 0; at < sizes[i]; at++) {
			text[at] = at % 70 == 68 ? '\r' : at % 70 == 69 ? '\n' : 'a';
		}
		memcpy(text + sizes[i] - 2, "\r\n", 3);
		struct store_txn *txn = writing(store);
		uint32_t next;
		assert_int_equal(body_put(txn, i + 1, 0, span_of(text, sizes[i]), &next),
				 STORE_OK);
		commit(txn);
		struct parcel parcel = parcel_of("");
		parcel.mail.body_id = i + 1;
		parcel.mail.envelope.size = sizes[i];
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "answered 250,250,250");
		assert_string_equal(fakes[0].mails[i].text, text);
		free(text);
	}
	assert_int_equal(fakes[0].connections, 1);
	close_relay();
}

/* A row is missing: half a message must not be ended with a dot. */
static void test_text_not_whole(void **state)
{
	(void)state;
	struct parcel parcel = parcel_of("");
	open_one();
	parcel.mail.body_id = 12345;
	parcel.mail.envelope.size = 100;
	send_parcel(&parcel);
	run_until_done(1);
	assert_result(&parcel, "broken 0,0,0");
	assert_int_equal(fake_count(&fakes[0], &fakes[0].nmails), 0);
	close_relay();
}

/* SH17: two addresses, the first dead. Here: the name has ::1, where nobody listens, and
 * 127.0.0.1. */
static void test_SH17_addresses_in_order(void **state)
{
	(void)state;
	struct parcel parcel = parcel_of(TEXT);
	open_relay(1, (const char *const[]){ "localhost" }, 16);
	send_parcel(&parcel);
	run_until_done(1);
	assert_result(&parcel, "answered 250,250,250");
	close_relay();
}

static void test_name_unknown(void **state)
{
	(void)state;
	struct parcel parcel = parcel_of(TEXT);
	int64_t in;
	const char *reason;
	open_relay(1, (const char *const[]){ "nowhere.invalid" }, 16);
	send_parcel(&parcel);
	run_until_done(1);
	assert_result(&parcel, "untried");
	assert_true(relay_is_down(relay, &in, &reason));
	assert_non_null(strstr(reason, "nowhere.invalid"));
	close_relay();
}

/* SH18: one link for many; one closed by the peer while idle costs no mail and no attempt. */
static void test_SH18_reuse(void **state)
{
	(void)state;
	open_one();
	config->smarthost[0].mails = 10;
	for (size_t i = 0; i < 25; i++) {
		struct parcel parcel = parcel_of(TEXT);
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "answered 250,250,250");
	}
	assert_int_equal(fake_count(&fakes[0], &fakes[0].connections), 3);
	assert_int_equal(fake_count(&fakes[0], &fakes[0].nmails), 25);
	close_relay();
}

static void test_SH18_stale_link(void **state)
{
	(void)state;
	open_one();
	for (size_t i = 0; i < 10; i++) {
		struct parcel parcel = parcel_of(TEXT);
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "answered 250,250,250");
		/* Between two mails; also seen only when the next is on its way already. */
		fake_cut_all(&fakes[0]);
		if (i % 2) {
			run_for(20);
		}
	}
	assert_int_equal(fake_count(&fakes[0], &fakes[0].nmails), 10);
	close_relay();
}

/* RSET is refused where it is needed: the mail has its answer, the next one takes a new link.
 */
static void test_SH18_rset_refused(void **state)
{
	(void)state;
	struct parcel first = parcel_of(TEXT), second = parcel_of(TEXT);
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "RSET", "500 what", 0 },
							  { "RCPT", "450 4.2.1 grey", 3 },
							  { 0 } });
	open_one();
	send_parcel(&first);
	send_parcel(&second);
	run_until_done(2);
	assert_result(&first, "answered 450,450,450");
	assert_result(&second, "answered 250,250,250");
	close_relay();
}

/* Many at a time, never more links than allowed, each mail once. */
static void test_many(void **state)
{
	(void)state;
	static struct parcel parcels[500];
	open_relay(1, (const char *const[]){ "127.0.0.1" }, 7);
	assert_int_equal(relay_room(relay), 1); /* unknown yet: a probe */
	for (size_t i = 0; i < COUNT(parcels); i++) {
		parcels[i] = parcel_of(TEXT);
		send_parcel(&parcels[i]);
	}
	assert_int_equal(relay_room(relay), 0);
	run_until_done(COUNT(parcels));
	for (size_t i = 0; i < COUNT(parcels); i++) {
		assert_result(&parcels[i], "answered 250,250,250");
	}
	assert_int_equal(fake_count(&fakes[0], &fakes[0].nmails), COUNT(parcels));
	assert_in_range(fake_count(&fakes[0], &fakes[0].most_at_once), 2, 7);
	run_for(10);
	assert_int_equal(relay_room(relay), 7);
	close_relay();
}

/* RX12: dead. One connection a back-off, however many mails there are; all UNTRIED; back when
 * it is back. */
static void test_RX12_down_and_back(void **state)
{
	(void)state;
	static struct parcel parcels[100];
	struct parcel later = parcel_of(TEXT);
	int64_t in;
	const char *reason;
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "421 4.3.2 no!", 0 }, { 0 } });
	open_one();
	for (size_t i = 0; i < COUNT(parcels); i++) {
		parcels[i] = parcel_of(TEXT);
		send_parcel(&parcels[i]);
	}
	run_until_done(COUNT(parcels));
	for (size_t i = 0; i < COUNT(parcels); i++) {
		assert_result(&parcels[i], "untried");
	}
	assert_true(relay_is_down(relay, &in, &reason));
	assert_in_range(in, 800, 1100);
	assert_string_equal(reason, "421 no");
	assert_int_equal(relay_room(relay), 0);
	assert_int_equal(fake_count(&fakes[0], &fakes[0].connections), 1);
	fake_rules(&fakes[0], NULL);
	nroom = 0;
	run_for(1300);
	assert_true(nroom > 0);
	assert_int_equal(relay_room(relay), 1);
	assert_true(relay_is_down(relay, &in, &reason)); /* until it was seen to be up */
	send_parcel(&later);
	run_until_done(COUNT(parcels) + 1);
	assert_result(&later, "answered 250,250,250");
	assert_false(relay_is_down(relay, &in, &reason));
	assert_int_equal(nback, 1);
	close_relay();
}

/* `gatepostctl queue flush`. */
static void test_wake(void **state)
{
	(void)state;
	struct parcel first = parcel_of(TEXT), second = parcel_of(TEXT);
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "421 4.3.2 no!", 1 }, { 0 } });
	open_one();
	send_parcel(&first);
	run_until_done(1);
	assert_int_equal(relay_room(relay), 0);
	relay_wake(relay);
	assert_int_equal(relay_room(relay), 1);
	send_parcel(&second);
	run_until_done(2);
	assert_result(&second, "answered 250,250,250");
	close_relay();
}

/* It takes three links and refuses more: full, not down; all mail goes over the three. */
static void test_crowded(void **state)
{
	(void)state;
	static struct parcel parcels[60];
	int64_t in;
	const char *reason;
	open_one();
	/* The first link's 220, then two more, then no. */
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "220 come in", 3 },
							  { "<", "421 4.7.0 too many!", 0 },
							  { 0 } });
	for (size_t i = 0; i < COUNT(parcels); i++) {
		parcels[i] = parcel_of(TEXT);
		send_parcel(&parcels[i]);
	}
	run_until_done(COUNT(parcels));
	for (size_t i = 0; i < COUNT(parcels); i++) {
		assert_result(&parcels[i], "answered 250,250,250");
	}
	assert_false(relay_is_down(relay, &in, &reason));
	close_relay();
}

/* The first is dead: the second takes all; when the first is back, it takes what comes. */
static void test_two_smarthosts(void **state)
{
	(void)state;
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "!", 0 }, { 0 } });
	open_relay(2, (const char *const[]){ "127.0.0.1", "127.0.0.1" }, 4);
	for (size_t i = 0; i < 5; i++) {
		struct parcel parcel = parcel_of(TEXT);
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "answered 250,250,250");
	}
	assert_int_equal(fake_count(&fakes[1], &fakes[1].nmails), 5);
	assert_int_equal(fake_count(&fakes[0], &fakes[0].connections), 1);
	fake_rules(&fakes[0], NULL);
	run_for(1200);
	for (size_t i = 5; i < 15; i++) {
		struct parcel parcel = parcel_of(TEXT);
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "answered 250,250,250");
		run_for(5);
	}
	assert_true(fake_count(&fakes[0], &fakes[0].nmails) >= 8);
	assert_int_equal(fakes[0].nmails + fakes[1].nmails, 15);
	close_relay();
}

/* Three cuts in a row are down, too. */
static void test_cuts(void **state)
{
	(void)state;
	int64_t in;
	const char *reason;
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "DATA", "!", 0 }, { 0 } });
	open_one();
	for (size_t i = 0; i < 3; i++) {
		struct parcel parcel = parcel_of(TEXT);
		assert_false(relay_is_down(relay, &in, &reason));
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "broken 0,0,0");
	}
	run_for(5);
	assert_true(relay_is_down(relay, &in, &reason));
	assert_int_equal(relay_room(relay), 0);
	close_relay();
}

static void test_stop(void **state)
{
	(void)state;
	struct parcel waits = parcel_of(TEXT), silent = parcel_of(TEXT),
		      after = parcel_of(TEXT);
	open_one();
	/* Before there is a link. */
	send_parcel(&waits);
	relay_stop(relay, &waits.mail);
	assert_true(waits.done);
	assert_result(&waits, "stopped");
	/* Before the final dot: RCPT is not answered. */
	fake_rules(&fakes[0],
		   (const struct fake_rule[]){ { "RCPT", "", 0 }, { "DATA", "", 0 }, { 0 } });
	send_parcel(&silent);
	run_for(50);
	assert_false(silent.done);
	relay_stop(relay, &silent.mail);
	run_until_done(2);
	assert_int_equal(memcmp(silent.result, "stopped", 7), 0);
	/* Behind it: too late, and the answer counts. */
	fake_rules(&fakes[0], (const struct fake_rule[]){ { ".", "", 0 }, { 0 } });
	send_parcel(&after);
	run_for(50);
	relay_stop(relay, &after.mail);
	run_for(20);
	assert_false(after.done);
	relay_quit(relay, true);
	run_until_done(3);
	assert_result(&after, "broken? 0,0,0");
	close_relay();
}

/* A smarthost that goes from the configuration: what is on its way there ends there. */
static void test_reload(void **state)
{
	(void)state;
	struct parcel old = parcel_of(TEXT), fresh = parcel_of(TEXT);
	fake_rules(&fakes[0], (const struct fake_rule[]){ { ".", "", 0 }, { 0 } });
	open_one();
	send_parcel(&old);
	run_for(50);
	struct config *before = config;
	struct fake other = fakes[0];
	fakes[0].port = fakes[1].port;
	make_config(1, (const char *const[]){ "127.0.0.1" }, 16);
	fakes[0].port = other.port;
	relay_reload(relay, config);
	config_unref(before);
	send_parcel(&fresh);
	run_until_done(1);
	assert_result(&fresh, "answered 250,250,250");
	assert_int_equal(fake_count(&fakes[1], &fakes[1].nmails), 1);
	fake_cut_all(&fakes[0]);
	run_until_done(2);
	assert_result(&old, "broken? 0,0,0");
	close_relay();
}

/* TLS = may, offered, but the handshake fails: the next link goes in clear. */
static void test_tls_fails(void **state)
{
	(void)state;
	struct parcel parcel = parcel_of(TEXT);
	fake_rules(&fakes[0],
		   (const struct fake_rule[]){ { "EHLO", "250-fake\r\n250 STARTTLS", 0 },
					       { "STARTTLS", "220 go", 0 },
					       { 0 } });
	open_one();
	send_parcel(&parcel);
	run_until_done(1);
	assert_result(&parcel, "answered 250,250,250");
	assert_int_equal(fake_count(&fakes[0], &fakes[0].connections), 2);
	close_relay();
	struct parcel must = parcel_of(TEXT);
	open_one();
	config->smarthost[0].tls = SMTP_CLIENT_TLS_MUST;
	send_parcel(&must);
	run_until_done(1);
	assert_result(&must, "untried");
	close_relay();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_mail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_from_the_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_not_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_SH17_addresses_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_SH18_reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_SH18_stale_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_SH18_rset_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_RX12_down_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_smarthosts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tls_fails, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
