#include "auth/gate_books.h"

#include "store/keys.h"

/* ---- what it costs ---- */

static uint32_t most_fitting(const struct budget_limits *limits)
{
	uint32_t least = UINT32_MAX;
	for (size_t i = 0; i < limits->count; i++) {
		least = limits->limit[i].tokens < least ? limits->limit[i].tokens : least;
	}
	return least;
}

/* What of the act is left when so many recipients are taken off. */
static struct act without(const struct act *act, uint32_t count, uint32_t allowed)
{
	struct act rest = *act;
	uint32_t left = count - allowed;
	rest.recipients = act->recipients < left ? act->recipients : left;
	rest.members = left - rest.recipients;
	rest.past.strangers = act->past.strangers < left ? act->past.strangers : left;
	rest.past.beyond = act->past.beyond < left ? act->past.beyond : left;
	return rest;
}

/* A ticket is for who has asked for it, not for a thief who finds it open: it is good from
 * networks that are declared, or the account's own. */
static bool may_use_ticket(const struct gate_finding *f)
{
	return !f->books.exempt && (!f->act.past.learned || familiar_is_own(&f->act, &f->head));
}

/* How many recipients there may be in a message is said by their number alone: if that fits, it
 * is never dearer than the whole of an empty budget. */
static void reckon(struct gate_finding *f)
{
	const struct gate_books *books = &f->books;
	uint64_t count = (uint64_t)f->act.recipients + f->act.members;
	f->count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
	f->allowed = may_use_ticket(f)
	                 ? gate_ticket_part(&books->ticket, &books->marks, f->count, f->act.now)
	                 : 0;
	struct act rest = without(&f->act, f->count, f->allowed);
	f->bill = tariff_bill(&rest);
	/* Without surcharges the classic rule holds: recipients are counted and nothing else.
	 */
	bool counts = rest.past.learned && !tariff_is_classic(&books->tariff);
	f->strangers = counts ? rest.past.strangers : 0;
	f->weight = f->strangers;
	if (gate_is_strange(&f->act)) {
		/* Two: who stays just below all limits must not have a hundred a day. */
		f->weight += f->strangers < UINT32_MAX / 2 ? f->strangers : 0;
	}
	uint32_t price = tariff_price(&books->tariff, &f->bill);
	uint32_t most = most_fitting(&books->limits);
	f->plain = rest.recipients;
	f->price = price <= most || f->plain > most ? price : most;
}

/* ---- where it meets the budget ---- */

static enum gate_edge edge_of(const struct gate_finding *f)
{
	const struct gate_books *books = &f->books;
	int64_t now = f->act.now;
	if (books->exempt) {
		return GATE_EDGE_WITHIN;
	}
	enum gate_edge edge = gate_limit_edge(&books->budget, &books->limits, f->price, now);
	bool again = edge == GATE_EDGE_NEVER && gate_marks_is_again(&books->marks, now);
	return again ? GATE_EDGE_AGAIN : edge;
}

size_t gate_broken_limit(const struct budget *budget, const struct budget_limits *limits,
                         uint32_t price, int64_t now)
{
	size_t i = 0;
	while (i < limits->count && (uint64_t)budget_spent(&budget->ring[i], now) + price <=
	                                limits->limit[i].tokens) {
		i++;
	}
	return i < limits->count ? i : 0;
}

/* What was charged within a limit, this act included. */
static struct tariff_bill sum_of(const struct gate_finding *f, size_t limit)
{
	struct tariff_bill sum = tariff_tally_sum(&f->books.tally, limit);
	tariff_add(&sum, &f->bill);
	return sum;
}

/* Would all limits be kept but for surcharges, and the members of lists? */
static bool is_plainly_within(const struct gate_finding *f)
{
	const struct gate_books *books = &f->books;
	bool within = true;
	for (size_t i = 0; i < books->limits.count; i++) {
		const struct tariff_bill sum = sum_of(f, i);
		uint64_t all = (uint64_t)budget_spent(&books->budget.ring[i], f->act.now) +
		               f->price;
		uint32_t forgiven = tariff_forgiven(&books->tariff, &sum);
		uint64_t own = all > forgiven ? all - forgiven : 0;
		within = within && own <= books->limits.limit[i].tokens;
	}
	return within;
}

/* Then it is no theft, unless this very message has a surcharge and comes from where a thief
 * might be: a traveller who has written to many strangers may still answer a friend. What is
 * charged later has no network of its own: then all that was charged before it is asked. */
