/*
 * The notice of several suspensions at once (auth/several): a paragraph a case with its own
 * links, and no address to answer to for the whole. With it the parts of server/notice.c that
 * it is made from.
 */
#ifndef GATEPOST_SERVER_NOTICE_SEVERAL_H
#define GATEPOST_SERVER_NOTICE_SEVERAL_H

#include "auth/several.h"
#include "auth/unlock.h"
#include "server/notice_facts.h"

struct notice_several {
	const struct config *config;
	const struct secret_key *key;
	struct store_txn *txn;
	int64_t wall;
};

/* When nobody was added to it, it is an ordinary notice: that one, in `alone_out`. */
bool notice_several_is_one(const struct queue_entry *entry, struct queue_entry *alone_out);
/* The whole message. A case that is gone, or can not be read, is left out; NOT_FOUND: all are.
 */
enum store_result notice_several_write(const struct notice_several *several,
                                       const struct queue_entry *entry, struct buf *out);

/* ---- in notice.c ---- */

/* The values that say how a suspension may end; `token` empty: by no answer. */
void notice_add_ways(const struct config *config, struct notice_facts *facts, struct span token,
                     bool quiet);
void notice_write_token(const struct secret_key *key, const struct incident *incident,
                        char token_out[UNLOCK_TOKEN_LEN + 1]);
struct span notice_recipients(const struct queue_entry *entry, struct notice_facts *facts);

#endif
