#include "check.h"

#include "proto/address.h"

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define L63 A60 "aaa"
/* 64 + 1 + 189 = 254 */
#define LONG_LOCAL  A60 "aaaa"
#define LONG_DOMAIN L63 "." L63 "." A60 "a"

/* A path, what it is, its key (for OK and UNQUALIFIED), and what is left behind it. */
static const struct {
	const char *path;
	enum address_result result;
	const char *key;
	const char *rest;
} rows[] = {
	{ "<a@b.example>", ADDRESS_OK, "a@b.example", "" },
	{ "<a@b.example> SIZE=1", ADDRESS_OK, "a@b.example", " SIZE=1" },
	{ "<a@b.example>>", ADDRESS_OK, "a@b.example", ">" },
	{ "<>", ADDRESS_NULL, "", "" },
	{ "<> BODY=7BIT", ADDRESS_NULL, "", " BODY=7BIT" },
	{ "<Postmaster>", ADDRESS_UNQUALIFIED, "Postmaster", "" },
	{ "<bob>", ADDRESS_UNQUALIFIED, "bob", "" },
	{ "<A.b+C@EXAMPLE.Org>", ADDRESS_OK, "A.b+C@example.org", "" },
	{ "<a@b.example.>", ADDRESS_OK, "a@b.example", "" },
	{ "<a@b.example..>", ADDRESS_BAD, NULL, NULL },
	{ "<a@.>", ADDRESS_BAD, NULL, NULL },
	{ "<!#$%&'*+-/=?^_`{|}~@b.c>", ADDRESS_OK, "!#$%&'*+-/=?^_`{|}~@b.c", "" },
	{ "<a@host_name.b-c.0>", ADDRESS_OK, "a@host_name.b-c.0", "" },
	{ "<a@-b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a@b-.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a@b..c>", ADDRESS_BAD, NULL, NULL },
	{ "<a@b,c>", ADDRESS_BAD, NULL, NULL },
	{ "<.a@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a.@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a..b@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a b@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "< a@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a@b.c >", ADDRESS_BAD, NULL, NULL },
	{ "<a@b@c.d>", ADDRESS_BAD, NULL, NULL },
	{ "<@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a@>", ADDRESS_BAD, NULL, NULL },
	{ "<a@b.c", ADDRESS_BAD, NULL, NULL },
	{ "a@b.c", ADDRESS_BAD, NULL, NULL },
	{ "", ADDRESS_BAD, NULL, NULL },
	{ "<", ADDRESS_BAD, NULL, NULL },
	{ "<a\r@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<a(x)@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<'a'@b.c>", ADDRESS_OK, "'a'@b.c", "" },
	/* quoted: only the quotes that are needed stay */
	{ "<\"a\"@b.c>", ADDRESS_OK, "a@b.c", "" },
	{ "<\"a\\b\"@b.c>", ADDRESS_OK, "ab@b.c", "" },
	{ "<\"a.b\"@B.c>", ADDRESS_OK, "a.b@b.c", "" },
	{ "<\"a..b\"@b.c>", ADDRESS_OK, "\"a..b\"@b.c", "" },
	{ "<\"a b\"@b.c>", ADDRESS_OK, "\"a b\"@b.c", "" },
	{ "<\"a\\ b\"@b.c>", ADDRESS_OK, "\"a b\"@b.c", "" },
	{ "<\"a\\\"b\"@b.c>", ADDRESS_OK, "\"a\\\"b\"@b.c", "" },
	{ "<\"a\\\\\"@b.c>", ADDRESS_OK, "\"a\\\\\"@b.c", "" },
	{ "<\"a>b@c\"@b.c>", ADDRESS_OK, "\"a>b@c\"@b.c", "" },
	{ "<\"\"@b.c>", ADDRESS_OK, "\"\"@b.c", "" },
	{ "<\"a\"b@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<\"a@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<\"a\\\"@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<\"a\t\"@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<\"a\x7f\"@b.c>", ADDRESS_BAD, NULL, NULL },
	/* source routes */
	{ "<@r.x:a@b.c>", ADDRESS_OK, "a@b.c", "" },
	{ "<@r.x,@[127.0.0.1]:a@b.c>", ADDRESS_OK, "a@b.c", "" },
	{ "<@r.x:Postmaster>", ADDRESS_UNQUALIFIED, "Postmaster", "" },
	{ "<@r.x,r.y:a@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<@r.x,:a@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<@r.x a@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<@:a@b.c>", ADDRESS_BAD, NULL, NULL },
	{ "<@r.x:>", ADDRESS_BAD, NULL, NULL },
	{ "<@r.x:@r.y:a@b.c>", ADDRESS_BAD, NULL, NULL },
	/* literals */
	{ "<a@[192.0.2.1]>", ADDRESS_OK, "a@[192.0.2.1]", "" },
	{ "<a@[IPv6:2001:DB8::1]>", ADDRESS_OK, "a@[ipv6:2001:db8::1]", "" },
	{ "<a@[IPV6:::ffff:192.0.2.1]>", ADDRESS_OK, "a@[ipv6:::ffff:192.0.2.1]", "" },
	{ "<a@[192.0.2.256]>", ADDRESS_BAD, NULL, NULL },
	{ "<a@[192.0.2]>", ADDRESS_BAD, NULL, NULL },
	{ "<a@[::1]>", ADDRESS_BAD, NULL, NULL },
	{ "<a@[IPv6:192.0.2.1]>", ADDRESS_BAD, NULL, NULL },
	{ "<a@[]>", ADDRESS_BAD, NULL, NULL },
	{ "<a@[192.0.2.1>", ADDRESS_BAD, NULL, NULL },
	{ "<a@[192.0.2.1].>", ADDRESS_BAD, NULL, NULL },
	/* lengths */
	{ "<" LONG_LOCAL "@b.c>", ADDRESS_OK, LONG_LOCAL "@b.c", "" },
	{ "<" LONG_LOCAL "a@b.c>", ADDRESS_TOO_LONG, NULL, NULL },
	{ "<" LONG_LOCAL "@" LONG_DOMAIN ">", ADDRESS_OK, LONG_LOCAL "@" LONG_DOMAIN, "" },
	{ "<" LONG_LOCAL "@" LONG_DOMAIN "a>", ADDRESS_TOO_LONG, NULL, NULL },
	{ "<a@" L63 ".b>", ADDRESS_OK, "a@" L63 ".b", "" },
	{ "<a@" L63 "a.b>", ADDRESS_BAD, NULL, NULL },
	/* bytes above 127, in a good place and in a bad one */
	{ "<j\xc3\xb6rg@b.c>", ADDRESS_UTF8, NULL, NULL },
	{ "<a@b\xc3\xbc.c>", ADDRESS_UTF8, NULL, NULL },
	{ "<\"a \xc3\xb6\"@b.c>", ADDRESS_UTF8, NULL, NULL },
	{ "<a \xc3\xb6@b.c>", ADDRESS_BAD, NULL, NULL },
};

static void check_key(const char *what, const struct address *address, const char *want)
{
	struct buf key = { .cap = 300 }, again = { .cap = 300 };
	address_key(address, &key);
	check_span(what, buf_span(&key), span_str(want));
	struct address parsed = { 0 };
	address_parse(buf_span(&key), &parsed);
	address_key(&parsed, &again);
	check_span("the key of the key", buf_span(&again), buf_span(&key));
	buf_done(&key);
	buf_done(&again);
}

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span in = span_str(rows[i].path);
		struct address address = { .whole = SPAN_LIT("untouched") };
		CHECK(rows[i].path, address_parse_path(&in, &address) == rows[i].result);
		if (rows[i].rest) {
			check_span(rows[i].path, in, span_str(rows[i].rest));
		} else {
			check_span(rows[i].path, in, span_str(rows[i].path));
			check_span(rows[i].path, address.whole, SPAN_LIT("untouched"));
		}
		if (rows[i].key) {
			check_key(rows[i].path, &address, rows[i].key);
		}
	}
}

