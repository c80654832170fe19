/* The first text/plain leaf, fields, encoded words, quoted-printable: rows. */
#include "check.h"

#include "proto/mime.h"
#include "proto/qp.h"

static void test_first_text(void **state)
{
	(void)state;
	static const struct {
		const char *message;
		enum mime_result result;
		const char *text;
	} rows[] = {
		{ "Subject: x\r\n\r\nhello\r\n", MIME_TEXT, "hello\n" },
		{ "Subject: x\n\nhello\n", MIME_TEXT, "hello\n" },
		{ "Content-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n", MIME_TEXT,
		  "hello" },
		{ "Content-Transfer-Encoding: quoted-printable\r\n\r\nhel=\r\nlo=20=41\r\n",
		  MIME_TEXT, "hello A\n" },
		{ "Content-Type: text/plain; charset=iso-8859-1\r\n\r\ngr\xfc\xdf\r\n",
		  MIME_TEXT, "gr\xc3\xbc\xc3\x9f\n" },
		{ "Content-Type: text/plain; charset=utf-16\r\n\r\nx\r\n", MIME_UNDECODABLE,
		  "" },
		{ "Content-Type: text/html\r\n\r\n<p>x\r\n", MIME_NO_TEXT, "" },
		{ "Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\n"
		  "Content-Type: text/html\r\n\r\n<p>x\r\n--b\r\n\r\nplain\r\n--b--\r\n",
		  MIME_TEXT, "plain\n" },
		{ "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
		  "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
		  "Content-Type: text/plain\r\n\r\ninner\r\n--b--\r\n--a--\r\n",
		  MIME_TEXT, "inner\n" },
		{ "", MIME_TEXT, "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;
		buf_init(&out, MIME_TEXT_MAX);
		enum mime_result result = mime_first_text(span_str(rows[i].message), &out);
		CHECK(rows[i].message, result == rows[i].result);
		if (result == MIME_TEXT) {
			check_span(rows[i].message, buf_span(&out), span_str(rows[i].text));
		}
		buf_done(&out);
	}
}

static void test_fields(void **state)
{
	(void)state;
	struct span message = SPAN_LIT(
	    "SUBJECT: one\r\n two\r\nX: 1\r\nx: 2\r\n\r\nY: body\r\n");
	struct buf out;
	size_t count;
	buf_init(&out, 1000);
	assert_true(mime_field(message, SPAN_LIT("Subject"), &out, &count));
	check_span("unfolded", span_trim(buf_span(&out)), SPAN_LIT("one two"));
	assert_int_equal(count, 1);
	buf_clear(&out);
	assert_true(mime_field(message, SPAN_LIT("X"), &out, &count));
	check_span("the first", span_trim(buf_span(&out)), SPAN_LIT("1"));
	assert_int_equal(count, 2);
	assert_false(mime_field(message, SPAN_LIT("Y"), &out, NULL));
	buf_done(&out);
}

static void test_words(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain", "plain" },
		{ "=?utf-8?Q?gr=C3=BC=C3=9Fe_an?= alle", "gr\xc3\xbc\xc3\x9f"
		                                         "e an alle" },
		{ "=?ISO-8859-1?B?Z3L83w==?=", "gr\xc3\xbc\xc3\x9f" },
		{ "=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab" },
		{ "=?nonsense", "=?nonsense" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;
		buf_init(&out, 1000);
		mime_decode_words(span_str(rows[i].in), &out);
		check_span(rows[i].in, buf_span(&out), span_str(rows[i].out));
		buf_done(&out);
	}
}

static void test_qp(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "a=3Db", "a=b" },   { "a=3db", "a=b" }, { "soft=\r\nbreak", "softbreak" },
		{ "a=ZZb", "a=ZZb" }, { "end=", "end" },  { "blank  \r\nx", "blank\r\nx" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;
		buf_init(&out, 1000);
		qp_decode(span_str(rows[i].in), &out);
		check_span(rows[i].in, buf_span(&out), span_str(rows[i].out));
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_text),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_qp),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
