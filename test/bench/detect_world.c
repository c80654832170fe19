#include "detect_site.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECLARED_MEMBERS 650
#define NEVER            INT64_MAX

/* In the queue. */
struct waiting {
	struct world_mail mail;
	uint32_t *to;          /* its recipients */
	int64_t accepted, due; /* NEVER: held */
	bool noted;            /* its delay is in the figures */
};

struct sender {
	struct world_figures figures;
	bool suspended;
	int64_t answer; /* when the postmaster unlocks it, NEVER: not */
};

struct relayed {
	int64_t at;
	uint64_t people;
};

struct world {
	struct site *site;
	struct sender *senders;
	size_t nsenders;
	struct waiting *queue;
	size_t nqueue;
	int64_t first_due; /* of queue and answers */
	struct relayed *relayed;
	size_t nrelayed;
	bool take_all, watch, why;
	int64_t ill_from, ill_to, count_from;
};

_Noreturn void detect_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "detect: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

/* ---- recipients ---- */

/* Lists that nobody declared have 20 to 200 members. */
uint32_t recipient_people(uint32_t recipient)
{
	switch (recipient_kind(recipient)) {
	case RECIPIENT_LIST:
		return 20 + (recipient * 2654435761u >> 8) % 181;
	case RECIPIENT_DECLARED:
		return DECLARED_MEMBERS;
	default:
		return 1;
	}
}

static uint64_t people_of(const uint32_t *to, size_t n)
{
	uint64_t people = 0;
	for (size_t i = 0; i < n; i++) {
		people += recipient_people(to[i]);
	}
	return people;
}

/* ---- a world ---- */

struct world *world_new(const struct world_rules *rules)
{
	struct world *world = calloc(1, sizeof *world);
	if (!world) {
		detect_die("no memory");
	}
	world->site = site_new(rules);
	world->why = rules->why;
	world->first_due = NEVER;
	world->ill_from = world->ill_to = -1;
	return world;
}

void world_free(struct world *world)
{
	site_free(world->site);
	for (size_t i = 0; i < world->nqueue; i++) {
		free(world->queue[i].to);
	}
	free(world->senders);
	free(world->queue);
	free(world->relayed);
	free(world);
}

/* Room for one more, at every power of two. */
static void *grown(void *array, size_t n, size_t size)
{
	if (n & (n - 1)) {
		return array;
	}
	array = realloc(array, (n ? 2 * n : 1) * size);
	if (!array) {
		detect_die("no memory");
	}
	return array;
}

size_t world_account(struct world *world)
{
	size_t n = site_account(world->site);
	world->senders = grown(world->senders, n, sizeof *world->senders);
	world->senders[n] = (struct sender){
		.figures = { .theft_at = -1, .locked_at = -1, .hold_day = -1 },
		.answer = NEVER,
	};
	world->nsenders = n + 1;
	return n;
}

void world_exempt(struct world *world, size_t account)
{
	site_exempt(world->site, account);
}

void world_ticket(struct world *world, size_t account, const char *grant)
{
	site_ticket(world->site, account, grant);
}

void world_defer(struct world *world, size_t account)
{
	site_defer(world->site, account);
}

void world_declare(struct world *world, uint64_t place, bool familiar, bool shared)
{
	site_declare(world->site, place, familiar, shared);
}

void world_take_all(struct world *world)
{
	world->take_all = true;
}

void world_be_ill(struct world *world, int64_t from, int64_t to)
{
	world->ill_from = from;
	world->ill_to = to;
}

void world_theft(struct world *world, size_t account, int64_t at)
{
	world->senders[account].figures.theft_at = at;
}

void world_count_from(struct world *world, int64_t at, bool watch)
{
	world->count_from = at;
	world->watch = watch;
}

const struct world_figures *world_figures(const struct world *world, size_t account)
{
	return &world->senders[account].figures;
}

bool world_has_history(const struct world *world, size_t account)
{
	return site_has_history(world->site, account);
}

uint64_t world_most_within(const struct world *world, int64_t span)
{
	uint64_t sum = 0, most = 0;
	for (size_t last = 0, first = 0; last < world->nrelayed; last++) {
		sum += world->relayed[last].people;
		while (world->relayed[last].at - world->relayed[first].at >= span) {
			sum -= world->relayed[first++].people;
		}
		most = sum > most ? sum : most;
	}
	return most;
}

/* ---- the figures ---- */

static bool is_stolen(const struct sender *sender)
{
	return sender->figures.theft_at >= 0;
}

