/* gatepostctl account import: accounts with their passwords from elsewhere. */
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/address.h"
#include "server/import.h"
#include "server/import_sasldb.h"
#include "store/account.h"

#define BATCH      100 /* accounts in a transaction: the writer has others to serve */
#define NAME_BYTES 256
#define READ_BYTES 8192

enum outcome { IMPORTED, REPLACED, EXISTS, SKIPPED, OUTCOMES };

static const char *const outcome_names[OUTCOMES] = {
	[IMPORTED] = "imported",
	[REPLACED] = "replaced",
	[EXISTS] = "exists",
	[SKIPPED] = "skipped",
};

/* One record of the file, on its way. */
struct item {
	struct buf account; /* canonical; empty when its name is none */
	struct buf secret;
	unsigned number; /* of its line, or record */
	enum outcome outcome;
	const char *reason; /* of SKIPPED */
};

struct import {
	struct command_call *call;
	/* of names without one; of a sasldb in its realm's stead; NULL: as configured */
	const char *domain;
	bool replace;
	struct item item[BATCH];
	size_t count;
	unsigned total[OUTCOMES];
};

/* ---- a batch ---- */

static bool is_pending(const struct item *item)
{
	return item->outcome == IMPORTED || item->outcome == REPLACED;
}

/* The writer decides what is there: an account may have been made a moment ago, or stand twice
 * in the file. */
static bool put_all(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct import *import = write->data;
	struct account account;
	(void)now;
	for (size_t i = 0; i < import->count; i++) {
		struct item *item = &import->item[i];
		if (item->outcome == SKIPPED) {
			continue;
		}
		bool exists = account_get(txn, buf_span(&item->account), &account) == STORE_OK;
		bool put = item->secret.len && (!exists || import->replace);
		item->outcome = !put ? EXISTS : exists ? REPLACED : IMPORTED;
		if (put) {
			command_put_secret(txn, buf_span(&item->account),
			                   buf_span(&item->secret));
		}
	}
	return store_txn_result(txn) == STORE_OK;
}

static void show(struct import *import, const struct item *item)
{
	struct command_call *call = import->call;
	char where[16];
	snprintf(where, sizeof where, ":%u", item->number);
	import->total[item->outcome]++;
	json_t *row = json_pack(
	    "{s:o, s:s, s:o, s:s}", "account", command_text(buf_span(&item->account)), "result",
	    outcome_names[item->outcome], "where", json_sprintf("%s%s", call->argv[0], where),
	    "reason", item->reason ? item->reason : "");
	call->emit(call->context, row);
	if (item->outcome == REPLACED) {
		command_changed(call, buf_span(&item->account));
	}
}

static void empty(struct item *item)
{
	secret_cleanse(item->secret.ptr, item->secret.len);
	buf_done(&item->secret);
	buf_done(&item->account);
}

static bool commit_batch(struct import *import)
{
	char act[80];
	size_t pending = 0;
	for (size_t i = 0; i < import->count; i++) {
		pending += is_pending(&import->item[i]);
	}
	snprintf(act, sizeof act, "account import, %zu of them", pending);
	struct command_write write = {
		.run = put_all,
		.call = import->call,
		.act = act,
		.data = import,
	};
	return pending == 0 || command_commit(&write);
}

/* Commits what was gathered, then says what became of it. */
static bool flush(struct import *import)
{
	bool good = commit_batch(import);
	for (size_t i = 0; i < import->count; i++) {
		if (good) {
			show(import, &import->item[i]);
		}
		empty(&import->item[i]);
	}
	import->count = 0;
	return good;
}

/* ---- a record ---- */

/* One that is to stay needs no verifier: PBKDF2 takes milliseconds. */
static bool stays(struct import *import, struct span account)
{
	struct account row;
	struct store_txn *txn = import->replace ? NULL : command_read(import->call);
	bool exists = txn && account_get(txn, account, &row) == STORE_OK;
	store_abort(txn);
	return exists;
}

/* Why not; NULL when `item` has an account and, unless that stays as it is, a secret. */
static const char *fill_in(struct import *import, const struct import_record *record,
                           struct item *item)
{
	unsigned iterations = (unsigned)import->call->config->auth_iterations;
	const char *domain = import->domain ? import->domain : import->call->config->domain;
	bool named = address_account(record->name, span_str(domain), &item->account);
	if (record->reason || !named) {
		return record->reason ? record->reason : "no name of an account";
	}
	if (stays(import, buf_span(&item->account))) {
		return NULL;
	}
	if (!record->password.len) {
		return buf_put(&item->secret, buf_span(&record->secret)) ? NULL
		                                                         : "out of memory";
	}
	return secret_verifier_make(record->password, iterations, &item->secret)
	           ? NULL
	           : "no password that can be used";
}

/* Between two batches: an admin who stops the daemon does not want to wait for the rest. */
static bool may_go_on(struct import *import)
{
	const struct server *server = import->call->server;
	return !server || !atomic_load(&server->draining) ||
	       command_fail(import->call, "the daemon is stopping: run it again for the rest");
}

