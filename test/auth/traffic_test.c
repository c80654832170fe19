#include "test/auth/traffic_replay.h"

#include "test/auth/fake_clock.h"

#include <dirent.h>
#include <stdio.h>

#define BATCH 500 /* steps in one transaction, as the writer does */

/* ---- time ---- */

int64_t replay_wall(void)
{
	return fake_clock.wall;
}

static void pass(struct replay *r, int64_t ms)
{
	fake_clock_pass(ms);
	r->passed += ms;
}

static void pass_until(struct replay *r, struct span word)
{
	int64_t minutes = day_number(&r->day, &word) * 60;
	word = span_from(word, 1);
	minutes += day_number(&r->day, &word);
	int64_t wait = minutes * 60000 - r->passed % DAY;
	pass(r, wait >= 0 ? wait : wait + DAY);
}

/* ---- the store ---- */

static int64_t longest_window(const struct replay *r)
{
	int64_t longest = 0;
	for (size_t i = 0; i < r->rules.limits.count; i++) {
		int64_t window = r->rules.limits.limit[i].window;
		longest = window > longest ? window : longest;
	}
	for (size_t i = 0; i < r->rules.stranger_limits.count; i++) {
		int64_t window = r->rules.stranger_limits.limit[i].window;
		longest = window > longest ? window : longest;
	}
	return longest;
}

static void open_store(struct replay *r)
{
	struct error error = { "" };
	const struct store_options options = { .size = 64 << 20,
		                               .longest_window = longest_window(r) };
	if (store_open(r->dir, &options, &r->store, &error) != STORE_OK) {
		FAIL(r, "%s", error.text);
	}
	r->txn = store_begin_write(r->store, NULL);
	assert_non_null(r->txn);
}

static void commit(struct replay *r)
{
	if (store_commit(r->txn, NULL) != STORE_OK) {
		FAIL(r, "no commit");
	}
	r->txn = NULL;
}

static void close_store(struct replay *r)
{
	commit(r);
	store_close(r->store);
}

/* ---- steps of the site ---- */

void replay_limits(struct replay *r, const struct span *words, size_t count,
                   struct budget_limits *limits_out)
{
	struct budget_limits limits = { .count = count };
	for (size_t i = 0; i < count; i++) {
		const char *reason = "";
		if (i == BUDGET_LIMITS_MAX ||
		    !budget_limit_parse(words[i], &limits.limit[i], &reason)) {
			FAIL(r, "%.*s %s", SPAN_ARG(words[i]), reason);
		}
	}
	*limits_out = limits;
}

static void site_limits(struct replay *r, const struct span *words, size_t count)
{
	replay_limits(r, words, count, &r->rules.limits);
}

static void site_exempt(struct replay *r, const struct span *words, size_t count)
{
	memcpy(r->exempt, words, count * sizeof *words);
	r->rules.exempt = r->exempt;
	r->rules.nexempt = count;
}

static void site_postmaster(struct replay *r, const struct span *words, size_t count)
{
	memcpy(r->postmaster, words, count * sizeof *words);
	r->rules.suspend.postmaster = r->postmaster;
	r->rules.suspend.npostmaster = count;
}

static enum gate_action read_action(struct replay *r, struct span word)
{
	static const char *const names[] = {
		[GATE_ACTION_SUSPEND] = "suspend",
		[GATE_ACTION_DEFER] = "defer",
		[GATE_ACTION_HOLD] = "hold",
		[GATE_ACTION_DEFAULT] = "default",
	};
	size_t i = 0;
	while (i < COUNT(names) && !span_eq(word, span_str(names[i]))) {
		i++;
	}
	if (i == COUNT(names)) {
		FAIL(r, "suspend, defer, hold or default");
	}
	return (enum gate_action)i;
}

static void site_action(struct replay *r, const struct span *words, size_t count)
{
	r->rules.action = read_action(r, count ? words[0] : SPAN_NONE);
}

