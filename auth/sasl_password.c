/* PLAIN and LOGIN: who says whether the password is right. */
#include "auth/sasl_state.h"

#include "auth/apppass.h"
#include "auth/success.h"

#include <assert.h>

/* Taken for nobody's account: always checked, never right. */
#define NOBODY SPAN_LIT("@")

enum verdict { RIGHT, WRONG, BROKEN, NEXT /* the next one is to be asked */ };

/* ---- app passwords ---- */

static bool is_allowed_here(struct sasl_attempt *attempt, const struct apppass *apppass)
{
	unsigned char address[NETWORK_ADDRESS_BYTES];
	if (apppass->nnetworks == 0) {
		return true;
	}
	if (network_address_parse(sasl_name_span(&attempt->client), address) &&
	    apppass_is_allowed(apppass, address)) {
		return true;
	}
	sasl_attempt_blame(attempt, "the app password is not for this network");
	return false;
}

/* One that is not there (deleted, or mistyped) goes no further than our own store: a scanner
 * that goes on with it would lock its owner out at a directory that counts. */
static enum verdict when_none(struct sasl_attempt *attempt)
{
	if (sasl_backend() == BACKEND_INTERNAL) {
		return NEXT;
	}
	sasl_attempt_blame(attempt, "no such app password");
	return WRONG;
}

static enum verdict ask_apppass(struct sasl_attempt *attempt, struct span password)
{
	struct apppass apppass;
	struct span account = sasl_name_span(&attempt->target);
	enum verdict verdict = BROKEN;
	if (!apppass_is_one(password)) {
		return NEXT;
	}
	struct store_txn *txn = store_begin_read(sasl_site.source.store, NULL);
	if (!txn) {
		return BROKEN;
	}
	enum store_result result = account.len ? apppass_find(txn, account, password, &apppass)
	                                       : STORE_NOT_FOUND;
	if (result == STORE_NOT_FOUND) {
		verdict = when_none(attempt);
	} else if (result == STORE_OK) {
		verdict = is_allowed_here(attempt, &apppass) ? RIGHT : WRONG;
	}
	if (verdict == RIGHT) {
		sasl_name_set(&attempt->apppass, apppass.name);
		attempt->proven = attempt->target;
	}
	store_abort(txn);
	return verdict;
}

/* ---- our own accounts ---- */

static enum verdict ask_store(struct sasl_attempt *attempt, struct span password)
{
	bool known = attempt->target.len > 0;
	struct span account = known ? sasl_name_span(&attempt->target) : NOBODY;
	switch (verifier_check(&sasl_site.source, account, password, &attempt->upgrade)) {
	case VERIFIER_RIGHT:
		return known ? RIGHT : WRONG;
	case VERIFIER_WRONG:
		return WRONG;
	case VERIFIER_UNREADABLE:
		break;
	}
	return BROKEN;
}

/* ---- a back end ---- */

/* Whose it is: the name that the back end gave, else the map's answer to the typed one. */
static bool put_account(const struct sasl_attempt *attempt, struct span returned,
                        struct buf *account_out)
{
	return returned.len ? identity_of_returned(&attempt->map, returned, account_out)
	                    : identity_of_typed(&attempt->map, sasl_name_span(&attempt->tried),
	                                        account_out);
}

static enum verdict take_answer(struct sasl_attempt *attempt, const struct success_key *key,
                                struct span returned)
{
	struct buf account = { .cap = SASL_NAME_BYTES };
	enum verdict verdict = BROKEN;
	if (put_account(attempt, returned, &account)) {
		success_put(key, buf_span(&account), attempt->now);
		sasl_name_set(&attempt->proven, buf_span(&account));
		verdict = RIGHT;
	} else {
		/* A right password: the user is not to be asked for another one. */
		sasl_attempt_blame(attempt, "the name that %s returned is no account's",
		                   backend_name(sasl_backend()));
	}
	buf_done(&account);
	return verdict;
}

static enum verdict ask_backend(struct sasl_attempt *attempt, const struct success_key *key)
{
	const struct backend_question question = {
		.user = key->name,
		.password = key->password,
		.client = sasl_name_span(&attempt->client),
		.tls = attempt->tls,
	};
	struct buf name = { .cap = SASL_NAME_BYTES };
	struct error error = { "" };
	enum verdict verdict = WRONG;
	switch (backend_check(sasl_site.backend, &question, &name, &error)) {
	case BACKEND_RIGHT:
		verdict = take_answer(attempt, key, buf_span(&name));
		break;
	case BACKEND_WRONG:
		break;
	case BACKEND_UNAVAILABLE:
		verdict = BROKEN;
		break;
	}
	if (error.text[0]) {
		sasl_attempt_blame(attempt, "%s", error.text);
	}
	buf_done(&name);
	return verdict;
}

static enum verdict ask_cache_and_backend(struct sasl_attempt *attempt, struct span password)
{
	const struct success_key key = {
		.name = span_trim(sasl_name_span(&attempt->tried)),
		.password = password,
		.against = span_str(backend_name(sasl_backend())),
	};
	struct buf account = { .cap = SASL_NAME_BYTES };
	bool cached = attempt->cache_time > 0 &&
	              success_find(&key, attempt->now - attempt->cache_time, &account);
	if (cached) {
		sasl_name_set(&attempt->proven, buf_span(&account));
	}
	buf_done(&account);
	return cached ? RIGHT : ask_backend(attempt, &key);
}

/* ---- sasldb and sql ---- */

static enum verdict leave_to_cyrus(struct sasl_attempt *attempt, struct span password)
{
	struct span name = sasl_name_span(&attempt->canonical);
	/* Cyrus compares up to a NUL. */
	if (!secret_password_is_valid(password) ||
	    (sasl_backend() == BACKEND_SQL && !sasl_sql_may_ask(name))) {
		return WRONG;
	}
	if (!sasl_users_are_there(attempt)) {
		return BROKEN;
	}
	attempt->by_cyrus = true;
	return WRONG; /* of us: Cyrus goes on to its own */
}

static enum verdict ask(struct sasl_attempt *attempt, struct span password)
{
	enum verdict verdict = ask_apppass(attempt, password);
	if (verdict != NEXT) {
		return verdict;
	}
	if (sasl_backend() == BACKEND_INTERNAL) {
		return ask_store(attempt, password);
	}
	if (span_eq(sasl_name_span(&attempt->canonical), NOBODY)) {
		return WRONG; /* control bytes, or too long: no back end has it */
	}
	return sasl_cyrus_has_users() ? leave_to_cyrus(attempt, password)
	                              : ask_cache_and_backend(attempt, password);
}

/* After a refusal Cyrus goes on to pwcheck_method and asks for a password in clear: our own
 * plugin never has one, and others are asked by nobody but leave_to_cyrus. */
int sasl_password_check(sasl_conn_t *conn, void *context, const char *user, const char *pass,
                        unsigned len, struct propctx *props)
{
	struct sasl_attempt *attempt = context;
	struct span password = span_of(pass, len);
	bool known = attempt->target.len > 0;
	(void)conn;
	(void)props;
	(void)user;
	success_guess(sasl_name_span(known ? &attempt->target : &attempt->tried), password,
	              attempt->guess);
	attempt->has_guess = true;
	enum verdict verdict = ask(attempt, password);
	attempt->right = verdict == RIGHT;
	if (verdict == BROKEN) {
		sasl_attempt_break(attempt, "the store can not be read");
	}
	return attempt->right ? SASL_OK : SASL_BADAUTH;
}
