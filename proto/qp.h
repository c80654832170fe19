/* Quoted-printable as RFC 2045 6.7 has it, read leniently: what is no escape stands for itself.
 */
#ifndef GATEPOST_PROTO_QP_H
#define GATEPOST_PROTO_QP_H

#include "proto/buf.h"

/* Decodes `text`; soft line breaks go, blanks at a line's end go. */
void qp_decode(struct span text, struct buf *out);
/* The Q encoding of RFC 2047 4.2: `_` is a blank. */
void qp_decode_word(struct span text, struct buf *out);

#endif
