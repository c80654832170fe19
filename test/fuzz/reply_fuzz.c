/* What we write is one clean line whatever the word; what we read is the same in any split. */
#include "fuzz.h"
#include "proto/reply.h"

static void write_one(enum reply name, struct span word)
{
	struct buf out = { .cap = 4096 };
	reply_write(name, word, &out);
	PROMISE(out.len >= 6 && out.len <= REPLY_LINE_MAX + 2);
	for (size_t i = 0; i + 2 < out.len; i++) {
		PROMISE(out.ptr[i] >= ' ' && out.ptr[i] <= '~');
	}
	struct reply_in reply = { 0 };
	struct span in = buf_span(&out);
	PROMISE(reply_read(&reply, &in) == REPLY_DONE && in.len == 0);
	PROMISE(reply.code == reply_row(name)->code);
	buf_done(&out);
}

/* Reads one reply in pieces of `step` bytes; gives the bytes taken. */
static size_t read_one(struct span all, size_t step, struct reply_in *reply,
                       enum reply_read *got)
{
	size_t taken = 0;
	size_t given = 0;
	*reply = (struct reply_in){ 0 };
	do {
		given = all.len - given < step ? all.len : given + step;
		struct span in = span_first(span_from(all, taken), given - taken);
		*got = reply_read(reply, &in);
		taken = given - in.len;
	} while (*got == REPLY_MORE && given < all.len);
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_of(data, size);
	enum reply name = (enum reply)(fuzz_byte(&all) % REPLY_COUNT);
	size_t step = 1 + fuzz_byte(&all);
	struct reply_in whole, split;
	enum reply_read a, b;
	write_one(name, all);
	size_t taken = read_one(all, all.len + 1, &whole, &a);
	PROMISE(read_one(all, step, &split, &b) == taken && a == b);
	PROMISE(whole.code == split.code && whole.last == split.last);
	PROMISE(strcmp(whole.text, split.text) == 0);
	PROMISE(strcmp(whole.enhanced, split.enhanced) == 0);
	PROMISE(a != REPLY_DONE || (whole.code >= 200 && whole.code <= 559));
	return 0;
}
