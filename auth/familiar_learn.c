/* What familiar.h learns, forgets and unlearns. */
#include "auth/familiar_head.h"

#include <stdlib.h>

#include "store/account.h"

/* ---- learning ---- */

/* One lesson, while it is learned. */
struct study {
	struct store_txn *txn;
	const struct familiar_rules *rules;
	const struct familiar_lesson *lesson;
	struct history_head head;
	struct history_network *network; /* NULL: a place that needs no learning, or closed */
	bool closed;                     /* nothing new is learned from there */
	bool learned;                    /* before this lesson */
	bool vouched;                    /* somebody known was among them */
	bool changed;                    /* the head */
	struct history_contact *puts;
	size_t nputs;
};

static void find_place(struct study *s)
{
	const struct origin *origin = &s->lesson->origin;
	if (!origin->network || origin->familiar) {
		return;
	}
	struct history_network *network = familiar_find(&s->head, origin->network);
	s->closed = !network || network->barred || (s->head.barred_rest && !network->ripe);
	s->network = s->closed ? NULL : network;
}

static uint16_t serial_of(const struct study *s)
{
	return s->network && !s->network->ripe ? s->network->serial : 0;
}

static void study_known(struct study *s, struct history_contact *contact)
{
	uint8_t month = familiar_month(s->lesson->now);
	bool newer = history_age(contact->last_month, month) > 0;
	bool settles = contact->origin && !s->closed && serial_of(s) == 0;
	if (s->network && contact->origin == 0 && contact->first_day < s->network->first_day) {
		s->vouched = true;
	}
	if (newer) {
		contact->last_month = month;
	}
	if (settles) {
		contact->origin = 0;
	}
	if (newer || settles) {
		s->puts[s->nputs++] = *contact;
	}
}

static void study_stranger(struct study *s, uint64_t digest)
{
	struct history_head *head = &s->head;
	uint16_t today = familiar_day(s->lesson->now);
	if (s->closed) {
		return;
	}
	/* Mail that waited counts on the present day: going back and forth wins nothing. */
	if (today > head->learned_day) {
		head->learned_day = today;
		head->learned = 0;
	}
	if (head->learned >= (serial_of(s) ? FAMILIAR_LEARN_MAX : FAMILIAR_LEARN_RIPE)) {
		return;
	}
	head->learned++;
	head->born_day = head->born_day ? head->born_day : today;
	s->puts[s->nputs++] = (struct history_contact){
		.digest = digest,
		.first_day = today,
		.last_month = familiar_month(s->lesson->now),
		.origin = serial_of(s),
	};
}

static enum store_result study_contacts(struct study *s)
{
	const struct familiar_lesson *lesson = s->lesson;
	for (size_t i = 0; i < lesson->n; i++) {
		struct history_contact contact;
		enum store_result result = history_find(s->txn, lesson->account, &s->head,
		                                        lesson->contact[i], &contact);
		if (result == STORE_OK &&
		    !familiar_is_forgotten(s->rules, &contact, lesson->now)) {
			study_known(s, &contact);
		} else if (result == STORE_OK || result == STORE_NOT_FOUND) {
			study_stranger(s, lesson->contact[i]);
		} else {
			return result;
		}
	}
	return STORE_OK;
}

/* Counts the day. True when it makes the network ripe. */
static bool ripen(struct study *s)
{
	struct history_network *network = s->network;
	uint16_t today = familiar_day(s->lesson->now);
	if (network->ripe || (s->learned && !s->vouched) ||
	    (network->days && today <= network->day_of)) {
		return false;
	}
	network->day_from = network->days ? network->day_from : today;
	network->day_of = today;
	network->days = (uint8_t)(network->days + (network->days < FAMILIAR_RIPE_DAYS));
	network->ripe = network->days == FAMILIAR_RIPE_DAYS &&
	                network->day_of - network->day_from >= FAMILIAR_RIPE_SPAN;
	s->changed = true;
	return network->ripe;
}

static void refresh(struct study *s)
{
	struct history_network *network = s->network;
	if (network->ripe && familiar_day(network->met_at) < familiar_day(s->lesson->now)) {
		network->met_at = familiar_hour(s->lesson->now);
		familiar_note_country(network, &s->lesson->origin);
		s->changed = true;
	}
}

/* What was learned from a network stays when it is ripe, also when it is forgotten one day. */
static bool settle(void *serial, struct history_contact *contact)
{
	if (contact->origin == *(const uint16_t *)serial) {
		contact->origin = 0;
	}
	return true;
}

static enum store_result write_study(struct study *s, bool ripened)
{
	const struct familiar_lesson *lesson = s->lesson;
	enum store_result result = STORE_OK;
	if (s->nputs) {
		result = history_put(s->txn, lesson->account, &s->head, s->puts, s->nputs);
	} else if (s->changed) {
		result = history_head_put(s->txn, lesson->account, &s->head);
	}
	if (ripened && result == STORE_OK) {
		uint16_t serial = s->network->serial;
		result = history_filter(s->txn, lesson->account, &s->head, settle, &serial);
		if (!lesson->origin.shared) {
			history_share(s->txn, s->network->digest, lesson->account);
		}
	}
	return result == STORE_OK ? store_txn_result(s->txn) : result;
}

