#include "auth/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define WINDOW (30 * MINUTE)
#define START  (100 * DAY)

/* One recipient, unless said otherwise. */
static void note(struct facts *facts, const char *client, const char *subject, int64_t at)
{
	const struct act act = { .recipients = 1,
		                 .client = span_str(client),
		                 .subject = span_str(subject),
		                 .now = at };
	facts_note(facts, &act, 1, WINDOW);
}

/* ---- networks ---- */

static void the_last_used_network_comes_first(void **state)
{
	(void)state;
	static const struct {
		const char *clients; /* one letter each, a minute apart */
		const char *list;
		uint32_t first; /* recipients from the first */
	} rows[] = {
		{ "", "", 0 },
		{ "a", "a", 1 },
		{ "aaa", "a", 3 },
		{ "ab", "ba", 1 },
		{ "aba", "ab", 2 },
		{ "abcdef", "fedcba", 1 },
		{ "abcdefg", "gfedcb", 1 },
		{ "abcdefa", "afedcb", 2 },
		/* One that fell off the list begins anew. */
		{ "aaabcdefga", "agfedc", 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct facts facts = { .peak_now = 0 };
		char list[FACTS_NETWORKS + 1] = "";
		for (size_t c = 0; rows[i].clients[c]; c++) {
			const char client[] = { rows[i].clients[c], '\0' };
			note(&facts, client, "", START + (int64_t)c * MINUTE);
		}
		for (size_t n = 0; n < FACTS_NETWORKS && facts.network[n].text[0]; n++) {
			assert_int_equal(strlen(facts.network[n].text), 1);
			list[n] = facts.network[n].text[0];
		}
		assert_string_equal(list, rows[i].list);
		assert_int_equal(facts.network[0].recipients, rows[i].first);
	}
}

static void a_network_is_forgotten_after_a_day(void **state)
{
	(void)state;
	struct facts facts = { .peak_now = 0 };
	note(&facts, "192.0.2.1", "", START);
	note(&facts, "192.0.2.2", "", START + HOUR);
	note(&facts, "192.0.2.3", "", START + DAY - 1);
	assert_string_equal(facts.network[2].text, "192.0.2.1");
	note(&facts, "192.0.2.3", "", START + DAY);
	assert_string_equal(facts.network[1].text, "192.0.2.2");
	assert_string_equal(facts.network[2].text, "");
	note(&facts, "192.0.2.1", "", START + 3 * DAY);
	assert_string_equal(facts.network[0].text, "192.0.2.1");
	assert_int_equal(facts.network[0].recipients, 1);
	assert_string_equal(facts.network[1].text, "");
}

static void recipients_of_a_network_saturate(void **state)
{
	(void)state;
	struct facts facts = { .peak_now = 0 };
	struct act act = { .recipients = UINT32_MAX - 1, .client = SPAN_LIT("a"), .now = 1 };
	for (int i = 0; i < 3; i++) {
		facts_note(&facts, &act, 0, WINDOW);
	}
	assert_int_equal(facts.network[0].recipients, UINT32_MAX);
}

/* ---- subjects ---- */

static void subjects_are_cut_and_each_once(void **state)
{
	(void)state;
#define SIXTY "123456789012345678901234567890123456789012345678901234567890"
#define U_UML "\xc3\xbc"
	static const struct {
		struct span subject;
		const char *kept;
	} rows[] = {
		{ SPAN_LIT("hello"), "hello" },
		{ SPAN_LIT("  hello\t"), "hello" },
		{ SPAN_LIT(""), "" },
		{ SPAN_LIT(" \t "), "" },
		{ SPAN_LIT("a\0b\r\nBcc: x"), "a b  Bcc: x" },
		{ SPAN_LIT("\x1b[2J"), " [2J" },
		{ SPAN_LIT("\x7f"), " " },
		{ SPAN_LIT(SIXTY), SIXTY },
		{ SPAN_LIT(SIXTY "x"), SIXTY },
		/* Never in the middle of a letter. */
		{ SPAN_LIT("x" U_UML), "x" U_UML },
		{ SPAN_LIT("1234567890123456789012345678901234567890123456789012345678" U_UML),
		  "1234567890123456789012345678901234567890123456789012345678" U_UML },
		{ SPAN_LIT("12345678901234567890123456789012345678901234567890123456789" U_UML),
		  "12345678901234567890123456789012345678901234567890123456789" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct facts facts = { .peak_now = 0 };
		const struct act act = { .subject = rows[i].subject, .now = START };
		facts_note(&facts, &act, 0, WINDOW);
		assert_string_equal(facts.subject[0], rows[i].kept);
		facts_note(&facts, &act, 0, WINDOW);
		assert_string_equal(facts.subject[1], "");
	}
}

/* What is no UTF-8 at all is cut where it is too long. */
static void a_subject_of_garbage(void **state)
{
	(void)state;
	char garbage[200];
	memset(garbage, 0x80, sizeof garbage);
	struct facts facts = { .peak_now = 0 };
	const struct act act = { .subject = span_of(garbage, sizeof garbage), .now = START };
	facts_note(&facts, &act, 0, WINDOW);
	assert_int_equal(strlen(facts.subject[0]), FACTS_SUBJECT_MAX);
}

static void the_last_subject_comes_first(void **state)
{
	(void)state;
	static const struct {
		const char *subjects;
		const char *list;
	} rows[] = {
		{ "abc", "cba" },    { "aaaa", "a" },     { "abcd", "dcba" },
		{ "abcde", "edcb" }, { "abcda", "adcb" }, { "abcdb", "bdca" },
		{ "ab cd", "dcba" }, /* the empty one is none */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct facts facts = { .peak_now = 0 };
		char list[FACTS_SUBJECTS + 1] = "";
		for (size_t c = 0; rows[i].subjects[c]; c++) {
			const char subject[] = { rows[i].subjects[c], '\0' };
			note(&facts, "192.0.2.1", subject, START);
		}
		for (size_t n = 0; n < FACTS_SUBJECTS; n++) {
			list[n] = facts.subject[n][0];
		}
		assert_string_equal(list, rows[i].list);
	}
}

/* ---- peaks ---- */

static void peaks_by_windows(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct {
			int64_t at;
			uint32_t used;
		} act[5];
		uint32_t now, last, before;
	} rows[] = {
		{ "the first", { { START, 7 } }, 7, 0, 0 },
		{ "the highest",
		  { { START, 7 }, { START + 1, 9 }, { START + 2, 3 } },
		  9,
		  0,
		  0 },
		{ "the next window", { { START, 7 }, { START + WINDOW, 2 } }, 2, 7, 0 },
		{ "still this one", { { START, 7 }, { START + WINDOW - 1, 9 } }, 9, 0, 0 },
		{ "the third",
		  { { START, 7 }, { START + WINDOW, 2 }, { START + 2 * WINDOW, 1 } },
		  1,
		  2,
		  7 },
		{ "a night between", { { START, 7 }, { START + DAY, 2 } }, 2, 0, 7 },
		{ "a theft over an edge is no habit",
		  { { START, 12 },
		    { START + DAY, 1 },
		    { START + DAY + WINDOW - 1, 300 },
		    { START + DAY + WINDOW, 500 } },
		  500,
		  300,
		  12 },
		{ "a clock that can not be", { { START, 7 }, { 5, 9 } }, 9, 0, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct facts facts = { .peak_now = 0 };
		for (size_t a = 0; a < COUNT(rows[i].act) && rows[i].act[a].at; a++) {
			const struct act act = { .now = rows[i].act[a].at };
			facts_note(&facts, &act, rows[i].act[a].used, WINDOW);
		}
		if (facts.peak_now != rows[i].now || facts.peak_last != rows[i].last ||
		    facts.peak_before != rows[i].before) {
			fail_msg("%s: %u %u %u", rows[i].what, facts.peak_now, facts.peak_last,
			         facts.peak_before);
		}
	}
}

static void without_a_limit_there_is_no_peak(void **state)
{
	(void)state;
	struct facts facts = { .peak_now = 0 };
	const struct act act = { .recipients = 3, .client = SPAN_LIT("a"), .now = START };
	facts_note(&facts, &act, 3, 0);
	assert_int_equal(facts.peak_now, 0);
	assert_int_equal(facts.network[0].recipients, 3);
}

/* ---- examples ---- */

static void three_letters_and_a_domain(void **state)
{
	(void)state;
	static const struct {
		const char *address, *kept;
	} rows[] = {
		{ "alice@example.com", "ali...@example.com" },
		{ "al@example.com", "al...@example.com" },
		{ "\"a@b\"@example.com", "\"a@...@example.com" },
		{ "\xc3\xa4\xc3\xb6@example.com",
		  "\xc3\xa4...@example.com" }, /* no half letter */
		{ "postmaster", "" },
		{ "", "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct facts facts = { .peak_now = 0 };
		const struct act act = { .example = span_str(rows[i].address), .now = START };
		facts_note(&facts, &act, 0, 0);
		assert_string_equal(facts.example[0], rows[i].kept);
	}
	struct facts facts = { .peak_now = 0 };
	for (unsigned i = 0; i < 5; i++) {
		char address[100];
		snprintf(address, sizeof address, "abc%u@%u.example.%070u", i, i % 4, 7u);
		const struct act act = { .example = span_str(address), .now = START };
		facts_note(&facts, &act, 0, 0);
	}
	/* The last first, each once, and cut. */
	assert_memory_equal(facts.example[0], "abc...@0.example.0", 18);
	assert_memory_equal(facts.example[1], "abc...@3.example.0", 18);
	assert_memory_equal(facts.example[2], "abc...@2.example.0", 18);
	assert_int_equal(strlen(facts.example[0]), FACTS_EXAMPLE_MAX);
}

/* ---- rows ---- */

static struct facts full(void)
{
	struct facts facts = { .peak_now = UINT32_MAX,
		               .peak_last = UINT32_MAX,
		               .peak_before = UINT32_MAX,
		               .peak_from = BUDGET_TIME_MAX };
	for (size_t i = 0; i < FACTS_NETWORKS; i++) {
		memset(facts.network[i].text, (char)('a' + i), FACTS_NETWORK_MAX);
		facts.network[i].recipients = UINT32_MAX;
		facts.network[i].last_at = BUDGET_TIME_MAX;
	}
	for (size_t i = 0; i < FACTS_SUBJECTS; i++) {
		memset(facts.subject[i], (char)('a' + i), FACTS_SUBJECT_MAX);
	}
	for (size_t i = 0; i < FACTS_EXAMPLES; i++) {
		memset(facts.example[i], (char)('a' + i), FACTS_EXAMPLE_MAX);
	}
	return facts;
}

static void rows_come_back(void **state)
{
	(void)state;
	struct facts rows[4] = { { .peak_now = 0 }, { .peak_now = 0 }, full(), full() };
	note(&rows[1], "192.0.2.1", "hello", START);
	memset(rows[3].network + 2, 0, 4 * sizeof rows[3].network[0]);
	memset(rows[3].example, 0, sizeof rows[3].example);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct facts back;
		struct buf row = { .cap = 1024 };
		memset(&back, 0x55, sizeof back);
		facts_pack(&rows[i], &row);
		assert_false(row.failed);
		assert_true(facts_unpack(buf_span(&row), &back));
		struct buf again = { .cap = 1024 };
		facts_pack(&back, &again);
		assert_true(span_eq(buf_span(&row), buf_span(&again)));
		/* Cut anywhere, or with a byte more, it is none; but examples are behind all
		 * else, and may end after any of them. */
		for (size_t n = 1; n < row.len && !rows[i].example[0][0]; n++) {
			assert_false(facts_unpack(span_first(buf_span(&row), n), &back));
		}
		buf_put_byte(&row, 0);
		assert_false(facts_unpack(buf_span(&row), &back));
		buf_done(&row);
		buf_done(&again);
	}
}

static void an_ordinary_row_is_small(void **state)
{
	(void)state;
	struct facts facts = { .peak_now = 0 };
	struct buf row = { .cap = 1024 };
	note(&facts, "192.0.2.1", "Minutes of Tuesday", START);
	facts_pack(&facts, &row);
	assert_in_range(row.len, 1, 64);
	buf_done(&row);
}

static void rows_that_make_no_sense(void **state)
{
	(void)state;
	static const struct span rows[] = {
		SPAN_LIT("\x00"),
		SPAN_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00"),
		SPAN_LIT("\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00"),
		SPAN_LIT("\x00\x00\x00\x00\x07\x00"),             /* seven networks */
		SPAN_LIT("\x00\x00\x00\x00\x01\x00\x01\x01\x00"), /* one without a name */
		SPAN_LIT("\x00\x00\x00\x00\x01\x02"
		         "a\x00\x01\x01\x00"),            /* one with a NUL */
		SPAN_LIT("\x00\x00\x00\x00\x00\x05"),     /* five subjects */
		SPAN_LIT("\x00\x00\x00\x00\x00\x01\x00"), /* an empty one */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct facts facts = { .peak_now = 77 };
		if (facts_unpack(rows[i], &facts)) {
			fail_msg("row %zu", i);
		}
		assert_int_equal(facts.peak_now, 77);
	}
}

static void an_empty_row_is_empty_facts(void **state)
{
	(void)state;
	struct facts facts = full();
	assert_true(facts_unpack(SPAN_NONE, &facts));
	assert_int_equal(facts.peak_now, 0);
	assert_string_equal(facts.network[0].text, "");
	assert_string_equal(facts.subject[0], "");
}

static void bills_come_back(void **state)
{
	(void)state;
	const struct bill rows[] = {
		{ .limit = { 500, WINDOW }, .spent = 500, .asked = 1, .facts = full() },
		{ .asked = 0 }, /* by hand, knowing nothing */
		{ .limit = { BUDGET_TOKENS_MAX, BUDGET_WINDOW_MAX },
		  .spent = UINT32_MAX,
		  .asked = UINT32_MAX },
		{ .asked = 1, .apppass = "scanner" },
		{ .asked = 1, .apppass = "12345678901234567890123456789012", .facts = full() },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bill back;
		struct buf row = { .cap = 1024 };
		bill_pack(&rows[i], &row);
		assert_true(bill_unpack(buf_span(&row), &back));
		assert_int_equal(back.limit.tokens, rows[i].limit.tokens);
		assert_int_equal(back.limit.window, rows[i].limit.window);
		assert_int_equal(back.spent, rows[i].spent);
		assert_int_equal(back.asked, rows[i].asked);
		assert_string_equal(back.apppass, rows[i].apppass);
		assert_memory_equal(&back.facts, &rows[i].facts, sizeof back.facts);
		buf_put_byte(&row, 0);
		assert_false(bill_unpack(buf_span(&row), &back));
		buf_done(&row);
	}
	struct bill back;
	assert_false(bill_unpack(SPAN_NONE, &back));
	/* Behind the facts: what a newer version adds is passed over, an endless name is not.
	 */
	static const struct {
		struct span row;
		bool good;
	} tails[] = {
		{ SPAN_LIT("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x02zz"), true },
		{ SPAN_LIT("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00"), false },
		{ SPAN_LIT("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x21"
		           "123456789012345678901234567890123"),
		  false },
	};
	for (size_t i = 0; i < COUNT(tails); i++) {
		assert_int_equal(bill_unpack(tails[i].row, &back), tails[i].good);
	}
}

static void bills_in_short(void **state)
{
	(void)state;
	static const struct {
		struct bill bill;
		const char *text;
	} rows[] = {
		{ { .asked = 1 }, "" }, /* by hand */
		{ { .limit = { 500, WINDOW }, .spent = 500, .asked = 1 },
		  "500/30m, 500 used, 1 asked for" },
		{ { .limit = { 100, 24 * 60 * MINUTE }, .strangers = true, .asked = 3 },
		  "100/1d strangers, 0 used, 3 asked for" },
		{ { .limit = { 500, WINDOW },
		    .spent = 490,
		    .asked = 46,
		    .lines = { { [TARIFF_RECIPIENT] = 1,
		                 [TARIFF_STRANGER] = 20,
		                 [TARIFF_REFUSED] = 7,
		                 [TARIFF_NEW_NETWORK] = 1 } },
		    .tariff = { { [TARIFF_RECIPIENT] = 1,
		                  [TARIFF_STRANGER] = 4,
		                  [TARIFF_NEW_NETWORK] = 25 } },
		    .facts = { .network = { { "192.0.2.7", 20, 1 },
		                            { "2001:db8::1", 3, 1 } } } },
		  "500/30m, 490 used, 46 asked for: stranger 20 x 4, new-network 1 x 25; "
		  "from 192.0.2.7 (20), 2001:db8::1 (3)" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf text = { .cap = 1024 };
		bill_write(&rows[i].bill, &text);
		buf_put_byte(&text, '\0');
		assert_string_equal(text.ptr, rows[i].text);
		buf_done(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_used_network_comes_first),
		cmocka_unit_test(a_network_is_forgotten_after_a_day),
		cmocka_unit_test(recipients_of_a_network_saturate),
		cmocka_unit_test(subjects_are_cut_and_each_once),
		cmocka_unit_test(a_subject_of_garbage),
		cmocka_unit_test(the_last_subject_comes_first),
		cmocka_unit_test(peaks_by_windows),
		cmocka_unit_test(without_a_limit_there_is_no_peak),
		cmocka_unit_test(three_letters_and_a_domain),
		cmocka_unit_test(rows_come_back),
		cmocka_unit_test(an_ordinary_row_is_small),
		cmocka_unit_test(rows_that_make_no_sense),
		cmocka_unit_test(an_empty_row_is_empty_facts),
		cmocka_unit_test(bills_come_back),
		cmocka_unit_test(bills_in_short),
	};
	return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
