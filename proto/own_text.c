#include "proto/own_text.h"

#define ATTRIBUTION_LINES 4 /* a long name and a long address are broken twice */
#define ARMOR_LINES       10

/* ---- blanks and lines ---- */

/* Clients put these where a human sees nothing: no-break and wide blanks, zero width marks,
 * marks of direction, byte order marks. */
static const char *const blanks[] = {
	" ",
	"\t",
	"\r",
	"\xc2\xa0",
	"\xe2\x80\x8b",
	"\xe2\x80\x8c",
	"\xe2\x80\x8d",
	"\xe2\x80\x8e",
	"\xe2\x80\x8f",
	"\xe2\x80\xaa",
	"\xe2\x80\xab",
	"\xe2\x80\xac",
	"\xe2\x80\xad",
	"\xe2\x80\xae",
	"\xe2\x80\xaf",
	"\xe2\x81\xa0",
	"\xe2\x81\xa6",
	"\xe2\x81\xa7",
	"\xe2\x81\xa8",
	"\xe2\x81\xa9",
	"\xe3\x80\x80",
	"\xef\xbb\xbf",
};

static bool ends_with(struct span text, struct span end)
{
	return text.len >= end.len && span_eq(span_from(text, text.len - end.len), end);
}

/* The blank at the front, or at the back, of `text`: its length, 0 when there is none. */
static size_t blank_at(struct span text, bool back)
{
	for (size_t i = 0; i < COUNT(blanks); i++) {
		struct span blank = span_str(blanks[i]);
		if (back ? ends_with(text, blank)
		         : span_eq(span_first(text, blank.len), blank)) {
			return blank.len;
		}
	}
	return 0;
}

struct span own_text_trim(struct span text)
{
	for (size_t n = blank_at(text, false); n > 0; n = blank_at(text, false)) {
		text = span_from(text, n);
	}
	for (size_t n = blank_at(text, true); n > 0; n = blank_at(text, true)) {
		text.len -= n;
	}
	return text;
}

/* The length of the line at the front, its end included. */
static size_t line_length(struct span text)
{
	size_t n = span_find(text, '\n');
	return n < text.len ? n + 1 : n;
}

static struct span first_line(struct span text)
{
	return own_text_trim(span_first(text, span_find(text, '\n')));
}

static bool contains(struct span text, struct span part)
{
	return text.len >= part.len && memmem(text.ptr, text.len, part.ptr, part.len);
}

static bool has_digit(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] >= '0' && text.ptr[i] <= '9') {
			return true;
		}
	}
	return false;
}

/* ---- what is not the writer's: its length at the front of a text that begins a line ---- */

static size_t blank_line(struct span text)
{
	return first_line(text).len == 0 ? line_length(text) : 0;
}

static size_t quoted_line(struct span text)
{
	struct span line = first_line(text);
	return line.len && line.ptr[0] == '>' ? line_length(text) : 0;
}

/* RFC 3676 4.3: "-- "; its blank is lost on the way often enough. */
static size_t signature(struct span text)
{
	return span_eq(first_line(text), SPAN_LIT("--")) ? line_length(text) : 0;
}

/* RFC 9580 7: the line before the signed text, and its armor headers. */
static size_t signed_armor(struct span text)
{
	if (!span_eq(first_line(text), SPAN_LIT("-----BEGIN PGP SIGNED MESSAGE-----"))) {
		return 0;
	}
	size_t n = line_length(text);
	for (size_t i = 0; i < ARMOR_LINES && first_line(span_from(text, n)).len; i++) {
		n += line_length(span_from(text, n));
	}
	return n;
}

/* "-----Original Message-----" in any language; not what is encrypted. */
static size_t original_message(struct span text)
{
	struct span line = first_line(text);
	struct span rule = SPAN_LIT("---");
	bool titled = span_starts_nocase(line, rule) && ends_with(line, rule) &&
	              line.len > 2 * rule.len;
	bool named = false;
	for (size_t i = 0; titled && !named && i < line.len; i++) {
		named = line.ptr[i] != '-' && line.ptr[i] != ' ';
	}
	return named && !contains(line, SPAN_LIT("BEGIN PGP MESSAGE")) ? line_length(text) : 0;
}

