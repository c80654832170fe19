#include "proto/verbs.h"

#define MECHANISM_MAX 20  /* RFC 4422 3.1 */
#define XTEXT_MAX     500 /* RFC 4954 5: AUTH= lengthens MAIL by so much */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* How long a UTF-8 character is that begins like this, 0 when it is none (RFC 3629 4). */
static size_t utf8_length(unsigned char lead, unsigned char second)
{
	/* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
	static const struct {
		unsigned char lead_low, lead_high, second_low, second_high, length;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	for (size_t i = 0; i < COUNT(forms); i++) {
		if (lead >= forms[i].lead_low && lead <= forms[i].lead_high &&
		    second >= forms[i].second_low && second <= forms[i].second_high) {
			return forms[i].length;
		}
	}
	return 0;
}

/* What is not UTF-8 is no internationalised address either, just broken bytes. */
static bool is_utf8(struct span text)
{
	const unsigned char *bytes = (const unsigned char *)text.ptr;
	size_t at = 0;
	while (at < text.len) {
		if (bytes[at] < 0x80) {
			at++;
			continue;
		}
		size_t length = at + 1 < text.len ? utf8_length(bytes[at], bytes[at + 1]) : 0;
		if (length == 0 || text.len - at < length) {
			return false;
		}
		for (size_t i = 2; i < length; i++) {
			if ((bytes[at + i] & 0xc0) != 0x80) {
				return false;
			}
		}
		at += length;
	}
	return true;
}

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] > 0x7f) {
			return false;
		}
	}
	return true;
}

static bool all_of(struct span text, bool (*is)(char))
{
	for (size_t i = 0; i < text.len; i++) {
		if (!is(text.ptr[i])) {
			return false;
		}
	}
	return true;
}

/* The part of `rest` before the first blank, taken off together with the blanks behind it. */
static struct span take_word(struct span *rest)
{
	struct span word = span_first(*rest, span_find(*rest, ' '));
	*rest = span_trim(span_from(*rest, word.len));
	return word;
}

/* ---- parameters of MAIL (RFC 5321 4.1.2): keyword, how to read its value */

struct parameter {
	const char *name;
	bool (*read)(struct span value, struct smtp_event *event);
};

/* RFC 1870 6.1: 1*20DIGIT; what no file can have is a bad value, not a big one. */
static bool read_size(struct span value, struct smtp_event *event)
{
	uint64_t size = 0;
	if (value.len == 0 || value.len > 20) {
		return false;
	}
	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned)(unsigned char)value.ptr[i] - '0';
		if (digit > 9 || size > ((uint64_t)INT64_MAX - digit) / 10) {
			return false;
		}
		size = size * 10 + digit;
	}
	event->size = size;
	return true;
}

static bool read_body(struct span value, struct smtp_event *event)
{
	static const struct {
		struct span name;
		enum smtp_body body;
	} bodies[] = {
		{ { "7BIT", 4 }, SMTP_BODY_7BIT },
		{ { "8BITMIME", 8 }, SMTP_BODY_8BITMIME },
	};
	for (size_t i = 0; i < COUNT(bodies); i++) {
		if (span_eq_nocase(value, bodies[i].name)) {
			event->body = bodies[i].body;
			return true;
		}
	}
	return false;
}

