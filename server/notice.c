#include "server/notice.h"

#include <stdio.h>

#include "proto/address.h"
#include "proto/dsn.h"
#include "store/body.h"

/* A header longer than this is cut: so many rows are read and no more. */
#define ROWS_MAX ((uint32_t)(NOTICE_ORIGINAL_MAX / BODY_ROW + 1))

struct span notice_report_to(const struct queue_entry *entry)
{
	/* An account's name is its address in lower case: a sender that differs in more is not
	 * the login's own, and a thief's choice of where our reports go. */
	struct address address;
	if (entry->sender.len == 0) {
		return SPAN_NONE;
	}
	if (span_eq_nocase(entry->sender, entry->account)) {
		return entry->sender;
	}
	bool reachable = address_parse(entry->account, &address) == ADDRESS_OK;
	return reachable ? entry->account : SPAN_NONE;
}

/* ---- the returned message ---- */

/* The part of `text` in front of the empty line; without one what fits, in whole lines. */
static struct span header_of(struct span text)
{
	const char *end = text.len ? memmem(text.ptr, text.len, "\r\n\r\n", 4) : NULL;
	if (end) {
		return span_first(text, (size_t)(end - text.ptr) + 2);
	}
	struct span cut = span_first(text, NOTICE_ORIGINAL_MAX);
	while (cut.len && cut.ptr[cut.len - 1] != '\n') {
		cut.len--;
	}
	return cut;
}

static enum store_result read_rows(struct store_txn *txn, const struct queue_entry *entry,
                                   struct buf *out)
{
	for (uint32_t row = 0; row < ROWS_MAX && out->len < entry->size; row++) {
		struct span bytes;
		enum store_result result = body_get(txn, entry->id, row, &bytes);
		if (result != STORE_OK) {
			return result;
		}
		buf_put(out, bytes);
	}
	return out->failed ? STORE_FAILED : STORE_OK;
}

/* ---- whom it is about ---- */

/* "550 5.1.1 no such user", as it was on the wire. */
static struct span diagnostic_of(const struct queue_recipient *recipient, struct arena *arena)
{
	char code[16] = "";
	if (recipient->code) {
		snprintf(code, sizeof code, "%u ", recipient->code);
	}
	/* An expired one keeps its last answer under a status of ours, which was not part of
	 * it. */
	bool theirs = recipient->code >= 500 && recipient->status.len;
	size_t size = sizeof code + recipient->status.len + recipient->answer.len + 2;
	char *text = arena_alloc(arena, size);
	if (!text) {
		return SPAN_NONE;
	}
	int n = snprintf(text, size, "%s%.*s%s%.*s", code,
	                 theirs ? (int)recipient->status.len : 0,
	                 theirs ? recipient->status.ptr : "", theirs ? " " : "",
	                 SPAN_ARG(recipient->answer));
	return span_of(text, (size_t)n);
}

/* Remote-MTA: an entry does not know which of several smarthosts it was. */
static struct span remote_of(const struct config *config,
                             const struct queue_recipient *recipient)
{
	bool known = recipient->code && config->nsmarthosts == 1;
	return known ? span_str(config->smarthost[0].address) : SPAN_NONE;
}

static struct dsn_recipient *list_failed(const struct config *config,
                                         const struct queue_entry *entry, struct arena *arena,
                                         size_t *n_out)
{
	size_t n = 0;
	struct dsn_recipient *list = arena_alloc(arena,
	                                         (entry->nrecipients + 1) * sizeof *list);
	for (size_t i = 0; list && i < entry->nrecipients; i++) {
		const struct queue_recipient *recipient = &entry->recipients[i];
		if (recipient->state == RECIPIENT_FAILED) {
			list[n++] = (struct dsn_recipient){
				.address = recipient->address,
				.status = recipient->status,
				.diagnostic = diagnostic_of(recipient, arena),
				.remote = remote_of(config, recipient),
			};
		}
	}
	*n_out = n;
	return list;
}

enum store_result notice_report(const struct config *config, const struct queue_entry *entry,
                                struct store_txn *txn, int64_t wall, struct buf *out)
{
	struct arena arena;
	struct buf text;
	char id[QUEUE_ID_TEXT];
	queue_id_write(entry->id, id);
	arena_init(&arena, 2 * QUEUE_ENTRY_MAX);
	buf_init(&text, ROWS_MAX * BODY_ROW);
	struct dsn dsn = {
		.hostname = span_str(config->hostname),
		.to = notice_report_to(entry),
		.id = span_str(id),
		.now = wall / 1000,
		.arrived = entry->accepted_wall / 1000,
		.header_only = entry->size > NOTICE_ORIGINAL_MAX,
		.eight_bit = entry->eight_bit,
	};
	dsn.recipients = list_failed(config, entry, &arena, &dsn.nrecipients);
	enum store_result result = dsn.recipients ? read_rows(txn, entry, &text) : STORE_FAILED;
	if (result == STORE_OK) {
		dsn.original = dsn.header_only ? header_of(buf_span(&text)) : buf_span(&text);
		dsn_write(&dsn, out);
		result = out->failed ? STORE_FAILED : STORE_OK;
	}
	buf_done(&text);
	arena_done(&arena);
	return result;
}
