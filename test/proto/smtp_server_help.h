/* What clients say in these sessions, and what they were told in short. */
#ifndef GATEPOST_TEST_PROTO_SMTP_SERVER_HELP_H
#define GATEPOST_TEST_PROTO_SMTP_SERVER_HELP_H

#include <stdlib.h>

#include "policy.h"

#define PLAIN "AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==" /* \0alice@example.org\0secret */
#define LOGIN "EHLO c\r\nAUTH PLAIN " PLAIN "\r\n"
#define MAIL  "MAIL FROM:<alice@example.org>\r\n"
#define RCPT  "RCPT TO:<b@example.net>\r\n"
#define SEND  MAIL RCPT "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"

/* The codes of all replies so far, with their enhanced codes: "220,250,530 5.7.0". */
static inline void summarize(struct span said, struct buf *out)
{
	buf_clear(out);
	struct reply_in reply = { 0 };
	while (said.len) {
		reply = (struct reply_in){ 0 };
		assert_int_equal(reply_read(&reply, &said), REPLY_DONE);
		buf_printf(out, "%s%u%s%s", out->len ? "," : "", reply.code,
		           *reply.enhanced ? " " : "", reply.enhanced);
	}
}

#endif
