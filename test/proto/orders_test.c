/* Orders, their addresses, and the replies of test/replies, whose folder is the argument. */
#include "check.h"

#include "proto/mime.h"
#include "proto/orders.h"

#include <dirent.h>
#include <stdio.h>

#define MIB   ((size_t)1 << 20)
#define TOKEN "mzxw6ytboi5dgnbvgy3tqojqge"

static const struct span pattern = SPAN_LIT("unlock+*@mail.example.org");
static const char *folder;

/* ---- addresses ---- */

static void test_read_address(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *address;
		bool good;
		enum order word;
		uint64_t incident;
	} rows[] = {
		{ "u+*@x.org", "u+1-" TOKEN "@x.org", true, ORDERS, 1 },
		{ "u+*@x.org", "u+0-" TOKEN "@x.org", true, ORDERS, 0 },
		{ "u+*@x.org", "U+SPAM.12-MZXW6YTBOI5DGNBVGY3TQOJQGE@X.ORG", true, ORDER_SPAM,
		  12 },
		{ "u+*@x.org", "u+ok.12-" TOKEN "@x.org", true, ORDER_UNLOCK, 12 },
		{ "u+*@x.org", "u+no.9999999999999-" TOKEN "@x.org", true, ORDER_NO,
		  ORDERS_INCIDENT_MAX },
		{ "u-*@x.org", "u-keep.3-" TOKEN "@x.org", true, ORDER_KEEP, 3 },
		{ "*@unlock.x.org", "discard.3-" TOKEN "@unlock.x.org", true, ORDER_DISCARD,
		  3 },
		{ "*@unlock.x.org", "3-" TOKEN "@unlock.x.org", true, ORDERS, 3 },
		{ "u@*.x.org", "u@spam.3-" TOKEN ".x.org", true, ORDER_SPAM, 3 },
		/* not of the form */
		{ "u+*@x.org", "", false, ORDERS, 0 },
		{ "u+*@x.org", "u+@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+*@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1-" TOKEN "@x.or", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1-" TOKEN "@y.x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "v+1-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u1-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "*@unlock.x.org", "postmaster@unlock.x.org", false, ORDERS, 0 },
		/* no tag */
		{ "u+*@x.org", "u+" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1_" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+01-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1a-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u++1-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+10000000000000-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+18446744073709551617-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1-" TOKEN "a@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1-zxw6ytboi5dgnbvgy3tqojqge@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1-0zxw6ytboi5dgnbvgy3tqojqge@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+1-=zxw6ytboi5dgnbvgy3tqojqge@x.org", false, ORDERS, 0 },
		/* no word */
		{ "u+*@x.org", "u+.1-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+other.1-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+empty.1-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+spam.spam.1-" TOKEN "@x.org", false, ORDERS, 0 },
		{ "u+*@x.org", "u+spam!.1-" TOKEN "@x.org", false, ORDERS, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct orders_tag tag = { .incident = 77 };
		const char *name = rows[i].address;
		CHECK(name, orders_read_address(span_str(rows[i].pattern), span_str(name),
		                                &tag) == rows[i].good);
		CHECK(name, tag.incident == (rows[i].good ? rows[i].incident : 77));
		if (rows[i].good) {
			CHECK(name, tag.has_word == (rows[i].word != ORDERS));
			CHECK(name, tag.word == rows[i].word);
			CHECK(name, span_eq_nocase(tag.token, SPAN_LIT(TOKEN)));
		}
	}
}

/* UN03: what is written is read; no character of it may be another but for its case. */
static void test_write_address(void **state)
{
	(void)state;
	for (enum order word = 0; word <= ORDERS; word++) {
		if (word != ORDERS && !order_is_word(word)) {
			continue;
		}
		struct buf out = { .cap = 100 };
		struct orders_tag tag;
		orders_write_address(pattern, word, ORDERS_INCIDENT_MAX, SPAN_LIT(TOKEN), &out);
		assert_true(orders_read_address(pattern, buf_span(&out), &tag));
		assert_int_equal(tag.word, word);
		assert_int_equal(tag.incident, ORDERS_INCIDENT_MAX);
		check_span("token", tag.token, SPAN_LIT(TOKEN));
		assert_true(out.len - pattern.len + 1 <= ORDERS_TAG_MAX);
		size_t token_at = (size_t)(tag.token.ptr - out.ptr);
		for (size_t i = 0; i < out.len; i++) {
			char c = out.ptr[i];
			out.ptr[i] = (char)(c ^ 1);
			bool read = orders_read_address(pattern, buf_span(&out), &tag);
			bool inside = i >= token_at - 14 && i < token_at + ORDERS_TOKEN_LEN;
			CHECK("a wrong frame is read", inside || !read);
			CHECK("a wrong tag is read as the same",
			      !read || tag.incident != ORDERS_INCIDENT_MAX ||
			          !span_eq_nocase(tag.token, SPAN_LIT(TOKEN)));
			out.ptr[i] = c;
		}
		buf_done(&out);
	}
}

#define NINE "123456789"

static void test_pattern(void **state)
{
	(void)state;
	static const struct {
		const char *pattern;
		bool good;
	} rows[] = {
		{ "unlock+*@mail.example.org", true },
		{ "unlock-*@mail.example.org", true },
		{ "*@unlock.example.org", true },
		{ "unlock@*.example.org", true },
		{ "*", false },
		{ "", false },
		{ "unlock@example.org", false },
		{ "unlock+**@example.org", false },
		{ "unlock+*@*.example.org", false },
		{ "unlock+*", false },
		{ "unlock+*@", false },
		{ "unlock+*@example..org", false },
		{ "unlock+*@example.org.", false },
		{ "un lock+*@example.org", false },
		{ "<unlock+*@example.org>", false },
		{ "\"unlock*\"@example.org", false },
		{ "unlock+*@exämple.org", false },
		{ NINE "123456+*@example.org", true }, /* 16 octets and the tag: 64 */
		{ NINE "1234567+*@example.org", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *reason = NULL;
		CHECK(rows[i].pattern, orders_pattern_is_valid(span_str(rows[i].pattern),
		                                               &reason) == rows[i].good);
		CHECK(rows[i].pattern, (reason == NULL) == rows[i].good);
	}
}

/* ---- words ---- */

static void test_names(void **state)
{
	(void)state;
	static const struct {
		enum order order;
		const char *name;
		bool word;
	} rows[] = {
		{ ORDER_UNLOCK, "unlock", true },   { ORDER_EMPTY, "empty", false },
		{ ORDER_KEEP, "keep", true },       { ORDER_OTHER, "other", false },
		{ ORDER_DISCARD, "discard", true }, { ORDER_SPAM, "spam", true },
		{ ORDER_NO, "no", true },           { ORDER_UNREADABLE, "unreadable", false },
		{ ORDER_RELEASE, "release", true },
	};
	assert_int_equal(COUNT(rows), ORDERS);
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_string_equal(order_name(rows[i].order), rows[i].name);
		CHECK(rows[i].name, order_is_word(rows[i].order) == rows[i].word);
	}
}

static void check_order(struct span message, enum orders_kind kind, enum order order)
{
	enum order got = ORDERS;
	enum orders_kind got_kind = orders_read_message(message, SPAN_LIT("jane@example.org"),
	                                                NULL, &got);
	if (got_kind != kind || got != order) {
		fail_msg("%.*s\n: read as kind %d, order %s",
		         SPAN_ARG(span_first(message, 500)), (int)got_kind,
		         got == ORDERS ? "none" : order_name(got));
	}
}

/* The text of a reply, and what it says. */
static void test_text(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum order order;
	} rows[] = {
		{ "", ORDER_EMPTY },
		{ "\n \n\t\n", ORDER_EMPTY },
		{ "\xc2\xa0\n\xe2\x80\x8b\n", ORDER_EMPTY },
		{ "unlock", ORDER_UNLOCK },
		{ "  UnLock!!  ", ORDER_UNLOCK },
		{ "\n\n\xef\xbb\xbfOK.\n", ORDER_UNLOCK },
		{ "Yes, please do", ORDER_UNLOCK },
		{ "yes\xc2\xa0please", ORDER_UNLOCK },
		{ "release;", ORDER_RELEASE },
		{ "keep", ORDER_KEEP },
		{ "DISCARD\nunlock\n", ORDER_DISCARD },
		{ "Spam.", ORDER_SPAM },
		{ "No.", ORDER_NO },
		{ "stop\tit", ORDER_NO },
		/* other words */
		{ "please unlock alice", ORDER_OTHER },
		{ "unlocked", ORDER_OTHER },
		{ "unlock?", ORDER_OTHER },
		{ "spam: ", ORDER_OTHER },
		{ "\"unlock\"", ORDER_OTHER },
		{ "*unlock*", ORDER_OTHER },
		{ "o k", ORDER_OTHER },
		{ "OK,unlock", ORDER_OTHER },
		{ "?", ORDER_OTHER },
		{ "+1", ORDER_OTHER },
		{ "\xf0\x9f\x91\x8d", ORDER_OTHER },
		{ "Hello,\n\nunlock\n", ORDER_OTHER },
		{ "other", ORDER_OTHER },
		{ "empty", ORDER_OTHER },
		/* the signature */
		{ "-- \nspam", ORDER_EMPTY },
		{ "--\nspam", ORDER_EMPTY },
		{ "--spam", ORDER_OTHER },
		{ "Sent from my iPhone", ORDER_EMPTY },
		{ "Sent from my iPhone\nkeep", ORDER_KEEP },
		{ "Envoyé de mon iPhone\nGesendet von Mail\n", ORDER_EMPTY },
		{ "Von meinem Telefon gesendet", ORDER_EMPTY },
		{ "Von meinem Telefon aus: ja", ORDER_OTHER },
		/* quotations */
		{ "> spam", ORDER_EMPTY },
		{ ">spam\n >> no\n", ORDER_EMPTY },
		{ "> a\n\nspam", ORDER_SPAM },
		{ "> a\nspam", ORDER_SPAM },
		{ "> a\nspam is what I call it", ORDER_OTHER },
		{ "> a\nbroken\n> b\n\nkeep", ORDER_KEEP },
		{ "> a\nbroken\n> b\n", ORDER_OTHER },
		{ "> a\n\nwords\nspam", ORDER_OTHER },
		{ "-----Original Message-----\nspam", ORDER_EMPTY },
		{ "---- Ursprüngliche Nachricht ----\nspam", ORDER_EMPTY },
		{ "---------- Forwarded message ---------\nspam", ORDER_EMPTY },
		{ "---- a rule", ORDER_OTHER },
		{ "----------\nkeep", ORDER_KEEP },
		{ "____\n=====\n~~~\n", ORDER_EMPTY },
		{ "From: a\nSent: b\nspam", ORDER_EMPTY },
		{ "*From:* a\n*Date:* b\nspam", ORDER_EMPTY },
		{ "Von: a\nGesendet: b\n", ORDER_EMPTY },
		{ "De\xc2\xa0: a\nÀ : b\n", ORDER_EMPTY },
		{ "From: now on she is good", ORDER_OTHER },
		{ "From: now on\nunlock her", ORDER_OTHER },
		/* attributions */
		{ "On Wed, 25 Nov 2026, Gatepost wrote:\nkeep", ORDER_KEEP },
		{ "On Wed, 25 Nov 2026\nat 03:00\nGatepost <a@b.example>\nwrote:\n\nkeep",
		  ORDER_KEEP },
		{ "On Wed, 25 Nov 2026\nat 03:00\n\nGatepost wrote:\nkeep", ORDER_OTHER },
		{ "On Monday she wrote:\nkeep", ORDER_OTHER },
		{ "On 25 Nov she wrote: keep", ORDER_OTHER },
		{ "On 25 Nov I said:\n", ORDER_OTHER },
		{ "No dia 25/11/2026, Gatepost escreveu:\n", ORDER_EMPTY },
		{ "No dia, no order:\n", ORDER_NO },
		{ "Am 25.11.26 um 03:00 schrieb Gatepost\n<a@b.example>:\nSpam", ORDER_SPAM },
		{ "Gatepost wrote:\n> x\n", ORDER_EMPTY },
		{ "Gatepost wrote:\n\n> x\n", ORDER_EMPTY },
		{ "Gatepost wrote:\nx\n", ORDER_OTHER },
		{ "ons. 25. nov. 2026 skrev Gatepost <\na@b.example>:\n", ORDER_EMPTY },
		{ "spam please\nOn 25 Nov 2026, Gatepost <a@b.example> wrote:\n> x\n",
		  ORDER_SPAM },
		{ "let her\nOn 25 Nov 2026, Gatepost <a@b.example> wrote:\n> x\n",
		  ORDER_OTHER },
		/* PGP */
		{ "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nkeep\n", ORDER_KEEP },
		{ "-----BEGIN PGP SIGNED MESSAGE-----\n", ORDER_EMPTY },
		{ "-----BEGIN PGP MESSAGE-----\n\nhQ\n", ORDER_UNREADABLE },
		{ "-----BEGIN PGP SIGNATURE-----\nspam\n", ORDER_EMPTY },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf message = { .cap = 4096 };
		buf_printf(&message, "Subject: Re: alice\r\n\r\n%s", rows[i].text);
		check_order(buf_span(&message), ORDERS_HUMAN, rows[i].order);
		buf_done(&message);
	}
}

