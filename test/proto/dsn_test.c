#include "check.h"

#include "proto/dsn.h"

static const struct dsn_recipient bob = {
	SPAN_LIT("bob@example.net"),
	SPAN_LIT("5.1.1"),
	SPAN_LIT("550 5.1.1 no such user"),
	SPAN_LIT("mx.example.net"),
};

static struct dsn sample(const struct dsn_recipient *recipients, size_t n)
{
	return (struct dsn){
		.hostname = SPAN_LIT("mail.example.org"),
		.to = SPAN_LIT("alice@example.org"),
		.id = SPAN_LIT("3f2a"),
		.now = 1795575600,
		.arrived = 1795575000,
		.recipients = recipients,
		.nrecipients = n,
		.original = SPAN_LIT("Subject: hi\r\nFrom: alice\r\n\r\nbody\r\n"),
	};
}

static void test_whole(void **state)
{
	(void)state;
	const struct dsn_recipient two[] = {
		bob, { SPAN_LIT("eve@example.com"), SPAN_LIT("4.4.7"), SPAN_NONE, SPAN_NONE }
	};
	struct dsn dsn = sample(two, 2);
	struct buf out = { .cap = 10000 };
	dsn_write(&dsn, &out);
	check_span(
	    "whole", buf_span(&out),
	    SPAN_LIT("From: Mail Delivery System <MAILER-DAEMON@mail.example.org>\r\n"
	             "To: <alice@example.org>\r\n"
	             "Subject: Undelivered mail returned to sender\r\n"
	             "Date: Wed, 25 Nov 2026 03:00:00 +0000\r\n"
	             "Message-ID: <dsn.3f2a.1795575600@mail.example.org>\r\n"
	             "Auto-Submitted: auto-replied\r\n"
	             "MIME-Version: 1.0\r\n"
	             "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	             " boundary=\"=_3f2a.1795575600.0\"\r\n"
	             "\r\n"
	             "--=_3f2a.1795575600.0\r\n"
	             "Content-Type: text/plain; charset=us-ascii\r\n"
	             "\r\n"
	             "This is the mail system at mail.example.org.\r\n"
	             "\r\n"
	             "Your message could not be delivered to the following addresses. It will "
	             "not be\r\n"
	             "tried again.\r\n"
	             "\r\n"
	             "    bob@example.net\r\n"
	             "        The mail server mx.example.net said: 550 5.1.1 no such user\r\n"
	             "\r\n"
	             "    eve@example.com\r\n"
	             "        No mail server took it in time.\r\n"
	             "\r\n"
	             "Your message is attached. If you need help, show this mail to your "
	             "postmaster;\r\n"
	             "your message had the queue id 3f2a.\r\n"
	             "\r\n"
	             "--=_3f2a.1795575600.0\r\n"
	             "Content-Type: message/delivery-status\r\n"
	             "\r\n"
	             "Reporting-MTA: dns; mail.example.org\r\n"
	             "X-Gatepost-Queue-ID: 3f2a\r\n"
	             "Arrival-Date: Wed, 25 Nov 2026 02:50:00 +0000\r\n"
	             "\r\n"
	             "Final-Recipient: rfc822; bob@example.net\r\n"
	             "Action: failed\r\n"
	             "Status: 5.1.1\r\n"
	             "Remote-MTA: dns; mx.example.net\r\n"
	             "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
	             "\r\n"
	             "Final-Recipient: rfc822; eve@example.com\r\n"
	             "Action: failed\r\n"
	             "Status: 4.4.7\r\n"
	             "\r\n"
	             "--=_3f2a.1795575600.0\r\n"
	             "Content-Type: message/rfc822\r\n"
	             "\r\n"
	             "Subject: hi\r\n"
	             "From: alice\r\n"
	             "\r\n"
	             "body\r\n"
	             "\r\n"
	             "--=_3f2a.1795575600.0--\r\n"));
	buf_done(&out);
}

/* Fails unless `text` is somewhere in the report. */
static void check_has(const char *what, const struct buf *out, const char *text)
{
	if (!memmem(out->ptr, out->len, text, strlen(text))) {
		fail_msg("%s: no \"%s\" in \"%.*s\"", what, text, SPAN_ARG(buf_span(out)));
	}
}

static void check_has_not(const char *what, const struct buf *out, const char *text)
{
	CHECK(what, !memmem(out->ptr, out->len, text, strlen(text)));
}

