#include "test/server/relay_help.h"

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

/* A link that said QUIT by itself, to a peer that takes its time, is not told to quit again. */
static void test_SH18_slow_goodbye(void **state)
{
	(void)state;
	struct parcel parcel = parcel_of(TEXT);
	open_one();
	send_parcel(&parcel);
	run_until_done(1);
	assert_result(&parcel, "answered 250,250,250");
	pthread_mutex_lock(&fakes[0].lock); /* it hears nothing meanwhile */
	run_for(800);                       /* longer than an idle link is kept */
	relay_quit(relay, false);
	pthread_mutex_unlock(&fakes[0].lock);
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
		cmocka_unit_test_setup_teardown(test_SH18_reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_SH18_stale_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_SH18_rset_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_SH18_slow_goodbye, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tls_fails, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
