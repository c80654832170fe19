#include "proto/orders.h"

#include "proto/address.h"
#include "proto/mailbox.h"
#include "proto/mime.h"
#include "proto/own_text.h"

#include <assert.h>
#include <inttypes.h>

#define VALUE_MAX 2000 /* of a header field: what is behind it decides nothing */

/* ---- words ---- */

static const char *const names[ORDERS] = {
	[ORDER_UNLOCK] = "unlock",   [ORDER_EMPTY] = "empty",
	[ORDER_KEEP] = "keep",       [ORDER_OTHER] = "other",
	[ORDER_DISCARD] = "discard", [ORDER_SPAM] = "spam",
	[ORDER_NO] = "no",           [ORDER_UNREADABLE] = "unreadable",
	[ORDER_RELEASE] = "release",
};

static const struct {
	struct span word;
	enum order order;
} words[] = {
	{ { "unlock", 6 }, ORDER_UNLOCK }, { { "ok", 2 }, ORDER_UNLOCK },
	{ { "yes", 3 }, ORDER_UNLOCK },    { { "release", 7 }, ORDER_RELEASE },
	{ { "keep", 4 }, ORDER_KEEP },     { { "discard", 7 }, ORDER_DISCARD },
	{ { "spam", 4 }, ORDER_SPAM },     { { "no", 2 }, ORDER_NO },
	{ { "stop", 4 }, ORDER_NO },
};

const char *order_name(enum order order)
{
	assert(order < ORDERS);
	return names[order];
}

static bool find_word(struct span text, enum order *order_out)
{
	for (size_t i = 0; i < COUNT(words); i++) {
		if (span_eq_nocase(text, words[i].word)) {
			*order_out = words[i].order;
			return true;
		}
	}
	return false;
}

bool order_is_word(enum order order)
{
	enum order same;
	return find_word(span_str(order_name(order)), &same);
}

/*
 * The first word of a line as an order; `alone_out`: nothing is behind it. "OK!" is one. "OK?"
 * asks, and "SPAM:" is what a filter writes before a subject: neither is.
 */
static bool read_word(struct span line, enum order *order_out, bool *alone_out)
{
	struct span rest = own_text_trim(line);
	size_t n = 0;
	while (n < rest.len && rest.ptr[n] != ' ' && rest.ptr[n] != '\t' &&
	       !span_starts_nocase(span_from(rest, n), SPAN_LIT("\xc2\xa0"))) {
		n++;
	}
	struct span word = span_first(rest, n);
	while (word.len && memchr(".,;!", word.ptr[word.len - 1], 4)) {
		word.len--;
	}
	*alone_out = n == rest.len;
	return find_word(word, order_out);
}

/* ---- the address ---- */

static bool is_base32(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = span_lower(text.ptr[i]);
		if (!((c >= 'a' && c <= 'z') || (c >= '2' && c <= '7'))) {
			return false;
		}
	}
	return true;
}

/* One spelling a number: no zeros before it. */
static bool read_incident(struct span text, uint64_t *incident_out)
{
	uint64_t incident = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (c < '0' || c > '9') {
			return false;
		}
		incident = incident * 10 + (uint64_t)(c - '0');
		if (incident > ORDERS_INCIDENT_MAX) {
			return false;
		}
	}
	*incident_out = incident;
	return text.len == 1 || (text.len > 1 && text.ptr[0] != '0');
}

/* [WORD.]INCIDENT-TOKEN */
static bool read_tag(struct span text, struct orders_tag *tag_out)
{
	struct orders_tag tag = { .word = ORDERS };
	size_t dot = span_find(text, '.');
	if (dot < text.len) {
		tag.has_word = true;
		if (!find_word(span_first(text, dot), &tag.word)) {
			return false;
		}
		text = span_from(text, dot + 1);
	}
	size_t dash = span_find(text, '-');
	tag.token = span_from(text, dash + 1);
	if (tag.token.len != ORDERS_TOKEN_LEN || !is_base32(tag.token) ||
	    !read_incident(span_first(text, dash), &tag.incident)) {
		return false;
	}
	*tag_out = tag;
	return true;
}

