#include "server/commit.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "server/forget.h"
#include "server/log.h"
#include "store/journal.h"

#define BATCH_BYTES        ((size_t)4 * 1024 * 1024)
#define BATCH_STAGED_BYTES ((size_t)1024 * 1024)
#define BATCH_JOBS         512
#define MEASURE_MS         1000
#define MEASURE_PART       64 /* or when so small a part of the store was written */
#define TRIM_MS            60000
#define TRIM_ROWS          2000

struct job_list {
	struct commit_job *first;
	struct commit_job **last;
};

struct commit {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;     /* something was submitted, or stopping */
	pthread_cond_t finished; /* a waited-for job is done */
	struct job_list jobs;
	struct job_list staged;
	bool stopping;
	int64_t journal_keep;
	struct familiar_rules history;
	void (*fatal)(void *context);
	void *context;
	/* the writer's own */
	bool failed;
	uint64_t written; /* bytes, since the last measure */
	int64_t measured_at;
	int64_t trimmed_at;
	struct forget forget;
};

struct commit_port {
	uv_async_t async;
	pthread_mutex_t lock;
	struct job_list done;
	size_t outstanding; /* submitted and not yet served; its loop only */
};

static void list_init(struct job_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct job_list *list, struct commit_job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

static struct commit_job *list_take(struct job_list *list)
{
	struct commit_job *job = list->first;
	if (job) {
		list->first = job->next;
		if (!list->first) {
			list->last = &list->first;
		}
	}
	return job;
}

static int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- ports ---- */

static void port_serve(uv_async_t *async)
{
	struct commit_port *port = async->data;
	pthread_mutex_lock(&port->lock);
	struct commit_job *job = port->done.first;
	list_init(&port->done);
	pthread_mutex_unlock(&port->lock);
	while (job) {
		struct commit_job *next = job->next;
		port->outstanding--;
		job->done(job, job->result);
		job = next;
	}
}

size_t commit_port_outstanding(const struct commit_port *port)
{
	return port->outstanding;
}

struct commit_port *commit_port_new(struct commit *commit, uv_loop_t *loop)
{
	(void)commit;
	struct commit_port *port = calloc(1, sizeof *port);
	if (!port) {
		return NULL;
	}
	pthread_mutex_init(&port->lock, NULL);
	list_init(&port->done);
	if (uv_async_init(loop, &port->async, port_serve)) {
		free(port);
		return NULL;
	}
	port->async.data = port;
	return port;
}

static void port_free(uv_handle_t *handle)
{
	struct commit_port *port = handle->data;
	pthread_mutex_destroy(&port->lock);
	free(port);
}

void commit_port_close(struct commit_port *port)
{
	if (port) {
		assert(!port->outstanding);
		uv_close((uv_handle_t *)&port->async, port_free);
	}
}

/* ---- the writer ---- */

/* Up to `bytes` of jobs from `from`; at least one when there is one. */
static void batch_take(struct job_list *batch, struct job_list *from, size_t bytes)
{
	size_t sum = 0;
	for (size_t n = 0; from->first && n < BATCH_JOBS && sum < bytes; n++) {
		struct commit_job *job = list_take(from);
		sum += job->bytes;
		list_add(batch, job);
	}
}

static void give_back(struct commit *commit, struct job_list *batch)
{
	struct commit_job *job;
	while ((job = list_take(batch))) {
		struct commit_port *port = job->port;
		if (job->waiter) {
			pthread_mutex_lock(&commit->lock);
			*job->waiter = true;
			pthread_cond_broadcast(&commit->finished);
			pthread_mutex_unlock(&commit->lock);
		} else if (!job->done) {
			continue;
		} else if (!port) {
			job->done(job, job->result);
		} else {
			pthread_mutex_lock(&port->lock);
			bool idle = !port->done.first;
			list_add(&port->done, job);
			/* Inside the lock: the port can not be closed between the two. */
			if (idle) {
				uv_async_send(&port->async);
			}
			pthread_mutex_unlock(&port->lock);
		}
	}
}

static void fail_for_good(struct commit *commit, const char *reason)
{
	if (!commit->failed) {
		commit->failed = true;
		log_fault(LOG_LEVEL_ERROR, "commit-failed", reason);
		commit->fatal(commit->context);
	}
}

/* One transaction with all jobs from `first` on to `end`; nothing of it remains when it is not
 * OK. */
static enum store_result run_together(struct commit *commit, struct commit_job *first,
                                      const struct commit_job *end)
{
	struct error error = { .text = "" };
	if (commit->failed) {
		return STORE_FAILED;
	}
	struct store_txn *txn = store_begin_write(commit->store, &error);
	if (!txn) {
		fail_for_good(commit, error.text);
		return STORE_FAILED;
	}
	int64_t now = store_now(commit->store);
	for (struct commit_job *job = first; job != end; job = job->next) {
		job->run(job, txn, now);
		commit->written += job->bytes;
		if (store_txn_result(txn) != STORE_OK) {
			enum store_result result = store_txn_result(txn);
			store_abort(txn);
			return result;
		}
	}
	enum store_result result = store_commit(txn, &error);
	if (result != STORE_OK && result != STORE_FULL) {
		/* Its outcome is unknown: a 250 would be a guess and so would a second try. */
		fail_for_good(commit, error.text);
	}
	return result;
}

static void run_batch(struct commit *commit, struct job_list *batch)
{
	if (!batch->first) {
		return;
	}
	enum store_result result = run_together(commit, batch->first, NULL);
	bool alone = !batch->first->next;
	for (struct commit_job *job = batch->first; job; job = job->next) {
		/* A batch that failed is run again one by one: a damaged row or a full store is
		 * one job's fate. */
		bool again = result != STORE_OK && !alone && !commit->failed;
		job->result = again ? run_together(commit, job, job->next) : result;
	}
	give_back(commit, batch);
}

/* A second is enough for a large store to overshoot its mark by little, not for a small one. */
static void measure(struct commit *commit, int64_t now)
{
	bool much = commit->written >= store_size(commit->store) / MEASURE_PART;
	if (much || now - commit->measured_at >= (commit->written ? MEASURE_MS : TRIM_MS)) {
		store_measure(commit->store);
		commit->measured_at = now;
		commit->written = 0;
	}
}

/* True when there is more. */
static bool trim_journal(struct commit *commit, int64_t before)
{
	struct error error;
	struct store_txn *txn = store_begin_write(commit->store, &error);
	size_t deleted = 0;
	if (!txn || journal_trim(txn, before, TRIM_ROWS, &deleted) != STORE_OK || !deleted) {
		store_abort(txn);
		return false;
	}
	if (store_commit(txn, &error) != STORE_OK) {
		log_fault(LOG_LEVEL_WARNING, "journal-trim-failed", error.text);
	}
	return deleted == TRIM_ROWS;
}

static void housekeeping(struct commit *commit)
{
	int64_t now = monotonic_ms();
	measure(commit, now);
	if (commit->failed || now - commit->trimmed_at < TRIM_MS) {
		return;
	}
	int64_t at = store_now(commit->store);
	commit->trimmed_at = now;
	pthread_mutex_lock(&commit->lock);
	int64_t before = at - commit->journal_keep;
	commit->forget.rules = commit->history;
	pthread_mutex_unlock(&commit->lock);
	bool more = trim_journal(commit, before);
	if (forget_step(&commit->forget, commit->store, at) || more) {
		commit->trimmed_at = now - TRIM_MS + MEASURE_MS;
	}
}

/* Waits for work, at most until the next housekeeping. False when there will be none any more.
 */
static bool wait_for_work(struct commit *commit)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += commit->written ? 1 : 30;
	while (!commit->jobs.first && !commit->staged.first) {
		if (commit->stopping) {
			return false;
		}
		if (pthread_cond_timedwait(&commit->work, &commit->lock, &until)) {
			break;
		}
	}
	return true;
}

