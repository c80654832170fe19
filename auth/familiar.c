#include "auth/familiar_head.h"

#include "store/account.h"

/* ---- digests ---- */

/* Deriving them costs more than ten digests: each thread keeps those of the key it used last.
 */
struct digest_keys {
	bool there;
	struct secret_key of;
	unsigned char contact[SECRET_SIPHASH_KEY];
	unsigned char network[SECRET_SIPHASH_KEY];
};

static const struct digest_keys *keys_of(const struct secret_key *key)
{
	static _Thread_local struct digest_keys keys;
	if (!keys.there || !secret_equal(keys.of.bytes, key->bytes, SECRET_BYTES)) {
		const struct span label = SPAN_LIT("history");
		unsigned char derived[SECRET_BYTES];
		secret_hmac(key, &label, 1, derived);
		keys.of = *key;
		memcpy(keys.contact, derived, SECRET_SIPHASH_KEY);
		memcpy(keys.network, derived + SECRET_SIPHASH_KEY, SECRET_SIPHASH_KEY);
		secret_cleanse(derived, sizeof derived);
		keys.there = true;
	}
	return &keys;
}

static uint64_t never_zero(uint64_t digest)
{
	return digest ? digest : 1;
}

uint64_t familiar_contact(const struct secret_key *key, struct span account,
                          struct span recipient)
{
	/* No account holds a NUL. */
	const struct span parts[] = { account, SPAN_LIT("\0"), recipient };
	return never_zero(secret_siphash(keys_of(key)->contact, parts, COUNT(parts)));
}

uint64_t familiar_network(const struct secret_key *key, const struct network *network)
{
	unsigned char bits = (unsigned char)network->bits;
	const struct span parts[] = {
		SPAN_LIT("net"),
		span_of(network->address, sizeof network->address),
		span_of(&bits, 1),
	};
	return never_zero(secret_siphash(keys_of(key)->network, parts, COUNT(parts)));
}

uint64_t familiar_as(const struct secret_key *key, uint32_t number)
{
	unsigned char bytes[4];
	for (size_t i = 0; i < sizeof bytes; i++) {
		bytes[i] = (unsigned char)(number >> (8 * i) & 0xff);
	}
	const struct span parts[] = { SPAN_LIT("as"), span_of(bytes, sizeof bytes) };
	return never_zero(secret_siphash(keys_of(key)->network, parts, COUNT(parts)));
}

/* ---- looking ---- */

static bool is_shared(struct store_txn *txn, const struct familiar_rules *rules,
                      uint64_t network)
{
	unsigned count = 0;
	if (!rules->shared_from) {
		return false;
	}
	/* One that can not be read concerns all who use it: the careful answer, for nobody is
	 * refused for it. */
	return history_sharers(txn, network, &count) == STORE_DAMAGED ||
	       count >= rules->shared_from;
}

static enum act_network judge_network(struct store_txn *txn, const struct familiar_rules *rules,
                                      const struct origin *origin,
                                      const struct history_network *network)
{
	if (origin->familiar || (!origin->network && !origin->shared)) {
		return ACT_NETWORK_RIPE;
	}
	if (origin->shared || is_shared(txn, rules, origin->network)) {
		return ACT_NETWORK_SHARED;
	}
	return network && network->ripe ? ACT_NETWORK_RIPE : ACT_NETWORK_STRANGE;
}

static enum store_result count_strangers(struct store_txn *txn,
                                         const struct familiar_rules *rules,
                                         const struct act *act, const struct history_head *head,
                                         uint32_t *count_out)
{
	uint32_t count = 0;
	for (size_t i = 0; i < act->ncontacts; i++) {
		struct history_contact contact;
		enum store_result result = history_find(txn, act->account, head,
		                                        act->contact[i], &contact);
		if (result != STORE_OK && result != STORE_NOT_FOUND) {
			return result;
		}
		count += result == STORE_NOT_FOUND ||
		         familiar_is_forgotten(rules, &contact, act->now);
	}
	*count_out = count;
	return STORE_OK;
}

/* A list is one of them: its members are paid for as such, wherever the mail comes from. */
static uint32_t count_known(const struct act *act, uint32_t strangers)
{
	return act->recipients > strangers ? act->recipients - strangers : 0;
}

/* How many known recipients may still be written to from there today. */
static uint32_t free_today(const struct history_network *network, int64_t now)
{
	bool today = network && network->known && network->known_day == familiar_day(now);
	uint32_t used = today ? network->known : 0;
	return used < FAMILIAR_FREE ? FAMILIAR_FREE - used : 0;
}

/* Of a network that is ripe it is known for ever, of another for a day. Without any country
 * known so far none is new: the database was just set. */
static bool is_new_country(const struct history_head *head, const struct act *act)
{
	bool any = false;
	for (size_t i = 0; act->origin.country[0] && i < HISTORY_NETWORKS; i++) {
		const struct history_network *network = &head->network[i];
		if (!network->digest || !network->country[0]) {
			continue;
		}
		any = true;
		if (memcmp(network->country, act->origin.country, 2) == 0 &&
		    (network->ripe || familiar_is_recent(network->met_at, act->now))) {
			return false;
		}
	}
	return any;
}

static void look_at_network(const struct history_network *network,
                            const struct history_head *head, const struct act *act,
                            struct act_past *past)
{
	if (past->network == ACT_NETWORK_STRANGE) {
		past->barred = (network && network->barred) || head->barred_rest;
		uint32_t known = count_known(act, past->strangers);
		uint32_t left = free_today(network, act->now);
		past->beyond = known > left ? known - left : 0;
		past->new_network = !network || !familiar_is_recent(network->met_at, act->now);
		past->new_country = is_new_country(head, act);
	}
}

