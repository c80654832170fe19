/*
 * A client of Dovecot's auth socket (the protocol of doc "Dovecot Authentication Protocol",
 * version 1): lines of fields with tabs between. One connection a login: a UNIX socket costs
 * less than the password's hash. The password is sent only to a peer that has said it takes
 * PLAIN.
 */
#include "auth/backend_kinds.h"
#include "auth/secret.h"
#include "proto/base64.h"

#include <inttypes.h>
#include <stdio.h>

/* The next field of a line. */
static struct span next_field(struct span *line)
{
	size_t at = span_find(*line, '\t');
	struct span field = span_first(*line, at);
	*line = span_from(*line, at + 1);
	return field;
}

/* Our only request is number 1. */
static bool is_ours(struct span *line)
{
	return span_eq(next_field(line), SPAN_LIT("1"));
}

static enum dovecot_said unable(struct dovecot_talk *talk, const char *why)
{
	talk->why = why;
	return DOVECOT_UNABLE;
}

/* ---- before the question ---- */

static enum dovecot_said hear_version(struct dovecot_talk *talk, struct span fields)
{
	talk->version = span_eq(next_field(&fields), SPAN_LIT("1"));
	return talk->version ? DOVECOT_MORE
	                     : unable(talk, "speaks another version of the protocol");
}

static enum dovecot_said hear_mech(struct dovecot_talk *talk, struct span fields)
{
	talk->plain = talk->plain || span_eq_nocase(next_field(&fields), SPAN_LIT("PLAIN"));
	return DOVECOT_MORE;
}

static enum dovecot_said hear_done(struct dovecot_talk *talk, struct span fields)
{
	(void)fields;
	talk->ready = talk->plain;
	return talk->ready ? DOVECOT_READY : unable(talk, "does not offer PLAIN");
}

/* ---- the answer ---- */

/* A byte 1 and a letter stand for a byte that a line can not hold. */
static bool unescape(struct span text, struct buf *out)
{
	static const char letters[][2] = {
		{ '0', '\0' }, { '1', '\001' }, { 't', '\t' }, { 'r', '\r' }, { 'n', '\n' },
	};
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (c == '\001') {
			size_t k = 0;
			char letter = ++i < text.len ? text.ptr[i] : '\0';
			while (k < COUNT(letters) && letters[k][0] != letter) {
				k++;
			}
			if (k == COUNT(letters)) {
				return false;
			}
			c = letters[k][1];
		}
		buf_put_byte(out, c);
	}
	return !out->failed;
}

/* The value of `name` among the fields, or of a field without one; NULL when it is not there.
 */
static bool find_field(struct span fields, struct span name, struct span *value_out)
{
	while (fields.len) {
		struct span field = next_field(&fields);
		size_t at = span_find(field, '=');
		if (span_eq(span_first(field, at), name)) {
			*value_out = span_from(field, at + 1);
			return true;
		}
	}
	return false;
}

static bool has_field(struct span fields, struct span name)
{
	struct span value;
	return find_field(fields, name, &value);
}

static enum dovecot_said hear_ok(struct dovecot_talk *talk, struct span fields)
{
	struct span user;
	if (!talk->ready || !is_ours(&fields)) {
		return unable(talk, "answered what was not asked");
	}
	/* The passdb says that the password is right and the login is not to be; with `proxy`
	 * it only means "not on this machine". */
	if (has_field(fields, SPAN_LIT("nologin")) && !has_field(fields, SPAN_LIT("proxy"))) {
		talk->why = "may not log in (nologin)";
		return DOVECOT_WRONG;
	}
	size_t len = talk->name->len;
	if (find_field(fields, SPAN_LIT("user"), &user) && user.len > 0 &&
	    unescape(user, talk->name)) {
		return DOVECOT_RIGHT;
	}
	if (talk->name->len > len) {
		talk->name->len = len;
	}
	return unable(talk, "said OK, and not who");
}

