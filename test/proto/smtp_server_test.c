/* Sessions and their answers; lines, errors and floods are in smtp_server_hostile_test.c. */
#include "smtp_server_help.h"

/* What SEND and LOGIN are told after the greeting. */
#define LOGIN_SAID "220,250,235 2.7.0"
#define SEND_SAID  "250 2.1.0,250 2.1.5,354,250 2.0.0"

/* How the bytes come: n at a time, or all but the last n and then those. */
static void feed_split(struct policy *policy, struct span input, size_t n, bool behind)
{
	while (input.len && !policy->closed) {
		size_t some = !behind ? n : input.len > n ? input.len - n : input.len;
		struct span piece = span_first(input, some);
		policy_feed(policy, piece);
		input = span_from(input, piece.len);
	}
}

struct row {
	const char *name;
	struct span input;
	const char *said;
	const char *log; /* NULL: not looked at */
	bool plain;      /* a STARTTLS listener, else TLS from the start */
};

static void play(const struct row *row, size_t n, bool behind)
{
	struct policy policy;
	struct buf codes = { .cap = 1 << 20 };
	policy_init(&policy, !row->plain);
	feed_split(&policy, row->input, n, behind);
	summarize(buf_span(&policy.said), &codes);
	check_span(row->name, buf_span(&codes), span_str(row->said));
	if (row->log) {
		check_span(row->name, buf_span(&policy.log), span_str(row->log));
	}
	buf_done(&codes);
	policy_done(&policy);
}

#define ROW(name, said, log, input) \
	{ \
		name, SPAN_LIT(input), said, log, false \
	}
#define CLEAR(name, said, log, input) \
	{ \
		name, SPAN_LIT(input), said, log, true \
	}
#define HELO_LOG  "HELO c\n"
#define LOGIN_LOG "HELO c\nAUTH PLAIN\n"
#define MAIL_LOG  "MAIL <alice@example.org> 0 0\n"
#define RCPT_LOG  "RCPT <b@example.net>\n"
#define SEND_LOG  MAIL_LOG RCPT_LOG "DATA\nEND 17 10\n"

