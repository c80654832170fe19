#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/drill.h"
#include "server/notice.h"
#include "test/server/notice_scene.h"
#include "test/store/queue_help.h"

#define HEADER "From: alice@example.org\r\nSubject: the one\r\n"

static void test_report_to(void **state)
{
	(void)state;
	static const struct {
		const char *sender, *account, *to;
	} rows[] = {
		{ "alice@example.org", "alice@example.org", "alice@example.org" },
		{ "Alice@Example.ORG", "alice@example.org", "Alice@Example.ORG" },
		/* Somebody else's address: a thief's victim, who has nothing to do with it. */
		{ "victim@example.net", "alice@example.org", "alice@example.org" },
		{ "alice+list@example.org", "alice@example.org", "alice@example.org" },
		{ "", "alice@example.org", "" },
		{ "alice@example.org", "alice", "" }, /* a login that is no address */
		{ "alice@example.org", "a<b@example.org", "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct queue_entry entry = {
			.sender = span_str(rows[i].sender),
			.account = span_str(rows[i].account),
		};
		assert_span(notice_report_to(&entry), rows[i].to);
	}
}

static struct config config = {
	.hostname = (char[]){ "mail.example.org" },
	.nsmarthosts = 1,
	.smarthost = { { .name = (char[]){ "mta" }, .address = (char[]){ "192.0.2.25" } } },
};

static struct queue_recipient recipients[] = {
	{ .address = { "sent@example.net", 16 }, .state = RECIPIENT_SENT },
	{ .address = { "gone@example.net", 16 },
	  .state = RECIPIENT_FAILED,
	  .code = 550,
	  .status = { "5.1.1", 5 },
	  .answer = { "no such user", 12 } },
	{ .address = { "late@example.net", 16 },
	  .state = RECIPIENT_FAILED,
	  .code = 451,
	  .status = { "4.4.7", 5 },
	  .answer = { "greylisted", 10 } },
	{ .address = { "told@example.net", 16 }, .state = RECIPIENT_REPORTED, .code = 550 },
	{ .address = { "wait@example.net", 16 }, .state = RECIPIENT_PENDING },
};

/* Puts a mail of `size` bytes of text behind its header, and makes the report on it. */
static enum store_result report_on(struct place *place, uint64_t id, size_t size,
                                   struct buf *out)
{
	struct buf text;
	buf_init(&text, 1 << 20);
	buf_put_str(&text, HEADER);
	for (size_t i = 0; i < 3; i++) {
		buf_put_str(&text, i ? "\r\n" : "X-Last: yes\r\n");
	}
	while (text.len < size) {
		buf_put_str(&text, "the text itself is here\r\n");
	}
	struct store_txn *txn = writing(place->store);
	struct queue_entry entry = entry_of(id, "alice@example.org", text.len, 1000);
	entry.recipients = recipients;
	entry.nrecipients = COUNT(recipients);
	uint32_t next;
	assert_int_equal(body_put(txn, id, 0, buf_span(&text), &next), STORE_OK);
	enum store_result result = notice_report(&config, &entry, txn, 1700000100000, out);
	store_abort(txn);
	buf_done(&text);
	return result;
}

static bool has(const struct buf *out, const char *text)
{
	return memmem(out->ptr, out->len, text, strlen(text)) != NULL;
}

/* Whole up to 50 kB, its header only above; each FAILED recipient, and nobody else. */
static void test_report(void **state)
{
	static const struct {
		size_t size;
		bool whole;
	} rows[] = { { 100, true },
		     { 30000, true },
		     { NOTICE_ORIGINAL_MAX - 100, true },
		     { NOTICE_ORIGINAL_MAX + 100, false },
		     { 300000, false } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;
		buf_init(&out, 1 << 20);
		assert_int_equal(report_on(*state, i + 1, rows[i].size, &out), STORE_OK);
		assert_true(has(&out, "To: <alice@example.org>") ||
		            has(&out, "To: alice@example.org"));
		assert_true(has(&out, "gone@example.net"));
		assert_true(has(&out, "550 5.1.1 no such user"));
		assert_true(has(&out, "late@example.net"));
		assert_true(has(&out, "4.4.7"));
		assert_true(has(&out, "451 greylisted"));
		assert_true(has(&out, "192.0.2.25"));
		assert_false(has(&out, "sent@example.net"));
		assert_false(has(&out, "told@example.net"));
		assert_false(has(&out, "wait@example.net"));
		assert_true(has(&out, "Subject: the one"));
		assert_true(has(&out, "X-Last: yes"));
		assert_int_equal(has(&out, "the text itself"), rows[i].whole);
		assert_true(out.len < rows[i].size + 8000);
		buf_done(&out);
	}
}

