#include "auth/unlock.h"

#include "auth/gate.h"
#include "store/journal.h"

#include <assert.h>

#define TOKEN_BITS   128
#define INCIDENT_MAX ((size_t)64 * 1024)
#define NOTE_MAX     ((size_t)4096)

/* ---- tokens ---- */

static void derive(const struct secret_key *key, const struct span label[2], uint64_t of,
                   char token_out[UNLOCK_TOKEN_LEN + 1])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 */
	unsigned char digest[SECRET_BYTES];
	unsigned char number[8];
	for (size_t i = 0; i < sizeof number; i++) {
		number[i] = (unsigned char)(of >> (8 * i) & 0xff);
	}
	const struct span parts[] = { label[0], label[1], span_of(number, sizeof number) };
	secret_hmac(key, parts, COUNT(parts), digest);
	for (size_t i = 0; i < UNLOCK_TOKEN_LEN; i++) {
		unsigned letter = 0;
		for (size_t bit = i * 5; bit < i * 5 + 5; bit++) {
			bool set = bit < TOKEN_BITS && digest[bit / 8] >> (7 - bit % 8) & 1;
			letter = letter << 1 | set;
		}
		token_out[i] = alphabet[letter];
	}
	token_out[UNLOCK_TOKEN_LEN] = '\0';
	secret_cleanse(digest, sizeof digest);
}

void unlock_token(const struct secret_key *key, struct span account, uint64_t incident,
                  char token_out[UNLOCK_TOKEN_LEN + 1])
{
	const struct span label[] = { SPAN_LIT("unlock token"), account };
	derive(key, label, incident, token_out);
}

void unlock_drill_token(const struct secret_key *key, int64_t sent_at,
                        char token_out[UNLOCK_TOKEN_LEN + 1])
{
	const struct span label[] = { SPAN_LIT("drill token"), SPAN_NONE };
	derive(key, label, (uint64_t)sent_at, token_out);
}

bool unlock_token_is(const char want[UNLOCK_TOKEN_LEN + 1], struct span token)
{
	char got[UNLOCK_TOKEN_LEN] = { 0 };
	for (size_t i = 0; i < UNLOCK_TOKEN_LEN && i < token.len; i++) {
		got[i] = span_lower(token.ptr[i]);
	}
	return secret_equal(want, got, sizeof got) && token.len == UNLOCK_TOKEN_LEN;
}

static bool is_right(const struct secret_key *key, const struct incident *incident,
                     struct span token)
{
	char want[UNLOCK_TOKEN_LEN + 1];
	unlock_token(key, incident->account, incident->number, want);
	bool right = unlock_token_is(want, token);
	secret_cleanse(want, sizeof want);
	return right;
}

/* ---- who ---- */

/* What an answer says of its giver: a login was proved, and then nothing else counts; at the
 * listener either address will do. */
struct givers {
	struct span name[2];
	size_t n;
};

static struct givers givers_of(const struct unlock_answer *answer)
{
	if (answer->login.len) {
		return (struct givers){ { answer->login }, 1 };
	}
	return (struct givers){ { answer->sender, answer->from }, 2 };
}

/* "alice+tag@example.org" is alice's, too. */
static bool is_of(struct span address, struct span account)
{
	size_t at = span_find(address, '@');
	size_t plus = span_find(address, '+');
	struct span name = span_first(address, plus > 0 && plus < at ? plus : at);
	size_t own = span_find(account, '@');
	return span_eq_nocase(address, account) ||
	       (span_eq_nocase(name, span_first(account, own)) &&
	        span_eq_nocase(span_from(address, at), span_from(account, own)));
}

static bool is_self(const struct unlock_answer *answer, struct span account)
{
	struct givers givers = givers_of(answer);
	for (size_t i = 0; i < givers.n; i++) {
		if (is_of(givers.name[i], account)) {
			return true;
		}
	}
	return false;
}

