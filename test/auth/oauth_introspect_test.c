/* auth/oauth.c with an endpoint: what it is asked, what its answers mean, and how long they are
 * believed. TLS and who is believed there are shown by test/e2e/test_oauth.py. */
#include "auth/oauth.h"

#include "fake_daemon.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WALL  ((int64_t)1700000000000)
#define TOKEN SPAN_LIT("opaque+token/1==")

/* A request with all of its body. */
static bool heard_post(struct span heard)
{
	static const char length[] = "\r\nContent-Length: ";
	if (heard.len == 0) {
		return false;
	}
	const char *end = memmem(heard.ptr, heard.len, "\r\n\r\n", 4);
	const char *at = memmem(heard.ptr, heard.len, length, sizeof length - 1);
	return end && at &&
	       (size_t)(heard.ptr + heard.len - end) >=
	           4 + strtoul(at + sizeof length - 1, NULL, 10);
}

static struct error reason;

static struct oauth *open_at(unsigned port, const struct oauth_rules *more)
{
	char url[80];
	struct oauth_rules rules = more ? *more : (struct oauth_rules){ .timeout = 10000 };
	snprintf(url, sizeof url, "http://127.0.0.1:%u/introspect?x=1", port);
	rules.introspect = url;
	rules.claim = rules.claim ? rules.claim : "username";
	struct oauth *oauth = oauth_open(&rules, &reason);
	assert_non_null(oauth);
	return oauth;
}

static enum oauth_answer check(struct oauth *oauth, struct span token, int64_t wall,
                               const char *name)
{
	struct buf found = { .cap = 300 };
	reason.text[0] = '\0';
	enum oauth_answer answer = oauth_check(oauth, token, wall, &found, &reason);
	assert_int_equal(answer == OAUTH_GOOD, reason.text[0] == '\0');
	assert_true(span_eq(buf_span(&found), span_str(answer == OAUTH_GOOD ? name : "")));
	assert_null(memmem(reason.text, strlen(reason.text), "opaque", 6));
	buf_done(&found);
	return answer;
}

#define HEAD(status) \
	"HTTP/1.1 " status "\r\nContent-Type: application/json\r\nConnection: close\r\n"
#define OK    HEAD("200 OK") "\r\n"
#define ALICE OK "{\"active\":true,\"username\":\"alice\"}"

static void start(struct fake_daemon *daemon, const char *text)
{
	daemon->most = SIZE_MAX;
	daemon->script[0] = (struct fake_line){ heard_post, span_str(text) };
	fake_start(daemon, true);
}

