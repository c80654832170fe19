/* Hostile bytes, endless lines, errors, idling and floods: what ends a session or fails to. */
#include "smtp_server_help.h"

/* PS20: no byte of a command is taken for its end or lost. */
static void ps20_hostile_bytes_anywhere(void **state)
{
	(void)state;
	static const char hostile[] = { '\0', '\r', '\v', '\x1b', '\x7f', '\x80', '\xff' };
	static const char *const commands[] = { "EHLO client.example",
		                                "MAIL FROM:<a@b.example>",
		                                "RCPT TO:<c@d.example>" };
	for (size_t c = 0; c < COUNT(commands); c++) {
		struct span command = span_str(commands[c]);
		for (size_t at = 0; at < command.len; at++) {
			for (size_t h = 0; h < sizeof hostile; h++) {
				struct policy policy;
				struct buf line = { .cap = 4096 };
				policy_init(&policy, true);
				policy_feed(&policy, SPAN_LIT(LOGIN));
				policy_feed(&policy, c == 2 ? SPAN_LIT(MAIL) : SPAN_NONE);
				buf_clear(&policy.said);
				buf_clear(&policy.log);
				buf_put(&line, span_first(command, at));
				buf_put_byte(&line, hostile[h]);
				buf_put(&line, span_from(command, at));
				buf_put_str(&line, "\r\n");
				policy_feed(&policy, buf_span(&line));
				CHECK(commands[c], span_starts_nocase(buf_span(&policy.said),
				                                      SPAN_LIT("50")));
				CHECK(commands[c], policy.log.len == 0);
				buf_done(&line);
				policy_done(&policy);
			}
		}
	}
}

/* A line of `len` bytes with its CRLF, of `head` and x's. */
static void feed_line(struct policy *policy, const char *head, size_t len)
{
	struct buf line = { .cap = len };
	buf_put_str(&line, head);
	while (line.len < len - 2) {
		buf_put_byte(&line, 'A');
	}
	buf_put_str(&line, "\r\n");
	policy_feed(policy, buf_span(&line));
	buf_done(&line);
}

static void ps22_lengths_of_lines(void **state)
{
	(void)state;
	static const struct {
		const char *before;
		const char *head;
		size_t len;
		const char *said;
	} lines[] = {
		{ "", "NOOP ", 4096, "250 2.0.0" },
		{ "", "NOOP ", 4097, "500 5.5.2" },
		{ "", "NOOP ", 60000, "500 5.5.2" },
		{ "", "NOOP ", 100000, "421 4.7.0" },
		/* AU06; 12288 octets and CRLF, of which "AUTH PLAIN " leaves no whole quanta */
		{ "", "AUTH PLAIN ", 11 + 12276 + 2, "535 5.7.8" },
		{ "", "AUTH PLAIN ", 12290, "501 5.5.2" },
		{ "", "AUTH PLAIN ", 12291, "500 5.5.6" },
		{ "AUTH PLAIN\r\n", "", 12290, "535 5.7.8" },
		{ "AUTH PLAIN\r\n", "", 12291, "500 5.5.6" },
		{ "AUTH PLAIN\r\n", "", 100000, "421 4.7.0" },
	};
	for (size_t i = 0; i < COUNT(lines); i++) {
		struct policy policy;
		struct buf codes = { .cap = 4096 };
		policy_init(&policy, true);
		policy_feed(&policy, SPAN_LIT("EHLO c\r\n"));
		policy_feed(&policy, span_str(lines[i].before));
		buf_clear(&policy.said);
		feed_line(&policy, lines[i].head, lines[i].len);
		summarize(buf_span(&policy.said), &codes);
		check_span(lines[i].head, buf_span(&codes), span_str(lines[i].said));
		if (!policy.closed) {
			buf_clear(&policy.said);
			policy_feed(&policy, SPAN_LIT("NOOP\r\n"));
			summarize(buf_span(&policy.said), &codes);
			check_span("next", buf_span(&codes), SPAN_LIT("250 2.0.0"));
		}
		buf_done(&codes);
		policy_done(&policy);
	}
}

static void ps22_a_line_without_end_is_given_up(void **state)
{
	(void)state;
	struct policy policy;
	char piece[1000];
	size_t fed = 0;
	memset(piece, 'A', sizeof piece);
	policy_init(&policy, true);
	while (!policy.closed && fed < 1000000) {
		policy_feed(&policy, span_of(piece, sizeof piece));
		fed += sizeof piece;
	}
	check_span("why", buf_span(&policy.log), SPAN_LIT("CLOSE endless-line\n"));
	assert_in_range(fed, 64000, 80000);
	policy_done(&policy);
}

