#include "server/notice.h"

#include <assert.h>
#include <stdio.h>

#include "auth/drill.h"
#include "proto/address.h"
#include "proto/dsn.h"
#include "server/notice_event.h"
#include "server/notice_facts.h"
#include "server/notice_several.h"
#include "store/body.h"

/* A header longer than this is cut: so many rows are read and no more. */
#define ROWS_MAX ((uint32_t)(NOTICE_ORIGINAL_MAX / BODY_ROW + 1))

#define NOTICE_MAX      ((size_t)64 * 1024)
#define LINK_MAX        ((size_t)4 * 1024)
#define SUBJECT_ACCOUNT 120 /* bytes */

struct span notice_report_to(const struct queue_entry *entry)
{
	/* An account's name is its address in lower case: a sender that differs in more is not
	 * the login's own, and a thief's choice of where our reports go. */
	struct address address;
	if (entry->sender.len == 0) {
		return SPAN_NONE;
	}
	if (span_eq_nocase(entry->sender, entry->account)) {
		return entry->sender;
	}
	bool reachable = address_parse(entry->account, &address) == ADDRESS_OK;
	return reachable ? entry->account : SPAN_NONE;
}

/* ---- the returned message ---- */

/* The part of `text` in front of the empty line; without one what fits, in whole lines. */
static struct span header_of(struct span text)
{
	const char *end = text.len ? memmem(text.ptr, text.len, "\r\n\r\n", 4) : NULL;
	if (end) {
		return span_first(text, (size_t)(end - text.ptr) + 2);
	}
	struct span cut = span_first(text, NOTICE_ORIGINAL_MAX);
	while (cut.len && cut.ptr[cut.len - 1] != '\n') {
		cut.len--;
	}
	return cut;
}

static enum store_result read_rows(struct store_txn *txn, const struct queue_entry *entry,
                                   struct buf *out)
{
	for (uint32_t row = 0; row < ROWS_MAX && out->len < entry->size; row++) {
		struct span bytes;
		enum store_result result = body_get(txn, entry->id, row, &bytes);
		if (result != STORE_OK) {
			return result;
		}
		buf_put(out, bytes);
	}
	return out->failed ? STORE_FAILED : STORE_OK;
}

/* ---- whom it is about ---- */

/* "550 5.1.1 no such user", as it was on the wire. */
static struct span diagnostic_of(const struct queue_recipient *recipient, struct arena *arena)
{
	char code[16] = "";
	if (recipient->code) {
		snprintf(code, sizeof code, "%u ", recipient->code);
	}
	/* An expired one keeps its last answer under a status of ours, which was not part of
	 * it. */
	bool theirs = recipient->code >= 500 && recipient->status.len;
	size_t size = sizeof code + recipient->status.len + recipient->answer.len + 2;
	char *text = arena_alloc(arena, size);
	if (!text) {
		return SPAN_NONE;
	}
	int n = snprintf(text, size, "%s%.*s%s%.*s", code,
	                 theirs ? (int)recipient->status.len : 0,
	                 theirs ? recipient->status.ptr : "", theirs ? " " : "",
	                 SPAN_ARG(recipient->answer));
	return span_of(text, (size_t)n);
}

/* Remote-MTA: an entry does not know which of several smarthosts it was. */
static struct span remote_of(const struct config *config,
                             const struct queue_recipient *recipient)
{
	bool known = recipient->code && config->nsmarthosts == 1;
	return known ? span_str(config->smarthost[0].address) : SPAN_NONE;
}

static struct dsn_recipient *list_failed(const struct config *config,
                                         const struct queue_entry *entry, struct arena *arena,
                                         size_t *n_out)
{
	size_t n = 0;
	struct dsn_recipient *list = arena_alloc(arena,
	                                         (entry->nrecipients + 1) * sizeof *list);
	for (size_t i = 0; list && i < entry->nrecipients; i++) {
		const struct queue_recipient *recipient = &entry->recipients[i];
		if (recipient->state == RECIPIENT_FAILED) {
			list[n++] = (struct dsn_recipient){
				.address = recipient->address,
				.status = recipient->status,
				.diagnostic = diagnostic_of(recipient, arena),
				.remote = remote_of(config, recipient),
			};
		}
	}
	*n_out = n;
	return list;
}

