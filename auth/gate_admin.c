#include "auth/gate_books.h"

#include "proto/pack.h"

/* Asked in a transaction of its own: to one that writes, damage is the end. */
bool gate_books_can_be_read(struct store_txn *txn, struct span account)
{
	struct store_txn *read = store_begin_read(store_txn_store(txn), NULL);
	struct account row;
	struct ledger ledger;
	struct standing standing;
	struct facts facts;
	struct gate_marks marks;
	struct gate_watch watch;
	struct tariff_tally tally;
	bool can = read && account_get(read, account, &row) != STORE_DAMAGED &&
	           ledger_get(read, account, &ledger) == STORE_OK &&
	           standing_unpack(ledger.standing, &standing) &&
	           facts_unpack(ledger.facts, &facts) &&
	           gate_marks_unpack(ledger.marks, &marks) &&
	           gate_watch_unpack(ledger.watch, &watch) &&
	           tariff_tally_unpack(ledger.tally, &tally);
	store_abort(read);
	return can;
}

/* A ledger from nothing, but for what the incidents know. */
static enum store_result rebuild_ledger(struct store_txn *txn, struct span account)
{
	struct standing standing;
	struct buf packed = { .cap = GATE_BUDGET_MAX };
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
	if (result == STORE_OK) {
		result = apppass_refill(txn, account);
	}
	if (result == STORE_OK && !gate_books_can_be_read(txn, account)) {
		return rebuild_ledger(txn, account);
	}
	if (result == STORE_OK) {
		result = ledger_get(txn, account, &ledger);
	}
	if (result != STORE_OK) {
		return result;
	}
	ledger_refill(&ledger);
	return ledger_put(txn, account, &ledger);
}

/* ---- fields of the account ---- */

/* Puts one of them, which is in `packed`. An empty one would be what is configured: memory that
 * failed must not look like it. */
static enum store_result put_field(struct store_txn *txn, struct span name,
                                   struct account *account, struct span *field,
                                   struct buf *packed)
{
	*field = buf_span(packed);
	enum store_result result = packed->failed ? store_txn_fail(txn, STORE_FAILED)
	                                          : account_put(txn, name, account);
	buf_done(packed);
	return result;
}

enum store_result gate_limit(struct store_txn *txn, struct span account,
                             const struct budget_limits *limits)
{
	struct account row;
	struct buf packed = { .cap = GATE_BUDGET_MAX };
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	budget_limits_pack(limits, &packed);
	return put_field(txn, account, &row, &row.limits, &packed);
}

enum store_result gate_set_action(struct store_txn *txn, struct span account,
                                  enum gate_action action)
{
	struct account row;
	struct buf packed = { .cap = 1 };
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	if (action != GATE_ACTION_DEFAULT) {
		pack_u8(&packed, (uint8_t)action);
	}
	return put_field(txn, account, &row, &row.action, &packed);
}

enum store_result gate_set_mode(struct store_txn *txn, struct span account,
                                const struct gate_stance *stance)
{
	struct account row;
	struct buf packed = { .cap = GATE_WATCH_MAX };
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	gate_stance_pack(stance, &packed);
	return put_field(txn, account, &row, &row.mode, &packed);
}

enum store_result gate_set_recovery(struct store_txn *txn, struct span account,
                                    struct span address)
{
	struct account row;
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	row.recovery = address;
	return account_put(txn, account, &row);
}

enum store_result gate_set_prices(struct store_txn *txn, struct span account,
                                  const struct tariff *prices)
{
	struct account row;
	struct buf packed = { .cap = GATE_BUDGET_MAX };
	const struct tariff unset = tariff_unset();
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	tariff_pack(prices, &unset, &packed);
	return put_field(txn, account, &row, &row.tariff, &packed);
}

enum store_result gate_allow(struct store_txn *txn, struct span account,
                             const struct gate_ticket *ticket)
{
	struct account row;
	struct buf packed = { .cap = GATE_TICKET_MAX };
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK) {
		return result;
	}
	gate_ticket_pack(ticket, &packed);
	return put_field(txn, account, &row, &row.ticket, &packed);
}

enum gate_verdict gate_show(struct store_txn *txn, const struct gate_rules *rules,
                            struct span account, int64_t now, struct gate_view *view_out)
{
	struct gate_books books;
	struct account row;
	enum gate_verdict verdict = gate_books_read(txn, rules, account, now, &books);
	if (verdict != GATE_ALLOW) {
		return verdict;
	}
	bool own_mode = gate_stance_mode(&books.stance, now) != GATE_MODE_DEFAULT;
	row.recovery = SPAN_NONE;
	account_get(txn, account, &row); /* it was read a moment ago */
	*view_out = (struct gate_view){
		.limits = books.limits,
		.own_limits = books.own_limits,
		.exempt = books.exempt,
		.device = books.device,
		.action = books.action,
		.mode = books.mode,
		.own_mode = own_mode,
		.mode_until = own_mode ? books.stance.until : 0,
		.recovery = row.recovery,
		.ticket = books.ticket,
		.ticket_used = gate_ticket_used(&books.ticket, &books.marks),
		.incident = books.standing.state == STANDING_SUSPENDED ? books.standing.incident
		                                                       : 0,
	};
	for (size_t i = 0; i < books.budget.count; i++) {
		view_out->spent[i] = budget_spent(&books.budget.ring[i], now);
	}
	return verdict;
}

size_t gate_count_observed(struct store_txn *txn, int64_t now)
{
	struct account_walk walk;
	struct account account;
	struct gate_stance stance;
	struct span name;
	size_t n = 0;
	account_walk_begin(&walk, txn);
	while (account_walk_next(&walk, &name, &account)) {
		n += gate_stance_unpack(account.mode, &stance) &&
		     gate_stance_mode(&stance, now) == GATE_MODE_OBSERVE;
	}
	account_walk_end(&walk);
	return n;
}

bool gate_show_apppass(struct store_txn *txn, struct span account,
                       const struct apppass *apppass, int64_t now,
                       uint32_t spent_out[BUDGET_LIMITS_MAX])
{
	struct gate_extra extra;
	if (!gate_books_read_extra(txn, account, apppass, now, &extra)) {
		return false;
	}
	for (size_t i = 0; i < extra.limits.count; i++) {
		spent_out[i] = budget_spent(&extra.budget.ring[i], now);
	}
	return true;
}
