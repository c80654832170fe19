#include "store/queue.h"

#include <assert.h>

#include "store/body.h"
#include "store/keys.h"

#define PAIR_VERSION 1
#define PAIR_SHIFT   56

/* ---- rows of two numbers: due and usage ---- */

/* The version is the first byte, so the first number has seven. */
static void put_pair(struct store_txn *txn, enum store_table table, const struct key *key,
                     const uint64_t pair[2])
{
	struct key value = { .len = 0 };
	assert(pair[0] >> PAIR_SHIFT == 0);
	key_put_u64(&value, (uint64_t)PAIR_VERSION << PAIR_SHIFT | pair[0]);
	key_put_u64(&value, pair[1]);
	store_put(txn, table, key_span(key), key_span(&value));
}

static bool read_pair(struct span value, uint64_t pair_out[2])
{
	uint64_t first = key_get_u64(value, 0);
	if (value.len != 16 || first >> PAIR_SHIFT != PAIR_VERSION) {
		return false;
	}
	pair_out[0] = first & (((uint64_t)1 << PAIR_SHIFT) - 1);
	pair_out[1] = key_get_u64(value, 8);
	return true;
}

/* FNV-1a: tells accounts apart for fairness, where a collision costs nothing. */
uint32_t queue_account_hash(struct span account)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < account.len; i++) {
		hash = (hash ^ (unsigned char)account.ptr[i]) * 16777619u;
	}
	return hash;
}

/* ---- what a head says to the indices ---- */

static void due_of(const struct queue_head *head, uint64_t pair_out[2])
{
	pair_out[0] = queue_account_hash(head->account);
	pair_out[1] = (uint64_t)head->deferred_at;
}

static void put_due(struct store_txn *txn, uint64_t id, const struct queue_head *head)
{
	if (head->state == QUEUE_READY) {
		struct key key = key_time_id(head->next_at, id);
		uint64_t pair[2];
		due_of(head, pair);
		put_pair(txn, STORE_DUE, &key, pair);
	}
}

static void drop_due(struct store_txn *txn, uint64_t id, const struct queue_head *head)
{
	if (head->state == QUEUE_READY) {
		struct key key = key_time_id(head->next_at, id);
		store_del(txn, STORE_DUE, key_span(&key));
	}
}

/* ---- usage ---- */

enum store_result queue_read_usage(struct store_txn *txn, struct span prefix,
                                   struct queue_usage *usage_out)
{
	struct span value;
	uint64_t pair[2] = { 0, 0 };
	enum store_result result = store_get(txn, STORE_USAGE, prefix, &value);
	if (result == STORE_OK && !read_pair(value, pair)) {
		return STORE_DAMAGED;
	}
	if (result != STORE_OK && result != STORE_NOT_FOUND) {
		return result;
	}
	*usage_out = (struct queue_usage){ .entries = pair[0], .bytes = pair[1] };
	return STORE_OK;
}

enum store_result queue_set_usage(struct store_txn *txn, struct span prefix,
                                  const struct queue_usage *usage)
{
	if (usage->entries == 0 && usage->bytes == 0) {
		store_del(txn, STORE_USAGE, prefix);
	} else {
		struct key key = { .len = prefix.len };
		assert(prefix.len <= sizeof key.bytes);
		memcpy(key.bytes, prefix.ptr, prefix.len);
		put_pair(txn, STORE_USAGE, &key,
		         (const uint64_t[2]){ usage->entries, usage->bytes });
	}
	return store_txn_result(txn);
}

enum store_result queue_usage(struct store_txn *txn, struct span account,
                              struct queue_usage *usage_out)
{
	struct key prefix = key_account_prefix(account);
	return queue_read_usage(txn, key_span(&prefix), usage_out);
}

enum store_result queue_total(struct store_txn *txn, struct queue_usage *total_out)
{
	struct store_walk walk;
	struct span key, value;
	struct queue_usage total = { 0 };
	store_walk_begin(&walk, txn, STORE_USAGE, SPAN_NONE, SPAN_NONE);
	while (store_walk_next(&walk, &key, &value)) {
		uint64_t pair[2];
		if (read_pair(value, pair)) {
			total.entries += pair[0];
			total.bytes += pair[1];
		}
	}
	store_walk_end(&walk);
	if (store_txn_result(txn) == STORE_OK) {
		*total_out = total;
	}
	return store_txn_result(txn);
}

/* One that can not be read starts again at nothing: the next start counts it anew. */
static void count_in(struct store_txn *txn, const struct key *prefix, uint64_t size)
{
	struct queue_usage usage = { 0 };
	queue_read_usage(txn, key_span(prefix), &usage);
	usage.entries++;
	usage.bytes += size;
	queue_set_usage(txn, key_span(prefix), &usage);
}

