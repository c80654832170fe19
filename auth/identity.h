/*
 * One person, one account: the canonical account out of a name. A name that a back end returned
 * is taken as it is; one that was only typed goes through the site's login_map first. Pure.
 *
 * A login_map is lines "FROM TO", `#` begins a comment. FROM is compared ASCII case-blind and
 * may hold one `*`; the `*` of TO is what that stood for. The first rule that fits counts:
 *
 *     EXAMPLE\*            *@example.org
 *     *@corp.example.org   *@example.org
 */
#ifndef GATEPOST_AUTH_IDENTITY_H
#define GATEPOST_AUTH_IDENTITY_H

#include "proto/arena.h"
#include "proto/buf.h"

#define IDENTITY_RULES_MAX 100000

struct identity_rule {
	struct span from, to;
};

struct identity_map {
	const struct identity_rule *rules;
	size_t nrules;
	struct span domain; /* of a name without one */
	/* Without a rule that fits, "alice+tag@" is alice@: a back end that takes any detail
	 * must not make an account of each (external back ends). */
	bool fold_details;
};

/* Reads a map's text; spans are copied into `arena`. False with the line and a reason (static
 * text). */
bool identity_parse(struct span text, struct arena *arena, struct identity_rule **rules_out,
                    size_t *nrules_out, unsigned *line_out, const char **reason_out);

/* The account of a name that was typed: blanks at its ends are cut off as Cyrus does, then the
 * map, then address_account. False, `account_out` as it was: nobody's name. The account of an
 * account is itself where no rule says otherwise. */
bool identity_of_typed(const struct identity_map *map, struct span typed,
                       struct buf *account_out);
/* The account of a name that a back end, a certificate or an OAuth token returned. */
bool identity_of_returned(const struct identity_map *map, struct span returned,
                          struct buf *account_out);

#endif
