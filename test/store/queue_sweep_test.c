#include "queue_help.h"

#define INCIDENT 17

/* ---- one entry of each sort ---- */

static const struct {
	const char *account;
	enum queue_state state;
	uint64_t incident;
	/* The state afterwards, and by which incident: h(eld), r(eady), gone. */
	const char *hold, *release, *discard;
} sorts[] = {
	{ "alice", QUEUE_READY, 0, "held 17", "ready 0", "ready 0" },
	{ "alice", QUEUE_HELD, 0, "held 0", "held 0", "held 0" },
	{ "alice", QUEUE_HELD, INCIDENT, "held 17", "ready 0", "gone" },
	{ "alice", QUEUE_HELD, INCIDENT - 1, "held 16", "held 16", "held 16" },
	{ "alice", QUEUE_HELD, UINT64_MAX, "held max", "held max", "held max" },
	{ "alic", QUEUE_READY, 0, "ready 0", "ready 0", "ready 0" },
	{ "alic", QUEUE_HELD, INCIDENT, "held 17", "held 17", "held 17" },
	{ "alice2", QUEUE_READY, 0, "ready 0", "ready 0", "ready 0" },
	{ "alice2", QUEUE_HELD, INCIDENT, "held 17", "held 17", "held 17" },
	{ "alice", QUEUE_READY, 0, "held 17", "ready 0", "ready 0" },
};

static const char *wanted(size_t sort, enum queue_sweep what)
{
	return what == QUEUE_SWEEP_HOLD      ? sorts[sort].hold
	       : what == QUEUE_SWEEP_RELEASE ? sorts[sort].release
	                                     : sorts[sort].discard;
}

static void assert_state(struct store_txn *txn, uint64_t id, const char *want)
{
	struct queue_entry entry;
	char have[40] = "gone";
	if (state_of(txn, id, &entry) == STORE_OK) {
		bool max = entry.incident == UINT64_MAX;
		snprintf(have, sizeof have, max ? "%s max" : "%s %d",
		         entry.state == QUEUE_HELD ? "held" : "ready", (int)entry.incident);
	}
	if (strcmp(have, want) != 0) {
		fail_msg("entry %llu: have %s, want %s", (unsigned long long)id, have, want);
	}
}

/* Puts one of each sort, with bodies; and a notice, which no sweep sees. */
static void put_sorts(struct store *store)
{
	struct store_txn *txn = writing(store);
	for (size_t i = 0; i < COUNT(sorts); i++) {
		struct queue_entry entry = entry_of(i + 1, sorts[i].account, 100 + i, 900);
		entry.state = sorts[i].state;
		entry.incident = sorts[i].incident;
		put_entry(txn, &entry);
	}
	struct queue_entry notice = entry_of(99, "", 0, 0);
	notice.kind = QUEUE_NOTICE_SUSPENDED;
	notice.incident = INCIDENT;
	put_entry(txn, &notice);
	commit(txn);
}

/* Changes that differ from what was there, and the bytes of those. */
static void assert_sums(const struct queue_sweeping *sweeping)
{
	size_t changed = 0;
	uint64_t bytes = 0;
	for (size_t i = 0; i < COUNT(sorts); i++) {
		bool ready = sorts[i].state == QUEUE_READY;
		bool meant = sweeping->what == QUEUE_SWEEP_HOLD ? ready
		                                                : sorts[i].incident == INCIDENT;
		if (meant && strcmp(sorts[i].account, "alice") == 0) {
			changed++;
			bytes += 100 + i;
		}
	}
	assert_int_equal(sweeping->changed, changed);
	assert_int_equal(sweeping->bytes, bytes);
}

/* The bodies are there that have an entry, and no others. */
static void assert_bodies(struct store_txn *txn)
{
	for (uint64_t id = 1; id <= COUNT(sorts); id++) {
		struct queue_entry entry;
		struct span bytes;
		assert_int_equal(body_get(txn, id, 0, &bytes), state_of(txn, id, &entry));
	}
}

/* Each sweep, in steps of each width: the same comes of it. */
static void each_sort(void **state)
{
	static const char *const due[] = {
		[QUEUE_SWEEP_HOLD] = "99@0 6@900 8@900",
		[QUEUE_SWEEP_RELEASE] = "99@0 3@500 1@900 6@900 8@900 10@900",
		[QUEUE_SWEEP_DISCARD] = "99@0 1@900 6@900 8@900 10@900",
	};
	static const size_t widths[] = { 1, 2, 3, 5, 6, 7, 1000 };
	(void)state;
	for (int what = QUEUE_SWEEP_HOLD; what <= QUEUE_SWEEP_DISCARD; what++) {
		for (size_t w = 0; w < COUNT(widths); w++) {
			void *own;
			place_setup(&own);
			struct place *place = own;
			put_sorts(place->store);
			struct queue_sweeping sweeping = { .account = SPAN_LIT("alice"),
				                           .what = (enum queue_sweep)what,
				                           .incident = INCIDENT };
			bool more = true;
			size_t steps = 0;
			for (; more; steps++) {
				struct store_txn *txn = writing(place->store);
				assert_int_equal(
				    queue_sweep(txn, &sweeping, widths[w], 500, &more),
				    STORE_OK);
				commit(txn);
			}
			assert_int_equal(steps, (6 + widths[w] - 1) / widths[w]);
			assert_sums(&sweeping);
			struct store_txn *txn = reading(place->store);
			for (size_t i = 0; i < COUNT(sorts); i++) {
				assert_state(txn, i + 1, wanted(i, sweeping.what));
			}
			assert_state(txn, 99, "ready 17");
			assert_due(txn, due[what]);
			assert_bodies(txn);
			store_abort(txn);
			place_teardown(&own);
		}
	}
}

