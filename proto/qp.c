#include "proto/qp.h"

static int hex(char c)
{
	char lower = span_lower(c);
	return c >= '0' && c <= '9'           ? c - '0'
	       : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
	                                      : -1;
}

/* Puts the byte that an escape at the front of `text` stands for, or the front byte itself;
 * says how many bytes it took. Digits in lower case are wrong and common. */
static size_t put_escape(struct span text, struct buf *out)
{
	int high = text.len > 2 ? hex(text.ptr[1]) : -1;
	int low = text.len > 2 ? hex(text.ptr[2]) : -1;
	if (text.ptr[0] != '=' || high < 0 || low < 0) {
		buf_put_byte(out, text.ptr[0]);
		return 1;
	}
	buf_put_byte(out, (char)(high << 4 | low));
	return 3;
}

static size_t blanks(struct span text)
{
	size_t n = 0;
	while (n < text.len && (text.ptr[n] == ' ' || text.ptr[n] == '\t')) {
		n++;
	}
	return n;
}

static size_t line_end(struct span text)
{
	if (text.len > 1 && text.ptr[0] == '\r' && text.ptr[1] == '\n') {
		return 2;
	}
	return text.len && text.ptr[0] == '\n';
}

void qp_decode(struct span text, struct buf *out)
{
	while (text.len) {
		bool soft = text.ptr[0] == '=';
		size_t n = soft + blanks(span_from(text, soft));
		struct span behind = span_from(text, n);
		if (n > 0 && (behind.len == 0 || line_end(behind))) {
			text = soft ? span_from(behind, line_end(behind)) : behind;
		} else if (n > 0 && !soft) {
			buf_put(out, span_first(text, n));
			text = behind;
		} else {
			text = span_from(text, put_escape(text, out));
		}
	}
}

void qp_decode_word(struct span text, struct buf *out)
{
	while (text.len) {
		if (text.ptr[0] == '_') {
			buf_put_byte(out, ' ');
			text = span_from(text, 1);
		} else {
			text = span_from(text, put_escape(text, out));
		}
	}
}
