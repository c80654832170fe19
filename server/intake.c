#include "server/intake.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/arena.h"
#include "proto/mime.h"
#include "server/log.h"
#include "server/suspension.h"
#include "server/wall.h"
#include "store/body.h"
#include "store/journal.h"

/* In the last tenth of the store an account may have this much queued and no more. */
#define SMALL_ACCOUNT_BYTES ((uint64_t)1024 * 1024)
#define SUBJECT_MAX         ((size_t)4096)
#define FILL_MAX            (3 * INTAKE_BLOCK)
#define ENVELOPE_MAX        QUEUE_ENTRY_MAX

struct intake {
	struct worker *worker;
	struct config *config;
	const struct intake_handler *handler;
	void *owner; /* NULL: orphaned or dropped */
	struct arena arena;
	struct queue_entry entry;
	struct header header;
	struct header_additions additions;
	struct buf fill;           /* what has come and is not with the writer */
	enum intake_verdict fault; /* INTAKE_QUEUED: none so far */
	bool dropped;
	/* the block at the writer; the same job later drops the rows of a message that does not
	 * end */
	struct commit_job stage;
	bool staging;
	struct buf block;
	uint32_t next_row;    /* first row not yet staged */
	int64_t staged_bytes; /* counted in the census */
	/* the end */
	struct commit_job end;
	enum intake_verdict verdict;
	struct gate_result result;
	uint64_t stopped; /* by which incident it is, when STOPPED */
	struct origin origin;
	const uint64_t *contacts;
	uint32_t traps;
	int64_t again_wall;  /* when DEFERRED */
	struct span subject; /* as people read it */
	struct span apppass; /* by which it comes; empty: none */
	uint32_t members;    /* of lists among the recipients, beyond one each */
};

#define of_job(job, member) ((struct intake *)((char *)(job)-offsetof(struct intake, member)))

static void intake_free(struct intake *intake)
{
	struct server *server = intake->worker->server;
	if (intake->staged_bytes) {
		census_bytes(server->census, intake->entry.account, -intake->staged_bytes,
		             INT64_MAX);
	}
	buf_done(&intake->fill);
	buf_done(&intake->block);
	config_unref(intake->config);
	arena_done(&intake->arena);
	free(intake);
}

/* ---- the beginning ---- */

static bool copy_envelope(struct intake *intake, const struct intake_envelope *envelope)
{
	struct queue_entry *entry = &intake->entry;
	struct arena *arena = &intake->arena;
	size_t n = envelope->nrecipients;
	entry->recipients = arena_alloc(arena, n * sizeof *entry->recipients);
	if (!entry->recipients || !arena_copy(arena, envelope->account, &entry->account) ||
	    !arena_copy(arena, envelope->apppass, &intake->apppass) ||
	    !arena_copy(arena, envelope->sender, &entry->sender) ||
	    !arena_copy(arena, envelope->client, &entry->client)) {
		return false;
	}
	uint64_t *contacts = arena_alloc(arena, n * sizeof *contacts);
	if (!contacts) {
		return false;
	}
	memcpy(contacts, envelope->contacts, n * sizeof *contacts);
	intake->contacts = contacts;
	intake->origin = envelope->origin;
	intake->traps = envelope->traps;
	for (size_t i = 0; i < n; i++) {
		if (!arena_copy(arena, envelope->recipients[i],
		                &entry->recipients[i].address)) {
			return false;
		}
	}
	entry->nrecipients = n;
	intake->members = envelope->members;
	return true;
}

static bool make_additions(struct intake *intake)
{
	struct buf text;
	char id[QUEUE_ID_TEXT];
	char random[8];
	buf_init(&text, 1024);
	queue_id_write(intake->entry.id, id);
	secret_random(random, sizeof random);
	header_date(wall_ms() / 1000, &text);
	bool good = arena_copy(&intake->arena, buf_span(&text), &intake->additions.date);
	buf_clear(&text);
	buf_printf(&text, "<%s.", id);
	for (size_t i = 0; i < sizeof random; i++) {
		buf_printf(&text, "%02x", (unsigned)(unsigned char)random[i]);
	}
	buf_printf(&text, "@%s>", intake->config->hostname);
	good = good &&
	       arena_copy(&intake->arena, buf_span(&text), &intake->additions.message_id);
	buf_done(&text);
	return good;
}