static const struct row rows[] = {
	ROW("one mail", LOGIN_SAID "," SEND_SAID ",221 2.0.0",
	    LOGIN_LOG SEND_LOG "CLOSE quit\n", LOGIN SEND "QUIT\r\n"),
	ROW("nothing behind QUIT", "220,221 2.0.0", "CLOSE quit\n", "QUIT\r\nNOOP\r\n"),
	ROW("any case", LOGIN_SAID ",250 2.1.0,250 2.1.5,354,250 2.0.0,221 2.0.0", NULL,
	    "ehlo c\r\nauth plain " PLAIN "\r\nmail from:<a@b.c>\r\nrCpT tO:<c@d.e>\r\ndata\r\n"
	    "x\r\n.\r\nquit\r\n"),
	/* order */
	ROW("before EHLO", "220,250 2.0.0,250 2.0.0,252 2.5.0,214 2.0.0,503 5.5.1,503 5.5.1",
	    "", "RSET\r\nNOOP x\r\nVRFY x\r\nHELP\r\n" MAIL "AUTH PLAIN\r\n"),
	ROW("MAIL before AUTH", "220,250,530 5.7.0,530 5.7.0,530 5.7.0", HELO_LOG,
	    "EHLO c\r\n" MAIL RCPT "DATA\r\n"),
	ROW("out of order",
	    LOGIN_SAID ",503 5.5.1,503 5.5.1,250 2.1.0,503 5.5.1,554 5.5.1,250 2.1.5",
	    LOGIN_LOG MAIL_LOG RCPT_LOG, LOGIN RCPT "DATA\r\n" MAIL MAIL "DATA\r\n" RCPT),
	ROW("no good recipient", LOGIN_SAID ",250 2.1.0,501 5.1.3,554 5.5.1,250 2.0.0", NULL,
	    LOGIN MAIL "RCPT TO:<@@>\r\nDATA\r\nNOOP\r\n"),
	ROW("EHLO again", LOGIN_SAID ",250 2.1.0,250,503 5.5.1,250 2.1.0",
	    LOGIN_LOG MAIL_LOG "RESET\nHELO d\n" MAIL_LOG, LOGIN MAIL "EHLO d\r\n" RCPT MAIL),
	ROW("refused EHLO", LOGIN_SAID ",250 2.1.0,501 5.5.4,250 2.1.5",
	    LOGIN_LOG MAIL_LOG RCPT_LOG, LOGIN MAIL "EHLO\r\n" RCPT),
	ROW("RSET", LOGIN_SAID ",250 2.0.0,250 2.1.0,250 2.0.0,503 5.5.1",
	    LOGIN_LOG MAIL_LOG "RESET\n", LOGIN "RSET\r\n" MAIL "RSET\r\n" RCPT),
	ROW("QUIT in a transaction", LOGIN_SAID ",250 2.1.0,221 2.0.0",
	    LOGIN_LOG MAIL_LOG "CLOSE quit\n", LOGIN MAIL "QUIT\r\n"),
	ROW("HELO", "220,250,235 2.7.0,250 2.1.0", NULL,
	    "HELO c\r\nAUTH PLAIN " PLAIN "\r\n" MAIL),
	ROW("MAIL too big", LOGIN_SAID ",552 5.3.4,503 5.5.1,250 2.1.0",
	    LOGIN_LOG "MAIL <a@b.c> 1000000 2\n",
	    LOGIN "MAIL FROM:<a@b.c> SIZE=1000001\r\n" RCPT
	          "MAIL FROM:<a@b.c> SIZE=1000000 BODY=8BITMIME\r\n"),
	ROW("null sender", LOGIN_SAID ",250 2.1.0", LOGIN_LOG "MAIL <> 0 0\n",
	    LOGIN "MAIL FROM:<>\r\n"),
	/* AUTH */
	ROW("PLAIN without initial", "220,250,334,235 2.7.0", "HELO c\nAUTH PLAIN\nAUTH_NEXT\n",
	    "EHLO c\r\nAUTH PLAIN\r\n" PLAIN "\r\n"),
	ROW("LOGIN", "220,250,334,334,235 2.7.0", "HELO c\nAUTH LOGIN\nAUTH_NEXT\nAUTH_NEXT\n",
	    "EHLO c\r\nAUTH LOGIN\r\nYWxpY2VAZXhhbXBsZS5vcmc=\r\nc2VjcmV0\r\n"),
	ROW("login with name", "220,250,334,235 2.7.0", "HELO c\nAUTH LOGIN\nAUTH_NEXT\n",
	    "EHLO c\r\nAUTH login YWxpY2VAZXhhbXBsZS5vcmc=\r\nc2VjcmV0\r\n"),
	ROW("empty responses", "220,250,535 5.7.8,334,535 5.7.8,334,535 5.7.8", NULL,
	    "EHLO c\r\nAUTH PLAIN =\r\nAUTH PLAIN\r\n\r\nAUTH PLAIN\r\n=\r\n"),
	ROW("cancelled", "220,250,334,501 5.7.0,250 2.0.0,500 5.5.2",
	    "HELO c\nAUTH PLAIN\nAUTH_GONE\n", "EHLO c\r\nAUTH PLAIN\r\n*\r\nNOOP\r\n*\r\n"),
	ROW("AU05 bad base64",
	    "220,250,501 5.5.2,501 5.5.2,334,501 5.5.2,501 5.5.2,334,501 5.5.2",
	    "HELO c\nAUTH PLAIN\nAUTH_GONE\nAUTH PLAIN\nAUTH_GONE\n",
	    "EHLO c\r\nAUTH PLAIN z\r\nAUTH PLAIN !!!!\r\nAUTH PLAIN\r\nAAAA====A\r\n"
	    "AUTH PLAIN AA== AA==\r\nAUTH PLAIN\r\nAA\nAA\r\n"),
	ROW("unknown mechanism", "220,250,504 5.5.4,504 5.5.4,501 5.5.4", HELO_LOG,
	    "EHLO c\r\nAUTH NOSUCHMECH abcd\r\nAUTH PLAI\r\nAUTH\r\n"),
	ROW("AU10 AUTH twice", LOGIN_SAID ",503 5.5.1,250 2.1.0,503 5.5.1", NULL,
	    LOGIN "AUTH PLAIN " PLAIN "\r\n" MAIL "AUTH LOGIN\r\n"),
	ROW("wrong password", "220,250,535 5.7.8,530 5.7.0", NULL,
	    "EHLO c\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHdyb25n\r\n" MAIL),
	/* TLS */
	CLEAR("needs TLS",
	      "220,250,530 5.7.0,530 5.7.0,530 5.7.0,530 5.7.0,530 5.7.0,530 5.7.0,530 5.7.0,"
	      "500 5.5.2,250 2.0.0,250,221 2.0.0",
	      "HELO c\nHELO d\nCLOSE quit\n",
	      "EHLO c\r\n" MAIL RCPT "DATA\r\nVRFY x\r\nHELP\r\nEXPN x\r\nAUTH PLAIN " PLAIN
	      "\r\nFOO\r\nNOOP\r\nHELO d\r\nQUIT\r\n"),
	CLEAR("TL04 STARTTLS", "220,501 5.5.4,250,220 2.0.0", "HELO c\nSTARTTLS\n",
	      "STARTTLS now\r\nEHLO c\r\nSTARTTLS\r\n"),
	CLEAR("TL01 nothing behind STARTTLS is read", "220,250,220 2.0.0", "HELO c\nSTARTTLS\n",
	      "EHLO c\r\nSTARTTLS\r\nEHLO x\r\nNOOP\r\nQUIT\r\n"),
	ROW("STARTTLS in TLS", "220,503 5.5.1", "", "STARTTLS\r\n"),
	/* PS31 */
	CLEAR("http", "220,421 4.7.0", "CLOSE http\n",
	      "POST / HTTP/1.1\r\nHost: x\r\n\r\n" MAIL),
	ROW("http in TLS", "220,421 4.7.0", "CLOSE http\n", "GET / HTTP/1.1\r\nNOOP\r\n"),
	CLEAR("ssh", "220,421 4.7.0", "CLOSE ssh\n", "SSH-2.0-OpenSSH_9.2\r\n"),
	CLEAR("tls-hello", "220,421 4.7.0", "CLOSE tls-hello\n",
	      "\x16\x03\x01\x00\xc8\x01\xab"),
	CLEAR("tls-hello behind NOOP", "220,250 2.0.0,421 4.7.0", "CLOSE tls-hello\n",
	      "NOOP\r\n\x16\x03\x01"),
	CLEAR("GET after EHLO is a bad command", "220,250,500 5.5.2", HELO_LOG,
	      "EHLO c\r\nGET / HTTP/1.1\r\n"),
	/* PS19: only CRLF ends a command */
	ROW("LF", LOGIN_SAID ",250 2.1.0,500 5.5.2,554 5.5.1", LOGIN_LOG MAIL_LOG,
	    LOGIN MAIL "RCPT TO:<x@b.c>\nRCPT TO:<y@b.c>\r\nDATA\r\n"),
	ROW("CR", "220,500 5.5.2,250 2.0.0", "", "NOOP\rNOOP\r\nNOOP\r\n"),
	ROW("LF CR", "220,500 5.5.2,250 2.0.0", "", "NOOP\n\rNOOP\r\nNOOP\r\n"),
	ROW("NUL", "220,500 5.5.2,250 2.0.0", "", "NOOP\0x\r\nNOOP\r\n"),
	ROW("escape", "220,500 5.5.2,500 5.5.2,500 5.5.2", "",
	    "EHLO a\x1b[31mb\r\nNOOP\t\r\nNOOP \x7f\r\n"),
	/* PS26 */
	ROW("UTF-8", LOGIN_SAID ",550 5.6.7,250 2.1.0,553 5.6.7,554 5.5.1", LOGIN_LOG MAIL_LOG,
	    LOGIN "MAIL FROM:<\xc3\xa9@b.c>\r\n" MAIL "RCPT TO:<\xc3\xa9@b.c>\r\nDATA\r\n"),
	/* PS35 */
	ROW("not for us",
	    "220,252 2.5.0,502 5.5.1,502 5.5.1,502 5.5.1,502 5.5.1,502 5.5.1,500 5.5.2,"
	    "500 5.5.2,214 2.0.0,502 5.5.1",
	    "",
	    "VRFY a\r\nEXPN a\r\nETRN a\r\nTURN\r\nXCLIENT LOGIN=root\r\n"
	    "XFORWARD NAME=x\r\nDEBUG\r\nWIZ\r\nHELP\r\nBDAT 5 LAST\r\n"),
	/* PS30: whole transactions in one write; the last command waits for its end */
	ROW("five mails in a burst",
	    LOGIN_SAID "," SEND_SAID "," SEND_SAID "," SEND_SAID "," SEND_SAID "," SEND_SAID,
	    LOGIN_LOG SEND_LOG SEND_LOG SEND_LOG SEND_LOG SEND_LOG,
	    LOGIN SEND SEND SEND SEND SEND "QUIT"),
	/* PS01, PS05, PS10: text is text until its end */
	ROW("smuggling", LOGIN_SAID ",250 2.1.0,250 2.1.5,354,550 5.5.2,250 2.0.0",
	    LOGIN_LOG MAIL_LOG RCPT_LOG "DATA\nEND 48 24 bare\n",
	    LOGIN MAIL RCPT "DATA\r\nfirst\n.\r\nMAIL FROM:<smuggled@b.c>\r\n"
	                    "BDAT 5 LAST\r\n.\r\nNOOP\r\n"),
};

