/* Decoding undoes encoding; and one byte string has one spelling: what decodes is what encodes.
 */
#include "fuzz.h"
#include "proto/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	struct buf text = { .cap = 2 * size + 8 }, bytes = { .cap = 2 * size + 8 };
	base64_encode(in, &text);
	PROMISE(!text.failed && text.len == (size + 2) / 3 * 4);
	PROMISE(base64_decode(buf_span(&text), &bytes) && span_eq(buf_span(&bytes), in));
	buf_clear(&text);
	buf_clear(&bytes);
	if (base64_decode(in, &bytes)) {
		base64_encode(buf_span(&bytes), &text);
		PROMISE(span_eq(buf_span(&text), in));
	} else {
		PROMISE(bytes.len == 0 && !bytes.failed);
	}
	buf_done(&text);
	buf_done(&bytes);
	return 0;
}