static void understands(void **state)
{
	static const struct {
		const char *text;
		enum oauth_answer answer;
		const char *name, *reason;
	} rows[] = {
		{ ALICE, OAUTH_GOOD, "alice", "" },
		{ OK "{\"active\":true,\"username\":\"alice\",\"exp\":1700000001}", OAUTH_GOOD,
		  "alice", "" },
		{ OK "{\"active\":false}", OAUTH_BAD, "", "not active" },
		{ OK "{\"active\":false,\"username\":\"alice\"}", OAUTH_BAD, "", "not active" },
		{ OK "{\"active\":true,\"username\":\"alice\",\"exp\":1699999000}", OAUTH_BAD,
		  "", "expired" },
		{ OK "{\"active\":true,\"username\":\"alice\",\"exp\":\"soon\"}", OAUTH_BAD, "",
		  "exp" },
		{ OK "{\"active\":true}", OAUTH_BAD, "", "no name in username" },
		/* the user can do nothing about these */
		{ OK "{\"active\":\"true\",\"username\":\"alice\"}", OAUTH_UNAVAILABLE, "",
		  "answer" },
		{ OK "{\"active\":1,\"username\":\"alice\"}", OAUTH_UNAVAILABLE, "", "answer" },
		{ OK "{\"username\":\"alice\"}", OAUTH_UNAVAILABLE, "", "answer" },
		{ OK "{\"active\":false,\"active\":true,\"username\":\"alice\"}",
		  OAUTH_UNAVAILABLE, "", "answer" },
		{ OK "{\"active\":true,\"username\":\"alice\"", OAUTH_UNAVAILABLE, "",
		  "answer" },
		{ OK "[true]", OAUTH_UNAVAILABLE, "", "answer" },
		{ OK, OAUTH_UNAVAILABLE, "", "answer" },
		{ HEAD("200 OK") "Content-Length: 99\r\n\r\n{\"active\":true,"
		                 "\"username\":\"alice\"}",
		  OAUTH_UNAVAILABLE, "", "endpoint" },
		{ HEAD("401 No") "\r\n{\"active\":true,\"username\":\"alice\"}",
		  OAUTH_UNAVAILABLE, "", "answers 401" },
		{ HEAD("201 Made") "\r\n{\"active\":true,\"username\":\"alice\"}",
		  OAUTH_UNAVAILABLE, "", "answers 201" },
		{ HEAD("500 Oh") "\r\n{\"active\":false}", OAUTH_UNAVAILABLE, "",
		  "answers 500" },
		{ HEAD("302 There") "Location: http://127.0.0.1:1/\r\n\r\n", OAUTH_UNAVAILABLE,
		  "", "answers 302" },
		{ "{\"active\":true,\"username\":\"alice\"}", OAUTH_UNAVAILABLE, "",
		  "endpoint" },
		{ "", OAUTH_UNAVAILABLE, "", "endpoint" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon daemon = { .end = FAKE_CLOSE };
		start(&daemon, rows[i].text);
		struct oauth *oauth = open_at(daemon.port, NULL);
		assert_int_equal(check(oauth, TOKEN, WALL, rows[i].name), rows[i].answer);
		assert_non_null(strstr(reason.text, rows[i].reason));
		oauth_close(oauth);
		fake_join(&daemon);
		fake_forget(&daemon);
	}
}

static void asks(void **state)
{
	static const struct {
		const char *id, *secret;
		const char *authorization; /* NULL: none */
	} rows[] = {
		{ NULL, NULL, NULL },
		{ "gatepost", "s3cret", "Z2F0ZXBvc3Q6czNjcmV0" },
		{ "gate:post", "a b&\xc3\xa9", "Z2F0ZSUzQXBvc3Q6YSUyMGIlMjYlQzMlQTk=" },
		{ "gatepost", NULL, "Z2F0ZXBvc3Q6" },
	};
	(void)state;
	/* A proxy of the environment would be told the token. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon daemon = { .end = FAKE_CLOSE };
		const struct oauth_rules rules = { .client_id = rows[i].id,
			                           .client_secret = rows[i].secret,
			                           .timeout = 10000 };
		start(&daemon, ALICE);
		struct oauth *oauth = open_at(daemon.port, &rules);
		assert_int_equal(check(oauth, TOKEN, WALL, "alice"), OAUTH_GOOD);
		oauth_close(oauth);
		fake_join(&daemon);
		buf_put_byte(&daemon.heard, '\0');
		const char *heard = daemon.heard.ptr;
		const char *given = strstr(heard, "\r\nAuthorization: Basic ");
		assert_ptr_equal(strstr(heard, "POST /introspect?x=1 HTTP/1.1\r\n"), heard);
		assert_non_null(strstr(heard, "\r\nAccept: application/json\r\n"));
		assert_non_null(
		    strstr(heard, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
		assert_non_null(strstr(heard, "\r\n\r\ntoken_type_hint=access_token&"
		                              "token=opaque%2Btoken%2F1%3D%3D"));
		assert_int_equal(given != NULL, rows[i].authorization != NULL);
		assert_true(!given ||
		            strstr(given, rows[i].authorization) == strchr(given, 'B') + 6);
		fake_forget(&daemon);
	}
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
}

static void checks_what_is_configured(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ OK "{\"active\":true,\"sub\":\"a\",\"iss\":\"i\",\"aud\":[\"x\",\"us\"]}",
		  true },
		{ OK "{\"active\":true,\"sub\":\"a\",\"iss\":\"j\",\"aud\":\"us\"}", false },
		{ OK "{\"active\":true,\"sub\":\"a\",\"iss\":\"i\",\"aud\":\"x\"}", false },
		{ OK "{\"active\":true,\"sub\":\"a\",\"iss\":\"i\"}", false },
		{ OK "{\"active\":true,\"sub\":\"a\",\"aud\":\"us\"}", false },
	};
	const struct oauth_rules rules = {
		.issuer = "i", .audience = "us", .claim = "sub", .timeout = 10000
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon daemon = { .end = FAKE_CLOSE };
		start(&daemon, rows[i].text);
		struct oauth *oauth = open_at(daemon.port, &rules);
		assert_int_equal(check(oauth, TOKEN, WALL, "a"),
		                 rows[i].good ? OAUTH_GOOD : OAUTH_BAD);
		oauth_close(oauth);
		fake_join(&daemon);
		fake_forget(&daemon);
	}
}

/* Late is as good as never; and so is more than anybody has to say. */
static void has_bounds(void **state)
{
	static char endless[sizeof OK + 70000];
	static const struct {
		const char *text;
		enum fake_end end;
		const char *reason;
	} rows[] = {
		{ "", FAKE_SILENT, "Timeout" },
		{ OK, FAKE_SILENT, "Timeout" },
		{ OK " ", FAKE_DRIP, "Timeout" },
		{ endless, FAKE_CLOSE, "too long" },
	};
	(void)state;
	memset(endless, ' ', sizeof endless - 1);
	memcpy(endless, OK, sizeof OK - 1);
	const struct oauth_rules rules = { .timeout = 300 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon daemon = { .end = rows[i].end };
		start(&daemon, rows[i].text);
		struct oauth *oauth = open_at(daemon.port, &rules);
		assert_int_equal(check(oauth, TOKEN, WALL, ""), OAUTH_UNAVAILABLE);
		assert_non_null(strstr(reason.text, rows[i].reason));
		oauth_close(oauth);
		fake_join(&daemon);
		fake_forget(&daemon);
	}
}

/* A daemon that takes one connection: who is asked again is not there. */
static void believes_for_a_minute(void **state)
{
	static const struct {
		const char *exp;
		const char *token;
		int64_t after;
		bool good;
	} rows[] = {
		{ "", "t", 0, true },
		{ "", "t", 59999, true },
		{ "", "t", 60000, false },
		{ "", "t", -1, false }, /* the clock was set back */
		{ "", "T", 0, false },
		{ "", "tt", 0, false },
		{ ",\"exp\":1700000030", "t", 29999, true },
		{ ",\"exp\":1700000030", "t", 30000, false },
		{ ",\"exp\":1800000000", "t", 60000, false },
		{ ",\"exp\":1699999990", "t", 0, false }, /* good by the skew only */
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake_daemon daemon = { .end = FAKE_CLOSE };
		char text[200];
		snprintf(text, sizeof text, OK "{\"active\":true,\"username\":\"alice\"%s}",
		         rows[i].exp);
		start(&daemon, text);
		struct oauth *oauth = open_at(daemon.port, NULL);
		assert_int_equal(check(oauth, SPAN_LIT("t"), WALL, "alice"), OAUTH_GOOD);
		fake_join(&daemon);
		assert_int_equal(
		    check(oauth, span_str(rows[i].token), WALL + rows[i].after, "alice"),
		    rows[i].good ? OAUTH_GOOD : OAUTH_UNAVAILABLE);
		oauth_forget(oauth);
		assert_int_equal(check(oauth, SPAN_LIT("t"), WALL, ""), OAUTH_UNAVAILABLE);
		oauth_close(oauth);
		fake_forget(&daemon);
	}
}

/* A token that is bad now may be good in a second: it is asked for each time. */
static void forgets_the_bad(void **state)
{
	struct fake_daemon daemon = { .end = FAKE_CLOSE };
	(void)state;
	start(&daemon, OK "{\"active\":false}");
	struct oauth *oauth = open_at(daemon.port, NULL);
	assert_int_equal(check(oauth, TOKEN, WALL, ""), OAUTH_BAD);
	fake_join(&daemon);
	assert_int_equal(check(oauth, TOKEN, WALL, ""), OAUTH_UNAVAILABLE);
	oauth_close(oauth);
	fake_forget(&daemon);
}

static void asks_nobody_in_clear(void **state)
{
	static const struct {
		const char *url, *ca, *error; /* "": may be asked */
	} rows[] = {
		{ "https://id.example.org/introspect", NULL, "" },
		{ "https://192.0.2.1:8443/", NULL, "" },
		{ "http://127.0.0.1:8080/i", NULL, "" },
		{ "http://127.9.9.9/i", NULL, "" },
		{ "http://[::1]:8080/i", NULL, "" },
		{ "http://localhost/i", NULL, "must be https://" },
		{ "http://id.example.org/i", NULL, "must be https://" },
		{ "http://127.0.0.1.example.org/i", NULL, "must be https://" },
		{ "http://128.0.0.1/i", NULL, "must be https://" },
		{ "http://[::2]/i", NULL, "must be https://" },
		{ "ftp://127.0.0.1/i", NULL, "must be https://" },
		{ "file:///etc/passwd", NULL, "is not a URL" },
		{ "https://a:b@id.example.org/", NULL, "a user in a URL" },
		{ "id.example.org", NULL, "is not a URL" },
		{ "https://", NULL, "is not a URL" },
		{ "", NULL, "is not a URL" },
		{ "https://id.example.org/", "/nowhere/ca.pem", "/nowhere/ca.pem" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct oauth_rules rules = { .introspect = rows[i].url,
			                           .ca = rows[i].ca,
			                           .claim = "sub",
			                           .timeout = 100 };
		struct error error = { "" };
		struct oauth *oauth = oauth_open(&rules, &error);
		assert_int_equal(oauth != NULL, rows[i].error[0] == '\0');
		assert_non_null(strstr(error.text, rows[i].error));
		oauth_close(oauth);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understands),
		cmocka_unit_test(asks),
		cmocka_unit_test(has_bounds),
		cmocka_unit_test(checks_what_is_configured),
		cmocka_unit_test(forgets_the_bad),
		cmocka_unit_test(believes_for_a_minute),
		cmocka_unit_test(asks_nobody_in_clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
