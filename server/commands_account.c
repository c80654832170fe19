#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/gate.h"
#include "auth/oauth.h"
#include "auth/sender.h"
#include "auth/success.h"
#include "server/suspension.h"
#include "server/wall.h"
#include "store/account.h"
#include "store/history.h"
#include "store/queue.h"

#define NAME_MAX_BYTES 256

/* Runs a function with the canonical name of the first argument. */
static bool with_name(struct command_call *call,
                      bool (*run)(struct command_call *call, struct span name))
{
	struct buf name;
	buf_init(&name, NAME_MAX_BYTES);
	bool good = command_account(call, call->argv[0], &name) && run(call, buf_span(&name));
	buf_done(&name);
	return good;
}

static bool no_such(struct command_call *call, struct span name)
{
	return command_fail(call, "%.*s: no such account", SPAN_ARG(name));
}

/* ---- add, passwd ---- */

struct new_secret {
	struct buf verifier;
	bool must_exist;
};

/* In ms, and never the same as before: a session tells by it that its secret is no more. */
static int64_t later_than(int64_t before)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t wall = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	return wall > before ? wall : before + 1;
}

enum store_result command_put_secret(struct store_txn *txn, struct span name,
                                     struct span secret)
{
	struct account account = { .created_wall = 0 };
	enum store_result result = account_get(txn, name, &account);
	if (result != STORE_OK && result != STORE_NOT_FOUND) {
		return result;
	}
	/* Limits are kept: they may point into the map, so they are copied before the put. */
	char limits[256];
	size_t len = account.limits.len < sizeof limits ? account.limits.len : sizeof limits;
	if (len) {
		memcpy(limits, account.limits.ptr, len);
	}
	account.limits = span_of(limits, len);
	account.secret = secret;
	account.changed_wall = later_than(account.changed_wall);
	account.created_wall = result == STORE_OK ? account.created_wall : account.changed_wall;
	return account_put(txn, name, &account);
}

static bool secret_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	const struct new_secret *secret = write->data;
	struct account account;
	bool exists = account_get(txn, write->account, &account) == STORE_OK;
	if (exists && !secret->must_exist) {
		return command_fail(
		    write->call, "%.*s: exists already (account passwd changes the password)",
		    SPAN_ARG(write->account));
	}
	if (!exists && secret->must_exist) {
		return no_such(write->call, write->account);
	}
	return command_put_secret(txn, write->account, buf_span(&secret->verifier)) == STORE_OK;
}

static bool set_secret(struct command_call *call, struct span name, bool must_exist)
{
	struct new_secret secret = { .must_exist = must_exist };
	buf_init(&secret.verifier, SECRET_VERIFIER_MAX);
	if (!call->password || !secret_password_is_valid(span_str(call->password))) {
		return command_fail(call, "a password has 1 to %d bytes and no line end",
		                    SECRET_PASSWORD_MAX);
	}
	if (!secret_verifier_make(span_str(call->password),
	                          (unsigned)call->config->auth_iterations, &secret.verifier)) {
		return command_fail(call, "out of memory");
	}
	struct command_write write = {
		.run = secret_run,
		.call = call,
		.account = name,
		.data = &secret,
		.act = must_exist ? "account passwd" : "account add",
	};
	bool good = command_commit(&write);
	if (good) {
		command_changed(call, name);
	}
	secret_cleanse(secret.verifier.ptr, secret.verifier.len);
	buf_done(&secret.verifier);
	return good;
}

static bool add(struct command_call *call, struct span name)
{
	return set_secret(call, name, false);
}

static bool passwd(struct command_call *call, struct span name)
{
	return set_secret(call, name, true);
}

bool command_account_add(struct command_call *call)
{
	return with_name(call, add);
}

bool command_account_passwd(struct command_call *call)
{
	return with_name(call, passwd);
}

/* ---- delete, reset ---- */

static bool delete_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	const struct suspend_rules rules = config_suspend_rules(write->call->config);
	const struct suspend_end end = {
		.account = write->account,
		.by = span_str(write->call->who),
		.how = SPAN_LIT("account deleted"),
		.note = SPAN_LIT(
		    "The account was deleted, with gatepostctl. Its queued mail stays "
		    "held."),
		.now = now,
		.wall = (int64_t)time(NULL) * 1000,
	};
	if (suspend_delete_account(txn, &rules, &end) != STORE_OK) {
		return no_such(write->call, write->account);
	}
	enum store_result history = history_delete(txn, write->account);
	return (history == STORE_OK || history == STORE_NOT_FOUND) &&
	       apppass_delete_all(txn, write->account) == STORE_OK &&
	       sender_alias_delete_all(txn, write->account) == STORE_OK;
}

static bool reset_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)now;
	return gate_reset(txn, write->account) == STORE_OK ||
	       no_such(write->call, write->account);
}

