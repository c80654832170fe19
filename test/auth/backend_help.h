/* What holds for every answer of a back end, whichever was asked. */
#ifndef GATEPOST_TEST_AUTH_BACKEND_HELP_H
#define GATEPOST_TEST_AUTH_BACKEND_HELP_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

#include "auth/backend.h"

#define PASSWORD "correct horse"
#define NO_ERROR ((struct error){ .text = "as it was" })

/* What was asked with NO_ERROR about alice and her PASSWORD. */
static inline void check_answer(enum backend_answer answer, const struct buf *name,
                                const struct error *error)
{
	assert_true(answer != BACKEND_UNAVAILABLE || error->text[0] != '\0');
	assert_true(answer == BACKEND_RIGHT || name->len == 0);
	assert_null(strstr(error->text, PASSWORD));
	assert_null(strstr(error->text, "alice"));
	assert_null(strstr(error->text, "as it was"));
}

#endif
