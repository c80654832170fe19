#include "auth/suspend.h"

#include "auth/familiar.h"
#include "auth/gate.h"
#include "auth/several.h"
#include "store/account.h"
#include "store/journal.h"
#include "store/killpoint.h"

#include <assert.h>

#define PART_MAX     4096 /* of a ledger row, and a bill */
#define INCIDENT_MAX ((size_t)64 * 1024)
#define TEXT_MAX     ((size_t)2048)

/* ---- the ledger ---- */

static enum store_result read_ledger(struct store_txn *txn, struct span account,
                                     struct ledger *ledger, struct standing *standing)
{
	enum store_result result = ledger_get(txn, account, ledger);
	if (result == STORE_OK && !standing_unpack(ledger->standing, standing)) {
		result = STORE_DAMAGED;
	}
	/* A caller that writes must not go on with half of it. */
	return result == STORE_OK || !store_txn_writes(txn) ? result
	                                                    : store_txn_fail(txn, result);
}

/* With another standing; all else is as in `ledger`. */
static enum store_result put_ledger(struct store_txn *txn, struct span account,
                                    const struct ledger *ledger,
                                    const struct standing *standing)
{
	struct buf packed = { .cap = PART_MAX };
	struct ledger row = *ledger;
	standing_pack(standing, &packed);
	row.standing = buf_span(&packed);
	/* An empty row would be GOOD. */
	enum store_result result = packed.failed ? store_txn_fail(txn, STORE_FAILED)
	                                         : ledger_put(txn, account, &row);
	buf_done(&packed);
	return result;
}

enum store_result suspend_incident_of(struct store_txn *txn, struct span account,
                                      uint64_t *incident_out)
{
	struct ledger ledger;
	struct standing standing;
	enum store_result result = read_ledger(txn, account, &ledger, &standing);
	if (result == STORE_OK) {
		bool suspended = standing.state == STANDING_SUSPENDED;
		*incident_out = suspended ? standing.incident : 0;
	}
	return result;
}

/* ---- notice and journal ---- */

/* To those postmasters of whom `may` says yes; NULL: all of them. */
static enum store_result put_notice(struct store_txn *txn, const struct suspend_rules *rules,
                                    struct queue_entry *entry, const bool *may)
{
	struct arena arena;
	arena_init(&arena, QUEUE_ENTRY_MAX);
	size_t n = 0;
	struct queue_recipient *to = arena_alloc(&arena, rules->npostmaster * sizeof *to);
	for (size_t i = 0; to && i < rules->npostmaster; i++) {
		to[n].address = rules->postmaster[i];
		n += !may || may[i];
	}
	entry->id = store_next_id(store_txn_store(txn));
	entry->state = QUEUE_READY;
	entry->recipients = to;
	entry->nrecipients = n;
	enum store_result result = !to && rules->npostmaster ? store_txn_fail(txn, STORE_FAILED)
	                           : n == 0                  ? store_txn_result(txn)
	                                                     : queue_put(txn, entry);
	arena_done(&arena);
	return result;
}

enum store_result suspend_put_notice(struct store_txn *txn, const struct suspend_rules *rules,
                                     enum queue_kind kind, uint64_t incident, struct span note,
                                     int64_t now, int64_t wall)
{
	struct queue_entry entry = {
		.kind = kind,
		.incident = incident,
		.note = note,
		.accepted_at = now,
		.accepted_wall = wall,
	};
	return put_notice(txn, rules, &entry, NULL); /* at 0, before all other mail */
}

enum store_result suspend_put_entry(struct store_txn *txn, const struct suspend_rules *rules,
                                    struct queue_entry *entry)
{
	return put_notice(txn, rules, entry, NULL);
}

static bool is_member(const struct suspend_rules *rules, struct span account)
{
	size_t i = 0;
	while (i < rules->nmembers && !gate_pattern_matches(rules->member[i], account)) {
		i++;
	}
	return i < rules->nmembers;
}

#define POSTMASTERS_MAX 64

enum store_result suspend_put_token_notice(struct store_txn *txn,
                                           const struct suspend_rules *rules,
                                           enum queue_kind kind,
                                           const struct incident *incident, int64_t now,
                                           int64_t wall)
{
	bool may[POSTMASTERS_MAX], may_not[POSTMASTERS_MAX];
	bool member = is_member(rules, incident->account);
	bool all = rules->npostmaster > 0, shared = false;
	assert(rules->npostmaster <= POSTMASTERS_MAX);
	for (size_t i = 0; i < rules->npostmaster; i++) {
		may_not[i] = member || span_eq_nocase(rules->postmaster[i], incident->account);
		may[i] = !may_not[i];
		all = all && may[i];
	}
	if (kind == QUEUE_NOTICE_SUSPENDED && all) {
		several_take(txn, rules, incident, now, &shared); /* the transaction knows */
	}
	if (shared) {
		return store_txn_result(txn);
	}
	struct queue_entry entry = {
		.kind = kind,
		.incident = incident->number,
		.accepted_at = now,
		.accepted_wall = wall,
	};
	put_notice(txn, rules, &entry, may);
	entry.note = SUSPEND_NO_TOKEN;
	return put_notice(txn, rules, &entry, may_not);
}

