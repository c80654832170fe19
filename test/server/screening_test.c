#include "server/screening.h"

#include "test/proto/check.h"
#include "test/server/delivery_help.h"

#define HOUR ((int64_t)60 * 60 * 1000)

static struct server *server;

static struct network network(const char *text)
{
	struct network network;
	const char *reason;
	assert_true(network_parse(span_str(text), &network, &reason));
	return network;
}

static void open_screening(void)
{
	struct error error = { "" };
	server->screening = screening_start(server, &error);
	if (!server->screening) {
		fail_msg("screening_start: %s", error.text);
	}
}

static int begin(void **state)
{
	static struct network exempt;
	if (setup(state)) {
		return -1;
	}
	server = &bench->server;
	exempt = network("192.0.2.0/25");
	bench->config->screen_exempt = &exempt;
	bench->config->nscreen_exempt = 1;
	start();
	open_screening();
	return 0;
}

static int end(void **state)
{
	screening_stop(server->screening);
	return teardown(state);
}

static void restart(void)
{
	screening_stop(server->screening);
	open_screening();
}

/* A wrong password. */
static int64_t miss(const char *address, const char *account, uint64_t guess)
{
	unsigned char bytes[16], digest[SCREEN_GUESS_BYTES];
	assert_true(network_address_parse(span_str(address), bytes));
	memcpy(digest, &guess, sizeof digest);
	struct screen_try attempt = { .address = bytes,
		                      .account = span_str(account),
		                      .guess = digest };
	return screening_failed(server, &attempt);
}

static void miss_often(const char *address, const char *account, unsigned n)
{
	static uint64_t guess;
	while (n--) {
		miss(address, account, ++guess);
	}
}

static bool admits(const char *address)
{
	unsigned char bytes[16];
	assert_true(network_address_parse(span_str(address), bytes));
	return screening_admits(server, bytes);
}

static bool may_try(const char *address, const char *account)
{
	unsigned char bytes[16];
	assert_true(network_address_parse(span_str(address), bytes));
	struct screen_try attempt = { .address = bytes, .account = span_str(account) };
	return screening_may_try(server, &attempt);
}

/* Rows of the store, once the writer has done all that it was told. */
static size_t rows(void)
{
	struct store_walk walk;
	struct span key, row;
	size_t n = 0;
	restart();
	struct store_txn *txn = store_begin_read(server->store, NULL);
	store_walk_begin(&walk, txn, STORE_SCREEN, SPAN_NONE, SPAN_NONE);
	while (store_walk_next(&walk, &key, &row)) {
		n++;
	}
	store_walk_end(&walk);
	store_abort(txn);
	return n;
}

/* AU14 */
static void blocks_survive_a_restart(void **state)
{
	(void)state;
	struct network site = network("10.0.0.0/8");
	miss_often("198.51.100.7", "alice", 10);
	assert_true(screening_add(server, &site, INT64_MAX));
	for (int i = 0; i < 3; i++) {
		assert_false(admits("198.51.100.7"));
		assert_false(admits("10.1.2.3"));
		assert_true(admits("198.51.100.8"));
		assert_int_equal(screening_count(server), 2);
		restart();
	}
	assert_int_equal(rows(), 2);
	struct network one = network("198.51.100.0/24");
	assert_true(screening_remove(server, &one));
	assert_false(screening_remove(server, &one));
	assert_true(screening_remove(server, &site));
	assert_int_equal(rows(), 0);
	assert_true(admits("198.51.100.7") && admits("10.1.2.3"));
}

static void run_rubbish(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)job, (void)now;
	store_put(txn, STORE_SCREEN, SPAN_LIT("rubbish"), SPAN_LIT("x"));
	store_put(txn, STORE_SCREEN, SPAN_LIT("123456789012345678"), SPAN_LIT("\1"));
}

static void rows_that_make_no_sense_go(void **state)
{
	(void)state;
	struct commit_job job = { .run = run_rubbish };
	miss_often("198.51.100.7", "alice", 10);
	assert_int_equal(commit_wait(server->commit, &job), STORE_OK);
	restart();
	assert_int_equal(rows(), 1);
	assert_false(admits("198.51.100.7"));
}

#ifdef GATEPOST_HOOKS
static void what_is_over_and_forgotten_goes(void **state)
{
	(void)state;
	miss_often("198.51.100.7", "alice", 10);
	store_advance(server->store, HOUR);
	assert_true(admits("198.51.100.7"));
	assert_int_equal(screening_count(server), 0);
	assert_int_equal(rows(), 1); /* the next block will be a day */
	miss_often("198.51.100.7", "alice", 10);
	store_advance(server->store, 2 * HOUR);
	assert_false(admits("198.51.100.7"));
	store_advance(server->store, 40 * 24 * HOUR);
	/* Each row that is written looks after some others. */
	struct network other = network("10.0.0.0/8");
	assert_true(screening_add(server, &other, store_now(server->store) + HOUR));
	assert_int_equal(rows(), 1);
}
#endif

