#include "server/origin.h"

#include "test/server/config_help.h"

static const struct secret_key key = { { 7 } };

static struct origin origin_at(const struct config *config, const char *text)
{
	unsigned char address[NETWORK_ADDRESS_BYTES];
	assert_true(network_address_parse(span_str(text), address));
	return origin_of(config, &key, address);
}

/* One holder is one network, two are two. */
static void which_network_it_is(void **state)
{
	(void)state;
	static const struct {
		const char *one, *other;
		bool same;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.254", true },
		{ "192.0.2.1", "::ffff:192.0.2.9", true },
		{ "192.0.2.1", "192.0.3.1", false },
		{ "2001:db8:1::1", "2001:db8:1:ffff::2", true },
		{ "2001:db8:1::1", "2001:db8:2::1", false },
		/* This machine has many addresses, and is one. */
		{ "127.0.0.1", "127.0.0.254", true },
		{ "127.0.0.1", "127.8.9.10", false }, /* a container, a test */
		{ "127.0.0.1", "::1", true },
		{ "::1", "::2", false },
		{ "128.0.0.1", "127.0.0.1", false },
		{ "126.255.255.255", "127.0.0.1", false },
	};
	struct config *config = must_load(HEAD);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct origin one = origin_at(config, rows[i].one);
		struct origin other = origin_at(config, rows[i].other);
		if ((one.network == other.network) != rows[i].same) {
			fail_msg("%s and %s", rows[i].one, rows[i].other);
		}
		assert_false(one.familiar || one.shared || other.familiar || other.shared);
		assert_string_equal(one.country, "");
	}
	assert_int_equal(origin_at(config, "127.0.0.1").network, 0);
	assert_int_not_equal(origin_at(config, "192.0.2.1").network, 0);
	/* Nobody who has not the key can tell which it is. */
	const struct secret_key another = { { 8 } };
	unsigned char address[NETWORK_ADDRESS_BYTES];
	assert_true(network_address_parse(SPAN_LIT("192.0.2.1"), address));
	assert_true(origin_of(config, &another, address).network !=
	            origin_at(config, "192.0.2.1").network);
	config_unref(config);
}

static void what_is_declared(void **state)
{
	(void)state;
	static const struct {
		const char *address;
		bool familiar, shared;
	} rows[] = {
		{ "10.1.2.3", true, false },    { "10.9.2.3", false, false },
		{ "10.9.9.3", false, true },    { "192.0.2.1", false, false },
		{ "127.0.0.1", false, true },   { "127.0.0.2", false, false },
		{ "2001:db8::1", true, false },
	};
	struct config *config = must_load(
	    HEAD
	    "network office { addresses = { 10.0.0.0/8, '2001:db8::/32' } familiar = yes }\n"
	    "network guests { addresses = 10.9.0.0/16 }\n"
	    "network webmail { addresses = { 10.9.9.0/24, 127.0.0.1 } shared = yes }");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct origin origin = origin_at(config, rows[i].address);
		if (origin.familiar != rows[i].familiar || origin.shared != rows[i].shared) {
			fail_msg("%s", rows[i].address);
		}
		/* Declared or not, it has a name of its own. */
		assert_int_equal(origin.network == 0, strncmp(rows[i].address, "127.", 4) == 0);
	}
	config_unref(config);
}

static void the_rules_of_a_file(void **state)
{
	(void)state;
	struct config *config = must_load(HEAD);
	struct familiar_rules rules = config_familiar_rules(config);
	assert_false(rules.off);
	assert_int_equal(rules.keep, 390 * FAMILIAR_DAY);
	assert_int_equal(rules.shared_from, 10);
	config_unref(config);
	config = must_load(HEAD "history = off history_keep = 30d shared_from = 3");
	rules = config_familiar_rules(config);
	assert_true(rules.off);
	assert_int_equal(rules.keep, 30 * FAMILIAR_DAY);
	assert_int_equal(rules.shared_from, 3);
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_network_it_is),
		cmocka_unit_test(what_is_declared),
		cmocka_unit_test(the_rules_of_a_file),
	};
	return cmocka_run_group_tests(tests, make_path, remove_path);
}
