#include "proto/line.h"

#include <assert.h>

/* What no command may hold, in the order of reporting. */
static const struct {
	char byte;
	enum line_kind kind;
} faults[] = {
	{ '\0', LINE_NUL },
	{ '\n', LINE_BARE_LF },
	{ '\r', LINE_BARE_CR },
};

static enum line_kind judge(struct span text)
{
	for (size_t i = 0; i < COUNT(faults); i++) {
		if (span_find(text, faults[i].byte) < text.len) {
			return faults[i].kind;
		}
	}
	return LINE_OK;
}

/* No CRLF in all of `in`: a line still short enough waits, a longer one is dropped as it comes.
 */
static enum line_kind wait_for_more(struct line *line, struct span *in, size_t max)
{
	/* A CR at the end may be half of the CRLF. */
	size_t settled = in->len - (in->len && in->ptr[in->len - 1] == '\r');
	if (!line->dropped && in->len < max) {
		line->scanned = settled;
		return LINE_MORE;
	}
	line->dropped += settled;
	line->scanned = 0;
	*in = span_from(*in, settled);
	return line->dropped > LINE_DROP_MAX ? LINE_ENDLESS : LINE_MORE;
}

enum line_kind line_next(struct line *line, struct span *in, size_t max, struct span *text_out)
{
	assert(max >= 2 && max <= LINE_DROP_MAX && line->scanned <= in->len);
	if (line->dropped > LINE_DROP_MAX) {
		return LINE_ENDLESS;
	}
	struct span fresh = span_from(*in, line->scanned);
	const char *end = fresh.len ? memmem(fresh.ptr, fresh.len, "\r\n", 2) : NULL;
	if (!end) {
		return wait_for_more(line, in, max);
	}
	struct span text = span_first(*in, (size_t)(end - in->ptr));
	size_t length = line->dropped + text.len;
	*in = span_from(*in, text.len + 2);
	*line = (struct line){ 0 };
	if (length > LINE_DROP_MAX) {
		line->dropped = length; /* what follows is not read either */
		return LINE_ENDLESS;
	}
	if (length + 2 > max) {
		return LINE_TOO_LONG;
	}
	enum line_kind kind = judge(text);
	if (kind == LINE_OK) {
		*text_out = text;
	}
	return kind;
}
