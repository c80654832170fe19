/*
 * What a smarthost said to each recipient of one transaction. A smarthost says the same to
 * many: a text that equals the one before it is kept once.
 */
#ifndef GATEPOST_PROTO_SMTP_RESULTS_H
#define GATEPOST_PROTO_SMTP_RESULTS_H

#include "proto/arena.h"
#include "proto/smtp_client.h"

/* Zeroed: no transaction yet. */
struct smtp_results {
	struct arena arena;
	struct smtp_client_result *rows; /* code 0 = open: no verdict yet */
	size_t n;
	const char *last_text;
};

/* Forgets the last transaction and opens `n` results. False without memory; then there are
 * none. */
bool smtp_results_begin(struct smtp_results *results, size_t n);
void smtp_results_done(struct smtp_results *results);

/* The refusal of recipient `i`; `after_others` when an earlier one was taken, see there. */
void smtp_results_set(struct smtp_results *results, size_t i, const struct reply_in *reply,
                      bool after_others);
/* The verdict on every recipient that is still open. */
void smtp_results_set_open(struct smtp_results *results, const struct reply_in *reply);
/* The same with a verdict of our own, whose text is static. */
void smtp_results_refuse(struct smtp_results *results, const struct smtp_client_result *own);

/* NULL when recipient `i` is open. */
const struct smtp_client_result *smtp_results_get(const struct smtp_results *results, size_t i);

#endif
