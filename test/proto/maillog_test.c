#include "check.h"

#include "proto/maillog.h"

#include <stdio.h>

#define SMTPD   "Nov 25 03:00:00 mail postfix/submission/smtpd[123]: "
#define CLEANUP "Nov 25 03:00:01 mail postfix/cleanup[124]: "
#define QMGR    "Nov 25 03:00:01 mail postfix/qmgr[125]: "
#define SMTP    "Nov 25 03:00:02 mail postfix/smtp[126]: "
#define LOCAL   "Nov 25 03:00:02 mail postfix/local[127]: "
#define CLIENT  "client=pc.example.org[192.0.2.5]"
#define LOGIN   CLIENT ", sasl_method=PLAIN, sasl_username=alice"
#define SENT \
	", relay=mx.example.net[198.51.100.1]:25, delay=0.3, delays=0.1/0/0.1/0.1, " \
	"dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 1234)"
#define LINES_MAX 16

/* "account client rest: recipient recipient", a line an event. */
static void write_events(struct maillog *log, struct buf *out)
{
	struct maillog_event event;
	while (maillog_next(log, &event)) {
		buf_printf(out, "%lld %.*s %.*s +%u:", (long long)(event.at / 1000),
		           SPAN_ARG(event.account), SPAN_ARG(event.client), event.rest);
		for (size_t i = 0; i < event.nrecipients; i++) {
			buf_printf(out, " %.*s", SPAN_ARG(event.recipient[i]));
		}
		buf_put_str(out, "\n");
	}
}

struct row {
	const char *name;
	const char *line[LINES_MAX];
	const char *events;
	unsigned bad;
};

static void play(const struct row *row, size_t open_max)
{
	struct maillog *log = maillog_new(open_max);
	struct buf out = { .cap = 65536 };
	unsigned bad = 0;
	maillog_file(log, 2026);
	for (size_t i = 0; i < LINES_MAX && row->line[i]; i++) {
		bad += maillog_feed(log, span_str(row->line[i])) == MAILLOG_BAD;
		write_events(log, &out);
	}
	maillog_end(log);
	write_events(log, &out);
	check_span(row->name, buf_span(&out), span_str(row->events));
	assert_int_equal(bad, row->bad);
	assert_false(maillog_failed(log));
	buf_done(&out);
	maillog_free(log);
}

