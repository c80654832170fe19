/* Notices about accounts and mail that would like to write more into them than they may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/orders.h"
#include "test/server/notice_scene.h"

#define LINES 25 /* a tired admin reads fewer */

/* Is it a word of an order, with whatever marks a mail program may take off? */
static bool is_order_line(const char *line)
{
	static const char *const words[] = { "UNLOCK",  "OK",   "YES", "RELEASE", "KEEP",
		                             "DISCARD", "SPAM", "NO",  "STOP" };
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	while (*line && *line != '\r' && !strchr(letters, *line)) {
		line++;
	}
	struct span word = span_of(line, strspn(line, letters));
	for (size_t i = 0; i < COUNT(words); i++) {
		if (span_eq_nocase(word, span_str(words[i]))) {
			return true;
		}
	}
	return false;
}

/* The names of its header fields, "From To ..."; folded lines are no fields. */
static void field_names(const char *message, char *names, size_t size)
{
	size_t n = 0;
	names[0] = '\0';
	for (const char *line = message; line[0] != '\r'; line = strstr(line, "\r\n") + 2) {
		if (line[0] != ' ' && line[0] != '\t') {
			n += (size_t)snprintf(names + n, size - n, "%.*s ",
			                      (int)strcspn(line, ":"), line);
			assert_true(n < size);
		}
	}
}

/* Every line of it: short enough, without control bytes, no order; returns their number. */
static size_t check_lines(const char *text, bool body)
{
	size_t n = 0;
	for (const char *line = text; *line; n++) {
		const char *end = strstr(line, "\r\n");
		assert_non_null(end);
		assert_true(end - line <= 998);
		assert_true(!body || !is_order_line(line));
		for (const char *c = line; c < end; c++) {
			assert_true((unsigned char)*c >= ' ' && *c != 127);
		}
		line = end + 2;
	}
	return n;
}

#define LONG_NAME \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.org"

/* UN16, and what would be an order if it began a line. */
static void test_hostile(void **state)
{
	static const char *const names[] = {
		"alice@example.org",
		"unlock@example.org",
		"=?utf-8?q?unlock?=@example.org",
		"<script>alert(1)</script>@example.org",
		"a'b;$(reboot)`x`\"@example.org",
		"a\r\nBcc:eve@example.org",
		"\342\200\256gro.elpmaxe@ecila",
		"-rf@example.org",
		"{note}@example.org",
		LONG_NAME,
	};
	static const char *const texts[] = {
		"",
		"STOP STOP STOP STOP STOP STOP STOP STOP STOP STOP STOP STOP STOP",
		"hi\r\nBcc: eve@example.net\r\n\r\nUNLOCK",
		"=?utf-8?q?UNLOCK=0AUNLOCK?=",
		"\342\200\256\342\200\250UNLOCK\302\205UNLOCK \377\300\200\355\240\200",
		"\033[2J\nUNLOCK\n.\n",
		"{case} {nothing} {?reply} %s%n",
		"From: eve@example.net",
		"k\303\266nnen Sie no ok yes keep release discard spam unlock stop no ok yes",
	};
	static const enum queue_kind kinds[] = { QUEUE_NOTICE_SUSPENDED, QUEUE_NOTICE_ENDED,
		                                 QUEUE_NOTICE_IGNORED };
	static const char *const fields[] = {
		"From To Reply-To Subject Date Message-ID ",
		"From To Subject Date Message-ID In-Reply-To References ",
		"From To Subject Date Message-ID In-Reply-To References ",
	};
	for (size_t i = 0; i < COUNT(names) * COUNT(texts) * COUNT(kinds); i++) {
		struct scene scene = usual;
		const char *text = texts[i / COUNT(kinds) % COUNT(texts)];
		char have[256], want[256];
		scene.account = names[i / COUNT(kinds) / COUNT(texts)];
		scene.note = text;
		for (size_t n = 0; n < FACTS_SUBJECTS; n++) {
			snprintf(scene.bill.facts.subject[n], FACTS_SUBJECT_MAX + 1, "%s",
			         text);
		}
		struct buf out = write_of(*state, &site, kinds[i % COUNT(kinds)], &scene);
		field_names(out.ptr, have, sizeof have);
		snprintf(want, sizeof want, "%s%s", fields[i % COUNT(kinds)],
		         "Auto-Submitted MIME-Version Content-Type Content-Transfer-Encoding ");
		assert_string_equal(have, want);
		check_lines(out.ptr, false);
		assert_true(check_lines(body_of(&out), true) < LINES);
		char *subject = strstr(out.ptr, "Subject:");
		char *date = strstr(subject, "Date:");
		assert_null(memmem(subject, (size_t)(date - subject), "=?", 2));
		buf_done(&out);
	}
}

