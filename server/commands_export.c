/* gatepostctl account export: all that is stored about an account, a record a line; but for its
 * secrets, and for the text of queued mail. */
#include "server/commands.h"

#include "auth/facts.h"
#include "auth/familiar.h"
#include "auth/gate_limit.h"
#include "auth/gate_watch.h"
#include "auth/sender.h"
#include "server/wall.h"
#include "store/account.h"
#include "store/incident.h"
#include "store/journal.h"

#define SCAN_ROWS    500 /* of the journal in a read transaction */
#define INCIDENT_MAX ((size_t)64 * 1024)

/* An export under way. Rows of a transaction are gathered, and go out when it is over: whoever
 * reads them may be slow. */
struct export
{
	struct command_call *call;
	struct span account;
	int64_t ahead; /* ms from T to the wall clock */
	json_t *rows;
	size_t sent;
};

static void add(struct export *e, const char *record, json_t *row)
{
	json_t *named = json_pack("{s:s}", "record", record);
	if (row) {
		json_object_update(named, row);
	} else {
		json_object_set_new(named, "damaged", json_true());
	}
	json_decref(row);
	json_array_append_new(e->rows, named);
}

static void send_rows(struct export *e)
{
	for (size_t i = 0; i < json_array_size(e->rows); i++) {
		e->call->emit(e->call->context, json_incref(json_array_get(e->rows, i)));
	}
	e->sent += json_array_size(e->rows);
	json_array_clear(e->rows);
}

/* T as the wall had it, about; "" for never. */
static json_t *at_text(const struct export *e, int64_t at)
{
	return at ? command_time(at + e->ahead) : json_string("");
}

static json_t *limit_text(const struct budget_limit *limit)
{
	struct buf text = { .cap = 64 };
	budget_limit_write(limit, &text);
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

/* ---- the account ---- */

static json_t *own_limits(struct span packed)
{
	struct budget_limits limits;
	return packed.len && budget_limits_unpack(packed, &limits)
	           ? command_limits_text(&limits)
	           : json_string("");
}

static json_t *own_ticket(const struct export *e, struct span packed)
{
	struct gate_ticket ticket = { .at = 0 };
	if (!gate_ticket_unpack(packed, &ticket) || !ticket.at) {
		return json_null();
	}
	return json_pack("{s:o, s:o, s:o}", "grant", limit_text(&ticket.grant), "given",
	                 at_text(e, ticket.at), "why", command_text(ticket.why));
}

static json_t *own_action(struct span packed)
{
	const char *name = packed.len == 1
	                       ? command_action_name((enum gate_action)packed.ptr[0])
	                       : NULL;
	return json_string(name ? name : "");
}

static json_t *own_mode(const struct export *e, struct span packed)
{
	struct gate_stance stance;
	if (!packed.len || !gate_stance_unpack(packed, &stance)) {
		return json_null();
	}
	return json_pack("{s:s, s:o}", "mode", command_mode_name(stance.mode), "until",
	                 at_text(e, stance.until));
}

static void add_account(struct export *e, const struct account *account)
{
	json_t *prices = command_prices_text(account->tariff);
	add(e, "account",
	    json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "account",
	              command_text(e->account), "own_password", account->secret.len > 0,
	              "created", command_time(account->created_wall), "password_changed",
	              command_time(account->changed_wall), "limits",
	              own_limits(account->limits), "action", own_action(account->action),
	              "prices", prices ? prices : json_string(""), "ticket",
	              own_ticket(e, account->ticket), "mode", own_mode(e, account->mode),
	              "recovery", command_text(account->recovery)));
}

/* ---- the ledger ---- */

static void add_standing(struct export *e, struct span packed)
{
	struct standing standing;
	if (!standing_unpack(packed, &standing)) {
		add(e, "standing", NULL);
		return;
	}
	json_t *trips = json_array();
	for (size_t i = 0; i < STANDING_TRIPS_KEPT; i++) {
		if (standing.trips[i]) {
			json_array_append_new(trips, at_text(e, standing.trips[i]));
		}
	}
	add(e, "standing",
	    json_pack("{s:s, s:I, s:o}", "standing",
	              standing.state == STANDING_SUSPENDED ? "suspended" : "good", "incident",
	              (json_int_t)standing.incident, "suspensions", trips));
}

