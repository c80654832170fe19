#include "server/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/success.h"
#include "proto/address.h"
#include "server/wall.h"
#include "server/worker.h"
#include "store/account.h"
#include "store/journal.h"

#define MINUTE        ((int64_t)60 * 1000)
#define WHAT_IF_WORDS 4000 /* files, mostly */

const struct command commands[] = {
	{ "status", "", "what is going on; exit 1 when something needs you", 0, 0, false, false,
	  false, command_status },
	{ "account add", "ADDRESS",
	  "a new account; the password is asked for, or read from stdin", 1, 1, true, true,
	  false, command_account_add },
	{ "account passwd", "ADDRESS", "a new password", 1, 1, true, true, false,
	  command_account_passwd },
	{ "account delete", "ADDRESS", "no more login; its queued mail stays", 1, 1, true,
	  false, false, command_account_delete },
	{ "account list", "", "all accounts", 0, 0, true, false, false, command_account_list },
	{ "account show", "ADDRESS", "limits, and what is used of them", 1, 1, true, false,
	  false, command_account_show },
	{ "account limit", "ADDRESS LIMIT... | default",
	  "limits of its own, as 1500/30m; or the configured ones", 2, 1 + BUDGET_LIMITS_MAX,
	  true, false, false, command_account_limit },
	{ "account action", "ADDRESS suspend | defer | hold | default",
	  "what happens at its limit; or as configured", 2, 2, true, false, false,
	  command_account_action },
	{ "account mode", "ADDRESS enforce | observe [--for 2h] | default",
	  "observe: nothing is refused, only told; for a while, or until it is changed", 2, 4,
	  true, false, false, command_account_mode },
	{ "account recovery", "ADDRESS OTHER | -",
	  "where its owner is warned: an address that is not this account's", 2, 2, true, false,
	  false, command_account_recovery },
	{ "account prices", "ADDRESS NAME=PRICE... | default",
	  "prices of its own, as stranger=1; or the configured ones", 2, TARIFF_ROWS, true,
	  false, false, command_account_prices },
	{ "account allow", "ADDRESS 3000/1d WHY | none",
	  "a ticket: so many recipients beyond its limits, for that long", 2, 3, true, false,
	  false, command_account_allow },
	{ "account reset", "ADDRESS", "its budget is full again", 1, 1, true, false, false,
	  command_account_reset },
	{ "account token add", "ADDRESS NAME [LIMIT...] [--from NETWORK...]",
	  "an app password: send-only, shown once", 2,
	  3 + BUDGET_LIMITS_MAX + APPPASS_NETWORKS_MAX, true, false, false, command_token_add },
	{ "account token list", "ADDRESS", "its app passwords", 1, 1, true, false, false,
	  command_token_list },
	{ "account token delete", "ADDRESS NAME", "no more login with it; its sessions end", 2,
	  2, true, false, false, command_token_delete },
	{ "account alias add", "ADDRESS ALIAS",
	  "it may write as this, too: an address, or a pattern with *", 2, 2, true, false,
	  false, command_alias_add },
	{ "account alias delete", "ADDRESS ALIAS", "no more", 2, 2, true, false, false,
	  command_alias_delete },
	{ "account alias list", "ADDRESS", "its aliases, and what else it has written as", 1, 1,
	  true, false, false, command_alias_list },
	{ "account alias learn", "ADDRESS", "makes aliases of what it has written as", 1, 1,
	  true, false, false, command_alias_learn },
	{ "account import sasldb", "FILE [--domain D] [--replace]",
	  "accounts with their passwords from a sasldb2", 1, 4, true, false, COMMAND_FILE_READ,
	  command_import_sasldb },
	{ "account import passwd-file", "FILE [--domain D] [--replace]",
	  "the same from a passwd-file of Dovecot", 1, 4, true, false, COMMAND_FILE_READ,
	  command_import_passwd_file },
	{ "account import shadow", "FILE [--domain D] [--replace]",
	  "the same from a file like /etc/shadow", 1, 4, true, false, COMMAND_FILE_READ,
	  command_import_shadow },
	{ "account forget-login", "[ADDRESS]",
	  "ask the back end again, whatever was right a moment ago", 0, 1, false, false, false,
	  command_account_forget_login },
	{ "account history", "ADDRESS", "what the guard knows of it: contacts, networks", 1, 1,
	  true, false, false, command_account_history },
	{ "account forget", "ADDRESS", "deletes that; prices for strangers wait for a new one",
	  1, 1, true, false, false, command_account_forget },
	{ "account unbar", "ADDRESS",
	  "it may send from the networks of its suspension, without a new password", 1, 1, true,
	  false, false, command_account_unbar },
	{ "account export", "ADDRESS", "all that is stored about it, as JSON", 1, 1, true,
	  false, false, command_account_export },
	{ "account why", "ADDRESS", "why it is suspended: what the notice says", 1, 1, false,
	  false, false, command_account_why },
	{ "account suspend", "ADDRESS",
	  "stop it: sending, sessions, queued mail; with a notice", 1, 1, false, false, false,
	  command_account_suspend },
	{ "account unlock", "ADDRESS [--held release | discard | keep]",
	  "let it send again; held mail is released", 1, 3, false, false, false,
	  command_account_unlock },
	{ "drill", "", "a sample notice to the postmasters: does an answer come in, and count?",
	  0, 0, false, false, COMMAND_FILE_NONE, command_drill },
	{ "queue list", "[ACCOUNT]", "what waits", 0, 1, false, false, false,
	  command_queue_list },
	{ "queue show", "ID", "one entry, with its recipients", 1, 1, false, false, false,
	  command_queue_show },
	{ "queue hold", "ID | ACCOUNT", "keep it here", 1, 1, false, false, false,
	  command_queue_hold },
	{ "queue release", "ID | ACCOUNT", "let held mail go", 1, 1, false, false, false,
	  command_queue_release },
	{ "queue discard", "ID | ACCOUNT", "delete it; nobody is told", 1, 1, false, false,
	  false, command_queue_discard },
	{ "queue flush", "[ID | ACCOUNT]", "try now, all or these", 0, 1, false, false, false,
	  command_queue_flush },
	{ "relayed", "ACCOUNT | --incident N  [--since TIME] [--ids | --recipients]",
	  "what has gone to the smarthost, with its queue ids", 1, 4, false, false, false,
	  command_relayed },
	{ "journal", "[--since TIME]", "all mail that was accepted: when, whose, to how many",
	  0, 2, false, false, COMMAND_FILE_NONE, command_journal },
	{ "what-if",
	  "[--limits 500/30m,2000/24h] [--price stranger=5 ...] [--classic] [--history] "
	  "[--all] [--once] [LOG...]",
	  "who would have been locked by past mail, and the limits that lock nobody", 0,
	  WHAT_IF_WORDS, false, false, COMMAND_FILES_OWN, command_what_if },
	{ "history import", "LOG...",
	  "whom the accounts have written to, from logs that what-if reads, too", 1,
	  WHAT_IF_WORDS, false, false, COMMAND_FILES_OWN, command_history_import },
	{ "history take", "FILE", "the same from lines of account, tab, recipient", 1, 1, false,
	  false, COMMAND_FILE_READ, command_history_take },
	{ "screen list", "", "who may not log in, and until when", 0, 0, false, false,
	  COMMAND_FILE_NONE, command_screen_list },
	{ "screen add", "NETWORK [1h | 1d]",
	  "no more logins from there, for that long or until it is removed; its sessions end",
	  1, 2, false, false, COMMAND_FILE_NONE, command_screen_add },
	{ "screen remove", "NETWORK",
	  "may log in again: the network, and all that is inside it", 1, 1, false, false,
	  COMMAND_FILE_NONE, command_screen_remove },
	{ "reload", "", "read configuration and certificates anew", 0, 0, false, false, false,
	  command_reload },
	{ "backup", "FILE", "a consistent copy of the store", 1, 1, false, false,
	  COMMAND_FILE_MADE, command_backup },
#ifdef GATEPOST_HOOKS
	{ "clock", "MS", "move the store's clock (tests)", 1, 1, false, false, false,
	  command_clock },
#endif
};