static void postfix(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "one message",
		  { SMTPD "connect from pc.example.org[192.0.2.5]", SMTPD "4F1A2B3C4D: " LOGIN,
		    CLEANUP "4F1A2B3C4D: message-id=<1@example.org>",
		    QMGR
		    "4F1A2B3C4D: from=<alice@example.org>, size=312, nrcpt=2 (queue active)",
		    SMTP "4F1A2B3C4D: to=<bob@example.net>" SENT,
		    SMTP "4F1A2B3C4D: to=<carol@example.com>" SENT,
		    QMGR "4F1A2B3C4D: removed" },
		  "1795575601 alice 192.0.2.5 +0: bob@example.net carol@example.com\n",
		  0 },
		{ "nobody logged in",
		  { SMTPD "4F1A2B3C4D: " CLIENT,
		    QMGR "4F1A2B3C4D: from=<a@example.com>, size=312, nrcpt=1 (queue active)",
		    SMTP "4F1A2B3C4D: to=<bob@example.net>" SENT, QMGR "4F1A2B3C4D: removed" },
		  "",
		  0 },
		{ "given up before the end of data", { SMTPD "4F1A2B3C4D: " LOGIN }, "", 0 },
		{ "deferred, tried again, bounced: each recipient once",
		  { SMTPD "4F1A2B3C4D: " LOGIN,
		    QMGR "4F1A2B3C4D: from=<a@example.com>, size=312, nrcpt=2 (queue active)",
		    SMTP "4F1A2B3C4D: to=<bob@EXAMPLE.net>, relay=none, status=deferred (x)",
		    SMTP "4F1A2B3C4D: to=<carol@example.com>, status=bounced (550, to=<x@y>)",
		    QMGR "4F1A2B3C4D: from=<a@example.com>, size=312, nrcpt=1 (queue active)",
		    SMTP "4F1A2B3C4D: to=<bob@example.net>" SENT, QMGR "4F1A2B3C4D: removed" },
		  "1795575601 alice 192.0.2.5 +0: bob@example.net carol@example.com\n",
		  0 },
		{ "the log ends, and not all recipients are known",
		  { SMTPD "4F1A2B3C4D: " LOGIN,
		    QMGR "4F1A2B3C4D: from=<a@example.com>, size=312, nrcpt=50 (queue active)",
		    SMTP "4F1A2B3C4D: to=<bob@example.net>" SENT },
		  "1795575601 alice 192.0.2.5 +49: bob@example.net\n",
		  0 },
		{ "an alias counts as what was written",
		  { SMTPD "4F1A2B3C4D: " LOGIN,
		    QMGR "4F1A2B3C4D: from=<a@example.com>, size=312, nrcpt=3 (queue active)",
		    LOCAL "4F1A2B3C4D: to=<u1@example.org>, orig_to=<staff@example.org>, "
		          "relay=local, status=sent (delivered)",
		    LOCAL "4F1A2B3C4D: to=<u2@example.org>, orig_to=<staff@example.org>, "
		          "relay=local, status=sent (delivered)",
		    SMTP "4F1A2B3C4D: to=<bob@example.net>" SENT, QMGR "4F1A2B3C4D: removed" },
		  "1795575601 alice 192.0.2.5 +0: staff@example.org bob@example.net\n",
		  0 },
		{ "a queue id again, and one of another host",
		  { SMTPD "4F1A2B3C4D: " LOGIN,
		    QMGR "4F1A2B3C4D: from=<a@example.com>, size=312, nrcpt=1 (queue active)",
		    "Nov 25 03:00:02 other postfix/smtpd[1]: 4F1A2B3C4D: "
		    "client=h[2001:db8::1]:4711, "
		    "sasl_method=LOGIN, sasl_username=dave@example.org, sasl_sender=x",
		    SMTPD
		    "4F1A2B3C4D: client=h[192.0.2.6], sasl_method=PLAIN, sasl_username=carol",
		    SMTP "4F1A2B3C4D: to=<bob@example.net>" SENT, QMGR "4F1A2B3C4D: removed",
		    "Nov 25 03:00:02 other postfix/smtp[1]: 4F1A2B3C4D: "
		    "to=<e@example.net>" SENT },
		  "1795575601 alice 192.0.2.5 +1:\n"
		  "1795575600 carol 192.0.2.6 +0: bob@example.net\n"
		  "1795575602 dave@example.org 2001:db8::1 +0: e@example.net\n",
		  0 },
		{ "long queue ids, RFC 3339, CR",
		  { "2026-11-25T04:00:00.5+01:00 mail postfix/smtpd[1]: 4bQFcw1bGhz9rxM: " LOGIN
		    "\r",
		    "2026-11-25T04:00:01+01:00 mail postfix/qmgr[1]: 4bQFcw1bGhz9rxM: "
		    "from=<>, size=1, nrcpt=1 (queue active)\r",
		    "2026-11-25T04:00:02+01:00 mail postfix/lmtp[1]: 4bQFcw1bGhz9rxM: "
		    "to=<\"a>, b\"@example.net>" SENT "\r",
		    "2026-11-25T04:00:02+01:00 mail postfix/qmgr[1]: 4bQFcw1bGhz9rxM: "
		    "removed\r" },
		  "1795575601 alice 192.0.2.5 +0: \"a>, b\"@example.net\n",
		  0 },
		{ "of no interest",
		  { "Nov 25 03:00:00 mail dovecot: imap-login: Login: user=<alice>", "", "# x",
		    SMTPD "warning: hostname x does not resolve", "   ",
		    SMTPD "NOQUEUE: reject: RCPT from x[1.2.3.4]: 554 5.7.1 <b@c>: no; "
		          "sasl_username=alice",
		    SMTPD "NOQUEUE: " LOGIN, QMGR "4F1A2B3C4D: removed",
		    SMTP "4F1A2B3C4D: to=<bob@example.net>" SENT, SMTPD },
		  "",
		  0 },
		{ "neither nor", { "hello", "Nov 25 mail", "x\ty\tz" }, "", 3 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		play(&rows[i], 0);
	}
}