static enum store_result study(struct study *s)
{
	bool ripened = false;
	s->learned = familiar_is_learned(&s->head, s->lesson->now);
	find_place(s);
	enum store_result result = study_contacts(s);
	if (result != STORE_OK) {
		return result;
	}
	if (s->network) {
		ripened = ripen(s);
		refresh(s);
	}
	return write_study(s, ripened);
}

enum store_result familiar_learn(struct store_txn *txn, const struct familiar_rules *rules,
                                 const struct familiar_lesson *lesson)
{
	struct study s = { .txn = txn, .rules = rules, .lesson = lesson };
	if (rules->off || lesson->n == 0) {
		return STORE_OK;
	}
	enum store_result result = history_head_get(txn, lesson->account, &s.head);
	if (result != STORE_OK) {
		return result;
	}
	s.puts = malloc(lesson->n * sizeof *s.puts);
	result = s.puts ? study(&s) : store_txn_fail(txn, STORE_FAILED);
	free(s.puts);
	return result;
}

/* ---- forgetting ---- */

struct forgetting {
	const struct familiar_rules *rules;
	int64_t now;
};

static bool is_in_use(void *context, struct history_contact *contact)
{
	const struct forgetting *forgetting = context;
	return !familiar_is_forgotten(forgetting->rules, contact, forgetting->now);
}

static bool drop_unused(struct store_txn *txn, const struct familiar_rules *rules,
                        struct span account, struct history_head *head, int64_t now)
{
	bool any = false;
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		struct history_network *network = &head->network[i];
		if (network->digest && !network->barred &&
		    familiar_is_unused(rules, network, now)) {
			familiar_drop(txn, account, network);
			any = true;
		}
	}
	return any;
}

enum store_result familiar_forget(struct store_txn *txn, const struct familiar_rules *rules,
                                  struct span account, int64_t now, bool *any_out)
{
	struct history_head head;
	struct forgetting forgetting = { rules, now };
	bool dropped = false;
	enum store_result result = history_head_get(txn, account, &head);
	if (result != STORE_OK) {
		return result;
	}
	uint32_t contacts = head.contacts;
	dropped = drop_unused(txn, rules, account, &head, now);
	if (dropped) {
		result = history_head_put(txn, account, &head);
	}
	if (result == STORE_OK) {
		result = history_filter(txn, account, &head, is_in_use, &forgetting);
	}
	*any_out = dropped || head.contacts != contacts;
	return result;
}

/* ---- a suspension ---- */

static bool is_settled(void *context, struct history_contact *contact)
{
	(void)context;
	return contact->origin == 0;
}

static bool is_blank(const struct history_head *head)
{
	return !head->born_day && !head->next_serial;
}

/* Bars those of today, or all but the ripe when there are too many to tell. That secret which
 * is the account's now does not open them, whatever the wall clock says of its age. */
static void bar_networks(struct history_head *head, bool bar, int64_t now, int64_t changed_wall)
{
	unsigned barred = 0;
	int64_t since = now - FAMILIAR_HOUR; /* a use is kept to the hour */
	bool rest = bar && familiar_is_recent(head->lost_at, since);
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		struct history_network *network = &head->network[i];
		bool recent = familiar_is_recent(network->met_at, since);
		if (!network->digest || network->ripe) {
			continue;
		}
		if (!network->barred && !(bar && recent)) {
			*network = (struct history_network){ .digest = 0 };
			continue;
		}
		network->barred = true;
		barred++;
	}
	if (rest || barred > FAMILIAR_BAR_MAX) {
		head->barred_rest = true;
		familiar_drop_barred(head);
	}
	if (bar && (barred || rest)) {
		head->barred_wall = changed_wall > 0 ? changed_wall : 1;
	}
	head->lost_at = 0;
}

enum store_result familiar_unlearn(struct store_txn *txn, struct span account, bool bar,
                                   int64_t now)
{
	struct history_head head;
	struct account row = { .changed_wall = 0 };
	enum store_result result = account_get(txn, account, &row);
	if (result != STORE_OK && result != STORE_NOT_FOUND) {
		return result;
	}
	int64_t changed_wall = result == STORE_OK ? row.changed_wall : 0;
	result = history_head_get(txn, account, &head);
	if (result != STORE_OK || is_blank(&head)) {
		return result;
	}
	familiar_lift_bars(&head, changed_wall);
	bar_networks(&head, bar, now, changed_wall);
	result = history_filter(txn, account, &head, is_settled, NULL);
	if (result != STORE_OK && result != STORE_DAMAGED) {
		return result;
	}
	enum store_result put = history_head_put(txn, account, &head);
	return put == STORE_OK ? result : put;
}

/* ---- an import ---- */

enum store_result familiar_import(struct store_txn *txn, struct span account,
                                  const uint64_t *contact, size_t n, int64_t now)
{
	struct history_head head;
	enum store_result result = history_head_get(txn, account, &head);
	if (result != STORE_OK || n == 0) {
		return result;
	}
	struct history_contact *contacts = calloc(n, sizeof *contacts);
	if (!contacts) {
		return store_txn_fail(txn, STORE_FAILED);
	}
	for (size_t i = 0; i < n; i++) {
		contacts[i].digest = contact[i];
		contacts[i].last_month = familiar_month(now);
	}
	head.imported = true;
	head.born_day = head.born_day ? head.born_day : familiar_day(now);
	result = history_put(txn, account, &head, contacts, n);
	free(contacts);
	return result;
}
