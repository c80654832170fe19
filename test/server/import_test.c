#include "server/import.h"

#include "server/import_sasldb.h"

#include <db.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define SALT   "QSXCR+Q6sek8bf92"
#define KEY_20 "6dlGYMOdZcOPutkcNY8U2g7vK9Y="
#define KEY_32 "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
/* Of "sesame". */
#define SHA512 \
	"$6$saltsalt$g3uPFdehVnKoLXdidvSAg1zlVgYomPr0X/xgdXSBn2LuxZUOGgYW4IULZkguZ77fzYteIur" \
	"49AGHmF9iek6Sf1"
#define BCRYPT   "$2y$05$abcdefghijklmnopqrstuuKcS.CYWVYVaLiiCKrrc0A5s3mGesJ9O"
#define YESCRYPT "$y$j9T$abcdefghijklmnopqrstu/$LRPsrt5c8YpI715eIA8Z7glh/crrcB.YEVBm6taXtwD"
#define WEAK     "a hash that is guessed too easily: it needs a new password"
#define UNKNOWN  "a kind of secret that is not known"

struct row {
	const char *line;
	const char *name;
	const char *secret;   /* as stored, or NULL */
	const char *password; /* in clear, or NULL */
	const char *reason;
};

static void check(enum import_format format, const struct row *row)
{
	struct import_record record = { .reason = NULL };
	assert_true(import_line(format, span_str(row->line), &record));
	bool same = span_eq(record.name, span_str(row->name)) &&
	            span_eq(record.password, span_str(row->password)) &&
	            (record.reason == NULL) == (row->reason == NULL) &&
	            (!row->reason || strcmp(record.reason, row->reason) == 0) &&
	            (row->reason || span_eq(buf_span(&record.secret), span_str(row->secret)));
	if (!same) {
		fail_msg("%s: name %.*s, password %.*s, secret %.*s, %s", row->line,
		         SPAN_ARG(record.name), SPAN_ARG(record.password),
		         SPAN_ARG(buf_span(&record.secret)),
		         record.reason ? record.reason : "no reason");
	}
	import_done(&record);
}

static void passwd_file(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "alice:{PLAIN}secret", "alice", NULL, "secret", NULL },
		{ "alice:{plain}secret:1000:1000::/home/alice::", "alice", NULL, "secret",
		  NULL },
		{ "alice@example.org:{CLEARTEXT}a b{c}:::", "alice@example.org", NULL, "a b{c}",
		  NULL },
		{ "alice:{CLEAR}secret\r", "alice", NULL, "secret", NULL },
		{ "alice:{SHA512-CRYPT}" SHA512, "alice", "{CRYPT}" SHA512, NULL, NULL },
		{ "alice:{CRYPT}" SHA512 ":1000:", "alice", "{CRYPT}" SHA512, NULL, NULL },
		{ "alice:" SHA512, "alice", "{CRYPT}" SHA512, NULL, NULL },
		{ "alice:{BLF-CRYPT}" BCRYPT ":::", "alice", "{CRYPT}" BCRYPT, NULL, NULL },
		{ "alice:{CRYPT}" YESCRYPT, "alice", "{CRYPT}" YESCRYPT, NULL, NULL },
		{ "alice:{SCRAM-SHA-1}4096," SALT "," KEY_20 "," KEY_20 ":::", "alice",
		  "SCRAM-SHA-1$4096:" SALT "$" KEY_20 ":" KEY_20, NULL, NULL },
		{ "alice:{SCRAM-SHA-256}10000," SALT "," KEY_32 "," KEY_32, "alice",
		  "SCRAM-SHA-256$10000:" SALT "$" KEY_32 ":" KEY_32, NULL, NULL },
		/* left behind */
		{ "alice:{SCRAM-SHA-256}4096," SALT "," KEY_20 "," KEY_32, "alice", NULL, NULL,
		  "a verifier that makes no sense" },
		{ "alice:{SCRAM-SHA-256}4096," SALT "," KEY_32, "alice", NULL, NULL,
		  "a verifier that makes no sense" },
		{ "alice:{SCRAM-SHA-256}4096,," KEY_32 "," KEY_32, "alice", NULL, NULL,
		  "a verifier that makes no sense" },
		{ "alice:{SCRAM-SHA-256}4096," SALT "," KEY_32 "," KEY_32 " x", "alice", NULL,
		  NULL, "a verifier that makes no sense" },
		{ "alice:{SCRAM-SHA-256}100," SALT "," KEY_32 "," KEY_32, "alice", NULL, NULL,
		  "a count of iterations that is not ours" },
		{ "alice:{SCRAM-SHA-256}99999999," SALT "," KEY_32 "," KEY_32, "alice", NULL,
		  NULL, "a count of iterations that is not ours" },
		{ "alice:{SCRAM-SHA-256}", "alice", NULL, NULL, "no password" },
		{ "alice:{PLAIN}", "alice", NULL, NULL, "no password" },
		{ "alice::1000:", "alice", NULL, NULL, "no password" },
		{ "alice:", "alice", NULL, NULL, "no password" },
		{ "alice:{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "alice", NULL, NULL, WEAK },
		{ "alice:{sha1}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "alice", NULL, NULL, WEAK },
		{ "alice:{MD5-CRYPT}$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", "alice", NULL, NULL,
		  WEAK },
		{ "alice:{CRYPT}$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", "alice", NULL, NULL,
		  WEAK },
		{ "alice:{CRYPT}aajfMKNH1hTm2", "alice", NULL, NULL, WEAK },
		{ "alice:{CRAM-MD5}9186d855e11eba527a7a52748f9d8cb2", "alice", NULL, NULL,
		  WEAK },
		{ "alice:{ARGON2ID}$argon2id$v=19$m=65536$x", "alice", NULL, NULL, UNKNOWN },
		{ "alice:{PLAIN.b64}c2VjcmV0", "alice", NULL, NULL, UNKNOWN },
		{ "alice:{PLAIN", "alice", NULL, NULL, "no password" },
		{ "alice:secret", "alice", NULL, NULL, UNKNOWN },
		{ "secret", "", NULL, NULL, "not a line of this kind of file" },
		{ ":{PLAIN}secret", "", NULL, "secret",
		  NULL }, /* no name: seen by the caller */
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		check(IMPORT_PASSWD_FILE, &rows[i]);
	}
}

