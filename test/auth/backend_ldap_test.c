/* auth/backend_ldap against a directory that says the bytes of a script. The real one is in
 * test/e2e/test_backends.py. */
#include "auth/backend_kinds.h"
#include "backend_help.h"
#include "fake_daemon.h"

#define SOON 200   /* ms: where nothing will come */
#define LONG 20000 /* ms: where it will */

static void writes_filters(void **state)
{
	(void)state;
	static const struct {
		const char *filter;
		struct span typed;
		const char *written; /* NULL: refused */
	} rows[] = {
		{ "(uid=%u)", SPAN_LIT("alice"), "(uid=alice)" },
		{ "(uid=%n)", SPAN_LIT("alice"), "(uid=alice)" },
		{ "(mail=%n@%d)", SPAN_LIT("alice"), "(mail=alice@example.org)" },
		{ "(mail=%n@%d)", SPAN_LIT("alice@b.org"), "(mail=alice@b.org)" },
		{ "(uid=%n)", SPAN_LIT("a@b@c.org"), "(uid=a@b)" },
		{ "(|(sAMAccountName=%n)(userPrincipalName=%u))", SPAN_LIT("EXAMPLE\\alice"),
		  "(|(sAMAccountName=alice)(userPrincipalName=EXAMPLE\\5calice))" },
		{ "(x=%d)", SPAN_LIT("EXAMPLE\\alice"), "(x=EXAMPLE)" },
		{ "(x=%n)", SPAN_LIT("EXAMPLE\\alice@b.org"), "(x=EXAMPLE\\5calice)" },
		{ "(uid=%u)", SPAN_LIT("*"), "(uid=\\2a)" },
		{ "(uid=%u)", SPAN_LIT("a)(|(uid=*"), "(uid=a\\29\\28\\7c\\28uid\\3d\\2a)" },
		{ "(uid=%u)", SPAN_LIT("a\\00"), "(uid=a\\5c00)" },
		{ "(uid=%u)", SPAN_LIT("a\0b"), "(uid=a\\00b)" },
		{ "(uid=%u)", SPAN_LIT("%n%d%u"), "(uid=\\25n\\25d\\25u)" },
		{ "(uid=%u)", SPAN_LIT("j\xc3\xb6rg"), "(uid=j\\c3\\b6rg)" },
		{ "(uid=%u)", SPAN_LIT("o'neil x"), "(uid=o\\27neil\\20x)" },
		{ "(cn=100%%)", SPAN_LIT("alice"), "(cn=100%)" },
		{ "(uid=%x)", SPAN_LIT("alice"), NULL },
		{ "(uid=%", SPAN_LIT("alice"), NULL },
		{ "(uid=%u%u%u)", SPAN_LIT("12345678901234567890123456789"), NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 80 };
		print_message("  %s\n", rows[i].filter);
		bool ok = ldap_filter_write(rows[i].filter, rows[i].typed, "example.org", &out);
		assert_int_equal(ok, rows[i].written != NULL);
		assert_true(!ok || span_eq(buf_span(&out), span_str(rows[i].written)));
		buf_done(&out);
	}
}

