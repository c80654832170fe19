#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/journal.h"

#define BATCH      500  /* entries a transaction: the writer is not held up */
#define SCAN_ROWS  2000 /* journal rows a read transaction */
#define NAME_BYTES 256

/* ---- rows ---- */

static const char *state_name(const struct queue_entry *entry, int64_t now)
{
	if (queue_dwells(entry, now)) {
		return "waits"; /* for the guard's sake */
	}
	return entry->state == QUEUE_HELD ? "held" : "ready";
}

static const char *const recipient_names[] = {
	[RECIPIENT_PENDING] = "pending",
	[RECIPIENT_SENT] = "sent",
	[RECIPIENT_FAILED] = "failed",
	[RECIPIENT_REPORTED] = "reported",
};

static json_t *id_text(uint64_t id)
{
	char text[QUEUE_ID_TEXT];
	queue_id_write(id, text);
	return json_string(text);
}

static json_t *recipient_row(const struct queue_recipient *recipient)
{
	return json_pack("{s:o, s:s, s:I, s:o}", "recipient", command_text(recipient->address),
	                 "state", recipient_names[recipient->state], "code",
	                 (json_int_t)recipient->code, "answer",
	                 command_text(recipient->answer));
}

static json_t *entry_row(struct command_call *call, const struct queue_entry *entry)
{
	size_t open = 0;
	const char *answer = "";
	size_t answer_len = 0;
	for (size_t i = 0; i < entry->nrecipients; i++) {
		const struct queue_recipient *recipient = &entry->recipients[i];
		open += recipient->state == RECIPIENT_PENDING ||
		        recipient->state == RECIPIENT_FAILED;
		if (recipient->answer.len && recipient->state != RECIPIENT_SENT) {
			answer = recipient->answer.ptr;
			answer_len = recipient->answer.len;
		}
	}
	int64_t now = store_now(call->store);
	int64_t in = entry->state == QUEUE_READY ? entry->next_at - now : 0;
	return json_pack(
	    "{s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o}", "qid",
	    id_text(entry->id), "state", state_name(entry, now), "accepted",
	    command_time(entry->accepted_wall), "account", command_text(entry->account), "from",
	    command_text(entry->sender), "size", (json_int_t)entry->size, "nrcpt",
	    (json_int_t)entry->nrecipients, "open", (json_int_t)open, "attempts",
	    (json_int_t)entry->attempts, "next_in", (json_int_t)(in > 0 ? in / 1000 : 0),
	    "answer", command_text(span_of(answer, answer_len)));
}

/* ---- list, show ---- */

/* Emits up to BATCH entries behind `*after`, moves it. False when there are no more, or on
 * failure (error set). */
static bool list_some(struct command_call *call, struct span account, uint64_t *after)
{
	struct store_txn *txn = command_read(call);
	size_t n = 0;
	for (; txn && n < BATCH && queue_list_next(txn, account, *after, after) == STORE_OK;
	     n++) {
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		if (queue_get(txn, *after, &arena, &entry) == STORE_OK) {
			call->emit(call->context, entry_row(call, &entry));
		} else {
			call->emit(call->context,
			           json_pack("{s:o, s:s}", "qid", id_text(*after), "state",
			                     "damaged"));
		}
		arena_done(&arena);
	}
	store_abort(txn);
	return n == BATCH;
}

bool command_queue_list(struct command_call *call)
{
	struct buf name;
	uint64_t after = 0;
	buf_init(&name, NAME_BYTES);
	if (call->argc && !command_account(call, call->argv[0], &name)) {
		buf_done(&name);
		return false;
	}
	command_layout(call, COMMAND_TABLE,
	               "qid state accepted account from size open attempts next_in answer");
	while (list_some(call, buf_span(&name), &after)) {
	}
	buf_done(&name);
	return !call->error.text[0];
}

bool command_queue_show(struct command_call *call)
{
	uint64_t id;
	struct arena arena;
	struct queue_entry entry;
	if (!queue_id_read(span_str(call->argv[0]), &id)) {
		return command_fail(call, "%s: not a queue id", call->argv[0]);
	}
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	arena_init(&arena, QUEUE_ENTRY_MAX);
	enum store_result result = queue_get(txn, id, &arena, &entry);
	store_abort(txn);
	if (result == STORE_OK) {
		command_layout(call, COMMAND_CARD,
		               "qid state accepted account from size attempts next_in");
		call->emit(call->context, entry_row(call, &entry));
		command_layout(call, COMMAND_TABLE, "recipient state code answer");
		for (size_t i = 0; i < entry.nrecipients; i++) {
			call->emit(call->context, recipient_row(&entry.recipients[i]));
		}
	} else {
		command_fail(call,
		             result == STORE_NOT_FOUND ? "%s: no such entry"
		                                       : "%s: can not be read",
		             call->argv[0]);
	}
	arena_done(&arena);
	return result == STORE_OK;
}