static void wait_for(struct world *world, int64_t due)
{
	world->first_due = due < world->first_due ? due : world->first_due;
}

/* Once a mail: what is held was noted when that began. */
static void note_delay(struct world *world, struct waiting *waiting, int64_t delay)
{
	struct world_figures *f = &world->senders[waiting->mail.account].figures;
	bool counts = !waiting->mail.thief && waiting->accepted >= world->count_from;
	if (counts && delay > 0 && !waiting->noted) {
		f->delayed++;
		f->longest = delay > f->longest ? delay : f->longest;
	}
	waiting->noted = true;
}

/* It is HELD from now on; an honest one until the postmaster answers. */
static void note_held(struct world *world, struct waiting *waiting, int64_t at)
{
	struct sender *sender = &world->senders[waiting->mail.account];
	struct world_figures *f = &sender->figures;
	waiting->due = NEVER;
	if (waiting->mail.thief) {
		f->held += people_of(waiting->to, waiting->mail.n);
	} else {
		note_delay(world, waiting, at - waiting->accepted + WORLD_ANSWER);
	}
	bool day = f->hold_day != at / DAY;
	if (!is_stolen(sender) && !sender->suspended && day && at >= world->count_from) {
		f->holds++;
		f->hold_day = at / DAY;
	}
}

static void hold_all(struct world *world, size_t account, int64_t at)
{
	for (size_t i = 0; i < world->nqueue; i++) {
		struct waiting *waiting = &world->queue[i];
		if (waiting->mail.account == account && waiting->due != NEVER) {
			note_held(world, waiting, at);
		}
	}
}

static void explain(struct world *world, size_t account, int64_t at)
{
	if (world->why) {
		fprintf(stderr, "u%zu, day %.2f%s: ", account, (double)at / (double)DAY,
		        at < world->count_from ? ", in the past" : "");
		site_explain(world->site, account);
	}
}

/* The account was suspended just now. */
static void note_lock(struct world *world, size_t account, int64_t at)
{
	struct sender *sender = &world->senders[account];
	struct world_figures *f = &sender->figures;
	sender->suspended = true;
	hold_all(world, account, at);
	if (!is_stolen(sender)) {
		explain(world, account, at);
		f->locks += at >= world->count_from;
		sender->answer = at + WORLD_ANSWER;
		wait_for(world, sender->answer);
	} else if (f->locked_at < 0) {
		f->locked_at = at;
	}
}

static void note_relayed(struct world *world, const struct world_mail *mail, uint64_t people,
                         int64_t at)
{
	struct world_figures *f = &world->senders[mail->account].figures;
	if (!mail->thief || !people) {
		return;
	}
	f->relayed += f->locked_at < 0 ? people : 0;
	world->relayed = grown(world->relayed, world->nrelayed, sizeof *world->relayed);
	world->relayed[world->nrelayed++] = (struct relayed){ at, people };
}

/* ---- relaying ---- */

static bool is_refused(const struct world *world, uint32_t recipient, int64_t at)
{
	bool dead = recipient_kind(recipient) == RECIPIENT_DEAD && !world->take_all;
	return dead || (at >= world->ill_from && at < world->ill_to);
}

/* The smarthost's answers: those that it takes come first in `to` afterwards. */
static void relay(struct world *world, struct waiting *waiting, int64_t at)
{
	struct world_mail mail = waiting->mail;
	uint32_t *to = waiting->to;
	size_t taken = 0;
	for (size_t i = 0; i < mail.n; i++) {
		if (!is_refused(world, to[i], at)) {
			uint32_t swap = to[taken];
			to[taken++] = to[i];
			to[i] = swap;
		}
	}
	mail.to = to;
	note_relayed(world, &mail, people_of(to, taken), at);
	note_delay(world, waiting, at - waiting->accepted);
	if (!world->senders[mail.account].suspended &&
	    site_relayed(world->site, &mail, waiting->accepted, taken)) {
		note_lock(world, mail.account, at);
	}
}

/* The first that is due by `at`. */
static size_t find_due(const struct world *world, int64_t at)
{
	size_t found = world->nqueue;
	int64_t first = at;
	for (size_t i = 0; i < world->nqueue; i++) {
		if (world->queue[i].due <= first) {
			found = i;
			first = world->queue[i].due;
		}
	}
	return found;
}

static size_t find_answer(const struct world *world, int64_t at)
{
	size_t i = 0;
	while (i < world->nsenders && world->senders[i].answer > at) {
		i++;
	}
	return i;
}

