/* Limits from text, and a budget that goes through its row and back. */
#ifndef GATEPOST_TEST_AUTH_BUDGET_HELP_H
#define GATEPOST_TEST_AUTH_BUDGET_HELP_H

#include "auth/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static inline struct budget_limits limits_of(const char *texts)
{
	struct budget_limits limits = { .count = 0 };
	struct span rest = span_str(texts);
	while (rest.len) {
		size_t end = span_find(rest, ' ');
		const char *reason = "";
		assert_true(limits.count < BUDGET_LIMITS_MAX);
		struct budget_limit *limit = &limits.limit[limits.count++];
		assert_true(budget_limit_parse(span_first(rest, end), limit, &reason));
		rest = span_from(rest, end + 1);
	}
	return limits;
}

static inline void assert_round_trip(const struct budget *budget)
{
	struct buf row = { .cap = 4096 };
	struct budget back = { .count = 9 };
	budget_pack(budget, &row);
	assert_false(row.failed);
	assert_true(budget_unpack(buf_span(&row), &back));
	assert_int_equal(back.count, budget->count);
	for (size_t i = 0; i < back.count; i++) {
		assert_int_equal(back.ring[i].window, budget->ring[i].window);
		assert_int_equal(back.ring[i].newest, budget->ring[i].newest);
		assert_memory_equal(back.ring[i].spent, budget->ring[i].spent,
		                    sizeof back.ring[i].spent);
	}
	buf_done(&row);
}

#endif
