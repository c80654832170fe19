/*
 * A site for the tests of auth/sasl: a store with accounts, the floor opened on it, and
 * stand-ins for whom it asks (auth/backend.h, auth/oauth.h: they have tests of their own). To
 * be included by one file of a program.
 */
#ifndef GATEPOST_TEST_AUTH_SASL_SITE_H
#define GATEPOST_TEST_AUTH_SASL_SITE_H

#include "auth/sasl.h"
#include "store/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef GATEPOST_SASL_PLUGINS
#define GATEPOST_SASL_PLUGINS "/usr/lib/sasl2"
#endif

#define ITERATIONS 4096
#define TLS_BITS   256
#define ALICE      "alice@example.org"

/* sha512crypt of "correct horse" */
#define HASHED \
	"{CRYPT}$6$abcdefgh$yIZAF3gQPvtKZO/9qOJKffAKKbtS3ef3qmwyugk4uWVjX8YZf/" \
	"GV3A8SkFxEPY0T56CcilGrHKLffBsp6dLMG."

static char dir[64];
static struct store *store;

/* ---- whom the floor asks ---- */

static struct {
	atomic_int calls;
	char user[256]; /* of the last question */
	char client[64];
} backend_heard;

/* "right" is right; the name returned is behind a colon: "right:alice.smith@example.org". */
static inline enum backend_answer stand_in_answer(struct span password, struct buf *name_out,
                                                  struct error *error)
{
	struct span word = span_first(password, span_find(password, ':'));
	if (span_eq(word, SPAN_LIT("down"))) {
		error_set(error, "the directory does not answer");
		return BACKEND_UNAVAILABLE;
	}
	if (!span_eq(word, SPAN_LIT("right"))) {
		return BACKEND_WRONG;
	}
	buf_put(name_out, span_from(password, word.len + 1));
	return BACKEND_RIGHT;
}

enum backend_answer backend_check(const struct backend_rules *rules,
                                  const struct backend_question *question, struct buf *name_out,
                                  struct error *error)
{
	assert_non_null(rules);
	backend_heard.calls++;
	snprintf(backend_heard.user, sizeof backend_heard.user, "%.*s",
	         SPAN_ARG(question->user));
	snprintf(backend_heard.client, sizeof backend_heard.client, "%.*s",
	         SPAN_ARG(question->client));
	return stand_in_answer(question->password, name_out, error);
}

const char *backend_name(enum backend_kind kind)
{
	static const char *const names[] = { "internal", "saslauthd", "sasldb",
		                             "ldap",     "sql",       "dovecot" };
	return names[kind];
}

bool backend_wants_password(enum backend_kind kind)
{
	return kind == BACKEND_SASLAUTHD || kind == BACKEND_LDAP || kind == BACKEND_DOVECOT;
}

struct oauth {
	int64_t wall; /* of the last question */
};

/* "good:NAME" is good and NAME's. */
enum oauth_answer oauth_check(struct oauth *oauth, struct span token, int64_t wall,
                              struct buf *name_out, struct error *reason)
{
	struct span word = span_first(token, span_find(token, ':'));
	oauth->wall = wall;
	if (span_eq(word, SPAN_LIT("down"))) {
		error_set(reason, "the endpoint does not answer");
		return OAUTH_UNAVAILABLE;
	}
	if (!span_eq(word, SPAN_LIT("good"))) {
		error_set(reason, "the token has expired");
		return OAUTH_BAD;
	}
	buf_put(name_out, span_from(token, word.len + 1));
	return OAUTH_GOOD;
}

/* "USER TOKEN", one form for both. */
bool oauth_read_xoauth2(struct span message, struct span *user_out, struct span *token_out)
{
	*user_out = span_first(message, span_find(message, ' '));
	*token_out = span_from(message, user_out->len + 1);
	return token_out->len > 0;
}

bool oauth_read_oauthbearer(struct span message, struct span *user_out, struct span *token_out)
{
	return oauth_read_xoauth2(message, user_out, token_out);
}

struct span oauth_refusal(void)
{
	return SPAN_LIT("{\"status\":\"invalid_token\"}");
}

/* ---- the site ---- */

static inline void put_secret(const char *name, struct span secret)
{
	struct account account = { .secret = secret };
	struct store_txn *txn = store_begin_write(store, NULL);
	assert_int_equal(account_put(txn, span_str(name), &account), STORE_OK);
	assert_int_equal(store_commit(txn, NULL), STORE_OK);
}

static inline void set_password(const char *name, const char *password, unsigned iterations)
{
	struct buf verifier = { .cap = SECRET_VERIFIER_MAX };
	assert_true(secret_verifier_make(span_str(password), iterations, &verifier));
	put_secret(name, buf_span(&verifier));
	buf_done(&verifier);
}

static struct oauth site_oauth;

static inline bool open_on(const char *mechanisms, const struct backend_rules *backend,
                           struct oauth *oauth, struct error *error)
{
	const struct sasl_rules rules = {
		.store = store,
		.hostname = "mail.example.org",
		.domain = "example.org",
		.mechanisms = mechanisms,
		.iterations = ITERATIONS,
		.key = { { 42 } },
		.backend = backend,
		.oauth = oauth,
	};
	return sasl_open(&rules, error);
}

static inline bool open_with(const char *mechanisms, struct error *error)
{
	return open_on(mechanisms, NULL, &site_oauth, error);
}

static inline void open_or_fail(const char *mechanisms, const struct backend_rules *backend)
{
	struct error error = { "" };
	if (!open_on(mechanisms, backend, &site_oauth, &error)) {
		fail_msg("%s", error.text);
	}
}