/* A row a limit: when how much was spent, as far as it is kept. */
static void add_budget(struct export *e, const char *record, struct span packed)
{
	struct budget budget = { .count = 0 };
	if (!budget_unpack(packed, &budget)) {
		add(e, record, NULL);
	}
	for (size_t i = 0; i < budget.count; i++) {
		const struct budget_ring *ring = &budget.ring[i];
		json_t *slots = json_array();
		uint64_t sum = 0;
		for (int64_t n = ring->newest - BUDGET_SLOTS + 1; n <= ring->newest; n++) {
			uint32_t spent = n < 0 ? 0 : ring->spent[n % BUDGET_SLOTS];
			json_array_append_new(slots, json_integer((json_int_t)spent));
			sum += spent;
		}
		add(e, record,
		    json_pack("{s:I, s:I, s:o}", "window_seconds",
		              (json_int_t)(ring->window / 1000), "spent", (json_int_t)sum,
		              "slots", slots));
	}
}

static void add_facts(struct export *e, struct span packed)
{
	struct facts facts;
	if (!facts_unpack(packed, &facts)) {
		add(e, "facts", NULL);
		return;
	}
	json_t *networks = json_array(), *subjects = json_array();
	for (size_t i = 0; i < FACTS_NETWORKS && facts.network[i].text[0]; i++) {
		const struct facts_network *network = &facts.network[i];
		json_array_append_new(networks,
		                      json_pack("{s:o, s:I, s:o}", "address",
		                                command_text(span_str(network->text)),
		                                "recipients", (json_int_t)network->recipients,
		                                "last", at_text(e, network->last_at)));
	}
	for (size_t i = 0; i < FACTS_SUBJECTS && facts.subject[i][0]; i++) {
		json_array_append_new(subjects, command_text(span_str(facts.subject[i])));
	}
	add(e, "facts",
	    json_pack("{s:o, s:o, s:I, s:I, s:I}", "networks", networks, "subjects", subjects,
	              "peak", (json_int_t)facts.peak_now, "peak_last",
	              (json_int_t)facts.peak_last, "peak_before",
	              (json_int_t)facts.peak_before));
}

static json_t *counts(const struct tariff_bill *bill)
{
	json_t *json = json_object();
	for (enum tariff_row i = 0; i < TARIFF_ROWS; i++) {
		if (bill->count[i]) {
			json_object_set_new(json, tariff_name(i),
			                    json_integer((json_int_t)bill->count[i]));
		}
	}
	return json;
}

static void add_tally(struct export *e, struct span packed)
{
	struct tariff_tally tally = { .count = 0 };
	if (!tariff_tally_unpack(packed, &tally)) {
		add(e, "tally", NULL);
	}
	for (size_t i = 0; i < tally.count; i++) {
		const struct tariff_bill sum = tariff_tally_sum(&tally, i);
		add(e, "tally",
		    json_pack("{s:I, s:o}", "window_seconds",
		              (json_int_t)(tally.limit[i].window / 1000), "counts",
		              counts(&sum)));
	}
}

static void add_marks(struct export *e, struct span packed)
{
	struct gate_marks marks;
	if (!gate_marks_unpack(packed, &marks)) {
		add(e, "marks", NULL);
		return;
	}
	json_t *told = json_object(), *never = json_array();
	for (enum gate_news i = 0; i < GATE_NEWS_COUNT; i++) {
		if (marks.told[i]) {
			json_object_set_new(told, gate_news_word(i), at_text(e, marks.told[i]));
		}
	}
	for (size_t i = 0; i < GATE_MARKS_NEVER; i++) {
		if (marks.never[i]) {
			json_array_append_new(never, at_text(e, marks.never[i]));
		}
	}
	add(e, "marks",
	    json_pack("{s:o, s:o, s:I}", "told", told, "never_fit", never, "ticket_used",
	              (json_int_t)marks.used));
}

static void add_watch(struct export *e, struct span packed)
{
	struct gate_watch watch = { .would_at = 0 };
	if (!gate_watch_unpack(packed, &watch)) {
		add(e, "watch", NULL);
		return;
	}
	add(e, "watch",
	    json_pack("{s:o, s:s, s:o}", "told", at_text(e, watch.would_at), "would_have",
	              watch.would_at ? gate_would_word(watch.would) : "", "warned",
	              at_text(e, watch.warned_at)));
}

static void add_ledger(struct export *e, struct store_txn *txn)
{
	struct ledger ledger;
	if (ledger_get(txn, e->account, &ledger) != STORE_OK) {
		add(e, "ledger", NULL);
		return;
	}
	add_standing(e, ledger.standing);
	add_budget(e, "budget", ledger.budget);
	add_budget(e, "strangers", ledger.strangers);
	add_tally(e, ledger.tally);
	add_facts(e, ledger.facts);
	add_marks(e, ledger.marks);
	add_watch(e, ledger.watch);
}

/* ---- the history ---- */