/* A postmaster is an address, in which a * is only a letter. */
static bool is_listed(const struct unlock_rules *rules, struct span name)
{
	const struct suspend_rules *suspend = &rules->suspend;
	for (size_t i = 0; i < suspend->npostmaster; i++) {
		if (span_eq_nocase(suspend->postmaster[i], name)) {
			return true;
		}
	}
	for (size_t i = 0; i < rules->nmay_unlock; i++) {
		if (gate_pattern_matches(rules->may_unlock[i], name)) {
			return true;
		}
	}
	return false;
}

/* The one of them who may; else empty. */
static struct span who_may(const struct unlock_rules *rules, const struct unlock_answer *answer)
{
	struct givers givers = givers_of(answer);
	for (size_t i = 0; i < givers.n; i++) {
		if (givers.name[i].len && is_listed(rules, givers.name[i])) {
			return givers.name[i];
		}
	}
	return SPAN_NONE;
}

struct redeeming {
	const struct unlock_rules *rules;
	const struct unlock_answer *answer;
	struct incident incident;
	uint64_t present; /* by which its account is suspended now; 0 = good */
	struct span by;   /* who gave the answer, for people */
};

struct span unlock_giver(const struct unlock_rules *rules, const struct unlock_answer *answer)
{
	const struct span names[] = { who_may(rules, answer), answer->login, answer->from,
		                      answer->sender };
	for (size_t i = 0; i < COUNT(names); i++) {
		if (names[i].len) {
			return names[i];
		}
	}
	return SPAN_LIT("somebody");
}

/* ---- what an order does ---- */

#define GOOD_AGAIN "The account may send again. "

struct deed {
	enum standing_event event;
	const char *note;
	bool stays; /* the held mail: then it is said what to do with it */
};

static const struct deed orders[] = {
	[ORDER_UNLOCK] = { STANDING_UNLOCK, GOOD_AGAIN "Its held mail is on its way.", false },
	[ORDER_EMPTY] = { STANDING_UNLOCK, GOOD_AGAIN "Its held mail is on its way.", false },
	[ORDER_KEEP] = { STANDING_KEEP, GOOD_AGAIN "Its held mail stays held:", true },
	[ORDER_OTHER] = { STANDING_KEEP,
	                  GOOD_AGAIN "What is to become of its held mail was not said, so it "
	                             "stays held:",
	                  true },
	[ORDER_DISCARD] = { STANDING_DISCARD, GOOD_AGAIN "Its held mail is deleted.", false },
	[ORDER_SPAM] = { STANDING_SPAM,
	                 "Its held mail is deleted. The account stays suspended; another "
	                 "answer "
	                 "to the same notice can end that.",
	                 false },
	[ORDER_NO] = { STANDING_NOTHING,
	               "Nothing was changed: the account stays suspended, its held mail stays "
	               "held. Another answer to the same notice can end that.",
	               false },
	[ORDER_UNREADABLE] = { STANDING_KEEP,
	                       GOOD_AGAIN "The text of the answer could not be read, so its "
	                                  "held mail stays held:",
	                       true },
	[ORDER_RELEASE] = { STANDING_UNLOCK, GOOD_AGAIN "Its held mail is on its way.", false },
};

/* What UNLOCK does when the bill has prices that only a strange network has: who says that the
 * account may send again has not yet looked at what a thief may have left here. */
static const struct deed guarded = { STANDING_KEEP,
	                             GOOD_AGAIN "It had sent from networks that are not "
	                                        "familiar, so its held mail, which only "
	                                        "RELEASE sends, stays held:",
	                             true };

/* A new order grows the table by a row of its own: STANDING_TRIP, 0, is nobody's order. */
static_assert(COUNT(orders) == ORDERS && ORDERS == 9, "each order has its event");

enum standing_event unlock_event(enum order order)
{
	return orders[order].event;
}

static const struct deed *deed_of(const struct incident *incident, enum order order)
{
	struct bill bill;
	bool strange = bill_unpack(incident->reasons, &bill) && bill_is_strange(&bill);
	return strange && (order == ORDER_UNLOCK || order == ORDER_EMPTY) ? &guarded
	                                                                  : &orders[order];
}

/* ---- judging ---- */

