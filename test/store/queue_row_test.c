#include "queue_help.h"

#define ANSWER "no such user here, and this is a long answer to have been given a hundred times"

static void fill_recipients(struct queue_recipient *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		r[i] = (struct queue_recipient){
			.address = SPAN_LIT("someone@example.net"),
			.state = RECIPIENT_FAILED,
			.code = 550,
			.status = SPAN_LIT("5.1.1"),
			.answer = SPAN_LIT(ANSWER),
		};
	}
}

static void round_trip(void **state)
{
	static struct queue_recipient many[500];
	fill_recipients(many, COUNT(many));
	struct queue_entry table[] = {
		mixed_entry(),
		{ .id = 1 },
		{ .recipients = mixed, .nrecipients = 1, .accepted_wall = INT64_MIN },
		{ .size = 1, .recipients = many, .nrecipients = COUNT(many) },
		{ .state = QUEUE_HELD, .incident = UINT64_MAX, .size = 9 },
		{ .state = QUEUE_HELD },
		notice_entry(QUEUE_NOTICE_SUSPENDED),
		notice_entry(QUEUE_NOTICE_ENDED),
		notice_entry(QUEUE_NOTICE_IGNORED),
		notice_entry(QUEUE_NOTICE_EVENT),
		{ .kind = QUEUE_NOTICE_SUSPENDED, .state = QUEUE_HELD, .incident = 3 },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct buf row;
		struct arena arena;
		struct queue_entry entry;
		buf_init(&row, QUEUE_ENTRY_MAX);
		arena_init(&arena, QUEUE_ENTRY_MAX);
		assert_true(queue_pack(&table[i], &row));
		assert_true(queue_unpack(buf_span(&row), &arena, &entry));
		/* It lives in the arena alone. */
		memset(row.ptr, 0xff, row.len);
		buf_done(&row);
		assert_entry(&entry, &table[i]);
		arena_done(&arena);
	}
}

/* Mail that nobody holds pays two bytes for what only others have, and says none of it. */
static void ready_mail_is_small(void **state)
{
	enum { BEFORE = 1 + 1 + 8 + 8 + 8 + 6 + 8 + 2 + 2 + 8 + 8 + 8 + 8 + 1 + 1 + 1 };
	struct queue_entry entry = {
		.id = UINT64_MAX,
		.account = SPAN_LIT("alice"),
		.sender = SPAN_LIT("a"),
		.client = SPAN_LIT("b"),
		.next_at = INT64_MAX,
		.size = UINT64_MAX,
	};
	struct queue_entry out;
	struct arena arena;
	struct buf row;
	(void)state;
	buf_init(&row, QUEUE_ENTRY_MAX);
	arena_init(&arena, QUEUE_ENTRY_MAX);
	assert_true(queue_pack(&entry, &row));
	assert_in_range(row.len, BEFORE, BEFORE + 2);
	size_t len = row.len;
	row.len = 0;
	entry.incident = UINT64_MAX;
	entry.note = SPAN_LIT("left over");
	assert_true(queue_pack(&entry, &row));
	assert_int_equal(row.len, len);
	assert_true(queue_unpack(buf_span(&row), &arena, &out));
	assert_int_equal(out.incident + out.note.len, 0);
	arena_done(&arena);
	buf_done(&row);
}

/* A notice is rendered when it is sent: one with a body is none, nor is a kind of a newer
 * version. */
