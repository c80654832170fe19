/* The keys of the guard: what they give, what they may not say. */
#include "test/server/config_help.h"

#include "proto/address.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static void the_defaults(void **state)
{
	(void)state;
	struct config *c = must_load(HEAD);
	const struct tariff standard = tariff_default();
	assert_memory_equal(&c->prices, &standard, sizeof standard);
	const struct {
		const char *name;
		int64_t is, want;
	} rows[] = {
		{ "dwell_from", c->dwell.from, 50 },
		{ "dwell_max", c->dwell.most, 5 * MINUTE },
		{ "dwell_strange", c->dwell.strange, 4 * HOUR },
		{ "stranger_limits", (int64_t)c->stranger_limits.count, 2 },
		{ "the first's tokens", c->stranger_limits.limit[0].tokens, 100 },
		{ "the first's window", c->stranger_limits.limit[0].window, DAY },
		{ "the second's tokens", c->stranger_limits.limit[1].tokens, 300 },
		{ "the second's window", c->stranger_limits.limit[1].window, 7 * DAY },
		{ "site_strangers", (int64_t)c->site_strangers.count, 1 },
		{ "its tokens", c->site_strangers.limit[0].tokens, 200 },
		{ "its window", c->site_strangers.limit[0].window, DAY },
		{ "history", c->history, CONFIG_HISTORY_ON },
		{ "history_keep", c->history_keep, 390 * DAY },
		{ "shared_from", c->shared_from, 10 },
		{ "ntraps", (int64_t)c->ntraps, 0 },
		{ "nnetworks", (int64_t)c->nnetworks, 0 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].is != rows[i].want) {
			fail_msg("%s is %lld", rows[i].name, (long long)rows[i].is);
		}
	}
	assert_false(config_is_trap(c, SPAN_LIT("trap@example.org")));
	assert_false(config_is_trap(c, SPAN_NONE));
	config_unref(c);
}

static void what_keys_give(void **state)
{
	(void)state;
	struct config *c = must_load(
	    HEAD
	    "dwell_from = 100 dwell_max = 0s dwell_strange = 7d stranger_limits = { 1/1h }\n"
	    "site_strangers = {} history = off history_keep = 30d shared_from = 2\n"
	    "network office-1 { addresses = { 192.0.2.0/24, \"2001:db8::/32\" } familiar = "
	    "yes limits = { 9/1h, 10/1d } }\n"
	    "network vpn { addresses = 198.51.100.7 shared = yes }");
	assert_int_equal(c->dwell.from, 100);
	assert_int_equal(c->dwell.most, 0);
	assert_int_equal(c->dwell.strange, 7 * DAY);
	assert_int_equal(c->stranger_limits.count, 1);
	assert_int_equal(c->stranger_limits.limit[0].tokens, 1);
	assert_int_equal(c->site_strangers.count, 0);
	assert_int_equal(c->history, CONFIG_HISTORY_OFF);
	assert_int_equal(c->history_keep, 30 * DAY);
	assert_int_equal(c->shared_from, 2);
	assert_int_equal(c->nnetworks, 2);
	assert_string_equal(c->network[0].name, "office-1");
	assert_int_equal(c->network[0].naddresses, 2);
	assert_true(c->network[0].familiar);
	assert_false(c->network[0].shared);
	assert_int_equal(c->network[0].limits.count, 2);
	assert_int_equal(c->network[0].limits.limit[1].tokens, 10);
	assert_string_equal(c->network[1].name, "vpn");
	assert_false(c->network[1].familiar);
	assert_true(c->network[1].shared);
	assert_int_equal(c->network[1].limits.count, 0);
	config_unref(c);
}

/* Those that are given, and the defaults of all others. */
static void prices_over_the_defaults(void **state)
{
	(void)state;
	static const struct {
		const char *list;
		struct {
			enum tariff_row row;
			uint32_t price;
		} given[2];
	} rows[] = {
		{ "{}", { { TARIFF_RECIPIENT, 1 }, { TARIFF_RECIPIENT, 1 } } },
		{ "\"stranger=9\"", { { TARIFF_STRANGER, 9 }, { TARIFF_RECIPIENT, 1 } } },
		{ "{ 'trap=0', \"new-network=10000\" }",
		  { { TARIFF_TRAP, 0 }, { TARIFF_NEW_NETWORK, 10000 } } },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[256];
		struct tariff want = tariff_default();
		for (size_t g = 0; g < COUNT(rows[i].given); g++) {
			want.price[rows[i].given[g].row] = rows[i].given[g].price;
		}
		snprintf(text, sizeof text, HEAD "prices = %s", rows[i].list);
		struct config *c = must_load(text);
		assert_memory_equal(&c->prices, &want, sizeof want);
		config_unref(c);
	}
	/* All of them off is the classic rule. */
	struct config *c = must_load(
	    HEAD "prices = { 'list-member=0', 'stranger=0', 'strange-network=0', "
		 "'strange-known=0', 'new-network=0', 'shared-network=0', 'country=0', "
		 "'refused=0', 'trap=0' }");
	const struct tariff classic = tariff_classic();
	assert_memory_equal(&c->prices, &classic, sizeof classic);
	config_unref(c);
}

