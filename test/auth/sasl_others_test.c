/* Logins that others vouch for: a certificate, a token, a back end; and app passwords. */
#include "test/auth/sasl_site.h"

#include "auth/apppass.h"

static char app_secret[2][APPPASS_SECRET_MAX + 1]; /* alice's: anywhere; 192.0.2.0/24 */

static void add_apppass(const char *account, const char *name, const char *network,
                        char out[APPPASS_SECRET_MAX + 1])
{
	struct apppass apppass = { .name = span_str(name) };
	struct buf secret = { .cap = APPPASS_SECRET_MAX };
	const char *why = NULL;
	bool full = true;
	if (network) {
		assert_true(network_parse(span_str(network), &apppass.network[0], &why));
		apppass.nnetworks = 1;
	}
	struct store_txn *txn = store_begin_write(store, NULL);
	assert_int_equal(apppass_add(txn, span_str(account), &apppass, &secret, &full),
	                 STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
	assert_false(full);
	snprintf(out, APPPASS_SECRET_MAX + 1, "%.*s", SPAN_ARG(buf_span(&secret)));
	buf_done(&secret);
}

static int open_all(void **state)
{
	if (open_site_store(state) != 0) {
		return -1;
	}
	add_apppass(ALICE, "scanner", NULL, app_secret[0]);
	add_apppass(ALICE, "printer", "192.0.2.0/24", app_secret[1]);
	return 0;
}

static int shut(void **state)
{
	(void)state;
	sasl_close();
	return 0;
}

/* ---- EXTERNAL ---- */

static void certificates(void **state)
{
	(void)state;
	static const struct {
		const char *certificate;
		struct script script;
	} rows[] = {
#define EXTERNAL(what, text, status, account) \
	{ what, "EXTERNAL", text, { SPAN_LIT("") }, SASL_##status, NULL, account }
		{ ALICE, EXTERNAL("no authzid", SPAN_LIT(""), GOOD, ALICE) },
		{ ALICE, EXTERNAL("in two steps", SPAN_NONE, GOOD, ALICE) },
		{ ALICE, EXTERNAL("itself", SPAN_LIT(ALICE), GOOD, ALICE) },
		{ ALICE, EXTERNAL("itself, in short", SPAN_LIT("Alice"), GOOD, ALICE) },
		{ ALICE, EXTERNAL("another", SPAN_LIT("bob@example.org"), REFUSED, NULL) },
		{ ALICE, EXTERNAL("nobody", SPAN_LIT("x\ny"), REFUSED, NULL) },
		{ "Alice@Example.ORG", EXTERNAL("upper case", SPAN_LIT(""), GOOD, ALICE) },
		{ "alice", EXTERNAL("without a domain", SPAN_LIT(""), GOOD, ALICE) },
		{ "CN=Alice Smith", EXTERNAL("no account", SPAN_LIT(""), REFUSED, NULL) },
		{ "@", EXTERNAL("nobody's", SPAN_LIT("@"), REFUSED, NULL) },
		{ "anonymous@", EXTERNAL("half a name", SPAN_LIT(""), REFUSED, NULL) },
		{ "", EXTERNAL("no certificate", SPAN_LIT(""), NO_MECHANISM, NULL) },
		{ "", EXTERNAL("no certificate", SPAN_LIT(ALICE), NO_MECHANISM, NULL) },
	};
	open_or_fail("PLAIN EXTERNAL", NULL);
	assert_true(span_eq(sasl_mechanisms(false), SPAN_LIT("PLAIN")));
	assert_true(span_eq(sasl_mechanisms(true), SPAN_LIT("PLAIN EXTERNAL")));
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl_peer peer = a_peer(TLS_BITS);
		peer.certificate = span_str(rows[i].certificate);
		check_row(&rows[i].script, &peer);
	}
}

/* ---- OAUTHBEARER, XOAUTH2 ---- */

static const struct identity_rule rules[] = {
	{ SPAN_LIT("EXAMPLE\\*"), SPAN_LIT("*@example.org") },
	{ SPAN_LIT("*@corp.example.org"), SPAN_LIT("*@example.org") },
};

static const struct identity_map map = { .rules = rules,
	                                 .nrules = COUNT(rules),
	                                 .domain = SPAN_LIT("example.org"),
	                                 .fold_details = true };

static void tokens(void **state)
{
	(void)state;
#define ERROR "{\"status\":\"invalid_token\"}"
#define TOKEN(what, first, second, status, challenges, account) \
	{ \
		what, "XOAUTH2", SPAN_LIT(first), { second }, SASL_##status, challenges, \
		    account \
	}
#define SECOND SPAN_LIT("\x01")
	static const struct script rows[] = {
		TOKEN("good", "alice good:alice", SECOND, GOOD, "", ALICE),
		TOKEN("nobody typed", " good:Alice@example.org", SECOND, GOOD, "", ALICE),
		TOKEN("typed by the map", "EXAMPLE\\Alice good:alice", SECOND, GOOD, "", ALICE),
		TOKEN("another typed", "bob good:alice", SECOND, REFUSED, ERROR "|", NULL),
		TOKEN("the map is not for claims", " good:x@corp.example.org", SECOND, GOOD, "",
		      "x@corp.example.org"),
		TOKEN("claim of nobody", " good:a b", SECOND, REFUSED, ERROR "|", NULL),
		TOKEN("no claim", " good:", SECOND, REFUSED, ERROR "|", NULL),
		TOKEN("bad", "alice bad", SECOND, REFUSED, ERROR "|", NULL),
		TOKEN("bad, empty line", "alice bad", SPAN_LIT(""), REFUSED, ERROR "|", NULL),
		TOKEN("bad, a good one after it", "alice bad", SPAN_LIT("alice good:alice"),
		      REFUSED, ERROR "|", NULL),
		TOKEN("bad, and left", "alice bad", SPAN_NONE, MORE, ERROR, NULL),
		TOKEN("no answer", "alice down", SECOND, UNAVAILABLE, "", NULL),
		TOKEN("malformed", "alice", SECOND, REFUSED, "", NULL),
		TOKEN("empty", "", SECOND, REFUSED, "", NULL),
		{ "in two steps",
		  "XOAUTH2",
		  SPAN_NONE,
		  { SPAN_LIT("alice good:alice") },
		  SASL_GOOD,
		  "|",
		  ALICE },
		{ "OAUTHBEARER",
		  "oauthbearer",
		  SPAN_LIT("alice good:alice"),
		  { SPAN_NONE },
		  SASL_GOOD,
		  "",
		  ALICE },
	};
	open_or_fail("OAUTHBEARER XOAUTH2", NULL);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl_peer peer = a_peer(TLS_BITS);
		peer.map = &map;
		check_row(&rows[i], &peer);
		peer.tls_bits = 0;
		struct buf out = { .cap = 4096 };
		struct sasl_attempt *attempt = sasl_attempt_new(&peer);
		assert_int_equal(play(&rows[i], attempt, &out), SASL_NO_MECHANISM);
		sasl_attempt_free(attempt);
		buf_done(&out);
	}
	assert_int_equal(site_oauth.wall, WALL);
}