/* Without brackets: the same, all of the text and nothing behind it. */
static void test_bare(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span path = span_str(rows[i].path);
		if (path.len < 3 || path.ptr[0] != '<' || path.ptr[1] == '@' ||
		    path.ptr[path.len - 1] != '>' || (rows[i].rest && *rows[i].rest)) {
			continue;
		}
		struct address address = { 0 };
		struct span bare = span_of(path.ptr + 1, path.len - 2);
		CHECK(rows[i].path, address_parse(bare, &address) == rows[i].result);
		if (rows[i].key) {
			check_key(rows[i].path, &address, rows[i].key);
		}
	}
	static const char *const bad[] = { "",       "<a@b.c>",  "a@b.c ",
		                           " a@b.c", "@r:a@b.c", "a@b.c,d@e.f" };
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct address address;
		CHECK(bad[i], address_parse(span_str(bad[i]), &address) == ADDRESS_BAD);
	}
	struct address address;
	assert_int_equal(address_parse(SPAN_LIT("a\0@b.c"), &address), ADDRESS_BAD);
	assert_int_equal(address_parse(SPAN_LIT("a@b.c\0"), &address), ADDRESS_BAD);
}

static void test_parts(void **state)
{
	(void)state;
	struct address address;
	struct span in = SPAN_LIT("<@x.y:\"A b\"@Example.Org.>");
	assert_int_equal(address_parse_path(&in, &address), ADDRESS_OK);
	check_span("local", address.local, SPAN_LIT("\"A b\""));
	check_span("domain", address.domain, SPAN_LIT("Example.Org"));
	check_span("whole", address.whole, SPAN_LIT("\"A b\"@Example.Org"));
	in = SPAN_LIT("<Bob>");
	assert_int_equal(address_parse_path(&in, &address), ADDRESS_UNQUALIFIED);
	check_span("whole", address.whole, SPAN_LIT("Bob"));
	check_span("domain", address.domain, SPAN_NONE);
	in = SPAN_LIT("<>");
	assert_int_equal(address_parse_path(&in, &address), ADDRESS_NULL);
	check_span("null", address.whole, SPAN_NONE);
}