struct intake *intake_new(struct worker *worker, struct config *config,
                          const struct intake_envelope *envelope,
                          const struct intake_handler *handler, void *owner)
{
	struct intake *intake = calloc(1, sizeof *intake);
	if (!intake) {
		return NULL;
	}
	intake->worker = worker;
	intake->config = config_ref(config);
	intake->handler = handler;
	intake->owner = owner;
	intake->entry.id = store_next_id(worker->server->store);
	arena_init(&intake->arena, ENVELOPE_MAX);
	buf_init(&intake->fill, FILL_MAX);
	buf_init(&intake->block, FILL_MAX);
	header_init(&intake->header, &intake->additions);
	if (!copy_envelope(intake, envelope) || !make_additions(intake)) {
		intake_free(intake);
		return NULL;
	}
	return intake;
}

uint64_t intake_id(const struct intake *intake)
{
	return intake->entry.id;
}

void intake_trace(struct intake *intake, struct header_received *facts)
{
	char id[QUEUE_ID_TEXT];
	queue_id_write(intake->entry.id, id);
	facts->id = span_str(id);
	facts->seconds = wall_ms() / 1000;
	header_received(facts, &intake->fill);
	facts->id = SPAN_NONE;
}

const struct header_facts *intake_header(const struct intake *intake)
{
	return &intake->header.facts;
}

bool intake_from(const struct intake *intake, struct buf *out)
{
	return header_from(&intake->header, out);
}

/* ---- the text ---- */

static void dispose(struct intake *intake);
static void read_subject(struct intake *intake);

static void stage_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)now;
	struct intake *intake = of_job(job, stage);
	uint32_t next;
	body_put(txn, intake->entry.id, intake->next_row, buf_span(&intake->block), &next);
}

static void submit_end(struct intake *intake);

static void stage_done(struct commit_job *job, enum store_result result)
{
	struct intake *intake = of_job(job, stage);
	intake->staging = false;
	if (result == STORE_OK) {
		intake->next_row += (uint32_t)(intake->block.len / BODY_ROW);
	} else if (intake->fault == INTAKE_QUEUED) {
		intake->fault = result == STORE_FULL ? INTAKE_FULL : INTAKE_ERROR;
	}
	buf_done(&intake->block);
	if (intake->dropped) {
		dispose(intake);
	} else if (intake->end.run) {
		submit_end(intake);
	} else if (intake->owner) {
		intake->handler->room(intake->owner);
	}
}

/* Whole rows of what has come go to the writer; the rest begins the next block. */
static void stage(struct intake *intake)
{
	struct server *server = intake->worker->server;
	if (!intake->next_row && !intake->staged_bytes) {
		read_subject(intake);
	}
	size_t rest = intake->fill.len % BODY_ROW;
	int64_t whole = (int64_t)(intake->fill.len - rest);
	enum store_room room = store_room(server->store);
	if (room == STORE_NO_ROOM ||
	    (room == STORE_RESERVED &&
	     (uint64_t)(intake->staged_bytes + whole) > SMALL_ACCOUNT_BYTES)) {
		intake->fault = INTAKE_FULL;
	} else if (!census_bytes(server->census, intake->entry.account, whole,
	                         intake->config->uncommitted_bytes)) {
		intake->fault = INTAKE_ACCOUNT_FULL;
	}
	if (intake->fault != INTAKE_QUEUED) {
		buf_done(&intake->fill);
		return;
	}
	intake->staged_bytes += whole;
	intake->block = intake->fill;
	buf_init(&intake->fill, FILL_MAX);
	buf_put(&intake->fill, span_of(intake->block.ptr + whole, rest));
	intake->block.len = (size_t)whole;
	intake->staging = true;
	intake->stage = (struct commit_job){
		.run = stage_run,
		.done = stage_done,
		.port = intake->worker->port,
		.bytes = (size_t)whole,
		.staged = true,
	};
	commit_submit(server->commit, &intake->stage);
}

bool intake_wants(const struct intake *intake)
{
	return intake->fill.len < INTAKE_BLOCK || !intake->staging;
}

void intake_put(struct intake *intake, struct span text)
{
	if (intake->fault != INTAKE_QUEUED) {
		return;
	}
	if (intake->header.facts.done) {
		buf_put(&intake->fill, text);
	} else {
		header_put(&intake->header, text, &intake->fill);
	}
	if (intake->fill.failed) {
		intake->fault = INTAKE_ERROR;
		buf_done(&intake->fill);
	} else if (intake->fill.len >= INTAKE_BLOCK && !intake->staging) {
		stage(intake);
	}
}

/* ---- the end ---- */

