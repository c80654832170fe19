#include "test/auth/traffic_replay.h"

#include "auth/unlock.h"
#include "store/incident.h"

static bool is_word(struct span word, const char *text)
{
	return span_eq(word, span_str(text));
}

/* ---- what the site has configured ---- */

/* As a site has it that configures nothing. */
static void site_tariff(struct replay *r, const struct span *words, size_t count)
{
	const int64_t minute = 60000, hour = 60 * minute;
	struct gate_rules *rules = &r->rules;
	const char *reason = "";
	rules->tariff = tariff_default();
	rules->dwell = (struct tariff_dwell){ 50, 5 * minute, 4 * hour };
	rules->stranger_limits = (struct budget_limits){
		.limit = { { 100, DAY }, { 300, 7 * DAY } },
		.count = 2,
	};
	rules->site_strangers = (struct budget_limits){ .limit = { { 200, DAY } }, .count = 1 };
	rules->familiar = (struct familiar_rules){ .keep = 390 * DAY, .shared_from = 10 };
	for (size_t i = 0; i < count; i++) {
		if (!tariff_parse(words[i], &rules->tariff, &reason)) {
			FAIL(r, "%.*s %s", SPAN_ARG(words[i]), reason);
		}
	}
}

static void site_stranger_limits(struct replay *r, const struct span *words, size_t count)
{
	replay_limits(r, words, count, &r->rules.stranger_limits);
}

static void site_strangers(struct replay *r, const struct span *words, size_t count)
{
	replay_limits(r, words, count, &r->rules.site_strangers);
}

static void site_shared_from(struct replay *r, const struct span *words, size_t count)
{
	r->rules.familiar.shared_from = count ? day_count(&r->day, words[0]) : 0;
}

static void site_history(struct replay *r, const struct span *words, size_t count)
{
	r->rules.familiar.off = count && is_word(words[0], "off");
}

static struct replay_place *declare(struct replay *r, const struct span *words, size_t count,
                                    size_t want)
{
	if (count != want || words[0].len >= sizeof r->places[0].name) {
		FAIL(r, "which network?");
	}
	for (size_t i = 0; i < r->nplaces; i++) {
		if (is_word(words[0], r->places[i].name)) {
			return &r->places[i];
		}
	}
	assert_true(r->nplaces < COUNT(r->places));
	memcpy(r->places[r->nplaces].name, words[0].ptr, words[0].len);
	return &r->places[r->nplaces++];
}

static void site_familiar(struct replay *r, const struct span *words, size_t count)
{
	declare(r, words, count, 1)->familiar = true;
}

static void site_shared(struct replay *r, const struct span *words, size_t count)
{
	declare(r, words, count, 1)->shared = true;
}

static void site_country(struct replay *r, const struct span *words, size_t count)
{
	struct replay_place *place = declare(r, words, count, 2);
	memcpy(place->country, words[1].ptr, words[1].len < 2 ? words[1].len : 2);
}

const struct replay_site_step replay_guard_site[] = {
	{ "tariff", site_tariff },
	{ "stranger_limits", site_stranger_limits },
	{ "site_strangers", site_strangers },
	{ "shared_from", site_shared_from },
	{ "history", site_history },
	{ "familiar", site_familiar },
	{ "shared", site_shared },
	{ "country", site_country },
	{ NULL, NULL },
};

/* ---- what comes before ---- */

/* "alice past 1-60": an import, of these. */
static void account_past(struct replay *r, struct span account, const struct span *words,
                         size_t count)
{
	static struct replay_people people;
	static uint64_t contacts[REPLAY_PEOPLE_MAX];
	replay_people(r, count == 1 ? words[0] : SPAN_NONE, &people);
	for (size_t i = 0; i < people.n; i++) {
		contacts[i] = replay_digest(r, account, people.number[i]);
	}
	assert_int_equal(
	    familiar_import(r->txn, account, contacts, people.n, store_now(r->store)),
	    STORE_OK);
}

