#include "auth/oauth.h"

#include "auth/oauth_cache.h"
#include "auth/oauth_claims.h"
#include "auth/oauth_introspect.h"
#include "auth/oauth_keys.h"
#include "auth/secret.h"
#include "proto/arena.h"

#include <assert.h>
#include <stdlib.h>

_Static_assert(JWT_BYTES_MAX == OAUTH_TOKEN_MAX, "one limit for tokens");

struct oauth {
	struct arena memory; /* of the rules' text */
	struct oauth_rules rules;
	struct oauth_keys *keys;   /* NULL: ... */
	struct oauth_cache *cache; /* ... the endpoint is asked, with this in front */
};

static bool copy_rules(struct oauth *oauth, const struct oauth_rules *rules)
{
	oauth->rules = *rules;
	const char **texts[] = {
		&oauth->rules.jwks,          &oauth->rules.issuer,     &oauth->rules.audience,
		&oauth->rules.claim,         &oauth->rules.introspect, &oauth->rules.client_id,
		&oauth->rules.client_secret, &oauth->rules.ca,
	};
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct span copy = SPAN_NONE;
		if (*texts[i] && !arena_copy(&oauth->memory, span_str(*texts[i]), &copy)) {
			return false;
		}
		*texts[i] = copy.ptr;
	}
	return true;
}

struct oauth *oauth_open(const struct oauth_rules *rules, struct error *error)
{
	assert((rules->jwks && rules->issuer && rules->audience) || rules->introspect);
	assert(rules->claim && rules->claim[0] && rules->timeout > 0);
	struct oauth *oauth = calloc(1, sizeof *oauth);
	if (!oauth) {
		error_set(error, "no memory");
		return NULL;
	}
	arena_init(&oauth->memory, 65536);
	bool ok = copy_rules(oauth, rules);
	if (!ok) {
		error_set(error, "no memory");
	} else if (rules->jwks) {
		oauth->keys = oauth_keys_open(rules->jwks, error);
		ok = oauth->keys != NULL;
	} else {
		oauth->cache = oauth_cache_new();
		ok = oauth->cache && oauth_introspect_init(&oauth->rules, error);
	}
	if (!ok) {
		oauth_close(oauth);
		return NULL;
	}
	return oauth;
}

void oauth_close(struct oauth *oauth)
{
	if (!oauth) {
		return;
	}
	char *secret = (char *)(uintptr_t)oauth->rules.client_secret; /* our copy */
	if (secret) {
		secret_cleanse(secret, strlen(secret));
	}
	oauth_keys_close(oauth->keys);
	oauth_cache_free(oauth->cache);
	arena_done(&oauth->memory);
	free(oauth);
}

/* ---- a token ---- */

static enum oauth_answer check_claims(const struct oauth *oauth, const json_t *claims,
                                      int64_t wall, struct buf *name_out, struct error *reason)
{
	struct span name = oauth_claims_name(&oauth->rules, claims, wall, reason);
	if (name.len == 0) {
		return OAUTH_BAD;
	}
	buf_put(name_out, name); /* without room: it has failed, and the caller sees it */
	return OAUTH_GOOD;
}

static enum oauth_answer check_signed(struct oauth *oauth, struct span token, int64_t wall,
                                      struct buf *name_out, struct error *reason)
{
	struct buf payload = { .cap = OAUTH_TOKEN_MAX, .secret = true };
	enum oauth_answer answer = OAUTH_BAD;
	if (oauth_keys_verify(oauth->keys, token, wall, &payload, reason)) {
		json_t *claims = jwt_object_read(buf_span(&payload), NULL);
		if (claims) {
			answer = check_claims(oauth, claims, wall, name_out, reason);
		} else {
			error_set(reason, "the token's claims are not a JSON object");
		}
		json_decref(claims);
	}
	buf_done(&payload);
	return answer;
}

/* RFC 7662 2.2. An answer without a plain `active` is none. */
static enum oauth_answer check_answer(const struct oauth *oauth, const json_t *claims,
                                      int64_t wall, struct buf *name_out, struct error *reason)
{
	const json_t *active = json_object_get(claims, "active");
	if (!json_is_boolean(active)) {
		error_set(reason, "the introspection endpoint: its answer is not one");
		return OAUTH_UNAVAILABLE;
	}
	if (!json_is_true(active)) {
		error_set(reason, "the token: not active, says the introspection endpoint");
		return OAUTH_BAD;
	}
	return check_claims(oauth, claims, wall, name_out, reason);
}

static enum oauth_answer ask(struct oauth *oauth, struct span token, int64_t wall,
                             struct buf *name_out, struct error *reason)
{
	struct buf body = { .cap = OAUTH_ANSWER_MAX };
	size_t begin = name_out->len;
	enum oauth_answer answer = OAUTH_UNAVAILABLE;
	json_t *claims = NULL;
	if (oauth_introspect_ask(&oauth->rules, token, &body, reason)) {
		claims = jwt_object_read(buf_span(&body), NULL);
		answer = check_answer(oauth, claims, wall, name_out, reason);
	}
	if (answer == OAUTH_GOOD) {
		oauth_cache_put(oauth->cache, token, span_from(buf_span(name_out), begin), wall,
		                oauth_claims_end(claims));
	}
	json_decref(claims);
	buf_done(&body);
	return answer;
}

enum oauth_answer oauth_check(struct oauth *oauth, struct span token, int64_t wall,
                              struct buf *name_out, struct error *reason)
{
	if (token.len == 0 || token.len > OAUTH_TOKEN_MAX) {
		error_set(reason, "the token is empty or too long");
		return OAUTH_BAD;
	}
	if (oauth->keys) {
		return check_signed(oauth, token, wall, name_out, reason);
	}
	if (oauth_cache_find(oauth->cache, token, wall, name_out)) {
		return OAUTH_GOOD;
	}
	return ask(oauth, token, wall, name_out, reason);
}

bool oauth_take_note(struct oauth *oauth, struct error *note_out)
{
	return oauth->keys && oauth_keys_take_note(oauth->keys, note_out);
}

void oauth_forget(struct oauth *oauth)
{
	if (oauth->cache) {
		oauth_cache_forget(oauth->cache);
	}
}
