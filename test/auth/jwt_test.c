#include "auth/jwt.h"

#include "token_maker.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { RSA_KEY, P256, ED25519, OTHER_RSA, OTHER_P256, OTHER_ED25519, KEYS };

static EVP_PKEY *made[KEYS];
static struct jwt_keys *ours; /* the first three, by the names "r", "p" and "e" */
static struct buf set_text = { .cap = 65536 };

#define PAYLOAD "{\"sub\":\"alice\"}"

static int make_keys(void **state)
{
	static const char *const members[] = { ",\"kid\":\"r\",\"use\":\"sig\"",
		                               ",\"kid\":\"p\",\"alg\":\"ES256\"",
		                               ",\"kid\":\"e\"" };
	struct error error;
	(void)state;
	for (int i = 0; i < KEYS; i += 3) {
		made[i + RSA_KEY] = EVP_RSA_gen(2048);
		made[i + P256] = EVP_EC_gen("P-256");
		made[i + ED25519] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	}
	buf_put_str(&set_text, "{\"keys\":[");
	for (size_t i = 0; i < COUNT(members); i++) {
		buf_put_str(&set_text, i ? "," : "");
		maker_put_jwk(&set_text, made[i], members[i]);
	}
	buf_put_str(&set_text, "]}");
	ours = jwt_keys_read(buf_span(&set_text), &error);
	return ours ? 0 : -1;
}

static int free_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < KEYS; i++) {
		EVP_PKEY_free(made[i]);
	}
	jwt_keys_free(ours);
	buf_done(&set_text);
	return 0;
}

/* "" when it is good, else why not. */
static const char *open_with(const struct jwt_keys *keys, struct span token)
{
	static struct error reason;
	struct buf payload = { .cap = JWT_BYTES_MAX };
	reason.text[0] = '\0';
	bool good = jwt_open(keys, token, &payload, &reason);
	assert_int_equal(good, reason.text[0] == '\0');
	assert_int_equal(good, payload.len > 0);
	assert_true(!good || span_eq(buf_span(&payload), SPAN_LIT(PAYLOAD)));
	buf_done(&payload);
	return reason.text;
}

#define WRONG   "the token's signature is wrong"
#define NOT_JWT "the token is not a signed JWT"

