#include "auth/oauth.h"

#include "fake_daemon.h"
#include "token_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#define WALL ((int64_t)1700000000000)
#define SOON "\"exp\":1700000100"
#define US   "\"iss\":\"https://id.example.org\",\"aud\":\"gatepost\""

static EVP_PKEY *first, *second;
static char dir[] = "/tmp/gatepost-oauth.XXXXXX";
static char path[64];

static int make_keys(void **state)
{
	(void)state;
	assert(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/jwks", dir);
	first = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	second = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return first && second ? 0 : -1;
}

static int free_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(first);
	EVP_PKEY_free(second);
	unlink(path);
	rmdir(dir);
	return 0;
}

/* As an editor does: a new file in its place. */
static void write_file(struct span text)
{
	char fresh[80];
	snprintf(fresh, sizeof fresh, "%s.new", path);
	FILE *file = fopen(fresh, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text.ptr, 1, text.len, file), text.len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(fresh, path), 0);
}

static void write_key(const EVP_PKEY *key)
{
	struct buf set = { .cap = 4096 };
	buf_put_str(&set, "{\"keys\":[");
	maker_put_jwk(&set, key, "");
	buf_put_str(&set, "]}");
	write_file(buf_span(&set));
	buf_done(&set);
}

static struct oauth_rules signed_rules(const char *claim)
{
	return (struct oauth_rules){ .jwks = path,
		                     .issuer = "https://id.example.org",
		                     .audience = "gatepost",
		                     .claim = claim,
		                     .timeout = 1000 };
}

/* Behind the name, or "" with `reason`. */
static struct error reason;

static enum oauth_answer check(struct oauth *oauth, struct span token, int64_t wall,
                               const char *name)
{
	struct buf found = { .cap = 300 };
	reason.text[0] = '\0';
	buf_put_str(&found, "front ");
	enum oauth_answer answer = oauth_check(oauth, token, wall, &found, &reason);
	assert_int_equal(answer == OAUTH_GOOD, reason.text[0] == '\0');
	buf_drop(&found, strlen("front "));
	assert_true(span_eq(buf_span(&found), span_str(answer == OAUTH_GOOD ? name : "")));
	buf_done(&found);
	return answer;
}

static enum oauth_answer check_payload(struct oauth *oauth, EVP_PKEY *key, const char *payload,
                                       int64_t wall, const char *name)
{
	struct buf token = { .cap = OAUTH_TOKEN_MAX };
	maker_put_token(&token, key, "{\"alg\":\"EdDSA\"}", payload);
	enum oauth_answer answer = check(oauth, buf_span(&token), wall, name);
	buf_done(&token);
	return answer;
}

/* ---- claims ---- */

#define S50  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"
#define S250 S50 S50 S50 S50 S50

