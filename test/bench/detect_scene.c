#include "detect_scene.h"

#include <stdlib.h>

#define COARSE 6 /* recipients a mail in the past, in place of as many mails */

const struct habit habit_office = {
	.a_day = { 30, 40 }, .more = 10, .new_share = 6, .book = { 30, 60 }
};

/* ---- a scene ---- */

void scene_init(struct scene *scene, const struct world_rules *rules, uint64_t seed,
                int64_t past)
{
	*scene = (struct scene){ .world = world_new(rules), .seed = seed, .past = past };
	world_count_from(scene->world, past, false);
}

void scene_done(struct scene *scene)
{
	for (size_t i = 0; i < scene->nactors; i++) {
		free(scene->actors[i]);
	}
	free(scene->actors);
	world_free(scene->world);
}

void *scene_add(struct scene *scene, size_t size)
{
	size_t n = scene->nactors;
	struct actor *actor = calloc(1, size);
	struct actor **actors = realloc(scene->actors, (n + 1) * sizeof(struct actor *));
	if (!actor || !actors) {
		detect_die("no memory");
	}
	actors[n] = actor;
	scene->actors = actors;
	scene->nactors = n + 1;
	return actor;
}

static struct actor *next_actor(const struct scene *scene)
{
	struct actor *next = NULL;
	for (size_t i = 0; i < scene->nactors; i++) {
		struct actor *actor = scene->actors[i];
		next = !next || actor->at < next->at ? actor : next;
	}
	return next;
}

void scene_run(struct scene *scene, int64_t until)
{
	struct actor *actor = next_actor(scene);
	while (actor && actor->at < until) {
		actor->step(scene, actor);
		actor = next_actor(scene);
	}
	world_until(scene->world, until);
}

/* ---- places ---- */

/* Not 10.x and not multicast, and the last byte is no matter: a /24 is a network. */
uint64_t place_any(struct random *random)
{
	return (uint64_t)(11 + random_below(random, 200)) << 24 |
	       random_below(random, 1 << 24) | 1;
}

static uint64_t place_on_the_road(const struct person *person, int64_t at, uint32_t draw)
{
	struct random day = random_of(person->number + 77, (uint64_t)(at / DAY));
	uint32_t networks = random_in(&day, (struct range){ 3, 15 });
	day.state += draw % networks;
	return place_any(&day);
}

/* Three /16; a new set of addresses each week. */
static uint64_t place_of_carrier(const struct person *person, int64_t at, uint32_t draw)
{
	struct random week = random_of(person->number + 7777, (uint64_t)(at / (7 * DAY)));
	uint32_t address = draw % random_in(&week, (struct range){ 20, 200 });
	struct random own = random_of(person->number + 777, address % 3);
	week.state += address;
	return (place_any(&own) & 0xffff0000u) | (random_next(&week) & 0xffff);
}

static uint64_t place_at_home(const struct person *person, uint32_t draw)
{
	size_t i = draw % 100 < 80 ? 0 : draw % 100 < 92 ? 1 : 2;
	return person->places[i < person->nplaces ? i : 0];
}

uint64_t person_place(struct person *person, int64_t at)
{
	uint32_t draw = (uint32_t)(random_next(&person->random) >> 32);
	switch (person->habit->moves) {
	case MOVES_ALWAYS:
		return at / DAY % 7 ? place_on_the_road(person, at, draw)
		                    : place_at_home(person, draw);
	case MOVES_CARRIER:
		return draw % 5 < 3 ? place_of_carrier(person, at, draw / 5)
		                    : place_at_home(person, draw);
	case MOVES_WEBMAIL:
		return draw % 10 ? PLACE_SHARED : place_at_home(person, draw / 10);
	default:
		return place_at_home(person, draw);
	}
}

/* ---- an ordinary life ---- */

/* From `at`, over nights and weekends. */
int64_t office_time(int64_t at)
{
	int64_t day = at / DAY, hour = at % DAY;
	if (hour >= 18 * HOUR) {
		day++;
		hour = 0;
	}
	if (day % 7 >= 5) {
		day += 7 - day % 7;
		hour = 0;
	}
	return day * DAY + (hour < 8 * HOUR ? 8 * HOUR : hour);
}

static uint32_t address_of(const struct person *person, uint32_t k)
{
	return (uint32_t)person->number << 16 | (k & 0xffff);
}

uint32_t person_contact(const struct person *person, uint32_t k)
{
	bool list = k >= 10 && k < 10 + PERSON_LISTS;
	return recipient_of(list ? RECIPIENT_LIST : RECIPIENT_PERSON, address_of(person, k));
}

uint32_t person_errand(const struct person *person, enum recipient kind, uint32_t k)
{
	return recipient_of(kind, address_of(person, PERSON_ERRANDS + k));
}

/* Some are written to more often than others, all of them now and then. */
static uint32_t choose(struct person *person)
{
	const struct habit *habit = person->habit;
	struct random *random = &person->random;
	if (random_percent(random, habit->new_share)) {
		return person->contacts < PERSON_ERRANDS ? person->contacts++ : 0;
	}
	uint32_t most = person->contacts;
	return random_below(random, random_percent(random, 50) ? most : 1 + most / 4);
}

static size_t choose_all(struct person *person, size_t n, uint32_t *to_out)
{
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t recipient = person_contact(person, choose(person));
		size_t j = 0;
		while (j < found && to_out[j] != recipient) {
			j++;
		}
		found = j < found ? found : j + 1;
		to_out[j] = recipient;
	}
	return found;
}

static void live(struct scene *scene, struct actor *actor)
{
	struct person *person = (struct person *)actor;
	const struct habit *habit = person->habit;
	bool coarse = actor->at < scene->past - DAY;
	uint32_t to[COARSE];
	size_t n = coarse ? COARSE
	           : random_percent(&person->random, habit->more)
	               ? 2 + random_below(&person->random, 4)
	               : 1;
	n = choose_all(person, n, to);
	const struct world_mail mail = { .account = person->account,
		                         .place = person_place(person, actor->at),
		                         .to = to,
		                         .n = n };
	world_send(scene->world, &mail, actor->at);
	int64_t mean = 10 * HOUR / person->a_day * (coarse ? COARSE : 1);
	int64_t next = actor->at + random_wait(&person->random, mean);
	bool night = office_time(next) != next;
	actor->at = night ? office_time(next) + random_wait(&person->random, mean) : next;
}

struct person *person_new(struct scene *scene, const struct habit *habit)
{
	struct person *person = scene_add(scene, sizeof *person);
	person->account = world_account(scene->world);
	/* In a scene of its own each has other numbers, and so other places. */
	person->number = person->account;
	person->random = random_of(scene->seed, person->account);
	person->habit = habit;
	person->contacts = random_in(&person->random, habit->book);
	person->a_day = random_in(&person->random, habit->a_day);
	person->nplaces = 1 + random_below(&person->random, PERSON_PLACES);
	for (size_t i = 0; i < person->nplaces; i++) {
		person->places[i] = place_any(&person->random);
	}
	person->actor.step = live;
	person->actor.at = office_time(random_wait(&person->random, 10 * HOUR / person->a_day));
	return person;
}
