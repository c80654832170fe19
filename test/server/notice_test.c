#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/notice.h"
#include "test/store/queue_help.h"

#define HEADER "From: alice@example.org\r\nSubject: the one\r\n"

static void test_report_to(void **state)
{
	(void)state;
	static const struct {
		const char *sender, *account, *to;
	} rows[] = {
		{ "alice@example.org", "alice@example.org", "alice@example.org" },
		{ "Alice@Example.ORG", "alice@example.org", "Alice@Example.ORG" },
		/* Somebody else's address: a thief's victim, who has nothing to do with it. */
		{ "victim@example.net", "alice@example.org", "alice@example.org" },
		{ "alice+list@example.org", "alice@example.org", "alice@example.org" },
		{ "", "alice@example.org", "" },
		{ "alice@example.org", "alice", "" }, /* a login that is no address */
		{ "alice@example.org", "a<b@example.org", "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct queue_entry entry = {
			.sender = span_str(rows[i].sender),
			.account = span_str(rows[i].account),
		};
		assert_span(notice_report_to(&entry), rows[i].to);
	}
}

static struct config config = {
	.hostname = (char[]){ "mail.example.org" },
	.nsmarthosts = 1,
	.smarthost = { { .name = (char[]){ "mta" }, .address = (char[]){ "192.0.2.25" } } },
};

static struct queue_recipient recipients[] = {
	{ .address = { "sent@example.net", 16 }, .state = RECIPIENT_SENT },
	{ .address = { "gone@example.net", 16 },
	  .state = RECIPIENT_FAILED,
	  .code = 550,
	  .status = { "5.1.1", 5 },
	  .answer = { "no such user", 12 } },
	{ .address = { "late@example.net", 16 },
	  .state = RECIPIENT_FAILED,
	  .code = 451,
	  .status = { "4.4.7", 5 },
	  .answer = { "greylisted", 10 } },
	{ .address = { "told@example.net", 16 }, .state = RECIPIENT_REPORTED, .code = 550 },
	{ .address = { "wait@example.net", 16 }, .state = RECIPIENT_PENDING },
};

/* Puts a mail of `size` bytes of text behind its header, and makes the report on it. */
static enum store_result report_on(struct place *place, uint64_t id, size_t size,
                                   struct buf *out)
{
	struct buf text;
	buf_init(&text, 1 << 20);
	buf_put_str(&text, HEADER);
	for (size_t i = 0; i < 3; i++) {
		buf_put_str(&text, i ? "\r\n" : "X-Last: yes\r\n");
	}
	while (text.len < size) {
		buf_put_str(&text, "the text itself is here\r\n");
	}
	struct store_txn *txn = writing(place->store);
	struct queue_entry entry = entry_of(id, "alice@example.org", text.len, 1000);
	entry.recipients = recipients;
	entry.nrecipients = COUNT(recipients);
	uint32_t next;
	assert_int_equal(body_put(txn, id, 0, buf_span(&text), &next), STORE_OK);
	enum store_result result = notice_report(&config, &entry, txn, 1700000100000, out);
	store_abort(txn);
	buf_done(&text);
	return result;
}

static bool has(const struct buf *out, const char *text)
{
	return memmem(out->ptr, out->len, text, strlen(text)) != NULL;
}

/* Whole up to 50 kB, its header only above; each FAILED recipient, and nobody else. */
static void test_report(void **state)
{
	static const struct {
		size_t size;
		bool whole;
	} rows[] = { { 100, true },
		     { 30000, true },
		     { NOTICE_ORIGINAL_MAX - 100, true },
		     { NOTICE_ORIGINAL_MAX + 100, false },
		     { 300000, false } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;
		buf_init(&out, 1 << 20);
		assert_int_equal(report_on(*state, i + 1, rows[i].size, &out), STORE_OK);
		assert_true(has(&out, "To: <alice@example.org>") ||
		            has(&out, "To: alice@example.org"));
		assert_true(has(&out, "gone@example.net"));
		assert_true(has(&out, "550 5.1.1 no such user"));
		assert_true(has(&out, "late@example.net"));
		assert_true(has(&out, "4.4.7"));
		assert_true(has(&out, "451 greylisted"));
		assert_true(has(&out, "192.0.2.25"));
		assert_false(has(&out, "sent@example.net"));
		assert_false(has(&out, "told@example.net"));
		assert_false(has(&out, "wait@example.net"));
		assert_true(has(&out, "Subject: the one"));
		assert_true(has(&out, "X-Last: yes"));
		assert_int_equal(has(&out, "the text itself"), rows[i].whole);
		assert_true(out.len < rows[i].size + 8000);
		buf_done(&out);
	}
}

static void test_rows_missing(void **state)
{
	struct place *place = *state;
	struct queue_entry entry = entry_of(99, "alice@example.org", 100, 1000);
	struct store_txn *txn = reading(place->store);
	struct buf out;
	buf_init(&out, 1 << 20);
	entry.recipients = recipients;
	entry.nrecipients = COUNT(recipients);
	assert_int_equal(notice_report(&config, &entry, txn, 0, &out), STORE_NOT_FOUND);
	store_abort(txn);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_to),
		cmocka_unit_test_setup_teardown(test_report, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_rows_missing, place_setup, place_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
