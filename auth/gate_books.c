#include "auth/gate_books.h"

#include "proto/pack.h"
#include "store/keys.h"

/* ---- exempt accounts ---- */

/* Only the last * needs to be gone back to: an earlier one could only take bytes that the last
 * may take as well. */
bool gate_pattern_matches(struct span pattern, struct span name)
{
	size_t p = 0;
	size_t n = 0;
	size_t star = SIZE_MAX; /* behind the last * */
	size_t retry = 0;       /* where what follows it is tried next */
	while (n < name.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = ++p;
			retry = n;
		} else if (p < pattern.len &&
		           span_lower(pattern.ptr[p]) == span_lower(name.ptr[n])) {
			p++;
			n++;
		} else if (star != SIZE_MAX) {
			p = star;
			n = ++retry;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*') {
		p++;
	}
	return p == pattern.len;
}

static bool is_exempt(const struct gate_rules *rules, struct span account)
{
	for (size_t i = 0; i < rules->nexempt; i++) {
		if (gate_pattern_matches(rules->exempt[i], account)) {
			return true;
		}
	}
	return false;
}

/* ---- reading: whatever can not be read is GATE_BROKEN ---- */

static const struct gate_device *find_device(const struct gate_rules *rules,
                                             struct span account)
{
	size_t i = 0;
	while (i < rules->ndevices && !span_eq(rules->devices[i].account, account)) {
		i++;
	}
	return i < rules->ndevices ? &rules->devices[i] : NULL;
}

/* The account's own, else its device's, else those of the site. */
static bool read_limits(const struct gate_rules *rules, const struct account *account,
                        struct gate_books *books)
{
	const struct gate_device *device = books->device;
	books->own_limits = account->limits.len > 0;
	books->limits = device && device->limits.count ? device->limits : rules->limits;
	return !books->own_limits || budget_limits_unpack(account->limits, &books->limits);
}

/* The same order. */
static bool read_action(const struct gate_rules *rules, const struct account *account,
                        struct gate_books *books)
{
	struct unpacker in = unpack_from(account->action);
	uint8_t own = account->action.len ? unpack_u8(&in) : GATE_ACTION_DEFAULT;
	enum gate_action device = books->device ? books->device->action : GATE_ACTION_DEFAULT;
	books->action = own != GATE_ACTION_DEFAULT      ? (enum gate_action)own
	                : device != GATE_ACTION_DEFAULT ? device
	                                                : rules->action;
	return unpack_ok(&in) && own <= GATE_ACTION_DEFAULT;
}

/* Its own, else the site's. */
static bool read_mode(const struct gate_rules *rules, const struct account *account,
                      int64_t now, struct gate_books *books)
{
	if (!gate_stance_unpack(account->mode, &books->stance)) {
		return false;
	}
	enum gate_mode own = gate_stance_mode(&books->stance, now);
	books->mode = own == GATE_MODE_DEFAULT ? rules->mode : own;
	return true;
}

static bool read_ledger(struct store_txn *txn, struct span name, struct gate_books *books)
{
	struct ledger *ledger = &books->ledger;
	return ledger_get(txn, name, ledger) == STORE_OK &&
	       budget_unpack(ledger->budget, &books->budget) &&
	       standing_unpack(ledger->standing, &books->standing) &&
	       facts_unpack(ledger->facts, &books->facts) &&
	       gate_marks_unpack(ledger->marks, &books->marks) &&
	       gate_watch_unpack(ledger->watch, &books->watch) &&
	       tariff_tally_unpack(ledger->tally, &books->tally) &&
	       budget_unpack(ledger->strangers, &books->strangers);
}

/* What is charged, and what that was for. */
static bool read_tariff(const struct gate_rules *rules, const struct account *account,
                        struct gate_books *books)
{
	books->tariff = rules->tariff;
	books->changed_wall = account->changed_wall;
	return tariff_unpack(account->tariff, &books->tariff);
}

