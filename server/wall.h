/* The wall clock, in ms since 1970: for people and for files, never for a deadline. */
#ifndef GATEPOST_SERVER_WALL_H
#define GATEPOST_SERVER_WALL_H

#include <stdint.h>
#include <time.h>

static inline int64_t wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
