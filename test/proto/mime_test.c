#include "check.h"

#include "proto/mime.h"

#define MIB ((size_t)1 << 20)

/* Rows are written with LF; every one is read with CRLF, too. */
static void to_crlf(struct span text, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n') {
			buf_put_byte(out, '\r');
		}
		buf_put_byte(out, text.ptr[i]);
	}
}

static void check_text(struct span message, enum mime_result result, const char *text)
{
	struct buf out = { .cap = MIME_TEXT_MAX };
	enum mime_result got = mime_first_text(message, &out);
	if (got != result) {
		fail_msg("%.*s\n: result %d, not %d", SPAN_ARG(message), (int)got, (int)result);
	}
	if (text) {
		check_span(message.ptr, buf_span(&out), span_str(text));
	}
	buf_done(&out);
}

#define M(parts) "Content-Type: multipart/mixed; boundary=b\n\n" parts
#define A(parts) "Content-Type: multipart/alternative; boundary=b\n\n" parts

static void test_first_text(void **state)
{
	(void)state;
	static const struct {
		const char *message;
		enum mime_result result;
		const char *text;
	} rows[] = {
		/* no MIME */
		{ "", MIME_TEXT, "" },
		{ "\nhello\n", MIME_TEXT, "hello\n" },
		{ "Subject: x\n\nhello\n", MIME_TEXT, "hello\n" },
		{ "Subject: x\n y\n\n\nhello", MIME_TEXT, "\nhello" },
		{ "Subject: x", MIME_TEXT, "" },
		{ "Subject: x\nno field\nhello\n", MIME_TEXT, "no field\nhello\n" },
		{ "a\rb\r\nc\r", MIME_TEXT, "a\nb\nc\n" },
		/* one leaf */
		{ "Content-Type: text/plain\n\nx", MIME_TEXT, "x" },
		{ "content-type : TEXT/PLAIN ; format=flowed\n\nx", MIME_TEXT, "x" },
		{ "Content-Type: text\n\nx", MIME_TEXT, "x" },
		{ "Content-Type: text/html\n\nx", MIME_NO_TEXT, "" },
		{ "Content-Type: text/plain-ish\n\nx", MIME_NO_TEXT, "" },
		{ "Content-Type:\n\nx", MIME_NO_TEXT, "" },
		{ "Content-Type: text/html\nContent-Type: text/plain\n\nx", MIME_NO_TEXT, "" },
		{ "Content-Type: text/plain\nContent-Disposition: Attachment; "
		  "filename=a\n\nx",
		  MIME_NO_TEXT, "" },
		{ "Content-Disposition: inline\n\nx", MIME_TEXT, "x" },
		/* encodings */
		{ "Content-Transfer-Encoding: Quoted-Printable\n\na=\nb=3D =\n", MIME_TEXT,
		  "ab= " },
		{ "Content-Transfer-Encoding: BASE64\n\naGVs\nbG8=\n", MIME_TEXT, "hello" },
		{ "Content-Transfer-Encoding: base64\n\na GVs\n\tbG8\n", MIME_TEXT, "hello" },
		{ "Content-Transfer-Encoding: base64\n\naGVsbG8=\n--- footer\n", MIME_TEXT,
		  "hello" },
		{ "Content-Transfer-Encoding: base64\n\n", MIME_TEXT, "" },
		{ "Content-Transfer-Encoding: base64\n\n*hello*", MIME_UNDECODABLE, "" },
		{ "Content-Transfer-Encoding: x-uuencode\n\nx", MIME_UNDECODABLE, NULL },
		{ "Content-Transfer-Encoding: 8bit (yes)\n\nx", MIME_TEXT, "x" },
		/* character sets */
		{ "Content-Type: text/plain; charset=utf-8\n\n\xc3\xa9", MIME_TEXT,
		  "\xc3\xa9" },
		{ "Content-Type: text/plain; charset=\"UTF\\-8\"\n\n\xc3\xa9\xe9", MIME_TEXT,
		  "\xc3\xa9?" },
		{ "Content-Type: text/plain; a=\"; charset=x\"; charset=ISO-8859-1\n\n\xe9\x80",
		  MIME_TEXT, "\xc3\xa9\xc2\x80" },
		{ "Content-Type: text/plain; (; charset=x) charset=latin1\n\n\xe9", MIME_TEXT,
		  "?" },
		{ "Content-Type: text/plain; x=(; charset=x); charset=latin1\n\n\xe9",
		  MIME_TEXT, "\xc3\xa9" },
		{ "Content-Type: text/plain; charset=Windows-1252\n\n\xe4", MIME_TEXT,
		  "\xc3\xa4" },
		{ "Content-Type: text/plain; charset=iso-8859-2\n\nOK \xb1", MIME_TEXT,
		  "OK ?" },
		{ "Content-Type: text/plain; charset=utf-16\n\nx", MIME_UNDECODABLE, "" },
		{ "Content-Type: text/plain; charset=utf-7\n\nx", MIME_UNDECODABLE, "" },
		{ "Content-Type: text/plain; charset=\"\n\nx", MIME_TEXT, "x" },
		/* not UTF-8: overlong, surrogate, beyond, cut */
		{ "\n\xc0\x80|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82", MIME_TEXT,
		  "??|???|????|??" },
		{ "\n\xf0\x9f\x91\x8d\xe2\x82\xac\xf4\x8f\xbf\xbf", MIME_TEXT,
		  "\xf0\x9f\x91\x8d\xe2\x82\xac\xf4\x8f\xbf\xbf" },
		/* multiparts */
		{ M("--b\n\nx\n--b--\n"), MIME_TEXT, "x\n" },
		{ M("preamble\n--b \t\n\nx\n--b--\n"), MIME_TEXT, "x\n" },
		{ M("--b\nx\n--b--\n"), MIME_TEXT, "x\n" },
		{ M("--b\nContent-Type: text/plain\n--b--\n\nafter"), MIME_TEXT, "" },
		{ M("--b\n\nunclosed"), MIME_TEXT, "unclosed" },
		{ M("--b\n\n--bb\n--b-\n --b\n--b--\n"), MIME_TEXT, "--bb\n--b-\n --b\n" },
		{ M("--b--\n--b\n\nx"), MIME_NO_TEXT, "" },
		{ M("no part"), MIME_NO_TEXT, "" },
		{ M("--b\nContent-Type: text/html\n\nh\n--b\n\nx\n--b--\n"), MIME_TEXT, "x\n" },
		{ M("--b\nContent-Type: text/html\n\nh\n--b--\n\nx\n"), MIME_NO_TEXT, "" },
		{ M("--b\nContent-Type: message/rfc822\n\n\nx\n--b--\n"), MIME_NO_TEXT, "" },
		{ M("--b\nContent-Disposition: attachment\n\na\n--b\n\nx\n--b--\n"), MIME_TEXT,
		  "x\n" },
		{ M("--b\nContent-Type: text/plain; charset=utf-16\n\na\n--b\n\nx\n--b--\n"),
		  MIME_UNDECODABLE, "" },
		{ "Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n", MIME_NO_TEXT, "" },
		{ "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n----\n",
		  MIME_NO_TEXT, "" },
		{ "Content-Type: multipart/digest; boundary=b\n\n--b\n\nx\n--b--\n",
		  MIME_NO_TEXT, "" },
		{ "Content-Type: multipart/mixed; boundary=\"a:b \\\"c\"\n\n--a:b \"c\n\nx\n",
		  MIME_TEXT, "x\n" },
		{ "Content-Type: multipart/mixed;\n boundary=\"a\n b\"\n\n--a b\n\nx\n",
		  MIME_TEXT, "x\n" },
		/* nested: the inner one ends with the outer; one boundary twice */
		{ M("--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: "
		    "a/b\n\n--b\n\nx\n--c\n\ny\n"),
		  MIME_TEXT, "x\n--c\n\ny\n" },
		{ M("--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n"),
		  MIME_TEXT, "x\n" },
		{ M("--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: "
		    "a/b\n\n--c--\nepilogue\n--b\n\nx\n"),
		  MIME_TEXT, "x\n" },
		/* a blank form beside another */
		{ A("--b\n\n \xc2\xa0\n--b\nContent-Type: text/html\n\nh\n--b--\n"),
		  MIME_NO_TEXT, "" },
		{ A("--b\n\n?\n--b\nContent-Type: text/html\n\nh\n--b--\n"), MIME_TEXT, "?\n" },
		{ M("--b\n\n\n--b\nContent-Type: image/png\n\nh\n--b--\n"), MIME_TEXT, "\n" },
	};
	struct buf crlf = { .cap = 4096 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span message = span_str(rows[i].message);
		check_text(message, rows[i].result, rows[i].text);
		if (span_find(message, '\r') == message.len) {
			to_crlf(message, &crlf);
			check_text(buf_span(&crlf), rows[i].result, rows[i].text);
		}
	}
	buf_done(&crlf);
}