enum store_result notice_report(const struct config *config, const struct queue_entry *entry,
                                struct store_txn *txn, int64_t wall, struct buf *out)
{
	struct arena arena;
	struct buf text;
	char id[QUEUE_ID_TEXT];
	queue_id_write(entry->id, id);
	arena_init(&arena, 2 * QUEUE_ENTRY_MAX);
	buf_init(&text, ROWS_MAX * BODY_ROW);
	struct dsn dsn = {
		.hostname = span_str(config->hostname),
		.to = notice_report_to(entry),
		.id = span_str(id),
		.now = wall / 1000,
		.arrived = entry->accepted_wall / 1000,
		.header_only = entry->size > NOTICE_ORIGINAL_MAX,
		.eight_bit = entry->eight_bit,
	};
	dsn.recipients = list_failed(config, entry, &arena, &dsn.nrecipients);
	enum store_result result = dsn.recipients ? read_rows(txn, entry, &text) : STORE_FAILED;
	if (result == STORE_OK) {
		dsn.original = dsn.header_only ? header_of(buf_span(&text)) : buf_span(&text);
		dsn_write(&dsn, out);
		result = out->failed ? STORE_FAILED : STORE_OK;
	}
	buf_done(&text);
	arena_done(&arena);
	return result;
}

/* ---- notices ---- */

/* What a notice of each kind is made from. */
static const struct {
	const char *templates[3];
	const char *subject;
	bool answers; /* it has the token */
	bool first;   /* others are shown with it */
} kinds[QUEUE_KINDS] = {
	[QUEUE_NOTICE_SUSPENDED] = { { notice_template_suspended, notice_template_answers },
	                             "Suspended",
	                             true,
	                             true },
	[QUEUE_NOTICE_ENDED] = { { notice_template_ended }, "Done", false, false },
	[QUEUE_NOTICE_IGNORED] = { { notice_template_ignored }, "Not done", false, false },
	[QUEUE_NOTICE_REMINDER] = { { notice_template_reminder, notice_template_answers },
	                            "Still suspended",
	                            true,
	                            false },
	[QUEUE_NOTICE_EXPIRING] = { { notice_template_expiring },
	                            "Held mail will be deleted",
	                            false,
	                            false },
	[QUEUE_NOTICE_DRILL] = { { notice_template_drill, notice_template_suspended,
	                           notice_template_answers },
	                         "DRILL",
	                         true,
	                         true },
	[QUEUE_NOTICE_DRILLED] = { { notice_template_drilled },
	                           "DRILL answered",
	                           false,
	                           false },
};

static void fill(enum queue_kind kind, const struct notice_facts *facts, struct buf *out)
{
	for (size_t i = 0; i < COUNT(kinds[kind].templates) && kinds[kind].templates[i]; i++) {
		notice_text_fill(kinds[kind].templates[i], facts->value, facts->nvalues, out);
	}
}

/* One a word; the token is empty where a reply does not count. */
static void add_links(const struct config *config, struct notice_facts *facts,
                      struct span token)
{
	static const struct {
		const char *name, *word;
		enum order order;
	} links[] = {
		{ "unlock", "UNLOCK", ORDER_UNLOCK }, { "release", "RELEASE", ORDER_RELEASE },
		{ "keep", "KEEP", ORDER_KEEP },       { "discard", "DISCARD", ORDER_DISCARD },
		{ "spam", "SPAM", ORDER_SPAM },       { "no", "NO", ORDER_NO },
	};
	uint64_t number = facts->incident.number;
	for (size_t i = 0; i < COUNT(links); i++) {
		struct buf address = { .cap = LINK_MAX }, link = { .cap = LINK_MAX };
		struct span text = SPAN_NONE;
		if (token.len) {
			orders_write_address(span_str(config->reply_address), links[i].order,
			                     number, token, &address);
			notice_text_link(buf_span(&address), span_str(links[i].word), &link);
			text = notice_facts_text(facts, "%.*s", SPAN_ARG(buf_span(&link)));
		}
		notice_facts_add(facts, links[i].name, text);
		buf_done(&address);
		buf_done(&link);
	}
}

