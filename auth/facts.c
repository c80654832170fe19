#include "auth/facts.h"

#include "proto/pack.h"

#include <stdio.h>

#define NETWORK_MEMORY ((int64_t)24 * 3600 * 1000)

/* ---- texts ---- */

#define UTF8_MAX 4

/* Not within a UTF-8 sequence: what is cut must still be text. */
static struct span cut(struct span text, size_t most)
{
	size_t len = text.len < most ? text.len : most;
	size_t whole = len;
	while (whole < text.len && len - whole < UTF8_MAX && (text.ptr[whole] & 0xc0) == 0x80) {
		whole--;
	}
	/* Four in a row are no UTF-8 anyway. */
	return span_first(text, len - whole < UTF8_MAX ? whole : len);
}

/* A subject may be anything, a NUL or a line of its own included: each becomes a blank. */
static void write_text(struct span text, char *out, size_t most)
{
	text = cut(span_trim(text), most);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		out[i] = c < 0x20 || c == 0x7f ? ' ' : text.ptr[i];
	}
	out[text.len] = '\0';
}

/* ---- noting ---- */

/* Where `text` stands in a list of `n` texts that lie `size` apart; the last place when it is
 * new: whatever stands there has to go. */
static size_t place_of(const char *text, const char *first, size_t size, size_t n)
{
	size_t at = 0;
	while (at < n - 1 && strcmp(first + at * size, text) != 0) {
		at++;
	}
	return at;
}

static void note_network(struct facts *facts, const struct act *act)
{
	struct facts_network used = { .last_at = act->now };
	struct facts_network *list = facts->network;
	write_text(act->client, used.text, FACTS_NETWORK_MAX);
	if (!used.text[0]) {
		return;
	}
	size_t at = place_of(used.text, list->text, sizeof *list, FACTS_NETWORKS);
	if (strcmp(list[at].text, used.text) == 0) {
		used.recipients = list[at].recipients;
	}
	bool fits = act->recipients <= UINT32_MAX - used.recipients;
	used.recipients = fits ? used.recipients + act->recipients : UINT32_MAX;
	memmove(list + 1, list, at * sizeof *list);
	list[0] = used;
}

/* The last used come first: behind the first old one all are old. */
static void forget_networks(struct facts *facts, int64_t now)
{
	size_t n = 0;
	while (n < FACTS_NETWORKS && now - facts->network[n].last_at < NETWORK_MEMORY) {
		n++;
	}
	memset(facts->network + n, 0, (FACTS_NETWORKS - n) * sizeof *facts->network);
}

static void note_subject(struct facts *facts, struct span subject)
{
	char text[FACTS_SUBJECT_MAX + 1];
	write_text(subject, text, FACTS_SUBJECT_MAX);
	if (!text[0]) {
		return;
	}
	size_t at = place_of(text, facts->subject[0], sizeof text, FACTS_SUBJECTS);
	memmove(facts->subject[1], facts->subject[0], at * sizeof text);
	memcpy(facts->subject[0], text, sizeof text);
}

#define EXAMPLE_LETTERS 3

static void note_example(struct facts *facts, struct span address)
{
	char text[FACTS_EXAMPLE_MAX + 1], cut_text[FACTS_EXAMPLE_MAX + 1];
	size_t at = address.len;
	while (at > 0 && address.ptr[at - 1] != '@') {
		at--;
	}
	if (at-- == 0) {
		return;
	}
	write_text(cut(span_first(address, at), EXAMPLE_LETTERS), cut_text, EXAMPLE_LETTERS);
	struct span domain = span_from(address, at);
	size_t most = FACTS_EXAMPLE_MAX - EXAMPLE_LETTERS - 3;
	int len = snprintf(text, sizeof text, "%s...%.*s", cut_text,
	                   SPAN_ARG(span_first(domain, most)));
	write_text(span_of(text, (size_t)len), cut_text, FACTS_EXAMPLE_MAX);
	size_t place = place_of(cut_text, facts->example[0], sizeof text, FACTS_EXAMPLES);
	memmove(facts->example[1], facts->example[0], place * sizeof text);
	memcpy(facts->example[0], cut_text, sizeof text);
}

