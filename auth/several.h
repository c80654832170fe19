/*
 * Suspensions that fall close together share a notice. The first ones (notice_max of the
 * configuration) have one each; those beyond it share one that waits SEVERAL_WAIT, and those
 * that come meanwhile are added to it. How many there were, and which one waits, is a row of
 * the store: it is so in the commit of the suspension, and over restarts.
 */
#ifndef GATEPOST_AUTH_SEVERAL_H
#define GATEPOST_AUTH_SEVERAL_H

#include "auth/suspend.h"

#define SEVERAL_MAX  50 /* incidents of a notice */
#define SEVERAL_WAIT ((int64_t)60 * 1000)

/* Counts this one. `shared_out`: a notice for several tells of it, to all postmasters; else one
 * of its own is to be put. */
enum store_result several_take(struct store_txn *txn, const struct suspend_rules *rules,
                               const struct incident *incident, int64_t now, bool *shared_out);

/* Takes the next incident off the front of such a notice's note; false at its end. */
bool several_next(struct span *note, uint64_t *incident_out);

#endif