/* The two sides of the star. */
static void split_pattern(struct span pattern, struct span *before_out, struct span *behind_out)
{
	size_t star = span_find(pattern, '*');
	assert(star < pattern.len);
	*before_out = span_first(pattern, star);
	*behind_out = span_from(pattern, star + 1);
}

bool orders_read_address(struct span pattern, struct span address, struct orders_tag *tag_out)
{
	struct span before, behind;
	split_pattern(pattern, &before, &behind);
	if (address.len < before.len + behind.len) {
		return false;
	}
	size_t len = address.len - before.len - behind.len;
	return span_starts_nocase(address, before) &&
	       span_eq_nocase(span_from(address, before.len + len), behind) &&
	       read_tag(span_first(span_from(address, before.len), len), tag_out);
}

void orders_write_address(struct span pattern, enum order word, uint64_t incident,
                          struct span token, struct buf *out)
{
	struct span before, behind;
	assert(token.len == ORDERS_TOKEN_LEN && incident <= ORDERS_INCIDENT_MAX);
	assert(word == ORDERS || order_is_word(word));
	split_pattern(pattern, &before, &behind);
	buf_put(out, before);
	if (word != ORDERS) {
		buf_printf(out, "%s.", order_name(word));
	}
	buf_printf(out, "%" PRIu64 "-", incident);
	buf_put(out, token);
	buf_put(out, behind);
}

/* Why `pattern`, with one star, cannot hold the longest tag; NULL when it can. */
static const char *fault_of(struct span pattern)
{
	const char *fault = NULL;
	struct address address;
	struct buf longest = { .cap = pattern.len + ORDERS_TAG_MAX };
	orders_write_address(pattern, ORDER_DISCARD, ORDERS_INCIDENT_MAX,
	                     SPAN_LIT("abcdefghijklmnopqrstuvwxyz"), &longest);
	switch (address_parse(buf_span(&longest), &address)) {
	case ADDRESS_OK:
		fault = address.whole.len == longest.len ? NULL : "has a dot at its end";
		break;
	case ADDRESS_TOO_LONG:
		fault = "is too long with its tag: at most 64 octets before the @";
		break;
	case ADDRESS_UTF8:
		fault = "must be ASCII";
		break;
	default:
		fault = "is no address";
	}
	buf_done(&longest);
	return fault;
}

bool orders_pattern_is_valid(struct span pattern, const char **reason_out)
{
	size_t stars = 0, quotes = 0;
	for (size_t i = 0; i < pattern.len; i++) {
		stars += pattern.ptr[i] == '*';
		quotes += pattern.ptr[i] == '"';
	}
	/* A quoted local-part has more than one spelling: gateways choose another. */
	const char *fault = stars != 1 ? "must have exactly one *, where the tag goes"
	                    : quotes   ? "must not be quoted"
	                               : fault_of(pattern);
	if (fault) {
		*reason_out = fault;
	}
	return !fault;
}

/* ---- the subject ---- */

/* How clients say "reply" before a subject; forwarding is none. */
static const char *const reply_marks[] = {
	"re",  "aw",  "antw", "antwort", "sv",  "vs",   "odp",
	"ref", "rif", "r",    "res",     "ynt", "回复", "答复",
};

/* The length of a reply mark with its colon: "Re:", "RE :", "Re[2]:", "Re^2:", "Re(3):". */
static size_t reply_mark(struct span text)
{
	size_t colon = span_find(span_first(text, 20), ':');
	struct span mark = span_first(text, colon);
	if (colon >= text.len || colon == 20) {
		return 0;
	}
	while (mark.len && memchr("[]()^0123456789 ", mark.ptr[mark.len - 1], 16)) {
		mark.len--;
	}
	for (size_t i = 0; i < COUNT(reply_marks); i++) {
		if (span_eq_nocase(own_text_trim(mark), span_str(reply_marks[i]))) {
			return colon + 1;
		}
	}
	return 0;
}

