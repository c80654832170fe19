/*
 * What a suspension, or its end, has left behind: everything that has to be there together or
 * not at all, counted. To be included behind test/auth/fresh_store.h.
 */
#ifndef GATEPOST_TEST_AUTH_AFTERMATH_H
#define GATEPOST_TEST_AUTH_AFTERMATH_H

#include "auth/suspend.h"
#include "store/body.h"
#include "store/journal.h"

#define ARENA_MAX ((size_t)8 * 1024 * 1024)

static const struct span postmasters[] = { { "postmaster@example.org", 22 },
	                                   { "jane@it.example.org", 19 } };
static const struct suspend_rules to_postmasters = { .postmaster = postmasters,
	                                             .npostmaster = COUNT(postmasters) };

struct aftermath {
	uint64_t incident; /* by which alice is suspended */
	size_t incidents;  /* ever */
	size_t open;       /* of them */
	size_t ready;      /* mail */
	size_t held;       /* by an incident */
	size_t held_by_hand;
	size_t suspended, ended, ignored; /* notices */
	size_t journal;                   /* rows of standing */
};

static inline void count_entries(struct store_txn *txn, struct aftermath *a)
{
	uint64_t id = 0;
	while (queue_list_next(txn, SPAN_NONE, id, &id) == STORE_OK) {
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, ARENA_MAX);
		assert_int_equal(queue_get(txn, id, &arena, &entry), STORE_OK);
		bool held = entry.state == QUEUE_HELD;
		a->ready += entry.kind == QUEUE_MAIL && !held;
		a->held += held && entry.incident;
		a->held_by_hand += held && !entry.incident;
		a->suspended += entry.kind == QUEUE_NOTICE_SUSPENDED;
		a->ended += entry.kind == QUEUE_NOTICE_ENDED;
		a->ignored += entry.kind == QUEUE_NOTICE_IGNORED;
		arena_done(&arena);
	}
}

static inline void count_incidents(struct store_txn *txn, struct aftermath *a)
{
	struct incident incident = { .number = 0 };
	for (;;) {
		struct arena arena;
		arena_init(&arena, ARENA_MAX);
		bool found = incident_next(txn, incident.number, &arena, &incident) == STORE_OK;
		a->incidents += found;
		a->open += found && incident.state == INCIDENT_OPEN;
		arena_done(&arena);
		if (!found) {
			return;
		}
	}
}

static inline void count_journal(struct store_txn *txn, struct aftermath *a)
{
	struct journal_row row = { .at = 0, .id = 0 };
	for (;;) {
		struct arena arena;
		arena_init(&arena, ARENA_MAX);
		bool found = journal_next(txn, row.at, row.id, &arena, &row) == STORE_OK;
		a->journal += found && row.kind == JOURNAL_STANDING;
		arena_done(&arena);
		if (!found) {
			return;
		}
	}
}

static inline struct aftermath aftermath_in(struct store_txn *txn)
{
	struct aftermath a = { .incident = 0 };
	assert_int_equal(suspend_incident_of(txn, ALICE, &a.incident), STORE_OK);
	count_entries(txn, &a);
	count_incidents(txn, &a);
	count_journal(txn, &a);
	return a;
}

static inline struct aftermath aftermath(void)
{
	struct store_txn *txn = store_begin_read(store, NULL);
	struct aftermath a = aftermath_in(txn);
	store_abort(txn);
	return a;
}

#define assert_aftermath(what, got, ...) \
	do { \
		const struct aftermath want_ = { __VA_ARGS__ }; \
		const struct aftermath got_ = (got); \
		if (memcmp(&got_, &want_, sizeof want_) != 0) { \
			print_aftermath("got ", &got_); \
			print_aftermath("want", &want_); \
			fail_msg("%s", what); \
		} \
	} while (0)

static inline void print_aftermath(const char *which, const struct aftermath *a)
{
	print_error("%s: by %llu, %zu incidents, %zu open; %zu ready, %zu held, %zu by hand; "
	            "notices %zu %zu %zu; journal %zu\n",
	            which, (unsigned long long)a->incident, a->incidents, a->open, a->ready,
	            a->held, a->held_by_hand, a->suspended, a->ended, a->ignored, a->journal);
}

/* ---- making it ---- */

/* Mail of `account` in the queue, to one recipient each. */
static inline void put_mail(struct span account, size_t n)
{
	struct store_txn *txn = begin();
	for (size_t i = 0; i < n; i++) {
		struct queue_recipient to = { .address = SPAN_LIT("carol@example.net") };
		const struct queue_entry entry = {
			.id = store_next_id(store),
			.account = account,
			.sender = account,
			.accepted_at = store_now(store),
			.next_at = store_now(store),
			.size = 100,
			.recipients = &to,
			.nrecipients = 1,
		};
		assert_int_equal(queue_put(txn, &entry), STORE_OK);
	}
	commit(txn);
}

static inline struct act act_of(struct span account, uint32_t recipients)
{
	return (struct act){
		.account = account,
		.recipients = recipients,
		.client = SPAN_LIT("192.0.2.7"),
		.subject = SPAN_LIT("cheap watches"),
		.now = store_now(store),
		.wall = fake_clock.wall,
	};
}

static inline enum store_result open_in(struct store_txn *txn, struct suspend_result *result)
{
	const struct act act = act_of(ALICE, 1);
	const struct bill bill = { .limit = { 500, 30 * MINUTE }, .spent = 500, .asked = 1 };
	return suspend_open(txn, &to_postmasters, &act, SPAN_LIT("budget"), &bill, result);
}

/* Suspends alice. */
static inline uint64_t suspend_alice(void)
{
	struct suspend_result result = { .incident = 0 };
	struct store_txn *txn = begin();
	assert_int_equal(open_in(txn, &result), STORE_OK);
	commit(txn);
	return result.incident;
}

static inline enum store_result end_in(struct store_txn *txn, uint64_t incident,
                                       enum standing_event event, struct suspend_result *result)
{
	const struct suspend_end end = {
		.account = ALICE,
		.incident = incident,
		.event = event,
		.by = SPAN_LIT("uid 0"),
		.how = SPAN_LIT("by hand"),
		.note = SPAN_LIT("It is over."),
		.now = store_now(store),
		.wall = fake_clock.wall,
	};
	return suspend_apply(txn, &to_postmasters, &end, result);
}

static inline struct suspend_result end_by_hand(uint64_t incident, enum standing_event event)
{
	struct suspend_result result = { .incident = 0 };
	struct store_txn *txn = begin();
	assert_int_equal(end_in(txn, incident, event, &result), STORE_OK);
	commit(txn);
	return result;
}

/* What is left to do with the queue, each step in a transaction; says how many it took. */
static inline size_t sweep_all(uint64_t incident)
{
	size_t steps = 0;
	bool more = true;
	while (more) {
		struct store_txn *txn = begin();
		assert_int_equal(
		    suspend_sweep(txn, incident, SUSPEND_HOLD_NOW, store_now(store), &more),
		    STORE_OK);
		commit(txn);
		steps++;
		assert_true(steps < 1000);
	}
	return steps;
}

#endif
