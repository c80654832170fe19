#include "server/outcome.h"

#include <assert.h>

#include "auth/several.h"
#include "server/notice.h"
#include "server/schedule.h"
#include "store/incident.h"
#include "store/journal.h"
#include "store/killpoint.h"

#define ANSWER_MAX ((size_t)480) /* as the queue keeps it */

static size_t count(const struct queue_entry *entry, enum queue_recipient_state state)
{
	size_t n = 0;
	for (size_t i = 0; i < entry->nrecipients; i++) {
		n += entry->recipients[i].state == state;
	}
	return n;
}

static size_t move_all(struct queue_entry *entry, enum queue_recipient_state from,
                       enum queue_recipient_state to)
{
	size_t n = 0;
	for (size_t i = 0; i < entry->nrecipients; i++) {
		if (entry->recipients[i].state == from) {
			entry->recipients[i].state = to;
			n++;
		}
	}
	return n;
}

/* ---- what is due ---- */

static enum outcome_duty report_duty(const struct queue_entry *entry, int64_t now,
                                     int64_t lifetime)
{
	bool late = entry->failed_at && now - entry->failed_at >= lifetime;
	return late || notice_report_to(entry).len == 0 ? OUTCOME_GIVE_UP : OUTCOME_REPORT;
}

enum outcome_duty outcome_duty(const struct queue_entry *entry, int64_t now, int64_t lifetime,
                               bool reachable)
{
	if (entry->state != QUEUE_READY) {
		return OUTCOME_NOTHING;
	}
	bool pending = count(entry, RECIPIENT_PENDING) > 0;
	bool report_first = entry->report_at && entry->report_at <= entry->next_at;
	if (count(entry, RECIPIENT_FAILED) && (report_first || !pending)) {
		return report_duty(entry, now, lifetime);
	}
	if (!pending) {
		return OUTCOME_NOTHING;
	}
	bool late = now - entry->accepted_at >= lifetime;
	return late && (entry->attempts || !reachable) ? OUTCOME_EXPIRE : OUTCOME_MAIL;
}

/* ---- when it is due again ---- */

static int64_t retry_in(const struct outcome *outcome, uint32_t tries)
{
	return schedule_retry(outcome->rules.retry, outcome->rules.nretry, tries,
	                      outcome->random);
}

/*
 * Sets report_at and next_at. A failure beside PENDING recipients is reported behind their next
 * attempt (one report a message); where nobody is to be told it is done with. `again` is when
 * the PENDING ones are tried.
 */
static void settle(struct queue_entry *entry, int64_t now, int64_t again)
{
	if (notice_report_to(entry).len == 0) {
		move_all(entry, RECIPIENT_FAILED, RECIPIENT_REPORTED);
	}
	bool pending = count(entry, RECIPIENT_PENDING) > 0;
	if (count(entry, RECIPIENT_FAILED) == 0) {
		entry->failed_at = 0;
		entry->report_at = 0;
		entry->next_at = again;
		return;
	}
	entry->failed_at = entry->failed_at ? entry->failed_at : now;
	if (entry->report_at == 0) {
		entry->report_at = pending ? again + 1 : now;
	}
	entry->next_at = pending && again < entry->report_at ? again : entry->report_at;
}

/* ---- a duty's result, a function each ---- */

static void note(struct queue_recipient *recipient, const struct outcome_result *result)
{
	recipient->code = result->code;
	recipient->status = result->status;
	recipient->answer = span_first(result->answer, ANSWER_MAX);
}

/* True when it changed the recipient's state. A notice is told to nobody else: where it is
 * refused it is tried again, for its lifetime (TESTS UN13). */
static bool decide(struct queue_entry *entry, const struct outcome_result *result)
{
	struct queue_recipient *recipient = &entry->recipients[result->recipient];
	bool open = recipient->state == RECIPIENT_PENDING ||
	            recipient->state == RECIPIENT_FAILED;
	unsigned class = result->code / 100;
	bool refused = class == 5 && entry->kind == QUEUE_MAIL;
	if (!open || (class != 2 && entry->state != QUEUE_READY)) {
		return false;
	}
	note(recipient, result);
	if (class == 2) {
		recipient->state = RECIPIENT_SENT;
	} else if (refused) {
		recipient->state = RECIPIENT_FAILED;
		recipient->status = result->status.len ? result->status : SPAN_LIT("5.0.0");
	}
	return class == 2 || refused;
}

