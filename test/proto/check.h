/* What the tests of this floor share: cmocka's includes in their order, and comparing bytes. */
#ifndef GATEPOST_TEST_PROTO_CHECK_H
#define GATEPOST_TEST_PROTO_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/buf.h"

/* Fails with both texts, and with the row's name, when they differ. */
static inline void check_span(const char *what, struct span got, struct span want)
{
	if (!span_eq(got, want)) {
		fail_msg("%s: got \"%.*s\" (%zu bytes), not \"%.*s\" (%zu bytes)", what,
		         SPAN_ARG(got), got.len, SPAN_ARG(want), want.len);
	}
}

#define CHECK(what, condition) \
	do { \
		if (!(condition)) { \
			fail_msg("%s: not %s", (what), #condition); \
		} \
	} while (0)

#endif
