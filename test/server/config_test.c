#include "server/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/config_table.h"

/* ---- files ---- */

static char path[] = "/tmp/gatepost-config-XXXXXX";

static int make_path(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd >= 0 && close(fd) == 0 ? 0 : -1;
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

static void write_text(const char *text, size_t len)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct config *load_text(const char *text, struct error *error)
{
	write_text(text, strlen(text));
	return config_load(path, error);
}

static struct config *must_load(const char *text)
{
	struct error error = { "" };
	struct config *config = load_text(text, &error);
	if (!config) {
		fail_msg("%s", error.text);
	}
	return config;
}

/* What `print` writes, or config_print without one. The caller frees it. */
static char *printed(const struct config *config, void (*print)(FILE *))
{
	FILE *out = tmpfile();
	assert_non_null(out);
	if (print) {
		print(out);
	} else {
		config_print(config, out);
	}
	long size = ftell(out);
	assert_true(size >= 0);
	char *text = calloc(1, (size_t)size + 1);
	assert_non_null(text);
	rewind(out);
	assert_int_equal(fread(text, 1, (size_t)size, out), size);
	fclose(out);
	return text;
}

static const char issue[] =
    "hostname   = \"mail.example.org\"\n"
    "domain     = \"example.org\"             # the realm of a login without one\n"
    "data_dir   = \"/var/lib/gatepost\"\n"
    "control    = \"/run/gatepost/control.sock\"\n"
    "user       = \"gatepost\"\n"
    "workers    = 0                         # event loops; 0 = one per core\n"
    "tls { certificate = \"/etc/gatepost/cert.pem\" key = \"/etc/gatepost/key.pem\" }\n"
    "listen submission  { address = { \"0.0.0.0\", \"::\" } port = 587 tls = starttls }\n"
    "listen submissions { address = { \"0.0.0.0\", \"::\" } port = 465 tls = implicit }\n"
    "smarthost mta      { address = \"127.0.0.1\" port = 25 tls = may connections = 16 }\n"
    "limits      = { \"500/30m\", \"2000/24h\" }\n"
    "exempt      = { \"newsletter@example.org\", \"*@lists.example.org\" }\n"
    "retry       = { \"30s\", \"1m\", \"2m\", \"5m\", \"15m\" }   # the last repeats\n"
    "lifetime    = 2d\n"
    "message_size = 50M\n"
    "recipients  = 500                      # per message\n"
    "postmaster  = { \"postmaster@example.org\" }\n"
    "may_unlock  = { \"jane@example.org\", \"*@it.example.org\" }\n"
    "contact     = \"IT desk, +49 30 1234\"\n"
    "reply_address = \"unlock+*@mail.example.org\"\n"
    "listen reply { address = \"127.0.0.1\" port = 2525 tls = none role = reply peers = { "
    "\"127.0.0.1/32\" } }\n";

/* The least there must be. */
#define NAMES "hostname = mail.example.org\n"
#define MTA   "smarthost mta { address = 127.0.0.1 }\n"
#define HEAD  NAMES MTA

static void the_public_file(void **state)
{
	(void)state;
	struct config *c = must_load(issue);
	assert_string_equal(c->path, path);
	assert_string_equal(c->hostname, "mail.example.org");
	assert_string_equal(c->domain, "example.org");
	assert_string_equal(c->data_dir, "/var/lib/gatepost");
	assert_string_equal(c->control, "/run/gatepost/control.sock");
	assert_string_equal(c->user, "gatepost");
	assert_int_equal(c->workers, 0);
	assert_string_equal(c->certificate, "/etc/gatepost/cert.pem");
	assert_string_equal(c->key, "/etc/gatepost/key.pem");
	assert_int_equal(c->nlisteners, 3);
	assert_string_equal(c->listener[1].name, "submissions");
	assert_int_equal(c->listener[0].naddresses, 2);
	assert_string_equal(c->listener[1].address[1], "::");
	assert_int_equal(c->listener[0].port, 587);
	assert_int_equal(c->listener[0].tls, CONFIG_TLS_STARTTLS);
	assert_int_equal(c->listener[1].tls, CONFIG_TLS_IMPLICIT);
	assert_int_equal(c->nsmarthosts, 1);
	assert_string_equal(c->smarthost[0].name, "mta");
	assert_string_equal(c->smarthost[0].address, "127.0.0.1");
	assert_int_equal(c->smarthost[0].port, 25);
	assert_int_equal(c->smarthost[0].tls, SMTP_CLIENT_TLS_MAY);
	assert_int_equal(c->smarthost[0].connections, 16);
	assert_int_equal(c->smarthost[0].mails, 100);
	struct gate_rules rules = config_gate_rules(c);
	assert_int_equal(rules.limits.count, 2);
	assert_int_equal(rules.limits.limit[0].tokens, 500);
	assert_int_equal(rules.limits.limit[1].window, 24 * 3600 * 1000);
	assert_int_equal(rules.nexempt, 2);
	assert_true(span_eq(rules.exempt[1], SPAN_LIT("*@lists.example.org")));
	assert_int_equal(c->nretry, 5);
	assert_int_equal(c->retry[0], 30000);
	assert_int_equal(c->retry[4], 900000);
	assert_int_equal(c->lifetime, 2 * 86400000);
	assert_int_equal(c->message_size, 50 << 20);
	assert_int_equal(c->recipients, 500);
	assert_int_equal(c->listener[0].role, CONFIG_ROLE_SUBMISSION);
	assert_int_equal(c->listener[2].role, CONFIG_ROLE_REPLY);
	assert_int_equal(c->listener[2].tls, CONFIG_TLS_NONE);
	assert_int_equal(c->listener[2].port, 2525);
	assert_int_equal(c->listener[2].naddresses, 1);
	assert_int_equal(c->listener[2].npeers, 1);
	assert_int_equal(rules.suspend.npostmaster, 1);
	assert_true(span_eq(rules.suspend.postmaster[0], SPAN_LIT("postmaster@example.org")));
	const struct secret_key key = { { 7 } };
	struct unlock_rules unlock = config_unlock_rules(c, &key);
	assert_int_equal(unlock.suspend.npostmaster, 1);
	assert_int_equal(unlock.nmay_unlock, 2);
	assert_true(span_eq(unlock.may_unlock[1], SPAN_LIT("*@it.example.org")));
	assert_false(unlock.word_required);
	assert_memory_equal(&unlock.key, &key, sizeof key);
	assert_string_equal(c->contact, "IT desk, +49 30 1234");
	assert_string_equal(c->reply_address, "unlock+*@mail.example.org");
	assert_string_equal(c->notice_from, "postmaster@example.org");
	assert_int_equal(c->suspended_at, CONFIG_SUSPENDED_AT_MAIL);
	assert_null(c->on_suspend);
	config_unref(c);
}

static void the_defaults(void **state)
{
	(void)state;
	struct config *c = must_load(HEAD);
	const struct {
		const char *name;
		int64_t is, want;
	} rows[] = {
#define ROW(field, value) { #field, c->field, value }
		ROW(tls_timeout, 30000),
		ROW(login_timeout, 120000),
		ROW(idle_timeout, 300000),
		ROW(data_timeout, 180000),
		ROW(data_rate, 100),
		ROW(session_timeout, 43200000),
		ROW(auth_timeout, 30000),
		ROW(drain_timeout, 30000),
		ROW(connections, 4000),
		ROW(connections_per_network, 500),
		ROW(connections_per_account, 500),
		ROW(auth_jobs, 64),
		ROW(auth_failures, 3),
		ROW(auth_iterations, 15000),
		ROW(errors, 20),
		ROW(junk, 100),
		ROW(messages, 10000),
		ROW(line_length, 998),
		ROW(store_size, (int64_t)16 << 30),
		ROW(queued_bytes, (int64_t)2 << 30),
		ROW(uncommitted_bytes, 512 << 20),
		ROW(journal_keep, (int64_t)30 * 86400000),
		ROW(lifetime, 2 * 86400000),
		ROW(message_size, 50 << 20),
		ROW(recipients, 500),
		ROW(workers, 0),
		{ "nlisteners", (int64_t)c->nlisteners, 2 },
		{ "nretry", (int64_t)c->nretry, 5 },
		{ "limits", (int64_t)c->limits.count, 2 },
		{ "nexempt", (int64_t)c->nexempt, 0 },
		{ "port", c->listener[1].port, 465 },
		{ "address", (int64_t)c->listener[1].naddresses, 2 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].is != rows[i].want) {
			fail_msg("%s is %lld", rows[i].name, (long long)rows[i].is);
		}
	}
	assert_string_equal(c->domain, "example.org");
	assert_string_equal(c->user, "gatepost");
	assert_int_equal(c->npostmaster, 0);
	assert_int_equal(c->nmay_unlock, 0);
	assert_string_equal(c->contact, "");
	assert_string_equal(c->reply_address, "unlock+*@mail.example.org");
	assert_string_equal(c->notice_from, "postmaster@example.org");
	assert_int_equal(c->suspended_at, CONFIG_SUSPENDED_AT_MAIL);
	assert_int_equal(c->unlock_word, CONFIG_UNLOCK_WORD_OPTIONAL);
	assert_null(c->on_suspend);
	config_unref(c);
}

