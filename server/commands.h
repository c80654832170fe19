/*
 * The admin's commands: one table (name, arguments, help, function) that the control socket and
 * gatepostctl share. A command runs in the daemon, on a thread that may block; those marked
 * `offline` also run in gatepostctl itself, on the store, when the daemon is down. Rows go out
 * as JSON objects; what people see is made of them.
 */
#ifndef GATEPOST_SERVER_COMMANDS_H
#define GATEPOST_SERVER_COMMANDS_H

#include <jansson.h>

#include "server/server.h"

struct command_call {
	struct server *server; /* NULL: offline */
	struct store *store;
	struct config *config;
	const char *const *argv; /* behind the command's words */
	size_t argc;
	const char *password; /* for commands that want one, else NULL */
	int file;             /* for commands that have one: open, the caller's; else -1 */
	const char *who;      /* for the journal: "uid 0" */
	/* Takes the reference. */
	void (*emit)(void *context, json_t *line);
	void *context;
	/* In gatepostctl only: has the daemon carry out another command, with `file`, whose
	 * rows `take` gets, with the reference. False with a reason in `error`. */
	bool (*ask)(struct command_call *call, const char *const *words, size_t count,
	            void (*take)(void *context, json_t *line), void *context);
	struct error error; /* why it failed, one line */
};

/* How the rows are shown to people. */
enum command_layout {
	COMMAND_TABLE, /* columns under a header */
	COMMAND_CARD,  /* key: value */
	COMMAND_PLAIN, /* values only: for pipes */
	COMMAND_PROSE, /* the same; with --json they are left out */
	COMMAND_DATA,  /* for --json only */
	COMMAND_JSON,  /* as JSON, asked for or not */
};

/* A file is opened by the caller, who may do so, and comes as a descriptor. */
enum command_file {
	COMMAND_FILE_NONE,
	COMMAND_FILE_MADE, /* empty, to be written; unlinked when the command fails */
	COMMAND_FILE_READ,
	COMMAND_FILES_OWN, /* it reads any number of them itself, with the caller's rights: it
	                      runs in gatepostctl, without the store; `config` may be NULL */
};

struct command {
	const char *name;      /* "account add" */
	const char *arguments; /* "ADDRESS" */
	const char *help;
	unsigned least, most; /* arguments */
	bool offline;
	bool wants_password;
	enum command_file file; /* what its first argument is */
	/* False with a reason in call->error. */
	bool (*run)(struct command_call *call);
};

extern const struct command commands[];
extern const size_t commands_count;

/* The command whose words begin `words`, and how many words it has; NULL when there is none. */
const struct command *command_find(const char *const *words, size_t count, size_t *used_out);

/* ---- for the functions of the table ---- */

