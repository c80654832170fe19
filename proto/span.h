/*
 * Borrowed bytes: a pointer and a length, never owned, never NUL-terminated by promise.
 * A span is valid as long as the thing it points into; each header that returns one says
 * how long that is. All functions are pure and accept an empty span with a NULL pointer.
 */
#ifndef GATEPOST_PROTO_SPAN_H
#define GATEPOST_PROTO_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *ptr;
	size_t len;
};

#define SPAN_LIT(s) ((struct span){ (s), sizeof(s) - 1 })
#define SPAN_NONE   ((struct span){ NULL, 0 })
#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
/* For printf("%.*s"): a span longer than INT_MAX never reaches a log or a reply. */
#define SPAN_ARG(s) ((int)(s).len), ((s).len ? (s).ptr : "")

static inline struct span span_of(const void *ptr, size_t len)
{
	return (struct span){ ptr, len };
}

/* `text` may be NULL: an empty span. */
static inline struct span span_str(const char *text)
{
	return (struct span){ text, text ? strlen(text) : 0 };
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII only, whatever the locale. */
static inline char span_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* ASCII case is ignored, other bytes must be equal (strncasecmp would stop at a NUL). */
static inline bool span_eq_nocase(struct span a, struct span b)
{
	if (a.len != b.len) {
		return false;
	}
	for (size_t i = 0; i < a.len; i++) {
		if (span_lower(a.ptr[i]) != span_lower(b.ptr[i])) {
			return false;
		}
	}
	return true;
}

static inline bool span_starts_nocase(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_eq_nocase(span_of(s.ptr, prefix.len), prefix);
}

/* What follows the first `n` bytes; when nothing does, empty and with a NULL pointer. */
static inline struct span span_from(struct span s, size_t n)
{
	return n >= s.len ? SPAN_NONE : (struct span){ s.ptr + n, s.len - n };
}

/* At most the first `n` bytes. */
static inline struct span span_first(struct span s, size_t n)
{
	return (struct span){ s.ptr, s.len < n ? s.len : n };
}

/* Position of the byte `c`, or `s.len` when there is none. */
static inline size_t span_find(struct span s, char c)
{
	const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
	return at ? (size_t)(at - s.ptr) : s.len;
}

/* Without blanks and tabs at both ends. */
static inline struct span span_trim(struct span s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
		s = span_from(s, 1);
	}
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
		s.len--;
	}
	return s;
}

#endif
