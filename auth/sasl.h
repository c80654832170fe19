/*
 * Cyrus SASL, walled off: mechanisms, start, step, who. No file is read, only our call-backs;
 * our auxprop plugin serves SCRAM verifiers out of store/account; PLAIN and LOGIN are checked
 * against the same row (auth/verifier.h: a cache of successes, a fake for who does not exist).
 * Calls may take milliseconds: they run in the pool, one at a time for each attempt.
 */
#ifndef GATEPOST_AUTH_SASL_H
#define GATEPOST_AUTH_SASL_H

#include "auth/secret.h"
#include "store/store.h"

enum sasl_status {
	SASL_MORE,         /* send the challenge, give the response to sasl_attempt_step */
	SASL_GOOD,         /* sasl_attempt_account says who */
	SASL_REFUSED,      /* wrong password, unknown user, malformed credentials: 535 */
	SASL_NO_MECHANISM, /* not offered: 504 */
	SASL_NO_INITIAL,   /* the mechanism speaks second: 501 */
	SASL_UNAVAILABLE,  /* store, memory: 454, not counted against the user */
};

struct sasl_rules {
	struct store *store;
	const char *hostname;   /* server FQDN */
	const char *domain;     /* the realm of a login without one */
	const char *mechanisms; /* "PLAIN LOGIN SCRAM-SHA-256" */
	unsigned iterations;    /* of the fake verifiers: as new accounts get */
	struct secret_key key;  /* for the fakes */
};

/* Once a process, before any thread uses it; strings are copied. False, with a sentence, when a
 * mechanism that is configured is not there. */
bool sasl_open(const struct sasl_rules *rules, struct error *error);
void sasl_close(void);
/* What is offered, as EHLO shows it; lives until sasl_close. */
struct span sasl_mechanisms(void);
/* Versions for `gatepost -V`: "Cyrus SASL 2.1.28". Static. */
const char *sasl_version_text(void);

struct sasl_attempt;

/* A new handle for each attempt (CVE-2011-1720). `tls_bits` is the cipher's strength. NULL
 * without memory. */
struct sasl_attempt *sasl_attempt_new(unsigned tls_bits);
/* Disposes and cleanses. NULL is accepted. */
void sasl_attempt_free(struct sasl_attempt *attempt);
/* `initial` is NULL when none was given. The challenge is appended to `challenge_out` (not
 * base64). */
enum sasl_status sasl_attempt_start(struct sasl_attempt *attempt, struct span mechanism,
                                    const struct span *initial, struct buf *challenge_out);
enum sasl_status sasl_attempt_step(struct sasl_attempt *attempt, struct span response,
                                   struct buf *challenge_out);
/* After SASL_GOOD: the canonical account (SASL_USERNAME), lower case, with a realm. Lives with
 * the attempt. */
struct span sasl_attempt_account(const struct sasl_attempt *attempt);
/* The name that was tried, as far as known, for the log; may be empty. Attacker's bytes. Lives
 * with the attempt. */
struct span sasl_attempt_tried(const struct sasl_attempt *attempt);

#endif
