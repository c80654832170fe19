/*
 * The tariff: THE table of prices. A row has a name, a meaning, a default price in tokens, and
 * a function that says to how many recipients of an act it applies. Pure: act in, bill out.
 * With all surcharges 0 Gatepost is exactly the classic rule; so it is for an account without a
 * history.
 */
#ifndef GATEPOST_AUTH_TARIFF_H
#define GATEPOST_AUTH_TARIFF_H

#include "auth/act.h"
#include "auth/budget.h"

/* Their numbers are in stored rows: new ones come last. */
enum tariff_row {
	TARIFF_RECIPIENT,       /* "recipient": each one */
	TARIFF_MEMBER,          /* "list-member": of a list, beyond the one recipient */
	TARIFF_STRANGER,        /* "stranger": never written to before */
	TARIFF_STRANGE_NETWORK, /* "strange-network": a stranger, from a network that is not
	                           ripe */
	TARIFF_BEYOND, /* "strange-known": a known one, from such a network, after ten a day */
	TARIFF_NEW_NETWORK, /* "new-network": once for each network, within 24 hours */
	TARIFF_SHARED,      /* "shared-network": a stranger, from a network that many use */
	TARIFF_COUNTRY,     /* "country": once for a country, within 24 hours */
	TARIFF_REFUSED,     /* "refused": a stranger that the smarthost then refused (5.1.x) */
	TARIFF_TRAP,        /* "trap": an address that the admin planted */
	TARIFF_ROWS,
};

struct tariff {
	uint32_t price[TARIFF_ROWS];
};

/* How often each row is to be paid, and nothing about prices. */
struct tariff_bill {
	uint32_t count[TARIFF_ROWS];
};

const char *tariff_name(enum tariff_row row);    /* "strange-network" */
const char *tariff_meaning(enum tariff_row row); /* for people: "strangers, written to ..." */
/* The defaults, with the reasons in tariff.c. */
struct tariff tariff_default(void);
/* All surcharges 0. */
struct tariff tariff_classic(void);
/* Are they? */
bool tariff_is_classic(const struct tariff *tariff);

#define TARIFF_PRICE_MAX 10000u

/* "stranger=5" into `tariff`; false, `tariff` untouched, with a reason (static text). 0 to
 * TARIFF_PRICE_MAX; "recipient" has no price of its own: it is 1. */
bool tariff_parse(struct span text, struct tariff *tariff, const char **reason_out);
/* What an account's own prices are before any is given: none is. */
struct tariff tariff_unset(void);
/* Packed, where it differs from `base`; nowhere: an empty row. An account's own prices are
 * those that differ from tariff_unset, so that one that is given stays when the site's change.
 */
void tariff_pack(const struct tariff *tariff, const struct tariff *base, struct buf *out);
/* Over what is there. False, `tariff` untouched, for a row that makes no sense. */
bool tariff_unpack(struct span row, struct tariff *tariff);

/* The bill of an act (`past` filled in). Never REFUSED: that is charged later. */
struct tariff_bill tariff_bill(const struct act *act);
/* Saturates. */
uint32_t tariff_price(const struct tariff *tariff, const struct tariff_bill *bill);
/* Without the recipients themselves, and the members of lists, who are some. */
uint32_t tariff_surcharge(const struct tariff *tariff, const struct tariff_bill *bill);
/* The part of it that suspends nobody whose mail is all from where he always is: what anybody
 * could bring about (refused, traps, members of lists), and that he writes to strangers. */
uint32_t tariff_forgiven(const struct tariff *tariff, const struct tariff_bill *bill);
/* Is there a price in it that only a strange network has? */
bool tariff_is_strange(const struct tariff *tariff, const struct tariff_bill *bill);
void tariff_add(struct tariff_bill *sum, const struct tariff_bill *bill); /* saturates */

/* ---- dwell ---- */

struct tariff_dwell {
	unsigned from;   /* percent of a limit's tokens; 100: never */
	int64_t most;    /* ms: at the full limit */
	int64_t strange; /* the same for mail to strangers from an unripe network */
};

/* How long a message waits in the queue before it is relayed: 0 while its bill, itself
 * included, is below `from` or holds no surcharge, and never for mail from a ripe network to
 * known recipients, nor without a history; longer the higher the bill. `used`: of `tokens`, the
 * message included, by the limit of which most is used; `surcharge`: of that. */
int64_t tariff_dwell(const struct tariff_dwell *rules, const struct act *act, uint32_t used,
                     uint32_t tokens, uint32_t surcharge);

/* ---- what was charged, so far: a field of the ledger ---- */

/* The bills of the present windows, a sum for each limit: of this window and of the one before
 * it, so that what is told covers at least the whole window and at most two. */
struct tariff_tally {
	size_t count; /* as the limits */
	struct {
		int64_t window;
		int64_t from; /* T when `now` began */
		struct tariff_bill now, last;
	} limit[BUDGET_LIMITS_MAX];
};

void tariff_tally_fit(struct tariff_tally *tally, const struct budget_limits *limits,
                      int64_t now);
void tariff_tally_note(struct tariff_tally *tally, const struct tariff_bill *bill);
/* The sum for one limit. */
struct tariff_bill tariff_tally_sum(const struct tariff_tally *tally, size_t limit);
void tariff_tally_pack(const struct tariff_tally *tally,
                       struct buf *out); /* sparse: classic mail packs to few bytes */
bool tariff_tally_unpack(struct span row,
                         struct tariff_tally *tally_out); /* an empty row: none */

#endif
