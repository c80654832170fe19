#include "auth/backend.h"

#include "auth/backend_kinds.h"
#include "backend_help.h"
#include "fake_daemon.h"
#include "proto/base64.h"

#define SOON 150   /* ms: where nothing will come */
#define LONG 20000 /* ms: where it will */

static const struct backend_question alice = {
	.user = { "alice@example.org", 17 },
	.password = { PASSWORD, sizeof PASSWORD - 1 },
	.client = { "192.0.2.7", 9 },
	.tls = true,
};

static bool contains(struct span text, struct span part)
{
	return text.len >= part.len && memmem(text.ptr, text.len, part.ptr, part.len);
}

/* Asks, and checks what holds for every answer. */
static enum backend_answer ask(const struct backend_rules *rules,
                               const struct backend_question *question, struct buf *name)
{
	struct error error = NO_ERROR;
	*name = (struct buf){ .cap = 255 };
	enum backend_answer answer = backend_check(rules, question, name, &error);
	check_answer(answer, name, &error);
	return answer;
}

/* ---- saslauthd ---- */

static void reads_saslauthds_answer(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		enum backend_answer answer;
	} rows[] = {
		{ SPAN_LIT("OK"), BACKEND_RIGHT },
		{ SPAN_LIT("OK remote authentication successful"), BACKEND_RIGHT },
		{ SPAN_LIT("NO"), BACKEND_WRONG },
		{ SPAN_LIT("NO "), BACKEND_WRONG },
		{ SPAN_LIT("NO authentication failed"), BACKEND_WRONG },
		{ SPAN_LIT("NO PAM auth error"), BACKEND_WRONG },
		{ SPAN_LIT("NO PAM acct error"), BACKEND_WRONG },
		{ SPAN_LIT("NO remote server rejected your credentials"), BACKEND_WRONG },
		{ SPAN_LIT("NO [ALERT] your account is locked"), BACKEND_WRONG },
		{ SPAN_LIT("NO PAM start error"), BACKEND_UNAVAILABLE },
		{ SPAN_LIT("NO [ALERT] Couldn't contact remote authentication server"),
		  BACKEND_UNAVAILABLE },
		{ SPAN_LIT("NO [ALERT] saslauthd internal error"), BACKEND_UNAVAILABLE },
		{ SPAN_LIT("NO [UNAVAILABLE] the directory is down"), BACKEND_UNAVAILABLE },
		{ SPAN_LIT(""), BACKEND_UNAVAILABLE },
		{ SPAN_LIT("O"), BACKEND_UNAVAILABLE },
		{ SPAN_LIT("N"), BACKEND_UNAVAILABLE },
		{ SPAN_LIT("ok"), BACKEND_UNAVAILABLE },
		{ SPAN_LIT("220 mail ESMTP"), BACKEND_UNAVAILABLE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error;
		print_message("  %.*s\n", SPAN_ARG(rows[i].text));
		assert_int_equal(saslauthd_answer(rows[i].text, &error), rows[i].answer);
	}
}

/* Four counted strings. */
static bool saslauthd_heard(struct span heard)
{
	for (int i = 0; i < 4; i++) {
		size_t len = heard.len < 2 ? 0
		                           : (size_t)((unsigned char)heard.ptr[0] << 8 |
		                                      (unsigned char)heard.ptr[1]);
		if (heard.len < 2 || heard.len < 2 + len) {
			return false;
		}
		heard = span_from(heard, 2 + len);
	}
	return true;
}

static enum backend_answer ask_saslauthd(struct fake_daemon *d, bool realms, int64_t timeout,
                                         const struct backend_question *question)
{
	struct buf name;
	fake_start(d, false);
	struct backend_rules rules = { .kind = BACKEND_SASLAUTHD,
		                       .timeout = timeout,
		                       .socket = d->path,
		                       .service = "smtp",
		                       .domain = "example.org",
		                       .realms = realms };
	enum backend_answer answer = ask(&rules, question, &name);
	assert_int_equal(name.len, 0);
	fake_join(d);
	buf_done(&name);
	return answer;
}