static enum store_result put_journal(struct store_txn *txn, const struct act *act,
                                     struct span text)
{
	const struct journal_row row = {
		.kind = JOURNAL_STANDING,
		.at = act->now,
		.wall = act->wall,
		.id = store_next_id(store_txn_store(txn)),
		.account = act->account,
		.client = act->client,
		.text = text,
	};
	return journal_put(txn, &row);
}

/* ---- the queue ---- */

/* One step of what `incident` has to do with the queue; the row is the caller's to put. */
static enum store_result sweep_step(struct store_txn *txn, struct incident *incident,
                                    size_t most, int64_t now)
{
	static const enum queue_sweep sweeps[] = {
		[INCIDENT_HOLD] = QUEUE_SWEEP_HOLD,
		[INCIDENT_RELEASE] = QUEUE_SWEEP_RELEASE,
		[INCIDENT_DISCARD] = QUEUE_SWEEP_DISCARD,
	};
	struct queue_sweeping sweeping = {
		.account = incident->account,
		.what = sweeps[incident->sweep],
		.incident = incident->number,
		.after = incident->swept_to,
	};
	bool more = false;
	enum store_result result = queue_sweep(txn, &sweeping, most, now, &more);
	if (result != STORE_OK) {
		return store_txn_fail(txn, result);
	}
	incident->swept_to = more ? sweeping.after : 0;
	if (!more) {
		incident->sweep = INCIDENT_SWEPT;
	}
	return STORE_OK;
}

static enum store_result sweep_begin(struct store_txn *txn, struct incident *incident,
                                     enum incident_sweep sweep, int64_t now)
{
	incident->sweep = sweep;
	incident->swept_to = 0;
	return sweep_step(txn, incident, SUSPEND_HOLD_NOW, now);
}

enum store_result suspend_sweep(struct store_txn *txn, uint64_t number, size_t most,
                                int64_t now, bool *more_out)
{
	struct arena arena;
	struct incident incident;
	arena_init(&arena, INCIDENT_MAX);
	enum store_result result = incident_get(txn, number, &arena, &incident);
	bool more = result == STORE_OK && incident.sweep != INCIDENT_SWEPT;
	if (more) {
		result = sweep_step(txn, &incident, most, now);
		KILLPOINT("sweep");
		more = incident.sweep != INCIDENT_SWEPT;
	}
	if (result == STORE_OK) {
		result = incident_put(txn, &incident);
	}
	if (result == STORE_OK) {
		*more_out = more;
	}
	arena_done(&arena);
	return result;
}

/* ---- the beginning ---- */

/* What a suspension is made of, while it is made. */
struct opening {
	const struct act *act;
	struct ledger ledger;
	struct standing standing;
	struct incident incident;
	struct bill bill;
	struct buf reasons; /* the bill packed */
	struct buf facts;
};

/* By hand nothing was noted by this very act: the ledger's facts are those of the bill. */
static bool read_bill(struct opening *o, const struct bill *bill)
{
	o->bill = *bill;
	if (!bill->limit.window && !facts_unpack(o->ledger.facts, &o->bill.facts)) {
		return false;
	}
	bill_pack(&o->bill, &o->reasons);
	facts_pack(&o->bill.facts, &o->facts);
	return !o->reasons.failed && !o->facts.failed;
}

static enum store_result write_opening(struct store_txn *txn, const struct suspend_rules *rules,
                                       struct opening *o)
{
	const struct act *act = o->act;
	struct incident *incident = &o->incident;
	struct buf text = { .cap = TEXT_MAX };
	KILLPOINT("suspend-before");
	o->ledger.facts = buf_span(&o->facts);
	put_ledger(txn, act->account, &o->ledger, &o->standing);
	familiar_unlearn(txn, act->account, bill_is_strange(&o->bill), act->now);
	sweep_begin(txn, incident, INCIDENT_HOLD, act->now);
	incident_put(txn, incident);
	suspend_put_token_notice(txn, rules, QUEUE_NOTICE_SUSPENDED, incident, act->now,
	                         act->wall);
	buf_printf(&text, "suspended, case %llu, by %.*s", (unsigned long long)incident->number,
	           SPAN_ARG(incident->cause));
	if (o->bill.limit.window) {
		buf_put_str(&text, ": ");
		bill_write(&o->bill, &text);
	}
	put_journal(txn, act, buf_span(&text));
	KILLPOINT("suspend-after");
	buf_done(&text);
	return store_txn_result(txn); /* it is sticky: one look at the end */
}

