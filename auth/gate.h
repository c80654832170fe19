/*
 * The one door. gate_recipient reads and is a courtesy; gate_message charges, inside the
 * caller's write transaction, in the commit that queues the mail, and is the judge: fifty
 * parallel sessions of one account meet it one after the other. Nothing is reserved, so nothing
 * can leak. It fails closed: what can not be read is GATE_BROKEN, never allowed.
 *
 * An act by an app password is its account's: it is charged there, suspended with it, and stops
 * with it. Limits of the app password's own are a second budget that must fit as well; when
 * only that one is spent nobody is suspended.
 */
#ifndef GATEPOST_AUTH_GATE_H
#define GATEPOST_AUTH_GATE_H

#include "auth/apppass.h"
#include "auth/familiar.h"
#include "auth/suspend.h"
#include "auth/tariff.h"
#include "store/account.h"

/* What happens at the limit. */
enum gate_action {
	GATE_ACTION_SUSPEND,
	GATE_ACTION_DEFER, /* 451 until tokens are back; nobody is suspended */
	GATE_ACTION_HOLD,  /* its mail is kept here, up to one more budget; nobody is, either */
	GATE_ACTION_DEFAULT, /* of a device or an account: as any other */
};

/* Whether what is judged is done, too. */
enum gate_mode {
	GATE_MODE_ENFORCE,
	/* It is only told: nothing is refused, kept, delayed, and nobody suspended, until
	 * GATE_CEILING times the limits are used. */
	GATE_MODE_OBSERVE,
	GATE_MODE_DEFAULT, /* of an account: as any other */
};

#define GATE_CEILING 4u

/* Of an account; DEFAULT: it has none. */
struct gate_stance {
	enum gate_mode mode;
	int64_t until; /* T when it is over; 0: never */
};

/* What would have become of the message of an account that is observed; the worst last. */
enum gate_would {
	GATE_WOULD_PASS, /* it would have been sent */
	GATE_WOULD_WAIT, /* so, but later */
	GATE_WOULD_DEFER,
	GATE_WOULD_HOLD,
	GATE_WOULD_FULL,
	GATE_WOULD_SPENT,
	GATE_WOULD_NEVER,
	GATE_WOULD_BARRED,
	GATE_WOULD_SUSPEND,
	GATE_WOULDS,
};

const char *gate_would_word(enum gate_would would); /* for the log: "suspend" */

/* What the gate itself tells the postmasters: of an account, or of the site, once a day. */
enum gate_news {
	GATE_NEWS_HELD,      /* what goes beyond its limit is kept here */
	GATE_NEWS_STRANGERS, /* so is mail to strangers beyond stranger_limits */
	GATE_NEWS_PROVOKED,  /* its limit is used up by what others can bring about */
	GATE_NEWS_WAITS,     /* mail to strangers from a strange network waits for hours */
	GATE_NEWS_EXEMPT,    /* it is exempt, and sends very much */
	GATE_NEWS_CROWD,     /* many accounts at their limits */
	GATE_NEWS_SITE,      /* many strangers from strange networks, over all accounts */
	GATE_NEWS_ILL,       /* recipients are refused to many accounts at once */
	GATE_NEWS_COUNT,
};

/* The first line of such a notice (server/notice_event). */
const char *gate_news_word(enum gate_news news);

/* A device that can not log in: known by its address, an account all the same. */
struct gate_device {
	struct span account;         /* canonical */
	struct budget_limits limits; /* count 0: as any account */
	enum gate_action action;
};

/* So many recipients beyond the limits, until they are used up or the time is over. */
struct gate_ticket {
	struct budget_limit grant;
	int64_t at;      /* T when it was given; 0: there is none */
	int64_t wall;    /* the same, ms since 1970 */
	struct span why; /* as the admin says */
};

