#include "detect_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/gate.h"
#include "test/auth/fake_clock.h"

#define START_BOOT ((int64_t)20000)
#define START_WALL ((int64_t)1699833600000) /* a Monday */
/* Days of the history are counted from T = 0: nobody wants to find out what day 0 means. */
#define START_LATE       (7 * DAY)
#define BATCH            50000 /* mails in one transaction */
#define NAME_MAX_        40
#define DECLARED_MEMBERS 650
#define EXEMPT_MAX       8
#define NEVER            INT64_MAX

/* In the queue. */
struct waiting {
	size_t account;
	uint64_t place;
	uint32_t *to;
	size_t n;
	bool thief;
	int64_t accepted, due; /* NEVER: held */
};

struct sender {
	char name[NAME_MAX_];
	struct world_figures figures;
	bool suspended;
	int64_t answer; /* when the postmaster unlocks it, NEVER: not */
};

struct declared {
	uint64_t place;
	bool familiar, shared;
};

struct relayed {
	int64_t at;
	uint64_t people;
};

struct world {
	bool tariff;
	struct gate_rules rules;
	struct span postmaster;
	struct span exempt[EXEMPT_MAX];
	char dir[64];
	struct store *store;
	struct store_txn *txn;
	size_t batch;
	struct sender **senders;
	size_t nsenders;
	struct waiting *queue;
	size_t nqueue;
	int64_t first_due; /* of queue and answers */
	struct relayed *relayed;
	size_t nrelayed;
	struct declared declared[4];
	size_t ndeclared;
	bool take_all, watch;
	int64_t ill_from, ill_to, count_from;
};

_Noreturn void detect_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "detect: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

/* ---- recipients ---- */

static enum recipient kind_of(uint32_t recipient)
{
	return (enum recipient)(recipient >> RECIPIENT_SHIFT);
}

/* Lists that nobody declared have 20 to 200 members. */
uint32_t recipient_people(uint32_t recipient)
{
	switch (kind_of(recipient)) {
	case RECIPIENT_LIST:
		return 20 + (recipient * 2654435761u >> 8) % 181;
	case RECIPIENT_DECLARED:
		return DECLARED_MEMBERS;
	default:
		return 1;
	}
}

static uint64_t people_of(const uint32_t *to, size_t n)
{
	uint64_t people = 0;
	for (size_t i = 0; i < n; i++) {
		people += recipient_people(to[i]);
	}
	return people;
}

/* ---- the store ---- */

static void set_clock(int64_t at)
{
	fake_clock.boot = START_BOOT + START_LATE + at;
	fake_clock.wall = START_WALL + at;
}

static void begin(struct world *world)
{
	struct error error = { "" };
	world->txn = store_begin_write(world->store, &error);
	if (!world->txn) {
		detect_die("%s", error.text);
	}
}

/* No more than the writer could keep in memory. */
static void begin_again(struct world *world)
{
	if (++world->batch % BATCH == 0) {
		if (store_commit(world->txn, NULL) != STORE_OK) {
			detect_die("no commit");
		}
		begin(world);
	}
}

static void open_store(struct world *world)
{
	struct error error = { "" };
	const struct store_options options = { .size = (uint64_t)8 << 30,
		                               .longest_window = DAY };
	const char *tmp = getenv("TMPDIR");
	fake_clock.boot = START_BOOT;
	fake_clock.wall = START_WALL - START_LATE;
	snprintf(world->dir, sizeof world->dir, "%.30s/gatepost-detect-XXXXXX",
	         tmp ? tmp : "/tmp");
	if (!mkdtemp(world->dir)) {
		detect_die("%s can not be made", world->dir);
	}
	if (store_open(world->dir, &options, &world->store, &error) != STORE_OK) {
		detect_die("%s", error.text);
	}
	begin(world);
	set_clock(0);
}

