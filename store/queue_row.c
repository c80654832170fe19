/* Entries as bytes. A row is a version, the head, then the rest. */
#include "store/queue.h"

#include "store/keys.h"

#define ROW_VERSION  2
#define ROW_SLACK    128 /* more than all numbers and lengths of a row take */
#define ANSWER_SLACK 24  /* the same of a recipient */

/* A recipient's first byte: its state, and where its answer is. */
#define STATE_MASK  3
#define ANSWER_SAME 4 /* the one before has the same: 100 recipients share one answer */
#define ANSWER_NONE 8

static bool has_answer(const struct queue_recipient *r)
{
	return r->code || r->status.len || r->answer.len;
}

/* Of recipient `i`: where its answer goes. */
static uint8_t answer_place(const struct queue_recipient *recipients, size_t i)
{
	const struct queue_recipient *r = &recipients[i];
	if (!has_answer(r)) {
		return ANSWER_NONE;
	}
	bool same = i > 0 && r[-1].code == r->code && span_eq(r[-1].status, r->status) &&
	            span_eq(r[-1].answer, r->answer);
	return same ? ANSWER_SAME : 0;
}

size_t queue_recipients_bound(const struct queue_recipient *recipients, size_t n)
{
	size_t bound = 10;
	for (size_t i = 0; i < n; i++) {
		const struct queue_recipient *r = &recipients[i];
		bound += ANSWER_SLACK + r->address.len;
		bound += answer_place(recipients, i) ? 0 : r->status.len + r->answer.len;
	}
	return bound;
}

void queue_pack_recipients(const struct queue_recipient *recipients, size_t n, struct buf *out)
{
	pack_varint(out, n);
	for (size_t i = 0; i < n; i++) {
		const struct queue_recipient *r = &recipients[i];
		uint8_t place = answer_place(recipients, i);
		pack_u8(out, (uint8_t)(r->state | place));
		pack_span(out, r->address);
		if (!place) {
			pack_varint(out, r->code);
			pack_span(out, r->status);
			pack_span(out, r->answer);
		}
	}
}

static void unpack_answer(struct unpacker *in, uint8_t place, struct queue_recipient *r,
                          bool first)
{
	if (place == ANSWER_SAME && !first) {
		r->code = r[-1].code;
		r->status = r[-1].status;
		r->answer = r[-1].answer;
	} else if (place == 0) {
		r->code = (unsigned)unpack_varint(in);
		r->status = unpack_span(in);
		r->answer = unpack_span(in);
	} else if (place != ANSWER_NONE) {
		in->bad = true;
	}
}

bool queue_unpack_recipients(struct unpacker *in, struct arena *arena,
                             struct queue_recipient **recipients_out, size_t *n_out)
{
	uint64_t n = unpack_varint(in);
	/* Each takes two bytes at least: a damaged count asks for no more than that. */
	if (in->bad || n > in->rest.len / 2) {
		in->bad = true;
		return false;
	}
	struct queue_recipient *recipients = arena_alloc(arena, (size_t)n * sizeof *recipients);
	if (!recipients) {
		return false;
	}
	for (size_t i = 0; i < n && !in->bad; i++) {
		struct queue_recipient *r = &recipients[i];
		uint8_t first = unpack_u8(in);
		r->state = (enum queue_recipient_state)(first & STATE_MASK);
		r->address = unpack_span(in);
		unpack_answer(in, first & (uint8_t)~STATE_MASK, r, i == 0);
	}
	if (in->bad) {
		return false;
	}
	*recipients_out = recipients;
	*n_out = (size_t)n;
	return true;
}

/* What a change of state rewrites. Mail that is READY is held by nobody, whatever it says. */
static void pack_state(struct buf *out, const struct queue_head *head)
{
	bool has_incident = head->kind != QUEUE_MAIL || head->state == QUEUE_HELD;
	pack_u8(out, ROW_VERSION);
	pack_u8(out, (uint8_t)head->state);
	pack_u8(out, (uint8_t)head->kind);
	pack_i64(out, head->next_at);
	pack_varint(out, has_incident ? head->incident : 0);
}

static void unpack_state(struct unpacker *in, struct queue_head *head)
{
	uint8_t version = unpack_u8(in);
	uint8_t state = unpack_u8(in);
	uint8_t kind = unpack_u8(in);
	head->next_at = unpack_i64(in);
	head->incident = unpack_varint(in);
	in->bad |= version != ROW_VERSION || state > QUEUE_HELD || kind >= QUEUE_KINDS;
	head->state = in->bad ? QUEUE_HELD : (enum queue_state)state;
	head->kind = in->bad ? QUEUE_MAIL : (enum queue_kind)kind;
}

