/*
 * Names and who is behind each, as a graph, while the lists are read: every name once, and the
 * number of different members that it leads to in the end. No files, no syntax.
 */
#ifndef GATEPOST_SERVER_LISTS_GRAPH_H
#define GATEPOST_SERVER_LISTS_GRAPH_H

#include "server/lists.h"

/* What a name is kept under; they do not mix. */
enum lists_kind {
	LISTS_ADDRESS,
	LISTS_MAILBOX, /* the mailbox of that address, whatever else it stands for */
	LISTS_OTHER,   /* a program or a file: one member */
	LISTS_INCLUDE, /* what a file includes: no member itself */
};

struct lists_name {
	struct span text;
	enum lists_kind kind;
	bool defined;          /* its members are known: it is none itself */
	uint32_t first, count; /* its members */
	uint32_t plain;        /* of a MAILBOX: its ADDRESS */
	uint32_t seen;         /* in which count */
};

struct lists_graph {
	struct arena texts;
	struct lists_name *name;
	uint32_t nnames, name_room;
	uint32_t *slot; /* open-addressed: name numbers + 1 */
	uint32_t nslots;
	uint32_t *member; /* those of a name lie together */
	uint32_t nmembers, member_room;
	uint32_t *stack;
	uint32_t round;
	uint64_t steps;
};

void lists_graph_init(struct lists_graph *graph);
void lists_graph_done(struct lists_graph *graph);

/* The number of a name, a new one if need be. False: too many, or no memory. */
bool lists_graph_name(struct lists_graph *graph, enum lists_kind kind, struct span text,
                      uint32_t *name_out);
/* From here on members are those of `name`. False: they are known, and what follows is not
 * wanted. */
bool lists_graph_define(struct lists_graph *graph, uint32_t name);
/* One more of the name that was defined last. A name that stands for itself, too, has its own
 * mailbox as a member. False: too many, or no memory. */
bool lists_graph_member(struct lists_graph *graph, uint32_t name, enum lists_kind kind,
                        struct span text);

/* All is read: what is a detail or a mailbox of a name becomes that name. False without memory.
 */
bool lists_graph_settle(struct lists_graph *graph);
/* How many different members it leads to. False: it would take too long. */
bool lists_graph_count(struct lists_graph *graph, uint32_t name, uint32_t *count_out);

#endif