static bool delete (struct command_call *call, struct span name)
{
	struct command_write write = {
		.run = delete_run,
		.call = call,
		.account = name,
		.act = "account delete",
	};
	if (!command_commit(&write)) {
		return false;
	}
	command_changed(call, name);
	if (call->server) {
		suspension_changed(
		    call->server); /* its case is closed: postmasters hear of it */
	}
	return true;
}

static bool reset(struct command_call *call, struct span name)
{
	struct command_write write = {
		.run = reset_run,
		.call = call,
		.account = name,
		.act = "account reset",
	};
	return command_commit(&write);
}

bool command_account_delete(struct command_call *call)
{
	return with_name(call, delete);
}

bool command_account_reset(struct command_call *call)
{
	return with_name(call, reset);
}

/* ---- list, show ---- */

/* Of a device: what happens when its limit is used up; "" for all others. */
static const char *device_text(const struct gate_view *view)
{
	return view->device ? command_action_name(view->action) : "";
}

/* When its own mode is over; "" where it is for good, or the site's. */
static json_t *mode_until(struct command_call *call, const struct gate_view *view)
{
	int64_t left = view->mode_until - store_now(call->store);
	return view->mode_until ? command_time(wall_ms() + left) : json_string("");
}

/* The row of one account; NULL when it can not be read. */
static json_t *account_row(struct command_call *call, struct store_txn *txn, struct span name)
{
	struct gate_view view;
	struct account account;
	struct queue_usage usage;
	struct gate_rules rules = config_gate_rules(call->config);
	if (account_get(txn, name, &account) != STORE_OK ||
	    gate_show(txn, &rules, name, store_now(call->store), &view) == GATE_BROKEN ||
	    queue_usage(txn, name, &usage) != STORE_OK) {
		return NULL;
	}
	return json_pack(
	    "{s:o, s:s, s:o, s:o, s:b, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:s, s:I, s:I, "
	    "s:o, s:o}",
	    "account", command_text(name), "standing", view.incident ? "suspended" : "good",
	    "limits", command_limits_text(&view.limits), "used",
	    command_used_text(view.spent, view.limits.count), "own_limits", view.own_limits,
	    "action", command_action_name(view.action), "mode", command_mode_name(view.mode),
	    "own_mode", view.own_mode, "mode_until", mode_until(call, &view), "recovery",
	    command_text(view.recovery), "prices", command_prices_text(account.tariff),
	    "ticket", command_ticket_text(&view), "exempt", view.exempt, "device",
	    device_text(&view), "queued", (json_int_t)usage.entries, "queued_bytes",
	    (json_int_t)usage.bytes, "created", command_time(account.created_wall),
	    "password_changed", command_time(account.changed_wall));
}

bool command_account_list(struct command_call *call)
{
	char name[NAME_MAX_BYTES] = "";
	struct span after = span_of(name, 0);
	command_layout(call, COMMAND_TABLE, "account standing limits used exempt queued");
	for (;;) {
		struct span next;
		struct store_txn *txn = command_read(call);
		if (!txn) {
			return false;
		}
		if (account_next(txn, after, &next) != STORE_OK) {
			store_abort(txn);
			return true;
		}
		after.len = next.len < sizeof name ? next.len : sizeof name;
		memcpy(name, next.ptr, after.len);
		json_t *row = account_row(call, txn, after);
		store_abort(txn);
		call->emit(call->context,
		           row ? row
		               : json_pack("{s:o, s:s}", "account", command_text(after),
		                           "limits", "(can not be read)"));
	}
}

static bool show(struct command_call *call, struct span name)
{
	struct account account;
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	enum store_result found = account_get(txn, name, &account);
	json_t *row = found == STORE_OK ? account_row(call, txn, name) : NULL;
	store_abort(txn);
	if (found == STORE_NOT_FOUND) {
		return no_such(call, name);
	}
	if (!row) {
		return command_fail(call, "%.*s: its rows can not be read", SPAN_ARG(name));
	}
	command_layout(call, COMMAND_CARD,
	               "account standing limits used own_limits action mode own_mode "
	               "mode_until recovery prices ticket exempt device "
	               "queued queued_bytes created "
	               "password_changed");
	call->emit(call->context, row);
	return true;
}

bool command_account_show(struct command_call *call)
{
	return with_name(call, show);
}

/* ---- forget-login ---- */

bool command_account_forget_login(struct command_call *call)
{
	struct buf name;
	/* Tokens are known by their claims, which are not yet accounts: all of them. */
	if (call->server && call->server->oauth) {
		oauth_forget(call->server->oauth);
	}
	if (call->argc == 0) {
		success_forget(SPAN_NONE);
		return true;
	}
	buf_init(&name, NAME_MAX_BYTES);
	bool good = command_account(call, call->argv[0], &name);
	if (good) {
		success_forget(buf_span(&name));
	}
	buf_done(&name);
	return good;
}
