/* Suspended accounts, and the notices about them, on the way to a smarthost. */
#include "test/server/delivery_help.h"

#include "auth/standing.h"
#include "store/account.h"
#include "store/incident.h"

/* ---- suspensions ---- */

#define CASE 17

struct standing_job {
	struct commit_job job;
	const char *account;
	enum standing_state state;
};

/* A suspension as a crash leaves it behind whose sweep has not begun; or its end, with the
 * sweep.
 */
static void standing_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct standing_job *s = (struct standing_job *)job;
	struct standing standing = { .state = s->state, .incident = CASE };
	struct buf packed = { .cap = 1000 };
	standing_pack(&standing, &packed);
	struct ledger ledger = { .standing = buf_span(&packed) };
	ledger_put(txn, span_str(s->account), &ledger);
	buf_done(&packed);
	if (s->state == STANDING_GOOD) {
		struct queue_sweeping sweeping = {
			.account = span_str(s->account),
			.what = QUEUE_SWEEP_RELEASE,
			.incident = CASE,
		};
		bool more;
		queue_sweep(txn, &sweeping, 1000, now, &more);
	}
}

static void set_standing(const char *account, enum standing_state state)
{
	struct standing_job s = { { .run = standing_run }, account, state };
	assert_int_equal(commit_wait(bench->server.commit, &s.job), STORE_OK);
}

/* A row that nobody can read. */
static void damage_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)now;
	struct key key = key_account_prefix(span_str(((struct standing_job *)job)->account));
	store_put(txn, STORE_LEDGER, span_first(key_span(&key), key.len - 1), SPAN_LIT("?"));
}

static void damage_ledger(const char *account)
{
	struct standing_job s = { { .run = damage_run }, account, STANDING_GOOD };
	assert_int_equal(commit_wait(bench->server.commit, &s.job), STORE_OK);
}

static bool is_held(uint64_t id)
{
	struct store_txn *txn = reading(bench->place.store);
	struct queue_entry entry;
	bool held = state_of(txn, id, &entry) == STORE_OK && entry.state == QUEUE_HELD &&
	            entry.incident == CASE;
	store_abort(txn);
	return held;
}

static void wait_for_held(uint64_t id)
{
	for (size_t i = 0; !is_held(id); i++) {
		assert_true(i < PATIENCE);
		usleep(5000);
	}
}

/* ---- notices ---- */

static void incident_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)job;
	const struct incident incident = {
		.number = CASE,
		.account = SPAN_LIT("alice@example.org"),
		.opened_at = now,
		.opened_wall = 1700000000000,
		.cause = SPAN_LIT("uid 0"),
	};
	incident_put(txn, &incident);
}

static void put_incident(void)
{
	struct commit_job job = { .run = incident_run };
	assert_int_equal(commit_wait(bench->server.commit, &job), STORE_OK);
}

static int64_t notified_at(void)
{
	struct store_txn *txn = reading(bench->place.store);
	struct arena arena;
	struct incident incident;
	arena_init(&arena, 1 << 20);
	assert_int_equal(incident_get(txn, CASE, &arena, &incident), STORE_OK);
	arena_done(&arena);
	store_abort(txn);
	return incident.notified_at;
}

static void notice_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct put *put = (struct put *)job;
	put->entry.accepted_at = now;
	queue_put(txn, &put->entry);
}

/* As auth/suspend puts it. */
static struct put commit_notice(void)
{
	static struct queue_recipient to[2] = { { .address = SPAN_LIT("postmaster@x.org") },
		                                { .address = SPAN_LIT("jane@x.org") } };
	struct put put = put_of("", "");
	put.job.run = notice_run;
	put.entry.kind = QUEUE_NOTICE_SUSPENDED;
	put.entry.incident = CASE;
	put.entry.sender = SPAN_NONE;
	put.entry.recipients = to;
	put.entry.nrecipients = 2;
	commit_put(&put);
	return put;
}

/* The place among the mails that came of the first from <>; their number when there is none. */
static unsigned first_notice(void)
{
	pthread_mutex_lock(&bench->fake.lock);
	unsigned at = 0;
	while (at < bench->fake.nmails && strcmp(bench->fake.mails[at].from, "<>") != 0) {
		at++;
	}
	pthread_mutex_unlock(&bench->fake.lock);
	return at;
}

/* ---- tests ---- */

/* Promise 8: suspended, and not one entry was held yet. None is sent, each becomes HELD by the
 * incident; others do not notice; the release sends it, once. */
