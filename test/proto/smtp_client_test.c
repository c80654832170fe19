#include "proto/smtp_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/*
 * A dialogue is played against the client, a step a line:
 *   S text   a line from the smarthost, CRLF added; lines in a row are fed as one
 *   Y text   the same with a bare LF;  Z text  the same with no line end at all
 *   C text   a line that the client must have written; lines in a row are all there is
 *   W want   what the client must want now, a letter of "wtrbRx"
 *   M        smtp_client_send of the row's mail: recipients r0, r1 ... of them.example
 *   B text   smtp_client_body with CRLF;  P text  without it;  E  smtp_client_body_end
 *   R codes  RESULT is due, with these codes, `code/enhanced` where the latter is of interest
 *   F code   BROKEN is due with this failure code, then results as under R
 *   T        TLS is due and done;  Q  quit;  L  lost;  D  committed;  N  not committed
 * Whatever the smarthost says is also fed byte by byte and in odd pieces.
 */
struct dialogue {
	const char *name;
	enum smtp_client_tls tls;
	size_t recipients;
	uint64_t size;
	bool eight_bit;
	const char *steps;
};

#define NO_TLS   SMTP_CLIENT_TLS_NONE
#define MAY_TLS  SMTP_CLIENT_TLS_MAY
#define MUST_TLS SMTP_CLIENT_TLS_MUST
#define HELLO    "S 220 hi\nC EHLO us.example\n"
#define PLAIN    HELLO "S 250 hello\nW r\n"
#define PIPE     HELLO "S 250-hello\nS 250 PIPELINING\nW r\n"
#define FROM     "C MAIL FROM:<a@us.example>\n"
#define RCPT0    "C RCPT TO:<r0@them.example>\n"
#define RCPT1    "C RCPT TO:<r1@them.example>\n"
#define GROUP1   "M\n" FROM RCPT0 "C DATA\n"
#define GROUP2   "M\n" FROM RCPT0 RCPT1 "C DATA\n"
#define AT_BODY  PIPE GROUP2 "S 250 a\nS 250 b\nS 250 c\nS 354 d\nW b\n"
#define AT_DOT   AT_BODY "E\nC .\n"

