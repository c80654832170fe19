#include "test/auth/sasl_site.h"

#include "test/auth/residue.h"
#include "test/auth/sasl_client.h"

#include <pthread.h>

static int open_all(void **state)
{
	struct error error;
	if (open_site_store(state) != 0) {
		return -1;
	}
	if (!open_with("PLAIN LOGIN SCRAM-SHA-256", &error)) {
		print_error("%s\n", error.text);
		return -1;
	}
	return 0;
}

static int close_all(void **state)
{
	sasl_close();
	return close_site_store(state);
}

/* ---- PLAIN and LOGIN, and all that is not right about what was sent ---- */

static void plain_and_login(void **state)
{
	(void)state;
	static const struct script rows[] = {
		PLAIN_ALICE("full name", "\0" ALICE "\0correct horse"),
		PLAIN_ALICE("the realm is added", "\0alice\0correct horse"),
		PLAIN_ALICE("one account in any case", "\0ALICE@Example.ORG\0correct horse"),
		PLAIN_ALICE("authzid = self", ALICE "\0" ALICE "\0correct horse"),
		PLAIN_ALICE("authzid = self, short", "alice\0" ALICE "\0correct horse"),
		PLAIN("authzid = other", "bob@example.org\0" ALICE "\0correct horse", REFUSED),
		PLAIN("authzid = nobody", "x y\0" ALICE "\0correct horse", REFUSED),
		PLAIN("other realm", "\0alice@example.net\0correct horse", REFUSED),
		PLAIN("trailing dot", "\0" ALICE ".\0correct horse", REFUSED),
		PLAIN("two @", "\0alice@example.org@example.org\0correct horse", REFUSED),
		PLAIN_ALICE("blank before", "\0 alice\0correct horse"),
		PLAIN_ALICE("blank behind", "\0alice \0correct horse"),
		PLAIN_ALICE("tab", "\0alice\t\0correct horse"),
		PLAIN("blank inside", "\0al ice\0correct horse", REFUSED),
		PLAIN("LF in user", "\0alice\n\0correct horse", REFUSED),
		PLAIN("CR in user", "\0al\rice\0correct horse", REFUSED),
		PLAIN("NFC", "\0\xc3\xa4lice\0correct horse", REFUSED),
		PLAIN("NFD", "\0a\xcc\x88lice\0correct horse", REFUSED),
		PLAIN("wrong password", "\0alice\0correct horsf", REFUSED),
		PLAIN("longer password", "\0alice\0correct horse ", REFUSED),
		PLAIN("the other's password", "\0alice\0battery staple", REFUSED),
		PLAIN("LF in password", "\0alice\0correct horse\n", REFUSED),
		PLAIN("empty password", "\0alice\0", REFUSED),
		PLAIN("empty user", "\0\0correct horse", REFUSED),
		PLAIN("no NUL", "alice", REFUSED),
		PLAIN("one NUL", "\0alice", REFUSED),
		PLAIN("three NULs", "\0alice\0correct horse\0", REFUSED),
		PLAIN("four NULs", "\0alice\0correct horse\0\0", REFUSED),
		PLAIN("only NULs", "\0\0", REFUSED),
		PLAIN("empty", "", REFUSED),
		PLAIN("unknown user", "\0eve@example.org\0correct horse", REFUSED),
		PLAIN("account without a password", "\0nopassword\0", REFUSED),
		PLAIN("account without a password", "\0nopassword\0x", REFUSED),
		PLAIN("damaged row", "\0damaged\0correct horse", UNAVAILABLE),
		{ "PLAIN in two steps",
		  "plain",
		  { NULL, 0 },
		  { SPAN_LIT("\0alice\0correct horse") },
		  SASL_GOOD,
		  "|",
		  ALICE },
		LOGIN("LOGIN", "alice", "correct horse", GOOD, ALICE),
		LOGIN("LOGIN, full name", "Alice@example.org", "correct horse", GOOD, ALICE),
		LOGIN("LOGIN, wrong", "alice", "x", REFUSED, NULL),
		LOGIN("LOGIN, empty password", "alice", "", REFUSED, NULL),
		LOGIN("LOGIN, NUL in user", "alice\0x", "correct horse", REFUSED, NULL),
		LOGIN("LOGIN, HMAC pads with zeros", "alice", "correct horse\0", REFUSED, NULL),
		LOGIN("LOGIN, NUL in password", "alice", "correct horse\0x", REFUSED, NULL),
		LOGIN("LOGIN, unknown", "eve", "correct horse", REFUSED, NULL),
		LOGIN("LOGIN, damaged row", "damaged", "correct horse", UNAVAILABLE, NULL),
		{ "LOGIN asks",
		  "LOGIN",
		  { NULL, 0 },
		  { SPAN_LIT("bob"), SPAN_LIT("battery staple") },
		  SASL_GOOD,
		  "Username:|Password:|",
		  "bob@example.org" },
		{ "LOGIN with the name on the line",
		  "LOGIN",
		  SPAN_LIT("bob"),
		  { SPAN_LIT("battery staple") },
		  SASL_GOOD,
		  "Password:|",
		  "bob@example.org" },
		{ "SCRAM, damaged row",
		  "SCRAM-SHA-256",
		  SPAN_LIT("n,,n=damaged,r=fyko+d2lbbFgONRv9qkxdawL"),
		  { { NULL, 0 } },
		  SASL_UNAVAILABLE,
		  "",
		  NULL },
		{ "not offered",
		  "CRAM-MD5",
		  { NULL, 0 },
		  { { NULL, 0 } },
		  SASL_NO_MECHANISM,
		  "",
		  NULL },
		{ "built into Cyrus",
		  "EXTERNAL",
		  SPAN_LIT(""),
		  { { NULL, 0 } },
		  SASL_NO_MECHANISM,
		  "",
		  NULL },
		{ "with a blank",
		  "PLAIN ",
		  SPAN_LIT(""),
		  { { NULL, 0 } },
		  SASL_NO_MECHANISM,
		  "",
		  NULL },
		{ "none", "", SPAN_LIT(""), { { NULL, 0 } }, SASL_NO_MECHANISM, "", NULL },
	};
	play_rows(rows, COUNT(rows));
}

