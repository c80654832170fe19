/*
 * RFC 5321 paths (4.1.2), and the canonical key under which a recipient is counted and relayed
 * once. ASCII only here: a path with bytes above 127 is told apart (ADDRESS_UTF8).
 */
#ifndef GATEPOST_PROTO_ADDRESS_H
#define GATEPOST_PROTO_ADDRESS_H

#include "proto/buf.h"

#define ADDRESS_MAX         254 /* a path of 256 octets (4.5.3.1.3) less its brackets */
#define ADDRESS_LOCAL_MAX   64
#define ADDRESS_DOMAIN_MAX  255
#define ADDRESS_ACCOUNT_MAX 255

enum address_result {
	ADDRESS_OK,
	ADDRESS_NULL,        /* <>, the null reverse-path */
	ADDRESS_UNQUALIFIED, /* a local-part without a domain */
	ADDRESS_BAD,         /* syntax */
	ADDRESS_TOO_LONG,    /* local-part, domain or path beyond RFC 5321 4.5.3.1 */
	ADDRESS_UTF8,        /* good but for bytes above 127: needs SMTPUTF8 */
};

struct address {
	struct span
	    local; /* as written, quotes and backslashes included; points into the input */
	struct span domain; /* without the @ and a dot at its end; a literal keeps its [] */
	struct span whole;  /* local@domain as written, source route and last dot stripped */
};

/*
 * Reads a path in brackets at the front of `in` (source routes are accepted and stripped,
 * `<Postmaster>` in any case is ADDRESS_UNQUALIFIED), and moves `in` behind the `>`. On any
 * result but OK, UNQUALIFIED and NULL `in` and `address_out` are untouched. For NULL all spans
 * are empty, for UNQUALIFIED the domain is. Spans point into `in`.
 */
enum address_result address_parse_path(struct span *in, struct address *address_out);

/* The same for an address without brackets that must be the whole of `text`; never NULL. */
enum address_result address_parse(struct span text, struct address *address_out);

/*
 * Appends the canonical key: domain in lower case, quotes of a local-part taken away where they
 * are not needed, the local-part's case kept (it may matter to its owner, 2.4). A key is an
 * address again, its own key, and never longer than the address.
 */
void address_key(const struct address *address, struct buf *out);

/*
 * Appends a key without its detail: "alice+tag@example.org" is alice@example.org. One that
 * begins with a + or needs quotes stays as it is. The key of a key is the key.
 */
void address_key_fold(struct span key, struct buf *out);

/*
 * Appends the canonical account name of a login: ASCII lower case, `@domain` added when there
 * is none (and `domain` is not empty). False, with `out` unchanged, when a side of the @ is
 * empty, or with control bytes, blanks (at the ends too), bytes above 127, more than one @, or
 * over ADDRESS_ACCOUNT_MAX bytes in the end. The name of a name is the name.
 */
bool address_account(struct span login, struct span domain, struct buf *out);

/* A domain name (labels of letters, digits, inner hyphens and underscores; no dot at the end)
 * or an IPv4 or IPv6 address literal, of at most ADDRESS_DOMAIN_MAX bytes. */
bool address_domain_is_valid(struct span domain);

#endif
