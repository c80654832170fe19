/* gatepostctl account why, suspend, unlock: what a reply to a notice does, by hand. */
#include "server/commands.h"

#include <stdlib.h>
#include <time.h>

#include "auth/gate.h"
#include "server/notice.h"
#include "server/wall.h"
#include "server/suspension.h"

#define NAME_BYTES 256
#define TEXT_MAX   ((size_t)64 * 1024)

/* The name of the first argument, and the incident by which it is suspended (0 = good). */
static bool find(struct command_call *call, struct buf *name, uint64_t *incident)
{
	if (!command_account(call, call->argv[0], name)) {
		return false;
	}
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	enum gate_verdict verdict = gate_login(txn, buf_span(name), SPAN_NONE, incident, NULL);
	store_abort(txn);
	if (verdict == GATE_UNKNOWN) {
		return command_fail(call, "%.*s: no such account", SPAN_ARG(buf_span(name)));
	}
	if (verdict == GATE_BROKEN) {
		return command_fail(call, "%.*s: its rows can not be read",
		                    SPAN_ARG(buf_span(name)));
	}
	*incident = verdict == GATE_SUSPENDED ? *incident : 0;
	return true;
}

/* Runs a function with both. */
static bool with_account(struct command_call *call,
                         bool (*run)(struct command_call *call, struct span name,
                                     uint64_t incident))
{
	struct buf name;
	uint64_t incident = 0;
	buf_init(&name, NAME_BYTES);
	bool good = find(call, &name, &incident) && run(call, buf_span(&name), incident);
	buf_done(&name);
	return good;
}

/* ---- why ---- */

static void emit_lines(struct command_call *call, struct span text)
{
	command_layout(call, COMMAND_PROSE, "text");
	while (text.len) {
		struct span line = span_first(text, span_find(text, '\n'));
		text = span_from(text, line.len + 1);
		if (line.len && line.ptr[line.len - 1] == '\r') {
			line.len--;
		}
		call->emit(call->context, json_pack("{s:o}", "text", command_text(line)));
	}
}

static json_t *lines_array(const struct notice_facts *facts)
{
	json_t *lines = json_array();
	for (size_t i = 0; i < facts->nlines; i++) {
		const struct bill_line *line = &facts->line[i];
		json_array_append_new(lines, json_pack("{s:s, s:s, s:I, s:I, s:I}", "name",
		                                       tariff_name(line->row), "meaning",
		                                       tariff_meaning(line->row), "count",
		                                       (json_int_t)line->count, "price",
		                                       (json_int_t)line->price, "tokens",
		                                       (json_int_t)line->sum));
	}
	return lines;
}

static json_t *networks_array(const struct notice_facts *facts)
{
	json_t *networks = json_array();
	const struct facts_network *of = facts->bill.facts.network;
	for (size_t i = 0; i < FACTS_NETWORKS && of[i].text[0]; i++) {
		const struct bill_network *network = &facts->network[i];
		json_t *row = json_pack("{s:s, s:I, s:s}", "address", of[i].text, "recipients",
		                        (json_int_t)of[i].recipients, "network",
		                        bill_network_word(network));
		if (network->kept.known) {
			json_object_set_new(row, "first_seen_days",
			                    json_integer((json_int_t)network->kept.days));
		}
		json_array_append_new(networks, row);
	}
	return networks;
}

static json_t *subjects_array(const struct notice_facts *facts)
{
	json_t *subjects = json_array();
	for (size_t i = 0; i < FACTS_SUBJECTS && facts->bill.facts.subject[i][0]; i++) {
		struct buf text = { .cap = 1024 };
		bill_subject_write(span_str(facts->bill.facts.subject[i]), FACTS_SUBJECT_MAX,
		                   &text);
		json_array_append_new(subjects, command_text(buf_span(&text)));
		buf_done(&text);
	}
	return subjects;
}

static json_t *use_array(const uint32_t use[BILL_GRAPH_BARS])
{
	json_t *bars = json_array();
	for (size_t i = 0; i < BILL_GRAPH_BARS; i++) {
		json_array_append_new(bars, json_integer((json_int_t)use[i]));
	}
	return bars;
}

/* All in numbers, for programs. */
static json_t *why_row(const struct notice_facts *facts, const uint32_t use[BILL_GRAPH_BARS])
{
	const struct bill *bill = &facts->bill;
	struct buf limit = { .cap = 64 };
	if (bill->limit.window) {
		budget_limit_write(&bill->limit, &limit);
	}
	json_t *row = json_pack(
	    "{s:o, s:I, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:s, s:I, s:b}", "account",
	    command_text(facts->incident.account), "incident",
	    (json_int_t)facts->incident.number, "suspended",
	    command_time(facts->incident.opened_wall), "cause",
	    command_text(facts->incident.cause), "limit", command_text(buf_span(&limit)),
	    "counts", bill->strangers ? "strangers" : "tokens", "spent",
	    (json_int_t)bill->spent, "asked", (json_int_t)bill->asked, "usual_peak",
	    (json_int_t)bill->facts.peak_before, "apppass", bill->apppass, "held",
	    (json_int_t)facts->held, "release_only", facts->guarded);
	json_object_set_new(row, "lines", lines_array(facts));
	json_object_set_new(row, "networks", networks_array(facts));
	json_object_set_new(row, "subjects", subjects_array(facts));
	json_object_set_new(row, "use", use_array(use));
	buf_done(&limit);
	return row;
}