static bool take(struct import *import, unsigned number, const struct import_record *record)
{
	struct item *item = &import->item[import->count++];
	*item = (struct item){ .account = { .cap = NAME_BYTES },
		               .secret = { .cap = SECRET_VERIFIER_MAX },
		               .number = number };
	item->reason = fill_in(import, record, item);
	item->outcome = item->reason ? SKIPPED : item->secret.len ? IMPORTED : EXISTS;
	return import->count < BATCH || (flush(import) && may_go_on(import));
}

/* ---- files ---- */

static bool read_lines(struct import *import, FILE *file, enum import_format format)
{
	struct import_record record = { .reason = NULL };
	char *line = NULL;
	size_t size = 0;
	unsigned number = 0;
	bool good = true;
	ssize_t len;
	while (good && (len = getline(&line, &size, file)) > 0) {
		struct span text = span_of(line, (size_t)len - (line[len - 1] == '\n'));
		number++;
		if (import_line(format, text, &record)) {
			good = take(import, number, &record);
		}
		secret_cleanse(line, (size_t)len);
	}
	import_done(&record);
	free(line);
	return good && (!ferror(file) || command_fail(import->call, "%s: can not be read",
	                                              import->call->argv[0]));
}

static bool import_text(struct import *import, enum import_format format)
{
	struct command_call *call = import->call;
	char buffer[READ_BYTES];
	int fd = dup(call->file);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (!file) {
		if (fd >= 0) {
			close(fd);
		}
		return command_fail(call, "out of memory");
	}
	setvbuf(file, buffer, _IOFBF, sizeof buffer); /* ours, to be cleansed */
	bool good = read_lines(import, file, format);
	fclose(file);
	secret_cleanse(buffer, sizeof buffer);
	return good;
}

/* "alice" and its realm, which is what stands behind the @ unless told otherwise. */
static bool take_user(void *context, const struct sasldb_user *user)
{
	struct import *import = context;
	struct buf name = { .cap = NAME_BYTES };
	struct import_record record = { .name = user->user, .password = user->password };
	buf_printf(&name, "%.*s@%.*s", SPAN_ARG(user->user), SPAN_ARG(user->realm));
	if (!import->domain && user->realm.len &&
	    span_find(user->user, '@') == user->user.len) {
		record.name = name.failed ? SPAN_NONE : buf_span(&name);
	}
	record.reason = user->password.len ? NULL : "no password";
	bool good = take(import, user->number, &record);
	buf_done(&name);
	return good;
}

static bool import_db(struct import *import, enum import_format format)
{
	struct error error = { "" };
	(void)format;
	if (import_sasldb(import->call->file, take_user, import, &error)) {
		return true;
	}
	/* The reason is the call's, if it was we who stopped. */
	return error.text[0]
	           ? command_fail(import->call, "%s: %s", import->call->argv[0], error.text)
	           : false;
}

/* ---- the commands ---- */

static bool read_options(struct import *import)
{
	const struct command_call *call = import->call;
	for (size_t i = 1; i < call->argc; i++) {
		if (strcmp(call->argv[i], "--replace") == 0) {
			import->replace = true;
		} else if (strcmp(call->argv[i], "--domain") == 0) {
			import->domain = ++i < call->argc ? call->argv[i] : "";
			if (!address_domain_is_valid(span_str(import->domain))) {
				return command_fail(import->call, "--domain \"%s\": no domain",
				                    import->domain);
			}
		} else {
			return command_fail(import->call, "%s: no such option", call->argv[i]);
		}
	}
	return true;
}

static void show_totals(struct import *import)
{
	struct command_call *call = import->call;
	command_layout(call, COMMAND_CARD, "imported replaced exists skipped");
	json_t *row = json_object();
	for (size_t i = 0; i < OUTCOMES; i++) {
		json_object_set_new(row, outcome_names[i],
		                    json_integer((json_int_t)import->total[i]));
	}
	call->emit(call->context, row);
}

static bool run(struct command_call *call, enum import_format format,
                bool (*read)(struct import *import, enum import_format format))
{
	struct stat status;
	if (fstat(call->file, &status) || !S_ISREG(status.st_mode)) {
		return command_fail(call, "%s: not a file", call->argv[0]);
	}
	struct import *import = calloc(1, sizeof *import);
	if (!import) {
		return command_fail(call, "out of memory");
	}
	import->call = call;
	bool good = read_options(import);
	if (good) {
		command_layout(call, COMMAND_TABLE, "account result where reason");
		good = read(import, format);
		/* What was gathered is not thrown away because the rest can not be read. */
		bool rest = flush(import);
		good = good && rest;
		if (good) {
			show_totals(import);
		}
	}
	free(import);
	return good;
}

bool command_import_sasldb(struct command_call *call)
{
	return run(call, IMPORT_PASSWD_FILE, import_db);
}

bool command_import_passwd_file(struct command_call *call)
{
	return run(call, IMPORT_PASSWD_FILE, import_text);
}

bool command_import_shadow(struct command_call *call)
{
	return run(call, IMPORT_SHADOW, import_text);
}
