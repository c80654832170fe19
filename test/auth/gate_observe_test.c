/* Observing: all is judged and charged, nothing is done, up to four times the limits. */
#include "auth/gate.h"

#include "auth/digest.h"
#include "store/journal.h"
#include "test/auth/familiar_help.h"

#define TEN \
	{ \
		{ { 10, 30 * MINUTE } }, 1 \
	}
#define STRANGE 77 /* a network */

static const struct span to[] = { { "postmaster@example.org", 22 } };

static struct gate_rules observing(void)
{
	return (struct gate_rules){ .limits = TEN,
		                    .mode = GATE_MODE_OBSERVE,
		                    .tariff = tariff_default(),
		                    .dwell = { 50, 5 * MINUTE, 4 * HOUR },
		                    .familiar = rules,
		                    .suspend = { .postmaster = to, .npostmaster = 1 } };
}

/* As the session and then the writer ask: both say the same. */
static enum gate_verdict judge(const struct gate_rules *gate, struct act act,
                               struct gate_result *result)
{
	struct act asked = act;
	struct store_txn *txn = begin();
	act.now = asked.now = store_now(store);
	enum gate_verdict courtesy = gate_recipient(txn, gate, &asked);
	enum gate_verdict verdict = gate_message(txn, gate, &act, result);
	assert_int_equal(courtesy, verdict);
	commit(txn);
	return verdict;
}

static enum gate_verdict send(const struct gate_rules *gate, uint32_t n,
                              enum gate_would *would_out)
{
	struct gate_result result;
	const struct act act = { .account = ALICE, .recipients = n, .wall = WALL };
	enum gate_verdict verdict = judge(gate, act, &result);
	assert_int_equal(result.dwell, 0);
	*would_out = result.would;
	return verdict;
}

/* The last row of standing of the journal; how many there are. */
static size_t journal(char text_out[200])
{
	size_t n = 0;
	struct journal_row row = { .at = 0, .id = 0 };
	struct store_txn *txn = store_begin_read(store, NULL);
	struct arena arena;
	arena_init(&arena, QUEUE_ENTRY_MAX);
	while (journal_next(txn, row.at, row.id, &arena, &row) == STORE_OK) {
		n += row.kind == JOURNAL_STANDING;
		snprintf(text_out, 200, "%.*s", SPAN_ARG(row.text));
	}
	arena_done(&arena);
	store_abort(txn);
	return n;
}

/* How many notices of a kind are queued. */
static size_t notices(enum queue_kind kind)
{
	size_t n = 0;
	uint64_t id = 0;
	struct store_txn *txn = store_begin_read(store, NULL);
	while (queue_list_next(txn, SPAN_NONE, id, &id) == STORE_OK) {
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		assert_int_equal(queue_get(txn, id, &arena, &entry), STORE_OK);
		n += entry.kind == kind;
		arena_done(&arena);
	}
	store_abort(txn);
	return n;
}

static uint64_t incident(void)
{
	uint64_t number = 0;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(suspend_incident_of(txn, ALICE, &number), STORE_OK);
	store_abort(txn);
	return number;
}

/* Each action at the limit: what it would have been, the ceiling, and what it is beyond that.
 */