static json_t *network_row(const struct export *e, const struct history_network *network)
{
	char digest[20];
	snprintf(digest, sizeof digest, "%016llx", (unsigned long long)network->digest);
	return json_pack("{s:s, s:o, s:o, s:I, s:b, s:b, s:I, s:o}", "digest", digest,
	                 "first_day", at_text(e, network->first_day * FAMILIAR_DAY),
	                 "last_used", at_text(e, network->met_at), "days",
	                 (json_int_t)network->days, "familiar", network->ripe, "barred",
	                 network->barred, "known_recipients", (json_int_t)network->known,
	                 "country",
	                 command_text(span_of(network->country, network->country[0] ? 2 : 0)));
}

/* Of contacts only digests are kept, of no use to anybody: their number is told. */
static void add_history(struct export *e, struct store_txn *txn)
{
	struct history_head head;
	if (history_head_get(txn, e->account, &head) != STORE_OK) {
		add(e, "history", NULL);
		return;
	}
	add(e, "history",
	    json_pack("{s:I, s:I, s:b, s:o, s:b, s:I}", "contacts", (json_int_t)head.contacts,
	              "ever", (json_int_t)head.ever, "imported", head.imported, "since",
	              at_text(e, head.born_day * FAMILIAR_DAY), "barred_rest", head.barred_rest,
	              "bytes", (json_int_t)history_bytes(txn, e->account)));
	for (size_t i = 0; i < HISTORY_NETWORKS; i++) {
		if (head.network[i].digest) {
			add(e, "network", network_row(e, &head.network[i]));
		}
	}
}

/* ---- names and app passwords ---- */

static void add_aliases(struct export *e, struct store_txn *txn)
{
	struct sender_alias alias = { .pattern = SPAN_NONE };
	while (sender_alias_next(txn, e->account, alias.pattern, &alias) == STORE_OK) {
		add(e, "alias",
		    json_pack("{s:o, s:s, s:o}", "alias", command_text(alias.pattern), "state",
		              alias.seen ? "seen" : "allowed", "since",
		              command_time(alias.wall)));
	}
}

static json_t *networks_array(const struct apppass *apppass)
{
	json_t *networks = json_array();
	for (size_t i = 0; i < apppass->nnetworks; i++) {
		struct buf text = { .cap = NETWORK_TEXT_MAX };
		network_write(&apppass->network[i], &text);
		json_array_append_new(networks, command_text(buf_span(&text)));
		buf_done(&text);
	}
	return networks;
}

static void add_apppasses(struct export *e, struct store_txn *txn)
{
	struct apppass apppass = { .name = SPAN_NONE };
	enum store_result result;
	while ((result = apppass_next(txn, e->account, apppass.name, &apppass)) == STORE_OK ||
	       result == STORE_DAMAGED) {
		add(e, "app-password",
		    result == STORE_DAMAGED
		        ? json_pack("{s:o, s:b}", "name", command_text(apppass.name), "damaged",
		                    1)
		        : json_pack("{s:o, s:o, s:o, s:o}", "name", command_text(apppass.name),
		                    "limits", command_limits_text(&apppass.limits), "from",
		                    networks_array(&apppass), "created",
		                    command_time(apppass.created_wall)));
	}
}

/* ---- incidents, journal, queue ---- */

static void add_incident(struct export *e, const struct incident *incident)
{
	struct bill bill;
	struct buf text = { .cap = 4096 };
	if (bill_unpack(incident->reasons, &bill)) {
		bill_write(&bill, &text);
	}
	bool ended = incident->state == INCIDENT_ENDED;
	add(e, "incident",
	    json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "incident",
	              (json_int_t)incident->number, "opened",
	              command_time(incident->opened_wall), "cause",
	              command_text(incident->cause), "bill", command_text(buf_span(&text)),
	              "ended", ended ? command_time(incident->ended_wall) : json_string(""),
	              "ended_by", command_text(incident->ended_by), "ended_how",
	              command_text(incident->ended_how)));
	buf_done(&text);
}

static void add_incidents(struct export *e, struct store_txn *txn)
{
	struct incident incident = { .number = 0 };
	enum store_result result = STORE_OK;
	while (result == STORE_OK || result == STORE_DAMAGED) {
		struct arena arena;
		arena_init(&arena, INCIDENT_MAX);
		result = incident_next(txn, incident.number, &arena, &incident);
		if (result == STORE_OK && span_eq(incident.account, e->account)) {
			add_incident(e, &incident);
		}
		arena_done(&arena);
	}
}

