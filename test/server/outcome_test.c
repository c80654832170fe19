#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/standing.h"
#include "server/outcome.h"
#include "store/account.h"
#include "store/incident.h"
#include "store/journal.h"
#include "test/store/queue_help.h"

#define NOW      ((int64_t)1000000)
#define LIFETIME ((int64_t)3600000)

static const int64_t retry[] = { 30000, 60000, 120000 };
static const char letters[] = "PSFR"; /* as the states are numbered */

static struct queue_recipient recipients[4];

/* "PPF": the states of a@, b@, c@. */
static struct queue_entry entry_with(const char *states)
{
	static const char *const addresses[] = { "a@x.org", "b@x.org", "c@x.org", "d@x.org" };
	size_t n = strlen(states);
	for (size_t i = 0; i < n; i++) {
		recipients[i] = (struct queue_recipient){
			.address = span_str(addresses[i]),
			.state = (enum queue_recipient_state)(strchr(letters, states[i]) -
			                                      letters),
		};
	}
	return (struct queue_entry){
		.id = 1,
		.account = SPAN_LIT("alice@example.org"),
		.sender = SPAN_LIT("Alice@example.org"),
		.accepted_at = NOW - 1000,
		.next_at = NOW - 10,
		.recipients = recipients,
		.nrecipients = n,
	};
}

static const char *states_of(const struct queue_entry *entry)
{
	static char text[5];
	for (size_t i = 0; i < entry->nrecipients; i++) {
		text[i] = letters[entry->recipients[i].state];
	}
	text[entry->nrecipients] = '\0';
	return text;
}

static struct outcome outcome_of(enum outcome_duty duty)
{
	return (struct outcome){
		.duty = duty,
		.id = 1,
		.rules = { retry, COUNT(retry), LIFETIME },
		.reason = SPAN_LIT("smarthost down"),
	};
}

/* "250 451 -": a code for each recipient in turn, - = not tried. Gives how many. */
static size_t results_of(const char *codes, struct outcome_result *results)
{
	size_t n = 0;
	uint32_t recipient = 0;
	for (const char *at = codes; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
		if (*at != '-') {
			results[n++] = (struct outcome_result){
				.recipient = recipient,
				.code = (unsigned)atoi(at),
				.status = *at == '5' ? SPAN_LIT("5.1.1") : SPAN_NONE,
				.answer = SPAN_LIT("said"),
			};
		}
		recipient++;
	}
	return n;
}

enum when { NOTHING, DUE_NOW, RETRY_1, RETRY_2, RETRY_3, AS_BEFORE, BEHIND_NEXT };

static bool is_when(enum when when, int64_t at, int64_t before, const struct queue_entry *entry)
{
	static const int64_t waits[] = {
		[RETRY_1] = 30000, [RETRY_2] = 60000, [RETRY_3] = 120000
	};
	switch (when) {
	case NOTHING:
		return at == 0;
	case DUE_NOW:
		return at == NOW;
	case AS_BEFORE:
		return at == before;
	case BEHIND_NEXT:
		return at == entry->next_at + 1;
	default:
		return at - NOW >= waits[when] * 9 / 10 && at - NOW <= waits[when] * 11 / 10;
	}
}