static void answers_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		play(&rows[i], rows[i].input.len + 1, false);
	}
}

/* PS02, PS03: in pieces of every size, and cut at every place, the session is the same. */
static void any_split_is_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t n = 1; n < rows[i].input.len; n++) {
			play(&rows[i], n, false);
			play(&rows[i], n, true);
		}
	}
}

/* The whole text of the replies to an EHLO, outside and inside TLS. */
static void ehlo_offers_what_may_be_used(void **state)
{
	(void)state;
	struct policy policy;
	policy_init(&policy, false);
	policy_feed(&policy, SPAN_LIT("EHLO c\r\n"));
	check_span("before TLS", buf_span(&policy.said),
	           SPAN_LIT("220 mail.example.org ESMTP Gatepost\r\n250-mail.example.org\r\n"
	                    "250-PIPELINING\r\n250-SIZE 1000000\r\n250-STARTTLS\r\n"
	                    "250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"));
	buf_clear(&policy.said);
	policy_feed(&policy, SPAN_LIT("STARTTLS\r\n"));
	policy_tls(&policy);
	buf_clear(&policy.said);
	policy_feed(&policy, SPAN_LIT("EHLO c\r\n"));
	check_span("in TLS", buf_span(&policy.said),
	           SPAN_LIT("250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n"
	                    "250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n"
	                    "250 8BITMIME\r\n"));
	policy.rules.mechanisms = SPAN_NONE;
	buf_clear(&policy.said);
	policy_feed(&policy, SPAN_LIT("EHLO c\r\n"));
	check_span("nobody may log in", buf_span(&policy.said),
	           SPAN_LIT("250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n"
	                    "250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"));
	policy_done(&policy);
}