/* False, always, with the sentence in call->error. */
bool command_fail(struct command_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Says once, before the rows, how they are to be shown. `columns`: "qid account size". */
void command_layout(struct command_call *call, enum command_layout layout, const char *columns);
/* A string for JSON from any bytes: what is not UTF-8 becomes '?'. */
json_t *command_text(struct span bytes);
json_t *command_time(int64_t wall_ms);

/* A write of a command: through the writer, or alone when offline. `act` (may be NULL) is
 * journaled in the same commit. */
struct command_write {
	struct commit_job job;
	bool (*run)(struct command_write *write, struct store_txn *txn,
	            int64_t now); /* false: nothing is to be committed */
	struct command_call *call;
	struct span account; /* of the act */
	const char *act;
	bool good;
	void *data;
};
/* False with a reason in call->error: what `run` said, or what the store did. */
bool command_commit(struct command_write *write);
/* A read transaction, or NULL with the reason in call->error. */
struct store_txn *command_read(struct command_call *call);
/* The canonical account of an argument; false with a reason. `name_out` is emptied first, its
 * owner frees it. */
bool command_account(struct command_call *call, const char *argument, struct buf *name_out);
/* Runs a function with the canonical account of the first argument. */
bool command_with_account(struct command_call *call,
                          bool (*run)(struct command_call *call, struct span account));
/* One limit a word, with windows that differ; false with a reason. */
bool command_limits(struct command_call *call, const char *const *words, size_t count,
                    struct budget_limits *limits_out);
/* "2h", "3d" ago, or "2026-11-25", "2026-11-25T03:00:00" in UTC; false with a reason. */
bool command_since(struct command_call *call, const char *text, int64_t *wall_out);
/* "90m", "2h", "7d": no longer than ten years; false with a reason. */
bool command_duration(struct command_call *call, const char *text, int64_t *length_out);
/* "500/30m 2000/1d", or "unlimited"; and how much of each is used. */
json_t *command_limits_text(const struct budget_limits *limits);
json_t *command_used_text(const uint32_t *spent, size_t count);
/* "hold"; NULL when it is none. "3000/1d, 120 used, until ...: why", or "". */
const char *command_action_name(enum gate_action action);
json_t *command_ticket_text(const struct gate_view *view);
/* "enforce"; NULL when it is none. */
const char *command_mode_name(enum gate_mode mode);
/* Prices of an account's own, "stranger=1 trap=0", or ""; NULL when they make no sense. */
json_t *command_prices_text(struct span packed);
/* Sets the password of an account, or makes it; all else is kept. */
enum store_result command_put_secret(struct store_txn *txn, struct span account,
                                     struct span secret);
/* After the commit: a secret of the account is another one, or gone. Its sessions look again,
 * and nothing that was right before is believed. */
void command_changed(struct command_call *call, struct span account);

bool command_account_add(struct command_call *call);
bool command_account_passwd(struct command_call *call);
bool command_account_delete(struct command_call *call);
bool command_account_list(struct command_call *call);
bool command_account_show(struct command_call *call);
bool command_account_limit(struct command_call *call);
bool command_account_reset(struct command_call *call);
bool command_account_action(struct command_call *call);
bool command_account_mode(struct command_call *call);
bool command_account_recovery(struct command_call *call);
bool command_account_prices(struct command_call *call);
bool command_account_allow(struct command_call *call);
bool command_account_forget_login(struct command_call *call);
bool command_token_add(struct command_call *call);
bool command_token_list(struct command_call *call);
bool command_token_delete(struct command_call *call);
bool command_import_sasldb(struct command_call *call);
bool command_import_passwd_file(struct command_call *call);
bool command_import_shadow(struct command_call *call);
bool command_account_history(struct command_call *call);
bool command_account_forget(struct command_call *call);
bool command_account_unbar(struct command_call *call);
bool command_account_export(struct command_call *call);
bool command_account_why(struct command_call *call);
bool command_account_suspend(struct command_call *call);
bool command_account_unlock(struct command_call *call);
bool command_alias_add(struct command_call *call);
bool command_alias_delete(struct command_call *call);
bool command_alias_list(struct command_call *call);
bool command_alias_learn(struct command_call *call);
bool command_drill(struct command_call *call);
bool command_queue_list(struct command_call *call);
bool command_queue_show(struct command_call *call);
bool command_queue_hold(struct command_call *call);
bool command_queue_release(struct command_call *call);
bool command_queue_discard(struct command_call *call);
bool command_queue_flush(struct command_call *call);
bool command_relayed(struct command_call *call);
bool command_journal(struct command_call *call);
bool command_what_if(struct command_call *call);
bool command_history_import(struct command_call *call);
bool command_history_take(struct command_call *call);
bool command_screen_list(struct command_call *call);
bool command_screen_add(struct command_call *call);
bool command_screen_remove(struct command_call *call);
bool command_status(struct command_call *call);
bool command_reload(struct command_call *call);
bool command_backup(struct command_call *call);
#ifdef GATEPOST_HOOKS
bool command_clock(struct command_call *call);
#endif

#endif
