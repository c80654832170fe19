#include "server/screening.h"

#include <stdlib.h>

#include "server/screening_tell.h"
#include "server/wall.h"
#include "server/worker.h"

#define HOUR ((int64_t)60 * 60 * 1000)
/* Rows looked at with each that is written: what the screen has driven out of its memory goes
 * out of the store, too, before it grows. */
#define TIDY_ROWS 8

struct screening {
	struct server *server;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* `jobs` is 0 */
	struct screen *screen;
	size_t jobs; /* at the writer */
	struct {
		int64_t told;  /* T; 0: never */
		uint64_t more; /* that were not told of, since then */
	} alarms[SCREENING_ALARMS];
	/* The writer's own: the key up to which it has tidied. */
	char hand[SCREEN_ROW_MAX];
	size_t hand_len;
};

static struct screening *lock_of(struct server *server)
{
	pthread_mutex_lock(&server->screening->lock);
	return server->screening;
}

static void unlock(struct screening *s)
{
	pthread_mutex_unlock(&s->lock);
}

/* ---- rows, on the writer ---- */

/* What the screen knows by now is what the row says, whoever was first. */
static bool find(struct screening *s, const struct screen_block *wanted, int64_t now,
                 struct screen_block *block_out)
{
	pthread_mutex_lock(&s->lock);
	bool known = screen_find(s->screen, &wanted->network, wanted->by_hand, now, block_out);
	unlock(s);
	return known;
}

static void write_row(struct screening *s, struct store_txn *txn,
                      const struct screen_block *wanted, int64_t now)
{
	struct screen_block block;
	struct buf key = { .cap = SCREEN_ROW_MAX }, row = { .cap = SCREEN_ROW_MAX };
	screen_block_key(wanted, &key);
	if (key.failed) {
		store_txn_fail(txn, STORE_FAILED);
	} else if (!find(s, wanted, now, &block)) {
		store_del(txn, STORE_SCREEN, buf_span(&key));
	} else {
		screen_block_pack(&block, &row);
		if (row.failed) {
			store_txn_fail(txn, STORE_FAILED);
		} else {
			store_put(txn, STORE_SCREEN, buf_span(&key), buf_span(&row));
		}
	}
	buf_done(&key);
	buf_done(&row);
}

/* Looks at up to `most` rows behind the hand; those that make no sense, or that the screen has
 * forgotten, are deleted. */
static void tidy(struct screening *s, struct store_txn *txn, int64_t now, size_t most)
{
	struct store_walk walk;
	struct span key, row;
	char from[SCREEN_ROW_MAX + 1];
	memcpy(from, s->hand, s->hand_len);
	from[s->hand_len] = '\0'; /* the first key behind it */
	store_walk_begin(&walk, txn, STORE_SCREEN,
	                 span_of(from, s->hand_len ? s->hand_len + 1 : 0), SPAN_NONE);
	size_t n = 0;
	while (n < most && store_walk_next(&walk, &key, &row)) {
		struct screen_block block;
		s->hand_len = key.len < sizeof s->hand ? key.len : 0;
		memcpy(s->hand, key.ptr, s->hand_len);
		if (!screen_block_unpack(key, row, &block) || !find(s, &block, now, &block)) {
			store_walk_del(&walk);
		}
		n++;
	}
	store_walk_end(&walk);
	s->hand_len = n == most ? s->hand_len : 0;
}

/* Rows of a network that was let in, and inside it. */
static void write_rows_inside(struct screening *s, struct store_txn *txn,
                              const struct network *network, int64_t now)
{
	struct store_walk walk;
	struct span key, row;
	store_walk_begin(&walk, txn, STORE_SCREEN, SPAN_NONE,
	                 span_of(network->address, network->bits / 8));
	while (store_walk_next(&walk, &key, &row)) {
		struct screen_block block;
		if (!screen_block_unpack(key, row, &block) || !find(s, &block, now, &block)) {
			store_walk_del(&walk);
		}
	}
	store_walk_end(&walk);
}

/* ---- jobs ---- */

struct screening_job {
	struct commit_job job;
	struct screening *s;
	/* of a row */
	struct screen_block block;
	bool inside;
	/* of a notice */
	struct config *config;
	enum screening_alarm alarm;
	int64_t wall;
	size_t len;
	char note[];
};

static void run_row(struct commit_job *base, struct store_txn *txn, int64_t now)
{
	struct screening_job *job = (struct screening_job *)base;
	if (job->inside) {
		write_rows_inside(job->s, txn, &job->block.network, now);
	} else {
		write_row(job->s, txn, &job->block, now);
	}
	tidy(job->s, txn, now, TIDY_ROWS);
}

static void run_notice(struct commit_job *base, struct store_txn *txn, int64_t now)
{
	struct screening_job *job = (struct screening_job *)base;
	struct suspend_rules rules = config_suspend_rules(job->config);
	suspend_put_notice(txn, &rules, QUEUE_NOTICE_EVENT, 0, span_of(job->note, job->len),
	                   now, job->wall);
}