static void up_to_four_times_the_limits(void **state)
{
	static const struct {
		enum gate_action action;
		bool nobody; /* no postmaster */
		enum gate_would first;
		enum gate_verdict beyond;
	} rows[] = {
		{ GATE_ACTION_SUSPEND, false, GATE_WOULD_SUSPEND, GATE_TRIPPED },
		{ GATE_ACTION_DEFER, false, GATE_WOULD_DEFER, GATE_DEFER },
		{ GATE_ACTION_HOLD, false, GATE_WOULD_HOLD, GATE_FULL },
		{ GATE_ACTION_SUSPEND, true, GATE_WOULD_SPENT, GATE_SPENT },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum gate_would would;
		char text[200] = "";
		struct gate_rules gate = observing();
		gate.action = rows[i].action;
		gate.suspend.npostmaster = rows[i].nobody ? 0 : 1;
		assert_int_equal(send(&gate, 10, &would), GATE_ALLOW);
		assert_int_equal(would, GATE_WOULD_PASS);
		assert_int_equal(send(&gate, 2, &would), GATE_ALLOW);
		assert_int_equal(would, rows[i].first);
		assert_int_equal(journal(text), 1);
		assert_non_null(strstr(text, ": 12 of 10/30m"));
		assert_non_null(strstr(text, gate_would_word(would)));
		for (int n = 0; n < 28; n++) {
			assert_int_equal(send(&gate, 1, &would), GATE_ALLOW);
		}
		/* HOLD becomes FULL on the way; the same is told once in an hour. */
		assert_int_equal(journal(text), rows[i].action == GATE_ACTION_HOLD ? 2 : 1);
		assert_int_equal(incident(), 0);
		assert_int_equal(send(&gate, 1, &would), rows[i].beyond);
		assert_int_equal(would, GATE_WOULD_PASS);
		assert_int_equal(incident() != 0, rows[i].beyond == GATE_TRIPPED);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(alice_set_up(state), 0);
	}
}

/* What could never fit goes, too, up to four times as much. */
static void what_could_never_fit(void **state)
{
	(void)state;
	enum gate_would would;
	const struct gate_rules gate = observing();
	assert_int_equal(send(&gate, 41, &would), GATE_NEVER);
	assert_int_equal(send(&gate, 40, &would), GATE_ALLOW);
	assert_int_equal(would, GATE_WOULD_NEVER);
}

/* Of the account, before that of the site, and no longer than was said. */
static void whose_mode(void **state)
{
	(void)state;
	enum gate_would would;
	struct gate_view view;
	struct gate_rules gate = observing();
	const struct gate_stance enforce = { GATE_MODE_ENFORCE, 0 };
	const struct gate_stance a_while = { GATE_MODE_OBSERVE, store_now(store) + 2 * HOUR };
	gate.action = GATE_ACTION_DEFER;
	struct store_txn *txn = begin();
	assert_int_equal(gate_set_mode(txn, ALICE, &enforce), STORE_OK);
	assert_int_equal(gate_set_mode(txn, SPAN_LIT("nobody"), &enforce), STORE_NOT_FOUND);
	commit(txn);
	assert_int_equal(send(&gate, 10, &would), GATE_ALLOW);
	assert_int_equal(send(&gate, 1, &would), GATE_DEFER);
	gate.mode = GATE_MODE_ENFORCE;
	txn = begin();
	assert_int_equal(gate_set_mode(txn, ALICE, &a_while), STORE_OK);
	assert_int_equal(gate_count_observed(txn, store_now(store)), 1);
	assert_int_equal(gate_show(txn, &gate, ALICE, store_now(store), &view), GATE_ALLOW);
	commit(txn);
	assert_int_equal(view.mode, GATE_MODE_OBSERVE);
	assert_true(view.own_mode);
	assert_int_equal(view.mode_until, a_while.until);
	assert_int_equal(send(&gate, 11, &would), GATE_ALLOW);
	assert_int_equal(would, GATE_WOULD_NEVER);
	fake_clock_pass(2 * HOUR);
	assert_int_equal(send(&gate, 11, &would), GATE_NEVER);
	txn = begin();
	assert_int_equal(gate_count_observed(txn, store_now(store)), 0);
	assert_int_equal(gate_show(txn, &gate, ALICE, store_now(store), &view), GATE_ALLOW);
	assert_int_equal(view.mode, GATE_MODE_ENFORCE);
	assert_false(view.own_mode);
	commit(txn);
}