static void reads_refusals(void **state)
{
	(void)state;
#define AD(data) "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error" data
	static const struct {
		const char *diagnostic, *why;
	} rows[] = {
		{ AD(", data 52e, v2580"), "the password is wrong" },
		{ AD(", data 533, v2580"), "the account is disabled" },
		{ AD(", data 775, v2580"), "the account is locked" },
		{ AD(", data 773, v2580"), "the password must be changed" },
		{ AD(", data 52E"), "the password is wrong" },
		{ AD(", data 1, v2580"), NULL },
		{ AD(", data "), NULL },
		{ "", NULL },
		{ NULL, NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *why = ldap_refusal(rows[i].diagnostic);
		assert_true(span_eq(span_str(why), span_str(rows[i].why)));
	}
}

/* ---- a directory of bytes (RFC 4511 in BER) ---- */

/* Message 1 is the search, message 2 the bind as the user. */
#define ENTRY(values) \
	"\x30\x2e\x02\x01\x01\x64\x29\x04\x05" \
	"uid=a\x30\x20\x30\x1e\x04\x04mail\x31\x16" values
#define ONE_MAIL \
	ENTRY("\x04\x14" \
	      "alice@example.org..x")
#define TWO_MAILS \
	ENTRY("\x04\x09" \
	      "b@example\x04\x09" \
	      "a@example")
#define NO_MAIL     "\x30\x0e\x02\x01\x01\x64\x09\x04\x05uid=a\x30\x00"
#define REFERENCE   "\x30\x15\x02\x01\x01\x73\x10\x04\x0eldap://forest/"
#define DONE(code)  "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01" code "\x04\x00\x04\x00"
#define BOUND(code) "\x30\x0c\x02\x01\x02\x61\x07\x0a\x01" code "\x04\x00\x04\x00"
#define BOUND_533 \
	"\x30\x17\x02\x01\x02\x61\x12\x0a\x01\x31\x04\x00\x04\x0b" \
	"x, data 533"
#define STARTED "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\x00\x04\x00"

/* One whole BER element of less than 128 bytes, or of one with a length of one or two bytes. */
static bool request_heard(struct span heard)
{
	const unsigned char *byte = (const unsigned char *)heard.ptr;
	if (heard.len < 4) {
		return false;
	}
	size_t more = byte[1] < 0x80 ? 0 : (size_t)byte[1] & 0x7f;
	size_t len = more == 0 ? byte[1] : 0;
	for (size_t i = 0; i < more && 2 + i < heard.len; i++) {
		len = len << 8 | byte[2 + i];
	}
	return heard.len >= 2 + more + len;
}

/* `uris` with the daemon's port for each *. */
static void write_uri(const char *uris, unsigned port, struct buf *out)
{
	for (; *uris; uris++) {
		if (*uris == '*') {
			buf_printf(out, "127.0.0.1:%u", port);
		} else {
			buf_put_byte(out, *uris);
		}
	}
	buf_put_byte(out, '\0');
}

static enum backend_answer ask(struct fake_daemon *d, const char *uris, int64_t timeout,
                               bool starttls, struct buf *name)
{
	struct buf uri = { .cap = 200 };
	struct error error = NO_ERROR;
	struct backend_question question = { .user = SPAN_LIT("alice"),
		                             .password = SPAN_LIT(PASSWORD) };
	*name = (struct buf){ .cap = 64 };
	fake_start(d, true);
	write_uri(uris, d->port, &uri);
	struct backend_rules rules = { .kind = BACKEND_LDAP,
		                       .timeout = timeout,
		                       .domain = "example.org",
		                       .ldap = { .uri = uri.ptr,
		                                 .starttls = starttls,
		                                 .base = "dc=example",
		                                 .filter = "(uid=%u)",
		                                 .account = "mail" } };
	enum backend_answer answer = backend_check(&rules, &question, name, &error);
	fake_join(d);
	buf_done(&uri);
	print_message("    %s\n", error.text);
	check_answer(answer, name, &error);
	return answer;
}

static void asks_the_directory(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct span found, bound;
		enum fake_end end;
		enum backend_answer answer;
		const char *name;
	} rows[] = {
		{ "right", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND("\0")), FAKE_SILENT,
		  BACKEND_RIGHT, "alice@example.org..x" },
		{ "two mails", SPAN_LIT(TWO_MAILS DONE("\0")), SPAN_LIT(BOUND("\0")),
		  FAKE_SILENT, BACKEND_RIGHT, "a@example" },
		{ "references", SPAN_LIT(REFERENCE ONE_MAIL REFERENCE DONE("\0")),
		  SPAN_LIT(BOUND("\0")), FAKE_SILENT, BACKEND_RIGHT, "alice@example.org..x" },
		{ "no mail", SPAN_LIT(NO_MAIL DONE("\0")), SPAN_LIT(BOUND("\0")), FAKE_SILENT,
		  BACKEND_UNAVAILABLE, NULL },
		{ "no mail, wrong", SPAN_LIT(NO_MAIL DONE("\0")), SPAN_LIT(BOUND("\x31")),
		  FAKE_SILENT, BACKEND_WRONG, NULL },
		{ "wrong", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND("\x31")), FAKE_SILENT,
		  BACKEND_WRONG, NULL },
		{ "disabled", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND_533), FAKE_SILENT,
		  BACKEND_WRONG, NULL },
		{ "deleted", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND("\x20")),
		  FAKE_SILENT, BACKEND_WRONG, NULL },
		{ "nobody", SPAN_LIT(DONE("\0")), SPAN_LIT(""), FAKE_SILENT, BACKEND_WRONG,
		  NULL },
		{ "two", SPAN_LIT(ONE_MAIL TWO_MAILS), SPAN_LIT(""), FAKE_SILENT,
		  BACKEND_UNAVAILABLE, NULL },
		{ "too many", SPAN_LIT(ONE_MAIL DONE("\4")), SPAN_LIT(""), FAKE_SILENT,
		  BACKEND_UNAVAILABLE, NULL },
		{ "no such base", SPAN_LIT(DONE("\x20")), SPAN_LIT(""), FAKE_SILENT,
		  BACKEND_UNAVAILABLE, NULL },
		{ "busy", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND("\x33")), FAKE_SILENT,
		  BACKEND_UNAVAILABLE, NULL },
		{ "unavailable", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND("\x34")),
		  FAKE_SILENT, BACKEND_UNAVAILABLE, NULL },
		{ "constraint", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND("\x13")),
		  FAKE_SILENT, BACKEND_UNAVAILABLE, NULL },
		{ "referral", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(BOUND("\x0a")),
		  FAKE_SILENT, BACKEND_UNAVAILABLE, NULL },
		{ "silent", SPAN_LIT(""), SPAN_LIT(""), FAKE_SILENT, BACKEND_UNAVAILABLE,
		  NULL },
		{ "silent bind", SPAN_LIT(ONE_MAIL DONE("\0")), SPAN_LIT(""), FAKE_SILENT,
		  BACKEND_UNAVAILABLE, NULL },
		{ "huge", SPAN_LIT("\x30\x84\x7f\xff\xff\xff\x02"), SPAN_LIT(""), FAKE_DRIP,
		  BACKEND_UNAVAILABLE, NULL },
		{ "half", SPAN_LIT("\x30\x7f\x02\x01\x01\x64\x04"), SPAN_LIT(""), FAKE_DRIP,
		  BACKEND_UNAVAILABLE, NULL },
		{ "SMTP", SPAN_LIT("220 mail ESMTP\r\n"), SPAN_LIT(""), FAKE_CLOSE,
		  BACKEND_UNAVAILABLE, NULL },
		{ "zeros", SPAN_LIT("\0\0\0\0"), SPAN_LIT(""), FAKE_DRIP, BACKEND_UNAVAILABLE,
		  NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon d = { .script = { { request_heard, rows[i].found },
			                             { rows[i].bound.len ? request_heard : NULL,
			                               rows[i].bound } },
			                 .most = SIZE_MAX,
			                 .byte_by_byte = i % 2 == 1,
			                 .end = rows[i].end };
		bool waits = strchr("sh z", rows[i].what[0]) && rows[i].bound.len == 0;
		struct buf name;
		print_message("  %s\n", rows[i].what);
		assert_int_equal(ask(&d, "ldap://*", waits ? SOON : LONG, false, &name),
		                 rows[i].answer);
		assert_true(span_eq(buf_span(&name), span_str(rows[i].name)));
		buf_done(&name);
		fake_forget(&d);
	}
}

