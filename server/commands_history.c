/* gatepostctl history: whom the accounts have written to, from the site's past mail. */
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/familiar.h"
#include "proto/address.h"
#include "proto/names.h"
#include "server/privs.h"
#include "server/whatif_read.h"
#include "store/account.h"

#define BATCH      500 /* contacts in a transaction: the writer has others to serve */
#define NAME_BYTES 256
#define PAIR_BYTES 1024

/* ---- in gatepostctl: logs, to a file of pairs ---- */

struct gathering {
	struct command_call *call;
	struct whatif_reading reading;
	struct names pairs; /* account, tab, recipient */
	uint64_t unusable;
};

static bool is_plain(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] < 0x20) {
			return false;
		}
	}
	return text.len > 0;
}

static bool take_pair(struct gathering *g, struct span account, struct span recipient,
                      struct error *error)
{
	struct buf pair = { .cap = PAIR_BYTES };
	uint32_t number;
	bool fits = is_plain(recipient) && buf_put(&pair, account) &&
	            buf_put_byte(&pair, '\t') && buf_put(&pair, recipient);
	bool good = !fits || names_add(&g->pairs, buf_span(&pair), &number);
	g->unusable += !fits;
	if (!good) {
		error_set(error, "more pairs than are kept in memory: take fewer files");
	}
	buf_done(&pair);
	return good;
}

static bool take_event(void *context, const struct maillog_event *event, struct error *error)
{
	struct gathering *g = context;
	struct buf account = { .cap = NAME_BYTES };
	bool good = true;
	if (!address_account(event->account, span_str(g->call->config->domain), &account)) {
		g->unusable += event->nrecipients;
	}
	for (size_t i = 0; account.len && good && i < event->nrecipients; i++) {
		good = take_pair(g, buf_span(&account), event->recipient[i], error);
	}
	buf_done(&account);
	return good;
}

static int by_text(const void *left, const void *right)
{
	const struct span *a = left, *b = right;
	size_t shorter = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->ptr, b->ptr, shorter);
	return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* Those of an account beside each other. False without memory or room. */
static bool write_pairs(const struct names *pairs, FILE *out)
{
	struct span *list = calloc(pairs->count + 1, sizeof *list);
	for (size_t i = 0; list && i < pairs->count; i++) {
		list[i] = names_get(pairs, i);
	}
	if (list) {
		qsort(list, pairs->count, sizeof *list, by_text);
	}
	for (size_t i = 0; list && i < pairs->count; i++) {
		fprintf(out, "%.*s\n", SPAN_ARG(list[i]));
	}
	bool good = list && fflush(out) == 0 && !ferror(out);
	free(list);
	return good;
}

/* Rows of the daemon's answer are rows of ours. */
static void pass_on(void *context, json_t *row)
{
	struct gathering *g = context;
	json_object_set_new(row, "bad_lines", json_integer((json_int_t)g->reading.bad));
	json_object_set_new(row, "first_bad", command_text(span_str(g->reading.first_bad)));
	json_object_set_new(row, "unusable", json_integer((json_int_t)g->unusable));
	g->call->emit(g->call->context, row);
}

static bool send_pairs(struct gathering *g)
{
	static const char *const words[] = { "history", "take", "the pairs" };
	struct command_call *call = g->call;
	int fd = memfd_create("gatepost-history", MFD_CLOEXEC);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool good = out && write_pairs(&g->pairs, out) && lseek(fd, 0, SEEK_SET) == 0;
	if (good) {
		call->file = fd;
		command_layout(call, COMMAND_CARD,
		               "accounts contacts unknown bad_lines first_bad unusable");
		good = call->ask(call, words, COUNT(words), pass_on, g);
		call->file = -1;
	} else {
		command_fail(call, "out of memory");
	}
	if (out) {
		fclose(out);
	} else if (fd >= 0) {
		close(fd);
	}
	return good;
}

bool command_history_import(struct command_call *call)
{
	struct gathering g = { .call = call };
	if (!call->ask || !call->config) {
		return call->ask ? false : command_fail(call, "this runs in gatepostctl");
	}
	/* What others may have written is not read as root. */
	bool good = whatif_read_open(call->argv, call->argc, &g.reading, &call->error) &&
	            privs_drop(call->config->user, &call->error) &&
	            whatif_read(&g.reading, take_event, &g, &call->error) && send_pairs(&g);
	whatif_read_done(&g.reading);
	names_done(&g.pairs);
	return good;
}

