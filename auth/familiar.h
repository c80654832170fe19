/*
 * What an account's history says of an act, and what is learned from it: who is a stranger, and
 * which networks are ripe. A network is ripe for an account when it was used on three days that
 * span a week, each with mail to a recipient known before the network first appeared: a probe
 * mail at 23:58 buys nothing. Learned from what the smarthost took, never from mail of a
 * suspended account; a suspension unlearns the unripe networks and what was written to from
 * nowhere else, and may bar networks until the password changes.
 *
 * As long as there is no history to charge by, nothing is older than a network: then each mail
 * counts. Later the recipient must be known from a ripe network, too, else two strange ones
 * could ripen each other.
 *
 * All reads and writes are in the caller's transaction; what can not be read is an error of
 * this account's alone (DAMAGED, which marks no transaction), and the gate fails closed on it.
 */
#ifndef GATEPOST_AUTH_FAMILIAR_H
#define GATEPOST_AUTH_FAMILIAR_H

#include "auth/act.h"
#include "auth/secret.h"
#include "proto/network.h"
#include "store/history.h"

#define FAMILIAR_DAY       ((int64_t)24 * 3600 * 1000)
#define FAMILIAR_MONTH     (30 * FAMILIAR_DAY)
#define FAMILIAR_RIPE_DAYS 3  /* with such mail */
#define FAMILIAR_RIPE_SPAN 7  /* days from the first to the last of them */
#define FAMILIAR_AGE       28 /* days, and */
#define FAMILIAR_CONTACTS  50 /* contacts ever learned: then surcharges apply */
#define FAMILIAR_FREE      10 /* known recipients a day from a strange network */
/* New contacts a day: a thief's must not become the account's own. From where it always is
 * there may be more, or an invoice run to 800 customers would be one to strangers for months.
 */
#define FAMILIAR_LEARN_MAX  200
#define FAMILIAR_LEARN_RIPE 1000
#define FAMILIAR_BAR_MAX \
	32 /* networks; if there are more, all that are not ripe are barred \
	    */

/* From the configuration; borrowed. */
struct familiar_rules {
	bool off;     /* nothing is looked up, nothing learned */
	int64_t keep; /* ms: a contact or network that is unused for longer is forgotten;
	                 contacts by months. 0, or more than 20 years: never */
	unsigned shared_from; /* a network that is ripe for so many accounts is a shared one; at
	                         most HISTORY_SHARERS_MAX. 0: none is */
};

/* ---- digests: SipHash under keys derived from `key`; any thread ---- */

/* The recipient is in its canonical form (address_key). Never 0. */
uint64_t familiar_contact(const struct secret_key *key, struct span account,
                          struct span recipient);
/* The same for all accounts. Never 0. */
uint64_t familiar_network(const struct secret_key *key, const struct network *network);
uint64_t familiar_as(const struct secret_key *key, uint32_t number);

/* ---- an act ---- */

/*
 * Fills in act->past: what it says of strangers goes on from what is there (`contact` is of
 * those that were not counted yet), all else is told anew. `learned` says whether there is
 * history enough to charge by; the rest is told in any case. A shared network is never ripe,
 * whatever the account did from it; a declared familiar one always is. `changed_wall`: when the
 * account's secret was set. `head_out` (may be NULL) is for familiar_note. Reads only.
 */
enum store_result familiar_look(struct store_txn *txn, const struct familiar_rules *rules,
                                int64_t changed_wall, struct act *act,
                                struct history_head *head_out);
/* Is its network declared, or familiar to this very account? One that is shared because others
 * use it may not be. Of an act that familiar_look has filled in. */
bool familiar_is_own(const struct act *act, const struct history_head *head);
/* In the commit that takes the act (never for one that is refused, but for the one that
 * suspends): its network was used, and so many known recipients written to. Writes only where
 * a bit changes, for a ripe network nothing. */
enum store_result familiar_note(struct store_txn *txn, const struct familiar_rules *rules,
                                const struct act *act, struct history_head *head);

/* ---- learning ---- */

/* The smarthost took mail of this account to these. Not for a suspended account, nor for mail
 * that an incident held. */
struct familiar_lesson {
	struct span account;
	const uint64_t *contact;
	size_t n;
	struct origin origin; /* as it was when the mail was accepted, */
	int64_t now;          /* T of that: mail that waits in the queue is used on one day */
};
/* Writes only where a bit changes: a known contact is written once a month, a ripe network's
 * use once a day. From a network that was met but is not there any more (it was unlearned), or
 * is barred, nothing new is learned. */
enum store_result familiar_learn(struct store_txn *txn, const struct familiar_rules *rules,
                                 const struct familiar_lesson *lesson);
/* Deletes what is unused for longer than `keep`; `any_out` says whether anything was. Now and
 * then, for each account of which something is kept (server/forget). */
enum store_result familiar_forget(struct store_txn *txn, const struct familiar_rules *rules,
                                  struct span account, int64_t now, bool *any_out);

/* ---- a suspension, in its own commit ---- */

/* Unlearns the unripe networks, and the contacts that were written to only from unripe ones.
 * With `bar` (the bill holds surcharges) those networks that were used in the last 24 hours
 * stay barred for the account until its secret is another one. */
enum store_result familiar_unlearn(struct store_txn *txn, struct span account, bool bar,
                                   int64_t now);

/* ---- for the admin ---- */

/* Contacts from the site's logs, as if learned long ago; it counts as a history from then on.
 */
enum store_result familiar_import(struct store_txn *txn, struct span account,
                                  const uint64_t *contact, size_t n, int64_t now);

struct familiar_view {
	bool learned, imported;
	uint32_t contacts;
	int64_t born_at; /* T; 0: nothing is known */
	unsigned networks, ripe, barred;
	bool barred_rest; /* all others that are not ripe, too */
	uint64_t bytes;
};
/* Opens the bars of an account without a new password; its barred networks begin anew.
 * NOT_FOUND when there are none. */
enum store_result familiar_unbar(struct store_txn *txn, struct span account);

/* What is kept of one network of an account. */
struct familiar_network_view {
	bool known;    /* else: nothing */
	unsigned days; /* of T, since it was first met */
	bool ripe, barred;
};
/* Bars that are older than the account's secret are void. */
enum store_result familiar_show_network(struct store_txn *txn, struct span account,
                                        uint64_t network, int64_t now,
                                        struct familiar_network_view *view_out);

/* Of bars, those that are recorded: a password that was changed since voids them. */
enum store_result familiar_show(struct store_txn *txn, const struct familiar_rules *rules,
                                struct span account, int64_t now,
                                struct familiar_view *view_out);

#endif