static void count_out(struct store_txn *txn, const struct key *prefix, uint64_t size)
{
	struct queue_usage usage = { 0 };
	queue_read_usage(txn, key_span(prefix), &usage);
	usage.entries -= usage.entries > 0;
	usage.bytes -= usage.bytes < size ? usage.bytes : size;
	queue_set_usage(txn, key_span(prefix), &usage);
}

/* ---- entries ---- */

static void put_row(struct store_txn *txn, const struct queue_entry *entry)
{
	struct buf row;
	struct key key = key_id(entry->id);
	assert(entry->account.len <= KEY_ACCOUNT_MAX);
	assert(entry->kind == QUEUE_MAIL || entry->size == 0);
	buf_init(&row, QUEUE_ENTRY_MAX);
	if (queue_pack(entry, &row)) {
		store_put(txn, STORE_QUEUE, key_span(&key), buf_span(&row));
	} else {
		store_txn_fail(txn, STORE_FAILED);
	}
	buf_done(&row);
}

enum store_result queue_put(struct store_txn *txn, const struct queue_entry *entry)
{
	struct queue_head head = queue_head_of(entry);
	struct key owner = key_owner(entry->account, entry->id);
	struct key prefix = key_account_prefix(entry->account);
	put_row(txn, entry);
	put_due(txn, entry->id, &head);
	store_put(txn, STORE_OWNER, key_span(&owner), SPAN_NONE);
	count_in(txn, &prefix, entry->size);
	return store_txn_result(txn);
}

static enum store_result get_row(struct store_txn *txn, uint64_t id, struct span *row_out)
{
	struct key key = key_id(id);
	return store_get(txn, STORE_QUEUE, key_span(&key), row_out);
}

static enum store_result get_head(struct store_txn *txn, uint64_t id, struct span *row_out,
                                  struct queue_head *head_out)
{
	enum store_result result = get_row(txn, id, row_out);
	if (result == STORE_OK && !queue_read_head(*row_out, head_out)) {
		return STORE_DAMAGED;
	}
	return result;
}

enum store_result queue_get(struct store_txn *txn, uint64_t id, struct arena *arena,
                            struct queue_entry *entry_out)
{
	struct span row;
	struct queue_entry entry;
	enum store_result result = get_row(txn, id, &row);
	if (result == STORE_OK) {
		result = queue_unpack_row(row, arena, &entry);
	}
	if (result == STORE_OK && entry.id != id) {
		result = STORE_DAMAGED;
	}
	if (result == STORE_OK) {
		*entry_out = entry;
	}
	return result;
}

static enum store_result drop_row(struct store_txn *txn, uint64_t id)
{
	struct key key = key_id(id);
	store_del(txn, STORE_QUEUE, key_span(&key));
	return body_drop(txn, id);
}

/* The head's account lies in the row that goes: the keys are made of it first. */
static enum store_result drop_entry(struct store_txn *txn, uint64_t id,
                                    const struct queue_head *head)
{
	struct key owner = key_owner(head->account, id);
	struct key prefix = key_account_prefix(head->account);
	drop_due(txn, id, head);
	store_del(txn, STORE_OWNER, key_span(&owner));
	count_out(txn, &prefix, head->size);
	return drop_row(txn, id);
}

static bool is_over(const struct queue_entry *entry)
{
	for (size_t i = 0; i < entry->nrecipients; i++) {
		enum queue_recipient_state state = entry->recipients[i].state;
		if (state == RECIPIENT_PENDING || state == RECIPIENT_FAILED) {
			return false;
		}
	}
	return true;
}

enum store_result queue_update(struct store_txn *txn, const struct queue_entry *entry,
                               bool *ended_out)
{
	struct span row;
	struct queue_head was;
	struct queue_head is = queue_head_of(entry);
	enum store_result result = get_head(txn, entry->id, &row, &was);
	if (result != STORE_OK) {
		return result;
	}
	bool ended = is_over(entry);
	if (ended) {
		result = drop_entry(txn, entry->id, &was);
	} else {
		assert(span_eq(was.account, is.account) && was.size == is.size);
		drop_due(txn, entry->id, &was);
		put_row(txn, entry);
		put_due(txn, entry->id, &is);
		result = store_txn_result(txn);
	}
	if (result == STORE_OK) {
		*ended_out = ended;
	}
	return result;
}

enum store_result queue_remove(struct store_txn *txn, uint64_t id)
{
	struct span row;
	struct queue_head head;
	enum store_result result = get_head(txn, id, &row, &head);
	if (result == STORE_DAMAGED) {
		return drop_row(txn, id);
	}
	return result == STORE_OK ? drop_entry(txn, id, &head) : result;
}

/* ---- changes of state ---- */

/* Gives `row` the state of `to`. The row is of the map and ends with the first write, and with
 * it the accounts of its heads: all is taken from it before. */