/* Spellings that mean the same as the text on the right, as `gatepost -n` would print it. */
static void what_is_taken(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "lifetime = 120s", "lifetime = 2m\n" },
		{ "lifetime = '36h'", "lifetime = 36h\n" },
		{ "message_size = 65536", "message_size = 64K\n" },
		{ "message_size = \"1024K\"", "message_size = 1M\n" },
		{ "message_size = 100000", "message_size = 100000\n" },
		{ "data_rate = 0", "data_rate = 0\n" },
		{ "drain_timeout = 0s", "drain_timeout = 0s\n" },
		{ "limits = {}", "limits = {}\n" },
		{ "limits = { \"10/1h\" }", "limits = { \"10/1h\" }\n" },
		{ "limits = \"10/1h\"", "limits = { \"10/1h\" }\n" },
		{ "limits = { \"10/60m\", }", "limits = { \"10/1h\" }\n" },
		{ "exempt = { \"News@Example.ORG\", '*' }",
		  "exempt = { \"news@example.org\", \"*\" }\n" },
		{ "retry = { 5s, # first\n 10s /* then */ }", "retry = { \"5s\", \"10s\" }\n" },
		{ "domain = EXAMPLE.net", "domain = \"example.net\"\n" },
		{ "data_dir = '/srv/${x}'", "data_dir = '/srv/${x}'\n" },
		{ "data_dir = \"/srv/a \\\"b\\\" \\\\c\"",
		  "data_dir = \"/srv/a \\\"b\\\" \\\\c\"\n" },
		{ "// a comment\r\n/* another * one\n */ errors=7 // and one", "errors = 7\n" },
		{ "tls { key = /k }",
		  "tls { certificate = \"/etc/gatepost/cert.pem\" key = \"/k\" }\n" },
		{ "listen x { port = 25 tls = implicit address = ::1 }",
		  "listen x { address = { \"::1\" } port = 25 tls = implicit role = "
		  "submission }\n" },
		{ "listen r { address = 127.0.0.1 port = 2525 tls = none role = reply peers = "
		  "{ 127.0.0.0/8, 192.0.2.7, ::1, 2001:DB8::/32, 0.0.0.0/0 } }",
		  "listen r { address = { \"127.0.0.1\" } port = 2525 tls = none role = reply "
		  "peers = { \"127.0.0.0/8\", \"192.0.2.7/32\", \"::1/128\", "
		  "\"2001:db8::/32\", \"0.0.0.0/0\" } }\n"
		  "listen submission { address = { \"0.0.0.0\", \"::\" } port = 587 tls = "
		  "starttls role = submission }\n"
		  "listen submissions { address = { \"0.0.0.0\", \"::\" } port = 465 tls = "
		  "implicit role = submission }\n" },
		{ "postmaster = Jane@Example.ORG", "postmaster = { \"Jane@Example.ORG\" }\n" },
		{ "may_unlock = { \"JANE@example.org\", \"*@it.example.org\" }",
		  "may_unlock = { \"jane@example.org\", \"*@it.example.org\" }\n" },
		{ "contact = 'IT desk, \"Jane\", +49 30 1234'",
		  "contact = \"IT desk, \\\"Jane\\\", +49 30 1234\"\n" },
		{ "contact = ''", "" },
		{ "reply_address = 'unlock-*@mail.example.org'",
		  "reply_address = \"unlock-*@mail.example.org\"\n" },
		{ "reply_address = '*@unlock.example.org'",
		  "reply_address = \"*@unlock.example.org\"\n" },
		{ "reply_address = 'unlock+*@mail.example.org'", "" },
		{ "notice_from = gatepost@example.org",
		  "notice_from = \"gatepost@example.org\"\n" },
		{ "suspended_at = auth unlock_word = required on_suspend = /bin/true",
		  "suspended_at = auth\nunlock_word = required\non_suspend = \"/bin/true\"\n" },
		{ "smarthost b { address = mx.example.net tls = must port = 26 mails = 1 }",
		  "smarthost b { address = \"mx.example.net\" port = 26 tls = must connections "
		  "= 16 "
		  "mails = 1 }\n" },
		{ "workers = 0", "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[1024], want[1024];
		static const char mta[] =
		    "smarthost mta { address = \"127.0.0.1\" port = 25 tls = may "
		    "connections = 16 mails = 100 }\n";
		snprintf(text, sizeof text, HEAD "%s", rows[i][0]);
		struct config *config = must_load(text);
		char *is = printed(config, NULL);
		bool last = strncmp(rows[i][1], "smarthost", 9) == 0;
		snprintf(want, sizeof want, "hostname = \"mail.example.org\"\n%s%s%s",
		         last ? "" : rows[i][1], mta, last ? rows[i][1] : "");
		assert_string_equal(is, want);
		/* And it reads back as the same. */
		struct config *again = must_load(is);
		char *twice = printed(again, NULL);
		char keys[128];
		assert_string_equal(is, twice);
		assert_false(config_needs_restart(config, again, keys, sizeof keys));
		assert_string_equal(keys, "");
		config_unref(config);
		config_unref(again);
		free(is);
		free(twice);
	}
}

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
		  "root, with a / in front" },
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

