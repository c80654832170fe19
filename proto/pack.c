#include "proto/pack.h"

static void put_le(struct buf *out, uint64_t value, size_t width)
{
	char bytes[8];
	for (size_t i = 0; i < width; i++) {
		bytes[i] = (char)(value >> (8 * i) & 0xff);
	}
	buf_put(out, span_of(bytes, width));
}

void pack_u8(struct buf *out, uint8_t value)
{
	put_le(out, value, 1);
}

void pack_u32(struct buf *out, uint32_t value)
{
	put_le(out, value, 4);
}

void pack_u64(struct buf *out, uint64_t value)
{
	put_le(out, value, 8);
}

void pack_i64(struct buf *out, int64_t value)
{
	put_le(out, (uint64_t)value, 8);
}

void pack_varint(struct buf *out, uint64_t value)
{
	char bytes[10];
	size_t n = 0;
	while (value >= 0x80) {
		bytes[n++] = (char)((value & 0x7f) | 0x80);
		value >>= 7;
	}
	bytes[n++] = (char)value;
	buf_put(out, span_of(bytes, n));
}

void pack_span(struct buf *out, struct span bytes)
{
	pack_varint(out, bytes.len);
	buf_put(out, bytes);
}

void pack_field(struct buf *out, uint8_t tag, struct span bytes)
{
	pack_u8(out, tag);
	pack_span(out, bytes);
}

struct unpacker unpack_from(struct span row)
{
	return (struct unpacker){ .rest = row };
}

static uint64_t take_le(struct unpacker *in, size_t width)
{
	if (in->bad || in->rest.len < width) {
		in->bad = true;
		return 0;
	}
	uint64_t value = 0;
	for (size_t i = 0; i < width; i++) {
		value |= (uint64_t)(unsigned char)in->rest.ptr[i] << (8 * i);
	}
	in->rest = span_from(in->rest, width);
	return value;
}

uint8_t unpack_u8(struct unpacker *in)
{
	return (uint8_t)take_le(in, 1);
}

uint32_t unpack_u32(struct unpacker *in)
{
	return (uint32_t)take_le(in, 4);
}

uint64_t unpack_u64(struct unpacker *in)
{
	return take_le(in, 8);
}

int64_t unpack_i64(struct unpacker *in)
{
	return (int64_t)take_le(in, 8);
}

uint64_t unpack_varint(struct unpacker *in)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = unpack_u8(in);
		/* Beyond 64 bits, or longer than the number needs: no row of ours has that. */
		if (in->bad || (shift == 63 && byte > 1) || (shift && byte == 0)) {
			break;
		}
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			return value;
		}
	}
	in->bad = true;
	return 0;
}

struct span unpack_span(struct unpacker *in)
{
	uint64_t len = unpack_varint(in);
	if (in->bad || len > in->rest.len) {
		in->bad = true;
		return SPAN_NONE;
	}
	struct span bytes = span_first(in->rest, (size_t)len);
	in->rest = span_from(in->rest, (size_t)len);
	return bytes;
}

bool unpack_field(struct unpacker *in, uint8_t *tag_out, struct span *bytes_out)
{
	if (in->bad || in->rest.len == 0) {
		return false;
	}
	uint8_t tag = unpack_u8(in);
	struct span bytes = unpack_span(in);
	if (in->bad) {
		return false;
	}
	*tag_out = tag;
	*bytes_out = bytes;
	return true;
}

bool unpack_ok(const struct unpacker *in)
{
	return !in->bad && in->rest.len == 0;
}