static void test_subject(void **state)
{
	(void)state;
	static const struct {
		const char *subject;
		enum orders_kind kind;
		enum order order; /* KEEP is the body's word */
	} rows[] = {
		{ "", ORDERS_HUMAN, ORDER_KEEP },
		{ "Re: alice is suspended", ORDERS_HUMAN, ORDER_KEEP },
		{ "unlock", ORDERS_HUMAN, ORDER_UNLOCK },
		{ "SPAM Re: alice", ORDERS_HUMAN, ORDER_SPAM },
		{ "Re: SPAM", ORDERS_HUMAN, ORDER_SPAM },
		{ "Re: AW: SV: Re[3]: RE : Antw: Re^2: Re(4): discard!", ORDERS_HUMAN,
		  ORDER_DISCARD },
		{ "\r\n Re:\r\n discard", ORDERS_HUMAN, ORDER_DISCARD },
		{ "=?utf-8?q?Re:_sp?= =?utf-8?b?YW0=?=", ORDERS_HUMAN, ORDER_SPAM },
		{ "Fwd: spam", ORDERS_HUMAN, ORDER_KEEP },
		{ "[SPAM] Re: alice", ORDERS_HUMAN, ORDER_KEEP },
		{ "***SPAM*** Re: alice", ORDERS_HUMAN, ORDER_KEEP },
		{ "SPAM: Re: alice", ORDERS_HUMAN, ORDER_KEEP },
		{ "{Spam?} Re: alice", ORDERS_HUMAN, ORDER_KEEP },
		{ "spam? Re: alice", ORDERS_HUMAN, ORDER_KEEP },
		{ "x spam", ORDERS_HUMAN, ORDER_KEEP },
		{ "(no subject)", ORDERS_HUMAN, ORDER_KEEP },
		{ "Automatic reply: alice", ORDERS_MACHINE, ORDERS },
		{ "Re: [Auto-Reply] alice", ORDERS_MACHINE, ORDERS },
		{ "OUT OF OFFICE", ORDERS_MACHINE, ORDERS },
		{ "=?utf-8?q?R=C3=A9ponse_automatique_:_x?=", ORDERS_MACHINE, ORDERS },
		{ "Automatic", ORDERS_HUMAN, ORDER_KEEP },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf message = { .cap = 4096 };
		buf_printf(&message, "From: a@b.c\r\nSubject: %s\r\n\r\nkeep\r\n",
		           rows[i].subject);
		check_order(buf_span(&message), rows[i].kind, rows[i].order);
		buf_done(&message);
	}
}

