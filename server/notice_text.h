/*
 * The text of a notice: placeholders filled in, lines folded, bytes from outside made harmless,
 * and the message around it. Nothing that was said to us makes a line or a header field of its
 * own, and no line begins with one of the words by which an answer is an order: a mail program
 * that quotes without a mark sends our own lines back.
 */
#ifndef GATEPOST_SERVER_NOTICE_TEXT_H
#define GATEPOST_SERVER_NOTICE_TEXT_H

#include "proto/buf.h"

#define NOTICE_TEXT_COLUMNS 78

/* etc/notices, built in. */
extern const char notice_template_suspended[], notice_template_ended[],
    notice_template_ignored[], notice_template_event[], notice_template_answers[],
    notice_template_reminder[], notice_template_expiring[], notice_template_drill[],
    notice_template_drilled[], notice_template_digest[], notice_template_digest_end[],
    notice_template_owner[], notice_template_several[], notice_template_several_case[],
    notice_template_several_end[];

/* What stands for {name}. An empty text is none. */
struct notice_value {
	const char *name;
	struct span text;
};

/*
 * Appends `template` with its {name}s filled in, escaped; each must be in the list. A line that
 * begins with {?name} is there only when that one has a text. A line is folded to
 * NOTICE_TEXT_COLUMNS, but one with a blank in front, a link or a command, stays as it is.
 * Lines end with LF.
 */
void notice_text_fill(const char *template, const struct notice_value *values, size_t n,
                      struct buf *out);

/* Appends `text` as printable UTF-8 on one line, at most `most` bytes of it, "..." behind what
 * was cut: control bytes, what is no UTF-8, and the marks that turn the direction of writing or
 * can not be seen become '?'. */
void notice_text_escape(struct span text, size_t most, struct buf *out);
/* The same, as one argument of a command line of sh. */
void notice_text_quote(struct span text, struct buf *out);
/* "mailto:ADDRESS?subject=SUBJECT" (RFC 6068). */
void notice_text_link(struct span address, struct span subject, struct buf *out);

struct notice_message {
	const char *hostname; /* behind the @ of ids */
	struct span from, to; /* an address; addresses with ", " between them */
	struct span reply_to; /* an address; may be empty */
	struct span subject;
	struct span id, parent; /* what stands before the @; the parent's may be empty */
	int64_t seconds;        /* since 1970 */
	struct span body;       /* lines with LF */
};

/* Appends the whole message, lines with CRLF. */
void notice_text_message(const struct notice_message *message, struct buf *out);

#endif