static const struct dialogue dialogues[] = {
	{ "one at a time", NO_TLS, 2, 10, false,
	  PLAIN
	  "M\n" FROM "W w\nS 250 ok\n" RCPT0 "S 251 forwarded\n" RCPT1
	  "S 250 ok\nC DATA\nS 354 go\nW b\nB hello\nB .dot\nE\nN\nC hello\nC ..dot\nC .\nD\n"
	  "S 250 2.6.0 queued as 7\nR 250/2.6.0 250\nN\nW r\nQ\nC QUIT\nS 221 bye\nW w\n" },
	{ "pipelined, then reused", NO_TLS, 2, 10, false,
	  AT_DOT "S 250 ok\nR 250 250\nW r\n" GROUP2
	         "S 250 a\nS 250 b\nS 250 c\nS 354 d\nE\nC .\nS 250 ok\nR 250 250\nW r\n" },
	{ "mixed recipients", NO_TLS, 4, 10, false,
	  PIPE
	  "M\n" FROM RCPT0 RCPT1
	  "C RCPT TO:<r2@them.example>\nC RCPT TO:<r3@them.example>\nC DATA\n"
	  "S 250 a\nS 250 b\nS 450-4.2.1 grey\nS 450 4.2.1 listed\nS 550 5.1.1 who\nS 250 c\n"
	  "S 354 d\nE\nC .\nS 250 ok\nR 250 450/4.2.1 550/5.1.1 250\nW r\n" },
	{ "refused after the dot: no RSET", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 550 5.1.1 no\nS 250 c\nS 354 d\nE\nC .\nS 554 5.7.1 spam\n"
	              "R 550/5.1.1 554/5.7.1\nW r\n" },
	{ "later after the dot", NO_TLS, 2, 10, false,
	  AT_DOT "S 451 4.3.0 x\nR 451/4.3.0 451\nW r\n" },

	{ "one at a time, reused", NO_TLS, 1, 10, false,
	  PLAIN "M\n" FROM "S 250 a\n" RCPT0
	        "S 250 b\nC DATA\nS 354 c\nE\nC .\nS 250 d\nR 250\n"
	        "M\n" FROM "S 250 a\n" RCPT0 "S 550 b\nR 550\nC RSET\nS 250 c\nW r\n" },
	{ "a text without its last line end, then one that begins with a dot", NO_TLS, 2, 10,
	  false,
	  AT_BODY "P x\nE\nC x\nC .\nS 250 ok\nR 250 250\n" GROUP2
	          "S 250 a\nS 250 b\nS 250 c\nS 354 d\nP .\nP .\nE\nC ...\nC .\n" },
	{ "what was taken before counts no more", NO_TLS, 2, 10, false,
	  AT_DOT "S 250 ok\nR 250 250\n" GROUP2
	         "S 250 a\nS 550 b\nS 550 c\nS 354 d\nC .\nS 250 e\nR 550 550\nW r\n" },

	/* MAIL, RCPT, DATA refused */
	{ "MAIL refused", NO_TLS, 2, 10, false,
	  PLAIN "M\n" FROM "S 550 5.7.1 no\nR 550/5.7.1 550/5.7.1\nW r\n" },
	{ "MAIL refused, pipelined", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 450 4.7.1 no\nS 503 5.5.1 b\nS 503 c\nS 503 d\nR 450/4.7.1 450\nW r\n" },
	{ "MAIL refused, yet all the rest is taken", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 550 5.7.1 no\nS 250 b\nS 250 c\nS 354 d\nC .\nW w\nS 250 e\n"
	              "R 550/5.7.1 550\nW r\n" },
	{ "MAIL refused, a recipient taken, DATA refused", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 550 a\nS 250 b\nS 503 c\nS 503 d\nR 550 550\nC RSET\nS 250 e\nW r\n" },
	{ "no recipient taken", NO_TLS, 2, 10, false,
	  PLAIN "M\n" FROM "S 250 ok\n" RCPT0 "S 550 5.1.1 a\n" RCPT1
	        "S 450 4.2.0 b\nR 550/5.1.1 450/4.2.0\nC RSET\nW w\nS 250 ok\nW r\n" },
	{ "no recipient taken, pipelined", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 250 a\nS 550 b\nS 550 c\nS 554 d\nR 550 550\nC RSET\nS 250 ok\nW r\n" },
	{ "no recipient taken, 354 all the same", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 550 b\nS 551 c\nS 354 d\nC .\nS 250 e\nR 550 551\nW r\n" },
	{ "the lone dot is refused", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 550 b\nS 551 c\nS 354 d\nC .\nS 554 e\nR 550 551\nW r\n" },
	{ "DATA refused", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 250 a\nS 250 b\nS 550 c\nS 451 4.3.0 d\nR 451/4.3.0 550\nC RSET\nS 250 k\nW r\n" },
	{ "RSET refused", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 250 a\nS 250 b\nS 550 c\nS 451 d\nR 451 550\nC RSET\nS 500 k\nF 500 451 550\n" },

	/* too many recipients (RFC 5321 4.5.3.1.10) */
	{ "452 to RCPT", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 250 a\nS 250 b\nS 452 4.5.3 c\nS 354 d\nE\nC .\nS 250 e\nR 250 452/4.5.3\n" },
	{ "552 5.5.3 to RCPT", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 250 a\nS 552 5.5.3 b\nS 250 c\nS 354 d\nE\nC .\nS 250 e\nR 452/4.5.3 250\n" },
	{ "bare 552 to a later RCPT", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 250 a\nS 250 b\nS 552 c\nS 354 d\nE\nC .\nS 250 e\nR 250 452/4.5.3\n" },
	{ "bare 552 to the first RCPT", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 552 b\nS 250 c\nS 354 d\nE\nC .\nS 250 e\nR 552 250\n" },
	{ "552 that names a full mailbox", NO_TLS, 2, 10, false,
	  PIPE GROUP2
	  "S 250 a\nS 250 b\nS 552 5.2.2 c\nS 354 d\nE\nC .\nS 250 e\nR 250 552/5.2.2\n" },

	/* the start of a session */
	{ "greeting 554", NO_TLS, 1, 10, false, "W w\nS 554-no\nS 554 5.7.1 way\nF 554\n" },
	{ "greeting 421", NO_TLS, 1, 10, false, "S 421 4.7.0 busy\nF 421\n" },
	{ "greeting 250", NO_TLS, 1, 10, false, "S 250 hi\nF 0\n" },
	{ "EHLO later", NO_TLS, 1, 10, false, HELLO "S 451 x\nF 451\n" },
	{ "HELO for the old", NO_TLS, 1, 10, false,
	  HELLO
	  "S 502-PIPELINING\nS 502 SIZE 5\nC HELO us.example\nS 250 hello\nW r\nM\n" FROM },
	{ "HELO refused", NO_TLS, 1, 10, false,
	  HELLO "S 500 x\nC HELO us.example\nS 550 y\nF 550\n" },

	/* keywords */
	{ "lower case, odd blanks, bare LF", NO_TLS, 1, 10, true,
	  HELLO "S 250-hi\nY 250-pipelining\nS 250-8bitmime \nS 250 size 100\nW r\nM\n"
	        "C MAIL FROM:<a@us.example> SIZE=10 BODY=8BITMIME\n" RCPT0 "C DATA\n" },
	{ "the greeting line is no keyword", NO_TLS, 1, 10, false,
	  HELLO "S 250-PIPELINING\nS 250 X-PIPELINING PIPELINING\nW r\nM\n" FROM },
	{ "SIZE 0", NO_TLS, 1, 99, false,
	  HELLO "S 250-x\nS 250 SIZE 0\nM\nC MAIL FROM:<a@us.example> SIZE=99\n" },
	{ "SIZE", NO_TLS, 1, 99, false,
	  HELLO "S 250-x\nS 250 SIZE\nM\nC MAIL FROM:<a@us.example> SIZE=99\n" },
	{ "SIZE beyond 64 bits", NO_TLS, 1, 99, false,
	  HELLO
	  "S 250-x\nS 250 SIZE 99999999999999999999\nM\nC MAIL FROM:<a@us.example> SIZE=99\n" },
	{ "exactly as large as may be", NO_TLS, 1, 99, false,
	  HELLO "S 250-x\nS 250 SIZE 99\nM\nC MAIL FROM:<a@us.example> SIZE=99\n" },
	{ "larger", NO_TLS, 2, 100, false,
	  HELLO "S 250-x\nS 250 SIZE 99\nM\nR 552/5.3.4 552/5.3.4\nW r\nQ\nC QUIT\n" },
	{ "8-bit text that it does not take", NO_TLS, 2, 9, true,
	  PIPE "M\nR 554/5.6.3 554/5.6.3\nW r\n" },

	/* STARTTLS */
	{ "not asked for", NO_TLS, 1, 10, false, HELLO "S 250-x\nS 250 STARTTLS\nW r\n" },
	{ "offered", MAY_TLS, 1, 10, false,
	  HELLO "S 250-x\nS 250-PIPELINING\nS 250 starttls\nC STARTTLS\nS 220 go\nT\nC EHLO "
	        "us.example\n"
	        "S 250-x\nS 250 STARTTLS\nW r\nM\n" FROM },
	{ "injected before the handshake", MUST_TLS, 1, 10, false,
	  HELLO
	  "S 250-x\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nS 250-injected\nS 250 PIPELINING\n"
	  "Z 250 \nT\nC EHLO us.example\nW w\nS 250 clean\nW r\nM\n" FROM },
	{ "refused, may", MAY_TLS, 1, 10, false,
	  HELLO "S 250-x\nS 250 STARTTLS\nC STARTTLS\nS 454 no\nW r\n" },
	{ "refused, must", MUST_TLS, 1, 10, false,
	  HELLO "S 250-x\nS 250 STARTTLS\nC STARTTLS\nS 454 no\nF 454\n" },
	{ "stripped, may", MAY_TLS, 1, 10, false, HELLO "S 250-x\nS 250 XXXXXXXA\nW r\n" },
	{ "stripped, must", MUST_TLS, 1, 10, false, HELLO "S 250-x\nS 250 XXXXXXXA\nF 0\n" },
	{ "must, and only HELO", MUST_TLS, 1, 10, false,
	  HELLO "S 500 x\nC HELO us.example\nS 250 y\nF 0\n" },
	{ "250 to STARTTLS", MAY_TLS, 1, 10, false,
	  HELLO "S 250-x\nS 250 STARTTLS\nC STARTTLS\nS 250 ok\nF 0\n" },

	/* 421 at any point: the undecided take it as their code */
	{ "421 while idle", NO_TLS, 1, 10, false, PLAIN "S 421 4.4.2 idle\nF 421\n" },
	{ "421 to MAIL", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 421 4.3.2 bye\nF 421 421/4.3.2 421\n" },
	{ "421 to RCPT", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 550 5.1.1 b\nS 421 4.3.2 bye\nF 421 550/5.1.1 421/4.3.2\n" },
	{ "421 to DATA", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 250 b\nS 550 c\nS 421 d\nF 421 421 550\n" },
	{ "421 in the text", NO_TLS, 2, 10, false,
	  AT_BODY "B x\nC x\nS 421 d\nF 421 421 421\nB y\nE\n" },
	{ "552 in the text is no verdict", NO_TLS, 2, 10, false,
	  AT_BODY "B x\nC x\nS 552 d\nF 552 0 0\n" },
	{ "421 to the dot", NO_TLS, 2, 10, false,
	  AT_DOT "D\nS 421 4.3.2 d\nN\nF 421 421/4.3.2 421\n" },
	{ "421 behind the last reply", NO_TLS, 2, 10, false,
	  AT_DOT "S 250 e\nS 421 f\nR 250 250\nF 421 250 250\n" },

	/* drops */
	{ "lost before the greeting", NO_TLS, 2, 10, false, "L\nF 0\n" },
	{ "lost in the group", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 550 5.1.1 b\nL\nF 0 550/5.1.1 0\nN\n" },
	{ "lost in the text", NO_TLS, 2, 10, false, AT_BODY "L\nN\nF 0 0 0\n" },
	{ "lost with the dot unsent", NO_TLS, 2, 10, false, AT_BODY "E\nL\nN\nF 0 0 0\n" },
	{ "lost after the dot", NO_TLS, 2, 10, false, AT_DOT "L\nD\nF 0 0 0\n" },
	{ "lost in the handshake", MAY_TLS, 1, 10, false,
	  HELLO "S 250-x\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nW t\nL\nF 0\n" },
	{ "lost before the results were read", NO_TLS, 2, 10, false,
	  AT_DOT "S 250 e\nL\nR 250 250\nF 0 250 250\n" },

	/* replies are counted */
	{ "a reply too many while idle", NO_TLS, 1, 10, false, PLAIN "S 250 again\nF 0\n" },
	{ "a reply too many after the end", NO_TLS, 2, 10, false,
	  AT_DOT "S 250 e\nS 250 f\nR 250 250\nF 0 250 250\n" },
	{ "250 before the dot", NO_TLS, 2, 10, false,
	  AT_BODY "B x\nC x\nS 250 got it\nF 0 0 0\n" },
	{ "250 before the dot was sent", NO_TLS, 2, 10, false,
	  AT_BODY "B x\nE\nS 250 got it\nN\nF 0 0 0\n" },
	{ "250 behind 354", NO_TLS, 2, 10, false,
	  PIPE GROUP2 "S 250 a\nS 250 b\nS 250 c\nS 354 d\nS 250 e\nF 0 0 0\n" },
	{ "a reply before the command", NO_TLS, 2, 10, false,
	  PLAIN "M\n" FROM "S 250 ok\nS 250 ok\nF 0 0 0\n" },
	{ "one reply too many shifts the group", NO_TLS, 1, 10, false,
	  PIPE GROUP1 "S 250 a\nS 250 b\nS 250 b\nF 0 0\n" },
	{ "354 to RCPT", NO_TLS, 1, 10, false, PIPE GROUP1 "S 250 a\nS 354 b\nF 0 0\n" },
	{ "334 to MAIL", NO_TLS, 1, 10, false, PIPE GROUP1 "S 334 a\nF 0 0\n" },
	{ "354 to the dot: who knows", NO_TLS, 2, 10, false, AT_DOT "S 354 a\nD\nF 0 0 0\n" },

	/* replies that are none */
	{ "a blank line before the reply", NO_TLS, 2, 10, false,
	  AT_DOT "S \nS 250 2.0.0 ok\nR 250 250\nS \nW r\n" },
	{ "a blank line inside the reply", NO_TLS, 2, 10, false,
	  AT_DOT "S 250-x\nS \nS 250 ok\nF 0 0 0\n" },
	{ "no code", NO_TLS, 2, 10, false, AT_DOT "S ok\nF 0 0 0\n" },
	{ "codes that differ", NO_TLS, 2, 10, false, AT_DOT "S 250-ok\nS 251 ok\nF 0 0 0\n" },
	{ "code alone", NO_TLS, 2, 10, false, AT_DOT "S 250\nR 250 250\n" },
	{ "half a reply is none", NO_TLS, 2, 10, false,
	  AT_DOT "S 250-ok\nZ 250 o\nW w\nL\nF 0 0 0\nD\n" },
};

struct player {
	const struct dialogue *dialogue;
	struct smtp_client *client;
	struct smtp_client_mail mail;
	struct span recipients[8];
	char names[8][48];
	size_t piece; /* bytes a feed, 0 = all at once */
};

static bool is_wanted(struct player *player, char letter)
{
	return "wtrbRx"[smtp_client_next(player->client)] == letter;
}

static void feed(struct player *player, struct span bytes)
{
	while (bytes.len) {
		size_t n = player->piece ? player->piece : bytes.len;
		/* in a block of its own, so that a read behind it is found */
		size_t len = span_first(bytes, n).len;
		char *copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, bytes.ptr, len);
		smtp_client_feed(player->client, span_of(copy, len));
		free(copy);
		bytes = span_from(bytes, n);
	}
}

/* The recipients' `code` or `code/enhanced`, separated by blanks, as far as they are named. */
static void check_results(struct player *player, const char *want)
{
	char *end = NULL;
	for (size_t i = 0; *want; i++) {
		const struct smtp_client_result *got = smtp_client_result(player->client, i);
		assert_int_equal(got->code, strtoul(want, &end, 10));
		assert_non_null(got->text);
		size_t len = *end == '/' ? strcspn(++end, " ") : 0;
		if (len) {
			assert_int_equal(strlen(got->enhanced), len);
			assert_memory_equal(got->enhanced, end, len);
		}
		want = end + len + strspn(end + len, " ");
	}
}

static void check_broken(struct player *player, const char *want)
{
	unsigned code = 0;
	char *end = NULL;
	assert_true(is_wanted(player, 'x'));
	const char *text = smtp_client_failure(player->client, &code);
	assert_int_equal(code, strtoul(want, &end, 10));
	assert_int_not_equal(strlen(text), 0);
	check_results(player, end + strspn(end, " "));
}

static void send_mail(struct player *player)
{
	size_t n = player->dialogue->recipients;
	for (size_t i = 0; i < n; i++) {
		snprintf(player->names[i], sizeof player->names[i], "r%zu@them.example", i);
		player->recipients[i] = span_str(player->names[i]);
	}
	player->mail = (struct smtp_client_mail){ SPAN_LIT("a@us.example"), player->recipients,
		                                  n, player->dialogue->size,
		                                  player->dialogue->eight_bit };
	assert_true(is_wanted(player, 'r'));
	smtp_client_send(player->client, &player->mail);
	assert_true(smtp_client_is_busy(player->client));
}

static void put_line(struct player *player, struct span text)
{
	smtp_client_body(player->client, text);
	smtp_client_body(player->client, SPAN_LIT("\r\n"));
}

static void start_tls(struct player *player)
{
	assert_true(is_wanted(player, 't'));
	assert_int_equal(smtp_client_output(player->client)->len, 0);
	smtp_client_tls_started(player->client);
	assert_true(smtp_client_is_in_tls(player->client));
}

/* A step that is neither S nor C. */
static void do_step(struct player *player, char step, struct span argument)
{
	struct smtp_client *client = player->client;
	char text[80];
	snprintf(text, sizeof text, "%.*s", SPAN_ARG(argument));
	switch (step) {
	case 'W':
		assert_true(is_wanted(player, text[0]));
		break;
	case 'M':
		send_mail(player);
		break;
	case 'B':
		put_line(player, argument);
		break;
	case 'P':
		smtp_client_body(client, argument);
		break;
	case 'E':
		smtp_client_body_end(client);
		break;
	case 'R':
		assert_true(smtp_client_is_busy(client));
		assert_true(is_wanted(player, 'R'));
		assert_false(smtp_client_is_busy(client));
		check_results(player, text);
		break;
	case 'F':
		check_broken(player, text);
		break;
	case 'T':
		start_tls(player);
		break;
	case 'Q':
		smtp_client_quit(client);
		break;
	case 'L':
		smtp_client_lost(client, "the connection was closed");
		break;
	case 'D':
		assert_true(smtp_client_is_committed(client));
		break;
	case 'N':
		assert_false(smtp_client_is_committed(client));
		break;
	default:
		fail_msg("step %c", step);
	}
}

static const char *line_end(char step)
{
	return step == 'Z' ? "" : step == 'Y' ? "\n" : "\r\n";
}

static void settle(struct player *player, char kind, struct buf *lines)
{
	if (kind == 'S') {
		feed(player, buf_span(lines));
	} else if (kind == 'C') {
		struct buf *out = smtp_client_output(player->client);
		assert_int_equal(out->len, lines->len);
		assert_memory_equal(out->ptr, lines->ptr, lines->len);
		buf_drop(out, out->len);
	}
	buf_clear(lines);
}

static void play(const struct dialogue *dialogue, size_t piece)
{
	struct player player = { .dialogue = dialogue, .piece = piece };
	player.client = smtp_client_new(SPAN_LIT("us.example"), dialogue->tls);
	struct buf lines = { .cap = 4096 };
	struct span steps = span_str(dialogue->steps);
	char last = ' ';
	assert_non_null(player.client);
	while (steps.len) {
		struct span step = span_first(steps, span_find(steps, '\n'));
		struct span argument = span_from(step, 2);
		char kind = step.ptr[0] == 'Y' || step.ptr[0] == 'Z' ? 'S' : step.ptr[0];
		if (kind != last) {
			settle(&player, last, &lines);
		}
		last = kind;
		if (kind == 'S' || kind == 'C') {
			buf_put(&lines, argument);
			buf_put_str(&lines, line_end(step.ptr[0]));
		} else {
			do_step(&player, kind, argument);
		}
		steps = span_from(steps, step.len + 1);
	}
	settle(&player, last, &lines);
	buf_done(&lines);
	smtp_client_free(player.client);
}

static void test_dialogues(void **state)
{
	(void)state;
	static const size_t pieces[] = { 0, 1, 2, 3, 7, 11 };
	for (size_t i = 0; i < COUNT(dialogues); i++) {
		for (size_t k = 0; k < COUNT(pieces); k++) {
			print_message("%s%s", k ? "" : dialogues[i].name, k ? "" : "\n");
			play(&dialogues[i], pieces[k]);
		}
	}
}

static void take_output(struct smtp_client *client)
{
	struct buf *out = smtp_client_output(client);
	buf_drop(out, out->len);
}

static struct smtp_client *greeted(const char *ehlo_reply)
{
	struct smtp_client *client = smtp_client_new(SPAN_LIT("us.example"), MAY_TLS);
	assert_non_null(client);
	smtp_client_feed(client, SPAN_LIT("220 hi\r\n"));
	take_output(client);
	smtp_client_feed(client, span_str(ehlo_reply));
	return client;
}

static bool output_has(struct smtp_client *client, const char *word)
{
	struct span out = buf_span(smtp_client_output(client));
	return out.len && memmem(out.ptr, out.len, word, strlen(word)) != NULL;
}

/* SH10: of all combinations of keywords none is used that was not announced. */
static void test_keywords(void **state)
{
	(void)state;
	static const char *const names[] = { "SIZE 1000", "8BITMIME", "PIPELINING",
		                             "STARTTLS" };
	for (unsigned set = 0; set < 16; set++) {
		char reply[200];
		int n = snprintf(reply, sizeof reply, "250-hello\r\n");
		for (unsigned i = 0; i < COUNT(names); i++) {
			if (set & 1U << i) {
				n += snprintf(reply + n, sizeof reply - (size_t)n, "250-%s\r\n",
				              names[i]);
			}
		}
		snprintf(reply + n, sizeof reply - (size_t)n, "250 HELP\r\n");
		struct smtp_client *client = greeted(reply);
		assert_int_equal(output_has(client, "STARTTLS"), (set & 8) != 0);
		if (set & 8) {
			take_output(client);
			smtp_client_feed(client, SPAN_LIT("220 go\r\n"));
			smtp_client_tls_started(client);
			take_output(client);
			smtp_client_feed(client, span_str(reply));
		}
		struct span to = SPAN_LIT("b@them.example");
		struct smtp_client_mail mail = { SPAN_NONE, &to, 1, 77, (set & 2) != 0 };
		assert_int_equal(smtp_client_next(client), SMTP_CLIENT_READY);
		smtp_client_send(client, &mail);
		assert_true(output_has(client, "MAIL FROM:<>"));
		assert_int_equal(output_has(client, " SIZE=77"), (set & 1) != 0);
		assert_int_equal(output_has(client, " BODY=8BITMIME"), (set & 2) != 0);
		assert_int_equal(output_has(client, "DATA\r\n"), (set & 4) != 0);
		assert_false(output_has(client, "STARTTLS"));
		smtp_client_free(client);
	}
}

/* A hundred equal refusals are one text; different ones stay apart. */
static void test_texts(void **state)
{
	(void)state;
	enum { N = 100 };
	struct span to[N];
	struct smtp_client *client = greeted("250-hello\r\n250 PIPELINING\r\n");
	for (size_t i = 0; i < N; i++) {
		to[i] = SPAN_LIT("b@them.example");
	}
	struct smtp_client_mail mail = { SPAN_LIT("a@us.example"), to, N, 77, false };
	smtp_client_send(client, &mail);
	take_output(client);
	smtp_client_feed(client, SPAN_LIT("250 ok\r\n"));
	for (size_t i = 0; i < N; i++) {
		smtp_client_feed(client, i % 50 ? SPAN_LIT("550 5.1.1 same\r\n")
		                                : SPAN_LIT("550 x\r\n"));
	}
	smtp_client_feed(client, SPAN_LIT("554 none\r\n"));
	assert_int_equal(smtp_client_next(client), SMTP_CLIENT_RESULT);
	assert_string_equal(smtp_client_result(client, 0)->text, "x");
	assert_string_equal(smtp_client_result(client, 1)->text, "same");
	assert_ptr_equal(smtp_client_result(client, 1)->text,
	                 smtp_client_result(client, 49)->text);
	assert_string_equal(smtp_client_result(client, 50)->text, "x");
	assert_string_equal(smtp_client_result(client, 99)->text, "same");
	smtp_client_free(client);
}

/* SH06: what never ends is read in bounded memory, and given up. */
static void test_endless(void **state)
{
	(void)state;
	static const char *const patterns[] = { "250 xxxxxxxx", "250-x\r\n", "\r\n",
		                                "250-\xff\x01\n", "" };
	for (size_t i = 0; i < COUNT(patterns); i++) {
		struct smtp_client *client = greeted("250-hello\r\n250 PIPELINING\r\n");
		struct span to = SPAN_LIT("b@them.example");
		struct smtp_client_mail mail = { SPAN_LIT("a@us.example"), &to, 1, 77, false };
		smtp_client_send(client, &mail);
		take_output(client);
		const char *pattern = patterns[i];
		struct span bytes = pattern[0] ? span_str(pattern) : span_of("", 1);
		for (size_t fed = 0; fed < 200000; fed += bytes.len) {
			smtp_client_feed(client, bytes);
		}
		assert_int_equal(smtp_client_next(client), SMTP_CLIENT_BROKEN);
		assert_int_equal(smtp_client_result(client, 0)->code, 0);
		smtp_client_free(client);
	}
}

/* The phases of RFC 5321 4.5.3.2. */
static void test_patience(void **state)
{
	(void)state;
	struct smtp_client *client = smtp_client_new(SPAN_LIT("us.example"), NO_TLS);
	struct span to = SPAN_LIT("b@them.example");
	struct smtp_client_mail mail = { SPAN_LIT("a@us.example"), &to, 1, 77, false };
	static const struct {
		const char *said;
		unsigned patience;
	} rows[] = { { "", 300 },         { "220 a\r\n", 300 }, { "250 b\r\n", 0 },
		     { NULL, 300 },       { "250 c\r\n", 300 }, { "250 d\r\n", 120 },
		     { "354 e\r\n", 180 } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].said) {
			smtp_client_feed(client, span_str(rows[i].said));
		} else {
			smtp_client_send(client, &mail);
		}
		take_output(client);
		assert_int_equal(smtp_client_patience(client), rows[i].patience);
	}
	smtp_client_body_end(client);
	assert_int_equal(smtp_client_patience(client), 600);
	smtp_client_free(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues), cmocka_unit_test(test_keywords),
		cmocka_unit_test(test_texts),     cmocka_unit_test(test_endless),
		cmocka_unit_test(test_patience),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
