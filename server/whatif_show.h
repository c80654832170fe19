/*
 * gatepostctl what-if, from inside: commands_whatif.c reads its words and its mail and has that
 * judged; whatif_show.c says what came of it. Nobody else includes this.
 */
#ifndef GATEPOST_SERVER_WHATIF_SHOW_H
#define GATEPOST_SERVER_WHATIF_SHOW_H

#include "server/commands.h"
#include "server/whatif.h"
#include "server/whatif_read.h"
#include "server/whatif_replay.h"

#define WHAT_IF_PRICES_MAX 32

/* Counted while the replay goes on; one an account. */
struct what_if_tally {
	uint32_t locks, refused, held;
	int64_t told_at; /* when a line told of held mail; 0: none did */
};

struct what_if_options {
	const char *limits; /* NULL: as configured */
	const char *price[WHAT_IF_PRICES_MAX];
	size_t nprices;
	bool all, once, classic, history;
	const char *const *file;
	size_t nfiles;
};

struct what_if {
	struct command_call *call;
	struct what_if_options options;
	struct config *config; /* that of the site, or the defaults */
	struct whatif_rules rules;
	struct whatif_windows windows; /* of the limits, or some where there are none */
	struct whatif_reading reading;
	struct whatif mail;
	struct what_if_tally *tally; /* by number of account */
	int64_t from, until;         /* of what was replayed */
	uint64_t messages, recipients;
	bool charged[TARIFF_ROWS]; /* prices that were on a bill */
	struct whatif_use lowest;  /* limits that would have locked nobody */
};

/* A line of a message that was not let through. */
void what_if_show_event(struct what_if *what, const struct whatif_message *message,
                        const struct whatif_judgement *judgement);
/* Behind all of those: the accounts, what the names on the bills mean, and the whole. */
bool what_if_show_end(struct what_if *what);

#endif
