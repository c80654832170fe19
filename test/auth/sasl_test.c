#include "auth/sasl.h"

#include "store/account.h"

#include <pthread.h>
#include <sasl/sasl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef GATEPOST_SASL_PLUGINS
#define GATEPOST_SASL_PLUGINS "/usr/lib/sasl2"
#endif

#define ITERATIONS 4096
#define NAME_LONG  256
#define TLS_BITS   256

static char dir[] = "/tmp/gatepost-sasl-XXXXXX";
static struct store *store;

/* ---- a store with accounts, and the floor opened on it ---- */

static void set_password(const char *name, const char *password, unsigned iterations)
{
	struct buf verifier = { .cap = SECRET_VERIFIER_MAX };
	assert_true(secret_verifier_make(span_str(password), iterations, &verifier));
	struct account account = { .secret = buf_span(&verifier) };
	struct store_txn *txn = store_begin_write(store, NULL);
	assert_int_equal(account_put(txn, span_str(name), &account), STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	buf_done(&verifier);
}

static bool open_with(const char *mechanisms, struct error *error)
{
	const struct sasl_rules rules = {
		.store = store,
		.hostname = "mail.example.org",
		.domain = "example.org",
		.mechanisms = mechanisms,
		.iterations = ITERATIONS,
		.key = { { 42 } },
	};
	return sasl_open(&rules, error);
}

static int open_all(void **state)
{
	struct error error;
	const struct store_options options = { .size = 64 << 20, .longest_window = 86400000 };
	(void)state;
	/* What an attacker of the environment would set; must not matter. */
	setenv("SASL_PATH", "/tmp", 1);
	setenv("SASL_CONF_PATH", "/tmp", 1);
	if (!mkdtemp(dir) || store_open(dir, &options, &store, &error) != STORE_OK) {
		return -1;
	}
	set_password("alice@example.org", "correct horse", ITERATIONS);
	set_password("bob@example.org", "battery staple", ITERATIONS);
	struct account empty = { .secret = SPAN_NONE };
	struct store_txn *txn = store_begin_write(store, NULL);
	account_put(txn, SPAN_LIT("nopassword@example.org"), &empty);
	store_put(txn, STORE_ACCOUNT, SPAN_LIT("damaged@example.org"),
	          SPAN_LIT("\x09\xff\xff"));
	store_commit(txn, NULL);
	if (!open_with("PLAIN LOGIN SCRAM-SHA-256", &error)) {
		print_error("%s\n", error.text);
		return -1;
	}
	return 0;
}

static int close_all(void **state)
{
	char command[128];
	(void)state;
	sasl_close();
	store_close(store);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

/* ---- PLAIN and LOGIN, and all that is not right about what was sent ---- */

struct script {
	const char *what;
	const char *mechanism;
	struct span initial;  /* ptr NULL: none */
	struct span steps[3]; /* up to one without ptr */
	enum sasl_status status;
	const char *challenges; /* each followed by | */
	const char *account;
};

static enum sasl_status play(const struct script *row, struct sasl_attempt *attempt,
                             struct buf *challenges)
{
	enum sasl_status status = sasl_attempt_start(attempt, span_str(row->mechanism),
	                                             row->initial.ptr ? &row->initial : NULL,
	                                             challenges);
	for (const struct span *step = row->steps; status == SASL_MORE && step->ptr; step++) {
		buf_put_byte(challenges, '|');
		status = sasl_attempt_step(attempt, *step, challenges);
	}
	return status;
}

static void play_rows(const struct script *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct buf challenges = { .cap = 4096 };
		struct sasl_attempt *attempt = sasl_attempt_new(TLS_BITS);
		assert_non_null(attempt);
		enum sasl_status status = play(&rows[i], attempt, &challenges);
		struct span account = sasl_attempt_account(attempt);
		if (status != rows[i].status || !span_eq(account, span_str(rows[i].account))) {
			fail_msg("%s: status %d, account %.*s", rows[i].what, status,
			         SPAN_ARG(account));
		}
		if (rows[i].challenges &&
		    !span_eq(buf_span(&challenges), span_str(rows[i].challenges))) {
			fail_msg("%s: challenges %.*s", rows[i].what,
			         SPAN_ARG(buf_span(&challenges)));
		}
		sasl_attempt_free(attempt);
		buf_done(&challenges);
	}
}

#define ALICE "alice@example.org"
#define PLAIN(what, bytes, status) \
	{ \
		what, "PLAIN", SPAN_LIT(bytes), { { NULL, 0 } }, SASL_##status, NULL, NULL \
	}
#define PLAIN_ALICE(what, bytes) \
	{ \
		what, "PLAIN", SPAN_LIT(bytes), { { NULL, 0 } }, SASL_GOOD, NULL, ALICE \
	}
#define LOGIN(what, user, pass, status, account) \
	{ \
		what, "LOGIN", { NULL, 0 }, { SPAN_LIT(user), SPAN_LIT(pass) }, SASL_##status, \
		    NULL, account \
	}

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
		PLAIN("blank before", "\0 alice\0correct horse", REFUSED),
		PLAIN("blank behind", "\0alice \0correct horse", REFUSED),
		PLAIN("tab", "\0alice\t\0correct horse", REFUSED),
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
		struct sasl_attempt *attempt = sasl_attempt_new(TLS_BITS);
		assert_int_equal(sasl_attempt_start(attempt, SPAN_LIT("PLAIN"), &initial, &out),
		                 SASL_REFUSED);
		assert_true(sasl_attempt_tried(attempt).len <= 255);
		sasl_attempt_free(attempt);
		attempt = sasl_attempt_new(TLS_BITS);
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
		struct sasl_attempt *attempt = sasl_attempt_new(TLS_BITS);
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
		struct sasl_attempt *attempt = sasl_attempt_new(rows[i].bits);
		assert_int_equal(
		    sasl_attempt_start(attempt, span_str(rows[i].mechanism), NULL, &out),
		    rows[i].status);
		sasl_attempt_free(attempt);
		buf_done(&out);
	}
	sasl_attempt_free(NULL);
}