/* Why it failed, in the words of 2.2 (a field) and of 2.3 (its code). */
static const struct {
	struct span field, code;
	enum dovecot_said said;
	const char *why;
} failures[] = {
	{ SPAN_LIT("temp"), SPAN_LIT("temp_fail"), DOVECOT_UNABLE, "has a temporary failure" },
	{ SPAN_LIT("user_disabled"), SPAN_LIT("user_disabled"), DOVECOT_WRONG,
	  "the account is disabled" },
	{ SPAN_LIT("pass_expired"), SPAN_LIT("pass_expired"), DOVECOT_WRONG,
	  "the password has expired" },
	{ SPAN_LIT("authz"), SPAN_LIT("authz_fail"), DOVECOT_WRONG, "may not log in" },
};

static enum dovecot_said hear_fail(struct dovecot_talk *talk, struct span fields)
{
	struct span code = SPAN_NONE;
	if (!talk->ready || !is_ours(&fields)) {
		return unable(talk, "answered what was not asked");
	}
	find_field(fields, SPAN_LIT("code"), &code);
	for (size_t i = 0; i < COUNT(failures); i++) {
		if (has_field(fields, failures[i].field) || span_eq(code, failures[i].code)) {
			talk->why = failures[i].why;
			return failures[i].said;
		}
	}
	talk->why = "";
	return DOVECOT_WRONG;
}

/* PLAIN has said all there is to say (RFC 4616): it asks for nothing. */
static enum dovecot_said hear_cont(struct dovecot_talk *talk, struct span fields)
{
	(void)fields;
	return unable(talk, "wants more than PLAIN has");
}

/* Other words (SPID, CUID, COOKIE, and what a newer minor version adds) mean nothing here. */
static const struct {
	struct span word;
	enum dovecot_said (*hear)(struct dovecot_talk *talk, struct span fields);
} words[] = {
	{ SPAN_LIT("VERSION"), hear_version }, { SPAN_LIT("MECH"), hear_mech },
	{ SPAN_LIT("DONE"), hear_done },       { SPAN_LIT("OK"), hear_ok },
	{ SPAN_LIT("FAIL"), hear_fail },       { SPAN_LIT("CONT"), hear_cont },
};

static enum dovecot_said hear_line(struct dovecot_talk *talk, struct span line)
{
	struct span word = next_field(&line);
	/* Another peer may talk for ever. */
	if (!talk->version && !span_eq(word, SPAN_LIT("VERSION"))) {
		return unable(talk, "is not Dovecot's auth service");
	}
	for (size_t i = 0; i < COUNT(words); i++) {
		if (span_eq(word, words[i].word)) {
			return words[i].hear(talk, line);
		}
	}
	return DOVECOT_MORE;
}

enum dovecot_said dovecot_hear(struct dovecot_talk *talk, struct span *in)
{
	enum dovecot_said said = DOVECOT_MORE;
	while (said == DOVECOT_MORE && in->len) {
		size_t at = span_find(*in, '\n');
		bool whole = at < in->len;
		if (!buf_put(&talk->line, span_first(*in, at))) {
			*in = SPAN_NONE;
			return unable(talk, "sends a line without an end");
		}
		*in = span_from(*in, at + 1);
		if (whole) {
			said = hear_line(talk, buf_span(&talk->line));
			buf_clear(&talk->line);
		}
	}
	return said;
}

void dovecot_talk_done(struct dovecot_talk *talk)
{
	buf_done(&talk->line);
}

/* ---- on the wire ---- */

/* Two clients with one number would not be let in, and the numbers of the others are those of
 * their processes, below 2^22. */
static bool send_greeting(struct wire *wire, struct error *error)
{
	uint32_t number;
	char text[64];
	secret_random(&number, sizeof number);
	int len = snprintf(text, sizeof text, "VERSION\t1\t1\nCPID\t%" PRIu32 "\n",
	                   number >> 1 | 1U << 30);
	return wire_send(wire, span_of(text, (size_t)len), error);
}

