/* The keys about logins: what they give, what they may not say, and the files that they name.
 */
#include "test/server/config_help.h"

#define LDAP   "auth = ldap\nldap_uri = \"ldap://127.0.0.1\"\nldap_base = \"dc=example\"\n"
#define JWKS   "oauth_jwks = /etc/hostname\noauth_issuer = i\noauth_audience = a\n"
#define DEVICE "device a { address = 10.1.2.3 account = \"scanner@example.org\" }\n"

static void what_is_refused(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "auth = pam", ":3: auth: \"pam\": must be internal, saslauthd, sasldb, ldap, "
		                "sql or dovecot" },
		{ "mechanisms = { PLAIN,\n CRAM-MD5 }",
		  ":4: mechanisms: \"CRAM-MD5\": must be PLAIN, LOGIN, SCRAM-SHA-1, "
		  "SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, EXTERNAL, OAUTHBEARER "
		  "or XOAUTH2" },
		{ "mechanisms = {}", ":3: mechanisms: needs a value" },
		{ "auth = saslauthd\nmechanisms = { PLAIN,\n SCRAM-SHA-256 }",
		  ":5: mechanisms: SCRAM-SHA-256 can not be had from this auth, which must see "
		  "the password" },
		{ "mechanisms = EXTERNAL", ":3: mechanisms: EXTERNAL needs tls: client_ca" },
		{ "mechanisms = XOAUTH2",
		  ":3: mechanisms: XOAUTH2 needs oauth_jwks or oauth_introspect" },
		{ "auth = ldap", ": ldap_uri: is needed by auth = ldap" },
		{ "auth = ldap\nldap_uri = \"ldap://h\"",
		  ": ldap_base: is needed by auth = ldap" },
		{ "auth = sql", ": sql_database: is needed by auth = sql" },
		{ "auth = sql\nsql_database = /d", ": sql_select: is needed by auth = sql" },
		{ "oauth_jwks = /j", ": oauth_issuer: is needed by oauth_jwks" },
		{ "oauth_jwks = /j\noauth_issuer = i",
		  ": oauth_audience: is needed by oauth_jwks" },
		{ JWKS "oauth_introspect = \"https://h\"",
		  ":6: oauth_introspect: oauth_jwks is given: one of the two" },
		{ LDAP "ldap_password_file = /nonexistent",
		  ":6: ldap_password_file: \"/nonexistent\": No such file or directory" },
		{ LDAP "ldap_password_file = /dev/null",
		  ":6: ldap_password_file: \"/dev/null\": has no secret in its first line" },
		{ LDAP "ldap_password_file = /tmp",
		  ":6: ldap_password_file: \"/tmp\": Is a directory" },
		{ LDAP "ldap_password_file = /dev/zero",
		  ":6: ldap_password_file: \"/dev/zero\": is too large" },
		{ "login_map = /dev/zero", ":3: login_map: \"/dev/zero\": is too large" },
		{ LDAP "ldap_filter = \"(uid=%x)\"",
		  ":6: ldap_filter: knows %u, %n and %d, and %% for a %" },
		{ "login_map = /nonexistent",
		  ":3: login_map: \"/nonexistent\": No such file or directory" },
		{ "cache_time = 2m", ":3: cache_time: \"2m\": must be 0s to 1m" },
		{ "screen_exempt = { 10.0.0.0/8,\n 10.0.0.1/8 }",
		  ":4: screen_exempt: \"10.0.0.1/8\": has bits behind its prefix" },
		{ "device a { address = 10.1.2.3 }", ":3: device a: account: is missing" },
		{ "device a { account = \"a@b\" }", ":3: device a: address: is missing" },
		{ "device a { address = 10.1.2.3 account = scanner }",
		  ":3: device a: account: \"scanner\": needs its @domain" },
		{ "device a { address = 10.1.2.3 account = \"a@b\"\naction = drop }",
		  ":4: device a: action: \"drop\": must be suspend, defer, hold or default" },
		{ DEVICE "device b { address = 10.1.2.4 account = \"SCANNER@example.org\" }",
		  ":4: device b: account: is that of device a" },
		{ DEVICE "device b { account = \"b@b\"\naddress = { 10.1.2.4, 10.1.2.3 } }",
		  ":5: device b: address: is one of device a" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		char text[1000], want[600];
		snprintf(text, sizeof text, HEAD "%s", rows[i][0]);
		struct config *config = load_text(text, &error);
		snprintf(want, sizeof want, "%s%s", path, rows[i][1]);
		if (config) {
			fail_msg("taken: %s", rows[i][0]);
		}
		assert_string_equal(error.text, want);
	}
}

