#include "server/whatif.h"

#include "server/whatif_replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define T0     ((int64_t)1795575600000)
#define MINUTE ((int64_t)60000)

static void add(struct whatif *w, int64_t at, const char *account, const char *recipient)
{
	const struct span to = span_str(recipient);
	const struct maillog_event event = { .at = at,
		                             .row = true,
		                             .account = span_str(account),
		                             .recipient = &to,
		                             .nrecipients = 1 };
	assert_true(whatif_add(w, &event, NULL));
}

static void add_many(struct whatif *w, int64_t at, const char *account, uint32_t n)
{
	const struct maillog_event event = { .at = at,
		                             .account = span_str(account),
		                             .rest = n };
	assert_true(whatif_add(w, &event, NULL));
}

/* Rows of the same time and account are one message, each recipient once; whatever the order
 * of coming, it is by time. */
static void joins_rows(void **state)
{
	(void)state;
	static const struct {
		int64_t at;
		const char *account;
		uint32_t recipients;
	} want[] = {
		{ T0, "alice@example.org", 2 },     { T0, "bob@example.org", 1 },
		{ T0, "bob@example.org", 7 },       { T0 + 1, "alice@example.org", 1 },
		{ T0 + 2, "alice@example.org", 3 },
	};
	struct whatif w = { .domain = SPAN_LIT("example.org") };
	struct whatif_message message;
	size_t at = 0, n = 0;
	add(&w, T0 + 1, "alice", "a@example.net");
	add_many(&w, T0, "bob", 7);
	add(&w, T0, "alice", "a@example.net");
	add(&w, T0, "Bob@Example.Org", "a@example.net");
	add_many(&w, T0 + 2, "alice", 3);
	add(&w, T0, "alice@example.org", "b@example.net");
	add(&w, T0, "alice", "a@example.net");
	add(&w, T0, "no name", "a@example.net");
	assert_true(whatif_sort(&w));
	for (; whatif_next(&w, &at, &message); n++) {
		assert_true(n < COUNT(want));
		assert_true(message.at == want[n].at);
		assert_true(span_eq(message.account, span_str(want[n].account)) ||
		            message.at == T0);
		w.mail[message.mail].price = message.recipients;
	}
	assert_int_equal(n, COUNT(want));
	assert_int_equal(w.unusable, 1);

	const struct whatif_windows windows = { .limits = { { { 1, 30 * MINUTE } }, 1 },
		                                .whole = UINT64_MAX };
	static const struct {
		const char *account;
		uint64_t messages, recipients;
	} uses[] = { { "alice@example.org", 3, 6 }, { "bob@example.org", 2, 8 } };
	struct whatif_use use;
	whatif_sort_accounts(&w);
	for (at = 0, n = 0; whatif_use_next(&w, &windows, &at, &use); n++) {
		struct span name = names_get(&w.accounts, use.account);
		assert_true(span_eq(name, span_str(uses[n].account)));
		assert_int_equal(use.messages, uses[n].messages);
		assert_int_equal(use.recipients, uses[n].recipients);
		assert_int_equal(use.most[0], uses[n].recipients);
	}
	assert_int_equal(n, COUNT(uses));
	whatif_done(&w);
}

/* One more than fits is an error, and nothing else happens. */
static void bounded(void **state)
{
	(void)state;
	struct whatif w = { .max = 3 };
	struct error error = { "" };
	const struct span to[2] = { SPAN_LIT("a@example.net"), SPAN_LIT("b@example.net") };
	const struct maillog_event event = {
		.at = T0, .account = SPAN_LIT("alice"), .recipient = to, .nrecipients = 2
	};
	assert_true(whatif_add(&w, &event, &error));
	assert_false(whatif_add(&w, &event, &error));
	assert_non_null(strstr(error.text, "more than 3 recipients"));
	assert_int_equal(w.nmails, 1);
	whatif_done(&w);
}

