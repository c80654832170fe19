/*
 * A bill for people: its lines as an aligned table, what is kept of the networks on it, its
 * subjects made harmless, and use as a graph. Pure.
 */
#ifndef GATEPOST_SERVER_BILL_TEXT_H
#define GATEPOST_SERVER_BILL_TEXT_H

#include "auth/facts.h"
#include "auth/familiar.h"

struct bill_line {
	enum tariff_row row;
	uint32_t count, price;
	uint64_t sum; /* tokens */
};

/* The lines that cost something: the recipients themselves, of whom `before` were charged
 * before the act that broke the limit, then the others, the dearest first. How many. */
size_t bill_lines(const struct bill *bill, uint64_t before,
                  struct bill_line line_out[TARIFF_ROWS]);
/* "  20 x 15 =  300  strangers, ...": line `i` of `n`, in columns as wide as all need. */
void bill_line_write(const struct bill_line *lines, size_t n, size_t i, struct buf *out);

/* A network of the facts: what is declared, and what the account's history keeps. */
struct bill_network {
	bool declared; /* familiar */
	bool shared;   /* the same of a network that many use */
	struct familiar_network_view kept;
};

/* "familiar", "shared", "barred", "strange"; "" when nothing is known. */
const char *bill_network_word(const struct bill_network *network);
/* ", first seen 3 days before, barred": behind the number of recipients; nothing when nothing
 * is known. */
void bill_network_write(const struct bill_network *network, struct buf *out);

/* A subject as notice_text_escape has it, in which nothing is a link or an address any more:
 * "hxxp://example[.]com". */
void bill_subject_write(struct span subject, size_t most, struct buf *out);

#define BILL_GRAPH_BARS 30
#define BILL_GRAPH_ROWS 6

/* What was spent in each thirtieth of the ring's window that ends at `at`, the oldest first. */
void bill_use(const struct budget_ring *ring, int64_t at, uint32_t use_out[BILL_GRAPH_BARS]);
/* The same as lines of text, the highest with its number; nothing when nothing was spent. */
void bill_graph_write(const uint32_t use[BILL_GRAPH_BARS], int64_t window, struct buf *out);

#endif
