#include "auth/screen.h"

#include <stdlib.h>

#include "auth/screen_state.h"

/* ---- the numbers ---- */

#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const struct rule {
	uint32_t failures;  /* make a block */
	int64_t fade;       /* one is forgotten in so much time */
	unsigned accounts;  /* failed for, besides as many as log in well there: a spray */
	unsigned addresses; /* at least so many had a part in it */
} rules[KINDS] = {
	/* Ten different passwords are no typing errors. Eight people who fail where nobody
	 * succeeds are no office. */
	[ADDRESS] = { 10, HOUR, 8, 0 },
	/* What four blocked addresses make; one alone, be it ever so busy, never shuts its
	 * neighbours out. */
	[NETWORK] = { 40, HOUR / 4, 32, 4 },
};

/* Most of those who are blocked once are gone before the hour is over; who comes back gets
 * days. */
static const int64_t block_lengths[] = { HOUR, DAY, 7 * DAY };
/* How often somebody was blocked is forgotten so long after the last block. */
#define LEVEL_KEPT (30 * DAY)

/* Guesses at one account, from networks that never logged in to it: nobody forgets his password
 * in so many places. Then only its own networks may try, for a while that grows; behind that,
 * so few more begin the next one. */
#define GUESSES      20
#define GUESSES_MORE 5
#define GUESSES_FADE HOUR
static const int64_t back_offs[] = { MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR };

/* By which a refusal is held back, by tenths of the way to a block: nothing for the two typing
 * errors that people make. No longer than clients wait. */
static const int64_t delays[] = { 0, 0, 0, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000 };

#define TENTHS (COUNT(delays) - 1)

/* Who has logged in well is known for so long; who failed, for the spray, twice at most. */
#define GOOD_KEPT   (30 * DAY) /* a network to an account */
#define GOOD_SPAN   (7 * DAY)  /* an account to an address, at least */
#define FAILED_SPAN (12 * HOUR)
#define GUESS_KEPT  (30 * DAY) /* the same wrong password; it is refreshed each time */

#define ADDRESSES 65536
#define NETWORKS  16384
#define ACCOUNTS  16384
#define GOODS     16384
#define GUESSED   65536

#define NAME_MAX 320 /* of an account: what stands behind is not looked at */

/* ---- tags ---- */

/* One try, as it is looked for. */
struct trial {
	int64_t now;
	struct network at[KINDS];
	uint64_t account;
	uint64_t bit;     /* of the account in tallies, ... */
	uint64_t address; /* ... of the address */
	uint64_t good;    /* the network to the account */
	uint64_t guess;   /* the password to the account, from the network */
};

static uint64_t tag_of(const struct screen *screen, char what, const struct network *network,
                       const uint64_t more[2])
{
	char text[1 + NETWORK_ADDRESS_BYTES + 1 + 2 * sizeof *more] = { what };
	if (network) {
		memcpy(text + 1, network->address, NETWORK_ADDRESS_BYTES);
		text[1 + NETWORK_ADDRESS_BYTES] = (char)network->bits;
	}
	if (more) {
		memcpy(text + sizeof text - 2 * sizeof *more, more, 2 * sizeof *more);
	}
	uint64_t tag = screen_hash(&screen->key, span_of(text, sizeof text));
	return tag ? tag : 1;
}

static uint64_t tag_of_source(const struct screen *screen, const struct network *network)
{
	return tag_of(screen, 's', network, NULL);
}

/* Letter case makes no other name. */
static uint64_t tag_of_account(const struct screen *screen, struct span account)
{
	char name[NAME_MAX];
	account = span_first(account, sizeof name);
	for (size_t i = 0; i < account.len; i++) {
		name[i] = span_lower(account.ptr[i]);
	}
	uint64_t tag = screen_hash(&screen->key, span_of(name, account.len));
	return tag ? tag : 1;
}

/* An IPv6 host has a /64 to itself. */
static struct network own_network(const unsigned char address[NETWORK_ADDRESS_BYTES])
{
	bool v6 = network_around(address).bits == 48;
	return network_cut(address, v6 ? 64 : 128);
}

static uint64_t bit_of(uint64_t tag)
{
	return (uint64_t)1 << (tag >> 58);
}

static struct trial trial_of(const struct screen *screen, const struct screen_try *attempt)
{
	struct trial trial = {
		.now = attempt->now,
		.at = { own_network(attempt->address), network_around(attempt->address) },
		.account = tag_of_account(screen, attempt->account),
	};
	uint64_t more[2] = { trial.account, 0 };
	const struct network *around = &trial.at[NETWORK];
	trial.bit = bit_of(trial.account);
	trial.address = bit_of(tag_of_source(screen, &trial.at[ADDRESS]));
	trial.good = tag_of(screen, 'g', around, more);
	if (attempt->guess) {
		memcpy(&more[1], attempt->guess, SCREEN_GUESS_BYTES);
	}
	trial.guess = tag_of(screen, attempt->guess ? 'p' : 'u', around, more);
	return trial;
}

