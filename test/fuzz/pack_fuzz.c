/* What was read from any row, packed again, is the same row; what fails has read nothing
 * outside. */
#include "fuzz.h"
#include "proto/pack.h"

/* Reads one value as the row's shape says, and writes it again. */
static void copy_one(unsigned shape, struct unpacker *in, struct buf *out)
{
	uint8_t tag = 0;
	struct span bytes = SPAN_NONE;
	switch (shape % 6) {
	case 0:
		pack_u8(out, unpack_u8(in));
		break;
	case 1:
		pack_u32(out, unpack_u32(in));
		break;
	case 2:
		pack_i64(out, unpack_i64(in));
		break;
	case 3:
		pack_varint(out, unpack_varint(in));
		break;
	case 4:
		pack_span(out, unpack_span(in));
		break;
	default:
		if (unpack_field(in, &tag, &bytes)) {
			pack_field(out, tag, bytes);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_of(data, size);
	struct span shapes = fuzz_piece(&all);
	struct unpacker in = unpack_from(all);
	struct buf out = { .cap = size + 16 };
	size_t good = 0;
	for (size_t i = 0; i < shapes.len && !in.bad; i++) {
		good = out.len;
		copy_one((unsigned char)shapes.ptr[i], &in, &out);
	}
	PROMISE(!out.failed);
	if (!in.bad) {
		good = out.len;
		PROMISE(in.rest.len == all.len - out.len);
	}
	PROMISE(good <= all.len &&
	        span_eq(span_first(buf_span(&out), good), span_first(all, good)));
	PROMISE(unpack_ok(&in) == (!in.bad && out.len == all.len));
	buf_done(&out);
	return 0;
}
