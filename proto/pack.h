/*
 * The only codec of stored rows: fixed-width little-endian integers, varints, length-prefixed
 * spans. The writer fails with its buffer (buf.failed), the reader has a sticky error: read all
 * fields, then look once at unpack_ok. A reader never reads outside its span and never returns
 * a length it has not checked.
 */
#ifndef GATEPOST_PROTO_PACK_H
#define GATEPOST_PROTO_PACK_H

#include "proto/buf.h"

void pack_u8(struct buf *out, uint8_t value);
void pack_u32(struct buf *out, uint32_t value);
void pack_u64(struct buf *out, uint64_t value);
void pack_i64(struct buf *out, int64_t value);
/* LEB128: 7 bits a byte, small numbers are small; the reader takes the shortest form only. */
void pack_varint(struct buf *out, uint64_t value);
/* A varint length, then the bytes. */
void pack_span(struct buf *out, struct span bytes);
/* A field that a reader may skip without knowing it: tag, then a span. */
void pack_field(struct buf *out, uint8_t tag, struct span bytes);

struct unpacker {
	struct span rest; /* what has not been read yet */
	bool bad;
};

/* The row is borrowed and must live as long as the spans read from it. */
struct unpacker unpack_from(struct span row);
/* After an error all of these return 0 or an empty span. */
uint8_t unpack_u8(struct unpacker *in);
uint32_t unpack_u32(struct unpacker *in);
uint64_t unpack_u64(struct unpacker *in);
int64_t unpack_i64(struct unpacker *in);
uint64_t unpack_varint(struct unpacker *in);
/* Points into the row. */
struct span unpack_span(struct unpacker *in);
/* The next field; false at the end of the row or after an error. */
bool unpack_field(struct unpacker *in, uint8_t *tag_out, struct span *bytes_out);
/* True when nothing went wrong and the row is used up. */
bool unpack_ok(const struct unpacker *in);

#endif
