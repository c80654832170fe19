/*
 * The sweep at start: what a crash may leave (body rows without an entry) is deleted, and the
 * invariants of the queue's tables are checked and mended: each READY entry has exactly its due
 * row, each entry its owner row, each account its right usage, each body as many bytes as its
 * entry says. An entry that can not be read, or whose body is not whole, is HELD and counted,
 * never deleted.
 */
#ifndef GATEPOST_STORE_CHECK_H
#define GATEPOST_STORE_CHECK_H

#include "store/store.h"

struct check_report {
	uint64_t entries;
	uint64_t ready;
	uint64_t held;
	uint64_t orphan_bodies; /* deleted */
	uint64_t mended;        /* index rows put right */
	uint64_t damaged;       /* entries held because they can not be sent whole */
};

/* In transactions of bounded size; before any other writer starts. */
enum store_result check_run(struct store *store, struct check_report *report_out,
                            struct error *error);

#endif
