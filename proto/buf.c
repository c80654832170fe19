#include "proto/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *buf, size_t cap)
{
	*buf = (struct buf){ .cap = cap };
}

void buf_init_secret(struct buf *buf, size_t cap)
{
	*buf = (struct buf){ .cap = cap, .secret = true };
}

/* Of a secret buffer only live bytes are ever other than zero: whatever ceases to be live goes
 * through here. */
static void forget(const struct buf *buf, char *bytes, size_t n)
{
	if (buf->secret && n) {
		explicit_bzero(bytes, n);
	}
}

void buf_done(struct buf *buf)
{
	if (buf) {
		forget(buf, buf->ptr, buf->len);
		free(buf->ptr ? buf->ptr - buf->head : NULL);
		*buf = (struct buf){ .cap = buf->cap, .secret = buf->secret };
	}
}

void buf_clear(struct buf *buf)
{
	forget(buf, buf->ptr, buf->len);
	buf->ptr = buf->ptr ? buf->ptr - buf->head : NULL;
	buf->head = 0;
	buf->len = 0;
	buf->failed = false;
}

/* realloc may leave a copy behind. */
static char *reblock(struct buf *buf, char *block, size_t size)
{
	if (!buf->secret || !block) {
		return realloc(block, size);
	}
	char *next = malloc(size);
	if (next) {
		memcpy(next + buf->head, buf->ptr, buf->len);
		forget(buf, buf->ptr, buf->len);
		free(block);
	}
	return next;
}

/* Moves the live bytes to the front of their block. */
static void close_up(struct buf *buf, char *block)
{
	memmove(block, buf->ptr, buf->len);
	size_t stale = buf->head < buf->len ? buf->head : buf->len;
	forget(buf, buf->ptr + buf->len - stale, stale);
	buf->ptr = block;
	buf->head = 0;
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
		block = reblock(buf, block, size);
		if (!block) {
			return false;
		}
		buf->size = size;
		buf->ptr = block + buf->head;
	}
	if (buf->head) {
		close_up(buf, block);
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
	forget(buf, buf->ptr, n);
	buf->ptr += n;
	buf->head += n;
	buf->len -= n;
}
