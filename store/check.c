#include "store/check.h"

#include "store/body.h"
#include "store/keys.h"
#include "store/queue.h"

#define PORTION     2048 /* rows looked at in one transaction */
#define ORPHAN_WORK 64   /* rows that a deleted body counts for */
#define KEY_MAX     511  /* LMDB's */
#define ARENA_MAX   (4 * QUEUE_ENTRY_MAX)

struct sweep {
	struct store_txn *txn;
	struct check_report *report;
	size_t work;            /* in this portion */
	bool changed;           /* by this portion: it is to be committed */
	char from[KEY_MAX + 1]; /* where the pass goes on */
	size_t from_len;
	struct key account; /* whose entries are being added up; len 0: nobody's yet */
	struct queue_usage usage;
};

/* The next row of the pass. Its key is a copy; its value is the map's. */
static bool next_row(struct sweep *sweep, enum store_table table, struct span *key_out,
                     struct span *value_out)
{
	struct store_walk walk;
	struct span key;
	store_walk_begin(&walk, sweep->txn, table, span_of(sweep->from, sweep->from_len),
	                 SPAN_NONE);
	bool found = store_walk_next(&walk, &key, value_out) && key.len < KEY_MAX;
	store_walk_end(&walk);
	if (found) {
		/* The first key behind a key is the same with a NUL. */
		memcpy(sweep->from, key.ptr, key.len);
		sweep->from[key.len] = '\0';
		sweep->from_len = key.len + 1;
		*key_out = span_of(sweep->from, key.len);
	}
	return found;
}

static void go_on_from(struct sweep *sweep, const struct key *key)
{
	memcpy(sweep->from, key->bytes, key->len);
	sweep->from_len = key->len;
}

static void mended(struct sweep *sweep)
{
	sweep->report->mended++;
	sweep->changed = true;
}

static void drop_row(struct sweep *sweep, enum store_table table, struct span key)
{
	store_del(sweep->txn, table, key);
	mended(sweep);
}

/* NOT_FOUND, or DAMAGED when even the head makes no sense. */
static enum store_result find_entry(struct sweep *sweep, uint64_t id, struct queue_head *head)
{
	struct key key = key_id(id);
	struct span row;
	enum store_result result = store_get(sweep->txn, STORE_QUEUE, key_span(&key), &row);
	if (result == STORE_OK && !queue_read_head(row, head)) {
		return STORE_DAMAGED;
	}
	return result;
}

/* ---- bodies: each has an entry ---- */

static bool check_body(struct sweep *sweep)
{
	struct span key;
	struct span bytes;
	struct queue_head head;
	if (!next_row(sweep, STORE_BODY, &key, &bytes)) {
		return false;
	}
	uint64_t id = key_get_u64(key, 0);
	if (key.len < 8 || id == UINT64_MAX) {
		drop_row(sweep, STORE_BODY, key);
		return true;
	}
	struct key behind = key_id(id + 1);
	if (find_entry(sweep, id, &head) == STORE_NOT_FOUND) {
		body_drop(sweep->txn, id);
		sweep->report->orphan_bodies++;
		sweep->work += ORPHAN_WORK;
		sweep->changed = true;
	}
	go_on_from(sweep, &behind);
	return true;
}

/* ---- entries: they can be read, their body is whole, the indices know them ---- */

/* All rows but the last are full: where that one is, and how long, says it all. */
static bool is_whole(struct sweep *sweep, uint64_t id, uint64_t size)
{
	struct span bytes;
	uint64_t rows = (size + BODY_ROW - 1) / BODY_ROW;
	if (size > UINT64_MAX - BODY_ROW || rows > UINT32_MAX) {
		return false;
	}
	uint64_t last = size - (rows ? rows - 1 : 0) * BODY_ROW;
	return body_get(sweep->txn, id, (uint32_t)rows, &bytes) == STORE_NOT_FOUND &&
	       (rows == 0 ||
	        (body_get(sweep->txn, id, (uint32_t)rows - 1, &bytes) == STORE_OK &&
	         bytes.len == last));
}

static bool can_be_sent(struct sweep *sweep, uint64_t id)
{
	struct arena arena;
	struct queue_entry entry;
	arena_init(&arena, ARENA_MAX);
	enum store_result result = queue_get(sweep->txn, id, &arena, &entry);
	bool whole = result == STORE_OK && is_whole(sweep, id, entry.size);
	arena_done(&arena);
	if (result == STORE_FAILED) {
		store_txn_fail(sweep->txn, result);
	}
	return whole;
}

static bool check_entry(struct sweep *sweep)
{
	struct check_report *report = sweep->report;
	struct span key;
	struct span row;
	struct queue_head head;
	if (!next_row(sweep, STORE_QUEUE, &key, &row)) {
		return false;
	}
	uint64_t id = key_get_u64(key, 0);
	bool sound = key.len == 8 && can_be_sent(sweep, id);
	report->entries++;
	report->damaged += !sound;
	if (!queue_read_head(row, &head) || key.len != 8) {
		report->held++;
		return true;
	}
	if (!sound && head.state == QUEUE_READY) {
		queue_hold(sweep->txn, id);
		sweep->changed = true;
		if (find_entry(sweep, id, &head) != STORE_OK) {
			return false;
		}
	}
	uint64_t *count = head.state == QUEUE_READY ? &report->ready : &report->held;
	++*count;
	uint64_t before = report->mended;
	queue_mend(sweep->txn, id, &head, &report->mended);
	sweep->changed |= report->mended != before;
	return true;
}

