/* gatepostctl relayed: what has already gone, so that the MTA behind can hold it. */
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/facts.h"
#include "store/incident.h"
#include "store/journal.h"

#define SCAN_ROWS  2000 /* journal rows a read transaction */
#define DAY_MS     ((int64_t)24 * 3600 * 1000)
#define NAME_BYTES 256

enum what { WHOLE, IDS, RECIPIENTS };

struct search {
	struct command_call *call;
	struct span account;
	int64_t since_wall;
	enum what what;
	size_t options;   /* number of the first */
	char last_id[64]; /* many recipients share one */
};

/* The queue id in an answer, as the MTAs in use write it; empty when there is none. */
static struct span remote_id(struct span answer)
{
	static const struct {
		const char *before;
	} forms[] = {
		{ "queued as " }, /* Postfix, Gatepost */
		{ " id=" },       /* Exim */
		{ "OK id=" },
		{ "Message queued with id " },
		{ "message accepted for delivery, id " },
	};
	for (size_t i = 0; i < COUNT(forms); i++) {
		const char *at = answer.len ? memmem(answer.ptr, answer.len, forms[i].before,
		                                     strlen(forms[i].before))
		                            : NULL;
		if (!at) {
			continue;
		}
		struct span id = span_from(answer,
		                           (size_t)(at - answer.ptr) + strlen(forms[i].before));
		size_t n = 0;
		while (n < id.len &&
		       (strchr("-_.", id.ptr[n]) || (id.ptr[n] >= '0' && id.ptr[n] <= '9') ||
		        ((id.ptr[n] | 0x20) >= 'a' && (id.ptr[n] | 0x20) <= 'z'))) {
			n++;
		}
		while (n && id.ptr[n - 1] == '.') {
			n--;
		}
		return span_first(id, n);
	}
	return SPAN_NONE;
}

bool command_since(struct command_call *call, const char *text, int64_t *wall_out)
{
	struct tm parts = { .tm_mday = 1 };
	char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
	if (!end) {
		parts = (struct tm){ .tm_mday = 1 };
		end = strptime(text, "%Y-%m-%d", &parts);
	}
	if (end && (!*end || strcmp(end, "Z") == 0)) {
		*wall_out = (int64_t)timegm(&parts) * 1000;
		return true;
	}
	static const struct {
		char unit;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	long number = strtol(text, &end, 10);
	for (size_t i = 0; i < COUNT(units); i++) {
		if (end != text && number >= 0 && number < 100000 && end[0] == units[i].unit &&
		    !end[1]) {
			*wall_out = (int64_t)time(NULL) * 1000 - number * units[i].ms;
			return true;
		}
	}
	return command_fail(call, "%s: not a time (2h, 3d, 2026-11-25, 2026-11-25T03:00:00)",
	                    text);
}

static bool read_options(struct search *search)
{
	struct command_call *call = search->call;
	for (size_t i = search->options; i < call->argc; i++) {
		const char *option = call->argv[i];
		if (strcmp(option, "--ids") == 0) {
			search->what = IDS;
		} else if (strcmp(option, "--recipients") == 0) {
			search->what = RECIPIENTS;
		} else if (strcmp(option, "--since") == 0 && i + 1 < call->argc) {
			if (!command_since(call, call->argv[++i], &search->since_wall)) {
				return false;
			}
		} else {
			return command_fail(call, "%s: not an option of relayed", option);
		}
	}
	return true;
}

static void emit_recipient(struct search *search, const struct journal_row *row,
                           const struct queue_recipient *recipient)
{
	struct command_call *call = search->call;
	char id[64];
	struct span remote = remote_id(recipient->answer);
	snprintf(id, sizeof id, "%.*s", SPAN_ARG(remote));
	char qid[QUEUE_ID_TEXT];
	queue_id_write(row->id, qid);
	switch (search->what) {
	case IDS:
		if (*id && strcmp(id, search->last_id) != 0) {
			call->emit(call->context, json_pack("{s:s}", "id", id));
			memcpy(search->last_id, id, sizeof id);
		}
		break;
	case RECIPIENTS:
		call->emit(call->context,
		           json_pack("{s:o}", "recipient", command_text(recipient->address)));
		break;
	case WHOLE:
		call->emit(call->context,
		           json_pack("{s:o, s:s, s:o, s:s, s:o}", "accepted",
		                     command_time(row->wall), "qid", qid, "recipient",
		                     command_text(recipient->address), "id", id, "answer",
		                     command_text(recipient->answer)));
	}
}

static void look_at(struct search *search, const struct journal_row *row)
{
	if (row->kind != JOURNAL_MESSAGE || !span_eq(row->account, search->account) ||
	    row->wall < search->since_wall) {
		return;
	}
	for (size_t i = 0; i < row->nrecipients; i++) {
		if (row->recipients[i].state == RECIPIENT_SENT) {
			emit_recipient(search, row, &row->recipients[i]);
		}
	}
}

/* One short transaction's worth of the journal; false at its end. */
static bool scan_some(struct search *search, int64_t *at, uint64_t *id)
{
	struct store_txn *txn = command_read(search->call);
	size_t n = 0;
	for (; txn && n < SCAN_ROWS; n++) {
		struct arena arena;
		struct journal_row row;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		bool found = journal_next(txn, *at, *id, &arena, &row) == STORE_OK;
		if (found) {
			*at = row.at;
			*id = row.id;
			look_at(search, &row);
		}
		arena_done(&arena);
		if (!found) {
			break;
		}
	}
	store_abort(txn);
	return n == SCAN_ROWS;
}

/* What an incident is about: its account, and its window up to the suspension. */
static bool read_incident(struct search *search, struct buf *name)
{
	struct command_call *call = search->call;
	struct incident incident;
	struct bill bill;
	struct arena arena;
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	arena_init(&arena, QUEUE_ENTRY_MAX);
	uint64_t number = strtoull(call->argv[1], NULL, 10);
	bool found = incident_get(txn, number, &arena, &incident) == STORE_OK &&
	             bill_unpack(incident.reasons, &bill);
	store_abort(txn);
	if (found) {
		int64_t window = bill.limit.window ? bill.limit.window : DAY_MS;
		search->since_wall = incident.opened_wall - window;
		buf_put(name, incident.account);
	}
	arena_done(&arena);
	return found || command_fail(call, "%s: no such incident", call->argv[1]);
}

/* Whose mail: the first argument, or that of `--incident N`. */
static bool read_subject(struct search *search, struct buf *name)
{
	struct command_call *call = search->call;
	if (strcmp(call->argv[0], "--incident") != 0) {
		search->options = 1;
		return command_account(call, call->argv[0], name);
	}
	search->options = 2;
	return call->argc > 1 ? read_incident(search, name)
	                      : command_fail(call, "--incident wants a number");
}

bool command_relayed(struct command_call *call)
{
	static const char *const columns[] = {
		[WHOLE] = "accepted qid recipient id answer",
		[IDS] = "id",
		[RECIPIENTS] = "recipient",
	};
	struct search search = { .call = call };
	struct buf name;
	int64_t at = 0;
	uint64_t id = 0;
	buf_init(&name, NAME_BYTES);
	bool good = read_subject(&search, &name) && read_options(&search);
	if (good) {
		search.account = buf_span(&name);
		command_layout(call, search.what == WHOLE ? COMMAND_TABLE : COMMAND_PLAIN,
		               columns[search.what]);
		while (scan_some(&search, &at, &id)) {
		}
		good = !call->error.text[0];
	}
	buf_done(&name);
	return good;
}
