/*
 * Every way in which a suspension ends, and what is to be left of its mail; with a store of its
 * own for each test.
 */
#ifndef GATEPOST_TEST_AUTH_SUSPEND_HELP_H
#define GATEPOST_TEST_AUTH_SUSPEND_HELP_H

#include "auth/suspend.h"

#include "test/auth/fresh_store.h"

#include "test/auth/aftermath.h"

static const struct {
	const char *name;
	enum standing_event event;
	bool good;
	size_t ready, held; /* of each entry that was held */
	size_t notices;
} ends[] = {
	{ "unlock", STANDING_UNLOCK, true, 1, 0, 1 },
	{ "keep", STANDING_KEEP, true, 0, 1, 1 },
	{ "discard", STANDING_DISCARD, true, 0, 0, 1 },
	{ "spam", STANDING_SPAM, false, 0, 0, 1 },
	{ "nothing", STANDING_NOTHING, false, 0, 1, 1 },
};

static inline void starts_anew(void **state)
{
	assert_int_equal(tear_down(state), 0);
	assert_int_equal(set_up(state), 0);
}

#endif
