#include "auth/oauth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define A "\x01"

static const struct row {
	const char *message;
	const char *user, *token; /* NULL: refused */
} bearer_rows[] = {
	{ "n,a=alice@example.org," A "host=h" A "port=587" A "auth=Bearer t.0-_~+/==" A A,
	  "alice@example.org", "t.0-_~+/==" },
	{ "n,," A "auth=Bearer t" A A, "", "t" },
	{ "y,a=al=ice," A "auth=bearer  t" A A, "al=ice", "t" },
	{ "n,a=al\xc3\xad," A "qs=a=b&c=d" A "auth=BEARER t" A "x=" A A, "al\xc3\xad", "t" },
	{ "n,," A "user=bob" A "auth=Bearer t" A A, "", "t" }, /* of XOAUTH2 only */
	/* not of that form */
	{ "", NULL, NULL },
	{ A, NULL, NULL }, /* RFC 7628 3.2.3: the dummy behind a refusal */
	{ "n", NULL, NULL },
	{ "n,", NULL, NULL },
	{ "n,,", NULL, NULL },
	{ "n,," A, NULL, NULL },
	{ "n,," A A, NULL, NULL },
	{ "n,a=," A "auth=Bearer t" A A, NULL, NULL },
	{ "n,b=x," A "auth=Bearer t" A A, NULL, NULL },
	{ "n,a=al=2Cice," A "auth=Bearer t" A A, NULL, NULL },
	{ "n,a=al=3dice," A "auth=Bearer t" A A, NULL, NULL },
	{ "n,a=al\nice," A "auth=Bearer t" A A, NULL, NULL },
	{ "n,a=al" A "ice," A "auth=Bearer t" A A, NULL, NULL },
	{ "p=tls-exporter,," A "auth=Bearer t" A A, NULL, NULL },
	{ "F,n,," A "auth=Bearer t" A A, NULL, NULL },
	{ "N,," A "auth=Bearer t" A A, NULL, NULL },
	{ "n,,auth=Bearer t" A A, NULL, NULL },
	{ "n,,x" A "auth=Bearer t" A A, NULL, NULL },
	{ "user=alice" A "auth=Bearer t" A A, NULL, NULL },
	{ "n,," A "auth=Bearer t" A, NULL, NULL },
	{ "n,," A "auth=Bearer t", NULL, NULL },
	{ "n,," A "auth=Bearer t" A A "x", NULL, NULL },
	{ "n,," A "auth=Bearer t" A A A, NULL, NULL },
	{ "n,," A A "auth=Bearer t" A A, NULL, NULL },
	{ "n,," A "host=h" A A, NULL, NULL },
	{ "n,," A "host" A "auth=Bearer t" A A, NULL, NULL },
	{ "n,," A "=h" A "auth=Bearer t" A A, NULL, NULL },
	{ "n,," A "auth=Bearer t" A "auth=Bearer u" A A, NULL, NULL },
	{ "n,," A "auth=Basic t" A A, NULL, NULL },
	{ "n,," A "auth=Bearert" A A, NULL, NULL },
	{ "n,," A "auth=Bearer" A A, NULL, NULL },
	{ "n,," A "auth=Bearer " A A, NULL, NULL },
	{ "n,," A "auth=" A A, NULL, NULL },
	{ "n,," A "auth=Bearer =" A A, NULL, NULL },
	{ "n,," A "auth=Bearer a=b" A A, NULL, NULL },
	{ "n,," A "auth=Bearer a b" A A, NULL, NULL },
	{ "n,," A "auth=Bearer a\r\nb" A A, NULL, NULL },
	{ "n,," A "auth=Bearer a&b" A A, NULL, NULL },
	{ "n,," A "auth=Bearer a\xc3\xad" A A, NULL, NULL },
};

static const struct row xoauth2_rows[] = {
	{ "user=alice@example.org" A "auth=Bearer t" A A, "alice@example.org", "t" },
	{ "auth=Bearer t" A "user=al=ice" A A, "al=ice", "t" },
	{ "user=" A "auth=Bearer t" A A, "", "t" },
	{ "auth=bearer t" A A, "", "t" },
	{ "", NULL, NULL },
	{ A, NULL, NULL },
	{ "user=alice" A A, NULL, NULL },
	{ "user=alice" A "auth=Bearer t" A, NULL, NULL },
	{ "user=alice" A "user=bob" A "auth=Bearer t" A A, NULL, NULL },
	{ "user=al\nice" A "auth=Bearer t" A A, NULL, NULL },
	{ "user=alice" A "auth=Bearer a\"b" A A, NULL, NULL },
	{ "n,a=alice," A "auth=Bearer t" A A, NULL, NULL },
};

static const struct {
	bool (*read)(struct span message, struct span *user_out, struct span *token_out);
	const struct row *rows;
	size_t n;
} forms[] = {
	{ oauth_read_oauthbearer, bearer_rows, COUNT(bearer_rows) },
	{ oauth_read_xoauth2, xoauth2_rows, COUNT(xoauth2_rows) },
};

static void reads(void **state)
{
	(void)state;
	for (size_t f = 0; f < COUNT(forms); f++) {
		for (size_t i = 0; i < forms[f].n; i++) {
			const struct row *row = &forms[f].rows[i];
			struct span user = SPAN_LIT("untouched"), token = SPAN_LIT("too");
			bool good = forms[f].read(span_str(row->message), &user, &token);
			assert_int_equal(good, row->token != NULL);
			assert_true(span_eq(user, span_str(good ? row->user : "untouched")));
			assert_true(span_eq(token, span_str(good ? row->token : "too")));
		}
	}
}

/* Cut anywhere, and with a NUL anywhere, none is whole. The copy ends where the message does.
 */
static void reads_whole_ones_only(void **state)
{
	(void)state;
	for (size_t f = 0; f < COUNT(forms); f++) {
		struct span message = span_str(forms[f].rows[0].message);
		struct span user, token;
		for (size_t i = 0; i < message.len; i++) {
			char *copy = malloc(i ? i : 1);
			assert_non_null(copy);
			memcpy(copy, message.ptr, i);
			assert_false(forms[f].read(span_of(copy, i), &user, &token));
			free(copy);
		}
	}
	struct span message = SPAN_LIT("user=a\0b" A "auth=Bearer t" A A), user, token;
	assert_false(oauth_read_xoauth2(message, &user, &token));
	message = SPAN_LIT("user=a" A "auth=Bearer t\0" A A);
	assert_false(oauth_read_xoauth2(message, &user, &token));
}

static void bounds_tokens(void **state)
{
	static const struct {
		size_t len;
		bool good;
	} rows[] = { { OAUTH_TOKEN_MAX, true }, { OAUTH_TOKEN_MAX + 1, false } };
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf message = { .cap = 2 * OAUTH_TOKEN_MAX };
		struct span user, token;
		buf_put_str(&message, "auth=Bearer ");
		for (size_t n = 0; n < rows[i].len; n++) {
			buf_put_byte(&message, 't');
		}
		buf_put_str(&message, A A);
		assert_int_equal(oauth_read_xoauth2(buf_span(&message), &user, &token),
		                 rows[i].good);
		buf_done(&message);
	}
}

static void refuses_in_json(void **state)
{
	(void)state;
	assert_true(span_eq(oauth_refusal(),
	                    SPAN_LIT("{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(reads_whole_ones_only),
		cmocka_unit_test(bounds_tokens),
		cmocka_unit_test(refuses_in_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
