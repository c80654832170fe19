#include "server/whatif_replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/whatif.h"
#include "store/incident.h"

#define STORE_BYTES ((uint64_t)1 << 40)
#define BILL_MAX    ((size_t)64 * 1024)

struct whatif_replay {
	struct gate_rules rules;
	struct gate_device *devices;
	struct span nobody; /* nobody is suspended where nobody would hear of it */
	struct store *store;
	struct store_txn *txn;
};

/* Of no key: nobody but this process sees it. With the guard it is familiar_contact. */
uint64_t whatif_contact(struct span account, struct span recipient)
{
	uint64_t h = 0xcbf29ce484222325u;
	const struct span parts[] = { account, SPAN_LIT("\n"), recipient };
	for (size_t p = 0; p < COUNT(parts); p++) {
		for (size_t i = 0; i < parts[p].len; i++) {
			h = (h ^ (unsigned char)parts[p].ptr[i]) * 0x100000001b3u;
		}
	}
	return h ? h : 1;
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

static bool copy_rules(struct whatif_replay *replay, const struct gate_rules *rules)
{
	replay->rules = *rules;
	replay->rules.action = GATE_ACTION_SUSPEND;
	replay->rules.suspend_max.count = 0;
	replay->nobody = SPAN_LIT("nobody@localhost");
	replay->rules.suspend.postmaster = &replay->nobody;
	replay->rules.suspend.npostmaster = 1;
	replay->devices = calloc(rules->ndevices + 1, sizeof *replay->devices);
	for (size_t i = 0; replay->devices && i < rules->ndevices; i++) {
		replay->devices[i] = rules->devices[i];
		replay->devices[i].action = GATE_ACTION_DEFAULT;
	}
	replay->rules.devices = replay->devices;
	return replay->devices != NULL;
}

struct whatif_replay *whatif_replay_new(const struct gate_rules *rules, struct error *error)
{
	struct whatif_replay *replay = calloc(1, sizeof *replay);
	if (!replay || !copy_rules(replay, rules)) {
		error_set(error, "out of memory");
		whatif_replay_free(replay);
		return NULL;
	}
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

/* With the tariff it is tariff_parse. */
bool whatif_replay_price(struct whatif_replay *replay, struct span text, struct error *error)
{
	(void)replay;
	error_set(error, "--price %.*s: there are no prices beside that of a recipient",
	          SPAN_ARG(text));
	return false;
}

bool whatif_replay_is_ruled(const struct whatif_replay *replay, struct span account)
{
	const struct gate_rules *rules = &replay->rules;
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

/* ---- judging ---- */

/* Every account that has sent is one. */
static enum store_result meet(struct store_txn *txn, struct span name)
{
	const struct account fresh = { .secret = SPAN_LIT("x") };
	struct account account;
	enum store_result result = account_get(txn, name, &account);
	return result == STORE_NOT_FOUND ? account_put(txn, name, &fresh) : result;
}

/* The bill of a suspension, then its end. */
static bool read_and_unlock(struct whatif_replay *replay, const struct act *act,
                            uint64_t number, struct whatif_judgement *judgement)
{
	struct arena arena;
	struct incident incident;
	struct bill bill;
	struct suspend_result done;
	const struct suspend_end end = { .account = act->account,
		                         .incident = number,
		                         .event = STANDING_UNLOCK,
		                         .by = SPAN_LIT("what-if"),
		                         .how = SPAN_LIT("unlock"),
		                         .now = act->now,
		                         .wall = act->wall };
	arena_init(&arena, BILL_MAX);
	bool good = incident_get(replay->txn, number, &arena, &incident) == STORE_OK &&
	            bill_unpack(incident.reasons, &bill);
	arena_done(&arena);
	if (good) {
		judgement->limit = bill.limit;
		judgement->spent = bill.spent;
		judgement->price = bill.asked;
	}
	return good &&
	       suspend_apply(replay->txn, &replay->rules.suspend, &end, &done) == STORE_OK;
}

/* The first of the limits that could never hold it. */
static void name_limit(struct whatif_replay *replay, const struct act *act,
                       struct whatif_judgement *judgement)
{
	struct gate_view view;
	if (gate_show(replay->txn, &replay->rules, act->account, act->now, &view) !=
	    GATE_ALLOW) {
		return;
	}
	for (size_t i = 0; i < view.limits.count; i++) {
		if (act->recipients > view.limits.limit[i].tokens) {
			judgement->limit = view.limits.limit[i];
			judgement->spent = view.spent[i];
			return;
		}
	}
}

bool whatif_replay_judge(struct whatif_replay *replay, const struct whatif_message *message,
                         struct whatif_judgement *judgement_out, struct error *error)
{
	struct gate_result result = { .dwell = 0 };
	/* The guard: contact and origin are filled in here, and familiar_learn is called below
	 * for what was allowed. */
	const struct act act = { .account = message->account,
		                 .recipients = message->recipients,
		                 .client = message->client,
		                 .now = message->at,
		                 .wall = message->at };
	struct whatif_judgement judgement = { .price = act.recipients };
	bool good = meet(replay->txn, act.account) == STORE_OK;
	judgement.verdict = good ? gate_message(replay->txn, &replay->rules, &act, &result)
	                         : GATE_BROKEN;
	good = good && judgement.verdict != GATE_BROKEN;
	if (good && judgement.verdict == GATE_TRIPPED) {
		/* It would have been sent again. */
		good = read_and_unlock(replay, &act, result.suspended.incident, &judgement) &&
		       gate_message(replay->txn, &replay->rules, &act, &result) !=
		           GATE_BROKEN;
	} else if (good && judgement.verdict == GATE_NEVER) {
		name_limit(replay, &act, &judgement);
	}
	if (!good) {
		error_set(error, "the store of the replay failed (is there room in TMPDIR?)");
		return false;
	}
	*judgement_out = judgement;
	return true;
}
