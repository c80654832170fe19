/* No bytes are a token for a key whose other half nobody has, whatever stands in them; no bytes
 * are a set of keys that does harm; and whom claims name is a name. */
#include "auth/oauth_claims.h"
#include "fuzz.h"
#include "proto/base64.h"

#define SET \
	"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\"," \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"EC\"," \
	"\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"," \
	"\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"

static void try_token(struct span token)
{
	static struct jwt_keys *keys;
	struct buf payload = { .cap = JWT_BYTES_MAX };
	struct error reason = { .text = "" };
	keys = keys ? keys : jwt_keys_read(SPAN_LIT(SET), NULL);
	PROMISE(keys && !jwt_open(keys, token, &payload, &reason));
	PROMISE(payload.len == 0 && reason.text[0]);
	buf_done(&payload);
}

static void put_base64url(struct buf *out, struct span bytes)
{
	struct buf text = { .cap = 1024 };
	base64_encode(bytes, &text);
	for (size_t i = 0; i < text.len && text.ptr[i] != '='; i++) {
		char c = text.ptr[i];
		buf_put_byte(out, (char)(c == '+' ? '-' : c == '/' ? '_' : c));
	}
	buf_done(&text);
}

/* So that what is inside is reached: encoding is done for the fuzzer. */
static void try_parts(struct span in)
{
	struct buf token = { .cap = JWT_BYTES_MAX };
	for (int i = 0; i < 3; i++) {
		struct span part = fuzz_piece(&in);
		buf_put(&token, i ? SPAN_LIT(".") : SPAN_NONE);
		put_base64url(&token, part);
	}
	try_token(buf_span(&token));
	buf_done(&token);
}

static void try_set(struct span in)
{
	struct error error = { .text = "" };
	struct jwt_keys *keys = jwt_keys_read(in, &error);
	PROMISE(keys || error.text[0]);
	jwt_keys_free(keys);
}

static void try_claims(struct span in)
{
	const struct oauth_rules rules = {
		.jwks = "", .issuer = "i", .audience = "a", .claim = "email"
	};
	struct error reason = { .text = "" };
	json_t *claims = jwt_object_read(in, NULL);
	struct span name = claims ? oauth_claims_name(&rules, claims, 1700000000000, &reason)
	                          : SPAN_NONE;
	PROMISE(!claims || (name.len > 0) == (reason.text[0] == '\0'));
	PROMISE(name.len <= OAUTH_NAME_MAX && span_find(name, '\n') == name.len);
	PROMISE(!name.len || oauth_claims_end(claims) > 1699999940000);
	json_decref(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct span in) = { try_token, try_parts, try_set,
		                                         try_claims };
	struct span in = span_of(data, size);
	unsigned which = fuzz_byte(&in);
	tries[which % COUNT(tries)](in);
	return 0;
}
