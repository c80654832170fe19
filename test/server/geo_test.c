/* Databases made by another program (make_mmdb.pl), in the schemas that are about, and damaged
 * ones. */
#include "test/proto/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/geo.h"

static char folder[] = "/tmp/gatepost-geo-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static const char *file(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static int remove_folder(void **state)
{
	(void)state;
	static const char *const names[] = { "a", "b", "c" };
	for (size_t i = 0; i < COUNT(names); i++) {
		unlink(file(names[i]));
	}
	return rmdir(folder);
}

/* Into the file `name`: "SCHEMA NETWORK=VALUE ...". */
static void make(const char *name, const char *what)
{
	const char *root = getenv("GATEPOST_SOURCE");
	char command[1024];
	snprintf(command, sizeof command, "%s/test/server/make_mmdb.pl %s %s",
	         root ? root : ".", file(name), what);
	assert_int_equal(system(command), 0);
}

static struct geo *must_open(const char *name, enum geo_kind kind)
{
	struct error reason = { "" };
	struct geo *geo = geo_open(file(name), kind, &reason);
	if (!geo) {
		fail_msg("%s", reason.text);
	}
	return geo;
}

static void must_not_open(const char *path, enum geo_kind kind, const char *want)
{
	struct error reason = { "" };
	struct geo *geo = geo_open(path, kind, &reason);
	if (geo) {
		fail_msg("taken, and not: %s", want);
	}
	CHECK(reason.text, strstr(reason.text, want) != NULL);
}

struct row {
	const char *address;
	uint32_t asn;
	const char *country;
};

static void check_rows(const struct geo *asn, const struct geo *country, const struct row *rows,
                       size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char address[NETWORK_ADDRESS_BYTES];
		char is[GEO_COUNTRY_MAX] = "??";
		assert_true(network_address_parse(span_str(rows[i].address), address));
		geo_country(country, address, is);
		CHECK(rows[i].address, strcmp(is, rows[i].country) == 0);
		CHECK(rows[i].address, geo_asn(asn, address) == rows[i].asn);
	}
}

static void the_usual_schema(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "192.0.2.1", 64500, "DE" },
		{ "192.0.3.1", 0, "" },
		{ "198.51.100.255", 4200000000u, "" },
		{ "127.0.0.1", 0, "" },
		{ "2001:db8:1::1", 64501, "FR" },
		{ "2001:db8:2::1", 0, "FR" },
		{ "::", 0, "" },
		{ "::1", 0, "" },
	};
	make("a", "asn 192.0.2.0/24=64500 198.51.100.0/24=4200000000 2001:db8:1::/48=64501");
	make("b", "country 192.0.2.0/24=DE 198.51.100.0/24=Germany 2001:db8::/32=fr");
	struct geo *asn = must_open("a", GEO_ASN), *country = must_open("b", GEO_COUNTRY);
	check_rows(asn, country, rows, COUNT(rows));
	/* None configured. */
	check_rows(NULL, NULL, &rows[3], 1);
	geo_close(asn);
	geo_close(country);
	geo_close(NULL);
	must_not_open(file("a"), GEO_COUNTRY, "has no countries in it");
	must_not_open(file("b"), GEO_ASN, "has no AS numbers in it");
}

static void the_schemas_of_others(void **state)
{
	(void)state;
	static const struct row
	    rows[] = {
		    { "192.0.2.1", 64500, "DE" }, { "192.0.3.1", 7, "AT" },
		    { "192.0.4.1", 0, "" },       { "192.0.5.1", 0, "" },
		    { "2001:db8::1", 0, "" }, /* of a database that knows IPv4 only */
	    };
	make("a", "text 192.0.2.0/24=AS64500,de 192.0.3.0/24=7,at 192.0.4.0/24=ASx,d1 "
	          "192.0.5.0/24=AS99999999999,deu");
	make("b", "code 192.0.2.0/24=DE 192.0.3.0/24=AT");
	struct geo *asn = must_open("a", GEO_ASN), *country = must_open("a", GEO_COUNTRY);
	check_rows(asn, country, rows, COUNT(rows));
	geo_close(country);
	country = must_open("b", GEO_COUNTRY);
	check_rows(asn, country, rows, COUNT(rows));
	geo_close(country);
	geo_close(asn);
}