/* ---- SCRAM, with Cyrus's client ---- */

struct client {
	const char *user;
	const char *authzid;
	sasl_secret_t *secret;
};

static int client_name(void *context, int id, const char **result, unsigned *len)
{
	const struct client *client = context;
	*result = id == SASL_CB_AUTHNAME ? client->user : client->authzid;
	if (len) {
		*len = (unsigned)strlen(*result);
	}
	return SASL_OK;
}

static int client_secret(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
	const struct client *client = context;
	(void)conn;
	(void)id;
	*secret = client->secret;
	return SASL_OK;
}

static int client_path(void *context, const char **path)
{
	(void)context;
	*path = GATEPOST_SASL_PLUGINS;
	return SASL_OK;
}

static int client_verify(void *context, const char *file, sasl_verify_type_t type)
{
	(void)context;
	return type == SASL_VRFY_PLUGIN && strstr(file, "libscram") ? SASL_OK : SASL_CONTINUE;
}

#define CALLBACK(f) ((int (*)(void))(void (*)(void))(f))

struct exchange {
	enum sasl_status status;
	unsigned rounds;     /* steps the server took */
	double server_us;    /* time it took for them */
	char challenge[512]; /* its first */
	char account[NAME_LONG];
	int client; /* Cyrus's code */
};

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void scram_converse(sasl_conn_t *conn, struct sasl_attempt *attempt, struct exchange *x)
{
	const char *reply = NULL;
	const char *mechanism = NULL;
	unsigned len = 0;
	struct buf challenge = { .cap = 4096 };
	x->client = sasl_client_start(conn, "SCRAM-SHA-256", NULL, &reply, &len, &mechanism);
	x->status = SASL_MORE;
	while (x->status == SASL_MORE && (x->client == SASL_CONTINUE || x->client == SASL_OK)) {
		struct span response = span_of(reply, len);
		buf_clear(&challenge);
		double start = now_us();
		x->status = x->rounds++ == 0
		                ? sasl_attempt_start(attempt, SPAN_LIT("SCRAM-SHA-256"),
		                                     &response, &challenge)
		                : sasl_attempt_step(attempt, response, &challenge);
		x->server_us += now_us() - start;
		if (x->rounds == 1) {
			snprintf(x->challenge, sizeof x->challenge, "%.*s",
			         SPAN_ARG(buf_span(&challenge)));
		}
		if (x->status == SASL_MORE) {
			x->client = sasl_client_step(
			    conn, challenge.ptr, (unsigned)challenge.len, NULL, &reply, &len);
		}
	}
	buf_done(&challenge);
}