static void takes_what_its_key_has_signed(void **state)
{
	(void)state;
	static const struct {
		int key;
		const char *header, *reason;
	} rows[] = {
		{ RSA_KEY, "{\"alg\":\"RS256\"}", "" },
		{ RSA_KEY, "{\"alg\":\"RS256\",\"kid\":\"r\"}", "" },
		{ P256, "{\"alg\":\"ES256\"}", "" },
		{ P256, " { \"kid\" : \"p\" , \"alg\" : \"ES256\" } ", "" },
		{ ED25519, "{\"alg\":\"EdDSA\"}", "" },
		{ ED25519, "{\"alg\":\"EdDSA\",\"kid\":\"e\",\"typ\":\"JWT\"}", "" },
		{ ED25519, "{\"alg\":\"EdDSA\",\"typ\":\"AT+jwt\"}", "" },
		{ ED25519, "{\"alg\":\"EdDSA\",\"typ\":\"application/at+jwt\"}", "" },
		/* keys of others */
		{ OTHER_RSA, "{\"alg\":\"RS256\"}", WRONG },
		{ OTHER_RSA, "{\"alg\":\"RS256\",\"kid\":\"r\"}", WRONG },
		{ OTHER_P256, "{\"alg\":\"ES256\",\"kid\":\"p\"}", WRONG },
		{ OTHER_ED25519, "{\"alg\":\"EdDSA\"}", WRONG },
		/* the name of another key, or of none */
		{ RSA_KEY, "{\"alg\":\"RS256\",\"kid\":\"p\"}", "no RS256 key \"p\"" },
		{ RSA_KEY, "{\"alg\":\"RS256\",\"kid\":\"R\"}", "no RS256 key \"R\"" },
		{ RSA_KEY, "{\"alg\":\"RS256\",\"kid\":\"\"}", "no RS256 key \"\"" },
		{ RSA_KEY, "{\"alg\":\"RS256\",\"kid\":7}", "the token's kid is not text" },
		{ RSA_KEY, "{\"alg\":\"RS256\",\"kid\":null}", "the token's kid is not text" },
		/* an algorithm that is not the key's, or not ours */
		{ RSA_KEY, "{\"alg\":\"ES256\"}", WRONG },
		{ RSA_KEY, "{\"alg\":\"EdDSA\",\"kid\":\"r\"}", "no EdDSA key \"r\"" },
		{ P256, "{\"alg\":\"RS256\"}", WRONG },
		{ P256, "{\"alg\":\"EdDSA\"}", WRONG },
		{ RSA_KEY, "{\"alg\":\"none\"}", "the token's alg \"none\" is none of ours" },
		{ RSA_KEY, "{\"alg\":\"rs256\"}", "the token's alg \"rs256\" is none of ours" },
		{ RSA_KEY, "{\"alg\":\"RS512\"}", "the token's alg \"RS512\" is none of ours" },
		{ RSA_KEY, "{\"alg\":\"\"}", "the token's alg \"\" is none of ours" },
		{ RSA_KEY, "{\"alg\":[\"RS256\"]}", "the token's alg \"\" is none of ours" },
		{ RSA_KEY, "{}", "the token's alg \"\" is none of ours" },
		/* what must not be ignored, and what must not be said twice */
		{ P256, "{\"alg\":\"ES256\",\"crit\":[\"exp\"]}",
		  "the token wants extensions (crit)" },
		{ P256, "{\"alg\":\"ES256\",\"crit\":[]}",
		  "the token wants extensions (crit)" },
		{ P256, "{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}",
		  "the token wants extensions (crit)" },
		{ P256, "{\"alg\":\"none\",\"alg\":\"ES256\"}",
		  "the token's header is not a JSON object" },
		{ P256, "[\"ES256\"]", "the token's header is not a JSON object" },
		{ P256, "{\"alg\":\"ES256\"}}", "the token's header is not a JSON object" },
		{ P256, "{\"alg\":\"ES256\\u0000\"}",
		  "the token's header is not a JSON object" },
		{ P256, "{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}",
		  "the token is for something else (typ)" },
		{ P256, "{\"alg\":\"ES256\",\"typ\":1}",
		  "the token is for something else (typ)" },
		{ P256, "", NOT_JWT },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf token = { .cap = JWT_BYTES_MAX };
		maker_put_token(&token, made[rows[i].key], rows[i].header, PAYLOAD);
		assert_string_equal(open_with(ours, buf_span(&token)), rows[i].reason);
		buf_done(&token);
	}
}

/* A token that brings its own key, in each way that RFC 7515 4.1 has. */
static void believes_no_key_in_a_token(void **state)
{
	static const char *const names[] = { "jwk", "jku", "x5u", "x5c" };
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct buf header = { .cap = 4096 }, token = { .cap = JWT_BYTES_MAX };
		buf_printf(&header, "{\"alg\":\"ES256\",\"%s\":", names[i]);
		maker_put_jwk(&header, made[OTHER_P256], ",\"kid\":\"p\"");
		buf_put(&header, SPAN_LIT("}\0"));
		maker_put_token(&token, made[OTHER_P256], header.ptr, PAYLOAD);
		assert_string_equal(open_with(ours, buf_span(&token)), WRONG);
		buf_done(&header);
		buf_done(&token);
	}
}