/* TESTS AU06: lengths at the edges, memory bounded by what was sent. */
static void long_names_and_passwords(void **state)
{
	(void)state;
	static const struct {
		size_t user;
		size_t password;
	} rows[] = {
		{ 243, 5 },  { 244, 5 },  { 255, 5 },     { 256, 5 },  { 257, 5 },
		{ 1023, 5 }, { 1024, 5 }, { 1025, 5 },    { 5000, 5 }, { 5, 1024 },
		{ 5, 1025 }, { 5, 5000 }, { 4000, 5000 },
	};
	static char text[10000];
	memset(text, 'u', sizeof text);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span user = span_of(text, rows[i].user);
		struct span password = span_of(text, rows[i].password);
		struct buf plain = { .cap = sizeof text };
		struct buf out = { .cap = 4096 };
		buf_put_byte(&plain, '\0');
		buf_put(&plain, user);
		buf_put_byte(&plain, '\0');
		buf_put(&plain, password);
		struct span initial = buf_span(&plain);
		struct sasl_attempt *attempt = new_attempt(TLS_BITS);
		assert_int_equal(sasl_attempt_start(attempt, SPAN_LIT("PLAIN"), &initial, &out),
		                 SASL_REFUSED);
		assert_true(sasl_attempt_tried(attempt).len <= 255);
		sasl_attempt_free(attempt);
		attempt = new_attempt(TLS_BITS);
		enum sasl_status status = sasl_attempt_start(attempt, SPAN_LIT("LOGIN"), NULL,
		                                             &out);
		assert_int_equal(status, SASL_MORE);
		status = sasl_attempt_step(attempt, user, &out);
		if (status == SASL_MORE) {
			status = sasl_attempt_step(attempt, password, &out);
		}
		assert_int_equal(status, SASL_REFUSED);
		sasl_attempt_free(attempt);
		buf_done(&plain);
		buf_done(&out);
	}
}

/* The longest password there may be works, in all mechanisms that show it. */
static void the_longest_password(void **state)
{
	(void)state;
	char password[SECRET_PASSWORD_MAX + 1] = "";
	memset(password, 'p', SECRET_PASSWORD_MAX);
	set_password("long@example.org", password, ITERATIONS);
	const struct script row = {
		"LOGIN",
		"LOGIN",
		{ NULL, 0 },
		{ SPAN_LIT("long"), span_of(password, SECRET_PASSWORD_MAX) },
		SASL_GOOD,
		NULL,
		"long@example.org",
	};
	play_rows(&row, 1);
}