/* A token is back one window and a sixtieth later. */
static void highest_use(void **state)
{
	(void)state;
	static const struct {
		int64_t apart;
		uint64_t most;
	} rows[] = {
		{ 0, 30 },
		{ 15 * MINUTE, 30 },
		{ 15 * MINUTE + 15000 - 1, 30 },
		{ 15 * MINUTE + 15000, 20 },
		{ 30 * MINUTE, 20 },
		{ 30 * MINUTE + 30000, 10 },
	};
	const struct whatif_windows windows = { .limits = { { { 1, 30 * MINUTE } }, 1 },
		                                .whole = UINT64_MAX };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct whatif w = { .max = 0 };
		struct whatif_use use;
		size_t at = 0;
		for (int64_t k = 0; k < 3; k++) {
			add_many(&w, T0 + (2 - k) * rows[i].apart, "alice", 10);
			w.mail[k].price = 10;
		}
		whatif_sort_accounts(&w);
		assert_true(whatif_use_next(&w, &windows, &at, &use));
		assert_int_equal(use.most[0], rows[i].most);
		assert_false(whatif_use_next(&w, &windows, &at, &use));
		whatif_done(&w);
	}
}

/* Whose recipients fit an empty budget is no dearer than that; strangers are counted apart. */
static void bounded_price(void **state)
{
	(void)state;
	static const struct {
		uint64_t whole, most;
	} rows[] = { { UINT64_MAX, 200 }, { 200, 200 }, { 99, 198 }, { 10, 20 }, { 9, 200 } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct budget_limits limits = { { { 1, 30 * MINUTE } }, 1 };
		const struct whatif_windows windows = { limits, limits, rows[i].whole };
		struct whatif w = { .max = 0 };
		struct whatif_use use;
		size_t at = 0;
		for (int64_t k = 0; k < 2; k++) {
			add_many(&w, T0 + k, "alice", 10);
			w.mail[k].price = 100;
			w.mail[k].strangers = 7;
		}
		whatif_sort_accounts(&w);
		assert_true(whatif_use_next(&w, &windows, &at, &use));
		assert_int_equal(use.most[0], rows[i].most);
		assert_int_equal(use.strangers[0], 14);
		assert_int_equal(use.largest, 10);
		whatif_done(&w);
	}
}

/* ---- the replay ---- */

/* How many were locked and refused. */
static unsigned play(struct whatif *w, const struct gate_rules *gate)
{
	struct error error = { "" };
	const struct whatif_rules rules = { .gate = *gate };
	struct whatif_replay *replay = whatif_replay_new(&rules, &error);
	struct whatif_message message;
	struct whatif_judgement judgement;
	unsigned hit = 0;
	size_t at = 0;
	assert_non_null(replay);
	assert_true(whatif_sort(w));
	while (whatif_next(w, &at, &message)) {
		assert_true(whatif_replay_judge(replay, &message, &judgement, &error));
		hit += judgement.verdict != GATE_ALLOW;
		w->mail[message.mail].price = message.recipients;
	}
	whatif_replay_free(replay);
	return hit;
}

static void random_mail(struct whatif *w, unsigned seed)
{
	srandom(seed);
	int64_t at = T0 + random() % 100000;
	for (int i = 0; i < 400; i++) {
		at += random() % (random() % 4 ? 2 * MINUTE : 40 * MINUTE);
		add_many(w, at, random() % 3 ? "alice" : "bob", 1 + (uint32_t)random() % 20);
	}
}

/* Limits that are said to lock nobody lock nobody, at whatever time the slots begin; with half
 * of any of them somebody is. */
static void lowest_limits(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct gate_rules rules = {
			.limits = { { { 40, 30 * MINUTE }, { 200, 24 * 60 * MINUTE } }, 2 }
		};
		struct whatif w = { .max = 0 };
		struct whatif_use use;
		uint64_t most[2] = { 0, 0 };
		const struct whatif_windows windows = { .limits = rules.limits,
			                                .whole = UINT64_MAX };
		size_t at = 0;
		random_mail(&w, seed);
		assert_true(play(&w, &rules) > 0);
		whatif_sort_accounts(&w);
		while (whatif_use_next(&w, &windows, &at, &use)) {
			most[0] = use.most[0] > most[0] ? use.most[0] : most[0];
			most[1] = use.most[1] > most[1] ? use.most[1] : most[1];
		}
		rules.limits.limit[0].tokens = (uint32_t)most[0];
		rules.limits.limit[1].tokens = (uint32_t)most[1];
		assert_int_equal(play(&w, &rules), 0);
		for (size_t i = 0; i < 2; i++) {
			struct gate_rules less = rules;
			less.limits.limit[i].tokens /= 2;
			assert_true(play(&w, &less) > 0);
		}
		whatif_done(&w);
	}
}

