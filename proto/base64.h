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

#endif