/* An app password's own limits are kept. */
static void app_passwords_keep_theirs(void **state)
{
	(void)state;
	bool full = false;
	struct gate_result result;
	struct buf secret = { .cap = APPPASS_SECRET_MAX };
	const struct gate_rules gate = observing();
	const struct apppass scanner = { .name = SPAN_LIT("scanner"),
		                         .limits = { { { 15, HOUR } }, 1 } };
	struct act act = {
		.account = ALICE, .apppass = scanner.name, .recipients = 12, .wall = WALL
	};
	struct store_txn *txn = begin();
	assert_int_equal(apppass_add(txn, ALICE, &scanner, &secret, &full), STORE_OK);
	commit(txn);
	buf_done(&secret);
	assert_int_equal(judge(&gate, act, &result), GATE_ALLOW); /* it never fits alice's */
	assert_int_equal(result.would, GATE_WOULD_NEVER);
	act.recipients = 4;
	assert_int_equal(judge(&gate, act, &result), GATE_SPENT);
	act.recipients = 16;
	assert_int_equal(judge(&gate, act, &result), GATE_NEVER);
	act.apppass = SPAN_NONE;
	assert_int_equal(judge(&gate, act, &result), GATE_ALLOW);
}

/* Strangers from a strange network: nothing waits, none is held, not even from a barred one. */
static void the_guard_only_looks_on(void **state)
{
	(void)state;
	struct gate_result result;
	struct gate_rules gate = observing();
	char text[200] = "";
	now = store_now(store);
	gate.limits.limit[0].tokens = 100;
	gate.stranger_limits = (struct budget_limits)TEN;
	imports(0, 60);
	/* They are dear: nearly all of the limit is used. */
	assert_int_equal(judge(&gate, act_of(net(STRANGE), 1000, 3), &result), GATE_ALLOW);
	assert_int_equal(result.dwell, 0);
	assert_int_equal(result.would, GATE_WOULD_WAIT);
	assert_int_equal(judge(&gate, act_of(net(STRANGE), 1010, 10), &result), GATE_ALLOW);
	assert_int_equal(result.would, GATE_WOULD_SUSPEND);
	assert_int_equal(journal(text), 2);
	assert_non_null(strstr(text, "13 strange-network"));
	assert_int_equal(incident(), 0);
	is_suspended(true); /* its history is: the network is barred */
	fake_clock_pass(HOUR);
	assert_int_equal(judge(&gate, act_of(net(STRANGE), 0, 1), &result), GATE_ALLOW);
	assert_int_equal(result.would, GATE_WOULD_BARRED);
	gate.mode = GATE_MODE_ENFORCE;
	assert_int_equal(judge(&gate, act_of(net(STRANGE), 0, 1), &result), GATE_BARRED);
	assert_int_equal(result.would, GATE_WOULD_PASS);
}

/* Four times as many strangers are the end of it, too. */
static void a_ceiling_for_strangers(void **state)
{
	(void)state;
	struct gate_result result;
	struct gate_rules gate = observing();
	now = store_now(store);
	gate.limits.limit[0].tokens = 10000;
	gate.stranger_limits = (struct budget_limits)TEN;
	imports(0, 60);
	assert_int_equal(judge(&gate, act_of(net(STRANGE), 1000, 20), &result),
	                 GATE_ALLOW); /* each is two */
	assert_int_equal(result.would, GATE_WOULD_SUSPEND);
	assert_int_equal(judge(&gate, act_of(net(0), 2000, 1), &result), GATE_HOLD);
	assert_int_equal(judge(&gate, act_of(net(STRANGE), 2000, 1), &result), GATE_TRIPPED);
}

static uint32_t spent(const struct gate_rules *gate)
{
	struct gate_view view;
	struct store_txn *txn = store_begin_read(store, NULL);
	assert_int_equal(gate_show(txn, gate, ALICE, store_now(store), &view), GATE_ALLOW);
	store_abort(txn);
	return view.spent[0];
}

/* From home what is beyond the window for strangers would be held, not dearer: no suspension
 * comes of it that would not have been. */
static void what_would_be_held_costs_no_more(void **state)
{
	(void)state;
	struct gate_result result;
	struct gate_rules gate = observing();
	now = store_now(store);
	gate.limits.limit[0].tokens = 100;
	gate.stranger_limits = (struct budget_limits)TEN;
	imports(0, 60);
	assert_int_equal(judge(&gate, act_of(net(0), 1000, 8), &result), GATE_ALLOW);
	uint32_t dear = spent(&gate);
	assert_in_range(dear, 9, 80);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(judge(&gate, act_of(net(0), 2000 + 4 * i, 4), &result),
		                 GATE_ALLOW);
		assert_int_equal(result.would, i ? GATE_WOULD_PASS : GATE_WOULD_HOLD);
		assert_int_equal(spent(&gate), dear + 4 * (i + 1));
	}
	assert_int_equal(judge(&gate, act_of(net(0), 3000, 1), &result), GATE_HOLD);
}

