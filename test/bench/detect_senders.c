/* A1 to A15: the thieves. One engine, and a table of plans for it. */
#include "detect.h"

#include <stdlib.h>
#include <string.h>

#define ACCOUNTS       20
#define ACCOUNTS_QUICK 2
#define TO_MAX         200
#define LIST_MAX       100000 /* recipients that a thief has bought */
#define FOREVER        INT64_MAX

enum via {
	VIA_ONE,    /* one foreign network */
	VIA_POOL,   /* a botnet of 100-350 */
	VIA_FRESH,  /* another one each mail */
	VIA_SIX,    /* another IPv6 /48 each mail */
	VIA_SITE,   /* one for all stolen accounts */
	VIA_SHARED, /* one that many honest people use: declared so */
	VIA_OWN,    /* the victim's */
};

enum whom {
	TO_STRANGERS,
	TO_CONTACTS, /* of the victim */
	TO_HALF,     /* one and the other */
	TO_LISTS,    /* contacts, with the lists among them first */
	TO_HIMSELF,  /* one mailbox, over and over */
};

/* What comes before: another life, and the first trials. */
enum prelude {
	PRELUDE_NONE,
	PRELUDE_PROBE, /* one mail, then 1 to 48 hours of sleep */
	PRELUDE_RIPEN, /* a mail a day for 1 to 14 days, across midnight */
};

struct plan {
	const char *name, *sentence;
	struct range per_mail;
	struct range rate; /* recipients in `per`, or mails */
	int64_t per;
	bool mails;
	enum via via;
	enum whom whom;
	struct range total; /* recipients; hi 0: all that he has */
	int64_t lasts;
	bool office; /* in office hours */
	enum prelude prelude;
	struct range dead; /* percent */
	bool take_all;     /* the smarthost does not refuse them at RCPT */
	unsigned meter;    /* stops at this percent of every window; 0: he does not know them */
	unsigned unlocks;
	bool exempt, ticket;
	struct range book; /* the victim's contacts; hi 0: as usual */
	bool site;         /* many accounts of one site */
};

#define BLAST .per_mail = { 50, 170 }, .rate = { 100, 1000 }, .per = MINUTE, .lasts = DAY
#define BURST \
	.per_mail = { 1, 10 }, .rate = { 30, 100 }, .per = MINUTE, .mails = true, \
	.via = VIA_POOL, .lasts = DAY
#define METER(percent) \
	.sentence = "counts along, and stops at " #percent " % of every window, for 14 days", \
	.per_mail = { 1, 1 }, .rate = { 30, 30 }, .per = MINUTE, .meter = percent, \
	.lasts = 14 * DAY
#define SPREAD \
	.per_mail = { 1, 5 }, .rate = { 10, 45 }, .per = HOUR / 2, .lasts = 2 * DAY, \
	.site = true
#define INSIDER \
	.per_mail = { 10, 50 }, .rate = { 5, 10 }, .per = HOUR, .mails = true, .lasts = DAY, \
	.whom = TO_LISTS, .total = { 100, 500 }, .book = { 500, 500 }

