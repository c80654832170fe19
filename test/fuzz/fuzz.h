/* What every fuzz target needs: the entry point's prototype, and a reader of choices. */
#ifndef GATEPOST_TEST_FUZZ_H
#define GATEPOST_TEST_FUZZ_H

#include "proto/buf.h"

/* A broken promise must stop the fuzzer even where NDEBUG is set. */
#define PROMISE(x) ((x) ? (void)0 : __builtin_trap())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte of the input, taken off: lengths and flags that the fuzzer chooses. */
static inline unsigned fuzz_byte(struct span *in)
{
	unsigned byte = in->len ? (unsigned char)in->ptr[0] : 0;
	*in = span_from(*in, 1);
	return byte;
}

/* The next piece of the input, up to 255 bytes, its length chosen by the input. */
static inline struct span fuzz_piece(struct span *in)
{
	size_t want = fuzz_byte(in);
	struct span piece = span_first(*in, want);
	*in = span_from(*in, piece.len);
	return piece;
}

#endif
