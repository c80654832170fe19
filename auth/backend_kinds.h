/*
 * Private to auth/backend*.c and their tests: one function a kind, each blocking until an
 * answer or the deadline, and the parts of them that are pure.
 */
#ifndef GATEPOST_AUTH_BACKEND_KINDS_H
#define GATEPOST_AUTH_BACKEND_KINDS_H

#include "auth/backend.h"
#include "auth/wire.h"

#define BACKEND_USER_MAX 255

/* A name at its last @; without one the domain is the site's. */
struct backend_name {
	struct span user, domain;
};
struct backend_name backend_split(struct span typed, const char *domain);

enum backend_answer backend_ask_saslauthd(const struct backend_rules *rules,
                                          const struct backend_question *question,
                                          struct buf *name_out, struct error *error);
enum backend_answer backend_ask_ldap(const struct backend_rules *rules,
                                     const struct backend_question *question,
                                     struct buf *name_out, struct error *error);
enum backend_answer backend_ask_dovecot(const struct backend_rules *rules,
                                        const struct backend_question *question,
                                        struct buf *name_out, struct error *error);

/* The question of saslauthd on a wire that is open. */
enum backend_answer saslauthd_talk(struct wire *wire, const struct backend_rules *rules,
                                   const struct backend_question *question,
                                   struct error *error);
/* What saslauthd's answer (without its length) means; a sentence unless it is RIGHT. */
enum backend_answer saslauthd_answer(struct span text, struct error *error);

/* Appends ldap.filter with the name put in, each byte that could mean something to a filter
 * escaped (RFC 4515 3). False for a % that is none of %u %n %d %%, and beyond the cap. */
bool ldap_filter_write(const char *filter, struct span typed, const char *domain,
                       struct buf *out);
/* Why Active Directory refused, from the diagnostic text of its answer: a static phrase; NULL
 * when it does not say. */
const char *ldap_refusal(const char *diagnostic);

/* What Dovecot says, as far as it matters here. Pure: bytes in any split. */
enum dovecot_said {
	DOVECOT_MORE,  /* needs more bytes */
	DOVECOT_READY, /* it takes PLAIN: ask now */
	DOVECOT_RIGHT,
	DOVECOT_WRONG,
	DOVECOT_UNABLE,
};

struct dovecot_talk {
	bool version, plain, ready;
	struct buf line;  /* its cap is the longest line */
	struct buf *name; /* borrowed; takes the user of an OK */
	const char *why;  /* of WRONG and UNABLE: static */
};

#define DOVECOT_LINE_MAX 8192
#define DOVECOT_TALK(name_out) \
	((struct dovecot_talk){ .line = { .cap = DOVECOT_LINE_MAX }, .name = (name_out) })

/* Takes bytes off `in` up to the end of the next line that decides something, or all. */
enum dovecot_said dovecot_hear(struct dovecot_talk *talk, struct span *in);
void dovecot_talk_done(struct dovecot_talk *talk);

#endif