static enum gate_mode read_mode(struct replay *r, struct span word)
{
	static const char *const names[] = {
		[GATE_MODE_ENFORCE] = "enforce",
		[GATE_MODE_OBSERVE] = "observe",
		[GATE_MODE_DEFAULT] = "default",
	};
	size_t i = 0;
	while (i < COUNT(names) && !span_eq(word, span_str(names[i]))) {
		i++;
	}
	if (i == COUNT(names)) {
		FAIL(r, "enforce, observe or default");
	}
	return (enum gate_mode)i;
}

static void site_mode(struct replay *r, const struct span *words, size_t count)
{
	r->rules.mode = read_mode(r, count ? words[0] : SPAN_NONE);
}

static void site_suspend_max(struct replay *r, const struct span *words, size_t count)
{
	replay_limits(r, words, count, &r->rules.suspend_max);
}

/* How many notices the gate has written of its own, so far. */
static void site_notices(struct replay *r, const struct span *words, size_t count)
{
	struct queue_entry entry;
	struct arena arena;
	uint64_t id = 0;
	uint32_t notices = 0;
	while (queue_list_next(r->txn, SPAN_NONE, id, &id) == STORE_OK) {
		arena_init(&arena, QUEUE_ENTRY_MAX);
		assert_int_equal(queue_get(r->txn, id, &arena, &entry), STORE_OK);
		notices += entry.kind == QUEUE_NOTICE_EVENT &&
		           span_eq(span_first(entry.note, span_find(entry.note, '\n')),
		                   words[0]);
		arena_done(&arena);
	}
	if (count != 2 || notices != day_count(&r->day, words[1])) {
		FAIL(r, "%u notices", notices);
	}
}

/* "device scanner defer 200/1h": its account, and what happens when it is used up. */
static void site_device(struct replay *r, const struct span *words, size_t count)
{
	size_t n = r->rules.ndevices;
	struct buf name = { .cap = ADDRESS_DOMAIN_MAX };
	if (count < 2 || n == COUNT(r->devices) ||
	    !address_account(words[0], SPAN_LIT("example.org"), &name)) {
		FAIL(r, "device scanner defer 200/1h");
	}
	memcpy(r->device_names[n], name.ptr, name.len);
	r->devices[n].account = span_of(r->device_names[n], name.len);
	r->devices[n].action = read_action(r, words[1]);
	replay_limits(r, words + 2, count - 2, &r->devices[n].limits);
	r->rules.devices = r->devices;
	r->rules.ndevices = n + 1;
	buf_done(&name);
}

static void site_clock(struct replay *r, const struct span *words, size_t count)
{
	if (count != 1 || (words[0].ptr[0] != '+' && words[0].ptr[0] != '-')) {
		FAIL(r, "clock +1h, or -1h");
	}
	int64_t step = day_duration(&r->day, span_from(words[0], 1));
	fake_clock.wall += words[0].ptr[0] == '+' ? step : -step;
}

static void site_restart(struct replay *r, const struct span *words, size_t count)
{
	close_store(r);
	pass(r, count ? day_duration(&r->day, words[0]) : 0);
	open_store(r);
}

static void site_reboot(struct replay *r, const struct span *words, size_t count)
{
	close_store(r);
	pass(r, count ? day_duration(&r->day, words[0]) : 0);
	fake_clock.boot = 9000;
	open_store(r);
}

/* ---- steps of an account ---- */

static const char *const verdicts[] = {
	[GATE_ALLOW] = "allow",   [GATE_SPENT] = "spent",         [GATE_NEVER] = "never",
	[GATE_TRIPPED] = "trips", [GATE_SUSPENDED] = "suspended", [GATE_UNKNOWN] = "unknown",
	[GATE_BROKEN] = "broken", [GATE_DEFER] = "defer",         [GATE_HOLD] = "hold",
	[GATE_FULL] = "full",     [GATE_BARRED] = "barred",
};

const char *replay_verdict(enum gate_verdict verdict)
{
	return verdicts[verdict];
}

