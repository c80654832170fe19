#include "proto/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *buf, size_t cap)
{
	*buf = (struct buf){ .cap = cap };
}

void buf_done(struct buf *buf)
{
	if (buf) {
		free(buf->ptr ? buf->ptr - buf->head : NULL);
		buf_init(buf, buf->cap);
	}
}

void buf_clear(struct buf *buf)
{
	buf->ptr = buf->ptr ? buf->ptr - buf->head : NULL;
	buf->head = 0;
	buf->len = 0;
	buf->failed = false;
}

/* Makes room for `want` bytes from the first live one on; on failure all is as before. */
static bool resize(struct buf *buf, size_t want)
{
	if (buf->head + want <= buf->size && buf->ptr) {
		return true;
	}
	char *block = buf->ptr ? buf->ptr - buf->head : NULL;
	/* Moving pays only where much was dropped: a full queue that is drained byte by byte
	 * would be moved at each put. Otherwise it grows, by half, so that a byte is moved O(1)
	 * times. */
	if (!block || buf->head < buf->size / 2 || want > buf->size) {
		size_t size = buf->size < 128 ? 128 : buf->size + buf->size / 2;
		size = size < buf->head + want ? buf->head + want : size;
		block = realloc(block, size);
		if (!block) {
			return false;
		}
		buf->size = size;
		buf->ptr = block + buf->head;
	}
	if (buf->head) {
		memmove(block, buf->ptr, buf->len);
		buf->ptr = block;
		buf->head = 0;
	}
	return true;
}

char *buf_reserve(struct buf *buf, size_t n)
{
	if (buf->failed || n > buf->cap || buf->len > buf->cap - n || n > SIZE_MAX / 4 ||
	    !resize(buf, buf->len + n)) {
		buf->failed = true;
		return NULL;
	}
	return buf->ptr + buf->len;
}

void buf_grow(struct buf *buf, size_t n)
{
	assert(buf->head + buf->len + n <= buf->size && buf->len + n <= buf->cap);
	buf->len += n;
}

bool buf_put(struct buf *buf, struct span bytes)
{
	if (bytes.len == 0) {
		return !buf->failed;
	}
	char *at = buf_reserve(buf, bytes.len);
	if (!at) {
		return false;
	}
	memcpy(at, bytes.ptr, bytes.len);
	buf->len += bytes.len;
	return true;
}

bool buf_put_str(struct buf *buf, const char *text)
{
	return buf_put(buf, span_str(text));
}

bool buf_put_byte(struct buf *buf, char byte)
{
	return buf_put(buf, span_of(&byte, 1));
}

bool buf_vprintf(struct buf *buf, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	/* vsnprintf also writes a NUL: it needs one byte that is not counted against the cap.
	 */
	bool fits = n >= 0 && buf_reserve(buf, (size_t)n) &&
	            resize(buf, buf->len + (size_t)n + 1);
	if (fits) {
		vsnprintf(buf->ptr + buf->len, (size_t)n + 1, format, args);
		buf->len += (size_t)n;
	} else {
		buf->failed = true;
	}
	return fits;
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	bool fits = buf_vprintf(buf, format, args);
	va_end(args);
	return fits;
}

void buf_drop(struct buf *buf, size_t n)
{
	assert(n <= buf->len);
	if (n == buf->len) {
		bool failed = buf->failed;
		buf_done(buf);
		buf->failed = failed;
		return;
	}
	buf->ptr += n;
	buf->head += n;
	buf->len -= n;
}
