#include "server/lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/aliases.h"
#include "server/file.h"
#include "server/lists_graph.h"

struct reader {
	const struct lists_rules *rules;
	struct lists_graph graph;
	size_t files;
	struct lists_fault *fault;
};

/* ---- what a file says ---- */

/* Where an item stands. */
struct place {
	const char *path;
	unsigned line;
};

static bool fail_inside(struct reader *reader, struct place at, const char *reason)
{
	reader->fault->where = LISTS_INSIDE;
	error_set(&reader->fault->error, "%s:%u: %s", at.path, at.line, reason);
	return false;
}

/* It is read later, when all that names it is known; its place is known now. */
static bool check_include(struct reader *reader, struct place at, struct span text)
{
	char path[ALIASES_TEXT_MAX + 1], reason[512];
	snprintf(path, sizeof path, "%.*s", SPAN_ARG(text));
	if (path[0] == '/' && access(path, R_OK) == 0) {
		return true;
	}
	snprintf(reason, sizeof reason, ":include:%.300s: %s", path,
	         path[0] == '/' ? strerror(errno) : "must be a path from the root");
	return fail_inside(reader, at, reason);
}

static bool add_member(struct reader *reader, struct place at, uint32_t name,
                       const struct aliases_item *item)
{
	static const enum lists_kind kinds[] = {
		[ALIASES_ADDRESS] = LISTS_ADDRESS,
		[ALIASES_MAILBOX] = LISTS_MAILBOX,
		[ALIASES_INCLUDE] = LISTS_INCLUDE,
		[ALIASES_OTHER] = LISTS_OTHER,
	};
	if (item->kind == ALIASES_INCLUDE && !check_include(reader, at, item->text)) {
		return false;
	}
	return lists_graph_member(&reader->graph, name, kinds[item->kind], item->text) ||
	       fail_inside(reader, at, "is one member too many");
}

/* `name`: of a file that is a list itself, and not a table of names. */
static bool take_items(struct reader *reader, const char *path, struct aliases *in,
                       uint32_t name)
{
	struct lists_graph *graph = &reader->graph;
	bool wanted = in->form != ALIASES_TABLE && lists_graph_define(graph, name);
	for (;;) {
		struct aliases_item item = aliases_next(in);
		struct place at = { path, item.line };
		switch (item.kind) {
		case ALIASES_END:
			return true;
		case ALIASES_FAULT:
			return fail_inside(reader, at, item.reason);
		case ALIASES_NAME:
			if (!lists_graph_name(graph, LISTS_ADDRESS, item.text, &name)) {
				return fail_inside(reader, at, "is one name too many");
			}
			wanted = lists_graph_define(graph, name);
			break;
		default:
			if (wanted && !add_member(reader, at, name, &item)) {
				return false;
			}
		}
	}
}

/* A file that can not be read is a fault of `where`. */
static bool read_one(struct reader *reader, const char *path, enum aliases_form form,
                     uint32_t name)
{
	struct aliases in;
	struct buf text = { .cap = LISTS_FILE_BYTES };
	const char *reason = reader->files++ == LISTS_FILES_MAX ? "is one file too many"
	                                                        : file_read(path, &text);
	if (reason) {
		error_set(&reader->fault->error, "\"%.200s\": %s", path, reason);
	} else {
		aliases_init(&in, buf_span(&text), form, reader->rules->domain);
	}
	bool good = !reason && take_items(reader, path, &in, name);
	buf_done(&text);
	return good;
}

/* ---- all files ---- */

/* As RCPT has it, in lower case. False: it is there. */
static bool declare(struct reader *reader, const struct lists_block *block, uint32_t *name_out)
{
	struct aliases in;
	aliases_init(&in, span_str(block->address), ALIASES_LIST, reader->rules->domain);
	struct aliases_item item = aliases_next(&in);
	return item.kind == ALIASES_ADDRESS &&
	       lists_graph_name(&reader->graph, LISTS_ADDRESS, item.text, name_out) &&
	       !reader->graph.name[*name_out].defined;
}

static bool read_blocks(struct reader *reader)
{
	const struct lists_rules *rules = reader->rules;
	struct lists_fault *fault = reader->fault;
	for (size_t i = 0; i < rules->nblocks; i++) {
		uint32_t name;
		*fault = (struct lists_fault){ .where = LISTS_BLOCK, .source = i };
		if (!declare(reader, &rules->block[i], &name)) {
			error_set(&fault->error, "is a list that is declared before");
			return false;
		}
		if (!read_one(reader, rules->block[i].members_file, ALIASES_LIST, name)) {
			return false;
		}
	}
	return true;
}

