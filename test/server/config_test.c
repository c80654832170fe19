#include "server/config_table.h"
#include "test/server/config_help.h"

#include <sys/stat.h>

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
	assert_int_equal(c->on_suspend.narguments, 0);
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
		ROW(hook_timeout, 60000),
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
	assert_int_equal(c->on_suspend.narguments, 0);
	assert_int_equal(c->on_unlock.narguments, 0);
	assert_null(c->hook_key);
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
		  "peers = { \"127.0.0.0/8\", \"192.0.2.7\", \"::1\", "
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
		  "suspended_at = auth\nunlock_word = required\non_suspend = { \"/bin/true\" "
		  "}\n" },
		{ "on_unlock = { /bin/sh, '-c', \"exit 1 # x\", '$HOME', '' } hook_timeout = "
		  "90s",
		  "on_unlock = { \"/bin/sh\", \"-c\", \"exit 1 # x\", '$HOME', \"\" }\n"
		  "hook_timeout = 90s\n" },
		{ "smarthost b { address = mx.example.net tls = must port = 26 mails = 1 }",
		  "smarthost b { address = \"mx.example.net\" port = 26 tls = must connections "
		  "= 16 "
		  "mails = 1 }\n" },
		{ "list a@x.org { members_file = /dev/null }\n"
		  "list 'b+c@x.org' { members_file = /dev/../dev/null }",
		  "list \"a@x.org\" { members_file = \"/dev/null\" }\n"
		  "list \"b+c@x.org\" { members_file = \"/dev/../dev/null\" }\n" },
		{ "fold_details = yes list_files = { /dev/null, '/dev/./null' }",
		  "list_files = { \"/dev/null\", \"/dev/./null\" }\nfold_details = yes\n" },
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
		bool last = strncmp(rows[i][1], "smarthost", 9) == 0 ||
		            strncmp(rows[i][1], "list ", 5) == 0;
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

static void who_is_told(void **state)
{
	(void)state;
	char key[] = "/tmp/gatepost-hook-key-XXXXXX", text[500];
	int fd = mkstemp(key);
	assert_int_equal(write(fd, "the key\nnot\n", 12), 12);
	snprintf(text, sizeof text,
	         HEAD "on_suspend = 'https://example.org/?a=b' on_unlock = { /bin/sh, -c } "
	              "hook_key_file = %s",
	         key);
	struct config *c = must_load(text);
	assert_true(c->on_suspend.is_post);
	assert_int_equal(c->on_suspend.narguments, 1);
	assert_string_equal(c->on_suspend.argument[0].ptr, "https://example.org/?a=b");
	assert_false(c->on_unlock.is_post);
	assert_int_equal(c->on_unlock.narguments, 2);
	assert_string_equal(c->on_unlock.argument[1].ptr, "-c");
	assert_string_equal(c->hook_key, "the key");
	config_unref(c);
	struct error error;
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_null(load_text(text, &error));
	assert_non_null(strstr(error.text, ":3: hook_key_file: \"/tmp/"));
	assert_non_null(strstr(error.text, "anybody may read it"));
	close(fd);
	unlink(key);
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
		const struct config_listener *listener = config->listener;
		assert_int_equal(
		    network_any_contains(listener->peers, listener->npeers, rows[i].address),
		    rows[i].is);
		assert_int_equal(listener[1].npeers, 0);
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

static void what_needs_a_restart(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "", "" },
		{ "errors = 5 limits = {} login_map = /dev/null enrol = open", "" },
		{ "domain = b.c mechanisms = PLAIN", "domain, mechanisms" },
		{ "auth = dovecot auth_socket = /s auth_timeout = 9s",
		  "auth, auth_socket, auth_timeout" },
		{ "sql_password_file = /etc/debian_version ldap_password_file = "
		  "/etc/debian_version "
		  "oauth_secret_file = /etc/debian_version",
		  "sql_password_file, ldap_password_file, oauth_secret_file" },
		{ "auth_realms = yes", "auth_realms" },
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

static void external_sessions_end(void **state)
{
	(void)state;
	const int64_t hour = 3600 * (int64_t)1000;
	assert_false(config_external_is_over(0, 0));
	assert_false(config_external_is_over(hour - 1, 99));
	assert_true(config_external_is_over(hour, 0));
	assert_true(config_external_is_over(0, 100));
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
		cmocka_unit_test(the_public_file),      cmocka_unit_test(the_defaults),
		cmocka_unit_test(what_is_taken),        cmocka_unit_test(who_is_told),
		cmocka_unit_test(who_is_a_peer),        cmocka_unit_test(what_is_warned_of),
		cmocka_unit_test(what_needs_a_restart), cmocka_unit_test(external_sessions_end),
		cmocka_unit_test(references),           cmocka_unit_test(mutations),
		cmocka_unit_test(the_sample),           cmocka_unit_test(the_manual),
	};
	return cmocka_run_group_tests(tests, make_path, remove_path);
}
