/* What a configuration file may not say, with the place of each fault. */
#include "test/server/config_help.h"

/* The fault, behind the file's name; HEAD is lines 1 and 2. */
static void what_is_refused(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ HEAD "colour = red", ":3: colour: there is no such key" },
		{ HEAD "include('/etc/passwd')", ":3: include: there is no such key" },
		{ HEAD "tls {\n colour = red }", ":4: tls: colour: there is no such key" },
		{ HEAD "listen a {\n\n colour = red }",
		  ":5: listen a: colour: there is no such key" },
		{ HEAD "\n/* one\n two */ /* three */ errors = none",
		  ":5: errors: \"none\": is no number" },
		{ HEAD "errors = 0", ":3: errors: \"0\": must be 1 to 100000" },
		{ HEAD "errors = -1", ":3: errors: \"-1\": is no number" },
		{ HEAD "errors = 99999999999999999999",
		  ":3: errors: \"99999999999999999999\": is no number" },
		{ HEAD "errors = ''", ":3: errors: \"\": is no number" },
		{ HEAD "errors =", ":3: premature end of file" },
		{ HEAD "errors", ":3: premature end of file" },
		{ HEAD "errors 5", ":3: missing equal sign after option 'errors'" },
		{ HEAD "errors = { 5 }", ":3: unexpected token '{'" },
		{ HEAD "workers = 65", ":3: workers: \"65\": must be 0 to 64" },
		{ HEAD "message_size = 63K", ":3: message_size: \"63K\": must be 64K to 1G" },
		{ HEAD "message_size = 2G", ":3: message_size: \"2G\": must be 64K to 1G" },
		{ HEAD "message_size = 50MB",
		  ":3: message_size: \"50MB\": is no size, a number, with K, M "
		  "or G if you like" },
		{ HEAD "message_size = 50m",
		  ":3: message_size: \"50m\": is no size, a number, with K, M or "
		  "G if you like" },
		{ HEAD "message_size = 999999999999G",
		  ":3: message_size: \"999999999999G\": must be 64K to "
		  "1G" },
		{ HEAD "lifetime = 2",
		  ":3: lifetime: \"2\": is no duration, a number with s, m, h or d" },
		{ HEAD "lifetime = 0s", ":3: lifetime: \"0s\": must be 1s to 31d" },
		{ HEAD "retry = { \"30s\",\n \"500ms\" }",
		  ":4: retry: \"500ms\": is no duration, a number "
		  "with s, m, h or d" },
		{ HEAD "retry = {\n \"30s\",\n \"0s\" }",
		  ":5: retry: \"0s\": must be 1s to 1d" },
		{ HEAD "retry = {}", ":3: retry: needs a value" },
		{ HEAD "errors = 5\n\nerrors = 5",
		  ":5: errors: is given twice, the first time in line 3" },
		{ HEAD "limits = { \"1/1m\" }\nlimits = {}",
		  ":4: limits: is given twice, the first time in line 3" },
		{ HEAD "limits = {}\nlimits = {}",
		  ":4: limits: is given twice, the first time in line 3" },
		{ HEAD "exempt += { \"a@b\" }",
		  ":3: nothing is added to a list, it is given as a whole: =" },
		{ HEAD "tls { }\ntls { }",
		  ":4: tls: is given twice, the first time in line 3" },
		{ HEAD "tls { key = /a\nkey = /b }",
		  ":4: key: is given twice, the first time in line 3" },
		{ HEAD "exempt = { *@example.org }", ":3: a * must be between quotes" },
		{ HEAD "exempt = { \"alice\" }", ":3: exempt: \"alice\": needs its @domain" },
		{ HEAD "exempt = { \"a b@c\" }",
		  ":3: exempt: \"a b@c\": is no account and no pattern" },
		{ HEAD "data_dir = \"${HOME}/x\"",
		  ":3: ${ would be read from the environment: use single quotes" },
		{ HEAD "data_dir = ${HOME}",
		  ":3: ${ would be read from the environment: use single quotes" },
		{ HEAD "data_dir = var/lib", ":3: data_dir: \"var/lib\": must be a path from "
		                             "the root, with a / in front" },
		{ HEAD "data_dir = \"/var/lib", ":3: the string does not end on its line" },
		{ HEAD "data_dir = \"/var\n/lib\"", ":3: the string does not end on its line" },
		{ HEAD "data_dir = \"/var\\x41\"",
		  ":3: only \\ and the quote may follow a \\" },
		{ HEAD "data_dir = \"/var\\", ":3: only \\ and the quote may follow a \\" },
		{ HEAD "data_dir = \"/v\033[2J\"", ":3: control bytes may not be in a string" },
		{ HEAD "errors = 5 \001", ":3: there is a control byte" },
		{ HEAD "errors = 5 \rjunk = 5", ":3: there is a control byte" },
		{ HEAD "\n/* for ever\n\n", ":4: the comment does not end" },
		{ HEAD "}", ":3: unexpected closing brace" },
		{ HEAD "tls {", ":3: a block does not end" },
		{ HEAD "listen a { port = 1 tls = starttls\n", ":4: a block does not end" },
		{ HEAD "user = root", ":3: user: \"root\": is no name of an ordinary user" },
		{ HEAD "domain = [192.0.2.1]",
		  ":3: domain: \"[192.0.2.1]\": is no domain name" },
		{ HEAD "domain = a..b", ":3: domain: \"a..b\": is no domain name" },
		{ "hostname = -x\n" MTA, ":1: hostname: \"-x\": is no host name" },
		{ "hostname = mail\n" MTA, ": domain: is missing, and hostname has none" },
		{ "hostname = [192.0.2.1]\n" MTA,
		  ": domain: is missing, and hostname has none" },
		{ "", ": " }, /* the machine's name decides which */
		{ NAMES, ": smarthost: at least one smarthost block is needed" },
		{ NAMES "smarthost mta { port = 25 }",
		  ":2: smarthost mta: address: is missing" },
		{ NAMES "smarthost { }", ":2: missing title for section 'smarthost'" },
		{ NAMES "smarthost 'a b' { }",
		  ":2: smarthost a b: a name has letters, digits, dots and hyphens" },
		{ NAMES "smarthost a { address = 10.0.0.256 }",
		  ":2: smarthost a: address: \"10.0.0.256\": is neither a host name nor an "
		  "address" },
		{ NAMES "smarthost a { address = \"\" }",
		  ":2: smarthost a: address: \"\": is neither a host name nor an address" },
		{ NAMES "smarthost a {\n address = b\n tls = maybe }",
		  ":4: smarthost a: tls: \"maybe\": must be none, may or must" },
		{ NAMES "smarthost a { address = b connections = 257 }",
		  ":2: smarthost a: connections: \"257\": must be 1 to 256" },
		{ HEAD "smarthost mta { address = b }", ":3: found duplicate title 'mta'" },
		{ HEAD "listen a { port = 587 }", ":3: listen a: tls: is missing" },
		{ HEAD "listen a { tls = starttls }", ":3: listen a: port: is missing" },
		{ HEAD "listen a { port = 0 tls = starttls }",
		  ":3: listen a: port: \"0\": must be 1 to 65535" },
		{ HEAD "listen a { port = 65536 tls = starttls }",
		  ":3: listen a: port: \"65536\": must be 1 to 65535" },
		{ HEAD "listen a { port = 1 tls = no }",
		  ":3: listen a: tls: \"no\": must be starttls, implicit or none" },
		{ HEAD "listen a { port = 1 tls = starttls address = localhost }",
		  ":3: listen a: address: \"localhost\": is no numeric address" },
		{ HEAD "listen a { port = 1 tls = starttls address = {} }",
		  ":3: listen a: address: needs a value" },
		{ HEAD "listen a { port = 1 tls = starttls }\nlisten b {\n address = { "
		       "127.0.0.1,\n 0::0 }\n"
		       "port = 1 tls = implicit }",
		  ":6: listen b: address: \"0::0\": port 1 is given twice" },
		{ HEAD "listen a { port = 1\ntls = none }",
		  ":4: listen a: tls: none is for role = reply only" },
		{ HEAD "listen a { port = 1 tls = starttls\npeers = ::1 }",
		  ":4: listen a: peers: are for role = reply only" },
		{ HEAD "listen a { port = 1 tls = none role = reply }",
		  ":3: listen a: peers: role = reply needs those who may connect" },
		{ HEAD "listen a { port = 1 tls = none role = reply\npeers = {} }",
		  ":4: listen a: peers: role = reply needs those who may connect" },
		{ HEAD "listen a { port = 1 tls = none role = door peers = ::1 }",
		  ":3: listen a: role: \"door\": must be submission or reply" },
		{ HEAD "postmaster = jane", ":3: postmaster: \"jane\": is no mail address" },
		{ HEAD "postmaster = '\"a, b\"@c'",
		  ":3: postmaster: \"\"a, b\"@c\": is no mail address" },
		{ HEAD "postmaster = { a@b,\n A@B }",
		  ":4: postmaster: value 2 is value 1 again" },
		{ HEAD "may_unlock = jane", ":3: may_unlock: \"jane\": needs its @domain" },
		{ HEAD "contact = 'Jane M\303\274ller'",
		  ":3: contact: \"Jane M\303\274ller\": must be ASCII text of at most 80 "
		  "bytes" },
		{ HEAD "contact = "
		       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		       "aaaaaaaaaaaaaa",
		  ":3: contact: "
		  "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaa\": must be ASCII text of at most 80 bytes" },
		{ HEAD "notice_from = '*'", ":3: notice_from: \"*\": is no mail address" },
		{ HEAD "postmaster = 'unlock+me@mail.example.org'",
		  ": reply_address: takes a postmaster: \"unlock+me@mail.example.org\"" },
		{ HEAD "reply_address = '*@example.org'",
		  ":3: reply_address: takes notice_from: \"postmaster@example.org\"" },
		{ HEAD "suspended_at = rcpt",
		  ":3: suspended_at: \"rcpt\": must be mail or auth" },
		{ HEAD "unlock_word = yes",
		  ":3: unlock_word: \"yes\": must be optional or required" },
		{ HEAD "on_suspend = alarm",
		  ":3: on_suspend: \"alarm\": must be a path from the "
		  "root, with a / in front, or https://" },
		{ HEAD "on_suspend = {}", ":3: on_suspend: needs a value" },
		{ HEAD "on_suspend = ''", ":3: on_suspend: \"\": must be a path from the "
		                          "root, with a / in front, or https://" },
		{ HEAD "on_unlock = {\n/nonexistent, x }",
		  ":4: on_unlock: \"/nonexistent\": No such file or directory" },
		{ HEAD "on_unlock = 'http://127.0.0.1/'",
		  ":3: on_unlock: \"http://127.0.0.1/\": must be https://" },
		{ HEAD "on_unlock = 'https://jane@example.org/'",
		  ":3: on_unlock: \"https://jane@example.org/\": a user in a URL is seen by "
		  "everybody: hook_key_file" },
		{ HEAD "on_unlock = { 'https://example.org/',\nx }",
		  ":4: on_unlock: an address has no arguments" },
		{ HEAD "on_unlock = 'https://example.org/'",
		  ": hook_key_file: is needed by on_unlock" },
		{ HEAD "hook_key_file = /nonexistent",
		  ":3: hook_key_file: \"/nonexistent\": No such file or directory" },
		{ HEAD "on_suspend = /nonexistent",
		  ":3: on_suspend: \"/nonexistent\": No such file or directory" },
		{ HEAD "on_suspend = /etc/passwd",
		  ":3: on_suspend: \"/etc/passwd\": is no program" },
		{ HEAD "on_suspend = /tmp", ":3: on_suspend: \"/tmp\": is no program" },
		{ HEAD "limits = { \"500/30m\",\n\"600/1800s\" }",
		  ":4: limits: value 2 has the window of value 1" },
		{ HEAD "limits = { 1/1m, 1/2m, 1/3m, 1/4m, 1/5m }",
		  ":3: limits: has more than 4 values" },
		{ HEAD "uncommitted_bytes = 1M",
		  ":3: message_size: is more than uncommitted_bytes" },
		{ HEAD "message_size = 600M",
		  ":3: message_size: is more than uncommitted_bytes" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		char want[600];
		struct config *config = load_text(rows[i][0], &error);
		snprintf(want, sizeof want, "%s%s", path, rows[i][1]);
		if (config) {
			fail_msg("taken: %s", rows[i][0]);
		}
		if (rows[i][0][0] == '\0') {
			error.text[strlen(want)] = '\0';
		}
		assert_string_equal(error.text, want);
		/* The error may be left out. */
		assert_null(config_load(path, NULL));
	}
}

