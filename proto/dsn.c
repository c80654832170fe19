#include "proto/dsn.h"

#include "proto/header.h"

#include <assert.h>
#include <stdio.h>

#define TEXT_LINE_MAX 998 /* RFC 5322 2.1.1 */
#define FIELD_MAX     ((size_t)64 * 1024)

/* Names that belong to one report. */
struct names {
	char tag[64];      /* of the queue id and the time */
	char boundary[70]; /* at most that (RFC 2046 5.1.1), its NUL included here */
};

/* The only way into a line of ours: whatever the bytes, they stay on their (folded) line. */
__attribute__((format(printf, 4, 5))) static void
put_line(struct buf *out, const char *lead, const char *indent, const char *format, ...)
{
	struct buf words = { .cap = FIELD_MAX };
	va_list args;
	va_start(args, format);
	buf_vprintf(&words, format, args);
	va_end(args);
	header_fold(span_str(lead), span_str(indent), buf_span(&words), out);
	out->failed = out->failed || words.failed;
	buf_done(&words);
}

#define FIELD(out, lead, ...) put_line((out), lead, " ", __VA_ARGS__)
#define PARAGRAPH(out, ...)   put_line((out), "", "", __VA_ARGS__)

static void put_date(struct buf *out, const char *lead, int64_t seconds)
{
	struct buf date = { .cap = 64 };
	header_date(seconds, &date);
	FIELD(out, lead, "%.*s", SPAN_ARG(buf_span(&date)));
	buf_done(&date);
}

static void choose_names(const struct dsn *dsn, struct names *names_out)
{
	char id[32];
	size_t n = 0;
	for (size_t i = 0; i < dsn->id.len && n + 1 < sizeof id; i++) {
		char lower = span_lower(dsn->id.ptr[i]);
		if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9')) {
			id[n++] = dsn->id.ptr[i];
		}
	}
	id[n] = '\0';
	snprintf(names_out->tag, sizeof names_out->tag, "%s.%lld", id, (long long)dsn->now);
	/* A sender may foresee our boundary; no message holds all of them. */
	unsigned turn = 0;
	do {
		snprintf(names_out->boundary, sizeof names_out->boundary, "=_%s.%u",
		         names_out->tag, turn++);
	} while (dsn->original.len && memmem(dsn->original.ptr, dsn->original.len,
	                                     names_out->boundary, strlen(names_out->boundary)));
}

static void put_header(const struct dsn *dsn, const struct names *names, struct buf *out)
{
	FIELD(out, "From:", "Mail Delivery System <MAILER-DAEMON@%.*s>",
	      SPAN_ARG(dsn->hostname));
	FIELD(out, "To:", "<%.*s>", SPAN_ARG(dsn->to));
	FIELD(out, "Subject:", "Undelivered mail returned to sender");
	put_date(out, "Date:", dsn->now);
	FIELD(out, "Message-ID:", "<dsn.%s@%.*s>", names->tag, SPAN_ARG(dsn->hostname));
	FIELD(out, "Auto-Submitted:", "auto-replied"); /* RFC 3834 5: nobody shall answer it */
	FIELD(out, "MIME-Version:", "1.0");
	FIELD(out,
	      "Content-Type:", "multipart/report; report-type=delivery-status; boundary=\"%s\"",
	      names->boundary);
	if (dsn->eight_bit) {
		FIELD(out, "Content-Transfer-Encoding:", "8bit");
	}
}

/* The first lines of a part: the delimiter, its fields, and the blank line behind them. */
static void begin_part(const struct names *names, const char *type, bool eight_bit,
                       struct buf *out)
{
	buf_printf(out, "\r\n--%s\r\n", names->boundary);
	FIELD(out, "Content-Type:", "%s", type);
	if (eight_bit) {
		FIELD(out, "Content-Transfer-Encoding:", "8bit");
	}
	buf_put_str(out, "\r\n");
}

static void put_answer(const struct dsn_recipient *recipient, struct buf *out)
{
	static const char lead[] = "       ", indent[] = "        ";
	if (recipient->diagnostic.len == 0) {
		put_line(out, lead, indent, "No mail server took it in time.");
	} else if (recipient->remote.len == 0) {
		put_line(out, lead, indent, "%.*s", SPAN_ARG(recipient->diagnostic));
	} else {
		put_line(out, lead, indent, "The mail server %.*s said: %.*s",
		         SPAN_ARG(recipient->remote), SPAN_ARG(recipient->diagnostic));
	}
}