static void prompts_are_exact(void **state)
{
	(void)state;
	struct policy policy;
	policy_init(&policy, true);
	policy_feed(&policy, SPAN_LIT("EHLO c\r\n"));
	buf_clear(&policy.said);
	policy_feed(&policy, SPAN_LIT("AUTH PLAIN\r\n*\r\nAUTH LOGIN\r\nYQ==\r\n"));
	check_span("prompts", buf_span(&policy.said),
	           SPAN_LIT("334 \r\n501 5.7.0 Authentication cancelled\r\n"
	                    "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"));
	policy_done(&policy);
}

/* TL03, RFC 3207 4.2: after the handshake nothing of before is known. */
static void tls_forgets(void **state)
{
	(void)state;
	struct policy policy;
	struct buf codes = { .cap = 4096 };
	policy_init(&policy, false);
	policy_feed(&policy, SPAN_LIT("EHLO before\r\nSTARTTLS\r\nEHLO injected\r\n"));
	policy_feed(&policy, SPAN_LIT("EHLO injected\r\nNOO"));
	assert_int_equal(smtp_server_helo(policy.server).len, 6);
	policy_tls(&policy);
	assert_int_equal(smtp_server_helo(policy.server).len, 0);
	assert_false(smtp_server_is_extended(policy.server));
	buf_clear(&policy.said);
	policy_feed(&policy, SPAN_LIT(MAIL LOGIN MAIL "STARTTLS\r\n"));
	summarize(buf_span(&policy.said), &codes);
	check_span("codes", buf_span(&codes),
	           SPAN_LIT("503 5.5.1,250,235 2.7.0,250 2.1.0,503 5.5.1"));
	buf_done(&codes);
	policy_done(&policy);
}

