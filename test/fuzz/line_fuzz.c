/* However the bytes arrive, the same lines and faults come of them; a good line is clean. */
#include "fuzz.h"
#include "proto/line.h"

#define MAX ((size_t)64)

/* Feeds `in` in pieces of the lengths that `cuts` says, and writes down all that comes. */
static void play(struct span in, struct span cuts, struct buf *log)
{
	struct line line = { 0 };
	struct buf unread = { .cap = 1 << 20 };
	for (size_t i = 0; in.len; i++) {
		size_t step = cuts.len ? 1 + (unsigned char)cuts.ptr[i % cuts.len] : in.len;
		PROMISE(buf_put(&unread, span_first(in, step)));
		in = span_from(in, step);
		struct span rest = buf_span(&unread), text = SPAN_NONE;
		enum line_kind kind;
		while ((kind = line_next(&line, &rest, MAX, &text)) != LINE_MORE) {
			buf_put_byte(log, (char)('0' + kind));
			if (kind == LINE_ENDLESS) {
				buf_done(&unread);
				return;
			}
			if (kind == LINE_OK) {
				PROMISE(text.len + 2 <= MAX);
				PROMISE(span_find(text, '\r') == text.len &&
				        span_find(text, '\n') == text.len);
				PROMISE(span_find(text, '\0') == text.len);
				buf_put(log, text);
			}
		}
		/* What waits is never more than a line: that is the bound on memory. */
		PROMISE(rest.len < MAX);
		buf_drop(&unread, unread.len - rest.len);
	}
	buf_done(&unread);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	struct span cuts = fuzz_piece(&in);
	struct buf whole = { .cap = 1 << 20 }, split = { .cap = 1 << 20 };
	play(in, SPAN_NONE, &whole);
	play(in, cuts, &split);
	PROMISE(!whole.failed && span_eq(buf_span(&whole), buf_span(&split)));
	buf_done(&whole);
	buf_done(&split);
	return 0;
}
