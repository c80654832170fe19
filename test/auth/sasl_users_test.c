/* Users in sasldb and in SQL (SQLite), by the plugins of Cyrus itself. */
#include "test/auth/sasl_site.h"

#include "test/auth/sasl_client.h"

#include "auth/apppass.h"

#include <sys/stat.h>

#define ALL "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS"

#define SELECT "SELECT password FROM users WHERE name = '%u' AND realm = '%r'"

static char sasldb[128], sqlite[128];
static char app_secret[APPPASS_SECRET_MAX + 1];

static struct backend_rules rules[2];

static void run(const char *command)
{
	if (system(command) != 0) {
		fail_msg("%s", command);
	}
}

static void sql(const char *statement)
{
	char command[512];
	snprintf(command, sizeof command, "sqlite3 %s \"%s\"", sqlite, statement);
	run(command);
}

static void saslpasswd(const char *realm, const char *user, const char *password)
{
	char command[512];
	snprintf(command, sizeof command,
	         "printf %%s '%s' | env -u SASL_PATH -u SASL_CONF_PATH PATH=$PATH:/usr/sbin "
	         "saslpasswd2 -p -c -f %s -u %s %s "
	         "2>/dev/null",
	         password, sasldb, realm, user);
	run(command);
}

static void add_app_password(void)
{
	struct apppass apppass = { .name = SPAN_LIT("scanner") };
	struct buf secret = { .cap = APPPASS_SECRET_MAX };
	bool full = true;
	struct store_txn *txn = store_begin_write(store, NULL);
	assert_int_equal(apppass_add(txn, SPAN_LIT(ALICE), &apppass, &secret, &full), STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	snprintf(app_secret, sizeof app_secret, "%.*s", SPAN_ARG(buf_span(&secret)));
	buf_done(&secret);
}

/* The store has alice too, with a password that must be worth nothing here. */
static int open_all(void **state)
{
	if (open_site_store(state) != 0 || open_client(state) != 0) {
		return -1;
	}
	set_password(ALICE, "of the store", ITERATIONS);
	add_app_password();
	snprintf(sasldb, sizeof sasldb, "%s/sasldb2", dir);
	snprintf(sqlite, sizeof sqlite, "%s/users.sqlite", dir);
	saslpasswd("example.org", "alice", "correct horse");
	saslpasswd("example.org", "bob", "battery staple");
	saslpasswd("example.net", "alice", "another alice");
	sql("CREATE TABLE users (name TEXT, realm TEXT, password TEXT);"
	    "INSERT INTO users VALUES ('alice', 'example.org', 'correct horse'),"
	    "('bob', 'example.org', 'battery staple'),"
	    "('alice', 'example.net', 'another alice');");
	rules[0] = (struct backend_rules){ .kind = BACKEND_SASLDB, .sasldb = sasldb };
	rules[1] = (struct backend_rules){
		.kind = BACKEND_SQL,
		.sql = { .engine = "sqlite3", .database = sqlite, .select = SELECT },
	};
	return 0;
}

static int close_all(void **state)
{
	return close_client(state) | close_site_store(state);
}

static int shut(void **state)
{
	(void)state;
	sasl_close(); /* once more does no harm */
	return 0;
}

static void passwords(void **state)
{
	(void)state;
	static const struct script rows[] = {
		PLAIN_ALICE("full name", "\0" ALICE "\0correct horse"),
		PLAIN_ALICE("in short", "\0alice\0correct horse"),
		PLAIN_ALICE("any case", "\0ALICE@Example.ORG\0correct horse"),
		PLAIN_ALICE("blanks", "\0 alice \0correct horse"),
		PLAIN_ALICE("itself", "alice\0" ALICE "\0correct horse"),
		PLAIN("another", "bob\0alice\0correct horse", REFUSED),
		PLAIN_GOOD("another realm", "\0alice@example.net\0another alice",
		           "alice@example.net"),
		PLAIN("the other's password", "\0alice@example.net\0correct horse", REFUSED),
		PLAIN("wrong", "\0alice\0correct horsf", REFUSED),
		PLAIN("of the store", "\0alice\0of the store", REFUSED),
		PLAIN("empty", "\0alice\0", REFUSED),
		PLAIN("unknown", "\0eve\0correct horse", REFUSED),
		PLAIN("no name", "\0@\0correct horse", REFUSED),
		PLAIN("no name", "\0a\nb\0correct horse", REFUSED),
		LOGIN("LOGIN", "alice", "correct horse", GOOD, ALICE),
		LOGIN("LOGIN, wrong", "alice", "x", REFUSED, NULL),
		LOGIN("a NUL ends no password", "alice", "correct horse\0", REFUSED, NULL),
		LOGIN("a NUL ends no password", "alice", "correct horse\0x", REFUSED, NULL),
	};
	for (size_t i = 0; i < COUNT(rules); i++) {
		open_or_fail(ALL, &rules[i]);
		play_rows(rows, COUNT(rows));
		sasl_close();
	}
}

/* SQL that comes as a name. The plugin writes \' for ', which ends a text of SQLite: the first
 * two of these are good logins where such a name is let through. */
static void names_are_no_sql(void **state)
{
	(void)state;
	static const struct script rows[] = {
		PLAIN("any password",
		      "\0'union/**/select/**/123--\0"
		      "123",
		      REFUSED),
		PLAIN("somebody's", "\0'or/**/1=1--\0correct horse", REFUSED),
		PLAIN("blanks", "\0' OR 1=1 --\0correct horse", REFUSED),
		PLAIN("double quotes", "\0\"or/**/1=1--\0correct horse", REFUSED),
		PLAIN("backslash", "\0\\\0correct horse", REFUSED),
		PLAIN("percent", "\0%u\0correct horse", REFUSED),
		LOGIN("LOGIN", "'union/**/select/**/123--", "123", REFUSED, NULL),
	};
	open_or_fail(ALL, &rules[1]);
	play_rows(rows, COUNT(rows));
	struct exchange x = scram("'union/**/select/**/123--", "", "123");
	assert_int_equal(x.status, SASL_REFUSED);
}

static void scram_logins(void **state)
{
	(void)state;
	static const struct {
		const char *user, *password;
		enum sasl_status status;
		const char *account;
	} rows[] = {
		{ "alice", "correct horse", SASL_GOOD, ALICE },
		{ "ALICE@example.org", "correct horse", SASL_GOOD, ALICE },
		{ "alice@example.net", "another alice", SASL_GOOD, "alice@example.net" },
		{ "alice", "x", SASL_REFUSED, "" },
		{ "alice", "of the store", SASL_REFUSED, "" },
		{ "eve", "x", SASL_REFUSED, "" },
	};
	for (size_t i = 0; i < COUNT(rules) * COUNT(rows); i++) {
		const size_t r = i % COUNT(rows);
		if (r == 0) {
			sasl_close();
			open_or_fail(ALL, &rules[i / COUNT(rows)]);
		}
		struct exchange x = scram_by(r % 2 ? "SCRAM-SHA-1" : "SCRAM-SHA-256",
		                             rows[r].user, "", rows[r].password);
		if (x.status != rows[r].status || strcmp(x.account, rows[r].account) != 0) {
			fail_msg("row %zu: %d, %s", i, x.status, x.account);
		}
	}
}

static void scram_does_not_tell_who_exists(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++) {
		open_or_fail(ALL, &rules[i]);
		struct exchange wrong = scram(ALICE, "", "x");
		struct exchange unknown = scram("eve@example.org", "", "x");
		struct exchange again = scram("eve@example.org", "", "y");
		assert_int_equal(wrong.rounds, unknown.rounds);
		assert_int_equal(wrong.status, unknown.status);
		assert_int_equal(strlen(wrong.challenge), strlen(unknown.challenge));
		assert_string_equal(salt_of(&unknown), salt_of(&again));
		assert_string_equal(strstr(wrong.challenge, ",i="),
		                    strstr(unknown.challenge, ",i="));
		sasl_close();
	}
}