static const struct plan plans[] = {
	{ "A1 blast", "100-1,000 recipients a minute from one address, 50-170 a message",
	  BLAST },
	{ "A2 single mails", "one recipient a message over 20 parallel sessions",
	  .per_mail = { 1, 1 }, .rate = { 100, 1000 }, .per = MINUTE, .lasts = DAY },
	{ "A3 botnet burst", "30-100 messages a minute from 100-350 networks", BURST },
	{ "A4 slow botnet", "2-15 messages an hour, a fresh network each, for 3 days",
	  .per_mail = { 1, 3 }, .rate = { 2, 15 }, .per = HOUR, .mails = true, .via = VIA_FRESH,
	  .lasts = 3 * DAY },
	{ "A5 drip", "95 % of the half-hour limit from one network, for 2 days",
	  .per_mail = { 1, 20 }, .rate = { 475, 475 }, .per = HOUR / 2, .lasts = 2 * DAY },
	{ "A6 by hand", "5-300 known contacts from a new network in office hours",
	  .per_mail = { 1, 10 }, .rate = { 15, 60 }, .per = HOUR, .mails = true,
	  .whom = TO_CONTACTS, .total = { 5, 300 }, .lasts = DAY, .office = true,
	  .book = { 320, 400 } },
	{ "A7 lateral phish", "650 recipients, half of them known, in 2 hours",
	  .per_mail = { 10, 50 }, .rate = { 650, 650 }, .per = 2 * HOUR, .whom = TO_HALF,
	  .total = { 650, 650 }, .lasts = 3 * HOUR, .book = { 400, 400 } },
	{ "A8 probe, blast", "a probe mail, 1-48 hours of sleep, then A1", BLAST,
	  .prelude = PRELUDE_PROBE },
	{ "A8 probe, botnet", "a probe mail, 1-48 hours of sleep, then A3", BURST,
	  .prelude = PRELUDE_PROBE },
	{ "A9 dirty list", "10-40 % unknown, and the smarthost refuses them at RCPT",
	  .per_mail = { 1, 10 }, .rate = { 20, 200 }, .per = MINUTE, .lasts = DAY,
	  .dead = { 10, 40 } },
	{ "A9 dirty, all taken", "10-40 % unknown, and the smarthost takes them all",
	  .per_mail = { 1, 10 }, .rate = { 20, 200 }, .per = MINUTE, .lasts = DAY,
	  .dead = { 10, 40 }, .take_all = true },
	{ "A10 after unlock",
	  "A1, and goes on right after each of three unlocks, from elsewhere if barred", BLAST,
	  .unlocks = 3 },
	{ "A11 meter at 49 %", METER(49) },
	{ "A11 meter at 79 %", METER(79) },
	{ "A11 meter at 99 %", METER(99) },
	{ "A12 ripe, blast", "a mail a day for 1-14 days, across midnight, then A1", BLAST,
	  .prelude = PRELUDE_RIPEN },
	{ "A12 ripe, 40 a day", "a mail a day for 1-14 days, across midnight, then 40 a day",
	  .per_mail = { 1, 1 }, .rate = { 40, 40 }, .per = DAY, .lasts = 7 * DAY,
	  .prelude = PRELUDE_RIPEN },
	{ "A13 many, one /24", "5-100 accounts, 10-45 strangers per half hour each, from a /24",
	  SPREAD, .via = VIA_SITE },
	{ "A13 many, one each", "the same, a network each", SPREAD, .via = VIA_ONE },
	{ "A13 many, IPv6", "the same, with a new /48 a mail", SPREAD, .via = VIA_SIX },
	{ "A14 insider, foreign", "100-500 own contacts and undeclared lists, foreign network",
	  INSIDER },
	{ "A14 insider, shared", "the same from a network that many share", INSIDER,
	  .via = VIA_SHARED },
	{ "A14 insider, own", "the same from the victim's own network", INSIDER,
	  .via = VIA_OWN },
	{ "A15 return paths", "mail to one mailbox, forged return paths with NOTIFY=SUCCESS",
	  .per_mail = { 1, 1 }, .rate = { 10, 60 }, .per = MINUTE, .whom = TO_HIMSELF,
	  .lasts = DAY },
	{ "A15 exempt login", "A1 by an exempt login from elsewhere", BLAST, .exempt = true },
	{ "A15 open ticket", "A1 while a ticket of 3,000 is open", BLAST, .ticket = true },
};

size_t attack_count(void)
{
	return sizeof plans / sizeof *plans;
}

const char *attack_name(size_t i)
{
	return plans[i].name;
}

const char *attack_sentence(size_t i)
{
	return plans[i].sentence;
}

/* ---- a theft ---- */

struct theft {
	struct actor actor;
	const struct plan *plan;
	struct person *person; /* the victim */
	struct random random;
	int64_t begins, ends; /* of the attack, after the prelude */
	int64_t gap;          /* ms a recipient, or a mail */
	uint32_t total, sent;
	uint32_t networks, dead;
	uint64_t place;
	uint32_t prelude; /* mails of it that are left */
	enum whom ripen;  /* by mail to whom */
	unsigned unlocks;
	double use, step; /* of the fullest window; what a mail adds to it */
};

static uint64_t place_of(struct theft *t)
{
	struct random pool;
	switch (t->plan->via) {
	case VIA_POOL:
		pool = random_of(t->place, random_below(&t->random, t->networks));
		return place_any(&pool);
	case VIA_FRESH:
		return place_any(&t->random);
	case VIA_SIX:
		return (uint64_t)0x20010000 << 32 | (random_next(&t->random) & 0xffffffffffff);
	case VIA_SITE:
		return (uint64_t)198 << 24 | 51 << 16 | 100 << 8 |
		       (1 + random_below(&t->random, 250));
	case VIA_SHARED:
		return PLACE_SHARED;
	case VIA_OWN:
		return t->person->places[0];
	default:
		return t->place;
	}
}