static void mechanisms_follow_the_back_end(void **state)
{
	(void)state;
	static const char scram[] = "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS "
				    "SCRAM-SHA-256-PLUS";
	static const char *const rows[][2] = {
		{ "", scram },
		{ "auth = sasldb", scram },
		{ "auth = saslauthd", "PLAIN LOGIN" },
		{ "auth = dovecot", "PLAIN LOGIN" },
		{ LDAP, "PLAIN LOGIN" },
		{ "auth = saslauthd\ntls { client_ca = /ca }", "PLAIN LOGIN EXTERNAL" },
		{ "auth = dovecot\n" JWKS, "PLAIN LOGIN OAUTHBEARER XOAUTH2" },
		{ "mechanisms = { SCRAM-SHA-256, PLAIN }", "SCRAM-SHA-256 PLAIN" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[1000];
		snprintf(text, sizeof text, HEAD "%s", rows[i][0]);
		struct config *config = must_load(text);
		assert_string_equal(config->mechanisms, rows[i][1]);
		config_unref(config);
	}
}

/* A file of the test's own. */
static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void files_are_read(void **state)
{
	(void)state;
	char name[] = "/tmp/gatepost-secret-XXXXXX";
	char text[1000];
	struct error error = { "" };
	int fd = mkstemp(name);
	assert_true(fd >= 0 && close(fd) == 0);
	write_file(name, "top secret\r\nsecond line\n");
	snprintf(text, sizeof text, HEAD LDAP "ldap_password_file = %s", name);
	struct config *config = must_load(text);
	assert_string_equal(config->backend.ldap.password, "top secret");
	assert_string_equal(config->backend.ldap.account, "mail");
	assert_string_equal(config->backend.domain, "example.org");
	assert_true(config->map.fold_details);

	/* Changed in place: as good as another file. */
	char keys[64];
	write_file(name, "another\n");
	struct config *next = must_load(text);
	assert_true(config_needs_restart(config, next, keys, sizeof keys));
	assert_string_equal(keys, "ldap_password_file");
	assert_false(config_needs_restart(next, next, keys, sizeof keys));
	config_unref(next);
	config_unref(config);

	write_file(name, "EXAMPLE\\* *@example.org\nroot admin\n");
	snprintf(text, sizeof text, HEAD "login_map = %s", name);
	config = must_load(text);
	struct buf account = { .cap = 300 };
	assert_true(identity_of_typed(&config->map, SPAN_LIT("Example\\Bob"), &account));
	assert_true(span_eq(buf_span(&account), SPAN_LIT("bob@example.org")));
	assert_false(config->map.fold_details);
	buf_done(&account);
	config_unref(config);

	write_file(name, "a b\n\nc\n");
	assert_null(load_text(text, &error));
	char want[200];
	snprintf(want, sizeof want, "%s:3: needs two names: what is typed, and its account",
	         name);
	assert_string_equal(error.text, want);
	unlink(name);
}

static void devices_are_known_by_their_address(void **state)
{
	(void)state;
	static const struct {
		const char *address, *device;
	} rows[] = {
		{ "10.1.2.3", "scanner" }, { "10.1.2.4", NULL },
		{ "10.2.255.1", "press" }, { "2001:db8::9", "press" },
		{ "2001:db9::9", NULL },   { "::ffff:10.1.2.3", "scanner" },
	};
	struct config *config = must_load(
	    HEAD "device scanner { address = { \"10.1.2.3\" } account = "
		 "\"Scanner@example.org\" limits = { \"200/1h\" } action = defer }\n"
		 "device press { address = { 10.2.0.0/16, \"2001:db8::/32\" } account = "
		 "\"press@example.org\" }\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned char bytes[NETWORK_ADDRESS_BYTES];
		assert_true(network_address_parse(span_str(rows[i].address), bytes));
		const struct config_device *device = config_device_at(config, bytes);
		assert_int_equal(device != NULL, rows[i].device != NULL);
		if (device) {
			assert_string_equal(device->name, rows[i].device);
		}
	}
	struct gate_rules rules = config_gate_rules(config);
	assert_int_equal(rules.ndevices, 2);
	assert_true(span_eq(rules.devices[0].account, SPAN_LIT("scanner@example.org")));
	assert_int_equal(rules.devices[0].limits.limit[0].tokens, 200);
	assert_int_equal(rules.devices[0].action, GATE_ACTION_DEFER);
	assert_int_equal(rules.devices[1].limits.count, 0);
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(mechanisms_follow_the_back_end),
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(devices_are_known_by_their_address),
	};
	return cmocka_run_group_tests(tests, make_path, remove_path);
}