static void test_suspended(void **state)
{
	(void)state;
	struct put alice = put_of("alice@example.org", "Subject: alice\r\n\r\n");
	struct put bob = put_of("bob@example.org", "Subject: bob\r\n\r\n");
	commit_put(&alice);
	commit_put(&bob);
	set_standing("alice@example.org", STANDING_SUSPENDED);
	start();
	wait_for_held(alice.entry.id);
	wait_for_queue(1);
	assert_int_equal(bench->fake.nmails, 1);
	assert_int_equal(having("Subject: bob"), 1);
	hand_over(&alice, true); /* a loop that is late */
	delivery_tell(bench->server.delivery, DELIVERY_RELEASED, 0);
	wait_for_flying(0);
	assert_true(is_held(alice.entry.id));
	set_standing("alice@example.org", STANDING_GOOD);
	delivery_tell(bench->server.delivery, DELIVERY_RELEASED, 0);
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 2);
	assert_int_equal(having("Subject: alice"), 1);
}

/* No lifetime and no report while suspended, not even when no smarthost is there. */
static void test_suspended_does_not_expire(void **state)
{
	(void)state;
#ifndef GATEPOST_HOOKS
	return;
#endif
	fake_rules(&bench->fake, (const struct fake_rule[]){ { "<", "!", 0 }, { 0 } });
	bench->config->retry[1] = 1000;
	struct put bob = put_of("bob@example.org", "Subject: bob\r\n\r\n");
	struct put alice = put_of("alice@example.org", "Subject: alice\r\n\r\n");
	commit_put(&bob);
	start();
	wait_for_down();
	commit_put(&alice);
	set_standing("alice@example.org", STANDING_SUSPENDED);
	advance(bench->config->lifetime);
	wait_for_held(alice.entry.id);
	fake_rules(&bench->fake, NULL);
	delivery_flush(bench->server.delivery);
	wait_for_queue(1);
	assert_int_equal(having("Subject: alice"), 0);
}

/* The smarthost does not come to its 354. Of two on the way the suspended one is stopped before
 * its dot and HELD, with what waits behind it; the other goes on. */
static void test_suspended_in_flight(void **state)
{
	(void)state;
	struct put alice[20];
	fake_rules(&bench->fake, (const struct fake_rule[]){ { "DATA", "", 4 }, { 0 } });
	start();
	struct put bob = put_of("bob@example.org", "Subject: bob\r\n\r\n");
	commit_put(&bob);
	hand_over(&bob, true);
	wait_for_flying(1);
	for (size_t i = 0; i < COUNT(alice); i++) {
		alice[i] = put_of("alice@example.org", "Subject: alice\r\n\r\n");
		commit_put(&alice[i]);
		hand_over(&alice[i], i % 2);
	}
	wait_for_flying(4);
	set_standing("alice@example.org", STANDING_SUSPENDED);
	delivery_suspend(bench->server.delivery, SPAN_LIT("alice@example.org"));
	for (size_t i = 0; i < COUNT(alice); i++) {
		wait_for_held(alice[i].entry.id);
	}
	wait_for_flying(1);
	assert_int_equal(fake_count(&bench->fake, &bench->fake.nmails), 0);
	fake_cut_all(&bench->fake);
	wait_for_queue(COUNT(alice));
	assert_int_equal(having("Subject: bob"), 1);
	assert_int_equal(having("Subject: alice"), 0);
	set_standing("alice@example.org", STANDING_GOOD);
	delivery_tell(bench->server.delivery, DELIVERY_RELEASED, 0);
	wait_for_queue(0);
	assert_int_equal(having("Subject: alice"), COUNT(alice));
}

/* Fails closed, for that account only; said once; mended it goes, without a restart. */
static void test_damaged_ledger(void **state)
{
	(void)state;
	struct put alice[300];
	for (size_t i = 0; i < COUNT(alice); i++) {
		alice[i] = put_of("alice@example.org", "Subject: alice\r\n\r\n");
		alice[i].job.bytes = 100;
		commit_put(&alice[i]);
	}
	struct put bob = put_of("bob@example.org", "Subject: bob\r\n\r\n");
	commit_put(&bob);
	damage_ledger("alice@example.org");
	start();
	wait_for_queue(COUNT(alice));
	wait_for_flying(0);
	assert_int_equal(bench->fake.nmails, 1);
	assert_false(is_held(alice[0].entry.id));
	set_standing("alice@example.org", STANDING_GOOD);
#ifdef GATEPOST_HOOKS
	advance(60000);
	wait_for_queue(0);
	assert_int_equal(having("Subject: alice"), COUNT(alice));
#endif
}

/* Who it is from and to, and that the incident learns of it. */
static void test_notice(void **state)
{
	(void)state;
	put_incident();
	start();
	struct put notice = commit_notice();
	hand_over(&notice, false);
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 1);
	assert_string_equal(bench->fake.mails[0].from, "<>");
	assert_string_equal(bench->fake.mails[0].to, "<postmaster@x.org><jane@x.org>");
	assert_non_null(strstr(bench->fake.mails[0].text, "alice@example.org"));
	assert_true(notified_at() > 0);
	assert_int_equal(count_rows(bench->place.store, STORE_JOURNAL), 0);
	wait_for_flying(0);
	assert_int_equal(status().relayed, 0); /* it is nobody's mail */
}