/* For the person who wrote the mail. */
static void put_explanation(const struct dsn *dsn, struct buf *out)
{
	PARAGRAPH(out, "This is the mail system at %.*s.", SPAN_ARG(dsn->hostname));
	buf_put_str(out, "\r\n");
	PARAGRAPH(out,
	          "Your message could not be delivered to the following %s. "
	          "It will not be tried again.",
	          dsn->nrecipients == 1 ? "address" : "addresses");
	for (size_t i = 0; i < dsn->nrecipients; i++) {
		buf_put_str(out, "\r\n");
		put_line(out, "   ", "    ", "%.*s", SPAN_ARG(dsn->recipients[i].address));
		put_answer(&dsn->recipients[i], out);
	}
	buf_put_str(out, "\r\n");
	PARAGRAPH(out,
	          "%s attached. If you need help, show this mail to your postmaster; "
	          "your message had the queue id %.*s.",
	          dsn->header_only ? "The header of your message is" : "Your message is",
	          SPAN_ARG(dsn->id));
}

/* RFC 3463 2, and of a class that a failure can have. */
static bool is_status(struct span status)
{
	char text[12];
	int end = 0;
	snprintf(text, sizeof text, "%.*s", SPAN_ARG(status));
	sscanf(text, "%*1[45].%*3[0-9].%*3[0-9]%n", &end);
	return end > 0 && (size_t)end == status.len;
}

/* Begins with the code of a reply: what else we know is no diagnosis of the smarthost's. */
static bool is_reply(struct span text)
{
	return text.len > 3 && text.ptr[0] >= '2' && text.ptr[0] <= '5' && text.ptr[1] >= '0' &&
	       text.ptr[1] <= '9' && text.ptr[2] >= '0' && text.ptr[2] <= '9' &&
	       text.ptr[3] == ' ';
}

/* For programs: RFC 3464 2.2 and 2.3. */
static void put_status(const struct dsn *dsn, struct buf *out)
{
	FIELD(out, "Reporting-MTA:", "dns; %.*s", SPAN_ARG(dsn->hostname));
	FIELD(out, "X-Gatepost-Queue-ID:", "%.*s", SPAN_ARG(dsn->id));
	put_date(out, "Arrival-Date:", dsn->arrived);
	for (size_t i = 0; i < dsn->nrecipients; i++) {
		const struct dsn_recipient *recipient = &dsn->recipients[i];
		struct span status = recipient->status;
		status = is_status(status) ? status : SPAN_LIT("5.0.0");
		buf_put_str(out, "\r\n");
		FIELD(out, "Final-Recipient:", "rfc822; %.*s", SPAN_ARG(recipient->address));
		FIELD(out, "Action:", "failed");
		FIELD(out, "Status:", "%.*s", SPAN_ARG(status));
		if (recipient->remote.len) {
			FIELD(out, "Remote-MTA:", "dns; %.*s", SPAN_ARG(recipient->remote));
		}
		if (is_reply(recipient->diagnostic)) {
			FIELD(out, "Diagnostic-Code:", "smtp; %.*s",
			      SPAN_ARG(recipient->diagnostic));
		}
	}
}

/* The returned mail, or its header, as lines that may be mailed: see dsn_write. */
static void put_original(const struct dsn *dsn, struct buf *out)
{
	struct span rest = dsn->original;
	while (rest.len) {
		struct span line = span_first(rest, TEXT_LINE_MAX);
		line = span_first(line, span_find(line, '\n'));
		line = span_first(line, span_find(line, '\r'));
		if (line.len == 0 && dsn->header_only) {
			return;
		}
		for (struct span left = line; left.len;) {
			struct span clean = span_first(left, span_find(left, '\0'));
			buf_put(out, clean);
			buf_put_str(out, clean.len < left.len ? "?" : "");
			left = span_from(left, clean.len + 1);
		}
		buf_put_str(out, "\r\n");
		rest = span_from(rest, line.len);
		rest = span_from(rest, rest.len && rest.ptr[0] == '\r');
		rest = span_from(rest, rest.len && rest.ptr[0] == '\n');
	}
}

void dsn_write(const struct dsn *dsn, struct buf *out)
{
	assert(dsn->to.len && dsn->nrecipients);
	struct names names;
	choose_names(dsn, &names);
	put_header(dsn, &names, out);
	begin_part(&names, "text/plain; charset=us-ascii", false, out);
	put_explanation(dsn, out);
	begin_part(&names, "message/delivery-status", false, out);
	put_status(dsn, out);
	begin_part(&names, dsn->header_only ? "text/rfc822-headers" : "message/rfc822",
	           dsn->eight_bit, out);
	put_original(dsn, out);
	buf_printf(out, "\r\n--%s--\r\n", names.boundary);
}