enum gate_verdict gate_books_read(struct store_txn *txn, const struct gate_rules *rules,
                                  struct span name, int64_t now, struct gate_books *books)
{
	struct account account;
	enum store_result result = account_get(txn, name, &account);
	if (result == STORE_NOT_FOUND) {
		return GATE_UNKNOWN;
	}
	books->extra.limits.count = 0;
	books->device = find_device(rules, name);
	if (result != STORE_OK || !read_limits(rules, &account, books) ||
	    !read_action(rules, &account, books) || !read_mode(rules, &account, now, books) ||
	    !read_tariff(rules, &account, books) ||
	    !gate_ticket_unpack(account.ticket, &books->ticket) ||
	    !read_ledger(txn, name, books)) {
		return GATE_BROKEN;
	}
	books->exempt = is_exempt(rules, name);
	budget_fit(&books->budget, &books->limits, now);
	budget_fit(&books->strangers, &rules->stranger_limits, now);
	tariff_tally_fit(&books->tally, &books->limits, now);
	return GATE_ALLOW;
}

bool gate_books_read_extra(struct store_txn *txn, struct span account,
                           const struct apppass *apppass, int64_t now, struct gate_extra *extra)
{
	struct key key = key_apppass_ledger(account, apppass->name);
	extra->limits = apppass->limits;
	if (extra->limits.count == 0) {
		return true;
	}
	if (ledger_get(txn, key_span(&key), &extra->ledger) != STORE_OK ||
	    !budget_unpack(extra->ledger.budget, &extra->budget)) {
		return false;
	}
	budget_fit(&extra->budget, &extra->limits, now);
	return true;
}

enum gate_verdict gate_books_read_act(struct store_txn *txn, const struct gate_rules *rules,
                                      const struct act *act, struct gate_books *books)
{
	struct apppass apppass;
	struct gate_rules there = *rules;
	if (act->origin.limits) {
		there.limits = *act->origin.limits;
	}
	enum gate_verdict verdict = gate_books_read(txn, &there, act->account, act->now, books);
	if (verdict != GATE_ALLOW || !act->apppass.len) {
		return verdict;
	}
	enum store_result result = apppass_get(txn, act->account, act->apppass, &apppass);
	if (result == STORE_NOT_FOUND) {
		return GATE_UNKNOWN;
	}
	return result == STORE_OK && gate_books_read_extra(txn, act->account, &apppass,
	                                                   act->now, &books->extra)
	           ? GATE_ALLOW
	           : GATE_BROKEN;
}

/* ---- putting back ---- */

/* One field of the ledger. An empty one may be a refund: memory that failed must not look like
 * it. */
struct field {
	struct span *into;
	struct buf packed;
};

static enum store_result put_fields(struct store_txn *txn, struct span name,
                                    struct ledger *ledger, struct field *fields, size_t n)
{
	bool failed = false;
	for (size_t i = 0; i < n; i++) {
		failed = failed || fields[i].packed.failed;
		*fields[i].into = buf_span(&fields[i].packed);
	}
	enum store_result result = failed ? store_txn_fail(txn, STORE_FAILED)
	                                  : ledger_put(txn, name, ledger);
	for (size_t i = 0; i < n; i++) {
		buf_done(&fields[i].packed);
	}
	return result;
}

enum store_result gate_books_put(struct store_txn *txn, struct span account,
                                 struct gate_books *books)
{
	struct ledger *ledger = &books->ledger;
	struct field fields[] = {
		{ &ledger->budget, { .cap = GATE_BUDGET_MAX } },
		{ &ledger->marks, { .cap = GATE_MARKS_MAX } },
		{ &ledger->facts, { .cap = GATE_FACTS_MAX } },
		{ &ledger->tally, { .cap = GATE_TALLY_MAX } },
		{ &ledger->strangers, { .cap = GATE_BUDGET_MAX } },
		{ &ledger->watch, { .cap = GATE_WATCH_MAX } },
	};
	budget_pack(&books->budget, &fields[0].packed);
	gate_marks_pack(&books->marks, &fields[1].packed);
	facts_pack(&books->facts, &fields[2].packed);
	tariff_tally_pack(&books->tally, &fields[3].packed);
	budget_pack(&books->strangers, &fields[4].packed);
	gate_watch_pack(&books->watch, &fields[5].packed);
	return put_fields(txn, account, ledger, fields, COUNT(fields));
}

enum store_result gate_books_put_extra(struct store_txn *txn, const struct act *act,
                                       struct gate_extra *extra)
{
	struct key key = key_apppass_ledger(act->account, act->apppass);
	struct field field = { &extra->ledger.budget, { .cap = GATE_BUDGET_MAX } };
	extra->ledger = (struct ledger){ .budget = SPAN_NONE };
	budget_take(&extra->budget, act->recipients, act->now);
	budget_pack(&extra->budget, &field.packed);
	return put_fields(txn, key_span(&key), &extra->ledger, &field, 1);
}
