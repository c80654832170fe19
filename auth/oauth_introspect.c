#include "auth/oauth_introspect.h"

#include "auth/secret.h"
#include "proto/network.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Three bytes for each of the token's, and what stands around it. */
#define FORM_MAX (3 * OAUTH_TOKEN_MAX + 100)

/* ---- libcurl's memory ---- */

/* memcpy leaves what it has copied in the vector registers, 64 bytes of a request in each, and
 * ld.so spills them onto the stack where a function is bound late. Other copies, of each size
 * that has its own way, take their place, and dead frames are gone over. */
static __attribute__((noinline)) void wipe_traces(void)
{
	static const size_t volatile sizes[] = { 16, 32, 64, 128, 256, 500, 1000, 4000 };
	char dead[64 * 1024];
	secret_cleanse(dead, sizeof dead);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		memcpy(dead, dead + sizeof dead / 2, sizes[i]);
	}
	secret_cleanse(dead, sizeof dead);
}

static bool awake;

static void wake(void)
{
	/* It copies tokens and our secret into requests. */
	awake = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_free, secret_resize,
	                             strdup, calloc) == CURLE_OK;
}

/* ---- the URL ---- */

/* A loopback address as such: what a name means is said by others. */
static bool is_loopback(const char *host)
{
	static const struct network loopback[] = {
		{ { [10] = 0xff, [11] = 0xff, [12] = 127 }, 104 },
		{ { [15] = 1 }, 128 },
	};
	unsigned char address[NETWORK_ADDRESS_BYTES];
	struct span text = span_str(host);
	if (text.len > 2 && text.ptr[0] == '[') {
		text = span_of(text.ptr + 1, text.len - 2);
	}
	return network_address_parse(text, address) &&
	       network_any_contains(loopback, COUNT(loopback), address);
}

static const char *check_url(CURLU *url, const char *text)
{
	char *scheme = NULL, *host = NULL, *user = NULL;
	const char *fault = NULL;
	if (!url || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
		fault = "is not a URL";
	} else if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK) {
		fault = "a user in a URL is seen by everybody: oauth_client_id";
	} else if (strcmp(scheme, "https") != 0 &&
	           !(strcmp(scheme, "http") == 0 && is_loopback(host))) {
		fault = "must be https:// (http:// to a loopback address only)";
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	return fault;
}

bool oauth_introspect_init(const struct oauth_rules *rules, struct error *error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (pthread_once(&once, wake) != 0 || !awake) {
		error_set(error, "libcurl can not be used");
		return false;
	}
	CURLU *url = curl_url();
	const char *fault = check_url(url, rules->introspect);
	curl_url_cleanup(url);
	if (!fault && rules->ca && access(rules->ca, R_OK) != 0) {
		error_set(error, "%s: can not be read", rules->ca);
		return false;
	}
	if (fault) {
		error_set(error, "%.300s: %s", rules->introspect, fault);
	}
	return !fault;
}

/* ---- a question ---- */

/* application/x-www-form-urlencoded. */
static void put_form(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = span_lower(text.ptr[i]);
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		             (c && strchr("-._~", c));
		buf_printf(out, plain ? "%c" : "%%%02X", (unsigned char)text.ptr[i]);
	}
}

/* What the endpoint sends beyond the cap ends the transfer. */
static size_t take_body(char *bytes, size_t size, size_t n, void *body)
{
	return buf_put(body, span_of(bytes, size * n)) ? size * n : 0;
}

static bool set_numbers(CURL *curl, int64_t timeout)
{
	const struct {
		CURLoption option;
		long value;
	} rows[] = {
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_TIMEOUT_MS, (long)timeout },
		{ CURLOPT_CONNECTTIMEOUT_MS, (long)timeout },
		{ CURLOPT_QUICK_EXIT, 1 }, /* does not wait for a resolver that is late */
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_SSL_VERIFYPEER, 1 },
		{ CURLOPT_SSL_VERIFYHOST, 2 },
		{ CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
		{ CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
		{ CURLOPT_HTTPAUTH, CURLAUTH_BASIC },
		{ CURLOPT_NETRC, CURL_NETRC_IGNORED },
		{ CURLOPT_FORBID_REUSE, 1 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (curl_easy_setopt(curl, rows[i].option, rows[i].value) != CURLE_OK) {
			return false;
		}
	}
	return true;
}

/* RFC 6749 2.3.1: both are encoded as in a form before they are joined. */
static bool set_client(CURL *curl, const struct oauth_rules *rules)
{
	struct buf id = { .cap = 4096, .secret = true };
	struct buf secret = { .cap = 65536, .secret = true };
	bool ok = true;
	if (rules->client_id) {
		put_form(span_str(rules->client_id), &id);
		put_form(span_str(rules->client_secret), &secret);
		ok = buf_put_byte(&id, '\0') && buf_put_byte(&secret, '\0') &&
		     curl_easy_setopt(curl, CURLOPT_USERNAME, id.ptr) == CURLE_OK &&
		     curl_easy_setopt(curl, CURLOPT_PASSWORD, secret.ptr) == CURLE_OK;
	}
	buf_done(&id);
	buf_done(&secret);
	return ok;
}

/* An own CA is the only one: libcurl would go on believing those of its folder. No proxy of the
 * environment sees our tokens. */
static bool set_texts(CURL *curl, const struct oauth_rules *rules)
{
	bool ok = curl_easy_setopt(curl, CURLOPT_URL, rules->introspect) == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_USERAGENT, "gatepost") == CURLE_OK;
	if (ok && rules->ca) {
		ok = curl_easy_setopt(curl, CURLOPT_CAINFO, rules->ca) == CURLE_OK &&
		     curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK;
	}
	return ok;
}

static bool set_body(CURL *curl, struct span form, struct buf *body_out)
{
	return curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form.ptr) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)form.len) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEDATA, body_out) == CURLE_OK;
}

static bool perform(CURL *curl, struct buf *body, struct error *error)
{
	long status = 0;
	CURLcode code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_WRITE_ERROR && body->failed) {
		error_set(error, "the introspection endpoint: its answer is too long");
	} else if (code != CURLE_OK) {
		error_set(error, "the introspection endpoint: %s", curl_easy_strerror(code));
	} else if (status != 200) {
		error_set(error, "the introspection endpoint answers %ld", status);
	}
	return code == CURLE_OK && status == 200;
}

bool oauth_introspect_ask(const struct oauth_rules *rules, struct span token,
                          struct buf *body_out, struct error *error)
{
	struct buf form = { .cap = FORM_MAX, .secret = true };
	struct buf body = { .cap = OAUTH_ANSWER_MAX };
	struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
	CURL *curl = curl_easy_init();
	bool ok = false;
	buf_put_str(&form, "token_type_hint=access_token&token=");
	put_form(token, &form);
	if (!curl || !headers || form.failed || !set_numbers(curl, rules->timeout) ||
	    !set_texts(curl, rules) || !set_client(curl, rules) ||
	    !set_body(curl, buf_span(&form), &body) ||
	    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK) {
		error_set(error, "the introspection endpoint can not be asked: no memory");
	} else {
		ok = perform(curl, &body, error) && buf_put(body_out, buf_span(&body));
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	buf_done(&form);
	buf_done(&body);
	wipe_traces();
	return ok;
}
