#include "test/proto/check.h"

#include <stdio.h>

#include "server/envelope.h"

static struct address parse(const char *text)
{
	struct address address;
	assert_int_equal(address_parse(span_str(text), &address), ADDRESS_OK);
	return address;
}

/* Rows of spellings, and whether each is a recipient more (TESTS HL07). */
static void test_each_once(void **state)
{
	(void)state;
	static const struct {
		const char *recipient;
		enum envelope_added want;
	} rows[] = {
		{ "bob@example.net", ENVELOPE_ADDED },
		{ "bob@example.net", ENVELOPE_KNOWN },
		{ "bob@EXAMPLE.net", ENVELOPE_KNOWN },
		{ "\"bob\"@example.net", ENVELOPE_KNOWN },
		{ "Bob@example.net", ENVELOPE_ADDED }, /* may be somebody else */
		{ "bob+tag@example.net", ENVELOPE_ADDED },
		{ "bob@example.com", ENVELOPE_ADDED },
	};
	struct envelope envelope;
	size_t want = 0;
	envelope_init(&envelope);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address = parse(rows[i].recipient);
		CHECK(rows[i].recipient,
		      envelope_has(&envelope, &address) == (rows[i].want == ENVELOPE_KNOWN));
		CHECK(rows[i].recipient,
		      envelope_add(&envelope, &address, 1, i) == rows[i].want);
		want += rows[i].want == ENVELOPE_ADDED;
		CHECK(rows[i].recipient, envelope.nrecipients == want);
	}
	check_span("as given", envelope.recipients[1], SPAN_LIT("Bob@example.net"));
	envelope_done(&envelope);
}

/* The same where a detail is a spelling. */
static void test_folded(void **state)
{
	(void)state;
	static const struct {
		const char *recipient, *key;
		enum envelope_added want;
	} rows[] = {
		{ "bob+a@example.net", "bob@example.net", ENVELOPE_ADDED },
		{ "bob+b@example.NET", "bob@example.net", ENVELOPE_KNOWN },
		{ "bob@example.net", "bob@example.net", ENVELOPE_KNOWN },
		{ "\"bob+c\"@example.net", "bob@example.net", ENVELOPE_KNOWN },
		{ "+bob@example.net", "+bob@example.net", ENVELOPE_ADDED },
		{ "\"bob +c\"@example.net", "\"bob +c\"@example.net", ENVELOPE_ADDED },
		{ "bo+b@example.net", "bo@example.net", ENVELOPE_ADDED },
	};
	struct envelope envelope;
	envelope_init(&envelope);
	envelope.fold = true;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address = parse(rows[i].recipient);
		CHECK(rows[i].recipient,
		      envelope_has(&envelope, &address) == (rows[i].want == ENVELOPE_KNOWN));
		CHECK(rows[i].recipient,
		      envelope_add(&envelope, &address, 1, i) == rows[i].want);
		if (rows[i].want == ENVELOPE_ADDED) {
			check_span("its key", envelope.keys[envelope.nrecipients - 1],
			           span_str(rows[i].key));
			check_span("as given", envelope.recipients[envelope.nrecipients - 1],
			           span_str(rows[i].recipient));
		}
	}
	assert_int_equal(envelope.nrecipients, 4);
	envelope_done(&envelope);
	assert_false(envelope.fold);
}

static void test_members(void **state)
{
	(void)state;
	static const struct {
		const char *recipient;
		uint32_t members, want;
	} rows[] = {
		{ "a@example.net", 0, 0 },
		{ "staff@example.net", 30, 29 },
		{ "staff@example.net", 30, 29 }, /* it is there */
		{ "b@example.net", 1, 29 },
		{ "team@example.net", 2, 30 },
		{ "all@example.net", UINT32_MAX, UINT32_MAX },
		{ "more@example.net", 30, UINT32_MAX },
	};
	struct envelope envelope;
	envelope_init(&envelope);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address = parse(rows[i].recipient);
		envelope_add(&envelope, &address, rows[i].members, i);
		CHECK(rows[i].recipient, envelope.members == rows[i].want);
	}
	envelope_done(&envelope);
	assert_int_equal(envelope.members, 0);
}

static void test_many(void **state)
{
	(void)state;
	struct envelope envelope;
	envelope_init(&envelope);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3000; i++) {
			char text[40];
			snprintf(text, sizeof text, "user%d@example.net", i);
			struct address address = parse(text);
			enum envelope_added want = round ? ENVELOPE_KNOWN : ENVELOPE_ADDED;
			CHECK(text, envelope_add(&envelope, &address, 0, (uint64_t)i) == want);
		}
	}
	assert_int_equal(envelope.nrecipients, 3000);
	for (size_t i = 0; i < 3000; i++) {
		assert_int_equal(envelope.contacts[i], i);
	}
	envelope_done(&envelope);
	assert_int_equal(envelope.nrecipients, 0);
	struct address bob = parse("user1@example.net");
	assert_false(envelope_has(&envelope, &bob));
}

static void test_sender(void **state)
{
	(void)state;
	struct envelope envelope;
	char text[] = "alice@example.org";
	envelope_init(&envelope);
	assert_true(envelope_set_sender(&envelope, span_str(text)));
	text[0] = 'x';
	check_span("a copy", envelope.sender, SPAN_LIT("alice@example.org"));
	envelope_done(&envelope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once), cmocka_unit_test(test_folded),
		cmocka_unit_test(test_members),   cmocka_unit_test(test_many),
		cmocka_unit_test(test_sender),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
