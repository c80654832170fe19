/* B1 to B12: the honest. A habit each, and for some an errand that comes back. */
#include "detect.h"

#include <string.h>

#define ACCOUNTS       40
#define ACCOUNTS_QUICK 3
#define LASTS          (56 * DAY)
#define LASTS_QUICK    (28 * DAY)
#define TO_MAX         128
#define FOREVER        INT64_MAX

/* Something that is sent again and again, to a list that is drawn once. */
struct errand_plan {
	int64_t every;
	struct range size; /* recipients of the list */
	uint32_t per_mail;
	struct range gap;   /* s between its mails */
	unsigned new_share; /* percent that is new each time */
	unsigned dead;      /* percent that is dead */
	const char *ticket; /* announced by the admin each time; NULL: not */
	bool defer;         /* the account is told to come again at its limit, and does */
	bool anew;          /* never sent before the count begins */
};

/* What others do to a sender by mailing him. */
enum provoked { PROVOKED_TRAP, PROVOKED_LIST, PROVOKED_DEAD, PROVOKED_ILL, PROVOKED_KINDS };

struct class
{
	const char *name, *sentence;
	struct habit habit;
	struct errand_plan errand; /* size.hi 0: none */
	bool provoked;
	bool starts; /* without a past */
};

#define OFFICE .a_day = { 30, 40 }, .more = 10, .new_share = 6, .book = { 30, 60 }

static const struct class classes[] = {
	{ "B1 office", "30-40 mails a day from 1-3 own networks, growing contacts",
	  .habit = { OFFICE } },
	{ "B2 assistant", "B1, and an invitation to 50-150 a week, one in ten of them new",
	  .habit = { OFFICE },
	  .errand = { .every = 7 * DAY,
	              .size = { 50, 150 },
	              .per_mail = 100,
	              .gap = { 20, 90 },
	              .new_share = 10 } },
	{ "B3 newsletter", "B1, and 500-5,000 a month to a stable list, unannounced",
	  .habit = { OFFICE },
	  .errand = { .every = 28 * DAY,
	              .size = { 500, 5000 },
	              .per_mail = 50,
	              .gap = { 20, 60 },
	              .new_share = 1 } },
	{ "B3 with a ticket", "the same, announced by `account allow NAME 6000/1d`",
	  .habit = { OFFICE },
	  .errand = { .every = 28 * DAY,
	              .size = { 500, 5000 },
	              .per_mail = 50,
	              .gap = { 20, 60 },
	              .new_share = 1,
	              .ticket = "6000/1d" } },
	{ "B4 invoices", "B1, and 80-800 single mails a month, one in 4-8 s, 5 % new",
	  .habit = { OFFICE },
	  .errand = { .every = 28 * DAY,
	              .size = { 80, 800 },
	              .per_mail = 1,
	              .gap = { 4, 8 },
	              .new_share = 5 } },
	{ "B5 scanner", "an application: 100-500 mails a day to 1-40 fixed recipients",
	  .habit = { .a_day = { 100, 500 }, .book = { 1, 40 } } },
	{ "B6 traveller", "B1 on the road but for Mondays: 3-15 networks a day",
	  .habit = { OFFICE, .moves = MOVES_ALWAYS } },
	{ "B7 phone", "B1, six of ten by a phone behind carrier NAT: 20-200 addresses a week",
	  .habit = { OFFICE, .moves = MOVES_CARRIER } },
	{ "B8 new starter", "no past, 15-30 mails a day, every third recipient is new",
	  .habit = { .a_day = { 15, 30 }, .more = 20, .new_share = 33 }, .starts = true },
	{ "B9 old list", "B1, and once a mail to 200-400 old addresses, 5 % of them unknown",
	  .habit = { OFFICE },
	  .errand = { .every = 365 * DAY,
	              .size = { 200, 400 },
	              .per_mail = 50,
	              .gap = { 20, 60 },
	              .dead = 5,
	              .anew = true } },
	{ "B10 tries again", "600-900 mails a second each, action defer: again after 10-60 s",
	  .habit = { OFFICE },
	  .errand = { .every = 28 * DAY,
	              .size = { 600, 900 },
	              .per_mail = 1,
	              .gap = { 1, 1 },
	              .defer = true } },
	{ "B11 provoked", "reply-all to a trap, a list of 650, 40 dead ones; false 550 5.1.1",
	  .habit = { OFFICE }, .provoked = true },
	{ "B12 webmail", "B1, nine of ten mails from the webmail's one address",
	  .habit = { OFFICE, .moves = MOVES_WEBMAIL } },
};

size_t honest_count(void)
{
	return sizeof classes / sizeof *classes;
}

const char *honest_name(size_t i)
{
	return classes[i].name;
}

const char *honest_sentence(size_t i)
{
	return classes[i].sentence;
}

/* ---- an errand ---- */

struct errand {
	struct actor actor;
	const struct errand_plan *plan;
	struct person *person;
	struct random random;
	int64_t began; /* this time */
	uint32_t size, done;
	uint32_t fresh; /* numbers that were ever new */
	uint32_t to[TO_MAX];
	size_t n; /* to be tried again */
};

static uint32_t next_recipient(struct errand *e)
{
	uint32_t k = e->done++;
	if (random_percent(&e->random, e->plan->new_share)) {
		return person_errand(e->person, RECIPIENT_PERSON, 8192 + e->fresh++ % 16384);
	}
	struct random fixed = random_of(e->person->number + 99, k);
	bool dead = random_percent(&fixed, e->plan->dead);
	return person_errand(e->person, dead ? RECIPIENT_DEAD : RECIPIENT_PERSON, k);
}