static void test_rows_missing(void **state)
{
	struct place *place = *state;
	struct queue_entry entry = entry_of(99, "alice@example.org", 100, 1000);
	struct store_txn *txn = reading(place->store);
	struct buf out;
	buf_init(&out, 1 << 20);
	entry.recipients = recipients;
	entry.nrecipients = COUNT(recipients);
	assert_int_equal(notice_report(&config, &entry, txn, 0, &out), STORE_NOT_FOUND);
	store_abort(txn);
	buf_done(&out);
}

/* ---- notices ---- */

static enum store_result explain(uint64_t incident, struct store_txn *txn, struct buf *out)
{
	struct notice_facts facts;
	enum store_result result = notice_facts_read(&facts, &site, &key, incident, txn);
	if (result == STORE_OK) {
		result = notice_explain(&site, &facts, out);
	}
	notice_facts_done(&facts);
	return result;
}

/* By hand nothing broke: the ledger knows how much was sent. */
static const struct scene by_hand = {
	.account = "alice@example.org",
	.bill = { .facts = { .network = { { "192.0.2.7", 20, AT } } } },
	.cause = "uid 0",
	.present = 17,
	.mails = 2,
};

#define LINK(word, name) \
	"<mailto:unlock+" word ".17-" TOKEN "@mail.example.org?subject=" name ">\r\n"

#define HEADER_OF(reply_to, subject, ids) \
	"From: Gatepost <gatepost@example.org>\r\n" \
	"To: postmaster@example.org, jane@example.org\r\n" reply_to "Subject: " subject \
	": alice@example.org (case 17)\r\n" \
	"Date: Tue, 25 Nov 2025 04:35:05 +0000\r\n" \
	"Message-ID: <case.17.1764045300" ids "@mail.example.org>\r\n"

#define REST_OF_HEADER \
	"Auto-Submitted: auto-generated\r\n" \
	"MIME-Version: 1.0\r\n" \
	"Content-Type: text/plain; charset=utf-8\r\n" \
	"Content-Transfer-Encoding: 7bit\r\n" \
	"\r\n"

#define FIRST HEADER_OF("", "Suspended", "") REST_OF_HEADER
#define FIRST_WITH_TOKEN \
	HEADER_OF("Reply-To: <unlock+17-" TOKEN "@mail.example.org>\r\n", "Suspended", "") \
	REST_OF_HEADER
#define LATER(subject) \
	HEADER_OF("", subject, ".4k7") \
	"In-Reply-To: <case.17.1764045300@mail.example.org>\r\n" \
	"References: <case.17.1764045300@mail.example.org>\r\n" REST_OF_HEADER
#define LATER_WITH_TOKEN(subject) \
	HEADER_OF("Reply-To: <unlock+17-" TOKEN "@mail.example.org>\r\n", subject, ".4k7") \
	"In-Reply-To: <case.17.1764045300@mail.example.org>\r\n" \
	"References: <case.17.1764045300@mail.example.org>\r\n" REST_OF_HEADER

#define WHO \
	"The account alice@example.org was suspended (case 17). It can not send; mail\r\n" \
	"to it still arrives.\r\n\r\n"
#define LIMIT \
	"Its limit of 500 recipients in 30 minutes was reached 2025-11-25 04:35 UTC\r\n" \
	"(495 used, 10 more wanted); highest before: 37.\r\n"
#define SENT \
	"Sent from: 2001:db8::17 (475 recipients), 192.0.2.7 (20).\r\n" \
	"Subjects: \"cheap watches\", \"Your invoice 17\".\r\n\r\n"
/* clang-format off */
#define STOPS \
	"  Say SPAM: held mail is deleted, it stays suspended. " LINK("spam", "SPAM") \
	"  Say NO: nothing is changed. " LINK("no", "NO")