static const struct claims_row {
	const char *payload, *name, *reason;
} claims_rows[] = {
	{ "{" US "," SOON ",\"email\":\"alice@example.org\"}", "alice@example.org", NULL },
	{ "{" US "," SOON ",\"email\":\"" S250 "12345\"}", S250 "12345", NULL },
	{ "{" US "," SOON ",\"email\":\"\\u00e9@x\"}", "\xc3\xa9@x", NULL },
	{ "{" US "," SOON ",\"email\":\"a\",\"email_verified\":true}", "a", NULL },
	{ "{" US "," SOON ",\"email\":\"a\",\"email_verified\":\"true\"}", "a", NULL },
	{ "{" US "," SOON ",\"email\":\"a\",\"nbf\":1700000059,\"iat\":1700000059.9}", "a",
	  NULL },
	{ "{" US ",\"exp\":1.7e9,\"email\":\"a\"}", "a", NULL },
	{ "{" US ",\"exp\":1699999941,\"email\":\"a\"}", "a", NULL },
	{ "{" US ",\"exp\":9007199254740992,\"email\":\"a\"}", "a", NULL },
	{ "{\"iss\":\"https://id.example.org\",\"aud\":[\"x\",\"gatepost\",1]," SOON
	  ",\"email\":\"a\"}",
	  "a", NULL },
	/* dates */
	{ "{" US ",\"exp\":1699999940,\"email\":\"a\"}", "", "it has expired" },
	{ "{" US ",\"exp\":0,\"email\":\"a\"}", "", "it has expired" },
	{ "{" US ",\"email\":\"a\"}", "", "exp is missing or no date" },
	{ "{" US ",\"exp\":null,\"email\":\"a\"}", "", "exp is missing or no date" },
	{ "{" US ",\"exp\":-1,\"email\":\"a\"}", "", "exp is missing or no date" },
	{ "{" US ",\"exp\":1e300,\"email\":\"a\"}", "", "exp is missing or no date" },
	{ "{" US ",\"exp\":\"1700000100\",\"email\":\"a\"}", "", "exp is missing or no date" },
	{ "{" US ",\"exp\":true,\"email\":\"a\"}", "", "exp is missing or no date" },
	{ "{" US "," SOON ",\"nbf\":1700000061,\"email\":\"a\"}", "",
	  "it is not yet good (nbf)" },
	{ "{" US "," SOON ",\"nbf\":\"0\",\"email\":\"a\"}", "", "nbf is no date" },
	{ "{" US "," SOON ",\"iat\":1700000061,\"email\":\"a\"}", "",
	  "it was made in the future (iat)" },
	{ "{" US "," SOON ",\"iat\":null,\"email\":\"a\"}", "", "iat is no date" },
	/* not ours */
	{ "{\"iss\":\"https://id.example.org/\",\"aud\":\"gatepost\"," SOON ",\"email\":\"a\"}",
	  "", "another issuer (iss)" },
	{ "{\"iss\":[\"https://id.example.org\"],\"aud\":\"gatepost\"," SOON
	  ",\"email\":\"a\"}",
	  "", "another issuer (iss)" },
	{ "{\"aud\":\"gatepost\"," SOON ",\"email\":\"a\"}", "", "another issuer (iss)" },
	{ "{\"iss\":\"https://id.example.org\",\"aud\":\"gatepost2\"," SOON ",\"email\":\"a\"}",
	  "", "for another audience (aud)" },
	{ "{\"iss\":\"https://id.example.org\",\"aud\":\"Gatepost\"," SOON ",\"email\":\"a\"}",
	  "", "for another audience (aud)" },
	{ "{\"iss\":\"https://id.example.org\",\"aud\":[\"a\",[\"gatepost\"]]," SOON
	  ",\"email\":\"a\"}",
	  "", "for another audience (aud)" },
	{ "{\"iss\":\"https://id.example.org\",\"aud\":[]," SOON ",\"email\":\"a\"}", "",
	  "for another audience (aud)" },
	{ "{\"iss\":\"https://id.example.org\",\"aud\":{\"gatepost\":1}," SOON
	  ",\"email\":\"a\"}",
	  "", "for another audience (aud)" },
	{ "{\"iss\":\"https://id.example.org\"," SOON ",\"email\":\"a\"}", "",
	  "for another audience (aud)" },
	/* nobody */
	{ "{" US "," SOON ",\"sub\":\"alice\"}", "", "no name in email" },
	{ "{" US "," SOON ",\"email\":\"\"}", "", "no name in email" },
	{ "{" US "," SOON ",\"email\":7}", "", "no name in email" },
	{ "{" US "," SOON ",\"email\":[\"a\"]}", "", "no name in email" },
	{ "{" US "," SOON ",\"email\":\"" S250 "123456\"}", "", "no name in email" },
	{ "{" US "," SOON ",\"email\":\"a\\nb\"}", "", "no name in email" },
	{ "{" US "," SOON ",\"email\":\"a\\u007f\"}", "", "no name in email" },
	{ "{" US "," SOON ",\"email\":\"a\",\"email_verified\":false}", "",
	  "its issuer has not verified the address" },
	{ "{" US "," SOON ",\"email\":\"a\",\"email_verified\":\"false\"}", "",
	  "its issuer has not verified the address" },
	{ "{" US "," SOON ",\"email\":\"a\",\"email_verified\":null}", "",
	  "its issuer has not verified the address" },
};