/* ---- due rows: each is of a READY entry, at its time ---- */

static bool check_due(struct sweep *sweep)
{
	struct span key;
	struct span value;
	struct queue_head head;
	if (!next_row(sweep, STORE_DUE, &key, &value)) {
		return false;
	}
	uint64_t id = key_get_u64(key, 8);
	if (find_entry(sweep, id, &head) == STORE_OK && head.state == QUEUE_READY) {
		struct key right = key_time_id(head.next_at, id);
		if (span_eq(key, key_span(&right))) {
			return true;
		}
	}
	drop_row(sweep, STORE_DUE, key);
	return true;
}

/* ---- owner rows: each is of an entry of that account; they are what usage adds up ---- */

static void settle_usage(struct sweep *sweep)
{
	struct span prefix = key_span(&sweep->account);
	struct queue_usage stored = { 0 };
	if (prefix.len == 0) {
		return;
	}
	enum store_result result = queue_read_usage(sweep->txn, prefix, &stored);
	if (result == STORE_DAMAGED || stored.entries != sweep->usage.entries ||
	    stored.bytes != sweep->usage.bytes) {
		queue_set_usage(sweep->txn, prefix, &sweep->usage);
		mended(sweep);
	}
	sweep->account.len = 0;
}

static void add_up(struct sweep *sweep, struct span prefix, const struct queue_head *head)
{
	if (!span_eq(prefix, key_span(&sweep->account))) {
		settle_usage(sweep);
		memcpy(sweep->account.bytes, prefix.ptr, prefix.len);
		sweep->account.len = prefix.len;
		sweep->usage = (struct queue_usage){ 0 };
	}
	if (head) {
		sweep->usage.entries++;
		sweep->usage.bytes += head->size;
	}
}

static bool check_owner(struct sweep *sweep)
{
	struct span key;
	struct span value;
	struct queue_head head;
	if (!next_row(sweep, STORE_OWNER, &key, &value)) {
		settle_usage(sweep);
		return false;
	}
	if (key.len < 9 || key.len > sizeof sweep->account.bytes) {
		drop_row(sweep, STORE_OWNER, key);
		return true;
	}
	uint64_t id = key_get_u64(key, key.len - 8);
	enum store_result result = find_entry(sweep, id, &head);
	if (result == STORE_DAMAGED) {
		/* Nobody can say whose it is: it stays listed, to be discarded. */
		add_up(sweep, span_first(key, key.len - 8), NULL);
		return true;
	}
	struct key right = result == STORE_OK ? key_owner(head.account, id) : (struct key){ 0 };
	if (span_eq(key, key_span(&right))) {
		add_up(sweep, span_first(key, key.len - 8), &head);
	} else {
		drop_row(sweep, STORE_OWNER, key);
	}
	return true;
}

/* ---- usage rows: each is of an account that has entries ---- */

static bool check_usage(struct sweep *sweep)
{
	struct span prefix;
	struct span value;
	struct span key;
	struct store_walk walk;
	if (!next_row(sweep, STORE_USAGE, &prefix, &value)) {
		return false;
	}
	store_walk_begin(&walk, sweep->txn, STORE_OWNER, SPAN_NONE, prefix);
	bool owns = prefix.ptr[prefix.len - 1] == '\0' && store_walk_next(&walk, &key, &value);
	store_walk_end(&walk);
	if (!owns) {
		drop_row(sweep, STORE_USAGE, prefix);
	}
	return true;
}

/* ---- all of it ---- */

/* In this order: each relies on what those before have put right. False: no row is left. */
static bool (*const passes[])(struct sweep *sweep) = {
	check_body, check_entry, check_due, check_owner, check_usage,
};

static enum store_result run_portion(struct sweep *sweep, struct store *store, size_t pass,
                                     bool *more_out, struct error *error)
{
	sweep->txn = store_begin_write(store, error);
	if (!sweep->txn) {
		return STORE_FAILED;
	}
	bool more = true;
	sweep->changed = false;
	for (sweep->work = 0; more && sweep->work < PORTION; sweep->work++) {
		more = passes[pass](sweep) && store_txn_result(sweep->txn) == STORE_OK;
	}
	*more_out = more;
	/* A failed one goes to commit for its sentence. */
	if (sweep->changed || store_txn_result(sweep->txn) != STORE_OK) {
		return store_commit(sweep->txn, error);
	}
	store_abort(sweep->txn);
	return STORE_OK;
}

enum store_result check_run(struct store *store, struct check_report *report_out,
                            struct error *error)
{
	struct check_report report = { 0 };
	struct sweep sweep = { .report = &report };
	for (size_t pass = 0; pass < COUNT(passes); pass++) {
		bool more = true;
		sweep.from_len = 0;
		while (more) {
			enum store_result result = run_portion(&sweep, store, pass, &more,
			                                       error);
			if (result != STORE_OK) {
				return result;
			}
		}
	}
	*report_out = report;
	return STORE_OK;
}