static void asks_saslauthd(void **state)
{
	(void)state;
	static const struct {
		struct span user;
		bool realms;
		enum backend_answer answer;
		struct span request;
	} rows[] = {
		{ SPAN_LIT("alice"), false, BACKEND_RIGHT,
		  SPAN_LIT("\0\5alice\0\15" PASSWORD "\0\4smtp\0\13example.org") },
		{ SPAN_LIT("alice@example.org"), false, BACKEND_RIGHT,
		  SPAN_LIT("\0\5alice\0\15" PASSWORD "\0\4smtp\0\13example.org") },
		{ SPAN_LIT("Alice@EXAMPLE.org"), false, BACKEND_RIGHT,
		  SPAN_LIT("\0\5Alice\0\15" PASSWORD "\0\4smtp\0\13EXAMPLE.org") },
		{ SPAN_LIT("a@b@c.org"), true, BACKEND_RIGHT,
		  SPAN_LIT("\0\3a@b\0\15" PASSWORD "\0\4smtp\0\5c.org") },
		{ SPAN_LIT("EXAMPLE\\alice"), false, BACKEND_RIGHT,
		  SPAN_LIT("\0\15EXAMPLE\\alice\0\15" PASSWORD "\0\4smtp\0\13example.org") },
		/* Without -r any domain would do, and each be a new account. */
		{ SPAN_LIT("alice@made.up"), false, BACKEND_WRONG, SPAN_LIT("") },
		{ SPAN_LIT("alice@"), false, BACKEND_WRONG, SPAN_LIT("") },
		{ SPAN_LIT("@example.org"), true, BACKEND_WRONG, SPAN_LIT("") },
		{ SPAN_LIT("@"), true, BACKEND_WRONG, SPAN_LIT("") },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon d = { .script = { { saslauthd_heard, SPAN_LIT("\0\2OK") } },
			                 .most = SIZE_MAX };
		struct backend_question question = alice;
		question.user = rows[i].user;
		print_message("  %.*s\n", SPAN_ARG(rows[i].user));
		assert_int_equal(ask_saslauthd(&d, rows[i].realms, LONG, &question),
		                 rows[i].answer);
		assert_true(span_eq(buf_span(&d.heard), rows[i].request));
		fake_forget(&d);
	}
}

static void survives_saslauthd(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct span text;
		enum fake_end end;
		enum backend_answer answer;
	} rows[] = {
		{ "refuses", SPAN_LIT("\0\2NO"), FAKE_CLOSE, BACKEND_WRONG },
		{ "stays open", SPAN_LIT("\0\2OK"), FAKE_SILENT, BACKEND_RIGHT },
		{ "says more", SPAN_LIT("\0\2OKand more"), FAKE_CLOSE, BACKEND_RIGHT },
		{ "empty", SPAN_LIT("\0\0"), FAKE_SILENT, BACKEND_UNAVAILABLE },
		{ "silent", SPAN_LIT(""), FAKE_SILENT, BACKEND_UNAVAILABLE },
		{ "half", SPAN_LIT("\0\2O"), FAKE_SILENT, BACKEND_UNAVAILABLE },
		{ "half a length", SPAN_LIT("\0"), FAKE_SILENT, BACKEND_UNAVAILABLE },
		{ "long", SPAN_LIT("\4\1OK"), FAKE_SILENT, BACKEND_UNAVAILABLE },
		{ "drips", SPAN_LIT("\4\0O"), FAKE_DRIP, BACKEND_UNAVAILABLE },
		{ "HTTP", SPAN_LIT("HTTP/1.1 400 Bad Request\r\n"), FAKE_CLOSE,
		  BACKEND_UNAVAILABLE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon d = { .script = { { saslauthd_heard, rows[i].text } },
			                 .most = SIZE_MAX,
			                 .end = rows[i].end };
		bool waits = rows[i].answer == BACKEND_UNAVAILABLE && rows[i].end != FAKE_CLOSE;
		print_message("  %s\n", rows[i].what);
		assert_int_equal(ask_saslauthd(&d, false, waits ? SOON : LONG, &alice),
		                 rows[i].answer);
		fake_forget(&d);
	}
}

