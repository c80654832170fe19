/*
 * How the sink keeps mail: as files of a maildir, and as lines of a journal that a crash test
 * can trust, since each is written before the mail is answered for.
 */
#ifndef GATEPOST_TEST_BENCH_KEEP_H
#define GATEPOST_TEST_BENCH_KEEP_H

#include "proto/buf.h"

struct keep {
	const char *maildir; /* NULL = none */
	int journal;         /* -1 = none */
	struct buf line;
	unsigned long long nth;
};

/* Spans are borrowed. */
struct kept {
	struct span sender;
	struct span recipients; /* joined by commas */
	unsigned nrecipients;
	struct span text; /* dots taken off */
	int64_t opened;   /* ms: the connection */
	bool dropped;     /* the client will not hear that we have it */
};

void keep_init(struct keep *keep);
void keep_done(struct keep *keep);
/* Both are false, with errno, when that can not be written to. */
bool keep_open_maildir(struct keep *keep, const char *dir);
bool keep_open_journal(struct keep *keep, const char *file);

/* False, with errno, when the mail could not be kept. */
bool keep_mail(struct keep *keep, const struct kept *mail);

/* FNV-1a of 64 bits: tells a mail that was cut or mixed up, not one that was forged. */
uint64_t keep_fnv64(struct span bytes);

#endif