/* From the configuration; borrowed, must live through the call. */
struct gate_rules {
	struct budget_limits limits; /* where an account has none of its own */
	enum gate_action action;     /* the same; not DEFAULT */
	enum gate_mode mode;         /* the same; not DEFAULT */
	/* Most suspensions by budget, over all accounts: beyond them such accounts are held.
	 * One limit, or none. */
	struct budget_limits suspend_max;
	struct tariff tariff; /* where an account has no prices of its own */
	struct tariff_dwell dwell;
	struct familiar_rules familiar;
	/* Strangers written to: by an account; and, from strange networks, by all of them. */
	struct budget_limits stranger_limits;
	struct budget_limits site_strangers; /* one limit, or none */
	const struct gate_device *devices;
	size_t ndevices;
	const struct span *exempt; /* canonical accounts, or patterns with * */
	size_t nexempt;
	struct suspend_rules suspend;
};

enum gate_verdict {
	GATE_ALLOW,
	GATE_SPENT,     /* the budget is used up, and nobody is to be suspended: 550 5.7.1; or
	                   that of its app password is */
	GATE_DEFER,     /* used up, and to be tried again later: 451 4.7.1 */
	GATE_TRIPPED,   /* it is used up: suspended by this very call (gate_recipient: it would
	                   be) */
	GATE_SUSPENDED, /* it is already */
	GATE_HOLD,      /* used up: it is taken, and kept: 250 and HELD */
	GATE_FULL,      /* as much again is kept already: 452 4.7.1 */
	GATE_NEVER,     /* would not fit an empty budget: 550 5.5.3 */
	GATE_BARRED,    /* its network is barred for this account: 550 5.7.1 */
	GATE_UNKNOWN,   /* the account, or the app password, is not there (any more) */
	GATE_BROKEN,    /* account or ledger can not be read: 451 */
};

/* A limit that an act goes beyond. */
struct gate_beyond {
	struct budget_limit limit;
	bool strangers; /* it is one of strangers, not of tokens */
	uint32_t spent; /* of it, before */
	uint32_t asked;
};

/* What comes with a verdict. */
struct gate_result {
	struct suspend_result suspended; /* TRIPPED */
	int64_t dwell;                   /* ALLOW: ms to wait in the queue; 0: at once */
	uint32_t price;                  /* ALLOW, HOLD: tokens that were charged; */
	uint32_t strangers;              /* what it would take of the windows for strangers */
	struct gate_beyond beyond;       /* HOLD */
	enum gate_would would; /* what is to be logged of an account that is observed, at most
	                          one an hour unless it gets worse; PASS: nothing */
	bool told;             /* a notice was queued */
};

/* Does `name` match `pattern`: ASCII case-blind, `*` stands for any run of characters. Linear,
 * no recursion. */
bool gate_pattern_matches(struct span pattern, struct span name);

/* Would this act (the recipients of the transaction so far and this one) be let through? What
 * the history says is filled in, so that the next question need not tell the same contacts. */
enum gate_verdict gate_recipient(struct store_txn *txn, const struct gate_rules *rules,
                                 struct act *act);
/* May it log in and send at all: ALLOW, SUSPENDED (then with the incident), UNKNOWN, BROKEN.
 * `apppass` empty: by its own password. `secret_wall_out` (may be NULL): when that secret was
 * set, ms since 1970; a session that finds another value than at its login is over. */
enum gate_verdict gate_login(struct store_txn *txn, struct span account, struct span apppass,
                             uint64_t *incident_out, int64_t *secret_wall_out);
/* The same question as gate_recipient; when the answer is ALLOW or HOLD it is charged in `txn`,
 * and noted. When it is TRIPPED the account is suspended in `txn`, as one act (auth/suspend.h),
 * and `result_out` says by which incident. NEVER is noted: the third in an hour is TRIPPED. On
 * any other nothing is written. Exempt accounts are charged, too (their use is shown), and
 * always allowed, but for the limits of an app password.
 */
enum gate_verdict gate_message(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct gate_result *result_out);
/* A session saw in gate_recipient that this act does not fit (TRIPPED or NEVER): judged again
 * by the same function, and suspended or noted when that is so; nothing is charged. ALLOW:
 * somebody has made room meanwhile. */
