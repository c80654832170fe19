/*
 * The facts of a hook to an https:// address: one POST, signed, to a server whose certificate
 * is checked; what it answers is a number to us and nothing else. Redirects are not followed:
 * whom the admin has named is who is told. Nothing of libcurl is visible here.
 */
#ifndef GATEPOST_SERVER_HOOK_POST_H
#define GATEPOST_SERVER_HOOK_POST_H

#include <stdatomic.h>

#include "proto/error.h"
#include "proto/span.h"

#define HOOK_SIGNATURE_MAX 128

/* NULL for one that can be posted to, else why not. Pure. */
const char *hook_post_fault(struct span url);

/* "t=SECONDS,v1=HEX": HMAC-SHA256 with `key` over "SECONDS.BODY". The time is in it so that who
 * has seen an old one can not send it again. Pure. */
void hook_post_sign(struct span key, int64_t seconds, struct span body,
                    char text_out[HOOK_SIGNATURE_MAX]);

struct hook_post {
	const char *url;
	const char *ca; /* PEM; NULL: the system's */
	struct span key;
	struct span body;
	int64_t timeout;              /* ms, of all */
	const atomic_bool *cancelled; /* ends it within a second or so */
};

struct hook_answer {
	long status; /* of HTTP; 0: none came */
	bool again;  /* it failed in a way that may pass */
	struct error error;
};

/* Blocks: for the pool. True when it was taken (2xx). */
bool hook_post_send(const struct hook_post *post, int64_t seconds,
                    struct hook_answer *answer_out);

#endif