static void come_back(struct errand *e)
{
	e->began += e->plan->every;
	e->actor.at = e->began > e->actor.at ? e->began : e->actor.at + DAY;
	e->done = 0;
	e->n = 0;
}

/* At home or in the office: a run is not done from the street. */
static enum world_verdict send_part(struct scene *scene, struct errand *e)
{
	while (!e->n || (e->n < e->plan->per_mail && e->done < e->size)) {
		e->to[e->n++] = next_recipient(e);
	}
	const struct world_mail mail = { .account = e->person->account,
		                         .place = e->person->places[0],
		                         .to = e->to,
		                         .n = e->n };
	return world_send(scene->world, &mail, e->actor.at);
}

static void do_errand(struct scene *scene, struct actor *actor)
{
	struct errand *e = (struct errand *)actor;
	if (e->plan->ticket && !e->done) {
		world_until(scene->world, actor->at);
		world_ticket(scene->world, e->person->account, e->plan->ticket);
	}
	enum world_verdict verdict = send_part(scene, e);
	if (verdict == WORLD_LATER) {
		actor->at += random_in(&e->random, (struct range){ 10, 60 }) * SECOND;
		return;
	}
	e->n = 0;
	actor->at += random_in(&e->random, e->plan->gap) * SECOND;
	/* Who is locked out leaves it, and tries the next time. */
	if (e->done >= e->size || verdict == WORLD_LOCKED) {
		come_back(e);
	}
}

static void add_errand(struct scene *scene, const struct errand_plan *plan,
                       struct person *person)
{
	struct errand *e = scene_add(scene, sizeof *e);
	int64_t first = plan->anew ? scene->past : 0;
	e->plan = plan;
	e->person = person;
	e->random = random_of(scene->seed + 2, person->account);
	e->size = random_in(&e->random, plan->size);
	e->began = first + (1 + random_below(&e->random, 20)) * DAY;
	e->began = office_time(e->began) + random_below(&e->random, 6 * 3600) * SECOND;
	e->actor = (struct actor){ e->began, do_errand };
	if (plan->defer) {
		world_defer(scene->world, person->account);
	}
}

/* ---- provoked ---- */

struct victim {
	struct actor actor;
	struct person *person;
	enum provoked next;
};

static size_t reply_all(const struct person *person, enum provoked what, uint32_t *to_out)
{
	size_t n = 0;
	size_t dead = what == PROVOKED_DEAD ? 40 : 0;
	while (n < 8) {
		to_out[n] = person_contact(person, (uint32_t)(20 + n));
		n++;
	}
	while (n < 8 + dead) {
		to_out[n] = person_errand(person, RECIPIENT_DEAD, (uint32_t)n);
		n++;
	}
	if (what == PROVOKED_TRAP || what == PROVOKED_LIST) {
		to_out[n++] = person_errand(
		    person, what == PROVOKED_TRAP ? RECIPIENT_TRAP : RECIPIENT_DECLARED, 1);
	}
	return n;
}

/* Each of them once, three days apart, from where the person is. The smarthost falls ill for
 * all at the same time. */
static void provoke(struct scene *scene, struct actor *actor)
{
	struct victim *v = (struct victim *)actor;
	uint32_t to[TO_MAX];
	const struct world_mail mail = { .account = v->person->account,
		                         .place = person_place(v->person, actor->at),
		                         .to = to,
		                         .n = reply_all(v->person, v->next, to) };
	world_send(scene->world, &mail, actor->at);
	actor->at = office_time(actor->at + 3 * DAY);
	if (++v->next == PROVOKED_ILL) {
		actor->at = FOREVER;
	}
}

static void add_victim(struct scene *scene, struct person *person)
{
	struct victim *v = scene_add(scene, sizeof *v);
	struct random random = random_of(scene->seed + 3, person->account);
	int64_t at = scene->past + random_below(&random, 10 * 24) * HOUR;
	v->person = person;
	v->actor = (struct actor){ office_time(at), provoke };
}

/* ---- a class ---- */

void honest_run(size_t i, const struct detect_options *options, const struct world_rules *rules,
                struct findings *findings_out)
{
	const struct class *class = &classes[i];
	size_t accounts = options->quick ? ACCOUNTS_QUICK : ACCOUNTS;
	int64_t lasts = options->quick ? LASTS_QUICK : LASTS;
	struct scene scene;
	scene_init(&scene, rules, options->seed * 1000033 + i, class->starts ? 0 : PAST);
	for (size_t n = 0; n < accounts; n++) {
		struct person *person = person_new(&scene, &class->habit);
		if (class->errand.size.hi) {
			add_errand(&scene, &class->errand, person);
		}
		if (class->provoked) {
			add_victim(&scene, person);
		}
	}
	if (class->provoked) {
		int64_t ill = scene.past + 15 * DAY + 10 * HOUR;
		world_be_ill(scene.world, ill, ill + 10 * MINUTE);
	}
	scene_run(&scene, scene.past + lasts);
	for (size_t n = 0; n < accounts; n++) {
		findings_add(findings_out, scene.world, n, (double)lasts / (double)DAY);
	}
	findings_add_world(findings_out, scene.world);
	scene_done(&scene);
}