struct world *world_new(const struct world_rules *rules)
{
	struct world *world = calloc(1, sizeof *world);
	if (!world || (rules->tariff && !world_has_tariff())) {
		detect_die("no world");
	}
	world->tariff = rules->tariff;
	world->postmaster = SPAN_LIT("postmaster@example.org");
	world->first_due = NEVER;
	world->ill_from = world->ill_to = -1;
	world->rules = (struct gate_rules){
		.limits = rules->limits,
		.suspend_max = { { { 20, HOUR } }, 1 },
		.exempt = world->exempt,
		.suspend = { &world->postmaster, 1 },
	};
	open_store(world);
	return world;
}

void world_free(struct world *world)
{
	char command[128];
	store_abort(world->txn);
	store_close(world->store);
	snprintf(command, sizeof command, "rm -r '%s'", world->dir);
	if (system(command) != 0) {
		detect_die("%s stays", world->dir);
	}
	for (size_t i = 0; i < world->nsenders; i++) {
		free(world->senders[i]);
	}
	for (size_t i = 0; i < world->nqueue; i++) {
		free(world->queue[i].to);
	}
	free(world->senders);
	free(world->queue);
	free(world->relayed);
	free(world);
}

/* Room for one more, at every power of two. */
static void *grown(void *array, size_t n, size_t size)
{
	if (n & (n - 1)) {
		return array;
	}
	array = realloc(array, (n ? 2 * n : 1) * size);
	if (!array) {
		detect_die("no memory");
	}
	return array;
}

/* ---- the site ---- */

static struct span name_of(const struct world *world, size_t account)
{
	return span_str(world->senders[account]->name);
}

static void must(enum store_result result, const char *what)
{
	if (result != STORE_OK) {
		detect_die("%s: %d", what, (int)result);
	}
}

size_t world_account(struct world *world)
{
	const struct account account = { .secret = SPAN_LIT("x") };
	size_t n = world->nsenders;
	struct sender *sender = calloc(1, sizeof *sender);
	if (!sender) {
		detect_die("no memory");
	}
	snprintf(sender->name, sizeof sender->name, "u%zu@example.org", n);
	sender->answer = NEVER;
	sender->figures.theft_at = sender->figures.locked_at = sender->figures.hold_day = -1;
	world->senders = grown(world->senders, n, sizeof(struct sender *));
	world->senders[n] = sender;
	world->nsenders = n + 1;
	must(account_put(world->txn, span_str(sender->name), &account), "account");
	return n;
}

void world_exempt(struct world *world, size_t account)
{
	if (world->rules.nexempt == EXEMPT_MAX) {
		detect_die("too many exempt accounts");
	}
	world->exempt[world->rules.nexempt++] = name_of(world, account);
}

void world_ticket(struct world *world, size_t account, const char *grant)
{
	const char *reason = "";
	struct gate_ticket ticket = { .at = store_now(world->store),
		                      .wall = fake_clock.wall,
		                      .why = SPAN_LIT("announced") };
	if (!budget_limit_parse(span_str(grant), &ticket.grant, &reason)) {
		detect_die("%s %s", grant, reason);
	}
	must(gate_allow(world->txn, name_of(world, account), &ticket), "ticket");
}

void world_defer(struct world *world, size_t account)
{
	must(gate_set_action(world->txn, name_of(world, account), GATE_ACTION_DEFER), "action");
}

void world_declare(struct world *world, uint64_t place, bool familiar, bool shared)
{
	if (world->ndeclared == COUNT(world->declared)) {
		detect_die("too many networks");
	}
	world->declared[world->ndeclared++] = (struct declared){ place, familiar, shared };
}

void world_take_all(struct world *world)
{
	world->take_all = true;
}

void world_be_ill(struct world *world, int64_t from, int64_t to)
{
	world->ill_from = from;
	world->ill_to = to;
}

void world_theft(struct world *world, size_t account, int64_t at)
{
	world->senders[account]->figures.theft_at = at;
}

void world_count_from(struct world *world, int64_t at, bool watch)
{
	world->count_from = at;
	world->watch = watch;
}

const struct world_figures *world_figures(const struct world *world, size_t account)
{
	return &world->senders[account]->figures;
}

