/*
 * Past mail from lines: who submitted what to whom, and when. Two kinds of lines, told apart
 * one by one:
 *
 * Postfix's log. A message is known by its queue id (and its host): smtpd tells the client and
 * the login, qmgr how many recipients there are, the delivery agents who they are, `removed`
 * that it is over. What nobody logged in for is no submission. Messages under way are kept in a
 * table with a bound; beyond it the oldest is given out as it is.
 *
 * Rows, time<TAB>account<TAB>recipient[<TAB>network]: seconds since 1970, or RFC 3339. Those of
 * the same time and account are one message; joining them is the caller's, who has sorted them.
 *
 * Pure: lines in, events out.
 */
#ifndef GATEPOST_PROTO_MAILLOG_H
#define GATEPOST_PROTO_MAILLOG_H

#include "proto/logtime.h"

#define MAILLOG_OPEN_MAX       65536 /* messages under way */
#define MAILLOG_RECIPIENTS_MAX 10000 /* of a message by name; the others are counted */
#define MAILLOG_BYTES_MAX      ((size_t)256 * 1024 * 1024) /* of all that is under way */

/* One submission. Spans are valid until the next call. */
struct maillog_event {
	int64_t at;                   /* ms since 1970 */
	bool local;                   /* as in struct logtime */
	bool row;                     /* to be joined with others */
	struct span account;          /* as logged */
	struct span client;           /* its address, or the network of a row; may be empty */
	const struct span *recipient; /* each once; canonical where that is possible */
	size_t nrecipients;
	uint32_t rest; /* how many more there were */
};

enum maillog_line {
	MAILLOG_TAKEN,
	MAILLOG_OTHER, /* of another program, or of no interest */
	MAILLOG_BAD,   /* neither a line of a log nor a row */
};

struct maillog;

/* NULL without memory. `open_max`: 0 for MAILLOG_OPEN_MAX. */
struct maillog *maillog_new(size_t open_max);
/* NULL is accepted. */
void maillog_free(struct maillog *log);
/* A file begins: the year of its first time without one, from maillog_scan_end. */
void maillog_file(struct maillog *log, int year);
/* A line without its end. Then maillog_next until it is false. */
enum maillog_line maillog_feed(struct maillog *log, struct span line);
/* Nothing follows: what is under way is given out by maillog_next. */
void maillog_end(struct maillog *log);
bool maillog_next(struct maillog *log, struct maillog_event *event_out);
/* Did memory end? Then events are missing. */
bool maillog_failed(const struct maillog *log);

/* A first look at a file: its lines one by one, then its end. Zeroed memory is a beginning. */
struct maillog_scan {
	bool any;
	struct logtime first;
	struct logtime_years years;
	struct logtime last;       /* of those without a year */
	int first_year, last_year; /* the same, counted from the file's first, which is 0 */
	bool yearless;
};
void maillog_scan_line(struct maillog_scan *scan, struct span line);
/* Nothing in the file is later than `until` (by more than a day). The year for maillog_file,
 * and when the file begins, for sorting; INT64_MAX when it has no time at all. */
void maillog_scan_end(const struct maillog_scan *scan, int64_t until, int *year_out,
                      int64_t *begin_out);

#endif
