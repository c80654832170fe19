/*
 * What the writer of a reply wrote himself, line by line: quoted text, attributions ("On ...
 * wrote:"), the telephone's signature and rules are passed over; a signature, an Original
 * Message or a From: block ends it. Text below a quotation counts: who answers there means it.
 */
#ifndef GATEPOST_PROTO_OWN_TEXT_H
#define GATEPOST_PROTO_OWN_TEXT_H

#include "proto/span.h"

struct own_text {
	struct span rest; /* UTF-8, lines end in LF: of mime_first_text */
	bool below_quote; /* the last line was a quoted one */
};

struct own_line {
	struct span text; /* without blanks at its ends; points into the text */
	/* Directly below a quoted line, so perhaps its end: clients break lines, and not all
	 * put a `>` before the second half. */
	bool doubtful;
};

/* Takes the next own line; false at the end. */
bool own_text_next(struct own_text *own, struct own_line *line_out);

/* Without blanks of any kind at the ends: no-break spaces, invisible marks, the byte order
 * mark. */
struct span own_text_trim(struct span text);

#endif