static void kinds(void **state)
{
	static const struct {
		int kind;
		uint64_t size;
		enum store_result want;
	} table[] = {
		{ QUEUE_MAIL, 0, STORE_OK },
		{ QUEUE_MAIL, 1, STORE_OK },
		{ QUEUE_NOTICE_SUSPENDED, 0, STORE_OK },
		{ QUEUE_NOTICE_SUSPENDED, 1, STORE_DAMAGED },
		{ QUEUE_NOTICE_ENDED, 1, STORE_DAMAGED },
		{ QUEUE_NOTICE_IGNORED, 0, STORE_OK },
		{ QUEUE_NOTICE_IGNORED, UINT64_MAX, STORE_DAMAGED },
		{ QUEUE_NOTICE_EVENT, 0, STORE_OK },
		{ QUEUE_NOTICE_EVENT, 1, STORE_DAMAGED },
		{ QUEUE_KINDS, 0, STORE_DAMAGED },
		{ 255, 0, STORE_DAMAGED },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct queue_entry entry = { .id = 1,
			                     .kind = (enum queue_kind)table[i].kind,
			                     .size = table[i].size };
		struct queue_entry out;
		struct queue_head head;
		struct arena arena;
		struct buf row;
		buf_init(&row, QUEUE_ENTRY_MAX);
		arena_init(&arena, QUEUE_ENTRY_MAX);
		assert_true(queue_pack(&entry, &row));
		assert_int_equal(queue_unpack_row(buf_span(&row), &arena, &out), table[i].want);
		bool known = table[i].kind < QUEUE_KINDS;
		assert_int_equal(queue_read_head(buf_span(&row), &head), known);
		arena_done(&arena);
		buf_done(&row);
	}
}

/* The smarthost said it once for all: it is stored once. */
static void equal_answers_are_stored_once(void **state)
{
	static struct queue_recipient many[100];
	fill_recipients(many, COUNT(many));
	struct queue_entry entry = { .recipients = many, .nrecipients = COUNT(many) };
	struct buf row;
	(void)state;
	buf_init(&row, QUEUE_ENTRY_MAX);
	assert_true(queue_pack(&entry, &row));
	assert_in_range(row.len, 100 * 21, 100 * 21 + sizeof ANSWER + 128);
	buf_done(&row);
}

/* No cut and no flipped byte of a row is read outside of it, and no cut passes for an entry. */
static void broken_rows(void **state)
{
	struct queue_entry entry = mixed_entry();
	struct queue_entry out;
	struct arena arena;
	struct buf row;
	(void)state;
	buf_init(&row, QUEUE_ENTRY_MAX);
	entry.kind = QUEUE_NOTICE_ENDED;
	entry.note = SPAN_LIT("a note");
	entry.size = 0;
	assert_true(queue_pack(&entry, &row));
	for (size_t n = 0; n < row.len; n++) {
		/* Of exactly that size, for the sanitizer to watch. */
		char *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, row.ptr, n);
		arena_init(&arena, QUEUE_ENTRY_MAX);
		enum store_result result = queue_unpack_row(span_of(copy, n), &arena, &out);
		assert_int_equal(result, STORE_DAMAGED);
		arena_done(&arena);
		free(copy);
	}
	arena_init(&arena, QUEUE_ENTRY_MAX);
	assert_true(buf_put_byte(&row, '\0'));
	assert_int_equal(queue_unpack_row(buf_span(&row), &arena, &out), STORE_DAMAGED);
	arena_done(&arena);
	row.len--;
	for (size_t at = 0; at < row.len; at++) {
		for (int bit = 0; bit < 8; bit++) {
			arena_init(&arena, QUEUE_ENTRY_MAX);
			row.ptr[at] = (char)(row.ptr[at] ^ 1 << bit);
			queue_unpack(buf_span(&row), &arena, &out);
			row.ptr[at] = (char)(row.ptr[at] ^ 1 << bit);
			arena_done(&arena);
		}
	}
	buf_done(&row);
}

static void caps(void **state)
{
	struct queue_entry entry = mixed_entry();
	struct queue_entry out;
	struct buf row;
	struct arena arena;
	(void)state;
	buf_init(&row, 100);
	assert_false(queue_pack(&entry, &row));
	buf_done(&row);
	buf_init(&row, QUEUE_ENTRY_MAX);
	assert_true(queue_pack(&entry, &row));
	/* An arena that is too small says so: the row is not to blame. */
	for (size_t cap = 0; cap < row.len + sizeof mixed; cap += 50) {
		arena_init(&arena, cap);
		assert_int_equal(queue_unpack_row(buf_span(&row), &arena, &out), STORE_FAILED);
		arena_done(&arena);
	}
	buf_done(&row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),  cmocka_unit_test(ready_mail_is_small),
		cmocka_unit_test(kinds),       cmocka_unit_test(equal_answers_are_stored_once),
		cmocka_unit_test(broken_rows), cmocka_unit_test(caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