/* The subject of the field's value, decoded, behind its reply marks; held by `out`. */
static struct span read_subject(struct span value, struct buf *out)
{
	struct buf raw = { .cap = VALUE_MAX };
	mime_unfold(span_first(value, VALUE_MAX), &raw);
	buf_clear(out);
	mime_decode_words(buf_span(&raw), out);
	buf_done(&raw);
	struct span subject = own_text_trim(buf_span(out));
	for (size_t n = reply_mark(subject); n > 0; n = reply_mark(subject)) {
		subject = own_text_trim(span_from(subject, n));
	}
	return subject;
}

/* ---- machine mail ---- */

static bool says_anything(struct span value)
{
	(void)value;
	return true;
}

/* The first word of a structured value. */
static struct span token(struct span value)
{
	size_t n = 0;
	while (n < value.len && !memchr(" \t;(,", value.ptr[n], 5)) {
		n++;
	}
	return span_first(value, n);
}

/* RFC 3834 5 */
static bool says_automatic(struct span value)
{
	return !span_eq_nocase(token(value), SPAN_LIT("no"));
}

static bool is_one_of(struct span text, const struct span *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq_nocase(text, rows[i])) {
			return true;
		}
	}
	return false;
}

static bool says_bulk(struct span value)
{
	static const struct span rows[] = {
		{ "bulk", 4 },
		{ "junk", 4 },
		{ "list", 4 },
		{ "auto_reply", 10 },
	};
	return is_one_of(token(value), rows, COUNT(rows));
}

static bool says_report(struct span value)
{
	static const struct span rows[] = {
		{ "multipart/report", 16 },
		{ "message/delivery-status", 23 },
		{ "message/disposition-notification", 32 },
	};
	return is_one_of(token(value), rows, COUNT(rows));
}

/* How responders begin a subject when they set nothing else (old Exchange, appliances). */
static bool says_away(struct span value)
{
	static const char *const beginnings[] = {
		"auto:", /* RFC 5230 4.1, the sieve default */
		"auto reply",
		"auto-reply",
		"autoreply",
		"auto response",
		"auto-response",
		"autoresponse",
		"automatic reply",
		"automated reply",
		"automatic response",
		"out of office",
		"out of the office",
		"out-of-office",
		"ooo:",
		"vacation:",
		"abwesenheit",
		"abwesend:",
		"automatische antwort",
		"autom. antwort",
		"réponse automatique",
		"absence du bureau",
		"absent du bureau",
		"message d'absence",
		"respuesta automática",
		"fuera de la oficina",
		"fuera de oficina",
		"risposta automatica",
		"fuori ufficio",
		"fuori sede",
		"resposta automática",
		"ausência temporária",
		"automatisch antwoord",
		"afwezig",
		"autosvar",
		"automatiskt svar",
		"automatisk svar",
		"frånvaro",
		"fravær",
		"ikke til stede",
		"automaattinen vastaus",
		"autoodpowiedź",
		"automatyczna odpowiedź",
		"automatická odpověď",
		"automatikus válasz",
		"автоответ",
		"автоматический ответ",
		"自動応答",
		"自动答复",
		"自动回复",
	};
	struct buf text = { .cap = 3 * VALUE_MAX };
	struct span subject = read_subject(value, &text);
	while (subject.len && memchr("[(*{<", subject.ptr[0], 5)) {
		subject = span_from(subject, 1);
	}
	bool away = false;
	for (size_t i = 0; i < COUNT(beginnings) && !away; i++) {
		away = span_starts_nocase(subject, span_str(beginnings[i]));
	}
	buf_done(&text);
	return away;
}

