#include "proto/mailbox.h"

#include "proto/address.h"
#include "proto/mime.h"

/* The pieces of one mailbox (RFC 5322 3.4) without its comments. */
struct mailbox {
	struct buf plain, angle; /* outside the brackets, inside */
	bool has_at;             /* outside, and not quoted */
	bool in_angle, closed;
	bool bad;
};

/* A piece as mime_unit has it. */
static void take_unit(struct mailbox *mailbox, struct span unit)
{
	char c = unit.ptr[0];
	bool control = ((unsigned char)c < ' ' && c != '\t') || c == 127;
	bool nested = c == '<' && (mailbox->in_angle || mailbox->closed);
	bool behind = mailbox->closed && c != '(' && c != ' ' && c != '\t';
	/* Commas and semicolons make lists, colons groups and routes. */
	bool list = !mailbox->in_angle && memchr(",;:", c, 3);
	mailbox->bad = mailbox->bad || control || nested || behind || list;
	if (c == '(') {
		return;
	}
	if (c == '<') {
		mailbox->in_angle = true;
	} else if (c == '>' && mailbox->in_angle) {
		mailbox->in_angle = false;
		mailbox->closed = true;
	} else {
		buf_put(mailbox->in_angle ? &mailbox->angle : &mailbox->plain, unit);
		mailbox->has_at = mailbox->has_at || (c == '@' && !mailbox->in_angle);
	}
}

bool mailbox_parse(struct span value, struct buf *out)
{
	struct mailbox mailbox = { .plain.cap = MAILBOX_VALUE_MAX,
		                   .angle.cap = MAILBOX_VALUE_MAX };
	for (size_t n = mime_unit(value); n > 0; n = mime_unit(value)) {
		take_unit(&mailbox, span_first(value, n));
		value = span_from(value, n);
	}
	mailbox.bad = mailbox.bad || value.len > 0;
	/* An address before the brackets is what some readers show, and some believe. */
	bool good = !mailbox.bad && !mailbox.in_angle && mailbox.closed != mailbox.has_at;
	struct address address;
	struct span text = span_trim(
	    buf_span(mailbox.closed ? &mailbox.angle : &mailbox.plain));
	good = good && address_parse(text, &address) == ADDRESS_OK;
	if (good) {
		address_key(&address, out);
	}
	buf_done(&mailbox.plain);
	buf_done(&mailbox.angle);
	return good && !out->failed;
}