/* UN10 */
static void test_machine(void **state)
{
	(void)state;
	static const struct {
		const char *field;
		enum orders_kind kind;
	} rows[] = {
		{ "X: y", ORDERS_HUMAN },
		{ "Auto-Submitted: no", ORDERS_HUMAN },
		{ "Auto-Submitted: NO; x=y", ORDERS_HUMAN },
		{ "Auto-Submitted: auto-replied", ORDERS_MACHINE },
		{ "auto-submitted:\r\n auto-generated", ORDERS_MACHINE },
		{ "Auto-Submitted:", ORDERS_MACHINE },
		{ "Auto-Submitted: none", ORDERS_MACHINE },
		{ "Auto-Submitted: no\r\nAuto-Submitted: auto-replied", ORDERS_MACHINE },
		{ "Precedence: bulk", ORDERS_MACHINE },
		{ "Precedence: Junk", ORDERS_MACHINE },
		{ "Precedence: list", ORDERS_MACHINE },
		{ "Precedence: first-class", ORDERS_HUMAN },
		{ "X-Auto-Response-Suppress: OOF", ORDERS_MACHINE },
		{ "List-Id: <x.example>", ORDERS_MACHINE },
		{ "X-Autoreply: yes", ORDERS_MACHINE },
		{ "X-Autorespond: y", ORDERS_MACHINE },
		{ "Content-Type: multipart/report; boundary=b", ORDERS_MACHINE },
		{ "Content-Type: message/delivery-status", ORDERS_MACHINE },
		{ "Content-Type: text/plain", ORDERS_HUMAN },
		{ "X-List-Id: x", ORDERS_HUMAN },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf message = { .cap = 4096 };
		buf_printf(&message, "From: a@b.c\r\n%s\r\n\r\nunlock\r\n", rows[i].field);
		bool human = rows[i].kind == ORDERS_HUMAN;
		check_order(buf_span(&message), rows[i].kind, human ? ORDER_UNLOCK : ORDERS);
		/* In the body it is nobody's. */
		buf_clear(&message);
		buf_printf(&message, "From: a@b.c\r\n\r\nunlock\r\n%s\r\n", rows[i].field);
		check_order(buf_span(&message), ORDERS_HUMAN, ORDER_UNLOCK);
		buf_done(&message);
	}
}

