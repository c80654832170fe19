/*
 * Command lines out of a byte stream. Only CRLF ends a line (RFC 5321 2.3.8); a bare CR, a bare
 * LF, a NUL or a line beyond the limit is told apart, never guessed. A faulty line is reported
 * once, when its CRLF has come, and its bytes are dropped: an overlong one is not buffered.
 */
#ifndef GATEPOST_PROTO_LINE_H
#define GATEPOST_PROTO_LINE_H

#include "proto/buf.h"

enum line_kind {
	LINE_MORE, /* no whole line yet: feed more bytes */
	LINE_OK,   /* `text` is the line without its CRLF */
	LINE_BARE_CR,
	LINE_BARE_LF,
	LINE_NUL,
	LINE_TOO_LONG, /* and the CRLF was found at last */
	LINE_ENDLESS,  /* over LINE_DROP_MAX bytes before a CRLF: give up on the peer; said ever
	                  after */
};

#define LINE_DROP_MAX ((size_t)64 * 1024)

/* Zeroed memory is the state at the begin of a line. */
struct line {
	size_t dropped; /* bytes of an overlong line dropped so far; 0 = none */
	size_t scanned; /* bytes at the front of the input already known to hold no CRLF */
};

/*
 * Looks for one line at the front of `in` and moves `in` behind what it took. `max` (2 ..
 * LINE_DROP_MAX) counts the line with its CRLF. LINE_MORE may have taken bytes too (of an
 * overlong line); what it left must be at the front of the next `in`. `text_out` is set for
 * LINE_OK and points into the input, as long as that lives. How the bytes were split between
 * calls makes no difference.
 */
enum line_kind line_next(struct line *line, struct span *in, size_t max, struct span *text_out);

#endif
