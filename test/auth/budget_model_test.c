/* The budget against a list of all that was spent. */
#include "test/auth/budget_help.h"

struct event {
	int64_t at;
	uint32_t tokens;
};

struct model {
	struct event event[4096];
	size_t count;
};

/* All that was spent later than `after` and not later than `now`. */
static uint64_t model_spent(const struct model *model, int64_t after)
{
	uint64_t sum = 0;
	for (size_t i = model->count; i-- > 0 && model->event[i].at > after;) {
		sum += model->event[i].tokens;
	}
	return sum;
}

static void model_take(struct model *model, int64_t at, uint32_t tokens)
{
	assert_true(model->count < COUNT(model->event));
	model->event[model->count++] = (struct event){ at, tokens };
}

/* No span of one window holds more than the limit allows: it is enough to look at spans that
 * end with an event. */
static void assert_never_more(const struct model *model, const struct budget_limit *limit)
{
	size_t first = 0;
	uint64_t sum = 0;
	for (size_t i = 0; i < model->count; i++) {
		sum += model->event[i].tokens;
		while (model->event[first].at <= model->event[i].at - limit->window) {
			sum -= model->event[first++].tokens;
		}
		assert_true(sum <= limit->tokens);
	}
}

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

static int64_t random_pause(int64_t window)
{
	static const int64_t parts[] = { 1000000, 3000, 200, 60, 59, 20, 2, 1 };
	int64_t most = window / parts[random_below(COUNT(parts))];
	return most < 1 ? 0 : random_below((uint32_t)(most > INT32_MAX ? INT32_MAX : most));
}

static void assert_model_agrees(const struct model *model, const struct budget *budget,
                                const struct budget_limits *limits, int64_t now)
{
	for (size_t i = 0; i < limits->count; i++) {
		int64_t window = limits->limit[i].window;
		uint64_t spent = budget_spent(&budget->ring[i], now);
		assert_true(spent >= model_spent(model, now - window));
		assert_true(spent <= model_spent(model, now - window - (window + 59) / 60));
	}
}

static void assert_when_is_exact(const struct budget *budget,
                                 const struct budget_limits *limits, uint32_t price,
                                 int64_t now)
{
	int64_t when = budget_when(budget, limits, price, now);
	enum budget_verdict verdict = budget_ask(budget, limits, price, now);
	assert_int_equal(when == INT64_MAX, verdict == BUDGET_NEVER);
	assert_int_equal(when == now, verdict == BUDGET_FITS);
	if (verdict == BUDGET_SPENT) {
		assert_int_equal(budget_ask(budget, limits, price, when), BUDGET_FITS);
		assert_int_equal(budget_ask(budget, limits, price, when - 1), BUDGET_SPENT);
	}
}

static void model_run(const char *texts, int64_t start, uint64_t seed)
{
	static struct model model;
	struct budget_limits limits = limits_of(texts);
	struct budget budget = { .count = 0 };
	int64_t now = start;
	model.count = 0;
	random_state = seed;
	for (int step = 0; step < 3000; step++) {
		now += random_pause(limits.limit[random_below((uint32_t)limits.count)].window);
		uint32_t most = random_below(20) ? 12 : limits.limit[0].tokens + 3;
		uint32_t price = 1 + random_below(most);
		budget_fit(&budget, &limits, now);
		assert_model_agrees(&model, &budget, &limits, now);
		assert_when_is_exact(&budget, &limits, price, now);
		if (budget_ask(&budget, &limits, price, now) == BUDGET_FITS) {
			budget_take(&budget, price, now);
			model_take(&model, now, price);
			assert_model_agrees(&model, &budget, &limits, now);
		}
		if (step % 16 == 0) {
			assert_round_trip(&budget);
		}
	}
	for (size_t i = 0; i < limits.count; i++) {
		assert_never_more(&model, &limits.limit[i]);
	}
	assert_true(model.count > 100);
}

static void agrees_with_the_model(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"50/1m",
		"50/61s",
		"100/119s",
		"500/30m",
		"500/30m 2000/24h",
		"20/1m 60/7m 300/1d",
		"100/1m 100/2m 100/3m 9999/31d",
	};
	static const int64_t starts[] = { 0, 1, 59 * SECOND + 999, 100 * DAY + 7 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t s = 0; s < COUNT(starts); s++) {
			model_run(rows[i], starts[s], 1 + i * 100 + s);
		}
	}
}

/* What was spent before a change of the window (at `changed`) is not back before the new window
 * has passed, and at most a slot of each ring late. */
static void rebuckets_rounding_up(void **state)
{
	(void)state;
	static const int64_t windows[] = { MINUTE,   61 * SECOND, 10 * MINUTE, 30 * MINUTE,
		                           2 * HOUR, DAY,         7 * DAY,     31 * DAY };
	static struct model model;
	random_state = 5;
	for (size_t pair = 0; pair < COUNT(windows) * COUNT(windows); pair++) {
		int64_t from = windows[pair % COUNT(windows)];
		int64_t to = windows[pair / COUNT(windows)];
		struct budget_limits limits = { { { BUDGET_TOKENS_MAX, from } }, 1 };
		struct budget budget = { .count = 0 };
		int64_t now = random_below(100000);
		model.count = 0;
		for (int i = 0; i < 200; i++) {
			now += random_below((uint32_t)(from / 100));
			budget_fit(&budget, &limits, now);
			budget_take(&budget, 3, now);
			model_take(&model, now, 3);
		}
		int64_t known = now - from;
		int64_t late = (from + 59) / 60 + (to + 59) / 60;
		limits.limit[0].window = to;
		for (int i = 0; i < 100; i++, now += to / 80) {
			budget_fit(&budget, &limits, now);
			uint64_t spent = budget_spent(&budget.ring[0], now);
			int64_t after = now - to > known ? now - to : known;
			assert_true(spent >= model_spent(&model, after));
			assert_true(spent <= model_spent(&model, now - to - late));
		}
		assert_int_equal(budget_spent(&budget.ring[0], now + late), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(rebuckets_rounding_up),
	};
	return cmocka_run_group_tests_name("budget_model", tests, NULL, NULL);
}