enum gate_verdict gate_trip(struct store_txn *txn, const struct gate_rules *rules,
                            const struct act *act, struct gate_result *result_out);

/* Was mail that is still being relayed, and was accepted then, held by an incident since? It
 * teaches nothing, whether its account is good again or not. Yes, when that can not be told. */
bool gate_was_held(struct store_txn *txn, struct span account, int64_t accepted_at);
/* The smarthost took mail of this account: its recipients are learned. */
enum store_result gate_learn(struct store_txn *txn, const struct gate_rules *rules,
                             const struct familiar_lesson *lesson);
/* It refused recipients as unknown (5.1.x): the strangers among them are charged, and when that
 * breaks the limit of one that has written from a strange network it is suspended (TRIPPED); of
 * another, and beyond suspend_max, its next message is held. Nothing is charged while many
 * accounts are refused at once: then it is the smarthost. `act`: as it was sent, with those
 * recipients. */
enum gate_verdict gate_refused(struct store_txn *txn, const struct gate_rules *rules,
                               const struct act *act, struct gate_result *result_out);
/* The T at which this act will fit, after a DEFER; `now` when that can not be told. */
int64_t gate_when(struct store_txn *txn, const struct gate_rules *rules, const struct act *act);
/* Forgets what was spent, by its app passwords too; ends no suspension, and mends a ledger that
 * can not be read. NOT_FOUND when there is no such account. */
enum store_result gate_reset(struct store_txn *txn, struct span account);
/* Sets the account's own limits; a count of 0 gives back the configured ones. NOT_FOUND as
 * above. */
enum store_result gate_limit(struct store_txn *txn, struct span account,
                             const struct budget_limits *limits);

/* Sets what happens at its limit; DEFAULT gives back what is configured. */
enum store_result gate_set_action(struct store_txn *txn, struct span account,
                                  enum gate_action action);
/* Sets whether it is only observed, and until when; DEFAULT gives back what is configured. */
enum store_result gate_set_mode(struct store_txn *txn, struct span account,
                                const struct gate_stance *stance);
/* Sets where its owner is warned; empty: nowhere. The caller has seen to it that this is not
 * the account itself. */
enum store_result gate_set_recovery(struct store_txn *txn, struct span account,
                                    struct span address);
/* Sets its own prices: those that are not as in tariff_unset; when all are, the configured ones
 * are back. */
enum store_result gate_set_prices(struct store_txn *txn, struct span account,
                                  const struct tariff *prices);
/* Gives it a ticket in place of the one before; one whose `at` is 0 takes that away. */
enum store_result gate_allow(struct store_txn *txn, struct span account,
                             const struct gate_ticket *ticket);

/* What `gatepostctl account show` prints. */
struct gate_view {
	struct budget_limits limits;
	bool own_limits;
	bool exempt;
	const struct gate_device *device; /* of the rules; NULL: it is none */
	enum gate_action action;
	enum gate_mode mode;       /* not DEFAULT */
	bool own_mode;             /* it is the account's */
	int64_t mode_until;        /* T; 0: for good */
	struct span recovery;      /* into the map; empty: none */
	struct gate_ticket ticket; /* the same */
	uint32_t ticket_used;
	uint32_t spent[BUDGET_LIMITS_MAX];
	uint64_t incident; /* by which it is suspended; 0 = good */
};
enum gate_verdict gate_show(struct store_txn *txn, const struct gate_rules *rules,
                            struct span account, int64_t now, struct gate_view *view_out);
/* How many accounts are observed by a mode of their own. */
size_t gate_count_observed(struct store_txn *txn, int64_t now);
/* What an app password has spent of each of its own limits; false when that can not be read. */
bool gate_show_apppass(struct store_txn *txn, struct span account,
                       const struct apppass *apppass, int64_t now,
                       uint32_t spent_out[BUDGET_LIMITS_MAX]);

#endif