/* The table of what an answer must not be; the first that it is names it. */
enum unlock_verdict unlock_judge(const struct unlock_rules *rules,
                                 const struct unlock_answer *answer,
                                 const struct incident *incident, uint64_t present)
{
	bool word = order_is_word(answer->order);
	bool open = incident->state == INCIDENT_OPEN && present == incident->number;
	bool ends = standing_effect(STANDING_SUSPENDED, unlock_event(answer->order)).ends;
	const struct {
		bool fault;
		enum unlock_verdict verdict;
	} checks[] = {
		{ answer->kind == ORDERS_MACHINE, UNLOCK_MACHINE },
		{ is_self(answer, incident->account), UNLOCK_SELF },
		{ !who_may(rules, answer).len, UNLOCK_STRANGER },
		{ !open, UNLOCK_SPENT },
		{ incident->reply_off && ends, UNLOCK_OFF },
		{ answer->now - incident->opened_at >= UNLOCK_LIFETIME, UNLOCK_EXPIRED },
		{ rules->word_required && !word, UNLOCK_NO_WORD },
	};
	for (size_t i = 0; i < COUNT(checks); i++) {
		if (checks[i].fault) {
			return checks[i].verdict;
		}
	}
	return UNLOCK_DONE;
}

/* ---- carrying out ---- */

static void write_note(const struct redeeming *r, struct buf *out)
{
	enum order order = r->answer->order;
	struct span account = r->incident.account;
	const struct deed *deed = deed_of(&r->incident, order);
	buf_printf(out, "%.*s has answered (%s). %s", SPAN_ARG(r->by), order_name(order),
	           deed->note);
	if (deed->stays) {
		buf_printf(out,
		           " 'gatepostctl queue release %.*s' sends it, "
		           "'gatepostctl queue discard %.*s' deletes it.",
		           SPAN_ARG(account), SPAN_ARG(account));
	}
}

static enum unlock_verdict carry_out(struct store_txn *txn, const struct redeeming *r,
                                     struct suspend_result *result_out)
{
	const struct unlock_answer *answer = r->answer;
	struct buf note = { .cap = NOTE_MAX };
	write_note(r, &note);
	const struct suspend_end end = {
		.account = r->incident.account,
		.incident = r->incident.number,
		.event = deed_of(&r->incident, answer->order)->event,
		.by = r->by,
		.how = span_str(order_name(answer->order)),
		.note = buf_span(&note),
		.now = answer->now,
		.wall = answer->wall,
	};
	enum store_result result = suspend_apply(txn, &r->rules->suspend, &end, result_out);
	buf_done(&note);
	return result == STORE_OK ? UNLOCK_DONE : UNLOCK_FAILED;
}

/* ---- what does not count ---- */

static const struct {
	const char *name;
	const char *complaint; /* for the postmasters; NULL: none is sent */
	bool by_hand;          /* the command may help */
} verdicts[] = {
	[UNLOCK_DONE] = { "done", NULL, false },
	[UNLOCK_WRONG] = { "wrong token", NULL, false },
	[UNLOCK_MACHINE] = { "machine mail", NULL, false },
	[UNLOCK_STRANGER] = { "may not unlock",
	                      "it came from nobody in may_unlock or postmaster", true },
	[UNLOCK_SELF] = { "the suspended account itself",
	                  "it came from the suspended account itself", true },
	[UNLOCK_SPENT] = { "used already", "this case is closed already", false },
	[UNLOCK_EXPIRED] = { "expired", "the notice is older than 14 days", true },
	[UNLOCK_OFF] = { "too many suspensions",
	                 "it is the account's second suspension within a day: an answer may "
	                 "stop it (SPAM, NO), but not unlock it",
	                 true },
	[UNLOCK_NO_WORD] = { "without a word",
	                     "it begins with none of the words, and unlock_word = required",
	                     true },
	[UNLOCK_FAILED] = { "store failed", NULL, false },
};

static_assert(COUNT(verdicts) == UNLOCK_VERDICTS, "each verdict has its name");

const char *unlock_verdict_name(enum unlock_verdict verdict)
{
	return verdicts[verdict].name;
}

