#include "test/auth/sasl_site.h"

#include "test/auth/sasl_client.h"

#define ALL "PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS"

static int open_all(void **state)
{
	if (open_site_store(state) != 0 || open_client(state) != 0) {
		return -1;
	}
	open_or_fail(ALL, NULL);
	return 0;
}

static int close_all(void **state)
{
	sasl_close();
	return close_client(state) | close_site_store(state);
}

/* ---- logins, with Cyrus's client ---- */

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
		/* a hash has no verifiers: not SCRAM, whatever the password */
		{ "hashed", "", "correct horse", SASL_REFUSED, "" },
		{ "al,ice=", "", "x", SASL_REFUSED, "" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t m = 0; m < 2; m++) {
			struct exchange x = scram_by(m ? "SCRAM-SHA-1" : "SCRAM-SHA-256",
			                             rows[i].user, rows[i].authzid,
			                             rows[i].password);
			if (x.status != rows[i].status ||
			    strcmp(x.account, rows[i].account) != 0) {
				fail_msg("row %zu: status %d, client %d, account %s", i,
				         x.status, x.client, x.account);
			}
		}
	}
}

/* An account that is not there gets as far as one that is, and its salt stays the same. */
static void scram_does_not_tell_who_exists(void **state)
{
	(void)state;
	struct exchange wrong = scram(ALICE, "", "x");
	struct exchange unknown = scram("eve", "", "x");
	struct exchange again = scram("EVE@example.org", "", "y");
	struct exchange other = scram("eva", "", "x");
	struct exchange hashed = scram("hashed", "", "correct horse");
	assert_int_equal(wrong.rounds, unknown.rounds);
	assert_int_equal(wrong.status, unknown.status);
	assert_int_equal(wrong.rounds, hashed.rounds);
	assert_int_equal(strlen(wrong.challenge), strlen(hashed.challenge));
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
		struct sasl_attempt *attempt = new_attempt(TLS_BITS);
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

/* ---- channel binding ---- */

#define EXPORTER  SPAN_LIT("an exporter's thirty-two bytes..")
#define END_POINT SPAN_LIT("the digest of a certificate, 32b")

static struct sasl_peer bound_peer(bool exporter, bool end_point)
{
	struct sasl_peer peer = a_peer(TLS_BITS);
	peer.exporter = exporter ? EXPORTER : SPAN_NONE;
	peer.end_point = end_point ? END_POINT : SPAN_NONE;
	return peer;
}

static void binds_to_the_channel(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		const char *mechanism;
		const char *binding;
		struct span data;
		bool exporter, end_point; /* that the server has */
		const char *password;
		enum sasl_status status;
	} rows[] = {
		{ "exporter", "SCRAM-SHA-256-PLUS", "tls-exporter", EXPORTER, true, true,
		  "correct horse", SASL_GOOD },
		{ "end point", "SCRAM-SHA-256-PLUS", "tls-server-end-point", END_POINT, true,
		  true, "correct horse", SASL_GOOD },
		{ "SHA-1", "SCRAM-SHA-1-PLUS", "tls-exporter", EXPORTER, true, true,
		  "correct horse", SASL_GOOD },
		{ "SHA-1, end point", "SCRAM-SHA-1-PLUS", "tls-server-end-point", END_POINT,
		  true, true, "correct horse", SASL_GOOD },
		{ "TLS 1.2 without EMS", "SCRAM-SHA-256-PLUS", "tls-server-end-point",
		  END_POINT, false, true, "correct horse", SASL_GOOD },
		{ "wrong password", "SCRAM-SHA-256-PLUS", "tls-exporter", EXPORTER, true, true,
		  "x", SASL_REFUSED },
		{ "somebody between", "SCRAM-SHA-256-PLUS", "tls-exporter", END_POINT, true,
		  true, "correct horse", SASL_REFUSED },
		{ "another certificate", "SCRAM-SHA-256-PLUS", "tls-server-end-point", EXPORTER,
		  true, true, "correct horse", SASL_REFUSED },
		{ "shorter", "SCRAM-SHA-256-PLUS", "tls-exporter", SPAN_LIT("an exp"), true,
		  true, "correct horse", SASL_REFUSED },
		{ "a kind we have not", "SCRAM-SHA-256-PLUS", "tls-unique", EXPORTER, true,
		  true, "correct horse", SASL_REFUSED },
		{ "a kind not there", "SCRAM-SHA-256-PLUS", "tls-exporter", EXPORTER, false,
		  true, "correct horse", SASL_REFUSED },
		{ "none is there", "SCRAM-SHA-256-PLUS", "tls-exporter", EXPORTER, false, false,
		  "correct horse", SASL_NO_MECHANISM },
		{ "without -PLUS",
		  "SCRAM-SHA-256",
		  NULL,
		  { NULL, 0 },
		  true,
		  true,
		  "correct horse",
		  SASL_GOOD },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct sasl_peer peer = bound_peer(rows[i].exporter, rows[i].end_point);
		struct client client = {
			.user = ALICE,
			.authzid = "",
			.password = rows[i].password,
			.mechanism = rows[i].mechanism,
			.binding = rows[i].binding,
			.data = rows[i].data,
		};
		struct sasl_attempt *attempt = sasl_attempt_new(&peer);
		struct exchange x = exchange_with(&client, attempt);
		if (x.status != rows[i].status) {
			fail_msg("%s: %d, client %d, %s", rows[i].what, x.status, x.client,
			         sasl_attempt_reason(attempt));
		}
		sasl_attempt_free(attempt);
	}
}

