#include "server/notice_facts.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "server/origin.h"
#include "store/account.h"
#include "store/queue.h"

#define TEXT_MAX       ((size_t)64 * 1024)
#define HELD_ENTRIES   2000   /* looked at; more are "more than" */
#define HELD_MAX       100000 /* recipients */
#define LIST_SHOWN     80     /* bytes: two lines with what stands around it */
#define NETWORKS_SHOWN 150
#define SUBJECT_SHOWN  40
#define ACCOUNT_SHOWN  60
#define MINUTE         ((int64_t)60 * 1000)

/* ---- reading ---- */

struct reading {
	struct notice_facts *facts;
	const struct config *config;
	const struct secret_key *key;
	struct store_txn *txn;
	struct bill bill;
	int64_t window; /* that was broken; by hand: the first one */
	uint32_t spent; /* of it */
	struct budget_limits limits;
	uint64_t present; /* by which the account is suspended now; 0: it is not */
	bool exists;      /* the account */
	/* Recipients of queued mail who have not got it: all, and of mail taken within the
	 * window. */
	uint64_t held, held_of_window;
	bool held_more; /* there is mail that was not looked at */
};

/* One entry of the account; false when there is enough. */
static bool count_entry(struct reading *in, const struct queue_entry *entry)
{
	bool of_window = entry->accepted_at > in->facts->incident.opened_at - in->window;
	for (size_t i = 0; entry->kind == QUEUE_MAIL && i < entry->nrecipients; i++) {
		bool waits = entry->recipients[i].state == RECIPIENT_PENDING;
		in->held += waits;
		in->held_of_window += waits && of_window;
	}
	return in->held < HELD_MAX;
}

/* READY ones, too: they are not sent while the account is suspended. What can not be read is
 * left out. */
static enum store_result count_held(struct reading *in)
{
	struct span account = in->facts->incident.account;
	enum store_result result = STORE_OK;
	uint64_t id = 0;
	bool more = true;
	for (size_t n = 0; result != STORE_FAILED; n++) {
		struct arena arena;
		struct queue_entry entry;
		result = queue_list_next(in->txn, account, id, &id);
		if (result != STORE_OK) {
			return result == STORE_NOT_FOUND ? STORE_OK : result;
		}
		if (n == HELD_ENTRIES || !more) {
			in->held_more = true;
			return STORE_OK;
		}
		arena_init(&arena, QUEUE_ENTRY_MAX);
		result = queue_get(in->txn, id, &arena, &entry);
		more = result != STORE_OK || count_entry(in, &entry);
		arena_done(&arena);
	}
	return result;
}

/* The ring of the window that was broken; by hand of the first one. Of strangers there is
 * another. */
static void read_use(struct reading *in, const struct ledger *ledger)
{
	struct budget budget = { .count = 0 };
	struct span row = in->bill.strangers ? ledger->strangers : ledger->budget;
	if (!budget_unpack(row, &budget)) {
		return;
	}
	for (size_t i = 0; i < budget.count; i++) {
		if (!in->bill.limit.window || budget.ring[i].window == in->bill.limit.window) {
			in->facts->use = budget.ring[i];
			return;
		}
	}
}

/* By hand no limit was broken: what the first one has seen stands for it. */
static void read_spent(struct reading *in)
{
	struct ledger ledger;
	const struct budget_ring *use = &in->facts->use;
	if (ledger_get(in->txn, in->facts->incident.account, &ledger) == STORE_OK) {
		read_use(in, &ledger);
	}
	bool by_hand = in->bill.limit.window == 0 && use->window;
	in->spent = by_hand ? budget_spent(use, in->facts->incident.opened_at) : in->bill.spent;
	in->window = by_hand ? use->window : in->bill.limit.window;
}

/* What is kept of the networks now: a suspension forgets what is not familiar, and not barred.
 * What can not be read is not told. */
