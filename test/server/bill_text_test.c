#include "test/store/help.h"

#include "server/bill_text.h"

#define MINUTE      ((int64_t)60 * 1000)
#define ROW(row, n) .lines.count[TARIFF_##row] = n

static void assert_text(struct buf *text, const char *expected)
{
	buf_put_byte(text, '\0');
	assert_false(text->failed);
	assert_string_equal(text->ptr, expected);
	buf_done(text);
}

static const struct tariff prices = { .price = { [TARIFF_RECIPIENT] = 1,
	                                         [TARIFF_STRANGER] = 4,
	                                         [TARIFF_STRANGE_NETWORK] = 15,
	                                         [TARIFF_NEW_NETWORK] = 25 } };

/* All lines, an LF behind each. */
static void write_lines(const struct bill *bill, uint64_t before, struct buf *out)
{
	struct bill_line lines[TARIFF_ROWS];
	size_t n = bill_lines(bill, before, lines);
	for (size_t i = 0; i < n; i++) {
		bill_line_write(lines, n, i, out);
		buf_put_byte(out, '\n');
	}
}

static void lines_are_aligned(void **state)
{
	(void)state;
	static const struct {
		struct bill bill;
		uint64_t before;
		const char *text;
	} rows[] = {
		{ { .asked = 0 }, 0, "" },
		{ { ROW(RECIPIENT, 4) }, 496, "500 x 1 = 500  recipients\n" },
		/* Recipients first, whatever they cost; then the dearest. */
		{ { ROW(RECIPIENT, 1), ROW(STRANGER, 24), ROW(STRANGE_NETWORK, 24),
		    ROW(NEW_NETWORK, 1) },
		  23,
		  "24 x  1 =  24  recipients\n"
		  "24 x 15 = 360  strangers, written to from a network that is not familiar\n"
		  "24 x  4 =  96  strangers, never written to before\n"
		  " 1 x 25 =  25  networks that were new to the account\n" },
		/* A price of 0 is no line. */
		{ { ROW(RECIPIENT, 1), ROW(TRAP, 3) }, 0, "1 x 1 = 1  recipients\n" },
		/* By the window for strangers each of them counts once. */
		{ { .strangers = true, ROW(RECIPIENT, 9), ROW(STRANGER, 101) },
		  50,
		  "101 x 4 = 404  strangers, never written to before\n" },
		{ { ROW(RECIPIENT, UINT32_MAX) },
		  9,
		  "4294967295 x 1 = 4294967304  recipients\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 4096 };
		struct bill bill = rows[i].bill;
		bill.tariff = prices;
		write_lines(&bill, rows[i].before, &out);
		assert_text(&out, rows[i].text);
	}
}

/* In a notice a line has a margin of two, and is not folded. */
static void no_line_is_too_long(void **state)
{
	(void)state;
	struct bill bill = { .tariff = tariff_default() };
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		bill.lines.count[i] = 24;
	}
	struct bill_line lines[TARIFF_ROWS];
	size_t n = bill_lines(&bill, 0, lines);
	assert_int_equal(n, TARIFF_ROWS);
	for (size_t i = 0; i < n; i++) {
		struct buf out = { .cap = 4096 };
		bill_line_write(lines, n, i, &out);
		assert_in_range(out.len, 1, 78 - 2 + 1);
		buf_done(&out);
	}
}

static void networks_in_words(void **state)
{
	(void)state;
	static const struct {
		struct bill_network network;
		const char *word, *text;
	} rows[] = {
		{ { .declared = false }, "", "" },
		{ { .kept = { .known = true } }, "strange", ", first seen that day, strange" },
		{ { .kept = { .known = true, .days = 1, .barred = true } },
		  "barred",
		  ", first seen 1 day before, barred" },
		{ { .kept = { .known = true, .days = 200, .ripe = true } },
		  "familiar",
		  ", first seen 200 days before, familiar" },
		{ { .kept = { .barred = true } }, "barred", ", barred" },
		{ { .shared = true, .kept = { .known = true, .days = 3 } },
		  "shared",
		  ", first seen 3 days before, shared" },
		{ { .declared = true }, "familiar", ", familiar" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 256 };
		bill_network_write(&rows[i].network, &out);
		assert_text(&out, rows[i].text);
		assert_string_equal(bill_network_word(&rows[i].network), rows[i].word);
	}
}

static void subjects_are_defanged(void **state)
{
	(void)state;
	static const struct {
		const char *subject;
		size_t most;
		const char *text;
	} rows[] = {
		{ "Minutes. See you at 9.", 60, "Minutes. See you at 9." },
		{ "see https://evil.example/a.b?c", 60, "see hxxps://evil[.]example/a[.]b?c" },
		{ "HTTP://EVIL.EXAMPLE", 60, "hxxp://EVIL[.]EXAMPLE" },
		{ "write jane@example.org", 60, "write jane[@]example[.]org" },
		{ "wait...", 60, "wait..." },
		{ "192.0.2.1", 60, "192[.]0[.]2[.]1" },
		{ "a line\nof its own", 60, "a line?of its own" },
		{ "123456789 http", 12, "123456789 ht..." },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 256 };
		bill_subject_write(span_str(rows[i].subject), rows[i].most, &out);
		assert_text(&out, rows[i].text);
	}
}

static void use_is_a_graph(void **state)
{
	(void)state;
	const struct budget_limits limits = { { { 500, 30 * MINUTE } }, 1 };
	const int64_t at = 1000 * MINUTE + 59 * 1000;
	struct budget budget = { .count = 0 };
	uint32_t use[BILL_GRAPH_BARS];
	/* Bars end with the slot of `at`, each of a minute: 29 minutes ago is the first. */
	static const struct {
		unsigned minutes;
		uint32_t tokens;
	} spent[] = { { 30, 7 }, { 29, 60 }, { 3, 1 }, { 2, 30 }, { 0, 20 }, { 0, 40 } };
	for (size_t i = 0; i < COUNT(spent); i++) {
		int64_t then = at - spent[i].minutes * MINUTE;
		budget_fit(&budget, &limits, then);
		budget_take(&budget, spent[i].tokens, then);
	}
	bill_use(&budget.ring[0], at, use);
	static const uint32_t expected[BILL_GRAPH_BARS] = {
		[0] = 60, [26] = 1, [27] = 30, [29] = 60
	};
	assert_memory_equal(use, expected, sizeof use);
	struct buf out = { .cap = 4096 };
	bill_graph_write(use, limits.limit[0].window, &out);
	assert_text(&out, "      60 |#                            #\n"
	                  "         |#                            #\n"
	                  "         |#                            #\n"
	                  "         |#                          # #\n"
	                  "         |#                          # #\n"
	                  "         |#                         ## #\n"
	                  "         +------------------------------\n"
	                  "          -30m\n");
	/* Half an hour later all of it is gone; a ring of nothing is no graph. */
	bill_use(&budget.ring[0], at + 31 * MINUTE, use);
	bill_graph_write(use, limits.limit[0].window, &out);
	const struct budget_ring none = { .window = 0 };
	bill_use(&none, at, use);
	bill_graph_write(use, 0, &out);
	assert_int_equal(out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_aligned), cmocka_unit_test(no_line_is_too_long),
		cmocka_unit_test(networks_in_words), cmocka_unit_test(subjects_are_defanged),
		cmocka_unit_test(use_is_a_graph),
	};
	return cmocka_run_group_tests_name("bill_text", tests, NULL, NULL);
}