static void who_is_a_peer(void **state)
{
	(void)state;
#define V4(a, b, c, d) \
	{ \
		[10] = 0xff, [11] = 0xff, a, b, c, d \
	}
	static const struct {
		const char *peers;
		unsigned char address[16];
		bool is;
	} rows[] = {
		{ "127.0.0.1", V4(127, 0, 0, 1), true },
		{ "127.0.0.1", V4(127, 0, 0, 2), false },
		{ "::1", V4(0, 0, 0, 1), false },
		{ "::1", { [15] = 1 }, true },
		{ "10.0.0.0/9", V4(10, 127, 1, 2), true },
		{ "10.0.0.0/9", V4(10, 128, 1, 2), false },
		{ "192.0.2.0/31, 10.0.0.0/8", V4(10, 128, 1, 2), true },
		{ "192.0.2.0/31, 10.0.0.0/8", V4(192, 0, 2, 2), false },
		{ "0.0.0.0/0", V4(192, 0, 2, 2), true },
		{ "0.0.0.0/0", { [15] = 1 }, false },
		{ "::/0", { [15] = 1 }, true },
		{ "2001:db8::/33", { 0x20, 0x01, 0x0d, 0xb8, 0x7f }, true },
		{ "2001:db8::/33", { 0x20, 0x01, 0x0d, 0xb8, 0x80 }, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[256];
		snprintf(text, sizeof text,
		         HEAD "listen r { port = 1 tls = none role = reply peers = { %s } }",
		         rows[i].peers);
		struct config *config = must_load(text);
		assert_int_equal(config_is_peer(&config->listener[0], rows[i].address),
		                 rows[i].is);
		assert_false(config_is_peer(&config->listener[1], rows[i].address));
		config_unref(config);
	}
}

/* The keys of the warnings. */
static void what_is_warned_of(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "", "postmaster " },
		{ "may_unlock = abuse@example.org", "postmaster " },
		{ "postmaster = Postmaster@example.org", "may_unlock " },
		{ "postmaster = root@b may_unlock = { admin@b, helpdesk@b }", "may_unlock " },
		{ "postmaster = root@b may_unlock = { admin@b, jane@b }", "" },
		{ "postmaster = root@b may_unlock = '*@it.example.org'", "" },
		{ "postmaster = jane@b", "" },
		{ "postmaster = jane@b may_unlock = { a@b, 'x*' }", "may_unlock " },
		{ "may_unlock = '*'", "postmaster may_unlock " },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[256], keys[64] = "";
		snprintf(text, sizeof text, HEAD "%s", rows[i][0]);
		struct config *config = must_load(text);
		for (size_t n = 0; config_warning(config, n, text, sizeof text); n++) {
			size_t len = strlen(keys);
			snprintf(keys + len, sizeof keys - len, "%.*s ",
			         (int)strcspn(text, ":"), text);
			assert_null(strchr(text, '\n'));
			assert_true(strlen(text) > 40);
		}
		assert_string_equal(keys, rows[i][1]);
		config_unref(config);
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

static void what_needs_a_restart(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "", "" },
		{ "errors = 5 limits = {} domain = b.c", "" },
		{ "workers = 2", "workers" },
		{ "user = mail control = /c data_dir = /d", "data_dir, control, user" },
		{ "tls { key = /k }", "" },
		{ "smarthost b { address = b }", "" },
		{ "user = x listen a { port = 1 tls = implicit }", "listen, user" },
	};
	struct config *old = must_load(HEAD);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[256], keys[64];
		snprintf(text, sizeof text, HEAD "%s", rows[i][0]);
		struct config *new = must_load(text);
		assert_int_equal(config_needs_restart(old, new, keys, sizeof keys),
		                 rows[i][1][0] != '\0');
		assert_string_equal(keys, rows[i][1]);
		config_unref(new);
	}
	config_unref(old);
}

