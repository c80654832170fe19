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

enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 struct act *act)
{
	struct gate_finding f;
	enum gate_verdict verdict = gate_judge(txn, rules, act, &f);
	act->past = f.act.past;
	return verdict;
}

int64_t gate_when(struct store_txn *txn, const struct gate_rules *rules, const struct act *act)
{
	struct gate_finding f;
	return gate_judge(txn, rules, act, &f) == GATE_DEFER
	           ? budget_when(&f.books.budget, &f.books.limits, f.price, act->now)
	           : act->now;
}

/* ---- news: one of a kind a day ---- */

static enum store_result put_notice(struct store_txn *txn, const struct gate_rules *rules,
                                    const struct act *act, enum gate_news news,
                                    const struct budget_limit *limit)
{
	struct buf note = { .cap = 1024 };
	buf_printf(&note, "%s\n%.*s, at ", gate_news_word(news), SPAN_ARG(act->account));
	budget_limit_write(limit, &note);
	enum store_result result = note.failed ? store_txn_fail(txn, STORE_FAILED)
	                                       : suspend_put_notice(
						     txn, &rules->suspend, QUEUE_NOTICE_EVENT,
						     0, buf_span(&note), act->now, act->wall);
	buf_done(&note);
	return result;
}

#define EXEMPT_ALARM 10 /* times the most it has ever used of its first limit, or that limit \
	                 */

/* Not before the limit of all others: below that nobody would be told of them, either. */
static bool sends_very_much(const struct gate_books *books, int64_t now)
{
	uint32_t limit = books->limits.count ? books->limits.limit[0].tokens : 0;
	uint32_t peak = books->facts.peak_before;
	uint64_t many = (uint64_t)EXEMPT_ALARM * (peak ? peak : limit);
	return books->exempt && limit &&
	       budget_spent(&books->budget.ring[0], now) > (many > limit ? many : limit);
}

/* What of the account is news, if it was not told today; after the charge. */
static bool has_news(struct gate_finding *f, int64_t dwell, const struct gate_rules *rules,
                     enum gate_news *news_out)
{
	static const enum gate_news held[] = {
		[GATE_REASON_BUDGET] = GATE_NEWS_HELD,
		[GATE_REASON_STRANGERS] = GATE_NEWS_STRANGERS,
		[GATE_REASON_PROVOKED] = GATE_NEWS_PROVOKED,
		[GATE_REASON_SITE] = GATE_NEWS_COUNT, /* of the site */
		[GATE_REASON_CROWD] = GATE_NEWS_COUNT,
	};
	bool waits = dwell > rules->dwell.most;
	enum gate_news news = f->verdict == GATE_HOLD                  ? held[f->reason]
	                      : waits                                  ? GATE_NEWS_WAITS
	                      : sends_very_much(&f->books, f->act.now) ? GATE_NEWS_EXEMPT
	                                                               : GATE_NEWS_COUNT;
	*news_out = news;
	return news != GATE_NEWS_COUNT &&
	       gate_marks_may_tell(&f->books.marks, news, f->act.now);
}

/* Of the site, when that is why it is held. */
static enum store_result tell_site(struct store_txn *txn, const struct gate_rules *rules,
                                   const struct gate_finding *f)
{
	bool held = f->verdict == GATE_HOLD;
	if (held && f->reason == GATE_REASON_CROWD) {
		return gate_site_tell(txn, rules, KEY_SITE_LEDGER, GATE_NEWS_CROWD, &f->act,
		                      rules->suspend_max.limit);
	}
	return held && f->reason == GATE_REASON_SITE
	           ? gate_site_tell(txn, rules, KEY_SITE_STRANGERS, GATE_NEWS_SITE, &f->act,
	                            rules->site_strangers.limit)
	           : STORE_OK;
}

/* The limit that the news is about. */
static const struct budget_limit *limit_of(const struct gate_rules *rules,
                                           const struct gate_finding *f)
{
	return f->reason == GATE_REASON_STRANGERS ? rules->stranger_limits.limit
	                                          : f->books.limits.limit;
}

/* ---- the limit that it goes beyond: the first that is broken ---- */