static void shares_no_key(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"HS256\"}",
		                               "{\"alg\":\"HS256\",\"kid\":\"r\"}",
		                               "{\"alg\":\"RS256\",\"kid\":\"r\"}",
		                               "{\"alg\":\"EdDSA\",\"kid\":\"e\"}" };
	(void)state;
	struct buf shared[3] = { { .cap = 8192 }, { .cap = 8192 }, { .cap = 8192 } };
	BIO *pem = BIO_new(BIO_s_mem());
	char *text;
	assert_true(PEM_write_bio_PUBKEY(pem, made[RSA_KEY]));
	long len = BIO_get_mem_data(pem, &text);
	buf_put(&shared[0], span_of(text, (size_t)len));
	maker_put_number(&shared[1], made[RSA_KEY], OSSL_PKEY_PARAM_RSA_N);
	buf_put(&shared[2], buf_span(&set_text));
	BIO_free(pem);
	for (size_t h = 0; h < COUNT(headers); h++) {
		for (size_t k = 0; k < COUNT(shared); k++) {
			struct buf token = { .cap = JWT_BYTES_MAX };
			maker_put_parts(&token, headers[h], SPAN_LIT(PAYLOAD));
			maker_put_hmac(&token, buf_span(&shared[k]));
			assert_string_not_equal(open_with(ours, buf_span(&token)), "");
			buf_done(&token);
		}
	}
	for (size_t k = 0; k < COUNT(shared); k++) {
		buf_done(&shared[k]);
	}
}

static void wants_signatures_in_their_form(void **state)
{
	static const unsigned char zeros[64];
	(void)state;
	struct buf token = { .cap = JWT_BYTES_MAX };
	const struct {
		const char *header;
		struct span signature;
		const char *reason;
	} rows[] = {
		/* r = s = 0 fits any message where it is not looked at */
		{ "{\"alg\":\"ES256\"}", span_of(zeros, 64), WRONG },
		{ "{\"alg\":\"ES256\"}", span_of(zeros, 63), WRONG },
		{ "{\"alg\":\"EdDSA\"}", span_of(zeros, 64), WRONG },
		{ "{\"alg\":\"RS256\"}", span_of(zeros, 1), WRONG },
		{ "{\"alg\":\"none\"}", SPAN_NONE, NOT_JWT },
		{ "{\"alg\":\"ES256\"}", SPAN_NONE, NOT_JWT },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		maker_put_parts(&token, rows[i].header, SPAN_LIT(PAYLOAD));
		buf_put_byte(&token, '.');
		maker_put(&token, rows[i].signature);
		assert_string_equal(open_with(ours, buf_span(&token)), rows[i].reason);
		buf_clear(&token);
	}
	maker_put_parts(&token, "{\"alg\":\"ES256\"}", SPAN_LIT(PAYLOAD));
	maker_put_signature(&token, made[P256], true);
	assert_string_equal(open_with(ours, buf_span(&token)), WRONG);
	buf_done(&token);
}

/* Behind, between and in front of a good one. */
static void wants_three_parts(void **state)
{
	static const char *const rows[][2] = { { "", "." },    { ".", "" },    { "", ".e30" },
		                               { "e30.", "" }, { "", "=" },    { "", "\n" },
		                               { " ", "" },    { "", "A" },    { "", "+" },
		                               { "", "_" },    { "", "..e30" } };
	(void)state;
	struct buf good = { .cap = JWT_BYTES_MAX }, bad = { .cap = 2 * JWT_BYTES_MAX };
	maker_put_token(&good, made[ED25519], "{\"alg\":\"EdDSA\"}", PAYLOAD);
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&bad);
		buf_printf(&bad, "%s%.*s%s", rows[i][0], SPAN_ARG(buf_span(&good)), rows[i][1]);
		assert_string_not_equal(open_with(ours, buf_span(&bad)), "");
	}
	static const char *const texts[] = { "",
		                             ".",
		                             "..",
		                             "...",
		                             "a",
		                             "a.b",
		                             "a.b.c",
		                             "e30.e30.",
		                             "e30..e30",
		                             ".e30.e30",
		                             "e30.e30.e30.e30.e30" };
	for (size_t i = 0; i < COUNT(texts); i++) {
		assert_string_not_equal(open_with(ours, span_str(texts[i])), "");
	}
	/* good, but for its length */
	char payload[JWT_BYTES_MAX];
	snprintf(payload, sizeof payload, "{\"a\":\"%*s\"}", JWT_BYTES_MAX - 100, "");
	buf_clear(&bad);
	maker_put_token(&bad, made[ED25519], "{\"alg\":\"EdDSA\"}", payload);
	assert_true(bad.len > JWT_BYTES_MAX && !bad.failed);
	assert_string_equal(open_with(ours, buf_span(&bad)), NOT_JWT);
	buf_done(&good);
	buf_done(&bad);
}

