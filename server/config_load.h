/* Private to config_load.c and the checks behind it: a file on its way into a configuration. */
#ifndef GATEPOST_SERVER_CONFIG_LOAD_H
#define GATEPOST_SERVER_CONFIG_LOAD_H

#include <confuse.h>

#include "server/config_table.h"

struct config_load {
	const char *path;
	struct error *error;
	char *text; /* NUL-terminated */
	size_t len;
	cfg_t *file;
	struct config_notes notes;
	struct config *config;
};

/* "FILE:LINE: what: fault", without the line when it is 0, without `what` when that is empty.
 * False, always. */
bool config_load_fail(const struct config_load *load, int line, const char *what,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "key", "tls: key" or "listen NAME: key". */
struct config_name {
	char text[160];
};
struct config_name config_name_key(enum config_block block, const char *title, const char *key);

/* The line of a value (1, 2 ...), else of its key, else of its block; 0 when all of it is a
 * default. */
int config_load_line(const struct config_load *load, enum config_block block, const char *title,
                     const char *key, size_t value);
/* A key of the top has a fault. */
bool config_load_fail_key(const struct config_load *load, const char *key, size_t value,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/* No window may stand in a list of limits twice. */
bool config_check_windows(const struct config_load *load, enum config_block block,
                          const char *title, const char *key,
                          const struct budget_limits *limits);

/* What keys say together (config_check.c), about the guard (config_guard.c), about logins
 * (config_auth.c), and the files of others that they name (config_files.c). */
bool config_check(struct config_load *load);
bool config_check_guard(struct config_load *load);
bool config_check_auth(struct config_load *load);
/* About hooks (config_hook.c). */
bool config_check_hooks(struct config_load *load);
/* The first line of the file that `key` names; NULL without one. False with a fault. */
bool config_read_secret(struct config_load *load, const char *key, const char *path,
                        const char **secret_out);
bool config_check_files(struct config_load *load);

#endif