/* Multiparts in each other down to a text. */
static void nest(size_t depth, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < depth; i++) {
		buf_printf(out, "Content-Type: multipart/mixed; boundary=b%zu\n\n--b%zu\n", i,
		           i);
	}
	buf_put_str(out, "\ndeep\n");
}

static void test_depth(void **state)
{
	(void)state;
	struct buf message = { .cap = 64 * MIB };
	nest(MIME_DEPTH_MAX, &message);
	check_text(buf_span(&message), MIME_TEXT, "deep\n");
	nest(MIME_DEPTH_MAX + 1, &message);
	check_text(buf_span(&message), MIME_NO_TEXT, "");
	nest(200000, &message);
	check_text(buf_span(&message), MIME_NO_TEXT, "");
	buf_done(&message);
}

static void test_parts(void **state)
{
	(void)state;
	struct buf message = { .cap = 64 * MIB };
	for (size_t n = MIME_PARTS_MAX - 2; n <= MIME_PARTS_MAX - 1; n++) {
		buf_clear(&message);
		buf_put_str(&message, M(""));
		for (size_t i = 0; i < n; i++) {
			buf_put_str(&message, "--b\nContent-Type: a/b\n\n");
		}
		buf_put_str(&message, "--b\n\nx\n");
		bool within = n == MIME_PARTS_MAX - 2;
		check_text(buf_span(&message), within ? MIME_TEXT : MIME_NO_TEXT,
		           within ? "x\n" : "");
	}
	while (message.len < 10 * MIB) {
		buf_put_str(&message, "--b\nContent-Type: a/b\n\n");
	}
	check_text(buf_span(&message), MIME_NO_TEXT, "");
	buf_done(&message);
}