static void what_is_refused(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "prices = { \"stranger=4\",\n\"strangers=4\" }",
		  ":4: prices: \"strangers=4\": there is no such price" },
		{ "prices = { stranger=4 }", ":3: unexpected token '='" },
		{ "prices = none",
		  ":3: prices: \"none\": is not name=price, such as stranger=4" },
		{ "prices = 'stranger=10001'",
		  ":3: prices: \"stranger=10001\": is more than 10000" },
		{ "prices = 'recipient=2'",
		  ":3: prices: \"recipient=2\": a recipient is always 1" },
		{ "prices = { 'stranger=4', 'trap=1',\n'stranger=5' }",
		  ":4: prices: value 3 is the price of value 1" },
		{ "prices = { 'trap=4',\n'trap=4' }",
		  ":4: prices: value 2 is the price of value 1" },
		{ "prices = { 'trap=4' }\nprices = {}",
		  ":4: prices: is given twice, the first time in line 3" },
		{ "dwell_from = 101", ":3: dwell_from: \"101\": must be 0 to 100" },
		{ "dwell_from = 50%", ":3: dwell_from: \"50%\": is no number" },
		{ "dwell_max = 25h", ":3: dwell_max: \"25h\": must be 0s to 1d" },
		{ "dwell_max = 5",
		  ":3: dwell_max: \"5\": is no duration, a number with s, m, h or d" },
		{ "dwell_strange = 8d", ":3: dwell_strange: \"8d\": must be 0s to 7d" },
		{ "stranger_limits = { 100/24h,\n200/1d }",
		  ":4: stranger_limits: value 2 has the window of value 1" },
		{ "stranger_limits = { 100 }",
		  ":3: stranger_limits: \"100\": is not recipients/time, such as 500/30m" },
		{ "site_strangers = { 100/24h, 300/7d }",
		  ":3: site_strangers: has more than 1 values" },
		{ "history = no", ":3: history: \"no\": must be on or off" },
		{ "history_keep = 29d", ":3: history_keep: \"29d\": must be 30d to 3650d" },
		{ "shared_from = 1", ":3: shared_from: \"1\": must be 2 to 32" },
		{ "shared_from = 33", ":3: shared_from: \"33\": must be 2 to 32" },
		{ "traps = { a@example.org,\n trap }",
		  ":4: traps: \"trap\": is no mail address" },
		{ "network office { familiar = yes }",
		  ":3: network office: addresses: is missing" },
		{ "network office { addresses = {} }",
		  ":3: network office: addresses: needs a value" },
		{ "network office { addresses = { 10.0.0.0/8,\n 10.1.0.1/16 } }",
		  ":4: network office: addresses: \"10.1.0.1/16\": has bits behind its "
		  "prefix" },
		{ "network office { addresses = ::1 familiar = maybe }",
		  ":3: network office: familiar: \"maybe\": must be no or yes" },
		{ "network office { addresses = ::1 shared = 1 }",
		  ":3: network office: shared: \"1\": must be no or yes" },
		{ "network office { addresses = ::1 familiar = yes\nshared = yes }",
		  ":4: network office: shared: familiar = yes is given: one of the two" },
		{ "network office { addresses = ::1\nlimits = { 1/1h, 2/2h,\n 3/60m } }",
		  ":5: network office: limits: value 3 has the window of value 1" },
		{ "network office { addresses = ::1\ncolour = red }",
		  ":4: network office: colour: there is no such key" },
		{ "network a { addresses = { ::1, 10.0.0.0/8,\n10.0.0.0/8 } }",
		  ":4: network a: addresses: \"10.0.0.0/8\": is one of network a" },
		{ "network a { addresses = { ::1, 10.0.0.0/8 } }\n"
		  "network b { addresses = 10.0.0.0/9 }\n"
		  "network c { addresses = { 10.0.0.0/7,\n\n10.0.0.0/8, ::1 } }",
		  ":7: network c: addresses: \"10.0.0.0/8\": is one of network a" },
		{ "network a { addresses = 192.0.2.1 }\nnetwork b { addresses = 192.0.2.1/32 }",
		  ":4: network b: addresses: \"192.0.2.1\": is one of network a" },
		{ "network { addresses = ::1 }", ":3: missing title for section 'network'" },
		{ "device a { address = 10.1.2.3 account = \"a@b.c\"\nlimits = { 1/1h,\n 2/60m "
		  "} }",
		  ":5: device a: limits: value 2 has the window of value 1" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		char text[512], want[600];
		snprintf(text, sizeof text, HEAD "%s", rows[i][0]);
		struct config *config = load_text(text, &error);
		snprintf(want, sizeof want, "%s%s", path, rows[i][1]);
		if (config) {
			fail_msg("taken: %s", rows[i][0]);
		}
		assert_string_equal(error.text, want);
	}
}

