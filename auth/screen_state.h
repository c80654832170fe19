/* The inside of the screen, for its own files: screen.c decides, screen_block.c is for admins
 * and for rows. */
#ifndef GATEPOST_AUTH_SCREEN_STATE_H
#define GATEPOST_AUTH_SCREEN_STATE_H

#include "auth/screen.h"
#include "auth/screen_count.h"
#include "auth/screen_table.h"

enum kind { ADDRESS, NETWORK, KINDS };

/* A network that logged in to an account. */
struct good {
	struct screen_slot slot; /* touched when it last did */
	struct fading failures;  /* at this account, from there */
};

/* An address or a network. */
struct source {
	struct screen_slot slot;
	struct network network;
	struct fading count;
	uint32_t failures; /* whole ones, since nothing was left of the count: for people */
	uint32_t level;
	int64_t until;          /* T of the present block's end, or the last one's */
	struct tally good;      /* accounts that logged in */
	struct tally failed;    /* accounts it failed for */
	struct tally addresses; /* of a network, that failed */
};

struct target {
	struct screen_slot slot;
	struct fading count;
	uint32_t level;
	int64_t until;
};

struct screen {
	struct screen_hash_key key;
	struct screen_table sources[KINDS];
	struct screen_table targets; /* accounts */
	struct screen_table goods;   /* networks that logged in to an account */
	struct screen_table guessed; /* passwords tried from a network: slots only */
	struct screen_block by_hand[SCREEN_BY_HAND];
	size_t nby_hand;
};

/* KINDS: it is neither. */
enum kind screen_kind_of(const struct network *network);
bool screen_same_network(const struct network *a, const struct network *b);
/* NULL: nothing is known of it. */
struct source *screen_source_find(const struct screen *screen, const struct network *network,
                                  enum kind kind);
struct source *screen_source_take(struct screen *screen, const struct network *network,
                                  enum kind kind, int64_t now);
/* Of a block in force; NULL has none. */
bool screen_source_is_blocked(const struct source *source, int64_t now);
/* It is, or was lately: the next one is longer. */
bool screen_source_is_remembered(const struct source *source, int64_t now);

#endif
