/* gatepostctl account history, forget, unbar: what the guard knows of an account. */
#include "server/commands.h"

#include "auth/familiar.h"
#include "server/wall.h"
#include "store/account.h"

static bool no_such(struct command_call *call, struct span name)
{
	return command_fail(call, "%.*s: no such account", SPAN_ARG(name));
}

/* ---- history ---- */

struct history {
	struct familiar_view view;
	struct history_head head;
	bool void_bars; /* the password is newer than they are */
};

/* False with a reason. One that is deleted has no history, but one that was made before its
 * account may have. */
static bool read_history(struct command_call *call, struct span name, struct history *history)
{
	struct account account;
	const struct familiar_rules rules = config_familiar_rules(call->config);
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	enum store_result found = account_get(txn, name, &account);
	enum store_result result = history_head_get(txn, name, &history->head);
	if (result == STORE_OK) {
		result = familiar_show(txn, &rules, name, store_now(call->store),
		                       &history->view);
	}
	int64_t changed_wall = found == STORE_OK ? account.changed_wall : 0;
	history->void_bars = changed_wall > history->head.barred_wall;
	store_abort(txn);
	if (found == STORE_NOT_FOUND) {
		return no_such(call, name);
	}
	return result == STORE_OK ||
	       command_fail(call, "%.*s: its history can not be read", SPAN_ARG(name));
}

/* T of the past as the wall had it: about, while the daemon was down T stood still at times. */
static json_t *wall_of(const struct command_call *call, int64_t at)
{
	return command_time(wall_ms() - (store_now(call->store) - at));
}

static json_t *history_row(const struct command_call *call, struct span name,
                           const struct history *history)
{
	const struct familiar_view *view = &history->view;
	bool bars = !history->void_bars;
	unsigned ripe = view->ripe;
	unsigned barred = bars ? view->barred : 0;
	return json_pack(
	    "{s:o, s:b, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:I}", "account",
	    command_text(name), "learned", view->learned, "imported", view->imported, "since",
	    view->born_at ? wall_of(call, view->born_at) : json_string(""), "contacts",
	    (json_int_t)view->contacts, "networks", (json_int_t)view->networks, "familiar",
	    (json_int_t)ripe, "strange", (json_int_t)(view->networks - ripe - view->barred),
	    "barred", (json_int_t)barred, "barred_rest", bars && view->barred_rest, "bytes",
	    (json_int_t)view->bytes);
}

static const char *network_word(const struct history *history,
                                const struct history_network *network)
{
	if (network->barred) {
		return history->void_bars ? "was barred" : "barred";
	}
	return network->ripe ? "familiar" : "strange";
}

static json_t *network_row(const struct command_call *call, const struct history *history,
                           const struct history_network *network)
{
	char digest[20];
	snprintf(digest, sizeof digest, "%016llx", (unsigned long long)network->digest);
	return json_pack("{s:s, s:s, s:o, s:o, s:I, s:o}", "digest", digest, "state",
	                 network_word(history, network), "first_day",
	                 wall_of(call, network->first_day * FAMILIAR_DAY), "last_used",
	                 wall_of(call, network->met_at), "days", (json_int_t)network->days,
	                 "country",
	                 command_text(span_of(network->country, network->country[0] ? 2 : 0)));
}

static bool show_history(struct command_call *call, struct span name)
{
	struct history history;
	if (!read_history(call, name, &history)) {
		return false;
	}
	command_layout(call, COMMAND_CARD,
	               "account learned imported since contacts networks familiar strange "
	               "barred barred_rest bytes");
	call->emit(call->context, history_row(call, name, &history));
	command_layout(call, COMMAND_TABLE, "digest state first_day last_used days country");
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		if (history.head.network[i].digest) {
			call->emit(call->context,
			           network_row(call, &history, &history.head.network[i]));
		}
	}
	return true;
}

bool command_account_history(struct command_call *call)
{
	return command_with_account(call, show_history);
}

/* ---- forget, unbar ---- */

static bool forget_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	return history_delete(txn, write->account) == STORE_OK ||
	       command_fail(write->call, "%.*s: has no history", SPAN_ARG(write->account));
}

static bool unbar_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	enum store_result result = familiar_unbar(txn, write->account);
	return result == STORE_OK ||
	       command_fail(write->call,
	                    result == STORE_NOT_FOUND ? "%.*s: no network is barred for it"
	                                              : "%.*s: its history can not be read",
	                    SPAN_ARG(write->account));
}

static bool forget(struct command_call *call, struct span name)
{
	struct command_write write = {
		.run = forget_run,
		.call = call,
		.account = name,
		.act = "account forget",
	};
	return command_commit(&write);
}

static bool unbar(struct command_call *call, struct span name)
{
	struct command_write write = {
		.run = unbar_run,
		.call = call,
		.account = name,
		.act = "account unbar",
	};
	return command_commit(&write);
}

bool command_account_forget(struct command_call *call)
{
	return command_with_account(call, forget);
}

bool command_account_unbar(struct command_call *call)
{
	return command_with_account(call, unbar);
}