static bool apply_mail(const struct outcome *outcome, struct queue_entry *entry, int64_t now)
{
	bool changed = false;
	for (size_t i = 0; i < outcome->nresults; i++) {
		assert(outcome->results[i].recipient < entry->nrecipients);
		changed |= decide(entry, &outcome->results[i]);
	}
	if (entry->state != QUEUE_READY) {
		return changed;
	}
	int64_t again = now + retry_in(outcome, entry->attempts);
	entry->attempts++;
	if (count(entry, RECIPIENT_PENDING)) {
		entry->deferred_at = now;
	} else {
		entry->report_at = 0; /* nothing to wait for: settle says now */
	}
	settle(entry, now, again);
	return true;
}

/* The PENDING ones are due when they were, up to the jitter. */
static int64_t pending_again(const struct outcome *outcome, const struct queue_entry *entry,
                             int64_t now)
{
	uint32_t tries = entry->attempts ? entry->attempts - 1 : 0;
	int64_t again = entry->deferred_at + retry_in(outcome, tries);
	return again > now ? again : now;
}

static bool apply_report(const struct outcome *outcome, struct queue_entry *entry, int64_t now)
{
	assert(outcome->nresults == 1);
	unsigned class = outcome->results[0].code / 100;
	bool ready = entry->state == QUEUE_READY;
	if (class != 2 && !ready) {
		return false;
	}
	bool pending = count(entry, RECIPIENT_PENDING) > 0;
	if (class == 2 ||
	    class == 5) { /* a refused report is told to nobody: no double bounce */
		move_all(entry, RECIPIENT_FAILED, RECIPIENT_REPORTED);
	} else {
		entry->report_at = now + retry_in(outcome, entry->attempts);
		entry->attempts += !pending;
		entry->deferred_at = pending ? entry->deferred_at : now;
	}
	if (ready) {
		settle(entry, now, pending_again(outcome, entry, now));
	}
	return true;
}

/* RFC 3463: X.4.7, delivery time expired. The last answer stays as the diagnosis. */
static bool apply_expire(const struct outcome *outcome, struct queue_entry *entry, int64_t now)
{
	if (entry->state != QUEUE_READY) {
		return false;
	}
	for (size_t i = 0; i < entry->nrecipients; i++) {
		struct queue_recipient *recipient = &entry->recipients[i];
		if (recipient->state == RECIPIENT_PENDING) {
			recipient->state = RECIPIENT_FAILED;
			recipient->status = SPAN_LIT("4.4.7");
			if (recipient->answer.len == 0) {
				recipient->answer = span_first(outcome->reason, ANSWER_MAX);
			}
		}
	}
	entry->report_at = 0;
	settle(entry, now, now);
	return true;
}

static bool apply_give_up(const struct outcome *outcome, struct queue_entry *entry, int64_t now)
{
	if (entry->state != QUEUE_READY) {
		return false;
	}
	move_all(entry, RECIPIENT_FAILED, RECIPIENT_REPORTED);
	if (entry->kind != QUEUE_MAIL) {
		move_all(entry, RECIPIENT_PENDING, RECIPIENT_REPORTED);
	}
	settle(entry, now, pending_again(outcome, entry, now));
	return true;
}

static bool apply_hold(const struct outcome *outcome, struct queue_entry *entry, int64_t now)
{
	(void)now;
	if (entry->state != QUEUE_READY || !outcome->incident) {
		return false;
	}
	entry->state = QUEUE_HELD;
	entry->incident = outcome->incident;
	return true;
}

bool outcome_apply(const struct outcome *outcome, struct queue_entry *entry, int64_t now)
{
	static bool (*const apply[])(const struct outcome *, struct queue_entry *, int64_t) = {
		[OUTCOME_MAIL] = apply_mail,     [OUTCOME_REPORT] = apply_report,
		[OUTCOME_EXPIRE] = apply_expire, [OUTCOME_GIVE_UP] = apply_give_up,
		[OUTCOME_HOLD] = apply_hold,
	};
	assert(outcome->duty < COUNT(apply) && apply[outcome->duty]);
	return apply[outcome->duty](outcome, entry, now);
}