/* All links are taken, by mails whose dot is not answered, and 1,000 of 50 accounts wait. */
static void fill_up(void)
{
	for (size_t i = 0; i < 1000; i++) {
		char account[32];
		snprintf(account, sizeof account, "a%zu@x.org", i % 50);
		struct put put = put_of(account, "Subject: mail\r\n\r\n");
		put.job.bytes = 100;
		commit_put(&put);
		hand_over(&put, true);
	}
	wait_for_mails(4);
}

/* Once there is a link again, the notice is the next to go. */
static void test_notice_overtakes(void **state)
{
	(void)state;
	fake_rules(&bench->fake, (const struct fake_rule[]){ { ".", "", 4 }, { 0 } });
	put_incident();
	start();
	fill_up();
	commit_notice();
	delivery_tell(bench->server.delivery, DELIVERY_RELEASED, 0);
	fake_cut_all(&bench->fake);
	wait_for_queue(0);
	assert_in_range(first_notice(), 4, 8);
	assert_int_equal(bench->fake.nmails, 1005);
}

/* So is one that was deferred and has become due meanwhile, of which nobody tells. */
static void test_deferred_notice_overtakes(void **state)
{
	(void)state;
	fake_rules(&bench->fake,
	           (const struct fake_rule[]){ { ".", "", 4 },
	                                       { "RCPT TO:<postmaster", "451 4.2.1 later", 1 },
	                                       { "RCPT TO:<jane", "451 4.2.1 later", 1 },
	                                       { 0 } });
	put_incident();
	struct put notice = commit_notice();
	start();
	struct store_txn *txn;
	struct queue_entry entry = { .attempts = 0 };
	for (size_t i = 0; entry.attempts == 0 && i < PATIENCE; i++) {
		usleep(5000);
		txn = reading(bench->place.store);
		assert_int_equal(state_of(txn, notice.entry.id, &entry), STORE_OK);
		store_abort(txn);
	}
	fill_up();
	while (store_now(bench->place.store) < entry.next_at) {
		usleep(5000);
	}
	fake_cut_all(&bench->fake);
	wait_for_queue(0);
	assert_in_range(first_notice(), 4, 8);
	assert_int_equal(bench->fake.nmails, 1005);
}

/* More than the lane holds, behind 500 that are older: first of all. */
static void test_notices_first(void **state)
{
	(void)state;
	bench->config->smarthost[0].connections = 1;
	put_incident();
	for (size_t i = 0; i < 500; i++) {
		struct put put = put_of("a@x.org", "Subject: mail\r\n\r\n");
		put.job.bytes = 100;
		commit_put(&put);
	}
	for (size_t i = 0; i < 150; i++) {
		commit_notice();
	}
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 650);
	for (size_t i = 0; i < 150; i++) {
		assert_string_equal(bench->fake.mails[i].from, "<>");
	}
}

/* A 5xx is tried again as a 4xx is; of neither anybody is told. */
static void test_notice_refused(void **state)
{
	(void)state;
	fake_rules(&bench->fake,
	           (const struct fake_rule[]){ { "RCPT TO:<postmaster", "550 5.1.1 no", 1 },
	                                       { "RCPT TO:<jane", "451 4.2.1 later", 1 },
	                                       { 0 } });
	put_incident();
	commit_notice();
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 1);
	assert_string_equal(bench->fake.mails[0].to, "<postmaster@x.org><jane@x.org>");
	assert_true(notified_at() > 0);
}

/* The incident is gone: so is what there was to say of it. */
static void test_notice_without_incident(void **state)
{
	(void)state;
	commit_notice();
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 0);
}

static void test_notice_expired(void **state)
{
	(void)state;
#ifndef GATEPOST_HOOKS
	return;
#endif
	fake_rules(&bench->fake, (const struct fake_rule[]){ { "<", "!", 0 }, { 0 } });
	bench->config->retry[1] = 1000;
	put_incident();
	commit_notice();
	start();
	wait_for_down();
	advance(bench->config->lifetime);
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 0);
	assert_int_equal(notified_at(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_suspended),
		T(test_suspended_does_not_expire),
		T(test_suspended_in_flight),
		T(test_damaged_ledger),
		T(test_notice),
		T(test_notice_overtakes),
		T(test_deferred_notice_overtakes),
		T(test_notices_first),
		T(test_notice_refused),
		T(test_notice_without_incident),
		T(test_notice_expired),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
