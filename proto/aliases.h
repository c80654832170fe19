/*
 * Who is behind a name: alias files as Postfix, Sendmail and Exim read them, the files that
 * these include, and plain lists of addresses. Text in, items out, one a call; who is meant by
 * whom is the caller's. Pure.
 *
 *     staff: alice, "c d"@example.net, \bob, :include:/path, |program, /file
 *         and a line that begins with a blank goes on; a # at a line's begin is a comment
 *
 * What another program reads as well is taken as it is: a member that is no address is a member
 * all the same. Only what leaves open who belongs to whom is a fault.
 */
#ifndef GATEPOST_PROTO_ALIASES_H
#define GATEPOST_PROTO_ALIASES_H

#include "proto/address.h"

#define ALIASES_TEXT_MAX 4096 /* bytes of a name or a member */

enum aliases_form {
	ALIASES_TABLE,   /* "name: member, member" */
	ALIASES_MEMBERS, /* what :include: names: members between commas, or a line each */
	ALIASES_LIST,    /* an address a line, # begins a comment; anything else is a fault */
};

enum aliases_kind {
	ALIASES_END,
	ALIASES_FAULT,   /* with a reason; nothing follows */
	ALIASES_NAME,    /* of a TABLE: its members follow */
	ALIASES_ADDRESS, /* a member, perhaps a name again */
	ALIASES_MAILBOX, /* \name: the mailbox, whatever the name stands for */
	ALIASES_INCLUDE, /* :include: and a path */
	ALIASES_OTHER,   /* a program or a file */
};

struct aliases_item {
	enum aliases_kind kind;
	/* Of NAME, ADDRESS and MAILBOX in the canonical form of address_key, all of it in lower
	 * case, with a domain. Valid until the next call. */
	struct span text;
	unsigned line;
	const char *reason; /* static text */
};

struct aliases {
	struct span rest, domain;
	enum aliases_form form;
	unsigned line;
	bool inside; /* members may follow */
	char raw[ALIASES_TEXT_MAX], text[ALIASES_TEXT_MAX];
	size_t len; /* of `raw` */
};

/* `domain` is that of names without one. Both spans are borrowed. */
void aliases_init(struct aliases *in, struct span text, enum aliases_form form,
                  struct span domain);
struct aliases_item aliases_next(struct aliases *in);

#endif
