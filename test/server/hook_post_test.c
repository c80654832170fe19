#include "server/hook_post.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* What `printf 1700000000.BODY | openssl dgst -sha256 -hmac KEY` says. */
static void signatures(void **state)
{
	(void)state;
	static const struct {
		const char *key, *body;
		int64_t seconds;
		const char *want;
	} rows[] = {
		{ "key", "{\"a\":1}", 1700000000,
		  "t=1700000000,v1="
		  "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03" },
		{ "another key", "", 0,
		  "t=0,v1="
		  "ad23a78e1bf8d5fe25e370346d4781a73c06833e2d1e44130ca4a65236f9a642" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[HOOK_SIGNATURE_MAX];
		hook_post_sign(span_str(rows[i].key), rows[i].seconds, span_str(rows[i].body),
		               text);
		assert_string_equal(text, rows[i].want);
	}
}

static void addresses(void **state)
{
	(void)state;
	static const char *const good[] = {
		"https://example.org",  "HTTPS://example.org/",      "https://[::1]:8443/a?b=c",
		"https://127.0.0.1:1/", "https://example.org/@jane", "https://example.org:8443",
	};
	static const char *const bad[] = {
		"",
		"https:/",
		"https://",
		"https:///path",
		"https://:443/",
		"http://127.0.0.1/",
		"http://example.org/",
		"ftp://example.org/",
		"https://jane:secret@example.org/",
		"https://example.org/a b",
		"https://example.org/\x7f",
		"https://exa\xc3\xa4mple.org/",
	};
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_null(hook_post_fault(span_str(good[i])));
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_non_null(hook_post_fault(span_str(bad[i])));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures),
		cmocka_unit_test(addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
