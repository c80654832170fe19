/*
 * Shows what the guard is worth: senders of all kinds, thieves and honest ones, each through
 * the real gate, once with the classic rule (500 in 30 minutes, 2,000 in a day) and once with
 * the full tariff; and two real organisations' mail. The same seed prints the same table.
 *
 *   detect [--quick] [--seed N] [--only CLASS] [--limits "500/30m 2000/24h"]
 *          [--prices "stranger=5 new-network=20"] [--why] [--list] [FOLDER OF TRACES]
 *
 * --why tells on stderr by which bill an honest account is suspended. --only "A1" runs A1, A10
 * and so on; "A1 " the first alone. Traces lie in the folder, or in that of GATEPOST_TRACES.
 * Exits 1 when something could not be computed; a missed aim is no failure.
 *
 * found: accounts locked. after: median time from the theft to the lock. median, worst:
 * recipients relayed before the lock, of an account; 24 h, 7 d: the most within such a time, of
 * a site; held: recipients. Lists are expanded everywhere. delayed: honest mails that waited or
 * were held (until the postmaster answers, 2 hours); refused: honest mails that met a locked
 * account or a limit; locks, holds: false ones in 1,000 account-days (a hold: a day with held
 * mail).
 */
#include "detect.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 64

static const struct option long_options[] = {
	{ "quick", no_argument, NULL, 'q' },        { "seed", required_argument, NULL, 's' },
	{ "only", required_argument, NULL, 'o' },   { "limits", required_argument, NULL, 'l' },
	{ "prices", required_argument, NULL, 'p' }, { "list", no_argument, NULL, 'L' },
	{ "why", no_argument, NULL, 'w' },          { NULL, 0, NULL, 0 },
};

static void read_limits(const char *text, struct budget_limits *limits_out)
{
	struct span rest = span_str(text);
	struct budget_limits limits = { .count = 0 };
	while (rest.len) {
		const char *reason = "";
		size_t n = span_find(rest, ' ');
		struct span word = span_first(rest, n);
		rest = n < rest.len ? span_from(rest, n + 1) : SPAN_NONE;
		if (word.len == 0) {
			continue;
		}
		if (limits.count == BUDGET_LIMITS_MAX ||
		    !budget_limit_parse(word, &limits.limit[limits.count++], &reason)) {
			detect_die("--limits: %.*s %s", SPAN_ARG(word), reason);
		}
	}
	*limits_out = limits;
}

static void list_classes(void)
{
	for (size_t i = 0; i < attack_count(); i++) {
		printf("%-22s %s\n", attack_name(i), attack_sentence(i));
	}
	for (size_t i = 0; i < honest_count(); i++) {
		printf("%-22s %s\n", honest_name(i), honest_sentence(i));
	}
	for (size_t i = 0; i < trace_count(); i++) {
		printf("%-22s %s\n", trace_name(i), trace_sentence(i));
	}
	exit(0);
}

static void read_option(int option, struct detect_options *options)
{
	switch (option) {
	case 'q':
		options->quick = true;
		break;
	case 's':
		options->seed = strtoull(optarg, NULL, 10);
		break;
	case 'o':
		options->only = optarg;
		break;
	case 'l':
		read_limits(optarg, &options->classic.limits);
		options->tariff.limits = options->classic.limits;
		break;
	case 'p':
		options->tariff.prices = optarg;
		break;
	case 'w':
		options->tariff.why = options->classic.why = true;
		break;
	case 'L':
		list_classes();
		break;
	default:
		detect_die("[--quick] [--seed N] [--only CLASS] [--limits LIMITS] "
		           "[--prices PRICES] [--why] [--list] [TRACES]");
	}
}

static struct detect_options read_options(int argc, char **argv)
{
	struct detect_options options = { .seed = 5, .traces = getenv("GATEPOST_TRACES") };
	int option;
	read_limits("500/30m 2000/24h", &options.classic.limits);
	options.tariff = options.classic;
	options.tariff.tariff = true;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		read_option(option, &options);
	}
	options.traces = optind < argc ? argv[optind] : options.traces;
	return options;
}

/* ---- running ---- */

struct run {
	struct detect_options options;
	struct detect_row rows[ROWS_MAX];
	size_t n;
};

static struct detect_row *new_row(struct run *run, const char *name, enum detect_kind kind)
{
	const char *only = run->options.only;
	if (only && strncmp(name, only, strlen(only)) != 0) {
		return NULL;
	}
	if (run->n == ROWS_MAX) {
		detect_die("too many classes");
	}
	run->rows[run->n] = (struct detect_row){ .name = name, .kind = kind };
	return &run->rows[run->n++];
}

static void run_senders(struct run *run, enum detect_kind kind)
{
	bool attack = kind == DETECT_ATTACK;
	size_t n = attack ? attack_count() : honest_count();
	for (size_t i = 0; i < n; i++) {
		const struct detect_options *o = &run->options;
		struct detect_row *row = new_row(run, attack ? attack_name(i) : honest_name(i),
		                                 kind);
		if (!row) {
			continue;
		}
		(attack ? attack_run : honest_run)(i, o, &o->classic, &row->classic);
		if (world_has_tariff()) {
			(attack ? attack_run : honest_run)(i, o, &o->tariff, &row->tariff);
		}
	}
}

static void run_traces(struct run *run)
{
	const struct detect_options *o = &run->options;
	bool skipped = false;
	for (size_t i = 0; i < trace_count() && !o->quick; i++) {
		struct detect_row *row = new_row(run, trace_name(i), DETECT_TRACE);
		if (!row) {
			continue;
		}
		bool there = trace_run(i, o, &o->classic, &row->classic) &&
		             (!world_has_tariff() || trace_run(i, o, &o->tariff, &row->tariff));
		run->n -= !there;
		skipped = skipped || !there;
	}
	if (skipped) {
		printf("skipped: no traces\n");
	}
}

int main(int argc, char **argv)
{
	static struct run run;
	bool tariff = world_has_tariff();
	run.options = read_options(argc, argv);
	if (!tariff) {
		printf("The classic rule alone: there is no tariff yet.\n");
	}
	run_senders(&run, DETECT_ATTACK);
	run_senders(&run, DETECT_HONEST);
	run_traces(&run);
	detect_print_table(run.rows, run.n, DETECT_ATTACK, tariff);
	detect_print_table(run.rows, run.n, DETECT_HONEST, tariff);
	detect_print_owners(run.rows, run.n, tariff);
	detect_print_table(run.rows, run.n, DETECT_TRACE, tariff);
	detect_print_aims(run.rows, run.n, tariff);
	for (size_t i = 0; i < run.n; i++) {
		findings_done(&run.rows[i].classic);
		findings_done(&run.rows[i].tariff);
	}
	return 0;
}