/* ---- the job ---- */

static void mark_incident(struct store_txn *txn, uint64_t number, struct arena *arena,
                          int64_t now)
{
	struct incident incident;
	if (incident_get(txn, number, arena, &incident) == STORE_OK && !incident.notified_at) {
		incident.notified_at = now;
		incident_put(txn, &incident);
	}
}

/* What the incident's watch waits for: when every postmaster has it, its notice is delivered.
 */
static void mark_notified(const struct outcome *outcome, struct store_txn *txn,
                          const struct queue_entry *entry, struct arena *arena, int64_t now)
{
	struct span note = entry->note;
	uint64_t number;
	if (outcome->duty != OUTCOME_MAIL ||
	    count(entry, RECIPIENT_SENT) != entry->nrecipients) {
		return;
	}
	if (entry->kind == QUEUE_NOTICE_SUSPENDED) {
		mark_incident(txn, entry->incident, arena, now);
	}
	while (entry->kind == QUEUE_NOTICE_SEVERAL && several_next(&note, &number)) {
		mark_incident(txn, number, arena, now);
	}
}

/* A suspension that was at the writer when the notice's time came, and the mail was made, is
 * not in that mail: it is sent once more, as if it had not been sent. */
static bool has_grown(const struct outcome *outcome, const struct queue_entry *entry)
{
	return entry->kind == QUEUE_NOTICE_SEVERAL && entry->note.len != outcome->note_len;
}

/* Is it still suspended? It may have been unlocked while this waited for the writer. */
static void look_at_standing(struct outcome *outcome, struct store_txn *txn,
                             const struct queue_entry *entry)
{
	outcome->incident = 0;
	if (outcome->duty == OUTCOME_HOLD) {
		suspend_incident_of(txn, entry->account, &outcome->incident);
	}
}

/* The journal tells of each recipient's fate, which a hold does not change. */
static void store_entry(struct outcome *outcome, struct store_txn *txn,
                        const struct queue_entry *entry)
{
	KILLPOINT("done-before");
	bool stored = queue_update(txn, entry, &outcome->ended) == STORE_OK;
	if (stored && entry->kind == QUEUE_MAIL && outcome->duty != OUTCOME_HOLD) {
		struct journal_row row = journal_of_entry(entry);
		journal_put(txn, &row);
	}
}

static void learn(struct outcome *outcome, struct store_txn *txn,
                  const struct queue_entry *entry, int64_t now)
{
	if (outcome->nlessons) {
		outcome->learned = lesson_learn(txn, outcome->config, outcome->key, entry,
		                                outcome->lessons, outcome->nlessons, now,
		                                &outcome->guard);
	}
}

static void run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct outcome *outcome = (struct outcome *)job;
	struct queue_entry entry;
	struct arena arena;
	arena_init(&arena, QUEUE_ENTRY_MAX);
	/* A batch that came to nothing (FULL) is run again. */
	outcome->ended = false;
	outcome->held = false;
	outcome->learned = GATE_ALLOW;
	outcome->guard = (struct gate_result){ .would = GATE_WOULD_PASS };
	outcome->found = queue_get(txn, outcome->id, &arena, &entry) == STORE_OK;
	if (outcome->found && has_grown(outcome, &entry)) {
		outcome->next_at = entry.next_at;
	} else if (outcome->found) {
		look_at_standing(outcome, txn, &entry);
		if (outcome_apply(outcome, &entry, now)) {
			store_entry(outcome, txn, &entry);
			learn(outcome, txn, &entry, now);
		}
		mark_notified(outcome, txn, &entry, &arena, now);
		outcome->held = entry.state == QUEUE_HELD;
		outcome->next_at = entry.next_at;
	}
	arena_done(&arena);
}

void outcome_prepare(struct outcome *outcome)
{
	_Static_assert(offsetof(struct outcome, job) == 0, "the job is the outcome");
	outcome->job.run = run;
	outcome->job.bytes = 1024 +
	                     outcome->nresults * (sizeof(struct outcome_result) + ANSWER_MAX);
}
