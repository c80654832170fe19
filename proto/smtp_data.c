#include "proto/smtp_data.h"

/*
 * Where the next byte stands. Only the path LINE_START -> DOT -> DOT_CR -> LF, entered by the
 * start of the text or a true CRLF, ends it; a bare CR or LF never leads to LINE_START.
 */
enum in_state { IN_LINE_START, IN_TEXT, IN_CR, IN_DOT, IN_DOT_CR };

void smtp_data_in_init(struct smtp_data_in *data)
{
	*data = (struct smtp_data_in){ .state = IN_LINE_START };
}

static bool has_high_bit(struct span bytes)
{
	uint64_t seen = 0;
	size_t at = 0;
	for (uint64_t word; bytes.len - at >= sizeof word; at += sizeof word) {
		memcpy(&word, bytes.ptr + at, sizeof word);
		seen |= word;
	}
	for (; at < bytes.len; at++) {
		seen |= (unsigned char)bytes.ptr[at];
	}
	return (seen & 0x8080808080808080) != 0;
}

static void count_run(struct smtp_data_facts *facts, struct span run)
{
	facts->bytes += run.len;
	facts->nul = facts->nul || span_find(run, '\0') < run.len;
	facts->eight_bit = facts->eight_bit || has_high_bit(run);
}

/* `text` belongs to the current line and holds no LF that ends it. */
static void count_line(struct smtp_data_in *data, struct span text)
{
	data->line += text.len;
	if (data->line > data->facts.longest) {
		data->facts.longest = data->line;
	}
	data->facts.bare_cr = data->facts.bare_cr || span_find(text, '\r') < text.len;
}

/* Up to the next LF or the end of `rest`, from LINE_START or TEXT; gives the bytes taken. */
static size_t scan_line(struct smtp_data_in *data, struct span rest)
{
	size_t lf = span_find(rest, '\n');
	bool ends_in_cr = lf && rest.ptr[lf - 1] == '\r';
	bool found = lf < rest.len;
	if (found && !ends_in_cr) {
		data->facts.bare_lf = true;
		count_line(data, span_first(rest, lf + 1));
		data->state = IN_TEXT;
		return lf + 1;
	}
	count_line(data, span_first(rest, lf - ends_in_cr));
	if (found) {
		data->line = 0;
		data->state = IN_LINE_START;
		return lf + 1;
	}
	data->state = ends_in_cr ? IN_CR : IN_TEXT;
	return lf;
}

/* What the byte behind a CR of an earlier run makes of that CR; gives the bytes taken. */
static size_t resolve_cr(struct smtp_data_in *data, char next)
{
	if (next == '\n') {
		data->line = 0;
		data->state = IN_LINE_START;
		return 1;
	}
	count_line(data, SPAN_LIT("\r"));
	data->state = IN_TEXT;
	return 0;
}

/* The longest run of text at the front of `in` that has no stuffing dot in it. */
static struct span scan_run(struct smtp_data_in *data, struct span in)
{
	size_t at = data->state == IN_CR ? resolve_cr(data, in.ptr[0]) : 0;
	while (at < in.len && !(data->state == IN_LINE_START && in.ptr[at] == '.')) {
		at += scan_line(data, span_from(in, at));
	}
	return span_first(in, at);
}

/* One byte of a line that may be the terminator. True when it is. */
static bool take_dot(struct smtp_data_in *data, struct span *in, struct span *run_out)
{
	char byte = in->ptr[0];
	if (data->state == IN_DOT_CR && byte != '\n') {
		/* The held back CR is text: the dot before it was stuffing. */
		*run_out = SPAN_LIT("\r");
		data->facts.bytes++;
		data->state = IN_CR;
		return false;
	}
	if (data->state == IN_DOT && byte != '\r') {
		data->state = IN_TEXT;
		return false;
	}
	*in = span_from(*in, 1);
	if (data->state == IN_DOT_CR) {
		return true;
	}
	data->state = data->state == IN_DOT ? IN_DOT_CR : IN_DOT;
	return false;
}

bool smtp_data_in_next(struct smtp_data_in *data, struct span *in, struct span *run_out)
{
	*run_out = SPAN_NONE;
	while (in->len && run_out->len == 0) {
		bool dot = data->state == IN_LINE_START && in->ptr[0] == '.';
		if (dot || data->state == IN_DOT || data->state == IN_DOT_CR) {
			if (take_dot(data, in, run_out)) {
				return true;
			}
			continue;
		}
		*run_out = scan_run(data, *in);
		*in = span_from(*in, run_out->len);
		count_run(&data->facts, *run_out);
	}
	return false;
}

enum out_state { OUT_LINE_START, OUT_TEXT };

void smtp_data_out_put(struct smtp_data_out *data, struct span text, struct buf *out)
{
	/* Dots are rarer than line ends in base64, and not commoner in prose. */
	size_t done = 0;
	for (size_t at = 0; at < text.len; at++) {
		at += span_find(span_from(text, at), '.');
		bool starts_line = at ? text.ptr[at - 1] == '\n'
		                      : data->state == OUT_LINE_START;
		if (at < text.len && starts_line) {
			buf_put(out, span_of(text.ptr + done, at - done));
			buf_put_byte(out, '.');
			done = at;
		}
	}
	if (text.len) {
		buf_put(out, span_from(text, done));
		data->state = text.ptr[text.len - 1] == '\n' ? OUT_LINE_START : OUT_TEXT;
	}
}

void smtp_data_out_end(struct smtp_data_out *data, struct buf *out)
{
	buf_put(out, data->state == OUT_LINE_START ? SPAN_LIT(".\r\n") : SPAN_LIT("\r\n.\r\n"));
}