static void a_bad_token_counts_for_who_was_typed(void **state)
{
	(void)state;
	const struct span initial = SPAN_LIT("Alice bad");
	const struct sasl_peer peer = a_peer(TLS_BITS);
	unsigned char guess[SCREEN_GUESS_BYTES];
	struct buf out = { .cap = 4096 };
	open_or_fail("XOAUTH2", NULL);
	struct sasl_attempt *attempt = sasl_attempt_new(&peer);
	assert_int_equal(sasl_attempt_start(attempt, SPAN_LIT("XOAUTH2"), &initial, &out),
	                 SASL_MORE);
	assert_int_equal(sasl_attempt_step(attempt, SPAN_LIT("\x01"), &out), SASL_REFUSED);
	assert_string_equal(sasl_attempt_reason(attempt), "the token has expired");
	assert_true(span_eq(sasl_attempt_tried(attempt), SPAN_LIT("Alice")));
	assert_true(span_eq(sasl_attempt_target(attempt), SPAN_LIT(ALICE)));
	assert_false(sasl_attempt_guess(attempt, guess));
	sasl_attempt_free(attempt);
	buf_done(&out);
}

/* ---- back ends ---- */

static struct backend_rules ldap = { .kind = BACKEND_LDAP };

static void one_person_one_account(void **state)
{
	(void)state;
	static const struct {
		const char *typed, *password;
		const char *asked; /* NULL: nobody was */
		enum sasl_status status;
		const char *account;
		const char *target;
	} rows[] = {
		/* four spellings, with a back end that says whose they are, and without */
		{ "alice", "right:alice.smith@example.org", "alice", SASL_GOOD,
		  "alice.smith@example.org", ALICE },
		{ "EXAMPLE\\alice", "right:Alice.Smith@example.org", "EXAMPLE\\alice",
		  SASL_GOOD, "alice.smith@example.org", ALICE },
		{ "alice@corp.example.org", "right:alice.smith@example.org",
		  "alice@corp.example.org", SASL_GOOD, "alice.smith@example.org", ALICE },
		{ "alice.smith@example.org", "right:alice.smith@example.org",
		  "alice.smith@example.org", SASL_GOOD, "alice.smith@example.org",
		  "alice.smith@example.org" },
		{ "Alice", "right", "Alice", SASL_GOOD, ALICE, ALICE },
		{ "EXAMPLE\\Alice", "right", "EXAMPLE\\Alice", SASL_GOOD, ALICE, ALICE },
		{ " alice ", "right", "alice", SASL_GOOD, ALICE, ALICE },
		{ "alice+1@example.org", "right", "alice+1@example.org", SASL_GOOD, ALICE,
		  ALICE },
		{ "alice+50@example.org", "right", "alice+50@example.org", SASL_GOOD, ALICE,
		  ALICE },
		/* a name that only the back end makes sense of */
		{ "Alice Smith", "right:alice", "Alice Smith", SASL_GOOD, ALICE, "" },
		{ "OTHER\\alice", "right:alice", "OTHER\\alice", SASL_GOOD, ALICE,
		  "other\\alice@example.org" },
		{ "Alice Smith", "wrong", "Alice Smith", SASL_REFUSED, "", "" },
		/* a right password is not refused: 454 */
		{ "Alice Smith", "right", "Alice Smith", SASL_UNAVAILABLE, "", "" },
		{ "alice", "right:Alice Smith", "alice", SASL_UNAVAILABLE, "", ALICE },
		{ "alice", "wrong", "alice", SASL_REFUSED, "", ALICE },
		{ "alice", "down", "alice", SASL_UNAVAILABLE, "", ALICE },
		{ "al\nice", "right", NULL, SASL_REFUSED, "", "" },
		{ "@", "right", NULL, SASL_REFUSED, "", "" },
		{ "   ", "right", NULL, SASL_REFUSED, "", "" },
	};
	open_or_fail("PLAIN LOGIN", &ldap);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl_peer peer = a_peer(TLS_BITS);
		struct sasl_attempt *attempt = NULL;
		int calls = backend_heard.calls;
		peer.map = &map;
		enum sasl_status status = plain_from(&peer, rows[i].typed, rows[i].password,
		                                     &attempt);
		if (status != rows[i].status ||
		    !span_eq(sasl_attempt_account(attempt), span_str(rows[i].account)) ||
		    !span_eq(sasl_attempt_target(attempt), span_str(rows[i].target))) {
			fail_msg("row %zu: %d, %.*s, %.*s", i, status,
			         SPAN_ARG(sasl_attempt_account(attempt)),
			         SPAN_ARG(sasl_attempt_target(attempt)));
		}
		assert_int_equal(backend_heard.calls - calls, rows[i].asked ? 1 : 0);
		if (rows[i].asked) {
			assert_string_equal(backend_heard.user, rows[i].asked);
			assert_string_equal(backend_heard.client, "192.0.2.7");
		}
		sasl_attempt_free(attempt);
	}
}