static enum store_result open_incident(struct store_txn *txn, const struct suspend_rules *rules,
                                       struct opening *o, struct span cause)
{
	const struct act *act = o->act;
	uint64_t number;
	enum store_result result = incident_next_number(txn, &number);
	if (result != STORE_OK) {
		return store_txn_fail(txn, result);
	}
	o->incident = (struct incident){
		.number = number,
		.account = act->account,
		.state = INCIDENT_OPEN,
		.opened_at = act->now,
		.opened_wall = act->wall,
		.cause = cause,
		.reasons = buf_span(&o->reasons),
		.reply_off = standing_note_trip(&o->standing, number, act->now),
	};
	return write_opening(txn, rules, o);
}

/* Somebody was first. */
static struct suspend_result present(struct store_txn *txn, uint64_t number)
{
	struct arena arena;
	struct incident incident = { .number = number };
	arena_init(&arena, INCIDENT_MAX);
	incident_get(txn, number, &arena, &incident);
	arena_done(&arena);
	return (struct suspend_result){ number, incident.sweep == INCIDENT_SWEPT };
}

enum store_result suspend_open(struct store_txn *txn, const struct suspend_rules *rules,
                               const struct act *act, struct span cause,
                               const struct bill *bill, struct suspend_result *result_out)
{
	struct opening o = { .act = act,
		             .reasons = { .cap = PART_MAX },
		             .facts = { .cap = PART_MAX } };
	struct account account;
	enum store_result result = account_get(txn, act->account, &account);
	if (result == STORE_OK) {
		result = read_ledger(txn, act->account, &o.ledger, &o.standing);
	}
	if (result != STORE_OK) {
		return result;
	}
	if (!standing_effect(o.standing.state, STANDING_TRIP).legal) {
		*result_out = present(txn, o.standing.incident);
		return store_txn_result(txn);
	}
	result = read_bill(&o, bill) ? open_incident(txn, rules, &o, cause)
	                             : store_txn_fail(txn, STORE_DAMAGED);
	if (result == STORE_OK) {
		*result_out = (struct suspend_result){ o.incident.number,
			                               o.incident.sweep == INCIDENT_SWEPT };
	}
	buf_done(&o.reasons);
	buf_done(&o.facts);
	return result;
}

/* ---- the end ---- */

/* What an end is made of. */
struct ending {
	const struct suspend_end *end;
	struct ledger ledger;
	struct standing standing;
	struct incident incident;
};

/*
 * Mail that is to stay, or to go, may not slip out because the account is good again before all
 * of it was held: the rest is held here, in one go. That is rare: the answer came within
 * seconds, or we were down. What is to be sent needs no holding.
 */
static void hold_rest(struct store_txn *txn, struct incident *incident, int64_t now)
{
	while (incident->sweep == INCIDENT_HOLD && store_txn_result(txn) == STORE_OK) {
		sweep_step(txn, incident, SUSPEND_HOLD_NOW, now);
	}
}

/* What SPAM has begun to delete is not sent because UNLOCK came soon after. */
static void sweep_end(struct store_txn *txn, struct ending *e,
                      const struct standing_effect *effect)
{
	struct incident *incident = &e->incident;
	if (e->end->event == STANDING_NOTHING || incident->sweep == INCIDENT_DISCARD) {
		return;
	}
	if (effect->sweep != INCIDENT_RELEASE) {
		hold_rest(txn, incident, e->end->now);
	}
	if (effect->sweep != INCIDENT_SWEPT) {
		sweep_begin(txn, incident, effect->sweep, e->end->now);
	}
}

static void close_incident(struct incident *incident, const struct suspend_end *end)
{
	incident->state = INCIDENT_ENDED;
	incident->ended_at = end->now;
	incident->ended_wall = end->wall;
	incident->ended_by = end->by;
	incident->ended_how = end->how;
	incident->untold = true;
}

static void confirm(struct store_txn *txn, const struct suspend_rules *rules,
                    const struct suspend_end *end)
{
	const struct act act = { .account = end->account, .now = end->now, .wall = end->wall };
	struct buf text = { .cap = TEXT_MAX };
	if (end->note.len) {
		suspend_put_notice(txn, rules, QUEUE_NOTICE_ENDED, end->incident, end->note,
		                   end->now, end->wall);
	}
	buf_printf(&text, "%.*s, case %llu, by %.*s", SPAN_ARG(end->how),
	           (unsigned long long)end->incident, SPAN_ARG(end->by));
	put_journal(txn, &act, buf_span(&text));
	buf_done(&text);
}

