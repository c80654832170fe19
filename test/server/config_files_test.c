/* The files of others that the configuration names, and what is wrong with them. */
#include "test/server/config_help.h"

#include "server/geo.h"

static char members[] = "/tmp/gatepost-members-XXXXXX";

static int make_files(void **state)
{
	int fd = mkstemp(members);
	return fd >= 0 && close(fd) == 0 ? make_path(state) : -1;
}

static int remove_files(void **state)
{
	return unlink(members) == 0 ? remove_path(state) : -1;
}

static void write_members(const char *text)
{
	FILE *file = fopen(members, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

/* "%" is the file of members, "@" at the begin of an error the configuration. */
static void fill_in(const char *from, char *to, size_t size)
{
	size_t n = 0;
	for (; *from; from++) {
		const char *what = *from == '%'             ? members
		                   : *from == '@' && n == 0 ? path
		                                            : NULL;
		n += (size_t)(what ? snprintf(to + n, size - n, "%s", what)
		                   : snprintf(to + n, size - n, "%c", *from));
		assert_true(n < size);
	}
}

static void what_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *members, *text, *want;
		bool others; /* it is a fault of another file's, or of its name */
	} rows[] = {
		{ "", "list staff@x.org { members_file = /nonexistent }",
		  "@:3: list staff@x.org: members_file: \"/nonexistent\": No such file or "
		  "directory",
		  true },
		{ "", "list staff@x.org {\n}",
		  "@:3: list staff@x.org: members_file: is missing", false },
		{ "", "list staff@x.org { members_file = staff }",
		  "@:3: list staff@x.org: members_file: \"staff\": must be a path from the "
		  "root, "
		  "with a / in front",
		  false },
		{ "", "list staff { members_file = % }", "@:3: list staff: is no mail address",
		  false },
		{ "", "list 'a b@x.org' { members_file = % }",
		  "@:3: list a b@x.org: is no mail address", false },
		{ "", "list a@x.org { members_file = % }\nlist a@X.org {\nmembers_file = % }",
		  "@:5: list a@X.org: members_file: is a list that is declared before", true },
		{ "a@x.org\n\nb c\n", "list a@x.org { members_file = % }",
		  "%:3: is no mail address", true },
		{ "", "list_files = { %,\n/nonexistent }",
		  "@:4: list_files: \"/nonexistent\": No such file or directory", true },
		{ "", "list_files = aliases",
		  "@:3: list_files: \"aliases\": must be a path from the root, with a / in "
		  "front",
		  false },
		{ "a: b\nc\n", "list_files = %", "%:2: must be a name, a colon and its members",
		  true },
		{ "", "list_files = /dev/zero", "@:3: list_files: \"/dev/zero\": is too large",
		  true },
		{ "", "fold_details = maybe", "@:3: fold_details: \"maybe\": must be no or yes",
		  false },
		{ "", "\nasn_database = /nonexistent",
		  "@:4: asn_database: \"/nonexistent\": No such file or directory", true },
		{ "hello\n", "geoip_database = %",
		  "@:3: geoip_database: \"%\": is no good MMDB database: The MaxMind DB file "
		  "contains invalid metadata",
		  true },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		char text[1000], want[600], body[800];
		write_members(rows[i].members);
		fill_in(rows[i].text, body, sizeof body);
		snprintf(text, sizeof text, HEAD "%s", body);
		struct config *config = load_text(text, &error);
		fill_in(rows[i].want, want, sizeof want);
		if (config) {
			fail_msg("taken: %s", rows[i].text);
		}
		/* Without them it is good, unless the configuration itself is not. */
		config = config_load_alone(path, NULL);
		assert_int_equal(config != NULL, rows[i].others);
		config_unref(config);
		assert_string_equal(error.text, want);
	}
}

static void what_they_give(void **state)
{
	(void)state;
	static const unsigned char nowhere[NETWORK_ADDRESS_BYTES] = { 0 };
	char text[600], country[GEO_COUNTRY_MAX] = "??";
	uint32_t asn = 7;
	struct config *config = must_load(HEAD);
	assert_int_equal(config->lists.count, 0);
	assert_int_equal(lists_members(&config->lists, SPAN_LIT("staff@example.org")), 0);
	assert_false(config->fold_details);
	geo_of(config, nowhere, &asn, country);
	assert_int_equal(asn, 0);
	assert_string_equal(country, "");
	config_unref(config);

	write_members("a\nb@example.net\nstaff@example.org\n");
	snprintf(text, sizeof text,
	         HEAD "fold_details = yes\nlist all@x.org { members_file = %s }\n"
	              "list 'staff+b@example.org' { members_file = /dev/null }\n",
	         members);
	config = must_load(text);
	assert_int_equal(lists_members(&config->lists, SPAN_LIT("all@x.org")), 3);
	assert_true(config->fold_details);
	config_unref(config);

	/* And anew at a reload. */
	write_members("Staff: a,\n b,\n c@example.net\n");
	snprintf(text, sizeof text, HEAD "list_files = { /dev/null, %s }", members);
	config = must_load(text);
	assert_int_equal(lists_members(&config->lists, SPAN_LIT("staff@example.org")), 3);
	write_members("staff: a, b\n");
	struct config *again = config_load(path, NULL);
	assert_non_null(again);
	assert_int_equal(lists_members(&again->lists, SPAN_LIT("staff@example.org")), 2);
	assert_int_equal(lists_members(&config->lists, SPAN_LIT("staff@example.org")), 3);
	char keys[128];
	assert_false(config_needs_restart(config, again, keys, sizeof keys));
	config_unref(config);
	config_unref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(what_they_give),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
