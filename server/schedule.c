#include "server/schedule.h"

#include <assert.h>
#include <stdlib.h>

#define NONE   UINT32_MAX
#define FLYING (UINT32_MAX - 1) /* a place that is no candidate's */
#define SLOTS  ((size_t)8192)   /* a power of two, more than twice what may be in a table */

#define CANDIDATES (SCHEDULE_WINDOW + SCHEDULE_FIRST)

_Static_assert(SLOTS > 2 * (CANDIDATES + SCHEDULE_IN_FLIGHT), "tables stay sparse");

/* An open hash from a number to a place; linear probing, no tombstones. */
struct table {
	struct {
		uint64_t key;
		uint32_t place; /* NONE: the slot is free */
	} slots[SLOTS];
};

struct candidate {
	struct schedule_item item;
	uint32_t next; /* of its line, or of the free ones */
};

struct line {
	uint32_t first, last;
	uint32_t n;
};

/* The waiting entries of an account, and its neighbours in the round. */
struct group {
	uint32_t account;
	struct line line;
	uint32_t prev, next; /* `next` also links the free ones */
};

struct schedule {
	struct table ids;      /* -> candidate, or FLYING */
	struct table accounts; /* -> group */
	struct candidate candidates[CANDIDATES];
	struct group groups[SCHEDULE_WINDOW];
	uint32_t free_candidate, free_group;
	uint32_t turn;    /* the group that is next, NONE when nothing waits */
	struct line lane; /* before all groups */
	size_t waiting, flying;
};

/* ---- table ---- */

static size_t slot_home(uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15U) >> 32) & (SLOTS - 1);
}

/* Where `key` is, or the free slot where it belongs. */
static size_t slot_of(const struct table *table, uint64_t key)
{
	size_t at = slot_home(key);
	while (table->slots[at].place != NONE && table->slots[at].key != key) {
		at = (at + 1) & (SLOTS - 1);
	}
	return at;
}

static void table_clear(struct table *table)
{
	for (size_t i = 0; i < SLOTS; i++) {
		table->slots[i].place = NONE;
	}
}

static uint32_t table_get(const struct table *table, uint64_t key)
{
	return table->slots[slot_of(table, key)].place;
}

static void table_set(struct table *table, uint64_t key, uint32_t place)
{
	size_t at = slot_of(table, key);
	table->slots[at].key = key;
	table->slots[at].place = place;
}

/* Those behind the hole that could not be found over it move up. */
static void table_drop(struct table *table, uint64_t key)
{
	size_t hole = slot_of(table, key);
	assert(table->slots[hole].place != NONE);
	for (size_t at = (hole + 1) & (SLOTS - 1); table->slots[at].place != NONE;
	     at = (at + 1) & (SLOTS - 1)) {
		size_t home = slot_home(table->slots[at].key);
		if (((at - home) & (SLOTS - 1)) >= ((at - hole) & (SLOTS - 1))) {
			table->slots[hole] = table->slots[at];
			hole = at;
		}
	}
	table->slots[hole].place = NONE;
}

/* ---- life ---- */

struct schedule *schedule_new(void)
{
	struct schedule *s = calloc(1, sizeof *s);
	if (!s) {
		return NULL;
	}
	table_clear(&s->ids);
	table_clear(&s->accounts);
	s->turn = NONE;
	s->lane = (struct line){ NONE, NONE, 0 };
	for (uint32_t i = 0; i < CANDIDATES; i++) {
		s->candidates[i].next = i + 1 < CANDIDATES ? i + 1 : NONE;
	}
	for (uint32_t i = 0; i < SCHEDULE_WINDOW; i++) {
		s->groups[i].next = i + 1 < SCHEDULE_WINDOW ? i + 1 : NONE;
	}
	return s;
}

void schedule_free(struct schedule *schedule)
{
	for (size_t i = 0; schedule && i < CANDIDATES; i++) {
		buf_done(&schedule->candidates[i].item.body);
	}
	free(schedule);
}

/* ---- the round ---- */

/* A new account is last in the round, which is just before the one whose turn it is. */
static uint32_t group_join(struct schedule *s, uint32_t account)
{
	uint32_t at = s->free_group;
	struct group *group = &s->groups[at];
	s->free_group = group->next;
	*group = (struct group){ account, { NONE, NONE, 0 }, at, at };
	if (s->turn == NONE) {
		s->turn = at;
	} else {
		group->next = s->turn;
		group->prev = s->groups[s->turn].prev;
		s->groups[group->prev].next = at;
		s->groups[group->next].prev = at;
	}
	table_set(&s->accounts, account, at);
	return at;
}

static void group_leave(struct schedule *s, uint32_t at)
{
	struct group *group = &s->groups[at];
	s->groups[group->prev].next = group->next;
	s->groups[group->next].prev = group->prev;
	if (s->turn == at) {
		s->turn = group->next == at ? NONE : group->next;
	}
	table_drop(&s->accounts, group->account);
	group->next = s->free_group;
	s->free_group = at;
}

/* ---- lines ---- */

/* Where the item waits or is to wait: the lane, or its account's line, joined when it has none.
 */
static struct line *line_of(struct schedule *s, const struct schedule_item *item)
{
	if (item->first) {
		return &s->lane;
	}
	uint32_t at = table_get(&s->accounts, item->account);
	return &s->groups[at == NONE ? group_join(s, item->account) : at].line;
}

