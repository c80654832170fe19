#include "auth/several.h"

#include "store/account.h"
#include "store/keys.h"

#include <stdio.h>

#define NOTE_MAX ((size_t)(SEVERAL_MAX * 21)) /* a number of 64 bits and a blank, each */
#define ROW_MAX  4096

/* ---- the note: "17 18 19" ---- */

bool several_next(struct span *note, uint64_t *incident_out)
{
	struct span word = span_first(*note, span_find(*note, ' '));
	uint64_t number = 0;
	if (word.len == 0) {
		return false;
	}
	for (size_t i = 0; i < word.len; i++) {
		number = number * 10 + (uint64_t)(word.ptr[i] - '0');
	}
	*note = span_from(*note, word.len + 1);
	*incident_out = number;
	return true;
}

static size_t count_note(struct span note)
{
	uint64_t number;
	size_t n = 0;
	while (several_next(&note, &number)) {
		n++;
	}
	return n;
}

/* ---- the site's row ---- */

struct row {
	struct budget budget; /* of the notices that an incident has to itself */
	uint64_t entry;       /* the last one for several; 0: none yet */
};

/* One that makes no sense begins anew: nobody stays unsuspended for the sake of a notice. */
static enum store_result read_row(struct store_txn *txn, const struct budget_limits *limits,
                                  int64_t now, struct row *row)
{
	struct ledger ledger;
	enum store_result result = ledger_get(txn, KEY_SITE_NOTICES, &ledger);
	if (result != STORE_OK) {
		return result;
	}
	struct unpacker in = unpack_from(ledger.facts);
	row->entry = unpack_u64(&in);
	if (in.bad || !budget_unpack(ledger.budget, &row->budget)) {
		*row = (struct row){ .entry = 0 };
	}
	budget_fit(&row->budget, limits, now);
	return STORE_OK;
}

static enum store_result put_row(struct store_txn *txn, const struct row *row)
{
	struct buf rings = { .cap = ROW_MAX }, facts = { .cap = ROW_MAX };
	budget_pack(&row->budget, &rings);
	pack_u64(&facts, row->entry);
	const struct ledger ledger = { .budget = buf_span(&rings), .facts = buf_span(&facts) };
	enum store_result result = rings.failed || facts.failed
	                               ? store_txn_fail(txn, STORE_FAILED)
	                               : ledger_put(txn, KEY_SITE_NOTICES, &ledger);
	buf_done(&rings);
	buf_done(&facts);
	return result;
}

/* ---- the notice ---- */

/* The postmasters may have changed since. */
static bool is_to(const struct queue_entry *entry, const struct suspend_rules *rules)
{
	bool same = entry->nrecipients == rules->npostmaster;
	for (size_t i = 0; same && i < entry->nrecipients; i++) {
		same = span_eq(entry->recipients[i].address, rules->postmaster[i]);
	}
	return same;
}

/* Is it there, and nobody has begun to send it? */
static bool is_open(struct store_txn *txn, const struct suspend_rules *rules, uint64_t id,
                    int64_t now, struct arena *arena, struct queue_entry *entry)
{
	return id && queue_get(txn, id, arena, entry) == STORE_OK &&
	       entry->kind == QUEUE_NOTICE_SEVERAL && entry->state == QUEUE_READY &&
	       entry->next_at > now && !entry->attempts && !entry->deferred_at &&
	       count_note(entry->note) < SEVERAL_MAX && is_to(entry, rules);
}

static enum store_result add(struct store_txn *txn, struct queue_entry *entry,
                             const struct incident *incident)
{
	struct buf note = { .cap = NOTE_MAX };
	bool ended;
	buf_printf(&note, "%.*s %llu", SPAN_ARG(entry->note),
	           (unsigned long long)incident->number);
	entry->note = buf_span(&note);
	enum store_result result = note.failed ? STORE_FAILED
	                                       : queue_update(txn, entry, &ended);
	buf_done(&note);
	return result == STORE_OK ? STORE_OK : store_txn_fail(txn, result);
}

static enum store_result begin(struct store_txn *txn, const struct suspend_rules *rules,
                               const struct incident *incident, int64_t now, struct row *row)
{
	char note[24];
	int len = snprintf(note, sizeof note, "%llu", (unsigned long long)incident->number);
	struct queue_entry entry = {
		.kind = QUEUE_NOTICE_SEVERAL,
		.incident = incident->number,
		.note = span_of(note, (size_t)len),
		.accepted_at = now,
		.accepted_wall = incident->opened_wall,
		.next_at = now + SEVERAL_WAIT,
	};
	enum store_result result = suspend_put_entry(txn, rules, &entry);
	row->entry = entry.id;
	return result;
}

enum store_result several_take(struct store_txn *txn, const struct suspend_rules *rules,
                               const struct incident *incident, int64_t now, bool *shared_out)
{
	const struct budget_limits *limits = &rules->notice_max;
	struct row row = { .entry = 0 };
	struct queue_entry entry;
	struct arena arena;
	if (limits->count == 0) {
		*shared_out = false;
		return STORE_OK;
	}
	enum store_result result = read_row(txn, limits, now, &row);
	if (result != STORE_OK) {
		return store_txn_fail(txn, result);
	}
	arena_init(&arena, QUEUE_ENTRY_MAX);
	bool fits = budget_ask(&row.budget, limits, 1, now) == BUDGET_FITS;
	bool open = is_open(txn, rules, row.entry, now, &arena, &entry);
	budget_take(&row.budget, 1, now);
	if (open) {
		result = add(txn, &entry, incident);
	} else if (!fits) {
		result = begin(txn, rules, incident, now, &row);
	}
	if (result == STORE_OK) {
		result = put_row(txn, &row);
	}
	arena_done(&arena);
	*shared_out = open || !fits;
	return result;
}