/* RFC 5802 section 6: whoever took -PLUS out of our list on the way gains nothing. */
static void binding_is_not_talked_away(void **state)
{
	(void)state;
	static const struct {
		const char *offered;
		const char *mechanism;
		struct span first;
		bool bound;
		enum sasl_status status;
	} rows[] = {
		{ ALL, "SCRAM-SHA-256", SPAN_LIT("n,,n=alice," NONCE), true, SASL_MORE },
		{ ALL, "SCRAM-SHA-256", SPAN_LIT("y,,n=alice," NONCE), true, SASL_REFUSED },
		{ ALL, "SCRAM-SHA-1", SPAN_LIT("y,,n=alice," NONCE), true, SASL_REFUSED },
		{ ALL, "SCRAM-SHA-256", SPAN_LIT("y,,n=alice," NONCE), false, SASL_MORE },
		{ "SCRAM-SHA-256", "SCRAM-SHA-256", SPAN_LIT("y,,n=alice," NONCE), true,
		  SASL_MORE },
		{ ALL, "SCRAM-SHA-256", SPAN_LIT("p=tls-exporter,,n=alice," NONCE), true,
		  SASL_REFUSED },
		{ ALL, "SCRAM-SHA-256-PLUS", SPAN_LIT("p=tls-exporter,,n=alice," NONCE), true,
		  SASL_MORE },
		{ ALL, "SCRAM-SHA-256-PLUS", SPAN_LIT("n,,n=alice," NONCE), true,
		  SASL_REFUSED },
		{ ALL, "SCRAM-SHA-256-PLUS", SPAN_LIT("y,,n=alice," NONCE), true,
		  SASL_REFUSED },
		{ ALL, "SCRAM-SHA-256-PLUS", SPAN_LIT("p=,,n=alice," NONCE), true,
		  SASL_REFUSED },
		{ ALL, "SCRAM-SHA-256-PLUS", SPAN_LIT("p"), true, SASL_REFUSED },
		{ ALL, "SCRAM-SHA-256-PLUS", SPAN_LIT("p=tls-exporter"), true, SASL_REFUSED },
		{ ALL, "SCRAM-SHA-256-PLUS", SPAN_LIT(""), true, SASL_REFUSED },
		{ "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
		  SPAN_LIT("p=tls-exporter,,n=alice," NONCE), true, SASL_NO_MECHANISM },
		{ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", SPAN_LIT("n,,n=alice," NONCE), true,
		  SASL_NO_MECHANISM },
		{ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS",
		  SPAN_LIT("p=tls-exporter,,n=alice," NONCE), true, SASL_MORE },
	};
	for (size_t i = 0; i < COUNT(rows) * 2; i++) {
		const size_t r = i / 2;
		const struct sasl_peer peer = bound_peer(rows[r].bound, rows[r].bound);
		const bool with_auth = i % 2; /* or in answer to an empty challenge */
		struct buf out = { .cap = 4096 };
		sasl_close();
		open_or_fail(rows[r].offered, NULL);
		struct sasl_attempt *attempt = sasl_attempt_new(&peer);
		enum sasl_status status = sasl_attempt_start(
		    attempt, span_str(rows[r].mechanism), with_auth ? &rows[r].first : NULL,
		    &out);
		if (!with_auth && status == SASL_MORE) {
			status = sasl_attempt_step(attempt, rows[r].first, &out);
		}
		if (status != rows[r].status) {
			fail_msg("row %zu: %d", r, status);
		}
		sasl_attempt_free(attempt);
		buf_done(&out);
	}
	sasl_close();
	open_or_fail(ALL, NULL);
}

/* AU03: left in the middle, at each of its steps. */
static void left_at_every_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct sasl_peer peer = bound_peer(true, true);
		const struct span first = SPAN_LIT("p=tls-exporter,,n=alice," NONCE);
		struct buf out = { .cap = 4096 };
		struct sasl_attempt *attempt = sasl_attempt_new(&peer);
		if (i > 0) {
			assert_int_equal(sasl_attempt_start(attempt,
			                                    SPAN_LIT("SCRAM-SHA-1-PLUS"),
			                                    i > 1 ? &first : NULL, &out),
			                 SASL_MORE);
		}
		if (i > 2) {
			sasl_attempt_step(attempt, SPAN_LIT("c=biws"), &out);
		}
		assert_int_equal(sasl_attempt_account(attempt).len, 0);
		sasl_attempt_free(attempt);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scram_logins),
		cmocka_unit_test(scram_does_not_tell_who_exists),
		cmocka_unit_test(scram_garbage),
		cmocka_unit_test(binds_to_the_channel),
		cmocka_unit_test(binding_is_not_talked_away),
		cmocka_unit_test(left_at_every_step),
	};
	return cmocka_run_group_tests_name("sasl_scram", tests, open_all, close_all);
}
