#include "proto/buf.h"

#include <assert.h>
#include <stdarg.h>
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

/* Moves the live bytes to the start of a block of at least `want` bytes. */
static bool resize(struct buf *buf, size_t want)
{
	char *block = buf->ptr ? buf->ptr - buf->head : NULL;
	if (buf->head && buf->len) {
		memmove(block, buf->ptr, buf->len);
	}
	buf->ptr = block;
	buf->head = 0;
	if (want <= buf->size) {
		return true;
	}
	size_t size = buf->size < 128 ? 128 : buf->size;
	while (size < want) {
		size += size / 2;
	}
	block = realloc(block, size);
	if (!block) {
		return false;
	}
	buf->ptr = block;
	buf->size = size;
	return true;
}

char *buf_reserve(struct buf *buf, size_t n)
{
	if (buf->failed || n > buf->cap || buf->len > buf->cap - n) {
		buf->failed = true;
		return NULL;
	}
	if (buf->head + buf->len + n > buf->size && !resize(buf, buf->len + n)) {
		buf->failed = true;
		return NULL;
	}
	if (!buf->ptr && !resize(buf, 1)) {
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
	char *at = buf_reserve(buf, bytes.len);
	if (!at) {
		return false;
	}
	if (bytes.len) {
		memcpy(at, bytes.ptr, bytes.len);
	}
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

bool buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *at = n < 0 ? NULL : buf_reserve(buf, (size_t)n);
	/* vsnprintf also writes a NUL: it needs one byte that is not counted. */
	if (at && buf->head + buf->len + (size_t)n + 1 > buf->size &&
	    !resize(buf, buf->len + (size_t)n + 1)) {
		at = NULL;
	}
	if (at) {
		vsnprintf(buf->ptr + buf->len, (size_t)n + 1, format, again);
		buf->len += (size_t)n;
	} else {
		buf->failed = true;
	}
	va_end(again);
	return at != NULL;
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
