/*
 * The first text/plain leaf of a small message, decoded: for replies to a notice (RFC 2045,
 * 2046). Nothing is written anew; attachments, HTML and signatures' parts are passed over.
 * Depth at most 5, parts at most 100, no recursion; time is linear in the message.
 */
#ifndef GATEPOST_PROTO_MIME_H
#define GATEPOST_PROTO_MIME_H

#include "proto/buf.h"

#define MIME_DEPTH_MAX 5
#define MIME_PARTS_MAX 100
#define MIME_TEXT_MAX  ((size_t)64 * 1024) /* of decoded text; the rest is cut */

enum mime_result {
	MIME_TEXT,        /* `out` holds the text as UTF-8, lines end in LF */
	MIME_NO_TEXT,     /* no text/plain leaf */
	MIME_UNDECODABLE, /* there is one, in an encoding or character set we do not read */
};

/*
 * `message` is a whole message, header and body, CRLF or LF. Character sets: US-ASCII, UTF-8,
 * ISO-8859-1 (and -15, windows-1252 as it); of the other ISO-8859 and windows sets the ASCII
 * half. What is no text in its set becomes '?'. A blank text beside another form of the same
 * (multipart/alternative) is none: some clients write all into the HTML. `out` is emptied
 * first; its cap should be MIME_TEXT_MAX.
 */
enum mime_result mime_first_text(struct span message, struct buf *out);

/* A header field as it stands there; the value still has its line ends. */
struct mime_field {
	struct span name;
	struct span value;
};

/* Takes the next field off the front of `rest`, which begins as the message. False at the end
 * of the header; then `rest` is the body (a line that is no field belongs to it). */
bool mime_next_field(struct span *rest, struct mime_field *field_out);
/* Appends a field's value without its line ends and the blanks around it. */
void mime_unfold(struct span value, struct buf *out);

/*
 * A field of the message's own header: the first with this name (case-blind), unfolded, without
 * its line end; false when there is none or `out`, which is emptied first, cannot hold it.
 * `count_out` (may be NULL): how often the field is there.
 */
bool mime_field(struct span message, struct span name, struct buf *out, size_t *count_out);

/* How many bytes at the front of a structured value are a quoted string or a comment (RFC 5322
 * 3.2.4, 3.2.2; nested), else 1. 0 for one that does not end, and for nothing. */
size_t mime_unit(struct span text);

/* Appends a header's text with RFC 2047 encoded words decoded where they can be (B and Q).
 * Control bytes become blanks: no encoded word ends a line. */
void mime_decode_words(struct span text, struct buf *out);

#endif
