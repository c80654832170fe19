#include "proto/logtime.h"

#define SECOND ((int64_t)1000)
#define DAY    (24 * 3600 * SECOND)
#define LATEST ((int64_t)253402300800 * SECOND) /* the year 10000 */
#define HALF   183                              /* days */
#define LATE   14 /* days by which a line may be late around a new year */

/* Days before each month, of a leap year: February the 29th has its place in every one. */
static const int16_t before[12] = { 0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335 };

/* ---- pieces ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Exactly `n` digits. */
static bool take_number(struct span *in, size_t n, int *number_out)
{
	int number = 0;
	if (in->len < n) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(in->ptr[i])) {
			return false;
		}
		number = number * 10 + (in->ptr[i] - '0');
	}
	*in = span_from(*in, n);
	*number_out = number;
	return true;
}

static bool take_byte(struct span *in, const char *any)
{
	if (!in->len || !in->ptr[0] || !strchr(any, in->ptr[0])) {
		return false;
	}
	*in = span_from(*in, 1);
	return true;
}

/* "03:00:00" and a fraction. */
static bool take_clock(struct span *in, int64_t *of_day_out)
{
	int hour, minute, second;
	int64_t ms = 0;
	if (!take_number(in, 2, &hour) || !take_byte(in, ":") || !take_number(in, 2, &minute) ||
	    !take_byte(in, ":") || !take_number(in, 2, &second) || hour > 23 || minute > 59 ||
	    second > 60) {
		return false;
	}
	if (in->len > 1 && (in->ptr[0] == '.' || in->ptr[0] == ',') && is_digit(in->ptr[1])) {
		*in = span_from(*in, 1);
		for (int64_t unit = 100; in->len && is_digit(in->ptr[0]); unit /= 10) {
			ms += unit * (in->ptr[0] - '0');
			*in = span_from(*in, 1);
		}
	}
	second = second == 60 ? 59 : second;
	*of_day_out = ((int64_t)hour * 3600 + minute * 60 + second) * SECOND + ms;
	return true;
}

/* "Z", "+01:00", "+0100"; nothing is a zone that is not told. */
static bool take_zone(struct span *in, int64_t *ahead_out, bool *local_out)
{
	bool behind = in->len && in->ptr[0] == '-';
	int hours = 0, minutes = 0;
	*local_out = false;
	if (take_byte(in, "Zz")) {
		*ahead_out = 0;
		return true;
	}
	if (!take_byte(in, "+-")) {
		*ahead_out = 0;
		*local_out = true;
		return true;
	}
	if (!take_number(in, 2, &hours)) {
		return false;
	}
	take_byte(in, ":");
	if (!take_number(in, 2, &minutes) || hours > 23 || minutes > 59) {
		return false;
	}
	*ahead_out = ((int64_t)hours * 3600 + minutes * 60) * SECOND * (behind ? -1 : 1);
	return true;
}

/* ---- days ---- */

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The 29th of February of another year is the 1st of March. */
static int64_t day_number(int year, int month, int day)
{
	int64_t y = year - 1;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719162;
	int32_t of_year = before[month - 1] + day - 1;
	return days + of_year - (!is_leap(year) && of_year >= 60);
}

static int month_days(int month)
{
	int behind = month == 12 ? 366 : before[month];
	return behind - before[month - 1];
}

/* ---- a time ---- */

static bool read_rfc3339(struct span *line, struct logtime *time_out)
{
	struct span in = *line;
	struct logtime time = { .yearless = false };
	int year;
	int64_t ahead;
	if (!take_number(&in, 4, &year) || !take_byte(&in, "-") ||
	    !take_number(&in, 2, &time.month) || !take_byte(&in, "-") ||
	    !take_number(&in, 2, &time.day) || !take_byte(&in, "Tt ") ||
	    !take_clock(&in, &time.of_day) || !take_zone(&in, &ahead, &time.local)) {
		return false;
	}
	if (year < 1 || time.month < 1 || time.month > 12 || time.day < 1 ||
	    time.day > month_days(time.month)) {
		return false;
	}
	time.at = day_number(year, time.month, time.day) * DAY + time.of_day - ahead;
	if (time.at < 0 || time.at >= LATEST) {
		return false;
	}
	*line = in;
	*time_out = time;
	return true;
}

static bool read_traditional(struct span *line, struct logtime *time_out)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct span in = *line;
	struct logtime time = { .yearless = true, .local = true };
	for (int i = 0; i < 12; i++) {
		if (span_starts_nocase(in, span_of(names + (ptrdiff_t)i * 3, 3))) {
			time.month = i + 1;
		}
	}
	in = span_from(in, 3);
	if (!time.month || !take_byte(&in, " ")) {
		return false;
	}
	/* "Nov  5", and with some "Nov 5". */
	bool short_day = take_byte(&in, " ") || (in.len > 1 && in.ptr[1] == ' ');
	if (!take_number(&in, short_day ? 1 : 2, &time.day) || !take_byte(&in, " ") ||
	    !take_clock(&in, &time.of_day) || time.day < 1 ||
	    time.day > month_days(time.month)) {
		return false;
	}
	*line = in;
	*time_out = time;
	return true;
}

bool logtime_read(struct span *line, struct logtime *time_out)
{
	return line->len && (is_digit(line->ptr[0]) ? read_rfc3339(line, time_out)
	                                            : read_traditional(line, time_out));
}

/* ---- years ---- */

int logtime_year_next(struct logtime_years *years, const struct logtime *time)
{
	int32_t day = before[time->month - 1] + time->day; /* from 1 */
	int32_t ahead = years->last ? day - years->last : 0;
	if (ahead > 366 - LATE) {
		return years->year - 1;
	}
	if (ahead < -HALF) {
		years->year++;
	}
	years->last = day;
	return years->year;
}

int64_t logtime_at(const struct logtime *time, int year)
{
	int64_t at = time->yearless
	                 ? day_number(year, time->month, time->day) * DAY + time->of_day
	                 : time->at;
	return at < 0 ? 0 : at;
}

int logtime_year_until(const struct logtime *time, int64_t until)
{
	int year = (int)(until / (365 * DAY + DAY / 4)) + 1971;
	while (year > 1970 && logtime_at(time, year) > until + DAY) {
		year--;
	}
	return year;
}
