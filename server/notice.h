/*
 * Mail we write ourselves, rendered when it is sent; the return path is null: the failure
 * report of an entry, and the notices to the postmasters, out of etc/notices.
 */
#ifndef GATEPOST_SERVER_NOTICE_H
#define GATEPOST_SERVER_NOTICE_H

#include "server/config.h"
#include "server/notice_facts.h"
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

/*
 * Writes the notice that `entry` (of a kind other than QUEUE_MAIL) stands for, as a whole
 * message: From notice_from, To all its recipients, Auto-Submitted: auto-generated, Reply-To
 * with the token (where an answer counts: of a suspension, a reminder, a drill), its own
 * Message-ID. Reads incident, ledger and queue in `txn` (EVENT, DIGEST, OWNER: nothing).
 * NOT_FOUND: the incident is gone; nothing is to be sent.
 */
enum store_result notice_write(const struct config *config, const struct secret_key *key,
                               const struct queue_entry *entry, struct store_txn *txn,
                               int64_t wall, struct buf *out);

/* The body of the suspension's notice without its token: for data_dir/incidents and `account
 * why`. `facts` (notice_facts_read) get values of their own. */
enum store_result notice_explain(const struct config *config, struct notice_facts *facts,
                                 struct buf *out);

#endif