static uint32_t higher(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Use is a sliding sum, so what this window began with belongs to the last one, too. */
static void note_peak(struct facts *facts, uint32_t used, int64_t window, int64_t now)
{
	int64_t passed = (now - facts->peak_from) / window;
	if (passed > 0) {
		facts->peak_before = higher(facts->peak_before, facts->peak_last);
		facts->peak_last = facts->peak_now;
		facts->peak_now = 0;
		facts->peak_from = now;
	}
	if (passed > 1) {
		facts->peak_before = higher(facts->peak_before, facts->peak_last);
		facts->peak_last = 0;
	}
	facts->peak_now = higher(facts->peak_now, used);
}

void facts_note(struct facts *facts, const struct act *act, uint32_t used, int64_t window)
{
	forget_networks(facts, act->now);
	note_network(facts, act);
	note_subject(facts, act->subject);
	note_example(facts, act->example);
	if (window > 0) {
		note_peak(facts, used, window, act->now);
	}
}

/* ---- the stored row ---- */

static void pack_texts(const struct facts *facts, struct buf *out)
{
	size_t n = 0;
	while (n < FACTS_NETWORKS && facts->network[n].text[0]) {
		n++;
	}
	pack_u8(out, (uint8_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_span(out, span_str(facts->network[i].text));
		pack_varint(out, facts->network[i].recipients);
		pack_varint(out, (uint64_t)facts->network[i].last_at);
	}
	n = 0;
	while (n < FACTS_SUBJECTS && facts->subject[n][0]) {
		n++;
	}
	pack_u8(out, (uint8_t)n);
	for (size_t i = 0; i < n; i++) {
		pack_span(out, span_str(facts->subject[i]));
	}
}

/* What is in a bill, too. */
static void pack_facts(const struct facts *facts, struct buf *out)
{
	pack_varint(out, facts->peak_now);
	pack_varint(out, facts->peak_last);
	pack_varint(out, facts->peak_before);
	pack_varint(out, (uint64_t)facts->peak_from);
	pack_texts(facts, out);
}

void facts_pack(const struct facts *facts, struct buf *out)
{
	pack_facts(facts, out);
	for (size_t i = 0; i < FACTS_EXAMPLES && facts->example[i][0]; i++) {
		pack_span(out, span_str(facts->example[i]));
	}
}

/* Counts and times of a row; a value beyond `most` spoils it. */
static uint64_t unpack_most(struct unpacker *in, uint64_t most)
{
	uint64_t value = unpack_varint(in);
	in->bad = in->bad || value > most;
	return in->bad ? 0 : value;
}

static uint32_t unpack_count(struct unpacker *in)
{
	return (uint32_t)unpack_most(in, UINT32_MAX);
}

static int64_t unpack_time(struct unpacker *in)
{
	return (int64_t)unpack_most(in, (uint64_t)BUDGET_TIME_MAX);
}

/* An empty one would be the end of its list. */
static void take_text(struct unpacker *in, struct span text, char *out, size_t most)
{
	in->bad = in->bad || !text.len || text.len > most || span_find(text, '\0') < text.len;
	if (!in->bad) {
		memcpy(out, text.ptr, text.len);
	}
}

static void unpack_text(struct unpacker *in, char *out, size_t most)
{
	take_text(in, unpack_span(in), out, most);
}

static size_t unpack_places(struct unpacker *in, size_t most)
{
	size_t n = unpack_u8(in);
	in->bad = in->bad || n > most;
	return in->bad ? 0 : n;
}

static void unpack_facts(struct unpacker *in, struct facts *facts)
{
	facts->peak_now = unpack_count(in);
	facts->peak_last = unpack_count(in);
	facts->peak_before = unpack_count(in);
	facts->peak_from = unpack_time(in);
	size_t n = unpack_places(in, FACTS_NETWORKS);
	for (size_t i = 0; i < n; i++) {
		unpack_text(in, facts->network[i].text, FACTS_NETWORK_MAX);
		facts->network[i].recipients = unpack_count(in);
		facts->network[i].last_at = unpack_time(in);
	}
	n = unpack_places(in, FACTS_SUBJECTS);
	for (size_t i = 0; i < n; i++) {
		unpack_text(in, facts->subject[i], FACTS_SUBJECT_MAX);
	}
}

bool facts_unpack(struct span row, struct facts *facts_out)
{
	struct facts facts = { .peak_now = 0 };
	struct unpacker in = unpack_from(row);
	if (row.len) {
		unpack_facts(&in, &facts);
	}
	/* Older rows have none. */
	for (size_t i = 0; i < FACTS_EXAMPLES && !in.bad && in.rest.len; i++) {
		unpack_text(&in, facts.example[i], FACTS_EXAMPLE_MAX);
	}
	if (!unpack_ok(&in)) {
		return false;
	}
	*facts_out = facts;
	return true;
}

bool bill_is_strange(const struct bill *bill)
{
	return bill->strangers || tariff_is_strange(&bill->tariff, &bill->lines);
}

/* ---- a bill: numbers, facts, then fields ---- */

#define BILL_APPPASS   1
#define BILL_STRANGERS 2
#define BILL_LINES     3
#define BILL_EXAMPLE   4 /* one each */
#define LINES_MAX      256

/* Pairs of count and price, in the order of the table. */
static void pack_lines(const struct bill *bill, struct buf *out)
{
	struct buf lines = { .cap = LINES_MAX };
	for (size_t i = 0; i < TARIFF_ROWS; i++) {
		pack_varint(&lines, bill->lines.count[i]);
		pack_varint(&lines, bill->tariff.price[i]);
	}
	pack_field(out, BILL_LINES, buf_span(&lines));
	out->failed = out->failed || lines.failed;
	buf_done(&lines);
}

/* Of another version they are fewer, or more. */
static bool unpack_lines(struct span field, struct bill *bill)
{
	struct unpacker in = unpack_from(field);
	for (size_t i = 0; i < TARIFF_ROWS && !in.bad && in.rest.len; i++) {
		bill->lines.count[i] = unpack_count(&in);
		bill->tariff.price[i] = unpack_count(&in);
	}
	return !in.bad;
}

void bill_pack(const struct bill *bill, struct buf *out)
{
	pack_varint(out, bill->limit.tokens);
	pack_varint(out, (uint64_t)bill->limit.window);
	pack_varint(out, bill->spent);
	pack_varint(out, bill->asked);
	pack_facts(&bill->facts, out);
	if (bill->apppass[0]) {
		pack_field(out, BILL_APPPASS, span_str(bill->apppass));
	}
	if (bill->strangers) {
		pack_field(out, BILL_STRANGERS, SPAN_LIT("\1"));
	}
	pack_lines(bill, out);
	for (size_t i = 0; i < FACTS_EXAMPLES && bill->facts.example[i][0]; i++) {
		pack_field(out, BILL_EXAMPLE, span_str(bill->facts.example[i]));
	}
}

void bill_write(const struct bill *bill, struct buf *out)
{
	const char *before = ": ";
	if (!bill->limit.window) {
		return;
	}
	budget_limit_write(&bill->limit, out);
	buf_printf(out, "%s, %u used, %u asked for", bill->strangers ? " strangers" : "",
	           bill->spent, bill->asked);
	for (enum tariff_row i = TARIFF_RECIPIENT + 1; i < TARIFF_ROWS; i++) {
		if (bill->lines.count[i] && bill->tariff.price[i]) {
			buf_printf(out, "%s%s %u x %u", before, tariff_name(i),
			           bill->lines.count[i], bill->tariff.price[i]);
			before = ", ";
		}
	}
	before = "; from ";
	for (size_t i = 0; i < FACTS_NETWORKS && bill->facts.network[i].text[0]; i++) {
		buf_printf(out, "%s%s (%u)", before, bill->facts.network[i].text,
		           bill->facts.network[i].recipients);
		before = ", ";
	}
}

/* Fields of a newer version are passed over. */
static void unpack_fields(struct unpacker *in, struct bill *bill)
{
	uint8_t tag;
	struct span field;
	size_t examples = 0;
	while (unpack_field(in, &tag, &field)) {
		if (tag == BILL_APPPASS) {
			take_text(in, field, bill->apppass, FACTS_APPPASS_MAX);
		} else if (tag == BILL_STRANGERS) {
			bill->strangers = true;
		} else if (tag == BILL_LINES) {
			in->bad = in->bad || !unpack_lines(field, bill);
		} else if (tag == BILL_EXAMPLE && examples < FACTS_EXAMPLES) {
			take_text(in, field, bill->facts.example[examples++],
			          FACTS_EXAMPLE_MAX);
		}
	}
}

bool bill_unpack(struct span row, struct bill *bill_out)
{
	struct bill bill = { .spent = 0 };
	struct unpacker in = unpack_from(row);
	bill.limit.tokens = unpack_count(&in);
	bill.limit.window = (int64_t)unpack_most(&in, (uint64_t)BUDGET_WINDOW_MAX);
	bill.spent = unpack_count(&in);
	bill.asked = unpack_count(&in);
	unpack_facts(&in, &bill.facts);
	unpack_fields(&in, &bill);
	if (!unpack_ok(&in)) {
		return false;
	}
	*bill_out = bill;
	return true;
}
