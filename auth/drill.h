/*
 * A drill: a sample notice to the postmasters, with a token that ends nothing. An answer to it
 * is read and judged as any answer is, and what it would have done is reported to them: whether
 * answers come in at all is better known before the first suspension. Only the last drill's
 * token counts, for as long as a notice's.
 */
#ifndef GATEPOST_AUTH_DRILL_H
#define GATEPOST_AUTH_DRILL_H

#include "auth/unlock.h"
#include "store/meta.h"

#define DRILL_INCIDENT    UINT64_C(0) /* of its tag; incidents begin with 1 */
#define DRILL_ANSWERS_MAX 20          /* journaled and reported, of one drill */

/* Puts the notice, and the row by which its answer is known. */
enum store_result drill_begin(struct store_txn *txn, const struct suspend_rules *rules,
                              int64_t now, int64_t wall);

/* An answer whose tag has DRILL_INCIDENT. DONE: it passed. Anything else but WRONG and FAILED:
 * why a notice's would not have counted. */
enum unlock_verdict drill_redeem(struct store_txn *txn, const struct unlock_rules *rules,
                                 const struct unlock_answer *answer);

#endif