static void shadow(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "alice:" SHA512 ":19000:0:99999:7:::", "alice", "{CRYPT}" SHA512, NULL,
		  NULL },
		{ "alice:" YESCRYPT ":19000:0:99999:7:::", "alice", "{CRYPT}" YESCRYPT, NULL,
		  NULL },
		{ "alice:" BCRYPT, "alice", "{CRYPT}" BCRYPT, NULL, NULL },
		{ "alice:!" SHA512 ":19000:0:99999:7:::", "alice", NULL, NULL, "locked" },
		{ "alice:!:19000:::::", "alice", NULL, NULL, "locked" },
		{ "alice:!!:19000:::::", "alice", NULL, NULL, "locked" },
		{ "daemon:*:19000:0:99999:7:::", "daemon", NULL, NULL, "no login by password" },
		{ "alice::19000:0:99999:7:::", "alice", NULL, NULL, "no password" },
		{ "alice:x:1000:1000::/home/alice:/bin/sh", "alice", NULL, NULL,
		  "its hash is in another file" },
		{ "alice:$1$abcdefgh$irWbblnpmw.5z7wgBnprh0:1:::::", "alice", NULL, NULL,
		  WEAK },
		{ "alice:aajfMKNH1hTm2:1:::::", "alice", NULL, NULL, WEAK },
		{ "alice:_J9..rasmBYk8r9AiWNc:1:::::", "alice", NULL, NULL, WEAK },
		{ "alice:$sha1$40000$x$y:1:::::", "alice", NULL, NULL, WEAK },
		/* A password is none here: nobody's shadow says {PLAIN}. */
		{ "alice:{PLAIN}secret:1:::::", "alice", NULL, NULL, UNKNOWN },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		check(IMPORT_SHADOW, &rows[i]);
	}
}

static void what_is_no_record(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"", "\r", "   ", "\t", "# alice:{PLAIN}x", "  # x"
	};
	struct import_record record = { .reason = NULL };
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_false(import_line(IMPORT_PASSWD_FILE, span_str(rows[i]), &record));
		assert_int_equal(record.secret.len, 0);
	}
	import_done(&record);
}

/* Bytes from anywhere: cut, doubled, long, with a NUL. */
static void hostile_lines(void **state)
{
	(void)state;
	static const char whole[] = "alice:{SCRAM-SHA-256}4096," SALT "," KEY_32 "," KEY_32
				    ":::";
	struct import_record record = { .reason = NULL };
	char line[IMPORT_LINE_MAX + 2];
	for (size_t n = 0; n < sizeof whole; n++) {
		for (int c = 0; c < 256; c += 5) {
			memcpy(line, whole, sizeof whole);
			line[n] = (char)c;
			import_line(IMPORT_PASSWD_FILE, span_of(line, sizeof whole - 1),
			            &record);
			assert_true(!import_line(IMPORT_SHADOW, span_of(line, n), &record) ||
			            record.reason);
		}
	}
	memset(line, 'a', sizeof line);
	memcpy(line, "alice:{PLAIN}", 13);
	assert_true(import_line(IMPORT_PASSWD_FILE, span_of(line, sizeof line), &record));
	assert_string_equal(record.reason, "a line that is too long");
	assert_true(import_line(IMPORT_PASSWD_FILE, span_of(line, 13 + 1024), &record));
	assert_null(record.reason);
	assert_true(import_line(IMPORT_PASSWD_FILE, span_of(line, 13 + 1025), &record));
	assert_string_equal(record.reason, "a password that is too long");
	assert_true(
	    import_line(IMPORT_PASSWD_FILE, SPAN_LIT("alice:{PLAIN}se\0cret"), &record));
	assert_string_equal(record.reason, "not a line of this kind of file");
	memcpy(line, "alice:{CRYPT}$6$", 16);
	assert_true(import_line(IMPORT_PASSWD_FILE, span_of(line, 1000), &record));
	assert_non_null(record.reason);
	import_done(&record);
}