/* A line drawn across: Outlook puts one before its From: block. */
static size_t drawn_line(struct span text)
{
	struct span line = first_line(text);
	for (size_t i = 0; i < line.len; i++) {
		if (!memchr("_-=*~", line.ptr[i], 5)) {
			return 0;
		}
	}
	return line.len >= 3 ? line_length(text) : 0;
}

/* The names of header fields as clients translate them in the block above a quoted message. */
static const char *const labels[] = {
	"From",       "Sent",       "Date",       "To",        "Cc",    "Subject",
	"Reply-To",   "Von",        "Gesendet",   "Datum",     "An",    "Betreff",
	"De",         "Envoyé",     "Envoyé le",  "À",         "Objet", "Enviado",
	"Enviado el", "Enviada em", "Enviado em", "Fecha",     "Data",  "Para",
	"Asunto",     "Assunto",    "Da",         "Inviato",   "A",     "Oggetto",
	"Van",        "Verzonden",  "Aan",        "Onderwerp", "Från",  "Skickat",
	"Till",       "Ämne",       "Fra",        "Sendt",     "Dato",  "Til",
	"Emne",       "Od",         "Wysłano",    "Do",        "Temat", "Odesláno",
	"Komu",       "Předmět",
};

/* "Sent: ...", also "*Sent:* ..." and "À : ...". */
static bool is_label(struct span line)
{
	while (line.len && line.ptr[0] == '*') {
		line = span_from(line, 1);
	}
	struct span name = span_first(line, span_find(line, ':'));
	name = name.len < line.len ? own_text_trim(name) : SPAN_NONE;
	for (size_t i = 0; i < COUNT(labels); i++) {
		if (span_eq_nocase(name, span_str(labels[i]))) {
			return true;
		}
	}
	return false;
}

static size_t from_block(struct span text)
{
	size_t n = line_length(text);
	return is_label(first_line(text)) && is_label(first_line(span_from(text, n))) ? n : 0;
}

/* What telephones and free mailers sign with unasked. */
static const struct {
	const char *begin, *end;
} adverts[] = {
	{ "Sent from my ", "" },
	{ "Sent from Outlook", "" },
	{ "Sent from Mail for ", "" },
	{ "Sent from Proton", "" },
	{ "Sent with Proton", "" },
	{ "Sent from Yahoo", "" },
	{ "Sent via ", "" },
	{ "Get Outlook for ", "" },
	{ "Von meinem ", " gesendet" },
	{ "Von meinem ", " gesendet." },
	{ "Diese Nachricht wurde von ", " gesendet." },
	{ "Gesendet von ", "" },
	{ "Gesendet mit ", "" },
	{ "Outlook für ", "" },
	{ "Envoyé de mon", "" },
	{ "Envoyé depuis ", "" },
	{ "Envoyé à partir d", "" },
	{ "Télécharger Outlook pour ", "" },
	{ "Enviado desde ", "" },
	{ "Enviado do meu ", "" },
	{ "Obtener Outlook para ", "" },
	{ "Inviato da", "" },
	{ "Verzonden vanaf ", "" },
	{ "Verstuurd vanaf ", "" },
	{ "Skickat från min ", "" },
	{ "Sendt fra min ", "" },
	{ "Wysłane z ", "" },
	{ "Odesláno z ", "" },
};

static size_t advert(struct span text)
{
	struct span line = first_line(text);
	for (size_t i = 0; i < COUNT(adverts); i++) {
		if (span_starts_nocase(line, span_str(adverts[i].begin)) &&
		    ends_with(line, span_str(adverts[i].end))) {
			return line_length(text);
		}
	}
	return 0;
}