uint64_t world_most_within(const struct world *world, int64_t span)
{
	uint64_t sum = 0, most = 0;
	for (size_t last = 0, first = 0; last < world->nrelayed; last++) {
		sum += world->relayed[last].people;
		while (world->relayed[last].at - world->relayed[first].at >= span) {
			sum -= world->relayed[first++].people;
		}
		most = sum > most ? sum : most;
	}
	return most;
}

/* ---- the figures ---- */

static bool is_stolen(const struct sender *sender)
{
	return sender->figures.theft_at >= 0;
}

static void wait_for(struct world *world, int64_t due)
{
	world->first_due = due < world->first_due ? due : world->first_due;
}

static void note_delay(struct world *world, const struct waiting *mail, int64_t delay)
{
	struct world_figures *f = &world->senders[mail->account]->figures;
	if (!mail->thief && mail->accepted >= world->count_from && delay > 0) {
		f->delayed++;
		f->longest = delay > f->longest ? delay : f->longest;
	}
}

/* It is HELD from now on; an honest one until the postmaster answers. */
static void note_held(struct world *world, const struct waiting *mail, int64_t at)
{
	struct sender *sender = world->senders[mail->account];
	struct world_figures *f = &sender->figures;
	if (mail->thief) {
		f->held += people_of(mail->to, mail->n);
	} else {
		note_delay(world, mail, at - mail->accepted + WORLD_ANSWER);
	}
	bool day = f->hold_day != at / DAY;
	if (!is_stolen(sender) && !sender->suspended && day && at >= world->count_from) {
		f->holds++;
		f->hold_day = at / DAY;
	}
}

static void hold_all(struct world *world, size_t account, int64_t at)
{
	for (size_t i = 0; i < world->nqueue; i++) {
		struct waiting *mail = &world->queue[i];
		if (mail->account == account && mail->due != NEVER) {
			mail->due = NEVER;
			note_held(world, mail, at);
		}
	}
}

/* The account was suspended just now. */
static void note_lock(struct world *world, size_t account, int64_t at)
{
	struct sender *sender = world->senders[account];
	struct world_figures *f = &sender->figures;
	sender->suspended = true;
	hold_all(world, account, at);
	if (!is_stolen(sender)) {
		f->locks += at >= world->count_from;
		sender->answer = at + WORLD_ANSWER;
		wait_for(world, sender->answer);
	} else if (f->locked_at < 0) {
		f->locked_at = at;
	}
}

static void note_relayed(struct world *world, const struct waiting *mail, uint64_t people,
                         int64_t at)
{
	struct world_figures *f = &world->senders[mail->account]->figures;
	if (!mail->thief || !people) {
		return;
	}
	f->relayed += f->locked_at < 0 ? people : 0;
	world->relayed = grown(world->relayed, world->nrelayed, sizeof *world->relayed);
	world->relayed[world->nrelayed++] = (struct relayed){ at, people };
}

/* ---- the guard ----
 *
 * What the tariff needs beyond a count of recipients. Until the gate can do it these do nothing
 * and the classic rule alone is judged; each says which call stands here afterwards.
 */

bool world_has_tariff(void)
{
	return false;
}

/* act.contact = familiar_contact of each recipient's text, act.members, act.traps, and
 * act.origin = familiar_network of the network around `mail->place`, with what is declared. */
static void tell_more(struct world *world, const struct world_mail *mail, struct act *act)
{
	(void)world;
	(void)mail;
	(void)act;
}

/* What gate_message says of the time in the queue, for mail that it has taken. */
static int64_t dwell_of(const struct world *world, const struct suspend_result *result)
{
	(void)world;
	(void)result;
	return 0;
}

/* familiar_learn with the recipients that the smarthost took, as server/outcome does it in
 * queue_done; nothing of a suspended account. */
static void learn(struct world *world, const struct waiting *mail, const uint32_t *to, size_t n)
{
	(void)world;
	(void)mail;
	(void)to;
	(void)n;
}

/* gate_learn (or what the charge for refused ones will be called): true when it suspends. */
static bool charge_refused(struct world *world, const struct waiting *mail, const uint32_t *to,
                           size_t n)
{
	(void)world;
	(void)mail;
	(void)to;
	(void)n;
	return false;
}

