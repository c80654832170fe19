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

/* All that recipients can be, one behind the other, so that each pair of neighbours is
 * there. */
static struct queue_recipient mixed[] = {
	{ .address = { "a@x", 3 } },
	{ .address = { "b@x", 3 }, .state = RECIPIENT_SENT, .code = 250 },
	{ .address = { "c@x", 3 }, .state = RECIPIENT_SENT, .code = 250 },
	{ .address = { "d@x", 3 },
	  .state = RECIPIENT_FAILED,
	  .code = 250,
	  .status = { "2.0.0", 5 } },
	{ .address = { "e@x", 3 },
	  .state = RECIPIENT_FAILED,
	  .code = 550,
	  .status = { "2.0.0", 5 } },
	{ .address = { "f@x", 3 },
	  .state = RECIPIENT_REPORTED,
	  .code = 550,
	  .status = { "2.0.0", 5 },
	  .answer = { "why", 3 } },
	{ .address = { "", 0 },
	  .state = RECIPIENT_REPORTED,
	  .code = 550,
	  .status = { "2.0.0", 5 },
	  .answer = { "why", 3 } },
	{ .address = { "g@x", 3 } },
	{ .address = { "h@x", 3 }, .answer = { "only a text", 11 } },
	{ .address = { "i@x", 3 }, .code = 4294967295u },
};

static inline struct queue_entry mixed_entry(void)
{
	return (struct queue_entry){
		.id = 0x0123456789abcdef,
		.incident = 17,
		.state = QUEUE_HELD,
		.account = SPAN_LIT("alice@example.org"),
		.sender = SPAN_LIT("a"),
		.client = SPAN_LIT("2001:db8::1"),
		.accepted_at = 1,
		.accepted_wall = -2,
		.next_at = 3,
		.deferred_at = 4,
		.report_at = 5,
		.failed_at = 6,
		.attempts = 4294967295u,
		.size = UINT64_MAX,
		.eight_bit = true,
		.recipients = mixed,
		.nrecipients = COUNT(mixed),
	};
}

static inline struct queue_entry notice_entry(enum queue_kind kind)
{
	return (struct queue_entry){
		.id = 7,
		.kind = kind,
		.incident = UINT64_MAX,
		.note = SPAN_LIT("jane@example.org unlocked it; 12 mails were released"),
		.accepted_at = 1,
		.next_at = 0,
		.recipients = mixed,
		.nrecipients = 2,
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

static inline void assert_recipients(const struct queue_entry *have,
                                     const struct queue_entry *want)
{
	assert_int_equal(have->nrecipients, want->nrecipients);
	for (size_t i = 0; i < want->nrecipients; i++) {
		const struct queue_recipient *a = &have->recipients[i];
		const struct queue_recipient *b = &want->recipients[i];
		assert_int_equal(a->state, b->state);
		assert_int_equal(a->code, b->code);
		assert_true(span_eq(a->address, b->address));
		assert_true(span_eq(a->status, b->status));
		assert_true(span_eq(a->answer, b->answer));
	}
}

static inline void assert_entry(const struct queue_entry *have, const struct queue_entry *want)
{
	assert_int_equal(have->id, want->id);
	assert_int_equal(have->kind, want->kind);
	assert_int_equal(have->incident, want->incident);
	assert_true(span_eq(have->note, want->note));
	assert_int_equal(have->state, want->state);
	assert_true(span_eq(have->account, want->account));
	assert_true(span_eq(have->sender, want->sender));
	assert_true(span_eq(have->client, want->client));
	assert_int_equal(have->accepted_at, want->accepted_at);
	assert_int_equal(have->accepted_wall, want->accepted_wall);
	assert_int_equal(have->next_at, want->next_at);
	assert_int_equal(have->deferred_at, want->deferred_at);
	assert_int_equal(have->report_at, want->report_at);
	assert_int_equal(have->failed_at, want->failed_at);
	assert_int_equal(have->attempts, want->attempts);
	assert_int_equal(have->size, want->size);
	assert_int_equal(have->eight_bit, want->eight_bit);
	assert_recipients(have, want);
}

#endif
