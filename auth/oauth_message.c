/*
 * What clients send. OAUTHBEARER (RFC 7628 3.1): "n,a=alice@example.org,^Ahost=h^Aport=587^A
 * auth=Bearer TOKEN^A^A". XOAUTH2 (Google's, older): "user=alice@example.org^Aauth=Bearer
 * TOKEN^A^A". Pure.
 */
#include "auth/oauth.h"

#define SEPARATOR '\x01'

static bool has_controls(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
			return true;
		}
	}
	return false;
}

/* A b64token (RFC 6750 2.1): nothing in it means anything to a URL, a header or a log. */
static bool is_token(struct span text)
{
	size_t n = text.len;
	while (n && text.ptr[n - 1] == '=') {
		n--;
	}
	for (size_t i = 0; i < n; i++) {
		char c = span_lower(text.ptr[i]);
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || !strchr("-._~+/", c))) {
			return false;
		}
	}
	return n > 0 && text.len <= OAUTH_TOKEN_MAX;
}

/* "Bearer TOKEN", the scheme in any case (RFC 9110 11.1). */
static bool read_bearer(struct span value, struct span *token_out)
{
	if (!span_starts_nocase(value, SPAN_LIT("Bearer "))) {
		return false;
	}
	*token_out = span_trim(span_from(value, strlen("Bearer ")));
	return is_token(*token_out);
}

static bool is_word(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = span_lower(text.ptr[i]);
		if (c < 'a' || c > 'z') {
			return false;
		}
	}
	return text.len > 0;
}

struct pairs {
	struct span user, token;
	bool has_user, has_token;
};

static bool take_pair(struct pairs *pairs, struct span pair)
{
	size_t at = span_find(pair, '=');
	struct span key = span_first(pair, at);
	struct span value = span_from(pair, at + 1);
	if (at == pair.len || !is_word(key)) {
		return false;
	}
	if (span_eq_nocase(key, SPAN_LIT("auth"))) {
		bool first = !pairs->has_token;
		pairs->has_token = true;
		return first && read_bearer(value, &pairs->token);
	}
	if (span_eq_nocase(key, SPAN_LIT("user"))) {
		bool first = !pairs->has_user;
		pairs->has_user = true;
		pairs->user = value;
		return first && !has_controls(value);
	}
	return true; /* host, port and what others add say nothing to us */
}

/* key=value^A ... ^A, and nothing behind it. */
static bool read_pairs(struct span text, struct pairs *pairs)
{
	for (;;) {
		size_t end = span_find(text, SEPARATOR);
		if (end == text.len) {
			return false;
		}
		if (end == 0) {
			return text.len == 1 && pairs->has_token;
		}
		if (!take_pair(pairs, span_first(text, end))) {
			return false;
		}
		text = span_from(text, end + 1);
	}
}

/* Escaped commas and equals signs (RFC 5801 4) would have to be copied, and name nobody. A bare
 * "=" stands for itself: Thunderbird writes it so. */
static bool is_plain_name(struct span name)
{
	for (size_t i = 0; i + 2 < name.len; i++) {
		struct span here = span_of(name.ptr + i, 3);
		if (span_eq_nocase(here, SPAN_LIT("=2c")) ||
		    span_eq_nocase(here, SPAN_LIT("=3d"))) {
			return false;
		}
	}
	return !has_controls(name);
}

/* "n,a=alice," or "n,,"; "y" as well; no channel binding (RFC 7628 3.1). What is behind it. */
static bool read_gs2(struct span *text, struct span *user_out)
{
	struct span flag = span_first(*text, 2);
	if (!span_eq(flag, SPAN_LIT("n,")) && !span_eq(flag, SPAN_LIT("y,"))) {
		return false;
	}
	struct span rest = span_from(*text, 2);
	size_t end = span_find(rest, ',');
	struct span user = span_first(rest, end);
	if (end == rest.len || (user.len && !span_starts_nocase(user, SPAN_LIT("a=")))) {
		return false;
	}
	*user_out = span_from(user, 2);
	*text = span_from(rest, end + 1);
	return is_plain_name(*user_out) && (user.len == 0 || user_out->len > 0);
}

bool oauth_read_oauthbearer(struct span message, struct span *user_out, struct span *token_out)
{
	struct pairs pairs = { .has_user = false };
	struct span user;
	if (!read_gs2(&message, &user) || message.len == 0 || message.ptr[0] != SEPARATOR ||
	    !read_pairs(span_from(message, 1), &pairs)) {
		return false;
	}
	*user_out = user;
	*token_out = pairs.token;
	return true;
}

bool oauth_read_xoauth2(struct span message, struct span *user_out, struct span *token_out)
{
	struct pairs pairs = { .has_user = false };
	if (!read_pairs(message, &pairs)) {
		return false;
	}
	*user_out = pairs.user;
	*token_out = pairs.token;
	return true;
}

struct span oauth_refusal(void)
{
	return SPAN_LIT("{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}");
}