/* AU08: by the typed names and by the back end's; names that are no accounts stay apart. */
static void authzid_of_a_back_end(void **state)
{
	(void)state;
	static const struct script rows[] = {
		PLAIN_ALICE("itself", "alice\0alice\0right"),
		PLAIN_ALICE("itself, as returned", ALICE "\0Alice Smith\0right:alice"),
		PLAIN_ALICE("itself, as typed", "alice smith\0Alice Smith\0right:alice"),
		PLAIN("another", "bob\0alice\0right", REFUSED),
		PLAIN("another, no account", "bob smith\0Alice Smith\0right:alice", REFUSED),
		PLAIN("control bytes", "a\nb\0Alice Smith\0right:alice", REFUSED),
		PLAIN("twice control bytes", "a\nb\0c\nd\0right:alice", REFUSED),
	};
	open_or_fail("PLAIN", &ldap);
	play_rows(rows, COUNT(rows));
}

static void a_success_is_known_for_a_while(void **state)
{
	(void)state;
	static const struct {
		int64_t now, cache_time;
		const char *user, *password;
		int calls;
	} rows[] = {
		{ 100000, 60000, "alice", "right:a", 1 },
		{ 100000, 60000, "alice", "right:a", 0 },
		{ 159999, 60000, "alice", "right:a", 0 },
		{ 160000, 60000, "alice", "right:a", 1 },
		{ 160001, 0, "alice", "right:a", 1 },
		{ 160002, 60000, "bob", "right:a", 1 },
		{ 160003, 60000, "alice", "right:b", 1 },
		{ 160004, 60000, "alice", "right:a", 0 },
		{ 160005, 60000, "alice", "wrong", 1 },
		{ 160006, 60000, "alice", "wrong", 1 },
	};
	open_or_fail("PLAIN", &ldap);
	for (size_t i = 0; i < COUNT(rows) + 2; i++) {
		const size_t r = i < COUNT(rows) ? i : 7;
		struct sasl_peer peer = a_peer(TLS_BITS);
		struct sasl_attempt *attempt = NULL;
		int calls = backend_heard.calls;
		peer.now = rows[r].now;
		peer.cache_time = rows[r].cache_time;
		if (i == COUNT(rows)) {
			sasl_forget(SPAN_LIT("a@example.org"));
		}
		plain_from(&peer, rows[r].user, rows[r].password, &attempt);
		if (backend_heard.calls - calls != (i == COUNT(rows) ? 1 : rows[r].calls)) {
			fail_msg("row %zu: %d", i, backend_heard.calls - calls);
		}
		sasl_attempt_free(attempt);
	}
}