#define WORDS(wordless) \
	"Reply with a word or open its link. " wordless "\r\n" \
	"  Say UNLOCK: it may send again, held mail is sent. " LINK("unlock", "UNLOCK") \
	"  Say KEEP: it may send again, held mail stays held. " LINK("keep", "KEEP") \
	"  Say DISCARD: it may send again, held mail is deleted. " LINK("discard", "DISCARD") \
	STOPS
/* clang-format on */
#define ANSWERS \
	"Answers may come from postmaster@example.org, jane@example.org,\r\n" \
	"*@it.example.org; never from the account itself.\r\n"
#define WITHOUT \
	"Without one, it stays suspended and held mail stays held. Answers count until\r\n" \
	"2025-12-09 04:35 UTC. By hand, on mail.example.org:\r\n"
#define COMMAND "  gatepostctl account unlock alice@example.org [--held discard|keep]\r\n"
#define RELAYED "  gatepostctl relayed --incident 17 --ids | postsuper -h -\r\n"

static const struct scene usual_off = {
	.account = "alice@example.org",
	.cause = "uid 0",
	.present = 17,
	.mails = 2,
	.reply_off = true,
};

static const struct scene usual_over = {
	.account = "alice@example.org",
	.cause = "uid 0",
	.ended = true,
};

static const struct scene ruined = {
	.account = "alice@example.org",
	.cause = "budget",
	.present = 17,
	.ruined = true,
};

static const struct scene kept = {
	.account = "alice@example.org",
	.cause = "budget",
	.ended = true,
	.mails = 2,
	.note = "jane@example.org has answered (keep). The account may send again. Its held "
		"mail stays held: 'gatepostctl queue release alice@example.org' sends it.",
};

/* SPAM: it stays suspended. */
static const struct scene spammed = {
	.account = "alice@example.org",
	.cause = "budget",
	.present = 17,
	.note = "Its held mail is deleted.",
};

static const struct scene ignored = {
	.account = "alice@example.org",
	.cause = "budget",
	.present = 18,
	.note = "An answer to case 17 by bob@example.org did not count: this case is closed "
		"already.",
};

static const struct scene expiring = {
	.account = "alice@example.org",
	.cause = "budget",
	.ended = true,
	.mails = 2,
	.note = "1 message of alice@example.org will be deleted on 2025-12-09 04:35 UTC.",
};