static struct exchange scram(const char *user, const char *authzid, const char *password)
{
	struct exchange x = { .rounds = 0 };
	size_t len = strlen(password);
	struct client client = { user, authzid, malloc(sizeof(sasl_secret_t) + len + 1) };
	client.secret->len = len;
	memcpy(client.secret->data, password, len + 1);
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_AUTHNAME, CALLBACK(client_name), &client },
		{ SASL_CB_USER, CALLBACK(client_name), &client },
		{ SASL_CB_PASS, CALLBACK(client_secret), &client },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	sasl_conn_t *conn = NULL;
	assert_int_equal(
	    sasl_client_new("smtp", "mail.example.org", NULL, NULL, callbacks, 0, &conn),
	    SASL_OK);
	struct sasl_attempt *attempt = sasl_attempt_new(TLS_BITS);
	assert_non_null(attempt);
	scram_converse(conn, attempt, &x);
	snprintf(x.account, sizeof x.account, "%.*s", SPAN_ARG(sasl_attempt_account(attempt)));
	sasl_attempt_free(attempt);
	sasl_dispose(&conn);
	free(client.secret);
	return x;
}

static void scram_logins(void **state)
{
	(void)state;
	static const struct {
		const char *user;
		const char *authzid;
		const char *password;
		enum sasl_status status;
		const char *account;
	} rows[] = {
		{ ALICE, "", "correct horse", SASL_GOOD, ALICE },
		{ "alice", "", "correct horse", SASL_GOOD, ALICE },
		{ "ALICE", "", "correct horse", SASL_GOOD, ALICE },
		{ ALICE, ALICE, "correct horse", SASL_GOOD, ALICE },
		{ ALICE, "bob@example.org", "correct horse", SASL_REFUSED, "" },
		{ ALICE, "", "correct horsf", SASL_REFUSED, "" },
		{ "eve", "", "correct horse", SASL_REFUSED, "" },
		{ "nopassword", "", "x", SASL_REFUSED, "" },
		{ "al,ice=", "", "x", SASL_REFUSED, "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct exchange x = scram(rows[i].user, rows[i].authzid, rows[i].password);
		if (x.status != rows[i].status || strcmp(x.account, rows[i].account) != 0) {
			fail_msg("row %zu: status %d, client %d, account %s", i, x.status,
			         x.client, x.account);
		}
	}
}

/* Salt and iterations of a SCRAM challenge: what follows the nonce. */
static const char *salt_of(const struct exchange *x)
{
	const char *salt = strstr(x->challenge, ",s=");
	assert_non_null(salt);
	return salt;
}

/* An account that is not there gets as far as one that is, and its salt stays the same. */
static void scram_does_not_tell_who_exists(void **state)
{
	(void)state;
	struct exchange wrong = scram(ALICE, "", "x");
	struct exchange unknown = scram("eve", "", "x");
	struct exchange again = scram("EVE@example.org", "", "y");
	struct exchange other = scram("eva", "", "x");
	assert_int_equal(wrong.rounds, unknown.rounds);
	assert_int_equal(wrong.status, unknown.status);
	assert_string_equal(salt_of(&unknown), salt_of(&again));
	assert_string_not_equal(salt_of(&unknown), salt_of(&other));
	assert_int_equal(strlen(wrong.challenge), strlen(unknown.challenge));
	assert_string_equal(strstr(wrong.challenge, ",i="), strstr(unknown.challenge, ",i="));
}

static void scram_garbage(void **state)
{
	(void)state;
	static char lots[12000];
	memset(lots, 'a', sizeof lots);
	memcpy(lots, "n,,n=", 5);
#define NONCE "r=fyko+d2lbbFgONRv9qkxdawL"
#define WRONG SPAN_LIT("c=biws,r=x,p=AAAA")
	const struct {
		struct span first;
		struct span second; /* when the first is taken */
	} rows[] = {
		{ SPAN_LIT(""), SPAN_LIT("") }, /* Cyrus asks again */
		{ SPAN_LIT("n"), WRONG },
		{ SPAN_LIT("n,,"), WRONG },
		{ SPAN_LIT("n,,n=,r="), WRONG },
		{ SPAN_LIT("n,,n=alice," NONCE "\0"), WRONG },
		{ SPAN_LIT("n,,n=ali=2Xce," NONCE), WRONG },
		{ SPAN_LIT("n,,n=alice="), WRONG },
		{ SPAN_LIT("n,,n= alice," NONCE), WRONG },
		{ SPAN_LIT("n,,m=x,n=alice," NONCE), WRONG },
		{ SPAN_LIT("p=tls-unique,,n=alice," NONCE),
		  SPAN_LIT("c=biws," NONCE ",p=AAAA") },
		{ SPAN_LIT("q,,n=alice," NONCE), WRONG },
		{ span_of(lots, 300), WRONG },
		{ span_of(lots, sizeof lots), WRONG },
		{ SPAN_LIT("n,,n=alice," NONCE), SPAN_LIT("") },
		{ SPAN_LIT("n,,n=alice," NONCE), SPAN_LIT("c=biws") },
		{ SPAN_LIT("n,,n=alice," NONCE), SPAN_LIT("c=biws,r=x,p=") },
		{ SPAN_LIT("n,,n=alice," NONCE), SPAN_LIT("c=biws," NONCE ",p=AAAA") },
		{ SPAN_LIT("n,,n=alice," NONCE), span_of(lots, sizeof lots) },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { .cap = 4096 };
		struct sasl_attempt *attempt = sasl_attempt_new(TLS_BITS);
		enum sasl_status status = sasl_attempt_start(attempt, SPAN_LIT("SCRAM-SHA-256"),
		                                             &rows[i].first, &out);
		if (status == SASL_MORE) {
			status = sasl_attempt_step(attempt, rows[i].second, &out);
		}
		if (status != SASL_REFUSED) {
			fail_msg("row %zu: status %d", i, status);
		}
		sasl_attempt_free(attempt);
		buf_done(&out);
	}
}

/* ---- passwords that change ---- */

static enum sasl_status plain(const char *user, const char *password)
{
	struct buf bytes = { .cap = 4096 };
	struct buf out = { .cap = 4096 };
	struct sasl_attempt *attempt = sasl_attempt_new(TLS_BITS);
	buf_put_byte(&bytes, '\0');
	buf_put_str(&bytes, user);
	buf_put_byte(&bytes, '\0');
	buf_put_str(&bytes, password);
	struct span initial = buf_span(&bytes);
	enum sasl_status status = sasl_attempt_start(attempt, SPAN_LIT("PLAIN"), &initial,
	                                             &out);
	secret_cleanse(bytes.ptr, bytes.len);
	sasl_attempt_free(attempt);
	buf_done(&bytes);
	buf_done(&out);
	return status;
}

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
		sasl_attempt_free(sasl_attempt_new(TLS_BITS));
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
		{ "EXTERNAL", NULL, "EXTERNAL" },
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
		assert_true(span_eq(sasl_mechanisms(), span_str(rows[i].offered)));
		for (size_t m = 0; m < COUNT(all); m++) {
			struct buf out = { .cap = 4096 };
			struct sasl_attempt *attempt = sasl_attempt_new(TLS_BITS);
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

#define MASK        0x55
#define RESIDUE_LEN 24

/* "Zq7-residue-of-a-login-%" never stands in clear in this program. */
static void unmask(char out[RESIDUE_LEN + 1], const unsigned char masked[RESIDUE_LEN])
{
	for (size_t i = 0; i < RESIDUE_LEN; i++) {
		out[i] = (char)(masked[i] ^ MASK);
	}
	out[RESIDUE_LEN] = '\0';
}

__attribute__((noinline, no_sanitize("address", "thread"))) static size_t
count_in(const unsigned char *at, size_t len, const unsigned char *masked)
{
	size_t found = 0;
	for (size_t i = 0; i + RESIDUE_LEN <= len; i++) {
		size_t same = 0;
		while (same < RESIDUE_LEN && at[i + same] == (masked[same] ^ MASK)) {
			same++;
		}
		found += same == RESIDUE_LEN;
	}
	return found;
}

/* In all writable memory of this process but the sanitizer's own great maps. */
static size_t count_copies(const unsigned char *masked)
{
	char line[1024];
	size_t found = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		unsigned long from = 0;
		unsigned long to = 0;
		char mode[8] = "";
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 &&
		    strncmp(mode, "rw-p", 4) == 0 && to - from <= (unsigned long)64 << 20) {
			found += count_in((const unsigned char *)from, to - from, masked);
		}
	}
	fclose(maps);
	return found;
}

