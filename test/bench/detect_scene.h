/*
 * A scene: a world with the people in it, each an actor that does something at a time and says
 * when next. A person leads an ordinary life; it is all that an account knows when it is
 * stolen.
 */
#ifndef GATEPOST_TEST_BENCH_DETECT_SCENE_H
#define GATEPOST_TEST_BENCH_DETECT_SCENE_H

#include "detect_random.h"
#include "detect_world.h"

#define PAST (60 * DAY) /* of ordinary life, before anything counts */

struct scene;

struct actor {
	int64_t at; /* INT64_MAX: it is done */
	void (*step)(struct scene *scene, struct actor *actor);
};

struct scene {
	struct world *world;
	uint64_t seed; /* of this scene */
	int64_t past;  /* no need to be exact before that */
	struct actor **actors;
	size_t nactors;
};

void scene_init(struct scene *scene, const struct world_rules *rules, uint64_t seed,
                int64_t past);
/* Its actors were allocated by their makers; they are freed with it. */
void scene_done(struct scene *scene);
/* A zeroed actor of `size` bytes, which begins with a struct actor. */
void *scene_add(struct scene *scene, size_t size);
void scene_run(struct scene *scene, int64_t until);

/* ---- a person ---- */

#define PERSON_PLACES  3
#define PERSON_LISTS   3
#define PERSON_ERRANDS 32768 /* numbers of recipients from here on are for other uses */

/* From where a person sends. */
enum moves {
	MOVES_LITTLE,  /* 1 to 3 networks of its own */
	MOVES_ALWAYS,  /* on the road but for Mondays: 3 to 15 networks a day */
	MOVES_CARRIER, /* a phone behind carrier NAT: 20 to 200 addresses a week in 3 /16 */
	MOVES_WEBMAIL, /* nine of ten by the site's webmail */
};

struct habit {
	struct range a_day; /* mails, on workdays */
	unsigned more;      /* percent of mails to 2-5 recipients */
	unsigned new_share; /* percent of recipients that are new */
	struct range book;  /* contacts that it begins with */
	enum moves moves;
};

/* Thirty to forty a day, one to three networks, growing contacts. */
extern const struct habit habit_office;

struct person {
	struct actor actor;
	const struct habit *habit;
	struct random random;
	size_t account, number;
	uint32_t contacts; /* so far */
	uint64_t places[PERSON_PLACES];
	size_t nplaces;
	uint32_t a_day; /* of its habit */
};

/* The site's webmail, or a VPN: the same for all. */
#define PLACE_SHARED ((uint64_t)0x0a000001 + 0xc0000000)

/* A person with an account of its own. */
struct person *person_new(struct scene *scene, const struct habit *habit);
/* The kth contact; a few are lists. */
uint32_t person_contact(const struct person *person, uint32_t k);
uint32_t person_errand(const struct person *person, enum recipient kind, uint32_t k);
uint64_t person_place(struct person *person, int64_t at);
/* Anywhere in the world. */
uint64_t place_any(struct random *random);
/* The first moment of office hours (8 to 18, Monday to Friday) from `at` on. */
int64_t office_time(int64_t at);

#endif