static size_t read_all(const char *name, char *text, size_t size)
{
	FILE *in = fopen(file(name), "r");
	assert_non_null(in);
	size_t n = fread(text, 1, size, in);
	assert_true(n > 0 && n < size);
	fclose(in);
	return n;
}

static void write_all(const char *name, const char *text, size_t len)
{
	FILE *out = fopen(file(name), "w");
	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

static void what_is_no_database(void **state)
{
	(void)state;
	make("a", "nothing 192.0.2.0/24=x 2001:db8::/32=y");
	must_not_open(file("a"), GEO_ASN, "has no AS numbers in it");
	must_not_open("/nonexistent", GEO_ASN, "No such file");
	must_not_open(folder, GEO_ASN, "is no file");
	must_not_open("/dev/null", GEO_ASN, "is no file");
	write_all("b", "", 0);
	must_not_open(file("b"), GEO_ASN, "is no good MMDB database");
	write_all("b", "hello\n", 6);
	must_not_open(file("b"), GEO_ASN, "is no good MMDB database");
}

/* libmaxminddb 1.7.1 forgets what it has read of metadata that then prove damaged: not ours. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static struct geo *open_damaged(const char *path, struct error *reason)
{
	if (__lsan_disable && __lsan_enable) {
		__lsan_disable();
	}
	struct geo *geo = geo_open(path, GEO_ASN, reason);
	if (__lsan_disable && __lsan_enable) {
		__lsan_enable();
	}
	return geo;
}

/* Every beginning, every end, and every byte changed: opened or refused, and looked up, and
 * nothing worse. */
static void what_is_damaged(void **state)
{
	(void)state;
	static char good[65536], bad[65536];
	unsigned char address[NETWORK_ADDRESS_BYTES];
	size_t opened = 0, refused = 0;
	make("a", "asn 192.0.2.0/24=64500 2001:db8::/32=64501");
	size_t n = read_all("a", good, sizeof good);
	assert_true(network_address_parse(SPAN_LIT("192.0.2.1"), address));
	for (size_t i = 0; i < n; i++) {
		memcpy(bad, good, n);
		bad[i] = (char)(bad[i] ^ (1 << (i % 8)));
		for (int cut = 0; cut < 3; cut++) {
			struct error reason = { "" };
			write_all("c", cut == 2 ? good + i : bad,
			          cut == 0   ? n
			          : cut == 1 ? i
			                     : n - i);
			struct geo *geo = open_damaged(file("c"), &reason);
			assert_int_equal(geo == NULL, reason.text[0] != '\0');
			geo_asn(geo, address);
			opened += geo != NULL;
			refused += geo == NULL;
			geo_close(geo);
		}
	}
	assert_true(opened > 0 && refused > n);
}

/* One that is written over in place while it is in use: the old one goes on. */
static void what_is_written_over(void **state)
{
	(void)state;
	static const struct row old = { "192.0.2.1", 64500, "" },
				new = { "192.0.2.1", 64501, "" };
	make("a", "asn 192.0.2.0/24=64500");
	struct geo *geo = must_open("a", GEO_ASN);
	write_all("a", "", 0);
	check_rows(geo, NULL, &old, 1);
	make("a", "asn 192.0.2.0/24=64501");
	check_rows(geo, NULL, &old, 1);
	struct geo *again = must_open("a", GEO_ASN);
	check_rows(again, NULL, &new, 1);
	geo_close(geo);
	geo_close(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_usual_schema),     cmocka_unit_test(the_schemas_of_others),
		cmocka_unit_test(what_is_no_database),  cmocka_unit_test(what_is_damaged),
		cmocka_unit_test(what_is_written_over),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
