/* Answers to a notice: addresses as rows, and the corpus in test/replies, one line of EXPECT a
 * file. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mime.h"
#include "proto/orders.h"

#define PATTERN        SPAN_LIT("unlock+*@mail.example.org")
#define TOKEN          "abcdefghijklmnopqrstuvwxyz"
#define FILE_MAX_BYTES (1 << 20)

static const char *folder;

static void test_addresses(void **state)
{
	(void)state;
	static const struct {
		const char *address;
		bool good;
		uint64_t incident;
		int word; /* -1: none */
	} rows[] = {
		{ "unlock+17-" TOKEN "@mail.example.org", true, 17, -1 },
		{ "UNLOCK+17-ABCDEFGHIJKLMNOPQRSTUVWXYZ@MAIL.EXAMPLE.ORG", true, 17, -1 },
		{ "unlock+spam.17-" TOKEN "@mail.example.org", true, 17, ORDER_SPAM },
		{ "unlock+Keep.1-" TOKEN "@mail.example.org", true, 1, ORDER_KEEP },
		{ "unlock+17-" TOKEN "a@mail.example.org", false, 0, -1 },
		{ "unlock+17-bcdefghijklmnopqrstuvwxyz@mail.example.org", false, 0, -1 },
		{ "unlock+17-1bcdefghijklmnopqrstuvwxyz@mail.example.org", false, 0, -1 },
		{ "unlock+-" TOKEN "@mail.example.org", false, 0, -1 },
		{ "unlock+99999999999999999999-" TOKEN "@mail.example.org", false, 0, -1 },
		{ "unlock+what.17-" TOKEN "@mail.example.org", false, 0, -1 },
		{ "unlock+17" TOKEN "@mail.example.org", false, 0, -1 },
		{ "unlock+17-" TOKEN "@mail.example.com", false, 0, -1 },
		{ "unlock17-" TOKEN "@mail.example.org", false, 0, -1 },
		{ "", false, 0, -1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct orders_tag tag = { .incident = 0 };
		bool good = orders_read_address(PATTERN, span_str(rows[i].address), &tag);
		CHECK(rows[i].address, good == rows[i].good);
		CHECK(rows[i].address, !good || tag.incident == rows[i].incident);
		CHECK(rows[i].address, !good || tag.has_word == (rows[i].word >= 0));
		CHECK(rows[i].address, !good || !tag.has_word || (int)tag.word == rows[i].word);
		CHECK(rows[i].address, !good || tag.token.len == 26);
	}
}

/* What is written is read again, for each word and none. */
static void test_round_trip(void **state)
{
	(void)state;
	static const char *const patterns[] = { "unlock+*@mail.example.org",
		                                "unlock-*@example.org",
		                                "*@unlock.example.org" };
	for (size_t p = 0; p < COUNT(patterns); p++) {
		const char *reason;
		assert_true(orders_pattern_is_valid(span_str(patterns[p]), &reason));
		for (int word = 0; word <= ORDERS; word++) {
			enum order order = (enum order)word;
			struct orders_tag tag;
			struct buf out;
			if (order != ORDERS && !order_is_word(order)) {
				continue;
			}
			buf_init(&out, 512);
			orders_write_address(span_str(patterns[p]), order, 4711,
			                     SPAN_LIT(TOKEN), &out);
			CHECK(patterns[p],
			      orders_read_address(span_str(patterns[p]), buf_span(&out), &tag));
			assert_int_equal(tag.incident, 4711);
			assert_int_equal(tag.has_word, order != ORDERS);
			assert_true(order == ORDERS || tag.word == order);
			buf_done(&out);
		}
	}
}

static void test_patterns(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"*",
		"unlock@example.org",
		"a*b*@example.org",
		"unlock+*@exa mple.org",
		"@*",
		"a-very-long-word-before-the-tag-of-an-unlock+*@example.org"
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		const char *reason = NULL;
		CHECK(bad[i], !orders_pattern_is_valid(span_str(bad[i]), &reason));
		CHECK(bad[i], reason && *reason);
	}
}

/* ---- the corpus ---- */

static char *read_file(const char *name, size_t *len_out)
{
	char path[1000];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	if (!file) {
		fail_msg("%s: not there", path);
	}
	char *text = malloc(FILE_MAX_BYTES);
	assert_non_null(text);
	*len_out = fread(text, 1, FILE_MAX_BYTES, file);
	fclose(file);
	return text;
}

