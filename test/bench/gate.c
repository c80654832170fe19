/*
 * What a judgement costs, and what a history: gate_message and gate_recipient by the second,
 * with one recipient and with a hundred; microseconds for a look, a note and a lesson with a
 * hundred; and bytes an account, by its rows and by the pages of the store.
 *
 *     gate [DIR]    the store is made in a fresh folder there, and removed
 */
#include "auth/gate.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RECIPIENTS 100
#define ROUNDS     2000
#define BATCH      1000
#define HOUR       ((int64_t)3600 * 1000)
#define NOW        (400 * FAMILIAR_DAY + 12 * HOUR)

static const struct secret_key site = { { 7 } };
static const struct familiar_rules rules = { .keep = 13 * FAMILIAR_MONTH, .shared_from = 8 };

static void require(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "gate: %s\n", what);
		exit(1);
	}
}

static double micros(void)
{
	struct timespec at;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
	return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static uint64_t contact(struct span account, unsigned number)
{
	char name[48];
	int len = snprintf(name, sizeof name, "recipient-%u@example.net", number);
	return familiar_contact(&site, account, span_of(name, (size_t)len));
}

static void add_account(struct store *store, struct span account)
{
	const struct account row = { .secret = SPAN_LIT("x") };
	struct store_txn *txn = store_begin_write(store, NULL);
	require(txn && account_put(txn, account, &row) == STORE_OK &&
	            store_commit(txn, NULL) == STORE_OK,
	        "can not add it");
}

/* An account that wrote to so many, and uses three networks. */
static void fill(struct store *store, struct span account, unsigned contacts)
{
	add_account(store, account);
	uint64_t batch[BATCH];
	for (unsigned done = 0; done < contacts;) {
		struct store_txn *txn = store_begin_write(store, NULL);
		size_t n = 0;
		while (n < BATCH && done < contacts) {
			batch[n++] = contact(account, done++);
		}
		require(txn && familiar_import(txn, account, batch, n, NOW) == STORE_OK &&
		            store_commit(txn, NULL) == STORE_OK,
		        "can not fill it");
	}
	struct store_txn *txn = store_begin_write(store, NULL);
	for (uint64_t network = 1; txn && network <= 3; network++) {
		struct act act = { .account = account,
			           .origin = { .network = network },
			           .now = NOW };
		struct history_head head;
		require(familiar_look(txn, &rules, 0, &act, &head) == STORE_OK &&
		            familiar_note(txn, &rules, &act, &head) == STORE_OK,
		        "can not note a network");
	}
	require(txn && store_commit(txn, NULL) == STORE_OK, "can not commit");
}

/* ---- bytes ---- */

static void print_bytes(struct store *store, unsigned contacts, unsigned accounts)
{
	uint64_t rows = 0;
	char name[48];
	store_measure(store);
	uint64_t before = store_live_bytes(store);
	for (unsigned i = 0; i < accounts; i++) {
		int len = snprintf(name, sizeof name, "user-%u-%u@example.org", contacts, i);
		struct span account = span_of(name, (size_t)len);
		fill(store, account, contacts);
		struct store_txn *txn = store_begin_read(store, NULL);
		require(txn != NULL, "can not read");
		rows += history_bytes(txn, account);
		store_abort(txn);
	}
	store_measure(store);
	printf("%7u contacts: %8llu bytes of rows, %8llu of pages, an account\n", contacts,
	       (unsigned long long)(rows / accounts),
	       (unsigned long long)((store_live_bytes(store) - before) / accounts));
}

/* ---- time ---- */

struct times {
	double digests, look, rest;
};

static void send_one(struct store_txn *txn, struct span account, unsigned contacts,
                     struct times *times)
{
	static unsigned next;
	uint64_t digests[RECIPIENTS];
	struct history_head head;
	double start = micros();
	for (size_t i = 0; i < RECIPIENTS; i++) {
		next = next * 1664525u + 1013904223u;
		digests[i] = contact(account, next % contacts);
	}
	double digested = micros();
	struct act act = { .account = account,
		           .recipients = RECIPIENTS,
		           .contact = digests,
		           .ncontacts = RECIPIENTS,
		           .origin = { .network = 1 },
		           .now = NOW };
	require(familiar_look(txn, &rules, 0, &act, &head) == STORE_OK, "can not look");
	double looked = micros();
	const struct familiar_lesson lesson = { .account = account,
		                                .contact = digests,
		                                .n = RECIPIENTS,
		                                .origin = act.origin,
		                                .now = NOW };
	require(act.past.strangers == 0 &&
	            familiar_note(txn, &rules, &act, &head) == STORE_OK &&
	            familiar_learn(txn, &rules, &lesson) == STORE_OK,
	        "can not learn");
	times->digests += digested - start;
	times->look += looked - digested;
	times->rest += micros() - looked;
}

static void print_times(struct store *store, unsigned contacts)
{
	char name[48];
	struct times times = { 0 };
	int len = snprintf(name, sizeof name, "user-%u-0@example.org", contacts);
	struct store_txn *txn = store_begin_write(store, NULL);
	require(txn != NULL, "can not write");
	for (unsigned i = 0; i < ROUNDS; i++) {
		send_one(txn, span_of(name, (size_t)len), contacts, &times);
	}
	require(store_commit(txn, NULL) == STORE_OK, "can not commit");
	printf("%7u contacts: a mail to %d: digests %.1f us, look %.1f us, note and learn "
	       "%.1f us\n",
	       contacts, RECIPIENTS, times.digests / ROUNDS, times.look / ROUNDS,
	       times.rest / ROUNDS);
}

/* ---- judgements ---- */

/* As configured by default, with limits that are never reached. */
static const struct gate_rules gate = {
	.limits = { { { BUDGET_TOKENS_MAX, (int64_t)30 * 60 * 1000 },
	              { BUDGET_TOKENS_MAX, FAMILIAR_DAY } },
	            2 },
	.familiar = { .keep = 13 * FAMILIAR_MONTH, .shared_from = 8 },
	.dwell = { 50, 300000, 4 * HOUR },
	.stranger_limits = { { { 100, FAMILIAR_DAY }, { 300, 7 * FAMILIAR_DAY } }, 2 },
};

static double judge(struct store_txn *txn, struct span account, unsigned contacts,
                    uint32_t recipients, bool courtesy)
{
	static unsigned next;
	uint64_t digests[RECIPIENTS];
	struct gate_result result;
	struct act act = { .account = account,
		           .recipients = recipients,
		           .contact = digests,
		           .ncontacts = recipients,
		           .origin = { .network = 1 },
		           .client = SPAN_LIT("192.0.2.7"),
		           .subject = SPAN_LIT("minutes of the meeting"),
		           .now = NOW,
		           .wall = NOW };
	for (uint32_t i = 0; i < recipients; i++) {
		next = next * 1664525u + 1013904223u;
		digests[i] = contact(account, next % contacts);
	}
	double start = micros();
	enum gate_verdict verdict = courtesy ? gate_recipient(txn, &gate, &act)
	                                     : gate_message(txn, &gate, &act, &result);
	double took = micros() - start;
	require(verdict == GATE_ALLOW, "it was not allowed");
	return took;
}

static void print_judgements(struct store *store, unsigned contacts)
{
	static const struct {
		const char *name;
		uint32_t recipients;
		bool courtesy;
	} kinds[] = { { "a RCPT", 1, true },
		      { "a mail", 1, false },
		      { "a mail to 100", 100, false } };
	char name[48];
	int len = snprintf(name, sizeof name, "user-%u-0@example.org", contacts);
	struct store_txn *txn = store_begin_write(store, NULL);
	require(txn != NULL, "can not write");
	printf("%7u contacts:", contacts);
	for (size_t k = 0; k < COUNT(kinds); k++) {
		double sum = 0;
		for (unsigned i = 0; i < ROUNDS; i++) {
			sum += judge(txn, span_of(name, (size_t)len), contacts,
			             kinds[k].recipients, kinds[k].courtesy);
		}
		printf("%s judged %s in %.1f us, %.0f a second", k ? "," : "", kinds[k].name,
		       sum / ROUNDS, 1e6 * ROUNDS / sum);
	}
	printf("\n");
	store_abort(txn);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	static const struct {
		unsigned contacts, accounts;
	} sizes[] = { { 50, 200 }, { 1000, 50 }, { HISTORY_CONTACTS_MAX, 1 } };
	const struct store_options options = { .size = (uint64_t)1 << 30,
		                               .longest_window = FAMILIAR_DAY };
	struct store *store = NULL;
	struct error error = { "" };
	char dir[4096];
	char inner[4096 + 8];
	snprintf(dir, sizeof dir, "%s/gatepost-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	require(mkdtemp(dir) != NULL, "can not make a folder");
	snprintf(inner, sizeof inner, "%s/store", dir);
	require(store_open(inner, &options, &store, &error) == STORE_OK, error.text);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		print_bytes(store, sizes[i].contacts, sizes[i].accounts);
	}
	for (size_t i = 0; i < COUNT(sizes); i++) {
		print_times(store, sizes[i].contacts);
	}
	for (size_t i = 0; i < COUNT(sizes); i++) {
		print_judgements(store, sizes[i].contacts);
	}
	store_close(store);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