static void every_byte_counts(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"RS256\"}", "{\"alg\":\"ES256\"}",
		                               "{\"alg\":\"EdDSA\"}" };
	(void)state;
	for (size_t k = 0; k < COUNT(headers); k++) {
		struct buf token = { .cap = JWT_BYTES_MAX };
		maker_put_token(&token, made[k], headers[k], PAYLOAD);
		assert_string_equal(open_with(ours, buf_span(&token)), "");
		for (size_t i = 0; i < token.len; i++) {
			assert_string_not_equal(
			    open_with(ours, span_first(buf_span(&token), i)), "");
			for (unsigned bit = 0; bit < 8; bit++) {
				token.ptr[i] = (char)(token.ptr[i] ^ 1 << bit);
				assert_string_not_equal(open_with(ours, buf_span(&token)), "");
				token.ptr[i] = (char)(token.ptr[i] ^ 1 << bit);
			}
		}
		assert_string_equal(open_with(ours, buf_span(&token)), "");
		buf_done(&token);
	}
}

/* ---- sets ---- */

#define ED \
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_" \
	"7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define P256X \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":" \
	"\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\""
#define P256Y ",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define NONE  "has no key for RS256, ES256 or EdDSA"
#define PART  "a part of it is missing or is not base64url"
#define SOUND "it is not sound, or too weak (RSA: 2048 bits)"

static void reads_sets(void **state)
{
	static const struct {
		const char *json, *error; /* "": read */
	} rows[] = {
		{ "{\"keys\":[" ED "}]}", "" },
		{ "{\"keys\":[" P256X P256Y "}]}", "" },
		{ "{\"keys\":[" ED ",\"key_ops\":[\"verify\"],\"x5t\":\"?\"}],\"more\":1}",
		  "" },
		/* passed over, with one left */
		{ "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}," ED "}]}", "" },
		{ "{\"keys\":[1,[],null,{}," ED "}]}", "" },
		{ "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\"}," ED "}]}", "" },
		{ "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\"}," ED "}]}", "" },
		{ "{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\"}," ED "}]}", "" },
		/* and with none */
		{ "{\"keys\":[]}", NONE },
		{ "{\"keys\":[" ED ",\"use\":\"enc\"}]}", NONE },
		{ "{\"keys\":[" ED ",\"use\":1}]}", NONE },
		{ "{\"keys\":[" ED ",\"alg\":\"HS256\"}]}", NONE },
		{ "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\",\"alg\":\"HS256\"}]}", NONE },
		/* broken ones of ours */
		{ "{\"keys\":[" ED "}," ED ",\"kid\":1}]}",
		  "key 2 (EdDSA): its kid is not text" },
		{ "{\"keys\":[" ED ",\"d\":\"AA\"}]}",
		  "key 1 (EdDSA): it holds the private part, which is not for us" },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}",
		  "key 1 (EdDSA): " PART },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}",
		  "key 1 (EdDSA): " SOUND },
		{ "{\"keys\":[" P256X "}]}", "key 1 (ES256): " PART },
		{ "{\"keys\":[" P256X ",\"y\":\"AA==\"}]}", "key 1 (ES256): " PART },
		{ "{\"keys\":[" P256X ",\"y\":\"AA\"}]}", "key 1 (ES256): " SOUND },
		{ "{\"keys\":[" P256X
		  ",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyE\"}]}",
		  "key 1 (ES256): " SOUND }, /* not on the curve */
		{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
		  "key 1 (RS256): " SOUND },
		/* no sets */
		{ "{\"keys\":{}}", "is not a JWK set: it has no list of keys" },
		{ "{}", "is not a JWK set: it has no list of keys" },
		{ ED "}", "is not a JWK set: it has no list of keys" },
		{ "[]", "is not a JSON object" },
		{ "", "is not JSON: line 0: " },
		{ "{\"keys\":[" ED "}]", "is not JSON: line 1: '}' expected near end of file" },
		{ "{\"keys\":[],\"keys\":[" ED "}]}",
		  "is not JSON: line 1: duplicate object key near '\"keys\"'" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		struct jwt_keys *keys = jwt_keys_read(span_str(rows[i].json), &error);
		assert_string_equal(error.text, rows[i].error);
		assert_int_equal(keys != NULL, rows[i].error[0] == '\0');
		jwt_keys_free(keys);
	}
	jwt_keys_free(NULL);
}