/* `number_out`: of it among those of its kind. */
static struct gate_beyond find_beyond(const struct gate_rules *rules,
                                      const struct gate_finding *f, size_t *number_out)
{
	const struct gate_books *books = &f->books;
	bool strangers = f->reason == GATE_REASON_STRANGERS;
	const struct budget *budget = strangers ? &books->strangers : &books->budget;
	const struct budget_limits *limits = strangers ? &rules->stranger_limits
	                                               : &books->limits;
	uint32_t asked = strangers ? f->weight : f->price;
	size_t i = gate_broken_limit(budget, limits, asked, f->act.now);
	*number_out = i;
	return (struct gate_beyond){ .limit = limits->limit[i],
		                     .strangers = strangers,
		                     .spent = budget_spent(&budget->ring[i], f->act.now),
		                     .asked = asked };
}

/* ---- charging ---- */

static void note(struct gate_books *books, const struct act *act)
{
	bool limited = books->limits.count > 0;
	facts_note(&books->facts, act,
	           limited ? budget_spent(&books->budget.ring[0], act->now) : 0,
	           limited ? books->limits.limit[0].window : 0);
}

/* What is held because of whom it is to may never be sent: it costs what any mail does. So does
 * what would have been held, else its price would tell of suspensions that never were; but it
 * was sent, and its strangers count. */
static void discount(struct gate_finding *f)
{
	bool guarded = f->reason == GATE_REASON_STRANGERS || f->reason == GATE_REASON_SITE;
	bool held = guarded && f->verdict == GATE_HOLD;
	bool would = guarded && f->would != GATE_WOULD_PASS && f->would != GATE_WOULD_SUSPEND;
	if (held || would) {
		f->bill = (struct tariff_bill){ .count[TARIFF_RECIPIENT] = f->plain };
		f->price = f->plain;
	}
	if (held) {
		f->strangers = f->weight = 0;
	}
}

/* What was charged for, without the recipients themselves: they are what is left of the sum. */
static void take(struct gate_finding *f)
{
	struct gate_books *books = &f->books;
	discount(f);
	struct tariff_bill extras = f->bill;
	extras.count[TARIFF_RECIPIENT] = 0;
	budget_take(&books->budget, f->price, f->act.now);
	budget_take(&books->strangers, f->weight, f->act.now);
	gate_ticket_take(&books->ticket, &books->marks, f->allowed);
	tariff_tally_note(&books->tally, &extras);
	note(books, &f->act);
}

/* By the limit of which most is used; the message is in it. */
static int64_t dwell_of(const struct gate_rules *rules, const struct gate_finding *f)
{
	const struct gate_books *books = &f->books;
	int64_t longest = 0;
	for (size_t i = 0; i < books->limits.count && f->verdict == GATE_ALLOW; i++) {
		const struct tariff_bill sum = tariff_tally_sum(&books->tally, i);
		uint32_t used = budget_spent(&books->budget.ring[i], f->act.now);
		int64_t dwell = tariff_dwell(&rules->dwell, &f->act, used,
		                             books->limits.limit[i].tokens,
		                             tariff_surcharge(&books->tariff, &sum));
		longest = dwell > longest ? dwell : longest;
	}
	return books->exempt ? 0 : longest;
}

/* Charges and notes: the row that an accepted message rewrites, and those of an app password
 * with limits, the history and the site where something changes there. What was read of the
 * ledgers lies in the map, where a put may move it. */
static enum store_result charge(struct store_txn *txn, const struct gate_rules *rules,
                                struct gate_finding *f, struct gate_result *result_out)
{
	struct gate_books *books = &f->books;
	enum gate_news news;
	size_t number;
	result_out->strangers = f->weight;
	if (f->verdict == GATE_HOLD) {
		result_out->beyond = find_beyond(rules, f, &number);
	}
	take(f);
	int64_t dwell = dwell_of(rules, f);
	if (books->mode == GATE_MODE_OBSERVE && dwell) {
		f->would = f->would == GATE_WOULD_PASS ? GATE_WOULD_WAIT : f->would;
		dwell = 0;
	}
	struct gate_sight sight = gate_sight_of(f);
	bool tells = has_news(f, dwell, rules, &news);
	enum store_result result = gate_books_put(txn, f->act.account, books);
	if (result == STORE_OK && books->extra.limits.count) {
		result = gate_books_put_extra(txn, &f->act, &books->extra);
	}
	if (result == STORE_OK) {
		result = familiar_note(txn, &rules->familiar, &f->act, &f->head);
	}
	if (result == STORE_OK) {
		result = gate_site_take(txn, KEY_SITE_STRANGERS, &rules->site_strangers,
		                        &f->act, gate_is_strange(&f->act) ? f->strangers : 0);
	}
	if (result == STORE_OK && tells) {
		result = put_notice(txn, rules, &f->act, news, limit_of(rules, f));
	}
	if (result == STORE_OK) {
		result = gate_tell(txn, rules, f, sight, result_out);
	}
	result_out->dwell = dwell;
	result_out->price = f->price;
	result_out->told = result_out->told || tells;
	return result == STORE_OK ? tell_site(txn, rules, f) : result;
}