/* A null sender is a machine's; and a word in the address is worth more than all others. */
static void test_sender_and_tag(void **state)
{
	(void)state;
	static const struct span message = SPAN_LIT("Subject: spam\r\n\r\nunlock\r\n");
	struct orders_tag tag = { .has_word = true, .word = ORDER_NO };
	enum order order = ORDERS;
	assert_int_equal(orders_read_message(message, SPAN_NONE, &tag, &order), ORDERS_MACHINE);
	assert_int_equal(orders_read_message(message, SPAN_LIT("<>"), &tag, &order),
	                 ORDERS_MACHINE);
	assert_int_equal(order, ORDERS);
	assert_int_equal(orders_read_message(message, SPAN_LIT("a@b.c"), &tag, &order),
	                 ORDERS_HUMAN);
	assert_int_equal(order, ORDER_NO);
	tag.has_word = false;
	orders_read_message(message, SPAN_LIT("a@b.c"), &tag, &order);
	assert_int_equal(order, ORDER_SPAM);
}

/*
 * What would be quadratic in a careless reader: each is 10 MB of one thing. Where the text was
 * cut before anything of the writer's came, nobody may say that he wrote nothing.
 */
static void test_bombs(void **state)
{
	(void)state;
	static const struct {
		const char *begin, *again;
		enum order order;
	} rows[] = {
		{ "Subject: x\n\n", ">\n", ORDER_OTHER },
		{ "\n", "\n", ORDER_OTHER },
		{ "\n", " ", ORDER_OTHER },
		{ "\n", "\xc2\xa0", ORDER_OTHER },
		{ "\n", "_", ORDER_OTHER },
		{ "\n", "On 1 wrote:\n", ORDER_OTHER },
		{ "\n", "wrote:\n>\n", ORDER_OTHER },
		{ "\n", ">\nOn 1\nOn 2\nOn 3\n", ORDER_OTHER },
		{ "\n>\n", "On 1 ", ORDER_OTHER },
		{ "\n", "From:\n\n", ORDER_OTHER },
		{ "\n", "Sent from my \n", ORDER_OTHER },
		{ "Subject: ", "Re:", ORDER_EMPTY },
		{ "Subject: ", "=?", ORDER_EMPTY },
		{ "Subject: ", "=?utf-8?q?", ORDER_EMPTY },
		{ "", "Subject: x\n", ORDER_EMPTY },
		{ "", "Auto-Submitted: no\n", ORDER_EMPTY },
		{ "From: ", "(", ORDER_EMPTY },
		{ "From: ", "\"", ORDER_EMPTY },
		{ "", "From: a@b.c\n", ORDER_EMPTY },
	};
	struct buf message = { .cap = 11 * MIB }, from = { .cap = 300 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&message);
		buf_put_str(&message, rows[i].begin);
		while (message.len < 10 * MIB) {
			buf_put_str(&message, rows[i].again);
		}
		check_order(buf_span(&message), ORDERS_HUMAN, rows[i].order);
		CHECK(rows[i].again, !orders_from(buf_span(&message), &from));
	}
	buf_done(&message);
	buf_done(&from);
}