static void says_who_tried(void **state)
{
	(void)state;
	static const struct {
		struct span initial;
		const char *tried;
	} rows[] = {
		{ SPAN_LIT("\0Alice\0x"), "Alice" },
		{ SPAN_LIT("\0eve@example.net\0x"), "eve@example.net" },
		{ SPAN_LIT("\0a\nb\0x"), "a\nb" },
		{ SPAN_LIT("bob\0alice\0correct horse"), "alice" },
		{ SPAN_LIT("nonsense"), "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 4096 };
		struct sasl_attempt *attempt = new_attempt(TLS_BITS);
		assert_int_equal(
		    sasl_attempt_start(attempt, SPAN_LIT("PLAIN"), &rows[i].initial, &out),
		    SASL_REFUSED);
		assert_true(span_eq(sasl_attempt_tried(attempt), span_str(rows[i].tried)));
		assert_int_equal(sasl_attempt_account(attempt).len, 0);
		sasl_attempt_free(attempt);
		buf_done(&out);
	}
}

static void no_password_in_clear_outside_tls(void **state)
{
	(void)state;
	static const struct {
		const char *mechanism;
		unsigned bits;
		enum sasl_status status;
	} rows[] = {
		{ "PLAIN", 0, SASL_NO_MECHANISM }, { "LOGIN", 0, SASL_NO_MECHANISM },
		{ "SCRAM-SHA-256", 0, SASL_MORE }, { "PLAIN", 128, SASL_MORE },
		{ "LOGIN", 128, SASL_MORE },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 4096 };
		struct sasl_attempt *attempt = new_attempt(rows[i].bits);
		assert_int_equal(
		    sasl_attempt_start(attempt, span_str(rows[i].mechanism), NULL, &out),
		    rows[i].status);
		sasl_attempt_free(attempt);
		buf_done(&out);
	}
	sasl_attempt_free(NULL);
}

/* ---- passwords that change ---- */

static void a_new_password_holds_at_once(void **state)
{
	(void)state;
	set_password("carol@example.org", "old", ITERATIONS);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(plain("carol", "old"), SASL_GOOD);
	}
	set_password("carol@example.org", "new", ITERATIONS);
	assert_int_equal(plain("carol", "old"), SASL_REFUSED);
	assert_int_equal(plain("carol", "new"), SASL_GOOD);
	set_password("carol@example.org", "old", ITERATIONS); /* the same, another salt */
	assert_int_equal(plain("carol", "old"), SASL_GOOD);
	assert_int_equal(plain("carol", "new"), SASL_REFUSED);
	struct store_txn *txn = store_begin_write(store, NULL);
	assert_int_equal(account_delete(txn, SPAN_LIT("carol@example.org")), STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	assert_int_equal(plain("carol", "old"), SASL_REFUSED);
}

/* ---- AU02: attempts given up at every step ---- */

#define NONCE "r=fyko+d2lbbFgONRv9qkxdawL"

static void given_up_attempts(void **state)
{
	(void)state;
	static const struct script rows[] = {
		{ "", "PLAIN", { NULL, 0 }, { { NULL, 0 } }, SASL_MORE, NULL, NULL },
		{ "", "LOGIN", { NULL, 0 }, { { NULL, 0 } }, SASL_MORE, NULL, NULL },
		{ "", "LOGIN", { NULL, 0 }, { SPAN_LIT("bob") }, SASL_MORE, NULL, NULL },
		{ "", "SCRAM-SHA-256", { NULL, 0 }, { { NULL, 0 } }, SASL_MORE, NULL, NULL },
		{ "",
		  "SCRAM-SHA-256",
		  SPAN_LIT("n,,n=alice," NONCE),
		  { { NULL, 0 } },
		  SASL_MORE,
		  NULL,
		  NULL },
		{ "",
		  "DIGEST-MD5",
		  { NULL, 0 },
		  { { NULL, 0 } },
		  SASL_NO_MECHANISM,
		  NULL,
		  NULL },
		{ "", "NTLM", { NULL, 0 }, { { NULL, 0 } }, SASL_NO_MECHANISM, NULL, NULL },
		PLAIN("", "\0alice\0wrong", REFUSED),
		PLAIN_ALICE("", "\0alice\0correct horse"),
	};
	for (int round = 0; round < 50; round++) {
		play_rows(rows, COUNT(rows));
		sasl_attempt_free(new_attempt(TLS_BITS));
	}
}