static void references(void **state)
{
	(void)state;
	struct config *config = must_load(HEAD);
	assert_ptr_equal(config_ref(config), config);
	config_unref(config);
	assert_string_equal(config->hostname, "mail.example.org");
	config_unref(config);
	config_unref(NULL);
}

/* Every text of one changed byte, and every beginning: read or refused with a line, and nothing
 * else (TESTS OP02). */
static void mutations(void **state)
{
	(void)state;
	static const char bytes[] = "\0\n\"'{}=,#*+$\\/ ~0z\377";
	char text[sizeof issue];
	size_t tried = 0;
	for (size_t at = 0; at < sizeof issue - 1; at += 3) {
		memcpy(text, issue, sizeof issue);
		text[at] = bytes[tried % (sizeof bytes - 1)];
		for (size_t cut = 0; cut < 2; cut++, tried++) {
			struct error error = { "" };
			write_text(text, cut ? at : sizeof issue - 1);
			struct config *config = config_load(path, &error);
			assert_int_equal(config == NULL, error.text[0] != '\0');
			assert_null(strchr(error.text, '\n'));
			assert_true(config || strncmp(error.text, path, strlen(path)) == 0);
			config_unref(config);
		}
	}
	config_unref(must_load(issue));
}

/* ---- texts made from the table ---- */