/* ---- From ---- */

static void test_from(void **state)
{
	(void)state;
	static const struct {
		const char *fields;
		const char *from; /* NULL: none */
	} rows[] = {
		{ "From: jane@example.org", "jane@example.org" },
		{ "From: <Jane@EXAMPLE.org>", "Jane@example.org" },
		{ "from : Jane Doe <jane@example.org>", "jane@example.org" },
		{ "From: \"Doe, Jane\" <jane@example.org>", "jane@example.org" },
		{ "From: \"mallory@example.net\" <jane@example.org>", "jane@example.org" },
		{ "From: \"jane@example.org\" <m@example.net>", "m@example.net" },
		{ "From: \"jane@example.org\" <mallory@example.net>", "mallory@example.net" },
		{ "From: \"a\\\" <x@y.z>\" <jane@example.org>", "jane@example.org" },
		{ "From: jane@example.org (Jane (at home), Doe)", "jane@example.org" },
		{ "From: Jane\r\n Doe\r\n\t<jane@example.org>", "jane@example.org" },
		{ "From: =?utf-8?q?J=C3=A4ne?= <jane@example.org>", "jane@example.org" },
		{ "From: J\xc3\xa4ne <jane@example.org> (work)", "jane@example.org" },
		{ "From: \"jane\"@example.org", "jane@example.org" },
		{ "From: < jane@example.org >", "jane@example.org" },
		/* none, or more than one */
		{ "To: jane@example.org", NULL },
		{ "From:", NULL },
		{ "From: <>", NULL },
		{ "From: jane", NULL },
		{ "From: Jane <jane>", NULL },
		{ "From: jane@example.org\r\nFrom: jane@example.org", NULL },
		{ "From: jane@example.org, joe@example.org", NULL },
		{ "From: <jane@example.org>, <joe@example.org>", NULL },
		{ "From: <jane@example.org> <joe@example.org>", NULL },
		{ "From: jane@example.org joe@example.org", NULL },
		{ "From: staff: jane@example.org;", NULL },
		{ "From: staff:;", NULL },
		/* what another reader may read otherwise */
		{ "From: jane@example.org <mallory@example.net>", NULL },
		{ "From: <jane@example.org> mallory@example.net", NULL },
		{ "From: <jane@example.org> x", NULL },
		{ "From: <<jane@example.org>>", NULL },
		{ "From: <jane@example.org", NULL },
		{ "From: jane@example.org>", NULL },
		{ "From: jane@example.org (x <mallory@example.net>", NULL },
		{ "From: \"jane <jane@example.org>", NULL },
		{ "From: <@example.net:jane@example.org>", NULL },
		{ "From: jane@example.org\x01", NULL },
		{ "From: ja ne@example.org", NULL },
		{ "From: jane@example.org;", NULL },
		{ "From: j\xc3\xa4ne@example.org", NULL },
		{ "X: y\r\n\r\nFrom: jane@example.org", NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf message = { .cap = 4096 }, out = { .cap = 300 };
		buf_printf(&message, "Subject: x\r\n%s\r\n\r\n", rows[i].fields);
		buf_put_str(&out, "before");
		bool found = orders_from(buf_span(&message), &out);
		CHECK(rows[i].fields, found == (rows[i].from != NULL));
		if (found) {
			check_span(rows[i].fields, buf_span(&out), span_str(rows[i].from));
		}
		buf_done(&message);
		buf_done(&out);
	}
}

/* ---- the replies ---- */

static bool read_file(const char *name, struct buf *out)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	buf_clear(out);
	char *to = file ? buf_reserve(out, MIB) : NULL;
	if (to) {
		buf_grow(out, fread(to, 1, MIB, file));
	}
	if (file) {
		fclose(file);
	}
	return to;
}

