#include "check.h"

#include "proto/header.h"

#define DATE "Date: D\r\n"
#define ID   "Message-ID: <I>\r\n"

static const struct header_additions additions = { { "D", 1 }, { "<I>", 3 } };

/* A message, what goes on, and the fields counted: From, Date, Message-ID, Received. */
static const struct {
	const char *in;
	const char *out;
	unsigned from, date, id, received;
} rows[] = {
	{ "From: a\r\n\r\nbody\r\n", "From: a\r\n" DATE ID "\r\nbody\r\n", 1, 0, 0, 0 },
	{ "Date: x\r\nFrom: a\r\n\r\nb", "Date: x\r\nFrom: a\r\n" ID "\r\nb", 1, 1, 0, 0 },
	{ "Message-Id: x\r\n\r\nb", "Message-Id: x\r\n" DATE "\r\nb", 0, 0, 1, 0 },
	{ "dAtE: x\r\nMESSAGE-ID: y\r\n\r\n", "dAtE: x\r\nMESSAGE-ID: y\r\n\r\n", 0, 1, 1, 0 },
	{ "Date : x\r\nMessage-ID \t:y\r\n\r\nb", "Date : x\r\nMessage-ID \t:y\r\n\r\nb", 0, 1,
	  1, 0 },
	{ "Date:\r\n x\r\nMessage-ID:\r\n\r\n", "Date:\r\n x\r\nMessage-ID:\r\n\r\n", 0, 1, 1,
	  0 },
	{ "From: a\r\nFrom: b\r\nDate: 1\r\nDate: 2\r\nMessage-ID: 1\r\n\r\n",
	  "From: a\r\nFrom: b\r\nDate: 1\r\nDate: 2\r\nMessage-ID: 1\r\n\r\n", 2, 2, 1, 0 },
	{ "Received: a\r\n b\r\nReceived: c\r\nX-Received: d\r\nReceive: e\r\n\r\n",
	  "Received: a\r\n b\r\nReceived: c\r\nX-Received: d\r\nReceive: e\r\n" DATE ID "\r\n",
	  0, 0, 0, 2 },
	/* a continuation is no field, whatever it looks like; a blank one does not end the
	   header */
	{ "X: a\r\n Date: b\r\n\tMessage-ID: c\r\n \r\nFrom: a\r\n\r\n",
	  "X: a\r\n Date: b\r\n\tMessage-ID: c\r\n \r\nFrom: a\r\n" DATE ID "\r\n", 1, 0, 0,
	  0 },
	/* the body is not looked at */
	{ "X: a\r\n\r\nDate: b\r\nFrom: c\r\n", "X: a\r\n" DATE ID "\r\nDate: b\r\nFrom: c\r\n",
	  0, 0, 0, 0 },
	/* no header at all */
	{ "", DATE ID, 0, 0, 0, 0 },
	{ "\r\n", DATE ID "\r\n", 0, 0, 0, 0 },
	{ "\r\nDate: x\r\n", DATE ID "\r\nDate: x\r\n", 0, 0, 0, 0 },
	{ "Hello world\r\nDate: x\r\n", DATE ID "\r\nHello world\r\nDate: x\r\n", 0, 0, 0, 0 },
	{ "Hello\r\nworld: x\r\n", DATE ID "\r\nHello\r\nworld: x\r\n", 0, 0, 0, 0 },
	{ "From alice Mon Jan 1\r\nFrom: a\r\n\r\n",
	  DATE ID "\r\nFrom alice Mon Jan 1\r\nFrom: a\r\n\r\n", 0, 0, 0, 0 },
	{ " folded\r\nDate: x\r\n", DATE ID "\r\n folded\r\nDate: x\r\n", 0, 0, 0, 0 },
	{ ": x\r\n", DATE ID "\r\n: x\r\n", 0, 0, 0, 0 },
	{ "Gr\xc3\xbc\xc3\x9f"
	  "e: x\r\n",
	  DATE ID "\r\nGr\xc3\xbc\xc3\x9f"
	          "e: x\r\n",
	  0, 0, 0, 0 },
	/* no blank line between header and body */
	{ "From: a\r\nHello there: x\r\nDate: b\r\n",
	  "From: a\r\n" DATE ID "\r\nHello there: x\r\nDate: b\r\n", 1, 0, 0, 0 },
	{ "Date: a\r\nMessage-ID: b\r\nHi\r\n", "Date: a\r\nMessage-ID: b\r\n\r\nHi\r\n", 0, 1,
	  1, 0 },
	/* cut at any place */
	{ "From: a\r\n", "From: a\r\n" DATE ID, 1, 0, 0, 0 },
	{ "From: a\r\nDate: b", "From: a\r\nDate: b\r\n" ID, 1, 1, 0, 0 },
	{ "From: a\r\nDate", "From: a\r\n" DATE ID "\r\nDate", 1, 0, 0, 0 },
	{ "From: a\r\nDate:", "From: a\r\nDate:\r\n" ID, 1, 1, 0, 0 },
	{ "From: a\r\n\r", "From: a\r\n" DATE ID "\r\n\r", 1, 0, 0, 0 },
	{ "From: a\r\n\rx", "From: a\r\n" DATE ID "\r\n\rx", 1, 0, 0, 0 },
	/* bare LF, for the sites that normalise it */
	{ "From: a\nDate: b\n\nbody: c\n", "From: a\nDate: b\n" ID "\nbody: c\n", 1, 1, 0, 0 },
	/* a name of 79 bytes is the longest */
	{ "X234567890123456789012345678901234567890123456789012345678901234567890123456789: "
	  "a\r\n\r\n",
	  "X234567890123456789012345678901234567890123456789012345678901234567890123456789: "
	  "a\r\n" DATE ID "\r\n",
	  0, 0, 0, 0 },
	{ "From: "
	  "a\r\nX234567890123456789012345678901234567890123456789012345678901234567890123456789"
	  "0: a\r\n",
	  "From: a\r\n" DATE ID "\r\nX234567890123456789012345678901234567890123456789012345678"
	  "9012345678901234567890: a\r\n",
	  1, 0, 0, 0 },
};