/* What is unused for too long goes, as it does now and then. */
static void account_forgets(struct replay *r, struct span account, const struct span *words,
                            size_t count)
{
	(void)words;
	(void)count;
	bool any;
	assert_int_equal(
	    familiar_forget(r->txn, &r->rules.familiar, account, store_now(r->store), &any),
	    STORE_OK);
}

/* ---- what comes after ---- */

/* "4h", or "2h..4h", into both. */
static void read_span(struct replay *r, struct span word, int64_t *low_out, int64_t *high_out)
{
	size_t dot = span_find(word, '.');
	bool zero = is_word(word, "0");
	*low_out = zero ? 0 : day_duration(&r->day, span_first(word, dot));
	*high_out = dot < word.len ? day_duration(&r->day, span_from(word, dot + 2)) : *low_out;
}

static void account_dwells(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	int64_t low, high, dwell = replay_find(r, account)->dwell;
	read_span(r, count == 1 ? words[0] : SPAN_NONE, &low, &high);
	if (dwell < low || dwell > high) {
		FAIL(r, "%lld s", (long long)dwell / 1000);
	}
}

static void expect_count(struct replay *r, const struct span *words, size_t count, uint32_t is)
{
	if (count != 1 || day_count(&r->day, words[0]) != is) {
		FAIL(r, "%u", is);
	}
}

static void account_relayed(struct replay *r, struct span account, const struct span *words,
                            size_t count)
{
	struct replay_account *a = replay_find(r, account);
	expect_count(r, words, count, a->relayed);
	a->relayed = 0;
}

static uint32_t count_queued(struct replay *r, struct span account, enum queue_state state)
{
	struct queue_entry entry;
	struct arena arena;
	uint64_t id = 0;
	uint32_t n = 0;
	while (queue_list_next(r->txn, account, id, &id) == STORE_OK) {
		arena_init(&arena, QUEUE_ENTRY_MAX);
		assert_int_equal(queue_get(r->txn, id, &arena, &entry), STORE_OK);
		n += entry.state == state ? (uint32_t)entry.nrecipients : 0;
		arena_done(&arena);
	}
	return n;
}

static void account_waiting(struct replay *r, struct span account, const struct span *words,
                            size_t count)
{
	expect_count(r, words, count, count_queued(r, account, QUEUE_READY));
}

static void account_held(struct replay *r, struct span account, const struct span *words,
                         size_t count)
{
	expect_count(r, words, count, count_queued(r, account, QUEUE_HELD));
}

/* The admin lets all of it go, message by message. */
static void account_let_go(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	uint64_t id = 0;
	(void)words;
	(void)count;
	while (queue_list_next(r->txn, account, id, &id) == STORE_OK) {
		assert_int_equal(queue_release(r->txn, id, store_now(r->store)), STORE_OK);
	}
	replay_relay(r);
}

static void account_is(struct replay *r, struct span account, const struct span *words,
                       size_t count)
{
	bool good = replay_incident(r, account) == 0;
	if (count != 1 || !is_word(words[0], good ? "good" : "suspended")) {
		FAIL(r, "it is %s", good ? "good" : "suspended");
	}
}

static void account_password(struct replay *r, struct span account, const struct span *words,
                             size_t count)
{
	struct account row;
	(void)words;
	(void)count;
	assert_int_equal(account_get(r->txn, account, &row), STORE_OK);
	int64_t wall = replay_wall();
	row.changed_wall = wall > row.changed_wall ? wall : row.changed_wall + 1;
	assert_int_equal(account_put(r->txn, account, &row), STORE_OK);
}

/* "alice prices stranger=0": its own; without any, those of the site. */
static void account_prices(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	struct tariff prices = tariff_unset();
	const char *reason = "";
	for (size_t i = 0; i < count; i++) {
		if (!tariff_parse(words[i], &prices, &reason)) {
			FAIL(r, "%.*s %s", SPAN_ARG(words[i]), reason);
		}
	}
	assert_int_equal(gate_set_prices(r->txn, account, &prices), STORE_OK);
}

