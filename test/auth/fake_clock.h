/*
 * A machine's clocks in the test's hand: this clock_gettime stands before that of libc. Time
 * passes only when the test says so. To be included by one file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_FAKE_CLOCK_H
#define GATEPOST_TEST_AUTH_FAKE_CLOCK_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
	int64_t boot; /* ms since the machine started */
	int64_t wall; /* ms since 1970 */
} fake_clock = { 20000, (int64_t)1700000000000 };

static inline void fake_clock_pass(int64_t ms)
{
	fake_clock.boot += ms;
	fake_clock.wall += ms;
}

int clock_gettime(clockid_t id, struct timespec *time_out)
{
	int64_t ms = id == CLOCK_REALTIME ? fake_clock.wall : fake_clock.boot;
	if (id != CLOCK_REALTIME && id != CLOCK_BOOTTIME) {
		return (int)syscall(SYS_clock_gettime, id, time_out);
	}
	time_out->tv_sec = ms / 1000;
	time_out->tv_nsec = ms % 1000 * 1000000;
	return 0;
}

#endif
