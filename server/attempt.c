#include "server/attempt.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/suspend.h"
#include "server/log.h"
#include "server/notice.h"

#define OWN_MAX       ((size_t)8 * 1024 * 1024)
#define GROUPS_MAX    20 /* lines by answer; then by reply code only */
#define ADDRESSES_MAX 10 /* in a line */
#define TOO_LATE      "It could not be delivered in time"

struct attempt *attempt_new(struct config *config, const struct secret_key *key,
                            struct schedule_item *item, uint32_t random)
{
	_Static_assert(offsetof(struct attempt, outcome) == 0, "the job is the attempt");
	struct attempt *attempt = calloc(1, sizeof *attempt);
	if (attempt) {
		attempt->item = *item;
		item->body = (struct buf){ .cap = item->body.cap };
		attempt->config = config_ref(config);
		attempt->key = key;
		attempt->outcome.id = attempt->item.id;
		attempt->outcome.random = random;
		attempt->outcome.rules = (struct outcome_rules){
			.retry = config->retry,
			.nretry = config->nretry,
			.lifetime = config->lifetime,
		};
		arena_init(&attempt->arena, 3 * QUEUE_ENTRY_MAX);
		buf_init(&attempt->own, OWN_MAX);
	}
	return attempt;
}

void attempt_free(struct attempt *attempt)
{
	if (attempt) {
		buf_done(&attempt->item.body);
		buf_done(&attempt->own);
		arena_done(&attempt->arena);
		config_unref(attempt->config);
		free(attempt);
	}
}

/* ---- what is to be sent ---- */

static enum attempt_load load_mail(struct attempt *attempt)
{
	const struct queue_entry *entry = &attempt->entry;
	struct smtp_client_mail *envelope = &attempt->mail.envelope;
	size_t n = entry->nrecipients;
	struct span *recipients = arena_alloc(&attempt->arena, n * sizeof *recipients);
	attempt->tried = arena_alloc(&attempt->arena, n * sizeof *attempt->tried);
	attempt->results = arena_alloc(&attempt->arena, n * sizeof *attempt->results);
	attempt->lessons = arena_alloc(&attempt->arena, n * sizeof *attempt->lessons);
	if (!recipients || !attempt->tried || !attempt->results || !attempt->lessons) {
		return ATTEMPT_FAILED;
	}
	for (size_t i = 0; i < n; i++) {
		if (entry->recipients[i].state == RECIPIENT_PENDING) {
			attempt->tried[envelope->nrecipients] = (uint32_t)i;
			recipients[envelope->nrecipients++] = entry->recipients[i].address;
		}
	}
	envelope->sender = entry->sender;
	envelope->recipients = recipients;
	envelope->size = entry->size;
	envelope->eight_bit = entry->eight_bit;
	if (attempt->item.body.len == entry->size) {
		attempt->mail.body = buf_span(&attempt->item.body);
	}
	attempt->mail.body_id = entry->id;
	return ATTEMPT_MAIL;
}

static bool has_high_bit(struct span bytes)
{
	unsigned char seen = 0;
	for (size_t i = 0; i < bytes.len; i++) {
		seen |= (unsigned char)bytes.ptr[i];
	}
	return seen > 127;
}

/* What was written by us is the text. */
static void send_own(struct attempt *attempt)
{
	struct span text = buf_span(&attempt->own);
	attempt->mail.body = text;
	attempt->mail.envelope.sender = SPAN_NONE;
	attempt->mail.envelope.size = text.len;
	attempt->mail.envelope.eight_bit = has_high_bit(text);
}

static enum attempt_load load_report(struct attempt *attempt, struct store_txn *txn,
                                     int64_t wall)
{
	struct span *to = arena_alloc(&attempt->arena, sizeof *to);
	attempt->results = arena_alloc(&attempt->arena, sizeof *attempt->results);
	enum store_result result = notice_report(attempt->config, &attempt->entry, txn, wall,
	                                         &attempt->own);
	if (result == STORE_NOT_FOUND) {
		return ATTEMPT_DAMAGED; /* rows of the text are missing */
	}
	if (result != STORE_OK || !to || !attempt->results) {
		return ATTEMPT_FAILED;
	}
	*to = notice_report_to(&attempt->entry);
	attempt->mail.envelope.recipients = to;
	attempt->mail.envelope.nrecipients = 1;
	send_own(attempt);
	return ATTEMPT_MAIL;
}

