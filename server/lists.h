/*
 * Addresses behind which there are several people, and how many: declared by `list` blocks, or
 * found in the alias files of the site's MTA. Read with the configuration, and anew at each
 * reload; then it never changes.
 *
 * A member counts once however often and by whichever way it is reached; a name that stands for
 * others is not itself a member; a program and a file are one each. What leads back to itself
 * is followed once.
 */
#ifndef GATEPOST_SERVER_LISTS_H
#define GATEPOST_SERVER_LISTS_H

#include "proto/arena.h"
#include "proto/error.h"

#define LISTS_FILES_MAX   4096                       /* with those that are included */
#define LISTS_FILE_BYTES  ((size_t)16 * 1024 * 1024) /* of one */
#define LISTS_NAMES_MAX   ((uint32_t)1 << 20)        /* names and members in all */
#define LISTS_MEMBERS_MAX ((uint32_t)1 << 22) /* of all, each as often as it stands there */
#define LISTS_STEPS_MAX   ((uint64_t)1 << 27) /* of following names: about a second */

/* A `list` block. */
struct lists_block {
	char *address; /* the name of the block */
	char *members_file;
};

struct lists_rules {
	const struct lists_block *block; /* they go before what alias files say */
	size_t nblocks;
	const struct span *file; /* alias files; the first that has a name counts */
	size_t nfiles;
	struct span domain; /* of names without one */
};

struct lists_row {
	struct span address; /* lower case */
	uint32_t members;    /* at least 2 */
};

struct lists {
	const struct lists_row *row; /* in order of the address */
	size_t count;
};

enum lists_where {
	LISTS_BLOCK,  /* block number `source`: a sentence about its members_file */
	LISTS_FILE,   /* file number `source`: the same */
	LISTS_INSIDE, /* a whole sentence, "FILE:LINE: ..." */
};

struct lists_fault {
	enum lists_where where;
	size_t source;
	struct error error;
};

/* Reads all of them; `lists_out` lives in `memory`. */
bool lists_read(const struct lists_rules *rules, struct arena *memory, struct lists *lists_out,
                struct lists_fault *fault_out);
/* How many people this recipient is; 0 when it is no list. `key` is of address_key; case and
 * details do not matter here, as they do not to an MTA that looks up its aliases. */
uint32_t lists_members(const struct lists *lists, struct span key);

#endif