static void add(struct schedule *s, struct schedule_item *item, bool in_front)
{
	struct line *line = line_of(s, item);
	uint32_t at = s->free_candidate;
	struct candidate *candidate = &s->candidates[at];
	s->free_candidate = candidate->next;
	candidate->item = *item;
	item->body = (struct buf){ .cap = item->body.cap };
	candidate->next = in_front ? line->first : NONE;
	if (line->n == 0) {
		line->first = line->last = at;
	} else if (in_front) {
		line->first = at;
	} else {
		s->candidates[line->last].next = at;
		line->last = at;
	}
	line->n++;
	s->waiting += !item->first;
	table_set(&s->ids, item->id, at);
}

/* `before` is its neighbour in the line, NONE for the first. */
static void take(struct schedule *s, uint32_t at, uint32_t before,
                 struct schedule_item *item_out)
{
	struct candidate *candidate = &s->candidates[at];
	struct line *line = line_of(s, &candidate->item);
	if (before == NONE) {
		line->first = candidate->next;
	} else {
		s->candidates[before].next = candidate->next;
	}
	line->last = line->last == at ? before : line->last;
	line->n--;
	*item_out = candidate->item;
	*candidate = (struct candidate){ .next = s->free_candidate };
	s->free_candidate = at;
	s->waiting -= !item_out->first;
	if (!item_out->first && line->n == 0) {
		group_leave(s, table_get(&s->accounts, item_out->account));
	}
}

/* The lane, or the window, has room for one more. */
static bool has_room(const struct schedule *s, const struct schedule_item *item)
{
	return item->first ? s->lane.n < SCHEDULE_FIRST : s->waiting < SCHEDULE_WINDOW;
}

/* ---- the module's own ---- */

enum schedule_entry schedule_enter(struct schedule *schedule, struct schedule_item *item)
{
	if (table_get(&schedule->ids, item->id) != NONE) {
		return SCHEDULE_KNOWN;
	}
	if (!has_room(schedule, item)) {
		return SCHEDULE_FULL;
	}
	/* A dynamic threshold, as in the shared memory of switches: no number of accounts to
	 * guess. */
	uint32_t group = table_get(&schedule->accounts, item->account);
	if (!item->first && group != NONE &&
	    schedule->groups[group].line.n >= SCHEDULE_WINDOW - schedule->waiting) {
		return SCHEDULE_SHARE;
	}
	add(schedule, item, false);
	return SCHEDULE_ENTERED;
}

/* The candidate whose turn it is, which moves on; NONE when nothing waits. */
static uint32_t next_turn(struct schedule *s)
{
	uint32_t turn = s->turn;
	if (s->lane.n) {
		return s->lane.first;
	}
	if (turn == NONE) {
		return NONE;
	}
	s->turn = s->groups[turn].next;
	return s->groups[turn].line.first;
}

bool schedule_pick(struct schedule *schedule, struct schedule_item *item_out)
{
	bool full = schedule->flying >= SCHEDULE_IN_FLIGHT;
	uint32_t at = full ? NONE : next_turn(schedule);
	if (at == NONE) {
		return false;
	}
	take(schedule, at, NONE, item_out);
	table_set(&schedule->ids, item_out->id, FLYING);
	schedule->flying++;
	return true;
}

bool schedule_return(struct schedule *schedule, struct schedule_item *item)
{
	schedule_land(schedule, item->id);
	if (!has_room(schedule, item)) {
		return false;
	}
	add(schedule, item, true);
	return true;
}

bool schedule_launch(struct schedule *schedule, uint64_t id)
{
	uint32_t place = table_get(&schedule->ids, id);
	if (place == FLYING || schedule->flying >= SCHEDULE_IN_FLIGHT) {
		return false;
	}
	assert(place == NONE);
	table_set(&schedule->ids, id, FLYING);
	schedule->flying++;
	return true;
}

bool schedule_flies(const struct schedule *schedule, uint64_t id)
{
	return table_get(&schedule->ids, id) == FLYING;
}

void schedule_land(struct schedule *schedule, uint64_t id)
{
	assert(table_get(&schedule->ids, id) == FLYING);
	table_drop(&schedule->ids, id);
	schedule->flying--;
}

bool schedule_forget(struct schedule *schedule, uint64_t id, struct schedule_item *item_out)
{
	uint32_t place = table_get(&schedule->ids, id);
	if (place == NONE || place == FLYING) {
		return false;
	}
	uint32_t before = NONE;
	uint32_t at = line_of(schedule, &schedule->candidates[place].item)->first;
	while (at != place) {
		before = at;
		at = schedule->candidates[at].next;
	}
	take(schedule, place, before, item_out);
	table_drop(&schedule->ids, id);
	return true;
}

bool schedule_forget_account(struct schedule *schedule, uint32_t account,
                             struct schedule_item *item_out)
{
	uint32_t group = table_get(&schedule->accounts, account);
	if (group == NONE) {
		return false;
	}
	take(schedule, schedule->groups[group].line.first, NONE, item_out);
	table_drop(&schedule->ids, item_out->id);
	return true;
}

size_t schedule_waiting(const struct schedule *schedule)
{
	return schedule->waiting;
}

size_t schedule_first(const struct schedule *schedule)
{
	return schedule->lane.n;
}

size_t schedule_flying(const struct schedule *schedule)
{
	return schedule->flying;
}

int64_t schedule_retry(const int64_t *retry, size_t nretry, uint32_t tries, uint32_t random)
{
	assert(nretry > 0);
	int64_t wait = retry[tries < nretry ? tries : nretry - 1];
	int64_t spread = wait / 5;
	wait += -(spread / 2) + (spread ? (int64_t)(random % (uint64_t)spread) : 0);
	return wait < 1000 ? 1000 : wait;
}