/* What is taken is what a login can be checked against. */
static void hashes_of_libcrypt(void **state)
{
	(void)state;
	static const char *const lines[] = { "a:" SHA512 ":1:", "a:" BCRYPT, "a:" YESCRYPT };
	struct import_record record = { .reason = NULL };
	for (size_t i = 0; i < COUNT(lines); i++) {
		assert_true(import_line(IMPORT_SHADOW, span_str(lines[i]), &record));
		assert_true(
		    secret_verifier_check(buf_span(&record.secret), SPAN_LIT("sesame")));
		assert_false(
		    secret_verifier_check(buf_span(&record.secret), SPAN_LIT("sesam")));
	}
	import_done(&record);
}

/* ---- sasldb ---- */

static void put(DB *db, struct span key, struct span value)
{
	DBT k = { .data = (void *)(uintptr_t)key.ptr, .size = (u_int32_t)key.len };
	DBT v = { .data = (void *)(uintptr_t)value.ptr, .size = (u_int32_t)value.len };
	assert_int_equal(db->put(db, NULL, &k, &v, 0), 0);
}

struct seen {
	size_t users;
	bool alice, bob;
};

static bool see(void *context, const struct sasldb_user *user)
{
	struct seen *seen = context;
	seen->users++;
	seen->alice |= span_eq(user->user, SPAN_LIT("alice")) &&
	               span_eq(user->realm, SPAN_LIT("example.org")) &&
	               span_eq(user->password, SPAN_LIT("secret of alice"));
	seen->bob |= span_eq(user->user, SPAN_LIT("bob")) && user->realm.len == 0 &&
	             span_eq(user->password, SPAN_LIT("b\xc3\xb6:b"));
	return true;
}

static bool stop(void *context, const struct sasldb_user *user)
{
	struct seen *seen = context;
	(void)user;
	seen->users++;
	return false;
}

static void make_sasldb(const char *path)
{
	DB *db;
	assert_int_equal(db_create(&db, NULL, 0), 0);
	assert_int_equal(db->open(db, NULL, path, NULL, DB_HASH, DB_CREATE, 0600), 0);
	put(db, SPAN_LIT("alice\0example.org\0userPassword"), SPAN_LIT("secret of alice"));
	put(db, SPAN_LIT("bob\0\0userPassword"), SPAN_LIT("b\xc3\xb6:b"));
	put(db, SPAN_LIT("alice\0example.org\0cmusaslsecretOTP"), SPAN_LIT("otp"));
	put(db, SPAN_LIT("no property"), SPAN_LIT("x"));
	put(db, SPAN_LIT(""), SPAN_LIT(""));
	assert_int_equal(db->close(db, 0), 0);
}

static void sasldb(void **state)
{
	(void)state;
	char dir[] = "/tmp/gatepost-import-XXXXXX";
	char path[64];
	struct error error = { "" };
	struct seen seen = { .users = 0 };
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/sasldb2", dir);
	make_sasldb(path);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	unlink(path); /* its name is not needed */
	if (!import_sasldb(fileno(file), see, &seen, &error)) {
		fail_msg("%s", error.text);
	}
	assert_int_equal(seen.users, 2);
	assert_true(seen.alice && seen.bob);
	seen.users = 0;
	assert_false(import_sasldb(fileno(file), stop, &seen, &error));
	assert_string_equal(error.text, "");
	assert_int_equal(seen.users, 1);
	fclose(file);
	rmdir(dir);
}

static void not_a_sasldb(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, 100, 20000 };
	char bytes[20000];
	memset(bytes, 'x', sizeof bytes);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct error error = { "" };
		struct seen seen = { .users = 0 };
		int fd = memfd_create("none", 0);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, bytes, sizes[i]), sizes[i]);
		assert_false(import_sasldb(fd, see, &seen, &error));
		assert_true(error.text[0]);
		assert_int_equal(seen.users, 0);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwd_file),        cmocka_unit_test(shadow),
		cmocka_unit_test(what_is_no_record),  cmocka_unit_test(hostile_lines),
		cmocka_unit_test(hashes_of_libcrypt), cmocka_unit_test(sasldb),
		cmocka_unit_test(not_a_sasldb),
	};
	return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
