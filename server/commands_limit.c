/* What an account may send: its limits, what happens there, its prices, and tickets beyond the
 * limits. */
#include "server/commands.h"

#include <stdio.h>

#include "auth/gate.h"
#include "server/wall.h"

#define ACT_MAX 280 /* what the journal keeps of a command */

static bool no_such(struct command_call *call, struct span name)
{
	return command_fail(call, "%.*s: no such account", SPAN_ARG(name));
}

/* ---- limits as words ---- */

bool command_limits(struct command_call *call, const char *const *words, size_t count,
                    struct budget_limits *limits_out)
{
	struct budget_limits limits = { .count = 0 };
	for (size_t i = 0; i < count; i++) {
		const char *reason;
		struct budget_limit limit;
		if (!budget_limit_parse(span_str(words[i]), &limit, &reason)) {
			return command_fail(call, "%s: %s", words[i], reason);
		}
		for (size_t k = 0; k < limits.count; k++) {
			if (limits.limit[k].window == limit.window) {
				return command_fail(
				    call, "%s: a second limit for the same window", words[i]);
			}
		}
		if (limits.count == BUDGET_LIMITS_MAX) {
			return command_fail(call, "at most %d limits", BUDGET_LIMITS_MAX);
		}
		limits.limit[limits.count++] = limit;
	}
	*limits_out = limits;
	return true;
}

json_t *command_limits_text(const struct budget_limits *limits)
{
	struct buf text;
	buf_init(&text, 256);
	for (size_t i = 0; i < limits->count; i++) {
		buf_put_str(&text, i ? " " : "");
		budget_limit_write(&limits->limit[i], &text);
	}
	json_t *json = command_text(text.len ? buf_span(&text) : SPAN_LIT("unlimited"));
	buf_done(&text);
	return json;
}

json_t *command_used_text(const uint32_t *spent, size_t count)
{
	struct buf text;
	buf_init(&text, 256);
	for (size_t i = 0; i < count; i++) {
		buf_printf(&text, "%s%u", i ? " " : "", spent[i]);
	}
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

/* Appends the words behind the account; cut when there are too many. */
static void write_words(const struct command_call *call, char act[ACT_MAX])
{
	for (size_t i = 1, at = strlen(act); i < call->argc && at < ACT_MAX; i++) {
		at += (size_t)snprintf(act + at, ACT_MAX - at, " %s", call->argv[i]);
	}
}

/* ---- limit ---- */

static bool limit_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	return gate_limit(txn, write->account, write->data) == STORE_OK ||
	       no_such(write->call, write->account);
}

static bool limit(struct command_call *call, struct span name)
{
	struct budget_limits limits;
	char act[ACT_MAX] = "account limit";
	bool given = call->argc > 2 || strcmp(call->argv[1], "default") != 0;
	if (!command_limits(call, call->argv + 1, given ? call->argc - 1 : 0, &limits)) {
		return false;
	}
	write_words(call, act);
	struct command_write write = {
		.run = limit_run,
		.call = call,
		.account = name,
		.act = act,
		.data = &limits,
	};
	return command_commit(&write);
}

bool command_account_limit(struct command_call *call)
{
	return command_with_account(call, limit);
}

/* ---- action ---- */

const char *command_action_name(enum gate_action action)
{
	static const char *const names[] = {
		[GATE_ACTION_SUSPEND] = "suspend",
		[GATE_ACTION_DEFER] = "defer",
		[GATE_ACTION_HOLD] = "hold",
		[GATE_ACTION_DEFAULT] = "default",
	};
	return (size_t)action < COUNT(names) ? names[action] : NULL;
}

static bool action_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	const enum gate_action *action = write->data;
	return gate_set_action(txn, write->account, *action) == STORE_OK ||
	       no_such(write->call, write->account);
}

static bool set_action(struct command_call *call, struct span name)
{
	char act[ACT_MAX];
	enum gate_action action = GATE_ACTION_SUSPEND;
	while (command_action_name(action) &&
	       strcmp(command_action_name(action), call->argv[1]) != 0) {
		action++;
	}
	if (!command_action_name(action)) {
		return command_fail(call, "%s: not suspend, defer, hold or default",
		                    call->argv[1]);
	}
	snprintf(act, sizeof act, "account action %s", call->argv[1]);
	struct command_write write = {
		.run = action_run,
		.call = call,
		.account = name,
		.act = act,
		.data = &action,
	};
	return command_commit(&write);
}