static void serves_only_what_it_can(void **state)
{
	(void)state;
	static struct backend_rules kinds[] = {
		{ .kind = BACKEND_SASLAUTHD },
		{ .kind = BACKEND_LDAP },
		{ .kind = BACKEND_DOVECOT },
	};
	static const char *const scram[] = { "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS",
		                             "SCRAM-SHA-256-PLUS" };
	static const char *const oauth[] = { "OAUTHBEARER", "XOAUTH2" };
	struct error error;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		for (size_t m = 0; m < COUNT(scram); m++) {
			assert_false(open_on(scram[m], &kinds[i], NULL, &error));
			assert_non_null(strstr(error.text, scram[m]));
			assert_non_null(strstr(error.text, backend_name(kinds[i].kind)));
		}
		assert_true(
		    open_on("PLAIN LOGIN EXTERNAL XOAUTH2", &kinds[i], &site_oauth, &error));
		sasl_close();
	}
	for (size_t m = 0; m < COUNT(oauth); m++) {
		assert_false(open_on(oauth[m], NULL, NULL, &error));
		assert_non_null(strstr(error.text, oauth[m]));
		assert_non_null(strstr(error.text, "internal"));
	}
}

/* ---- app passwords ---- */

static void app_passwords(void **state)
{
	(void)state;
	static const char gone[] = "gp-abcdefghijklmnopqrstuvwxyz";
	const struct {
		const char *user, *password, *client;
		enum sasl_status status;
		const char *name;
		int asked; /* of the back end */
	} rows[] = {
		{ "alice", app_secret[0], "192.0.2.7", SASL_GOOD, "scanner", 0 },
		{ "alice", app_secret[0], "2001:db8::1", SASL_GOOD, "scanner", 0 },
		{ "EXAMPLE\\alice", app_secret[0], "192.0.2.7", SASL_GOOD, "scanner", 0 },
		{ "alice", app_secret[1], "192.0.2.7", SASL_GOOD, "printer", 0 },
		{ "alice", app_secret[1], "192.0.3.7", SASL_REFUSED, "", 0 },
		{ "alice", app_secret[1], "nonsense", SASL_REFUSED, "", 0 },
		{ "bob", app_secret[0], "192.0.2.7", SASL_REFUSED, "", 0 },
		{ "Alice Smith", app_secret[0], "192.0.2.7", SASL_REFUSED, "", 0 },
		{ "alice", gone, "192.0.2.7", SASL_REFUSED, "", 0 },
		{ "alice", "gp-right", "192.0.2.7", SASL_REFUSED, "", 1 },
		{ "damaged", app_secret[0], "192.0.2.7", SASL_REFUSED, "", 0 },
	};
	for (int internal = 0; internal < 2; internal++) {
		open_or_fail("PLAIN", internal ? NULL : &ldap);
		for (size_t i = 0; i < COUNT(rows); i++) {
			struct sasl_peer peer = a_peer(TLS_BITS);
			struct sasl_attempt *attempt = NULL;
			int calls = backend_heard.calls;
			peer.client = rows[i].client;
			peer.map = &map;
			enum sasl_status status = plain_from(&peer, rows[i].user,
			                                     rows[i].password, &attempt);
			bool damaged = internal && strcmp(rows[i].user, "damaged") == 0;
			if (status != (damaged ? SASL_UNAVAILABLE : rows[i].status) ||
			    !span_eq(sasl_attempt_apppass(attempt), span_str(rows[i].name))) {
				fail_msg("%d, row %zu: %d, %s", internal, i, status,
				         sasl_attempt_reason(attempt));
			}
			assert_int_equal(backend_heard.calls - calls,
			                 internal ? 0 : rows[i].asked);
			sasl_attempt_free(attempt);
		}
		sasl_close();
	}
}

