#include "auth/gate.h"

#define BUDGET_ROW_MAX 4096 /* four full rings are less than half of it */

/* What is kept about one account, read at `now`. */
struct books {
	struct budget_limits limits;
	bool own_limits;
	bool exempt;
	struct budget budget; /* fitted to `limits` */
};

/* ---- exempt accounts ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

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
		} else if (p < pattern.len && lower(pattern.ptr[p]) == lower(name.ptr[n])) {
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

static bool read_limits(const struct gate_rules *rules, const struct account *account,
                        struct books *books)
{
	books->own_limits = account->limits.len > 0;
	books->limits = rules->limits;
	return !books->own_limits || budget_limits_unpack(account->limits, &books->limits);
}

static bool read_budget(struct store_txn *txn, struct span name, struct books *books)
{
	struct ledger ledger;
	return ledger_get(txn, name, &ledger) == STORE_OK &&
	       budget_unpack(ledger.budget, &books->budget);
}

/* GATE_ALLOW when `books` is filled in. */
static enum gate_verdict read_books(struct store_txn *txn, const struct gate_rules *rules,
                                    struct span name, int64_t now, struct books *books)
{
	struct account account;
	enum store_result result = account_get(txn, name, &account);
	if (result == STORE_NOT_FOUND) {
		return GATE_UNKNOWN;
	}
	if (result != STORE_OK || !read_limits(rules, &account, books) ||
	    !read_budget(txn, name, books)) {
		return GATE_BROKEN;
	}
	books->exempt = is_exempt(rules, name);
	budget_fit(&books->budget, &books->limits, now);
	return GATE_ALLOW;
}

/* ---- judging ---- */

static enum gate_verdict judge(struct store_txn *txn, const struct gate_rules *rules,
                               struct span name, uint32_t recipients, int64_t now,
                               struct books *books)
{
	static const enum gate_verdict verdicts[] = {
		[BUDGET_FITS] = GATE_ALLOW,
		[BUDGET_SPENT] = GATE_SPENT,
		[BUDGET_NEVER] = GATE_NEVER,
	};
	enum gate_verdict readable = read_books(txn, rules, name, now, books);
	if (readable != GATE_ALLOW || books->exempt) {
		return readable;
	}
	return verdicts[budget_ask(&books->budget, &books->limits, recipients, now)];
}

enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 struct span account, uint32_t recipients, int64_t now)
{
	struct books books;
	return judge(txn, rules, account, recipients, now, &books);
}

static enum store_result put_budget(struct store_txn *txn, struct span name,
                                    const struct budget *budget)
{
	struct buf row = { .cap = BUDGET_ROW_MAX };
	budget_pack(budget, &row);
	struct ledger ledger = { .budget = buf_span(&row) };
	/* An empty row would be a refund. */
	enum store_result result = row.failed ? store_txn_fail(txn, STORE_FAILED)
	                                      : ledger_put(txn, name, &ledger);
	buf_done(&row);
	return result;
}

enum gate_verdict gate_message(struct store_txn *txn, const struct gate_rules *rules,
                               struct span account, uint32_t recipients, int64_t now)
{
	struct books books;
	enum gate_verdict verdict = judge(txn, rules, account, recipients, now, &books);
	if (verdict != GATE_ALLOW) {
		return verdict;
	}
	budget_take(&books.budget, recipients, now);
	return put_budget(txn, account, &books.budget) == STORE_OK ? GATE_ALLOW : GATE_BROKEN;
}

/* ---- what the admin does ---- */

enum store_result gate_reset(struct store_txn *txn, struct span account)
{
	const struct budget empty = { .count = 0 };
	struct account row;
	enum store_result result = account_get(txn, account, &row);
	return result == STORE_OK ? put_budget(txn, account, &empty) : result;
}

enum store_result gate_limit(struct store_txn *txn, struct span account,
                             const struct budget_limits *limits)
{
	struct account row;
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	struct buf packed = { .cap = BUDGET_ROW_MAX };
	budget_limits_pack(limits, &packed);
	row.limits = buf_span(&packed);
	/* An empty row would be the configured limits. */
	result = packed.failed ? store_txn_fail(txn, STORE_FAILED)
	                       : account_put(txn, account, &row);
	buf_done(&packed);
	return result;
}

enum gate_verdict gate_show(struct store_txn *txn, const struct gate_rules *rules,
                            struct span account, int64_t now, struct gate_view *view_out)
{
	struct books books;
	enum gate_verdict verdict = read_books(txn, rules, account, now, &books);
	if (verdict != GATE_ALLOW) {
		return verdict;
	}
	*view_out = (struct gate_view){
		.limits = books.limits,
		.own_limits = books.own_limits,
		.exempt = books.exempt,
	};
	for (size_t i = 0; i < books.budget.count; i++) {
		view_out->spent[i] = budget_spent(&books.budget.ring[i], now);
	}
	return verdict;
}