/* A whole message each (TESTS UN12). */
static void test_notices(void **state)
{
	struct config strict = site;
	strict.unlock_word = CONFIG_UNLOCK_WORD_REQUIRED;
	const struct {
		const struct config *config;
		enum queue_kind kind;
		const struct scene *scene;
		const char *want;
	} rows[] = {
		{ &site, QUEUE_NOTICE_SUSPENDED, &usual,
		  FIRST_WITH_TOKEN WHO LIMIT
		  "Recipients: 487 gone (already relayed), 10 held here.\r\n" SENT WORDS(
		      "An empty reply is UNLOCK, other text KEEP.")
		      ANSWERS WITHOUT COMMAND RELAYED },
		{ &strict, QUEUE_NOTICE_SUSPENDED, &by_hand,
		  FIRST_WITH_TOKEN WHO "It was suspended 2025-11-25 04:35 UTC (by hand, uid "
		                       "0); highest use before:\r\n"
		                       "none.\r\n"
		                       "Recipients: 56 gone (already relayed), 4 held here.\r\n"
		                       "Sent from: 192.0.2.7 (20 recipients).\r\n\r\n" WORDS(
					   "Any other text does nothing.")
		                           ANSWERS WITHOUT COMMAND RELAYED },
		/* UN19 */
		{ &site, QUEUE_NOTICE_SUSPENDED, &usual_off,
		  FIRST_WITH_TOKEN WHO
		  "It was suspended 2025-11-25 04:35 UTC (by hand, uid 0); highest "
		  "use before:\r\n"
		  "none.\r\n"
		  "Recipients: 56 gone (already relayed), 4 held here.\r\n\r\n"
		  "It was suspended before within a day: an answer may stop it, "
		  "but no answer\r\n"
		  "unlocks it; only a command does. Reply with a word or open "
		  "its link; other\r\n"
		  "text does nothing.\r\n" STOPS ANSWERS WITHOUT COMMAND RELAYED },
		{ &site, QUEUE_NOTICE_SUSPENDED, &usual_over,
		  FIRST WHO "It was suspended 2025-11-25 04:35 UTC (by hand, uid 0); highest "
		            "use before:\r\n"
		            "none.\r\n"
		            "Recipients: 60 gone (already relayed), 0 held here.\r\n\r\n"
		            "This is over (keep, by uid 0, 2025-11-25 04:36 UTC): an answer "
		            "changes nothing\r\n"
		            "any more. What is gone can still be held behind Gatepost, on "
		            "mail.example.org:"
		            "\r\n" RELAYED },
		{ &site, QUEUE_NOTICE_SUSPENDED, &ruined,
		  FIRST_WITH_TOKEN WHO
		  "It was suspended 2025-11-25 04:35 UTC (its limit; the bill can not be "
		  "read);\r\n"
		  "highest use before: none.\r\n"
		  "Recipients: 60 gone (already relayed), 0 held here.\r\n\r\n" WORDS(
		      "An empty reply is UNLOCK, other text KEEP.")
		      ANSWERS WITHOUT COMMAND RELAYED },
		{ &site, QUEUE_NOTICE_REMINDER, &usual,
		  LATER_WITH_TOKEN(
		      "Still suspended") "The account alice@example.org is still suspended "
		                         "(case 17), since "
		                         "2025-11-25\r\n"
		                         "04:35 UTC.\r\n\r\n"
		                         "Its limit of 500 recipients in 30 minutes was "
		                         "reached (495 used, 10 more\r\n"
		                         "wanted).\r\n"
		                         "Recipients: 487 gone (already relayed), 10 held "
		                         "here.\r\n\r\n" WORDS(
					     "An empty reply is UNLOCK, other text KEEP.")
		                             ANSWERS WITHOUT COMMAND RELAYED },
		{ &site, QUEUE_NOTICE_EXPIRING, &expiring,
		  LATER(
		      "Held mail will be deleted") "Mail of the account alice@example.org is "
		                                   "held since 2025-11-25 04:35 UTC "
		                                   "(case\r\n"
		                                   "17), and its time (held_lifetime) is "
		                                   "nearly over.\r\n\r\n"
		                                   "1 message of alice@example.org will be "
		                                   "deleted on 2025-12-09 04:35 UTC.\r\n"
		                                   "The account now: in good standing.\r\n\r\n"
		                                   "To send it, or to delete it now, on "
		                                   "mail.example.org:\r\n"
		                                   "  gatepostctl queue release "
		                                   "alice@example.org\r\n"
		                                   "  gatepostctl queue discard "
		                                   "alice@example.org\r\n" },
		{ &site, QUEUE_NOTICE_ENDED, &kept,
		  LATER("Done") "An answer, or a command, was carried out on case 17, the "
		                "suspension of the\r\n"
		                "account alice@example.org.\r\n\r\n"
		                "What was done: jane@example.org has answered (keep). The "
		                "account may send\r\n"
		                "again. Its held mail stays held: 'gatepostctl queue release "
		                "alice@example.org'\r\n"
		                "sends it.\r\n"
		                "The account now: in good standing.\r\n"
		                "Held now: 4 recipients.\r\n" },
		{ &site, QUEUE_NOTICE_ENDED, &spammed,
		  LATER("Done") "An answer, or a command, was carried out on case 17, the "
		                "suspension of the\r\n"
		                "account alice@example.org.\r\n\r\n"
		                "What was done: Its held mail is deleted.\r\n"
		                "The account now: suspended (case 17).\r\n"
		                "To end the suspension by hand, on "
		                "mail.example.org:\r\n" COMMAND },
		{ &site, QUEUE_NOTICE_IGNORED, &ignored,
		  LATER("Not done") "An answer to case 17, the suspension of the account "
		                    "alice@example.org, changed\r\n"
		                    "nothing.\r\n\r\n"
		                    "What came: An answer to case 17 by bob@example.org did "
		                    "not count: this case is\r\n"
		                    "closed already.\r\n"
		                    "The account now: suspended (case 18).\r\n" ANSWERS },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = write_of(*state, rows[i].config, rows[i].kind, rows[i].scene);
		assert_string_equal(out.ptr, rows[i].want);
		buf_done(&out);
	}
}

/* A drill's notice looks like one, says that it is none, and has a token of its own; the report
 * is shown with it. */