/* ---- what is known ---- */

/* "alice knows 5-9", "alice knows not 5-9". */
static void account_knows(struct replay *r, struct span account, const struct span *words,
                          size_t count)
{
	static struct replay_people people;
	bool no = count == 2 && is_word(words[0], "not");
	replay_people(r, count == (size_t)1 + no ? words[no] : SPAN_NONE, &people);
	for (size_t i = 0; i < people.n; i++) {
		uint64_t contact = replay_digest(r, account, people.number[i]);
		struct act act = { .account = account,
			           .recipients = 1,
			           .contact = &contact,
			           .ncontacts = 1,
			           .now = store_now(r->store) };
		assert_int_equal(familiar_look(r->txn, &r->rules.familiar, 0, &act, NULL),
		                 STORE_OK);
		if ((act.past.strangers == 0) == no) {
			FAIL(r, "c%u is %s", people.number[i], no ? "known" : "a stranger");
		}
	}
}

/* "alice history contacts 60 networks 2 ripe 1 barred 0": what is named must be so; "learned":
 * long enough to be charged by. */
static void account_history(struct replay *r, struct span account, const struct span *words,
                            size_t count)
{
	struct familiar_view view;
	assert_int_equal(
	    familiar_show(r->txn, &r->rules.familiar, account, store_now(r->store), &view),
	    STORE_OK);
	const struct {
		const char *name;
		uint32_t is;
	} facts[] = {
		{ "contacts", view.contacts }, { "networks", view.networks },
		{ "ripe", view.ripe },         { "barred", view.barred },
		{ "rest", view.barred_rest },  { "learned", view.learned },
	};
	for (size_t i = 0; i + 1 < count; i += 2) {
		size_t f = 0;
		while (f < COUNT(facts) && !is_word(words[i], facts[f].name)) {
			f++;
		}
		if (f == COUNT(facts) || facts[f].is != day_count(&r->day, words[i + 1])) {
			FAIL(r, "%.*s: %u", SPAN_ARG(words[i]),
			     f < COUNT(facts) ? facts[f].is : 0);
		}
	}
}

/* ---- the end of a suspension ---- */

static enum order read_order(struct replay *r, struct span word)
{
	static const struct {
		const char *word;
		enum order order;
	} orders[] = {
		{ "unlock", ORDER_UNLOCK }, { "release", ORDER_RELEASE },
		{ "keep", ORDER_KEEP },     { "discard", ORDER_DISCARD },
		{ "spam", ORDER_SPAM },     { "no", ORDER_NO },
	};
	size_t i = 0;
	while (i < COUNT(orders) && !span_eq(word, span_str(orders[i].word))) {
		i++;
	}
	if (i == COUNT(orders)) {
		FAIL(r, "no such word");
	}
	return orders[i].order;
}

/* "alice answer release expect done": the first postmaster's word to the notice of the present
 * suspension; none is UNLOCK. */
static void account_answer(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	static const char *const answers[] = {
		[UNLOCK_DONE] = "done", [UNLOCK_WRONG] = "wrong", [UNLOCK_EXPIRED] = "expired",
		[UNLOCK_OFF] = "off",   [UNLOCK_VERDICTS] = NULL,
	};
	char token[UNLOCK_TOKEN_LEN + 1];
	struct suspend_result result;
	uint64_t incident = replay_incident(r, account);
	unlock_token(&r->key, account, incident, token);
	const struct unlock_rules rules = { .suspend = r->rules.suspend, .key = r->key };
	const struct unlock_answer answer = {
		.tag = { .incident = incident, .token = span_str(token) },
		.order = count == 3 ? read_order(r, words[0]) : ORDER_UNLOCK,
		.login = r->postmaster[0],
		.now = store_now(r->store),
		.wall = replay_wall(),
	};
	enum unlock_verdict verdict = unlock_redeem(r->txn, &rules, &answer, &result);
	if (count < 2 || !answers[verdict] ||
	    !span_eq(words[count - 1], span_str(answers[verdict]))) {
		FAIL(r, "the answer: %s", unlock_verdict_name(verdict));
	}
}

