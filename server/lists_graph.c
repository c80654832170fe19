#include "server/lists_graph.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/address.h"

#define TEXTS_MAX ((size_t)128 * 1024 * 1024)

void lists_graph_init(struct lists_graph *graph)
{
	*graph = (struct lists_graph){ .nnames = 0 };
	arena_init(&graph->texts, TEXTS_MAX);
}

void lists_graph_done(struct lists_graph *graph)
{
	arena_done(&graph->texts);
	free(graph->name);
	free(graph->slot);
	free(graph->member);
	free(graph->stack);
	*graph = (struct lists_graph){ .nnames = 0 };
}

/* ---- names ---- */

/* FNV-1a: the files are the site's own. */
static uint32_t hash(enum lists_kind kind, struct span text)
{
	uint32_t value = 2166136261u ^ (uint32_t)kind;
	for (size_t i = 0; i < text.len; i++) {
		value = (value ^ (unsigned char)text.ptr[i]) * 16777619u;
	}
	return value;
}

/* The slot of a name, or the free one where it belongs. */
static uint32_t *find_slot(const struct lists_graph *graph, enum lists_kind kind,
                           struct span text)
{
	uint32_t mask = graph->nslots - 1;
	for (uint32_t at = hash(kind, text) & mask;; at = (at + 1) & mask) {
		uint32_t *slot = &graph->slot[at];
		const struct lists_name *name = *slot ? &graph->name[*slot - 1] : NULL;
		if (!name || (name->kind == kind && span_eq(name->text, text))) {
			return slot;
		}
	}
}

/* Names fill at most half of the slots. */
static bool grow_names(struct lists_graph *graph)
{
	uint32_t room = graph->name_room ? 2 * graph->name_room : 64;
	struct lists_name *name = NULL;
	uint32_t *slot = NULL;
	if (room <= LISTS_NAMES_MAX) {
		name = reallocarray(graph->name, room, sizeof *name);
		graph->name = name ? name : graph->name;
		slot = calloc(2 * (size_t)room, sizeof *slot);
	}
	if (!name || !slot) {
		free(slot);
		return false;
	}
	free(graph->slot);
	graph->slot = slot;
	graph->nslots = 2 * room;
	graph->name_room = room;
	for (uint32_t i = 0; i < graph->nnames; i++) {
		*find_slot(graph, name[i].kind, name[i].text) = i + 1;
	}
	return true;
}

static bool intern(struct lists_graph *graph, enum lists_kind kind, struct span text,
                   uint32_t *name_out)
{
	if (graph->nnames == graph->name_room && !grow_names(graph)) {
		return false;
	}
	uint32_t *slot = find_slot(graph, kind, text);
	if (!*slot) {
		struct lists_name *name = &graph->name[graph->nnames];
		*name = (struct lists_name){ .kind = kind };
		if (!arena_copy(&graph->texts, text, &name->text)) {
			return false;
		}
		*slot = ++graph->nnames;
	}
	*name_out = *slot - 1;
	return true;
}

bool lists_graph_name(struct lists_graph *graph, enum lists_kind kind, struct span text,
                      uint32_t *name_out)
{
	uint32_t name, plain = 0;
	if (!intern(graph, kind, text, &name) ||
	    (kind == LISTS_MAILBOX && !intern(graph, LISTS_ADDRESS, text, &plain))) {
		return false;
	}
	graph->name[name].plain = plain;
	*name_out = name;
	return true;
}

/* ---- members ---- */

bool lists_graph_define(struct lists_graph *graph, uint32_t name)
{
	struct lists_name *row = &graph->name[name];
	if (row->defined) {
		return false;
	}
	row->defined = true;
	row->first = graph->nmembers;
	return true;
}

bool lists_graph_member(struct lists_graph *graph, uint32_t name, enum lists_kind kind,
                        struct span text)
{
	uint32_t member;
	if (!lists_graph_name(graph, kind, text, &member) ||
	    (member == name && kind == LISTS_ADDRESS &&
	     !lists_graph_name(graph, LISTS_MAILBOX, text, &member))) {
		return false;
	}
	if (graph->nmembers == graph->member_room) {
		uint32_t room = graph->member_room ? 2 * graph->member_room : 256;
		uint32_t *more = room <= LISTS_MEMBERS_MAX
		                     ? reallocarray(graph->member, room, sizeof *more)
		                     : NULL;
		if (!more) {
			return false;
		}
		graph->member = more;
		graph->member_room = room;
	}
	struct lists_name *row = &graph->name[name];
	assert(row->defined && row->first + row->count == graph->nmembers);
	graph->member[graph->nmembers++] = member;
	row->count++;
	return true;
}

/* ---- counting ---- */

/* Whom a member stands for: "bob+tag" is bob where bob is a name, and a mailbox that no name
 * hides is its address. */
static uint32_t resolve(const struct lists_graph *graph, uint32_t member)
{
	const struct lists_name *name = &graph->name[member];
	if (name->kind == LISTS_MAILBOX) {
		return graph->name[name->plain].defined ? member : name->plain;
	}
	if (name->kind != LISTS_ADDRESS || name->defined ||
	    span_find(name->text, '+') == name->text.len) {
		return member;
	}
	struct buf fold = { .cap = name->text.len };
	address_key_fold(name->text, &fold);
	uint32_t slot = *find_slot(graph, LISTS_ADDRESS, buf_span(&fold));
	buf_done(&fold);
	return slot && graph->name[slot - 1].defined ? slot - 1 : member;
}

bool lists_graph_settle(struct lists_graph *graph)
{
	for (uint32_t i = 0; i < graph->nmembers; i++) {
		graph->member[i] = resolve(graph, graph->member[i]);
	}
	/* A name is on it once a round at most. */
	graph->stack = calloc((size_t)graph->nnames + 1, sizeof *graph->stack);
	return graph->stack != NULL;
}

bool lists_graph_count(struct lists_graph *graph, uint32_t name, uint32_t *count_out)
{
	uint32_t depth = 0, count = 0;
	graph->round++;
	graph->name[name].seen = graph->round;
	graph->stack[depth++] = name;
	while (depth) {
		const struct lists_name *row = &graph->name[graph->stack[--depth]];
		bool leaf = !row->defined && row->kind != LISTS_INCLUDE;
		count += leaf;
		graph->steps += row->count + 1u;
		for (uint32_t i = 0; i < row->count; i++) {
			uint32_t member = graph->member[row->first + i];
			if (graph->name[member].seen != graph->round) {
				graph->name[member].seen = graph->round;
				graph->stack[depth++] = member;
			}
		}
		if (graph->steps > LISTS_STEPS_MAX) {
			return false;
		}
	}
	*count_out = count;
	return true;
}