const size_t commands_count = COUNT(commands);

/* How many words of `name` stand at the front of `words`; 0 when not all of them do. */
static size_t words_match(const char *name, const char *const *words, size_t count)
{
	size_t used = 0;
	struct span rest = span_str(name);
	while (rest.len) {
		struct span word = span_first(rest, span_find(rest, ' '));
		if (used == count || !span_eq(word, span_str(words[used]))) {
			return 0;
		}
		used++;
		rest = span_from(rest, word.len + 1);
	}
	return used;
}

const struct command *command_find(const char *const *words, size_t count, size_t *used_out)
{
	for (size_t i = 0; i < commands_count; i++) {
		size_t used = words_match(commands[i].name, words, count);
		if (used) {
			*used_out = used;
			return &commands[i];
		}
	}
	return NULL;
}

bool command_fail(struct command_call *call, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(call->error.text, sizeof call->error.text, format, args);
	va_end(args);
	return false;
}

void command_layout(struct command_call *call, enum command_layout layout, const char *columns)
{
	static const char *const names[] = {
		[COMMAND_TABLE] = "table", [COMMAND_CARD] = "card", [COMMAND_PLAIN] = "plain",
		[COMMAND_PROSE] = "prose", [COMMAND_DATA] = "data", [COMMAND_JSON] = "json",
	};
	call->emit(call->context,
	           json_pack("{s:s, s:s}", "layout", names[layout], "columns", columns));
}

