#include "proto/reply.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

/* RFC 2034 4: the class of the enhanced code is the class of the code; none on 3xx. */
static void every_row_is_well_formed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < REPLY_COUNT; i++) {
		const struct reply_row *row = reply_row((enum reply)i);
		assert_true(row->code >= 200 && row->code <= 559);
		bool bare = row->code / 100 == 3 || i == REPLY_GREETING || i == REPLY_HELO;
		assert_true(bare == (row->enhanced == NULL));
		if (row->enhanced) {
			assert_int_equal(row->enhanced[0] - '0', row->code / 100);
		}
		const char *hole = strchr(row->text, '%');
		assert_true(!hole || (hole[1] == 's' && !strchr(hole + 1, '%')));
		assert_true(strlen(row->text) < 100);
		for (const char *c = row->text; *c; c++) {
			assert_true(*c >= ' ' && *c <= '~');
		}
	}
}

static void writes_rows(void **state)
{
	(void)state;
	static const struct {
		enum reply name;
		const char *word;
		const char *line;
	} rows[] = {
		{ REPLY_GREETING, "mx.example.org", "220 mx.example.org ESMTP Gatepost\r\n" },
		{ REPLY_HELO, "mx.example.org", "250 mx.example.org\r\n" },
		{ REPLY_OK, "unused", "250 2.0.0 OK\r\n" },
		{ REPLY_GO_AHEAD, "", "354 End data with <CR><LF>.<CR><LF>\r\n" },
		{ REPLY_QUEUED, "4F2", "250 2.0.0 Queued as 4F2\r\n" },
		{ REPLY_TOO_BIG, "9", "552 5.3.4 Message is larger than 9 bytes\r\n" },
		{ REPLY_QUEUED, "a\r\n250 b\x1b\xff%s",
		  "250 2.0.0 Queued as a??250 b??%s\r\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 4096 };
		reply_write(rows[i].name, span_str(rows[i].word), &out);
		buf_put_byte(&out, '\0');
		assert_string_equal(out.ptr, rows[i].line);
		buf_done(&out);
	}
}

static void cuts_a_long_line(void **state)
{
	(void)state;
	char word[2000];
	memset(word, 'w', sizeof word);
	struct buf out = { .cap = 4096 };
	reply_write(REPLY_QUEUED, span_of(word, sizeof word), &out);
	assert_int_equal(out.len, REPLY_LINE_MAX + 2);
	assert_memory_equal(out.ptr + REPLY_LINE_MAX, "\r\n", 2);
	buf_done(&out);
}

static const struct {
	const char *bytes;
	enum reply_read result;
	unsigned code;
	const char *enhanced;
	const char *text;
	size_t left; /* bytes behind the reply */
} replies[] = {
	{ "250 2.1.5 ok\r\n", REPLY_DONE, 250, "2.1.5", "ok", 0 },
	{ "250 ok\r\n", REPLY_DONE, 250, "", "ok", 0 },
	{ "250\r\n", REPLY_DONE, 250, "", "", 0 },
	{ "250 ok\n", REPLY_DONE, 250, "", "ok", 0 },
	{ "354 go\r\n250 next", REPLY_DONE, 354, "", "go", 8 },
	{ "250-a.example\r\n250-SIZE 10\r\n250 PIPELINING\r\n", REPLY_DONE, 250, "",
	  "a.example SIZE 10 PIPELINING", 0 },
	{ "550-5.1.1 no such\r\n550 5.1.2 user\r\n", REPLY_DONE, 550, "5.1.2", "no such user",
	  0 },
	{ "550-5.1.1 no such\r\n550 user\r\n", REPLY_DONE, 550, "5.1.1", "no such user", 0 },
	{ "550 5.1.1\r\n", REPLY_DONE, 550, "5.1.1", "", 0 },
	/* Codes of another class, or not codes, are text. */
	{ "550 4.1.1 later\r\n", REPLY_DONE, 550, "", "4.1.1 later", 0 },
	{ "550 5.1.1.2 x\r\n", REPLY_DONE, 550, "", "5.1.1.2 x", 0 },
	{ "550 5.1000.1 x\r\n", REPLY_DONE, 550, "", "5.1000.1 x", 0 },
	{ "550 5.1 x\r\n", REPLY_DONE, 550, "", "5.1 x", 0 },
	{ "550 5.7.999 x\r\n", REPLY_DONE, 550, "5.7.999", "x", 0 },
	{ "421 a\x1b[31m\xe9 b\tc\r d\r\n", REPLY_DONE, 421, "", "a?[31m? b?c? d", 0 },
	{ "", REPLY_MORE, 0, "", "", 0 },
	{ "25", REPLY_MORE, 0, "", "", 2 },
	{ "250-a\r\n250 b", REPLY_MORE, 250, "", "a", 5 },
	{ "\r\n250 ok\r\n", REPLY_BAD, 0, "", "", 8 },
	{ "hello\r\n", REPLY_BAD, 0, "", "", 0 },
	{ "25\r\n", REPLY_BAD, 0, "", "", 0 },
	{ "150 x\r\n", REPLY_BAD, 0, "", "", 0 },
	{ "600 x\r\n", REPLY_BAD, 0, "", "", 0 },
	{ "260 x\r\n", REPLY_BAD, 0, "", "", 0 },
	{ "2500 x\r\n", REPLY_BAD, 0, "", "", 0 },
	{ "250x\r\n", REPLY_BAD, 0, "", "", 0 },
	{ "250-a\r\n550 b\r\n", REPLY_BAD, 250, "", "a", 0 },
};

static void assert_reply(size_t i, const struct reply_in *reply, enum reply_read result,
                         size_t left)
{
	assert_int_equal(result, replies[i].result);
	assert_int_equal(reply->code, replies[i].code);
	assert_string_equal(reply->enhanced, replies[i].enhanced);
	assert_string_equal(reply->text, replies[i].text);
	assert_int_equal(left, replies[i].left);
	assert_int_equal(reply->last, result == REPLY_DONE);
}

static void reads_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(replies); i++) {
		struct reply_in reply = { 0 };
		struct span in = span_str(replies[i].bytes);
		enum reply_read result = reply_read(&reply, &in);
		assert_reply(i, &reply, result, in.len);
	}
}

