#include "server/hook_post.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"

#define SCHEME "https://"

/* ---- pure ---- */

const char *hook_post_fault(struct span url)
{
	struct span rest = span_from(url, strlen(SCHEME));
	struct span host = span_first(rest, span_find(rest, '/'));
	if (!span_starts_nocase(url, SPAN_LIT(SCHEME))) {
		return "must be " SCHEME;
	}
	for (size_t i = 0; i < url.len; i++) {
		if (url.ptr[i] <= ' ' || url.ptr[i] >= 127) {
			return "is not a URL";
		}
	}
	if (span_find(host, '@') < host.len) {
		return "a user in a URL is seen by everybody: hook_key_file";
	}
	return host.len == 0 || host.ptr[0] == ':' ? "is not a URL" : NULL;
}

void hook_post_sign(struct span key, int64_t seconds, struct span body,
                    char text_out[HOOK_SIGNATURE_MAX])
{
	unsigned char digest[SECRET_BYTES];
	struct buf text = { .cap = body.len + 32 };
	buf_printf(&text, "%lld.", (long long)seconds);
	buf_put(&text, body);
	if (text.failed) {
		text_out[0] = '\0';
	} else {
		secret_sign(key, buf_span(&text), digest);
		int n = snprintf(text_out, HOOK_SIGNATURE_MAX,
		                 "t=%lld,v1=", (long long)seconds);
		for (size_t i = 0; i < SECRET_BYTES; i++, n += 2) {
			snprintf(text_out + n, 3, "%02x", digest[i]);
		}
	}
	buf_done(&text);
}

/* ---- libcurl ---- */

static bool awake;

/* With the memory that oauth_introspect wants of it: whoever comes first decides. */
static void wake(void)
{
	awake = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_free, secret_resize,
	                             strdup, calloc) == CURLE_OK;
}

/* Nobody reads it. */
static size_t drop_body(char *bytes, size_t size, size_t n, void *context)
{
	(void)bytes;
	(void)context;
	return size * n;
}

static int look_for_end(void *context, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                        curl_off_t up)
{
	const struct hook_post *post = context;
	(void)down_all;
	(void)down;
	(void)up_all;
	(void)up;
	return atomic_load(post->cancelled);
}

static bool set_numbers(CURL *curl, const struct hook_post *post)
{
	const struct {
		CURLoption option;
		long value;
	} rows[] = {
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_TIMEOUT_MS, (long)post->timeout },
		{ CURLOPT_CONNECTTIMEOUT_MS, (long)post->timeout },
		{ CURLOPT_QUICK_EXIT, 1 }, /* does not wait for a resolver that is late */
		{ CURLOPT_NOPROGRESS, 0 },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_SSL_VERIFYPEER, 1 },
		{ CURLOPT_SSL_VERIFYHOST, 2 },
		{ CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
		{ CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
		{ CURLOPT_NETRC, CURL_NETRC_IGNORED },
		{ CURLOPT_POSTFIELDSIZE, (long)post->body.len },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (curl_easy_setopt(curl, rows[i].option, rows[i].value) != CURLE_OK) {
			return false;
		}
	}
	return true;
}

/* An own CA is the only one: libcurl would go on believing those of its folder. No proxy of the
 * environment reads along. */
static bool set_rest(CURL *curl, const struct hook_post *post, struct curl_slist *headers)
{
	bool ok = curl_easy_setopt(curl, CURLOPT_URL, post->url) == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_USERAGENT, "gatepost") == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_POSTFIELDS, post->body.ptr) == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body) == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_end) == CURLE_OK &&
	          curl_easy_setopt(curl, CURLOPT_XFERINFODATA, post) == CURLE_OK;
	if (ok && post->ca) {
		ok = curl_easy_setopt(curl, CURLOPT_CAINFO, post->ca) == CURLE_OK &&
		     curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK;
	}
	return ok;
}

/* NULL without memory. */
static struct curl_slist *make_headers(const struct hook_post *post, int64_t seconds)
{
	static const char *const fixed[] = { "Content-Type: application/json", "Expect:" };
	char signature[HOOK_SIGNATURE_MAX], header[HOOK_SIGNATURE_MAX + 32];
	hook_post_sign(post->key, seconds, post->body, signature);
	snprintf(header, sizeof header, "Gatepost-Signature: %s", signature);
	struct curl_slist *headers = curl_slist_append(NULL, header);
	for (size_t i = 0; headers && i < COUNT(fixed); i++) {
		struct curl_slist *longer = curl_slist_append(headers, fixed[i]);
		if (!longer) {
			curl_slist_free_all(headers);
		}
		headers = longer;
	}
	return headers;
}

/* What the server says is wrong with the request stays wrong; what is wrong with it, or on the
 * way to it, may pass. */
static bool may_pass(long status)
{
	return status >= 500 || status == 408 || status == 425 || status == 429;
}

static void perform(CURL *curl, struct hook_answer *answer)
{
	CURLcode code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	if (code != CURLE_OK) {
		answer->status = 0;
		answer->again = code != CURLE_URL_MALFORMAT;
		error_set(&answer->error, "%s", curl_easy_strerror(code));
	} else if (answer->status / 100 != 2) {
		answer->again = may_pass(answer->status);
		error_set(&answer->error, "it answers %ld%s", answer->status,
		          answer->status / 100 == 3 ? ", and no redirect is followed" : "");
	}
}

bool hook_post_send(const struct hook_post *post, int64_t seconds,
                    struct hook_answer *answer_out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct hook_answer answer = { .again = true };
	bool ready = pthread_once(&once, wake) == 0 && awake;
	CURL *curl = ready ? curl_easy_init() : NULL;
	struct curl_slist *headers = curl ? make_headers(post, seconds) : NULL;
	if (!headers || !set_numbers(curl, post) || !set_rest(curl, post, headers)) {
		error_set(&answer.error, "no memory");
	} else {
		perform(curl, &answer);
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	*answer_out = answer;
	return answer.status / 100 == 2;
}
