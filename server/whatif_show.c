#include "server/whatif_show.h"

#include <stdlib.h>

#define LOWEST_TURNS 16

/* ---- a line and its bill ---- */

/* "100/1d strangers" */
static json_t *limit_text(const struct gate_beyond *beyond)
{
	struct buf text = { .cap = 100 };
	if (beyond->limit.window) {
		budget_limit_write(&beyond->limit, &text);
		buf_put_str(&text, beyond->strangers ? " strangers" : "");
	}
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

static uint64_t line_sum(const struct whatif_judgement *judgement, enum tariff_row row)
{
	return (uint64_t)judgement->lines.count[row] * judgement->tariff.price[row];
}

/* The dearest line that was not shown; TARIFF_RECIPIENT when all were. The recipients
 * themselves are what is left of the use. */
static enum tariff_row next_line(const struct whatif_judgement *judgement,
                                 const bool shown[TARIFF_ROWS])
{
	enum tariff_row next = TARIFF_RECIPIENT;
	uint64_t most = 0;
	for (enum tariff_row row = TARIFF_RECIPIENT + 1; row < TARIFF_ROWS; row++) {
		uint64_t sum = line_sum(judgement, row);
		if (!shown[row] && sum > most) {
			most = sum;
			next = row;
		}
	}
	return next;
}

/* As an array, and in short for people: "strange-network 21 x 15 = 315; ...". */
static void add_bill(struct what_if *what, const struct whatif_judgement *judgement,
                     json_t *event)
{
	bool shown[TARIFF_ROWS] = { false };
	struct buf text = { .cap = 1000 };
	json_t *lines = json_array();
	enum tariff_row row;
	while ((row = next_line(judgement, shown)) != TARIFF_RECIPIENT) {
		uint64_t sum = line_sum(judgement, row);
		uint32_t count = judgement->lines.count[row],
			 each = judgement->tariff.price[row];
		json_array_append_new(
		    lines, json_pack("{s:s, s:I, s:I, s:I, s:s}", "price", tariff_name(row),
		                     "count", (json_int_t)count, "each", (json_int_t)each,
		                     "sum", (json_int_t)sum, "meaning", tariff_meaning(row)));
		buf_printf(&text, "%s%s %u x %u = %llu", text.len ? "; " : "", tariff_name(row),
		           count, each, (unsigned long long)sum);
		shown[row] = what->charged[row] = true;
	}
	json_object_set_new(event, "bill", command_text(buf_span(&text)));
	json_object_set_new(event, "lines", lines);
	buf_done(&text);
}

void what_if_show_event(struct what_if *what, const struct whatif_message *message,
                        const struct whatif_judgement *judgement)
{
	struct command_call *call = what->call;
	const char *result = judgement->verdict == GATE_TRIPPED ? "locked"
	                     : judgement->verdict == GATE_HOLD  ? "held"
	                                                        : "refused";
	json_t *event = json_pack(
	    "{s:s, s:o, s:o, s:s, s:o, s:I, s:I, s:o}", "row", "event", "time",
	    command_time(message->at), "account", command_text(message->account), "result",
	    result, "limit", limit_text(&judgement->beyond), "used",
	    (json_int_t)judgement->beyond.spent, "asked", (json_int_t)judgement->beyond.asked,
	    "client", command_text(message->client));
	add_bill(what, judgement, event);
	call->emit(call->context, event);
}

/* ---- the lowest limits ---- */

static bool raise_to(uint64_t *limit, uint64_t use)
{
	bool raised = use > *limit;
	*limit = raised ? use : *limit;
	return raised;
}

/* To the highest use of those whom they rule: not of the exempt. Did any rise? */
static bool raise_limits(struct what_if *what, const struct whatif_windows *windows)
{
	struct whatif_use use, *lowest = &what->lowest;
	bool raised = false;
	size_t at = 0;
	while (whatif_use_next(&what->mail, windows, &at, &use)) {
		struct span name = names_get(&what->mail.accounts, use.account);
		if (!whatif_is_ruled(&what->rules.gate, name)) {
			continue;
		}
		lowest->largest = use.largest > lowest->largest ? use.largest : lowest->largest;
		for (size_t k = 0; k < windows->limits.count; k++) {
			raised |= raise_to(&lowest->most[k], use.most[k]);
		}
		for (size_t k = 0; k < windows->strangers.count; k++) {
			raise_to(&lowest->strangers[k], use.strangers[k]);
		}
	}
	return raised;
}

static uint64_t least_of(const uint64_t *limit, size_t n)
{
	uint64_t least = UINT64_MAX;
	for (size_t k = 0; k < n; k++) {
		least = limit[k] < least ? limit[k] : least;
	}
	return least;
}

/* The price of a message is bounded by the lowest limit, so a higher one may make it dearer.
 * From the largest message on they go up until they hold what they bound; or, where that takes
 * long, what nothing bounds. */
static void find_lowest(struct what_if *what)
{
	struct whatif_windows windows = what->windows;
	struct whatif_use *lowest = &what->lowest;
	size_t n = windows.limits.count;
	windows.limits.count = 0;
	raise_limits(what, &windows);
	windows.limits.count = n;
	for (size_t k = 0; k < n; k++) {
		lowest->most[k] = lowest->largest;
	}
	bool raised = true;
	for (int turn = 0; raised && turn < LOWEST_TURNS; turn++) {
		windows.whole = least_of(lowest->most, n);
		raised = raise_limits(what, &windows);
	}
	if (raised) {
		windows.whole = UINT64_MAX;
		raise_limits(what, &windows);
	}
}

/* ---- accounts, and the whole ---- */

/* "420/30m 1800/1d": the highest use of each window. */
static json_t *use_text(const struct budget_limits *windows, const uint64_t *most)
{
	struct buf text = { .cap = 256 };
	for (size_t i = 0; i < windows->count; i++) {
		struct budget_limit limit = windows->limit[i];
		limit.tokens = most[i] > UINT32_MAX ? UINT32_MAX : (uint32_t)most[i];
		buf_put_str(&text, i ? " " : "");
		budget_limit_write(&limit, &text);
	}
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

/* An account of use, to be sorted. */
struct line {
	struct whatif_use use;
	struct what_if_tally tally;
};

static int by_use(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	if (a->tally.locks != b->tally.locks) {
		return a->tally.locks > b->tally.locks ? -1 : 1;
	}
	if (a->use.most[0] != b->use.most[0]) {
		return a->use.most[0] > b->use.most[0] ? -1 : 1;
	}
	return (a->use.account > b->use.account) - (a->use.account < b->use.account);
}

static void show_account(struct what_if *what, const struct line *line)
{
	struct command_call *call = what->call;
	struct span name = names_get(&what->mail.accounts, line->use.account);
	const struct what_if_tally *tally = &line->tally;
	if (!(tally->locks || tally->refused || tally->held || what->options.all)) {
		return;
	}
	call->emit(call->context,
	           json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:b}", "row",
	                     "account", "account", command_text(name), "locked",
	                     (json_int_t)tally->locks, "refused", (json_int_t)tally->refused,
	                     "held", (json_int_t)tally->held, "messages",
	                     (json_int_t)line->use.messages, "recipients",
	                     (json_int_t)line->use.recipients, "most",
	                     use_text(&what->windows.limits, line->use.most), "strangers",
	                     use_text(&what->windows.strangers, line->use.strangers), "ruled",
	                     whatif_is_ruled(&what->rules.gate, name)));
}

