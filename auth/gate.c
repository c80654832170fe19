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

/* ---- the site: how many suspensions lately ---- */

struct site {
	struct budget budget; /* fitted to suspend_max: a suspension takes a token */
	struct gate_marks marks;
	struct ledger ledger;
};

static bool read_site(struct store_txn *txn, const struct gate_rules *rules, int64_t now,
                      struct site *site)
{
	bool can = ledger_get(txn, KEY_SITE_LEDGER, &site->ledger) == STORE_OK &&
	           budget_unpack(site->ledger.budget, &site->budget) &&
	           gate_marks_unpack(site->ledger.marks, &site->marks);
	if (can) {
		budget_fit(&site->budget, &rules->suspend_max, now);
	}
	return can;
}

/* An empty row would be a refund. */
static enum store_result put_ledger(struct store_txn *txn, struct span name,
                                    const struct budget *budget, const struct gate_marks *marks,
                                    struct ledger *ledger)
{
	struct buf rings = { .cap = GATE_BUDGET_MAX }, packed = { .cap = GATE_MARKS_MAX };
	budget_pack(budget, &rings);
	gate_marks_pack(marks, &packed);
	ledger->budget = buf_span(&rings);
	ledger->marks = buf_span(&packed);
	enum store_result result = rings.failed || packed.failed
	                               ? store_txn_fail(txn, STORE_FAILED)
	                               : ledger_put(txn, name, ledger);
	buf_done(&rings);
	buf_done(&packed);
	return result;
}

/* ---- judging ---- */

/* What the judge found. */
struct finding {
	struct gate_books books;
	enum gate_edge edge;
	enum gate_course course;
	bool crowd;       /* it is held because so many others are suspended */
	uint32_t allowed; /* of its recipients, by its ticket */
	uint32_t price;   /* of the others */
	enum gate_verdict verdict;
};

/* Nobody is suspended, and no mail kept, where nobody would hear of it. */
static enum gate_course course_of(const struct gate_rules *rules, enum gate_action action)
{
	bool heard = rules->suspend.npostmaster > 0 || action == GATE_ACTION_DEFER;
	return heard ? (enum gate_course)action : GATE_COURSE_REFUSE;
}

static enum gate_edge edge_of(const struct finding *f, int64_t now)
{
	const struct gate_books *books = &f->books;
	enum gate_edge edge = books->exempt ? GATE_EDGE_WITHIN
	                                    : gate_limit_edge(&books->budget, &books->limits,
	                                                      f->price, now);
	bool again = edge == GATE_EDGE_NEVER && gate_marks_is_again(&books->marks, now);
	return again ? GATE_EDGE_AGAIN : edge;
}

/* One event that hits a whole company must not lock a hundred people. */
static bool look_around(struct store_txn *txn, const struct gate_rules *rules, int64_t now,
                        struct finding *f)
{
	struct site site;
	if (gate_limit_verdict(f->edge, f->course) != GATE_TRIPPED) {
		return true;
	}
	if (!read_site(txn, rules, now, &site)) {
		return false;
	}
	f->crowd = budget_ask(&site.budget, &rules->suspend_max, 1, now) != BUDGET_FITS;
	f->course = f->crowd ? GATE_COURSE_HOLD : f->course;
	return true;
}

static bool is_taken(enum gate_verdict verdict)
{
	return verdict == GATE_ALLOW || verdict == GATE_HOLD;
}

/* What it takes from a budget: each recipient, and each who is behind one of them. */
static uint32_t price_of(const struct act *act)
{
	uint32_t room = UINT32_MAX - act->recipients;
	return act->recipients + (act->members < room ? act->members : room);
}

/* Both budgets are asked: what could never fit one of them is a mistake, no theft. */
static enum gate_verdict ask(struct store_txn *txn, const struct gate_rules *rules,
                             const struct act *act, struct finding *f)
{
	const struct gate_books *books = &f->books;
	const struct gate_extra *extra = &books->extra;
	uint32_t price = price_of(act);
	f->allowed = books->exempt
	                 ? 0
	                 : gate_ticket_part(&books->ticket, &books->marks, price, act->now);
	f->price = price - f->allowed;
	f->edge = edge_of(f, act->now);
	f->course = course_of(rules, books->action);
	enum budget_verdict part = extra->limits.count
	                               ? budget_ask(&extra->budget, &extra->limits, price,
	                                            act->now)
	                               : BUDGET_FITS;
	if (part == BUDGET_NEVER && f->edge < GATE_EDGE_NEVER) {
		return GATE_NEVER;
	}
	if (!look_around(txn, rules, act->now, f)) {
		return GATE_BROKEN;
	}
	enum gate_verdict verdict = gate_limit_verdict(f->edge, f->course);
	return part == BUDGET_SPENT && is_taken(verdict) ? GATE_SPENT : verdict;
}