static enum attempt_load decide(struct attempt *attempt, const char *reason)
{
	if (!arena_copy(&attempt->arena, span_str(reason), &attempt->outcome.reason)) {
		return ATTEMPT_FAILED;
	}
	outcome_prepare(&attempt->outcome);
	return ATTEMPT_DECIDED;
}

static enum attempt_load load_notice(struct attempt *attempt, struct store_txn *txn,
                                     int64_t wall)
{
	enum attempt_load load;
	switch (notice_write(attempt->config, attempt->key, &attempt->entry, txn, wall,
	                     &attempt->own)) {
	case STORE_OK:
		load = load_mail(attempt);
		send_own(attempt);
		return load;
	case STORE_NOT_FOUND:
		attempt->outcome.duty = OUTCOME_GIVE_UP;
		return decide(attempt, "The incident is gone");
	case STORE_DAMAGED:
		return ATTEMPT_DAMAGED;
	default:
		return ATTEMPT_FAILED;
	}
}

/* Promise 8: the sweep that holds an account's mail may be behind, or a crash was before it. */
static enum attempt_load check_standing(const struct attempt *attempt, struct store_txn *txn,
                                        uint64_t *incident_out)
{
	*incident_out = 0;
	if (attempt->entry.kind != QUEUE_MAIL || attempt->entry.account.len == 0) {
		return ATTEMPT_MAIL;
	}
	switch (suspend_incident_of(txn, attempt->entry.account, incident_out)) {
	case STORE_OK:
	case STORE_NOT_FOUND:
		return ATTEMPT_MAIL;
	case STORE_DAMAGED:
		return ATTEMPT_BARRED;
	default:
		return ATTEMPT_FAILED;
	}
}

static bool is_due(const struct queue_entry *entry, const struct attempt_times *times)
{
	bool is_back = entry->deferred_at && entry->deferred_at <= times->back_at;
	return entry->next_at <= times->now || is_back;
}

static enum attempt_load read_entry(struct attempt *attempt, struct store_txn *txn)
{
	switch (queue_get(txn, attempt->item.id, &attempt->arena, &attempt->entry)) {
	case STORE_OK:
		return ATTEMPT_MAIL;
	case STORE_NOT_FOUND:
		return ATTEMPT_IDLE;
	case STORE_DAMAGED:
		return ATTEMPT_DAMAGED;
	default:
		return ATTEMPT_FAILED;
	}
}

/* What is to be done for an entry of an account that may send. */
static enum attempt_load load_duty(struct attempt *attempt, struct store_txn *txn,
                                   const struct attempt_times *times, const char *unreachable)
{
	enum outcome_duty duty = attempt->outcome.duty;
	if (duty == OUTCOME_EXPIRE || duty == OUTCOME_GIVE_UP) {
		return decide(attempt, unreachable ? unreachable : TOO_LATE);
	}
	if (unreachable || !is_due(&attempt->entry, times)) {
		return ATTEMPT_IDLE;
	}
	if (duty == OUTCOME_REPORT) {
		return load_report(attempt, txn, times->wall);
	}
	return attempt->entry.kind == QUEUE_MAIL ? load_mail(attempt)
	                                         : load_notice(attempt, txn, times->wall);
}

/*
 * Always from the store, never from the row that was handed over: a session's loop may be so
 * late with that, that the index has given the entry out and it has ended. It would be sent
 * again.
 */
enum attempt_load attempt_load(struct attempt *attempt, struct store_txn *txn,
                               const struct attempt_times *times, const char *unreachable)
{
	uint64_t incident;
	enum attempt_load load = read_entry(attempt, txn);
	if (load != ATTEMPT_MAIL) {
		return load;
	}
	attempt->outcome.note_len = attempt->entry.note.len;
	attempt->outcome.duty = outcome_duty(&attempt->entry, times->now,
	                                     attempt->config->lifetime, unreachable == NULL);
	if (attempt->outcome.duty == OUTCOME_NOTHING) {
		return ATTEMPT_IDLE;
	}
	load = check_standing(attempt, txn, &incident);
	if (load != ATTEMPT_MAIL) {
		return load;
	}
	if (incident) {
		attempt->outcome.duty = OUTCOME_HOLD;
		outcome_prepare(&attempt->outcome);
		return ATTEMPT_DECIDED;
	}
	return load_duty(attempt, txn, times, unreachable);
}

