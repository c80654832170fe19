/*
 * A streaming scan of a message's header: facts out, and the fields that RFC 6409 lets a
 * submission server add (Date 8.2, Message-ID 8.3) put in at the header's end. What a client
 * wrote is never altered. A message whose header has no blank line gets one before the first
 * line that is no header field. Also the writer of our own fields: folding, dates, Received.
 */
#ifndef GATEPOST_PROTO_HEADER_H
#define GATEPOST_PROTO_HEADER_H

#include "proto/buf.h"

#define HEADER_HOPS_MAX 100  /* Received fields that mean a loop (RFC 5321 6.3) */
#define HEADER_FROM_MAX 1000 /* bytes of a From field that are kept */

struct header_facts {
	unsigned from, date, message_id; /* how often each field was seen */
	unsigned received;
	bool done; /* the header is over: the facts are final */
};

/* What to add when it is missing, nothing for an empty span; must live as long as the scan. */
struct header_additions {
	struct span date;       /* the value of Date, "Wed, 25 Nov 2026 03:00:00 +0000" */
	struct span message_id; /* the value with its brackets */
};

struct header {
	struct header_facts facts;
	const struct header_additions *additions;
	unsigned state;
	char held[80]; /* the front of a line of which it is not known yet whether it is a field
	                */
	size_t nheld;
	char from[HEADER_FROM_MAX]; /* the value of the first From field, as it came */
	size_t nfrom;
	bool in_from, from_cut;
};

void header_init(struct header *header, const struct header_additions *additions);
/*
 * Passes `text` on to `out`, with additions where they belong. Any split of the bytes gives
 * the same. A bare LF ends a line here as CRLF does: such mail is refused later or normalised.
 */
void header_put(struct header *header, struct span text, struct buf *out);
/* The text is over: passes on what was held; adds what is missing if the header never ended. */
void header_end(struct header *header, struct buf *out);

/*
 * Appends the value of the first From field, unfolded, when the header is done; nothing when
 * there is none. False when it is longer than HEADER_FROM_MAX or than `out` holds.
 */
bool header_from(const struct header *header, struct buf *out);

/*
 * Writes lines of our own: `lead` ("Subject:"), then the words of `words`, one blank before
 * each, broken into lines of at most 78 columns where they allow it and 998 always; later lines
 * begin with `indent`. Without a lead the first word begins the line. Control bytes and bytes
 * above 127 become '?': nothing in `words` ends a line.
 */
void header_fold(struct span lead, struct span indent, struct span words, struct buf *out);

/* Appends the RFC 5322 3.3 date-time of `seconds` since 1970, in UTC, years 1 to 9999. */
void header_date(int64_t seconds, struct buf *out);

struct header_received {
	struct span helo; /* what the client called itself, any bytes; escaped and cut here */
	struct span hostname; /* by */
	struct span protocol; /* "ESMTPSA" ... (RFC 3848) */
	struct span tls;      /* "TLS_AES_256_GCM_SHA384", empty outside TLS (RFC 8314 4.3) */
	struct span id;
	int64_t seconds;
};

/*
 * Appends the Received field of RFC 5321 4.4, folded, without the client's address:
 * "from HELO by HOSTNAME with PROTOCOL id ID tls CIPHER; DATE".
 */
void header_received(const struct header_received *facts, struct buf *out);

#endif