/* RFC 4616: no authorization identity, the name, the password. */
static void put_plain(struct buf *out, const struct backend_question *question)
{
	char plain[BACKEND_USER_MAX + SECRET_PASSWORD_MAX + 2];
	struct span user = question->user, password = question->password;
	plain[0] = '\0';
	memcpy(plain + 1, user.ptr, user.len);
	plain[1 + user.len] = '\0';
	memcpy(plain + 2 + user.len, password.ptr, password.len);
	base64_encode(span_of(plain, user.len + password.len + 2), out);
	secret_cleanse(plain, sizeof plain);
}

/*
 * nologin: no login process will come for the session. no-penalty: Dovecot would hold back all
 * answers to an address from which somebody guesses, up to 15 seconds; our screen slows the
 * guesser down and not the threads of the pool.
 */
static bool send_question(struct wire *wire, const struct backend_question *question,
                          struct error *error)
{
	struct buf line = { .cap = 4096 };
	/* All its memory at once: growing would leave copies of the password behind. */
	buf_reserve(&line, line.cap);
	buf_put_str(&line, "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty");
	if (question->client.len) {
		buf_printf(&line, "\trip=%.*s", SPAN_ARG(question->client));
	}
	buf_put_str(&line, question->tls ? "\tsecured" : "");
	buf_put_str(&line, "\tresp="); /* must be the last */
	put_plain(&line, question);
	buf_put_byte(&line, '\n');
	bool ok = !line.failed;
	if (ok) {
		ok = wire_send(wire, buf_span(&line), error);
	} else {
		error_set(error, "%s: the question does not fit into memory", wire->name);
	}
	secret_cleanse(line.ptr, line.len);
	buf_done(&line);
	return ok;
}

/* Until it has said something; false when the world failed. */
static bool listen_to(struct wire *wire, struct dovecot_talk *talk, enum dovecot_said *said_out,
                      struct error *error)
{
	enum dovecot_said said = DOVECOT_MORE;
	while (said == DOVECOT_MORE) {
		char bytes[1024];
		size_t got;
		if (!wire_receive_some(wire, bytes, sizeof bytes, &got, error)) {
			return false;
		}
		struct span in = span_of(bytes, got);
		said = dovecot_hear(talk, &in);
		/* One question, one answer: what follows READY at once was never asked. */
		if (said == DOVECOT_READY && in.len) {
			said = unable(talk, "answered what was not asked");
		}
	}
	*said_out = said;
	return true;
}

static enum backend_answer converse(struct wire *wire, const struct backend_question *question,
                                    struct dovecot_talk *talk, struct error *error)
{
	enum dovecot_said said;
	if (!send_greeting(wire, error) || !listen_to(wire, talk, &said, error)) {
		return BACKEND_UNAVAILABLE;
	}
	if (said == DOVECOT_READY &&
	    (!send_question(wire, question, error) || !listen_to(wire, talk, &said, error))) {
		return BACKEND_UNAVAILABLE;
	}
	if (said == DOVECOT_RIGHT) {
		return BACKEND_RIGHT;
	}
	if (said == DOVECOT_WRONG) {
		error_set(error, "%s", talk->why);
		return BACKEND_WRONG;
	}
	error_set(error, "%s: %s", wire->name, talk->why ? talk->why : "greets twice");
	return BACKEND_UNAVAILABLE;
}

enum backend_answer backend_ask_dovecot(const struct backend_rules *rules,
                                        const struct backend_question *question,
                                        struct buf *name_out, struct error *error)
{
	struct wire wire = { .fd = -1,
		             .deadline = wire_now() + rules->timeout,
		             .name = rules->socket };
	struct dovecot_talk talk = DOVECOT_TALK(name_out);
	enum backend_answer answer = BACKEND_UNAVAILABLE;
	if (wire_open(&wire, rules->socket, error)) {
		answer = converse(&wire, question, &talk, error);
	}
	wire_close(&wire);
	dovecot_talk_done(&talk);
	return answer;
}