/* Locked at the recipient that does not fit, then from a full budget on; refused where no
 * budget would do, and locked by the third of those. */
static void judges(void **state)
{
	(void)state;
	static const struct {
		int64_t at;
		const char *account;
		uint32_t recipients;
		enum gate_verdict verdict;
		uint32_t spent, price;
	} rows[] = {
		{ T0, "alice", 6, GATE_ALLOW, 0, 6 },
		{ T0 + 1, "alice", 5, GATE_TRIPPED, 6, 5 },
		{ T0 + 2, "alice", 5, GATE_ALLOW, 0, 5 },
		{ T0 + 3, "alice", 1, GATE_TRIPPED, 10, 1 },
		{ T0 + 4, "bob", 11, GATE_NEVER, 0, 0 },
		{ T0 + 5, "bob", 11, GATE_NEVER, 0, 0 },
		{ T0 + 6, "bob", 11, GATE_TRIPPED, 0, 0 },
		{ T0 + 7, "news-1@lists", 500, GATE_ALLOW, 0, 500 },
		{ T0 + 8, "scanner", 20, GATE_ALLOW, 0, 20 },
		{ T0 + 9, "scanner", 1, GATE_TRIPPED, 20, 1 },
		{ T0 + 31 * MINUTE, "alice", 10, GATE_ALLOW, 0, 10 },
	};
	const struct span exempt = SPAN_LIT("news-*@lists");
	const struct gate_device device = {
		.account = SPAN_LIT("scanner"),
		.limits = { { { 20, 30 * MINUTE } }, 1 },
		.action = GATE_ACTION_DEFER,
	};
	/* What is configured at the limit does not count, nor for how many. */
	const struct whatif_rules rules = { .gate = {
						.limits = { { { 10, 30 * MINUTE } }, 1 },
						.action = GATE_ACTION_HOLD,
						.suspend_max = { { { 1, 60 * MINUTE } }, 1 },
						.devices = &device,
						.ndevices = 1,
						.exempt = &exempt,
						.nexempt = 1,
					    } };
	struct error error = { "" };
	struct whatif_replay *replay = whatif_replay_new(&rules, &error);
	assert_non_null(replay);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct whatif_message message = { .at = rows[i].at,
			                                .account = span_str(rows[i].account),
			                                .recipients = rows[i].recipients };
		struct whatif_judgement judgement;
		assert_true(whatif_replay_judge(replay, &message, &judgement, &error));
		if (judgement.verdict != rows[i].verdict || judgement.price != rows[i].price ||
		    (rows[i].verdict != GATE_ALLOW &&
		     judgement.beyond.asked != rows[i].recipients) ||
		    (rows[i].verdict != GATE_ALLOW &&
		     judgement.beyond.spent != rows[i].spent)) {
			fail_msg("row %zu: verdict %d, price %u, spent %u", i,
			         (int)judgement.verdict, judgement.price,
			         judgement.beyond.spent);
		}
	}
	assert_true(whatif_is_ruled(&rules.gate, SPAN_LIT("alice")));
	assert_false(whatif_is_ruled(&rules.gate, SPAN_LIT("news-7@lists")));
	assert_false(whatif_is_ruled(&rules.gate, SPAN_LIT("scanner")));
	whatif_replay_free(replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins_rows),  cmocka_unit_test(bounded),
		cmocka_unit_test(highest_use), cmocka_unit_test(bounded_price),
		cmocka_unit_test(judges),      cmocka_unit_test(lowest_limits),
	};
	return cmocka_run_group_tests_name("whatif", tests, NULL, NULL);
}
