#include "auth/gate_books.h"

#include <assert.h>

#include "store/keys.h"

#define ACCOUNTS_MAX ((size_t)2000) /* bytes of the names that a notice lists */

static bool read_site(struct store_txn *txn, struct span key,
                      const struct budget_limits *limits, int64_t now, struct gate_site *site)
{
	bool can = ledger_get(txn, key, &site->ledger) == STORE_OK &&
	           budget_unpack(site->ledger.budget, &site->budget) &&
	           gate_marks_unpack(site->ledger.marks, &site->marks);
	if (can) {
		budget_fit(&site->budget, limits, now);
	}
	return can;
}

bool gate_site_fits(struct store_txn *txn, struct span key, const struct budget_limits *limits,
                    uint32_t price, int64_t now, bool *fits_out)
{
	struct gate_site site;
	if (price == 0 || limits->count == 0) {
		*fits_out = true;
		return true;
	}
	if (!read_site(txn, key, limits, now, &site)) {
		return false;
	}
	*fits_out = budget_ask(&site.budget, limits, price, now) == BUDGET_FITS;
	return true;
}

static enum store_result put_site(struct store_txn *txn, struct span key,
                                  struct gate_site *site)
{
	struct buf rings = { .cap = GATE_BUDGET_MAX }, marks = { .cap = GATE_MARKS_MAX };
	budget_pack(&site->budget, &rings);
	gate_marks_pack(&site->marks, &marks);
	site->ledger.budget = buf_span(&rings);
	site->ledger.marks = buf_span(&marks);
	enum store_result result = rings.failed || marks.failed
	                               ? store_txn_fail(txn, STORE_FAILED)
	                               : ledger_put(txn, key, &site->ledger);
	buf_done(&rings);
	buf_done(&marks);
	return result;
}

/* The names, a line each, the last first. */
static void note_account(struct span names, struct span account, struct buf *out)
{
	buf_put(out, account);
	while (names.len) {
		struct span name = span_first(names, span_find(names, '\n'));
		names = span_from(names, name.len < names.len ? name.len + 1 : name.len);
		if (!span_eq(name, account) && out->len + name.len < ACCOUNTS_MAX) {
			buf_printf(out, "\n%.*s", SPAN_ARG(name));
		}
	}
}

enum store_result gate_site_take(struct store_txn *txn, struct span key,
                                 const struct budget_limits *limits, const struct act *act,
                                 uint32_t price)
{
	struct gate_site site;
	if (price == 0 || limits->count == 0) {
		return STORE_OK;
	}
	if (!read_site(txn, key, limits, act->now, &site)) {
		return store_txn_fail(txn, STORE_DAMAGED);
	}
	struct buf names = { .cap = ACCOUNTS_MAX + KEY_ACCOUNT_MAX };
	note_account(site.ledger.facts, act->account, &names);
	site.ledger.facts = buf_span(&names);
	budget_take(&site.budget, price, act->now);
	enum store_result result = put_site(txn, key, &site);
	buf_done(&names);
	return result;
}

static bool is_named(struct span names, struct span account)
{
	bool found = false;
	while (names.len && !found) {
		struct span name = span_first(names, span_find(names, '\n'));
		found = span_eq(name, account);
		names = span_from(names, name.len < names.len ? name.len + 1 : name.len);
	}
	return found;
}

/* An account takes a token each time that the list begins anew: when all have come back. */
enum store_result gate_site_note(struct store_txn *txn, struct span key,
                                 const struct budget_limit *many, const struct act *act,
                                 bool *many_out)
{
	struct gate_site site;
	const struct budget_limits limits = { .limit = { *many }, .count = 1 };
	if (!read_site(txn, key, &limits, act->now, &site)) {
		return store_txn_fail(txn, STORE_DAMAGED);
	}
	uint32_t before = budget_spent(site.budget.ring, act->now);
	bool known = before && is_named(site.ledger.facts, act->account);
	*many_out = before + !known >= many->tokens;
	if (known) {
		return STORE_OK;
	}
	struct buf names = { .cap = ACCOUNTS_MAX + KEY_ACCOUNT_MAX };
	note_account(before ? site.ledger.facts : SPAN_NONE, act->account, &names);
	site.ledger.facts = buf_span(&names);
	budget_take(&site.budget, 1, act->now);
	enum store_result result = put_site(txn, key, &site);
	buf_done(&names);
	return result;
}

/* The names on one line. */
static void write_names(struct span names, struct buf *out)
{
	for (size_t i = 0; i < names.len; i++) {
		buf_put(out, names.ptr[i] == '\n' ? SPAN_LIT(", ")
		                                  : span_from(span_first(names, i + 1), i));
	}
}

enum store_result gate_site_tell(struct store_txn *txn, const struct gate_rules *rules,
                                 struct span key, enum gate_news news, const struct act *act,
                                 const struct budget_limit *limit)
{
	struct gate_site site;
	const struct budget_limits limits = { .limit = { *limit }, .count = 1 };
	if (!read_site(txn, key, &limits, act->now, &site)) {
		return store_txn_fail(txn, STORE_DAMAGED);
	}
	if (!gate_marks_may_tell(&site.marks, news, act->now)) {
		return STORE_OK;
	}
	struct buf note = { .cap = ACCOUNTS_MAX + 1024 };
	buf_printf(&note, "%s\n%.*s, at ", gate_news_word(news), SPAN_ARG(act->account));
	budget_limit_write(limit, &note);
	buf_put(&note, SPAN_LIT("; lately by "));
	write_names(site.ledger.facts, &note);
	enum store_result result = note.failed ? store_txn_fail(txn, STORE_FAILED)
	                                       : put_site(txn, key, &site);
	if (result == STORE_OK) {
		result = suspend_put_notice(txn, &rules->suspend, QUEUE_NOTICE_EVENT, 0,
		                            buf_span(&note), act->now, act->wall);
	}
	buf_done(&note);
	return result;
}