/* No number of a person's: those end before. */
static uint32_t stranger(struct theft *t, uint32_t k)
{
	uint32_t number = 1u << 27 | (uint32_t)(t->person->number % 64) << 21 | (k & 0x1fffff);
	bool dead = random_percent(&t->random, t->dead);
	return recipient_of(dead ? RECIPIENT_DEAD : RECIPIENT_PERSON, number);
}

/* The kth recipient of the whole. The lists stand at the 10th contact. */
static uint32_t recipient(struct theft *t, enum whom whom, uint32_t k)
{
	uint32_t book = t->person->habit->book.lo;
	switch (whom) {
	case TO_CONTACTS:
		return person_contact(t->person, (k + 10 + PERSON_LISTS) % book);
	case TO_LISTS:
		return person_contact(t->person, (k + 10) % book);
	case TO_HALF:
		return k % 2 ? person_contact(t->person, k / 2 % book) : stranger(t, k);
	case TO_HIMSELF:
		return recipient_of(RECIPIENT_PERSON, 1u << 27);
	default:
		return stranger(t, k);
	}
}

static enum world_verdict send(struct scene *scene, struct theft *t, enum whom whom, uint32_t n)
{
	uint32_t to[TO_MAX];
	for (uint32_t i = 0; i < n; i++) {
		to[i] = recipient(t, whom, t->sent + i);
	}
	const struct world_mail mail = { .account = t->person->account,
		                         .place = place_of(t),
		                         .to = to,
		                         .n = n,
		                         .thief = true };
	return world_send(scene->world, &mail, t->actor.at);
}

/* ---- its steps ---- */

/* At 23:58 and at 0:02: two days for four minutes. */
static int64_t across_midnight(int64_t at)
{
	int64_t first = at - at % DAY + DAY - 2 * MINUTE;
	return at < first ? first : first + 4 * MINUTE + (at >= first + 4 * MINUTE ? DAY : 0);
}

static void rehearse(struct scene *scene, struct theft *t)
{
	enum world_verdict verdict = send(scene, t, t->ripen, 1);
	t->sent++;
	t->prelude--;
	if (verdict == WORLD_LOCKED) {
		t->actor.at = FOREVER;
	} else if (t->prelude) {
		t->actor.at = across_midnight(t->actor.at + 23 * HOUR);
	} else {
		t->actor.at = t->actor.at +
		              (int64_t)random_in(&t->random, (struct range){ 1, 48 }) * HOUR;
	}
	t->begins = t->prelude ? FOREVER : t->actor.at;
}

/* The night after the first unlock the admin has to come himself, and does in the morning. */
static void locked(struct scene *scene, struct theft *t)
{
	int64_t wait = t->unlocks == t->plan->unlocks ? 10 * MINUTE : 16 * HOUR;
	if (t->unlocks == 0) {
		t->actor.at = FOREVER;
		return;
	}
	t->unlocks--;
	t->actor.at += wait;
	t->ends += wait;
	world_until(scene->world, t->actor.at);
	world_unlock(scene->world, t->person->account, t->actor.at);
}

/* Would one mail more be too much for him who counts along? */
static bool is_careful(struct scene *scene, struct theft *t)
{
	if (!t->plan->meter) {
		return false;
	}
	t->use = world_use(scene->world, t->person->account, t->actor.at);
	return t->use + t->step > t->plan->meter / 100.0;
}

static void learn_step(struct scene *scene, struct theft *t)
{
	if (t->plan->meter) {
		double use = world_use(scene->world, t->person->account, t->actor.at);
		t->step = use - t->use > t->step ? use - t->use : t->step;
	}
}

static void attack(struct scene *scene, struct theft *t)
{
	const struct plan *plan = t->plan;
	uint32_t n = random_in(&t->random, plan->per_mail);
	n = n < t->total - t->sent ? n : t->total - t->sent;
	if (is_careful(scene, t)) {
		t->actor.at += 2 * MINUTE;
		return;
	}
	enum world_verdict verdict = send(scene, t, plan->whom, n);
	if (verdict == WORLD_LOCKED) {
		locked(scene, t);
		return;
	}
	if (verdict == WORLD_REFUSED && t->unlocks < plan->unlocks) {
		/* His network is barred: he has others. */
		t->place = place_any(&t->random);
	}
	learn_step(scene, t);
	t->sent += verdict == WORLD_TAKEN || verdict == WORLD_KEPT ? n : 0;
	t->actor.at += t->gap * (plan->mails ? 1 : (int64_t)n);
	if (verdict == WORLD_LATER) {
		t->actor.at += HOUR;
	}
}

