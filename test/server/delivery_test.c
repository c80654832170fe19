#include "test/server/delivery_help.h"

/* Handed over, or found in the index, small and of several rows: each once, to the byte. */
static void test_all_ways(void **state)
{
	(void)state;
	char *big = malloc(100000);
	for (size_t i = 0; i < 99998; i++) {
		big[i] = i % 100 == 98 ? '\r' : i % 100 == 99 ? '\n' : 'b';
	}
	memcpy(big + 99996, "\r\n\0", 4);
	struct put early = put_of("alice@example.org", "Subject: early\r\n\r\nx\r\n");
	struct put huge = put_of("alice@example.org", big);
	commit_put(&early);
	commit_put(&huge);
	start();
	struct put fresh = put_of("alice@example.org", "Subject: fresh\r\n\r\n.x\r\n");
	struct put empty = put_of("bob@example.org", "Subject: nobody\r\n\r\n");
	commit_put(&fresh);
	commit_put(&empty);
	hand_over(&fresh, true);
	hand_over(&empty, false);
	wait_for_mails(4);
	wait_for_queue(0);
	assert_int_equal(having("Subject: early"), 1);
	assert_int_equal(having("Subject: fresh"), 1);
	assert_int_equal(having("Subject: nobody"), 1);
	assert_int_equal(having(big), 1);
	assert_int_equal(count_rows(bench->place.store, STORE_BODY), 0);
	wait_for_flying(0);
	assert_int_equal(status().relayed, 4);
	free(big);
}

static void test_many_once(void **state)
{
	(void)state;
	static const char *const accounts[] = { "a@x.org", "b@x.org", "c@x.org" };
	const size_t n = 1500;
	start();
	for (size_t i = 0; i < n; i++) {
		char text[100];
		snprintf(text, sizeof text, "Subject: %zu.\r\n\r\ntext\r\n", i);
		struct put put = put_of(accounts[i % 3], text);
		put.job.bytes = 100;
		commit_put(&put);
		if (i % 5) {
			hand_over(&put, i % 2);
		} else {
			delivery_tell(bench->server.delivery, DELIVERY_RELEASED, put.entry.id);
		}
	}
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, n);
	for (size_t i = 0; i < n; i += 97) {
		char text[100];
		snprintf(text, sizeof text, "Subject: %zu.\r\n", i);
		assert_int_equal(having(text), 1);
	}
	assert_in_range(bench->fake.most_at_once, 1, 4);
}

/* A session's loop may be so slow to hand over that all is done: it must not go twice. */
static void test_late_hand_over(void **state)
{
	(void)state;
	struct put put = put_of("alice@example.org", "Subject: once\r\n\r\n");
	commit_put(&put);
	start();
	wait_for_queue(0);
	hand_over(&put, true);
	hand_over(&put, true);
	usleep(50000);
	assert_int_equal(fake_count(&bench->fake, &bench->fake.nmails), 1);
}

/* SH02: later is later, and then it goes; the fresh ones do not wait for it. */
static void test_deferred(void **state)
{
	(void)state;
	fake_rules(&bench->fake,
	           (const struct fake_rule[]){ { "MAIL", "451 4.3.0 later", 1 }, { 0 } });
	start();
	struct put first = put_of("alice@example.org", "Subject: first\r\n\r\n");
	struct put second = put_of("alice@example.org", "Subject: second\r\n\r\n");
	commit_put(&first);
	hand_over(&first, true);
	for (size_t i = 0; status().deferred == 0 && i < PATIENCE; i++) {
		usleep(5000);
	}
	commit_put(&second);
	hand_over(&second, true);
	wait_for_queue(0);
	assert_non_null(strstr(bench->fake.mails[0].text, "second"));
	assert_non_null(strstr(bench->fake.mails[1].text, "first"));
}

/* SH01: no answer behind the dot. It goes again, with the same text. */
static void test_SH01_sent_again(void **state)
{
	(void)state;
	fake_rules(&bench->fake, (const struct fake_rule[]){ { ".", "!", 1 }, { 0 } });
	struct put put = put_of("alice@example.org", "Subject: twice\r\n\r\n");
	commit_put(&put);
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 2);
	assert_string_equal(bench->fake.mails[0].text, bench->fake.mails[1].text);
}