static void no_password_stays_in_memory(void **state)
{
	(void)state;
	static const unsigned char masked[RESIDUE_LEN] = {
		0x0f, 0x24, 0x62, 0x78, 0x27, 0x30, 0x26, 0x3c, 0x31, 0x20, 0x30, 0x78,
		0x3a, 0x33, 0x78, 0x34, 0x78, 0x39, 0x3a, 0x32, 0x3c, 0x3b, 0x78, 0x70,
	};
	static const struct {
		const char *user;
		enum sasl_status status;
	} rows[] = {
		{ "dave", SASL_GOOD }, /* PBKDF2 */
		{ "dave", SASL_GOOD }, /* from the cache */
		{ "alice", SASL_REFUSED },
		{ "eve", SASL_REFUSED },
	};
	char password[RESIDUE_LEN + 1];
	unmask(password, masked);
	assert_true(count_copies(masked) > 0); /* the search finds what is there */
	set_password("dave@example.org", password, ITERATIONS);
	for (size_t i = 0; i < COUNT(rows); i++) {
		unmask(password, masked);
		assert_int_equal(plain(rows[i].user, password), rows[i].status);
		secret_cleanse(password, sizeof password);
		assert_int_equal(count_copies(masked), 0);
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

static int open_client(void **state)
{
	static const sasl_callback_t callbacks[] = {
		{ SASL_CB_GETPATH, CALLBACK(client_path), NULL },
		{ SASL_CB_VERIFYFILE, CALLBACK(client_verify), NULL },
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	(void)state;
	return sasl_client_init(callbacks) == SASL_OK ? 0 : -1;
}

static int close_client(void **state)
{
	(void)state;
	return sasl_client_done() == SASL_OK ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_and_login),
		cmocka_unit_test(long_names_and_passwords),
		cmocka_unit_test(the_longest_password),
		cmocka_unit_test(says_who_tried),
		cmocka_unit_test(no_password_in_clear_outside_tls),
		cmocka_unit_test_setup_teardown(scram_logins, open_client, close_client),
		cmocka_unit_test_setup_teardown(scram_does_not_tell_who_exists, open_client,
		                                close_client),
		cmocka_unit_test(scram_garbage),
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
