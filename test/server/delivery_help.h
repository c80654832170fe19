/* The whole way from a committed entry to a smarthost, with the true store, writer and thread.
 */
#ifndef GATEPOST_TEST_SERVER_DELIVERY_HELP_H
#define GATEPOST_TEST_SERVER_DELIVERY_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/server.h"
#include "test/server/fake_smarthost.h"
#include "test/store/queue_help.h"

#define PATIENCE 4000 /* turns of 5 ms, of a test that would hang */

struct bench {
	struct place place;
	struct server server;
	struct config *config;
	struct fake fake;
};

static struct bench *bench;

static inline void fatal(void *context)
{
	(void)context;
	abort();
}

static inline struct config *make_config(unsigned port)
{
	static char hostname[] = "gatepost.example.org", name[] = "mta",
		    address[] = "127.0.0.1", from[] = "postmaster@example.org",
		    reply[] = "unlock+*@gatepost.example.org", contact[] = "";
	static struct span postmaster = SPAN_LIT("postmaster@example.org");
	struct config *config = calloc(1, sizeof *config);
	config->references = 1;
	config->hostname = hostname;
	config->notice_from = from;
	config->reply_address = reply;
	config->contact = contact;
	config->postmaster = &postmaster;
	config->npostmaster = 1;
	config->nretry = 2;
	config->retry[0] = 1000;
	config->retry[1] = 3600000;
	config->lifetime = 3600000;
	config->nsmarthosts = 1;
	config->smarthost[0] =
	    (struct config_smarthost){ name, address, port, SMTP_CLIENT_TLS_NONE, 4, 100 };
	return config;
}

/* As a reload does: threads may be reading the one that is there. */
static inline void swap_config(struct config *config)
{
	pthread_mutex_lock(&bench->server.lock);
	struct config *old = bench->server.config;
	bench->server.config = bench->config = config;
	pthread_mutex_unlock(&bench->server.lock);
	config_unref(old);
}

static inline void start(void)
{
	struct error error = { "" };
	bench->server.delivery = delivery_start(&bench->server, &error);
	if (!bench->server.delivery) {
		fail_msg("delivery_start: %s", error.text);
	}
}

static inline void stop(void)
{
	delivery_stop(bench->server.delivery, 2000);
	bench->server.delivery = NULL;
}

static inline int setup(void **state)
{
	void *place;
	place_setup(&place);
	bench = calloc(1, sizeof *bench);
	bench->place = *(struct place *)place;
	free(place);
	fake_start(&bench->fake, 0, 0);
	bench->config = make_config(bench->fake.port);
	pthread_mutex_init(&bench->server.lock, NULL);
	bench->server.config = bench->config;
	bench->server.store = bench->place.store;
	bench->server.commit = commit_start(bench->place.store, 3600000, fatal, NULL, NULL);
	*state = bench;
	return bench->server.commit ? 0 : -1;
}

static inline int teardown(void **state)
{
	(void)state;
	stop();
	commit_stop(bench->server.commit);
	fake_stop(&bench->fake);
	config_unref(bench->config);
	pthread_mutex_destroy(&bench->server.lock);
	void *place = calloc(1, sizeof(struct place));
	*(struct place *)place = bench->place;
	place_teardown(&place);
	free(bench);
	return 0;
}

/* ---- entries ---- */

struct put {
	struct commit_job job;
	struct queue_entry entry;
	struct span text;
};

static inline void put_job(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct put *put = (struct put *)job;
	uint32_t next;
	put->entry.accepted_at += now;
	put->entry.next_at += now;
	body_put(txn, put->entry.id, 0, put->text, &next);
	queue_put(txn, &put->entry);
}

static inline struct put put_of(const char *account, const char *text)
{
	struct put put = { .job = { .run = put_job, .bytes = 1000 }, .text = span_str(text) };
	put.entry = entry_of(store_next_id(bench->place.store), account, strlen(text), 0);
	put.entry.accepted_at = 0;
	put.entry.accepted_wall = 1700000000000;
	return put;
}

static inline void commit_put(struct put *put)
{
	assert_int_equal(commit_wait(bench->server.commit, &put->job), STORE_OK);
}

/* As a session does behind its commit. */
static inline void hand_over(const struct put *put, bool with_body)
{
	struct buf body;
	struct queue_due due = {
		.next_at = put->entry.next_at,
		.id = put->entry.id,
		.account = queue_account_hash(put->entry.account),
	};
	buf_init(&body, DELIVERY_BODY_MAX);
	if (with_body) {
		buf_put(&body, put->text);
	}
	delivery_hand_over(bench->server.delivery, &due, &body);
	assert_int_equal(body.len, 0);
}

static inline size_t queued(void)
{
	return count_rows(bench->place.store, STORE_QUEUE);
}

static inline void wait_for_mails(unsigned n)
{
	for (size_t i = 0; fake_count(&bench->fake, &bench->fake.nmails) < n; i++) {
		if (i == PATIENCE) {
			fail_msg("%u of %u mails came",
			         fake_count(&bench->fake, &bench->fake.nmails), n);
		}
		usleep(5000);
	}
}

static inline void wait_for_queue(size_t n)
{
	for (size_t i = 0; queued() != n; i++) {
		if (i == PATIENCE) {
			fail_msg("%zu queued, want %zu", queued(), n);
		}
		usleep(5000);
	}
}

static inline struct delivery_status status(void)
{
	struct delivery_status status;
	delivery_status(bench->server.delivery, &status);
	return status;
}

/* Behind wait_for_queue with 0: all that was done is counted. */
static inline void wait_for_flying(uint64_t n)
{
	for (size_t i = 0; status().in_flight != n; i++) {
		if (i == PATIENCE) {
			fail_msg("%d in flight", (int)status().in_flight);
		}
		usleep(5000);
	}
}

static inline void wait_for_down(void)
{
	for (size_t i = 0; !status().smarthost_down && i < PATIENCE; i++) {
		usleep(5000);
	}
	assert_true(status().smarthost_down);
}

/* How many mails that came have `text`. */
static inline unsigned having(const char *text)
{
	unsigned n = 0;
	for (unsigned i = 0; i < bench->fake.nmails; i++) {
		n += strstr(bench->fake.mails[i].text, text) != NULL;
	}
	return n;
}

static inline void advance(int64_t ms)
{
#ifdef GATEPOST_HOOKS
	store_advance(bench->place.store, ms);
	delivery_tell(bench->server.delivery, DELIVERY_RELEASED, 0);
#else
	(void)ms;
#endif
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