static bool has_room(struct intake *intake, struct store_txn *txn)
{
	struct queue_usage usage;
	const struct queue_entry *entry = &intake->entry;
	enum store_room room = store_room(intake->worker->server->store);
	if (queue_usage(txn, entry->account, &usage) != STORE_OK) {
		intake->verdict = INTAKE_ERROR;
	} else if (room == STORE_NO_ROOM || (room == STORE_RESERVED &&
	                                     usage.bytes + entry->size > SMALL_ACCOUNT_BYTES)) {
		intake->verdict = INTAKE_FULL;
	} else if (usage.bytes + entry->size > (uint64_t)intake->config->queued_bytes) {
		intake->verdict = INTAKE_ACCOUNT_FULL;
	} else {
		return true;
	}
	return false;
}

static bool may_send(struct intake *intake, struct store_txn *txn, int64_t now)
{
	static const enum intake_verdict verdicts[] = {
		[GATE_ALLOW] = INTAKE_QUEUED,      [GATE_SPENT] = INTAKE_SPENT,
		[GATE_NEVER] = INTAKE_NEVER,       [GATE_TRIPPED] = INTAKE_TRIPPED,
		[GATE_SUSPENDED] = INTAKE_STOPPED, [GATE_UNKNOWN] = INTAKE_UNKNOWN,
		[GATE_BROKEN] = INTAKE_ERROR,      [GATE_DEFER] = INTAKE_DEFERRED,
		[GATE_HOLD] = INTAKE_QUEUED,       [GATE_FULL] = INTAKE_HELD_FULL,
		[GATE_BARRED] = INTAKE_BARRED,
	};
	struct gate_rules rules = config_gate_rules(intake->config);
	struct act act = {
		.account = intake->entry.account,
		.apppass = intake->apppass,
		.recipients = (uint32_t)intake->entry.nrecipients,
		.contact = intake->contacts,
		.ncontacts = intake->entry.nrecipients,
		.traps = intake->traps,
		.origin = intake->origin,
		.members = intake->members,
		.client = intake->entry.client,
		.subject = intake->subject,
		.example = intake->entry.recipients[intake->entry.nrecipients - 1].address,
		.now = now,
		.wall = wall_ms(),
	};
	enum gate_verdict verdict = gate_message(txn, &rules, &act, &intake->result);
	intake->verdict = verdicts[verdict];
	intake->entry.state = verdict == GATE_HOLD ? QUEUE_HELD : QUEUE_READY;
	if (verdict == GATE_DEFER) {
		intake->again_wall = act.wall + gate_when(txn, &rules, &act) - now;
	}
	if (verdict == GATE_SUSPENDED) {
		gate_login(txn, act.account, SPAN_NONE, &intake->stopped, NULL);
	}
	return intake->verdict == INTAKE_QUEUED;
}

/* The one transaction of DESIGN: judged, charged, queued, journaled; or all rows of it gone. */
static void end_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct intake *intake = of_job(job, end);
	struct queue_entry *entry = &intake->entry;
	uint32_t next;
	intake->verdict = intake->fault;
	if (intake->fault != INTAKE_QUEUED || !has_room(intake, txn) ||
	    !may_send(intake, txn, now)) {
		body_drop(txn, entry->id);
		return;
	}
	entry->accepted_at = now;
	entry->next_at = now + intake->result.dwell;
	entry->accepted_wall = wall_ms();
	struct journal_row row = journal_of_entry(entry);
	row.apppass = intake->apppass;
	queue_put(txn, entry);
	body_put(txn, entry->id, intake->next_row, buf_span(&intake->fill), &next);
	journal_put(txn, &row);
}

static void log_queued(const struct intake *intake)
{
	struct log_line line;
	const struct queue_entry *entry = &intake->entry;
	log_begin(&line, LOG_LEVEL_INFO, "queued");
	log_word(&line, "client_ip", entry->client);
	log_id(&line, entry->id);
	log_number(&line, "nrcpt", (int64_t)entry->nrecipients);
	if (intake->members) {
		log_number(&line, "members", (int64_t)intake->members);
	}
	log_number(&line, "size", (int64_t)entry->size);
	log_word(&line, "account", entry->account);
	if (intake->apppass.len) {
		log_word(&line, "apppass", intake->apppass);
	}
	log_text(&line, "from", entry->sender);
	if (entry->state == QUEUE_HELD) {
		log_word(&line, "held", SPAN_LIT("limit"));
	}
	if (intake->result.dwell) {
		log_number(&line, "dwell_ms", intake->result.dwell);
	}
	log_end(&line);
}