/* ---- what was answered ---- */

static struct span keep(struct attempt *attempt, const char *text)
{
	struct span copy = SPAN_NONE;
	arena_copy(&attempt->arena, span_str(text), &copy);
	return copy;
}

/* Said to nobody in particular: the link broke. RFC 3463: X.4.2, bad connection. */
static struct outcome_result no_answer(struct attempt *attempt)
{
	char text[sizeof attempt->mail.reason + 64];
	snprintf(text, sizeof text, "%s%s", attempt->mail.reason,
	         attempt->mail.maybe_sent ? " (behind the final dot: it may have arrived)"
	                                  : "");
	return (struct outcome_result){ .status = SPAN_LIT("4.4.2"),
		                        .answer = keep(attempt, text) };
}

/* A mail's, not those of a report. */
static void take_lessons(struct attempt *attempt)
{
	struct outcome *outcome = &attempt->outcome;
	outcome->lessons = attempt->lessons;
	outcome->nlessons = 0;
	outcome->config = attempt->config;
	outcome->key = attempt->key;
	const struct lesson_rules rules = { attempt->key, attempt->config->fold_details };
	for (size_t i = 0; attempt->tried && i < outcome->nresults; i++) {
		const struct outcome_result *result = &outcome->results[i];
		const struct lesson_answer answer = {
			attempt->entry.recipients[result->recipient].address, result->code,
			result->status
		};
		outcome->nlessons += lesson_of(&rules, &attempt->entry, &answer,
		                               &attempt->lessons[outcome->nlessons]);
	}
}

void attempt_take_results(struct attempt *attempt)
{
	const struct smtp_client_result *given = attempt->mail.results;
	size_t n = attempt->mail.envelope.nrecipients;
	struct outcome_result *results = attempt->results;
	struct outcome_result none = no_answer(attempt);
	const char *last = NULL; /* the same text for many is one pointer */
	for (size_t i = 0; i < n; i++) {
		if (!given || given[i].code == 0) {
			results[i] = none;
		} else if (i && given[i].text == last && given[i].code == results[i - 1].code) {
			results[i] = results[i - 1];
		} else {
			results[i].code = given[i].code;
			results[i].status = keep(attempt, given[i].enhanced);
			results[i].answer = keep(attempt, given[i].text);
		}
		last = given ? given[i].text : NULL;
		results[i].recipient = attempt->tried ? attempt->tried[i] : 0;
	}
	attempt->outcome.results = results;
	attempt->outcome.nresults = n;
	attempt->mail.results = NULL;
	attempt->smarthost = keep(attempt, attempt->mail.smarthost);
	take_lessons(attempt);
	outcome_prepare(&attempt->outcome);
}

/* ---- the log ---- */

/* Rows by the class of the reply code; anything but 2 and 5 is "later". */
enum verdict { TAKEN, LATER, NEVER };

static enum verdict verdict_of(unsigned code)
{
	return code / 100 == 2 ? TAKEN : code / 100 == 5 ? NEVER : LATER;
}

struct event {
	const char *name;
	enum log_level level;
};

static const struct event mail_events[] = {
	[TAKEN] = { "relayed", LOG_LEVEL_INFO },
	[LATER] = { "deferred", LOG_LEVEL_INFO },
	[NEVER] = { "failed", LOG_LEVEL_INFO },
};
static const struct event report_events[] = {
	[TAKEN] = { "report-sent", LOG_LEVEL_INFO },
	[LATER] = { "report-deferred", LOG_LEVEL_INFO },
	[NEVER] = { "report-refused", LOG_LEVEL_WARNING },
};
static const struct event notice_events[] = {
	[TAKEN] = { "notice-sent", LOG_LEVEL_INFO },
	[LATER] = { "notice-deferred", LOG_LEVEL_WARNING },
	[NEVER] = { "notice-refused", LOG_LEVEL_ERROR },
};

/* Without an answer of the smarthost, by duty; for mail and for notices. */
static const struct event decided_events[][2] = {
	[OUTCOME_EXPIRE] = { { "expired", LOG_LEVEL_WARNING },
	                     { "notice-expired", LOG_LEVEL_ERROR } },
	[OUTCOME_GIVE_UP] = { { "report-given-up", LOG_LEVEL_WARNING },
	                      { "notice-given-up", LOG_LEVEL_WARNING } },
};

