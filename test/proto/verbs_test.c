#include "check.h"
#include "proto/verbs.h"

/* Parses one command as smtp_server does. */
static enum reply parse(struct span line, struct smtp_event *event)
{
	struct span argument;
	*event = (struct smtp_event){ 0 };
	const struct verb *verb = verb_find(line, &argument);
	return verb ? verb->parse(argument, event) : REPLY_BAD_COMMAND;
}

static void finds_verbs(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		int id; /* -1: unknown */
		const char *argument;
	} rows[] = {
		{ "NOOP", VERB_NOOP, "" },
		{ "noop", VERB_NOOP, "" },
		{ "nOoP  some thing ", VERB_NOOP, "some thing" },
		{ "mail FROM:<a@b>", VERB_MAIL, "FROM:<a@b>" },
		{ "DATA ", VERB_DATA, "" },
		{ "BDAT 5 LAST", VERB_REFUSED, "5 LAST" },
		{ "XCLIENT LOGIN=root", VERB_REFUSED, "LOGIN=root" },
		{ "", -1, "" },
		{ " NOOP", -1, "" },
		{ "NOO", -1, "" },
		{ "NOOPS", -1, "" },
		{ "NOOP\tx", -1, "" },
		{ "DATA.", -1, "" },
		{ "*", -1, "" },
		{ "WIZ", -1, "" },
		{ "DEBUG", -1, "" },
		{ "MAILFROM:<a@b>", -1, "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span argument = SPAN_LIT("");
		const struct verb *verb = verb_find(span_str(rows[i].line), &argument);
		CHECK(rows[i].line, (verb ? (int)verb->id : -1) == rows[i].id);
		check_span(rows[i].line, argument, span_str(rows[i].argument));
	}
}

#define D60 "123456789012345678901234567890123456789012345678901234567890"

