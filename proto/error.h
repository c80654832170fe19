/*
 * The text of a fault of the world, in a struct lent by the caller. The kind of the fault is
 * the small enum that each floor returns; this is only the sentence for the log or the admin.
 * A `struct error *` may be NULL everywhere: then the text is dropped.
 */
#ifndef GATEPOST_PROTO_ERROR_H
#define GATEPOST_PROTO_ERROR_H

struct error {
	char text[512];
};

/* printf-like; cut at the end of the buffer, always NUL-terminated. */
void error_set(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