static void exempt_networks_pass(void **state)
{
	(void)state;
	struct network all = network("0.0.0.0/0");
	miss_often("192.0.2.7", "alice", 500);
	assert_true(admits("192.0.2.7"));
	assert_true(may_try("198.51.100.1", "alice"));
	assert_true(screening_add(server, &all, INT64_MAX));
	assert_true(admits("192.0.2.7"));
	assert_false(admits("192.0.2.200"));
	for (unsigned n = 0; n < 30; n++) {
		char address[64];
		snprintf(address, sizeof address, "100.64.%u.1", n);
		miss_often(address, "alice", 1);
	}
	assert_true(may_try("192.0.2.7", "alice"));
	assert_false(may_try("198.51.100.1", "alice"));
}

/* ---- notices ---- */

static size_t mails(void)
{
	pthread_mutex_lock(&bench->fake.lock);
	size_t n = bench->fake.nmails;
	pthread_mutex_unlock(&bench->fake.lock);
	return n;
}

static const char *wait_mail(size_t n)
{
	for (int i = 0; i < PATIENCE && mails() < n; i++) {
		usleep(5000);
	}
	assert_true(mails() >= n);
	return bench->fake.mails[n - 1].text;
}

static void want(const char *mail, const char *text)
{
	if (!strstr(mail, text)) {
		fail_msg("no \"%s\" in:\n%s", text, mail);
	}
}

static void one_notice_of_a_kind_an_hour(void **state)
{
	(void)state;
	miss_often("198.51.100.7", "p4ssw0rd", 10);
	const char *mail = wait_mail(1);
	want(mail, "Subject: Logins shut out\r\n");
	want(mail, "10 logins from 198.51.100.7 failed");
	want(mail, "gatepostctl screen remove NETWORK\r\n");
	want(mail, "Auto-Submitted: auto-generated\r\n");
	assert_null(strstr(mail, "Reply-To:"));
	/* People type their passwords into the wrong field. */
	assert_null(strstr(mail, "p4ssw0rd"));
	want(mail, "unknown:");
	for (unsigned n = 10; n < 20; n++) {
		char address[64];
		snprintf(address, sizeof address, "100.64.%u.1", n);
		miss_often(address, "bob", 10);
	}
	/* Another kind is not kept back. */
	screening_alarm(server, SCREENING_BACKEND, SPAN_LIT("x: refused\r\nSubject: forged"));
	bool guess = strstr(wait_mail(2), "Subject: An account is being guessed");
	mail = wait_mail(3);
	want(guess ? mail : wait_mail(2), "Subject: Logins can not be checked\r\n");
	assert_null(strstr(mail, "\nSubject: forged"));
	assert_int_equal(mails(), 3);
#ifdef GATEPOST_HOOKS
	store_advance(server->store, HOUR);
	miss_often("100.65.1.1", "carol", 10);
	want(wait_mail(4), "more since the last");
#endif
}

static void none_without_postmasters(void **state)
{
	(void)state;
	bench->config->npostmaster = 0;
	miss_often("198.51.100.7", "alice", 10);
	assert_false(admits("198.51.100.7"));
	restart();
	bench->config->npostmaster = 1;
	screening_alarm(server, SCREENING_UNKNOWN_ACCOUNT, SPAN_LIT("who"));
	want(wait_mail(1), "Subject: A login without an account\r\n");
}

static void each_kind_has_its_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < SCREENING_ALARMS; i++) {
		screening_alarm(server, (enum screening_alarm)i, SPAN_LIT("this was seen"));
		const char *mail = wait_mail(i + 1);
		want(mail, "What was seen: this was seen.\r\n");
		want(mail, "What Gatepost did: It ");
		want(mail,
		     i == SCREENING_BACKEND ? "\r\n  journalctl -u " : "\r\n  gatepostctl ");
	}
}

/* ---- threads ---- */

static void *busy(void *context)
{
	const unsigned *number = context;
	for (unsigned n = 0; n < 2000; n++) {
		char address[64];
		snprintf(address, sizeof address, "100.%u.%u.1", 64 + *number, n / 20);
		miss(address, "alice", n);
		admits(address);
		may_try(address, "alice");
	}
	return NULL;
}

static void from_many_threads(void **state)
{
	(void)state;
	pthread_t threads[3];
	unsigned numbers[COUNT(threads)];
	for (unsigned i = 0; i < COUNT(threads); i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, busy, &numbers[i]), 0);
	}
	for (size_t i = 0; i < COUNT(threads); i++) {
		pthread_join(threads[i], NULL);
	}
	assert_int_equal(screening_count(server), 300);
	assert_int_equal(rows(), 300);
	assert_int_equal(screening_count(server), 300);
}

int main(void)
{
#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		SCENE(blocks_survive_a_restart),
		SCENE(rows_that_make_no_sense_go),
#ifdef GATEPOST_HOOKS
		SCENE(what_is_over_and_forgotten_goes),
#endif
		SCENE(exempt_networks_pass),
		SCENE(one_notice_of_a_kind_an_hour),
		SCENE(none_without_postmasters),
		SCENE(each_kind_has_its_text),
		SCENE(from_many_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