/* ---- refusing ---- */

/* With what was charged within that limit. */
static struct bill make_bill(const struct gate_rules *rules, const struct gate_finding *f)
{
	const struct gate_books *books = &f->books;
	size_t number;
	const struct gate_beyond beyond = find_beyond(rules, f, &number);
	struct bill bill = { .limit = beyond.limit,
		             .spent = beyond.spent,
		             .asked = beyond.asked,
		             .strangers = beyond.strangers,
		             .tariff = books->tariff,
		             .facts = books->facts };
	bill.lines = tariff_tally_sum(&books->tally,
	                              beyond.strangers ? books->limits.count - 1 : number);
	tariff_add(&bill.lines, &f->bill);
	if (f->act.apppass.len) {
		memcpy(bill.apppass, f->act.apppass.ptr, f->act.apppass.len);
	}
	return bill;
}

static enum store_result trip(struct store_txn *txn, const struct gate_rules *rules,
                              struct gate_finding *f, struct gate_result *result_out)
{
	struct gate_books *books = &f->books;
	note(books, &f->act);
	struct bill bill = make_bill(rules, f);
	enum store_result result = STORE_OK;
	if (f->edge == GATE_EDGE_AGAIN) {
		/* They are paid for: after the unlock it takes three again. */
		memset(books->marks.never, 0, sizeof books->marks.never);
		result = gate_books_put(txn, f->act.account, books);
	}
	if (result == STORE_OK) {
		/* Its network was used, and is unlearned, or barred, with the others. */
		result = familiar_note(txn, &rules->familiar, &f->act, &f->head);
	}
	if (result == STORE_OK) {
		result = gate_site_take(txn, KEY_SITE_LEDGER, &rules->suspend_max, &f->act, 1);
	}
	return result == STORE_OK
	           ? suspend_open(txn, &rules->suspend, &f->act, SPAN_LIT("budget"), &bill,
	                          &result_out->suspended)
	           : result;
}

/* Only where a third one would cost it its account is it worth a row. */
static enum store_result note_never(struct store_txn *txn, struct gate_finding *f)
{
	struct gate_books *books = &f->books;
	if (f->edge != GATE_EDGE_NEVER || f->course != GATE_COURSE_SUSPEND) {
		return STORE_OK;
	}
	gate_marks_note_never(&books->marks, f->act.now);
	return gate_books_put(txn, f->act.account, books);
}

static enum gate_verdict refuse(struct store_txn *txn, const struct gate_rules *rules,
                                struct gate_finding *f, struct gate_result *result_out)
{
	enum store_result result = f->verdict == GATE_TRIPPED ? trip(txn, rules, f, result_out)
	                           : f->verdict == GATE_NEVER ? note_never(txn, f)
	                                                      : STORE_OK;
	return result == STORE_OK ? f->verdict : GATE_BROKEN;
}

enum gate_verdict gate_message(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct gate_result *result_out)
{
	struct gate_finding f;
	enum gate_verdict verdict = gate_judge(txn, rules, act, &f);
	*result_out = (struct gate_result){ .dwell = 0 };
	if (verdict == GATE_ALLOW || verdict == GATE_HOLD) {
		return charge(txn, rules, &f, result_out) == STORE_OK ? verdict : GATE_BROKEN;
	}
	return refuse(txn, rules, &f, result_out);
}