/* ---- sources ---- */

bool screen_source_is_blocked(const struct source *source, int64_t now)
{
	return source && source->until > now;
}

bool screen_source_is_remembered(const struct source *source, int64_t now)
{
	return source->level && now < source->until + LEVEL_KEPT;
}

static bool is_good(const struct source *source, int64_t now)
{
	return source && tally_at(&source->good, GOOD_SPAN, now);
}

/* What is worth more, then when it was touched: both fit into 48 bits for centuries. */
static uint64_t worth(unsigned rank, uint32_t left, int64_t time)
{
	uint64_t most = left < 0xfff ? left : 0xfff;
	return (uint64_t)rank << 60 | most << 48 | ((uint64_t)time & 0xffffffffffff);
}

/* A block in force goes last, the longest at the very end; what nobody can make by failing goes
 * before that; then it is the count. */
static uint64_t source_worth(const struct screen_slot *slot, int64_t now)
{
	const struct source *source = (const struct source *)slot;
	if (screen_source_is_blocked(source, now)) {
		return worth(2, 0, source->until);
	}
	if (screen_source_is_remembered(source, now) || is_good(source, now)) {
		return worth(1, 0, slot->touched);
	}
	return worth(0, count_at(&source->count, rules[ADDRESS].fade, now), slot->touched);
}

/* An account that is guarded now goes last. */
static uint64_t target_worth(const struct screen_slot *slot, int64_t now)
{
	const struct target *target = (const struct target *)slot;
	uint32_t left = count_at(&target->count, GUESSES_FADE, now);
	return worth(target->until > now, left, slot->touched);
}

struct source *screen_source_find(const struct screen *screen, const struct network *network,
                                  enum kind kind)
{
	return screen_table_find(&screen->sources[kind], tag_of_source(screen, network));
}

struct source *screen_source_take(struct screen *screen, const struct network *network,
                                  enum kind kind, int64_t now)
{
	struct source *source = screen_table_take(&screen->sources[kind],
	                                          tag_of_source(screen, network), now);
	source->network = *network;
	source->slot.touched = now;
	return source;
}

bool screen_same_network(const struct network *a, const struct network *b)
{
	return a->bits == b->bits && memcmp(a->address, b->address, sizeof a->address) == 0;
}

enum kind screen_kind_of(const struct network *network)
{
	struct network at[KINDS] = { own_network(network->address),
		                     network_around(network->address) };
	enum kind kind = ADDRESS;
	while (kind < KINDS && !screen_same_network(network, &at[kind])) {
		kind++;
	}
	return kind;
}

/* ---- a life ---- */

#define TABLES (KINDS + 3)

static void list_tables(struct screen *screen, struct screen_table *list[TABLES])
{
	struct screen_table *all[TABLES] = { &screen->sources[ADDRESS],
		                             &screen->sources[NETWORK], &screen->targets,
		                             &screen->goods, &screen->guessed };
	memcpy(list, all, sizeof all);
}

static const struct screen empty = {
	.sources = {
		[ADDRESS] = { .count = ADDRESSES, .size = sizeof(struct source),
		              .worth = source_worth },
		[NETWORK] = { .count = NETWORKS, .size = sizeof(struct source),
		              .worth = source_worth },
	},
	.targets = { .count = ACCOUNTS, .size = sizeof(struct target), .worth = target_worth },
	.goods = { .count = GOODS, .size = sizeof(struct good) },
	.guessed = { .count = GUESSED, .size = sizeof(struct screen_slot) },
};

struct screen *screen_new(const struct secret_key *key)
{
	struct screen_table *list[TABLES];
	unsigned char digest[SECRET_BYTES];
	struct screen *screen = malloc(sizeof *screen);
	if (!screen) {
		return NULL;
	}
	*screen = empty;
	const struct span label = SPAN_LIT("screen");
	secret_hmac(key, &label, 1, digest);
	memcpy(&screen->key, digest, sizeof screen->key);
	list_tables(screen, list);
	for (size_t i = 0; i < TABLES; i++) {
		if (!screen_table_init(list[i])) {
			screen_free(screen);
			return NULL;
		}
	}
	return screen;
}

void screen_free(struct screen *screen)
{
	struct screen_table *list[TABLES];
	if (!screen) {
		return;
	}
	list_tables(screen, list);
	for (size_t i = 0; i < TABLES; i++) {
		screen_table_done(list[i]);
	}
	secret_cleanse(&screen->key, sizeof screen->key);
	free(screen);
}

