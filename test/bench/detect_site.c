#include "detect_site.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/gate_books.h"
#include "store/incident.h"
#include "test/auth/fake_clock.h"

#define START_BOOT   ((int64_t)20000)
#define START_WALL   ((int64_t)1699833600000) /* a Monday */
#define BATCH        50000                    /* mails in one transaction */
#define ADDRESS_MAX_ 40
#define EXEMPT_MAX   8
#define DECLARED_MAX 4
#define TO_MAX       1024

struct declared {
	uint64_t place;
	bool familiar, shared;
};

struct site {
	struct gate_rules rules;
	struct span postmaster;
	struct span exempt[EXEMPT_MAX];
	struct declared declared[DECLARED_MAX];
	size_t ndeclared;
	char dir[64];
	struct store *store;
	struct store_txn *txn;
	size_t batch;
	int64_t first;               /* T at time 0 */
	char (*names)[ADDRESS_MAX_]; /* of the accounts */
	size_t naccounts, room;
	struct secret_key key;
	uint64_t contact[TO_MAX];
};

/* ---- the store ---- */

void site_set_clock(int64_t at)
{
	fake_clock.boot = START_BOOT + at;
	fake_clock.wall = START_WALL + at;
}

static void begin(struct site *site)
{
	struct error error = { "" };
	site->txn = store_begin_write(site->store, &error);
	if (!site->txn) {
		detect_die("%s", error.text);
	}
}

/* No more than a transaction should hold. */
static void begin_again(struct site *site)
{
	if (++site->batch % BATCH == 0) {
		if (store_commit(site->txn, NULL) != STORE_OK) {
			detect_die("no commit");
		}
		begin(site);
	}
}

/* Of the one site that there is at a time. */
static char left_over[64];

static void remove_folder(void)
{
	char command[96];
	if (left_over[0]) {
		snprintf(command, sizeof command, "rm -r '%s'", left_over);
		left_over[0] = '\0';
		if (system(command) != 0) {
			fprintf(stderr, "detect: a folder stays\n");
		}
	}
}

/* Also when this process ends with a problem. */
static void make_folder(struct site *site)
{
	static bool registered;
	const char *tmp = getenv("TMPDIR");
	snprintf(site->dir, sizeof site->dir, "%.30s/gatepost-detect-XXXXXX",
	         tmp ? tmp : "/tmp");
	if (!mkdtemp(site->dir)) {
		detect_die("%s can not be made", site->dir);
	}
	if (!registered) {
		registered = atexit(remove_folder) == 0;
	}
	memcpy(left_over, site->dir, sizeof left_over);
}

static void open_store(struct site *site)
{
	struct error error = { "" };
	const struct store_options options = { .size = (uint64_t)8 << 30,
		                               .longest_window = DAY };
	make_folder(site);
	fake_clock.boot = START_BOOT;
	fake_clock.wall = START_WALL;
	if (store_open(site->dir, &options, &site->store, &error) != STORE_OK) {
		detect_die("%s", error.text);
	}
	begin(site);
	site_set_clock(0);
	site->first = store_now(site->store);
}

static void must(enum store_result result, const char *what)
{
	if (result != STORE_OK) {
		detect_die("%s: %d", what, (int)result);
	}
}

static struct span name_of(const struct site *site, size_t account)
{
	return span_str(site->names[account]);
}

static size_t place_text(uint64_t place, char text[FACTS_NETWORK_MAX + 1])
{
	unsigned high = (unsigned)(place >> 32), low = (unsigned)place;
	int len = high ? snprintf(text, FACTS_NETWORK_MAX + 1, "%x:%x:%x:%x::1", high >> 16,
	                          high & 0xffff, low >> 16, low & 0xffff)
	               : snprintf(text, FACTS_NETWORK_MAX + 1, "%u.%u.%u.%u", low >> 24,
	                          low >> 16 & 255, low >> 8 & 255, low & 255);
	return place ? (size_t)len : 0;
}

/* ---- the guard: what there is beyond a count of recipients ---- */

bool world_has_tariff(void)
{
	return true;
}