static enum gate_verdict judge(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct finding *f)
{
	f->crowd = false;
	f->verdict = gate_books_read_act(txn, rules, act, &f->books);
	if (f->verdict == GATE_ALLOW) {
		f->verdict = f->books.standing.state == STANDING_SUSPENDED
		                 ? GATE_SUSPENDED
		                 : ask(txn, rules, act, f);
	}
	return f->verdict;
}

enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 const struct act *act)
{
	struct finding f;
	return judge(txn, rules, act, &f);
}

int64_t gate_when(struct store_txn *txn, const struct gate_rules *rules, const struct act *act)
{
	struct finding f;
	return judge(txn, rules, act, &f) == GATE_DEFER
	           ? budget_when(&f.books.budget, &f.books.limits, f.price, act->now)
	           : act->now;
}

/* ---- notices: one a day ---- */

static enum store_result put_notice(struct store_txn *txn, const struct gate_rules *rules,
                                    const struct act *act, const char *word,
                                    const struct budget_limit *limit)
{
	struct buf note = { .cap = 1024 };
	buf_printf(&note, "%s\n%.*s, at ", word, SPAN_ARG(act->account));
	budget_limit_write(limit, &note);
	enum store_result result = note.failed ? store_txn_fail(txn, STORE_FAILED)
	                                       : suspend_put_notice(
						     txn, &rules->suspend, QUEUE_NOTICE_EVENT,
						     0, buf_span(&note), act->now, act->wall);
	buf_done(&note);
	return result;
}

static enum store_result tell_crowd(struct store_txn *txn, const struct gate_rules *rules,
                                    const struct act *act)
{
	struct site site;
	if (!read_site(txn, rules, act->now, &site)) {
		return store_txn_fail(txn, STORE_DAMAGED);
	}
	if (!gate_marks_may_tell(&site.marks, act->now)) {
		return STORE_OK;
	}
	enum store_result result = put_ledger(txn, KEY_SITE_LEDGER, &site.budget, &site.marks,
	                                      &site.ledger);
	return result == STORE_OK ? put_notice(txn, rules, act, GATE_NOTICE_CROWD,
	                                       &rules->suspend_max.limit[0])
	                          : result;
}

#define EXEMPT_ALARM 10 /* times its first limit */

/* Of what is the account's own to be told today? NULL: nothing. After the charge. */
static const char *news(struct finding *f, int64_t now)
{
	struct gate_books *books = &f->books;
	const struct budget_limit *first = books->limits.limit;
	bool much = books->exempt && books->limits.count &&
	            budget_spent(&books->budget.ring[0], now) >
	                (uint64_t)EXEMPT_ALARM * first->tokens;
	bool held = f->edge != GATE_EDGE_WITHIN && !f->crowd;
	const char *word = much ? GATE_NOTICE_EXEMPT : held ? GATE_NOTICE_HELD : NULL;
	return word && gate_marks_may_tell(&books->marks, now) ? word : NULL;
}

/* ---- charging ---- */

static void note(struct gate_books *books, const struct act *act)
{
	bool limited = books->limits.count > 0;
	facts_note(&books->facts, act,
	           limited ? budget_spent(&books->budget.ring[0], act->now) : 0,
	           limited ? books->limits.limit[0].window : 0);
}

static enum store_result put_account(struct store_txn *txn, const struct act *act,
                                     struct gate_books *books)
{
	struct buf facts = { .cap = GATE_FACTS_MAX };
	facts_pack(&books->facts, &facts);
	books->ledger.facts = buf_span(&facts);
	enum store_result result = facts.failed ? store_txn_fail(txn, STORE_FAILED)
	                                        : put_ledger(txn, act->account, &books->budget,
	                                                     &books->marks, &books->ledger);
	buf_done(&facts);
	return result;
}

static enum store_result charge_extra(struct store_txn *txn, const struct act *act,
                                      struct gate_extra *extra)
{
	static const struct gate_marks none;
	struct key key = key_apppass_ledger(act->account, act->apppass);
	extra->ledger = (struct ledger){ .budget = SPAN_NONE };
	budget_take(&extra->budget, price_of(act), act->now);
	return put_ledger(txn, key_span(&key), &extra->budget, &none, &extra->ledger);
}

/* Charges and notes: the row that an accepted message rewrites, and that of an app password
 * with limits. What was read of the ledgers lies in the map, where a put may move it. */
