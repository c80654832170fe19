/* Entries for the tests of queue and check. */
#ifndef GATEPOST_TEST_STORE_QUEUE_HELP_H
#define GATEPOST_TEST_STORE_QUEUE_HELP_H

#include "help.h"
#include "store/body.h"
#include "store/keys.h"
#include "store/queue.h"

#define BODY_MAX (3 * BODY_ROW)

static inline struct queue_entry entry_of(uint64_t id, const char *account, uint64_t size,
                                          int64_t next_at)
{
	static struct queue_recipient one = { .address = { "bob@example.net", 15 } };
	return (struct queue_entry){
		.id = id,
		.account = span_str(account),
		.sender = SPAN_LIT("alice@example.org"),
		.client = SPAN_LIT("192.0.2.1"),
		.accepted_at = 1000,
		.accepted_wall = 1700000000000,
		.next_at = next_at,
		.size = size,
		.recipients = &one,
		.nrecipients = 1,
	};
}

/* Entry and body. */
static inline void put_entry(struct store_txn *txn, const struct queue_entry *entry)
{
	static const char bytes[BODY_MAX];
	uint32_t next;
	assert_true(entry->size <= BODY_MAX);
	body_put(txn, entry->id, 0, span_of(bytes, (size_t)entry->size), &next);
	assert_int_equal(queue_put(txn, entry), STORE_OK);
}

static inline enum store_result state_of(struct store_txn *txn, uint64_t id,
                                         struct queue_entry *entry)
{
	struct arena arena;
	arena_init(&arena, QUEUE_ENTRY_MAX);
	enum store_result result = queue_get(txn, id, &arena, entry);
	arena_done(&arena);
	return result;
}

/* "id@next_at id@next_at ..." as delivery will see them. */
static inline void due_list(struct store_txn *txn, char *text, size_t len)
{
	struct queue_due_walk walk;
	struct queue_due due;
	size_t at = 0;
	text[0] = '\0';
	queue_due_begin(&walk, txn);
	while (queue_due_next(&walk, &due)) {
		at += (size_t)snprintf(text + at, len - at, "%s%llu@%lld", at ? " " : "",
		                       (unsigned long long)due.id, (long long)due.next_at);
		assert_true(at < len);
	}
	queue_due_end(&walk);
}

static inline void assert_due(struct store_txn *txn, const char *want)
{
	char text[4096];
	due_list(txn, text, sizeof text);
	assert_string_equal(text, want);
}

static inline void assert_usage(struct store_txn *txn, const char *account, uint64_t entries,
                                uint64_t bytes)
{
	struct queue_usage usage = { 77, 77 };
	assert_int_equal(queue_usage(txn, span_str(account), &usage), STORE_OK);
	assert_int_equal(usage.entries, entries);
	assert_int_equal(usage.bytes, bytes);
}

#endif