static void read_prices(const char *text, struct tariff *tariff)
{
	struct span rest = span_str(text ? text : "");
	while (rest.len) {
		const char *reason = "";
		size_t n = span_find(rest, ' ');
		struct span word = span_first(rest, n);
		rest = n < rest.len ? span_from(rest, n + 1) : SPAN_NONE;
		if (word.len && !tariff_parse(word, tariff, &reason)) {
			detect_die("--prices: %.*s %s", SPAN_ARG(word), reason);
		}
	}
}

/* As they are configured by default. */
static void set_guard(struct site *site, const struct world_rules *rules)
{
	struct gate_rules *gate = &site->rules;
	memset(site->key.bytes, 5, sizeof site->key.bytes);
	gate->tariff = rules->tariff ? tariff_default() : tariff_classic();
	gate->dwell = (struct tariff_dwell){ .from = 100 };
	gate->familiar.off = !rules->tariff;
	if (!rules->tariff) {
		return;
	}
	read_prices(rules->prices, &gate->tariff);
	gate->dwell = (struct tariff_dwell){ 50, 5 * MINUTE, 4 * HOUR };
	gate->familiar = (struct familiar_rules){ .keep = 390 * DAY, .shared_from = 10 };
	gate->stranger_limits = (struct budget_limits){ { { 100, DAY }, { 300, 7 * DAY } }, 2 };
	gate->site_strangers = (struct budget_limits){ { { 200, DAY } }, 1 };
}

static bool is_in(const struct declared *declared, const struct network *network)
{
	unsigned char address[NETWORK_ADDRESS_BYTES];
	char text[FACTS_NETWORK_MAX + 1];
	size_t len = place_text(declared->place, text);
	return network_address_parse(span_of(text, len), address) &&
	       network_contains(network, address);
}

static struct origin origin_of(const struct site *site, uint64_t place)
{
	unsigned char address[NETWORK_ADDRESS_BYTES];
	char text[FACTS_NETWORK_MAX + 1];
	struct origin origin = { .network = 0 };
	if (!network_address_parse(span_of(text, place_text(place, text)), address)) {
		return origin;
	}
	const struct network network = network_around(address);
	origin.network = familiar_network(&site->key, &network);
	for (size_t i = 0; i < site->ndeclared; i++) {
		const struct declared *declared = &site->declared[i];
		bool in = is_in(declared, &network);
		origin.familiar = origin.familiar || (in && declared->familiar);
		origin.shared = origin.shared || (in && declared->shared);
	}
	return origin;
}

static uint64_t contact_of(const struct site *site, size_t account, uint32_t recipient)
{
	char text[ADDRESS_MAX_];
	int len = snprintf(text, sizeof text, "r%u@example.net", recipient);
	return familiar_contact(&site->key, name_of(site, account), span_of(text, (size_t)len));
}

/* `n` of the mail's recipients, from the one with this number on. */
static void tell(struct site *site, const struct world_mail *mail, size_t from, size_t n,
                 struct act *act)
{
	if (n > TO_MAX) {
		detect_die("too many recipients");
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t recipient = mail->to[from + i];
		enum recipient kind = recipient_kind(recipient);
		site->contact[i] = contact_of(site, mail->account, recipient);
		act->traps += kind == RECIPIENT_TRAP;
		act->members += kind == RECIPIENT_DECLARED ? recipient_people(recipient) - 1
		                                           : 0;
	}
	act->contact = site->contact;
	act->ncontacts = n;
	act->origin = origin_of(site, mail->place);
}

static void explain_lines(const struct bill *bill)
{
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		if (bill->lines.count[i]) {
			fprintf(stderr, ", %u %s", bill->lines.count[i],
			        tariff_name((enum tariff_row)i));
		}
	}
	fprintf(stderr, "%s\n", bill->strangers ? ", by the limit of strangers" : "");
}

bool site_has_history(struct site *site, size_t account)
{
	struct familiar_view view;
	must(familiar_show(site->txn, &site->rules.familiar, name_of(site, account),
	                   store_now(site->store), &view),
	     "history");
	return view.learned;
}