static void put_in_steps(struct header *header, struct span in, size_t step, struct buf *out)
{
	while (in.len) {
		header_put(header, span_first(in, step), out);
		in = span_from(in, step);
	}
	header_end(header, out);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span in = span_str(rows[i].in);
		for (size_t step = 1; step <= in.len + 1; step++) {
			struct header header;
			struct buf out = { .cap = 1000 };
			header_init(&header, &additions);
			put_in_steps(&header, in, step, &out);
			check_span(rows[i].in, buf_span(&out), span_str(rows[i].out));
			CHECK(rows[i].in, header.facts.done);
			CHECK(rows[i].in, header.facts.from == rows[i].from);
			CHECK(rows[i].in, header.facts.date == rows[i].date);
			CHECK(rows[i].in, header.facts.message_id == rows[i].id);
			CHECK(rows[i].in, header.facts.received == rows[i].received);
			buf_done(&out);
		}
	}
}

/* The From field whose mailbox must be the sender's, however it is split. */
static void test_from(void **state)
{
	(void)state;
	static const struct {
		const char *in, *from;
	} froms[] = {
		{ "From: a@b\r\n\r\nFrom: c\r\n", "a@b" },
		{ "X: y\r\nfrom :\r\n Alice\r\n\t<a@b>\r\nTo: c\r\n d\r\n\r\n",
		  "Alice\t<a@b>" },
		{ "From: a@b\r\nFrom: c@d\r\n e\r\n\r\n", "a@b" },
		{ "From: a@b\n c\nTo: d\n\n", "a@b c" },
		{ "To: a\r\n\r\n", "" },
		{ "From:\r\n\r\n", "" },
		{ "From: a@b", "a@b" },
		{ "From: a\rb@c\r\n\r\n", "a\rb@c" },
		{ "FromX: a\r\nX-From: b\r\n From: c\r\n\r\n", "" },
		{ "no header\r\nFrom: a@b\r\n", "" },
	};
	for (size_t i = 0; i < COUNT(froms); i++) {
		struct span in = span_str(froms[i].in);
		for (size_t step = 1; step <= in.len + 1; step++) {
			struct header header;
			struct buf out = { .cap = 1000 };
			struct buf from = { .cap = 1000 };
			header_init(&header, &additions);
			put_in_steps(&header, in, step, &out);
			CHECK(froms[i].in, header_from(&header, &from));
			check_span(froms[i].in, buf_span(&from), span_str(froms[i].from));
			buf_done(&out);
			buf_done(&from);
		}
	}
	char longest[HEADER_FROM_MAX + 20] = "From:";
	for (size_t extra = 0; extra < 2; extra++) {
		struct header header;
		struct buf out = { .cap = 2000 };
		struct buf from = { .cap = 2000 };
		memset(longest + 5, 'x', HEADER_FROM_MAX + extra);
		header_init(&header, &additions);
		put_in_steps(&header, span_of(longest, 5 + HEADER_FROM_MAX + extra), 7, &out);
		assert_int_equal(header_from(&header, &from), extra == 0);
		buf_done(&out);
		buf_done(&from);
	}
}

/* The facts are final, and the additions out, as soon as the header is over. */
static void test_done_early(void **state)
{
	(void)state;
	struct header header;
	struct buf out = { .cap = 1000 };
	header_init(&header, &additions);
	header_put(&header, SPAN_LIT("X: a\r\n\r"), &out);
	assert_false(header.facts.done);
	check_span("before", buf_span(&out), SPAN_LIT("X: a\r\n"));
	header_put(&header, SPAN_LIT("\n"), &out);
	assert_true(header.facts.done);
	check_span("after", buf_span(&out), SPAN_LIT("X: a\r\n" DATE ID "\r\n"));
	buf_done(&out);
}