size_t screen_bytes(void)
{
	return sizeof empty + (ADDRESSES + NETWORKS) * sizeof(struct source) +
	       ACCOUNTS * sizeof(struct target) + GOODS * sizeof(struct good) +
	       GUESSED * sizeof(struct screen_slot);
}

/* ---- questions ---- */

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t blocked_by_hand(const struct screen *screen,
                               const unsigned char address[NETWORK_ADDRESS_BYTES], int64_t now)
{
	int64_t until = 0;
	for (size_t i = 0; i < screen->nby_hand; i++) {
		const struct screen_block *block = &screen->by_hand[i];
		if (block->until > now && network_contains(&block->network, address)) {
			until = later(until, block->until);
		}
	}
	return until;
}

int64_t screen_blocked(const struct screen *screen,
                       const unsigned char address[NETWORK_ADDRESS_BYTES], int64_t now)
{
	int64_t until = blocked_by_hand(screen, address, now);
	const struct network at[KINDS] = { own_network(address), network_around(address) };
	const struct source *own = screen_source_find(screen, &at[ADDRESS], ADDRESS);
	const struct source *around = screen_source_find(screen, &at[NETWORK], NETWORK);
	if (screen_source_is_blocked(own, now)) {
		until = later(until, own->until);
	}
	if (screen_source_is_blocked(around, now) && !is_good(own, now)) {
		until = later(until, around->until);
	}
	return until;
}

bool screen_admits(const struct screen *screen,
                   const unsigned char address[NETWORK_ADDRESS_BYTES], int64_t now)
{
	const struct network own = own_network(address);
	return !screen_blocked(screen, address, now) ||
	       (!blocked_by_hand(screen, address, now) &&
	        is_good(screen_source_find(screen, &own, ADDRESS), now));
}

/* NULL: the network is not known to the account. */
static struct good *good_of(const struct screen *screen, const struct trial *trial)
{
	struct good *good = screen_table_find(&screen->goods, trial->good);
	return good && trial->now - good->slot.touched < GOOD_KEPT ? good : NULL;
}

bool screen_may_try(const struct screen *screen, const struct screen_try *attempt)
{
	struct trial trial = trial_of(screen, attempt);
	const struct target *target = screen_table_find(&screen->targets, trial.account);
	const struct rule *rule = &rules[ADDRESS];
	const struct good *good = good_of(screen, &trial);
	if (screen_blocked(screen, attempt->address, trial.now)) {
		return good && count_at(&good->failures, rule->fade, trial.now) <
		                   rule->failures * WHOLE;
	}
	return good || !target || target->until <= trial.now;
}

/* ---- a failure ---- */

/* Was the same tried from there lately? From now on it was. */
static bool was_tried(struct screen *screen, const struct trial *trial)
{
	struct screen_slot *slot = screen_table_find(&screen->guessed, trial->guess);
	bool known = slot && trial->now - slot->touched < GUESS_KEPT;
	slot = slot ? slot : screen_table_take(&screen->guessed, trial->guess, trial->now);
	slot->touched = trial->now;
	return known;
}

/* Where many others log in well a failure is most likely theirs, too. */
static uint32_t weight_of(const struct source *source, const struct trial *trial)
{
	uint64_t good = tally_at(&source->good, GOOD_SPAN, trial->now);
	uint32_t weight = WHOLE / (1 + how_many(good & ~trial->bit));
	return weight ? weight : 1;
}

static void count_at_source(struct source *source, const struct rule *rule,
                            const struct trial *trial, bool light)
{
	count_fade(&source->count, rule->fade, trial->now);
	source->failures = source->count.points ? source->failures + 1 : 1;
	source->count.points += light ? 1 : weight_of(source, trial);
	tally_add(&source->failed, trial->bit, FAILED_SPAN, trial->now);
	tally_add(&source->addresses, trial->address, FAILED_SPAN, trial->now);
}

static unsigned accounts_failed(const struct source *source, int64_t now)
{
	return how_many(tally_at(&source->failed, FAILED_SPAN, now));
}

static bool is_spray(const struct source *source, const struct rule *rule, int64_t now)
{
	unsigned good = how_many(tally_at(&source->good, GOOD_SPAN, now));
	return accounts_failed(source, now) >= rule->accounts + good;
}

static enum screen_event judge_source(const struct source *source, const struct rule *rule,
                                      int64_t now)
{
	unsigned addresses = how_many(tally_at(&source->addresses, FAILED_SPAN, now));
	if (screen_source_is_blocked(source, now) || addresses < rule->addresses) {
		return SCREEN_EVENT_NONE;
	}
	if (is_spray(source, rule, now)) {
		return SCREEN_EVENT_SPRAY;
	}
	bool enough = source->count.points >= rule->failures * WHOLE;
	return enough ? SCREEN_EVENT_BLOCK : SCREEN_EVENT_NONE;
}