static void account_unlock(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	struct suspend_result result;
	const struct suspend_end end = {
		.account = account,
		.incident = replay_incident(r, account),
		.event = STANDING_UNLOCK,
		.by = SPAN_LIT("uid 0"),
		.how = SPAN_LIT("unlock"),
		.now = store_now(r->store),
		.wall = replay_wall(),
	};
	(void)words;
	(void)count;
	if (suspend_apply(r->txn, &r->rules.suspend, &end, &result) != STORE_OK) {
		FAIL(r, "it is not suspended");
	}
}

/* ---- the bill ---- */

/* Of the account's last suspension. */
static void read_bill(struct replay *r, struct span account, struct bill *bill_out)
{
	struct incident incident = { .number = 0 };
	struct arena arena;
	bool found = false;
	arena_init(&arena, 64 * 1024);
	while (incident_next(r->txn, incident.number, &arena, &incident) == STORE_OK) {
		if (span_eq(incident.account, account)) {
			found = bill_unpack(incident.reasons, bill_out);
		}
	}
	arena_done(&arena);
	if (!found) {
		FAIL(r, "there is no bill");
	}
}

static void check_line(struct replay *r, const struct bill *bill, enum tariff_row row,
                       uint32_t want)
{
	if (bill->lines.count[row] != want) {
		FAIL(r, "%s: %u, not %u", tariff_name(row), bill->lines.count[row], want);
	}
}

/* "alice bill of 500/30m stranger 12 strange-network 12 new-network 1": the limit that broke
 * (when it is one of strangers: "of strangers 100/24h"), and all lines but the recipients. */
static void account_bill(struct replay *r, struct span account, const struct span *words,
                         size_t count)
{
	struct bill bill;
	uint32_t want[TARIFF_ROWS] = { 0 };
	size_t i = 0;
	read_bill(r, account, &bill);
	if (count > 1 && is_word(words[0], "of")) {
		struct budget_limits limit;
		i = is_word(words[1], "strangers") ? 2 : 1;
		replay_limits(r, words + i, 1, &limit);
		if (bill.limit.tokens != limit.limit[0].tokens ||
		    bill.limit.window != limit.limit[0].window || bill.strangers != (i == 2)) {
			FAIL(r, "it is of %u", bill.limit.tokens);
		}
		i++;
	}
	for (; i + 1 < count; i += 2) {
		enum tariff_row row = TARIFF_RECIPIENT;
		while (row < TARIFF_ROWS && !is_word(words[i], tariff_name(row))) {
			row++;
		}
		if (row == TARIFF_ROWS || row == TARIFF_RECIPIENT) {
			FAIL(r, "%.*s is no line", SPAN_ARG(words[i]));
		}
		want[row] = day_count(&r->day, words[i + 1]);
	}
	for (enum tariff_row row = TARIFF_RECIPIENT + 1; row < TARIFF_ROWS; row++) {
		check_line(r, &bill, row, want[row]);
	}
}

const struct replay_account_step replay_guard_account[] = {
	{ "mails", replay_mails },
	{ "past", account_past },
	{ "forgets", account_forgets },
	{ "dwells", account_dwells },
	{ "relayed", account_relayed },
	{ "waiting", account_waiting },
	{ "held", account_held },
	{ "letgo", account_let_go },
	{ "is", account_is },
	{ "password", account_password },
	{ "prices", account_prices },
	{ "knows", account_knows },
	{ "history", account_history },
	{ "bill", account_bill },
	{ "answer", account_answer },
	{ "unlock", account_unlock },
	{ NULL, NULL },
};