static void hangs_up_anywhere(void **state)
{
	(void)state;
	struct span found = SPAN_LIT(ONE_MAIL DONE("\0")), bound = SPAN_LIT(BOUND("\0"));
	for (size_t most = 0; most <= found.len + bound.len; most++) {
		struct fake_daemon d = { .script = { { request_heard, found },
			                             { request_heard, bound } },
			                 .most = most,
			                 .byte_by_byte = most % 2 == 0 };
		struct buf name;
		assert_int_equal(ask(&d, "ldap://*", LONG, false, &name),
		                 most < found.len + bound.len ? BACKEND_UNAVAILABLE
		                                              : BACKEND_RIGHT);
		buf_done(&name);
		fake_forget(&d);
	}
}

static bool heard(const struct fake_daemon *d, struct span part)
{
	return d->heard.len && memmem(d->heard.ptr, d->heard.len, part.ptr, part.len);
}

/* What is to be encrypted is never sent in clear, and a half record of TLS keeps nobody. */
static void demands_tls(void **state)
{
	(void)state;
	static const struct {
		const char *what, *uri;
		struct fake_line line;
		enum fake_end end;
	} rows[] = {
		{ "silent", "ldaps://*", { NULL, SPAN_LIT("") }, FAKE_SILENT },
		{ "half a record",
		  "ldaps://*",
		  { NULL, SPAN_LIT("\x16\3\3\x40\0\2") },
		  FAKE_SILENT },
		{ "drips", "ldaps://*", { NULL, SPAN_LIT("\x16\3\3\x40\0\2") }, FAKE_DRIP },
		{ "no TLS", "ldaps://*", { NULL, SPAN_LIT(ONE_MAIL DONE("\0")) }, FAKE_SILENT },
		{ "STARTTLS silent", "ldap://*", { NULL, SPAN_LIT("") }, FAKE_SILENT },
		{ "STARTTLS refused",
		  "ldap://*",
		  { request_heard, SPAN_LIT("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\2\4\0\4\0") },
		  FAKE_SILENT },
		{ "STARTTLS, then silent",
		  "ldap://*",
		  { request_heard, SPAN_LIT(STARTED) },
		  FAKE_SILENT },
		{ "STARTTLS, then clear",
		  "ldap://*",
		  { request_heard, SPAN_LIT(STARTED ONE_MAIL DONE("\0")) },
		  FAKE_SILENT },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon d = { .script = { rows[i].line },
			                 .most = SIZE_MAX,
			                 .end = rows[i].end };
		struct buf name;
		print_message("  %s\n", rows[i].what);
		assert_int_equal(ask(&d, rows[i].uri, SOON, true, &name), BACKEND_UNAVAILABLE);
		assert_false(heard(&d, SPAN_LIT(PASSWORD)));
		assert_false(heard(&d, SPAN_LIT("alice")));
		fake_forget(&d);
	}
}

