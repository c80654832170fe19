/* One attempt to send, as values: all that the judge sees. What was sent is filled in by the
 * caller; what the account's history says of it by familiar_look. Pure. */
#ifndef GATEPOST_AUTH_ACT_H
#define GATEPOST_AUTH_ACT_H

#include "proto/span.h"

struct budget_limits;

/* Where it comes from, as far as the server knows. */
struct origin {
	uint64_t network; /* familiar_network of its IPv4 /24, IPv6 /48 or origin AS; 0: this
	                     machine itself, or nobody knows */
	bool familiar;    /* declared: as good as ripe for everybody */
	bool shared;      /* declared: many accounts use it, so it says nothing about one */
	char country[3];  /* "DE"; "": not known */
	/* For mail from there, in place of the site's; NULL: those. Borrowed. */
	const struct budget_limits *limits;
};

/* What that network is to the account. */
enum act_network {
	ACT_NETWORK_RIPE,   /* used for long enough, or declared familiar, or this machine */
	ACT_NETWORK_SHARED, /* many accounts use it, or it is declared so */
	ACT_NETWORK_STRANGE,
};

/* What the history says. Zeroes: there is none, or not long enough to charge by. */
struct act_past {
	bool learned;       /* the history is long enough: surcharges apply */
	uint32_t strangers; /* recipients that were never written to before, with the members
	                       of a list that was not */
	uint32_t beyond;    /* the others, from a STRANGE network, beyond the first ten of its
	                       day */
	enum act_network network;
	bool new_network; /* met for the first time in 24 hours */
	bool new_country; /* the same, of a country that is known */
	bool barred;      /* its network is barred for this account */
};

struct act {
	struct span account; /* canonical */
	struct span apppass; /* by which of its app passwords; empty: none */
	uint32_t recipients; /* each once */
	/* Digests (familiar_contact) of those that familiar_look has not counted in `past`
	 * yet, in any order; of recipients that are not told none is a stranger. */
	const uint64_t *contact;
	size_t ncontacts;
	uint32_t members; /* of lists among them, beyond the one recipient each */
	uint32_t traps;   /* recipients that the admin planted */
	struct origin origin;
	struct span client;  /* the client's address, text */
	struct span subject; /* as in the header, may be empty or anything */
	struct span example; /* one of the recipients, as given; may be empty */
	int64_t now;         /* T */
	int64_t wall;        /* ms since 1970 */
	struct act_past past;
};

#endif