static void account_send(struct replay *r, struct span account, const struct span *words,
                         size_t count)
{
	if (count != 3 || !span_eq(words[1], SPAN_LIT("expect"))) {
		FAIL(r, "send 3 expect allow");
	}
	struct gate_result result;
	struct act act = {
		.account = account,
		.apppass = r->apppass,
		.recipients = day_count(&r->day, words[0]),
		.now = store_now(r->store),
		.wall = fake_clock.wall,
	};
	enum gate_verdict courtesy = gate_recipient(r->txn, &r->rules, &act);
	enum gate_verdict verdict = gate_message(r->txn, &r->rules, &act, &result);
	r->would = result.would;
	if (courtesy != verdict) {
		FAIL(r, "%s at RCPT, %s at the end", verdicts[courtesy], verdicts[verdict]);
	}
	r->when = courtesy == GATE_DEFER ? gate_when(r->txn, &r->rules, &act) - act.now : 0;
	if (!span_eq(words[2], span_str(verdicts[verdict]))) {
		FAIL(r, "%u recipients: %s", act.recipients, verdicts[verdict]);
	}
}

/* "alice again 12m": what was just deferred fits in so much time, or up to a slot later; not a
 * moment before. */
static void account_again(struct replay *r, struct span account, const struct span *words,
                          size_t count)
{
	int64_t least = count == 1 ? day_duration(&r->day, words[0]) : INT64_MAX;
	(void)account;
	if (r->when < least || r->when > least + least / 30) {
		FAIL(r, "%lld ms", (long long)r->when);
	}
}

/* "alice via scanner 3 expect allow" */
static void account_via(struct replay *r, struct span account, const struct span *words,
                        size_t count)
{
	if (count < 1) {
		FAIL(r, "via which app password?");
	}
	r->apppass = words[0];
	account_send(r, account, words + 1, count - 1);
	r->apppass = SPAN_NONE;
}

/* "alice token scanner 20/1h" */
static void account_token(struct replay *r, struct span account, const struct span *words,
                          size_t count)
{
	struct buf secret = { .cap = APPPASS_SECRET_MAX };
	struct apppass apppass = { .nnetworks = 0 };
	bool full = true;
	if (count < 1 || !apppass_name_is_valid(words[0])) {
		FAIL(r, "a token of which name?");
	}
	apppass.name = words[0];
	replay_limits(r, words + 1, count - 1, &apppass.limits);
	enum store_result result = apppass_add(r->txn, account, &apppass, &secret, &full);
	buf_done(&secret);
	if (result != STORE_OK || full) {
		FAIL(r, "there is one of that name");
	}
}

static void account_revoke(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	if (count != 1 || apppass_delete(r->txn, account, words[0]) != STORE_OK) {
		FAIL(r, "no such token");
	}
}

static void account_spent(struct replay *r, struct span account, const struct span *words,
                          size_t count)
{
	struct gate_view view;
	enum gate_verdict verdict = gate_show(r->txn, &r->rules, account, store_now(r->store),
	                                      &view);
	if (verdict != GATE_ALLOW || view.limits.count != count) {
		FAIL(r, "%s, %zu limits", verdicts[verdict], view.limits.count);
	}
	for (size_t i = 0; i < count; i++) {
		if (view.spent[i] != day_count(&r->day, words[i])) {
			FAIL(r, "%u spent of limit %zu", view.spent[i], i + 1);
		}
	}
}

static void account_limits(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	struct budget_limits limits;
	bool none = count == 1 && span_eq(words[0], SPAN_LIT("-"));
	replay_limits(r, words, none ? 0 : count, &limits);
	assert_int_equal(gate_limit(r->txn, account, &limits), STORE_OK);
}

static void account_action(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	enum gate_action action = read_action(r, count ? words[0] : SPAN_NONE);
	assert_int_equal(gate_set_action(r->txn, account, action), STORE_OK);
}

/* "alice mode observe", or "alice mode observe 2h". */
static void account_mode(struct replay *r, struct span account, const struct span *words,
                         size_t count)
{
	int64_t length = count > 1 ? day_duration(&r->day, words[1]) : 0;
	const struct gate_stance stance = { read_mode(r, count ? words[0] : SPAN_NONE),
		                            length ? store_now(r->store) + length : 0 };
	assert_int_equal(gate_set_mode(r->txn, account, &stance), STORE_OK);
}

