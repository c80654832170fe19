/* Base64 as RFC 4648 section 4 has it: padding is required, nothing is skipped. */
#ifndef GATEPOST_PROTO_BASE64_H
#define GATEPOST_PROTO_BASE64_H

#include "proto/buf.h"

/* Appends; fails with its buffer. */
void base64_encode(struct span bytes, struct buf *out);
/*
 * Appends. False, with `out` unchanged, for any byte outside the alphabet, wrong padding or
 * non-zero bits behind the last byte; false and out->failed beyond its cap. An empty text is an
 * empty result. A refused text may lie decoded in part behind the live bytes: wipe a buffer
 * that takes secrets.
 */
bool base64_decode(struct span text, struct buf *out);
/*
 * The lenient reading of RFC 2045 6.8, for bodies: line ends and blanks are skipped, padding
 * may be missing, and the text is over at the padding or at the first byte that is no letter
 * (mailing lists put plain lines behind it). Appends; false when there was text and none of it
 * could be decoded, or beyond the cap.
 */
bool base64_decode_lines(struct span text, struct buf *out);

#endif