static void parses_arguments(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum reply reply;
		const char *whole; /* the address, NULL where it does not matter */
	} rows[] = {
		{ "MAIL FROM:<a@b.example>", REPLY_OK, "a@b.example" },
		{ "MAIL FROM: <a@b.example>", REPLY_OK, "a@b.example" },
		{ "MAIL from:  <a@b.example>  ", REPLY_OK, "a@b.example" },
		{ "MAIL FROM:<>", REPLY_OK, "" },
		{ "MAIL FROM:<@c,@d:a@b.example>", REPLY_OK, "a@b.example" },
		{ "MAIL FROM:<\"odd user\"@b.example>", REPLY_OK, "\"odd user\"@b.example" },
		{ "MAIL FROM:<\"a> SIZE=x\"@b.example>", REPLY_OK, "\"a> SIZE=x\"@b.example" },
		{ "MAIL FROM:a@b.example", REPLY_BAD_SENDER, NULL },
		{ "MAIL FROM:<a@b.example", REPLY_BAD_SENDER, NULL },
		{ "MAIL FROM:<alice>", REPLY_UNQUALIFIED_SENDER, NULL },
		{ "MAIL FROM:<a b@c>", REPLY_BAD_SENDER, NULL },
		{ "MAIL FROM:", REPLY_BAD_SENDER, NULL },
		{ "MAIL", REPLY_BAD_ARGUMENT, NULL },
		{ "MAIL TO:<a@b>", REPLY_BAD_ARGUMENT, NULL },
		{ "MAIL FROM <a@b>", REPLY_BAD_ARGUMENT, NULL },
		{ "MAIL FROM:<a@b>SIZE=1", REPLY_BAD_ARGUMENT, NULL },
		{ "RCPT TO:<a@b.example>", REPLY_OK, "a@b.example" },
		{ "rcpt to: <a@b.example> ", REPLY_OK, "a@b.example" },
		{ "RCPT TO:<>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<@@>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<postmaster>", REPLY_OK, NULL },
		{ "RCPT TO:<hostmaster>", REPLY_UNQUALIFIED, NULL },
		{ "RCPT TO:<a@b.example> NOTIFY=NEVER", REPLY_UNKNOWN_PARAMETER, NULL },
		{ "RCPT TO:<a@b.example> =", REPLY_BAD_ARGUMENT, NULL },
		{ "RCPT FROM:<a@b.example>", REPLY_BAD_ARGUMENT, NULL },
		/* PS25: lengths of RFC 5321 4.5.3.1 */
		{ "RCPT TO:<" D60 "1234@b.example>", REPLY_OK, D60 "1234@b.example" },
		{ "RCPT TO:<" D60 "12345@b.example>", REPLY_BAD_RECIPIENT, NULL },
		/* PS26, and CVE-2020-7046: broken UTF-8 is bad syntax */
		{ "MAIL FROM:<\xc3\xa9@b.example>", REPLY_UTF8_SENDER, NULL },
		{ "RCPT TO:<a@\xe4\xbe\x8b.example>", REPLY_UTF8_RECIPIENT, NULL },
		{ "RCPT TO:<a\xf0\x9f\x98\x80@b.example>", REPLY_UTF8_RECIPIENT, NULL },
		{ "VRFY \xc3\xa9", REPLY_UTF8_RECIPIENT, NULL },
		{ "MAIL FROM:<\x80@b.example>", REPLY_BAD_SENDER, NULL },
		{ "MAIL FROM:<\xff@b.example>", REPLY_BAD_SENDER, NULL },
		{ "RCPT TO:<\xc3@b.example>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<\xe0\x80\xaf@b.example>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<\xed\xa0\x80@b.example>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<\xf4\x90\x80\x80@b.example>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<\xe4\xbe@b.example>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<a@b.example>\xc3", REPLY_BAD_RECIPIENT, NULL },
		/* PS27: opaque */
		{ "RCPT TO:<$(id)`id`|id%n%s@b.example>", REPLY_BAD_RECIPIENT, NULL },
		{ "RCPT TO:<`id`|id%n%s@b.example>", REPLY_OK, "`id`|id%n%s@b.example" },
		{ "RCPT TO:<\";id;\"@b.example>", REPLY_OK, "\";id;\"@b.example" },
		{ "EHLO", REPLY_BAD_ARGUMENT, NULL },
		{ "EHLO  ", REPLY_BAD_ARGUMENT, NULL },
		{ "EHLO DESK_TOP", REPLY_OK, NULL },
		{ "EHLO [IPV6:2001:db8::1]", REPLY_OK, NULL },
		{ "EHLO 2001:db8::1", REPLY_OK, NULL },
		{ "EHLO b\xc3\xbcro", REPLY_OK, NULL },
		{ "EHLO b\xfcro", REPLY_BAD_ARGUMENT, NULL },
		{ "EHLO " D60 D60 D60 D60 "123456789012345", REPLY_OK, NULL },
		{ "EHLO " D60 D60 D60 D60 "1234567890123456", REPLY_BAD_ARGUMENT, NULL },
		{ "DATA x", REPLY_NO_ARGUMENT, NULL },
		{ "RSET x", REPLY_NO_ARGUMENT, NULL },
		{ "QUIT x", REPLY_NO_ARGUMENT, NULL },
		{ "STARTTLS x", REPLY_NO_ARGUMENT, NULL },
		{ "NOOP x", REPLY_OK, NULL },
		{ "HELP x", REPLY_OK, NULL },
		{ "VRFY x", REPLY_OK, NULL },
		{ "AUTH", REPLY_BAD_ARGUMENT, NULL },
		{ "AUTH PL(AIN", REPLY_BAD_ARGUMENT, NULL },
		{ "AUTH A23456789012345678901", REPLY_BAD_ARGUMENT, NULL },
		{ "AUTH SCRAM-SHA-256-PLUS x", REPLY_OK, NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_event event;
		enum reply reply = parse(span_str(rows[i].line), &event);
		check_span(rows[i].line, span_str(reply_row(reply)->name),
		           span_str(reply_row(rows[i].reply)->name));
		if (rows[i].whole) {
			check_span(rows[i].line, event.address.whole, span_str(rows[i].whole));
		}
	}
}