static void too_many_errors_end_the_session(void **state)
{
	(void)state;
	struct policy policy;
	struct buf codes = { .cap = 4096 };
	policy_init(&policy, true);
	policy.rules.errors_max = 2;
	policy_feed(&policy, SPAN_LIT("A\r\nB\r\nNOOP\r\nC\r\nD\r\n"));
	summarize(buf_span(&policy.said), &codes);
	check_span("codes", buf_span(&codes),
	           SPAN_LIT("220,500 5.5.2,500 5.5.2,250 2.0.0,421 4.7.0"));
	check_span("log", buf_span(&policy.log), SPAN_LIT("CLOSE TOO_MANY_ERRORS\n"));
	policy_done(&policy);

	/* A message that was taken wipes the slate; what policy refuses does not count. */
	policy_init(&policy, true);
	policy.rules.errors_max = 2;
	policy_feed(&policy,
	            SPAN_LIT(LOGIN "A\r\nB\r\n" SEND "A\r\nB\r\nMAIL FROM:<a>\r\n"
	                           "MAIL FROM:<a>\r\nMAIL FROM:<\xc3\xa9@b.c>\r\nNOOP\r\n"));
	assert_false(policy.closed);
	policy_done(&policy);
	buf_done(&codes);
}

static void idling_ends_the_session(void **state)
{
	(void)state;
	struct policy policy;
	policy_init(&policy, true);
	policy.rules.junk_max = 3;
	policy_feed(&policy, SPAN_LIT("NOOP\r\nEHLO c\r\nAUTH PLAIN " PLAIN "\r\nRSET\r\n" SEND
	                              "VRFY x\r\nHELP\r\n" SEND "RSET\r\nNOOP\r\n"));
	assert_false(policy.closed);
	policy_feed(&policy, SPAN_LIT("NOOP\r\n" MAIL "RSET\r\nNOOP\r\n"));
	assert_true(policy.closed);
	struct span log = buf_span(&policy.log);
	check_span("why", span_from(log, log.len - 17), SPAN_LIT("RESET\nCLOSE junk\n"));
	policy_done(&policy);
}

/* More than the buffers may hold ends the session with 421; what was said stays whole. */
static void full_buffers_end_the_session(void **state)
{
	(void)state;
	struct policy policy;
	struct smtp_event event = { 0 };
	policy_init(&policy, true);
	policy_feed(&policy, SPAN_LIT(LOGIN MAIL));
	struct buf *out = smtp_server_output(policy.server);
	unsigned n = 0;
	do {
		smtp_server_feed(policy.server, SPAN_LIT(RCPT));
		while (smtp_server_next(policy.server, &event) &&
		       event.kind == SMTP_EVENT_RCPT) {
			smtp_server_answer(policy.server, REPLY_BUDGET_SPENT, SPAN_NONE);
		}
	} while (event.kind != SMTP_EVENT_CLOSE && ++n < 100000);
	check_span("why", event.text, SPAN_LIT("memory"));
	struct span said = buf_span(out);
	assert_in_range(said.len, 1000000, 1100000);
	struct reply_in reply = { 0 };
	while (said.len) {
		reply = (struct reply_in){ 0 };
		assert_int_equal(reply_read(&reply, &said), REPLY_DONE);
	}
	assert_int_equal(reply.code, 421);
	policy_done(&policy);

	policy_init(&policy, true);
	policy_feed(&policy, SPAN_LIT(LOGIN));
	char *flood = calloc(1, SMTP_SERVER_FEED_MAX);
	assert_non_null(flood);
	smtp_server_feed(policy.server, SPAN_LIT(MAIL));
	assert_true(smtp_server_next(policy.server, &event));
	for (unsigned i = 0; i < 2; i++) {
		smtp_server_feed(policy.server, span_of(flood, SMTP_SERVER_FEED_MAX));
	}
	assert_true(smtp_server_next(policy.server, &event));
	assert_int_equal(event.kind, SMTP_EVENT_CLOSE);
	check_span("why", event.text, SPAN_LIT("memory"));
	free(flood);
	policy_done(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ps20_hostile_bytes_anywhere),
		cmocka_unit_test(ps22_lengths_of_lines),
		cmocka_unit_test(ps22_a_line_without_end_is_given_up),
		cmocka_unit_test(too_many_errors_end_the_session),
		cmocka_unit_test(idling_ends_the_session),
		cmocka_unit_test(full_buffers_end_the_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
