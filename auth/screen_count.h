/* Counts that fade, and tallies of how many different things were seen: the two measures of
 * the screen. Times are T. */
#ifndef GATEPOST_AUTH_SCREEN_COUNT_H
#define GATEPOST_AUTH_SCREEN_COUNT_H

#include <stdint.h>

/* Sixteenths of a failure: what the least one weighs. A phone with an old password that comes
 * every five minutes brings fewer of them than fade in that time. */
#define WHOLE 16

struct fading {
	uint32_t points; /* sixteenths */
	int64_t faded;   /* up to which fading is reckoned */
};

/* What is left of it when a whole one fades in `fade`. */
static inline uint32_t count_at(const struct fading *count, int64_t fade, int64_t now)
{
	int64_t steps = now > count->faded ? (now - count->faded) / (fade / WHOLE) : 0;
	return steps < count->points ? count->points - (uint32_t)steps : 0;
}

static inline void count_fade(struct fading *count, int64_t fade, int64_t now)
{
	uint32_t left = count_at(count, fade, now);
	count->faded = left ? count->faded + (count->points - left) * (fade / WHOLE) : now;
	count->points = left;
}

/* One bit for each thing, of 64, in two generations: it is known for one to two spans. */
struct tally {
	uint64_t bits, older;
	int64_t since;
};

static inline uint64_t tally_at(const struct tally *tally, int64_t span, int64_t now)
{
	int64_t age = now - tally->since;
	return age < span ? tally->bits | tally->older : age < 2 * span ? tally->bits : 0;
}

static inline void tally_add(struct tally *tally, uint64_t bit, int64_t span, int64_t now)
{
	if (now - tally->since >= span) {
		*tally = (struct tally){ .older = tally_at(tally, span, now), .since = now };
	}
	tally->bits |= bit;
}

/* How many things fill so many bits, about: the question of the collector of coupons. */
static inline unsigned how_many(uint64_t bits)
{
	unsigned set = (unsigned)__builtin_popcountll(bits), sum = 0;
	for (unsigned i = 0; i < set; i++) {
		sum += 64 * WHOLE / (64 - i);
	}
	return sum / WHOLE;
}

#endif