/* ---- AU01: what is offered, what is loaded ---- */

static void loads_no_other_plugin(void **state)
{
	(void)state;
	char line[1024];
	bool scram_seen = false;
	FILE *maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		const char *at = strstr(line, "/sasl2/");
		if (!at) {
			continue;
		}
		bool known = strstr(at, "libplain") || strstr(at, "liblogin") ||
		             strstr(at, "libscram");
		assert_true(known);
		scram_seen |= strstr(at, "libscram") != NULL;
	}
	fclose(maps);
	assert_true(scram_seen);
}

static void offers_what_is_configured(void **state)
{
	(void)state;
	static const struct {
		const char *configured;
		const char *offered; /* NULL: refused */
		const char *says;
	} rows[] = {
		{ "PLAIN", "PLAIN", NULL },
		{ " login  plain login", "LOGIN PLAIN", NULL },
		{ "SCRAM-SHA-256", "SCRAM-SHA-256", NULL },
		{ "", NULL, "no SASL mechanism" },
		{ "  ", NULL, "no SASL mechanism" },
		{ "PLAIN CRAM-MD5", NULL, "CRAM-MD5" },
		{ "PLAIN SCRAM-SHA-512", NULL, "SCRAM-SHA-512" },
		{ "GSSAPI", NULL, "GSSAPI" },
		{ "PLAIN,LOGIN", NULL, "PLAIN,LOGIN" },
		{ "PLAIN LOGIN SCRAM-SHA-256", "PLAIN LOGIN SCRAM-SHA-256", NULL },
	};
	static const char *const all[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5" };
	sasl_close();
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		bool open = open_with(rows[i].configured, &error);
		assert_int_equal(open, rows[i].offered != NULL);
		if (!rows[i].offered) {
			assert_non_null(strstr(error.text, rows[i].says));
			continue;
		}
		assert_true(span_eq(sasl_mechanisms(false), span_str(rows[i].offered)));
		for (size_t m = 0; m < COUNT(all); m++) {
			struct buf out = { .cap = 4096 };
			struct sasl_attempt *attempt = new_attempt(TLS_BITS);
			enum sasl_status status = sasl_attempt_start(attempt, span_str(all[m]),
			                                             NULL, &out);
			assert_int_equal(status == SASL_MORE,
			                 strstr(rows[i].offered, all[m]) != NULL);
			sasl_attempt_free(attempt);
			buf_done(&out);
		}
		if (i + 1 < COUNT(rows)) {
			sasl_close();
		}
	}
	assert_non_null(strstr(sasl_version_text(), "Cyrus SASL 2."));
}

/* ---- threads ---- */

static void *try_many(void *arg)
{
	const unsigned seed = *(const unsigned *)arg;
	static const struct {
		const char *user;
		const char *password;
		enum sasl_status status;
	} rows[] = {
		{ "alice", "correct horse", SASL_GOOD },
		{ "bob", "battery staple", SASL_GOOD },
		{ "bob", "correct horse", SASL_REFUSED },
		{ "eve", "correct horse", SASL_REFUSED },
		{ "damaged", "x", SASL_UNAVAILABLE },
		{ "alice", "correct horse", SASL_GOOD },
	};
	for (unsigned i = 0; i < 120; i++) {
		size_t row = (seed + i) % COUNT(rows);
		if (plain(rows[row].user, rows[row].password) != rows[row].status) {
			return arg;
		}
	}
	return NULL;
}

static void parallel_attempts(void **state)
{
	(void)state;
	pthread_t threads[8];
	unsigned seeds[COUNT(threads)];
	for (unsigned i = 0; i < COUNT(threads); i++) {
		seeds[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, try_many, &seeds[i]), 0);
	}
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *wrong = NULL;
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
}

/* ---- no password stays behind ---- */

