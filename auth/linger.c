#include "auth/linger.h"

#include <time.h>

#include "store/account.h"
#include "store/journal.h"

#define HOUR         ((int64_t)3600 * 1000)
#define INCIDENT_MAX ((size_t)64 * 1024)
#define TEXT_MAX     ((size_t)2048)

static const int64_t reminders[] = { 24 * HOUR, 72 * HOUR }; /* after it was opened */

static const char *const names[] = {
	[LINGER_NOTHING] = "nothing",
	[LINGER_REMIND] = "incident-reminded",
	[LINGER_WARN] = "held-warned",
	[LINGER_EXPIRE] = "held-expired",
};

const char *linger_name(enum linger_what what)
{
	return names[what];
}

/* ---- what is due ---- */

static uint32_t reminders_due(const struct incident *incident, int64_t now)
{
	uint32_t n = 0;
	while (n < COUNT(reminders) && now - incident->opened_at >= reminders[n]) {
		n++;
	}
	return incident->state == INCIDENT_OPEN ? n : 0;
}

static int64_t lead_of(int64_t lifetime)
{
	return lifetime / 2 < LINGER_LEAD ? lifetime / 2 : LINGER_LEAD;
}

/* A lifetime that was made shorter, or days without us, put the deletion off: the warning is a
 * promise. */
static int64_t expires_at(const struct incident *incident, int64_t lifetime, int64_t warned_at)
{
	int64_t usual = incident->opened_at + lifetime;
	int64_t promised = warned_at + lead_of(lifetime);
	return usual > promised ? usual : promised;
}

enum linger_what linger_due(const struct incident *incident, int64_t lifetime, int64_t now)
{
	bool holds = !incident->cleared && incident->sweep == INCIDENT_SWEPT;
	bool warned = incident->warned_at != 0;
	int64_t warn_at = incident->opened_at + lifetime - lead_of(lifetime);
	const struct {
		bool due;
		enum linger_what what;
	} rows[] = {
		{ reminders_due(incident, now) > incident->reminders, LINGER_REMIND },
		{ holds && !warned && now >= warn_at, LINGER_WARN },
		{ holds && warned && now >= expires_at(incident, lifetime, incident->warned_at),
		  LINGER_EXPIRE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].due) {
			return rows[i].what;
		}
	}
	return LINGER_NOTHING;
}

/* ---- the steps ---- */

struct step {
	struct store_txn *txn;
	const struct linger_rules *rules;
	struct incident incident;
	int64_t now, wall;
};

/* An account that was deleted, or came back under its name, is none of this incident's. Damage
 * ends no suspension. */
static bool is_suspended(const struct step *s)
{
	struct ledger ledger;
	struct standing standing;
	enum store_result result = ledger_get(s->txn, s->incident.account, &ledger);
	if (result == STORE_DAMAGED ||
	    (result == STORE_OK && !standing_unpack(ledger.standing, &standing))) {
		return true;
	}
	return result == STORE_OK && standing.state == STANDING_SUSPENDED &&
	       standing.incident == s->incident.number;
}

/* Days without us are one reminder, not two. */
static void remind(struct step *s)
{
	s->incident.reminders = reminders_due(&s->incident, s->now);
	if (is_suspended(s)) {
		suspend_put_token_notice(s->txn, &s->rules->suspend, QUEUE_NOTICE_REMINDER,
		                         &s->incident, s->now, s->wall);
	}
}

/* Messages that the incident holds, of the first LINGER_COUNTED that are queued. `more_out`:
 * not all were looked at. */
static size_t count_held(const struct step *s, bool *more_out)
{
	const struct incident *incident = &s->incident;
	size_t held = 0, looked = 0;
	uint64_t id = 0;
	while (looked++ < LINGER_COUNTED &&
	       queue_list_next(s->txn, incident->account, id, &id) == STORE_OK) {
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		held += queue_get(s->txn, id, &arena, &entry) == STORE_OK &&
		        entry.state == QUEUE_HELD && entry.incident == incident->number;
		arena_done(&arena);
	}
	*more_out = looked > LINGER_COUNTED;
	return held;
}

static void write_time(int64_t wall, char *text_out, size_t size)
{
	time_t seconds = wall / 1000;
	struct tm tm;
	text_out[0] = '\0';
	if (gmtime_r(&seconds, &tm)) {
		strftime(text_out, size, "%Y-%m-%d %H:%M UTC", &tm);
	}
}

static void put_warning(struct step *s, size_t held, bool more)
{
	char when[64];
	struct buf note = { .cap = TEXT_MAX };
	int64_t left = expires_at(&s->incident, s->rules->held_lifetime, s->now) - s->now;
	write_time(s->wall + left, when, sizeof when);
	buf_printf(&note, "%s%zu message%s of %.*s will be deleted on %s.",
	           more ? "At least " : "", held, held == 1 ? "" : "s",
	           SPAN_ARG(s->incident.account), when);
	suspend_put_notice(s->txn, &s->rules->suspend, QUEUE_NOTICE_EXPIRING,
	                   s->incident.number, buf_span(&note), s->now, s->wall);
	buf_done(&note);
}

/* An incident of old takes no more mail: where there is none, the matter is closed. */
static void warn(struct step *s)
{
	bool more;
	size_t held = count_held(s, &more);
	if (held || more) {
		put_warning(s, held, more);
		s->incident.warned_at = s->now > 0 ? s->now : 1; /* 0 is not yet */
	} else {
		s->incident.cleared = true;
	}
}

static void expire(struct step *s)
{
	struct buf text = { .cap = TEXT_MAX };
	buf_printf(&text, "held mail deleted, case %llu: its time (held_lifetime) is over",
	           (unsigned long long)s->incident.number);
	const struct journal_row row = {
		.kind = JOURNAL_STANDING,
		.at = s->now,
		.wall = s->wall,
		.id = store_next_id(store_txn_store(s->txn)),
		.account = s->incident.account,
		.text = buf_span(&text),
	};
	s->incident.cleared = true;
	s->incident.sweep = INCIDENT_DISCARD;
	s->incident.swept_to = 0;
	journal_put(s->txn, &row);
	buf_done(&text);
}

enum store_result linger_step(struct store_txn *txn, const struct linger_rules *rules,
                              uint64_t number, int64_t now, int64_t wall,
                              enum linger_what *done_out)
{
	static void (*const steps[])(struct step *) = {
		[LINGER_REMIND] = remind,
		[LINGER_WARN] = warn,
		[LINGER_EXPIRE] = expire,
	};
	struct step s = { .txn = txn, .rules = rules, .now = now, .wall = wall };
	struct arena arena;
	enum linger_what what = LINGER_NOTHING;
	arena_init(&arena, INCIDENT_MAX);
	enum store_result result = incident_get(txn, number, &arena, &s.incident);
	if (result == STORE_OK) {
		what = linger_due(&s.incident, rules->held_lifetime, now);
	}
	if (what != LINGER_NOTHING) {
		steps[what](&s);
		result = incident_put(txn, &s.incident);
	}
	if (result == STORE_OK) {
		*done_out = what;
	}
	arena_done(&arena);
	return result;
}
