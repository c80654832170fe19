#include "server/bill_text.h"

#include <stdio.h>

#include "server/notice_text.h"

/* ---- lines ---- */

static void add_line(const struct bill_line *line, struct bill_line *lines, size_t *n)
{
	size_t at = *n;
	if (line->sum == 0) {
		return;
	}
	for (; at > 0 && lines[at - 1].row != TARIFF_RECIPIENT && lines[at - 1].sum < line->sum;
	     at--) {
		lines[at] = lines[at - 1];
	}
	lines[at] = *line;
	++*n;
}

size_t bill_lines(const struct bill *bill, uint64_t before,
                  struct bill_line line_out[TARIFF_ROWS])
{
	size_t n = 0;
	for (enum tariff_row row = 0; row < TARIFF_ROWS; row++) {
		bool plain = row == TARIFF_RECIPIENT;
		uint64_t count = bill->lines.count[row] + (plain ? before : 0);
		uint32_t price = plain ? 1 : bill->tariff.price[row];
		const struct bill_line line = {
			.row = row,
			.count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX,
			.price = price,
			.sum = count * price,
		};
		/* Of strangers each counts once, whatever they cost. */
		if (!plain || !bill->strangers) {
			add_line(&line, line_out, &n);
		}
	}
	return n;
}

static int digits(uint64_t number)
{
	return snprintf(NULL, 0, "%llu", (unsigned long long)number);
}

static int wider(int width, uint64_t number)
{
	return digits(number) > width ? digits(number) : width;
}

void bill_line_write(const struct bill_line *lines, size_t n, size_t i, struct buf *out)
{
	int count = 0, price = 0, sum = 0;
	for (size_t k = 0; k < n; k++) {
		count = wider(count, lines[k].count);
		price = wider(price, lines[k].price);
		sum = wider(sum, lines[k].sum);
	}
	buf_printf(out, "%*u x %*u = %*llu  %s", count, lines[i].count, price, lines[i].price,
	           sum, (unsigned long long)lines[i].sum, tariff_meaning(lines[i].row));
}

/* ---- networks ---- */

const char *bill_network_word(const struct bill_network *network)
{
	const struct {
		bool is;
		const char *word;
	} words[] = {
		{ network->declared, "familiar" },  { network->shared, "shared" },
		{ network->kept.barred, "barred" }, { network->kept.ripe, "familiar" },
		{ network->kept.known, "strange" },
	};
	for (size_t i = 0; i < COUNT(words); i++) {
		if (words[i].is) {
			return words[i].word;
		}
	}
	return "";
}

void bill_network_write(const struct bill_network *network, struct buf *out)
{
	const char *word = bill_network_word(network);
	unsigned days = network->kept.days;
	if (network->kept.known && days == 0) {
		buf_put_str(out, ", first seen that day");
	} else if (network->kept.known) {
		buf_printf(out, ", first seen %u day%s before", days, days == 1 ? "" : "s");
	}
	if (*word) {
		buf_printf(out, ", %s", word);
	}
}

/* ---- subjects ---- */

/* What a mail program, or a terminal, makes a link of: a dot between two names, and a scheme.
 */
static bool is_within(struct span text, size_t i)
{
	return i > 0 && i + 1 < text.len && text.ptr[i - 1] != ' ' && text.ptr[i + 1] != ' ' &&
	       text.ptr[i + 1] != '.' && text.ptr[i - 1] != '.';
}

void bill_subject_write(struct span subject, size_t most, struct buf *out)
{
	struct buf clean = { .cap = 1024 };
	notice_text_escape(subject, most, &clean);
	struct span text = buf_span(&clean);
	for (size_t i = 0; i < text.len; i++) {
		struct span rest = span_from(text, i);
		if (span_eq_nocase(span_first(rest, 4), SPAN_LIT("http"))) {
			buf_put_str(out, "hxxp");
			i += 3;
		} else if ((text.ptr[i] == '.' || text.ptr[i] == '@') && is_within(text, i)) {
			buf_printf(out, "[%c]", text.ptr[i]);
		} else {
			buf_put_byte(out, text.ptr[i]);
		}
	}
	out->failed = out->failed || clean.failed;
	buf_done(&clean);
}

/* ---- the graph ---- */

void bill_use(const struct budget_ring *ring, int64_t at, uint32_t use_out[BILL_GRAPH_BARS])
{
	const int64_t per_bar = (BUDGET_SLOTS - 1) / BILL_GRAPH_BARS;
	int64_t width = (ring->window + BUDGET_SLOTS - 2) / (BUDGET_SLOTS - 1);
	int64_t last = width ? at / width : 0;
	memset(use_out, 0, BILL_GRAPH_BARS * sizeof *use_out);
	for (int64_t n = ring->newest - BUDGET_SLOTS + 1; width && n <= ring->newest; n++) {
		int64_t age = (last - n) / per_bar;
		if (n < 0 || n > last || age >= BILL_GRAPH_BARS) {
			continue;
		}
		uint32_t *bar = &use_out[BILL_GRAPH_BARS - 1 - age];
		uint64_t sum = (uint64_t)*bar + ring->spent[n % BUDGET_SLOTS];
		*bar = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
	}
}

/* "12h", "30m": a window is whole minutes, mostly. */
static void write_span(int64_t window, struct buf *out)
{
	const struct budget_limit limit = { 0, window };
	struct buf text = { .cap = 64 };
	budget_limit_write(&limit, &text);
	buf_put(out, span_from(buf_span(&text), 2)); /* without "0/" */
	buf_done(&text);
}

void bill_graph_write(const uint32_t use[BILL_GRAPH_BARS], int64_t window, struct buf *out)
{
	uint32_t most = 0;
	for (size_t i = 0; i < BILL_GRAPH_BARS; i++) {
		most = use[i] > most ? use[i] : most;
	}
	for (uint32_t row = BILL_GRAPH_ROWS; most && row > 0; row--) {
		if (row == BILL_GRAPH_ROWS) {
			buf_printf(out, "%8u |", most);
		} else {
			buf_put_str(out, "         |");
		}
		for (size_t i = 0; i < BILL_GRAPH_BARS; i++) {
			/* Whatever was spent is seen: rounded up. */
			uint64_t height = ((uint64_t)use[i] * BILL_GRAPH_ROWS + most - 1) /
			                  most;
			buf_put_byte(out, height >= row ? '#' : ' ');
		}
		buf_put_byte(out, '\n');
	}
	if (most) {
		buf_put_str(out, "         +------------------------------\n          -");
		write_span(window, out);
		buf_put_byte(out, '\n');
	}
}