/* What would be quadratic in a careless reader: each is 10 MB of one thing. */
static void test_bombs(void **state)
{
	(void)state;
	static const struct {
		const char *begin, *again;
		enum mime_result result;
	} rows[] = {
		{ "", "a:\n", MIME_TEXT },
		{ "", "Content-Type: text/plain\n", MIME_TEXT },
		{ "Content-Type: text/plain;", "\n a", MIME_TEXT },
		{ "Content-Type: text/plain; ", "(", MIME_TEXT },
		{ "Content-Type: multipart/mixed; boundary=", "b", MIME_TEXT },
		{ M(""), "--b", MIME_NO_TEXT },
		{ M(""), "--b \n\n", MIME_TEXT },
		{ M(""), "--b x\n", MIME_NO_TEXT },
		{ "Content-Transfer-Encoding: quoted-printable\n\n", "=\n", MIME_TEXT },
		{ "Content-Transfer-Encoding: quoted-printable\n\n", "= ", MIME_TEXT },
		{ "Content-Transfer-Encoding: base64\n\n", "\n", MIME_TEXT },
		{ "Content-Type: text/plain; charset=latin1\n\n", "\xe9", MIME_TEXT },
		{ "\n", "\xe9", MIME_TEXT },
	};
	struct buf message = { .cap = 11 * MIB }, out = { .cap = MIME_TEXT_MAX };
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&message);
		buf_put_str(&message, rows[i].begin);
		while (message.len < 10 * MIB) {
			buf_put_str(&message, rows[i].again);
		}
		enum mime_result result = mime_first_text(buf_span(&message), &out);
		/* A Content-Type that is too long to read is no text. */
		bool endless = i >= 2 && i <= 4;
		CHECK(rows[i].again, result == (endless ? MIME_NO_TEXT : rows[i].result));
		CHECK(rows[i].again, out.len <= MIME_TEXT_MAX);
	}
	buf_done(&message);
	buf_done(&out);
}

/* A mail of 10 MB with its text in front, and behind. */
static void test_attachment(void **state)
{
	(void)state;
	static const char text[] = "--b\nContent-Type: text/plain\n\nunlock\n";
	struct buf message = { .cap = 16 * MIB };
	for (unsigned front = 0; front < 2; front++) {
		buf_clear(&message);
		buf_put_str(&message, M(""));
		buf_put_str(&message, front ? text : "");
		buf_put_str(&message, "--b\nContent-Type: application/zip\n"
		                      "Content-Transfer-Encoding: base64\n\n");
		while (message.len < 10 * MIB) {
			buf_put_str(&message, "UEsDBBQAAAAIAHN0b3AgaXQgaGVyZSBhbmQgbm93\n");
		}
		buf_put_str(&message, front ? "" : text);
		buf_put_str(&message, "--b--\n");
		check_text(buf_span(&message), MIME_TEXT, "unlock\n");
	}
	buf_done(&message);
}