/* Of the windows for strangers. gate_show does not tell it. */
static double stranger_use(struct site *site, size_t account)
{
	const struct budget_limits *limits = &site->rules.stranger_limits;
	struct gate_books books;
	double fullest = 0;
	if (gate_books_read(site->txn, &site->rules, name_of(site, account),
	                    store_now(site->store), &books) != GATE_ALLOW) {
		detect_die("no books of an account");
	}
	for (size_t i = 0; i < limits->count; i++) {
		double use = (double)budget_spent(&books.strangers.ring[i],
		                                  store_now(site->store)) /
		             limits->limit[i].tokens;
		fullest = use > fullest ? use : fullest;
	}
	return fullest;
}

/* ---- the site ---- */

struct site *site_new(const struct world_rules *rules)
{
	struct site *site = calloc(1, sizeof *site);
	if (!site) {
		detect_die("no memory");
	}
	site->postmaster = SPAN_LIT("postmaster@example.org");
	site->rules = (struct gate_rules){
		.limits = rules->limits,
		.suspend_max = { { { 20, HOUR } }, 1 },
		.exempt = site->exempt,
		.suspend = { .postmaster = &site->postmaster, .npostmaster = 1 },
	};
	set_guard(site, rules);
	open_store(site);
	return site;
}

void site_free(struct site *site)
{
	store_abort(site->txn);
	store_close(site->store);
	remove_folder();
	free(site->names);
	free(site);
}

size_t site_account(struct site *site)
{
	const struct account account = { .secret = SPAN_LIT("x") };
	size_t n = site->naccounts++;
	if (n == site->room) {
		site->room = n ? 2 * n : 64;
		site->names = realloc(site->names, site->room * sizeof *site->names);
	}
	if (!site->names) {
		detect_die("no memory");
	}
	snprintf(site->names[n], sizeof site->names[n], "u%zu@example.org", n);
	must(account_put(site->txn, name_of(site, n), &account), "account");
	return n;
}

void site_exempt(struct site *site, size_t account)
{
	static char copies[EXEMPT_MAX][ADDRESS_MAX_];
	size_t n = site->rules.nexempt++;
	if (n == EXEMPT_MAX) {
		detect_die("too many exempt accounts");
	}
	/* The array of names may move. */
	memcpy(copies[n], site->names[account], sizeof copies[n]);
	site->exempt[n] = span_str(copies[n]);
}

void site_ticket(struct site *site, size_t account, const char *grant)
{
	const char *reason = "";
	struct gate_ticket ticket = { .at = store_now(site->store),
		                      .wall = fake_clock.wall,
		                      .why = SPAN_LIT("announced") };
	if (!budget_limit_parse(span_str(grant), &ticket.grant, &reason)) {
		detect_die("%s %s", grant, reason);
	}
	must(gate_allow(site->txn, name_of(site, account), &ticket), "ticket");
}

void site_defer(struct site *site, size_t account)
{
	must(gate_set_action(site->txn, name_of(site, account), GATE_ACTION_DEFER), "action");
}

void site_declare(struct site *site, uint64_t place, bool familiar, bool shared)
{
	if (site->ndeclared == DECLARED_MAX) {
		detect_die("too many networks");
	}
	site->declared[site->ndeclared++] = (struct declared){ place, familiar, shared };
}

/* ---- what happens ---- */

static enum world_verdict verdict_of(enum gate_verdict verdict)
{
	switch (verdict) {
	case GATE_ALLOW:
		return WORLD_TAKEN;
	case GATE_HOLD:
		return WORLD_KEPT;
	case GATE_DEFER:
	case GATE_FULL:
		return WORLD_LATER;
	case GATE_TRIPPED:
	case GATE_SUSPENDED:
		return WORLD_LOCKED;
	case GATE_UNKNOWN:
	case GATE_BROKEN:
		detect_die("the gate says %d", (int)verdict);
	default:
		return WORLD_REFUSED;
	}
}

static struct act act_of(const struct site *site, const struct world_mail *mail, size_t n,
                         char client[FACTS_NETWORK_MAX + 1])
{
	return (struct act){
		.account = name_of(site, mail->account),
		.recipients = (uint32_t)n,
		.client = span_of(client, place_text(mail->place, client)),
		.now = store_now(site->store),
		.wall = fake_clock.wall,
	};
}