/* ---- hold, release, discard, flush ---- */

/* What is done to each entry of a batch. */
struct deed {
	enum store_result (*run)(struct store_txn *txn, uint64_t id, int64_t now);
	const char *act;
	enum delivery_word word;
};

struct batch {
	const struct deed *deed;
	uint64_t ids[BATCH];
	size_t count;
	size_t done;
};

static enum store_result hold(struct store_txn *txn, uint64_t id, int64_t now)
{
	(void)now;
	return queue_hold(txn, id);
}

static enum store_result discard(struct store_txn *txn, uint64_t id, int64_t now)
{
	(void)now;
	return queue_remove(txn, id);
}

static bool batch_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	struct batch *batch = write->data;
	batch->done = 0;
	for (size_t i = 0; i < batch->count; i++) {
		batch->done += batch->deed->run(txn, batch->ids[i], now) == STORE_OK;
	}
	return true;
}

static bool commit_batch(struct command_call *call, struct batch *batch, struct span account,
                         const char *act)
{
	struct command_write write = {
		.run = batch_run,
		.call = call,
		.account = account,
		.act = act,
		.data = batch,
	};
	if (!command_commit(&write)) {
		return false;
	}
	for (size_t i = 0; i < batch->count; i++) {
		delivery_tell(call->server->delivery, batch->deed->word, batch->ids[i]);
	}
	return true;
}

static size_t next_ids(struct command_call *call, struct span account, uint64_t after,
                       uint64_t *ids)
{
	struct store_txn *txn = command_read(call);
	size_t n = 0;
	while (txn && n < BATCH && queue_list_next(txn, account, after, &after) == STORE_OK) {
		ids[n++] = after;
	}
	store_abort(txn);
	return n;
}

/* All entries of `account`, or of all when it is empty. */
static bool do_to_many(struct command_call *call, const struct deed *deed, struct span account)
{
	struct batch batch = { .deed = deed };
	uint64_t after = 0;
	size_t sum = 0;
	while ((batch.count = next_ids(call, account, after, batch.ids))) {
		after = batch.ids[batch.count - 1];
		if (!commit_batch(call, &batch, account, sum ? NULL : deed->act)) {
			return false;
		}
		sum += batch.done;
	}
	if (call->error.text[0]) {
		return false;
	}
	command_layout(call, COMMAND_CARD, "entries");
	call->emit(call->context, json_pack("{s:I}", "entries", (json_int_t)sum));
	return true;
}

static bool do_to_one(struct command_call *call, const struct deed *deed, uint64_t id)
{
	char act[100];
	struct batch batch = { .deed = deed, .ids = { id }, .count = 1 };
	snprintf(act, sizeof act, "%s %s", deed->act, call->argv[0]);
	if (!commit_batch(call, &batch, SPAN_NONE, act)) {
		return false;
	}
	return batch.done || command_fail(call, "%s: no such entry", call->argv[0]);
}

static bool do_to(struct command_call *call, const struct deed *deed)
{
	uint64_t id;
	if (!strchr(call->argv[0], '@') && queue_id_read(span_str(call->argv[0]), &id)) {
		return do_to_one(call, deed, id);
	}
	struct buf name;
	buf_init(&name, NAME_BYTES);
	bool good = command_account(call, call->argv[0], &name) &&
	            do_to_many(call, deed, buf_span(&name));
	buf_done(&name);
	return good;
}

bool command_queue_hold(struct command_call *call)
{
	static const struct deed deed = { hold, "queue hold", DELIVERY_HELD };
	return do_to(call, &deed);
}

bool command_queue_release(struct command_call *call)
{
	static const struct deed deed = { queue_release, "queue release", DELIVERY_RELEASED };
	return do_to(call, &deed);
}

bool command_queue_discard(struct command_call *call)
{
	static const struct deed deed = { discard, "queue discard", DELIVERY_GONE };
	return do_to(call, &deed);
}

bool command_queue_flush(struct command_call *call)
{
	static const struct deed deed = { queue_flush, "queue flush", DELIVERY_RELEASED };
	bool good = call->argc ? do_to(call, &deed) : do_to_many(call, &deed, SPAN_NONE);
	delivery_flush(call->server->delivery);
	return good;
}