/* It comes first: without users at all it is good. */
static void app_passwords(void **state)
{
	(void)state;
	const struct sasl_peer peer = a_peer(TLS_BITS);
	struct sasl_attempt *attempt = NULL;
	struct backend_rules nowhere[] = { rules[0], rules[1] };
	nowhere[0].sasldb = "/nonexistent";
	nowhere[1].sql.database = "/nonexistent";
	for (size_t i = 0; i < COUNT(nowhere); i++) {
		open_or_fail(ALL, &nowhere[i]);
		assert_int_equal(plain_from(&peer, "alice", app_secret, &attempt), SASL_GOOD);
		assert_true(span_eq(sasl_attempt_apppass(attempt), SPAN_LIT("scanner")));
		sasl_attempt_free(attempt);
		assert_int_equal(plain("bob", app_secret), SASL_REFUSED);
		sasl_close();
	}
}

/* The sql plugin forgets a connection that failed, and what it was made of. */
__attribute__((weak)) void __lsan_disable(void);
__attribute__((weak)) void __lsan_enable(void);

static void leaks_are_cyrus_own(bool begin)
{
	void (*tell)(void) = begin ? __lsan_disable : __lsan_enable;
	if (tell) {
		tell();
	}
}

/* Nobody is refused because his users are not to be had: 454. */
static void users_that_can_not_be_read(void **state)
{
	(void)state;
	char junk[160], empty[160];
	snprintf(junk, sizeof junk, "%s/junk", dir);
	snprintf(empty, sizeof empty, "%s/empty", dir);
	FILE *file = fopen(junk, "w");
	assert_non_null(file);
	fputs("this is no database, and long enough to be taken for the header of one\n", file);
	fclose(file);
	file = fopen(empty, "w"); /* to SQLite a database without tables */
	assert_non_null(file);
	fclose(file);
	const struct backend_rules broken[] = {
		{ .kind = BACKEND_SASLDB, .sasldb = "/nonexistent" },
		{ .kind = BACKEND_SASLDB, .sasldb = junk },
		{ .kind = BACKEND_SQL, .sql = { "sqlite3", "/nonexistent", .select = SELECT } },
		{ .kind = BACKEND_SQL, .sql = { "sqlite3", junk, .select = SELECT } },
		{ .kind = BACKEND_SQL, .sql = { "sqlite3", empty, .select = SELECT } },
		{ .kind = BACKEND_SQL,
		  .sql = { "sqlite3", sqlite,
		           .select = "SELECT password FROM none WHERE name = '%u'" } },
		{ .kind = BACKEND_SQL,
		  .sql = { "mysql", "x", .host = "127.0.0.1:1", .select = SELECT } },
		{ .kind = BACKEND_SQL,
		  .sql = { "pgsql", "x", .host = "127.0.0.1:1", .select = SELECT } },
	};
	for (size_t i = 0; i < COUNT(broken); i++) {
		leaks_are_cyrus_own(true);
		open_or_fail(ALL, &broken[i]);
		struct exchange x = scram(ALICE, "", "correct horse");
		enum sasl_status status = plain("alice", "correct horse");
		if (status != SASL_UNAVAILABLE || x.status != SASL_UNAVAILABLE) {
			fail_msg("row %zu: PLAIN %d, SCRAM %d", i, status, x.status);
		}
		assert_int_equal(access("/nonexistent", F_OK), -1);
		sasl_close();
		leaks_are_cyrus_own(false);
	}
}