/* What a mail's answers make of an entry. */
static void test_mail(void **state)
{
	(void)state;
	static const struct {
		const char *before;
		const char *codes;
		bool held, null_sender;
		uint32_t attempts;
		const char *after;
		bool changed;
		enum when next, report;
		bool counted; /* one more attempt */
	} rows[] = {
		{ "P", "250", 0, 0, 0, "S", true, RETRY_1, NOTHING, true },
		{ "PPP", "250 250 250", 0, 0, 0, "SSS", true, RETRY_1, NOTHING, true },
		{ "P", "451", 0, 0, 0, "P", true, RETRY_1, NOTHING, true },
		{ "P", "451", 0, 0, 1, "P", true, RETRY_2, NOTHING, true },
		{ "P", "451", 0, 0, 9, "P", true, RETRY_3, NOTHING, true },
		{ "P", "0", 0, 0, 0, "P", true, RETRY_1, NOTHING, true }, /* cut */
		{ "P", "550", 0, 0, 0, "F", true, DUE_NOW, DUE_NOW,
		  true }, /* the report is due */
		/* SH04: the 450 is tried again first, the report follows. */
		{ "PPP", "250 450 550", 0, 0, 0, "SPF", true, RETRY_1, BEHIND_NEXT, true },
		{ "SPF", "- 250", 0, 0, 1, "SSF", true, DUE_NOW, DUE_NOW, true },
		{ "SPF", "- 550", 0, 0, 1, "SFF", true, DUE_NOW, DUE_NOW, true },
		{ "SPR", "- 550", 0, 0, 1, "SFR", true, DUE_NOW, DUE_NOW, true },
		/* Nobody to be told. */
		{ "P", "550", 0, 1, 0, "R", true, RETRY_1, NOTHING, true },
		{ "PP", "550 450", 0, 1, 0, "RP", true, RETRY_1, NOTHING, true },
		/* HELD meanwhile: what was taken was taken, all else is as it was. */
		{ "PPP", "250 450 550", 1, 0, 0, "SPP", true, AS_BEFORE, NOTHING, false },
		{ "PP", "450 550", 1, 0, 0, "PP", false, AS_BEFORE, NOTHING, false },
		{ "PS", "550 550", 0, 0, 0, "FS", true, DUE_NOW, DUE_NOW,
		  true }, /* SENT is SENT */
		{ "R", "250", 0, 0, 0, "R", true, RETRY_1, NOTHING, true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome_result results[4];
		struct queue_entry entry = entry_with(rows[i].before);
		struct outcome outcome = outcome_of(OUTCOME_MAIL);
		int64_t before = entry.next_at;
		outcome.random = (uint32_t)i * 7919;
		outcome.results = results;
		outcome.nresults = results_of(rows[i].codes, results);
		entry.state = rows[i].held ? QUEUE_HELD : QUEUE_READY;
		entry.sender = rows[i].null_sender ? SPAN_NONE : entry.sender;
		entry.attempts = rows[i].attempts;
		bool changed = outcome_apply(&outcome, &entry, NOW);
		if (changed != rows[i].changed ||
		    strcmp(states_of(&entry), rows[i].after) != 0 ||
		    !is_when(rows[i].next, entry.next_at, before, &entry) ||
		    !is_when(rows[i].report, entry.report_at, 0, &entry) ||
		    entry.attempts != rows[i].attempts + rows[i].counted) {
			fail_msg("row %zu: %s changed %d next %+lld report %+lld attempts %u",
			         i, states_of(&entry), changed,
			         (long long)(entry.next_at - NOW),
			         (long long)(entry.report_at - NOW), entry.attempts);
		}
	}
}

/* What is to be done, and that a report goes out once, behind the attempt it waited for. */
static void test_duty(void **state)
{
	(void)state;
	static const struct {
		const char *states;
		bool held, null_sender, unreachable;
		uint32_t attempts;
		int64_t age, next_at, report_at, failed_at;
		enum outcome_duty duty;
	} rows[] = {
		{ "P", 0, 0, 0, 0, 0, NOW, 0, 0, OUTCOME_MAIL },
		{ "P", 1, 0, 0, 0, 0, NOW, 0, 0, OUTCOME_NOTHING },
		{ "SP", 0, 0, 0, 3, 0, NOW, 0, 0, OUTCOME_MAIL },
		{ "P", 0, 0, 0, 1, LIFETIME, NOW, 0, 0, OUTCOME_EXPIRE },
		{ "P", 0, 0, 0, 1, LIFETIME - 1, NOW, 0, 0, OUTCOME_MAIL },
		{ "P", 0, 0, 0, 0, LIFETIME, NOW, 0, 0,
		  OUTCOME_MAIL }, /* it had no chance yet */
		{ "P", 0, 0, 1, 0, LIFETIME, NOW, 0, 0,
		  OUTCOME_EXPIRE }, /* and will have none */
		{ "F", 0, 0, 0, 1, 0, NOW, NOW, NOW, OUTCOME_REPORT },
		{ "FP", 0, 0, 0, 1, 0, NOW, NOW + 1, NOW, OUTCOME_MAIL },
		{ "FP", 0, 0, 0, 1, 0, NOW, NOW, NOW, OUTCOME_REPORT },
		{ "FS", 0, 0, 0, 1, LIFETIME, NOW, NOW, NOW, OUTCOME_REPORT },
		{ "F", 0, 0, 0, 1, 0, NOW, NOW, NOW - LIFETIME, OUTCOME_GIVE_UP },
		{ "F", 0, 1, 0, 1, 0, NOW, NOW, NOW, OUTCOME_GIVE_UP },
		{ "F", 1, 0, 0, 1, 0, NOW, NOW, NOW,
		  OUTCOME_NOTHING }, /* no report for a suspended one */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct queue_entry entry = entry_with(rows[i].states);
		entry.state = rows[i].held ? QUEUE_HELD : QUEUE_READY;
		entry.sender = rows[i].null_sender ? SPAN_NONE : entry.sender;
		entry.attempts = rows[i].attempts;
		entry.accepted_at = NOW - rows[i].age;
		entry.next_at = rows[i].next_at;
		entry.report_at = rows[i].report_at;
		entry.failed_at = rows[i].failed_at;
		enum outcome_duty duty = outcome_duty(&entry, NOW, LIFETIME,
		                                      !rows[i].unreachable);
		if (duty != rows[i].duty) {
			fail_msg("row %zu: %d", i, duty);
		}
	}
}

static void test_report(void **state)
{
	(void)state;
	static const struct {
		const char *before;
		unsigned code;
		bool held;
		const char *after;
		enum when next, report;
	} rows[] = {
		{ "SF", 250, false, "SR", DUE_NOW, NOTHING },
		{ "SF", 550, false, "SR", DUE_NOW, NOTHING }, /* no double bounce */
		{ "SF", 451, false, "SF", RETRY_2, RETRY_2 },
		{ "SF", 0, false, "SF", RETRY_2, RETRY_2 },
		{ "FP", 250, false, "RP", RETRY_1,
		  NOTHING }, /* the PENDING one as if there was no report */
		{ "FP", 451, false, "FP", RETRY_1, RETRY_2 },
		{ "SF", 250, true, "SR", AS_BEFORE, DUE_NOW },
		{ "SF", 451, true, "SF", AS_BEFORE, DUE_NOW },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome_result result = { .code = rows[i].code };
		struct queue_entry entry = entry_with(rows[i].before);
		struct outcome outcome = outcome_of(OUTCOME_REPORT);
		int64_t before = entry.next_at;
		outcome.results = &result;
		outcome.nresults = 1;
		outcome.random = 3000;
		entry.state = rows[i].held ? QUEUE_HELD : QUEUE_READY;
		entry.attempts = 1;
		entry.deferred_at = NOW;
		entry.report_at = NOW;
		entry.failed_at = NOW;
		outcome_apply(&outcome, &entry, NOW);
		if (strchr(rows[i].after, 'P') || strchr(rows[i].after, 'F') || rows[i].held) {
			assert_true(is_when(rows[i].next, entry.next_at, before, &entry));
			assert_true(is_when(rows[i].report, entry.report_at, 0, &entry));
		}
		assert_string_equal(states_of(&entry), rows[i].after);
	}
}

/* 4.4.7 for those that waited; the last answer stays, else our reason. */
static void test_expire(void **state)
{
	(void)state;
	struct queue_entry entry = entry_with("PPSF");
	struct outcome outcome = outcome_of(OUTCOME_EXPIRE);
	recipients[0].code = 451;
	recipients[0].answer = SPAN_LIT("grey");
	recipients[3].status = SPAN_LIT("5.1.1");
	assert_true(outcome_apply(&outcome, &entry, NOW));
	assert_string_equal(states_of(&entry), "FFSF");
	assert_span(recipients[0].status, "4.4.7");
	assert_span(recipients[0].answer, "grey");
	assert_int_equal(recipients[0].code, 451);
	assert_span(recipients[1].status, "4.4.7");
	assert_span(recipients[1].answer, "smarthost down");
	assert_span(recipients[3].status, "5.1.1");
	assert_int_equal(entry.next_at, NOW);
	assert_int_equal(outcome_duty(&entry, NOW, LIFETIME, true), OUTCOME_REPORT);
	entry = entry_with("P");
	entry.state = QUEUE_HELD;
	assert_false(outcome_apply(&outcome, &entry, NOW));
	entry = entry_with("PS");
	entry.sender = SPAN_NONE;
	assert_true(outcome_apply(&outcome, &entry, NOW));
	assert_string_equal(states_of(&entry), "RS");
	entry = entry_with("SFF");
	outcome = outcome_of(OUTCOME_GIVE_UP);
	assert_true(outcome_apply(&outcome, &entry, NOW));
	assert_string_equal(states_of(&entry), "SRR");
}

/* One report a message, whatever the order in which its recipients fail. */
static void test_one_report(void **state)
{
	(void)state;
	static const char *const attempts[] = { "550 450 450", "- 550 450", "- - 450",
		                                "- - 550" };
	struct queue_entry entry = entry_with("PPP");
	struct outcome_result results[4];
	int64_t now = NOW;
	size_t reports = 0, mails = 0;
	char trace[64] = "";
	while (strpbrk(states_of(&entry), "PF")) {
		struct outcome outcome = outcome_of(outcome_duty(&entry, now, LIFETIME, true));
		outcome.results = results;
		if (outcome.duty == OUTCOME_MAIL) {
			outcome.nresults = results_of(attempts[mails++], results);
			strcat(trace, "m");
		} else {
			assert_int_equal(outcome.duty, OUTCOME_REPORT);
			outcome.nresults = results_of("250", results);
			reports++;
			strcat(trace, "r");
		}
		outcome_apply(&outcome, &entry, now + 5);
		assert_true(strlen(trace) < 10);
		now = entry.next_at > now ? entry.next_at : now;
	}
	/* The first two failures share a report behind the second attempt. */
	assert_string_equal(trace, "mmrmmr");
	assert_int_equal(reports, 2);
}

/* The job in a real store: what it writes, and that a result for one that is gone is fine. */
static void test_job(void **state)
{
	struct place *place = *state;
	struct outcome_result sent = { .recipient = 0,
		                       .code = 250,
		                       .answer = SPAN_LIT("queued") };
	struct outcome_result later = { .recipient = 0,
		                        .code = 451,
		                        .answer = SPAN_LIT("later") };
	struct outcome outcome = outcome_of(OUTCOME_MAIL);
	outcome.id = 7;
	outcome.results = &later;
	outcome.nresults = 1;
	outcome_prepare(&outcome);
	struct store_txn *txn = writing(place->store);
	struct queue_entry entry = entry_of(7, "alice@example.org", 100, 2000);
	put_entry(txn, &entry);
	outcome.job.run(&outcome.job, txn, 5000);
	assert_true(outcome.found && !outcome.ended && !outcome.held);
	char due[64];
	snprintf(due, sizeof due, "7@%lld", (long long)outcome.next_at);
	assert_due(txn, due);
	assert_in_range(outcome.next_at, 5000 + 27000, 5000 + 33000);
	outcome.results = &sent;
	outcome.job.run(&outcome.job, txn, 6000);
	assert_true(outcome.found && outcome.ended);
	assert_due(txn, "");
	struct arena arena;
	struct journal_row row;
	arena_init(&arena, 1 << 20);
	assert_int_equal(journal_next(txn, 0, 0, &arena, &row), STORE_OK);
	assert_int_equal(row.recipients[0].state, RECIPIENT_SENT);
	assert_span(row.recipients[0].answer, "queued");
	arena_done(&arena);
	outcome.job.run(&outcome.job, txn, 7000);
	assert_false(outcome.found);
	assert_int_equal(store_txn_result(txn), STORE_OK);
	commit(txn);
	assert_int_equal(count_rows(place->store, STORE_BODY), 0);
}

/* What answers make of a notice: nobody is told of a failure, so a refused one is tried again.
 */
static void test_notice(void **state)
{
	(void)state;
	static const struct {
		enum outcome_duty duty;
		const char *before;
		const char *codes;
		const char *after;
		enum when next;
	} rows[] = {
		{ OUTCOME_MAIL, "PP", "250 250", "SS", RETRY_1 },
		{ OUTCOME_MAIL, "PP", "250 451", "SP", RETRY_1 },
		{ OUTCOME_MAIL, "PP", "550 451", "PP", RETRY_1 },
		{ OUTCOME_MAIL, "PP", "550 250", "PS", RETRY_1 },
		{ OUTCOME_MAIL, "PP", "0 0", "PP", RETRY_1 },
		{ OUTCOME_EXPIRE, "SP", "", "SR", DUE_NOW },
		{ OUTCOME_GIVE_UP, "SPP", "", "SRR", DUE_NOW },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome_result results[4];
		struct queue_entry entry = entry_with(rows[i].before);
		struct outcome outcome = outcome_of(rows[i].duty);
		entry.kind = QUEUE_NOTICE_SUSPENDED;
		entry.account = SPAN_NONE;
		entry.sender = SPAN_NONE;
		entry.next_at = 0;
		outcome.results = results;
		outcome.nresults = results_of(rows[i].codes, results);
		assert_true(outcome_apply(&outcome, &entry, NOW));
		assert_string_equal(states_of(&entry), rows[i].after);
		assert_true(is_when(rows[i].next, entry.next_at, 0, &entry));
		assert_int_equal(entry.report_at, 0);
	}
}

/* By an incident only, READY only; all else is as it was, for the day of its release. */
static void test_hold(void **state)
{
	(void)state;
	static const struct {
		enum queue_state before;
		uint64_t by; /* before */
		uint64_t incident;
		enum queue_state after;
		uint64_t by_after;
	} rows[] = {
		{ QUEUE_READY, 0, 17, QUEUE_HELD, 17 },
		{ QUEUE_READY, 0, 0, QUEUE_READY, 0 },
		{ QUEUE_HELD, 0, 17, QUEUE_HELD, 0 }, /* by hand: not the reply's to release */
		{ QUEUE_HELD, 16, 17, QUEUE_HELD, 16 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct queue_entry entry = entry_with("SPF");
		struct outcome outcome = outcome_of(OUTCOME_HOLD);
		entry.state = rows[i].before;
		entry.incident = rows[i].by;
		outcome.incident = rows[i].incident;
		assert_int_equal(outcome_apply(&outcome, &entry, NOW),
		                 rows[i].after != rows[i].before);
		assert_int_equal(entry.state, rows[i].after);
		assert_int_equal(entry.incident, rows[i].by_after);
		assert_string_equal(states_of(&entry), "SPF");
		assert_int_equal(entry.attempts, 0);
		assert_int_equal(entry.next_at, NOW - 10);
	}
}

static void put_standing(struct store_txn *txn, const char *account, enum standing_state state,
                         uint64_t incident)
{
	struct standing standing = { .state = state, .incident = incident };
	struct buf packed = { .cap = 1000 };
	standing_pack(&standing, &packed);
	struct ledger ledger = { .standing = buf_span(&packed) };
	assert_int_equal(ledger_put(txn, span_str(account), &ledger), STORE_OK);
	buf_done(&packed);
}

static size_t count_journal(struct store_txn *txn)
{
	struct journal_row row = { .at = 0 };
	size_t n = 0;
	for (;;) {
		struct arena arena;
		arena_init(&arena, 1 << 20);
		bool found = journal_next(txn, row.at, row.id, &arena, &row) == STORE_OK;
		arena_done(&arena);
		if (!found) {
			return n;
		}
		n++;
	}
}

/* The job asks again: an unlock may have been faster. */
static void test_hold_job(void **state)
{
	struct place *place = *state;
	struct outcome outcome = outcome_of(OUTCOME_HOLD);
	struct queue_entry entry = entry_of(7, "alice@example.org", 100, 2000);
	outcome.id = 7;
	outcome_prepare(&outcome);
	struct store_txn *txn = writing(place->store);
	put_entry(txn, &entry);
	put_standing(txn, "alice@example.org", STANDING_GOOD, 16);
	outcome.job.run(&outcome.job, txn, 5000);
	assert_true(outcome.found && !outcome.held && !outcome.ended);
	assert_int_equal(outcome.next_at, 2000);
	assert_due(txn, "7@2000");
	put_standing(txn, "alice@example.org", STANDING_SUSPENDED, 17);
	outcome.job.run(&outcome.job, txn, 6000);
	assert_true(outcome.found && outcome.held && !outcome.ended);
	assert_due(txn, "");
	struct queue_entry after;
	assert_int_equal(state_of(txn, 7, &after), STORE_OK);
	assert_int_equal(after.state, QUEUE_HELD);
	assert_int_equal(after.incident, 17);
	outcome.job.run(&outcome.job, txn, 7000);
	assert_true(outcome.held);
	assert_int_equal(count_journal(txn), 0);
	commit(txn);
}

static int64_t notified_at(struct store_txn *txn, uint64_t number)
{
	struct arena arena;
	struct incident incident;
	arena_init(&arena, 1 << 20);
	assert_int_equal(incident_get(txn, number, &arena, &incident), STORE_OK);
	arena_done(&arena);
	return incident.notified_at;
}

/* Of several each was told that was in the mail. When the note has grown since it was made, the
 * answer counts for nothing: it is sent again. */
static void test_notice_of_several_job(void **state)
{
	static const struct {
		const char *codes;
		size_t note_len;
		int64_t notified_at;
		bool ended;
	} rows[] = {
		{ "451 250", 5, 0, false },
		{ "250 250", 2, 0, false },
		{ "250 250", 5, 5000, true },
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	for (uint64_t number = 17; number <= 19; number++) {
		struct incident incident = { .number = number, .account = SPAN_LIT("a") };
		assert_int_equal(incident_put(txn, &incident), STORE_OK);
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome_result results[4];
		struct queue_entry after, entry = entry_with("PP");
		struct outcome outcome = outcome_of(OUTCOME_MAIL);
		entry.id = outcome.id = i + 1;
		entry.kind = QUEUE_NOTICE_SEVERAL;
		entry.incident = 17;
		entry.note = SPAN_LIT("17 18");
		entry.account = entry.sender = SPAN_NONE;
		outcome.note_len = rows[i].note_len;
		outcome.results = results;
		outcome.nresults = results_of(rows[i].codes, results);
		outcome_prepare(&outcome);
		assert_int_equal(queue_put(txn, &entry), STORE_OK);
		outcome.job.run(&outcome.job, txn, 5000);
		assert_true(outcome.found);
		assert_int_equal(outcome.ended, rows[i].ended);
		assert_int_equal(notified_at(txn, 17), rows[i].notified_at);
		assert_int_equal(notified_at(txn, 18), rows[i].notified_at);
		if (!rows[i].ended) {
			assert_int_equal(state_of(txn, i + 1, &after), STORE_OK);
			assert_int_equal(after.attempts - entry.attempts, i == 0);
		}
	}
	assert_int_equal(notified_at(txn, 19), 0);
	commit(txn);
}

/* In the commit in which the last copy is taken, the incident's notice is delivered. */
static void test_notice_job(void **state)
{
	static const struct {
		enum queue_kind kind;
		const char *codes;
		int64_t notified_at;
	} rows[] = {
		{ QUEUE_NOTICE_SUSPENDED, "451 451", 0 },
		{ QUEUE_NOTICE_SUSPENDED, "550 554", 0 },
		{ QUEUE_NOTICE_ENDED, "250 250", 0 },
		{ QUEUE_NOTICE_IGNORED, "250 250", 0 },
		{ QUEUE_NOTICE_SUSPENDED, "451 250", 0 },
		{ QUEUE_NOTICE_SUSPENDED, "250 250", 5000 },
		{ QUEUE_NOTICE_SUSPENDED, "250 250", 5000 }, /* the first time counts */
	};
	struct place *place = *state;
	struct store_txn *txn = writing(place->store);
	struct incident incident = { .number = 17, .account = SPAN_LIT("alice@example.org") };
	assert_int_equal(incident_put(txn, &incident), STORE_OK);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome_result results[4];
		struct queue_entry entry = entry_with("PP");
		struct outcome outcome = outcome_of(OUTCOME_MAIL);
		entry.id = outcome.id = i + 1;
		entry.kind = rows[i].kind;
		entry.incident = 17;
		entry.account = entry.sender = SPAN_NONE;
		outcome.results = results;
		outcome.nresults = results_of(rows[i].codes, results);
		outcome_prepare(&outcome);
		assert_int_equal(queue_put(txn, &entry), STORE_OK);
		outcome.job.run(&outcome.job, txn, 5000 + (i == 6));
		assert_int_equal(notified_at(txn, 17), rows[i].notified_at);
	}
	assert_int_equal(count_journal(txn), 0);
	commit(txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_duty),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_expire),
		cmocka_unit_test(test_one_report),
		cmocka_unit_test(test_notice),
		cmocka_unit_test(test_hold),
		cmocka_unit_test_setup_teardown(test_job, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_hold_job, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_notice_job, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_notice_of_several_job, place_setup,
		                                place_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