static enum store_result look(struct store_txn *txn, const struct familiar_rules *rules,
                              const struct act *act, struct history_head *head,
                              struct act_past *past)
{
	uint32_t strangers;
	struct history_network *network = familiar_find(head, act->origin.network);
	enum store_result result = count_strangers(txn, rules, act, head, &strangers);
	if (result != STORE_OK) {
		return result;
	}
	if (network && familiar_is_unused(rules, network, act->now)) {
		network = NULL;
	}
	past->learned = familiar_is_learned(head, act->now);
	past->strangers = act->past.strangers + strangers;
	past->network = judge_network(txn, rules, &act->origin, network);
	look_at_network(network, head, act, past);
	return store_txn_result(txn);
}

enum store_result familiar_look(struct store_txn *txn, const struct familiar_rules *rules,
                                int64_t changed_wall, struct act *act,
                                struct history_head *head_out)
{
	struct history_head head = { 0 };
	struct act_past past = { 0 };
	if (!rules->off) {
		enum store_result result = history_head_get(txn, act->account, &head);
		if (result == STORE_OK) {
			familiar_lift_bars(&head, changed_wall);
			result = look(txn, rules, act, &head, &past);
		}
		if (result != STORE_OK) {
			return result;
		}
	}
	act->past = past;
	if (head_out) {
		*head_out = head;
	}
	return STORE_OK;
}

bool familiar_is_own(const struct act *act, const struct history_head *head)
{
	bool own = act->past.network == ACT_NETWORK_RIPE || act->origin.shared;
	for (size_t i = 0; i < HISTORY_NETWORKS && !own; i++) {
		const struct history_network *network = &head->network[i];
		own = network->digest == act->origin.network && network->ripe;
	}
	return own;
}

/* ---- noting ---- */

static bool note_known(struct history_network *network, const struct act *act)
{
	uint32_t left = free_today(network, act->now);
	uint32_t known = count_known(act, act->past.strangers);
	known = known < left ? known : left;
	if (known) {
		network->known = (uint16_t)(FAMILIAR_FREE - left + known);
		network->known_day = familiar_day(act->now);
	}
	return known > 0;
}

enum store_result familiar_note(struct store_txn *txn, const struct familiar_rules *rules,
                                const struct act *act, struct history_head *head)
{
	if (rules->off || !act->origin.network || act->past.network == ACT_NETWORK_RIPE) {
		return STORE_OK;
	}
	struct history_network *network = familiar_find(head, act->origin.network);
	if (network && familiar_is_unused(rules, network, act->now) && !network->barred) {
		familiar_drop(txn, act->account, network);
		network = NULL;
	}
	bool changed = !network;
	if (!network) {
		network = familiar_meet(txn, act->account, head, act->origin.network, act->now);
	} else if (network->ripe) {
		return STORE_OK; /* a shared one, used for long */
	} else if (act->now - network->met_at >= FAMILIAR_HOUR) {
		network->met_at = familiar_hour(act->now);
		changed = true;
	}
	if (act->past.network == ACT_NETWORK_STRANGE) {
		changed |= note_known(network, act);
	}
	changed |= familiar_note_country(network, &act->origin);
	return changed ? history_head_put(txn, act->account, head) : STORE_OK;
}

/* ---- for the admin ---- */

enum store_result familiar_unbar(struct store_txn *txn, struct span account)
{
	struct history_head head;
	enum store_result result = history_head_get(txn, account, &head);
	if (result == STORE_OK && !head.barred_wall) {
		return STORE_NOT_FOUND;
	}
	if (result == STORE_OK) {
		familiar_lift_bars(&head, INT64_MAX);
		result = history_head_put(txn, account, &head);
	}
	return result;
}

enum store_result familiar_show_network(struct store_txn *txn, struct span account,
                                        uint64_t network, int64_t now,
                                        struct familiar_network_view *view_out)
{
	struct history_head head;
	struct account row;
	enum store_result result = account_get(txn, account, &row);
	if (result == STORE_OK) {
		result = history_head_get(txn, account, &head);
	}
	if (result != STORE_OK) {
		return result;
	}
	familiar_lift_bars(&head, row.changed_wall);
	const struct history_network *found = familiar_find(&head, network);
	*view_out = (struct familiar_network_view){ .barred = head.barred_rest };
	if (found) {
		uint16_t today = familiar_day(now);
		bool past = today > found->first_day;
		view_out->known = true;
		view_out->days = past ? (unsigned)(today - found->first_day) : 0;
		view_out->ripe = found->ripe;
		view_out->barred = found->barred || (head.barred_rest && !found->ripe);
	}
	return store_txn_result(txn);
}

enum store_result familiar_show(struct store_txn *txn, const struct familiar_rules *rules,
                                struct span account, int64_t now,
                                struct familiar_view *view_out)
{
	struct history_head head;
	enum store_result result = history_head_get(txn, account, &head);
	if (result != STORE_OK) {
		return result;
	}
	struct familiar_view view = {
		.learned = familiar_is_learned(&head, now),
		.imported = head.imported,
		.contacts = head.contacts,
		.born_at = (int64_t)head.born_day * FAMILIAR_DAY,
		.barred_rest = head.barred_rest,
		.bytes = history_bytes(txn, account),
	};
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		const struct history_network *network = &head.network[i];
		bool there = network->digest && !familiar_is_unused(rules, network, now);
		view.networks += there;
		view.ripe += there && network->ripe;
		view.barred += there && network->barred;
	}
	*view_out = view;
	return store_txn_result(txn);
}
