/* gatepostctl journal: all mail that was accepted. */
#include "server/commands.h"

#include "store/journal.h"

#define SCAN_ROWS 500 /* journal rows a read transaction */

static json_t *message(const struct journal_row *row)
{
	char qid[QUEUE_ID_TEXT];
	json_t *recipients = json_array();
	for (size_t i = 0; i < row->nrecipients; i++) {
		json_array_append_new(recipients, command_text(row->recipients[i].address));
	}
	queue_id_write(row->id, qid);
	return json_pack("{s:o, s:I, s:o, s:I, s:s, s:o, s:o}", "accepted",
	                 command_time(row->wall), "ms", (json_int_t)row->wall, "account",
	                 command_text(row->account), "count", (json_int_t)row->nrecipients,
	                 "qid", qid, "client", command_text(row->client), "recipients",
	                 recipients);
}

/* One short transaction's worth; false at the end. Rows go out when it is over: whoever reads
 * them may be slow. */
static bool scan_some(struct command_call *call, int64_t since, int64_t *at, uint64_t *id)
{
	json_t *rows = json_array();
	struct store_txn *txn = command_read(call);
	size_t n = 0;
	for (bool found = true; txn && found && n < SCAN_ROWS; n += found) {
		struct arena arena;
		struct journal_row row;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		enum store_result result = journal_next(txn, *at, *id, &arena, &row);
		found = result == STORE_OK || result == STORE_DAMAGED;
		if (found) {
			*at = row.at;
			*id = row.id;
		}
		if (result == STORE_OK && row.kind == JOURNAL_MESSAGE && row.account.len &&
		    row.wall >= since) {
			json_array_append_new(rows, message(&row));
		}
		arena_done(&arena);
	}
	store_abort(txn);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		call->emit(call->context, json_incref(json_array_get(rows, i)));
	}
	json_decref(rows);
	return n == SCAN_ROWS;
}

bool command_journal(struct command_call *call)
{
	int64_t since = 0, at = 0;
	uint64_t id = 0;
	if (call->argc) {
		if (call->argc != 2 || strcmp(call->argv[0], "--since") != 0) {
			return command_fail(call, "%s: not an option of journal",
			                    call->argv[0]);
		}
		if (!command_since(call, call->argv[1], &since)) {
			return false;
		}
	}
	command_layout(call, COMMAND_TABLE, "accepted account count client qid");
	while (scan_some(call, since, &at, &id)) {
	}
	return !call->error.text[0];
}