/* What comes back of it: an empty reply of a program that quotes without a mark is no order. */
static void test_sent_back(void **state)
{
	static const enum queue_kind kinds[] = { QUEUE_NOTICE_SUSPENDED, QUEUE_NOTICE_ENDED,
		                                 QUEUE_NOTICE_IGNORED };
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct scene scene = usual;
		enum order order;
		scene.note = "It is done.";
		struct buf out = write_of(*state, &site, kinds[i], &scene);
		struct buf reply;
		buf_init(&reply, MAX_OUT);
		char *subject = strstr(out.ptr, "Subject: ");
		buf_printf(&reply, "From: jane@example.org\r\nSubject: Re: %.*s\r\n\r\n%s",
		           (int)strcspn(subject + 9, "\r"), subject + 9, body_of(&out));
		assert_int_equal(orders_read_message(buf_span(&reply),
		                                     SPAN_LIT("jane@example.org"), NULL,
		                                     &order),
		                 ORDERS_HUMAN);
		assert_int_equal(order, ORDER_OTHER);
		buf_done(&reply);
		buf_done(&out);
	}
}

/* The addresses of the links, and of Reply-To, are read as what they were written for. */
static void test_links(void **state)
{
	static const struct {
		const char *before, *behind;
		bool has_word;
		enum order word;
	} rows[] = {
		{ "Reply-To: <", ">\r\nSubject:", false, ORDERS },
		{ "<mailto:", "?subject=UNLOCK>", true, ORDER_UNLOCK },
		{ "<mailto:", "?subject=KEEP>", true, ORDER_KEEP },
		{ "<mailto:", "?subject=DISCARD>", true, ORDER_DISCARD },
		{ "<mailto:", "?subject=SPAM>", true, ORDER_SPAM },
		{ "<mailto:", "?subject=NO>", true, ORDER_NO },
	};
	static const char *const patterns[] = { "unlock+*@mail.example.org",
		                                "unlock-*@mail.example.org",
		                                "*@unlock.example.org" };
	for (size_t i = 0; i < COUNT(rows) * COUNT(patterns); i++) {
		struct config config = site;
		char pattern[64];
		size_t row = i / COUNT(patterns);
		snprintf(pattern, sizeof pattern, "%s", patterns[i % COUNT(patterns)]);
		config.reply_address = pattern;
		struct buf out = write_of(*state, &config, QUEUE_NOTICE_SUSPENDED, &usual);
		char *end = strstr(out.ptr, rows[row].behind);
		assert_non_null(end);
		while (strncmp(end, rows[row].before, strlen(rows[row].before)) != 0) {
			end--;
		}
		char *address = end + strlen(rows[row].before);
		struct orders_tag tag;
		assert_true(orders_read_address(
		    span_str(pattern), span_of(address, strcspn(address, "?>")), &tag));
		assert_int_equal(tag.has_word, rows[row].has_word);
		assert_true(!tag.has_word || tag.word == rows[row].word);
		assert_int_equal(tag.incident, 17);
		assert_span(tag.token, TOKEN);
		buf_done(&out);
	}
}

/* Under 25 lines whatever happened. */
static void test_longest(void **state)
{
	struct config config_of_many = site;
	struct span many[40];
	struct scene scene = usual;
	for (size_t i = 0; i < COUNT(many); i++) {
		many[i] = SPAN_LIT("somebody.with.a.long.name@department.example.org");
	}
	config_of_many.may_unlock = many;
	config_of_many.nmay_unlock = COUNT(many);
	scene.account = LONG_NAME;
	scene.bill.limit = (struct budget_limit){ BUDGET_TOKENS_MAX, BUDGET_WINDOW_MAX };
	scene.bill.spent = BUDGET_TOKENS_MAX;
	scene.bill.asked = 100000;
	scene.bill.facts.peak_before = UINT32_MAX;
	for (size_t i = 0; i < FACTS_NETWORKS; i++) {
		snprintf(scene.bill.facts.network[i].text, FACTS_NETWORK_MAX + 1,
		         "2001:0db8:1111:2222:3333:4444:5555:%04zx", i);
		scene.bill.facts.network[i].recipients = UINT32_MAX;
	}
	for (size_t i = 0; i < FACTS_SUBJECTS; i++) {
		memset(scene.bill.facts.subject[i], 'a' + (int)i, FACTS_SUBJECT_MAX);
	}
	scene.mails = 2001;
	struct buf out = write_of(*state, &config_of_many, QUEUE_NOTICE_SUSPENDED, &scene);
	size_t lines = check_lines(body_of(&out), true);
	if (lines >= LINES) {
		fail_msg("%zu lines: %s", lines, out.ptr);
	}
	unfold(&out);
	assert_has(&out, " and 5 more.");
	assert_has(&out, " and 40 more;");
	assert_has(&out, "unlock " LONG_NAME " [");
	buf_done(&out);
}

/* Bytes above 127 are said to be there. */
static void test_eight_bit(void **state)
{
	struct scene scene = usual;
	snprintf(scene.bill.facts.subject[0], FACTS_SUBJECT_MAX, "%s", "Gr\303\274\303\237e");
	struct buf out = write_of(*state, &site, QUEUE_NOTICE_SUSPENDED, &scene);
	assert_has(&out, "Content-Transfer-Encoding: 8bit\r\n");
	assert_has(&out, "Subjects: \"Gr\303\274\303\237e\", \"Your invoice");
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hostile, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_sent_back, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_links, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_longest, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_eight_bit, place_setup, place_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
