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

static bool read_ledger(struct store_txn *txn, struct span name, struct gate_books *books)
{
	struct ledger *ledger = &books->ledger;
	return ledger_get(txn, name, ledger) == STORE_OK &&
	       budget_unpack(ledger->budget, &books->budget) &&
	       standing_unpack(ledger->standing, &books->standing) &&
	       facts_unpack(ledger->facts, &books->facts) &&
	       gate_marks_unpack(ledger->marks, &books->marks);
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
	    !read_action(rules, &account, books) ||
	    !gate_ticket_unpack(account.ticket, &books->ticket) ||
	    !read_ledger(txn, name, books)) {
		return GATE_BROKEN;
	}
	books->exempt = is_exempt(rules, name);
	budget_fit(&books->budget, &books->limits, now);
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
	enum gate_verdict verdict = gate_books_read(txn, rules, act->account, act->now, books);
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
