#include "auth/gate_books.h"

#include "auth/digest.h"
#include "store/journal.h"

#define TEXT_MAX ((size_t)1024)

struct gate_sight gate_sight_of(struct gate_finding *f)
{
	struct gate_books *books = &f->books;
	struct gate_sight sight = {
		.would = gate_watch_may_tell(&books->watch, f->would, f->act.now),
		.near = !books->exempt && gate_watch_may_warn(&books->watch, &books->budget,
		                                              &books->limits, f->act.now),
	};
	return sight;
}

/* ---- what would have become of it ---- */

/* "512 of 500/30m, 12 strange-network": with this message; of surcharges their number. */
static void write_bill(const struct gate_rules *rules, const struct gate_finding *f,
                       struct buf *out)
{
	const struct gate_books *books = &f->books;
	bool strangers = f->reason == GATE_REASON_STRANGERS;
	const struct budget *budget = strangers ? &books->strangers : &books->budget;
	const struct budget_limits *limits = strangers ? &rules->stranger_limits
	                                               : &books->limits;
	if (limits->count == 0) {
		return;
	}
	size_t i = gate_broken_limit(budget, limits, 0, f->act.now);
	buf_printf(out, ": %u of ", budget_spent(&budget->ring[i], f->act.now));
	budget_limit_write(&limits->limit[i], out);
	buf_put_str(out, strangers ? " (strangers)" : "");
	size_t last = books->limits.count - 1;
	struct tariff_bill sum = tariff_tally_sum(&books->tally, strangers ? last : i);
	for (enum tariff_row row = 0; books->limits.count && row < TARIFF_ROWS; row++) {
		if (sum.count[row]) {
			buf_printf(out, ", %u %s", sum.count[row], tariff_name(row));
		}
	}
}

static enum store_result put_journal(struct store_txn *txn, const struct gate_rules *rules,
                                     const struct gate_finding *f)
{
	struct buf text = { .cap = TEXT_MAX };
	buf_printf(&text, "observed, would have been: %s", gate_would_word(f->would));
	write_bill(rules, f, &text);
	const struct journal_row row = {
		.kind = JOURNAL_STANDING,
		.at = f->act.now,
		.wall = f->act.wall,
		.id = store_next_id(store_txn_store(txn)),
		.account = f->act.account,
		.client = f->act.client,
		.text = buf_span(&text),
	};
	enum store_result result = text.failed ? store_txn_fail(txn, STORE_FAILED)
	                                       : journal_put(txn, &row);
	buf_done(&text);
	return result;
}

/* ---- the owner ---- */

/* Never to the account itself, which a thief reads; and nothing in it says how much is too
 * much. */
static enum store_result warn_owner(struct store_txn *txn, const struct act *act,
                                    bool *told_out)
{
	struct account account;
	enum store_result result = account_get(txn, act->account, &account);
	if (result != STORE_OK || !account.recovery.len) {
		return result;
	}
	const struct suspend_rules owner = { .postmaster = &account.recovery,
		                             .npostmaster = 1 };
	*told_out = true;
	return suspend_put_notice(txn, &owner, QUEUE_NOTICE_OWNER, 0, act->account, act->now,
	                          act->wall);
}

enum store_result gate_tell(struct store_txn *txn, const struct gate_rules *rules,
                            const struct gate_finding *f, struct gate_sight sight,
                            struct gate_result *result_out)
{
	const struct digest_news news = {
		.account = f->act.account,
		.would = sight.would ? f->would : GATE_WOULD_PASS,
		.near = sight.near,
		.now = f->act.now,
		.wall = f->act.wall,
	};
	enum store_result result = sight.would ? put_journal(txn, rules, f) : STORE_OK;
	result_out->would = news.would;
	if (result == STORE_OK && sight.near) {
		result = warn_owner(txn, &f->act, &result_out->told);
	}
	return result == STORE_OK && (sight.would || sight.near) ? digest_add(txn, &news)
	                                                         : result;
}