static void read_networks(struct reading *in)
{
	const struct incident *incident = &in->facts->incident;
	for (size_t i = 0; i < FACTS_NETWORKS && in->bill.facts.network[i].text[0]; i++) {
		unsigned char address[NETWORK_ADDRESS_BYTES];
		struct bill_network *network = &in->facts->network[i];
		if (!network_address_parse(span_str(in->bill.facts.network[i].text), address)) {
			continue;
		}
		struct origin origin = origin_of(in->config, in->key, address);
		network->declared = origin.familiar;
		network->shared = origin.shared;
		if (origin.network) {
			familiar_show_network(in->txn, incident->account, origin.network,
			                      incident->opened_at, &network->kept);
		}
	}
}

static enum store_result read_account(struct reading *in)
{
	struct account account;
	struct span name = in->facts->incident.account;
	enum store_result result = account_get(in->txn, name, &account);
	in->limits = in->config->limits;
	in->exists = result != STORE_NOT_FOUND;
	if (result == STORE_OK && account.limits.len) {
		budget_limits_unpack(account.limits, &in->limits);
	}
	if (result == STORE_FAILED) {
		return result;
	}
	result = suspend_incident_of(in->txn, name, &in->present);
	if (result == STORE_DAMAGED && in->facts->incident.state == INCIDENT_OPEN) {
		in->present = in->facts->incident.number; /* damage ends no suspension */
	}
	return result;
}

/* ---- in words ---- */

/* Into the arena; `text` is done with. */
static struct span keep(struct notice_facts *facts, struct buf *text)
{
	struct span copy = SPAN_NONE;
	facts->failed = facts->failed || text->failed ||
	                !arena_copy(&facts->arena, buf_span(text), &copy);
	buf_done(text);
	return copy;
}

struct span notice_facts_text(struct notice_facts *facts, const char *format, ...)
{
	struct buf text = { .cap = TEXT_MAX };
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	return keep(facts, &text);
}

struct span notice_facts_time(struct notice_facts *facts, int64_t wall)
{
	time_t seconds = wall / 1000;
	struct tm tm;
	char text[64] = "";
	if (gmtime_r(&seconds, &tm)) {
		strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &tm);
	}
	return notice_facts_text(facts, "%s", text);
}

static struct span write_window(struct notice_facts *facts, int64_t ms)
{
	static const struct {
		int64_t ms, least;
		const char *name;
	} units[] = {
		{ 86400000, 2 * 86400000, "day" },
		{ 3600000, 3600000, "hour" },
		{ 60000, 60000, "minute" },
		{ 1000, 0, "second" },
	};
	size_t i = 0;
	while (i + 1 < COUNT(units) && (ms < units[i].least || ms % units[i].ms)) {
		i++;
	}
	int64_t n = ms / units[i].ms;
	return notice_facts_text(facts, "%lld %s%s", (long long)n, units[i].name,
	                         n == 1 ? "" : "s");
}

static uint32_t surcharge_of(const struct bill *bill)
{
	return tariff_surcharge(&bill->tariff, &bill->lines);
}

static struct span write_limit(struct reading *in)
{
	const struct budget_limit *limit = &in->bill.limit;
	struct span window = write_window(in->facts, limit->window);
	const char *what = in->bill.strangers        ? "strangers"
	                   : surcharge_of(&in->bill) ? "tokens"
	                                             : "recipients";
	return limit->window ? notice_facts_text(in->facts, "%u %s in %.*s", limit->tokens,
	                                         what, SPAN_ARG(window))
	                     : SPAN_NONE;
}

/* Of a suspension without a limit that was broken. A bill that can not be read is no reason not
 * to tell of it. */
static struct span write_cause(struct reading *in)
{
	struct span cause = in->facts->incident.cause;
	if (in->bill.limit.window) {
		return SPAN_NONE;
	}
	return span_eq(cause, SPAN_LIT("budget"))
	           ? SPAN_LIT("its limit; the bill can not be read")
	           : notice_facts_text(in->facts, "by hand, %.*s", SPAN_ARG(cause));
}