/* Nothing behind a question is read before it is answered (AU10), and no more is wanted. */
static void waits_for_answers(void **state)
{
	(void)state;
	struct policy policy;
	struct smtp_event event;
	policy_init(&policy, true);
	policy_feed(&policy, SPAN_LIT("EHLO c\r\n"));
	buf_clear(&policy.said);
	struct smtp_server *server = policy.server;
	struct buf *out = smtp_server_output(server);
	smtp_server_feed(server, SPAN_LIT("AUTH PLAIN " PLAIN "\r\nNOOP\r\n"));
	assert_true(smtp_server_next(server, &event));
	assert_int_equal(event.kind, SMTP_EVENT_AUTH);
	check_span("response", event.response, SPAN_LIT("\0alice@example.org\0secret"));
	assert_true(smtp_server_is_waiting(server));
	assert_false(smtp_server_wants(server));
	assert_false(smtp_server_next(server, &event));
	assert_int_equal(out->len, 0);
	smtp_server_answer(server, REPLY_AUTH_UNAVAILABLE, SPAN_NONE);
	assert_false(smtp_server_next(server, &event));
	check_span("said", buf_span(out),
	           SPAN_LIT("454 4.7.0 Temporary authentication failure\r\n250 2.0.0 OK\r\n"));
	assert_true(smtp_server_wants(server));
	assert_false(smtp_server_is_authenticated(server));
	policy_done(&policy);
}

static void refusals_keep_the_phase(void **state)
{
	(void)state;
	static const struct {
		const char *before;
		const char *question;
		enum reply reply;
		const char *next;
		const char *said;
	} refusals[] = {
		{ "", MAIL, REPLY_STORE_FULL, RCPT, "452 4.3.1,503 5.5.1" },
		{ MAIL, RCPT, REPLY_BUDGET_SPENT, "DATA\r\n", "550 5.7.1,554 5.5.1" },
		{ MAIL RCPT, RCPT, REPLY_BUDGET_SPENT, "DATA\r\n", "550 5.7.1,354" },
		/* No text is read behind a refused DATA. */
		{ MAIL RCPT, "DATA\r\n", REPLY_BUDGET_SPENT, "NOOP\r\n.\r\n",
		  "550 5.7.1,250 2.0.0,500 5.5.2" },
		{ MAIL RCPT "DATA\r\n", ".\r\n", REPLY_STORE_ERROR, RCPT,
		  "451 4.3.0,503 5.5.1" },
		{ MAIL RCPT "DATA\r\n", ".\r\n", REPLY_SHUTDOWN, "NOOP\r\n", "421 4.3.2" },
	};
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct policy policy;
		struct smtp_event event;
		struct buf codes = { .cap = 4096 };
		policy_init(&policy, true);
		policy_feed(&policy, SPAN_LIT(LOGIN));
		policy_feed(&policy, span_str(refusals[i].before));
		buf_clear(&policy.said);
		smtp_server_feed(policy.server, span_str(refusals[i].question));
		assert_true(smtp_server_next(policy.server, &event));
		smtp_server_answer(policy.server, refusals[i].reply, SPAN_NONE);
		policy_feed(&policy, span_str(refusals[i].next));
		summarize(buf_span(&policy.said), &codes);
		check_span(refusals[i].question, buf_span(&codes), span_str(refusals[i].said));
		buf_done(&codes);
		policy_done(&policy);
	}
}

