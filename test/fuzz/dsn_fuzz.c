/* Whatever the inputs hold: lines of at most 998 with CRLF, our fields only, three parts. */
#include "fuzz.h"
#include "proto/dsn.h"

static bool has(struct span text, struct span what)
{
	return text.len && memmem(text.ptr, text.len, what.ptr, what.len);
}

static void check_lines(struct span rest)
{
	while (rest.len) {
		size_t n = span_find(rest, '\n');
		PROMISE(n < rest.len && n > 0 && n - 1 <= 998);
		struct span line = span_first(rest, n - 1);
		PROMISE(rest.ptr[n - 1] == '\r' && span_find(line, '\r') == line.len);
		PROMISE(span_find(line, '\0') == line.len);
		rest = span_from(rest, n + 1);
	}
}

/* The report up to the returned message: every byte of it is of ours or was made harmless. */
static void check_ours(struct span ours)
{
	static const char *const fields[] = {
		"From:",
		"To:",
		"Subject:",
		"Date:",
		"Message-ID:",
		"Auto-Submitted:",
		"MIME-Version:",
		"Content-Type:",
		"Content-Transfer-Encoding:",
		" ",
	};
	for (size_t i = 0; i < ours.len; i++) {
		char c = ours.ptr[i];
		PROMISE((c >= ' ' && c < 127) || c == '\r' || c == '\n');
	}
	while (ours.len >= 2 && memcmp(ours.ptr, "\r\n", 2) != 0) {
		size_t known = 0;
		while (known < COUNT(fields) &&
		       !span_starts_nocase(ours, span_str(fields[known]))) {
			known++;
		}
		PROMISE(known < COUNT(fields));
		ours = span_from(ours, span_find(ours, '\n') + 1);
	}
}

static void check_parts(struct span report, struct span original)
{
	static const char type[] =
	    "\nContent-Type: multipart/report; report-type=delivery-status;";
	const char *at = memmem(report.ptr, report.len, type, sizeof type - 1);
	PROMISE(at);
	struct span boundary = span_from(report, (size_t)(at - report.ptr) + sizeof type - 1);
	boundary = span_from(boundary, span_find(boundary, '"') + 1);
	boundary = span_first(boundary, span_find(boundary, '"'));
	PROMISE(boundary.len > 0 && boundary.len <= 70 && !has(original, boundary));
	size_t delimiters = 0;
	for (struct span rest = report; rest.len;) {
		struct span line = span_first(rest, span_find(rest, '\n'));
		if (span_starts_nocase(line, SPAN_LIT("--")) &&
		    span_starts_nocase(span_from(line, 2), boundary)) {
			delimiters++;
			if (delimiters == 3) {
				check_ours(span_first(report, (size_t)(line.ptr - report.ptr)));
			}
		}
		rest = span_from(rest, line.len + 1);
	}
	PROMISE(delimiters == 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	unsigned flags = fuzz_byte(&in);
	struct dsn_recipient recipients[3];
	struct dsn dsn = {
		.hostname = fuzz_piece(&in),
		.to = fuzz_piece(&in),
		.id = fuzz_piece(&in),
		.now = fuzz_byte(&in),
		.recipients = recipients,
		.nrecipients = 1 + (flags >> 2) % COUNT(recipients),
		.header_only = flags & 1,
		.eight_bit = flags & 2,
	};
	dsn.to = dsn.to.len ? dsn.to : SPAN_LIT("a@b.c");
	for (size_t i = 0; i < dsn.nrecipients; i++) {
		recipients[i].address = fuzz_piece(&in);
		recipients[i].status = fuzz_piece(&in);
		recipients[i].diagnostic = fuzz_piece(&in);
		recipients[i].remote = fuzz_piece(&in);
	}
	dsn.original = in;
	struct buf out = { .cap = 1 << 24 };
	dsn_write(&dsn, &out);
	PROMISE(!out.failed);
	check_lines(buf_span(&out));
	check_parts(buf_span(&out), dsn.original);
	buf_done(&out);
	return 0;
}
