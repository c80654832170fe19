/* Whatever the bytes: bounded UTF-8 with LF line ends; a header's words on one line; fields
 * that lie in the message; base64 in lines of any length is what was encoded. */
#include "fuzz.h"

#include "proto/base64.h"
#include "proto/mime.h"

/* By the pattern of the lead bytes alone: an independent, coarser look. */
static void check_utf8(struct span text)
{
	for (size_t i = 0; i < text.len;) {
		unsigned char c = (unsigned char)text.ptr[i];
		size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		PROMISE(c < 0x80 || (c >= 0xc2 && c <= 0xf4));
		PROMISE(n <= text.len - i);
		for (size_t k = 1; k < n; k++) {
			PROMISE(((unsigned char)text.ptr[i + k] & 0xc0) == 0x80);
		}
		i += n;
	}
}

static void check_fields(struct span message)
{
	struct span rest = message;
	struct mime_field field;
	while (mime_next_field(&rest, &field)) {
		PROMISE(field.name.len > 0 && field.name.ptr >= message.ptr);
		PROMISE(field.value.ptr >= field.name.ptr + field.name.len);
		PROMISE(field.value.ptr + field.value.len <= message.ptr + message.len);
		struct buf value = { .cap = message.len };
		mime_unfold(field.value, &value);
		PROMISE(!value.failed && span_find(buf_span(&value), '\n') == value.len);
		buf_done(&value);
	}
}

static void check_base64(struct span in)
{
	struct buf text = { .cap = 2 * in.len + 8 }, lines = { .cap = 8 * in.len + 32 };
	struct buf bytes = { .cap = in.len };
	size_t step = 1 + fuzz_byte(&in) % 76;
	base64_encode(in, &text);
	for (struct span rest = buf_span(&text); rest.len; rest = span_from(rest, step)) {
		buf_put(&lines, span_first(rest, step));
		buf_put_str(&lines, "\r\n");
	}
	PROMISE(base64_decode_lines(buf_span(&lines), &bytes));
	PROMISE(span_eq(buf_span(&bytes), in));
	buf_done(&text);
	buf_done(&lines);
	buf_done(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message = span_of(data, size);
	struct buf text = { .cap = MIME_TEXT_MAX }, words = { .cap = 2 * size };
	enum mime_result result = mime_first_text(message, &text);
	PROMISE(result == MIME_TEXT || text.len == 0);
	PROMISE(!text.failed && span_find(buf_span(&text), '\r') == text.len);
	check_utf8(buf_span(&text));
	mime_decode_words(message, &words);
	PROMISE(!words.failed && span_find(buf_span(&words), '\n') == words.len);
	check_utf8(buf_span(&words));
	PROMISE(mime_unit(message) <= size);
	check_fields(message);
	check_base64(message);
	buf_done(&text);
	buf_done(&words);
	return 0;
}