static bool is_provoked(const struct gate_finding *f, bool later)
{
	bool strange = gate_is_strange(&f->act) && tariff_forgiven(&f->books.tariff, &f->bill);
	for (size_t i = 0; later && i < f->books.limits.count; i++) {
		const struct tariff_bill sum = sum_of(f, i);
		strange = strange || tariff_is_strange(&f->books.tariff, &sum);
	}
	return !strange && is_plainly_within(f);
}

/* ---- what is done ---- */

/* Nobody is suspended, and no mail kept, where nobody would hear of it. */
static enum gate_course course_of(const struct gate_rules *rules, enum gate_action action)
{
	bool heard = rules->suspend.npostmaster > 0 || action == GATE_ACTION_DEFER;
	return heard ? (enum gate_course)action : GATE_COURSE_REFUSE;
}

static void turn_to_hold(const struct gate_rules *rules, enum gate_reason reason,
                         struct gate_finding *f)
{
	f->reason = reason;
	f->course = course_of(rules, GATE_ACTION_HOLD);
}

/* The windows for strangers come before the budget: at home what is beyond them is held, and
 * costs nobody his account, up to where the classic rule would have ended it. That an account
 * is exempt is no pass for strangers from where it never was. Where nobody would hear of what
 * is held, nothing is at home. */
static bool look_at_strangers(struct store_txn *txn, const struct gate_rules *rules,
                              struct gate_finding *f)
{
	bool strange = gate_is_strange(&f->act), fits = true;
	bool decided = strange ? f->edge != GATE_EDGE_WITHIN
	                       : f->edge > GATE_EDGE_TWICE || !is_plainly_within(f);
	bool excused = !strange && (f->books.exempt || !rules->suspend.npostmaster);
	if (decided || f->strangers == 0 || excused || f->books.limits.count == 0) {
		return true;
	}
	if (budget_ask(&f->books.strangers, &rules->stranger_limits, f->weight, f->act.now) !=
	    BUDGET_FITS) {
		f->edge = GATE_EDGE_BEYOND;
		f->reason = GATE_REASON_STRANGERS;
		if (!strange || f->books.exempt || f->course != GATE_COURSE_SUSPEND) {
			turn_to_hold(rules, GATE_REASON_STRANGERS, f);
		}
		return true;
	}
	if (!gate_site_fits(txn, KEY_SITE_STRANGERS, &rules->site_strangers,
	                    strange ? f->strangers : 0, f->act.now, &fits)) {
		return false;
	}
	if (!fits) {
		f->edge = GATE_EDGE_BEYOND;
		turn_to_hold(rules, GATE_REASON_SITE, f);
	}
	return true;
}

/* One event that hits a whole company must not lock a hundred people. */
static bool look_around(struct store_txn *txn, const struct gate_rules *rules,
                        struct gate_finding *f)
{
	bool fits = true;
	if (gate_limit_verdict(f->edge, f->course) != GATE_TRIPPED) {
		return true;
	}
	/* However much of it there is: then no more is taken. */
	bool beyond = f->edge == GATE_EDGE_BEYOND || f->edge == GATE_EDGE_TWICE;
	if (beyond && f->reason == GATE_REASON_BUDGET && is_provoked(f, false)) {
		turn_to_hold(rules, GATE_REASON_PROVOKED, f);
		return true;
	}
	if (!gate_site_fits(txn, KEY_SITE_LEDGER, &rules->suspend_max, 1, f->act.now, &fits)) {
		return false;
	}
	if (!fits) {
		turn_to_hold(rules, GATE_REASON_CROWD, f);
	}
	return true;
}

/* ---- observing ---- */

static bool is_below_ceiling(const struct budget *budget, const struct budget_limits *limits,
                             uint32_t price, int64_t now)
{
	struct budget_limits high = *limits;
	for (size_t i = 0; i < high.count; i++) {
		high.limit[i].tokens *= GATE_CEILING;
	}
	return budget_ask(budget, &high, price, now) == BUDGET_FITS;
}

/* Of each limit that could have been in the way: nobody who watches wants to see ten thousand
 * messages go. */
static bool look_at_ceiling(struct store_txn *txn, const struct gate_rules *rules,
                            const struct gate_finding *f, bool *below_out)
{
	const struct gate_books *books = &f->books;
	struct budget_limits site = rules->site_strangers;
	int64_t now = f->act.now;
	bool below = true;
	if (site.count) {
		site.limit[0].tokens *= GATE_CEILING;
	}
	if (books->limits.count) {
		uint32_t strange = gate_is_strange(&f->act) ? f->strangers : 0;
		if (!gate_site_fits(txn, KEY_SITE_STRANGERS, &site, strange, now, &below)) {
			return false;
		}
		below = below &&
		        (books->exempt ||
		         is_below_ceiling(&books->budget, &books->limits, f->price, now)) &&
		        is_below_ceiling(&books->strangers, &rules->stranger_limits, f->weight,
		                         now);
	}
	*below_out = below;
	return true;
}