/* The peaks are of the first limit. */
static struct span write_peak(struct reading *in)
{
	uint32_t peak = in->bill.facts.peak_before;
	int64_t window = in->limits.count ? in->limits.limit[0].window : 0;
	if (!peak) {
		return SPAN_LIT("none");
	}
	if (!window || window == in->bill.limit.window) {
		return notice_facts_text(in->facts, "%u", peak);
	}
	return notice_facts_text(in->facts, "%u in %.*s", peak,
	                         SPAN_ARG(write_window(in->facts, window)));
}

/* A list of names: as many as have room, at least one, and how many others there are. */
struct listing {
	struct buf text;
	size_t n, left_out;
	size_t room; /* bytes; 0: LIST_SHOWN */
};

__attribute__((format(printf, 2, 3))) static void list_add(struct listing *list,
                                                           const char *format, ...)
{
	char one[512];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(one, sizeof one, format, args);
	va_end(args);
	size_t room = list->room ? list->room : LIST_SHOWN;
	bool fits = list->n == 0 || list->text.len + (size_t)len + 2 <= room;
	if (fits && list->left_out == 0) {
		buf_printf(&list->text, "%s%s", list->n++ ? ", " : "", one);
	} else {
		list->left_out++;
	}
}

static struct span list_end(struct listing *list, struct notice_facts *facts)
{
	if (list->left_out) {
		buf_printf(&list->text, " and %zu more", list->left_out);
	}
	return keep(facts, &list->text);
}

/* The busiest that is not `shown` yet; NULL when there is none. */
static const struct facts_network *busiest(const struct facts *facts, const bool *shown)
{
	const struct facts_network *best = NULL;
	for (size_t i = 0; i < FACTS_NETWORKS && facts->network[i].text[0]; i++) {
		const struct facts_network *network = &facts->network[i];
		if (!shown[i] && (!best || network->recipients > best->recipients)) {
			best = network;
		}
	}
	return best;
}

static struct span write_networks(struct reading *in)
{
	const struct facts *facts = &in->bill.facts;
	bool shown[FACTS_NETWORKS] = { false };
	struct listing list = { .text = { .cap = TEXT_MAX } };
	const struct facts_network *network;
	while ((network = busiest(facts, shown))) {
		shown[network - facts->network] = true;
		struct buf note = { .cap = TEXT_MAX };
		bill_network_write(&in->facts->network[network - facts->network], &note);
		list.room = note.len ? NETWORKS_SHOWN : LIST_SHOWN;
		list_add(&list, "%s (%u%s%.*s)", network->text, network->recipients,
		         list.n ? "" : " recipients", SPAN_ARG(buf_span(&note)));
		buf_done(&note);
	}
	return list_end(&list, in->facts);
}

/* Who stops an account by hand has his reasons; its last mail need not be one of them. */
static struct span write_subjects(struct reading *in)
{
	if (!in->bill.limit.window) {
		return SPAN_NONE;
	}
	struct listing list = { .text = { .cap = TEXT_MAX } };
	for (size_t i = 0; i < FACTS_SUBJECTS && in->bill.facts.subject[i][0]; i++) {
		struct buf text = { .cap = TEXT_MAX };
		bill_subject_write(span_str(in->bill.facts.subject[i]), SUBJECT_SHOWN, &text);
		list_add(&list, "\"%.*s\"", SPAN_ARG(buf_span(&text)));
		buf_done(&text);
	}
	return list_end(&list, in->facts);
}

static struct span write_examples(struct reading *in)
{
	struct listing list = { .text = { .cap = TEXT_MAX } };
	for (size_t i = 0; i < FACTS_EXAMPLES && in->bill.facts.example[i][0]; i++) {
		struct buf text = { .cap = TEXT_MAX };
		notice_text_escape(span_str(in->bill.facts.example[i]), FACTS_EXAMPLE_MAX,
		                   &text);
		list_add(&list, "%.*s", SPAN_ARG(buf_span(&text)));
		buf_done(&text);
	}
	return list_end(&list, in->facts);
}

