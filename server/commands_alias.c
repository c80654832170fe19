/* gatepostctl account alias add, delete, list, learn: under which names an account may write.
 */
#include "server/commands.h"

#include <stdio.h>
#include <time.h>

#include "auth/sender.h"
#include "proto/address.h"
#include "store/account.h"

static int64_t wall_ms(void)
{
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	return (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
}

static bool exists(struct command_call *call, struct store_txn *txn, struct span account)
{
	struct account row;
	return account_get(txn, account, &row) != STORE_NOT_FOUND ||
	       command_fail(call, "%.*s: no such account", SPAN_ARG(account));
}

static bool commit_act(struct command_call *call, struct span account, const char *act,
                       bool (*run)(struct command_write *, struct store_txn *, int64_t))
{
	struct command_write write = {
		.run = run,
		.call = call,
		.account = account,
		.act = act,
	};
	return command_commit(&write);
}

/* ---- add and delete ---- */

static bool put_alias(struct command_call *call, struct store_txn *txn, struct span account,
                      struct span pattern)
{
	bool full = false;
	enum store_result result = sender_alias_add(txn, account, pattern, wall_ms(), &full);
	if (full) {
		return command_fail(call, "%.*s: has %d aliases already", SPAN_ARG(account),
		                    SENDER_ALIASES_MAX);
	}
	return result == STORE_OK;
}

static bool add_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	return exists(write->call, txn, write->account) &&
	       put_alias(write->call, txn, write->account, span_str(write->call->argv[1]));
}

static bool delete_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct span pattern = span_str(write->call->argv[1]);
	(void)now;
	return sender_alias_delete(txn, write->account, pattern) == STORE_OK ||
	       command_fail(write->call, "%.*s: has no such alias", SPAN_ARG(write->account));
}

static bool with_alias(struct command_call *call, struct span account, const char *what,
                       bool (*run)(struct command_write *, struct store_txn *, int64_t))
{
	char act[64 + ADDRESS_MAX];
	const char *alias = call->argv[1];
	if (!sender_pattern_is_valid(span_str(alias))) {
		return command_fail(
		    call, "%s: is neither an address nor a pattern with its domain", alias);
	}
	snprintf(act, sizeof act, "account alias %s %s", what, alias);
	return commit_act(call, account, act, run);
}

static bool add(struct command_call *call, struct span account)
{
	return with_alias(call, account, "add", add_run);
}

static bool delete (struct command_call *call, struct span account)
{
	return with_alias(call, account, "delete", delete_run);
}

bool command_alias_add(struct command_call *call)
{
	return command_with_account(call, add);
}

bool command_alias_delete(struct command_call *call)
{
	return command_with_account(call, delete);
}

/* ---- list ---- */

static void emit_alias(struct command_call *call, const struct sender_alias *alias)
{
	call->emit(call->context,
	           json_pack("{s:o, s:s, s:o}", "alias", command_text(alias->pattern), "state",
	                     alias->seen ? "seen" : "allowed", "since",
	                     command_time(alias->wall)));
}

static bool list(struct command_call *call, struct span account)
{
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	bool good = exists(call, txn, account);
	if (good) {
		struct sender_alias alias = { .pattern = SPAN_NONE };
		command_layout(call, COMMAND_TABLE, "alias state since");
		while (sender_alias_next(txn, account, alias.pattern, &alias) == STORE_OK) {
			emit_alias(call, &alias);
		}
		good = store_txn_result(txn) == STORE_OK ||
		       command_fail(call, "the store failed");
	}
	store_abort(txn);
	return good;
}

bool command_alias_list(struct command_call *call)
{
	return command_with_account(call, list);
}

/* ---- learn ---- */

/* A put may move what the walk gave: its name is copied first. */
static bool learn_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct sender_alias alias = { .pattern = SPAN_NONE };
	char name[ADDRESS_MAX];
	bool good = exists(write->call, txn, write->account);
	(void)now;
	while (good &&
	       sender_alias_next(txn, write->account, alias.pattern, &alias) == STORE_OK) {
		memcpy(name, alias.pattern.ptr, alias.pattern.len);
		alias.pattern.ptr = name;
		good = !alias.seen ||
		       put_alias(write->call, txn, write->account, alias.pattern);
	}
	return good && store_txn_result(txn) == STORE_OK;
}

static bool learn(struct command_call *call, struct span account)
{
	return commit_act(call, account, "account alias learn", learn_run) &&
	       list(call, account);
}

bool command_alias_learn(struct command_call *call)
{
	return command_with_account(call, learn);
}