enum world_verdict site_judge(struct site *site, const struct world_mail *mail,
                              int64_t *dwell_out)
{
	char client[FACTS_NETWORK_MAX + 1];
	begin_again(site);
	struct act act = act_of(site, mail, mail->n, client);
	*dwell_out = 0;
	struct gate_result result = { .dwell = 0 };
	tell(site, mail, 0, mail->n, &act);
	enum gate_verdict verdict = gate_message(site->txn, &site->rules, &act, &result);
	*dwell_out = verdict == GATE_ALLOW ? result.dwell : 0;
	return verdict_of(verdict);
}

/* As server/lesson.c does it. */
bool site_relayed(struct site *site, const struct world_mail *mail, int64_t accepted,
                  size_t taken)
{
	char client[FACTS_NETWORK_MAX + 1];
	struct gate_result result;
	struct act act = act_of(site, mail, mail->n - taken, client);
	if (taken) {
		struct act told = act;
		tell(site, mail, 0, taken, &told);
		const struct familiar_lesson lesson = { .account = act.account,
			                                .contact = site->contact,
			                                .n = taken,
			                                .origin = told.origin,
			                                .now = site->first + accepted };
		must(gate_learn(site->txn, &site->rules, &lesson), "learn");
	}
	if (taken == mail->n) {
		return false;
	}
	tell(site, mail, taken, mail->n - taken, &act);
	return gate_refused(site->txn, &site->rules, &act, &result) == GATE_TRIPPED;
}

void site_unlock(struct site *site, size_t account)
{
	struct suspend_result result;
	struct suspend_end end = {
		.account = name_of(site, account),
		.event = STANDING_UNLOCK,
		.by = SPAN_LIT("postmaster@example.org"),
		.how = SPAN_LIT("unlock"),
		.now = store_now(site->store),
		.wall = fake_clock.wall,
	};
	must(suspend_incident_of(site->txn, end.account, &end.incident), "incident");
	must(suspend_apply(site->txn, &site->rules.suspend, &end, &result), "unlock");
}

static struct span copy(struct span from, char *to, size_t room)
{
	if (from.len > room) {
		detect_die("a long row");
	}
	if (from.len) {
		memcpy(to, from.ptr, from.len);
	}
	return span_of(to, from.len);
}

void site_change_password(struct site *site, size_t account)
{
	struct account row;
	must(account_get(site->txn, name_of(site, account), &row), "account");
	/* Its spans point to where it is put. */
	char limits[256], action[16], ticket[256];
	row.secret = SPAN_LIT("y");
	row.limits = copy(row.limits, limits, sizeof limits);
	row.action = copy(row.action, action, sizeof action);
	row.ticket = copy(row.ticket, ticket, sizeof ticket);
	row.changed_wall = fake_clock.wall;
	must(account_put(site->txn, name_of(site, account), &row), "account");
}

void site_explain(struct site *site, size_t account)
{
	uint64_t number = 0;
	struct arena arena;
	struct incident incident;
	struct bill bill;
	arena_init(&arena, 64 * 1024);
	must(suspend_incident_of(site->txn, name_of(site, account), &number), "incident");
	must(incident_get(site->txn, number, &arena, &incident), "incident");
	if (!bill_unpack(incident.reasons, &bill)) {
		detect_die("no bill");
	}
	fprintf(stderr, "%u of %u in %lld min spent, %u asked", bill.spent, bill.limit.tokens,
	        (long long)(bill.limit.window / MINUTE), bill.asked);
	explain_lines(&bill);
	arena_done(&arena);
}

double site_use(struct site *site, size_t account)
{
	struct gate_view view;
	double fullest = stranger_use(site, account);
	if (gate_show(site->txn, &site->rules, name_of(site, account), store_now(site->store),
	              &view) != GATE_ALLOW) {
		detect_die("no view of an account");
	}
	for (size_t i = 0; i < view.limits.count; i++) {
		double use = (double)view.spent[i] / view.limits.limit[i].tokens;
		fullest = use > fullest ? use : fullest;
	}
	return fullest;
}