static int64_t length_of(const int64_t *lengths, size_t count, uint32_t level)
{
	return lengths[level < count ? level : count - 1];
}

/* Half of it stays: who goes on behind the block gets the next one sooner. */
static void block_source(struct source *source, int64_t now)
{
	source->level = screen_source_is_remembered(source, now) ? source->level : 0;
	source->until = now + length_of(block_lengths, COUNT(block_lengths), source->level);
	source->level++;
	source->count.points /= 2;
	source->failed = (struct tally){ .since = now };
}

static uint32_t tenths(const struct fading *count, uint32_t failures)
{
	uint32_t share = (uint32_t)(count->points * TENTHS / (failures * WHOLE));
	return share < TENTHS ? share : (uint32_t)TENTHS;
}

/* An event there is told by the smaller of the two; the other's comes with the next failure. */
static void count_at_sources(struct screen *screen, const struct trial *trial, bool light,
                             struct screen_effect *effect)
{
	for (enum kind kind = ADDRESS; kind < KINDS; kind++) {
		const struct rule *rule = &rules[kind];
		struct source *source = screen_source_take(screen, &trial->at[kind], kind,
		                                           trial->now);
		count_at_source(source, rule, trial, light);
		enum screen_event event = effect->event
		                              ? SCREEN_EVENT_NONE
		                              : judge_source(source, rule, trial->now);
		if (kind == ADDRESS || event) {
			effect->failures = source->failures;
			effect->accounts = accounts_failed(source, trial->now);
			effect->delay = later(effect->delay,
			                      delays[tenths(&source->count, rule->failures)]);
		}
		if (event) {
			block_source(source, trial->now);
			effect->event = event;
			effect->network = source->network;
			effect->until = source->until;
		}
	}
}

static void guard(struct target *target, int64_t now, struct screen_effect *effect)
{
	target->until = now + length_of(back_offs, COUNT(back_offs), target->level);
	target->level++;
	target->count.points = (GUESSES - GUESSES_MORE) * WHOLE;
	effect->event = SCREEN_EVENT_GUESS;
	effect->until = target->until;
}

/* Not what comes from where its owner is: that is a matter of the source. */
static void count_at_target(struct screen *screen, const struct trial *trial,
                            struct screen_effect *effect)
{
	int64_t now = trial->now;
	struct target *target = screen_table_take(&screen->targets, trial->account, now);
	struct fading *count = &target->count;
	count_fade(count, GUESSES_FADE, now);
	target->level = count->points ? target->level : 0;
	count->points += WHOLE;
	target->slot.touched = now;
	effect->guesses = count->points / WHOLE;
	effect->delay = later(effect->delay, delays[tenths(count, GUESSES)]);
	if (!effect->event && target->until <= now && count->points >= GUESSES * WHOLE) {
		guard(target, now, effect);
	}
}

/* What was counted before is held back as it was then. */
static void look_again(struct screen *screen, const struct trial *trial,
                       struct screen_effect *effect)
{
	const struct rule *rule = &rules[ADDRESS];
	struct source *source = screen_source_find(screen, &trial->at[ADDRESS], ADDRESS);
	effect->again = true;
	if (source) {
		count_fade(&source->count, rule->fade, trial->now);
		source->slot.touched = trial->now;
		effect->failures = source->failures;
		effect->accounts = accounts_failed(source, trial->now);
		effect->delay = delays[tenths(&source->count, rule->failures)];
	}
}

void screen_fail(struct screen *screen, const struct screen_try *attempt,
                 struct screen_effect *effect_out)
{
	struct trial trial = trial_of(screen, attempt);
	*effect_out = (struct screen_effect){ .event = SCREEN_EVENT_NONE };
	bool tried = was_tried(screen, &trial);
	if (tried && attempt->guess) {
		look_again(screen, &trial, effect_out);
		return;
	}
	count_at_sources(screen, &trial, tried, effect_out);
	struct good *good = good_of(screen, &trial);
	if (good) {
		count_fade(&good->failures, rules[ADDRESS].fade, trial.now);
		good->failures.points += tried ? 1 : WHOLE;
	} else {
		count_at_target(screen, &trial, effect_out);
	}
}

/* ---- a success ---- */

/* It takes no failure back: a thief has an account, too. */
void screen_good(struct screen *screen, const struct screen_try *attempt)
{
	struct trial trial = trial_of(screen, attempt);
	struct good *good = screen_table_take(&screen->goods, trial.good, trial.now);
	good->slot.touched = trial.now;
	for (enum kind kind = ADDRESS; kind < KINDS; kind++) {
		struct source *source = screen_source_take(screen, &trial.at[kind], kind,
		                                           trial.now);
		tally_add(&source->good, trial.bit, GOOD_SPAN, trial.now);
	}
}