static void steal(struct scene *scene, struct actor *actor)
{
	struct theft *t = (struct theft *)actor;
	if (t->prelude) {
		rehearse(scene, t);
		return;
	}
	if (t->begins != 0) {
		t->ends = t->actor.at + t->plan->lasts;
		world_theft(scene->world, t->person->account, t->actor.at);
		t->begins = 0;
	}
	attack(scene, t);
	if (t->plan->office && t->actor.at != FOREVER) {
		t->actor.at = office_time(t->actor.at);
	}
	if (t->actor.at >= t->ends || t->sent >= t->total) {
		t->actor.at = FOREVER;
	}
}

static uint32_t total_of(struct theft *t)
{
	struct range total = t->plan->total;
	return total.hi ? random_in(&t->random, total) : LIST_MAX;
}

/* The account of `person` is stolen after an ordinary life. */
static void add_theft(struct scene *scene, const struct plan *plan, struct person *person,
                      int64_t at)
{
	static const enum whom ripeners[] = { TO_HIMSELF, TO_STRANGERS, TO_CONTACTS };
	struct theft *t = scene_add(scene, sizeof *t);
	t->plan = plan;
	t->person = person;
	t->random = random_of(scene->seed + 1, person->account);
	t->actor = (struct actor){ at, steal };
	t->gap = plan->per / random_in(&t->random, plan->rate);
	t->total = total_of(t);
	t->networks = random_in(&t->random, (struct range){ 100, 350 });
	t->dead = random_in(&t->random, plan->dead);
	t->place = place_any(&t->random);
	t->unlocks = plan->unlocks;
	t->begins = at;
	t->ripen = TO_STRANGERS;
	if (plan->prelude == PRELUDE_PROBE) {
		t->prelude = 1;
	} else if (plan->prelude == PRELUDE_RIPEN) {
		t->prelude = random_in(&t->random, (struct range){ 1, 14 });
		t->ripen = ripeners[random_below(&t->random, 3)];
		t->actor.at = across_midnight(at);
	}
}

static void add_channel(struct scene *scene, const struct plan *plan,
                        const struct person *person, int64_t at)
{
	if (plan->exempt) {
		world_exempt(scene->world, person->account);
	}
	if (plan->ticket) {
		scene_run(scene, at);
		world_ticket(scene->world, person->account, "3000/1d");
	}
}

/* ---- a trial ---- */

/* The longest prelude, its sleep, the attack and the three unlocks; then what dwelled. */
static int64_t end_of(const struct plan *plan, int64_t at)
{
	int64_t prelude = plan->prelude == PRELUDE_RIPEN   ? 17 * DAY
	                  : plan->prelude == PRELUDE_PROBE ? 2 * DAY
	                                                   : 0;
	return at + prelude + plan->lasts + (plan->unlocks ? 2 * DAY : 0) + 5 * HOUR;
}

/* Of one account, or of many of a site. */
static void trial(const struct plan *plan, const struct world_rules *rules, uint64_t seed,
                  size_t accounts, struct findings *findings)
{
	struct scene scene;
	struct habit habit = habit_office;
	struct random random = random_of(seed, 0);
	scene_init(&scene, rules, seed, PAST);
	habit.book = plan->book.hi ? plan->book : habit.book;
	if (plan->take_all) {
		world_take_all(scene.world);
	}
	world_declare(scene.world, PLACE_SHARED, false, true);
	int64_t at = PAST + random_below(&random, (uint32_t)(5 * DAY / 1000)) * SECOND;
	at = plan->office ? office_time(at) : at;
	for (size_t i = 0; i < accounts; i++) {
		struct person *person = person_new(&scene, &habit);
		add_theft(&scene, plan, person, at + random_below(&random, 1800) * SECOND);
		add_channel(&scene, plan, person, at);
	}
	int64_t end = end_of(plan, at);
	scene_run(&scene, end);
	for (size_t i = 0; i < accounts; i++) {
		findings_add(findings, scene.world, i, (double)(end - PAST) / (double)DAY);
	}
	findings_add_world(findings, scene.world);
	scene_done(&scene);
}

void attack_run(size_t i, const struct detect_options *options, const struct world_rules *rules,
                struct findings *findings_out)
{
	static const size_t sites[] = { 5, 20, 100 };
	const struct plan *plan = &plans[i];
	size_t trials = options->quick ? ACCOUNTS_QUICK : ACCOUNTS;
	if (plan->site) {
		trials = options->quick ? 1 : sizeof sites / sizeof *sites;
	}
	for (size_t n = 0; n < trials; n++) {
		uint64_t seed = options->seed * 1000003 + i * 1009 + n;
		trial(plan, rules, seed, plan->site ? sites[n] : 1, findings_out);
	}
}