enum gate_verdict gate_trip(struct store_txn *txn, const struct gate_rules *rules,
                            const struct act *act, struct gate_result *result_out)
{
	struct gate_finding f;
	gate_judge(txn, rules, act, &f);
	*result_out = (struct gate_result){ .dwell = 0 };
	return refuse(txn, rules, &f, result_out);
}

/* ---- what the smarthost says later ---- */

bool gate_was_held(struct store_txn *txn, struct span account, int64_t accepted_at)
{
	struct ledger ledger;
	struct standing standing;
	/* What the smarthost took must be noted, whatever the ledger is like. */
	bool can = gate_books_can_be_read(txn, account) &&
	           ledger_get(txn, account, &ledger) == STORE_OK &&
	           standing_unpack(ledger.standing, &standing);
	return !can || (standing.trips[0] && accepted_at <= standing.trips[0]);
}

enum store_result gate_learn(struct store_txn *txn, const struct gate_rules *rules,
                             const struct familiar_lesson *lesson)
{
	/* Whether the row can be read is no matter here: it must not fail what was sent. */
	struct span row;
	enum store_result result = store_get(txn, STORE_ACCOUNT, lesson->account, &row);
	if (result != STORE_OK) {
		return result == STORE_NOT_FOUND ? STORE_OK : result;
	}
	return gate_was_held(txn, lesson->account, lesson->now)
	           ? store_txn_result(txn)
	           : familiar_learn(txn, &rules->familiar, lesson);
}

/* When so many accounts have refused recipients within ten minutes it is the smarthost. */
static const struct budget_limit ILL = { 8, (int64_t)10 * 60 * 1000 };

/* How many of the recipients are to be charged. */
static uint32_t count_refused(struct store_txn *txn, const struct gate_rules *rules,
                              struct gate_finding *f)
{
	bool ill = false;
	const struct act_past *past = &f->act.past;
	bool charged = past->learned && past->strangers && !f->books.exempt &&
	               f->books.tariff.price[TARIFF_REFUSED];
	if (!charged ||
	    gate_site_note(txn, KEY_SITE_REFUSED, &ILL, &f->act, &ill) != STORE_OK) {
		return 0;
	}
	if (ill) {
		gate_site_tell(txn, rules, KEY_SITE_REFUSED, GATE_NEWS_ILL, &f->act, &ILL);
	}
	return ill ? 0 : past->strangers;
}

enum gate_verdict gate_refused(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct gate_result *result_out)
{
	struct gate_finding f;
	enum gate_verdict verdict = gate_judge(txn, rules, act, &f);
	*result_out = (struct gate_result){ .dwell = 0 };
	if (verdict == GATE_SUSPENDED || verdict == GATE_UNKNOWN || verdict == GATE_BROKEN) {
		return verdict;
	}
	/* The site is noted first: what was read of the ledger before that lies in the map,
	 * which a put moves. */
	const uint32_t refused = count_refused(txn, rules, &f);
	if (refused) {
		gate_judge(txn, rules, act, &f);
	}
	f.bill = (struct tariff_bill){ .count[TARIFF_REFUSED] = refused };
	f.price = tariff_price(&f.books.tariff, &f.bill);
	f.count = f.allowed = f.plain = f.strangers = f.weight = 0;
	if (f.price == 0 || store_txn_result(txn) != STORE_OK) {
		return store_txn_result(txn) == STORE_OK ? GATE_ALLOW : GATE_BROKEN;
	}
	f.verdict = gate_judge_charge(rules, &f);
	if (f.verdict == GATE_TRIPPED) {
		bool fits = true;
		if (!gate_site_fits(txn, KEY_SITE_LEDGER, &rules->suspend_max, 1, act->now,
		                    &fits)) {
			return GATE_BROKEN;
		}
		if (fits) {
			return refuse(txn, rules, &f, result_out);
		}
	}
	budget_take(&f.books.budget, f.price, act->now);
	tariff_tally_note(&f.books.tally, &f.bill);
	struct gate_sight sight = gate_sight_of(&f);
	enum store_result result = gate_books_put(txn, act->account, &f.books);
	if (result == STORE_OK) {
		result = gate_tell(txn, rules, &f, sight, result_out);
	}
	return result == STORE_OK ? GATE_ALLOW : GATE_BROKEN;
}
