#include "auth/secret.h"

#include "proto/base64.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* RFC 7677 section 3: user "user", password "pencil". The keys of that exchange, made with
 * another tool. */
#define PENCIL \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

/* RFC 5802 section 5: the same user and password. */
#define PENCIL1 \
	"SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$" \
	"6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE="

#define CRYPT_SHA512 \
	"{CRYPT}$6$saltsalt$rD9fW1BwIrjB90WCgCTdIQc3phTBhf04I6Iw/X" \
	"lgKD9E9aEbzqGZipjiFxGo/4wWXDA6jV6/vZO.kKdDSfUJb0"
#define CRYPT_SHA256   "{CRYPT}$5$saltsalt$hl9BvcGsj7AkON13nbqeQHDgRpHyFxt7WDzLoS.OCQ/"
#define CRYPT_BCRYPT   "{CRYPT}$2b$05$abcdefghijklmnopqrstuu680Yiaj5hFUaJTH/rTAcbA2PQEGfiZu"
#define CRYPT_YESCRYPT "{CRYPT}$y$j75$saltsaltsalt$4Cu8tzilZXyFLHCIGnuzEv2fKGdQmOqyPZfhuC.NiaA"

static void checks_verifiers(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct span verifier;
		struct span password;
		bool good;
	} rows[] = {
		{ "RFC 7677", SPAN_LIT(PENCIL), SPAN_LIT("pencil"), true },
		{ "wrong", SPAN_LIT(PENCIL), SPAN_LIT("Pencil"), false },
		{ "prefix", SPAN_LIT(PENCIL), SPAN_LIT("penci"), false },
		{ "empty", SPAN_LIT(PENCIL), SPAN_LIT(""), false },
		{ "none", SPAN_LIT(PENCIL), { NULL, 0 }, false },
		{ "HMAC pads with zeros", SPAN_LIT(PENCIL), SPAN_LIT("pencil\0"), false },
		{ "bytes behind a NUL", SPAN_LIT(PENCIL), SPAN_LIT("pencil\0x"), false },
		{ "line end", SPAN_LIT(PENCIL), SPAN_LIT("pencil\n"), false },
		{ "no verifier", SPAN_LIT(""), SPAN_LIT("pencil"), false },
		{ "empty span", { NULL, 0 }, SPAN_LIT("pencil"), false },
		{ "scheme only", SPAN_LIT("SCRAM-SHA-256$"), SPAN_LIT("pencil"), false },
		{ "keys of the other scheme",
		  SPAN_LIT("SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
		           "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
		           "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
		  SPAN_LIT("pencil"), false },
		{ "RFC 5802", SPAN_LIT(PENCIL1), SPAN_LIT("pencil"), true },
		{ "RFC 5802, wrong", SPAN_LIT(PENCIL1), SPAN_LIT("pencils"), false },
		{ "both", SPAN_LIT(PENCIL1 " " PENCIL), SPAN_LIT("pencil"), true },
		{ "both, the better one decides",
		  SPAN_LIT(PENCIL1 " SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
		                   "AG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
		                   "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
		  SPAN_LIT("pencil"), false },
		{ "one broken, one good", SPAN_LIT(PENCIL1 " SCRAM-SHA-256$oops"),
		  SPAN_LIT("pencil"), true },
		/* openssl passwd, mkpasswd: other tools' hashes of "pencil" */
		{ "sha512", SPAN_LIT(CRYPT_SHA512), SPAN_LIT("pencil"), true },
		{ "sha512, wrong", SPAN_LIT(CRYPT_SHA512), SPAN_LIT("pencil "), false },
		{ "sha256", SPAN_LIT(CRYPT_SHA256), SPAN_LIT("pencil"), true },
		{ "bcrypt", SPAN_LIT(CRYPT_BCRYPT), SPAN_LIT("pencil"), true },
		{ "bcrypt, wrong", SPAN_LIT(CRYPT_BCRYPT), SPAN_LIT("Pencil"), false },
		{ "yescrypt", SPAN_LIT(CRYPT_YESCRYPT), SPAN_LIT("pencil"), true },
		{ "yescrypt, wrong", SPAN_LIT(CRYPT_YESCRYPT), SPAN_LIT("pencil\\"), false },
		{ "cut hash",
		  { CRYPT_SHA512, sizeof CRYPT_SHA512 - 2 },
		  SPAN_LIT("pencil"),
		  false },
		{ "hash without its method", SPAN_LIT("{CRYPT}$6$"), SPAN_LIT("pencil"),
		  false },
		{ "DES is no more", SPAN_LIT("{CRYPT}abJnggxhB/yWI"), SPAN_LIT("pencil"),
		  false },
		{ "few iterations",
		  SPAN_LIT("SCRAM-SHA-256$1:W22ZaJ0SNY7soEsUEjb6gQ==$"
		           "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
		           "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
		  SPAN_LIT("pencil"), false },
		{ "endless iterations",
		  SPAN_LIT("SCRAM-SHA-256$4294971392:W22ZaJ0SNY7soEsUEjb6gQ==$"
		           "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
		           "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
		  SPAN_LIT("pencil"), false },
		{ "short key",
		  SPAN_LIT("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:"
		           "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
		  SPAN_LIT("pencil"), false },
		{ "no server key",
		  SPAN_LIT("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
		           "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="),
		  SPAN_LIT("pencil"), false },
		{ "no salt",
		  SPAN_LIT("SCRAM-SHA-256$4096:$"
		           "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
		           "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
		  SPAN_LIT("pencil"), false },
		{ "tail", SPAN_LIT(PENCIL "x"), SPAN_LIT("pencil"), false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (secret_verifier_check(rows[i].verifier, rows[i].password) != rows[i].good) {
			fail_msg("%s", rows[i].what);
		}
	}
}

/* One bit of StoredKey or ServerKey is enough to be refused. */
static void every_byte_of_the_keys_counts(void **state)
{
	(void)state;
	char text[] = PENCIL;
	struct span whole = span_of(text, sizeof text - 1);
	for (size_t at = sizeof "SCRAM-SHA-256$4096:" - 1; at < whole.len; at += 7) {
		char was = text[at];
		text[at] = was == 'A' ? 'B' : 'A';
		assert_false(secret_verifier_check(whole, SPAN_LIT("pencil")));
		text[at] = was;
	}
	assert_true(secret_verifier_check(whole, SPAN_LIT("pencil")));
}

static void makes_verifiers(void **state)
{
	(void)state;
	char longest[SECRET_PASSWORD_MAX + 1];
	memset(longest, 'x', sizeof longest);
	const struct {
		struct span password;
		unsigned iterations;
		bool made;
	} rows[] = {
		{ SPAN_LIT("secret"), 4096, true },
		{ SPAN_LIT("p\xc3\xa4\xc3\x9fword with blanks\t"), 5000, true },
		{ span_of(longest, SECRET_PASSWORD_MAX), SECRET_ITERATIONS_MAX, true },
		{ span_of(longest, SECRET_PASSWORD_MAX + 1), 4096, false },
		{ SPAN_LIT(""), 4096, false },
		{ SPAN_LIT("a\0b"), 4096, false },
		{ SPAN_LIT("a\r"), 4096, false },
		{ SPAN_LIT("secret"), SECRET_ITERATIONS_MIN - 1, false },
		{ SPAN_LIT("secret"), SECRET_ITERATIONS_MAX + 1, false },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf a = { .cap = SECRET_VERIFIER_MAX };
		struct buf b = { .cap = SECRET_VERIFIER_MAX };
		bool made = secret_verifier_make(rows[i].password, rows[i].iterations, &a);
		assert_int_equal(made, rows[i].made);
		assert_int_equal(a.len > 0, made);
		if (made) {
			assert_true(
			    secret_verifier_make(rows[i].password, rows[i].iterations, &b));
			assert_false(span_eq(buf_span(&a), buf_span(&b))); /* own salts */
			assert_true(secret_verifier_check(buf_span(&a), rows[i].password));
			assert_true(secret_verifier_check(buf_span(&b), rows[i].password));
			assert_false(secret_verifier_check(buf_span(&a), SPAN_LIT("Secret")));
		}
		buf_done(&a);
		buf_done(&b);
	}
}

static void fakes_are_steady_and_like_the_real(void **state)
{
	(void)state;
	struct secret_key key = { { 1 } };
	struct secret_key other = { { 2 } };
	struct buf text[5] = { 0 };
	for (size_t i = 0; i < COUNT(text); i++) {
		text[i].cap = SECRET_VERIFIER_MAX;
	}
	assert_true(secret_verifier_fake(&key, SPAN_LIT("eve@example.org"), 5000, &text[0]));
	assert_true(secret_verifier_fake(&key, SPAN_LIT("eve@example.org"), 5000, &text[1]));
	assert_true(secret_verifier_fake(&key, SPAN_LIT("eva@example.org"), 5000, &text[2]));
	assert_true(secret_verifier_fake(&other, SPAN_LIT("eve@example.org"), 5000, &text[3]));
	assert_true(secret_verifier_make(SPAN_LIT("secret"), 5000, &text[4]));
	assert_true(span_eq(buf_span(&text[0]), buf_span(&text[1])));
	assert_false(span_eq(buf_span(&text[0]), buf_span(&text[2])));
	assert_false(span_eq(buf_span(&text[0]), buf_span(&text[3])));
	assert_int_equal(text[0].len, text[4].len);
	assert_memory_equal(text[0].ptr, text[4].ptr, sizeof "SCRAM-SHA-256$5000:" - 1);
	static const char *const guesses[] = { "secret", "eve@example.org", "fake salt" };
	for (size_t i = 0; i < COUNT(guesses); i++) {
		assert_false(secret_verifier_check(buf_span(&text[0]), span_str(guesses[i])));
	}
	for (size_t i = 0; i < COUNT(text); i++) {
		buf_done(&text[i]);
	}
}

static void hmac_tells_parts_apart(void **state)
{
	(void)state;
	const struct secret_key key = { { 7 } };
	const struct secret_key other = { { 8 } };
	const struct {
		const struct secret_key *key;
		struct span parts[3];
		size_t nparts;
	} rows[] = {
		{ &key, { SPAN_LIT("ab"), SPAN_LIT("c") }, 2 },
		{ &key, { SPAN_LIT("a"), SPAN_LIT("bc") }, 2 },
		{ &key, { SPAN_LIT("abc") }, 1 },
		{ &key, { SPAN_LIT("abc"), SPAN_LIT("") }, 2 },
		{ &key, { SPAN_LIT(""), SPAN_LIT("abc") }, 2 },
		{ &key, { { NULL, 0 } }, 0 },
		{ &key, { { NULL, 0 } }, 1 },
		{ &other, { SPAN_LIT("ab"), SPAN_LIT("c") }, 2 },
	};
	unsigned char digest[COUNT(rows)][SECRET_BYTES];
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned char again[SECRET_BYTES];
		secret_hmac(rows[i].key, rows[i].parts, rows[i].nparts, digest[i]);
		secret_hmac(rows[i].key, rows[i].parts, rows[i].nparts, again);
		assert_true(secret_equal(digest[i], again, SECRET_BYTES));
		for (size_t j = 0; j < i; j++) {
			assert_false(secret_equal(digest[i], digest[j], SECRET_BYTES));
		}
	}
}

static void *hmac_many(void *arg)
{
	const struct secret_key key = { { 9 } };
	unsigned char first[SECRET_BYTES];
	const struct span part = span_str(arg);
	secret_hmac(&key, &part, 1, first);
	for (int i = 0; i < 2000; i++) {
		unsigned char digest[SECRET_BYTES];
		secret_hmac(&key, &part, 1, digest);
		if (!secret_equal(first, digest, SECRET_BYTES)) {
			return arg;
		}
	}
	return NULL;
}

static void hmac_in_threads(void **state)
{
	(void)state;
	static char names[4][2] = { "a", "b", "c", "d" };
	pthread_t thread[COUNT(names)];
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_int_equal(pthread_create(&thread[i], NULL, hmac_many, names[i]), 0);
	}
	for (size_t i = 0; i < COUNT(names); i++) {
		void *wrong = NULL;
		assert_int_equal(pthread_join(thread[i], &wrong), 0);
		assert_null(wrong);
	}
}

static void file_put(const char *dir, const char *name, size_t bytes, mode_t mode)
{
	char path[256];
	char zeros[64] = { 0 };
	snprintf(path, sizeof path, "%s/%s", dir, name);
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, zeros, bytes), (ssize_t)bytes);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* The vectors of the authors: the key 0, 1, 2 ... under which so many bytes 0, 1, 2 ... */
static void siphash_vectors(void **state)
{
	(void)state;
	static const struct {
		size_t len;
		uint64_t digest;
	} rows[] = {
		{ 0, 0x726fdb47dd0e0e31 },  { 1, 0x74f839c593dc67fd },
		{ 7, 0xab0200f58b01d137 },  { 8, 0x93f5f5799a932462 },
		{ 15, 0xa129ca6149be45e5 }, { 63, 0x958a324ceb064572 },
	};
	unsigned char bytes[64];
	for (size_t i = 0; i < sizeof bytes; i++) {
		bytes[i] = (unsigned char)i;
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t cut = 0; cut <= rows[i].len; cut++) {
			const struct span parts[] = {
				span_of(bytes, cut),
				span_of(bytes + cut, rows[i].len - cut),
			};
			assert_int_equal(secret_siphash(bytes, parts, 2), rows[i].digest);
		}
	}
}

static void loads_the_key(void **state)
{
	(void)state;
	char dir[] = "/tmp/gatepost-secret-XXXXXX";
	char path[256];
	struct stat st;
	struct error error = { "" };
	struct secret_key made = { { 0 } };
	struct secret_key read = { { 0 } };
	assert_non_null(mkdtemp(dir));
	file_put(dir, "secret.new", 3, 0600); /* what a crash left */
	assert_true(secret_load(dir, &made, &error));
	assert_true(secret_load(dir, &read, &error));
	assert_memory_equal(&made, &read, sizeof made);
	snprintf(path, sizeof path, "%s/secret", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(path, sizeof path, "%s/secret.new", dir);
	assert_int_equal(access(path, F_OK), -1);

	static const struct {
		size_t bytes;
		mode_t mode;
		const char *says;
	} bad[] = {
		{ 32, 0640, "only its owner" }, { 32, 0604, "only its owner" },
		{ 31, 0600, "not a key" },      { 33, 0600, "not a key" },
		{ 0, 0600, "not a key" },
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct secret_key kept = made;
		file_put(dir, "secret", bad[i].bytes, bad[i].mode);
		assert_false(secret_load(dir, &kept, &error));
		assert_non_null(strstr(error.text, bad[i].says));
		assert_memory_equal(&made, &kept, sizeof made);
	}
	snprintf(path, sizeof path, "%s/secret", dir);
	unlink(path);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_false(secret_load(dir, &made, &error));
	unlink(path);
	rmdir(dir);
	assert_false(secret_load(dir, &made, &error)); /* no such folder */
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Printed, never judged. */
static void prints_costs(void **state)
{
	(void)state;
	const struct secret_key key = { { 3 } };
	const struct span parts[] = { SPAN_LIT("alice@example.org"), SPAN_LIT("secret"),
		                      SPAN_LIT(PENCIL) };
	unsigned char digest[SECRET_BYTES];
	double start = now_us();
	for (int i = 0; i < 10000; i++) {
		secret_hmac(&key, parts, COUNT(parts), digest);
	}
	print_message("secret_hmac: %.2f us", (now_us() - start) / 10000);
	start = now_us();
	for (int i = 0; i < 20; i++) {
		assert_true(secret_verifier_check(SPAN_LIT(PENCIL), SPAN_LIT("pencil")));
	}
	print_message(", PBKDF2 of 4096: %.0f us\n", (now_us() - start) / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_verifiers),
		cmocka_unit_test(every_byte_of_the_keys_counts),
		cmocka_unit_test(makes_verifiers),
		cmocka_unit_test(fakes_are_steady_and_like_the_real),
		cmocka_unit_test(hmac_tells_parts_apart),
		cmocka_unit_test(hmac_in_threads),
		cmocka_unit_test(siphash_vectors),
		cmocka_unit_test(loads_the_key),
		cmocka_unit_test(prints_costs),
	};
	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
