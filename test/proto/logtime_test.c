#include "check.h"

#include "proto/logtime.h"

#include <stdio.h>
#include <time.h>

/* 2026-11-25T03:00:00Z */
#define AT ((int64_t)1795575600000)

static void rfc3339(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t at; /* -1: none */
		bool local;
		const char *rest;
	} rows[] = {
		{ "2026-11-25T03:00:00Z x", AT, false, " x" },
		{ "2026-11-25t03:00:00z", AT, false, "" },
		{ "2026-11-25T04:00:00+01:00 x", AT, false, " x" },
		{ "2026-11-25T04:00:00+0100", AT, false, "" },
		{ "2026-11-24T21:30:00-05:30", AT, false, "" },
		{ "2026-11-25T03:00:00.25Z", AT + 250, false, "" },
		{ "2026-11-25T03:00:00.1234567+00:00", AT + 123, false, "" },
		{ "2026-11-25T03:00:00,5Z", AT + 500, false, "" },
		{ "2026-11-25 03:00:00 host", AT, true, " host" },
		{ "2026-11-25T03:00:60Z", AT + 59000, false, "" },
		{ "1970-01-01T00:00:00Z", 0, false, "" },
		{ "2000-02-29T00:00:00Z", 951782400000, false, "" },
		{ "9999-12-31T23:59:59Z", 253402300799000, false, "" },
		{ "1969-12-31T23:59:59Z", -1, false, NULL },
		{ "1970-01-01T00:00:00+01:00", -1, false, NULL },
		{ "9999-12-31T23:59:59-01:00", -1, false, NULL },
		{ "0000-01-01T00:00:00Z", -1, false, NULL },
		{ "2026-13-01T00:00:00Z", -1, false, NULL },
		{ "2026-00-01T00:00:00Z", -1, false, NULL },
		{ "2026-04-31T00:00:00Z", -1, false, NULL },
		{ "2026-11-25T24:00:00Z", -1, false, NULL },
		{ "2026-11-25T03:00Z", -1, false, NULL },
		{ "2026-11-25", -1, false, NULL },
		{ "2026-11-25T03:00:00+1", -1, false, NULL },
		{ "1795575600", -1, false, NULL },
		{ "", -1, false, NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span line = span_str(rows[i].text);
		struct logtime time = { .at = -1 };
		bool found = logtime_read(&line, &time);
		CHECK(rows[i].text, found == (rows[i].at >= 0));
		CHECK(rows[i].text, time.at == rows[i].at);
		CHECK(rows[i].text, time.local == rows[i].local && !time.yearless);
		check_span(rows[i].text, line, span_str(found ? rows[i].rest : rows[i].text));
	}
}

static void traditional(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int month, day; /* 0: none */
		const char *rest;
	} rows[] = {
		{ "Nov 25 03:00:00 mail postfix", 11, 25, " mail postfix" },
		{ "Nov  5 03:00:00", 11, 5, "" },
		{ "Nov 5 03:00:00", 11, 5, "" },
		{ "nov 05 03:00:00", 11, 5, "" },
		{ "Feb 29 03:00:00", 2, 29, "" },
		{ "Dec 31 03:00:00", 12, 31, "" },
		{ "Feb 30 03:00:00", 0, 0, NULL },
		{ "Nov  0 03:00:00", 0, 0, NULL },
		{ "Nov 31 03:00:00", 0, 0, NULL },
		{ "Nov 25 3:00:00", 0, 0, NULL },
		{ "November 25 03:00:00", 0, 0, NULL },
		{ "Nox 25 03:00:00", 0, 0, NULL },
		{ "No", 0, 0, NULL },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span line = span_str(rows[i].text);
		struct logtime time = { .month = 0 };
		bool found = logtime_read(&line, &time);
		CHECK(rows[i].text, found == (rows[i].month > 0));
		CHECK(rows[i].text, time.month == rows[i].month && time.day == rows[i].day);
		check_span(rows[i].text, line, span_str(found ? rows[i].rest : rows[i].text));
		CHECK(rows[i].text, !found || (time.yearless && time.local));
		CHECK(rows[i].text, !found || time.of_day == 3 * 3600 * 1000);
	}
}

/* Every day of four hundred years, by another calendar. */
static void days(void **state)
{
	(void)state;
	for (int64_t day = 0; day < 146097; day++) {
		char text[40];
		time_t seconds = (time_t)(day * 86400 + day % 86400);
		struct tm parts;
		gmtime_r(&seconds, &parts);
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
		struct span line = span_str(text);
		struct logtime time;
		CHECK(text, logtime_read(&line, &time) && time.at == (int64_t)seconds * 1000);
		strftime(text, sizeof text, "%b %e %H:%M:%S", &parts);
		line = span_str(text);
		CHECK(text, logtime_read(&line, &time));
		CHECK(text, logtime_at(&time, parts.tm_year + 1900) == (int64_t)seconds * 1000);
	}
}

static struct logtime read(const char *text)
{
	struct span line = span_str(text);
	struct logtime time;
	CHECK(text, logtime_read(&line, &time));
	return time;
}

static void years(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int year;
	} rows[] = {
		{ "Nov 25 03:00:00", 0 }, { "Nov 24 03:00:00", 0 }, /* a little late */
		{ "Dec 31 23:59:59", 0 }, { "Jan  1 00:00:00", 1 },
		{ "Dec 31 23:59:58", 0 }, /* late around the new year */
		{ "Jan  1 00:00:01", 1 }, { "Jun 30 00:00:00", 1 },
		{ "Dec 30 00:00:00", 1 }, { "Mar  1 00:00:00", 2 },
	};
	struct logtime_years known = { .year = 0 };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct logtime time = read(rows[i].text);
		CHECK(rows[i].text, logtime_year_next(&known, &time) == rows[i].year);
	}
}

static void last_year(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int year; /* the latest before AT */
	} rows[] = {
		{ "Nov 25 03:00:00", 2026 }, { "Nov 26 02:59:59", 2026 },
		{ "Nov 26 03:00:01", 2025 }, { "Dec 31 00:00:00", 2025 },
		{ "Jan  1 00:00:00", 2026 },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct logtime time = read(rows[i].text);
		CHECK(rows[i].text, logtime_year_until(&time, AT) == rows[i].year);
	}
	/* On New Year's day the last hour is of the old year. */
	struct logtime time = read("Dec 31 23:00:00");
	assert_int_equal(logtime_year_until(&time, 1767225600000), 2025);
	assert_int_equal(logtime_year_until(&time, 0), 1970);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc3339),   cmocka_unit_test(traditional),
		cmocka_unit_test(days),      cmocka_unit_test(years),
		cmocka_unit_test(last_year),
	};
	return cmocka_run_group_tests_name("logtime", tests, NULL, NULL);
}