/* Nothing is added for an empty span: whoever only wants the facts. */
static void test_no_additions(void **state)
{
	(void)state;
	static const struct header_additions none = { SPAN_NONE, SPAN_NONE };
	struct header header;
	struct buf out = { .cap = 1000 };
	header_init(&header, &none);
	put_in_steps(&header, SPAN_LIT("X: a\r\n\r\nb"), 100, &out);
	check_span("none", buf_span(&out), SPAN_LIT("X: a\r\n\r\nb"));
	buf_done(&out);
}

static void test_date(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *text;
	} dates[] = {
		{ 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
		{ 951782399, "Mon, 28 Feb 2000 23:59:59 +0000" },
		{ 951782400, "Tue, 29 Feb 2000 00:00:00 +0000" },
		{ 1795575600, "Wed, 25 Nov 2026 03:00:00 +0000" },
		{ 4102444800, "Fri, 01 Jan 2100 00:00:00 +0000" },
		{ INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000" },
		{ INT64_MIN, "Mon, 01 Jan 0001 00:00:00 +0000" },
		{ -1, "Wed, 31 Dec 1969 23:59:59 +0000" },
	};
	for (size_t i = 0; i < COUNT(dates); i++) {
		struct buf out = { .cap = 100 };
		header_date(dates[i].seconds, &out);
		check_span("date", buf_span(&out), span_str(dates[i].text));
		buf_done(&out);
	}
}

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_fold(void **state)
{
	(void)state;
	static const struct {
		const char *lead;
		struct span words;
		const char *text;
	} folds[] = {
		{ "S:", { "a b", 3 }, "S: a b\r\n" },
		{ "S:", { "  a \t  b  ", 10 }, "S: a b\r\n" },
		{ "S:", { "", 0 }, "S:\r\n" },
		{ "", { "a b", 3 }, "a b\r\n" },
		{ "S:", { X50 " " X50, 101 }, "S: " X50 "\r\n " X50 "\r\n" },
		{ "S:",
		  { X50 " 123456789012345678901234", 75 },
		  "S: " X50 " 123456789012345678901234\r\n" },
		{ "S:",
		  { X50 " 1234567890123456789012345", 76 },
		  "S: " X50 "\r\n 1234567890123456789012345\r\n" },
		{ "S:", { "a\r\nB: c\0\x7f\xc3\xa4", 11 }, "S: a??B: c????\r\n" },
		{ "S:", { X50 X50 " b", 102 }, "S:\r\n " X50 X50 "\r\n b\r\n" },
	};
	for (size_t i = 0; i < COUNT(folds); i++) {
		struct buf out = { .cap = 1000 };
		header_fold(span_str(folds[i].lead), SPAN_LIT(" "), folds[i].words, &out);
		check_span(folds[i].words.ptr, buf_span(&out), span_str(folds[i].text));
		buf_done(&out);
	}
	static char word[5000];
	memset(word, 'x', sizeof word);
	struct buf out = { .cap = 10000 };
	header_fold(SPAN_LIT("S:"), SPAN_LIT(" "), span_of(word, sizeof word), &out);
	for (struct span rest = buf_span(&out); rest.len;) {
		size_t n = span_find(rest, '\r');
		assert_true(n <= 998);
		rest = span_from(rest, n + 2);
	}
	buf_done(&out);
}

static void test_received(void **state)
{
	(void)state;
	static const struct {
		struct span helo, tls;
		const char *text;
	} received[] = {
		{ { "[192.0.2.1]", 11 },
		  { "TLS_AES_128_GCM_SHA256", 22 },
		  "from [192.0.2.1]\r\n\tby mail.example.org with ESMTPSA id 3f2a tls "
		  "TLS_AES_128_GCM_SHA256" },
		{ { "pc", 2 },
		  { "", 0 },
		  "from pc\r\n\tby mail.example.org with ESMTPSA id 3f2a" },
		{ { "", 0 },
		  { "", 0 },
		  "from unknown\r\n\tby mail.example.org with ESMTPSA id 3f2a" },
		{ { "a by x; (\r\nB: \0\xff\")", 18 },
		  { "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 45 },
		  "from a?by?x?????B:?????\r\n\tby mail.example.org with ESMTPSA id 3f2a "
		  "tls\r\n"
		  "\tTLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" },
	};
	for (size_t i = 0; i < COUNT(received); i++) {
		struct header_received facts = {
			.helo = received[i].helo,
			.hostname = SPAN_LIT("mail.example.org"),
			.protocol = SPAN_LIT("ESMTPSA"),
			.tls = received[i].tls,
			.id = SPAN_LIT("3f2a"),
			.seconds = 1795575600,
		};
		struct buf out = { .cap = 1000 }, want = { .cap = 1000 };
		buf_printf(&want, "Received: %s;\r\n\tWed, 25 Nov 2026 03:00:00 +0000\r\n",
		           received[i].text);
		header_received(&facts, &out);
		check_span(received[i].helo.ptr, buf_span(&out), buf_span(&want));
		buf_done(&want);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),       cmocka_unit_test(test_from),
		cmocka_unit_test(test_done_early), cmocka_unit_test(test_no_additions),
		cmocka_unit_test(test_date),       cmocka_unit_test(test_fold),
		cmocka_unit_test(test_received),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
