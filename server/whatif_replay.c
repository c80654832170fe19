#include "server/whatif_replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/config.h"
#include "server/origin.h"
#include "server/whatif.h"
#include "store/incident.h"

#define STORE_BYTES ((uint64_t)1 << 40)
#define BILL_MAX    ((size_t)64 * 1024)

struct whatif_replay {
	struct gate_rules rules;
	const struct config *config;
	struct secret_key key; /* of networks */
	bool history, unlimited;
	struct gate_device *devices;
	struct span nobody; /* nobody is suspended where nobody would hear of it */
	struct store *store;
	struct store_txn *txn;
};

uint64_t whatif_contact(const struct secret_key *key, struct span account,
                        struct span recipient)
{
	return familiar_contact(key, account, recipient);
}

/* ---- the store ---- */

/* Its files lose their names at once, so that nothing stays behind, however this ends. */
static void unlink_all(const char *dir)
{
	static const char *const names[] = { "data.mdb", "lock.mdb", "gatepost.lock" };
	char path[300];
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static bool open_store(struct whatif_replay *replay, struct error *error)
{
	const char *tmp = getenv("TMPDIR");
	const struct store_options options = { .size = STORE_BYTES,
		                               .longest_window = BUDGET_WINDOW_MAX };
	char dir[256];
	snprintf(dir, sizeof dir, "%s/gatepost-what-if.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir)) {
		error_set(error, "%s: %s", dir, strerror(errno));
		return false;
	}
	bool good = store_open(dir, &options, &replay->store, error) == STORE_OK;
	unlink_all(dir);
	replay->txn = good ? store_begin_write(replay->store, error) : NULL;
	return replay->txn != NULL;
}

/* ---- rules ---- */

static const struct budget_limits NO_LIMITS = { .count = 0 };

static bool copy_devices(struct whatif_replay *replay, const struct gate_rules *rules)
{
	replay->devices = calloc(rules->ndevices + 1, sizeof *replay->devices);
	for (size_t i = 0; replay->devices && i < rules->ndevices; i++) {
		replay->devices[i] = rules->devices[i];
		replay->devices[i].action = GATE_ACTION_DEFAULT;
		if (replay->unlimited) {
			replay->devices[i].limits = NO_LIMITS;
		}
	}
	replay->rules.devices = replay->devices;
	return replay->devices != NULL;
}

static bool copy_rules(struct whatif_replay *replay, const struct whatif_rules *from)
{
	static const struct config nothing;
	struct gate_rules *rules = &replay->rules;
	*rules = from->gate;
	rules->action = GATE_ACTION_SUSPEND;
	rules->suspend_max = NO_LIMITS;
	rules->site_strangers = NO_LIMITS;
	rules->dwell.from = 100;
	rules->familiar.off = rules->familiar.off && !from->history;
	if (from->unlimited) {
		rules->limits = NO_LIMITS;
	}
	replay->nobody = SPAN_LIT("nobody@localhost");
	rules->suspend.postmaster = &replay->nobody;
	rules->suspend.npostmaster = 1;
	rules->suspend.nmembers = 0;
	replay->config = from->config ? from->config : &nothing;
	replay->history = from->history;
	replay->unlimited = from->unlimited;
	return copy_devices(replay, &from->gate);
}

struct whatif_replay *whatif_replay_new(const struct whatif_rules *rules, struct error *error)
{
	struct whatif_replay *replay = calloc(1, sizeof *replay);
	if (!replay || !copy_rules(replay, rules)) {
		error_set(error, "out of memory");
		whatif_replay_free(replay);
		return NULL;
	}
	secret_random(&replay->key, sizeof replay->key);
	if (!open_store(replay, error)) {
		whatif_replay_free(replay);
		return NULL;
	}
	return replay;
}

void whatif_replay_free(struct whatif_replay *replay)
{
	if (replay) {
		store_abort(replay->txn);
		store_close(replay->store);
		free(replay->devices);
		free(replay);
	}
}

bool whatif_is_ruled(const struct gate_rules *rules, struct span account)
{
	for (size_t i = 0; i < rules->nexempt; i++) {
		if (gate_pattern_matches(rules->exempt[i], account)) {
			return false;
		}
	}
	for (size_t i = 0; i < rules->ndevices; i++) {
		if (span_eq(rules->devices[i].account, account)) {
			return rules->devices[i].limits.count == 0;
		}
	}
	return true;
}

/* ---- where it comes from ---- */

/* An address, or the network of a row; of anything else nobody knows where it is. */
static struct origin origin_at(const struct whatif_replay *replay, struct span client)
{
	struct origin origin = { .network = 0 };
	struct network network;
	const char *reason;
	if (network_parse(client, &network, &reason)) {
		origin = origin_of(replay->config, &replay->key, network.address);
		if (origin.network && network.bits < network_around(network.address).bits) {
			origin.network = familiar_network(&replay->key, &network);
		}
	}
	if (replay->unlimited) {
		origin.limits = NULL;
	}
	return origin;
}

/* ---- judging ---- */

static enum store_result put_account(struct store_txn *txn, struct span name, int64_t changed)
{
	const struct account fresh = { .secret = SPAN_LIT("x"), .changed_wall = changed };
	return account_put(txn, name, &fresh);
}

/* A history from nowhere: long enough to charge by, and with one network that is its own. */
static enum store_result begin_history(struct whatif_replay *replay, const struct act *act)
{
	const uint16_t today = (uint16_t)(act->now / FAMILIAR_DAY);
	const bool own = act->origin.network && !act->origin.familiar && !act->origin.shared;
	struct history_head head = { .born_day = today, .imported = true, .next_serial = 2 };
	if (own) {
		head.network[0] = (struct history_network){
			.digest = act->origin.network,
			.serial = 1,
			.first_day = today,
			.met_at = act->now,
			.ripe = true,
		};
		memcpy(head.network[0].country, act->origin.country, 2);
	}
	enum store_result result = history_head_put(replay->txn, act->account, &head);
	return result == STORE_OK && own
	           ? history_share(replay->txn, act->origin.network, act->account)
	           : result;
}

/* Every account that has sent is one. */
static enum store_result meet(struct whatif_replay *replay, const struct act *act)
{
	struct account account;
	enum store_result result = account_get(replay->txn, act->account, &account);
	if (result != STORE_NOT_FOUND) {
		return result;
	}
	result = put_account(replay->txn, act->account, 0);
	return result == STORE_OK && replay->history ? begin_history(replay, act) : result;
}

/* What the smarthost took, as far as anybody knows: all of it. */
static enum store_result learn(struct whatif_replay *replay, const struct act *act)
{
	const struct familiar_lesson lesson = { .account = act->account,
		                                .contact = act->contact,
		                                .n = act->ncontacts,
		                                .origin = act->origin,
		                                .now = act->now };
	return familiar_learn(replay->txn, &replay->rules.familiar, &lesson);
}

/* With a new password: the networks that a suspension bars are open again. */
static bool unlock(struct whatif_replay *replay, const struct act *act, uint64_t incident)
{
	struct suspend_result done;
	const struct suspend_end end = { .account = act->account,
		                         .incident = incident,
		                         .event = STANDING_UNLOCK,
		                         .by = SPAN_LIT("what-if"),
		                         .how = SPAN_LIT("unlock"),
		                         .now = act->now,
		                         .wall = act->wall };
	return suspend_apply(replay->txn, &replay->rules.suspend, &end, &done) == STORE_OK &&
	       put_account(replay->txn, act->account, act->wall + 1) == STORE_OK;
}

static bool read_bill(struct whatif_replay *replay, uint64_t number,
                      struct whatif_judgement *judgement)
{
	struct arena arena;
	struct incident incident;
	struct bill bill;
	arena_init(&arena, BILL_MAX);
	bool good = incident_get(replay->txn, number, &arena, &incident) == STORE_OK &&
	            bill_unpack(incident.reasons, &bill);
	arena_done(&arena);
	if (good) {
		judgement->beyond = (struct gate_beyond){ .limit = bill.limit,
			                                  .strangers = bill.strangers,
			                                  .spent = bill.spent,
			                                  .asked = bill.asked };
		judgement->lines = bill.lines;
		judgement->tariff = bill.tariff;
	}
	return good;
}

/* It would have been sent again; once. */
static enum gate_verdict send_again(struct whatif_replay *replay, const struct act *act,
                                    struct gate_result *result)
{
	enum gate_verdict verdict = gate_message(replay->txn, &replay->rules, act, result);
	bool good = verdict != GATE_TRIPPED || unlock(replay, act, result->suspended.incident);
	return good ? verdict : GATE_BROKEN;
}

/* The first of the limits that could never hold it. */
static void name_limit(struct whatif_replay *replay, const struct act *act,
                       struct whatif_judgement *judgement)
{
	struct gate_view view;
	judgement->beyond.asked = act->recipients;
	if (gate_show(replay->txn, &replay->rules, act->account, act->now, &view) !=
	    GATE_ALLOW) {
		return;
	}
	for (size_t i = 0; i < view.limits.count; i++) {
		if (act->recipients > view.limits.limit[i].tokens) {
			judgement->beyond.limit = view.limits.limit[i];
			judgement->beyond.spent = view.spent[i];
			return;
		}
	}
}

static bool judge(struct whatif_replay *replay, const struct act *act,
                  struct whatif_judgement *judgement)
{
	struct gate_result result = { .dwell = 0 };
	enum gate_verdict verdict = gate_message(replay->txn, &replay->rules, act, &result);
	judgement->verdict = verdict;
	if (verdict == GATE_TRIPPED) {
		uint64_t incident = result.suspended.incident;
		verdict = read_bill(replay, incident, judgement) &&
		                  unlock(replay, act, incident)
		              ? send_again(replay, act, &result)
		              : GATE_BROKEN;
	} else if (verdict == GATE_NEVER) {
		name_limit(replay, act, judgement);
	} else {
		judgement->beyond = result.beyond;
	}
	judgement->price = result.price;
	judgement->strangers = result.strangers;
	if (verdict == GATE_ALLOW || verdict == GATE_HOLD) {
		return learn(replay, act) == STORE_OK;
	}
	return verdict == GATE_TRIPPED || verdict == GATE_NEVER;
}

bool whatif_replay_judge(struct whatif_replay *replay, const struct whatif_message *message,
                         struct whatif_judgement *judgement_out, struct error *error)
{
	const struct act act = { .account = message->account,
		                 .recipients = message->recipients,
		                 .contact = message->contact,
		                 .ncontacts = message->ncontacts,
		                 .origin = origin_at(replay, message->client),
		                 .client = message->client,
		                 .now = message->at,
		                 .wall = message->at };
	struct whatif_judgement judgement = { .price = 0 };
	if (meet(replay, &act) != STORE_OK || !judge(replay, &act, &judgement)) {
		error_set(error, "the store of the replay failed (is there room in TMPDIR?)");
		return false;
	}
	*judgement_out = judgement;
	return true;
}