static void test_drill(void **state)
{
	static const char *const want[] = {
		"Subject: DRILL: sample@example.org (case 0)\r\n",
		"Reply-To: <unlock+0-" TOKEN "@mail.example.org>\r\n",
		"Message-ID: <case.0.1764045300@mail.example.org>\r\n",
		"\r\n\r\nThis is a drill, and nobody is suspended",
		"The account sample@example.org was suspended (case 0).",
		"<mailto:unlock+keep.0-" TOKEN "@mail.example.org?subject=KEEP>",
		"*@it.example.org; never from the account itself.\r\n",
		"Subject: DRILL answered: sample@example.org (case 0)\r\n",
		"In-Reply-To: <case.0.1764045300@mail.example.org>\r\n",
		"An answer to the drill of 2025-11-25 04:35 UTC.",
		"It came in.\r\n",
	};
	static const struct scene scene = { .note = "It came in." };
	const struct meta_drill drill = { .sent_at = 77, .sent_wall = OPENED };
	const enum queue_kind kinds[] = { QUEUE_NOTICE_DRILL, QUEUE_NOTICE_DRILLED };
	struct place *place = *state;
	struct buf out;
	char token[UNLOCK_TOKEN_LEN + 1];
	buf_init(&out, MAX_OUT);
	struct store_txn *txn = writing(place->store);
	struct queue_entry entry = notice_of(QUEUE_NOTICE_DRILL, &scene);
	entry.incident = DRILL_INCIDENT;
	assert_int_equal(notice_write(&site, &key, &entry, txn, OPENED, &out), STORE_NOT_FOUND);
	assert_int_equal(meta_drill_put(txn, &drill), STORE_OK);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		entry.kind = kinds[i];
		assert_int_equal(notice_write(&site, &key, &entry, txn, OPENED, &out),
		                 STORE_OK);
	}
	store_abort(txn);
	unlock_drill_token(&key, 77, token);
	char *at = out.ptr;
	while ((at = memmem(at, (size_t)(out.ptr + out.len - at), token, UNLOCK_TOKEN_LEN))) {
		memcpy(at, TOKEN, UNLOCK_TOKEN_LEN);
	}
	buf_put_byte(&out, '\0');
	for (size_t i = 0; i < COUNT(want); i++) {
		assert_has(&out, want[i]);
	}
	buf_done(&out);
}

