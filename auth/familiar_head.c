#include "auth/familiar_head.h"

#define KEEP_MONTHS 240 /* the month of a contact is kept mod 256 */

uint16_t familiar_day(int64_t at)
{
	return (uint16_t)(at / FAMILIAR_DAY);
}

uint8_t familiar_month(int64_t at)
{
	return (uint8_t)(at / FAMILIAR_MONTH);
}

int64_t familiar_hour(int64_t at)
{
	return at / FAMILIAR_HOUR * FAMILIAR_HOUR;
}

bool familiar_is_forgotten(const struct familiar_rules *rules,
                           const struct history_contact *contact, int64_t now)
{
	int64_t months = rules->keep / FAMILIAR_MONTH;
	return rules->keep && months < KEEP_MONTHS &&
	       history_age(contact->last_month, familiar_month(now)) > months;
}

bool familiar_is_learned(const struct history_head *head, int64_t now)
{
	return head->imported ||
	       (head->born_day && familiar_day(now) >= head->born_day + FAMILIAR_AGE &&
	        head->ever >= FAMILIAR_CONTACTS);
}

bool familiar_is_unused(const struct familiar_rules *rules,
                        const struct history_network *network, int64_t now)
{
	return rules->keep && now - network->met_at > rules->keep;
}

bool familiar_is_recent(int64_t at, int64_t now)
{
	return at && now - at < FAMILIAR_DAY;
}

struct history_network *familiar_find(struct history_head *head, uint64_t digest)
{
	for (size_t i = 0; digest && i < HISTORY_NETWORKS; i++) {
		if (head->network[i].digest == digest) {
			return &head->network[i];
		}
	}
	return NULL;
}

/* A row of a shared network that can not be read is not this account's matter. */
void familiar_drop(struct store_txn *txn, struct span account, struct history_network *network)
{
	if (network->ripe) {
		history_unshare(txn, network->digest, account);
	}
	*network = (struct history_network){ .digest = 0 };
}

/* They were never ripe: nothing is shared. */
void familiar_drop_barred(struct history_head *head)
{
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		if (head->network[i].digest && head->network[i].barred) {
			head->network[i] = (struct history_network){ .digest = 0 };
		}
	}
}

void familiar_lift_bars(struct history_head *head, int64_t changed_wall)
{
	if (head->barred_wall && changed_wall > head->barred_wall) {
		familiar_drop_barred(head);
		head->barred_rest = false;
		head->barred_wall = 0;
	}
}

/* The order in which networks go when there are too many. */
static int rank(const struct history_network *network)
{
	return network->barred ? 2 : network->ripe;
}

static struct history_network *free_place(struct store_txn *txn, struct span account,
                                          struct history_head *head)
{
	struct history_network *victim = &head->network[0];
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		struct history_network *network = &head->network[i];
		if (!network->digest) {
			return network;
		}
		if (rank(network) < rank(victim) ||
		    (rank(network) == rank(victim) && network->met_at < victim->met_at)) {
			victim = network;
		}
	}
	if (!victim->ripe && victim->met_at > head->lost_at) {
		head->lost_at = victim->met_at;
	}
	familiar_drop(txn, account, victim);
	return victim;
}

static bool is_taken(const struct history_head *head, uint16_t serial)
{
	bool taken = serial == 0;
	for (size_t i = 0; !taken && i < HISTORY_NETWORKS; i++) {
		taken = head->network[i].digest && head->network[i].serial == serial;
	}
	return taken;
}

static uint16_t fresh_serial(struct history_head *head)
{
	uint16_t serial = head->next_serial;
	while (is_taken(head, serial)) {
		serial++;
	}
	head->next_serial = (uint16_t)(serial + 1);
	return serial;
}

bool familiar_note_country(struct history_network *network, const struct origin *origin)
{
	if (!origin->country[0] || memcmp(network->country, origin->country, 2) == 0) {
		return false;
	}
	memcpy(network->country, origin->country, 2);
	return true;
}

struct history_network *familiar_meet(struct store_txn *txn, struct span account,
                                      struct history_head *head, uint64_t digest, int64_t now)
{
	struct history_network *network = free_place(txn, account, head);
	*network = (struct history_network){
		.serial = fresh_serial(head),
		.digest = digest,
		.first_day = familiar_day(now),
		.met_at = familiar_hour(now),
	};
	return network;
}
