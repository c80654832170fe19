/* What is found, and how it is printed. */
#include "detect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void findings_done(struct findings *findings)
{
	free(findings->times);
	free(findings->relayed);
}

static void *more(void *array, size_t n, size_t size)
{
	array = realloc(array, (n + 1) * size);
	if (!array) {
		detect_die("no memory");
	}
	return array;
}

static void add_owner(struct findings *f, const struct world_figures *figures, double days)
{
	f->days += days;
	f->mails += figures->mails;
	f->delayed += figures->delayed;
	f->refused += figures->refused;
	f->longest = figures->longest > f->longest ? figures->longest : f->longest;
	f->locks += figures->locks;
	f->holds += figures->holds;
	f->fullest = figures->fullest > f->fullest ? figures->fullest : f->fullest;
}

void findings_add(struct findings *f, const struct world *world, size_t account, double days)
{
	const struct world_figures *figures = world_figures(world, account);
	f->relayed = more(f->relayed, f->accounts, sizeof *f->relayed);
	f->relayed[f->accounts++] = figures->relayed;
	f->held += figures->held;
	f->histories += world_has_history(world, account);
	if (figures->locked_at >= 0) {
		f->times = more(f->times, f->locked, sizeof *f->times);
		f->times[f->locked++] = figures->locked_at - figures->theft_at;
	}
	add_owner(f, figures, days);
}

void findings_add_world(struct findings *f, const struct world *world)
{
	uint64_t day = world_most_within(world, DAY);
	uint64_t week = world_most_within(world, 7 * DAY);
	f->day = day > f->day ? day : f->day;
	f->week = week > f->week ? week : f->week;
}

