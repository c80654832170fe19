/* gatepostctl account why, suspend, unlock: what a reply to a notice does, by hand. */
#include "server/commands.h"

#include <stdlib.h>
#include <time.h>

#include "auth/gate.h"
#include "server/notice.h"
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
	command_layout(call, COMMAND_PLAIN, "text");
	while (text.len) {
		struct span line = span_first(text, span_find(text, '\n'));
		text = span_from(text, line.len + 1);
		if (line.len && line.ptr[line.len - 1] == '\r') {
			line.len--;
		}
		call->emit(call->context, json_pack("{s:o}", "text", command_text(line)));
	}
}

static bool why(struct command_call *call, struct span name, uint64_t incident)
{
	struct buf text;
	if (!incident) {
		return command_fail(call, "%.*s: is not suspended", SPAN_ARG(name));
	}
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	buf_init(&text, TEXT_MAX);
	enum store_result result = notice_explain(call->config, incident, txn, &text);
	store_abort(txn);
	if (result == STORE_OK) {
		emit_lines(call, buf_span(&text));
	} else {
		command_fail(call, "case %llu can not be read", (unsigned long long)incident);
	}
	buf_done(&text);
	return result == STORE_OK;
}

bool command_account_why(struct command_call *call)
{
	return with_account(call, why);
}

/* ---- suspend ---- */

static int64_t wall_ms(void)
{
	return (int64_t)time(NULL) * 1000;
}

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