static void job_done(struct commit_job *base, enum store_result result)
{
	struct screening_job *job = (struct screening_job *)base;
	struct screening *s = job->s;
	if (job->config && result == STORE_OK) {
		delivery_tell(s->server->delivery, DELIVERY_RELEASED, 0);
	}
	config_unref(job->config);
	pthread_mutex_lock(&s->lock);
	if (job->config && result != STORE_OK) {
		s->alarms[job->alarm].told = 0; /* the next one tries again */
	}
	if (--s->jobs == 0) {
		pthread_cond_broadcast(&s->idle);
	}
	unlock(s);
	free(job);
}

/* NULL without memory: a row comes with the next block then. */
static struct screening_job *job_new(struct screening *s, struct span note,
                                     void (*run)(struct commit_job *job, struct store_txn *txn,
                                                 int64_t now))
{
	struct screening_job *job = calloc(1, sizeof *job + note.len);
	if (!job) {
		return NULL;
	}
	job->job = (struct commit_job){ .run = run, .done = job_done, .bytes = 1024 };
	job->s = s;
	job->len = note.len;
	if (note.len) {
		memcpy(job->note, note.ptr, note.len);
	}
	return job;
}

static void submit(struct screening_job *job)
{
	pthread_mutex_lock(&job->s->lock);
	job->s->jobs++;
	unlock(job->s);
	commit_submit(job->s->server->commit, &job->job);
}

static void keep_row(struct screening *s, const struct network *network)
{
	struct screening_job *job = job_new(s, SPAN_NONE, run_row);
	if (job) {
		job->block.network = *network;
		submit(job);
	}
}

/* An admin is not told that it is done before it is durable. */
static bool commit_row(struct screening *s, const struct network *network, bool inside)
{
	struct screening_job job = {
		.job = { .run = run_row, .bytes = 1024 },
		.s = s,
		.block = { .network = *network, .by_hand = true },
		.inside = inside,
	};
	return commit_wait(s->server->commit, &job.job) == STORE_OK;
}

/* ---- a life ---- */

static bool load(struct screening *s, struct error *error)
{
	struct store_walk walk;
	struct span key, row;
	int64_t now = store_now(s->server->store);
	struct store_txn *txn = store_begin_read(s->server->store, error);
	if (!txn) {
		return false;
	}
	store_walk_begin(&walk, txn, STORE_SCREEN, SPAN_NONE, SPAN_NONE);
	while (store_walk_next(&walk, &key, &row)) {
		struct screen_block block;
		if (screen_block_unpack(key, row, &block)) {
			screen_restore(s->screen, &block, now);
		}
	}
	store_walk_end(&walk);
	bool good = store_txn_result(txn) == STORE_OK;
	if (!good) {
		error_set(error, "the blocks of the screen can not be read");
	}
	store_abort(txn);
	return good;
}

static void run_tidy(struct commit_job *base, struct store_txn *txn, int64_t now)
{
	tidy(((struct screening_job *)base)->s, txn, now, SIZE_MAX);
}

struct screening *screening_start(struct server *server, struct error *error)
{
	struct screening *s = calloc(1, sizeof *s);
	if (!s) {
		error_set(error, "out of memory");
		return NULL;
	}
	s->server = server;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	s->screen = screen_new(&server->key);
	if (!s->screen) {
		error_set(error, "out of memory");
	}
	struct screening_job *job = s->screen && load(s, error)
	                                ? job_new(s, SPAN_NONE, run_tidy)
	                                : NULL;
	if (!job) {
		screening_stop(s);
		return NULL;
	}
	submit(job);
	return s;
}

