#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/smarthost.h"

static const int64_t retry[] = { 30000, 60000, 120000 };

/* No jitter: half of the spread is a random number like any other. */
static struct smarthost_backoff backoff_for(int64_t wait)
{
	return (struct smarthost_backoff){ retry, 3, (uint32_t)(wait / 10) };
}

static int64_t wait_of(const struct smarthost *host)
{
	return retry[host->failures < 3 ? host->failures : 2];
}

/*
 * A life as letters: u unreached, c cut, r reached, a answered, w woken, > the back-off is
 * over; i b o . a link becomes idle, busy, opening, gone. Behind it: down, may open, room (of 4
 * links).
 */
static const struct {
	const char *life;
	bool down;
	bool may_open;
	size_t room;
} rows[] = {
	{ "", false, true, 1 },    /* nothing is known: one link first */
	{ "o", false, false, 1 },  /* it is on its way, and may be waited for */
	{ "ori", false, true, 4 }, /* it works */
	{ "orb", false, true, 3 },
	{ "orbbbb", false, false, 0 },
	{ "orb.", false, true, 4 },
	{ "u", true, false, 0 }, /* down */
	{ "u>", true, true, 1 }, /* one probe */
	{ "u>o", true, false, 1 },
	{ "u>u", true, false, 0 },
	{ "uu", true, false, 0 },    /* a burst fails once */
	{ "uw", true, true, 1 },     /* flush */
	{ "u>ri", false, true, 4 },  /* back */
	{ "rbu", false, false, 0 },  /* full, not down: the one we have is busy */
	{ "rbiu", false, false, 1 }, /* the idle one takes a mail */
	{ "rbu>", false, true, 3 },
	{ "rcc", false, true, 4 },
	{ "rccc", true, false, 0 },   /* cut three times in a row */
	{ "rccacc", false, true, 4 }, /* not in a row */
	{ "rccc>", true, true, 1 },
	{ "rccc>r", true, true, 1 }, /* saying hello proves nothing here */
	{ "rccc>ra", false, true, 4 },
	{ "rccc>rc", true, false, 0 },
};

static void add_link(struct smarthost *host, enum smarthost_link state)
{
	host->links[state]++;
}

static enum smarthost_change live(struct smarthost *host, char letter, int64_t *now)
{
	struct smarthost_backoff backoff = backoff_for(wait_of(host));
	switch (letter) {
	case 'u':
		return smarthost_unreached(host, &backoff, *now, "refused");
	case 'c':
		return smarthost_cut(host, &backoff, *now, "cut");
	case 'r':
		return smarthost_reached(host);
	case 'a':
		return smarthost_answered(host);
	case 'w':
		smarthost_wake(host);
		break;
	case '>':
		*now = host->hold_until;
		break;
	case 'o':
		add_link(host, SMARTHOST_OPENING);
		break;
	case 'i':
		host->links[SMARTHOST_OPENING] = 0;
		add_link(host, SMARTHOST_IDLE);
		break;
	case 'b':
		host->links[SMARTHOST_OPENING] = 0;
		add_link(host, SMARTHOST_BUSY);
		break;
	case '.':
		host->links[SMARTHOST_BUSY]--;
		break;
	default:
		fail_msg("letter %c", letter);
	}
	return SMARTHOST_SAME;
}

static void test_lives(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smarthost host = { .connections = 4 };
		int64_t now = 1000000;
		for (const char *at = rows[i].life; *at; at++) {
			live(&host, *at, &now);
		}
		if (smarthost_is_down(&host) != rows[i].down ||
		    smarthost_may_open(&host, now) != rows[i].may_open ||
		    smarthost_room(&host, now) != rows[i].room) {
			fail_msg("\"%s\": down %d, may open %d, room %zu", rows[i].life,
			         smarthost_is_down(&host), smarthost_may_open(&host, now),
			         smarthost_room(&host, now));
		}
	}
}

/* 30 s, 1 m, 2 m, 2 m ... while each probe fails; from the beginning after it was up. */
static void test_backoff_grows(void **state)
{
	(void)state;
	static const int64_t waits[] = { 30000, 60000, 120000, 120000 };
	struct smarthost host = { .connections = 4 };
	int64_t now = 5000;
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT(waits); i++) {
			struct smarthost_backoff backoff = backoff_for(waits[i]);
			assert_int_equal(smarthost_unreached(&host, &backoff, now, "refused"),
			                 SMARTHOST_DOWN);
			assert_int_equal(host.hold_until - now, waits[i]);
			assert_int_equal(host.failures, i + 1);
			now = host.hold_until;
		}
		assert_int_equal(smarthost_reached(&host), SMARTHOST_UP);
		assert_int_equal(smarthost_answered(&host), SMARTHOST_SAME);
	}
}

static void test_changes(void **state)
{
	(void)state;
	static const struct {
		const char *life;
		enum smarthost_change last;
	} changes[] = {
		{ "r", SMARTHOST_SAME },       { "u", SMARTHOST_DOWN },
		{ "uu", SMARTHOST_SAME },      { "u>u", SMARTHOST_DOWN },
		{ "u>r", SMARTHOST_UP },       { "u>ra", SMARTHOST_SAME },
		{ "rbu", SMARTHOST_CROWDED },  { "rcc", SMARTHOST_SAME },
		{ "rccc", SMARTHOST_DOWN },    { "rcccc", SMARTHOST_SAME },
		{ "rccc>r", SMARTHOST_SAME },  { "rccc>ra", SMARTHOST_UP },
		{ "rccc>rc", SMARTHOST_DOWN },
	};
	for (size_t i = 0; i < COUNT(changes); i++) {
		struct smarthost host = { .connections = 4 };
		enum smarthost_change change = SMARTHOST_SAME;
		int64_t now = 1;
		for (const char *at = changes[i].life; *at; at++) {
			change = live(&host, *at, &now);
		}
		if (change != changes[i].last) {
			fail_msg("\"%s\": %d", changes[i].life, change);
		}
	}
}

static void test_hope(void **state)
{
	(void)state;
	static const struct {
		const char *life;
		bool hopeful;
	} hopes[] = {
		{ "", true }, { "u", false }, { "u>", true }, { "u>o", true }, { "rbu", true }
	};
	for (size_t i = 0; i < COUNT(hopes); i++) {
		struct smarthost host = { .connections = 4 };
		int64_t now = 1;
		for (const char *at = hopes[i].life; *at; at++) {
			live(&host, *at, &now);
		}
		assert_int_equal(smarthost_is_hopeful(&host, now), hopes[i].hopeful);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_backoff_grows),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_hope),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
