/*
 * The files that gatepostctl what-if reads: opened all at once, so that the rights by which
 * that was possible can be dropped before the first byte is looked at; then read in the order
 * of their beginnings. Compressed ones pass through gzip.
 */
#ifndef GATEPOST_SERVER_WHATIF_READ_H
#define GATEPOST_SERVER_WHATIF_READ_H

#include "proto/error.h"
#include "proto/maillog.h"

struct whatif_file {
	const char *path;
	int fd;
	bool packed;
	int64_t until; /* ms since 1970: its last change */
	int year;      /* of its first time without one */
	int64_t begin; /* its first time */
};

struct whatif_reading {
	struct whatif_file *file;
	size_t nfiles;
	uint64_t lines, bad;
	char first_bad[300]; /* FILE:LINE of the first of them; "" */
};

/* False with a sentence; `reading_out` wants whatif_read_done only when it is true. */
bool whatif_read_open(const char *const *path, size_t n, struct whatif_reading *reading_out,
                      struct error *error);
/* All events, their times in UTC, to `take`; which may end it, and then has set `error`. False
 * with a sentence. */
bool whatif_read(struct whatif_reading *reading,
                 bool (*take)(void *context, const struct maillog_event *event,
                              struct error *error),
                 void *context, struct error *error);
/* NULL, and one that is zeroed, are accepted. */
void whatif_read_done(struct whatif_reading *reading);

#endif
