#include "auth/oauth_claims.h"

/* In seconds. 2^53: beyond it JSON's numbers are not whole, and no clock ever gets there. */
#define DATE_MAX 9007199254740992.0

/* A NumericDate (RFC 7519 2) in ms: whole or with a fraction. False for anything else. */
static bool date_read(const json_t *claims, const char *name, int64_t *ms_out)
{
	const json_t *date = json_object_get(claims, name);
	double seconds = json_number_value(date);
	if (!json_is_number(date) || !(seconds >= 0 && seconds <= DATE_MAX)) {
		return false;
	}
	*ms_out = (int64_t)(seconds * 1000);
	return true;
}

static const char *check_dates(const struct oauth_rules *rules, const json_t *claims,
                               int64_t wall)
{
	static const char *const begins[][3] = {
		{ "nbf", "nbf is no date", "it is not yet good (nbf)" },
		{ "iat", "iat is no date", "it was made in the future (iat)" },
	};
	int64_t date;
	if (json_object_get(claims, "exp") || rules->jwks) {
		if (!date_read(claims, "exp", &date)) {
			return "exp is missing or no date";
		}
		if (wall >= date + OAUTH_SKEW_MS) {
			return "it has expired";
		}
	}
	for (size_t i = 0; i < COUNT(begins); i++) {
		if (!json_object_get(claims, begins[i][0])) {
			continue;
		}
		if (!date_read(claims, begins[i][0], &date)) {
			return begins[i][1];
		}
		if (wall < date - OAUTH_SKEW_MS) {
			return begins[i][2];
		}
	}
	return NULL;
}

static bool is_for(const json_t *audience, struct span us)
{
	if (json_is_string(audience)) {
		return span_eq(
		    us, span_of(json_string_value(audience), json_string_length(audience)));
	}
	for (size_t i = 0; i < json_array_size(audience); i++) {
		const json_t *one = json_array_get(audience, i);
		if (json_is_string(one) &&
		    span_eq(us, span_of(json_string_value(one), json_string_length(one)))) {
			return true;
		}
	}
	return false;
}

static bool is_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f) {
			return false;
		}
	}
	return name.len > 0 && name.len <= OAUTH_NAME_MAX;
}

/* An address that its issuer has not looked at is what anybody typed there. Some say it as
 * text.
 */
static bool is_verified(const json_t *claims, const char *claim)
{
	const json_t *said = json_object_get(claims, "email_verified");
	return strcmp(claim, "email") != 0 || !said || json_is_true(said) ||
	       span_eq(jwt_object_text(claims, "email_verified"), SPAN_LIT("true"));
}

struct span oauth_claims_name(const struct oauth_rules *rules, const json_t *claims,
                              int64_t wall, struct error *reason)
{
	struct span name = jwt_object_text(claims, rules->claim);
	const char *fault = check_dates(rules, claims, wall);
	if (fault) {
		error_set(reason, "the token: %s", fault);
	} else if (rules->issuer &&
	           !span_eq(jwt_object_text(claims, "iss"), span_str(rules->issuer))) {
		error_set(reason, "the token: another issuer (iss)");
	} else if (rules->audience &&
	           !is_for(json_object_get(claims, "aud"), span_str(rules->audience))) {
		error_set(reason, "the token: for another audience (aud)");
	} else if (!is_name(name)) {
		error_set(reason, "the token: no name in %.100s", rules->claim);
	} else if (!is_verified(claims, rules->claim)) {
		error_set(reason, "the token: its issuer has not verified the address");
	} else {
		return name;
	}
	return SPAN_NONE;
}

int64_t oauth_claims_end(const json_t *claims)
{
	int64_t end = INT64_MAX;
	date_read(claims, "exp", &end);
	return end;
}
