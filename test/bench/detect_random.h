/* Numbers by chance that are the same in every run: each sender draws from a stream of its own,
 * so that no rule changes what another one does. */
#ifndef GATEPOST_TEST_BENCH_DETECT_RANDOM_H
#define GATEPOST_TEST_BENCH_DETECT_RANDOM_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

struct range {
	uint32_t lo, hi; /* both may be drawn */
};

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
	uint64_t x = random->state += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* A stream of its own for each pair. */
static inline struct random random_of(uint64_t seed, uint64_t number)
{
	struct random random = { seed * 0x9e3779b97f4a7c15u + 1 };
	random.state = random_next(&random) ^ (number * 0xd6e8feb86659fd93u);
	random_next(&random);
	return random;
}

static inline uint32_t random_below(struct random *random, uint32_t n)
{
	return n ? (uint32_t)(random_next(random) % n) : 0;
}

static inline uint32_t random_in(struct random *random, struct range range)
{
	return range.lo + random_below(random, range.hi - range.lo + 1);
}

static inline bool random_percent(struct random *random, uint32_t percent)
{
	return random_below(random, 100) < percent;
}

/* A waiting time of this mean, never more than eight of it. */
static inline int64_t random_wait(struct random *random, int64_t mean)
{
	double u = ((double)(random_next(random) >> 11) + 1) / 9007199254740993.0;
	double wait = -log(u) * (double)mean;
	return (int64_t)(wait < 8.0 * (double)mean ? wait : 8.0 * (double)mean);
}

#endif