static struct span write_over(struct notice_facts *facts)
{
	const struct incident *incident = &facts->incident;
	if (incident->state != INCIDENT_ENDED) {
		return SPAN_LIT("the account is not suspended by it any more");
	}
	return notice_facts_text(facts, "%.*s, by %.*s, %.*s", SPAN_ARG(incident->ended_how),
	                         SPAN_ARG(incident->ended_by),
	                         SPAN_ARG(notice_facts_time(facts, incident->ended_wall)));
}

/* How it may end: exactly one of the first five is what the text says. */
void notice_add_ways(const struct config *config, struct notice_facts *facts, struct span token,
                     bool quiet)
{
	static const struct span yes = { "yes", 3 };
	bool over = !facts->suspended;
	bool hard = !over && facts->incident.reply_off;
	bool off = hard && token.len;
	bool reply = !over && !hard && token.len;
	bool required = config->unlock_word == CONFIG_UNLOCK_WORD_REQUIRED;
	int64_t until = facts->incident.opened_wall + UNLOCK_LIFETIME;
	notice_facts_add(facts, "over", over ? write_over(facts) : SPAN_NONE);
	notice_facts_add(facts, "off", off ? yes : SPAN_NONE);
	notice_facts_add(facts, "only", hard && !off ? yes : SPAN_NONE);
	notice_facts_add(facts, "word", off || reply ? yes : SPAN_NONE);
	notice_facts_add(facts, "reply", reply ? yes : SPAN_NONE);
	notice_facts_add(facts, "plain", reply && !facts->guarded ? yes : SPAN_NONE);
	notice_facts_add(facts, "guarded", reply && facts->guarded ? yes : SPAN_NONE);
	notice_facts_add(facts, "wait", over || hard || reply || quiet ? SPAN_NONE : yes);
	notice_facts_add(facts, "quiet", quiet && !over && !hard ? yes : SPAN_NONE);
	notice_facts_add(facts, "until", notice_facts_time(facts, until));
	notice_facts_add(facts, "wordless",
	                 required ? SPAN_LIT("Any other text does nothing.")
	                          : SPAN_LIT("An empty reply is UNLOCK, other text KEEP."));
	add_links(config, facts, off || reply ? token : SPAN_NONE);
}

static struct span write_subject(struct notice_facts *facts, enum queue_kind kind)
{
	struct buf account = { .cap = LINK_MAX };
	notice_text_escape(facts->incident.account, SUBJECT_ACCOUNT, &account);
	struct span subject = notice_facts_text(
	    facts, "%s: %.*s (case %llu)", kinds[kind].subject, SPAN_ARG(buf_span(&account)),
	    (unsigned long long)facts->incident.number);
	buf_done(&account);
	return subject;
}

struct span notice_recipients(const struct queue_entry *entry, struct notice_facts *facts)
{
	struct buf text = { .cap = NOTICE_MAX };
	for (size_t i = 0; i < entry->nrecipients; i++) {
		buf_printf(&text, "%s%.*s", i ? ", " : "",
		           SPAN_ARG(entry->recipients[i].address));
	}
	struct span to = notice_facts_text(facts, "%.*s", SPAN_ARG(buf_span(&text)));
	buf_done(&text);
	return to;
}

/* The first notice of an incident, or of a drill, is known by it; what follows says so and is
 * shown with it. */
static void write_ids(const struct queue_entry *entry, struct notice_facts *facts,
                      struct notice_message *message)
{
	const struct incident *incident = &facts->incident;
	char id[QUEUE_ID_TEXT];
	queue_id_write(entry->id, id);
	struct span first = notice_facts_text(facts, "case.%llu.%lld",
	                                      (unsigned long long)incident->number,
	                                      (long long)(incident->opened_wall / 1000));
	bool is_first = kinds[entry->kind].first;
	message->parent = is_first ? SPAN_NONE : first;
	message->id = is_first ? first
	                       : notice_facts_text(facts, "%.*s.%s", SPAN_ARG(first), id);
}