/* What is gone, and what is held: mail from before the window was not charged in it. */
static void test_numbers(void **state)
{
	static const struct {
		uint32_t spent;
		size_t mails, old_mails;
		const char *want;
	} rows[] = {
		{ 500, 0, 0, "Recipients: 500 gone (already relayed), 0 held here.\r\n" },
		{ 500, 100, 0, "Recipients: 300 gone (already relayed), 200 held here.\r\n" },
		{ 500, 0, 300, "Recipients: 500 gone (already relayed), 600 held here.\r\n" },
		{ 500, 10, 300, "Recipients: 480 gone (already relayed), 620 held here.\r\n" },
		/* Some limits are not the budget's: more may be held than was charged. */
		{ 100, 60, 0, "Recipients: 0 gone (already relayed), 120 held here.\r\n" },
		{ 5000, 2000, 0,
		  "Recipients: 1000 gone (already relayed), 4000 held here.\r\n" },
		{ 5000, 2001, 0,
		  "Recipients: at most 1000 gone (already relayed), more than 4000 held "
		  "here.\r\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scene scene = usual;
		scene.bill.spent = rows[i].spent;
		scene.mails = rows[i].mails;
		scene.old_mails = rows[i].old_mails;
		struct buf out = write_of(*state, &site, QUEUE_NOTICE_SUSPENDED, &scene);
		assert_has(&out, rows[i].want);
		buf_done(&out);
	}
}

/* One that was stopped by way of an app password: which, and how that one is ended. */
static void test_app_password(void **state)
{
	struct scene scene = usual;
	struct buf out = write_of(*state, &site, QUEUE_NOTICE_SUSPENDED, &scene);
	assert_int_equal(memmem(out.ptr, out.len, "app password", 12) != NULL, 0);
	buf_done(&out);
	memcpy(scene.bill.apppass, "scanner-2", 10);
	out = write_of(*state, &site, QUEUE_NOTICE_SUSPENDED, &scene);
	unfold(&out);
	assert_has(&out,
	           "With its app password \"scanner-2\"; to end that one: gatepostctl account "
	           "token delete alice@example.org scanner-2");
	buf_done(&out);
}

static void test_windows(void **state)
{
	static const struct {
		struct budget_limit limit;
		uint32_t peak;
		const char *want;
	} rows[] = {
		{ { 500, 30 * MINUTE }, 0, "500 recipients in 30 minutes was" },
		{ { 1, MINUTE }, 0, "1 recipients in 1 minute was" },
		{ { 9, 90 * MINUTE }, 0, "9 recipients in 90 minutes was" },
		{ { 2000, 24 * 60 * MINUTE }, 41, "2000 recipients in 24 hours was" },
		{ { 9, 60 * MINUTE }, 0, "9 recipients in 1 hour was" },
		{ { 9, 7 * 24 * 60 * MINUTE }, 0, "9 recipients in 7 days was" },
		{ { 9, 90 * 1000 }, 0, "9 recipients in 90 seconds was" },
		{ { 500, 30 * MINUTE }, 0, "highest before: none." },
		{ { 500, 30 * MINUTE }, 37, "highest before: 37." },
		/* The peaks are of the first limit. */
		{ { 2000, 24 * 60 * MINUTE }, 37, "highest before: 37 in 30 minutes." },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scene scene = usual;
		scene.bill.limit = rows[i].limit;
		scene.bill.facts.peak_before = rows[i].peak;
		struct buf out = write_of(*state, &site, QUEUE_NOTICE_SUSPENDED, &scene);
		unfold(&out);
		assert_has(&out, rows[i].want);
		buf_done(&out);
	}
}

/* The same without its token, for a file and a terminal. */
static void test_explain(void **state)
{
	static const struct {
		const struct scene *scene;
		const char *has;
	} rows[] = {
		{ &usual, "until somebody answers the notice" },
		{ &by_hand, "by hand, uid 0" },
		{ &usual_off, "only a command does" },
		{ &usual_over, "This is over" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;
		buf_init(&out, MAX_OUT);
		struct store_txn *txn = set_scene(*state, rows[i].scene);
		assert_int_equal(explain(17, txn, &out), STORE_OK);
		assert_int_equal(explain(18, txn, &out), STORE_NOT_FOUND);
		store_abort(txn);
		buf_put_byte(&out, '\0');
		assert_null(strchr(out.ptr, '\r'));
		unfold(&out);
		assert_has(&out, rows[i].has);
		assert_has(&out, "gatepostctl relayed --incident 17");
		assert_null(strstr(out.ptr, "mailto"));
		assert_null(strstr(out.ptr, "17-"));
		assert_true(strncmp(out.ptr, "The account alice@example.org was", 33) == 0);
		buf_done(&out);
	}
}

static void test_incident_is_gone(void **state)
{
	struct place *place = *state;
	struct scene scene = usual;
	struct buf out;
	buf_init(&out, MAX_OUT);
	struct store_txn *txn = set_scene(place, &scene);
	struct queue_entry entry = notice_of(QUEUE_NOTICE_ENDED, &scene);
	entry.incident = 18;
	assert_int_equal(notice_write(&site, &key, &entry, txn, OPENED, &out), STORE_NOT_FOUND);
	store_abort(txn);
	buf_done(&out);
}

/* One that has no room fails, and is not sent in part. */
static void test_no_room(void **state)
{
	struct scene scene = usual;
	struct queue_entry entry = notice_of(QUEUE_NOTICE_SUSPENDED, &scene);
	struct store_txn *txn = set_scene(*state, &scene);
	for (size_t cap = 0; cap < 2000; cap += 100) {
		struct buf out;
		buf_init(&out, cap);
		assert_int_equal(notice_write(&site, &key, &entry, txn, OPENED, &out),
		                 STORE_FAILED);
		buf_done(&out);
	}
	store_abort(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_to),
		cmocka_unit_test_setup_teardown(test_report, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_rows_missing, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_notices, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_drill, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_numbers, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_app_password, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_windows, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_explain, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_incident_is_gone, place_setup,
		                                place_teardown),
		cmocka_unit_test_setup_teardown(test_no_room, place_setup, place_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
