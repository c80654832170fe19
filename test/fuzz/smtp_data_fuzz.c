/*
 * The text ends where a search for CRLF.CRLF says, in any split; no byte is lost; and what goes
 * out comes back.
 */
#include "fuzz.h"
#include "proto/smtp_data.h"

struct reading {
	struct buf text;
	struct smtp_data_facts facts;
	bool ended;
	size_t taken;
};

static struct reading read_wire(struct span wire, size_t step)
{
	struct reading reading = { .text = { .cap = wire.len + 16 } };
	struct smtp_data_in data;
	smtp_data_in_init(&data);
	while (reading.taken < wire.len && !reading.ended) {
		struct span in = span_first(span_from(wire, reading.taken), step);
		reading.taken += in.len;
		while (in.len && !reading.ended) {
			struct span run;
			reading.ended = smtp_data_in_next(&data, &in, &run);
			buf_put(&reading.text, run);
		}
		reading.taken -= in.len;
	}
	PROMISE(!reading.text.failed && reading.text.len == data.facts.bytes);
	reading.facts = data.facts;
	return reading;
}

/* Where the terminator ends, as a search finds it; 0 when there is none. */
static size_t terminator_end(struct span wire)
{
	if (span_eq(span_first(wire, 3), SPAN_LIT(".\r\n"))) {
		return 3;
	}
	const char *at = wire.len ? memmem(wire.ptr, wire.len, "\r\n.\r\n", 5) : NULL;
	return at ? (size_t)(at - wire.ptr) + 5 : 0;
}

static void there_and_back(struct span text, size_t step)
{
	struct smtp_data_out data = { 0 };
	struct buf wire = { .cap = 2 * text.len + 16 };
	for (struct span rest = text; rest.len; rest = span_from(rest, step)) {
		smtp_data_out_put(&data, span_first(rest, step), &wire);
	}
	smtp_data_out_end(&data, &wire);
	PROMISE(!wire.failed && terminator_end(buf_span(&wire)) == wire.len);
	struct reading back = read_wire(buf_span(&wire), step);
	PROMISE(back.ended && back.taken == wire.len);
	PROMISE(span_eq(span_first(buf_span(&back.text), text.len), text));
	PROMISE(back.text.len == text.len || back.text.len == text.len + 2);
	buf_done(&back.text);
	buf_done(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span wire = span_of(data, size);
	size_t step = 1 + fuzz_byte(&wire);
	struct reading whole = read_wire(wire, wire.len + 1);
	struct reading split = read_wire(wire, step);
	size_t end = terminator_end(wire);
	PROMISE(whole.ended == (end != 0) && (!end || whole.taken == end));
	PROMISE(whole.ended == split.ended && whole.taken == split.taken);
	PROMISE(span_eq(buf_span(&whole.text), buf_span(&split.text)));
	PROMISE(whole.facts.bare_cr == split.facts.bare_cr);
	PROMISE(whole.facts.bare_lf == split.facts.bare_lf);
	PROMISE(whole.facts.longest == split.facts.longest);
	if (whole.ended && !whole.facts.bare_cr && !whole.facts.bare_lf) {
		there_and_back(buf_span(&whole.text), step);
	}
	buf_done(&whole.text);
	buf_done(&split.text);
	return 0;
}