/* What `gatepost -n` prints, and that it reads back as the same. */
static void what_is_printed(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "prices = {}", "" },
		{ "prices = 'stranger=2'", "" },
		{ "prices = { 'country=0', 'stranger=5' }",
		  "prices = { \"list-member=1\", \"stranger=5\", \"strange-network=17\", "
		  "\"strange-known=1\", \"new-network=25\", \"shared-network=2\", "
		  "\"country=0\", "
		  "\"refused=10\", \"trap=100\" }\n" },
		{ "dwell_from = 0 dwell_max = 60s dwell_strange = 24h",
		  "dwell_from = 0\ndwell_max = 1m\ndwell_strange = 1d\n" },
		{ "stranger_limits = {} site_strangers = 7/1h",
		  "stranger_limits = {}\nsite_strangers = { \"7/1h\" }\n" },
		{ "history = off history_keep = 40d shared_from = 3",
		  "history = off\nhistory_keep = 40d\nshared_from = 3\n" },
		{ "traps = { B@Example.ORG, a@b }",
		  "traps = { \"B@Example.ORG\", \"a@b\" }\n" },
		{ "network b { limits = 1/1h addresses = ::1 }\nnetwork a { shared = yes "
		  "addresses = { 10.0.0.0/8, 10.0.0.0/16 } }",
		  "network b { addresses = { \"::1\" } familiar = no shared = no limits = { "
		  "\"1/1h\" } }\nnetwork a { addresses = { \"10.0.0.0/8\", \"10.0.0.0/16\" } "
		  "familiar = no shared = yes }\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[512], *is = NULL, want[1024];
		size_t size = 0;
		snprintf(text, sizeof text, HEAD "%s", rows[i][0]);
		for (int again = 0; again < 2; again++) {
			struct config *config = must_load(again ? is : text);
			free(is);
			FILE *out = open_memstream(&is, &size);
			assert_non_null(out);
			config_print(config, out);
			assert_int_equal(fclose(out), 0);
			config_unref(config);
			bool block = strncmp(rows[i][1], "network", 7) == 0;
			snprintf(want, sizeof want,
			         "hostname = \"mail.example.org\"\n%ssmarthost mta { address = "
			         "\"127.0.0.1\" port = 25 tls = may connections = 16 mails = "
			         "100 }\n%s",
			         block ? "" : rows[i][1], block ? rows[i][1] : "");
			assert_string_equal(is, want);
		}
		free(is);
	}
}

/* ---- traps ---- */

static void who_is_a_trap(void **state)
{
	(void)state;
	static const struct {
		const char *recipient;
		bool is;
	} rows[] = {
		{ "trap@example.org", true },
		{ "trap@EXAMPLE.org", true },
		{ "\"trap\"@example.org", true },
		{ "z@example.org", true },
		{ "a@example.org", true },
		{ "aa@example.org", true },
		{ "Anna.Meier@other.example", true },
		/* The local-part is its owner's. */
		{ "anna.meier@other.example", false },
		{ "trap@example.com", false },
		{ "tra@example.org", false },
		{ "trap2@example.org", false },
		{ "trap@example.or", false },
		{ "aaa@example.org", false },
		{ "b@example.org", false },
		{ "0@example.org", false },
		{ "zz@example.org", false },
	};
	struct config *c = must_load(
	    HEAD "traps = { trap@Example.ORG, z@example.org, Anna.Meier@other.example,\n"
		 "aa@example.org, a@example.org, trap@example.org }");
	assert_int_equal(c->ntraps, 6);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address;
		struct buf key = { .cap = ADDRESS_MAX };
		assert_int_equal(address_parse(span_str(rows[i].recipient), &address),
		                 ADDRESS_OK);
		address_key(&address, &key);
		if (config_is_trap(c, buf_span(&key)) != rows[i].is) {
			fail_msg("%s", rows[i].recipient);
		}
		buf_done(&key);
	}
	assert_false(config_is_trap(c, SPAN_NONE));
	config_unref(c);
}

