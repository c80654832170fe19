/*
 * The reader of a day of traffic (test/traffic/README.md): its lines and repeats, its numbers
 * and times. What a step does is its caller's.
 */
#ifndef GATEPOST_TEST_AUTH_TRAFFIC_DAY_H
#define GATEPOST_TEST_AUTH_TRAFFIC_DAY_H

#include "proto/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY       ((int64_t)24 * 3600 * 1000)
#define WORDS_MAX 24
#define LINES_MAX 400
#define LOOPS_MAX 4

/* A time, or what happens, or both: one word at least. */
typedef void day_step(void *context, const struct span *words, size_t count);

struct loop {
	size_t line; /* of its repeat */
	uint32_t left;
};

struct day {
	const char *path;
	struct buf text;
	struct span lines[LINES_MAX];
	size_t count;
	size_t line;
	struct loop loops[LOOPS_MAX];
	size_t depth;
	uint64_t random;
	day_step *step;
	void *context;
};

#define DAY_FAIL(day, ...) \
	do { \
		print_error("%s:%zu: ", (day)->path, (day)->line + 1); \
		fail_msg(__VA_ARGS__); \
	} while (0)

/* All of the file at `path`; the rest of `day` is zero. */
void day_read(struct day *day);
/* Each step in its turn. */
void day_run(struct day *day, day_step *step, void *context);
void day_done(struct day *day);

/* Cuts a number off the front of `word`. */
int64_t day_number(struct day *day, struct span *word);
/* "30m", in ms. */
int64_t day_duration(struct day *day, struct span word);
/* "7", or "20..60": one of them. */
uint32_t day_count(struct day *day, struct span word);

#endif
