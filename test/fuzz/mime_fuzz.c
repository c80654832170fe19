/* Whatever the bytes: bounded text without NUL, and the same for the same bytes. */
#include "fuzz.h"

#include "proto/mime.h"
#include "proto/qp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message = span_of(data, size);
	struct buf first, again, words;
	buf_init(&first, MIME_TEXT_MAX);
	buf_init(&again, MIME_TEXT_MAX);
	buf_init(&words, 4 * size + 64);
	enum mime_result result = mime_first_text(message, &first);
	PROMISE(result <= MIME_UNDECODABLE);
	PROMISE(mime_first_text(message, &again) == result);
	PROMISE(span_eq(buf_span(&first), buf_span(&again)));
	PROMISE(first.len <= MIME_TEXT_MAX);
	mime_decode_words(message, &words);
	buf_clear(&words);
	qp_decode(message, &words);
	PROMISE(words.failed || words.len <= size);
	buf_done(&first);
	buf_done(&again);
	buf_done(&words);
	return 0;
}
