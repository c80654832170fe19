/*
 * The times that stand in front of lines of logs: RFC 3339 ones, and the traditional ones of
 * syslog, "Nov 25 03:00:00", which have no year: that follows from the order of the lines and
 * from a date that is known to be no earlier. Pure: no clock, no zone of this machine.
 */
#ifndef GATEPOST_PROTO_LOGTIME_H
#define GATEPOST_PROTO_LOGTIME_H

#include "proto/span.h"

struct logtime {
	bool yearless; /* month, day and ms of the day; else `at` */
	bool local;    /* `at` is what the wall showed there, as if it had been UTC */
	int month;     /* 1 ... 12 */
	int day;
	int64_t of_day; /* ms */
	int64_t at;     /* ms since 1970; not before, and not behind the year 9999 */
};

/* Reads a time at the front of `line` and moves `line` behind it. False, both untouched, when
 * there is none. "2026-11-25T03:00:00.123+01:00", "...Z", "+0100"; without a zone it is local.
 * A leap second is the second before it. */
bool logtime_read(struct span *line, struct logtime *time_out);

/* The year of each of a row of yearless times. */
struct logtime_years {
	int year;     /* of the first; the caller's to set */
	int32_t last; /* day of the year of the time before; 0: there is none */
};

/* Going back by more than half a year is a new year. A line of December among those of early
 * January was late: it is of the year before. */
int logtime_year_next(struct logtime_years *years, const struct logtime *time);
/* The latest year in which a yearless time is at most a day later than `until`. */
int logtime_year_until(const struct logtime *time, int64_t until);
/* `time`, if yearless in `year`, as ms since 1970. */
int64_t logtime_at(const struct logtime *time, int year);

#endif