/* The envelope of a file: its sender, and the order address it was sent to. */
static struct span envelope(struct span message, struct buf *sender, struct buf *to,
                            struct orders_tag *tag_out)
{
	assert_true(mime_field(message, SPAN_LIT("Return-Path"), sender, NULL));
	assert_true(mime_field(message, SPAN_LIT("Delivered-To"), to, NULL));
	assert_true(orders_read_address(pattern, buf_span(to), tag_out));
	assert_int_equal(tag_out->incident, 42);
	struct span path = buf_span(sender);
	return path.len > 2 ? span_of(path.ptr + 1, path.len - 2) : SPAN_NONE;
}

static void check_reply(const char *name, const char *kind, const char *order,
                        struct buf *message)
{
	struct buf sender = { .cap = 300 }, to = { .cap = 300 }, from = { .cap = 300 };
	struct orders_tag tag;
	CHECK(name, read_file(name, message));
	struct span path = envelope(buf_span(message), &sender, &to, &tag);
	enum order got = ORDERS;
	bool human = orders_read_message(buf_span(message), path, &tag, &got) == ORDERS_HUMAN;
	const char *found = human ? order_name(got) : "-";
	if (strcmp(human ? "human" : "machine", kind) != 0 || strcmp(found, order) != 0) {
		fail_msg("%s: read as %s %s", name, human ? "human" : "machine", found);
	}
	CHECK(name, !human || orders_from(buf_span(message), &from));
	buf_done(&sender);
	buf_done(&to);
	buf_done(&from);
}