static void hangs_up_out_of_turn(void **state)
{
	(void)state;
	struct policy policy;
	struct smtp_event event;
	policy_init(&policy, true);
	policy_feed(&policy, SPAN_LIT(LOGIN));
	smtp_server_feed(policy.server, SPAN_LIT(MAIL RCPT));
	assert_true(smtp_server_next(policy.server, &event));
	smtp_server_hang_up(policy.server, REPLY_SHUTDOWN, SPAN_NONE);
	smtp_server_hang_up(policy.server, REPLY_TIMEOUT, SPAN_NONE);
	assert_false(smtp_server_is_waiting(policy.server));
	assert_true(smtp_server_next(policy.server, &event));
	assert_int_equal(event.kind, SMTP_EVENT_CLOSE);
	check_span("why", event.text, SPAN_LIT("SHUTDOWN"));
	check_span("said", buf_span(smtp_server_output(policy.server)),
	           SPAN_LIT("421 4.3.2 Server is shutting down\r\n"));
	smtp_server_feed(policy.server, SPAN_LIT("NOOP\r\n"));
	assert_false(smtp_server_next(policy.server, &event));
	assert_false(smtp_server_wants(policy.server));
	policy_done(&policy);
}

static void says_where_it_is(void **state)
{
	(void)state;
	struct policy policy;
	policy_init(&policy, true);
	policy_feed(&policy, SPAN_LIT("EHLO some.client\r\n"));
	check_span("helo", smtp_server_helo(policy.server), SPAN_LIT("some.client"));
	assert_true(smtp_server_is_extended(policy.server));
	policy_feed(&policy, SPAN_LIT("HELO other\r\nAUTH PLAIN " PLAIN "\r\n"));
	assert_false(smtp_server_is_extended(policy.server));
	assert_true(smtp_server_is_authenticated(policy.server));
	assert_false(smtp_server_in_transaction(policy.server));
	policy_feed(&policy, SPAN_LIT(MAIL));
	assert_true(smtp_server_in_transaction(policy.server));
	policy_feed(&policy, SPAN_LIT(RCPT "DATA\r\nx\r\n"));
	assert_true(smtp_server_in_data(policy.server));
	policy_feed(&policy, SPAN_LIT(".\r\n"));
	assert_false(smtp_server_in_data(policy.server));
	assert_false(smtp_server_in_transaction(policy.server));
	policy_done(&policy);
}

/* The body passes through whole, whatever the size of the pieces, without a growing buffer. */
static void a_large_body_passes(void **state)
{
	(void)state;
	struct policy policy;
	struct buf body = { .cap = 1 << 22 };
	for (unsigned i = 0; i < 30000; i++) {
		buf_printf(&body, "%s line %u of a text\r\n", i % 7 ? "a" : ".", i);
	}
	struct smtp_data_out stuffing = { 0 };
	struct buf wire = { .cap = 1 << 22 };
	smtp_data_out_put(&stuffing, buf_span(&body), &wire);
	smtp_data_out_end(&stuffing, &wire);
	policy_init(&policy, true);
	policy_feed(&policy, SPAN_LIT(LOGIN MAIL RCPT "DATA\r\n"));
	feed_split(&policy, buf_span(&wire), 16384, false);
	assert_int_equal(policy.mails, 1);
	assert_true(span_eq(buf_span(&policy.body), buf_span(&body)));
	buf_done(&body);
	buf_done(&wire);
	policy_done(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_in_order),
		cmocka_unit_test(any_split_is_the_same),
		cmocka_unit_test(ehlo_offers_what_may_be_used),
		cmocka_unit_test(prompts_are_exact),
		cmocka_unit_test(tls_forgets),
		cmocka_unit_test(waits_for_answers),
		cmocka_unit_test(refusals_keep_the_phase),
		cmocka_unit_test(hangs_up_out_of_turn),
		cmocka_unit_test(says_where_it_is),
		cmocka_unit_test(a_large_body_passes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