static void saslauthd_hangs_up_anywhere(void **state)
{
	(void)state;
	struct span text = SPAN_LIT("\0\12OK so what");
	for (size_t most = 0; most <= text.len; most++) {
		struct fake_daemon d = { .script = { { saslauthd_heard, text } },
			                 .most = most,
			                 .byte_by_byte = most % 2 == 0 };
		assert_int_equal(ask_saslauthd(&d, false, LONG, &alice),
		                 most < text.len ? BACKEND_UNAVAILABLE : BACKEND_RIGHT);
		fake_forget(&d);
	}
}

static void nobody_there(void **state)
{
	(void)state;
	static const char *const paths[] = {
		"/nowhere/at/all/mux",
		"/dev/null",
		"/a-path-that-is-longer-than-a-socket-may-have/a-path-that-is-longer-than-a-"
		"socket-may-have/a-path-that-is-longer-than-a-socket-may-have",
	};
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct buf name;
		struct backend_rules rules = { .timeout = LONG,
			                       .socket = paths[i],
			                       .service = "smtp",
			                       .domain = "example.org" };
		rules.kind = BACKEND_SASLAUTHD;
		assert_int_equal(ask(&rules, &alice, &name), BACKEND_UNAVAILABLE);
		rules.kind = BACKEND_DOVECOT;
		assert_int_equal(ask(&rules, &alice, &name), BACKEND_UNAVAILABLE);
	}
}

/* A daemon that accepts nothing: the first calls lie in its queue, the next are not let into
 * it, and all come back. */
static void queue_is_full(void **state)
{
	(void)state;
	struct fake_daemon d = { .most = 0 };
	fake_listen(&d, false, 0);
	for (int i = 0; i < 3; i++) {
		struct buf name;
		struct backend_rules rules = { .kind = BACKEND_DOVECOT,
			                       .timeout = SOON,
			                       .socket = d.path };
		assert_int_equal(ask(&rules, &alice, &name), BACKEND_UNAVAILABLE);
	}
	fake_forget(&d);
}

/* ---- names and passwords that nobody has ---- */

static void asks_nobody(void **state)
{
	(void)state;
	static char long_name[256], long_password[1025];
	memset(long_name, 'a', sizeof long_name);
	memset(long_password, 'a', sizeof long_password);
	const struct {
		struct span user, password;
	} rows[] = {
		{ SPAN_LIT(""), SPAN_LIT("x") },
		{ SPAN_LIT("alice"), SPAN_LIT("") },
		{ SPAN_LIT("al\0ice"), SPAN_LIT("x") },
		{ SPAN_LIT("alice\nAUTH\t2"), SPAN_LIT("x") },
		{ SPAN_LIT("alice\tuser=bob"), SPAN_LIT("x") },
		{ SPAN_LIT("alice\r"), SPAN_LIT("x") },
		{ SPAN_LIT("alice\x7f"), SPAN_LIT("x") },
		{ span_of(long_name, sizeof long_name), SPAN_LIT("x") },
		{ SPAN_LIT("alice"), SPAN_LIT("x\0y") },
		{ SPAN_LIT("alice"), SPAN_LIT("x\ny") },
		{ SPAN_LIT("alice"), span_of(long_password, sizeof long_password) },
	};
	static const enum backend_kind kinds[] = { BACKEND_SASLAUTHD, BACKEND_LDAP,
		                                   BACKEND_DOVECOT };
	for (size_t i = 0; i < COUNT(rows) * COUNT(kinds); i++) {
		struct buf name;
		struct backend_rules rules = { .kind = kinds[i % COUNT(kinds)],
			                       .timeout = SOON,
			                       .socket = "/nowhere" };
		struct backend_question question = { .user = rows[i / COUNT(kinds)].user,
			                             .password =
			                                 rows[i / COUNT(kinds)].password };
		rules.ldap.uri = "ldap://127.0.0.1:1";
		assert_int_equal(ask(&rules, &question, &name), BACKEND_WRONG);
	}
}

