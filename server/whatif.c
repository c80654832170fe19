#include "server/whatif.h"

#include <stdlib.h>

#include "proto/address.h"
#include "server/whatif_replay.h"

/* A row has one recipient, or is joined with others: its `n` says so. */
#define ROW ((uint32_t)1 << 31)

static bool is_row(const struct whatif_mail *mail)
{
	return mail->n & ROW;
}

static size_t count(const struct whatif_mail *mail)
{
	return mail->n & ~ROW;
}

/* ---- gathering ---- */

/* Room for `n` more of `size` bytes each. */
static bool make_room(void *array, size_t used, size_t *room, size_t n, size_t size)
{
	void **at = array;
	if (*room - used >= n) {
		return true;
	}
	size_t want = *room * 2 > used + n ? *room * 2 : used + n + 1024;
	void *grown = realloc(*at, want * size);
	if (!grown) {
		return false;
	}
	*at = grown;
	*room = want;
	return true;
}

static bool put(struct whatif *w, const struct maillog_event *event, struct span account,
                struct whatif_mail *mail)
{
	size_t n = event->nrecipients;
	if (!names_add(&w->accounts, account, &mail->account) ||
	    !names_add(&w->clients, event->client, &mail->client) ||
	    !make_room(&w->mail, w->nmails, &w->mail_room, 1, sizeof *w->mail) ||
	    !make_room(&w->contact, w->ncontacts, &w->contact_room, n, sizeof *w->contact)) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		w->contact[w->ncontacts++] = whatif_contact(&w->key, account,
		                                            event->recipient[i]);
	}
	w->mail[w->nmails++] = *mail;
	return true;
}

bool whatif_add(struct whatif *w, const struct maillog_event *event, struct error *error)
{
	size_t max = w->max ? w->max : WHATIF_MAX;
	struct buf account = { .cap = ADDRESS_ACCOUNT_MAX };
	struct whatif_mail mail = { .at = event->at,
		                    .first = (uint32_t)w->ncontacts,
		                    .n = (uint32_t)event->nrecipients | (event->row ? ROW : 0),
		                    .rest = event->rest };
	if (!address_account(event->account, w->domain, &account)) {
		w->unusable++;
		buf_done(&account);
		return true;
	}
	bool fits = event->nrecipients < max && w->ncontacts + event->nrecipients <= max &&
	            w->nmails < max;
	if (!fits) {
		error_set(error,
		          "more than %zu recipients, which is more than is kept in memory: "
		          "take fewer files",
		          max);
	} else if (!put(w, event, buf_span(&account), &mail)) {
		error_set(error, "out of memory");
		fits = false;
	}
	buf_done(&account);
	return fits;
}

/* ---- order ---- */

#define ORDER(a, b) \
	do { \
		if ((a) != (b)) { \
			return (a) < (b) ? -1 : 1; \
		} \
	} while (0)

/* Rows of one message come to lie beside each other; `first` is the order of coming. */
static int by_time(const void *left, const void *right)
{
	const struct whatif_mail *a = left, *b = right;
	ORDER(a->at, b->at);
	ORDER(a->account, b->account);
	ORDER(is_row(a), is_row(b));
	ORDER(a->first, b->first);
	return 0;
}

static int by_account(const void *left, const void *right)
{
	const struct whatif_mail *a = left, *b = right;
	ORDER(a->account, b->account);
	ORDER(a->at, b->at);
	return 0;
}

static int by_digest(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;
	ORDER(*a, *b);
	return 0;
}

bool whatif_sort(struct whatif *w)
{
	uint64_t *sorted = malloc((w->ncontacts + 1) * sizeof *sorted);
	size_t n = 0;
	if (!sorted) {
		return false;
	}
	if (w->nmails) {
		qsort(w->mail, w->nmails, sizeof *w->mail, by_time);
	}
	/* Contacts of rows that are joined come to lie beside each other, too. */
	for (size_t i = 0; i < w->nmails; i++) {
		struct whatif_mail *mail = &w->mail[i];
		if (count(mail)) {
			memcpy(sorted + n, w->contact + mail->first,
			       count(mail) * sizeof *sorted);
		}
		mail->first = (uint32_t)n;
		n += count(mail);
	}
	free(w->contact);
	w->contact = sorted;
	w->contact_room = w->ncontacts + 1;
	return true;
}