static enum store_result write_end(struct store_txn *txn, const struct suspend_rules *rules,
                                   struct ending *e)
{
	const struct suspend_end *end = e->end;
	struct standing_effect effect = standing_effect(e->standing.state, end->event);
	assert(effect.legal);
	KILLPOINT("unlock-before");
	e->standing.state = effect.state;
	if (effect.refill) {
		ledger_refill(&e->ledger);
	}
	put_ledger(txn, end->account, &e->ledger, &e->standing);
	sweep_end(txn, e, &effect);
	if (effect.ends) {
		close_incident(&e->incident, end);
	}
	incident_put(txn, &e->incident);
	confirm(txn, rules, end);
	KILLPOINT("unlock-after");
	return store_txn_result(txn);
}

/* An incident that is lost, or can not be read, keeps nobody locked out. */
static enum store_result read_incident(struct store_txn *txn, struct arena *arena,
                                       struct ending *e)
{
	const struct suspend_end *end = e->end;
	enum store_result result = incident_get(txn, end->incident, arena, &e->incident);
	if ((result == STORE_NOT_FOUND || result == STORE_DAMAGED) &&
	    store_txn_result(txn) == STORE_OK) {
		e->incident = (struct incident){ .number = end->incident,
			                         .account = end->account,
			                         .opened_at = end->now,
			                         .opened_wall = end->wall };
		result = STORE_OK;
	}
	return result;
}

enum store_result suspend_apply(struct store_txn *txn, const struct suspend_rules *rules,
                                const struct suspend_end *end,
                                struct suspend_result *result_out)
{
	struct ending e = { .end = end };
	struct arena arena;
	enum store_result result = read_ledger(txn, end->account, &e.ledger, &e.standing);
	if (result != STORE_OK) {
		return result;
	}
	if (e.standing.state != STANDING_SUSPENDED || e.standing.incident != end->incident) {
		return STORE_NOT_FOUND;
	}
	arena_init(&arena, INCIDENT_MAX);
	result = read_incident(txn, &arena, &e);
	if (result == STORE_OK) {
		result = write_end(txn, rules, &e);
	}
	if (result == STORE_OK) {
		*result_out = (struct suspend_result){ end->incident,
			                               e.incident.sweep == INCIDENT_SWEPT };
	}
	arena_done(&arena);
	return result;
}

/* ---- all of an account ---- */

/* The account's next one behind `incident`. One that can not be read is passed over: not the
 * ledger says which they are, which may be unreadable, too. NOT_FOUND: that was all. */
static enum store_result next_of(struct store_txn *txn, struct span account,
                                 struct arena *arena, struct incident *incident)
{
	for (;;) {
		arena_done(arena);
		arena_init(arena, INCIDENT_MAX);
		enum store_result result = incident_next(txn, incident->number, arena,
		                                         incident);
		bool other = result == STORE_OK && !span_eq(incident->account, account);
		if (!other && (result != STORE_DAMAGED || store_txn_result(txn) != STORE_OK)) {
			return result;
		}
	}
}

/* Nobody can be unlocked any more; what is left of its mail must not slip out all the same. */
static void end_with_account(struct store_txn *txn, const struct suspend_rules *rules,
                             const struct suspend_end *end, struct incident *incident)
{
	struct suspend_end present = *end;
	present.incident = incident->number;
	hold_rest(txn, incident, end->now);
	close_incident(incident, &present);
	incident_put(txn, incident);
	confirm(txn, rules, &present);
}

enum store_result suspend_delete_account(struct store_txn *txn,
                                         const struct suspend_rules *rules,
                                         const struct suspend_end *end)
{
	struct incident incident = { .number = 0 };
	struct arena arena;
	enum store_result result = account_delete(txn, end->account);
	if (result != STORE_OK) {
		return result;
	}
	arena_init(&arena, INCIDENT_MAX);
	while (next_of(txn, end->account, &arena, &incident) == STORE_OK) {
		if (incident.state == INCIDENT_OPEN) {
			end_with_account(txn, rules, end, &incident);
		}
	}
	arena_done(&arena);
	return store_txn_result(txn);
}

enum store_result suspend_recall(struct store_txn *txn, struct span account,
                                 struct standing *standing_out)
{
	struct standing standing = { .state = STANDING_GOOD };
	struct incident incident = { .number = 0 };
	struct arena arena;
	enum store_result result;
	arena_init(&arena, INCIDENT_MAX);
	while ((result = next_of(txn, account, &arena, &incident)) == STORE_OK) {
		bool open = incident.state == INCIDENT_OPEN;
		standing.state = open ? STANDING_SUSPENDED : STANDING_GOOD;
		standing.incident = incident.number;
	}
	arena_done(&arena);
	if (result == STORE_NOT_FOUND) {
		*standing_out = standing;
		result = STORE_OK;
	}
	return result;
}