/* The words of these are the budget's; the place is ours. */
static void limits_that_are_none(void **state)
{
	(void)state;
	static const char *const rows[] = { "0/30m",  "500",    "",         "500/",  "/30m",
		                            "500/30", "-1/30m", "500/30m,", "500/0s" };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		char text[256], want[128];
		snprintf(text, sizeof text, HEAD "limits = { \"1/1h\",\n \"%s\" }", rows[i]);
		assert_null(load_text(text, &error));
		snprintf(want, sizeof want, "%s:4: limits: \"%s\": ", path, rows[i]);
		assert_memory_equal(error.text, want, strlen(want));
		assert_true(strlen(error.text) > strlen(want) + 5);
	}
}

/* What is refused of it is in the words of proto/orders; the key and the line are ours. */
static void reply_addresses_that_are_none(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"",
		"unlock@mail.example.org",
		"unlock+*@*.example.org",
		"unlock+*",
		"un lock+*@mail.example.org",
		/* 64 octets with the tag in it */
		"unlock-this-account-please-and-send-its-held-mail+*@mail.example.org",
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		char text[256], want[200];
		snprintf(text, sizeof text, HEAD "reply_address =\n '%s'", rows[i]);
		assert_null(load_text(text, &error));
		snprintf(want, sizeof want, "%s:4: reply_address: \"%s\": ", path, rows[i]);
		assert_memory_equal(error.text, want, strlen(want));
		assert_true(strlen(error.text) > strlen(want) + 5);
	}
}

