#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/several.h"
#include "server/notice.h"
#include "store/keys.h"
#include "test/server/notice_scene.h"
#include "test/store/queue_help.h"

/* A crowd: the usual case (17), a guarded one (18), one that is over (20), one that takes no
 * unlock (21); 19 is lost. */
static struct store_txn *set_crowd(struct place *place)
{
	static const struct {
		uint64_t number;
		const char *account;
		bool ended, off, strange;
	} rows[] = {
		{ 18, "bob@example.org", false, false, true },
		{ 20, "carol@example.org", true, false, false },
		{ 21, "dave@example.org", false, true, false },
	};
	struct store_txn *txn = set_scene(place, &usual);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bill bill = { .limit = { 500, 30 * MINUTE }, .spent = 495, .asked = 10 };
		struct buf reasons = { .cap = 4096 };
		if (rows[i].strange) {
			bill.tariff.price[TARIFF_STRANGE_NETWORK] = 5;
			bill.lines.count[TARIFF_STRANGE_NETWORK] = 40;
		}
		struct scene scene = usual;
		scene.account = rows[i].account;
		scene.present = rows[i].ended ? 0 : rows[i].number;
		put_account_rows(txn, &scene);
		bill_pack(&bill, &reasons);
		const struct incident incident = {
			.number = rows[i].number,
			.account = span_str(rows[i].account),
			.state = rows[i].ended ? INCIDENT_ENDED : INCIDENT_OPEN,
			.opened_at = AT,
			.opened_wall = OPENED,
			.cause = SPAN_LIT("budget"),
			.reasons = buf_span(&reasons),
			.ended_wall = OPENED + MINUTE,
			.ended_by = SPAN_LIT("uid 0"),
			.ended_how = SPAN_LIT("keep"),
			.reply_off = rows[i].off,
		};
		assert_int_equal(incident_put(txn, &incident), STORE_OK);
		buf_done(&reasons);
	}
	return txn;
}

/* The address of a link, with the right token. */
static void assert_link(const struct buf *out, const char *word, const char *account,
                        uint64_t number, bool there)
{
	char token[UNLOCK_TOKEN_LEN + 1], link[200];
	unlock_token(&key, span_str(account), number, token);
	snprintf(link, sizeof link, "<mailto:unlock+%s.%llu-%s@mail.example.org?subject=", word,
	         (unsigned long long)number, token);
	if (there) {
		assert_has(out, link);
	} else {
		assert_null(strstr(out->ptr, link));
	}
}

static struct buf write_several(struct store_txn *txn, const char *note, enum store_result want)
{
	const struct scene scene = { .note = note };
	struct queue_entry entry = notice_of(QUEUE_NOTICE_SEVERAL, &scene);
	struct buf out;
	buf_init(&out, MAX_OUT);
	entry.accepted_wall = OPENED;
	assert_int_equal(notice_write(&site, &key, &entry, txn, OPENED + 5000, &out), want);
	buf_put_byte(&out, '\0');
	return out;
}

static void test_several(void **state)
{
	static const char *const want[] = {
		"Subject: Suspended: 4 accounts (cases 17 to 21)\r\n",
		"To: postmaster@example.org, jane@example.org\r\n",
		"Message-ID: <cases.4k7.1764045300.4@mail.example.org>\r\n",
		"\r\n\r\n4 accounts were suspended within a short time (cases 17 to 21).",
		"\r\n\r\nCase 17: alice@example.org\r\n"
		"Its limit of 500 recipients in 30 minutes was reached 2025-11-25 04:35 UTC\r\n"
		"(495 used, 10 more wanted).\r\n"
		"Recipients: 487 gone (already relayed), 10 held here.\r\n"
		"  Say UNLOCK: it may send again, held mail is sent. <mailto:unlock+unlock.17-",
		"?subject=SPAM>\r\n\r\nCase 18: bob@example.org\r\nIts limit of 500 tokens",
		"Change it first.\r\n",
		"?subject=SPAM>\r\n\r\nCase 20: carol@example.org\r\n",
		"\r\nThis is over (keep, by uid 0, 2025-11-25 04:36 UTC): an answer changes "
		"nothing\r\nany more.\r\n\r\nCase 21: dave@example.org\r\n",
		"\r\nIt was suspended before within a day: no answer unlocks it, only a "
		"command\r\n"
		"does.\r\n  Say SPAM",
		"Answers count until 2025-12-09 04:35 UTC. By hand, on\r\n"
		"mail.example.org:\r\n"
		"  gatepostctl account unlock alice@example.org\r\n"
		"  gatepostctl account unlock bob@example.org\r\n"
		"  gatepostctl account unlock dave@example.org\r\n"
		"  gatepostctl relayed --incident CASE --ids | postsuper -h -\r\n",
	};
	struct store_txn *txn = set_crowd(*state);
	struct buf out = write_several(txn, "17 18 19 20 21", STORE_OK);

	for (size_t i = 0; i < COUNT(want); i++) {
		assert_has(&out, want[i]);
	}
	assert_null(strstr(out.ptr, "Reply-To"));
	assert_link(&out, "unlock", "alice@example.org", 17, true);
	assert_link(&out, "spam", "alice@example.org", 17, true);
	assert_link(&out, "release", "alice@example.org", 17, false);
	assert_link(&out, "release", "bob@example.org", 18, true);
	assert_link(&out, "spam", "bob@example.org", 18, true);
	assert_link(&out, "unlock", "bob@example.org", 18, false);
	assert_null(strstr(out.ptr, "unlock+unlock.20-"));
	assert_null(strstr(out.ptr, "unlock+spam.20-"));
	assert_link(&out, "spam", "dave@example.org", 21, true);
	assert_link(&out, "unlock", "dave@example.org", 21, false);
	buf_done(&out);
	out = write_several(txn, "19 22", STORE_NOT_FOUND);
	buf_done(&out);
	/* Nobody was added: the ordinary one. */
	out = write_several(txn, "18", STORE_OK);
	assert_has(&out, "Subject: Suspended: bob@example.org (case 18)\r\n");
	assert_has(&out, "Reply-To: <unlock+18-");
	assert_has(&out, "The account bob@example.org was suspended (case 18).");
	buf_done(&out);
	store_abort(txn);
}

/* Fifty, with names as long as they may be: it has room. */
static void test_several_at_their_longest(void **state)
{
	char account[KEY_ACCOUNT_MAX + 1], note[1024] = "";
	struct scene scene = usual;
	memset(account, 'a', KEY_ACCOUNT_MAX);
	account[KEY_ACCOUNT_MAX] = '\0';
	scene.account = account;
	for (size_t i = 0; i < SEVERAL_MAX; i++) {
		strcat(note, i ? " 17" : "17");
	}
	struct store_txn *txn = set_scene(*state, &scene);
	struct buf out = write_several(txn, note, STORE_OK);
	assert_has(&out, "Subject: Suspended: 50 accounts (cases 17 to 17)\r\n");
	store_abort(txn);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_several, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_several_at_their_longest, place_setup,
		                                place_teardown),
	};
	return cmocka_run_group_tests_name("notice_several", tests, NULL, NULL);
}