/* TESTS UN10, and what further responders and lists are known by. */
static const struct {
	struct span name;
	bool (*says)(struct span value);
} machine_fields[] = {
	{ { "Auto-Submitted", 14 }, says_automatic },
	{ { "Precedence", 10 }, says_bulk },
	{ { "Content-Type", 12 }, says_report },
	{ { "Subject", 7 }, says_away },
	{ { "X-Auto-Response-Suppress", 24 }, says_anything },
	{ { "X-Autoreply", 11 }, says_anything },
	{ { "X-Autoreply-From", 16 }, says_anything },
	{ { "X-Autorespond", 13 }, says_anything },
	{ { "X-Autoresponder", 15 }, says_anything },
	{ { "X-AutoGenerated", 15 }, says_anything },
	{ { "X-Mail-Autoreply", 16 }, says_anything },
	{ { "X-Vacation", 10 }, says_anything },
	{ { "X-Failed-Recipients", 19 }, says_anything },
	{ { "List-Id", 7 }, says_anything },
	{ { "List-Post", 9 }, says_anything },
	{ { "List-Unsubscribe", 16 }, says_anything },
};

/* Every field counts, not the first of its name. */
static bool is_machine(struct span message, struct span sender)
{
	bool found = sender.len == 0 || span_eq(sender, SPAN_LIT("<>"));
	struct mime_field field;
	struct buf value = { .cap = VALUE_MAX };
	while (!found && mime_next_field(&message, &field)) {
		for (size_t i = 0; i < COUNT(machine_fields) && !found; i++) {
			if (span_eq_nocase(field.name, machine_fields[i].name)) {
				buf_clear(&value);
				mime_unfold(span_first(field.value, VALUE_MAX), &value);
				found = machine_fields[i].says(buf_span(&value));
			}
		}
	}
	buf_done(&value);
	return found;
}

/* ---- the message ---- */

static bool read_subject_word(struct span message, enum order *order_out)
{
	bool found = false, alone;
	struct mime_field field;
	struct buf text = { .cap = 3 * VALUE_MAX };
	while (mime_next_field(&message, &field)) {
		if (span_eq_nocase(field.name, SPAN_LIT("Subject"))) {
			found = read_word(read_subject(field.value, &text), order_out, &alone);
			break;
		}
	}
	buf_done(&text);
	return found;
}

/*
 * The first own line decides. One that may be the end of a quoted line does so only if it is a
 * word and nothing else; but it is text, so the reply is not empty.
 */
static enum order read_own_text(struct span text)
{
	struct own_text own = { .rest = text };
	struct own_line line;
	/* Own words may lie behind the place where a very long text was cut. */
	enum order order = text.len + 4 > MIME_TEXT_MAX ? ORDER_OTHER : ORDER_EMPTY;
	while (own_text_next(&own, &line)) {
		bool alone;
		enum order word;
		if (read_word(line.text, &word, &alone) && (alone || !line.doubtful)) {
			return word;
		}
		if (span_starts_nocase(line.text, SPAN_LIT("-----BEGIN PGP MESSAGE-----"))) {
			return ORDER_UNREADABLE;
		}
		order = ORDER_OTHER;
		if (!line.doubtful) {
			break;
		}
	}
	return order;
}

enum orders_kind orders_read_message(struct span message, struct span envelope_sender,
                                     const struct orders_tag *tag, enum order *order_out)
{
	if (is_machine(message, envelope_sender)) {
		return ORDERS_MACHINE;
	}
	if (tag && tag->has_word) {
		*order_out = tag->word;
	} else if (!read_subject_word(message, order_out)) {
		struct buf text = { .cap = MIME_TEXT_MAX };
		bool readable = mime_first_text(message, &text) == MIME_TEXT;
		*order_out = readable ? read_own_text(buf_span(&text)) : ORDER_UNREADABLE;
		buf_done(&text);
	}
	return ORDERS_HUMAN;
}

/* ---- From ---- */

bool orders_from(struct span message, struct buf *out)
{
	struct buf value = { .cap = VALUE_MAX };
	size_t count = 0;
	buf_clear(out);
	bool good = mime_field(message, SPAN_LIT("From"), &value, &count) && count == 1 &&
	            mailbox_parse(buf_span(&value), out);
	buf_done(&value);
	return good;
}