static void believes_claims(void **state)
{
	struct error error;
	(void)state;
	write_key(first);
	const struct oauth_rules rules = signed_rules("email");
	struct oauth *oauth = oauth_open(&rules, &error);
	assert_non_null(oauth);
	for (size_t i = 0; i < COUNT(claims_rows); i++) {
		const struct claims_row *row = &claims_rows[i];
		char wanted[600] = "";
		if (row->reason) {
			snprintf(wanted, sizeof wanted, "the token: %s", row->reason);
		}
		check_payload(oauth, first, row->payload, WALL, row->name);
		assert_string_equal(reason.text, wanted);
	}
	oauth_close(oauth);
}

static void wants_an_object(void **state)
{
	static const char *const payloads[] = { "[]",
		                                "\"x\"",
		                                "{",
		                                "",
		                                "{}x",
		                                "{\"a\":1,\"a\":1," US "," SOON
		                                ",\"email\":\"a\"}",
		                                "{" US "," SOON ",\"email\":\"a\\u0000\"}",
		                                "{" US "," SOON ",\"email\":\"\xff\"}" };
	(void)state;
	write_key(first);
	const struct oauth_rules rules = signed_rules("email");
	struct oauth *oauth = oauth_open(&rules, NULL);
	assert_non_null(oauth);
	for (size_t i = 0; i < COUNT(payloads); i++) {
		assert_int_equal(check_payload(oauth, first, payloads[i], WALL, ""), OAUTH_BAD);
	}
	assert_int_equal(check(oauth, SPAN_NONE, WALL, ""), OAUTH_BAD);
	oauth_close(oauth);
}

/* Only the claim "email" has somebody who verifies it. */
static void takes_the_claim_that_is_configured(void **state)
{
	const char *payload = "{" US "," SOON ",\"sub\":\"alice\",\"email\":\"eve\","
			      "\"email_verified\":false}";
	(void)state;
	write_key(first);
	const struct oauth_rules rules = signed_rules("sub");
	struct oauth *oauth = oauth_open(&rules, NULL);
	assert_non_null(oauth);
	assert_int_equal(check_payload(oauth, first, payload, WALL, "alice"), OAUTH_GOOD);
	oauth_close(oauth);
}

/* ---- the file ---- */

#define GOOD_PAYLOAD "{" US "," SOON ",\"email\":\"a\"}"

enum file { SAME, FIRST, SECOND, BROKEN, GONE, CLOSED };

/* Is there and can not be opened, as root's file is for the daemon; but root runs tests. */
static void put_closed(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
	close(fd);
}

static void put_file(enum file file)
{
	switch (file) {
	case FIRST:
		write_key(first);
		break;
	case SECOND:
		write_key(second);
		break;
	case BROKEN:
		write_file(SPAN_LIT("{\"keys\":["));
		break;
	case GONE:
		assert_int_equal(unlink(path), 0);
		break;
	case CLOSED:
		put_closed();
		break;
	case SAME:
		break;
	}
}