/* The message of an account that is observed goes, whatever the verdict, and that is noted. */
static enum gate_verdict observe(struct store_txn *txn, const struct gate_rules *rules,
                                 enum gate_verdict verdict, struct gate_finding *f)
{
	bool below = false;
	enum gate_would would = gate_would_of(verdict);
	if (f->books.mode != GATE_MODE_OBSERVE || would == GATE_WOULD_PASS) {
		return verdict;
	}
	if (!look_at_ceiling(txn, rules, f, &below)) {
		return GATE_BROKEN;
	}
	f->would = below ? would : GATE_WOULD_PASS;
	return below ? GATE_ALLOW : verdict;
}

static bool is_taken(enum gate_verdict verdict)
{
	return verdict == GATE_ALLOW || verdict == GATE_HOLD;
}

/* Both budgets are asked: what could never fit one of them is a mistake, no theft. That of an
 * app password is its owner's own will, and kept while its account is observed. */
static enum gate_verdict ask(struct store_txn *txn, const struct gate_rules *rules,
                             struct gate_finding *f)
{
	const struct gate_extra *extra = &f->books.extra;
	reckon(f);
	f->edge = edge_of(f);
	f->course = course_of(rules, f->books.action);
	f->reason = GATE_REASON_BUDGET;
	enum budget_verdict part = extra->limits.count
	                               ? budget_ask(&extra->budget, &extra->limits,
	                                            f->act.recipients, f->act.now)
	                               : BUDGET_FITS;
	if (part == BUDGET_NEVER && f->edge < GATE_EDGE_NEVER) {
		return GATE_NEVER;
	}
	if (!look_at_strangers(txn, rules, f) || !look_around(txn, rules, f)) {
		return GATE_BROKEN;
	}
	enum gate_verdict verdict = f->act.past.barred ? GATE_BARRED
	                                               : gate_limit_verdict(f->edge, f->course);
	verdict = observe(txn, rules, verdict, f);
	if (part == BUDGET_FITS || !is_taken(verdict)) {
		return verdict;
	}
	return part == BUDGET_SPENT ? GATE_SPENT : GATE_NEVER;
}

enum gate_verdict gate_judge(struct store_txn *txn, const struct gate_rules *rules,
                             const struct act *act, struct gate_finding *f)
{
	f->act = *act;
	f->would = GATE_WOULD_PASS;
	f->verdict = gate_books_read_act(txn, rules, act, &f->books);
	if (f->verdict != GATE_ALLOW) {
		return f->verdict;
	}
	if (f->books.standing.state == STANDING_SUSPENDED) {
		return f->verdict = GATE_SUSPENDED;
	}
	if (familiar_look(txn, &rules->familiar, f->books.changed_wall, &f->act, &f->head) !=
	    STORE_OK) {
		return f->verdict = GATE_BROKEN;
	}
	bool barred = f->act.past.barred && f->books.mode != GATE_MODE_OBSERVE;
	f->verdict = barred ? GATE_BARRED : ask(txn, rules, f);
	return f->verdict;
}

/* The next message of the account meets what this has cost; only what comes with a strange
 * network is worth a suspension of its own. */
enum gate_verdict gate_judge_charge(const struct gate_rules *rules, struct gate_finding *f)
{
	const struct gate_books *books = &f->books;
	int64_t now = f->act.now;
	bool fits = budget_ask(&books->budget, &books->limits, f->price, now) == BUDGET_FITS;
	f->would = GATE_WOULD_PASS;
	f->reason = GATE_REASON_BUDGET;
	f->edge = fits ? GATE_EDGE_WITHIN : GATE_EDGE_BEYOND;
	f->course = course_of(rules, books->action);
	if (fits || f->course != GATE_COURSE_SUSPEND || is_provoked(f, true)) {
		return GATE_ALLOW;
	}
	bool goes = books->mode == GATE_MODE_OBSERVE &&
	            is_below_ceiling(&books->budget, &books->limits, f->price, now);
	f->would = goes ? GATE_WOULD_SUSPEND : GATE_WOULD_PASS;
	return goes ? GATE_ALLOW : GATE_TRIPPED;
}