/* The line above a quotation: how it begins, and the verb before its colon. */
static const struct {
	const char *begin; /* empty: a date or a name in any form */
	const char *verb;
	bool anywhere; /* the name stands behind the verb */
} attributions[] = {
	{ "On ", "wrote", false },
	{ "Am ", "schrieb", true },
	{ "Am ", "geschrieben", false },
	{ "Um ", "schrieb", true },
	{ "Le ", "écrit", false },
	{ "El ", "escribió", false },
	{ "Il ", "scritto", false },
	{ "Op ", "schreef", true },
	{ "Em ", "escreveu", false },
	{ "No dia ", "escreveu", false },
	{ "Den ", "skrev", true },
	{ "På ", "skrev", true },
	{ "Dne ", "napsal", true },
	{ "W dniu ", "pisze", false },
	{ "20", ">", false }, /* "2026-11-25 3:00 GMT+01:00 Gatepost <address>:" */
	{ "", "wrote", false },
	{ "", "writes", false },
	{ "", "schrieb", true },
	{ "", "écrit", false },
	{ "", "escribió", false },
	{ "", "scritto", false },
	{ "", "schreef", true },
	{ "", "escreveu", false },
	{ "", "skrev", true },
	{ "", "napisał(a)", false },
	{ "", "napsal(a)", false },
};

/*
 * `text` is lines up to the colon, which is cut off; `lead` is the first of them. Own words
 * that merely look alike must not be lost: a known beginning and a date are asked for, or a
 * date and an address in the first line, or a quotation that follows at once.
 */
static bool is_attribution(struct span lead, struct span text, bool quote_follows)
{
	bool dated = has_digit(text);
	bool addressed = has_digit(lead) && span_find(lead, '<') < lead.len;
	for (size_t i = 0; i < COUNT(attributions); i++) {
		struct span begin = span_str(attributions[i].begin);
		struct span verb = span_str(attributions[i].verb);
		bool likely = begin.len ? dated : addressed || quote_follows;
		if (likely && span_starts_nocase(lead, begin) &&
		    (attributions[i].anywhere ? contains(text, verb) : ends_with(text, verb))) {
			return true;
		}
	}
	return false;
}

static bool is_quote_next(struct span text)
{
	return quoted_line(span_from(text, blank_line(text))) > 0;
}

static size_t attribution(struct span text)
{
	struct span lead = first_line(text), behind = text;
	for (size_t i = 0; i < ATTRIBUTION_LINES; i++) {
		struct span line = first_line(behind);
		if (line.len == 0 || line.ptr[0] == '>') {
			break;
		}
		behind = span_from(behind, line_length(behind));
		if (line.ptr[line.len - 1] == ':') {
			size_t n = (size_t)(line.ptr + line.len - 1 - lead.ptr);
			struct span all = own_text_trim(span_of(lead.ptr, n));
			bool quote_follows = i == 0 && is_quote_next(behind);
			return is_attribution(lead, all, quote_follows) ? text.len - behind.len
			                                                : 0;
		}
	}
	return 0;
}

/* ---- the lines ---- */

/* In this order: an attribution may begin with any word. */
static const struct {
	size_t (*take)(struct span text);
	enum { PASS, QUOTE, END } effect;
} rules[] = {
	{ blank_line, PASS }, { quoted_line, QUOTE },    { signed_armor, PASS },
	{ signature, END },   { original_message, END }, { from_block, END },
	{ drawn_line, PASS }, { advert, PASS },          { attribution, PASS },
};

bool own_text_next(struct own_text *own, struct own_line *line_out)
{
	while (own->rest.len) {
		size_t n = 0, i = 0;
		while (i < COUNT(rules) && (n = rules[i].take(own->rest)) == 0) {
			i++;
		}
		if (n == 0) {
			*line_out = (struct own_line){ first_line(own->rest),
				                       own->below_quote };
			own->rest = span_from(own->rest, line_length(own->rest));
			return true;
		}
		own->below_quote = rules[i].effect == QUOTE;
		own->rest = rules[i].effect == END ? SPAN_NONE : span_from(own->rest, n);
	}
	return false;
}
