/* Decoding never grows a text; a text whose every byte is escaped, with soft breaks wherever
 * the input says, is itself again. */
#include "fuzz.h"
#include "proto/qp.h"

static void encode(struct span bytes, struct span breaks, struct buf *out)
{
	for (size_t i = 0; i < bytes.len; i++) {
		bool soft = breaks.len && breaks.ptr[i % breaks.len] & 1;
		buf_printf(out, "=%02x%s", (unsigned char)bytes.ptr[i], soft ? "= \r\n" : "");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	struct buf text = { .cap = 7 * size }, out = { .cap = size };
	qp_decode(in, &out);
	PROMISE(!out.failed);
	buf_clear(&out);
	qp_decode_word(in, &out);
	PROMISE(!out.failed);
	buf_clear(&out);
	struct span breaks = fuzz_piece(&in);
	encode(in, breaks, &text);
	qp_decode(buf_span(&text), &out);
	PROMISE(span_eq(buf_span(&out), in));
	buf_clear(&text);
	buf_clear(&out);
	encode(in, SPAN_NONE, &text);
	qp_decode_word(buf_span(&text), &out);
	PROMISE(span_eq(buf_span(&out), in));
	buf_done(&text);
	buf_done(&out);
	return 0;
}
