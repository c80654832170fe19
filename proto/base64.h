/* Base64 as RFC 4648 section 4 has it: padding is required, nothing is skipped. */
#ifndef GATEPOST_PROTO_BASE64_H
#define GATEPOST_PROTO_BASE64_H

#include "proto/buf.h"

void base64_encode(struct span bytes, struct buf *out);
/* False, with `out` unchanged, for any byte outside the alphabet, wrong padding or non-zero
 * bits behind the last byte. An empty text is an empty result. */
bool base64_decode(struct span text, struct buf *out);

#endif
