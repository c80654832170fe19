#include "auth/gate_books.h"

#include "store/keys.h"

#include <assert.h>

static_assert(FACTS_APPPASS_MAX >= APPPASS_NAME_MAX, "a bill names it whole");

/* When the secret by which it logs in was set. */
static enum store_result read_secret(struct store_txn *txn, struct span account,
                                     struct span apppass, int64_t *wall_out)
{
	struct account row;
	struct apppass by;
	enum store_result result = account_get(txn, account, &row);
	if (result == STORE_OK && apppass.len) {
		result = apppass_get(txn, account, apppass, &by);
	}
	if (result == STORE_OK) {
		*wall_out = apppass.len ? by.created_wall : row.changed_wall;
	}
	return result;
}

enum gate_verdict gate_login(struct store_txn *txn, struct span account, struct span apppass,
                             uint64_t *incident_out, int64_t *secret_wall_out)
{
	int64_t wall = 0;
	uint64_t incident = 0;
	enum store_result result = read_secret(txn, account, apppass, &wall);
	if (result == STORE_OK) {
		result = suspend_incident_of(txn, account, &incident);
	}
	if (result != STORE_OK) {
		return result == STORE_NOT_FOUND ? GATE_UNKNOWN : GATE_BROKEN;
	}
	*incident_out = incident;
	if (secret_wall_out) {
		*secret_wall_out = wall;
	}
	return incident ? GATE_SUSPENDED : GATE_ALLOW;
}

/* ---- judging ---- */

/* Nobody is suspended where nobody would hear of it, nor a device that only has to wait. */
static enum gate_verdict when_spent(const struct gate_rules *rules,
                                    const struct gate_books *books)
{
	if (books->device && books->device->action == GATE_ACTION_DEFER) {
		return GATE_DEFER;
	}
	return rules->suspend.npostmaster ? GATE_TRIPPED : GATE_SPENT;
}

/* Both budgets are asked: what could never fit one of them is a mistake, no theft. */
static enum gate_verdict ask(const struct gate_rules *rules, const struct gate_books *books,
                             const struct act *act)
{
	const struct gate_extra *extra = &books->extra;
	enum budget_verdict whole = books->exempt ? BUDGET_FITS
	                                          : budget_ask(&books->budget, &books->limits,
	                                                       act->recipients, act->now);
	enum budget_verdict part = extra->limits.count
	                               ? budget_ask(&extra->budget, &extra->limits,
	                                            act->recipients, act->now)
	                               : BUDGET_FITS;
	if (whole == BUDGET_NEVER || part == BUDGET_NEVER) {
		return GATE_NEVER;
	}
	if (whole == BUDGET_SPENT) {
		return when_spent(rules, books);
	}
	return part == BUDGET_SPENT ? GATE_SPENT : GATE_ALLOW;
}

static enum gate_verdict judge(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct gate_books *books)
{
	enum gate_verdict readable = gate_books_read_act(txn, rules, act, books);
	if (readable != GATE_ALLOW) {
		return readable;
	}
	return books->standing.state == STANDING_SUSPENDED ? GATE_SUSPENDED
	                                                   : ask(rules, books, act);
}

enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 const struct act *act)
{
	struct gate_books books;
	return judge(txn, rules, act, &books);
}

static void note(struct gate_books *books, const struct act *act)
{
	bool limited = books->limits.count > 0;
	facts_note(&books->facts, act,
	           limited ? budget_spent(&books->budget.ring[0], act->now) : 0,
	           limited ? books->limits.limit[0].window : 0);
}

/* An empty row would be a refund. */
static enum store_result put_ledger(struct store_txn *txn, struct span name,
                                    const struct budget *budget, struct ledger *ledger)
{
	struct buf packed = { .cap = GATE_BUDGET_MAX };
	budget_pack(budget, &packed);
	ledger->budget = buf_span(&packed);
	enum store_result result = packed.failed ? store_txn_fail(txn, STORE_FAILED)
	                                         : ledger_put(txn, name, ledger);
	buf_done(&packed);
	return result;
}

static enum store_result charge_account(struct store_txn *txn, const struct act *act,
                                        struct gate_books *books)
{
	struct buf facts = { .cap = GATE_FACTS_MAX };
	budget_take(&books->budget, act->recipients, act->now);
	note(books, act);
	facts_pack(&books->facts, &facts);
	books->ledger.facts = buf_span(&facts);
	enum store_result result = facts.failed ? store_txn_fail(txn, STORE_FAILED)
	                                        : put_ledger(txn, act->account, &books->budget,
	                                                     &books->ledger);
	buf_done(&facts);
	return result;
}

/* Charges and notes: the row that an accepted message rewrites, and that of an app password
 * with limits. What was read of the ledgers lies in the map, where a put may move it. */
static enum gate_verdict charge(struct store_txn *txn, const struct act *act,
                                struct gate_books *books)
{
	struct gate_extra *extra = &books->extra;
	enum store_result result = charge_account(txn, act, books);
	if (result == STORE_OK && extra->limits.count) {
		struct key key = key_apppass_ledger(act->account, act->apppass);
		extra->ledger = (struct ledger){ .budget = SPAN_NONE };
		budget_take(&extra->budget, act->recipients, act->now);
		result = put_ledger(txn, key_span(&key), &extra->budget, &extra->ledger);
	}
	return result == STORE_OK ? GATE_ALLOW : GATE_BROKEN;
}

/* The first limit that is broken goes on the bill. */
static enum gate_verdict trip(struct store_txn *txn, const struct gate_rules *rules,
                              const struct act *act, struct gate_books *books,
                              struct suspend_result *result_out)
{
	const struct budget_limit *limit = books->limits.limit;
	size_t i = 0;
	uint32_t spent = budget_spent(&books->budget.ring[0], act->now);
	while ((uint64_t)spent + act->recipients <= limit[i].tokens) {
		spent = budget_spent(&books->budget.ring[++i], act->now);
	}
	note(books, act);
	struct bill bill = { .limit = limit[i],
		             .spent = spent,
		             .asked = act->recipients,
		             .facts = books->facts };
	if (act->apppass.len) {
		memcpy(bill.apppass, act->apppass.ptr, act->apppass.len);
	}
	enum store_result result = suspend_open(txn, &rules->suspend, act, SPAN_LIT("budget"),
	                                        &bill, result_out);
	return result == STORE_OK ? GATE_TRIPPED : GATE_BROKEN;
}

enum gate_verdict gate_message(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct suspend_result *result_out)
{
	struct gate_books books;
	enum gate_verdict verdict = judge(txn, rules, act, &books);
	if (verdict == GATE_ALLOW) {
		return charge(txn, act, &books);
	}
	return verdict == GATE_TRIPPED ? trip(txn, rules, act, &books, result_out) : verdict;
}

enum gate_verdict gate_trip(struct store_txn *txn, const struct gate_rules *rules,
                            const struct act *act, struct suspend_result *result_out)
{
	struct gate_books books;
	enum gate_verdict verdict = judge(txn, rules, act, &books);
	return verdict == GATE_TRIPPED ? trip(txn, rules, act, &books, result_out) : verdict;
}