/* It is left alone for five seconds: an attempt at it costs time and memory. */
static void a_database_that_is_down_is_left_alone(void **state)
{
	(void)state;
	static const struct {
		int64_t now;
		bool asked;
	} rows[] = { { 1000, true },
		     { 1000, false },
		     { 5999, false },
		     { 6000, true },
		     { 10999, false } };
	const struct backend_rules down = {
		.kind = BACKEND_SQL,
		.sql = { "pgsql", "x", .host = "127.0.0.1:1", .select = SELECT },
	};
	leaks_are_cyrus_own(true);
	open_or_fail(ALL, &down);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl_peer peer = a_peer(TLS_BITS);
		struct sasl_attempt *attempt = NULL;
		peer.now = rows[i].now;
		assert_int_equal(plain_from(&peer, "alice", "correct horse", &attempt),
		                 SASL_UNAVAILABLE);
		bool asked = !strstr(sasl_attempt_reason(attempt), "lately");
		assert_int_equal(asked, rows[i].asked);
		sasl_attempt_free(attempt);
	}
	sasl_close();
	leaks_are_cyrus_own(false);
}

/* SELECT %p: the column of a property that only Cyrus has heard of is not there, and no
 * failure. */
static void a_query_by_property(void **state)
{
	(void)state;
	struct backend_rules by_property = rules[1];
	by_property.sql.select = "SELECT %p FROM people WHERE name = '%u@%r'";
	sql("CREATE TABLE people (name TEXT, userPassword TEXT);"
	    "INSERT INTO people VALUES ('alice@example.org', 'correct horse')");
	open_or_fail(ALL, &by_property);
	assert_int_equal(plain("alice", "correct horse"), SASL_GOOD);
	assert_int_equal(plain("alice", "x"), SASL_REFUSED);
	assert_int_equal(plain("eve", "x"), SASL_REFUSED);
	assert_int_equal(scram("alice", "", "correct horse").status, SASL_GOOD);
	assert_int_equal(scram("alice", "", "x").status, SASL_REFUSED);
	assert_int_equal(scram("eve", "", "x").status, SASL_REFUSED);
}

static void refuses_what_cyrus_has_not(void **state)
{
	(void)state;
	static const struct backend_rules rows[] = {
		{ .kind = BACKEND_SQL, .sql = { "oracle", "x", .select = SELECT } },
		{ .kind = BACKEND_SQL, .sql = { "sqlite3", "x" } },
		/* one password for all; and Cyrus reads before the beginning of its memory */
		{ .kind = BACKEND_SQL,
		  .sql = { "sqlite3", "x", .select = "SELECT password FROM users" } },
		{ .kind = BACKEND_SQL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		assert_false(open_on("PLAIN", &rows[i], NULL, &error));
		assert_non_null(strstr(error.text, "auth = sql"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(passwords, shut),
		cmocka_unit_test_teardown(names_are_no_sql, shut),
		cmocka_unit_test_teardown(scram_logins, shut),
		cmocka_unit_test_teardown(scram_does_not_tell_who_exists, shut),
		cmocka_unit_test_teardown(app_passwords, shut),
		cmocka_unit_test_teardown(users_that_can_not_be_read, shut),
		cmocka_unit_test_teardown(a_database_that_is_down_is_left_alone, shut),
		cmocka_unit_test_teardown(a_query_by_property, shut),
		cmocka_unit_test_teardown(refuses_what_cyrus_has_not, shut),
	};
	return cmocka_run_group_tests_name("sasl_users", tests, open_all, close_all);
}
