#include "auth/gate.h"

#include "store/keys.h"

#include <assert.h>

#define BUDGET_ROW_MAX 4096 /* four full rings are less than half of it */
#define FACTS_ROW_MAX  1024 /* all places full: about two thirds */

static_assert(FACTS_APPPASS_MAX >= APPPASS_NAME_MAX, "a bill names it whole");

/* What an app password has beside its account's budget. */
struct extra {
	struct budget_limits limits; /* count 0: nothing */
	struct budget budget;        /* fitted to `limits` */
	struct ledger ledger;        /* as read */
};

/* What is kept about one account, read at `now`. */
struct books {
	struct budget_limits limits;
	bool own_limits;
	bool exempt;
	const struct gate_device *device; /* NULL: it is none */
	struct budget budget;             /* fitted to `limits` */
	struct standing standing;
	struct facts facts;
	struct ledger ledger; /* as read: into the map */
	struct extra extra;   /* of the app password by which it acts */
};

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
                        struct books *books)
{
	const struct gate_device *device = books->device;
	books->own_limits = account->limits.len > 0;
	books->limits = device && device->limits.count ? device->limits : rules->limits;
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
	books->extra.limits.count = 0;
	books->device = find_device(rules, name);
	if (result != STORE_OK || !read_limits(rules, &account, books) ||
	    !read_ledger(txn, name, books)) {
		return GATE_BROKEN;
	}
	books->exempt = is_exempt(rules, name);
	budget_fit(&books->budget, &books->limits, now);
	return GATE_ALLOW;
}

static bool read_extra(struct store_txn *txn, struct span account,
                       const struct apppass *apppass, int64_t now, struct extra *extra)
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

/* The same with the budget of the app password by which it acts, if any. */
static enum gate_verdict read_act(struct store_txn *txn, const struct gate_rules *rules,
                                  const struct act *act, struct books *books)
{
	struct apppass apppass;
	enum gate_verdict verdict = read_books(txn, rules, act->account, act->now, books);
	if (verdict != GATE_ALLOW || !act->apppass.len) {
		return verdict;
	}
	enum store_result result = apppass_get(txn, act->account, act->apppass, &apppass);
	if (result == STORE_NOT_FOUND) {
		return GATE_UNKNOWN;
	}
	return result == STORE_OK &&
	               read_extra(txn, act->account, &apppass, act->now, &books->extra)
	           ? GATE_ALLOW
	           : GATE_BROKEN;
}

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
static enum gate_verdict when_spent(const struct gate_rules *rules, const struct books *books)
{
	if (books->device && books->device->action == GATE_ACTION_DEFER) {
		return GATE_DEFER;
	}
	return rules->suspend.npostmaster ? GATE_TRIPPED : GATE_SPENT;
}

/* Both budgets are asked: what could never fit one of them is a mistake, no theft. */
static enum gate_verdict ask(const struct gate_rules *rules, const struct books *books,
                             const struct act *act)
{
	const struct extra *extra = &books->extra;
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
                               const struct act *act, struct books *books)
{
	enum gate_verdict readable = read_act(txn, rules, act, books);
	if (readable != GATE_ALLOW) {
		return readable;
	}
	return books->standing.state == STANDING_SUSPENDED ? GATE_SUSPENDED
	                                                   : ask(rules, books, act);
}

enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 const struct act *act)
{
	struct books books;
	return judge(txn, rules, act, &books);
}

static void note(struct books *books, const struct act *act)
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
	struct buf packed = { .cap = BUDGET_ROW_MAX };
	budget_pack(budget, &packed);
	ledger->budget = buf_span(&packed);
	enum store_result result = packed.failed ? store_txn_fail(txn, STORE_FAILED)
	                                         : ledger_put(txn, name, ledger);
	buf_done(&packed);
	return result;
}

static enum store_result charge_account(struct store_txn *txn, const struct act *act,
                                        struct books *books)
{
	struct buf facts = { .cap = FACTS_ROW_MAX };
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
                                struct books *books)
{
	struct extra *extra = &books->extra;
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
	struct books books;
	enum gate_verdict verdict = judge(txn, rules, act, &books);
	if (verdict == GATE_ALLOW) {
		return charge(txn, act, &books);
	}
	return verdict == GATE_TRIPPED ? trip(txn, rules, act, &books, result_out) : verdict;
}

enum gate_verdict gate_trip(struct store_txn *txn, const struct gate_rules *rules,
                            const struct act *act, struct suspend_result *result_out)
{
	struct books books;
	enum gate_verdict verdict = judge(txn, rules, act, &books);
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
	if (result == STORE_OK) {
		result = apppass_refill(txn, account);
	}
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
		.device = books.device,
		.incident = books.standing.state == STANDING_SUSPENDED ? books.standing.incident
		                                                       : 0,
	};
	for (size_t i = 0; i < books.budget.count; i++) {
		view_out->spent[i] = budget_spent(&books.budget.ring[i], now);
	}
	return verdict;
}

bool gate_show_apppass(struct store_txn *txn, struct span account,
                       const struct apppass *apppass, int64_t now,
                       uint32_t spent_out[BUDGET_LIMITS_MAX])
{
	struct extra extra;
	if (!read_extra(txn, account, apppass, now, &extra)) {
		return false;
	}
	for (size_t i = 0; i < extra.limits.count; i++) {
		spent_out[i] = budget_spent(&extra.budget.ring[i], now);
	}
	return true;
}