static void knows_its_kinds(void **state)
{
	(void)state;
	static const struct {
		enum backend_kind kind;
		const char *name;
		bool wants_password;
	} rows[] = {
		{ BACKEND_INTERNAL, "internal", false },
		{ BACKEND_SASLAUTHD, "saslauthd", true },
		{ BACKEND_SASLDB, "sasldb", false },
		{ BACKEND_LDAP, "ldap", true },
		{ BACKEND_SQL, "sql", false },
		{ BACKEND_DOVECOT, "dovecot", true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_string_equal(backend_name(rows[i].kind), rows[i].name);
		assert_int_equal(backend_wants_password(rows[i].kind), rows[i].wants_password);
	}
}

/* ---- Dovecot ---- */

#define HELLO \
	"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t77\nCUID\t1\n" \
	"COOKIE\t0123456789abcdef\nDONE\n"

static const struct {
	struct span text;
	enum dovecot_said said; /* of the last thing that decides */
	const char *name;       /* of RIGHT */
} dovecot_rows[] = {
	{ SPAN_LIT(HELLO), DOVECOT_READY, NULL },
	{ SPAN_LIT(HELLO "OK\t1\tuser=alice@example.org\n"), DOVECOT_RIGHT,
	  "alice@example.org" },
	{ SPAN_LIT(HELLO "OK\t1\tx=y\tuser=bob\tuser=eve\tresp=\n"), DOVECOT_RIGHT, "bob" },
	{ SPAN_LIT(HELLO "OK\t1\tuser=a\001tb\0011c\001nd\n"), DOVECOT_RIGHT, "a\tb\001c\nd" },
	{ SPAN_LIT(HELLO "NEW\twords\nOK\t1\tuser=bob\n"), DOVECOT_RIGHT, "bob" },
	{ SPAN_LIT(HELLO "OK\t1\tproxy\tnologin\tuser=bob\n"), DOVECOT_RIGHT, "bob" },
	{ SPAN_LIT(HELLO "OK\t1\tnologin\tuser=bob\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "OK\t1\tnologin=y\tuser=bob\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "OK\t1\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "OK\t1\tuser=\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "OK\t1\tuser=bo\001b\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "OK\t1\tuser=bob\001\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "OK\t1\tusername=bob\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "OK\t2\tuser=bob\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "OK\t11\tuser=bob\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "OK\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tuser=bob\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tuser=bob\tuser_disabled\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tuser=bob\tcode=user_disabled\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tuser=bob\tcode=pass_expired\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tuser=bob\tauthz\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tuser=temp\treason=temp\n"), DOVECOT_WRONG, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tuser=bob\ttemp\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "FAIL\t1\tcode=temp_fail\tuser=bob\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "FAIL\t2\tuser=bob\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT(HELLO "CONT\t1\tAAAA\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("VERSION\t1\t2\nMECH\tLOGIN\nDONE\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("VERSION\t1\t2\nMECH\tPLAINTEXT\nDONE\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("VERSION\t2\t0\nMECH\tPLAIN\nDONE\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("MECH\tPLAIN\nVERSION\t1\t2\nDONE\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("VERSION\t1\t2\nMECH\tPLAIN\nOK\t1\tuser=bob\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("DONE\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("OK\t1\tuser=bob\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("* OK IMAP4rev1\r\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("\n"), DOVECOT_UNABLE, NULL },
	{ SPAN_LIT("VERSION\t1\t2\nMECH\tPLAIN\n"), DOVECOT_MORE, NULL },
	{ SPAN_LIT(HELLO "OK\t1\tuser=bob"), DOVECOT_READY, NULL },
};

/* A row in pieces of `step` bytes, until the talk is over. The last that decided. */
static enum dovecot_said hear_row(struct span text, size_t step, struct buf *name)
{
	struct dovecot_talk talk = DOVECOT_TALK(name);
	enum dovecot_said said = DOVECOT_MORE;
	while (text.len && said <= DOVECOT_READY) {
		struct span piece = span_first(text, step);
		text = span_from(text, piece.len);
		while (piece.len && said <= DOVECOT_READY) {
			enum dovecot_said now = dovecot_hear(&talk, &piece);
			said = now == DOVECOT_MORE ? said : now;
		}
	}
	dovecot_talk_done(&talk);
	return said;
}

static void hears_dovecot(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(dovecot_rows); i++) {
		print_message("  row %zu\n", i);
		for (size_t step = 1; step <= dovecot_rows[i].text.len; step++) {
			struct buf name = { .cap = 64 };
			assert_int_equal(hear_row(dovecot_rows[i].text, step, &name),
			                 dovecot_rows[i].said);
			assert_true(span_eq(buf_span(&name), span_str(dovecot_rows[i].name)));
			buf_done(&name);
		}
	}
}

static void hears_a_line_without_end(void **state)
{
	(void)state;
	static char line[DOVECOT_LINE_MAX + 1];
	memset(line, 'x', sizeof line);
	struct buf name = { .cap = 64 };
	assert_int_equal(hear_row(span_of(line, sizeof line), 1000, &name), DOVECOT_UNABLE);
	struct dovecot_talk talk = DOVECOT_TALK(&name);
	struct span in = SPAN_LIT(HELLO "OK\t1\tuser=a-name-that-is-longer-than-there-is-room-"
	                                "for-a-name-that-is-longer-than-there-is\n");
	assert_int_equal(dovecot_hear(&talk, &in), DOVECOT_READY);
	assert_int_equal(dovecot_hear(&talk, &in), DOVECOT_UNABLE);
	assert_int_equal(name.len, 0);
	dovecot_talk_done(&talk);
	buf_done(&name);
}

static bool greeting_heard(struct span heard)
{
	return contains(heard, SPAN_LIT("\nCPID\t")) && heard.ptr[heard.len - 1] == '\n';
}

static bool question_heard(struct span heard)
{
	return contains(heard, SPAN_LIT("AUTH\t")) && heard.ptr[heard.len - 1] == '\n';
}

static enum backend_answer ask_dovecot(struct fake_daemon *d, int64_t timeout,
                                       const struct backend_question *question,
                                       struct buf *name)
{
	fake_start(d, false);
	struct backend_rules rules = { .kind = BACKEND_DOVECOT,
		                       .timeout = timeout,
		                       .socket = d->path };
	enum backend_answer answer = ask(&rules, question, name);
	fake_join(d);
	return answer;
}

static void asks_dovecot(void **state)
{
	(void)state;
	static const struct {
		struct span client;
		bool tls;
		struct span question; /* but for its end, the response */
	} rows[] = {
		{ SPAN_LIT("192.0.2.7"), true,
		  SPAN_LIT(
		      "\nAUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\trip=192.0.2.7\t"
		      "secured\tresp=") },
		{ SPAN_LIT("2001:db8::7"), false,
		  SPAN_LIT(
		      "\nAUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\trip=2001:db8::7\t"
		      "resp=") },
		{ SPAN_LIT(""), true,
		  SPAN_LIT(
		      "\nAUTH\t1\tPLAIN\tservice=smtp\tnologin\tno-penalty\tsecured\tresp=") },
	};
	struct buf response = { .cap = 100 };
	base64_encode(SPAN_LIT("\0alice@example.org\0" PASSWORD), &response);
	buf_put_byte(&response, '\n');
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon d = {
			.script = { { greeting_heard, SPAN_LIT(HELLO) },
			            { question_heard, SPAN_LIT("OK\t1\tuser=Alice\n") } },
			.most = SIZE_MAX,
			.end = FAKE_SILENT,
		};
		struct buf name;
		struct backend_question question = alice;
		question.client = rows[i].client;
		question.tls = rows[i].tls;
		assert_int_equal(ask_dovecot(&d, LONG, &question, &name), BACKEND_RIGHT);
		assert_true(span_eq(buf_span(&name), SPAN_LIT("Alice")));
		struct span heard = buf_span(&d.heard);
		assert_true(span_starts_nocase(heard, SPAN_LIT("VERSION\t1\t1\nCPID\t")));
		assert_true(contains(heard, rows[i].question));
		assert_true(
		    span_eq(span_from(heard, heard.len - response.len), buf_span(&response)));
		buf_done(&name);
		fake_forget(&d);
	}
	buf_done(&response);
}

static void survives_dovecot(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct span hello, answer;
		enum fake_end end;
		enum backend_answer expected;
	} rows[] = {
		{ "fails", SPAN_LIT(HELLO), SPAN_LIT("FAIL\t1\tuser=x\n"), FAKE_SILENT,
		  BACKEND_WRONG },
		{ "fails for now", SPAN_LIT(HELLO), SPAN_LIT("FAIL\t1\ttemp\n"), FAKE_CLOSE,
		  BACKEND_UNAVAILABLE },
		{ "silent", SPAN_LIT(""), SPAN_LIT(""), FAKE_SILENT, BACKEND_UNAVAILABLE },
		{ "silent then", SPAN_LIT(HELLO), SPAN_LIT(""), FAKE_SILENT,
		  BACKEND_UNAVAILABLE },
		{ "half", SPAN_LIT(HELLO), SPAN_LIT("OK\t1\tuser=x"), FAKE_SILENT,
		  BACKEND_UNAVAILABLE },
		{ "never done", SPAN_LIT("VERSION\t1\t2\n"), SPAN_LIT("SPID\n"), FAKE_DRIP,
		  BACKEND_UNAVAILABLE },
		{ "drips", SPAN_LIT(HELLO), SPAN_LIT("X\n"), FAKE_DRIP, BACKEND_UNAVAILABLE },
		{ "greets twice", SPAN_LIT(HELLO), SPAN_LIT(HELLO), FAKE_CLOSE,
		  BACKEND_UNAVAILABLE },
		/* Right before it was asked: it is not this password that is right. */
		{ "too soon", SPAN_LIT(HELLO "OK\t1\tuser=x\n"), SPAN_LIT(""), FAKE_CLOSE,
		  BACKEND_UNAVAILABLE },
		{ "no PLAIN", SPAN_LIT("VERSION\t1\t2\nMECH\tLOGIN\nDONE\n"), SPAN_LIT(""),
		  FAKE_CLOSE, BACKEND_UNAVAILABLE },
		{ "IMAP", SPAN_LIT("* OK ready\r\n"), SPAN_LIT(""), FAKE_CLOSE,
		  BACKEND_UNAVAILABLE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon d = { .script = { { greeting_heard, rows[i].hello },
			                             { question_heard, rows[i].answer } },
			                 .most = SIZE_MAX,
			                 .end = rows[i].end };
		bool waits = rows[i].end != FAKE_CLOSE &&
		             rows[i].expected == BACKEND_UNAVAILABLE;
		struct buf name;
		if (span_eq(rows[i].hello, SPAN_LIT("VERSION\t1\t2\n"))) {
			d.script[1].heard_all = NULL;
		}
		print_message("  %s\n", rows[i].what);
		assert_int_equal(ask_dovecot(&d, waits ? SOON : LONG, &alice, &name),
		                 rows[i].expected);
		/* To no peer that is not Dovecot with PLAIN. */
		assert_true(span_eq_nocase(span_first(rows[i].hello, sizeof HELLO - 1),
		                           SPAN_LIT(HELLO)) ||
		            !contains(buf_span(&d.heard), SPAN_LIT("resp=")));
		fake_forget(&d);
	}
}

static void dovecot_hangs_up_anywhere(void **state)
{
	(void)state;
	struct span hello = SPAN_LIT(HELLO), answer = SPAN_LIT("OK\t1\tuser=x\n");
	for (size_t most = 0; most <= hello.len + answer.len; most++) {
		struct fake_daemon d = { .script = { { greeting_heard, hello },
			                             { question_heard, answer } },
			                 .most = most,
			                 .byte_by_byte = most % 2 == 0 };
		struct buf name;
		assert_int_equal(ask_dovecot(&d, LONG, &alice, &name),
		                 most < hello.len + answer.len ? BACKEND_UNAVAILABLE
		                                               : BACKEND_RIGHT);
		buf_done(&name);
		fake_forget(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_saslauthds_answer),
		cmocka_unit_test(asks_saslauthd),
		cmocka_unit_test(survives_saslauthd),
		cmocka_unit_test(saslauthd_hangs_up_anywhere),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(queue_is_full),
		cmocka_unit_test(asks_nobody),
		cmocka_unit_test(knows_its_kinds),
		cmocka_unit_test(hears_dovecot),
		cmocka_unit_test(hears_a_line_without_end),
		cmocka_unit_test(asks_dovecot),
		cmocka_unit_test(survives_dovecot),
		cmocka_unit_test(dovecot_hangs_up_anywhere),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