static bool is_same(const struct whatif_mail *a, const struct whatif_mail *b)
{
	return is_row(a) && is_row(b) && a->at == b->at && a->account == b->account;
}

/* Sorts, and keeps each once: how many there are then. */
static size_t unique(uint64_t *contact, size_t n)
{
	size_t once = 0;
	if (n > 1) {
		qsort(contact, n, sizeof *contact, by_digest);
	}
	for (size_t i = 0; i < n; i++) {
		if (!once || contact[once - 1] != contact[i]) {
			contact[once++] = contact[i];
		}
	}
	return once;
}

bool whatif_next(struct whatif *w, size_t *at, struct whatif_message *message_out)
{
	size_t begin = *at, n = 0;
	if (begin >= w->nmails) {
		return false;
	}
	struct whatif_mail *first = &w->mail[begin];
	do {
		struct whatif_mail *mail = &w->mail[(*at)++];
		n += count(mail);
		mail->n -= (uint32_t)count(mail); /* from now on they are the first's */
	} while (*at < w->nmails && is_same(first, &w->mail[*at]));
	uint64_t *contact = w->contact + first->first;
	size_t once = unique(contact, n);
	first->n |= (uint32_t)once;
	*message_out = (struct whatif_message){
		.mail = begin,
		.at = first->at,
		.account = names_get(&w->accounts, first->account),
		.client = names_get(&w->clients, first->client),
		.contact = contact,
		.ncontacts = once,
		.recipients = (uint32_t)once + first->rest,
	};
	return true;
}

/* ---- use ---- */

void whatif_sort_accounts(struct whatif *w)
{
	if (w->nmails) {
		qsort(w->mail, w->nmails, sizeof *w->mail, by_account);
	}
}

static uint64_t tokens_of(const struct whatif_mail *mail, uint64_t whole)
{
	bool fits = count(mail) + (uint64_t)mail->rest <= whole;
	return fits && mail->price > whole ? whole : mail->price;
}

static uint64_t strangers_of(const struct whatif_mail *mail, uint64_t whole)
{
	(void)whole;
	return mail->strangers;
}

/* Mail of one account. */
struct run {
	const struct whatif_mail *mail;
	size_t n;
	uint64_t whole;
};

/* The highest sum of a span of `window`. */
static uint64_t highest(const struct run *run, int64_t window,
                        uint64_t (*value)(const struct whatif_mail *mail, uint64_t whole))
{
	int64_t steps = BUDGET_SLOTS - 1;
	int64_t span = window + (window + steps - 1) / steps;
	uint64_t sum = 0, most = 0;
	size_t from = 0;
	for (size_t i = 0; i < run->n; i++) {
		sum += value(&run->mail[i], run->whole);
		while (run->mail[i].at - run->mail[from].at >= span) {
			sum -= value(&run->mail[from++], run->whole);
		}
		most = sum > most ? sum : most;
	}
	return most;
}

bool whatif_use_next(const struct whatif *w, const struct whatif_windows *windows, size_t *at,
                     struct whatif_use *use_out)
{
	size_t begin = *at;
	if (begin >= w->nmails) {
		return false;
	}
	struct whatif_use use = { .account = w->mail[begin].account };
	for (; *at < w->nmails && w->mail[*at].account == use.account; ++*at) {
		const struct whatif_mail *mail = &w->mail[*at];
		use.messages += mail->price > 0;
		uint64_t recipients = count(mail) + (uint64_t)mail->rest;
		use.recipients += recipients;
		use.largest = recipients > use.largest ? (uint32_t)recipients : use.largest;
	}
	const struct run run = { w->mail + begin, *at - begin, windows->whole };
	for (size_t i = 0; i < windows->limits.count; i++) {
		use.most[i] = highest(&run, windows->limits.limit[i].window, tokens_of);
	}
	for (size_t i = 0; i < windows->strangers.count; i++) {
		use.strangers[i] = highest(&run, windows->strangers.limit[i].window,
		                           strangers_of);
	}
	*use_out = use;
	return true;
}

void whatif_done(struct whatif *w)
{
	if (w) {
		names_done(&w->accounts);
		names_done(&w->clients);
		free(w->mail);
		free(w->contact);
		w->mail = NULL;
		w->contact = NULL;
	}
}