/* What refused recipients cost suspends nobody, either. */
static void what_is_refused_later(void **state)
{
	(void)state;
	struct gate_result result;
	struct gate_rules gate = observing();
	now = store_now(store);
	gate.limits.limit[0].tokens = 100;
	imports(0, 60);
	assert_int_equal(judge(&gate, act_of(net(STRANGE), 1000, 3), &result), GATE_ALLOW);
	struct act act = act_of(net(STRANGE), 1000, 3);
	struct store_txn *txn = begin();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(gate_refused(txn, &gate, &act, &result), GATE_ALLOW);
		assert_int_equal(result.would, i ? GATE_WOULD_PASS : GATE_WOULD_SUSPEND);
	}
	commit(txn);
	gate.mode = GATE_MODE_ENFORCE;
	txn = begin();
	assert_int_equal(gate_refused(txn, &gate, &act, &result), GATE_TRIPPED);
	commit(txn);
}

/* ---- what is told ---- */

static void tells_the_postmasters_in_a_day(void **state)
{
	(void)state;
	enum gate_would would;
	const struct gate_rules gate = observing();
	send(&gate, 10, &would);
	send(&gate, 1, &would);
	fake_clock_pass(DAY);
	struct store_txn *txn = begin();
	assert_int_equal(digest_tell(txn, &gate.suspend, store_now(store), WALL, NULL),
	                 STORE_OK);
	commit(txn);
	assert_int_equal(notices(QUEUE_NOTICE_DIGEST), 1);
	assert_int_equal(notices(QUEUE_NOTICE_SUSPENDED) + notices(QUEUE_NOTICE_EVENT), 0);
}

static void warns_the_owner(void **state)
{
	(void)state;
	enum gate_would would;
	struct gate_result result;
	struct gate_rules gate = observing();
	const struct act act = { .account = ALICE, .recipients = 1, .wall = WALL };
	gate.mode = GATE_MODE_ENFORCE;
	send(&gate, 8, &would);
	assert_int_equal(notices(QUEUE_NOTICE_OWNER), 0); /* nobody to be told */
	fake_clock_pass(DAY);
	struct store_txn *txn = begin();
	assert_int_equal(gate_set_recovery(txn, ALICE, SPAN_LIT("a@example.com")), STORE_OK);
	assert_int_equal(gate_set_recovery(txn, SPAN_LIT("nobody"), SPAN_NONE),
	                 STORE_NOT_FOUND);
	commit(txn);
	send(&gate, 7, &would);
	assert_int_equal(notices(QUEUE_NOTICE_OWNER), 0);
	assert_int_equal(judge(&gate, act, &result), GATE_ALLOW);
	assert_true(result.told);
	assert_int_equal(notices(QUEUE_NOTICE_OWNER), 1);
	assert_int_equal(judge(&gate, act, &result), GATE_ALLOW);
	assert_false(result.told);
	fake_clock_pass(HOUR);
	send(&gate, 10, &would);
	assert_int_equal(notices(QUEUE_NOTICE_OWNER), 1);
	fake_clock_pass(DAY);
	txn = begin();
	assert_int_equal(gate_set_recovery(txn, ALICE, SPAN_NONE), STORE_OK);
	commit(txn);
	send(&gate, 10, &would);
	assert_int_equal(notices(QUEUE_NOTICE_OWNER), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(up_to_four_times_the_limits),
		TEST(what_could_never_fit),
		TEST(whose_mode),
		TEST(app_passwords_keep_theirs),
		TEST(the_guard_only_looks_on),
		TEST(a_ceiling_for_strangers),
		TEST(what_would_be_held_costs_no_more),
		TEST(what_is_refused_later),
		TEST(tells_the_postmasters_in_a_day),
		TEST(warns_the_owner),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
