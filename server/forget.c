#include "server/forget.h"

#include "server/log.h"

/* What became of one account. */
enum outcome { NOTHING, FORGOTTEN, END, TROUBLE };

/* Damage is this account's alone, and not for a walk to report. */
static enum outcome settle(struct store_txn *txn, bool any)
{
	struct error error = { "the store failed" };
	bool good = store_txn_result(txn) == STORE_OK;
	if (!any || !good) {
		store_abort(txn);
	} else {
		good = store_commit(txn, &error) == STORE_OK;
	}
	if (!good) {
		log_fault(LOG_LEVEL_WARNING, "history-forget-failed", error.text);
	}
	return !good ? TROUBLE : any ? FORGOTTEN : NOTHING;
}

static enum outcome forget_next(struct forget *forget, struct store *store, int64_t now)
{
	struct key name;
	bool any = false;
	struct store_txn *txn = store_begin_write(store, NULL);
	if (!txn) {
		return TROUBLE;
	}
	enum store_result result = history_next(txn, key_span(&forget->after), &name);
	if (result != STORE_OK) {
		store_abort(txn);
		return result == STORE_NOT_FOUND ? END : TROUBLE;
	}
	forget->after = name;
	familiar_forget(txn, &forget->rules, key_span(&name), now, &any);
	return settle(txn, any);
}

bool forget_step(struct forget *forget, struct store *store, int64_t now)
{
	enum outcome outcome = NOTHING;
	if (!forget->rules.keep || now < forget->rest_until) {
		return false;
	}
	for (size_t i = 0; outcome == NOTHING && i < FORGET_ACCOUNTS; i++) {
		outcome = forget_next(forget, store, now);
	}
	if (outcome == END || outcome == TROUBLE) {
		forget->after.len = 0;
		forget->rest_until = now + FAMILIAR_DAY;
		return false;
	}
	return true;
}
