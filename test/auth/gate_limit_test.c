#include "auth/gate_books.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)

/* The whole table: nobody loses an account but where the action is to suspend; what can never
 * go is never deferred; what is over twice the budget is never taken. */
static void verdicts(void **state)
{
	(void)state;
	static const struct {
		enum gate_edge edge;
		enum gate_verdict verdict[GATE_COURSES]; /* suspend, defer, hold, refuse */
	} rows[] = {
		{ GATE_EDGE_WITHIN, { GATE_ALLOW, GATE_ALLOW, GATE_ALLOW, GATE_ALLOW } },
		{ GATE_EDGE_BEYOND, { GATE_TRIPPED, GATE_DEFER, GATE_HOLD, GATE_SPENT } },
		{ GATE_EDGE_TWICE, { GATE_TRIPPED, GATE_DEFER, GATE_FULL, GATE_SPENT } },
		{ GATE_EDGE_NEVER, { GATE_NEVER, GATE_NEVER, GATE_NEVER, GATE_NEVER } },
		{ GATE_EDGE_AGAIN, { GATE_TRIPPED, GATE_NEVER, GATE_NEVER, GATE_NEVER } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (unsigned course = 0; course < GATE_COURSES; course++) {
			assert_int_equal(
			    gate_limit_verdict(rows[i].edge, (enum gate_course)course),
			    rows[i].verdict[course]);
		}
	}
}

static void edges(void **state)
{
	(void)state;
	static const struct {
		uint32_t spent;
		uint32_t price;
		enum gate_edge edge;
	} rows[] = {
		{ 0, 0, GATE_EDGE_WITHIN },   { 0, 50, GATE_EDGE_WITHIN },
		{ 0, 51, GATE_EDGE_NEVER },   { 49, 1, GATE_EDGE_WITHIN },
		{ 50, 1, GATE_EDGE_BEYOND },  { 50, 50, GATE_EDGE_BEYOND },
		{ 51, 50, GATE_EDGE_TWICE },  { 99, 1, GATE_EDGE_BEYOND },
		{ 100, 1, GATE_EDGE_TWICE },  { 100, 51, GATE_EDGE_NEVER },
		{ 100, 0, GATE_EDGE_BEYOND }, { 4000000000, 1, GATE_EDGE_TWICE },
	};
	const struct budget_limits limits = { .limit = { { 50, HOUR } }, .count = 1 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct budget budget = { .count = 0 };
		budget_fit(&budget, &limits, HOUR);
		budget_take(&budget, rows[i].spent, HOUR);
		assert_int_equal(gate_limit_edge(&budget, &limits, rows[i].price, HOUR),
		                 rows[i].edge);
	}
	const struct budget_limits none = { .count = 0 };
	const struct budget budget = { .count = 0 };
	assert_int_equal(gate_limit_edge(&budget, &none, UINT32_MAX, HOUR), GATE_EDGE_WITHIN);
}

static void third_in_an_hour(void **state)
{
	(void)state;
	static const struct {
		int64_t at;
		bool again;
	} rows[] = {
		{ 0, false },
		{ 30 * MINUTE, false },
		{ HOUR + 1, false },          /* that of 0 is over */
		{ HOUR + 29 * MINUTE, true }, /* that of 30 is not */
		{ HOUR + 29 * MINUTE + 1, true },
		{ 3 * HOUR, false },
		{ 3 * HOUR, false },
		{ 3 * HOUR, true },
	};
	struct gate_marks marks = { .used = 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(gate_marks_is_again(&marks, rows[i].at), rows[i].again);
		gate_marks_note_never(&marks, rows[i].at);
	}
}

static void told_once_a_day(void **state)
{
	(void)state;
	static const struct {
		int64_t at;
		bool may;
	} rows[] = {
		{ 0, true },          { 0, false },
		{ 23 * HOUR, false }, { 24 * HOUR + 1, true },
		{ 47 * HOUR, false }, { 49 * HOUR, true },
	};
	struct gate_marks marks = { .used = 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(gate_marks_may_tell(&marks, GATE_NEWS_HELD, rows[i].at),
		                 rows[i].may);
		/* Another kind of news is another. */
		assert_int_equal(gate_marks_may_tell(&marks, GATE_NEWS_ILL, rows[i].at),
		                 rows[i].may);
	}
}

static void tickets(void **state)
{
	(void)state;
	const struct gate_ticket ticket = { .grant = { 100, HOUR }, .at = 5 };
	const struct gate_ticket next = { .grant = { 100, HOUR }, .at = 6 };
	const struct gate_ticket none = { .at = 0 };
	struct gate_marks marks = { .used = 0 };
	assert_int_equal(gate_ticket_part(&none, &marks, 7, 0), 0);
	assert_int_equal(gate_ticket_part(&ticket, &marks, 7, 5), 7);
	assert_int_equal(gate_ticket_part(&ticket, &marks, 700, HOUR + 4), 100);
	assert_int_equal(gate_ticket_part(&ticket, &marks, 7, HOUR + 5), 0);
	gate_ticket_take(&ticket, &marks, 60);
	gate_ticket_take(&none, &marks, 0);
	assert_int_equal(gate_ticket_part(&ticket, &marks, 50, 9), 40);
	gate_ticket_take(&ticket, &marks, 40);
	assert_int_equal(gate_ticket_part(&ticket, &marks, 1, 9), 0);
	assert_int_equal(gate_ticket_used(&ticket, &marks), 100);
	/* Another one is a new one. */
	assert_int_equal(gate_ticket_used(&next, &marks), 0);
	assert_int_equal(gate_ticket_part(&next, &marks, 1000, 9), 100);
	assert_int_equal(gate_ticket_used(&none, &marks), 0);
}

/* ---- rows ---- */

static void marks_come_back(void **state)
{
	(void)state;
	static const struct gate_marks rows[] = {
		{ .used = 0 },
		{ .told = { 7 } },
		{ .never = { 9, 8 }, .told = { 1, 2, 3, 4, 5, 6, 7, 8 }, .ticket = 6, .used = UINT32_MAX },
		{ .never = { BUDGET_TIME_MAX, 1 } },
		{ .ticket = BUDGET_TIME_MAX, .used = 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = GATE_MARKS_MAX };
		struct gate_marks marks;
		gate_marks_pack(&rows[i], &row);
		assert_true(gate_marks_unpack(buf_span(&row), &marks));
		assert_memory_equal(&marks, &rows[i], sizeof marks);
		assert_int_equal(row.len == 0, i == 0);
		/* Cut anywhere, or with something behind, it makes no sense. */
		for (size_t len = 1; len < row.len; len++) {
			assert_false(
			    gate_marks_unpack(span_first(buf_span(&row), len), &marks));
		}
		buf_put_byte(&row, 'x');
		assert_false(gate_marks_unpack(buf_span(&row), &marks));
		buf_done(&row);
	}
}

static void tickets_come_back(void **state)
{
	(void)state;
	static const struct gate_ticket rows[] = {
		{ .at = 0 },
		{ { 3000, 24 * HOUR }, 77, 1700000000000, SPAN_LIT("the annual report") },
		{ { 1, MINUTE }, BUDGET_TIME_MAX, -1, SPAN_LIT("") },
		{ { BUDGET_TOKENS_MAX, BUDGET_WINDOW_MAX }, 1, 0, SPAN_LIT("x") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf row = { .cap = 512 };
		struct gate_ticket ticket;
		gate_ticket_pack(&rows[i], &row);
		assert_true(gate_ticket_unpack(buf_span(&row), &ticket));
		assert_int_equal(ticket.at, rows[i].at);
		assert_int_equal(ticket.wall, rows[i].wall);
		assert_int_equal(ticket.grant.tokens, rows[i].grant.tokens);
		assert_int_equal(ticket.grant.window, rows[i].grant.window);
		assert_true(span_eq(ticket.why, rows[i].why));
		for (size_t len = 1; len < row.len; len++) {
			assert_false(
			    gate_ticket_unpack(span_first(buf_span(&row), len), &ticket));
		}
		buf_put_byte(&row, 'x');
		assert_false(gate_ticket_unpack(buf_span(&row), &ticket));
		buf_done(&row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),          cmocka_unit_test(edges),
		cmocka_unit_test(third_in_an_hour),  cmocka_unit_test(told_once_a_day),
		cmocka_unit_test(tickets),           cmocka_unit_test(marks_come_back),
		cmocka_unit_test(tickets_come_back),
	};
	return cmocka_run_group_tests_name("gate_limit", tests, NULL, NULL);
}