static enum store_result charge(struct store_txn *txn, const struct gate_rules *rules,
                                const struct act *act, struct finding *f)
{
	struct gate_books *books = &f->books;
	budget_take(&books->budget, f->price, act->now);
	gate_ticket_take(&books->ticket, &books->marks, f->allowed);
	note(books, act);
	const char *word = news(f, act->now);
	enum store_result result = put_account(txn, act, books);
	if (result == STORE_OK && books->extra.limits.count) {
		result = charge_extra(txn, act, &books->extra);
	}
	if (result == STORE_OK && word) {
		result = put_notice(txn, rules, act, word, &books->limits.limit[0]);
	}
	if (result == STORE_OK && f->crowd) {
		result = tell_crowd(txn, rules, act);
	}
	return result;
}

/* ---- refusing ---- */

static enum store_result count_suspension(struct store_txn *txn, const struct gate_rules *rules,
                                          int64_t now)
{
	struct site site;
	if (rules->suspend_max.count == 0) {
		return STORE_OK;
	}
	if (!read_site(txn, rules, now, &site)) {
		return store_txn_fail(txn, STORE_DAMAGED);
	}
	budget_take(&site.budget, 1, now);
	return put_ledger(txn, KEY_SITE_LEDGER, &site.budget, &site.marks, &site.ledger);
}

/* The first limit that is broken goes on the bill. */
static struct bill make_bill(const struct act *act, const struct finding *f)
{
	const struct gate_books *books = &f->books;
	const struct budget_limit *limit = books->limits.limit;
	size_t i = 0;
	uint32_t spent = budget_spent(&books->budget.ring[0], act->now);
	while ((uint64_t)spent + f->price <= limit[i].tokens) {
		spent = budget_spent(&books->budget.ring[++i], act->now);
	}
	struct bill bill = {
		.limit = limit[i], .spent = spent, .asked = f->price, .facts = books->facts
	};
	if (act->apppass.len) {
		memcpy(bill.apppass, act->apppass.ptr, act->apppass.len);
	}
	return bill;
}

static enum store_result trip(struct store_txn *txn, const struct gate_rules *rules,
                              const struct act *act, struct finding *f,
                              struct suspend_result *result_out)
{
	struct gate_books *books = &f->books;
	note(books, act);
	struct bill bill = make_bill(act, f);
	enum store_result result = STORE_OK;
	if (f->edge == GATE_EDGE_AGAIN) {
		/* They are paid for: after the unlock it takes three again. */
		memset(books->marks.never, 0, sizeof books->marks.never);
		result = put_ledger(txn, act->account, &books->budget, &books->marks,
		                    &books->ledger);
	}
	if (result == STORE_OK) {
		result = count_suspension(txn, rules, act->now);
	}
	return result == STORE_OK ? suspend_open(txn, &rules->suspend, act, SPAN_LIT("budget"),
	                                         &bill, result_out)
	                          : result;
}

/* Only where a third one would cost it its account is it worth a row. */
static enum store_result note_never(struct store_txn *txn, const struct act *act,
                                    struct finding *f)
{
	struct gate_books *books = &f->books;
	if (f->edge != GATE_EDGE_NEVER || f->course != GATE_COURSE_SUSPEND) {
		return STORE_OK;
	}
	gate_marks_note_never(&books->marks, act->now);
	return put_ledger(txn, act->account, &books->budget, &books->marks, &books->ledger);
}

static enum gate_verdict refuse(struct store_txn *txn, const struct gate_rules *rules,
                                const struct act *act, struct finding *f,
                                struct suspend_result *result_out)
{
	enum store_result result = f->verdict == GATE_TRIPPED
	                               ? trip(txn, rules, act, f, result_out)
	                           : f->verdict == GATE_NEVER ? note_never(txn, act, f)
	                                                      : STORE_OK;
	return result == STORE_OK ? f->verdict : GATE_BROKEN;
}

enum gate_verdict gate_message(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct suspend_result *result_out)
{
	struct finding f;
	enum gate_verdict verdict = judge(txn, rules, act, &f);
	if (is_taken(verdict)) {
		return charge(txn, rules, act, &f) == STORE_OK ? verdict : GATE_BROKEN;
	}
	return refuse(txn, rules, act, &f, result_out);
}

enum gate_verdict gate_trip(struct store_txn *txn, const struct gate_rules *rules,
                            const struct act *act, struct suspend_result *result_out)
{
	struct finding f;
	judge(txn, rules, act, &f);
	return refuse(txn, rules, act, &f, result_out);
}