/* Nothing to look at, and a step of no width. */
static void nothing(void **state)
{
	static const struct {
		const char *account;
		size_t most;
		bool more;
	} table[] = {
		{ "alice", 0, true },
		{ "zoe", 10, false },
		{ "ali", 10, false },
		{ "zoe", 0, false },
	};
	struct place *place = *state;
	put_sorts(place->store);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct store_txn *txn = writing(place->store);
		struct queue_sweeping sweeping = { .account = span_str(table[i].account),
			                           .what = QUEUE_SWEEP_HOLD,
			                           .incident = INCIDENT };
		bool more = !table[i].more;
		assert_int_equal(queue_sweep(txn, &sweeping, table[i].most, 500, &more),
		                 STORE_OK);
		assert_int_equal(more, table[i].more);
		assert_int_equal(sweeping.changed, 0);
		assert_int_equal(sweeping.after, 0);
		assert_due(txn, "99@0 1@900 6@900 8@900 10@900");
		store_abort(txn);
	}
}

/* What can not be read, is not there, or is another's after all, is passed over. */
static void damage_is_passed_over(void **state)
{
	struct place *place = *state;
	put_sorts(place->store);
	struct store_txn *txn = writing(place->store);
	struct key first = key_id(1);
	const struct key owners[] = {
		key_owner(SPAN_LIT("alice"), 7),
		key_owner(SPAN_LIT("alice"), 8),
		key_owner(SPAN_LIT("alice"), 9999),
		key_owner(SPAN_LIT("alice"), UINT64_MAX),
	};
	store_put(txn, STORE_QUEUE, key_span(&first), SPAN_LIT("garbage"));
	for (size_t i = 0; i < COUNT(owners); i++) {
		store_put(txn, STORE_OWNER, key_span(&owners[i]), SPAN_NONE);
	}
	struct queue_sweeping sweeping = { .account = SPAN_LIT("alice"),
		                           .what = QUEUE_SWEEP_HOLD,
		                           .incident = INCIDENT };
	bool more = true;
	assert_int_equal(queue_sweep(txn, &sweeping, 100, 500, &more), STORE_OK);
	assert_false(more);
	assert_int_equal(sweeping.changed, 1);
	assert_state(txn, 7, "held 17");
	assert_state(txn, 8, "ready 0");
	assert_state(txn, 10, "held 17");
	sweeping = (struct queue_sweeping){ .account = SPAN_LIT("alice"),
		                            .what = QUEUE_SWEEP_DISCARD,
		                            .incident = INCIDENT };
	assert_int_equal(queue_sweep(txn, &sweeping, 100, 500, &more), STORE_OK);
	assert_int_equal(sweeping.changed, 2);
	assert_state(txn, 7, "held 17");
	commit(txn);
}

/* By hand after the incident: then its end does not touch it. */
static void held_by_hand_meanwhile(void **state)
{
	static const struct {
		enum queue_sweep what;
		const char *other;
	} table[] = {
		{ QUEUE_SWEEP_RELEASE, "ready 0" },
		{ QUEUE_SWEEP_DISCARD, "gone" },
	};
	struct place *place = *state;
	put_sorts(place->store);
	for (size_t i = 0; i < COUNT(table); i++) {
		struct store_txn *txn = writing(place->store);
		struct queue_sweeping sweeping = { .account = SPAN_LIT("alice"),
			                           .what = QUEUE_SWEEP_HOLD,
			                           .incident = INCIDENT };
		bool more;
		queue_sweep(txn, &sweeping, 100, 500, &more);
		assert_state(txn, 1, "held 17");
		assert_int_equal(queue_hold(txn, 1), STORE_OK);
		assert_state(txn, 1, "held 0");
		/* Released by hand it is out of the incident too. */
		assert_int_equal(queue_release(txn, 3, 600), STORE_OK);
		sweeping.what = table[i].what;
		sweeping.after = 0;
		queue_sweep(txn, &sweeping, 100, 700, &more);
		assert_state(txn, 1, "held 0");
		assert_state(txn, 3, "ready 0");
		assert_state(txn, 10, table[i].other);
		store_abort(txn);
	}
}

