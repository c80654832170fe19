/*
 * The only logger: logfmt, one event a line, `event=` first, then numbers and words of our own,
 * attacker-controlled text last, always quoted, with `"`, `\`, control and non-ASCII bytes as
 * \xNN. Lines go through a bounded ring to one thread that writes them to stderr (with <N>
 * priorities under systemd); when the ring is full they are dropped and counted
 * (event=log-dropped count=N), never waited for. Any thread may log. A stderr that is not the
 * journal gets the time in front, UTC.
 */
#ifndef GATEPOST_SERVER_LOG_H
#define GATEPOST_SERVER_LOG_H

#include "proto/error.h"
#include "proto/span.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

struct log_line {
	enum log_level level;
	size_t len;
	bool cut; /* it was too long: text was cut, never a key; the line ends with cut=1 */
	char text[1500];
};

/* Starts the thread. Before that, and after log_stop, lines are written at once. */
void log_start(void);
/* Writes what waits, ends the thread; a stderr that takes nothing is given up after a few
 * seconds. */
void log_stop(void);

void log_begin(struct log_line *line, enum log_level level, const char *event);
/* key=number */
void log_number(struct log_line *line, const char *key, int64_t number);
/* key=word: our own words only (A-Z a-z 0-9 . : / _ - + [ ] @); anything else is written as
 * log_text does. */
void log_word(struct log_line *line, const char *key, struct span word);
/* key="text": any bytes, escaped, cut at 400. */
void log_text(struct log_line *line, const char *key, struct span text);
/* qid=ID */
void log_id(struct log_line *line, uint64_t id);
void log_end(struct log_line *line);

/* event=NAME reason="...": what most faults are; without the reason when it is empty. */
void log_fault(enum log_level level, const char *event, const char *reason);

/* Lines dropped since the start. */
uint64_t log_dropped(void);

#endif