/* ---- networks ---- */

static void the_longest_prefix_counts(void **state)
{
	(void)state;
	static const struct {
		const char *address, *name; /* NULL: of none */
	} rows[] = {
		{ "10.0.0.1", "large" },   { "10.1.0.1", "small" },
		{ "10.1.2.1", "large" }, /* the same block says both */
		{ "10.1.3.1", "small" },   { "10.1.3.7", "host" },
		{ "10.1.3.8", "small" },   { "11.0.0.1", NULL },
		{ "9.255.255.255", NULL }, { "127.0.0.1", NULL },
		{ "2001:db8::1", "six" },  { "2001:db8:1::1", "host" },
		{ "2001:db9::1", NULL },   { "::1", NULL },
		{ "::10.1.3.7", NULL },    { "::ffff:10.1.3.7", "host" },
	};
	static const char blocks[] = HEAD
	    "network small { addresses = 10.1.0.0/16 }\n"
	    "network large { addresses = { 10.1.2.0/24, 10.0.0.0/8 } }\n"
	    "network six { addresses = '2001:db8::/32' }\n"
	    "network host { addresses = { 10.1.3.7, '2001:db8:1::/48' } }\n";
	struct config *c = must_load(blocks);
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned char address[NETWORK_ADDRESS_BYTES];
		assert_true(network_address_parse(span_str(rows[i].address), address));
		const struct config_network *network = config_network_at(c, address);
		if (strcmp(network ? network->name : "", rows[i].name ? rows[i].name : "") !=
		    0) {
			fail_msg("%s: %s", rows[i].address, network ? network->name : "none");
		}
	}
	config_unref(c);
	/* The widest there is. */
	c = must_load(HEAD "network v4 { addresses = 0.0.0.0/0 }\n"
	                   "network all { addresses = '::/0' }");
	unsigned char address[NETWORK_ADDRESS_BYTES];
	assert_true(network_address_parse(SPAN_LIT("192.0.2.1"), address));
	assert_string_equal(config_network_at(c, address)->name, "v4");
	assert_true(network_address_parse(SPAN_LIT("2001:db8::1"), address));
	assert_string_equal(config_network_at(c, address)->name, "all");
	config_unref(c);
}

/* 64 blocks, and no more. */
static void networks_have_an_end(void **state)
{
	(void)state;
	static char text[64 * 1024] = HEAD;
	size_t len = strlen(text);
	for (int i = 0; i <= CONFIG_PLACES_MAX; i++) {
		struct error error = { "" };
		len += (size_t)snprintf(text + len, sizeof text - len,
		                        "network n%d { addresses = 10.0.%d.0/24 }\n", i, i);
		if (i + 1 >= CONFIG_PLACES_MAX) {
			struct config *config = load_text(text, &error);
			assert_int_equal(config != NULL, i < CONFIG_PLACES_MAX);
			assert_int_equal(config == NULL,
			                 strstr(error.text, ":67: network n64: more than 64 "
			                                    "such blocks") != NULL);
			config_unref(config);
		}
	}
}

static void a_reload_takes_all_of_it(void **state)
{
	(void)state;
	char keys[64];
	struct config *old = must_load(HEAD);
	struct config *new = must_load(
	    HEAD
	    "prices = 'trap=1' dwell_from = 1 dwell_max = 1s dwell_strange = 1s history = off "
	    "stranger_limits = {} site_strangers = {} history_keep = 31d shared_from = 3 "
	    "traps = a@b network a { addresses = ::1 }");
	assert_false(config_needs_restart(old, new, keys, sizeof keys));
	config_unref(old);
	config_unref(new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_defaults),
		cmocka_unit_test(what_keys_give),
		cmocka_unit_test(prices_over_the_defaults),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(what_is_printed),
		cmocka_unit_test(who_is_a_trap),
		cmocka_unit_test(the_longest_prefix_counts),
		cmocka_unit_test(networks_have_an_end),
		cmocka_unit_test(a_reload_takes_all_of_it),
	};
	return cmocka_run_group_tests(tests, make_path, remove_path);
}