static int hex_value(char c)
{
	const char *digits = "0123456789ABCDEF";
	const char *at = c ? strchr(digits, c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* RFC 3461 4. False for bytes outside xtext, or when it is longer than `plain`. */
static bool read_xtext(struct span text, char *plain, size_t size, size_t *len_out)
{
	size_t len = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (len == size || c <= ' ' || c > '~' || c == '=') {
			return false;
		}
		if (c == '+') {
			int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
			if (high < 0 || low < 0) {
				return false;
			}
			c = (char)(high << 4 | low);
			i += 2;
		}
		plain[len++] = c;
	}
	*len_out = len;
	return true;
}

/* RFC 4954 5: must be understood and is believed from nobody. With or without brackets. */
static bool read_auth(struct span value, struct smtp_event *event)
{
	(void)event;
	char plain[XTEXT_MAX];
	size_t len = 0;
	if (!read_xtext(value, plain, sizeof plain, &len) || len == 0) {
		return false;
	}
	struct span text = span_of(plain, len);
	struct address address;
	if (plain[0] != '<') {
		enum address_result bare = address_parse(text, &address);
		return bare == ADDRESS_OK || bare == ADDRESS_UNQUALIFIED;
	}
	enum address_result path = address_parse_path(&text, &address);
	return text.len == 0 && (path == ADDRESS_OK || path == ADDRESS_NULL);
}

static const struct parameter mail_parameters[] = {
	{ "SIZE", read_size },
	{ "BODY", read_body },
	{ "AUTH", read_auth },
};

static bool is_keyword_char(char c)
{
	return is_alnum(c) || c == '-';
}

static enum reply read_parameter(struct span word, const struct parameter *table, size_t n,
                                 unsigned *seen, struct smtp_event *event)
{
	struct span key = span_first(word, span_find(word, '='));
	if (key.len == 0 || key.ptr[0] == '-' || !all_of(key, is_keyword_char)) {
		return REPLY_BAD_ARGUMENT;
	}
	for (size_t i = 0; i < n; i++) {
		if (!span_eq_nocase(key, span_str(table[i].name))) {
			continue;
		}
		if (*seen & 1U << i || !table[i].read(span_from(word, key.len + 1), event)) {
			return REPLY_BAD_ARGUMENT;
		}
		*seen |= 1U << i;
		return REPLY_OK;
	}
	return REPLY_UNKNOWN_PARAMETER;
}

static enum reply read_parameters(struct span rest, const struct parameter *table, size_t n,
                                  struct smtp_event *event)
{
	unsigned seen = 0;
	if (rest.len && rest.ptr[0] != ' ') {
		return REPLY_BAD_ARGUMENT;
	}
	rest = span_trim(rest);
	enum reply reply = REPLY_OK;
	while (rest.len && reply == REPLY_OK) {
		reply = read_parameter(take_word(&rest), table, n, &seen, event);
	}
	return reply;
}

/* ---- arguments */

static enum reply parse_nothing(struct span argument, struct smtp_event *event)
{
	(void)event;
	return argument.len ? REPLY_NO_ARGUMENT : REPLY_OK;
}

static enum reply parse_anything(struct span argument, struct smtp_event *event)
{
	(void)argument;
	(void)event;
	return REPLY_OK;
}

/* RFC 6531 3.7.4.2: without SMTPUTF8 a name to verify is ASCII. */
static enum reply parse_vrfy(struct span argument, struct smtp_event *event)
{
	(void)event;
	return is_ascii(argument) ? REPLY_OK : REPLY_UTF8_RECIPIENT;
}

/* Clients call themselves anything: NetBIOS names, bare addresses, model names with blanks. */
static enum reply parse_helo(struct span argument, struct smtp_event *event)
{
	if (argument.len == 0 || argument.len > VERB_HELO_MAX || !is_utf8(argument)) {
		return REPLY_BAD_ARGUMENT;
	}
	event->text = argument;
	return REPLY_OK;
}

static bool is_mechanism_char(char c)
{
	return is_alnum(c) || c == '-' || c == '_';
}

static enum reply parse_auth(struct span argument, struct smtp_event *event)
{
	struct span mechanism = take_word(&argument);
	if (mechanism.len == 0 || mechanism.len > MECHANISM_MAX ||
	    !all_of(mechanism, is_mechanism_char)) {
		return REPLY_BAD_ARGUMENT;
	}
	event->text = mechanism;
	event->response = argument;
	event->has_response = argument.len > 0;
	return REPLY_OK;
}

/* `keyword` is "FROM:" or "TO:". Many clients put a blank behind it (RFC 5321 3.3). */
static enum reply parse_path(struct span *argument, struct span keyword,
                             const enum reply *verdicts, struct smtp_event *event)
{
	if (!span_starts_nocase(*argument, keyword)) {
		return REPLY_BAD_ARGUMENT;
	}
	*argument = span_trim(span_from(*argument, keyword.len));
	if (!is_utf8(*argument)) {
		return verdicts[ADDRESS_BAD];
	}
	return verdicts[address_parse_path(argument, &event->address)];
}

static enum reply parse_mail(struct span argument, struct smtp_event *event)
{
	static const enum reply verdicts[] = {
		[ADDRESS_OK] = REPLY_OK,
		[ADDRESS_NULL] = REPLY_OK, /* RFC 6409 3.2: never a reason to refuse */
		[ADDRESS_UNQUALIFIED] = REPLY_UNQUALIFIED_SENDER,
		[ADDRESS_BAD] = REPLY_BAD_SENDER,
		[ADDRESS_TOO_LONG] = REPLY_BAD_SENDER,
		[ADDRESS_UTF8] = REPLY_UTF8_SENDER,
	};
	enum reply reply = parse_path(&argument, SPAN_LIT("FROM:"), verdicts, event);
	return reply != REPLY_OK
	           ? reply
	           : read_parameters(argument, mail_parameters, COUNT(mail_parameters), event);
}

static enum reply parse_rcpt(struct span argument, struct smtp_event *event)
{
	static const enum reply verdicts[] = {
		[ADDRESS_OK] = REPLY_OK,
		[ADDRESS_NULL] = REPLY_BAD_RECIPIENT,
		[ADDRESS_UNQUALIFIED] = REPLY_UNQUALIFIED,
		[ADDRESS_BAD] = REPLY_BAD_RECIPIENT,
		[ADDRESS_TOO_LONG] = REPLY_BAD_RECIPIENT,
		[ADDRESS_UTF8] = REPLY_UTF8_RECIPIENT,
	};
	enum reply reply = parse_path(&argument, SPAN_LIT("TO:"), verdicts, event);
	if (reply == REPLY_UNQUALIFIED &&
	    span_eq_nocase(event->address.local, SPAN_LIT("postmaster"))) {
		reply = REPLY_OK; /* RFC 5321 4.5.1: the one that needs no domain */
	}
	return reply != REPLY_OK ? reply : read_parameters(argument, NULL, 0, event);
}

/* ---- the table */

#define OUTSIDE (PHASE_START | PHASE_IDLE)

static const struct verb verbs[] = {
	/* name, id, phases, before_tls, needs_auth, parse; the frequent ones first */
	{ "RCPT", VERB_RCPT, PHASE_MAIL | PHASE_RCPT, false, true, parse_rcpt },
	{ "MAIL", VERB_MAIL, PHASE_IDLE, false, true, parse_mail },
	{ "DATA", VERB_DATA, PHASE_RCPT, false, true, parse_nothing },
	{ "EHLO", VERB_EHLO, PHASE_ANY, true, false, parse_helo },
	{ "HELO", VERB_HELO, PHASE_ANY, true, false, parse_helo },
	{ "STARTTLS", VERB_STARTTLS, OUTSIDE, true, false, parse_nothing },
	{ "AUTH", VERB_AUTH, PHASE_IDLE, false, false, parse_auth },
	{ "RSET", VERB_RSET, PHASE_ANY, true, false, parse_nothing },
	{ "NOOP", VERB_NOOP, PHASE_ANY, true, false, parse_anything },
	{ "QUIT", VERB_QUIT, PHASE_ANY, true, false, parse_nothing },
	{ "VRFY", VERB_VRFY, PHASE_ANY, false, false, parse_vrfy },
	{ "HELP", VERB_HELP, PHASE_ANY, false, false, parse_anything },
	{ "EXPN", VERB_REFUSED, PHASE_ANY, false, false, parse_anything },
	{ "ETRN", VERB_REFUSED, PHASE_ANY, false, false, parse_anything },
	{ "ATRN", VERB_REFUSED, PHASE_ANY, false, false, parse_anything },
	{ "TURN", VERB_REFUSED, PHASE_ANY, false, false, parse_anything },
	{ "BDAT", VERB_REFUSED, PHASE_ANY, false, false, parse_anything },
	{ "XCLIENT", VERB_REFUSED, PHASE_ANY, false, false, parse_anything },
	{ "XFORWARD", VERB_REFUSED, PHASE_ANY, false, false, parse_anything },
};

const struct verb *verb_find(struct span line, struct span *argument_out)
{
	struct span name = span_first(line, span_find(line, ' '));
	for (size_t i = 0; i < COUNT(verbs); i++) {
		if (span_eq_nocase(name, span_str(verbs[i].name))) {
			*argument_out = span_trim(span_from(line, name.len));
			return &verbs[i];
		}
	}
	return NULL;
}

enum reply verb_objection(const struct verb *verb, const struct verb_context *now)
{
	bool auth = verb->id == VERB_AUTH;
	bool starttls = verb->id == VERB_STARTTLS;
	bool no_recipient = verb->id == VERB_DATA && now->phase == PHASE_MAIL;
	const struct {
		bool applies;
		enum reply reply;
	} objections[] = {
		/* Credentials in clear are refused before a look at them. */
		{ auth && !now->tls, REPLY_NEED_TLS },
		{ !verb->before_tls && now->need_tls && !now->tls, REPLY_NEED_TLS },
		{ verb->id == VERB_REFUSED, REPLY_UNSUPPORTED },
		{ starttls && now->tls, REPLY_ALREADY_TLS },
		{ starttls && !now->starttls, REPLY_UNSUPPORTED },
		{ now->phase == PHASE_START && !(verb->phases & PHASE_START), REPLY_NEED_HELO },
		{ auth && now->authenticated, REPLY_ALREADY_AUTH },
		{ verb->needs_auth && !now->authenticated && !now->no_auth, REPLY_NEED_AUTH },
		{ no_recipient, REPLY_NEED_RECIPIENT },
		{ !(now->phase & verb->phases), REPLY_BAD_SEQUENCE },
	};
	for (size_t i = 0; i < COUNT(objections); i++) {
		if (objections[i].applies) {
			return objections[i].reply;
		}
	}
	return REPLY_OK;
}

const char *verb_foreign(struct span line)
{
	/* A browser can be made to send these, with commands of ours in the body. */
	static const struct {
		struct span opening;
		const char *name;
	} openings[] = {
		{ { "GET ", 4 }, "http" },     { { "POST ", 5 }, "http" },
		{ { "HEAD ", 5 }, "http" },    { { "PUT ", 4 }, "http" },
		{ { "OPTIONS ", 8 }, "http" }, { { "CONNECT ", 8 }, "http" },
		{ { "SSH-", 4 }, "ssh" },
	};
	for (size_t i = 0; i < COUNT(openings); i++) {
		if (span_starts_nocase(line, openings[i].opening)) {
			return openings[i].name;
		}
	}
	return NULL;
}
