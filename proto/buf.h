/*
 * Growable bytes with a hard cap. A put beyond the cap, or one for which there is no memory,
 * changes nothing, returns false and sets `failed`, which stays set until buf_clear: a writer
 * may put many pieces and look once at the end. Zeroed memory with a cap is an empty buffer;
 * no memory is held while it is empty after buf_drop of all bytes or buf_done. What is put may
 * not lie in the buffer itself.
 *
 * A secret buffer holds passwords in passing: what is dropped, moved or freed is zeroed, so that
 * no byte of them stays behind in memory that is somebody else's later.
 */
#ifndef GATEPOST_PROTO_BUF_H
#define GATEPOST_PROTO_BUF_H

#include "proto/span.h"

#include <stdarg.h>

struct buf {
	char *ptr; /* the live bytes: ptr[0] .. ptr[len-1] */
	size_t len;
	size_t head; /* dropped bytes in front of ptr, reclaimed on growth */
	size_t size; /* bytes allocated, head included */
	size_t cap;  /* most live bytes ever */
	bool failed;
	bool secret;
};

void buf_init(struct buf *buf, size_t cap);
/* The same for a secret one; it stays so behind buf_done. */
void buf_init_secret(struct buf *buf, size_t cap);
/* Frees; the buffer is empty and usable again with the same cap. NULL is accepted. */
void buf_done(struct buf *buf);
/* Empties and forgets a failure; keeps the memory. */
void buf_clear(struct buf *buf);

bool buf_put(struct buf *buf, struct span bytes);
bool buf_put_str(struct buf *buf, const char *text);
bool buf_put_byte(struct buf *buf, char byte);
bool buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Room for `n` more bytes, to be written by the caller and counted with buf_grow; NULL when it
 * fails. Valid until the next call with this buffer. Of a secret buffer bytes that are written
 * and not counted are not zeroed. */
char *buf_reserve(struct buf *buf, size_t n);
/* Counts `n` bytes that were written behind a buf_reserve of at least as many. */
void buf_grow(struct buf *buf, size_t n);

/* Takes `n` bytes off the front. Frees the memory when nothing is left. */
void buf_drop(struct buf *buf, size_t n);

/* All live bytes; valid until the next call with this buffer. */
static inline struct span buf_span(const struct buf *buf)
{
	return span_of(buf->ptr, buf->len);
}

#endif
