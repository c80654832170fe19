/*
 * What there is to tell of an incident, in words: the values of a notice's placeholders. Read
 * in one transaction; nothing here decides anything.
 */
#ifndef GATEPOST_SERVER_NOTICE_FACTS_H
#define GATEPOST_SERVER_NOTICE_FACTS_H

#include "auth/facts.h"
#include "server/bill_text.h"
#include "server/config.h"
#include "server/notice_text.h"
#include "store/incident.h"

#define NOTICE_FACTS_VALUES 64
#define NOTICE_FACTS_ARENA  ((size_t)256 * 1024)

struct notice_facts {
	struct arena arena; /* all that is pointed to */
	struct incident incident;
	bool suspended; /* the account is, by this very incident */
	bool guarded;   /* its held mail may be a thief's: only RELEASE sends it */
	struct bill bill;
	struct bill_line line[TARIFF_ROWS]; /* of it, as they are shown */
	size_t nlines;
	struct bill_network network[FACTS_NETWORKS]; /* as bill.facts.network */
	struct budget_ring use; /* of the limit that was broken, or the first: as it is kept
	                           now; window 0: nothing is */
	uint64_t held;          /* recipients of queued mail */
	struct notice_value value[NOTICE_FACTS_VALUES];
	size_t nvalues;
	bool failed; /* something did not fit into memory: the texts are of no use */
};

/* `key`: of the digests of networks. NOT_FOUND and DAMAGED are the incident's; other rows that
 * can not be read leave a gap in the text. Call notice_facts_done in any case. */
enum store_result notice_facts_read(struct notice_facts *facts, const struct config *config,
                                    const struct secret_key *key, uint64_t incident,
                                    struct store_txn *txn);
/* The same of a suspension that never was: a drill's. */
void notice_facts_sample(struct notice_facts *facts, const struct config *config, int64_t wall);
void notice_facts_done(struct notice_facts *facts);

/* One more value; `text` lives as long as the facts. */
void notice_facts_add(struct notice_facts *facts, const char *name, struct span text);
/* As printf, into the arena. */
struct span notice_facts_text(struct notice_facts *facts, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "2026-11-25 04:35 UTC" of ms since 1970. */
struct span notice_facts_time(struct notice_facts *facts, int64_t wall);

#endif