/* Each line of EXPECT; and there is no file without one. */
static void test_replies(void **state)
{
	(void)state;
	struct buf expect = { .cap = MIB }, message = { .cap = MIB };
	assert_true(read_file("EXPECT", &expect));
	size_t lines = 0, files = 0;
	for (struct span rest = buf_span(&expect); rest.len; lines++) {
		char name[100], kind[20], order[20];
		size_t n = span_find(rest, '\n');
		char line[200] = "";
		memcpy(line, rest.ptr, n < sizeof line ? n : sizeof line - 1);
		assert_int_equal(sscanf(line, "%99s %19s %19s", name, kind, order), 3);
		check_reply(name, kind, order, &message);
		rest = span_from(rest, n + 1);
	}
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		files += strstr(entry->d_name, ".eml") != NULL;
	}
	closedir(dir);
	assert_int_equal(files, lines);
	assert_true(files >= 35);
	buf_done(&expect);
	buf_done(&message);
}

int main(int argc, char **argv)
{
	folder = argc > 1 ? argv[1] : "test/replies";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_address), cmocka_unit_test(test_write_address),
		cmocka_unit_test(test_pattern),      cmocka_unit_test(test_names),
		cmocka_unit_test(test_text),         cmocka_unit_test(test_subject),
		cmocka_unit_test(test_machine),      cmocka_unit_test(test_sender_and_tag),
		cmocka_unit_test(test_bombs),        cmocka_unit_test(test_from),
		cmocka_unit_test(test_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
