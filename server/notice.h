/* Mail we write ourselves, rendered when it is sent; the return path is null. Now: the failure
 * report of an entry. */
#ifndef GATEPOST_SERVER_NOTICE_H
#define GATEPOST_SERVER_NOTICE_H

#include "server/config.h"
#include "store/queue.h"

/* Returned whole up to here, headers only above. */
#define NOTICE_ORIGINAL_MAX ((size_t)50 * 1024)

/* Who gets the report on `entry`: MAIL FROM when it is the login's own, else the login's
 * address; empty when nobody may (null sender). Points into `entry`. */
struct span notice_report_to(const struct queue_entry *entry);

/* Writes the report on the FAILED recipients. The body is read from `txn`; `wall` is ms since
 * 1970. STORE_FAILED also without memory; then, and when a row is missing, `out` is of no use.
 */
enum store_result notice_report(const struct config *config, const struct queue_entry *entry,
                                struct store_txn *txn, int64_t wall, struct buf *out);

#endif