/* ---- numbers ---- */

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static int compare_counts(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int64_t median_time(const struct findings *f)
{
	if (!f->locked) {
		return -1;
	}
	qsort(f->times, f->locked, sizeof *f->times, compare_times);
	return f->times[f->locked / 2];
}

static int64_t worst_time(const struct findings *f)
{
	int64_t worst = 0;
	for (size_t i = 0; i < f->locked; i++) {
		worst = f->times[i] > worst ? f->times[i] : worst;
	}
	return f->locked == f->accounts ? worst : INT64_MAX;
}

static uint64_t median_relayed(const struct findings *f)
{
	if (!f->accounts) {
		return 0;
	}
	qsort(f->relayed, f->accounts, sizeof *f->relayed, compare_counts);
	return f->relayed[f->accounts / 2];
}

static uint64_t worst_relayed(const struct findings *f)
{
	uint64_t worst = 0;
	for (size_t i = 0; i < f->accounts; i++) {
		worst = f->relayed[i] > worst ? f->relayed[i] : worst;
	}
	return worst;
}

static double per_1000_days(uint64_t n, const struct findings *f)
{
	return f->days > 0 ? 1000.0 * (double)n / f->days : 0;
}

/* "42s", "17m", "5.2h", "3.1d", "-". */
static const char *time_text(int64_t ms, char (*text)[16])
{
	double seconds = (double)ms / 1000;
	if (ms < 0) {
		return "-";
	}
	if (seconds < 100) {
		snprintf(*text, sizeof *text, "%.0fs", seconds);
	} else if (seconds < 100 * 60) {
		snprintf(*text, sizeof *text, "%.0fm", seconds / 60);
	} else if (seconds < 48 * 3600) {
		snprintf(*text, sizeof *text, "%.1fh", seconds / 3600);
	} else {
		snprintf(*text, sizeof *text, "%.1fd", seconds / 86400);
	}
	return *text;
}

/* ---- the table ---- */

#define ATTACK_WIDTH 51
#define HONEST_WIDTH 44

static void print_attack_head(void)
{
	printf(" | %5s %6s %6s %6s %6s %6s %6s", "found", "after", "median", "worst", "24 h",
	       "7 d", "held");
}

static void print_attack(const struct findings *f)
{
	char text[16];
	printf(" | %4.0f%% %6s %6llu %6llu %6llu %6llu %6llu",
	       f->accounts ? 100.0 * (double)f->locked / (double)f->accounts : 0.0,
	       time_text(median_time(f), &text), (unsigned long long)median_relayed(f),
	       (unsigned long long)worst_relayed(f), (unsigned long long)f->day,
	       (unsigned long long)f->week, (unsigned long long)f->held);
}

static void print_honest_head(void)
{
	printf(" | %7s %7s %7s %6s %6s", "delayed", "longest", "refused", "locks", "holds");
}

static void print_honest(const struct findings *f)
{
	char text[16];
	printf(" | %7llu %7s %7llu %6.2f %6.2f", (unsigned long long)f->delayed,
	       time_text(f->longest ? f->longest : -1, &text), (unsigned long long)f->refused,
	       per_1000_days(f->locks, f), per_1000_days(f->holds, f));
}

static void print_title(enum detect_kind kind, bool tariff)
{
	int width = kind == DETECT_ATTACK ? ATTACK_WIDTH - 3 : HONEST_WIDTH - 3;
	printf("\n%-30s", kind == DETECT_ATTACK   ? "Thieves"
	                  : kind == DETECT_HONEST ? "Honest senders"
	                                          : "Traces");
	printf(" | %-*s", width, "classic rule");
	if (tariff) {
		printf(" | %-*s", width, "full tariff");
	}
	printf("\n");
}

static bool has_kind(const struct detect_row *rows, size_t n, enum detect_kind kind)
{
	size_t i = 0;
	while (i < n && rows[i].kind != kind) {
		i++;
	}
	return i < n;
}

static void print_head(enum detect_kind kind, bool tariff)
{
	print_title(kind, tariff);
	printf("%-22s %7s", "class", kind == DETECT_ATTACK ? "accnts" : "days");
	for (int i = 0; i < (tariff ? 2 : 1); i++) {
		if (kind == DETECT_ATTACK) {
			print_attack_head();
		} else {
			print_honest_head();
		}
	}
	printf("\n");
}

static void print_honest_row(const char *name, const struct findings *classic,
                             const struct findings *tariff)
{
	printf("%-22s %7.0f", name, classic->days);
	print_honest(classic);
	if (tariff) {
		print_honest(tariff);
	}
	printf("\n");
}

void detect_print_table(const struct detect_row *rows, size_t n, enum detect_kind kind,
                        bool tariff)
{
	if (!has_kind(rows, n, kind)) {
		return;
	}
	print_head(kind, tariff);
	for (size_t i = 0; i < n; i++) {
		const struct detect_row *row = &rows[i];
		if (row->kind != kind) {
			continue;
		}
		if (kind != DETECT_ATTACK) {
			print_honest_row(row->name, &row->classic,
			                 tariff ? &row->tariff : NULL);
			continue;
		}
		printf("%-22s %7zu", row->name, row->classic.accounts);
		print_attack(&row->classic);
		if (tariff) {
			print_attack(&row->tariff);
		}
		printf("\n");
	}
}

static void add_findings(struct findings *sum, const struct findings *f)
{
	sum->days += f->days;
	sum->mails += f->mails;
	sum->delayed += f->delayed;
	sum->refused += f->refused;
	sum->longest = f->longest > sum->longest ? f->longest : sum->longest;
	sum->locks += f->locks;
	sum->holds += f->holds;
}

void detect_print_owners(const struct detect_row *rows, size_t n, bool tariff)
{
	struct findings classic = { .accounts = 0 }, full = { .accounts = 0 };
	for (size_t i = 0; i < n; i++) {
		if (rows[i].kind == DETECT_ATTACK) {
			add_findings(&classic, &rows[i].classic);
			add_findings(&full, &rows[i].tariff);
		}
	}
	if (classic.days > 0) {
		print_honest_row("owners in A1-A15", &classic, tariff ? &full : NULL);
	}
}

/* ---- the aims ---- */

/* What an aim is measured by, of all rows that its names begin. */
struct measure {
	size_t rows;
	double worst;
};

struct aim {
	const char *names[3]; /* of its classes */
	const char *text;
	double most;
	double (*measure)(const struct findings *f);
	const char *unit;
	const char *not_of; /* a class that is not counted */
};

static double relayed_before(const struct findings *f)
{
	return (double)worst_relayed(f);
}

static double hours_to_lock(const struct findings *f)
{
	int64_t worst = worst_time(f);
	return worst == INT64_MAX ? INFINITY : (double)worst / (double)HOUR;
}

static double relayed_a_day(const struct findings *f)
{
	return (double)f->day;
}

static double relayed_a_week(const struct findings *f)
{
	return (double)f->week;
}

static double relayed_on_average(const struct findings *f)
{
	return (double)f->week / 7;
}

static double false_locks(const struct findings *f)
{
	return (double)f->locks;
}

static double lock_rate(const struct findings *f)
{
	return per_1000_days(f->locks, f);
}

static const struct aim aims[] = {
	{ { "A1 ", "A2 ", "A3 " }, "A1-A3 at most 25 relayed", 25, relayed_before, "", NULL },
	{ { "A4 " }, "A4 locked within 24 h", 24, hours_to_lock, " h", NULL },
	{ { "A5 " }, "A5 locked by the day rule, within 24 h", 24, hours_to_lock, " h", NULL },
	{ { "A11 " }, "A11 at most 50 a day", 50, relayed_a_day, " in 24 h", NULL },
	{ { "A11 " },
	  "A11 the same on average",
	  50,
	  relayed_on_average,
	  " a day of a week",
	  NULL },
	{ { "A12 " }, "A12 at most 300 a week", 300, relayed_a_week, " in 7 days", NULL },
	{ { "A13 " },
	  "A13 at most 200 a day for the site",
	  200,
	  relayed_a_day,
	  " in 24 h",
	  NULL },
	{ { "trace " }, "no false lock in the traces", 0, false_locks, "", NULL },
	{ { "B" },
	  "at most 1 false lock per 1,000 days in each honest class",
	  1,
	  lock_rate,
	  "",
	  "B3 newsletter" },
};

static bool is_of(const struct aim *aim, const char *name)
{
	bool found = false;
	for (size_t i = 0; i < 3 && aim->names[i]; i++) {
		found = found || strncmp(name, aim->names[i], strlen(aim->names[i])) == 0;
	}
	return found && !(aim->not_of && strcmp(name, aim->not_of) == 0);
}

static void print_aim(const struct aim *aim, const struct detect_row *rows, size_t n,
                      bool tariff)
{
	const struct detect_row *worst = NULL;
	double most = -1;
	for (size_t i = 0; i < n; i++) {
		double measure = is_of(aim, rows[i].name)
		                     ? aim->measure(tariff ? &rows[i].tariff : &rows[i].classic)
		                     : -1;
		worst = measure > most ? &rows[i] : worst;
		most = measure > most ? measure : most;
	}
	if (!worst) {
		printf("aim %s: not run\n", aim->text);
	} else if (most == INFINITY) {
		printf("aim %s: missed (not all of %s)\n", aim->text, worst->name);
	} else {
		printf("aim %s: %s (worst %.*f%s, %s)\n", aim->text,
		       most <= aim->most ? "met" : "missed", most < 25 ? 1 : 0, most, aim->unit,
		       worst->name);
	}
}

void detect_print_aims(const struct detect_row *rows, size_t n, bool tariff)
{
	printf("\nBy the %s:\n", tariff ? "full tariff" : "classic rule");
	for (size_t i = 0; i < sizeof aims / sizeof *aims; i++) {
		print_aim(&aims[i], rows, n, tariff);
	}
	for (size_t i = 0; i < n; i++) {
		const struct findings *f = tariff ? &rows[i].tariff : &rows[i].classic;
		if (rows[i].kind == DETECT_TRACE && f->fullest > 0) {
			printf("margin %s: the fullest window was %.0f %% full, %zu of %zu had "
			       "a history\n",
			       rows[i].name, 100 * f->fullest, f->histories, f->accounts);
		}
	}
}