static void asks_the_next(void **state)
{
	(void)state;
	static const struct {
		const char *uris;
		enum backend_answer answer;
	} rows[] = {
		{ "ldap://127.0.0.1:1 ldap://*", BACKEND_RIGHT },
		{ "  http://127.0.0.1:1   ldap://*  ", BACKEND_RIGHT },
		{ "ldap://* ldap://127.0.0.1:1", BACKEND_RIGHT },
		{ "", BACKEND_UNAVAILABLE },
		{ "  ", BACKEND_UNAVAILABLE },
		{ "nonsense", BACKEND_UNAVAILABLE },
		{ "ldapi://%2Fnowhere", BACKEND_UNAVAILABLE },
		{ "ldap://127.0.0.1:1 ldap://[::1]:1", BACKEND_UNAVAILABLE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon d = {
			.script = { { request_heard, SPAN_LIT(ONE_MAIL DONE("\0")) },
			            { request_heard, SPAN_LIT(BOUND("\0")) } },
			.most = SIZE_MAX,
			.end = FAKE_SILENT,
		};
		struct buf name;
		print_message("  %s\n", rows[i].uris);
		assert_int_equal(ask(&d, rows[i].uris, LONG, false, &name), rows[i].answer);
		buf_done(&name);
		fake_forget(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_filters),     cmocka_unit_test(reads_refusals),
		cmocka_unit_test(asks_the_directory), cmocka_unit_test(hangs_up_anywhere),
		cmocka_unit_test(demands_tls),        cmocka_unit_test(asks_the_next),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
