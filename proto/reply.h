/*
 * Replies in both directions: the table of every sentence that we say to a client, and the
 * reader of what a smarthost says to us (RFC 5321 4.2, RFC 2034).
 */
#ifndef GATEPOST_PROTO_REPLY_H
#define GATEPOST_PROTO_REPLY_H

#include "proto/buf.h"
#include "proto/replies.h"

#define REPLY_LINE_MAX 510 /* without CRLF (RFC 5321 4.5.3.1.5) */

struct reply_row {
	const char *name;     /* for logs and tests */
	unsigned code;        /* 220 .. 554 */
	const char *enhanced; /* "2.0.0", or NULL where RFC 2034 wants none */
	const char *text;     /* ASCII; at most one %s, replaced by the caller's word */
};

const struct reply_row *reply_row(enum reply name);

/* Writes the reply as one line with CRLF. Control bytes in `word` become '?', too long a line
 * is cut. */
void reply_write(enum reply name, struct span word, struct buf *out);

/* A smarthost's reply, all its lines. */
struct reply_in {
	unsigned code;     /* 200 .. 559; 0 while incomplete */
	char enhanced[12]; /* of the last line that has one, "" when none */
	char text[480]; /* the lines' texts joined by one blank, cut, control and 8-bit bytes as
	                   '?' */
	bool last;      /* the last line was read */
	/* the reader's own state */
	size_t lines;
	size_t bytes;
	bool bad;
};

enum reply_read { REPLY_MORE, REPLY_DONE, REPLY_BAD };

/*
 * Takes lines from the front of `in` until a reply is whole. REPLY_BAD: no code, codes that
 * differ between lines, over 8 KiB a line or 64 KiB in all: the connection must be given up. A
 * bare LF ends a line here as CRLF does (some smarthosts send it). Zero the struct before each
 * new reply.
 */
enum reply_read reply_read(struct reply_in *reply, struct span *in);

#endif
