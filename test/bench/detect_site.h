/*
 * The site of the evaluation: a store and the gate, under a clock that only the caller moves.
 * This is the one file that knows the gate; all mail is judged by the real code.
 */
#ifndef GATEPOST_TEST_BENCH_DETECT_SITE_H
#define GATEPOST_TEST_BENCH_DETECT_SITE_H

#include "detect_world.h"

struct site;

/* Its time 0 is a Monday, midnight. Ends the process when there is no store. */
struct site *site_new(const struct world_rules *rules);
void site_free(struct site *site);

/* A new account, numbered from 0. */
size_t site_account(struct site *site);
void site_exempt(struct site *site, size_t account);
void site_ticket(struct site *site, size_t account, const char *grant);
void site_defer(struct site *site, size_t account);
void site_declare(struct site *site, uint64_t place, bool familiar, bool shared);

/* It is `at` now. */
void site_set_clock(int64_t at);
/* The judge, in the commit that would queue it; `dwell_out`: ms that it waits, when taken. */
enum world_verdict site_judge(struct site *site, const struct world_mail *mail,
                              int64_t *dwell_out);
/* What queue_done does: the smarthost took the first `taken` of this mail's recipients, which
 * was accepted at that time, and refused the others as unknown. True: that suspends. */
bool site_relayed(struct site *site, const struct world_mail *mail, int64_t accepted,
                  size_t taken);
/* By the plain answer. */
void site_unlock(struct site *site, size_t account);
/* The owner has another password from now on. */
void site_change_password(struct site *site, size_t account);
/* On stderr: the bill by which it is suspended. */
void site_explain(struct site *site, size_t account);
double site_use(struct site *site, size_t account);
/* Is it long enough to be charged by? */
bool site_has_history(struct site *site, size_t account);

#endif