/* SH04: 250 once, 450 again and alone, 550 into one report, that comes behind. */
static void test_SH04_mixed(void **state)
{
	(void)state;
	static struct queue_recipient recipients[3];
	static const char *const addresses[] = { "good@x.org", "grey@x.org", "gone@x.org" };
	fake_rules(&bench->fake,
	           (const struct fake_rule[]){ { "RCPT TO:<grey", "450 4.2.1 grey", 1 },
	                                       { "RCPT TO:<gone", "550 5.1.1 unknown", 0 },
	                                       { 0 } });
	struct put put = put_of("alice@example.org", "Subject: mixed\r\n\r\n");
	for (size_t i = 0; i < 3; i++) {
		recipients[i] = (struct queue_recipient){ .address = span_str(addresses[i]) };
	}
	put.entry.recipients = recipients;
	put.entry.nrecipients = 3;
	commit_put(&put);
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 3);
	assert_string_equal(bench->fake.mails[0].to, "<good@x.org>");
	assert_string_equal(bench->fake.mails[1].to, "<grey@x.org>");
	assert_string_equal(bench->fake.mails[2].from, "<>");
	assert_string_equal(bench->fake.mails[2].to, "<alice@example.org>");
	assert_non_null(strstr(bench->fake.mails[2].text, "gone@x.org"));
	assert_non_null(strstr(bench->fake.mails[2].text, "550 5.1.1 unknown"));
	assert_null(strstr(bench->fake.mails[2].text, "grey@x.org"));
}

/* Null sender: no report. A report that is refused: no second one. */
static void test_no_double_bounce(void **state)
{
	(void)state;
	fake_rules(&bench->fake,
	           (const struct fake_rule[]){ { "RCPT", "550 5.1.1 no", 0 }, { 0 } });
	struct put null = put_of("alice@example.org", "Subject: null\r\n\r\n");
	struct put own = put_of("alice@example.org", "Subject: own\r\n\r\n");
	null.entry.sender = SPAN_NONE;
	commit_put(&null);
	commit_put(&own);
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 0);
	wait_for_flying(0);
	assert_int_equal(status().failed, 2);
}

/* A HELD entry is not sent, not even when it was handed over; a released one is. */
static void hold_job(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)now;
	queue_hold(txn, ((struct put *)job)->entry.id);
}

static void release_job(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	queue_release(txn, ((struct put *)job)->entry.id, now);
}

static void test_held(void **state)
{
	(void)state;
	start();
	struct put put = put_of("alice@example.org", "Subject: held\r\n\r\n");
	commit_put(&put);
	struct put hold = { .job = { .run = hold_job }, .entry = put.entry };
	assert_int_equal(commit_wait(bench->server.commit, &hold.job), STORE_OK);
	hand_over(&put, true); /* the hold was faster */
	usleep(50000);
	assert_int_equal(fake_count(&bench->fake, &bench->fake.nmails), 0);
	hold.job = (struct commit_job){ .run = release_job };
	assert_int_equal(commit_wait(bench->server.commit, &hold.job), STORE_OK);
	delivery_tell(bench->server.delivery, DELIVERY_RELEASED, put.entry.id);
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 1);
}

/* SH20: held while the smarthost is slow to answer RCPT: the dot is not written. */
static void test_SH20_held_in_flight(void **state)
{
	(void)state;
	fake_rules(&bench->fake,
	           (const struct fake_rule[]){ { "RCPT", "", 1 }, { "DATA", "", 1 }, { 0 } });
	start();
	struct put put = put_of("alice@example.org", "Subject: held\r\n\r\n");
	commit_put(&put);
	hand_over(&put, true);
	for (size_t i = 0; status().in_flight == 0 && i < PATIENCE; i++) {
		usleep(5000);
	}
	struct put hold = { .job = { .run = hold_job }, .entry = put.entry };
	assert_int_equal(commit_wait(bench->server.commit, &hold.job), STORE_OK);
	delivery_tell(bench->server.delivery, DELIVERY_HELD, put.entry.id);
	wait_for_flying(0);
	assert_int_equal(queued(), 1);
	assert_int_equal(fake_count(&bench->fake, &bench->fake.nmails), 0);
}

/* RX12, SH12: one connection a back-off whatever waits; then all of it, once. */
static void test_RX12_down(void **state)
{
	(void)state;
	const unsigned n = 300;
	fake_rules(&bench->fake, (const struct fake_rule[]){ { "<", "!", 0 }, { 0 } });
	for (size_t i = 0; i < n; i++) {
		struct put put = put_of(i % 2 ? "a@x.org" : "b@x.org", "Subject: wait\r\n\r\n");
		commit_put(&put);
	}
	bench->config->retry[1] = 1000;
	start();
	wait_for_down();
	usleep(1500000);
	assert_in_range(fake_count(&bench->fake, &bench->fake.connections), 1, 3);
	assert_int_equal(status().in_flight, 0);
	assert_int_equal(status().deferred, 0);
	fake_rules(&bench->fake, NULL);
	delivery_flush(bench->server.delivery);
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, n);
	assert_false(status().smarthost_down);
}

/* DU21: mails whose text is not whole keep nobody waiting, and are no fault of the smarthost.
 */
static void test_DU21_unreadable(void **state)
{
	(void)state;
	const unsigned n = 20;
	for (size_t i = 0; i < 2 * n; i++) {
		struct put put = put_of("a@x.org", "Subject: text\r\n\r\n");
		put.entry.size += i < n ? 20000 : 0; /* more than there is */
		commit_put(&put);
	}
	bench->config->retry[0] = 3600000;
	start();
	wait_for_mails(n);
	wait_for_queue(n);
	for (size_t i = 0; status().deferred < n && i < PATIENCE; i++) {
		usleep(5000);
	}
	assert_int_equal(status().deferred, n);
	assert_false(status().smarthost_down);
	assert_int_equal(bench->fake.nmails, n);
}