static json_t *recipients_array(const struct queue_recipient *recipients, size_t n)
{
	json_t *array = json_array();
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(array,
		                      json_pack("{s:o, s:I, s:o}", "recipient",
		                                command_text(recipients[i].address), "code",
		                                (json_int_t)recipients[i].code, "answer",
		                                command_text(recipients[i].answer)));
	}
	return array;
}

static void add_journal(struct export *e, const struct journal_row *row)
{
	static const char *const kinds[] = {
		[JOURNAL_MESSAGE] = "message",
		[JOURNAL_ADMIN] = "admin",
		[JOURNAL_STANDING] = "standing",
	};
	char qid[QUEUE_ID_TEXT];
	queue_id_write(row->id, qid);
	add(e, "journal",
	    json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:o}", "kind",
	              (size_t)row->kind < COUNT(kinds) ? kinds[row->kind] : "", "at",
	              command_time(row->wall), "id", qid, "sender", command_text(row->sender),
	              "client", command_text(row->client), "apppass",
	              command_text(row->apppass), "text", command_text(row->text), "size",
	              (json_int_t)row->size, "recipients",
	              recipients_array(row->recipients, row->nrecipients)));
}

/* One short transaction's worth; false at the end. */
static bool add_some_journal(struct export *e, int64_t *at, uint64_t *id)
{
	struct store_txn *txn = command_read(e->call);
	size_t n = 0;
	for (bool found = true; txn && found && n < SCAN_ROWS; n += found) {
		struct arena arena;
		struct journal_row row;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		enum store_result result = journal_next(txn, *at, *id, &arena, &row);
		found = result == STORE_OK || result == STORE_DAMAGED;
		if (found) {
			*at = row.at;
			*id = row.id;
		}
		if (result == STORE_OK && span_eq(row.account, e->account)) {
			add_journal(e, &row);
		}
		arena_done(&arena);
	}
	store_abort(txn);
	return n == SCAN_ROWS;
}

static void add_entry(struct export *e, const struct queue_entry *entry)
{
	char qid[QUEUE_ID_TEXT];
	queue_id_write(entry->id, qid);
	add(e, "queued",
	    json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o}", "qid", qid, "state",
	              entry->state == QUEUE_HELD ? "held" : "ready", "accepted",
	              command_time(entry->accepted_wall), "sender", command_text(entry->sender),
	              "client", command_text(entry->client), "size", (json_int_t)entry->size,
	              "recipients", recipients_array(entry->recipients, entry->nrecipients)));
}

static bool add_some_entries(struct export *e, uint64_t *after)
{
	struct store_txn *txn = command_read(e->call);
	size_t n = 0;
	for (; txn && n < SCAN_ROWS &&
	       queue_list_next(txn, e->account, *after, after) == STORE_OK;
	     n++) {
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		if (queue_get(txn, *after, &arena, &entry) == STORE_OK) {
			add_entry(e, &entry);
		}
		arena_done(&arena);
	}
	store_abort(txn);
	return n == SCAN_ROWS;
}

/* ---- all of it ---- */

/* Of an account that was deleted there are incidents, journal and queue. */
static bool add_rows(struct export *e)
{
	struct account account;
	struct store_txn *txn = command_read(e->call);
	if (!txn) {
		return false;
	}
	enum store_result result = account_get(txn, e->account, &account);
	if (result == STORE_OK) {
		add_account(e, &account);
	} else if (result == STORE_DAMAGED) {
		add(e, "account", NULL);
	}
	if (result != STORE_NOT_FOUND) {
		add_ledger(e, txn);
		add_history(e, txn);
		add_aliases(e, txn);
		add_apppasses(e, txn);
	}
	add_incidents(e, txn);
	bool good = store_txn_result(txn) == STORE_OK;
	store_abort(txn);
	return good || command_fail(e->call, "the store failed");
}

static bool export(struct command_call *call, struct span name)
{
	struct export e = {
		.call = call,
		.account = name,
		.ahead = wall_ms() - store_now(call->store),
		.rows = json_array(),
	};
	int64_t at = 0;
	uint64_t id = 0, after = 0;
	bool good = add_rows(&e);
	command_layout(call, COMMAND_JSON, "");
	if (good) {
		send_rows(&e);
		for (bool more = true; more;) {
			more = add_some_journal(&e, &at, &id);
			send_rows(&e);
		}
		for (bool more = true; more;) {
			more = add_some_entries(&e, &after);
			send_rows(&e);
		}
	}
	json_decref(e.rows);
	if (good && !call->error.text[0] && !e.sent) {
		return command_fail(call, "%.*s: nothing is stored about it", SPAN_ARG(name));
	}
	return good && !call->error.text[0];
}

bool command_account_export(struct command_call *call)
{
	return command_with_account(call, export);
}