static void rows(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "all forms",
		  { "1795575600\talice\tbob@example.net",
		    "1795575600.75\talice\tbob@EXAMPLE.net",
		    "2026-11-25T03:00:00Z\talice@example.org\tbob@example.net\t192.0.2.5",
		    "2026-11-25T04:00:00+01:00\ta\tno address\t192.0.2.0/24\r",
		    "1795575600\talice\tb\303\266b@example.net" },
		  "1795575600 alice  +0: bob@example.net\n"
		  "1795575600 alice  +0: bob@example.net\n"
		  "1795575600 alice@example.org 192.0.2.5 +0: bob@example.net\n"
		  "1795575600 a 192.0.2.0/24 +0: no address\n"
		  "1795575600 alice  +0: b\303\266b@example.net\n",
		  0 },
		{ "no rows",
		  { "1795575600\talice", "1795575600\t\tbob@example.net", "1795575600\talice\t",
		    "1795575600x\talice\tbob@example.net", "-1\talice\tbob@example.net",
		    "999999999999\talice\tbob@example.net", "1.x\talice\tbob@example.net",
		    "Nov 25 03:00:00\talice\tbob@example.net",
		    "1795575600\talice\tbob@example.net\t192.0.2.5\tx",
		    "\talice\tbob@example.net" },
		  "",
		  10 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		play(&rows[i], 0);
	}
}

/* Beyond the bound the oldest is given out as it is; what comes for it later is nobody's. */
static void bounded(void **state)
{
	(void)state;
	static const struct row row = {
		"two places",
		{ SMTPD "AAAA1: " LOGIN, QMGR "AAAA1: from=<a@b>, nrcpt=9 (queue active)",
		  SMTPD "AAAA2: " LOGIN, SMTP "AAAA2: to=<b2@example.net>" SENT,
		  SMTPD "AAAA3: " LOGIN, SMTP "AAAA1: to=<b1@example.net>" SENT,
		  SMTP "AAAA3: to=<b3@example.net>" SENT },
		"1795575601 alice 192.0.2.5 +9:\n"
		"1795575600 alice 192.0.2.5 +0: b2@example.net\n"
		"1795575600 alice 192.0.2.5 +0: b3@example.net\n",
		0,
	};
	play(&row, 2);
}

/* The names of a message have a bound; its count has not. */
static void many_recipients(void **state)
{
	(void)state;
	struct maillog *log = maillog_new(0);
	struct maillog_event event;
	char text[200];
	maillog_file(log, 2026);
	maillog_feed(log, SPAN_LIT(SMTPD "AAAA1: " LOGIN));
	maillog_feed(log, SPAN_LIT(QMGR "AAAA1: from=<a@b>, nrcpt=10500 (queue active)"));
	for (int i = 0; i < 10500; i++) {
		int len = snprintf(text, sizeof text, SMTP "AAAA1: to=<b%d@example.net>, x", i);
		maillog_feed(log, span_of(text, (size_t)len));
	}
	maillog_end(log);
	assert_true(maillog_next(log, &event));
	assert_int_equal(event.nrecipients, MAILLOG_RECIPIENTS_MAX);
	assert_int_equal(event.rest, 500);
	assert_false(maillog_next(log, &event));
	maillog_free(log);
}

/* The year of each line follows from the last one and from the date of the file. */
static void scan(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"hello",
		"Nov 25 03:00:00 mail postfix/qmgr[1]: x",
		"Jan  1 03:00:00 mail postfix/qmgr[1]: x",
		"Oct  1 03:00:00 mail postfix/qmgr[1]: x",
		"Jan 10 03:00:00 mail postfix/qmgr[1]: x",
	};
	struct maillog_scan scan = { .any = false };
	int year = 0;
	int64_t begin = 0;
	maillog_scan_end(&scan, 1795575600000, &year, &begin);
	assert_true(begin == INT64_MAX);
	for (size_t i = 0; i < COUNT(lines); i++) {
		maillog_scan_line(&scan, span_str(lines[i]));
	}
	maillog_scan_end(&scan, 1795575600000, &year, &begin);
	assert_int_equal(year, 2024);
	assert_int_equal(begin / 1000, 1732503600); /* 2024-11-25T03:00:00Z */

	scan = (struct maillog_scan){ .any = false };
	maillog_scan_line(&scan, SPAN_LIT("1795575600\talice\tbob@example.net"));
	maillog_scan_line(&scan, SPAN_LIT("5\talice\tbob@example.net"));
	maillog_scan_end(&scan, 0, &year, &begin);
	assert_int_equal(begin / 1000, 1795575600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(postfix), cmocka_unit_test(rows),
		cmocka_unit_test(bounded), cmocka_unit_test(many_recipients),
		cmocka_unit_test(scan),
	};
	return cmocka_run_group_tests_name("maillog", tests, NULL, NULL);
}