/* ---- in the daemon: pairs, to histories ---- */

struct taking {
	struct command_call *call;
	struct buf account; /* of the batch */
	uint64_t contact[BATCH];
	size_t n;
	bool known; /* put_batch has found the account, and its history can be read */
	bool fresh; /* nothing of this account was taken before */
	uint64_t accounts, contacts, unknown;
};

static bool put_batch(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct taking *t = write->data;
	struct account row;
	struct span account = buf_span(&t->account);
	t->known = account_get(txn, account, &row) == STORE_OK;
	if (!t->known) {
		return false;
	}
	enum store_result result = familiar_import(txn, account, t->contact, t->n, now);
	/* A history that can not be read is this account's matter: the others' go on. */
	t->known = result != STORE_DAMAGED;
	return result == STORE_OK;
}

static bool may_go_on(struct taking *t)
{
	const struct server *server = t->call->server;
	return !server || !atomic_load(&server->draining) ||
	       command_fail(t->call, "the daemon is stopping: run it again");
}

/* What was gathered, in a commit. An account that is not there is no reason to stop. */
static bool flush(struct taking *t)
{
	struct command_write write = { .run = put_batch,
		                       .call = t->call,
		                       .account = buf_span(&t->account),
		                       .act = "history import",
		                       .data = t };
	if (!t->n) {
		return true;
	}
	t->known = true;
	bool good = command_commit(&write);
	if (!good && t->known) {
		return false;
	}
	t->call->error.text[0] = '\0';
	t->contacts += t->known ? t->n : 0;
	t->unknown += t->known ? 0 : t->n;
	t->accounts += t->known && t->fresh;
	t->fresh = false;
	t->n = 0;
	return may_go_on(t);
}

/* "account<TAB>recipient", both canonical. */
static bool take_line(struct taking *t, struct span line)
{
	struct span account = span_first(line, span_find(line, '\t'));
	struct span recipient = span_from(line, account.len + 1);
	struct address address;
	if (!account.len || account.len > ADDRESS_ACCOUNT_MAX ||
	    address_parse(recipient, &address) != ADDRESS_OK) {
		t->unknown++;
		return true;
	}
	bool same = span_eq(account, buf_span(&t->account));
	if ((!same || t->n == BATCH) && !flush(t)) {
		return false;
	}
	if (!same) {
		buf_clear(&t->account);
		buf_put(&t->account, account);
		t->fresh = true;
	}
	t->contact[t->n++] = familiar_contact(&t->call->server->key, account, recipient);
	return !t->account.failed || command_fail(t->call, "out of memory");
}

static bool take_all(struct taking *t, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	bool good = true;
	ssize_t len;
	while (good && (len = getline(&line, &size, file)) > 0) {
		good = take_line(t, span_of(line, (size_t)len - (line[len - 1] == '\n')));
	}
	free(line);
	good = good && (!ferror(file) ||
	                command_fail(t->call, "%s: can not be read", t->call->argv[0]));
	return good && flush(t);
}

bool command_history_take(struct command_call *call)
{
	struct stat status;
	struct taking t = { .call = call, .account = { .cap = ADDRESS_ACCOUNT_MAX } };
	if (fstat(call->file, &status) || !S_ISREG(status.st_mode)) {
		return command_fail(call, "%s: not a file", call->argv[0]);
	}
	int fd = dup(call->file);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (!file) {
		if (fd >= 0) {
			close(fd);
		}
		return command_fail(call, "out of memory");
	}
	bool good = take_all(&t, file);
	fclose(file);
	buf_done(&t.account);
	if (good) {
		command_layout(call, COMMAND_CARD, "accounts contacts unknown");
		call->emit(call->context,
		           json_pack("{s:I, s:I, s:I}", "accounts", (json_int_t)t.accounts,
		                     "contacts", (json_int_t)t.contacts, "unknown",
		                     (json_int_t)t.unknown));
	}
	return good;
}
