/* The evaluation of the guard: the classes of senders, what is found of each, and how it is
 * printed. */
#ifndef GATEPOST_TEST_BENCH_DETECT_H
#define GATEPOST_TEST_BENCH_DETECT_H

#include "detect_scene.h"

struct detect_options {
	uint64_t seed;
	const char *only;   /* begins the name of the classes to run; NULL: all */
	const char *traces; /* folder; NULL: none */
	bool quick;
	struct world_rules classic, tariff;
};

/* What is found of a class under one set of rules. */
struct findings {
	size_t accounts, locked;
	size_t histories;   /* accounts that have one at the end */
	int64_t *times;     /* to lock, of those that were */
	uint64_t *relayed;  /* before the lock, of each account */
	uint64_t day, week; /* most relayed of a trial */
	uint64_t held;
	/* of owners, or of honest classes */
	double days; /* of accounts */
	uint64_t mails, delayed, refused;
	int64_t longest;
	uint64_t locks, holds;
	double fullest;
};

void findings_done(struct findings *findings);
/* Adds an account of a world that has come to its end. */
void findings_add(struct findings *findings, const struct world *world, size_t account,
                  double days);
/* And what only the world as a whole can say. */
void findings_add_world(struct findings *findings, const struct world *world);

/* ---- classes ---- */

enum detect_kind { DETECT_ATTACK, DETECT_HONEST, DETECT_TRACE };

struct detect_row {
	const char *name; /* "A1 blast" */
	enum detect_kind kind;
	struct findings classic, tariff;
};

/* How many there are, the name of each, and what it does in so many accounts. */
size_t attack_count(void);
const char *attack_name(size_t i);
const char *attack_sentence(size_t i);
void attack_run(size_t i, const struct detect_options *options, const struct world_rules *rules,
                struct findings *findings_out);

size_t honest_count(void);
const char *honest_name(size_t i);
const char *honest_sentence(size_t i);
void honest_run(size_t i, const struct detect_options *options, const struct world_rules *rules,
                struct findings *findings_out);

/* The traces, each in as many variants as there are places to send from. */
size_t trace_count(void);
const char *trace_name(size_t i);
const char *trace_sentence(size_t i);
/* False: it is not there. */
bool trace_run(size_t i, const struct detect_options *options, const struct world_rules *rules,
               struct findings *findings_out);

/* ---- printing ---- */

void detect_print_table(const struct detect_row *rows, size_t n, enum detect_kind kind,
                        bool tariff);
/* The mail of all owners of stolen accounts, as one line more. */
void detect_print_owners(const struct detect_row *rows, size_t n, bool tariff);
/* The aims, one line each, by the tariff where it is there. */
void detect_print_aims(const struct detect_row *rows, size_t n, bool tariff);

#endif