/* What is held stays, what dwells waits; a notice about it may be due. */
static void hand_over(struct intake *intake)
{
	if (intake->entry.state == QUEUE_HELD || intake->result.dwell) {
		delivery_tell(intake->worker->server->delivery, DELIVERY_RELEASED, 0);
		return;
	}
	struct buf none;
	buf_init(&none, 1);
	struct queue_due due = {
		.next_at = intake->entry.next_at,
		.id = intake->entry.id,
		.account = queue_account_hash(intake->entry.account),
	};
	bool whole = intake->next_row == 0 && intake->fill.len <= DELIVERY_BODY_MAX;
	delivery_hand_over(intake->worker->server->delivery, &due,
	                   whole ? &intake->fill : &none);
	if (intake->result.told) {
		delivery_tell(intake->worker->server->delivery, DELIVERY_RELEASED, 0);
	}
}

/* What goes with a verdict. */
static uint64_t number_of(const struct intake *intake, enum intake_verdict verdict)
{
	switch (verdict) {
	case INTAKE_TRIPPED:
		return intake->result.suspended.incident;
	case INTAKE_STOPPED:
		return intake->stopped;
	case INTAKE_DEFERRED:
		return (uint64_t)intake->again_wall;
	default:
		return intake->entry.id;
	}
}

static void end_done(struct commit_job *job, enum store_result result)
{
	struct intake *intake = of_job(job, end);
	enum intake_verdict verdict = intake->verdict;
	if (result != STORE_OK) {
		verdict = result == STORE_FULL ? INTAKE_FULL : INTAKE_ERROR;
	}
	if (verdict == INTAKE_QUEUED) {
		log_queued(intake);
		suspension_would(intake->entry.account, intake->result.would);
	}
	if (verdict == INTAKE_TRIPPED) {
		suspension_begun(intake->worker->server, intake->entry.account,
		                 intake->result.suspended.incident);
	}
	if (intake->owner) {
		intake->handler->end(intake->owner, verdict, number_of(intake, verdict));
	}
	if (verdict == INTAKE_QUEUED) {
		hand_over(intake);
		intake_free(intake);
	} else if (result != STORE_OK && intake->next_row) {
		/* The refusal itself was not committed: its rows are still there. */
		dispose(intake);
	} else {
		intake_free(intake);
	}
}

static void submit_end(struct intake *intake)
{
	intake->end.done = end_done;
	intake->end.port = intake->worker->port;
	intake->end.bytes = intake->fill.len + 512;
	commit_submit(intake->worker->server->commit, &intake->end);
}

/* For the notice, should there be one. The header is in the first block; of a long message it
 * is read before that goes. */
static void read_subject(struct intake *intake)
{
	struct buf raw, text;
	buf_init(&raw, SUBJECT_MAX);
	buf_init(&text, SUBJECT_MAX);
	if (mime_field(span_first(buf_span(&intake->fill), INTAKE_BLOCK), SPAN_LIT("Subject"),
	               &raw, NULL)) {
		mime_decode_words(buf_span(&raw), &text);
		arena_copy(&intake->arena, buf_span(&text), &intake->subject);
	}
	buf_done(&raw);
	buf_done(&text);
}

void intake_finish(struct intake *intake, const struct smtp_data_facts *facts)
{
	header_end(&intake->header, &intake->fill);
	if (intake->fill.failed && intake->fault == INTAKE_QUEUED) {
		intake->fault = INTAKE_ERROR;
	}
	if (!intake->staging && !intake->next_row) {
		read_subject(intake);
	}
	intake->entry.eight_bit = facts->eight_bit;
	intake->entry.size = (uint64_t)intake->staged_bytes + intake->fill.len;
	intake->end.run = end_run;
	if (!intake->staging) {
		submit_end(intake);
	}
}

static void drop_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)now;
	body_drop(txn, of_job(job, stage)->entry.id);
}

static void drop_done(struct commit_job *job, enum store_result result)
{
	/* When this fails the sweep at the next start finds them. */
	(void)result;
	intake_free(of_job(job, stage));
}

/* Deletes what was staged, then itself. No job is under way. */
static void dispose(struct intake *intake)
{
	if (!intake->next_row) {
		intake_free(intake);
		return;
	}
	intake->owner = NULL;
	intake->stage = (struct commit_job){
		.run = drop_run,
		.done = drop_done,
		.port = intake->worker->port,
		.bytes = 512,
	};
	commit_submit(intake->worker->server->commit, &intake->stage);
}

void intake_drop(struct intake *intake)
{
	if (!intake) {
		return;
	}
	assert(!intake->end.run);
	intake->owner = NULL;
	intake->dropped = true;
	buf_done(&intake->fill);
	if (!intake->staging) {
		dispose(intake);
	}
}

void intake_orphan(struct intake *intake)
{
	intake->owner = NULL;
}
