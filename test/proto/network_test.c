#include "check.h"

#include "proto/network.h"

static void reads_and_writes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *written; /* NULL: refused ... */
		const char *reason;         /* ... for this */
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1", NULL },
		{ "127.0.0.1/32", "127.0.0.1", NULL },
		{ "10.0.0.0/8", "10.0.0.0/8", NULL },
		{ "10.0.0.0/7", "10.0.0.0/7", NULL },
		{ "0.0.0.0/0", "0.0.0.0/0", NULL },
		{ "::1", "::1", NULL },
		{ "2001:DB8::/32", "2001:db8::/32", NULL },
		{ "2001:db8::/33", "2001:db8::/33", NULL },
		{ "::/0", "::/0", NULL },
		{ "::ffff:10.1.2.3", "10.1.2.3", NULL },
		{ "::ffff:10.1.2.0/120", "10.1.2.0/24", NULL },
		{ "10.0.0.1/8", NULL, "has bits behind its prefix" },
		{ "2001:db8::1/64", NULL, "has bits behind its prefix" },
		{ "10.0.0.0/33", NULL, "ends in no prefix, /0 to /32" },
		{ "10.0.0.0/", NULL, "ends in no prefix, /0 to /32" },
		{ "10.0.0.0/8x", NULL, "ends in no prefix, /0 to /32" },
		{ "10.0.0.0/-8", NULL, "ends in no prefix, /0 to /32" },
		{ "10.0.0.0/4294967304", NULL, "ends in no prefix, /0 to /32" },
		{ "::/129", NULL, "ends in no prefix, /0 to /128" },
		{ "", NULL, "is no network" },
		{ "/8", NULL, "is no network" },
		{ "10.0.0/8", NULL, "is no network" },
		{ "10.0.0.256", NULL, "is no network" },
		{ "fe80::1%eth0", NULL, "is no network" },
		{ "localhost", NULL, "is no network" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct network network;
		const char *reason = NULL;
		struct buf out = { .cap = NETWORK_TEXT_MAX };
		bool good = network_parse(span_str(rows[i].text), &network, &reason);
		CHECK(rows[i].text, good == (rows[i].written != NULL));
		if (good) {
			network_write(&network, &out);
			check_span(rows[i].text, buf_span(&out), span_str(rows[i].written));
		} else {
			assert_string_equal(reason, rows[i].reason);
		}
		buf_done(&out);
	}
	unsigned char address[NETWORK_ADDRESS_BYTES];
	assert_false(network_address_parse(SPAN_LIT("127.0.0.1\0"), address));
	assert_false(network_address_parse(SPAN_LIT("127.0.0.1/8"), address));
}

static void contains(void **state)
{
	(void)state;
	static const struct {
		const char *network, *address;
		bool is;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "::1", "0.0.0.1", false },
		{ "::1", "::1", true },
		{ "10.0.0.0/9", "10.127.1.2", true },
		{ "10.0.0.0/9", "10.128.1.2", false },
		{ "0.0.0.0/0", "192.0.2.2", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "192.0.2.2", true },
		{ "2001:db8::/33", "2001:db8:7f::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct network network;
		const char *reason;
		unsigned char address[NETWORK_ADDRESS_BYTES];
		assert_true(network_parse(span_str(rows[i].network), &network, &reason));
		assert_true(network_address_parse(span_str(rows[i].address), address));
		CHECK(rows[i].network, network_contains(&network, address) == rows[i].is);
		CHECK(rows[i].network,
		      network_any_contains(&network, 1, address) == rows[i].is);
		assert_false(network_any_contains(&network, 0, address));
	}
}

static void around(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "192.0.2.77", "192.0.2.0/24" },
		{ "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned char address[NETWORK_ADDRESS_BYTES];
		struct buf out = { .cap = NETWORK_TEXT_MAX };
		assert_true(network_address_parse(span_str(rows[i][0]), address));
		struct network network = network_around(address);
		network_write(&network, &out);
		check_span(rows[i][0], buf_span(&out), span_str(rows[i][1]));
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(contains),
		cmocka_unit_test(around),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