void screening_stop(struct screening *s)
{
	if (!s) {
		return;
	}
	pthread_mutex_lock(&s->lock);
	while (s->jobs) {
		pthread_cond_wait(&s->idle, &s->lock);
	}
	unlock(s);
	screen_free(s->screen);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- alarms ---- */

/* At most one of a kind an hour; `more_out`: that were kept back since the last one. */
static bool may_tell(struct server *server, enum screening_alarm alarm, uint64_t *more_out)
{
	int64_t now = store_now(server->store);
	struct screening *s = lock_of(server);
	int64_t *told = &s->alarms[alarm].told;
	bool may = !*told || now - *told >= HOUR;
	*more_out = s->alarms[alarm].more;
	s->alarms[alarm].more = may ? 0 : *more_out + 1;
	*told = may ? now : *told;
	unlock(s);
	return may;
}

static void tell(struct server *server, struct config *config, enum screening_alarm alarm,
                 struct span note)
{
	struct screening_job *job = job_new(server->screening, note, run_notice);
	if (job) {
		job->config = config_ref(config);
		job->alarm = alarm;
		job->wall = wall_ms();
		submit(job);
	}
}

void screening_alarm(struct server *server, enum screening_alarm alarm, struct span evidence)
{
	uint64_t more = 0;
	struct config *config = server_config(server);
	if (config->npostmaster && may_tell(server, alarm, &more)) {
		struct buf note = { .cap = SCREENING_EVIDENCE + 100 };
		buf_printf(&note, "%s\n%.*s", screening_alarm_word(alarm),
		           SPAN_ARG(span_first(evidence, SCREENING_EVIDENCE)));
		if (more) {
			buf_printf(&note, " (and %llu more since the last notice)",
			           (unsigned long long)more);
		}
		tell(server, config, alarm, buf_span(&note));
		buf_done(&note);
	}
	config_unref(config);
}

static void tell_workers(struct server *server, const struct network *network, bool all)
{
	for (size_t i = 0; i < server->nworkers; i++) {
		worker_tell_blocked(&server->workers[i], network, all);
	}
}

/* ---- questions and answers ---- */

static bool is_exempt(struct server *server, const unsigned char address[16])
{
	struct config *config = server_config(server);
	bool exempt = network_any_contains(config->screen_exempt, config->nscreen_exempt,
	                                   address);
	config_unref(config);
	return exempt;
}

bool screening_blocked(struct server *server, const unsigned char address[16])
{
	int64_t now = store_now(server->store);
	struct screening *s = lock_of(server);
	int64_t until = screen_blocked(s->screen, address, now);
	unlock(s);
	return until && !is_exempt(server, address);
}

bool screening_admits(struct server *server, const unsigned char address[16])
{
	int64_t now = store_now(server->store);
	struct screening *s = lock_of(server);
	bool admits = screen_admits(s->screen, address, now);
	unlock(s);
	return admits || is_exempt(server, address);
}

bool screening_may_try(struct server *server, struct screen_try *attempt)
{
	attempt->now = store_now(server->store);
	struct screening *s = lock_of(server);
	bool may = screen_may_try(s->screen, attempt);
	unlock(s);
	return may || is_exempt(server, attempt->address);
}

int64_t screening_failed(struct server *server, struct screen_try *attempt)
{
	struct screen_effect effect;
	if (is_exempt(server, attempt->address)) {
		return 0;
	}
	attempt->now = store_now(server->store);
	struct screening *s = lock_of(server);
	screen_fail(s->screen, attempt, &effect);
	unlock(s);
	if (effect.event) {
		screening_tell(server, attempt, &effect);
	}
	if (effect.event == SCREEN_EVENT_BLOCK || effect.event == SCREEN_EVENT_SPRAY) {
		keep_row(s, &effect.network);
		tell_workers(server, &effect.network, false);
	}
	return effect.delay;
}

void screening_good(struct server *server, struct screen_try *attempt)
{
	attempt->now = store_now(server->store);
	struct screening *s = lock_of(server);
	screen_good(s->screen, attempt);
	unlock(s);
}

/* ---- the admin's ---- */

bool screening_add(struct server *server, const struct network *network, int64_t until)
{
	int64_t now = store_now(server->store);
	struct screening *s = lock_of(server);
	bool added = screen_add(s->screen, network, until, now);
	unlock(s);
	if (!added) {
		return false;
	}
	tell_workers(server, network, true);
	return commit_row(s, network, false);
}

bool screening_remove(struct server *server, const struct network *network)
{
	int64_t now = store_now(server->store);
	struct screening *s = lock_of(server);
	bool removed = screen_remove(s->screen, network, now);
	unlock(s);
	return commit_row(s, network, true) && removed;
}

static void count_one(void *context, const struct screen_block *block)
{
	(void)block;
	++*(size_t *)context;
}

static size_t count(struct screening *s, int64_t now)
{
	size_t n = 0;
	screen_walk(s->screen, now, count_one, &n);
	return n;
}

size_t screening_count(struct server *server)
{
	int64_t now = store_now(server->store);
	struct screening *s = lock_of(server);
	size_t n = count(s, now);
	unlock(s);
	return n;
}

struct listing {
	struct screen_block *blocks;
	size_t n;
};

static void list_one(void *context, const struct screen_block *block)
{
	struct listing *listing = context;
	listing->blocks[listing->n++] = *block;
}

/* A copy: whoever shows it may be slow, and logins do not wait for that. */
struct screen_block *screening_list(struct server *server, size_t *n_out)
{
	int64_t now = store_now(server->store);
	struct screening *s = lock_of(server);
	struct listing listing = { .n = 0 };
	listing.blocks = calloc(count(s, now) + 1, sizeof *listing.blocks);
	if (listing.blocks) {
		screen_walk(s->screen, now, list_one, &listing);
	}
	unlock(s);
	*n_out = listing.n;
	return listing.blocks;
}