/* The bytes come one at a time, what is not taken is given again. */
static void reads_replies_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(replies); i++) {
		struct reply_in reply = { 0 };
		struct span all = span_str(replies[i].bytes);
		enum reply_read result = REPLY_MORE;
		size_t taken = 0;
		for (size_t n = 0; n <= all.len && result == REPLY_MORE; n++) {
			struct span in = span_of(all.ptr + taken, n - taken);
			result = reply_read(&reply, &in);
			taken = n - in.len;
		}
		assert_reply(i, &reply, result, all.len - taken);
	}
}

static void a_bad_reply_stays_bad(void **state)
{
	(void)state;
	struct reply_in reply = { 0 };
	struct span in = SPAN_LIT("nonsense\r\n250 ok\r\n");
	assert_int_equal(reply_read(&reply, &in), REPLY_BAD);
	assert_int_equal(reply_read(&reply, &in), REPLY_BAD);
}

static void sizes_are_bounded(void **state)
{
	(void)state;
	char *flood = malloc(100000);
	assert_non_null(flood);
	memset(flood, 'x', 100000);
	memcpy(flood, "250 ", 4);
	struct reply_in reply = { 0 };
	struct span in = span_of(flood, 8192);
	assert_int_equal(reply_read(&reply, &in), REPLY_MORE);
	in = span_of(flood, 8193);
	assert_int_equal(reply_read(&reply, &in), REPLY_BAD);

	/* Lines without end: given up after 64 KiB, the text cut long before. */
	reply = (struct reply_in){ 0 };
	size_t read = 0;
	enum reply_read result = REPLY_MORE;
	while (result == REPLY_MORE && read < 200000) {
		in = SPAN_LIT("250-0123456789\r\n");
		read += in.len;
		result = reply_read(&reply, &in);
	}
	assert_int_equal(result, REPLY_BAD);
	assert_in_range(read, 65536, 65536 + 16);
	assert_int_equal(strlen(reply.text), sizeof reply.text - 1);
	free(flood);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_well_formed),
		cmocka_unit_test(writes_rows),
		cmocka_unit_test(cuts_a_long_line),
		cmocka_unit_test(reads_replies),
		cmocka_unit_test(reads_replies_byte_by_byte),
		cmocka_unit_test(a_bad_reply_stays_bad),
		cmocka_unit_test(sizes_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