static void networks_that_are_none(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "", "is no network" },
		{ "localhost", "is no network" },
		{ "10.0.0", "is no network" },
		{ "/8", "is no network" },
		{ "10.0.0.0/", "ends in no prefix, /0 to /32" },
		{ "10.0.0.0/33", "ends in no prefix, /0 to /32" },
		{ "10.0.0.0/-1", "ends in no prefix, /0 to /32" },
		{ "10.0.0.0/8/8", "ends in no prefix, /0 to /32" },
		{ "::/129", "ends in no prefix, /0 to /128" },
		{ "::/0128", "ends in no prefix, /0 to /128" },
		{ "10.0.0.1/8", "has bits behind its prefix" },
		{ "2001:db8::1/32", "has bits behind its prefix" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		char text[256], want[200];
		snprintf(text, sizeof text,
		         HEAD "listen r { port = 1 tls = none role = reply peers = '%s' }",
		         rows[i][0]);
		assert_null(load_text(text, &error));
		snprintf(want, sizeof want, "%s:3: listen r: peers: \"%s\": %s", path,
		         rows[i][0], rows[i][1]);
		assert_string_equal(error.text, want);
	}
}

static void blocks_have_an_end(void **state)
{
	(void)state;
	char text[2048] = NAMES, want[128];
	struct error error = { "" };
	size_t len = strlen(text);
	for (size_t i = 0; i <= CONFIG_SMARTHOSTS_MAX; i++) {
		len += (size_t)snprintf(text + len, sizeof text - len,
		                        "smarthost m%zu { address = a }\n", i);
		struct config *config = load_text(text, &error);
		assert_int_equal(config != NULL, i < CONFIG_SMARTHOSTS_MAX);
		config_unref(config);
	}
	snprintf(want, sizeof want, "%s:10: smarthost m8: more than 8 such blocks", path);
	assert_string_equal(error.text, want);
}

static void files_that_are_none(void **state)
{
	(void)state;
	struct error error;
	assert_null(config_load("/nonexistent/gatepost.conf", &error));
	assert_string_equal(error.text,
	                    "/nonexistent/gatepost.conf: No such file or directory");
	assert_null(config_load("/tmp", &error));
	assert_string_equal(error.text, "/tmp: Is a directory");
	static char large[1 << 20];
	memset(large, '\n', sizeof large);
	write_text(large, sizeof large);
	assert_null(config_load(path, &error));
	assert_non_null(strstr(error.text, ": is larger than 1 MiB"));
	write_text("errors\0= 5", 10);
	assert_null(config_load(path, &error));
	assert_non_null(strstr(error.text, ":1: there is a control byte"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(limits_that_are_none),
		cmocka_unit_test(reply_addresses_that_are_none),
		cmocka_unit_test(networks_that_are_none),
		cmocka_unit_test(blocks_have_an_end),
		cmocka_unit_test(files_that_are_none),
	};
	return cmocka_run_group_tests(tests, make_path, remove_path);
}
