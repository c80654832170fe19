/*
 * Whatever the lines are: an event has an account, a time that the budget can take and somebody
 * it went to, each once; what is read twice is the same; and there are no more events than
 * lines.
 */
#include "fuzz.h"

#include "proto/maillog.h"

#define TIME_MAX ((int64_t)1 << 50)

static void check(const struct maillog_event *event)
{
	PROMISE(event->account.len > 0);
	PROMISE(event->at >= 0 && event->at < TIME_MAX);
	PROMISE(event->nrecipients + event->rest > 0);
	PROMISE(event->nrecipients <= MAILLOG_RECIPIENTS_MAX);
	for (size_t i = 1; i < event->nrecipients && i < 100; i++) {
		PROMISE(!span_eq(event->recipient[i], event->recipient[i - 1]));
	}
}

static size_t drain(struct maillog *log, size_t *recipients)
{
	struct maillog_event event;
	size_t n = 0;
	while (maillog_next(log, &event)) {
		check(&event);
		*recipients += event.nrecipients + event.rest;
		n++;
	}
	return n;
}

static size_t play(struct span in, size_t open_max, size_t *lines)
{
	struct maillog *log = maillog_new(open_max);
	struct maillog_scan scan = { .any = false };
	size_t events = 0, recipients = 0;
	int year;
	int64_t begin;
	PROMISE(log != NULL);
	for (struct span rest = in; rest.len;) {
		struct span line = span_first(rest, span_find(rest, '\n'));
		rest = span_from(rest, line.len + 1);
		maillog_scan_line(&scan, line);
	}
	maillog_scan_end(&scan, 1795575600000, &year, &begin);
	maillog_file(log, year);
	for (*lines = 0; in.len; ++*lines) {
		struct span line = span_first(in, span_find(in, '\n'));
		in = span_from(in, line.len + 1);
		maillog_feed(log, line);
		events += drain(log, &recipients);
	}
	maillog_end(log);
	events += drain(log, &recipients);
	PROMISE(!maillog_failed(log) && events <= *lines);
	maillog_free(log);
	return recipients;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	size_t open_max = fuzz_byte(&in) % 8;
	size_t lines;
	PROMISE(play(in, open_max, &lines) == play(in, open_max, &lines));
	return 0;
}