static void reads_its_file_again(void **state)
{
	static const struct {
		enum file file;
		int64_t after; /* ms since the row before */
		bool is_first; /* whose token is good: the other's is bad */
		const char *note;
	} rows[] = {
		{ SAME, 0, true, NULL },
		{ SECOND, 999, true, NULL },
		{ SAME, 1, false, NULL },
		{ BROKEN, 1000, false, "is not JSON" },
		{ SAME, 5000, false, NULL },            /* told once */
		{ BROKEN, 1000, false, "is not JSON" }, /* mended, but not enough */
		{ CLOSED, 1000, false, "No such device" },
		{ SAME, 5000, false, NULL },
		{ SAME, 5000, false, NULL },
		{ BROKEN, 1000, false, "is not JSON" },
		{ CLOSED, 1000, false, "No such device" },
		{ SECOND, 1000, false, NULL },
		{ CLOSED, 1000, false, "No such device" }, /* a new time */
		{ GONE, 1000, false, NULL },               /* still not to be read */
		{ SECOND, 1000, false, NULL },
		{ GONE, 1000, false, "No such file" },
		{ SAME, 5000, false, NULL },
		{ FIRST, 1000, true, NULL },
		{ SECOND, -3600000, false, NULL }, /* the clock was set back */
	};
	(void)state;
	int64_t wall = WALL;
	write_key(first);
	const struct oauth_rules rules = signed_rules("email");
	struct oauth *oauth = oauth_open(&rules, NULL);
	assert_non_null(oauth);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error note = { "" };
		wall += rows[i].after;
		put_file(rows[i].file);
		assert_int_equal(check_payload(oauth, first, GOOD_PAYLOAD, wall, "a"),
		                 rows[i].is_first ? OAUTH_GOOD : OAUTH_BAD);
		assert_int_equal(check_payload(oauth, second, GOOD_PAYLOAD, wall, "a"),
		                 rows[i].is_first ? OAUTH_BAD : OAUTH_GOOD);
		assert_int_equal(oauth_take_note(oauth, &note), rows[i].note != NULL);
		assert_true(!rows[i].note ||
		            (strstr(note.text, rows[i].note) && strstr(note.text, path)));
		assert_false(oauth_take_note(oauth, &note));
	}
	oauth_close(oauth);
}

static void opens_good_files_only(void **state)
{
	static const struct {
		const char *text; /* NULL: no file */
		const char *error;
	} rows[] = {
		{ NULL, "No such file or directory" },
		{ "", "is not JSON" },
		{ "{\"keys\":[]}", "has no key" },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}", "key 1 (EdDSA)" },
	};
	(void)state;
	const struct oauth_rules rules = signed_rules("email");
	struct error error;
	unlink(path);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].text) {
			write_file(span_str(rows[i].text));
		}
		assert_null(oauth_open(&rules, &error));
		assert_non_null(strstr(error.text, path));
		assert_non_null(strstr(error.text, rows[i].error));
	}
	struct oauth_rules folder = rules;
	folder.jwks = dir;
	assert_null(oauth_open(&folder, &error));
	assert_non_null(strstr(error.text, "is not a file"));
	oauth_close(NULL);
}

/* Threads check while the file changes under them. */
static _Atomic bool enough;

static void *check_often(void *oauth)
{
	struct buf token = { .cap = OAUTH_TOKEN_MAX };
	maker_put_token(&token, first, "{\"alg\":\"EdDSA\"}", GOOD_PAYLOAD);
	for (int64_t i = 0; !enough; i++) {
		struct buf name = { .cap = 300 };
		struct error why;
		enum oauth_answer answer = oauth_check(oauth, buf_span(&token),
		                                       WALL + i * 1000 % 60000, &name, &why);
		assert(answer == OAUTH_GOOD || strstr(why.text, "signature"));
		buf_done(&name);
	}
	buf_done(&token);
	return NULL;
}

static void is_for_any_thread(void **state)
{
	pthread_t threads[3];
	struct error note;
	(void)state;
	enough = false;
	write_key(first);
	const struct oauth_rules rules = signed_rules("email");
	struct oauth *oauth = oauth_open(&rules, NULL);
	assert_non_null(oauth);
	for (size_t i = 0; i < COUNT(threads); i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, check_often, oauth), 0);
	}
	for (int i = 0; i < 300; i++) {
		put_file((enum file)(FIRST + i % 3));
		oauth_take_note(oauth, &note);
	}
	enough = true;
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
	}
	oauth_close(oauth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(believes_claims),
		cmocka_unit_test(wants_an_object),
		cmocka_unit_test(takes_the_claim_that_is_configured),
		cmocka_unit_test(reads_its_file_again),
		cmocka_unit_test(opens_good_files_only),
		cmocka_unit_test(is_for_any_thread),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