static inline int open_site_store(void **state)
{
	struct error error;
	const struct store_options options = { .size = 64 << 20, .longest_window = 86400000 };
	(void)state;
	/* What an attacker of the environment would set; must not matter. */
	setenv("SASL_PATH", "/tmp", 1);
	setenv("SASL_CONF_PATH", "/tmp", 1);
	snprintf(dir, sizeof dir, "/tmp/gatepost-sasl-XXXXXX");
	if (!mkdtemp(dir) || store_open(dir, &options, &store, &error) != STORE_OK) {
		return -1;
	}
	set_password(ALICE, "correct horse", ITERATIONS);
	set_password("bob@example.org", "battery staple", ITERATIONS);
	put_secret("nopassword@example.org", SPAN_NONE);
	put_secret("hashed@example.org", SPAN_LIT(HASHED));
	struct store_txn *txn = store_begin_write(store, NULL);
	store_put(txn, STORE_ACCOUNT, SPAN_LIT("damaged@example.org"),
	          SPAN_LIT("\x09\xff\xff"));
	return store_commit(txn, NULL) == STORE_OK ? 0 : -1;
}

static inline int close_site_store(void **state)
{
	char command[128];
	(void)state;
	store_close(store);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

/* ---- attempts ---- */

#define WALL INT64_C(1700000000000)

static inline struct sasl_peer a_peer(unsigned tls_bits)
{
	return (struct sasl_peer){ .tls_bits = tls_bits, .client = "192.0.2.7", .wall = WALL };
}

static inline struct sasl_attempt *new_attempt(unsigned tls_bits)
{
	const struct sasl_peer peer = a_peer(tls_bits);
	struct sasl_attempt *attempt = sasl_attempt_new(&peer);
	assert_non_null(attempt);
	return attempt;
}

struct script {
	const char *what;
	const char *mechanism;
	struct span initial;  /* ptr NULL: none */
	struct span steps[3]; /* up to one without ptr */
	enum sasl_status status;
	const char *challenges; /* each followed by | */
	const char *account;
};

static inline enum sasl_status play(const struct script *row, struct sasl_attempt *attempt,
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

static inline void check_row(const struct script *row, const struct sasl_peer *peer)
{
	struct buf challenges = { .cap = 4096 };
	struct sasl_attempt *attempt = sasl_attempt_new(peer);
	assert_non_null(attempt);
	enum sasl_status status = play(row, attempt, &challenges);
	struct span account = sasl_attempt_account(attempt);
	if (status != row->status || !span_eq(account, span_str(row->account))) {
		fail_msg("%s: status %d, account %.*s (%s)", row->what, status,
		         SPAN_ARG(account), sasl_attempt_reason(attempt));
	}
	if (row->challenges && !span_eq(buf_span(&challenges), span_str(row->challenges))) {
		fail_msg("%s: challenges %.*s", row->what, SPAN_ARG(buf_span(&challenges)));
	}
	if (status != SASL_MORE) { /* every failure has its reason, a success has none */
		assert_int_equal(sasl_attempt_reason(attempt)[0] != '\0', status != SASL_GOOD);
	}
	sasl_attempt_free(attempt);
	buf_done(&challenges);
}

static inline void play_rows(const struct script *rows, size_t count)
{
	const struct sasl_peer peer = a_peer(TLS_BITS);
	for (size_t i = 0; i < count; i++) {
		check_row(&rows[i], &peer);
	}
}

#define PLAIN(what, bytes, status) \
	{ \
		what, "PLAIN", SPAN_LIT(bytes), { { NULL, 0 } }, SASL_##status, NULL, NULL \
	}
#define PLAIN_GOOD(what, bytes, account) \
	{ \
		what, "PLAIN", SPAN_LIT(bytes), { { NULL, 0 } }, SASL_GOOD, NULL, account \
	}
#define PLAIN_ALICE(what, bytes) PLAIN_GOOD(what, bytes, ALICE)
#define LOGIN(what, user, pass, status, account) \
	{ \
		what, "LOGIN", { NULL, 0 }, { SPAN_LIT(user), SPAN_LIT(pass) }, SASL_##status, \
		    NULL, account \
	}

/* The message of PLAIN. */
static inline struct buf plain_message(const char *user, const char *password)
{
	struct buf bytes;
	buf_init_secret(&bytes, 4096);
	buf_put_byte(&bytes, '\0');
	buf_put_str(&bytes, user);
	buf_put_byte(&bytes, '\0');
	buf_put_str(&bytes, password);
	return bytes;
}

/* PLAIN from this peer, left for the caller to look at and free. */
static inline enum sasl_status plain_from(const struct sasl_peer *peer, const char *user,
                                          const char *password,
                                          struct sasl_attempt **attempt_out)
{
	struct buf out = { .cap = 4096 };
	struct buf message = plain_message(user, password);
	struct span initial = buf_span(&message);
	*attempt_out = sasl_attempt_new(peer);
	assert_non_null(*attempt_out);
	enum sasl_status status = sasl_attempt_start(*attempt_out, SPAN_LIT("PLAIN"), &initial,
	                                             &out);
	buf_done(&message);
	buf_done(&out);
	return status;
}

static inline enum sasl_status plain(const char *user, const char *password)
{
	const struct sasl_peer peer = a_peer(TLS_BITS);
	struct sasl_attempt *attempt = NULL;
	enum sasl_status status = plain_from(&peer, user, password, &attempt);
	sasl_attempt_free(attempt);
	return status;
}

#endif