static struct span write_who(struct reading *in)
{
	const struct config *config = in->config;
	struct listing list = { .text = { .cap = TEXT_MAX } };
	for (size_t i = 0; i < config->npostmaster; i++) {
		list_add(&list, "%.*s", SPAN_ARG(config->postmaster[i]));
	}
	for (size_t i = 0; i < config->nmay_unlock; i++) {
		list_add(&list, "%.*s", SPAN_ARG(config->may_unlock[i]));
	}
	return list_end(&list, in->facts);
}

/* The recipients among what was spent: what is left without the surcharges, of which those of
 * the act that broke it are in what was asked. */
static uint64_t recipients_spent(const struct reading *in)
{
	const struct bill *bill = &in->bill;
	uint64_t own = bill->lines.count[TARIFF_RECIPIENT];
	uint64_t all = surcharge_of(bill);
	uint64_t extra = bill->asked > own ? bill->asked - own : 0;
	uint64_t before = all > extra && !bill->strangers ? all - extra : 0;
	return in->spent > before ? in->spent - before : 0;
}

/* The same without the members of lists, who have a line of their own. */
static uint64_t recipients_alone(const struct reading *in)
{
	const struct bill *bill = &in->bill;
	uint64_t spent = recipients_spent(in);
	uint64_t members = (uint64_t)bill->lines.count[TARIFF_MEMBER] *
	                   bill->tariff.price[TARIFF_MEMBER];
	return spent > members ? spent - members : 0;
}

static struct span write_gone(struct reading *in)
{
	uint64_t spent = recipients_spent(in);
	uint64_t gone = spent > in->held_of_window ? spent - in->held_of_window : 0;
	return notice_facts_text(in->facts, "%s%llu", in->held_more ? "at most " : "",
	                         (unsigned long long)gone);
}

static struct span write_held(struct reading *in)
{
	return notice_facts_text(in->facts, "%s%llu", in->held_more ? "more than " : "",
	                         (unsigned long long)in->held);
}

/* What is left held behind an end. */
static struct span write_kept(struct reading *in)
{
	bool settled = !in->present && in->facts->incident.sweep == INCIDENT_SWEPT;
	return settled && in->held ? write_held(in) : SPAN_NONE;
}

static struct span write_state(struct reading *in)
{
	if (!in->exists) {
		return SPAN_LIT("it was deleted");
	}
	if (!in->present) {
		return SPAN_LIT("in good standing");
	}
	return notice_facts_text(in->facts, "suspended (case %llu)",
	                         (unsigned long long)in->present);
}

static struct span write_account(struct reading *in)
{
	struct buf text = { .cap = TEXT_MAX };
	notice_text_escape(in->facts->incident.account, ACCOUNT_SHOWN, &text);
	return keep(in->facts, &text);
}

static struct span write_command(struct reading *in)
{
	struct buf text = { .cap = TEXT_MAX };
	notice_text_quote(in->facts->incident.account, &text);
	return keep(in->facts, &text);
}

static struct span write_opened(struct reading *in)
{
	return notice_facts_time(in->facts, in->facts->incident.opened_wall);
}

static struct span write_case(struct reading *in)
{
	return notice_facts_text(in->facts, "%llu",
	                         (unsigned long long)in->facts->incident.number);
}

static struct span write_spent(struct reading *in)
{
	return notice_facts_text(in->facts, "%u", in->spent);
}

static struct span write_asked(struct reading *in)
{
	return notice_facts_text(in->facts, "%u", in->bill.asked);
}

/* Letters, digits, - _ . only: nothing to escape or quote. */
static struct span write_apppass(struct reading *in)
{
	return notice_facts_text(in->facts, "%s", in->bill.apppass);
}

static struct span write_hostname(struct reading *in)
{
	return span_str(in->config->hostname);
}

static struct span write_suspended(struct reading *in)
{
	return in->facts->suspended ? SPAN_LIT("yes") : SPAN_NONE;
}

/* ---- the bill ---- */

static const char *const line_names[TARIFF_ROWS] = {
	"line1", "line2", "line3", "line4", "line5",
	"line6", "line7", "line8", "line9", "line10",
};

