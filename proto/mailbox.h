/*
 * The one mailbox of a From field (RFC 5322 3.4): what every reader must take for the same
 * address.
 */
#ifndef GATEPOST_PROTO_MAILBOX_H
#define GATEPOST_PROTO_MAILBOX_H

#include "proto/buf.h"

#define MAILBOX_VALUE_MAX 2000 /* bytes of a field's value; a longer one is none */

/*
 * Appends the address of `value` (unfolded), canonical as address_key has it. False, `out` as
 * it was or failed, for no or several mailboxes, a group, a route, or anything that another
 * reader might take for another address.
 */
bool mailbox_parse(struct span value, struct buf *out);

#endif