/* ---- relaying ---- */

static bool is_refused(const struct world *world, uint32_t recipient, int64_t at)
{
	bool dead = kind_of(recipient) == RECIPIENT_DEAD && !world->take_all;
	return dead || (at >= world->ill_from && at < world->ill_to);
}

/* The smarthost's answers: those that it takes come first in `to` afterwards. */
static void relay(struct world *world, const struct waiting *mail, int64_t at)
{
	uint32_t *to = mail->to;
	size_t taken = 0;
	for (size_t i = 0; i < mail->n; i++) {
		if (!is_refused(world, to[i], at)) {
			uint32_t swap = to[taken];
			to[taken++] = to[i];
			to[i] = swap;
		}
	}
	note_relayed(world, mail, people_of(to, taken), at);
	note_delay(world, mail, at - mail->accepted);
	if (world->senders[mail->account]->suspended) {
		return;
	}
	learn(world, mail, to, taken);
	if (taken < mail->n && charge_refused(world, mail, to + taken, mail->n - taken)) {
		note_lock(world, mail->account, at);
	}
}

/* The first that is due by `at`, with `first_due` set anew. */
static size_t find_due(struct world *world, int64_t at)
{
	size_t found = world->nqueue;
	int64_t first = at;
	for (size_t i = 0; i < world->nqueue; i++) {
		if (world->queue[i].due <= first) {
			found = i;
			first = world->queue[i].due;
		}
	}
	return found;
}

static size_t find_answer(const struct world *world, int64_t at)
{
	size_t i = 0;
	while (i < world->nsenders && world->senders[i]->answer > at) {
		i++;
	}
	return i;
}

static void set_first_due(struct world *world)
{
	world->first_due = NEVER;
	for (size_t i = 0; i < world->nqueue; i++) {
		wait_for(world, world->queue[i].due);
	}
	for (size_t i = 0; i < world->nsenders; i++) {
		wait_for(world, world->senders[i]->answer);
	}
}

static void relay_due(struct world *world, size_t i)
{
	struct waiting mail = world->queue[i];
	world->queue[i] = world->queue[--world->nqueue];
	set_clock(mail.due);
	relay(world, &mail, mail.due);
	free(mail.to);
}

/* Held mail of an honest account goes its way; the delay was noted when it was held. */
static void release(struct world *world, size_t account, int64_t at)
{
	for (size_t i = 0; i < world->nqueue; i++) {
		struct waiting *mail = &world->queue[i];
		if (mail->account == account && mail->due == NEVER && !mail->thief) {
			mail->accepted = mail->due = at;
			wait_for(world, at);
		}
	}
}

void world_until(struct world *world, int64_t at)
{
	while (world->first_due <= at) {
		int64_t step = world->first_due;
		size_t i = find_answer(world, step);
		if (i < world->nsenders) {
			world_unlock(world, i, step);
		} else if ((i = find_due(world, step)) < world->nqueue) {
			relay_due(world, i);
		}
		set_first_due(world);
	}
	set_clock(at);
}

/* ---- what happens ---- */

static enum world_verdict verdict_of(enum gate_verdict verdict)
{
	static const enum world_verdict verdicts[] = {
		[GATE_ALLOW] = WORLD_TAKEN,    [GATE_HOLD] = WORLD_KEPT,
		[GATE_DEFER] = WORLD_LATER,    [GATE_FULL] = WORLD_LATER,
		[GATE_SPENT] = WORLD_REFUSED,  [GATE_NEVER] = WORLD_REFUSED,
		[GATE_TRIPPED] = WORLD_LOCKED, [GATE_SUSPENDED] = WORLD_LOCKED,
	};
	if (verdict == GATE_UNKNOWN || verdict == GATE_BROKEN) {
		detect_die("the gate says %d", (int)verdict);
	}
	return verdicts[verdict];
}

