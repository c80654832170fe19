#include "auth/verifier.h"

#include "auth/success.h"
#include "store/account.h"

/* Its secret, or a fake one. The transaction ends here: during PBKDF2 it would hold pages for
 * milliseconds. */
static bool find_secret(const struct verifier_source *source, struct span account,
                        struct buf *secret_out)
{
	struct account row = { .secret = SPAN_NONE };
	struct store_txn *txn = store_begin_read(source->store, NULL);
	if (!txn) {
		return false;
	}
	enum store_result result = account_get(txn, account, &row);
	bool found = result == STORE_OK && row.secret.len > 0;
	bool ok = found ? buf_put(secret_out, row.secret)
	                : result == STORE_OK || result == STORE_NOT_FOUND;
	store_abort(txn);
	if (ok && !found) {
		ok = secret_verifier_fake(&source->key, account, source->iterations,
		                          secret_out);
	}
	return ok;
}

static bool put_verifier(struct span secret, enum secret_hash hash, struct buf *verifier_out)
{
	struct span verifier = secret_verifier_of(secret, hash);
	return verifier.len && buf_put(verifier_out, verifier);
}

bool verifier_find(const struct verifier_source *source, struct span account,
                   enum secret_hash hash, struct buf *verifier_out)
{
	struct buf secret, fake;
	buf_init_secret(&secret, SECRET_VERIFIER_MAX);
	buf_init_secret(&fake, SECRET_VERIFIER_MAX);
	/* The fake is made in any case: who has no verifier takes no longer than who has. */
	bool ok = find_secret(source, account, &secret) &&
	          secret_verifier_fake(&source->key, account, source->iterations, &fake) &&
	          (put_verifier(buf_span(&secret), hash, verifier_out) ||
	           put_verifier(buf_span(&fake), hash, verifier_out));
	buf_done(&secret);
	buf_done(&fake);
	return ok;
}

void verifier_forget(struct buf *verifier)
{
	secret_cleanse(verifier->ptr, verifier->len);
	buf_done(verifier);
}

/* An entry is as good as new for ever: the secret is read each time and is part of the key. */
static bool is_right(struct span account, struct span password, struct span secret)
{
	const struct success_key key = { .name = account,
		                         .password = password,
		                         .against = secret };
	struct buf known = { .cap = 256 };
	bool right = success_find(&key, INT64_MIN, &known);
	buf_done(&known);
	if (!right && secret_verifier_check(secret, password)) {
		success_put(&key, account, 0);
		right = true;
	}
	return right;
}

enum verifier_answer verifier_check(const struct verifier_source *source, struct span account,
                                    struct span password, struct buf *upgrade_out)
{
	struct buf secret;
	enum verifier_answer answer = VERIFIER_UNREADABLE;
	buf_init_secret(&secret, SECRET_VERIFIER_MAX);
	if (find_secret(source, account, &secret)) {
		answer = is_right(account, password, buf_span(&secret)) ? VERIFIER_RIGHT
		                                                        : VERIFIER_WRONG;
	}
	if (answer == VERIFIER_RIGHT && secret_is_crypt(buf_span(&secret))) {
		/* Without them it stays as it is: no reason to refuse the login. */
		secret_verifier_make(password, source->iterations, upgrade_out);
	}
	buf_done(&secret);
	return answer;
}
