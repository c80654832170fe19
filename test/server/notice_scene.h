/* An incident in a store, with all that a notice tells of it. */
#ifndef GATEPOST_TEST_SERVER_NOTICE_SCENE_H
#define GATEPOST_TEST_SERVER_NOTICE_SCENE_H

#include "auth/unlock.h"
#include "server/notice.h"
#include "store/account.h"
#include "store/incident.h"
#include "test/store/queue_help.h"

#define MINUTE  ((int64_t)60 * 1000)
#define OPENED  1764045300000 /* 2025-11-25 04:35 UTC */
#define AT      ((int64_t)100 * 60 * MINUTE)
#define TOKEN   "abcdefghijklmnopqrstuvwxyz"
#define MAX_OUT ((size_t)1 << 20)

static struct span scene_postmasters[] = { { "postmaster@example.org", 22 },
	                                   { "jane@example.org", 16 } };
static struct span unlockers[] = { { "*@it.example.org", 16 } };
static const struct secret_key key = { { 1, 2, 3 } };

static struct config site = {
	.hostname = (char[]){ "mail.example.org" },
	.notice_from = (char[]){ "gatepost@example.org" },
	.reply_address = (char[]){ "unlock+*@mail.example.org" },
	.limits = { .limit = { { 500, 30 * MINUTE }, { 2000, 24 * 60 * MINUTE } }, .count = 2 },
	.postmaster = scene_postmasters,
	.npostmaster = 2,
	.may_unlock = unlockers,
	.nmay_unlock = 1,
};

/* A suspension, and what became of it. */
struct scene {
	const char *account;
	struct bill bill;
	const char *cause;
	bool reply_off, ended;
	bool ruined;      /* bill and standing can not be read */
	uint64_t present; /* by which the account is suspended now */
	size_t mails;     /* of 3 recipients each, one of them sent, all within the window */
	size_t old_mails; /* from before it */
	const char *note;
};

static const struct scene usual = {
	.account = "alice@example.org",
	.bill = { .limit = { 500, 30 * MINUTE },
	          .spent = 495,
	          .asked = 10,
	          .facts = { .network = { { "192.0.2.7", 20, AT },
	                                  { "2001:db8::17", 475, AT } },
	                     .subject = { "cheap watches", "Your invoice 17" },
	                     .peak_now = 505,
	                     .peak_last = 200,
	                     .peak_before = 37,
	                     .peak_from = AT } },
	.cause = "budget",
	.present = 17,
	.mails = 4,
	.old_mails = 1,
};

static inline void put_account_rows(struct store_txn *txn, const struct scene *scene)
{
	struct budget budget = { .count = 0 };
	struct standing standing = { .state = STANDING_GOOD };
	struct buf rings = { .cap = 4096 }, packed = { .cap = 4096 };
	const struct account account = { .secret = SPAN_LIT("x") };
	budget_fit(&budget, &site.limits, AT - MINUTE);
	budget_take(&budget, 60, AT - MINUTE);
	budget_pack(&budget, &rings);
	if (scene->present) {
		standing.state = STANDING_SUSPENDED;
		standing.incident = scene->present;
	}
	standing_pack(&standing, &packed);
	const struct ledger ledger = { .budget = buf_span(&rings),
		                       .standing = scene->ruined ? SPAN_LIT("\377\377")
		                                                 : buf_span(&packed) };
	assert_int_equal(account_put(txn, span_str(scene->account), &account), STORE_OK);
	assert_int_equal(ledger_put(txn, span_str(scene->account), &ledger), STORE_OK);
	buf_done(&rings);
	buf_done(&packed);
}

