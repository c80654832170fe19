/*
 * The gate's insides, for the files that are the gate: gate_books.c (what is kept about an
 * account, as read, and put back), gate_site.c (the same of the whole site), gate_judge.c (the
 * verdict), gate.c (what follows from it), gate_tell.c (what is told of what did not) and
 * gate_admin.c (what the admin does). Nobody else includes this.
 */
#ifndef GATEPOST_AUTH_GATE_BOOKS_H
#define GATEPOST_AUTH_GATE_BOOKS_H

#include "auth/gate_limit.h"
#include "auth/gate_watch.h"

#define GATE_BUDGET_MAX 4096 /* four full rings are less than half of it */
#define GATE_FACTS_MAX  1024 /* all places full: about two thirds */
#define GATE_MARKS_MAX  128
#define GATE_TALLY_MAX  1024
#define GATE_TICKET_MAX 512
#define GATE_WATCH_MAX  64

/* What an app password has beside its account's budget. */
struct gate_extra {
	struct budget_limits limits; /* count 0: nothing */
	struct budget budget;        /* fitted to `limits` */
	struct ledger ledger;        /* as read */
};

/* What is kept about one account, read at `now`. */
struct gate_books {
	struct budget_limits limits;
	bool own_limits;
	bool exempt;
	const struct gate_device *device; /* NULL: it is none */
	enum gate_action action;          /* not DEFAULT */
	struct gate_stance stance;
	enum gate_mode mode;       /* of both, at this time; not DEFAULT */
	struct gate_ticket ticket; /* into the map */
	struct gate_marks marks;
	struct gate_watch watch;
	int64_t changed_wall; /* of its secret */
	struct tariff tariff;
	struct tariff_tally tally; /* fitted to `limits`, without plain recipients */
	struct budget budget;      /* fitted to `limits` */
	struct budget strangers;   /* fitted to stranger_limits */
	struct standing standing;
	struct facts facts;
	struct ledger ledger;    /* as read: into the map */
	struct gate_extra extra; /* of the app password by which it acts */
};

/* GATE_ALLOW when `books` is filled in; whatever can not be read is GATE_BROKEN. */
enum gate_verdict gate_books_read(struct store_txn *txn, const struct gate_rules *rules,
                                  struct span name, int64_t now, struct gate_books *books);
/* The same with the budget of the app password by which it acts, if any. */
enum gate_verdict gate_books_read_act(struct store_txn *txn, const struct gate_rules *rules,
                                      const struct act *act, struct gate_books *books);
/* False when it can not be read. */
bool gate_books_read_extra(struct store_txn *txn, struct span account,
                           const struct apppass *apppass, int64_t now,
                           struct gate_extra *extra);

/* Can its rows be read, as they were committed last? Asked in a transaction of its own: in one
 * that writes, damage would be the end of all that it does. */
bool gate_books_can_be_read(struct store_txn *txn, struct span account);
/* Puts back what a message changes of the ledger. */
enum store_result gate_books_put(struct store_txn *txn, struct span account,
                                 struct gate_books *books);
/* The same of an app password's, with so many recipients charged. */
enum store_result gate_books_put_extra(struct store_txn *txn, const struct act *act,
                                       struct gate_extra *extra);

/* ---- gate_site.c: one budget of the whole site, under its key ---- */

struct gate_site {
	struct budget budget; /* fitted */
	struct gate_marks marks;
	struct ledger ledger;
};

/* False when it can not be read. */
bool gate_site_fits(struct store_txn *txn, struct span key, const struct budget_limits *limits,
                    uint32_t price, int64_t now, bool *fits_out);
/* Takes so many tokens for `account`, which is kept for gate_site_tell; none: nothing is
 * written. */
enum store_result gate_site_take(struct store_txn *txn, struct span key,
                                 const struct budget_limits *limits, const struct act *act,
                                 uint32_t price);
/* Notes that this happens to `act`'s account. `many_out`: it does to `many->tokens`
 * accounts or more within its window. */
enum store_result gate_site_note(struct store_txn *txn, struct span key,
                                 const struct budget_limit *many, const struct act *act,
                                 bool *many_out);
/* Tells the postmasters of what happens at the site, once a day, with the accounts that took
 * tokens last. */
enum store_result gate_site_tell(struct store_txn *txn, const struct gate_rules *rules,
                                 struct span key, enum gate_news news, const struct act *act,
                                 const struct budget_limit *limit);

/* ---- gate_judge.c ---- */

/* Why it is not simply allowed. */
enum gate_reason {
	GATE_REASON_BUDGET,
	GATE_REASON_STRANGERS, /* of the account */
	GATE_REASON_SITE,      /* strangers of the whole site */
	GATE_REASON_PROVOKED,  /* by what anybody could bring about */
	GATE_REASON_CROWD,     /* so many others are suspended */
};

struct gate_finding {
	struct gate_books books;
	struct history_head head;
	struct act act;          /* with its past */
	uint32_t count;          /* its recipients, with the members of lists */
	uint32_t allowed;        /* of these, by its ticket */
	uint32_t plain;          /* recipients that are left */
	struct tariff_bill bill; /* of the others */
	uint32_t strangers;      /* the same */
	uint32_t weight;         /* of these: what they take of the windows for strangers */
	uint32_t price;
	enum gate_edge edge;
	enum gate_course course;
	enum gate_reason reason;
	enum gate_verdict verdict;
	enum gate_would would; /* ALLOW, and the account is observed: what it would have been */
};

/* Reads only. */
enum gate_verdict gate_judge(struct store_txn *txn, const struct gate_rules *rules,
                             const struct act *act, struct gate_finding *f);
/* `f` has another bill and price, of what an act that was taken costs beyond that: TRIPPED, or
 * ALLOW (and perhaps what it would have been). Pure. */
enum gate_verdict gate_judge_charge(const struct gate_rules *rules, struct gate_finding *f);
/* Is it from a network that is strange to an account which has a history? */
static inline bool gate_is_strange(const struct act *act)
{
	return act->past.learned && act->past.network == ACT_NETWORK_STRANGE;
}
/* The limit, of `limits`, that `price` more tokens break first; 0 when none does. */
size_t gate_broken_limit(const struct budget *budget, const struct budget_limits *limits,
                         uint32_t price, int64_t now);

/* ---- gate_tell.c: what is told and changes nothing ---- */

/* What there is to tell of a message that was charged. */
struct gate_sight {
	bool would; /* what would have become of it */
	bool near;  /* its account has come near a limit */
};

/* Noted in the books, before they are put back. */
struct gate_sight gate_sight_of(struct gate_finding *f);
/* Behind that: the journal, the day's digest, the owner. */
enum store_result gate_tell(struct store_txn *txn, const struct gate_rules *rules,
                            const struct gate_finding *f, struct gate_sight sight,
                            struct gate_result *result_out);

#endif
