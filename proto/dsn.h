/*
 * Delivery status notifications: RFC 3464 reports in an RFC 6522 multipart/report, from a
 * struct. First a text that the sender of the mail understands, then the same for programs,
 * then the mail.
 */
#ifndef GATEPOST_PROTO_DSN_H
#define GATEPOST_PROTO_DSN_H

#include "proto/buf.h"

struct dsn_recipient {
	struct span address; /* Final-Recipient */
	struct span status;  /* "5.1.1" */
	struct span
	    diagnostic;     /* what was said, "550 5.1.1 no such user"; empty: nothing was */
	struct span remote; /* Remote-MTA; empty: none was reached */
};

struct dsn {
	struct span hostname; /* Reporting-MTA, and the domain of Message-ID and From */
	struct span to;       /* who gets it, never empty */
	struct span id;       /* our queue id, in Message-ID and in the text */
	int64_t now;          /* seconds since 1970 */
	int64_t arrived;      /* the same, Arrival-Date */
	const struct dsn_recipient *recipients; /* at least one */
	size_t nrecipients;
	struct span
	    original;     /* the returned message; of it only the header when `header_only` */
	bool header_only; /* text/rfc822-headers instead of message/rfc822 */
	bool eight_bit;   /* the original has bytes above 127 */
};

/*
 * Appends the whole message, with CRLF line ends and no line over 998; fails with its buffer.
 * Bytes from outside can not end a field or a part: control bytes in fields become '?', the
 * boundary is not in `original`, whose lines are ended by CRLF and cut where they are not.
 */
void dsn_write(const struct dsn *dsn, struct buf *out);

#endif