/* Its form is no reason to refuse the account's own password. */
static void an_own_password_that_looks_like_one(void **state)
{
	(void)state;
	static const char looks[] = "gp-abcdefghijklmnopqrstuvwxyz";
	set_password("odd@example.org", looks, ITERATIONS);
	open_or_fail("PLAIN", NULL);
	assert_int_equal(plain("odd", looks), SASL_GOOD);
}

/* ---- what an attempt tells ---- */

static void a_hash_becomes_verifiers(void **state)
{
	(void)state;
	const struct sasl_peer peer = a_peer(TLS_BITS);
	struct sasl_attempt *attempt = NULL;
	open_or_fail("PLAIN", NULL);
	assert_int_equal(plain_from(&peer, "hashed", "wrong", &attempt), SASL_REFUSED);
	assert_int_equal(sasl_attempt_upgrade(attempt).len, 0);
	sasl_attempt_free(attempt);
	for (int i = 0; i < 2; i++) { /* the second time from the cache */
		assert_int_equal(plain_from(&peer, "hashed", "correct horse", &attempt),
		                 SASL_GOOD);
		struct span upgrade = sasl_attempt_upgrade(attempt);
		assert_true(secret_verifier_of(upgrade, SECRET_SHA1).len > 0);
		assert_true(secret_verifier_of(upgrade, SECRET_SHA256).len > 0);
		assert_true(secret_verifier_check(upgrade, SPAN_LIT("correct horse")));
		sasl_attempt_free(attempt);
	}
	assert_int_equal(plain_from(&peer, "alice", "correct horse", &attempt), SASL_GOOD);
	assert_int_equal(sasl_attempt_upgrade(attempt).len, 0);
	sasl_attempt_free(attempt);
}