static bool is_notice(const struct attempt *attempt)
{
	return attempt->entry.kind != QUEUE_MAIL;
}

static void begin_line(const struct attempt *attempt, struct log_line *line,
                       const struct event *event)
{
	log_begin(line, event->level, event->name);
	log_id(line, attempt->entry.id);
	if (is_notice(attempt)) {
		log_number(line, "incident", (int64_t)attempt->entry.incident);
	} else {
		log_word(line, "account", attempt->entry.account);
	}
}

/* A group: recipients with the same answer, or, with `by_code`, with the same code. */
static bool is_of_group(const struct outcome_result *a, const struct outcome_result *b,
                        bool by_code)
{
	return a->code == b->code && (by_code || span_eq(a->answer, b->answer));
}

/* Marks the group of result `first`, gives its size, and up to ten addresses. */
static size_t gather(const struct attempt *attempt, bool *logged, size_t first, bool by_code,
                     struct buf *to)
{
	const struct outcome *outcome = &attempt->outcome;
	size_t n = 0;
	for (size_t i = first; i < outcome->nresults; i++) {
		if (logged[i] ||
		    !is_of_group(&outcome->results[first], &outcome->results[i], by_code)) {
			continue;
		}
		logged[i] = true;
		if (n < ADDRESSES_MAX) {
			buf_put_str(to, n ? "," : "");
			buf_put(to, attempt->mail.envelope.recipients[i]);
		}
		n++;
	}
	return n;
}

static void log_group(const struct attempt *attempt, const struct outcome_result *result,
                      size_t n, struct span to, int64_t now)
{
	const struct outcome *outcome = &attempt->outcome;
	enum verdict verdict = verdict_of(result->code);
	const struct event *events = outcome->duty == OUTCOME_REPORT ? report_events
	                             : is_notice(attempt)            ? notice_events
	                                                             : mail_events;
	struct log_line line;
	begin_line(attempt, &line, &events[verdict]);
	log_word(&line, "smarthost", attempt->smarthost);
	log_number(&line, "nrcpt", (int64_t)n);
	log_number(&line, "delay_ms", now - attempt->entry.accepted_at);
	if (verdict == LATER && outcome->found && !outcome->held && !outcome->ended) {
		log_number(&line, "retry_ms", outcome->next_at - now);
	}
	log_number(&line, "code", (int64_t)result->code);
	log_word(&line, "status", result->status);
	log_text(&line, "to", to);
	log_text(&line, "reply", result->answer);
	log_end(&line);
}

static void log_results(const struct attempt *attempt, int64_t now)
{
	const struct outcome *outcome = &attempt->outcome;
	bool *logged = calloc(outcome->nresults, sizeof *logged);
	struct buf to;
	buf_init(&to, ADDRESSES_MAX * 512);
	size_t groups = 0;
	for (size_t i = 0; logged && i < outcome->nresults; i++) {
		if (!logged[i]) {
			size_t n = gather(attempt, logged, i, groups++ >= GROUPS_MAX, &to);
			log_group(attempt, &outcome->results[i], n, buf_span(&to), now);
			buf_clear(&to);
		}
	}
	buf_done(&to);
	free(logged);
}

static void log_decided(const struct attempt *attempt, int64_t now)
{
	const struct outcome *outcome = &attempt->outcome;
	struct log_line line;
	begin_line(attempt, &line, &decided_events[outcome->duty][is_notice(attempt)]);
	log_number(&line, "delay_ms", now - attempt->entry.accepted_at);
	log_text(&line, "reason", outcome->reason);
	log_end(&line);
}

/* Notices are ours: they are not counted as relayed mail. What is held for its account is not
 * said one by one: the suspension is an event. */
void attempt_log(const struct attempt *attempt, int64_t now, struct attempt_tally *tally)
{
	const struct outcome *outcome = &attempt->outcome;
	uint64_t *const counts[] = { &tally->relayed, &tally->deferred, &tally->failed };
	bool counted = outcome->duty == OUTCOME_MAIL && !is_notice(attempt);
	for (size_t i = 0; counted && i < outcome->nresults; i++) {
		++*counts[verdict_of(outcome->results[i].code)];
	}
	if (outcome->duty == OUTCOME_MAIL || outcome->duty == OUTCOME_REPORT) {
		log_results(attempt, now);
	} else if (outcome->duty != OUTCOME_HOLD) {
		log_decided(attempt, now);
	}
}
