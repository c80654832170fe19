#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/notice_text.h"

static struct buf fresh(void)
{
	struct buf out;
	buf_init(&out, 1 << 16);
	return out;
}

static void assert_text(struct buf *out, const char *want)
{
	buf_put_byte(out, '\0');
	assert_string_equal(out->ptr, want);
	buf_done(out);
}

static void test_fill(void **state)
{
	(void)state;
	static const struct notice_value values[] = {
		{ "name", { "alice", 5 } },
		{ "none", { NULL, 0 } },
		{ "lines", { "a\r\nb", 4 } },
		{ "braces", { "{name}", 6 } },
		{ "order", { "x stop y", 8 } },
		{ "long",
		  { "1234567890123456789012345678901234567890"
		    "1234567890123456789012345678901234567890",
		    80 } },
	};
	static const struct {
		const char *template, *want;
	} rows[] = {
		{ "", "" },
		{ "\n", "\n" },
		{ "Hello {name}.\n", "Hello alice.\n" },
		{ "no end", "no end\n" },
		{ "{?name}is {name}\n{?none}is not\nx\n", "is alice\nx\n" },
		{ "a{none}b{none}\n", "ab\n" },
		{ "a {lines} b\n", "a a??b b\n" },
		{ "{braces}\n", "{name}\n" }, /* once, not twice */
		{ "{?braces}{braces}{name}\n", "{name}alice\n" },
		/* 78 columns, and no more */
		{ "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 "
		  "12345678901 b\n",
		  "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 "
		  "12345678901\n"
		  "b\n" },
		{ "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 "
		  "1234567890 b\n",
		  "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 "
		  "1234567890 b\n" },
		/* An order's word is not put in front of a line; nor two of them. */
		{ "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 "
		  "1234567890 "
		  "stop \"No, b\n",
		  "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 "
		  "1234567890 "
		  "stop \"No,\nb\n" },
		{ "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 123456789 "
		  "{order}\n",
		  "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 123456789 "
		  "x stop\ny\n" },
		{ "a {long} b\n", "a\n123456789012345678901234567890123456789012345678901234567"
		                  "89012345678901234567890"
		                  "\nb\n" },
		/* A command is one line. */
		{ "  {name} {long} {long}\n", "  alice "
		                              "123456789012345678901234567890123456789012345678"
		                              "90123456789012345678901234567890 "
		                              "123456789012345678901234567890123456789012345678"
		                              "90123456789012345678901234567890"
		                              "\n" },
		{ "{?name}  {long} b\n", "  "
		                         "12345678901234567890123456789012345678901234567890123"
		                         "456789012345678901234567890"
		                         " b\n" },
		/* Columns, not bytes. */
		{ "\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303"
		  "\244 "
		  "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 b\n",
		  "\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303\244\303"
		  "\244 "
		  "1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 b\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = fresh();
		notice_text_fill(rows[i].template, values, COUNT(values), &out);
		assert_text(&out, rows[i].want);
	}
}

static void test_escape(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t most;
		const char *want;
	} rows[] = {
		{ "", 10, "" },
		{ "abc", 3, "abc" },
		{ "abcd", 3, "abc..." },
		{ "a\r\nb\tc\033\177", 99, "a??b?c??" },
		{ "Gr\303\274n \342\202\254 \360\237\230\200", 99,
		  "Gr\303\274n \342\202\254 \360\237\230\200" },
		{ "a\303\274", 2, "a..." }, /* whole characters */
		{ "a\303\274", 3, "a\303\274" },
		{ "\303", 99, "?" },
		{ "\303(", 99, "?(" },
		{ "\300\200 \301\277 \340\200\200 \360\200\200\200", 99, "?? ?? ??? ????" },
		{ "\355\240\200 \364\220\200\200 \377\376", 99, "??? ???? ??" },
		{ "\342\200\256abc\342\200\254", 99, "?abc?" },    /* RLO, PDF */
		{ "\342\201\246\342\200\217\330\234", 99, "???" }, /* LRI, RLM, ALM */
		{ "\342\200\250\342\200\251\302\205", 99, "???" }, /* line ends all */
		{ "\302\233\302\255\342\200\213\357\273\277", 99, "????" },
		{ "<script> =?utf-8?q?x?= {x} %s", 99, "<script> =?utf-8?q?x?= {x} %s" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = fresh();
		notice_text_escape(span_str(rows[i].text), rows[i].most, &out);
		assert_text(&out, rows[i].want);
	}
	struct buf out = fresh();
	notice_text_escape(SPAN_LIT("a\0b"), 99, &out);
	assert_text(&out, "a?b");
}

/* What sh makes of it is the name again. */
static void test_quote(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "alice@example.org", "alice@example.org" },
		{ "a+b_c-d@example.org", "a+b_c-d@example.org" },
		{ "-rf", "'-rf'" },
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "$(reboot)`x`;\"", "'$(reboot)`x`;\"'" },
		{ "o'hara@example.org", "'o'\\''hara@example.org'" },
		{ "*", "'*'" },
		{ "~root", "'~root'" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = fresh();
		notice_text_quote(span_str(rows[i][0]), &out);
		assert_text(&out, rows[i][1]);
	}
}

static void test_link(void **state)
{
	(void)state;
	static const char *const rows[][3] = {
		{ "a+b.1-c@example.org", "KEEP", "mailto:a+b.1-c@example.org?subject=KEEP" },
		{ "a?b&c%d=e@[::1]", "x y&z",
		  "mailto:a%3Fb%26c%25d%3De@%5B%3A%3A1%5D?subject=x%20y%26z" },
		{ "a>b", "\303\274", "mailto:a%3Eb?subject=%C3%BC" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = fresh();
		notice_text_link(span_str(rows[i][0]), span_str(rows[i][1]), &out);
		assert_text(&out, rows[i][2]);
	}
}

/* Long lists of addresses are folded, and no field is longer than it may be. */
static void test_message(void **state)
{
	(void)state;
	struct buf to = fresh(), out = fresh();
	for (size_t i = 0; i < 16; i++) {
		buf_printf(&to, "%spostmaster.%zu@department.example.org", i ? ", " : "", i);
	}
	const struct notice_message message = {
		.hostname = "mail.example.org",
		.from = SPAN_LIT("gatepost@example.org"),
		.to = buf_span(&to),
		.subject = SPAN_LIT("a =?utf-8?q?b?= \303\274 =\303\r\nBcc: eve@example.net"),
		.id = SPAN_LIT("case.1"),
		.seconds = 0,
		.body = SPAN_LIT("one\n\ntwo"),
	};
	notice_text_message(&message, &out);
	buf_put_byte(&out, '\0');
	assert_non_null(
	    strstr(out.ptr, "Subject: a =_utf-8?q?b?= __ =___Bcc: eve@example.net\r\n"));
	assert_non_null(strstr(out.ptr, "\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"));
	assert_non_null(strstr(out.ptr, "\r\n\r\none\r\n\r\ntwo\r\n"));
	for (const char *line = out.ptr; *line; line = strstr(line, "\r\n") + 2) {
		assert_true(strstr(line, "\r\n") - line <= 78);
	}
	for (size_t i = 0; i < 16; i++) {
		char one[64];
		snprintf(one, sizeof one, " postmaster.%zu@department.example.org%s", i,
		         i < 15 ? "," : "\r\n");
		assert_non_null(strstr(out.ptr, one));
	}
	buf_done(&to);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill),    cmocka_unit_test(test_escape),
		cmocka_unit_test(test_quote),   cmocka_unit_test(test_link),
		cmocka_unit_test(test_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
