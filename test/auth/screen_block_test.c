#include "test/auth/screen_help.h"

/* ---- the admin's ---- */

static void blocks_by_hand(void **state)
{
	(void)state;
	struct network inner = network("192.0.2.0/25"), outer = network("192.0.2.0/24");
	assert_true(screen_add(scene.screen, &inner, INT64_MAX, scene.now));
	assert_true(screen_add(scene.screen, &outer, scene.now + HOUR, scene.now));
	assert_int_equal(blocked("192.0.2.7"), INT64_MAX);
	assert_int_equal(blocked("192.0.2.200"), HOUR);
	good("192.0.2.200", "alice");
	assert_int_equal(blocked("192.0.2.200"), HOUR);
	scene.now += HOUR;
	assert_int_equal(blocked("192.0.2.200"), 0);
	assert_true(screen_remove(scene.screen, &outer, scene.now));
	assert_int_equal(blocked("192.0.2.7"), 0);
	assert_false(screen_remove(scene.screen, &outer, scene.now));
	for (unsigned n = 0; n < SCREEN_BY_HAND; n++) {
		struct network one = network(ANYONE(n));
		assert_true(screen_add(scene.screen, &one, scene.now + HOUR, scene.now));
	}
	assert_false(screen_add(scene.screen, &outer, scene.now + HOUR, scene.now));
	scene.now += HOUR; /* those that are over make room */
	assert_true(screen_add(scene.screen, &outer, scene.now + HOUR, scene.now));
}

static void a_removed_block_is_forgotten(void **state)
{
	(void)state;
	struct network all = network("192.0.0.0/16");
	uint64_t guess = 0;
	for (int i = 0; i < 3; i++) {
		unsigned tries = 1;
		while (!miss("192.0.2.7", USER((unsigned)i), ++guess)) {
			tries++;
		}
		assert_int_equal(tries, 10);
		assert_int_equal(blocked("192.0.2.7"), HOUR);
		assert_true(screen_remove(scene.screen, &all, scene.now));
		assert_int_equal(blocked("192.0.2.7"), 0);
	}
}

/* ---- rows ---- */

static void restore_row(void *context, const struct screen_block *block)
{
	struct screen *other = context;
	struct screen_block read;
	struct buf row_key = { .cap = SCREEN_ROW_MAX }, row = { .cap = SCREEN_ROW_MAX };
	screen_block_key(block, &row_key);
	screen_block_pack(block, &row);
	assert_false(row_key.failed || row.failed);
	assert_true(screen_block_unpack(buf_span(&row_key), buf_span(&row), &read));
	assert_memory_equal(&read.network, &block->network, sizeof read.network);
	assert_true(read.until == block->until && read.level == block->level &&
	            read.failures == block->failures && read.by_hand == block->by_hand);
	screen_restore(other, &read, scene.now);
	buf_done(&row_key);
	buf_done(&row);
}

static void blocks_survive_a_restart(void **state)
{
	(void)state;
	static const char *const addresses[] = { "192.0.2.7", "2001:db8:1:2::3" };
	struct network site = network("10.0.0.0/8");
	struct screen_block block;
	uint64_t guess = 0;
	for (size_t i = 0; i < COUNT(addresses); i++) {
		while (!miss(addresses[i], "alice", ++guess)) {
		}
	}
	assert_true(screen_add(scene.screen, &site, INT64_MAX, scene.now));
	struct screen *other = screen_new(&key);
	screen_walk(scene.screen, scene.now, restore_row, other);
	end(NULL);
	scene.screen = other;
	assert_int_equal(blocked("192.0.2.7"), HOUR);
	assert_int_equal(blocked("2001:db8:1:2::9"), HOUR);
	assert_int_equal(blocked("10.9.9.9"), INT64_MAX);
	assert_int_equal(blocked("192.0.2.8"), 0);
	/* The next one is longer, as if nothing had happened; in a month that is over. */
	scene.now += HOUR;
	struct network one = network("192.0.2.7");
	assert_true(screen_find(other, &one, false, scene.now, &block));
	assert_int_equal(block.level, 1);
	assert_false(screen_find(other, &one, true, scene.now, &block));
	while (!miss("192.0.2.7", "alice", ++guess)) {
	}
	assert_int_equal(blocked("192.0.2.7"), DAY);
	scene.now += 40 * DAY;
	assert_false(screen_find(other, &one, false, scene.now, &block));
	assert_true(screen_find(other, &site, true, scene.now, &block));
}

/* What is read, packed again, is the same; nothing else is read. */
static void any_row_is_read_safely(void **state)
{
	(void)state;
	srand(17);
	size_t sound = 0;
	for (unsigned n = 0; n < 300000; n++) {
		size_t key_len = n % 3 ? 18 : (size_t)rand() % 21;
		size_t len = n % 5 ? 17 : (size_t)rand() % 20;
		char *bytes = malloc(key_len + len + 1); /* its end is guarded */
		for (size_t i = 0; i < key_len + len; i++) {
			bytes[i] = (char)(rand() % 4 ? 0 : rand());
		}
		if (key_len == 18 && n % 2) {
			memcpy(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
			bytes[16] = (char)128;
			bytes[17] &= 1;
		}
		if (len) {
			bytes[key_len] &= 1;
		}
		struct span row_key = span_of(bytes, key_len);
		struct span row = span_of(bytes + key_len, len);
		struct screen_block block;
		if (screen_block_unpack(row_key, row, &block)) {
			struct buf again = { .cap = SCREEN_ROW_MAX };
			screen_block_key(&block, &again);
			screen_block_pack(&block, &again);
			CHECK("the same",
			      span_eq(buf_span(&again), span_of(bytes, key_len + len)));
			screen_restore(scene.screen, &block, scene.now);
			buf_done(&again);
			sound++;
		}
		free(bytes);
	}
	assert_true(sound > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(blocks_by_hand),
		SCENE(a_removed_block_is_forgotten),
		SCENE(blocks_survive_a_restart),
		SCENE(any_row_is_read_safely),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