static void ps24_parameters_of_mail(void **state)
{
	(void)state;
	static const struct {
		const char *parameters;
		enum reply reply;
		uint64_t size;
		enum smtp_body body;
	} rows[] = {
		{ "", REPLY_OK, 0, SMTP_BODY_UNSAID },
		{ "SIZE=100 BODY=8BITMIME AUTH=<>", REPLY_OK, 100, SMTP_BODY_8BITMIME },
		{ "size=00100  body=7bit", REPLY_OK, 100, SMTP_BODY_7BIT },
		{ "SIZE=0", REPLY_OK, 0, SMTP_BODY_UNSAID },
		{ "SIZE=9223372036854775807", REPLY_OK, INT64_MAX, SMTP_BODY_UNSAID },
		{ "SIZE=9223372036854775808", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=18446744073709551616", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=99999999999999999999", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=000000000000000000001", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=-1", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=+1", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=0x10", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=1 SIZE=1", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "SIZE=1 body=7BIT size=2", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "BODY=X", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "BODY=BINARYMIME", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "BODY", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=a@b.example", REPLY_OK, 0, 0 },
		{ "AUTH=<a@b.example>", REPLY_OK, 0, 0 },
		{ "AUTH=alice", REPLY_OK, 0, 0 },
		{ "AUTH=e+3Dmc2@b.example", REPLY_OK, 0, 0 },
		{ "AUTH=", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=\"", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=<a@b.example", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=<a@b.example>x", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=a=b@c", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=a+zz@c", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=a@c+4", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=a@c+0D+0A", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "AUTH=<> AUTH=<>", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "FOO=bar", REPLY_UNKNOWN_PARAMETER, 0, 0 },
		{ "FOO", REPLY_UNKNOWN_PARAMETER, 0, 0 },
		{ "SMTPUTF8", REPLY_UNKNOWN_PARAMETER, 0, 0 },
		{ "RET=HDRS", REPLY_UNKNOWN_PARAMETER, 0, 0 },
		{ "=", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "=5", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "\"", REPLY_BAD_ARGUMENT, 0, 0 },
		{ "-X=1", REPLY_BAD_ARGUMENT, 0, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf line = { .cap = 4096 };
		struct smtp_event event;
		buf_printf(&line, "MAIL FROM:<a@b.example> %s", rows[i].parameters);
		enum reply reply = parse(buf_span(&line), &event);
		check_span(rows[i].parameters, span_str(reply_row(reply)->name),
		           span_str(reply_row(rows[i].reply)->name));
		if (reply == REPLY_OK) {
			CHECK(rows[i].parameters, event.size == rows[i].size);
			CHECK(rows[i].parameters, event.body == rows[i].body);
		}
		buf_done(&line);
	}
}

static void parses_auth(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		const char *mechanism;
		const char *response; /* NULL: none was given */
	} rows[] = {
		{ "AUTH PLAIN", "PLAIN", NULL },
		{ "AUTH PLAIN ", "PLAIN", NULL },
		{ "auth login dXNlcg==", "login", "dXNlcg==" },
		{ "AUTH PLAIN =", "PLAIN", "=" },
		{ "AUTH  PLAIN  AA==", "PLAIN", "AA==" },
		{ "AUTH PLAIN AA== BB==", "PLAIN", "AA== BB==" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_event event;
		CHECK(rows[i].line, parse(span_str(rows[i].line), &event) == REPLY_OK);
		check_span(rows[i].line, event.text, span_str(rows[i].mechanism));
		check_span(rows[i].line, event.response, span_str(rows[i].response));
		CHECK(rows[i].line, event.has_response == (rows[i].response != NULL));
	}
}

/* What a session lacks, in the order in which a client should mend it. */
static void objects_in_order(void **state)
{
	(void)state;
	enum { TLS = 1, AUTH = 2, OPTIONAL = 4, UNOFFERED = 8 };
	static const struct {
		const char *verb;
		unsigned state;
		enum verb_phase phase;
		enum reply reply;
	} rows[] = {
		{ "MAIL", 0, PHASE_START, REPLY_NEED_TLS },
		{ "MAIL", OPTIONAL, PHASE_START, REPLY_NEED_HELO },
		{ "MAIL", TLS, PHASE_START, REPLY_NEED_HELO },
		{ "MAIL", TLS, PHASE_IDLE, REPLY_NEED_AUTH },
		{ "MAIL", OPTIONAL, PHASE_IDLE, REPLY_NEED_AUTH },
		{ "MAIL", TLS | AUTH, PHASE_IDLE, REPLY_OK },
		{ "MAIL", TLS | AUTH, PHASE_MAIL, REPLY_BAD_SEQUENCE },
		{ "RCPT", TLS, PHASE_IDLE, REPLY_NEED_AUTH },
		{ "RCPT", TLS | AUTH, PHASE_IDLE, REPLY_BAD_SEQUENCE },
		{ "RCPT", TLS | AUTH, PHASE_MAIL, REPLY_OK },
		{ "DATA", TLS | AUTH, PHASE_IDLE, REPLY_BAD_SEQUENCE },
		{ "DATA", TLS | AUTH, PHASE_MAIL, REPLY_NEED_RECIPIENT },
		{ "DATA", TLS | AUTH, PHASE_RCPT, REPLY_OK },
		{ "AUTH", 0, PHASE_START, REPLY_NEED_TLS },
		{ "AUTH", OPTIONAL, PHASE_IDLE, REPLY_NEED_TLS },
		{ "AUTH", TLS, PHASE_START, REPLY_NEED_HELO },
		{ "AUTH", TLS, PHASE_IDLE, REPLY_OK },
		{ "AUTH", TLS | AUTH, PHASE_IDLE, REPLY_ALREADY_AUTH },
		{ "AUTH", TLS, PHASE_MAIL, REPLY_BAD_SEQUENCE },
		{ "STARTTLS", 0, PHASE_START, REPLY_OK },
		{ "STARTTLS", TLS, PHASE_IDLE, REPLY_ALREADY_TLS },
		{ "STARTTLS", UNOFFERED | OPTIONAL, PHASE_IDLE, REPLY_UNSUPPORTED },
		{ "STARTTLS", OPTIONAL, PHASE_MAIL, REPLY_BAD_SEQUENCE },
		{ "EHLO", 0, PHASE_START, REPLY_OK },
		{ "QUIT", 0, PHASE_RCPT, REPLY_OK },
		{ "RSET", 0, PHASE_START, REPLY_OK },
		{ "VRFY", 0, PHASE_START, REPLY_NEED_TLS },
		{ "VRFY", TLS, PHASE_START, REPLY_OK },
		{ "HELP", 0, PHASE_IDLE, REPLY_NEED_TLS },
		{ "XCLIENT", 0, PHASE_START, REPLY_NEED_TLS },
		{ "XCLIENT", TLS, PHASE_START, REPLY_UNSUPPORTED },
		{ "ETRN", TLS | AUTH, PHASE_IDLE, REPLY_UNSUPPORTED },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span argument;
		const struct verb_context now = {
			.phase = rows[i].phase,
			.tls = rows[i].state & TLS,
			.need_tls = !(rows[i].state & OPTIONAL),
			.starttls = !(rows[i].state & UNOFFERED),
			.authenticated = rows[i].state & AUTH,
		};
		const struct verb *verb = verb_find(span_str(rows[i].verb), &argument);
		assert_non_null(verb);
		check_span(rows[i].verb, span_str(reply_row(verb_objection(verb, &now))->name),
		           span_str(reply_row(rows[i].reply)->name));
	}
}

static void knows_other_protocols(void **state)
{
	(void)state;
	assert_string_equal(verb_foreign(SPAN_LIT("POST / HTTP/1.1")), "http");
	assert_string_equal(verb_foreign(SPAN_LIT("CONNECT a:25 HTTP/1.1")), "http");
	assert_string_equal(verb_foreign(SPAN_LIT("SSH-2.0-x")), "ssh");
	assert_null(verb_foreign(SPAN_LIT("GET")));
	assert_null(verb_foreign(SPAN_LIT("EHLO GET ")));
	assert_null(verb_foreign(SPAN_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_verbs),
		cmocka_unit_test(parses_arguments),
		cmocka_unit_test(ps24_parameters_of_mail),
		cmocka_unit_test(parses_auth),
		cmocka_unit_test(objects_in_order),
		cmocka_unit_test(knows_other_protocols),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