static char *read_source(const char *name)
{
	const char *root = getenv("GATEPOST_SOURCE");
	char file[1024];
	snprintf(file, sizeof file, "%s/%s", root ? root : ".", name);
	char *text = calloc(1, 1 << 20);
	FILE *in = fopen(file, "r");
	if (!in || !text) {
		fail_msg("%s: can not be read", file);
	}
	assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
	fclose(in);
	return text;
}

/* A stale text is written beside the test: to be put into its place. */
static void assert_up_to_date(const char *name, const char *is, const char *want)
{
	if (!strstr(is, want)) {
		FILE *out = fopen("config_text.new", "w");
		if (out) {
			fputs(want, out);
			fclose(out);
		}
		fail_msg("%s is not what the table says: see config_text.new", name);
	}
}

static void the_sample(void **state)
{
	(void)state;
	char *sample = read_source("etc/gatepost.conf.sample"),
	     *made = printed(NULL, config_print_sample);
	assert_up_to_date("etc/gatepost.conf.sample", sample, made);
	assert_int_equal(strlen(sample), strlen(made));
	config_unref(must_load(sample));
	/* With its comments taken away the defaults load, too, and change nothing. */
	struct config *plain = must_load(sample);
	for (char *line = sample; line; line = strchr(line + 1, '\n')) {
		char *hash = line[0] == '\n' ? line + 1 : line;
		if (hash[0] == '#' && hash[1] != ' ') {
			hash[0] = ' ';
		}
	}
	struct config *full = must_load(sample);
	char *a = printed(plain, NULL), *b = printed(full, NULL);
	assert_string_equal(a, b);
	config_unref(plain);
	config_unref(full);
	free(a);
	free(b);
	free(sample);
	free(made);
}