/* "alice would suspend": so much for the last mail, if its account was observed and that was
 * to be told. */
static void account_would(struct replay *r, struct span account, const struct span *words,
                          size_t count)
{
	(void)account;
	if (count != 1 || !span_eq(words[0], span_str(gate_would_word(r->would)))) {
		FAIL(r, "it would: %s", gate_would_word(r->would));
	}
}

/* "alice allow 3000/1d", or "-". */
static void account_allow(struct replay *r, struct span account, const struct span *words,
                          size_t count)
{
	struct budget_limits grant = { .count = 0 };
	bool none = count == 1 && span_eq(words[0], SPAN_LIT("-"));
	replay_limits(r, words, none ? 0 : count, &grant);
	const struct gate_ticket ticket = { .grant = grant.limit[0],
		                            .at = none ? 0 : store_now(r->store),
		                            .wall = fake_clock.wall,
		                            .why = SPAN_LIT("the annual report") };
	assert_int_equal(gate_allow(r->txn, account, &ticket), STORE_OK);
}

/* "alice allowed 300": so much of its ticket is used. */
static void account_allowed(struct replay *r, struct span account, const struct span *words,
                            size_t count)
{
	struct gate_view view;
	assert_int_equal(gate_show(r->txn, &r->rules, account, store_now(r->store), &view),
	                 GATE_ALLOW);
	if (count != 1 || view.ticket_used != day_count(&r->day, words[0])) {
		FAIL(r, "%u used of its ticket", view.ticket_used);
	}
}

static void account_reset(struct replay *r, struct span account, const struct span *words,
                          size_t count)
{
	(void)words;
	(void)count;
	assert_int_equal(gate_reset(r->txn, account), STORE_OK);
}

uint64_t replay_incident(struct replay *r, struct span account)
{
	uint64_t incident = 0;
	assert_int_equal(suspend_incident_of(r->txn, account, &incident), STORE_OK);
	return incident;
}

static void account_remove(struct replay *r, struct span account, const struct span *words,
                           size_t count)
{
	(void)words;
	(void)count;
	assert_int_equal(account_delete(r->txn, account), STORE_OK);
}

/* ---- a step ---- */

static const struct replay_site_step site_steps[] = {
	{ "limits", site_limits },
	{ "exempt", site_exempt },
	{ "postmaster", site_postmaster },
	{ "clock", site_clock },
	{ "restart", site_restart },
	{ "reboot", site_reboot },
	{ "device", site_device },
	{ "action", site_action },
	{ "notices", site_notices },
	{ "suspend_max", site_suspend_max },
	{ "mode", site_mode },
	{ NULL, NULL },
};

static const struct replay_account_step account_steps[] = {
	{ "send", account_send },
	{ "spent", account_spent },
	{ "limits", account_limits },
	{ "reset", account_reset },
	{ "delete", account_remove },
	{ "via", account_via },
	{ "token", account_token },
	{ "revoke", account_revoke },
	{ "action", account_action },
	{ "again", account_again },
	{ "allow", account_allow },
	{ "allowed", account_allowed },
	{ "mode", account_mode },
	{ "would", account_would },
	{ NULL, NULL },
};

/* NULL when its name was not met yet. */
struct replay_account *replay_find(struct replay *r, struct span account)
{
	size_t i = 0;
	while (i < r->nmet && !span_eq(account, span_str(r->met[i].name))) {
		i++;
	}
	return i < r->nmet ? &r->met[i] : NULL;
}

/* Makes the account when its name is met for the first time; one that is deleted stays so. */
static void meet(struct replay *r, struct span account)
{
	const struct account fresh = { .secret = SPAN_LIT("x") };
	if (replay_find(r, account)) {
		return;
	}
	assert_true(r->nmet < COUNT(r->met));
	memcpy(r->met[r->nmet++].name, account.ptr, account.len);
	assert_int_equal(account_put(r->txn, account, &fresh), STORE_OK);
}

