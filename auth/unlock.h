/*
 * Tokens bound to one incident: derive, check, redeem; who may answer. A token is 128 bits of
 * HMAC-SHA256(secret, account | incident) in lower-case base32, 26 characters, read in any
 * case; it is compared in constant time, works once, and for 14 days. Nothing of it is stored.
 */
#ifndef GATEPOST_AUTH_UNLOCK_H
#define GATEPOST_AUTH_UNLOCK_H

#include "auth/secret.h"
#include "auth/suspend.h"
#include "proto/orders.h"

#define UNLOCK_TOKEN_LEN      26
#define UNLOCK_LIFETIME       ((int64_t)14 * 24 * 3600 * 1000)
#define UNLOCK_COMPLAINT_SPAN ((int64_t)3600 * 1000) /* one such notice an hour */
#define UNLOCK_IGNORED_MAX    100

void unlock_token(const struct secret_key *key, struct span account, uint64_t incident,
                  char token_out[UNLOCK_TOKEN_LEN + 1]);

/* The same of a drill (auth/drill): with a label of its own it is the token of no incident. */
void unlock_drill_token(const struct secret_key *key, int64_t sent_at,
                        char token_out[UNLOCK_TOKEN_LEN + 1]);

struct unlock_rules {
	struct suspend_rules suspend;
	const struct span *may_unlock; /* logins and addresses, patterns with *; the postmasters
	                                  are always in it */
	size_t nmay_unlock;
	bool word_required; /* other text than a word does nothing */
	struct secret_key key;
};

/* An answer as it came. */
struct unlock_answer {
	struct orders_tag tag;
	enum orders_kind kind;
	enum order order;
	struct span login;  /* who submitted it; empty at the reply listener */
	struct span sender; /* there: the envelope sender */
	struct span from;   /* there: the one header From; empty when there is none */
	int64_t now, wall;
	struct span way, client; /* how, and from where it came: for the report of a drill */
};

enum unlock_verdict {
	UNLOCK_DONE,  /* carried out, NO included */
	UNLOCK_WRONG, /* no such incident, or a wrong token: nothing is written, nobody told */
	UNLOCK_MACHINE,  /* an auto-reply with a right token: journaled, nobody is told */
	UNLOCK_STRANGER, /* not one who may */
	UNLOCK_SELF,     /* the suspended account itself */
	UNLOCK_SPENT,    /* used, or ended by hand, or the account is gone */
	UNLOCK_EXPIRED,
	UNLOCK_OFF,     /* too many suspensions in a day: the command line only unlocks */
	UNLOCK_NO_WORD, /* word_required, and there was none */
	UNLOCK_FAILED,  /* the store; sticky in `txn` */
	UNLOCK_VERDICTS,
};

/* For log and journal: "done", "wrong token" ... */
const char *unlock_verdict_name(enum unlock_verdict verdict);
/* For people: "it came from nobody in may_unlock ..."; NULL when they are not told. */
const char *unlock_verdict_complaint(enum unlock_verdict verdict);

/* What an answer to `incident` comes to, its token being right: pure. `present`: by which its
 * account is suspended now. */
enum unlock_verdict unlock_judge(const struct unlock_rules *rules,
                                 const struct unlock_answer *answer,
                                 const struct incident *incident, uint64_t present);
/* What an order does. */
enum standing_event unlock_event(enum order order);
/* Who gave the answer, for people; points into rules or answer. */
struct span unlock_giver(const struct unlock_rules *rules, const struct unlock_answer *answer);
/* In the same time whatever is wrong with it. */
bool unlock_token_is(const char want[UNLOCK_TOKEN_LEN + 1], struct span token);

/*
 * The whole of it in the caller's write transaction: check, carry out, confirm; or, with a
 * right token that changed nothing (STRANGER, SELF, SPENT, EXPIRED, OFF, NO_WORD), a notice to
 * the postmasters, at most one an incident an hour. What is carried out is journaled, and of
 * what did not count with a right token the first UNLOCK_IGNORED_MAX an incident: a harvested
 * address does not fill the store. `result_out` is for DONE only.
 */
enum unlock_verdict unlock_redeem(struct store_txn *txn, const struct unlock_rules *rules,
                                  const struct unlock_answer *answer,
                                  struct suspend_result *result_out);

#endif