/* The value of a field in front, without its brackets, to be freed; "" when it is not there. */
static char *field(struct span message, const char *name)
{
	struct buf out;
	buf_init(&out, 4096);
	char *text = NULL;
	if (mime_field(message, span_str(name), &out, NULL)) {
		struct span value = span_trim(buf_span(&out));
		if (value.len >= 2 && value.ptr[0] == '<') {
			value = span_of(value.ptr + 1, value.len - 2);
		}
		text = strndup(value.ptr ? value.ptr : "", value.len);
	}
	buf_done(&out);
	return text ? text : strdup("");
}

static void check_reply(const char *name, const char *kind, const char *order)
{
	size_t len;
	char *text = read_file(name, &len);
	struct span message = span_of(text, len);
	char *sender = field(message, "Return-Path");
	char *address = field(message, "Delivered-To");
	struct orders_tag tag;
	enum order got = ORDERS;
	CHECK(name, orders_read_address(PATTERN, span_str(address), &tag));
	bool human = orders_read_message(message, span_str(sender), &tag, &got) == ORDERS_HUMAN;
	CHECK(name, human == (strcmp(kind, "human") == 0));
	if (human) {
		check_span(name, span_str(order_name(got)), span_str(order));
	}
	free(sender);
	free(address);
	free(text);
}

static void test_corpus(void **state)
{
	(void)state;
	size_t len, files = 0;
	char *list = read_file("EXPECT", &len);
	list[len] = '\0';
	for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
		char name[200], kind[20], order[20];
		assert_int_equal(sscanf(line, "%199s %19s %19s", name, kind, order), 3);
		check_reply(name, kind, order);
		files++;
	}
	assert_true(files >= 60);
	free(list);
}

/* ---- hostile ---- */

/* A great message, a great many parts, a deep nest: read in time, as one that nobody can read.
 */
static void test_bombs(void **state)
{
	(void)state;
	static const char *const units[] = {
		"--x\r\nContent-Type: text/html\r\n\r\nz\r\n",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
		"> quoted\r\n",
		"=\r\n",
		">",
		"--x\r\n"
	};
	for (size_t i = 0; i < COUNT(units); i++) {
		struct buf message;
		enum order order;
		buf_init(&message, (size_t)11 << 20);
		buf_put_str(&message, "From: <a@example.org>\r\n"
		                      "Content-Type: multipart/mixed; boundary=x\r\n\r\n");
		while (message.len < (size_t)10 << 20) {
			buf_put_str(&message, units[i]);
		}
		assert_int_equal(orders_read_message(buf_span(&message),
		                                     SPAN_LIT("a@example.org"), NULL, &order),
		                 ORDERS_HUMAN);
		CHECK(units[i], !order_is_word(order));
		buf_done(&message);
	}
}

static void test_from(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		const char *want; /* NULL: none that counts */
	} rows[] = {
		{ "From: Jane <jane@Example.ORG>\r\n", "jane@example.org" },
		{ "From: jane@example.org\r\n", "jane@example.org" },
		{ "From: \"jane@example.org\" <mallory@example.com>\r\n",
		  "mallory@example.com" },
		{ "From: <a@example.org>\r\nFrom: <b@example.org>\r\n", NULL },
		{ "From: <a@example.org>, <b@example.org>\r\n", NULL },
		{ "From: team: <a@example.org>;\r\n", NULL },
		{ "Subject: no from\r\n", NULL },
		{ "X-From: <a@example.org>\r\n", NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf message, out;
		buf_init(&message, 1000);
		buf_init(&out, 1000);
		buf_printf(&message, "%s\r\ntext\r\n", rows[i].header);
		bool got = orders_from(buf_span(&message), &out);
		CHECK(rows[i].header, got == (rows[i].want != NULL));
		if (got) {
			check_span(rows[i].header, buf_span(&out), span_str(rows[i].want));
		}
		buf_done(&message);
		buf_done(&out);
	}
}

int main(int argc, char **argv)
{
	assert_true(argc == 2);
	folder = argv[1];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_patterns),  cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_bombs),     cmocka_unit_test(test_from),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