/* One person, one budget: every spelling of a login is one name or none. */
static void test_account(void **state)
{
	(void)state;
	static const struct {
		struct span login, domain;
		const char *name; /* NULL: refused */
	} logins[] = {
		{ { "alice", 5 }, { "Example.org", 11 }, "alice@example.org" },
		{ { "ALICE", 5 }, { "example.org", 11 }, "alice@example.org" },
		{ { "Alice@Example.ORG", 17 }, { "x.y", 3 }, "alice@example.org" },
		{ { "alice", 5 }, { "", 0 }, "alice" },
		{ { "DOM\\alice", 9 }, { "x.y", 3 }, "dom\\alice@x.y" },
		{ { "", 0 }, { "x.y", 3 }, NULL },
		{ { "@x.y", 4 }, { "x.y", 3 }, NULL },
		{ { "alice@", 6 }, { "x.y", 3 }, NULL },
		{ { " alice", 6 }, { "x.y", 3 }, NULL },
		{ { "alice ", 6 }, { "x.y", 3 }, NULL },
		{ { "al ice", 6 }, { "x.y", 3 }, NULL },
		{ { "alice\n", 6 }, { "x.y", 3 }, NULL },
		{ { "alice\0", 6 }, { "x.y", 3 }, NULL },
		{ { "alice\x7f", 6 }, { "x.y", 3 }, NULL },
		{ { "alic\xc3\xa9", 6 }, { "x.y", 3 }, NULL },
		{ { "a@b@c", 5 }, { "x.y", 3 }, NULL },
		{ { "alice", 5 }, { "x y", 3 }, NULL },
	};
	for (size_t i = 0; i < COUNT(logins); i++) {
		struct buf out = { .cap = 300 };
		bool good = address_account(logins[i].login, logins[i].domain, &out);
		CHECK(logins[i].login.ptr, good == (logins[i].name != NULL));
		check_span(logins[i].login.ptr, buf_span(&out), span_str(logins[i].name));
		buf_done(&out);
	}
	static char name[256];
	memset(name, 'a', sizeof name);
	struct buf out = { .cap = 300 };
	assert_false(address_account(span_of(name, 256), SPAN_NONE, &out));
	assert_false(address_account(span_of(name, 252), SPAN_LIT("x.y"), &out));
	assert_true(address_account(span_of(name, 251), SPAN_LIT("x.y"), &out));
	assert_int_equal(out.len, 255);
	buf_done(&out);
	out = (struct buf){ .cap = 4 };
	assert_false(address_account(SPAN_LIT("alice"), SPAN_NONE, &out));
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

static void test_domain(void **state)
{
	(void)state;
	static const struct {
		const char *domain;
		bool valid;
	} domains[] = {
		{ "example.org", true },
		{ "localhost", true },
		{ "a_b.c", true },
		{ "[127.0.0.1]", true },
		{ "[IPv6:::1]", true },
		{ "xn--a", true },
		{ "1.2.3.4", true },
		{ "", false },
		{ "example.org.", false },
		{ ".a", false },
		{ "a..b", false },
		{ "a b", false },
		{ "-a", false },
		{ "a-", false },
		{ "b\xc3\xbc", false },
		{ "[127.0.0.1]x", false },
		{ "[a]", false },
		{ "a/b", false },
		{ "[", false },
		{ "a;b", false },
	};
	for (size_t i = 0; i < COUNT(domains); i++) {
		CHECK(domains[i].domain,
		      address_domain_is_valid(span_str(domains[i].domain)) == domains[i].valid);
	}
}

static void test_fold(void **state)
{
	(void)state;
	static const char *const folds[][2] = {
		{ "alice@x", "alice@x" },
		{ "alice+a@x", "alice@x" },
		{ "alice+a+b@x", "alice@x" },
		{ "alice+@x", "alice@x" },
		{ "+a@x", "+a@x" },
		{ "alice@x+y", "alice@x+y" },
		{ "\"a@b+c d\"@x", "\"a@b+c d\"@x" },
		{ "alice+a", "alice" },
		{ "", "" },
	};
	for (size_t i = 0; i < COUNT(folds); i++) {
		struct buf out = { .cap = 64 };
		address_key_fold(span_str(folds[i][0]), &out);
		check_span(folds[i][0], buf_span(&out), span_str(folds[i][1]));
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),  cmocka_unit_test(test_bare),
		cmocka_unit_test(test_parts),  cmocka_unit_test(test_account),
		cmocka_unit_test(test_domain), cmocka_unit_test(test_fold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