static void set_first_due(struct world *world)
{
	world->first_due = NEVER;
	for (size_t i = 0; i < world->nqueue; i++) {
		wait_for(world, world->queue[i].due);
	}
	for (size_t i = 0; i < world->nsenders; i++) {
		wait_for(world, world->senders[i].answer);
	}
}

static void relay_due(struct world *world, size_t i)
{
	struct waiting waiting = world->queue[i];
	world->queue[i] = world->queue[--world->nqueue];
	site_set_clock(waiting.due);
	relay(world, &waiting, waiting.due);
	free(waiting.to);
}

/* Held mail of an honest account goes its way. */
static void release(struct world *world, size_t account, int64_t at)
{
	for (size_t i = 0; i < world->nqueue; i++) {
		struct waiting *waiting = &world->queue[i];
		if (waiting->mail.account == account && waiting->due == NEVER &&
		    !waiting->mail.thief) {
			waiting->due = at;
			wait_for(world, at);
		}
	}
}

static void answer(struct world *world, size_t account, int64_t at)
{
	bool suspended = world->senders[account].suspended;
	world_unlock(world, account, at);
	if (suspended) {
		site_change_password(world->site, account);
	}
}

void world_until(struct world *world, int64_t at)
{
	while (world->first_due <= at) {
		int64_t step = world->first_due;
		size_t i = find_answer(world, step);
		if (i < world->nsenders) {
			answer(world, i, step);
		} else if ((i = find_due(world, step)) < world->nqueue) {
			relay_due(world, i);
		}
		set_first_due(world);
	}
	site_set_clock(at);
}

/* ---- what happens ---- */

static void put_in_queue(struct world *world, const struct world_mail *mail, int64_t accepted,
                         int64_t due)
{
	struct waiting waiting = { .mail = *mail, .accepted = accepted, .due = due };
	waiting.to = malloc(mail->n * sizeof *mail->to);
	if (!waiting.to) {
		detect_die("no memory");
	}
	memcpy(waiting.to, mail->to, mail->n * sizeof *mail->to);
	if (due == accepted) {
		relay(world, &waiting, accepted);
		free(waiting.to);
		return;
	}
	world->queue = grown(world->queue, world->nqueue, sizeof *world->queue);
	world->queue[world->nqueue++] = waiting;
	wait_for(world, due);
}

/* What is kept waits for the postmaster; the delay is noted here. */
static void keep(struct world *world, const struct world_mail *mail, int64_t at)
{
	struct sender *sender = &world->senders[mail->account];
	put_in_queue(world, mail, at, NEVER);
	note_held(world, &world->queue[world->nqueue - 1], at);
	if (!is_stolen(sender) && sender->answer == NEVER) {
		sender->answer = at + WORLD_ANSWER;
		wait_for(world, sender->answer);
	}
}

static void follow(struct world *world, const struct world_mail *mail,
                   enum world_verdict verdict, int64_t dwell, int64_t at)
{
	struct sender *sender = &world->senders[mail->account];
	switch (verdict) {
	case WORLD_TAKEN:
		put_in_queue(world, mail, at, at + dwell);
		break;
	case WORLD_KEPT:
		keep(world, mail, at);
		break;
	case WORLD_LOCKED:
		if (!sender->suspended) {
			note_lock(world, mail->account, at);
		}
		break;
	default:
		break;
	}
	if (!mail->thief && at >= world->count_from) {
		sender->figures.mails++;
		sender->figures.refused += verdict >= WORLD_REFUSED;
	}
}

enum world_verdict world_send(struct world *world, const struct world_mail *mail, int64_t at)
{
	struct sender *sender = &world->senders[mail->account];
	int64_t dwell = 0;
	world_until(world, at);
	if (mail->thief && !is_stolen(sender)) {
		sender->figures.theft_at = at;
	}
	enum world_verdict verdict = site_judge(world->site, mail, &dwell);
	follow(world, mail, verdict, dwell, at);
	if (world->watch && at >= world->count_from && !sender->suspended) {
		double use = site_use(world->site, mail->account);
		double *fullest = &sender->figures.fullest;
		*fullest = use > *fullest ? use : *fullest;
	}
	return verdict;
}

void world_unlock(struct world *world, size_t account, int64_t at)
{
	struct sender *sender = &world->senders[account];
	site_set_clock(at);
	if (sender->suspended) {
		site_unlock(world->site, account);
	}
	sender->suspended = false;
	sender->answer = NEVER;
	release(world, account, at);
}

double world_use(struct world *world, size_t account, int64_t at)
{
	world_until(world, at);
	return site_use(world->site, account);
}