/* Deferred for an hour; when the smarthost has been down and is back, it is due at once. */
static void test_back(void **state)
{
	(void)state;
	fake_rules(&bench->fake, (const struct fake_rule[]){ { "DATA", "!", 4 }, { 0 } });
	bench->config->retry[0] = 3600000;
	for (size_t i = 0; i < 4; i++) {
		struct put put = put_of("a@x.org", "Subject: deferred\r\n\r\n");
		commit_put(&put);
	}
	start();
	wait_for_down();
	assert_int_equal(queued(), 4);
	swap_config(make_config(bench->fake.port)); /* a second again */
	struct put fresh = put_of("a@x.org", "Subject: probe\r\n\r\n");
	commit_put(&fresh);
	hand_over(&fresh, true);
	for (size_t i = 0; i < 4 && queued(); i++) {
		delivery_flush(bench->server.delivery);
		usleep(100000);
	}
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 5);
}

/* SH13: down longer than the lifetime. It fails without a word to the smarthost; the report
 * goes when there is one. */
static void test_SH13_expired(void **state)
{
	(void)state;
#ifndef GATEPOST_HOOKS
	return;
#endif
	fake_rules(&bench->fake, (const struct fake_rule[]){ { "<", "!", 0 }, { 0 } });
	bench->config->retry[1] = 1000;
	start();
	struct put put = put_of("alice@example.org", "Subject: expired\r\n\r\n");
	commit_put(&put);
	hand_over(&put, true);
	wait_for_down();
	advance(bench->config->lifetime);
	for (size_t i = 0;; i++) {
		struct store_txn *txn = reading(bench->place.store);
		struct arena arena;
		struct queue_entry entry;
		arena_init(&arena, QUEUE_ENTRY_MAX);
		assert_int_equal(queue_get(txn, put.entry.id, &arena, &entry), STORE_OK);
		bool failed = entry.recipients[0].state == RECIPIENT_FAILED;
		arena_done(&arena);
		store_abort(txn);
		if (failed) {
			break;
		}
		assert_true(i < PATIENCE);
		usleep(5000);
	}
	fake_rules(&bench->fake, NULL);
	delivery_flush(bench->server.delivery);
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 1);
	assert_string_equal(bench->fake.mails[0].from, "<>");
	assert_non_null(strstr(bench->fake.mails[0].text, "4.4.7"));
}

/* What makes room must go on when there is none. */
static void test_no_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < 50; i++) {
		struct put put = put_of("a@x.org", "Subject: full\r\n\r\n");
		commit_put(&put);
	}
	store_resize(bench->place.store, 1);
	store_measure(bench->place.store);
	assert_int_equal(store_room(bench->place.store), STORE_NO_ROOM);
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 50);
}

/* A reload between two mails: a new pool for a new port, the old one's link says QUIT. */
static void test_reload(void **state)
{
	(void)state;
	static struct fake other; /* too large for a stack */
	fake_start(&other, 0, 0);
	start();
	for (size_t i = 0; i < 2; i++) {
		struct put put = put_of("a@x.org", "Subject: reload\r\n\r\n");
		commit_put(&put);
		hand_over(&put, true);
		wait_for_queue(0);
		if (i == 0) {
			swap_config(make_config(other.port));
			delivery_reload(bench->server.delivery);
		}
	}
	assert_int_equal(fake_count(&bench->fake, &bench->fake.nmails), 1);
	assert_int_equal(fake_count(&other, &other.nmails), 1);
	stop();
	fake_stop(&other);
}

/* Stopped with mail on the way that is not answered: it is there for the next start. */
static void test_stop(void **state)
{
	(void)state;
	fake_rules(&bench->fake,
	           (const struct fake_rule[]){ { "RCPT", "", 0 }, { "DATA", "", 0 }, { 0 } });
	start();
	for (size_t i = 0; i < 20; i++) {
		struct put put = put_of("a@x.org", "Subject: stopped\r\n\r\n");
		commit_put(&put);
		hand_over(&put, true);
	}
	for (size_t i = 0; status().in_flight == 0 && i < PATIENCE; i++) {
		usleep(5000);
	}
	delivery_stop(bench->server.delivery, 100);
	assert_int_equal(queued(), 20);
	fake_rules(&bench->fake, NULL);
	start();
	wait_for_queue(0);
	assert_int_equal(bench->fake.nmails, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_all_ways),
		T(test_many_once),
		T(test_late_hand_over),
		T(test_deferred),
		T(test_SH01_sent_again),
		T(test_SH04_mixed),
		T(test_no_double_bounce),
		T(test_held),
		T(test_SH20_held_in_flight),
		T(test_RX12_down),
		T(test_DU21_unreadable),
		T(test_back),
		T(test_SH13_expired),
		T(test_no_room),
		T(test_reload),
		T(test_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