static struct span write_reply_to(const struct config *config, struct notice_facts *facts,
                                  struct span token)
{
	struct buf text = { .cap = LINK_MAX };
	orders_write_address(span_str(config->reply_address), ORDERS, facts->incident.number,
	                     token, &text);
	struct span address = notice_facts_text(facts, "%.*s", SPAN_ARG(buf_span(&text)));
	buf_done(&text);
	return address;
}

void notice_write_token(const struct secret_key *key, const struct incident *incident,
                        char token_out[UNLOCK_TOKEN_LEN + 1])
{
	if (incident->number == DRILL_INCIDENT) {
		unlock_drill_token(key, incident->opened_at, token_out);
	} else {
		unlock_token(key, incident->account, incident->number, token_out);
	}
}

static void write_notice(const struct config *config, const struct secret_key *key,
                         const struct queue_entry *entry, int64_t wall,
                         struct notice_facts *facts, struct buf *out)
{
	char token[UNLOCK_TOKEN_LEN + 1] = "";
	struct buf body = { .cap = NOTICE_MAX };
	struct notice_message message = {
		.hostname = config->hostname,
		.from = span_str(config->notice_from),
		.to = notice_recipients(entry, facts),
		.subject = write_subject(facts, entry->kind),
		.seconds = wall / 1000,
	};
	if (kinds[entry->kind].answers && facts->suspended &&
	    !span_eq(entry->note, SUSPEND_NO_TOKEN)) {
		notice_write_token(key, &facts->incident, token);
		message.reply_to = write_reply_to(config, facts, span_str(token));
	}
	notice_facts_add(facts, "note", entry->note);
	notice_add_ways(config, facts, span_str(token), span_eq(entry->note, SUSPEND_NO_TOKEN));
	fill(entry->kind, facts, &body);
	write_ids(entry, facts, &message);
	message.body = buf_span(&body);
	notice_text_message(&message, out);
	out->failed = out->failed || body.failed;
	buf_done(&body);
	secret_cleanse(token, sizeof token);
}

/* ---- notices whose note says all ---- */

static void add_event(const struct notice_event *event, struct span evidence,
                      struct notice_facts *facts)
{
	static const char *const hints[] = { "screen", "account", "unknown", "backend",
		                             "held",   "waits",   "relay" };
	notice_facts_add(facts, "what", span_str(event->what));
	notice_facts_add(facts, "evidence", evidence);
	notice_facts_add(facts, "did", span_str(event->did));
	notice_facts_add(facts, "pause", span_str(event->pause));
	for (size_t i = 0; i < COUNT(hints); i++) {
		bool is = span_eq(span_str(hints[i]), span_str(event->hint));
		notice_facts_add(facts, hints[i], is ? SPAN_LIT("yes") : SPAN_NONE);
	}
}

static const char *fill_event(struct span note, struct notice_facts *facts, struct buf *body)
{
	const struct notice_event *event = notice_event_of(&note);
	add_event(event, note, facts);
	notice_text_fill(notice_template_event, facts->value, facts->nvalues, body);
	return event->subject;
}

/* Since when, and a line an account (auth/digest). */
static const char *fill_digest(struct span note, struct notice_facts *facts, struct buf *body)
{
	struct notice_value line = { "line", span_first(note, span_find(note, '\n')) };
	notice_facts_add(facts, "since", line.text);
	notice_text_fill(notice_template_digest, facts->value, facts->nvalues, body);
	note = span_from(note, line.text.len + 1);
	while (note.len) {
		line.text = span_first(note, span_find(note, '\n'));
		notice_text_fill("  {line}\n", &line, 1, body);
		note = span_from(note, line.text.len + 1);
	}
	notice_text_fill(notice_template_digest_end, facts->value, facts->nvalues, body);
	return "What was seen in a day";
}