/* The same wrong password again is the same guess, however the name is written. */
static void knows_the_same_guess_again(void **state)
{
	(void)state;
	static const struct {
		const char *user, *password;
		int like; /* the row it is like */
	} rows[] = {
		{ "alice", "one", 0 },     { ALICE, "one", 0 },
		{ "alice", "two", 2 },     { "bob", "one", 3 },
		{ " ALICE", "two", 2 },    { "Alice Smith", "one", 5 },
		{ "Bob Smith", "one", 6 }, { "alice", app_secret[1], 7 },
	};
	unsigned char guesses[COUNT(rows)][SCREEN_GUESS_BYTES];
	open_or_fail("PLAIN", NULL);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl_peer peer = a_peer(TLS_BITS);
		struct sasl_attempt *attempt = NULL;
		peer.client = "198.51.100.1";
		assert_int_equal(plain_from(&peer, rows[i].user, rows[i].password, &attempt),
		                 SASL_REFUSED);
		assert_true(sasl_attempt_guess(attempt, guesses[i]));
		sasl_attempt_free(attempt);
		for (size_t j = 0; j <= i; j++) {
			assert_int_equal(!memcmp(guesses[i], guesses[j], SCREEN_GUESS_BYTES),
			                 rows[i].like == rows[j].like);
		}
	}
}

static void says_why(void **state)
{
	(void)state;
	const struct {
		const char *user, *password, *reason;
	} rows[] = {
		{ "alice", "wrong", "wrong password or no such account" },
		{ "eve", "wrong", "wrong password or no such account" },
		{ "alice", "down", "the directory does not answer" },
		{ "alice", "right:a b", "the name that ldap returned is no account's" },
		{ "alice", app_secret[1], "the app password is not for this network" },
		{ "alice", "gp-abcdefghijklmnopqrstuvwxyz", "no such app password" },
	};
	open_or_fail("PLAIN", &ldap);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl_peer peer = a_peer(TLS_BITS);
		struct sasl_attempt *attempt = NULL;
		peer.client = "198.51.100.1";
		plain_from(&peer, rows[i].user, rows[i].password, &attempt);
		assert_string_equal(sasl_attempt_reason(attempt), rows[i].reason);
		sasl_attempt_free(attempt);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(certificates, shut),
		cmocka_unit_test_teardown(tokens, shut),
		cmocka_unit_test_teardown(a_bad_token_counts_for_who_was_typed, shut),
		cmocka_unit_test_teardown(one_person_one_account, shut),
		cmocka_unit_test_teardown(authzid_of_a_back_end, shut),
		cmocka_unit_test_teardown(a_success_is_known_for_a_while, shut),
		cmocka_unit_test_teardown(serves_only_what_it_can, shut),
		cmocka_unit_test_teardown(app_passwords, shut),
		cmocka_unit_test_teardown(an_own_password_that_looks_like_one, shut),
		cmocka_unit_test_teardown(a_hash_becomes_verifiers, shut),
		cmocka_unit_test_teardown(knows_the_same_guess_again, shut),
		cmocka_unit_test_teardown(says_why, shut),
	};
	return cmocka_run_group_tests_name("sasl_others", tests, open_all, close_site_store);
}