static void test_header_only(void **state)
{
	(void)state;
	struct dsn dsn = sample(&bob, 1);
	struct buf out = { .cap = 10000 };
	dsn.header_only = true;
	dsn.eight_bit = true;
	dsn_write(&dsn, &out);
	check_has("type", &out,
	          "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n"
	          "\r\nSubject: hi\r\nFrom: alice\r\n\r\n--=_3f2a.1795575600.0--\r\n");
	check_has(
	    "top", &out,
	    "boundary=\"=_3f2a.1795575600.0\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
	check_has("words", &out, "The header of your message is attached.");
	check_has("words", &out, "the following address. It");
	check_has_not("body", &out, "body\r\n");
	buf_done(&out);
}

/* What a hostile smarthost, client or message may put in, and what must and must not be there.
 */
static void test_hostile(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct dsn_recipient recipient;
		struct span original;
		const char *has, *has_not;
	} rows[] = {
		{ "a field in the answer",
		  { { "b@c", 3 },
		    { "5.1.1", 5 },
		    { "550 x\r\nBcc: eve\r\n\r\n--", 22 },
		    { "m", 1 } },
		  { "a\r\n", 3 },
		  "Diagnostic-Code: smtp; 550 x??Bcc: eve????"
		  "--\r\n",
		  "\r\nBcc" },
		{ "a field in the address",
		  { { "\"\n\"@c", 5 }, { "5.1.1", 5 }, { "550 x", 5 }, { "m", 1 } },
		  { "a\r\n", 3 },
		  "Final-Recipient: rfc822; \"?\"@c\r\n",
		  "\"\n" },
		{ "a field in the server's name",
		  { { "b@c", 3 }, { "5.1.1", 5 }, { "550 x", 5 }, { "m\rX: y", 6 } },
		  { "a\r\n", 3 },
		  "Remote-MTA: dns; m?X: y\r\n",
		  "\rX" },
		{ "8-bit in the answer",
		  { { "b@c", 3 }, { "5.1.1", 5 }, { "550 \xc3\xa4", 6 }, { "m", 1 } },
		  { "a\r\n", 3 },
		  "Diagnostic-Code: smtp; 550 ??\r\n",
		  "\xc3" },
		{ "no status",
		  { { "b@c", 3 }, { "", 0 }, { "550 x", 5 }, { "", 0 } },
		  { "a\r\n", 3 },
		  "Status: 5.0.0\r\n",
		  "Remote-MTA" },
		{ "a status that is a success",
		  { { "b@c", 3 }, { "2.1.0", 5 }, { "550 x", 5 }, { "", 0 } },
		  { "a\r\n", 3 },
		  "Status: 5.0.0\r\n",
		  "2.1.0" },
		{ "a status that goes on",
		  { { "b@c", 3 }, { "5.1.1 x", 7 }, { "550 x", 5 }, { "", 0 } },
		  { "a\r\n", 3 },
		  "Status: 5.0.0\r\n",
		  "5.1.1" },
		{ "the boundary in the message",
		  { { "b@c", 3 }, { "5.1.1", 5 }, { "550 x", 5 }, { "", 0 } },
		  { "a\r\n--=_3f2a.1795575600.0\r\n--=_3f2a.1795575600.1--\r\n", 51 },
		  "boundary=\"=_3f2a.1795575600.2\"\r\n",
		  "--=_3f2a.1795575600.3" },
		{ "bare line ends, a NUL, no last line end",
		  { { "b@c", 3 }, { "5.1.1", 5 }, { "550 x", 5 }, { "", 0 } },
		  { "a\nb\rc\0\0d\r\r\n\ne", 13 },
		  "\r\n\r\na\r\nb\r\nc??d\r\n\r\n\r\ne\r\n\r\n--",
		  "\n\n" },
		{ "nothing to return",
		  { { "b@c", 3 }, { "5.1.1", 5 }, { "550 x", 5 }, { "", 0 } },
		  { "", 0 },
		  "message/rfc822\r\n\r\n\r\n--=_3f2a.1795575600.0--\r\n",
		  "\n\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct dsn dsn = sample(&rows[i].recipient, 1);
		struct buf out = { .cap = 100000 };
		dsn.original = rows[i].original;
		dsn_write(&dsn, &out);
		check_has(rows[i].name, &out, rows[i].has);
		check_has_not(rows[i].name, &out, rows[i].has_not);
		CHECK(rows[i].name, !out.failed);
		buf_done(&out);
	}
}

/* No line beyond 998, whatever is long. */
static void test_long(void **state)
{
	(void)state;
	static char big[5000];
	memset(big, 'x', sizeof big);
	struct span span = span_of(big, sizeof big);
	struct dsn_recipient recipient = { span, span, span, span };
	struct dsn dsn = sample(&recipient, 1);
	struct buf out = { .cap = 100000 };
	dsn.original = dsn.id = dsn.to = dsn.hostname = span;
	dsn_write(&dsn, &out);
	size_t originals = 0;
	for (struct span rest = buf_span(&out); rest.len;) {
		size_t n = span_find(rest, '\r');
		assert_true(n <= 998 && n + 1 < rest.len && rest.ptr[n + 1] == '\n');
		originals += n == 998;
		rest = span_from(rest, n + 2);
	}
	assert_int_equal(originals, 5);
	buf_done(&out);
}

static void test_full(void **state)
{
	(void)state;
	struct dsn dsn = sample(&bob, 1);
	struct buf out = { .cap = 1000 };
	dsn_write(&dsn, &out);
	assert_true(out.failed);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),   cmocka_unit_test(test_header_only),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_long),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
