/* Notices whose note says all: the day's digest, and the warning to an owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/notice.h"

#define WALL 1764045300000 /* 2025-11-25 04:35 UTC */

static const struct secret_key key = { { 1 } };

static const struct config site = {
	.hostname = (char[]){ "mail.example.org" },
	.notice_from = (char[]){ "gatepost@example.org" },
	.reply_address = (char[]){ "unlock+*@mail.example.org" },
	.contact = (char[]){ "IT desk, +49 30 1234" },
	.limits = { .limit = { { 500, 1800000 } }, .count = 1 },
};

#define END \
	"\r\nWhat is known of an account, when it was seen, and whether it is observed, " \
	"on\r\n" \
	"mail.example.org:\r\n" \
	"  gatepostctl account show ADDRESS\r\n" \
	"  journalctl -u gatepost -g would-have\r\n" \
	"  gatepostctl account mode ADDRESS enforce|observe|default\r\n\r\n" \
	"This needs no answer, and an answer does nothing. There is at most one such\r\n" \
	"mail a day.\r\n"

#define BEGIN \
	"What was seen since 2025-11-24 04:30 UTC, of accounts that are only observed\r\n" \
	"(mode = observe), and of those that came near a limit. Nothing was done about\r\n" \
	"it.\r\n\r\n"

#define OWNER \
	"You are the one to be asked about the mail account alice@example.org.\r\n\r\n" \
	"It is sending unusually much mail. If that is you, you need do nothing.\r\n" \
	"If it is not you, somebody else knows its password: change it now.\r\n"

static void whole_bodies(void **state)
{
	(void)state;
	struct config nobody = site;
	nobody.contact = (char[]){ "" };
	const struct {
		const struct config *config;
		enum queue_kind kind;
		struct span note;
		const char *subject, *want;
	} rows[] = {
		{ &site, QUEUE_NOTICE_OWNER, SPAN_LIT("alice@example.org"),
		  "Subject: Is it you who sends so much mail?\r\n",
		  OWNER "Whom to ask: IT desk, +49 30 1234\r\n\r\n"
		        "This mail needs no answer, and an answer does nothing.\r\n" },
		{ &nobody, QUEUE_NOTICE_OWNER, SPAN_LIT("alice@example.org"), "",
		  OWNER "\r\nThis mail needs no answer, and an answer does nothing.\r\n" },
		{ &site, QUEUE_NOTICE_DIGEST,
		  SPAN_LIT("2025-11-24 04:30 UTC\nAccount a@b.c: would have been suspended\n"
		           "Account no@example.org: came near a limit\n"),
		  "Subject: What was seen in a day\r\n",
		  BEGIN "  Account a@b.c: would have been suspended\r\n"
		        "  Account no@example.org: came near a limit\r\n" END },
		/* Bytes from outside, and a note that is none. */
		{ &site, QUEUE_NOTICE_DIGEST,
		  SPAN_LIT("2025-11-24 04:30 UTC\nAccount a\r\033{nobody}: came near a limit"),
		  "", BEGIN "  Account a??{nobody}: came near a limit\r\n" END },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct queue_recipient to = { .address = SPAN_LIT("a@example.com") };
		const struct queue_entry entry = { .id = 5,
			                           .kind = rows[i].kind,
			                           .note = rows[i].note,
			                           .accepted_wall = WALL,
			                           .recipients = &to,
			                           .nrecipients = 1 };
		struct buf out = { .cap = 1 << 20 };
		assert_int_equal(notice_write(rows[i].config, &key, &entry, NULL, WALL, &out),
		                 STORE_OK);
		buf_put_byte(&out, '\0');
		char *body = strstr(out.ptr, "\r\n\r\n");
		assert_non_null(body);
		assert_string_equal(body + 4, rows[i].want);
		assert_non_null(strstr(out.ptr, rows[i].subject));
		assert_non_null(strstr(out.ptr, "To: a@example.com\r\n"));
		assert_null(strstr(out.ptr, "Reply-To"));
		assert_null(strstr(out.ptr, "unlock+"));
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole_bodies) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