json_t *command_text(struct span bytes)
{
	json_t *text = json_stringn(bytes.ptr ? bytes.ptr : "", bytes.len);
	if (text) {
		return text;
	}
	struct buf clean;
	buf_init(&clean, bytes.len);
	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char byte = (unsigned char)bytes.ptr[i];
		buf_put_byte(&clean, byte < 0x20 || byte > 0x7e ? '?' : bytes.ptr[i]);
	}
	text = json_stringn(clean.ptr ? clean.ptr : "", clean.len);
	buf_done(&clean);
	return text;
}

json_t *command_time(int64_t wall)
{
	char text[WALL_TEXT];
	wall_write(wall, text);
	return json_string(text);
}

static const char *store_trouble(enum store_result result)
{
	static const char *const texts[] = {
		[STORE_NOT_FOUND] = "not found",
		[STORE_FULL] = "the store is full",
		[STORE_DAMAGED] = "a row of the store can not be read",
		[STORE_FAILED] = "the store failed; see the log",
	};
	return (size_t)result < COUNT(texts) && texts[result] ? texts[result]
	                                                      : "the store failed";
}

static void journal_act(struct command_write *write, struct store_txn *txn, int64_t now)
{
	char text[300];
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	snprintf(text, sizeof text, "%s by %s", write->act, write->call->who);
	struct journal_row row = {
		.kind = JOURNAL_ADMIN,
		.at = now,
		.wall = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
		.id = store_next_id(write->call->store),
		.account = write->account,
		.text = span_str(text),
	};
	journal_put(txn, &row);
}

static void write_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct command_write *write = (struct command_write *)job;
	write->good = write->run(write, txn, now);
	if (write->good && write->act) {
		journal_act(write, txn, now);
	}
}

static enum store_result commit_alone(struct command_write *write)
{
	struct store_txn *txn = store_begin_write(write->call->store, &write->call->error);
	if (!txn) {
		return STORE_FAILED;
	}
	write_run(&write->job, txn, store_now(write->call->store));
	if (!write->good || store_txn_result(txn) != STORE_OK) {
		enum store_result result = store_txn_result(txn);
		store_abort(txn);
		return result;
	}
	return store_commit(txn, &write->call->error);
}

bool command_commit(struct command_write *write)
{
	struct command_call *call = write->call;
	write->job = (struct commit_job){ .run = write_run, .bytes = 1024 };
	enum store_result result = call->server ? commit_wait(call->server->commit, &write->job)
	                                        : commit_alone(write);
	if (result != STORE_OK) {
		return command_fail(call, "%s", store_trouble(result));
	}
	return write->good;
}

void command_changed(struct command_call *call, struct span account)
{
	success_forget(account);
	for (size_t i = 0; call->server && i < call->server->nworkers; i++) {
		worker_tell_changed(&call->server->workers[i], account);
	}
}

struct store_txn *command_read(struct command_call *call)
{
	return store_begin_read(call->store, &call->error);
}

bool command_duration(struct command_call *call, const char *text, int64_t *length_out)
{
	static const struct {
		char suffix;
		int64_t ms;
	} units[] = { { 'm', MINUTE }, { 'h', 60 * MINUTE }, { 'd', 24 * 60 * MINUTE } };
	int64_t number = 0;
	size_t digits = 0;
	while (digits < 6 && text[digits] >= '0' && text[digits] <= '9') {
		number = number * 10 + (text[digits++] - '0');
	}
	for (size_t i = 0; number > 0 && i < COUNT(units); i++) {
		bool is = text[digits] == units[i].suffix && !text[digits + 1];
		if (is && number <= 3660 * 24 * 60 * MINUTE / units[i].ms) {
			*length_out = number * units[i].ms;
			return true;
		}
	}
	return command_fail(call, "%s: is no duration, a number with m, h or d", text);
}

bool command_account(struct command_call *call, const char *argument, struct buf *name_out)
{
	buf_clear(name_out);
	if (!address_account(span_str(argument), span_str(call->config->domain), name_out)) {
		return command_fail(
		    call, "%s: not an account name (user@domain, at most 255 bytes)", argument);
	}
	return true;
}

bool command_with_account(struct command_call *call,
                          bool (*run)(struct command_call *call, struct span account))
{
	struct buf account = { .cap = 256 };
	bool good = command_account(call, call->argv[0], &account) &&
	            run(call, buf_span(&account));
	buf_done(&account);
	return good;
}