static bool show_accounts(struct what_if *what)
{
	struct command_call *call = what->call;
	struct line *line = calloc(what->mail.accounts.count + 1, sizeof *line);
	size_t n = 0, at = 0;
	if (!line) {
		return command_fail(call, "out of memory");
	}
	whatif_sort_accounts(&what->mail);
	while (whatif_use_next(&what->mail, &what->windows, &at, &line[n].use)) {
		line[n].tally = what->tally[line[n].use.account];
		n++;
	}
	qsort(line, n, sizeof *line, by_use);
	command_layout(call, COMMAND_TABLE,
	               "account locked refused held messages recipients most strangers ruled");
	for (size_t i = 0; i < n; i++) {
		show_account(what, &line[i]);
	}
	free(line);
	return true;
}

/* What the names on the bills mean. */
static void show_prices(struct what_if *what)
{
	struct command_call *call = what->call;
	command_layout(call, COMMAND_TABLE, "price each meaning");
	for (enum tariff_row row = TARIFF_RECIPIENT + 1; row < TARIFF_ROWS; row++) {
		if (what->charged[row]) {
			call->emit(call->context,
			           json_pack("{s:s, s:s, s:I, s:s}", "row", "price", "price",
			                     tariff_name(row), "each",
			                     (json_int_t)what->rules.gate.tariff.price[row],
			                     "meaning", tariff_meaning(row)));
		}
	}
}

static void add_faults(const struct what_if *what, json_t *row)
{
	if (what->reading.bad) {
		json_object_set_new(row, "bad_lines",
		                    json_integer((json_int_t)what->reading.bad));
		json_object_set_new(row, "first_bad",
		                    command_text(span_str(what->reading.first_bad)));
	}
	if (what->mail.unusable) {
		json_object_set_new(row, "no_account",
		                    json_integer((json_int_t)what->mail.unusable));
	}
}

static void show_total(struct what_if *what)
{
	struct command_call *call = what->call;
	struct what_if_tally sum = { .locks = 0 };
	uint64_t locked = 0;
	for (size_t i = 0; i < what->mail.accounts.count; i++) {
		sum.locks += what->tally[i].locks;
		sum.refused += what->tally[i].refused;
		sum.held += what->tally[i].held;
		locked += what->tally[i].locks > 0;
	}
	json_t *row = json_pack(
	    "{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "row", "total",
	    "limits", command_limits_text(&what->rules.gate.limits), "from",
	    command_time(what->from), "until", command_time(what->until), "messages",
	    (json_int_t)what->messages, "recipients", (json_int_t)what->recipients, "accounts",
	    (json_int_t)what->mail.accounts.count, "locked_accounts", (json_int_t)locked,
	    "locks", (json_int_t)sum.locks, "refused", (json_int_t)sum.refused, "held",
	    (json_int_t)sum.held, "lowest", use_text(&what->windows.limits, what->lowest.most),
	    "lowest_strangers", use_text(&what->windows.strangers, what->lowest.strangers));
	add_faults(what, row);
	command_layout(call, COMMAND_CARD,
	               "limits from until messages recipients accounts locked_accounts locks "
	               "refused held lowest lowest_strangers bad_lines first_bad no_account");
	call->emit(call->context, row);
}

/* ---- the end ---- */

bool what_if_show_end(struct what_if *what)
{
	if (!show_accounts(what)) {
		return false;
	}
	show_prices(what);
	find_lowest(what);
	show_total(what);
	return true;
}