static void no_password_stays_in_memory(void **state)
{
	(void)state;
	char password[RESIDUE_LEN + 1];
	static const struct {
		const char *user;
		const char *mechanism;
		bool longer; /* more than Cyrus takes */
		enum sasl_status status;
	} rows[] = {
		{ "dave", "PLAIN", false, SASL_GOOD }, /* PBKDF2 */
		{ "dave", "PLAIN", false, SASL_GOOD }, /* from the cache */
		{ "alice", "PLAIN", false, SASL_REFUSED },
		{ "eve", "PLAIN", false, SASL_REFUSED },
		{ "a\nb", "PLAIN", false, SASL_REFUSED },
		{ "damaged", "PLAIN", false, SASL_UNAVAILABLE },
		{ "eve", "PLAIN", true, SASL_REFUSED },
		{ "dave", "LOGIN", false, SASL_GOOD },
		{ "alice", "LOGIN", false, SASL_REFUSED },
		{ "a\nb", "LOGIN", false, SASL_REFUSED },
		{ "damaged", "LOGIN", false, SASL_UNAVAILABLE },
		{ "eve", "LOGIN", true, SASL_REFUSED },
	};
	unmask(password);
	assert_true(count_copies() > 0); /* the search finds what is there */
	set_password("dave@example.org", password, ITERATIONS);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf typed, out = { .cap = 4096 };
		const bool plain = strcmp(rows[i].mechanism, "PLAIN") == 0;
		struct sasl_attempt *attempt = new_attempt(TLS_BITS);
		buf_init_secret(&typed, 4096);
		unmask(password);
		if (plain) {
			buf_put_byte(&typed, '\0');
			buf_put_str(&typed, rows[i].user);
			buf_put_byte(&typed, '\0');
		}
		for (int n = 0; n < (rows[i].longer ? 50 : 1); n++) {
			buf_put_str(&typed, password);
		}
		secret_cleanse(password, sizeof password);
		const struct span user = span_str(rows[i].user);
		const struct span message = buf_span(&typed);
		enum sasl_status status = sasl_attempt_start(
		    attempt, span_str(rows[i].mechanism), plain ? &message : &user, &out);
		if (!plain) {
			status = sasl_attempt_step(attempt, message, &out);
		}
		assert_int_equal(status, rows[i].status);
		buf_done(&typed);
		buf_done(&out);
		if (count_copies()) {
			fail_msg("row %zu leaves %zu", i, count_copies());
		}
		sasl_attempt_free(attempt);
		assert_int_equal(count_copies(), 0);
	}
}

/* ---- costs: printed, never judged ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median_plain(const char *user, const char *password, enum sasl_status status)
{
	double times[100];
	for (size_t i = 0; i < COUNT(times); i++) {
		double start = now_us();
		assert_int_equal(plain(user, password), status);
		times[i] = now_us() - start;
	}
	qsort(times, COUNT(times), sizeof times[0], compare);
	return times[COUNT(times) / 2];
}

static double median_scram(void)
{
	double times[20];
	for (size_t i = 0; i < COUNT(times); i++) {
		struct exchange x = scram(ALICE, "", "correct horse");
		assert_int_equal(x.status, SASL_GOOD);
		times[i] = x.server_us;
	}
	qsort(times, COUNT(times), sizeof times[0], compare);
	return times[COUNT(times) / 2];
}

/* TESTS AU11 */
static void prints_costs(void **state)
{
	(void)state;
	print_message("PLAIN: unknown user %.0f us, wrong password %.0f us (medians of 100, %u "
	              "iterations)\n",
	              median_plain("eve", "correct horse", SASL_REFUSED),
	              median_plain("alice", "wrong horse", SASL_REFUSED), ITERATIONS);
	print_message("PLAIN from the cache %.1f us, SCRAM on the server, all steps, %.1f us\n",
	              median_plain("alice", "correct horse", SASL_GOOD), median_scram());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_and_login),
		cmocka_unit_test(long_names_and_passwords),
		cmocka_unit_test(the_longest_password),
		cmocka_unit_test(says_who_tried),
		cmocka_unit_test(no_password_in_clear_outside_tls),
		cmocka_unit_test(a_new_password_holds_at_once),
		cmocka_unit_test(given_up_attempts),
		cmocka_unit_test(loads_no_other_plugin),
		cmocka_unit_test(offers_what_is_configured),
		cmocka_unit_test(parallel_attempts),
		cmocka_unit_test(no_password_stays_in_memory),
		cmocka_unit_test_setup_teardown(prints_costs, open_client, close_client),
	};
	return cmocka_run_group_tests_name("sasl", tests, open_all, close_all);
}
