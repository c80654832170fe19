/*
 * What a smarthost announced in its reply to EHLO (RFC 5321 4.1.1.1): the keywords that
 * smtp_client can use, in any case of letters. Others are passed over.
 */
#ifndef GATEPOST_PROTO_SMTP_KEYWORDS_H
#define GATEPOST_PROTO_SMTP_KEYWORDS_H

#include "proto/span.h"

enum smtp_keyword {
	SMTP_KEYWORD_PIPELINING = 1, /* RFC 2920 */
	SMTP_KEYWORD_8BITMIME = 2,   /* RFC 6152 */
	SMTP_KEYWORD_SIZE = 4,       /* RFC 1870 */
	SMTP_KEYWORD_STARTTLS = 8,   /* RFC 3207 */
};

/* Zeroed: nothing was announced. */
struct smtp_keywords {
	unsigned bits;     /* of enum smtp_keyword */
	uint64_t size_max; /* 0 = no limit was told */
	bool begun;        /* the first line, which is a greeting and no keyword, was read */
};

/* Reads the lines of the reply one by one, line end included or not. */
void smtp_keywords_read(struct smtp_keywords *keywords, struct span line);

bool smtp_keywords_have(const struct smtp_keywords *keywords, enum smtp_keyword keyword);

#endif