static bool read_tables(struct reader *reader)
{
	const struct lists_rules *rules = reader->rules;
	for (size_t i = 0; i < rules->nfiles; i++) {
		*reader->fault = (struct lists_fault){ .where = LISTS_FILE, .source = i };
		/* A copy of arena_copy has its NUL. */
		if (!read_one(reader, rules->file[i].ptr, ALIASES_TABLE, 0)) {
			return false;
		}
	}
	return true;
}

/* What is included, and what that includes: each file once, whoever names it. */
static bool read_included(struct reader *reader)
{
	struct lists_graph *graph = &reader->graph;
	for (uint32_t i = 0; i < graph->nnames; i++) {
		if (graph->name[i].kind == LISTS_INCLUDE) {
			reader->fault->where = LISTS_INSIDE;
			if (!read_one(reader, graph->name[i].text.ptr, ALIASES_MEMBERS, i)) {
				return false;
			}
		}
	}
	return true;
}

/* ---- the table ---- */

/* Shorter ones first: any order will do. */
static int compare(struct span a, struct span b)
{
	if (a.len != b.len) {
		return a.len < b.len ? -1 : 1;
	}
	return a.len ? memcmp(a.ptr, b.ptr, a.len) : 0;
}

static int compare_rows(const void *a, const void *b)
{
	return compare(((const struct lists_row *)a)->address,
	               ((const struct lists_row *)b)->address);
}

/* Counts all names; rows of those that are lists get texts of the graph. */
static bool count_all(struct reader *reader, struct lists_row *rows, size_t *count_out)
{
	struct lists_graph *graph = &reader->graph;
	size_t n = 0;
	for (uint32_t i = 0; i < graph->nnames; i++) {
		const struct lists_name *name = &graph->name[i];
		uint32_t members = 0;
		if (!name->defined || name->kind != LISTS_ADDRESS) {
			continue;
		}
		if (!lists_graph_count(graph, i, &members)) {
			error_set(&reader->fault->error,
			          "list_files: too many names stand for each other, \"%.100s\" "
			          "is one of them",
			          name->text.ptr);
			return false;
		}
		if (members > 1) {
			rows[n++] = (struct lists_row){ name->text, members };
		}
	}
	*count_out = n;
	return true;
}

/* Those that are lists, into `memory`, in order. */
static bool keep(const struct lists_row *rows, size_t count, struct arena *memory,
                 struct lists *lists_out)
{
	struct lists_row *row = arena_alloc(memory, (count + 1) * sizeof *row);
	for (size_t i = 0; row && i < count; i++) {
		row[i] = rows[i];
		if (!arena_copy(memory, rows[i].address, &row[i].address)) {
			return false;
		}
	}
	if (row) {
		qsort(row, count, sizeof *row, compare_rows);
		*lists_out = (struct lists){ row, count };
	}
	return row != NULL;
}

static bool make_table(struct reader *reader, struct arena *memory, struct lists *lists_out)
{
	size_t count = 0;
	struct lists_row *rows = calloc((size_t)reader->graph.nnames + 1, sizeof *rows);
	bool good = rows && lists_graph_settle(&reader->graph);
	*reader->fault = (struct lists_fault){ .where = LISTS_INSIDE };
	if (good) {
		good = count_all(reader, rows, &count) && keep(rows, count, memory, lists_out);
	}
	if (!good && !reader->fault->error.text[0]) {
		error_set(&reader->fault->error, "list_files: too many lists for the memory");
	}
	free(rows);
	return good;
}

bool lists_read(const struct lists_rules *rules, struct arena *memory, struct lists *lists_out,
                struct lists_fault *fault_out)
{
	struct reader reader = { .rules = rules, .fault = fault_out };
	lists_graph_init(&reader.graph);
	bool good = read_blocks(&reader) && read_tables(&reader) && read_included(&reader) &&
	            make_table(&reader, memory, lists_out);
	lists_graph_done(&reader.graph);
	return good;
}

/* ---- looking up ---- */

static uint32_t find(const struct lists *lists, struct span address)
{
	size_t low = 0, high = lists->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(address, lists->row[middle].address);
		if (order == 0) {
			return lists->row[middle].members;
		}
		*(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
	}
	return 0;
}

uint32_t lists_members(const struct lists *lists, struct span key)
{
	char lower[ADDRESS_MAX + 1];
	if (lists->count == 0 || key.len > sizeof lower) {
		return 0;
	}
	for (size_t i = 0; i < key.len; i++) {
		lower[i] = span_lower(key.ptr[i]);
	}
	uint32_t members = find(lists, span_of(lower, key.len));
	if (!members && span_find(key, '+') < key.len) {
		struct buf fold = { .cap = sizeof lower };
		address_key_fold(span_of(lower, key.len), &fold);
		members = find(lists, buf_span(&fold));
		buf_done(&fold);
	}
	return members;
}