static inline void put_incident_row(struct store_txn *txn, const struct scene *scene)
{
	struct buf reasons = { .cap = 4096 };
	bill_pack(&scene->bill, &reasons);
	const struct incident incident = {
		.number = 17,
		.account = span_str(scene->account),
		.state = scene->ended ? INCIDENT_ENDED : INCIDENT_OPEN,
		.opened_at = AT,
		.opened_wall = OPENED,
		.cause = span_str(scene->cause),
		.reasons = scene->ruined ? SPAN_LIT("\377\377\377") : buf_span(&reasons),
		.ended_at = scene->ended ? AT + MINUTE : 0,
		.ended_wall = scene->ended ? OPENED + MINUTE : 0,
		.ended_by = scene->ended ? SPAN_LIT("uid 0") : SPAN_NONE,
		.ended_how = scene->ended ? SPAN_LIT("keep") : SPAN_NONE,
		.reply_off = scene->reply_off,
	};
	assert_int_equal(incident_put(txn, &incident), STORE_OK);
	buf_done(&reasons);
}

static inline void put_mails(struct store_txn *txn, const struct scene *scene)
{
	struct queue_recipient three[] = {
		{ .address = { "a@example.net", 13 }, .state = RECIPIENT_SENT },
		{ .address = { "b@example.net", 13 } },
		{ .address = { "c@example.net", 13 } },
	};
	for (size_t i = 0; i < scene->mails + scene->old_mails; i++) {
		struct queue_entry entry = entry_of(i + 1, scene->account, 0, 1000);
		entry.accepted_at = i < scene->mails ? AT - MINUTE : AT - 31 * MINUTE;
		entry.state = i % 2 ? QUEUE_HELD : QUEUE_READY;
		entry.incident = i % 2 ? 17 : 0;
		entry.recipients = three;
		entry.nrecipients = COUNT(three);
		assert_int_equal(queue_put(txn, &entry), STORE_OK);
	}
}

/* All of it in a transaction that is given up again. */
static inline struct store_txn *set_scene(struct place *place, const struct scene *scene)
{
	struct store_txn *txn = writing(place->store);
	put_account_rows(txn, scene);
	put_incident_row(txn, scene);
	put_mails(txn, scene);
	return txn;
}

static inline struct queue_entry notice_of(enum queue_kind kind, const struct scene *scene)
{
	static struct queue_recipient to[] = {
		{ .address = { "postmaster@example.org", 22 } },
		{ .address = { "jane@example.org", 16 } },
	};
	return (struct queue_entry){
		.id = 4711,
		.kind = kind,
		.incident = 17,
		.note = span_str(scene->note),
		.recipients = to,
		.nrecipients = COUNT(to),
	};
}

/* The message; the caller frees it. Its token is replaced by TOKEN. */
static inline struct buf write_of(struct place *place, const struct config *from,
                                  enum queue_kind kind, const struct scene *scene)
{
	struct buf out;
	char token[UNLOCK_TOKEN_LEN + 1];
	buf_init(&out, MAX_OUT);
	struct store_txn *txn = set_scene(place, scene);
	struct queue_entry entry = notice_of(kind, scene);
	assert_int_equal(notice_write(from, &key, &entry, txn, OPENED + 5000, &out), STORE_OK);
	store_abort(txn);
	unlock_token(&key, span_str(scene->account), 17, token);
	char *at = out.ptr;
	while ((at = memmem(at, (size_t)(out.ptr + out.len - at), token, UNLOCK_TOKEN_LEN))) {
		memcpy(at, TOKEN, UNLOCK_TOKEN_LEN);
	}
	buf_put_byte(&out, '\0');
	return out;
}

static inline char *body_of(const struct buf *message)
{
	char *end = strstr(message->ptr, "\r\n\r\n");
	assert_non_null(end);
	return end + 4;
}

/* In one line, as before it was folded. */
static inline void unfold(struct buf *text)
{
	char *to = text->ptr;
	for (const char *from = text->ptr; *from; from++) {
		if (*from != '\r') {
			*to++ = *from == '\n' ? ' ' : *from;
		}
	}
	*to = '\0';
}

static inline void assert_has(const struct buf *text, const char *what)
{
	if (!strstr(text->ptr, what)) {
		fail_msg("not there: \"%s\" in: %s", what, text->ptr);
	}
}

#endif