static void emit_why(struct command_call *call, const struct notice_facts *facts,
                     struct buf *text)
{
	uint32_t use[BILL_GRAPH_BARS];
	struct buf graph = { .cap = TEXT_MAX };
	bill_use(&facts->use, facts->incident.opened_at, use);
	bill_graph_write(use, facts->use.window, &graph);
	if (graph.len) {
		buf_printf(text, "\nWhat was %s before it was suspended:\n",
		           facts->bill.strangers ? "written to strangers" : "used");
		buf_put(text, buf_span(&graph));
	}
	emit_lines(call, buf_span(text));
	command_layout(call, COMMAND_DATA, "");
	call->emit(call->context, why_row(facts, use));
	buf_done(&graph);
}

static bool why(struct command_call *call, struct span name, uint64_t incident)
{
	struct buf text;
	struct notice_facts facts;
	if (!incident) {
		return command_fail(call, "%.*s: is not suspended", SPAN_ARG(name));
	}
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	buf_init(&text, TEXT_MAX);
	enum store_result result = notice_facts_read(&facts, call->config, &call->server->key,
	                                             incident, txn);
	store_abort(txn);
	if (result == STORE_OK) {
		result = notice_explain(call->config, &facts, &text);
	}
	if (result == STORE_OK) {
		emit_why(call, &facts, &text);
	} else {
		command_fail(call, "case %llu can not be read", (unsigned long long)incident);
	}
	notice_facts_done(&facts);
	buf_done(&text);
	return result == STORE_OK;
}

bool command_account_why(struct command_call *call)
{
	return with_account(call, why);
}

/* ---- suspend ---- */

static bool suspend_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct suspend_rules rules = config_suspend_rules(write->call->config);
	struct act act = { .account = write->account, .now = now, .wall = wall_ms() };
	struct bill bill = { .spent = 0 };
	return suspend_open(txn, &rules, &act, span_str(write->call->who), &bill,
	                    write->data) == STORE_OK;
}

static bool suspend(struct command_call *call, struct span name, uint64_t incident)
{
	struct suspend_result result = { .incident = 0 };
	if (incident) {
		return command_fail(call, "%.*s: is suspended already (case %llu)",
		                    SPAN_ARG(name), (unsigned long long)incident);
	}
	struct command_write write = {
		.run = suspend_run,
		.call = call,
		.account = name,
		.act = "account suspend",
		.data = &result,
	};
	if (!command_commit(&write)) {
		return false;
	}
	suspension_begun(call->server, name, result.incident);
	command_layout(call, COMMAND_CARD, "account incident");
	call->emit(call->context, json_pack("{s:o, s:I}", "account", command_text(name),
	                                    "incident", (json_int_t)result.incident));
	return true;
}

bool command_account_suspend(struct command_call *call)
{
	return with_account(call, suspend);
}

/* ---- unlock ---- */

static const struct {
	const char *word;
	enum standing_event event;
} helds[] = {
	{ "release", STANDING_UNLOCK },
	{ "discard", STANDING_DISCARD },
	{ "keep", STANDING_KEEP },
};

struct unlocking {
	struct suspend_end end;
	struct suspend_result result;
};

static bool unlock_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct unlocking *unlocking = write->data;
	struct suspend_rules rules = config_suspend_rules(write->call->config);
	unlocking->end.now = now;
	unlocking->end.wall = wall_ms();
	return suspend_apply(txn, &rules, &unlocking->end, &unlocking->result) == STORE_OK ||
	       command_fail(write->call, "%.*s: is not suspended any more",
	                    SPAN_ARG(write->account));
}

/* `--held WORD`; release without. */
static bool read_held(struct command_call *call, size_t *held)
{
	*held = 0;
	if (call->argc == 1) {
		return true;
	}
	for (size_t i = 0; call->argc == 3 && i < COUNT(helds); i++) {
		if (strcmp(call->argv[1], "--held") == 0 &&
		    strcmp(call->argv[2], helds[i].word) == 0) {
			*held = i;
			return true;
		}
	}
	return command_fail(call,
	                    "it is: account unlock ADDRESS [--held release|discard|keep]");
}

static bool unlock(struct command_call *call, struct span name, uint64_t incident)
{
	size_t held;
	if (!read_held(call, &held)) {
		return false;
	}
	if (!incident) {
		return command_fail(call, "%.*s: is not suspended", SPAN_ARG(name));
	}
	struct unlocking unlocking = {
		.end = {
			.account = name,
			.incident = incident,
			.event = helds[held].event,
			.by = span_str(call->who),
			.how = span_str(helds[held].word),
			.note = SPAN_LIT("It was unlocked by hand, with gatepostctl."),
		},
	};
	struct command_write write = {
		.run = unlock_run,
		.call = call,
		.account = name,
		.act = "account unlock",
		.data = &unlocking,
	};
	if (!command_commit(&write)) {
		return false;
	}
	suspension_changed(call->server);
	return true;
}

bool command_account_unlock(struct command_call *call)
{
	return with_account(call, unlock);
}
