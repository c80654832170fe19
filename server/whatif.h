/*
 * Past mail in memory, for gatepostctl what-if: gathered in any order, sorted, walked as
 * messages in the order of time, and searched for the highest use of any span of time. Reads no
 * file and judges nothing: server/whatif_read and server/whatif_replay do.
 */
#ifndef GATEPOST_SERVER_WHATIF_H
#define GATEPOST_SERVER_WHATIF_H

#include "auth/budget.h"
#include "auth/secret.h"
#include "proto/error.h"
#include "proto/maillog.h"
#include "proto/names.h"

#define WHATIF_MAX ((size_t)20 * 1000 * 1000) /* recipients; they take about 50 bytes each */

struct whatif_mail {
	int64_t at;               /* ms since 1970 */
	uint32_t account, client; /* numbers of names */
	uint32_t first, n;        /* its contacts; the highest bit of `n`: it is a row */
	uint32_t rest;            /* more recipients, who are not known */
	/* Tokens, however many there were to spend, and strangers among its recipients: once it
	 * was judged; of a message of rows in its first. */
	uint32_t price, strangers;
};

struct whatif {
	struct secret_key key; /* of its digests */
	struct span domain;    /* of accounts that are logged without one; may be empty */
	size_t max;            /* WHATIF_MAX, but for tests */
	struct names accounts, clients;
	struct whatif_mail *mail;
	size_t nmails, mail_room;
	uint64_t *contact; /* digests */
	size_t ncontacts, contact_room;
	uint64_t unusable; /* events whose account is no name of one */
};

/* Takes one event, its time in UTC. False with a sentence: too many, or no memory. */
bool whatif_add(struct whatif *w, const struct maillog_event *event, struct error *error);
/* By time; then whatif_next may be called. False without memory. */
bool whatif_sort(struct whatif *w);

/* One message, as the gate wants it. */
struct whatif_message {
	size_t mail; /* number of its first whatif_mail */
	int64_t at;
	struct span account, client;
	const uint64_t *contact; /* each once; valid until the next call */
	size_t ncontacts;
	uint32_t recipients; /* with those who are not known */
};
/* The message at `*at`, which is moved behind it (0 at first); false at the end. It sorts its
 * contacts where they lie. */
bool whatif_next(struct whatif *w, size_t *at, struct whatif_message *message_out);

/* By account, then by time: the end of whatif_next. */
void whatif_sort_accounts(struct whatif *w);
/* One account's mail, behind whatif_sort_accounts. */
struct whatif_use {
	uint32_t account;
	uint64_t messages, recipients;
	uint32_t largest; /* message, in recipients */
	/* Most tokens that a limit of each window would have had to have, and most strangers.
	 */
	uint64_t most[BUDGET_LIMITS_MAX], strangers[BUDGET_LIMITS_MAX];
};
struct whatif_windows {
	struct budget_limits limits, strangers;
	uint64_t whole; /* an empty budget: a message whose recipients fit is no dearer */
};
/*
 * The highest use of each window, for the account at `*at`, which is moved to the next.
 * A token is back one window later, or up to a sixtieth of it more (auth/budget): that much is
 * added to the window, so that a limit of so many tokens would never have been broken, wherever
 * the slots had begun.
 */
bool whatif_use_next(const struct whatif *w, const struct whatif_windows *windows, size_t *at,
                     struct whatif_use *use_out);
/* NULL is accepted. */
void whatif_done(struct whatif *w);

#endif
