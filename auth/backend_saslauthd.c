/*
 * A client of saslauthd. Cyrus SASL has one, but it waits for ever: a PAM module that hangs
 * would keep a thread of the pool for each login, until no login is answered at all. The wire
 * is four strings, each behind its length in 16 bits: login, password, service, realm; the
 * answer is one such string that begins with OK or NO.
 *
 * As every Cyrus server does, what stands behind the last @ is the realm and not part of the
 * login: PAM and the files of the machine know "alice". A saslauthd that runs with -r puts them
 * together again.
 */
#include "auth/backend_kinds.h"
#include "auth/secret.h"

#define ANSWER_MAX 1024

/* Its words for "I could not ask": what follows "NO ". All else is a refusal. */
static const char *const not_asked[] = {
	"[ALERT] Couldn't contact",
	"[ALERT] error synchronizing",
	"[ALERT] The remote authentication server is currently unavailable",
	"[ALERT] Unexpected response",
	"[ALERT] saslauthd internal error",
	"[ALERT] No address given",
	"[UNAVAILABLE]", /* RFC 5530, from an IMAP server behind -a rimap */
	"saslauthd internal error",
	"internal mechanism failure",
	"NULL response from mechanism",
	"PAM start error",
	"Insufficient permission",
	"Username lookup failure",
	"Username shadow lookup failure",
};

enum backend_answer saslauthd_answer(struct span text, struct error *error)
{
	/* Case and prefix as Cyrus's own client compares them. */
	if (text.len >= 2 && memcmp(text.ptr, "OK", 2) == 0) {
		return BACKEND_RIGHT;
	}
	if (text.len < 2 || memcmp(text.ptr, "NO", 2) != 0) {
		error_set(error, "saslauthd's answer is neither OK nor NO");
		return BACKEND_UNAVAILABLE;
	}
	for (size_t i = 0; i < COUNT(not_asked); i++) {
		if (span_starts_nocase(span_from(text, 3), span_str(not_asked[i]))) {
			error_set(error, "saslauthd says: %s", not_asked[i]);
			return BACKEND_UNAVAILABLE;
		}
	}
	return BACKEND_WRONG;
}

static void put_counted(struct buf *out, struct span text)
{
	buf_put_byte(out, (char)(text.len >> 8 & 0xff));
	buf_put_byte(out, (char)(text.len & 0xff));
	buf_put(out, text);
}

static bool send_request(struct wire *wire, const struct backend_rules *rules,
                         const struct backend_question *question, struct error *error)
{
	struct backend_name name = backend_split(question->user, rules->domain);
	const struct span strings[] = { name.user, question->password, span_str(rules->service),
		                        name.domain };
	struct buf request = { .cap = 4096 };
	/* All its memory at once: growing would leave copies of the password behind. */
	buf_reserve(&request, request.cap);
	for (size_t i = 0; i < COUNT(strings); i++) {
		put_counted(&request, strings[i]);
	}
	bool ok = !request.failed;
	if (ok) {
		ok = wire_send(wire, buf_span(&request), error);
	} else {
		error_set(error, "%s: the question does not fit into memory", wire->name);
	}
	secret_cleanse(request.ptr, request.len);
	buf_done(&request);
	return ok;
}

enum backend_answer saslauthd_talk(struct wire *wire, const struct backend_rules *rules,
                                   const struct backend_question *question, struct error *error)
{
	unsigned char count[2];
	char text[ANSWER_MAX];
	if (!send_request(wire, rules, question, error) ||
	    !wire_receive(wire, count, sizeof count, error)) {
		return BACKEND_UNAVAILABLE;
	}
	size_t len = (size_t)(count[0] << 8 | count[1]);
	if (len > sizeof text) {
		error_set(error, "%s: an answer of %zu bytes is not saslauthd's", wire->name,
		          len);
		return BACKEND_UNAVAILABLE;
	}
	return wire_receive(wire, text, len, error)
	           ? saslauthd_answer(span_of(text, len), error)
	           : BACKEND_UNAVAILABLE;
}

enum backend_answer backend_ask_saslauthd(const struct backend_rules *rules,
                                          const struct backend_question *question,
                                          struct buf *name_out, struct error *error)
{
	struct backend_name name = backend_split(question->user, rules->domain);
	struct wire wire = { .fd = -1,
		             .deadline = wire_now() + rules->timeout,
		             .name = rules->socket };
	enum backend_answer answer = BACKEND_UNAVAILABLE;
	(void)name_out; /* it returns no name */
	if (name.user.len == 0) {
		return BACKEND_WRONG;
	}
	if (!rules->realms && !span_eq_nocase(name.domain, span_str(rules->domain))) {
		error_set(error, "a domain that is not ours, and saslauthd looks at none");
		return BACKEND_WRONG;
	}
	if (wire_open(&wire, rules->socket, error)) {
		answer = saslauthd_talk(&wire, rules, question, error);
	}
	wire_close(&wire);
	return answer;
}