static enum store_result set_state(struct store_txn *txn, uint64_t id, struct span row,
                                   const struct queue_head *to)
{
	struct queue_head was;
	struct queue_head is;
	struct key key = key_id(id);
	struct buf copy;
	buf_init(&copy, QUEUE_ENTRY_MAX);
	if (queue_pack_state(row, to, &copy) && queue_read_head(row, &was) &&
	    queue_read_head(buf_span(&copy), &is)) {
		drop_due(txn, id, &was);
		store_put(txn, STORE_QUEUE, key_span(&key), buf_span(&copy));
		put_due(txn, id, &is);
	} else {
		store_txn_fail(txn, STORE_FAILED);
	}
	buf_done(&copy);
	return store_txn_result(txn);
}

static enum store_result hold(struct store_txn *txn, uint64_t id, struct span row,
                              struct queue_head *head, uint64_t incident)
{
	head->state = QUEUE_HELD;
	head->incident = incident;
	return set_state(txn, id, row, head);
}

static enum store_result make_due(struct store_txn *txn, uint64_t id, struct span row,
                                  struct queue_head *head, int64_t now)
{
	head->state = QUEUE_READY;
	head->next_at = now;
	return set_state(txn, id, row, head);
}

enum store_result queue_hold(struct store_txn *txn, uint64_t id)
{
	struct span row;
	struct queue_head head;
	enum store_result result = get_head(txn, id, &row, &head);
	if (result != STORE_OK) {
		return result;
	}
	/* A notice keeps the incident that it tells of. */
	uint64_t incident = head.kind == QUEUE_MAIL ? 0 : head.incident;
	if (head.state == QUEUE_HELD && head.incident == incident) {
		return STORE_OK;
	}
	return hold(txn, id, row, &head, incident);
}

/* Mail that waits although nothing was tried: it dwells, for the guard's sake. */
static bool dwells(const struct queue_head *head)
{
	return head->kind == QUEUE_MAIL && !head->deferred_at;
}

enum store_result queue_release(struct store_txn *txn, uint64_t id, int64_t now)
{
	struct span row;
	struct queue_head head;
	enum store_result result = get_head(txn, id, &row, &head);
	if (result != STORE_OK ||
	    (head.state == QUEUE_READY && (head.next_at <= now || !dwells(&head)))) {
		return result;
	}
	return make_due(txn, id, row, &head, now);
}

enum store_result queue_flush(struct store_txn *txn, uint64_t id, int64_t now)
{
	struct span row;
	struct queue_head head;
	enum store_result result = get_head(txn, id, &row, &head);
	if (result != STORE_OK || head.state == QUEUE_HELD || head.next_at <= now ||
	    dwells(&head)) {
		return result;
	}
	return make_due(txn, id, row, &head, now);
}

/* ---- the due index ---- */

void queue_due_begin(struct queue_due_walk *walk, struct store_txn *txn)
{
	store_walk_begin(&walk->walk, txn, STORE_DUE, SPAN_NONE, SPAN_NONE);
}

bool queue_due_next(struct queue_due_walk *walk, struct queue_due *due_out)
{
	struct span key;
	struct span value;
	uint64_t pair[2];
	while (store_walk_next(&walk->walk, &key, &value)) {
		/* One that makes no sense is passed over: the next start mends it. */
		if (key.len == 16 && read_pair(value, pair)) {
			*due_out = (struct queue_due){
				.next_at = (int64_t)key_get_u64(key, 0),
				.id = key_get_u64(key, 8),
				.account = (uint32_t)pair[0],
				.deferred_at = (int64_t)pair[1],
			};
			return true;
		}
	}
	return false;
}

void queue_due_end(struct queue_due_walk *walk)
{
	store_walk_end(&walk->walk);
}

enum store_result queue_mend(struct store_txn *txn, uint64_t id, const struct queue_head *head,
                             uint64_t *mended)
{
	struct key due = key_time_id(head->next_at, id);
	struct key owner = key_owner(head->account, id);
	struct span value;
	uint64_t want[2];
	uint64_t have[2];
	due_of(head, want);
	if (head->state == QUEUE_READY &&
	    (store_get(txn, STORE_DUE, key_span(&due), &value) != STORE_OK ||
	     !read_pair(value, have) || have[0] != want[0] || have[1] != want[1])) {
		put_pair(txn, STORE_DUE, &due, want);
		++*mended;
	}
	if (store_get(txn, STORE_OWNER, key_span(&owner), &value) == STORE_NOT_FOUND) {
		store_put(txn, STORE_OWNER, key_span(&owner), SPAN_NONE);
		++*mended;
	}
	return store_txn_result(txn);
}