static void test_cut(void **state)
{
	(void)state;
	struct buf message = { .cap = MIB }, out = { .cap = MIME_TEXT_MAX };
	buf_put_str(&message, "\n");
	while (message.len < 2 * MIME_TEXT_MAX) {
		buf_put_str(&message, "\xe2\x82\xac");
	}
	assert_int_equal(mime_first_text(buf_span(&message), &out), MIME_TEXT);
	assert_true(out.len > MIME_TEXT_MAX - 4 && out.len % 3 == 0);
	buf_done(&message);
	buf_done(&out);
}

static void test_field(void **state)
{
	(void)state;
	static const struct span message = SPAN_LIT(
	    "From: a\r\nSubject:\r\n one\r\n\ttwo \r\nsubject : again\r\nEmpty:\r\n"
	    "Folded:\r\n \r\n x\r\n\r\nTo: body\r\n");
	static const struct {
		const char *name;
		bool there;
		size_t count;
		const char *value;
	} rows[] = {
		{ "From", true, 1, "a" }, { "SUBJECT", true, 2, "one\ttwo" },
		{ "Empty", true, 1, "" }, { "Folded", true, 1, "x" },
		{ "To", false, 0, "" },   { "Fro", false, 0, "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 20 };
		size_t count = 99;
		buf_put_str(&out, "before");
		CHECK(rows[i].name, mime_field(message, span_str(rows[i].name), &out, &count) ==
		                        rows[i].there);
		CHECK(rows[i].name, count == rows[i].count);
		check_span(rows[i].name, buf_span(&out), span_str(rows[i].value));
		buf_done(&out);
	}
	struct buf small = { .cap = 5 };
	assert_false(mime_field(message, SPAN_LIT("Subject"), &small, NULL));
	assert_true(small.failed);
	buf_done(&small);
}

static void test_unit(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t length;
	} rows[] = {
		{ "", 0 },
		{ "a", 1 },
		{ ")", 1 },
		{ "\"\"x", 2 },
		{ "\"a\\\"b\" x", 6 },
		{ "\"(\"", 3 },
		{ "(a(b)c) x", 7 },
		{ "(\\))", 4 },
		{ "(\"))", 3 },
		{ "\"", 0 },
		{ "\"a\\\"", 0 },
		{ "((a)", 0 },
		{ "(a\\", 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CHECK(rows[i].text, mime_unit(span_str(rows[i].text)) == rows[i].length);
	}
}

static void test_decode_words(void **state)
{
	(void)state;
	static const struct {
		const char *text, *decoded;
	} rows[] = {
		{ "", "" },
		{ "plain = text?", "plain = text?" },
		{ "=?utf-8?q?Re:_unlock?=", "Re: unlock" },
		{ "=?UTF-8?B?UmU6?= x", "Re: x" },
		{ "=?iso-8859-1?Q?R=E9ponse?=", "R\xc3\xa9ponse" },
		{ "=?iso-8859-1*fr?Q?R=E9ponse?=", "R\xc3\xa9ponse" },
		{ "=?utf-8?q?a?= =?utf-8?q?b?=\t=?utf-8?q?c?=", "abc" },
		{ "=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c" },
		{ "a  =?utf-8?q?b?=", "a  b" },
		{ "=?utf-8?q?a?=b", "ab" },
		{ "=?utf-16?b?AAAA?=", "=?utf-16?b?AAAA?=" },
		{ "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
		{ "=??q?a?=", "=??q?a?=" },
		{ "=?utf-8?q?a", "=?utf-8?q?a" },
		{ "=?", "=?" },
		{ "=?utf-8?b?****?=", "=?utf-8?b?****?=" },
		{ "=?utf-8?q?"
		  "?=",
		  "" },
		{ "=?utf-8?q?a=0D=0ABcc:_x?=", "a Bcc: x" },
		{ "=?utf-8?q?=00=7F=FF?=", "  ?" },
		{ "caf\xc3\xa9 \xe9", "caf\xc3\xa9 ?" },
		{ "trailing ", "trailing " },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 200 };
		buf_put_str(&out, "\n");
		mime_decode_words(span_str(rows[i].text), &out);
		check_span(rows[i].text, span_from(buf_span(&out), 1),
		           span_str(rows[i].decoded));
		CHECK("what was there before stays", out.ptr[0] == '\n');
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_text),   cmocka_unit_test(test_depth),
		cmocka_unit_test(test_parts),        cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_attachment),   cmocka_unit_test(test_cut),
		cmocka_unit_test(test_field),        cmocka_unit_test(test_unit),
		cmocka_unit_test(test_decode_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