bool command_account_action(struct command_call *call)
{
	return command_with_account(call, set_action);
}

/* ---- prices ---- */

json_t *command_prices_text(struct span packed)
{
	struct buf text = { .cap = 512 };
	const struct tariff unset = tariff_unset();
	struct tariff own = unset;
	bool good = tariff_unpack(packed, &own);
	for (enum tariff_row i = 0; i < TARIFF_ROWS; i++) {
		if (own.price[i] != unset.price[i]) {
			buf_printf(&text, "%s%s=%u", text.len ? " " : "", tariff_name(i),
			           own.price[i]);
		}
	}
	json_t *json = good ? command_text(buf_span(&text)) : NULL;
	buf_done(&text);
	return json;
}

static bool read_prices(struct command_call *call, struct tariff *own)
{
	bool given = call->argc > 2 ||
	             (strcmp(call->argv[1], "default") != 0 && strcmp(call->argv[1], "-") != 0);
	for (size_t i = 1; given && i < call->argc; i++) {
		const char *reason;
		size_t name = strcspn(call->argv[i], "=") + 1;
		if (!tariff_parse(span_str(call->argv[i]), own, &reason)) {
			return command_fail(call, "%s: %s", call->argv[i], reason);
		}
		for (size_t k = 1; k < i; k++) {
			if (strncmp(call->argv[k], call->argv[i], name) == 0) {
				return command_fail(call, "%s: a second price of that name",
				                    call->argv[i]);
			}
		}
	}
	return true;
}

static bool prices_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	return gate_set_prices(txn, write->account, write->data) == STORE_OK ||
	       no_such(write->call, write->account);
}

static bool prices(struct command_call *call, struct span name)
{
	char act[ACT_MAX] = "account prices";
	struct tariff own = tariff_unset();
	if (!read_prices(call, &own)) {
		return false;
	}
	write_words(call, act);
	struct command_write write = {
		.run = prices_run,
		.call = call,
		.account = name,
		.act = act,
		.data = &own,
	};
	return command_commit(&write);
}

bool command_account_prices(struct command_call *call)
{
	return command_with_account(call, prices);
}

/* ---- tickets ---- */

#define WHY_MAX 200

json_t *command_ticket_text(const struct gate_view *view)
{
	const struct gate_ticket *ticket = &view->ticket;
	char until[WALL_TEXT];
	struct buf text = { .cap = 512 };
	if (ticket->at) {
		budget_limit_write(&ticket->grant, &text);
		buf_printf(&text, ", %u used, until %.*s: %.*s", view->ticket_used,
		           SPAN_ARG(wall_write(ticket->wall + ticket->grant.window, until)),
		           SPAN_ARG(ticket->why));
	}
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

static bool allow_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct gate_ticket *ticket = write->data;
	bool given = ticket->grant.tokens > 0;
	ticket->at = given ? (now > 0 ? now : 1) : 0; /* 0 is none */
	ticket->wall = wall_ms();
	return gate_allow(txn, write->account, ticket) == STORE_OK ||
	       no_such(write->call, write->account);
}

static bool read_ticket(struct command_call *call, struct gate_ticket *ticket)
{
	const char *reason;
	const char *grant = call->argv[1];
	if (call->argc == 2 && strcmp(grant, "none") == 0) {
		return true;
	}
	if (!budget_limit_parse(span_str(grant), &ticket->grant, &reason)) {
		return command_fail(call, "%s: %s", grant, reason);
	}
	ticket->why = call->argc == 3 ? span_str(call->argv[2]) : SPAN_NONE;
	if (!span_trim(ticket->why).len || ticket->why.len > WHY_MAX) {
		return command_fail(call, "say why, in 1 to %d bytes", WHY_MAX);
	}
	return true;
}

static bool allow(struct command_call *call, struct span name)
{
	char act[ACT_MAX];
	struct gate_ticket ticket = { .at = 0 };
	if (!read_ticket(call, &ticket)) {
		return false;
	}
	snprintf(act, sizeof act, "account allow %s %.*s", call->argv[1], SPAN_ARG(ticket.why));
	struct command_write write = {
		.run = allow_run,
		.call = call,
		.account = name,
		.act = act,
		.data = &ticket,
	};
	return command_commit(&write);
}

bool command_account_allow(struct command_call *call)
{
	return command_with_account(call, allow);
}