static void wants_strong_rsa(void **state)
{
	static const struct {
		unsigned bits;
		bool good;
	} rows[] = { { 1024, false }, { 2040, false }, { 2048, true }, { 3072, true } };
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf set = { .cap = 8192 };
		EVP_PKEY *key = EVP_RSA_gen(rows[i].bits);
		buf_put_str(&set, "{\"keys\":[");
		maker_put_jwk(&set, key, "");
		buf_put_str(&set, "]}");
		struct jwt_keys *keys = jwt_keys_read(buf_span(&set), NULL);
		assert_int_equal(keys != NULL, rows[i].good);
		jwt_keys_free(keys);
		EVP_PKEY_free(key);
		buf_done(&set);
	}
}

/* Sixteen of other issuers in front of ours, which is found by its name only. */
static void tries_a_few_keys(void **state)
{
	static const struct {
		unsigned others;
		const char *header, *reason;
	} rows[] = {
		{ 15, "{\"alg\":\"EdDSA\"}", "" },
		{ 16, "{\"alg\":\"EdDSA\"}", WRONG },
		{ 16, "{\"alg\":\"EdDSA\",\"kid\":\"us\"}", "" },
		{ 63, "{\"alg\":\"EdDSA\",\"kid\":\"us\"}", "" },
		{ 64, "{\"alg\":\"EdDSA\",\"kid\":\"us\"}", NULL },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf set = { .cap = 65536 }, token = { .cap = JWT_BYTES_MAX };
		struct error error = { "" };
		buf_put_str(&set, "{\"keys\":[");
		for (unsigned n = 0; n < rows[i].others; n++) {
			maker_put_jwk(&set, made[OTHER_ED25519], "");
			buf_put_byte(&set, ',');
		}
		maker_put_jwk(&set, made[ED25519], ",\"kid\":\"us\"");
		buf_put_str(&set, "]}");
		struct jwt_keys *keys = jwt_keys_read(buf_span(&set), &error);
		maker_put_token(&token, made[ED25519], rows[i].header, PAYLOAD);
		if (rows[i].reason) {
			assert_non_null(keys);
			assert_string_equal(open_with(keys, buf_span(&token)), rows[i].reason);
		} else {
			assert_null(keys);
			assert_string_equal(error.text, "has more than 64 keys");
		}
		jwt_keys_free(keys);
		buf_done(&set);
		buf_done(&token);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_its_key_has_signed),
		cmocka_unit_test(believes_no_key_in_a_token),
		cmocka_unit_test(shares_no_key),
		cmocka_unit_test(wants_signatures_in_their_form),
		cmocka_unit_test(wants_three_parts),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(reads_sets),
		cmocka_unit_test(wants_strong_rsa),
		cmocka_unit_test(tries_a_few_keys),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
