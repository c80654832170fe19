/*
 * What is kept of an account's last acts so that a notice can tell a tired admin what happened:
 * from which networks, with which subjects, and how high its use has been before. Pure and
 * bounded; part of the ledger row.
 */
#ifndef GATEPOST_AUTH_FACTS_H
#define GATEPOST_AUTH_FACTS_H

#include "auth/act.h"
#include "auth/budget.h"
#include "auth/tariff.h"

#define FACTS_NETWORKS    6
#define FACTS_SUBJECTS    4
#define FACTS_NETWORK_MAX 45
#define FACTS_SUBJECT_MAX 60 /* bytes; cut */
#define FACTS_APPPASS_MAX 32
#define FACTS_EXAMPLES    3
#define FACTS_EXAMPLE_MAX 60

struct facts_network {
	char text[FACTS_NETWORK_MAX + 1]; /* the address */
	uint32_t recipients;              /* since it was last new to the list */
	int64_t last_at;                  /* T */
};

struct facts {
	struct facts_network network[FACTS_NETWORKS]; /* the last used first; text "" = free */
	char subject[FACTS_SUBJECTS][FACTS_SUBJECT_MAX + 1]; /* the last first, each once */
	/* Of the last recipients three letters and the domain, "ali...@example.com", the last
	 * first, each once: enough to see whether they are his people, and no address. */
	char example[FACTS_EXAMPLES][FACTS_EXAMPLE_MAX + 1];
	/* The highest use of the first limit, by windows: in this one, in the one before it,
	 * and in all before those. A theft that takes up to a window is no part of the last. */
	uint32_t peak_now, peak_last, peak_before;
	int64_t peak_from; /* T at which this window began */
};

/* Notes an accepted (or refused) act; `used` and `window` are of the first limit, after it; a
 * window of 0: there is no limit. Networks not used for a day are forgotten. */
void facts_note(struct facts *facts, const struct act *act, uint32_t used, int64_t window);
void facts_pack(const struct facts *facts, struct buf *out);
/* An empty row is empty facts. False for one that makes no sense. */
bool facts_unpack(struct span row, struct facts *facts_out);

/* The bill of a suspension: why, and the facts as they were. */
struct bill {
	struct budget_limit limit; /* that did not fit; window 0: by hand */
	uint32_t spent;            /* of it, before */
	uint32_t asked;            /* recipients of the act that broke it */
	bool strangers;            /* the limit is one of strangers, not of tokens */
	struct tariff_bill lines;  /* what was charged within its window, this act included; of
	                              the recipients themselves only this act's */
	struct tariff tariff;      /* at these prices */
	char apppass[FACTS_APPPASS_MAX + 1]; /* by which app password; "": by none */
	struct facts facts;
};
/* Is there a price in it that only a strange network has? Then held mail may be a thief's. */
bool bill_is_strange(const struct bill *bill);
void bill_pack(const struct bill *bill, struct buf *out);
/* In short, on one line, for the journal: "500/30m, 495 used, 25 asked for: stranger 20 x 4,
 * new-network 1 x 25; from 192.0.2.7 (20)". Nothing where no limit was broken. */
void bill_write(const struct bill *bill, struct buf *out);
/* One of before there were app passwords names none. */
bool bill_unpack(struct span row, struct bill *bill_out);

#endif