const char *unlock_verdict_complaint(enum unlock_verdict verdict)
{
	return verdicts[verdict].complaint;
}

static void put_complaint(struct store_txn *txn, const struct redeeming *r,
                          enum unlock_verdict verdict)
{
	const struct incident *incident = &r->incident;
	struct buf note = { .cap = NOTE_MAX };
	buf_printf(&note, "An answer to case %llu by %.*s did not count: %s.",
	           (unsigned long long)incident->number, SPAN_ARG(r->by),
	           verdicts[verdict].complaint);
	if (verdicts[verdict].by_hand) {
		buf_printf(&note, " 'gatepostctl account unlock %.*s' ends the suspension.",
		           SPAN_ARG(incident->account));
	}
	suspend_put_notice(txn, &r->rules->suspend, QUEUE_NOTICE_IGNORED, incident->number,
	                   buf_span(&note), r->answer->now, r->answer->wall);
	buf_done(&note);
}

static void put_journal(struct store_txn *txn, const struct redeeming *r,
                        enum unlock_verdict verdict)
{
	const struct unlock_answer *answer = r->answer;
	struct buf text = { .cap = NOTE_MAX };
	buf_printf(&text, "answer ignored, case %llu, by %.*s: %s",
	           (unsigned long long)r->incident.number, SPAN_ARG(r->by),
	           verdicts[verdict].name);
	const struct journal_row row = {
		.kind = JOURNAL_STANDING,
		.at = answer->now,
		.wall = answer->wall,
		.id = store_next_id(store_txn_store(txn)),
		.account = r->incident.account,
		.sender = answer->sender,
		.text = buf_span(&text),
	};
	journal_put(txn, &row);
	buf_done(&text);
}

static enum unlock_verdict ignore(struct store_txn *txn, struct redeeming *r,
                                  enum unlock_verdict verdict)
{
	struct incident *incident = &r->incident;
	int64_t now = r->answer->now;
	bool journals = incident->ignored < UNLOCK_IGNORED_MAX;
	bool complains = verdicts[verdict].complaint &&
	                 (incident->complained_at == 0 ||
	                  now - incident->complained_at >= UNLOCK_COMPLAINT_SPAN);
	if (journals) {
		put_journal(txn, r, verdict);
		incident->ignored++;
	}
	if (complains) {
		put_complaint(txn, r, verdict);
		incident->complained_at = now > 0 ? now : 1; /* 0 is none */
	}
	if (journals || complains) {
		incident_put(txn, incident);
	}
	return store_txn_result(txn) == STORE_OK ? verdict : UNLOCK_FAILED;
}

/* ---- the whole ---- */

/* One that does not exist has a token, too: looking for it takes as long. An incident that can
 * not be read has no right answer. */
static bool read_incident(struct store_txn *txn, struct redeeming *r, struct arena *arena)
{
	uint64_t number = r->answer->tag.incident;
	bool found = incident_get(txn, number, arena, &r->incident) == STORE_OK;
	if (!found) {
		r->incident = (struct incident){ .number = number,
			                         .account = SPAN_LIT("nobody@example.org") };
	}
	return is_right(&r->rules->key, &r->incident, r->answer->tag.token) && found;
}

enum unlock_verdict unlock_redeem(struct store_txn *txn, const struct unlock_rules *rules,
                                  const struct unlock_answer *answer,
                                  struct suspend_result *result_out)
{
	struct redeeming r = { .rules = rules, .answer = answer };
	enum unlock_verdict verdict = UNLOCK_WRONG;
	struct arena arena;
	arena_init(&arena, INCIDENT_MAX);
	if (read_incident(txn, &r, &arena)) {
		/* When this fails it is sticky. */
		suspend_incident_of(txn, r.incident.account, &r.present);
		r.by = unlock_giver(rules, answer);
		verdict = unlock_judge(rules, answer, &r.incident, r.present);
		verdict = verdict == UNLOCK_DONE ? carry_out(txn, &r, result_out)
		                                 : ignore(txn, &r, verdict);
	}
	arena_done(&arena);
	return store_txn_result(txn) == STORE_OK ? verdict : UNLOCK_FAILED;
}
