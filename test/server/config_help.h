/* A configuration file of the test's own, written and read. */
#ifndef GATEPOST_TEST_SERVER_CONFIG_HELP_H
#define GATEPOST_TEST_SERVER_CONFIG_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config.h"

/* The least there must be. */
#define NAMES "hostname = mail.example.org\n"
#define MTA   "smarthost mta { address = 127.0.0.1 }\n"
#define HEAD  NAMES MTA

static char path[] = "/tmp/gatepost-config-XXXXXX";

static inline int make_path(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd >= 0 && close(fd) == 0 ? 0 : -1;
}

static inline int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

static inline void write_text(const char *text, size_t len)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static inline struct config *load_text(const char *text, struct error *error)
{
	write_text(text, strlen(text));
	return config_load(path, error);
}

static inline struct config *must_load(const char *text)
{
	struct error error = { "" };
	struct config *config = load_text(text, &error);
	if (!config) {
		fail_msg("%s", error.text);
	}
	return config;
}

#endif
