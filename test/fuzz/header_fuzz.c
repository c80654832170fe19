/*
 * However a message arrives, the same goes on; without the bytes we added it is the client's
 * message; a second scan has nothing to add. And no name of a client writes lines into our
 * field.
 */
#include "fuzz.h"
#include "proto/header.h"

static const struct header_additions additions = { { "<D>", 3 }, { "<I>", 3 } };

static struct header_facts scan(struct span in, struct span cuts, struct buf *out)
{
	struct header header;
	header_init(&header, &additions);
	for (size_t i = 0; in.len; i++) {
		size_t step = cuts.len ? 1 + (unsigned char)cuts.ptr[i % cuts.len] : in.len;
		header_put(&header, span_first(in, step), out);
		in = span_from(in, step);
	}
	header_end(&header, out);
	return header.facts;
}

/* What was added lies together at one place; the client's bytes are before it and behind. */
static void check_unaltered(struct span in, struct span out, const struct header_facts *facts)
{
	char added[64] = "";
	strcat(added, facts->date ? "" : "Date: <D>\r\n");
	strcat(added, facts->message_id ? "" : "Message-ID: <I>\r\n");
	size_t len = strlen(added), same = 0;
	PROMISE(out.len >= in.len + len && out.len <= in.len + len + 2);
	size_t line_end = out.len - in.len - len; /* 2 when a line end had to be added */
	while (same < in.len && in.ptr[same] == out.ptr[same]) {
		same++;
	}
	/* The client's next bytes may look like ours: go back to a place that fits. */
	for (size_t at = same + 1; at-- > 0;) {
		struct span tail = span_from(out, at);
		struct span rest = span_from(in, at);
		bool before = line_end && tail.len >= 2 && memcmp(tail.ptr, "\r\n", 2) == 0 &&
		              span_eq(span_first(span_from(tail, 2), len), span_str(added)) &&
		              span_eq(span_from(tail, len + 2), rest);
		bool behind = span_eq(span_first(tail, len), span_str(added)) &&
		              span_eq(span_from(tail, len + line_end), rest);
		if (before || behind) {
			return;
		}
	}
	PROMISE(false); /* the client's bytes were altered */
}

static void check_received(struct span helo)
{
	struct buf out = { .cap = 4096 };
	struct span tls = helo.len & 1 ? SPAN_LIT("TLS_AES_128_GCM_SHA256") : SPAN_NONE;
	struct header_received facts = { helo, SPAN_LIT("h.example"), SPAN_LIT("ESMTPSA"),
		                         tls,  SPAN_LIT("id1"),       0 };
	header_received(&facts, &out);
	PROMISE(!out.failed);
	size_t lines = 0, blanks = 0;
	for (size_t i = 0; i < out.len; i++) {
		char c = out.ptr[i];
		PROMISE((c >= ' ' && c < 127) || c == '\r' || c == '\n' || c == '\t');
		lines += c == '\n';
		blanks += c == ' ' || c == '\t';
	}
	PROMISE(lines == 3 && blanks == (helo.len & 1 ? 16 : 14));
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	struct span cuts = fuzz_piece(&in);
	struct buf whole = { .cap = size + 400 }, split = whole, again = whole;
	struct header_facts facts = scan(in, SPAN_NONE, &whole);
	struct header_facts same = scan(in, cuts, &split);
	PROMISE(!whole.failed && span_eq(buf_span(&whole), buf_span(&split)));
	PROMISE(facts.done && memcmp(&facts, &same, sizeof facts) == 0);
	check_unaltered(in, buf_span(&whole), &facts);
	facts = scan(buf_span(&whole), cuts, &again);
	PROMISE(facts.date && facts.message_id);
	PROMISE(span_eq(buf_span(&whole), buf_span(&again)));
	check_received(cuts);
	buf_done(&whole);
	buf_done(&split);
	buf_done(&again);
	return 0;
}