static bool site_step(struct replay *r, const struct replay_site_step *steps,
                      const struct span *words, size_t count)
{
	while (steps->name && !span_eq(words[0], span_str(steps->name))) {
		steps++;
	}
	if (steps->name) {
		steps->step(r, words + 1, count - 1);
	}
	return steps->name != NULL;
}

static bool account_step(struct replay *r, const struct replay_account_step *steps,
                         struct span account, const struct span *words, size_t count)
{
	while (steps->name && !span_eq(words[0], span_str(steps->name))) {
		steps++;
	}
	if (steps->name) {
		steps->step(r, account, words + 1, count - 1);
	}
	return steps->name != NULL;
}

static void account_steps_of(struct replay *r, const struct span *words, size_t count)
{
	struct buf name = { .cap = ADDRESS_DOMAIN_MAX };
	if (!address_account(words[0], SPAN_LIT("example.org"), &name)) {
		FAIL(r, "%.*s is no account", SPAN_ARG(words[0]));
	}
	struct span account = buf_span(&name);
	meet(r, account);
	if (count < 2 ||
	    (!account_step(r, account_steps, account, words + 1, count - 1) &&
	     !account_step(r, replay_guard_account, account, words + 1, count - 1))) {
		FAIL(r, "no such step");
	}
	buf_done(&name);
}

static void run_step(struct replay *r, const struct span *words, size_t count)
{
	if (!site_step(r, site_steps, words, count) &&
	    !site_step(r, replay_guard_site, words, count)) {
		account_steps_of(r, words, count);
	}
}

/* A time, or what happens, or both. */
static void step(void *context, const struct span *words, size_t count)
{
	struct replay *r = context;
	char first = words[0].ptr[0];
	if (first == '+') {
		pass(r, day_duration(&r->day, span_from(words[0], 1)));
	} else if (first >= '0' && first <= '9') {
		pass_until(r, words[0]);
	}
	size_t skip = first == '+' || (first >= '0' && first <= '9');
	replay_relay(r);
	if (count > skip) {
		run_step(r, words + skip, count - skip);
	}
	if (++r->steps % BATCH == 0) {
		commit(r);
		r->txn = store_begin_write(r->store, NULL);
		assert_non_null(r->txn);
	}
}

/* ---- a day ---- */

static void replay_day(void **state)
{
	static struct replay replay;
	struct replay *r = &replay;
	char command[128];
	memset(r, 0, sizeof *r);
	r->day.path = *state;
	fake_clock.boot = 20000;
	fake_clock.wall = 1700000000000;
	snprintf(r->dir, sizeof r->dir, "/tmp/gatepost-traffic-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	day_read(&r->day);
	open_store(r);
	day_run(&r->day, step, r);
	close_store(r);
	day_done(&r->day);
	snprintf(command, sizeof command, "rm -r %.63s", r->dir);
	assert_int_equal(system(command), 0);
	print_message("%s: %zu steps\n", r->day.path, r->steps);
}

static int is_day(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');
	return dot && strcmp(dot, ".day") == 0;
}

int main(int argc, char **argv)
{
	const char *folder = argc > 1 ? argv[1] : "test/traffic";
	struct dirent **days = NULL;
	int count = scandir(folder, &days, is_day, alphasort);
	static struct CMUnitTest tests[64];
	static char paths[COUNT(tests)][512];
	if (count < 1 || count > (int)COUNT(tests)) {
		fprintf(stderr, "%s: %d days\n", folder, count);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		snprintf(paths[i], sizeof paths[i], "%s/%s", folder, days[i]->d_name);
		tests[i].name = days[i]->d_name;
		tests[i].test_func = replay_day;
		tests[i].initial_state = paths[i];
	}
	int failed = _cmocka_run_group_tests("traffic", tests, (size_t)count, NULL, NULL);
	for (int i = 0; i < count; i++) {
		free(days[i]);
	}
	free(days);
	return failed;
}