static void put_in_queue(struct world *world, const struct world_mail *mail, int64_t accepted,
                         int64_t due)
{
	struct waiting waiting = { mail->account, mail->place, NULL, mail->n,
		                   mail->thief,   accepted,    due };
	waiting.to = malloc(mail->n * sizeof *mail->to);
	if (!waiting.to) {
		detect_die("no memory");
	}
	memcpy(waiting.to, mail->to, mail->n * sizeof *mail->to);
	if (due == accepted) {
		relay(world, &waiting, accepted);
		free(waiting.to);
		return;
	}
	world->queue = grown(world->queue, world->nqueue, sizeof *world->queue);
	world->queue[world->nqueue++] = waiting;
	wait_for(world, due);
}

/* What is kept waits for the postmaster; the delay is noted here. */
static void keep(struct world *world, const struct world_mail *mail, int64_t at)
{
	struct sender *sender = world->senders[mail->account];
	put_in_queue(world, mail, at, NEVER);
	note_held(world, &world->queue[world->nqueue - 1], at);
	if (!is_stolen(sender) && sender->answer == NEVER) {
		sender->answer = at + WORLD_ANSWER;
		wait_for(world, sender->answer);
	}
}

static void follow(struct world *world, const struct world_mail *mail,
                   enum world_verdict verdict, int64_t dwell, int64_t at)
{
	struct sender *sender = world->senders[mail->account];
	switch (verdict) {
	case WORLD_TAKEN:
		put_in_queue(world, mail, at, at + dwell);
		break;
	case WORLD_KEPT:
		keep(world, mail, at);
		break;
	case WORLD_LOCKED:
		if (!sender->suspended) {
			note_lock(world, mail->account, at);
		}
		break;
	default:
		break;
	}
	if (!mail->thief && at >= world->count_from) {
		sender->figures.mails++;
		sender->figures.refused += verdict >= WORLD_REFUSED;
	}
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

enum world_verdict world_send(struct world *world, const struct world_mail *mail, int64_t at)
{
	struct sender *sender = world->senders[mail->account];
	struct suspend_result result = { .incident = 0 };
	char client[FACTS_NETWORK_MAX + 1];
	world_until(world, at);
	begin_again(world);
	if (mail->thief && !is_stolen(sender)) {
		sender->figures.theft_at = at;
	}
	struct act act = {
		.account = name_of(world, mail->account),
		.recipients = (uint32_t)mail->n,
		.client = span_of(client, place_text(mail->place, client)),
		.now = store_now(world->store),
		.wall = fake_clock.wall,
	};
	tell_more(world, mail, &act);
	enum world_verdict verdict = verdict_of(
	    gate_message(world->txn, &world->rules, &act, &result));
	follow(world, mail, verdict, dwell_of(world, &result), at);
	if (world->watch && at >= world->count_from) {
		double use = world_use(world, mail->account, at);
		double *fullest = &sender->figures.fullest;
		*fullest = use > *fullest ? use : *fullest;
	}
	return verdict;
}

void world_unlock(struct world *world, size_t account, int64_t at)
{
	struct sender *sender = world->senders[account];
	struct suspend_result result;
	set_clock(at);
	struct suspend_end end = {
		.account = name_of(world, account),
		.event = STANDING_UNLOCK,
		.by = SPAN_LIT("postmaster@example.org"),
		.how = SPAN_LIT("unlock"),
		.now = store_now(world->store),
		.wall = fake_clock.wall,
	};
	if (sender->suspended) {
		must(suspend_incident_of(world->txn, end.account, &end.incident), "incident");
		must(suspend_apply(world->txn, &world->rules.suspend, &end, &result), "unlock");
	}
	sender->suspended = false;
	sender->answer = NEVER;
	release(world, account, at);
}

double world_use(struct world *world, size_t account, int64_t at)
{
	struct gate_view view;
	double fullest = 0;
	world_until(world, at);
	if (gate_show(world->txn, &world->rules, name_of(world, account),
	              store_now(world->store), &view) != GATE_ALLOW) {
		detect_die("no view of an account");
	}
	for (size_t i = 0; i < view.limits.count; i++) {
		double use = (double)view.spent[i] / view.limits.limit[i].tokens;
		fullest = use > fullest ? use : fullest;
	}
	return fullest;
}
