/*
 * The text of a message on the wire, both ways: dot-stuffing (RFC 5321 4.5.2). Only CRLF.CRLF
 * ends data; every other mixture of CR, LF and dots is text and is counted (SMTP smuggling).
 */
#ifndef GATEPOST_PROTO_SMTP_DATA_H
#define GATEPOST_PROTO_SMTP_DATA_H

#include "proto/buf.h"

/* What was seen of the text so far; the text is never altered, only its stuffing dots taken
 * off. */
struct smtp_data_facts {
	uint64_t bytes; /* of text, stuffing and terminator not counted */
	size_t longest; /* longest line, without its CRLF */
	bool bare_cr;
	bool bare_lf;
	bool nul;
	bool eight_bit;
};

struct smtp_data_in {
	struct smtp_data_facts facts;
	unsigned state;
	size_t line; /* length of the current line so far */
};

void smtp_data_in_init(struct smtp_data_in *data);

/*
 * Takes bytes from the front of `in` and gives the next run of text: a part of `in` (valid as
 * long as that is) or of static storage. Returns true when the terminator was read; `in` then
 * begins with the next command. Call until it returns true or `in` is empty; a run may be
 * empty.
 */
bool smtp_data_in_next(struct smtp_data_in *data, struct span *in, struct span *run_out);

/* The way out: where we are in a line, between calls. Zero it before each message. */
struct smtp_data_out {
	unsigned state;
};

/* Writes `text` with dots stuffed. The text holds no bare CR or LF (such mail was refused or
 * normalised). */
void smtp_data_out_put(struct smtp_data_out *data, struct span text, struct buf *out);
/* Ends the last line when it has no CRLF, then writes the terminator. */
void smtp_data_out_end(struct smtp_data_out *data, struct buf *out);

#endif