struct queue_head queue_head_of(const struct queue_entry *entry)
{
	return (struct queue_head){
		.state = entry->state,
		.kind = entry->kind,
		.next_at = entry->next_at,
		.incident = entry->incident,
		.deferred_at = entry->deferred_at,
		.size = entry->size,
		.account = entry->account,
	};
}

bool queue_pack(const struct queue_entry *entry, struct buf *out)
{
	struct queue_head head = queue_head_of(entry);
	buf_reserve(out, ROW_SLACK + entry->account.len + entry->sender.len +
	                     entry->client.len + entry->note.len +
	                     queue_recipients_bound(entry->recipients, entry->nrecipients));
	pack_state(out, &head);
	pack_i64(out, entry->deferred_at);
	pack_u64(out, entry->size);
	pack_span(out, entry->account);
	pack_u64(out, entry->id);
	pack_span(out, entry->sender);
	pack_span(out, entry->client);
	pack_i64(out, entry->accepted_at);
	pack_i64(out, entry->accepted_wall);
	pack_i64(out, entry->report_at);
	pack_i64(out, entry->failed_at);
	pack_varint(out, entry->attempts);
	pack_u8(out, entry->eight_bit);
	if (entry->kind != QUEUE_MAIL) {
		pack_span(out, entry->note);
	}
	queue_pack_recipients(entry->recipients, entry->nrecipients, out);
	return !out->failed;
}

bool queue_pack_state(struct span row, const struct queue_head *head, struct buf *out)
{
	struct unpacker in = unpack_from(row);
	struct queue_head was;
	unpack_state(&in, &was);
	buf_reserve(out, ROW_SLACK + row.len);
	pack_state(out, head);
	buf_put(out, in.rest);
	return !in.bad && !out->failed;
}

static bool unpack_head(struct unpacker *in, struct queue_head *head)
{
	unpack_state(in, head);
	head->deferred_at = unpack_i64(in);
	head->size = unpack_u64(in);
	head->account = unpack_span(in);
	in->bad |= head->account.len > KEY_ACCOUNT_MAX ||
	           span_find(head->account, '\0') != head->account.len;
	return !in->bad;
}

bool queue_read_head(struct span row, struct queue_head *head_out)
{
	struct unpacker in = unpack_from(row);
	struct queue_head head;
	if (!unpack_head(&in, &head)) {
		return false;
	}
	*head_out = head;
	return true;
}

static void unpack_tail(struct unpacker *in, struct queue_entry *entry)
{
	entry->id = unpack_u64(in);
	entry->sender = unpack_span(in);
	entry->client = unpack_span(in);
	entry->accepted_at = unpack_i64(in);
	entry->accepted_wall = unpack_i64(in);
	entry->report_at = unpack_i64(in);
	entry->failed_at = unpack_i64(in);
	entry->attempts = (uint32_t)unpack_varint(in);
	entry->eight_bit = unpack_u8(in) != 0;
	if (entry->kind != QUEUE_MAIL) {
		entry->note = unpack_span(in);
		in->bad |= entry->size != 0; /* a notice has no body */
	}
}

/* One copy of the row holds all bytes of the entry: its spans point into that. */
enum store_result queue_unpack_row(struct span row, struct arena *arena,
                                   struct queue_entry *entry_out)
{
	struct span copy;
	if (!arena_copy(arena, row, &copy)) {
		return STORE_FAILED;
	}
	struct unpacker in = unpack_from(copy);
	struct queue_head head;
	if (!unpack_head(&in, &head)) {
		return STORE_DAMAGED;
	}
	struct queue_entry entry = {
		.state = head.state,
		.kind = head.kind,
		.next_at = head.next_at,
		.incident = head.incident,
		.deferred_at = head.deferred_at,
		.size = head.size,
		.account = head.account,
	};
	unpack_tail(&in, &entry);
	if (!queue_unpack_recipients(&in, arena, &entry.recipients, &entry.nrecipients)) {
		return in.bad ? STORE_DAMAGED : STORE_FAILED;
	}
	if (!unpack_ok(&in)) {
		return STORE_DAMAGED;
	}
	*entry_out = entry;
	return STORE_OK;
}

bool queue_unpack(struct span row, struct arena *arena, struct queue_entry *entry_out)
{
	return queue_unpack_row(row, arena, entry_out) == STORE_OK;
}