/* ---- many ---- */

enum { MANY = 5000, STEP = 700 };

/* The ids of alice are mixed with bob's; every tenth of hers was held by hand before. */
static bool is_alice(uint64_t id)
{
	return id % 3 != 0;
}

static bool by_hand(uint64_t id)
{
	return id % 10 == 0;
}

static void put_many(struct store *store)
{
	struct store_txn *txn = writing(store);
	for (uint64_t id = 1; id <= MANY; id++) {
		struct queue_entry entry = entry_of(id, is_alice(id) ? "alice" : "bob",
		                                    10 + id % 7, (int64_t)(MANY - id) + 1000);
		entry.state = by_hand(id) ? QUEUE_HELD : QUEUE_READY;
		put_entry(txn, &entry);
	}
	commit(txn);
}

static bool step(struct store_txn *txn, struct queue_sweeping *sweeping)
{
	bool more;
	assert_int_equal(queue_sweep(txn, sweeping, STEP, 500, &more), STORE_OK);
	return more;
}

/* Every other step dies before its commit; what goes on is what was committed. */
static size_t sweep_with_crashes(struct place *place, struct queue_sweeping *sweeping)
{
	size_t changed = 0;
	size_t steps = 0;
	for (bool more = true; more; steps++) {
		struct queue_sweeping lost = *sweeping;
		struct store_txn *txn = writing(place->store);
		step(txn, &lost);
		store_abort(txn);
		place_reopen(place);
		txn = writing(place->store);
		more = step(txn, sweeping);
		commit(txn);
		/* A caller of which only `after` was stored. */
		changed += sweeping->changed;
		sweeping->changed = 0;
		place_reopen(place);
	}
	assert_true(steps > 3 || changed == 0);
	return changed;
}

struct sums {
	uint64_t swept, left, left_bytes, bob, bob_bytes;
};

static struct sums sums_of_many(void)
{
	struct sums sums = { 0 };
	for (uint64_t id = 1; id <= MANY; id++) {
		uint64_t size = 10 + id % 7;
		bool left = is_alice(id) && by_hand(id);
		sums.swept += is_alice(id) && !by_hand(id);
		sums.left += left;
		sums.left_bytes += left ? size : 0;
		sums.bob += !is_alice(id);
		sums.bob_bytes += is_alice(id) ? 0 : size;
	}
	return sums;
}

static void assert_many(struct store *store, const char *swept, size_t due)
{
	assert_int_equal(count_rows(store, STORE_DUE), due);
	struct store_txn *txn = reading(store);
	for (uint64_t id = 1; id <= MANY; id++) {
		const char *rest = by_hand(id) ? "held 0" : "ready 0";
		assert_state(txn, id, is_alice(id) && !by_hand(id) ? swept : rest);
	}
	store_abort(txn);
}

/* Again and again: where nothing is left to do, nothing is done. */
static void many_in_steps(void **state)
{
	static const struct {
		enum queue_sweep what;
		const char *then;
	} table[] = {
		{ QUEUE_SWEEP_HOLD, "held 17" },    { QUEUE_SWEEP_RELEASE, "ready 0" },
		{ QUEUE_SWEEP_RELEASE, "ready 0" }, { QUEUE_SWEEP_HOLD, "held 17" },
		{ QUEUE_SWEEP_DISCARD, "gone" },    { QUEUE_SWEEP_DISCARD, "gone" },
		{ QUEUE_SWEEP_HOLD, "gone" },
	};
	struct place *place = *state;
	struct sums sums = sums_of_many();
	put_many(place->store);
	size_t ready = count_rows(place->store, STORE_DUE);
	const char *was = "ready 0";
	for (size_t i = 0; i < COUNT(table); i++) {
		struct queue_sweeping sweeping = { .account = SPAN_LIT("alice"),
			                           .what = table[i].what,
			                           .incident = INCIDENT };
		size_t changed = sweep_with_crashes(place, &sweeping);
		assert_int_equal(changed, strcmp(was, table[i].then) ? sums.swept : 0);
		was = table[i].then;
		bool is_ready = strcmp(was, "ready 0") == 0;
		assert_many(place->store, was, is_ready ? ready : ready - sums.swept);
	}
	struct store_txn *txn = reading(place->store);
	assert_usage(txn, "alice", sums.left, sums.left_bytes);
	assert_usage(txn, "bob", sums.bob, sums.bob_bytes);
	store_abort(txn);
	assert_int_equal(count_rows(place->store, STORE_BODY), MANY - sums.swept);
	assert_int_equal(count_rows(place->store, STORE_OWNER), MANY - sums.swept);
	assert_int_equal(count_rows(place->store, STORE_QUEUE), MANY - sums.swept);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_sort),  TEST(nothing),       TEST(damage_is_passed_over),
		TEST(held_by_hand_meanwhile), TEST(many_in_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
