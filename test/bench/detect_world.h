/*
 * The world of the evaluation: a site (detect_site.h) with its queue, its smarthost and its
 * postmaster. The queue is kept in memory: a mail that dwells is relayed when its time is over,
 * unless the account was suspended before: then it is held. What became of each mail is written
 * down.
 */
#ifndef GATEPOST_TEST_BENCH_DETECT_WORLD_H
#define GATEPOST_TEST_BENCH_DETECT_WORLD_H

#include "auth/budget.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* The postmaster takes so long to answer a notice about an honest account: it is unlocked, and
 * what was held is released. After a suspension the owner has taken another password. */
#define WORLD_ANSWER (2 * HOUR)

/* By which rules it judges. */
struct world_rules {
	bool tariff; /* else the classic rule: the limits, and no surcharges */
	struct budget_limits limits;
	const char *prices; /* "stranger=5 new-network=20"; NULL: the defaults */
	bool why;           /* say on stderr by which bill an honest account is suspended */
};

/* Is the tariff there to be evaluated? */
bool world_has_tariff(void);

/* ---- recipients: a number each ---- */

enum recipient {
	RECIPIENT_PERSON,
	RECIPIENT_DEAD,     /* unknown to the smarthost */
	RECIPIENT_TRAP,     /* planted by the admin */
	RECIPIENT_LIST,     /* expands behind the smarthost, and nobody declared it */
	RECIPIENT_DECLARED, /* a list of 650 that is declared */
};

#define RECIPIENT_SHIFT 28

static inline uint32_t recipient_of(enum recipient kind, uint32_t number)
{
	return (uint32_t)kind << RECIPIENT_SHIFT | (number & ((1u << RECIPIENT_SHIFT) - 1));
}

static inline enum recipient recipient_kind(uint32_t recipient)
{
	return (enum recipient)(recipient >> RECIPIENT_SHIFT);
}

/* How many people a recipient is. */
uint32_t recipient_people(uint32_t recipient);

/* ---- a world ---- */

struct world;

/* Its time 0 is a Monday, midnight. Ends the process when there is no store. */
struct world *world_new(const struct world_rules *rules);
void world_free(struct world *world);

/* A new account; they are numbered from 0. */
size_t world_account(struct world *world);
void world_exempt(struct world *world, size_t account);
/* "3000/1d", from now on. */
void world_ticket(struct world *world, size_t account, const char *grant);
/* At its limit it is told to try again later, and nobody is suspended. */
void world_defer(struct world *world, size_t account);
/* The network around this place is declared: it is everybody's, or it says nothing. */
void world_declare(struct world *world, uint64_t place, bool familiar, bool shared);
/* The smarthost takes mail to unknown recipients, too (and bounces it later). */
void world_take_all(struct world *world);
/* It refuses all recipients as unknown in this time. */
void world_be_ill(struct world *world, int64_t from, int64_t to);

/* ---- what happens ---- */

struct world_mail {
	size_t account;
	uint64_t place;     /* an IPv4 address; above 2^32: the first half of an IPv6 one; 0:
	                       nobody knows */
	const uint32_t *to; /* each once */
	size_t n;
	bool thief; /* by whom it is sent; only the figures know */
};

enum world_verdict {
	WORLD_TAKEN,
	WORLD_KEPT,    /* taken, and HELD; to its sender the same */
	WORLD_LATER,   /* 4xx */
	WORLD_REFUSED, /* 5xx */
	WORLD_LOCKED,  /* 5xx: the account is suspended, now or before */
};

/* `at` never goes back, here and below. What is due until then is relayed first. */
enum world_verdict world_send(struct world *world, const struct world_mail *mail, int64_t at);
void world_until(struct world *world, int64_t at);
/* The postmaster unlocks by the plain answer. */
void world_unlock(struct world *world, size_t account, int64_t at);
/* How full the fullest of its windows is; 1: as much as may be. What a thief could compute who
 * knows the configuration and counts. */
double world_use(struct world *world, size_t account, int64_t at);

/* ---- figures ---- */

/* The theft begins in earnest: time to lock counts from here (without, from the thief's first
 * mail). */
void world_theft(struct world *world, size_t account, int64_t at);
/* Honest mail counts from here; the fullest window is watched if so wanted, which is dear. */
void world_count_from(struct world *world, int64_t at, bool watch);

struct world_figures {
	/* of the thief; recipients are people, lists expanded */
	int64_t theft_at;  /* -1: never */
	int64_t locked_at; /* -1: never; the first time after the theft */
	uint64_t relayed;  /* before the lock */
	uint64_t held;
	/* of the owner */
	uint64_t mails, delayed, refused;
	int64_t longest; /* delay */
	unsigned locks;  /* before the theft, or without one */
	unsigned holds;  /* days with a mail that was held, the same */
	int64_t hold_day;
	double fullest; /* window, if watched */
};

const struct world_figures *world_figures(const struct world *world, size_t account);
bool world_has_history(const struct world *world, size_t account);
/* The most of the thieves' recipients, of all accounts, relayed within such a span. */
uint64_t world_most_within(const struct world *world, int64_t span);

/* Says why on stderr, and ends the process with 1. */
_Noreturn void detect_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