bool queue_dwells(const struct queue_entry *entry, int64_t now)
{
	const struct queue_head head = queue_head_of(entry);
	return head.state == QUEUE_READY && dwells(&head) && entry->attempts == 0 &&
	       head.next_at > now;
}

/* Only what is due later is walked over; its rows say whether it was deferred. */
enum store_result queue_count_dwelling(struct store_txn *txn, int64_t now, uint64_t *count_out)
{
	struct key from = key_time_id(now + 1, 0);
	struct queue_due_walk walk;
	struct queue_due due;
	uint64_t count = 0;
	store_walk_begin(&walk.walk, txn, STORE_DUE, key_span(&from), SPAN_NONE);
	while (queue_due_next(&walk, &due)) {
		count += due.deferred_at == 0;
	}
	queue_due_end(&walk);
	if (store_txn_result(txn) == STORE_OK) {
		*count_out = count;
	}
	return store_txn_result(txn);
}

/* ---- lists ---- */

enum store_result queue_list_next(struct store_txn *txn, struct span account, uint64_t after,
                                  uint64_t *id_out)
{
	struct key prefix = { .len = 0 };
	struct store_walk walk;
	struct span key;
	struct span value;
	bool found = false;
	if (after == UINT64_MAX) {
		return STORE_NOT_FOUND;
	}
	if (account.len) {
		prefix = key_account_prefix(account);
	}
	struct key from = prefix;
	key_put_u64(&from, after + 1);
	store_walk_begin(&walk, txn, account.len ? STORE_OWNER : STORE_QUEUE, key_span(&from),
	                 key_span(&prefix));
	while (!found && store_walk_next(&walk, &key, &value)) {
		found = key.len == prefix.len + 8;
	}
	store_walk_end(&walk);
	if (found) {
		*id_out = key_get_u64(key, prefix.len);
		return STORE_OK;
	}
	enum store_result result = store_txn_result(txn);
	return result == STORE_OK ? STORE_NOT_FOUND : result;
}

/* ---- sweeps ---- */

static bool is_swept(const struct queue_sweeping *sweeping, const struct queue_head *head)
{
	bool by_incident = head->state == QUEUE_HELD && head->incident == sweeping->incident;
	return head->kind == QUEUE_MAIL && span_eq(head->account, sweeping->account) &&
	       (sweeping->what == QUEUE_SWEEP_HOLD ? head->state == QUEUE_READY : by_incident);
}

static enum store_result sweep_entry(struct store_txn *txn, struct queue_sweeping *sweeping,
                                     uint64_t id, int64_t now)
{
	struct span row;
	struct queue_head head;
	if (get_head(txn, id, &row, &head) != STORE_OK || !is_swept(sweeping, &head)) {
		return store_txn_result(txn);
	}
	sweeping->changed++;
	sweeping->bytes += head.size;
	switch (sweeping->what) {
	case QUEUE_SWEEP_HOLD:
		return hold(txn, id, row, &head, sweeping->incident);
	case QUEUE_SWEEP_RELEASE:
		return make_due(txn, id, row, &head, now);
	case QUEUE_SWEEP_DISCARD:
		break;
	}
	return drop_entry(txn, id, &head);
}

enum store_result queue_sweep(struct store_txn *txn, struct queue_sweeping *sweeping,
                              size_t most, int64_t now, bool *more_out)
{
	uint64_t id;
	/* Nothing is nobody's account, and 0 is what is held by hand. */
	assert(sweeping->account.len && sweeping->incident);
	enum store_result result = STORE_OK;
	for (size_t n = 0; result == STORE_OK && n < most; n++) {
		result = queue_list_next(txn, sweeping->account, sweeping->after, &id);
		if (result == STORE_OK) {
			sweeping->after = id;
			result = sweep_entry(txn, sweeping, id, now);
		}
	}
	if (result == STORE_OK) {
		result = queue_list_next(txn, sweeping->account, sweeping->after, &id);
	}
	if (result == STORE_OK || result == STORE_NOT_FOUND) {
		*more_out = result == STORE_OK;
		result = STORE_OK;
	}
	return result;
}

/* ---- ids as people see them ---- */

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void queue_id_write(uint64_t id, char text_out[QUEUE_ID_TEXT])
{
	char text[QUEUE_ID_TEXT];
	size_t at = QUEUE_ID_TEXT - 1;
	text[at] = '\0';
	do {
		text[--at] = digits[id & 31];
		id >>= 5;
	} while (id);
	memcpy(text_out, text + at, QUEUE_ID_TEXT - at);
}

bool queue_id_read(struct span text, uint64_t *id_out)
{
	uint64_t id = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		char lower = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		size_t digit = span_find(SPAN_LIT(digits), lower);
		if (digit >= 32 || id >> 59) {
			return false;
		}
		id = id << 5 | digit;
	}
	if (text.len == 0) {
		return false;
	}
	*id_out = id;
	return true;
}