static void *writer(void *context)
{
	struct commit *commit = context;
	for (;;) {
		struct job_list jobs, staged;
		list_init(&jobs);
		list_init(&staged);
		pthread_mutex_lock(&commit->lock);
		bool more = wait_for_work(commit);
		batch_take(&jobs, &commit->jobs, BATCH_BYTES);
		batch_take(&staged, &commit->staged, BATCH_STAGED_BYTES);
		pthread_mutex_unlock(&commit->lock);
		if (!more) {
			return NULL;
		}
		if (!jobs.first) {
			jobs = staged;
		} else if (staged.first) {
			/* Staged rows go with the messages, behind them: one sync for both. */
			*jobs.last = staged.first;
			jobs.last = staged.last;
		}
		if (jobs.first) {
			run_batch(commit, &jobs);
		}
		housekeeping(commit);
	}
}

/* ---- the others ---- */

struct commit *commit_start(struct store *store, int64_t journal_keep,
                            void (*fatal)(void *context), void *context, struct error *error)
{
	struct commit *commit = calloc(1, sizeof *commit);
	if (!commit) {
		error_set(error, "out of memory");
		return NULL;
	}
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&commit->lock, NULL);
	pthread_cond_init(&commit->work, &monotonic);
	pthread_cond_init(&commit->finished, NULL);
	pthread_condattr_destroy(&monotonic);
	list_init(&commit->jobs);
	list_init(&commit->staged);
	commit->store = store;
	commit->journal_keep = journal_keep;
	commit->fatal = fatal;
	commit->context = context;
	if (pthread_create(&commit->thread, NULL, writer, commit)) {
		error_set(error, "cannot start the writer thread");
		free(commit);
		return NULL;
	}
	return commit;
}

void commit_stop(struct commit *commit)
{
	if (!commit) {
		return;
	}
	pthread_mutex_lock(&commit->lock);
	commit->stopping = true;
	pthread_cond_signal(&commit->work);
	pthread_mutex_unlock(&commit->lock);
	pthread_join(commit->thread, NULL);
	pthread_cond_destroy(&commit->work);
	pthread_cond_destroy(&commit->finished);
	pthread_mutex_destroy(&commit->lock);
	free(commit);
}

void commit_journal_keep(struct commit *commit, int64_t journal_keep)
{
	pthread_mutex_lock(&commit->lock);
	commit->journal_keep = journal_keep;
	pthread_mutex_unlock(&commit->lock);
}

void commit_history_rules(struct commit *commit, const struct familiar_rules *rules)
{
	pthread_mutex_lock(&commit->lock);
	commit->history = *rules;
	pthread_mutex_unlock(&commit->lock);
}

void commit_submit(struct commit *commit, struct commit_job *job)
{
	if (job->port) {
		job->port->outstanding++;
	}
	pthread_mutex_lock(&commit->lock);
	assert(!commit->stopping);
	bool idle = !commit->jobs.first && !commit->staged.first;
	list_add(job->staged ? &commit->staged : &commit->jobs, job);
	if (idle) {
		pthread_cond_signal(&commit->work);
	}
	pthread_mutex_unlock(&commit->lock);
}

enum store_result commit_wait(struct commit *commit, struct commit_job *job)
{
	bool finished = false;
	job->waiter = &finished;
	commit_submit(commit, job);
	pthread_mutex_lock(&commit->lock);
	while (!finished) {
		pthread_cond_wait(&commit->finished, &commit->lock);
	}
	pthread_mutex_unlock(&commit->lock);
	job->waiter = NULL;
	return job->result;
}