/* A plain volume is told by its limit alone. */
static void add_lines(struct reading *in)
{
	struct notice_facts *facts = in->facts;
	bool any = facts->nlines > 1 ||
	           (facts->nlines == 1 && facts->line[0].row != TARIFF_RECIPIENT);
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		struct buf text = { .cap = TEXT_MAX };
		if (any && i < facts->nlines) {
			bill_line_write(facts->line, facts->nlines, i, &text);
		}
		notice_facts_add(facts, line_names[i], keep(facts, &text));
	}
}

static struct span write_strange(struct reading *in)
{
	in->facts->guarded = bill_is_strange(&in->bill);
	return in->facts->guarded ? SPAN_LIT("yes") : SPAN_NONE;
}

static const struct {
	const char *name;
	struct span (*write)(struct reading *in);
} words[] = {
	{ "account", write_account },
	{ "case", write_case },
	{ "opened", write_opened },
	{ "limit", write_limit },
	{ "spent", write_spent },
	{ "asked", write_asked },
	{ "cause", write_cause },
	{ "peak", write_peak },
	{ "gone", write_gone },
	{ "held", write_held },
	{ "kept", write_kept },
	{ "networks", write_networks },
	{ "examples", write_examples },
	{ "subjects", write_subjects },
	{ "who", write_who },
	{ "hostname", write_hostname },
	{ "command", write_command },
	{ "state", write_state },
	{ "suspended", write_suspended },
	{ "apppass", write_apppass },
	{ "strange", write_strange },
};

/* ---- the whole ---- */

void notice_facts_add(struct notice_facts *facts, const char *name, struct span text)
{
	assert(facts->nvalues < NOTICE_FACTS_VALUES);
	facts->value[facts->nvalues++] = (struct notice_value){ name, text };
}

static void write_words(struct reading *in)
{
	struct notice_facts *facts = in->facts;
	facts->bill = in->bill;
	facts->held = in->held;
	facts->nlines = bill_lines(&in->bill, recipients_alone(in), facts->line);
	for (size_t i = 0; i < COUNT(words); i++) {
		notice_facts_add(facts, words[i].name, words[i].write(in));
	}
	add_lines(in);
}

enum store_result notice_facts_read(struct notice_facts *facts, const struct config *config,
                                    const struct secret_key *key, uint64_t incident,
                                    struct store_txn *txn)
{
	struct reading in = { .facts = facts, .config = config, .key = key, .txn = txn };
	*facts = (struct notice_facts){ .nvalues = 0 };
	arena_init(&facts->arena, NOTICE_FACTS_ARENA);
	enum store_result result = incident_get(txn, incident, &facts->arena, &facts->incident);
	if (result != STORE_OK) {
		return result;
	}
	if (!bill_unpack(facts->incident.reasons, &in.bill)) {
		in.bill = (struct bill){ .spent = 0 };
	}
	read_spent(&in);
	read_networks(&in);
	if (read_account(&in) == STORE_FAILED || count_held(&in) == STORE_FAILED) {
		return STORE_FAILED;
	}
	facts->suspended = in.present == facts->incident.number;
	write_words(&in);
	return STORE_OK;
}

void notice_facts_sample(struct notice_facts *facts, const struct config *config, int64_t wall)
{
	struct reading in = {
		.facts = facts,
		.config = config,
		.bill = { .limit = { 500, 30 * MINUTE },
		          .spent = 495,
		          .asked = 10,
		          .facts = { .network = { { "192.0.2.7", 475, 0 } },
		                     .subject = { "Cheap watches" },
		                     .peak_before = 37 } },
		.spent = 495,
		.exists = true,
		.held = 20,
		.held_of_window = 20,
	};
	*facts = (struct notice_facts){
		.incident = { .account = SPAN_LIT("sample@example.org"), .opened_wall = wall },
		.suspended = true,
	};
	arena_init(&facts->arena, NOTICE_FACTS_ARENA);
	write_words(&in);
}

void notice_facts_done(struct notice_facts *facts)
{
	arena_done(&facts->arena);
}