static void the_manual(void **state)
{
	(void)state;
	char *page = read_source("etc/man/gatepost.conf.5.scd"),
	     *made = printed(NULL, config_print_manual);
	assert_up_to_date("etc/man/gatepost.conf.5.scd", page, made);
	for (size_t i = 0; i < config_nrows; i++) {
		const char *start = made;
		if (config_rows[i].block != CONFIG_TOP) {
			char heading[64];
			snprintf(heading, sizeof heading, "## %s ",
			         config_blocks[config_rows[i].block].name);
			start = strstr(made, heading);
			assert_non_null(start);
		}
		char entry[64], *to = entry;
		*to++ = '*';
		for (const char *c = config_rows[i].name; *c; c++) {
			if (*c == '_') {
				*to++ = '\\';
			}
			*to++ = *c;
		}
		memcpy(to, "* = _", sizeof "* = _");
		if (!strstr(start, entry)) {
			fail_msg("%s is not documented", entry);
		}
	}
	free(page);
	free(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_public_file),
		cmocka_unit_test(the_defaults),
		cmocka_unit_test(what_is_taken),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(limits_that_are_none),
		cmocka_unit_test(blocks_have_an_end),
		cmocka_unit_test(reply_addresses_that_are_none),
		cmocka_unit_test(networks_that_are_none),
		cmocka_unit_test(who_is_a_peer),
		cmocka_unit_test(what_is_warned_of),
		cmocka_unit_test(files_that_are_none),
		cmocka_unit_test(what_needs_a_restart),
		cmocka_unit_test(references),
		cmocka_unit_test(mutations),
		cmocka_unit_test(the_sample),
		cmocka_unit_test(the_manual),
	};
	return cmocka_run_group_tests(tests, make_path, remove_path);
}
