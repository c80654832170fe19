/* gatepostctl account token add, list, delete: the app passwords of an account. */
#include "server/commands.h"

#include <stdio.h>
#include <time.h>

#include "auth/gate.h"

#define TEXT_MAX ((size_t)2048)

static json_t *networks_text(const struct apppass *apppass)
{
	struct buf text = { .cap = TEXT_MAX };
	for (size_t i = 0; i < apppass->nnetworks; i++) {
		buf_put_str(&text, i ? " " : "");
		network_write(&apppass->network[i], &text);
	}
	json_t *json = command_text(text.len ? buf_span(&text) : SPAN_LIT("anywhere"));
	buf_done(&text);
	return json;
}

/* ---- add ---- */

struct adding {
	struct apppass apppass;
	struct buf secret;
};

static bool read_networks(struct command_call *call, const char *const *words, size_t count,
                          struct apppass *apppass)
{
	if (count > APPPASS_NETWORKS_MAX) {
		return command_fail(call, "at most %d networks", APPPASS_NETWORKS_MAX);
	}
	for (size_t i = 0; i < count; i++) {
		const char *reason;
		if (!network_parse(span_str(words[i]), &apppass->network[i], &reason)) {
			return command_fail(call, "%s: %s", words[i], reason);
		}
	}
	apppass->nnetworks = count;
	return true;
}

/* NAME [LIMIT...] [--from NETWORK...] */
static bool read_apppass(struct command_call *call, struct apppass *apppass)
{
	size_t from = 2;
	while (from < call->argc && strcmp(call->argv[from], "--from") != 0) {
		from++;
	}
	size_t networks = from < call->argc ? call->argc - from - 1 : 0;
	apppass->name = span_str(call->argv[1]);
	if (!apppass_name_is_valid(apppass->name)) {
		return command_fail(call, "%s: a name is 1 to %d letters, digits, - _ .",
		                    call->argv[1], APPPASS_NAME_MAX);
	}
	if (from + 1 == call->argc) {
		return command_fail(call, "--from which networks?");
	}
	return command_limits(call, call->argv + 2, from - 2, &apppass->limits) &&
	       read_networks(call, call->argv + from + 1, networks, apppass);
}

static bool add_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct adding *adding = write->data;
	bool full = false;
	(void)now;
	buf_clear(&adding->secret); /* of a run that was dropped */
	enum store_result result = apppass_add(txn, write->account, &adding->apppass,
	                                       &adding->secret, &full);
	if (result == STORE_NOT_FOUND) {
		return command_fail(write->call, "%.*s: no such account",
		                    SPAN_ARG(write->account));
	}
	if (full) {
		return command_fail(write->call,
		                    "%.*s: has one of that name, or %d of them already",
		                    SPAN_ARG(write->account), APPPASS_MOST);
	}
	return result == STORE_OK;
}

/* The one time that it is shown. */
static void show_secret(struct command_call *call, struct span account,
                        const struct adding *adding)
{
	command_layout(call, COMMAND_CARD, "account name secret limits from");
	call->emit(call->context,
	           json_pack("{s:o, s:o, s:o, s:o, s:o}", "account", command_text(account),
	                     "name", command_text(adding->apppass.name), "secret",
	                     command_text(buf_span(&adding->secret)), "limits",
	                     command_limits_text(&adding->apppass.limits), "from",
	                     networks_text(&adding->apppass)));
}

static bool commit_named(struct command_call *call, struct span account, const char *what,
                         bool (*run)(struct command_write *, struct store_txn *, int64_t),
                         void *data)
{
	char act[100];
	snprintf(act, sizeof act, "account token %s %s", what, call->argv[1]);
	struct command_write write = {
		.run = run,
		.call = call,
		.account = account,
		.act = act,
		.data = data,
	};
	return command_commit(&write);
}

static bool add(struct command_call *call, struct span account)
{
	struct timespec wall;
	struct adding adding = { .secret = { .cap = APPPASS_SECRET_MAX } };
	clock_gettime(CLOCK_REALTIME, &wall);
	adding.apppass.created_wall = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
	bool good = read_apppass(call, &adding.apppass) &&
	            commit_named(call, account, "add", add_run, &adding);
	if (good) {
		show_secret(call, account, &adding);
	}
	secret_cleanse(adding.secret.ptr, adding.secret.len);
	buf_done(&adding.secret);
	return good;
}

bool command_token_add(struct command_call *call)
{
	return command_with_account(call, add);
}

/* ---- list ---- */

static json_t *apppass_row(struct command_call *call, struct store_txn *txn,
                           struct span account, const struct apppass *apppass)
{
	uint32_t spent[BUDGET_LIMITS_MAX];
	if (!gate_show_apppass(txn, account, apppass, store_now(call->store), spent)) {
		return NULL;
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", command_text(apppass->name),
	                 "limits", command_limits_text(&apppass->limits), "used",
	                 command_used_text(spent, apppass->limits.count), "from",
	                 networks_text(apppass), "created",
	                 command_time(apppass->created_wall));
}

/* There are few: all of them in one transaction. */
static bool list_all(struct command_call *call, struct store_txn *txn, struct span account)
{
	struct apppass apppass = { .name = SPAN_NONE };
	enum store_result result;
	do {
		result = apppass_next(txn, account, apppass.name, &apppass);
		json_t *row = result == STORE_OK ? apppass_row(call, txn, account, &apppass)
		                                 : NULL;
		if (result == STORE_OK || result == STORE_DAMAGED) {
			call->emit(call->context,
			           row ? row
			               : json_pack("{s:o, s:s}", "name",
			                           command_text(apppass.name), "limits",
			                           "(can not be read)"));
		}
	} while (result == STORE_OK || result == STORE_DAMAGED);
	return result == STORE_NOT_FOUND || command_fail(call, "the store failed");
}

static bool list(struct command_call *call, struct span account)
{
	struct account row;
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	bool good = account_get(txn, account, &row) != STORE_NOT_FOUND ||
	            command_fail(call, "%.*s: no such account", SPAN_ARG(account));
	if (good) {
		command_layout(call, COMMAND_TABLE, "name limits used from created");
		good = list_all(call, txn, account);
	}
	store_abort(txn);
	return good;
}

bool command_token_list(struct command_call *call)
{
	return command_with_account(call, list);
}

/* ---- delete ---- */

static bool delete_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	const char *name = write->data;
	(void)now;
	return apppass_delete(txn, write->account, span_str(name)) == STORE_OK ||
	       command_fail(write->call, "%.*s: has no app password of that name",
	                    SPAN_ARG(write->account));
}

static bool delete (struct command_call *call, struct span account)
{
	void *name = (void *)(uintptr_t)call->argv[1];
	if (!commit_named(call, account, "delete", delete_run, name)) {
		return false;
	}
	command_changed(call, account);
	return true;
}

bool command_token_delete(struct command_call *call)
{
	return command_with_account(call, delete);
}
