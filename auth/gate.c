#include "auth/gate.h"

#define BUDGET_ROW_MAX 4096 /* four full rings are less than half of it */
#define FACTS_ROW_MAX  1024 /* all places full: about two thirds */

/* What is kept about one account, read at `now`. */
struct books {
	struct budget_limits limits;
	bool own_limits;
	bool exempt;
	struct budget budget; /* fitted to `limits` */
	struct standing standing;
	struct facts facts;
	struct ledger ledger; /* as read: into the map */
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

static bool read_ledger(struct store_txn *txn, struct span name, struct books *books)
{
	struct ledger *ledger = &books->ledger;
	return ledger_get(txn, name, ledger) == STORE_OK &&
	       budget_unpack(ledger->budget, &books->budget) &&
	       standing_unpack(ledger->standing, &books->standing) &&
	       facts_unpack(ledger->facts, &books->facts);
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
	    !read_ledger(txn, name, books)) {
		return GATE_BROKEN;
	}
	books->exempt = is_exempt(rules, name);
	budget_fit(&books->budget, &books->limits, now);
	return GATE_ALLOW;
}

enum gate_verdict gate_login(struct store_txn *txn, struct span account, uint64_t *incident_out)
{
	struct account row;
	enum store_result result = account_get(txn, account, &row);
	if (result == STORE_OK) {
		result = suspend_incident_of(txn, account, incident_out);
	}
	if (result != STORE_OK) {
		return result == STORE_NOT_FOUND ? GATE_UNKNOWN : GATE_BROKEN;
	}
	return *incident_out ? GATE_SUSPENDED : GATE_ALLOW;
}

/* ---- judging ---- */

/* Nobody is suspended where nobody would hear of it. */
static enum gate_verdict judge(struct store_txn *txn, const struct gate_rules *rules,
                               struct span name, uint32_t recipients, int64_t now,
                               struct books *books)
{
	const enum gate_verdict verdicts[] = {
		[BUDGET_FITS] = GATE_ALLOW,
		[BUDGET_SPENT] = rules->suspend.npostmaster ? GATE_TRIPPED : GATE_SPENT,
		[BUDGET_NEVER] = GATE_NEVER,
	};
	enum gate_verdict readable = read_books(txn, rules, name, now, books);
	if (readable != GATE_ALLOW) {
		return readable;
	}
	if (books->standing.state == STANDING_SUSPENDED) {
		return GATE_SUSPENDED;
	}
	if (books->exempt) {
		return GATE_ALLOW;
	}
	return verdicts[budget_ask(&books->budget, &books->limits, recipients, now)];
}

enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 struct span account, uint32_t recipients, int64_t now)
{
	struct books books;
	return judge(txn, rules, account, recipients, now, &books);
}

static void note(struct books *books, const struct act *act)
{
	bool limited = books->limits.count > 0;
	facts_note(&books->facts, act,
	           limited ? budget_spent(&books->budget.ring[0], act->now) : 0,
	           limited ? books->limits.limit[0].window : 0);
}

/* Charges and notes: the one row that an accepted message rewrites. */
static enum gate_verdict charge(struct store_txn *txn, const struct act *act,
                                struct books *books)
{
	struct buf budget = { .cap = BUDGET_ROW_MAX };
	struct buf facts = { .cap = FACTS_ROW_MAX };
	budget_take(&books->budget, act->recipients, act->now);
	note(books, act);
	budget_pack(&books->budget, &budget);
	facts_pack(&books->facts, &facts);
	books->ledger.budget = buf_span(&budget);
	books->ledger.facts = buf_span(&facts);
	/* An empty row would be a refund. */
	enum store_result result = budget.failed || facts.failed
	                               ? store_txn_fail(txn, STORE_FAILED)
	                               : ledger_put(txn, act->account, &books->ledger);
	buf_done(&budget);
	buf_done(&facts);
	return result == STORE_OK ? GATE_ALLOW : GATE_BROKEN;
}

/* The first limit that is broken goes on the bill. */
static enum gate_verdict trip(struct store_txn *txn, const struct gate_rules *rules,
                              const struct act *act, struct books *books,
                              struct suspend_result *result_out)
{
	const struct budget_limit *limit = books->limits.limit;
	size_t i = 0;
	uint32_t spent = budget_spent(&books->budget.ring[0], act->now);
	while ((uint64_t)spent + act->recipients <= limit[i].tokens) {
		spent = budget_spent(&books->budget.ring[++i], act->now);
	}
	note(books, act);
	const struct bill bill = { .limit = limit[i],
		                   .spent = spent,
		                   .asked = act->recipients,
		                   .facts = books->facts };
	enum store_result result = suspend_open(txn, &rules->suspend, act, SPAN_LIT("budget"),
	                                        &bill, result_out);
	return result == STORE_OK ? GATE_TRIPPED : GATE_BROKEN;
}

enum gate_verdict gate_message(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct suspend_result *result_out)
{
	struct books books;
	enum gate_verdict verdict = judge(txn, rules, act->account, act->recipients, act->now,
	                                  &books);
	if (verdict == GATE_ALLOW) {
		return charge(txn, act, &books);
	}
	return verdict == GATE_TRIPPED ? trip(txn, rules, act, &books, result_out) : verdict;
}

enum gate_verdict gate_trip(struct store_txn *txn, const struct gate_rules *rules,
                            const struct act *act, struct suspend_result *result_out)
{
	struct books books;
	enum gate_verdict verdict = judge(txn, rules, act->account, act->recipients, act->now,
	                                  &books);
	return verdict == GATE_TRIPPED ? trip(txn, rules, act, &books, result_out) : verdict;
}

/* ---- what the admin does ---- */

/* Asked in a transaction of its own: to one that writes, damage is the end. */
static bool can_be_read(struct store_txn *txn, struct span account)
{
	struct store_txn *read = store_begin_read(store_txn_store(txn), NULL);
	struct ledger ledger;
	struct standing standing;
	struct facts facts;
	bool can = read && ledger_get(read, account, &ledger) == STORE_OK &&
	           standing_unpack(ledger.standing, &standing) &&
	           facts_unpack(ledger.facts, &facts);
	store_abort(read);
	return can;
}

/* A ledger from nothing, but for what the incidents know. */
static enum store_result rebuild_ledger(struct store_txn *txn, struct span account)
{
	struct standing standing;
	struct buf packed = { .cap = BUDGET_ROW_MAX };
	enum store_result result = suspend_recall(txn, account, &standing);
	if (result == STORE_OK) {
		standing_pack(&standing, &packed);
		const struct ledger ledger = { .standing = buf_span(&packed) };
		result = packed.failed ? store_txn_fail(txn, STORE_FAILED)
		                       : ledger_put(txn, account, &ledger);
	}
	buf_done(&packed);
	return result;
}

enum store_result gate_reset(struct store_txn *txn, struct span account)
{
	struct ledger ledger;
	struct account row;
	enum store_result result = account_get(txn, account, &row);
	if (result == STORE_OK && !can_be_read(txn, account)) {
		return rebuild_ledger(txn, account);
	}
	if (result == STORE_OK) {
		result = ledger_get(txn, account, &ledger);
	}
	if (result != STORE_OK) {
		return result;
	}
	ledger.budget = SPAN_NONE;
	return ledger_put(txn, account, &ledger);
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
		.incident = books.standing.state == STANDING_SUSPENDED ? books.standing.incident
		                                                       : 0,
	};
	for (size_t i = 0; i < books.budget.count; i++) {
		view_out->spent[i] = budget_spent(&books.budget.ring[i], now);
	}
	return verdict;
}
