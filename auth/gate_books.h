/*
 * The gate's insides, for the three files that are the gate: gate_books.c (what is kept about
 * an account, as read), gate.c (the judge) and gate_admin.c (what the admin does). Nobody else
 * includes this.
 */
#ifndef GATEPOST_AUTH_GATE_BOOKS_H
#define GATEPOST_AUTH_GATE_BOOKS_H

#include "auth/gate_limit.h"

#define GATE_BUDGET_MAX 4096 /* four full rings are less than half of it */
#define GATE_FACTS_MAX  1024 /* all places full: about two thirds */
#define GATE_MARKS_MAX  64
#define GATE_TICKET_MAX 512

/* What an app password has beside its account's budget. */
struct gate_extra {
	struct budget_limits limits; /* count 0: nothing */
	struct budget budget;        /* fitted to `limits` */
	struct ledger ledger;        /* as read */
};

/* What is kept about one account, read at `now`. */
struct gate_books {
	struct budget_limits limits;
	bool own_limits;
	bool exempt;
	const struct gate_device *device; /* NULL: it is none */
	enum gate_action action;          /* not DEFAULT */
	struct gate_ticket ticket;        /* into the map */
	struct gate_marks marks;
	struct budget budget; /* fitted to `limits` */
	struct standing standing;
	struct facts facts;
	struct ledger ledger;    /* as read: into the map */
	struct gate_extra extra; /* of the app password by which it acts */
};

/* GATE_ALLOW when `books` is filled in; whatever can not be read is GATE_BROKEN. */
enum gate_verdict gate_books_read(struct store_txn *txn, const struct gate_rules *rules,
                                  struct span name, int64_t now, struct gate_books *books);
/* The same with the budget of the app password by which it acts, if any. */
enum gate_verdict gate_books_read_act(struct store_txn *txn, const struct gate_rules *rules,
                                      const struct act *act, struct gate_books *books);
/* False when it can not be read. */
bool gate_books_read_extra(struct store_txn *txn, struct span account,
                           const struct apppass *apppass, int64_t now,
                           struct gate_extra *extra);

#endif
