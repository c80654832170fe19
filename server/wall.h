/* The wall clock, in ms since 1970: for people and for files, never for a deadline. */
#ifndef GATEPOST_SERVER_WALL_H
#define GATEPOST_SERVER_WALL_H

#include <time.h>

#include "proto/span.h"

static inline int64_t wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#define WALL_TEXT 40

/* "2026-11-25T03:00:00Z", into `text`. */
static inline struct span wall_write(int64_t wall, char text[WALL_TEXT])
{
	struct tm parts;
	time_t seconds = (time_t)(wall / 1000);
	gmtime_r(&seconds, &parts);
	return span_of(text, strftime(text, WALL_TEXT, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

#endif