static const char *fill_owner(struct span note, struct notice_facts *facts, struct buf *body)
{
	notice_facts_add(facts, "account", note);
	notice_text_fill(notice_template_owner, facts->value, facts->nvalues, body);
	return "Is it you who sends so much mail?";
}

/* The subject; NULL where a kind is about an incident. */
static const char *(*const plain[QUEUE_KINDS])(struct span note, struct notice_facts *facts,
                                               struct buf *body) = {
	[QUEUE_NOTICE_EVENT] = fill_event,
	[QUEUE_NOTICE_DIGEST] = fill_digest,
	[QUEUE_NOTICE_OWNER] = fill_owner,
};

static struct span write_plain_id(const struct queue_entry *entry, struct notice_facts *facts)
{
	char id[QUEUE_ID_TEXT];
	queue_id_write(entry->id, id);
	return notice_facts_text(facts, "event.%s.%lld", id,
	                         (long long)(entry->accepted_wall / 1000));
}

/* Nothing is read, and no answer counts. */
static enum store_result write_plain(const struct config *config,
                                     const struct queue_entry *entry, int64_t wall,
                                     struct buf *out)
{
	struct notice_facts facts = { .nvalues = 0 };
	struct buf body = { .cap = 2 * NOTICE_MAX };
	arena_init(&facts.arena, NOTICE_FACTS_ARENA);
	notice_facts_add(&facts, "hostname", span_str(config->hostname));
	notice_facts_add(&facts, "contact",
	                 config->contact ? span_str(config->contact) : SPAN_NONE);
	const char *subject = plain[entry->kind](entry->note, &facts, &body);
	const struct notice_message message = {
		.hostname = config->hostname,
		.from = span_str(config->notice_from),
		.to = notice_recipients(entry, &facts),
		.subject = span_str(subject),
		.id = write_plain_id(entry, &facts),
		.seconds = wall / 1000,
		.body = buf_span(&body),
	};
	notice_text_message(&message, out);
	bool failed = body.failed || out->failed || facts.failed;
	buf_done(&body);
	notice_facts_done(&facts);
	return failed ? STORE_FAILED : STORE_OK;
}

/* Of the incident, or of the last drill. */
static enum store_result read_facts(struct notice_facts *facts, const struct config *config,
                                    const struct secret_key *key, uint64_t incident,
                                    struct store_txn *txn)
{
	struct meta_drill drill;
	if (incident != DRILL_INCIDENT) {
		return notice_facts_read(facts, config, key, incident, txn);
	}
	*facts = (struct notice_facts){ .nvalues = 0 };
	enum store_result result = meta_drill_get(txn, &drill);
	if (result == STORE_OK) {
		notice_facts_sample(facts, config, drill.sent_wall);
		facts->incident.opened_at = drill.sent_at;
	}
	return result;
}

enum store_result notice_write(const struct config *config, const struct secret_key *key,
                               const struct queue_entry *entry, struct store_txn *txn,
                               int64_t wall, struct buf *out)
{
	struct notice_facts facts;
	assert(entry->kind != QUEUE_MAIL);
	if (plain[entry->kind]) {
		return write_plain(config, entry, wall, out);
	}
	struct queue_entry alone;
	if (entry->kind == QUEUE_NOTICE_SEVERAL && !notice_several_is_one(entry, &alone)) {
		const struct notice_several several = { config, key, txn, wall };
		return notice_several_write(&several, entry, out);
	}
	entry = entry->kind == QUEUE_NOTICE_SEVERAL ? &alone : entry;
	enum store_result result = read_facts(&facts, config, key, entry->incident, txn);
	if (result == STORE_OK) {
		write_notice(config, key, entry, wall, &facts, out);
		result = out->failed || facts.failed ? STORE_FAILED : STORE_OK;
	}
	notice_facts_done(&facts);
	return result;
}

enum store_result notice_explain(const struct config *config, struct notice_facts *facts,
                                 struct buf *out)
{
	notice_add_ways(config, facts, SPAN_NONE, false);
	fill(QUEUE_NOTICE_SUSPENDED, facts, out);
	return out->failed || facts->failed ? STORE_FAILED : STORE_OK;
}
