#include "server/enrol.h"

#include <stdlib.h>

#include "auth/secret.h"
#include "server/log.h"
#include "server/wall.h"
#include "store/account.h"
#include "store/journal.h"

#define JOB_BYTES 1024

static void journal_made(struct store_txn *txn, struct span account, struct span why,
                         int64_t now)
{
	struct journal_row row = {
		.kind = JOURNAL_ADMIN,
		.at = now,
		.wall = wall_ms(),
		.id = store_next_id(store_txn_store(txn)),
		.account = account,
		.text = why,
	};
	journal_put(txn, &row);
}

/* A row without a secret: no password of ours opens it. True when it was made here. */
static bool make_row(struct store_txn *txn, struct span name, struct span why, int64_t now)
{
	struct account account;
	if (account_get(txn, name, &account) != STORE_NOT_FOUND) {
		return false;
	}
	int64_t wall = wall_ms();
	account = (struct account){ .created_wall = wall, .changed_wall = wall };
	if (account_put(txn, name, &account) == STORE_OK) {
		journal_made(txn, name, why, now);
	}
	return true;
}

static void log_made(struct span account, const char *why)
{
	struct log_line line;
	log_begin(&line, LOG_LEVEL_INFO, "account-enrolled");
	log_word(&line, "account", account);
	log_text(&line, "reason", span_str(why));
	log_end(&line);
}

/* ---- a first login ---- */

struct enrol {
	struct commit_job job;
	const struct enrol_handler *handler;
	void *owner; /* NULL: orphaned */
	bool made;
	size_t len;
	char account[];
};

static void enrol_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct enrol *enrol = (struct enrol *)job;
	enrol->made = make_row(txn, span_of(enrol->account, enrol->len),
	                       SPAN_LIT("made at a first login (enrol = open)"), now);
}

static void enrol_done(struct commit_job *job, enum store_result result)
{
	struct enrol *enrol = (struct enrol *)job;
	if (result == STORE_OK && enrol->made) {
		log_made(span_of(enrol->account, enrol->len), "first login");
	}
	if (enrol->owner) {
		enrol->handler->end(enrol->owner, result == STORE_OK);
	}
	free(enrol);
}

struct enrol *enrol_start(struct worker *worker, struct span account,
                          const struct enrol_handler *handler, void *owner)
{
	struct enrol *enrol = calloc(1, sizeof *enrol + account.len);
	if (!enrol) {
		return NULL;
	}
	enrol->handler = handler;
	enrol->owner = owner;
	enrol->len = account.len;
	memcpy(enrol->account, account.ptr, account.len);
	enrol->job = (struct commit_job){
		.run = enrol_run,
		.done = enrol_done,
		.port = worker->port,
		.bytes = JOB_BYTES,
	};
	commit_submit(worker->server->commit, &enrol->job);
	return enrol;
}

void enrol_orphan(struct enrol *enrol)
{
	if (enrol) {
		enrol->owner = NULL;
	}
}

/* ---- devices ---- */

struct devices {
	struct commit_job job;
	const struct config *config;
	bool made[CONFIG_DEVICES_MAX];
};

static void devices_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct devices *devices = (struct devices *)job;
	for (size_t i = 0; i < devices->config->ndevices; i++) {
		devices->made[i] = make_row(txn, span_str(devices->config->device[i].account),
		                            SPAN_LIT("made for a device"), now);
	}
}

bool enrol_devices(struct server *server, const struct config *config, struct error *error)
{
	struct devices devices = {
		.job = { .run = devices_run, .bytes = config->ndevices * JOB_BYTES },
		.config = config,
	};
	if (!config->ndevices) {
		return true;
	}
	if (commit_wait(server->commit, &devices.job) != STORE_OK) {
		error_set(error, "cannot make the accounts of devices: the store failed");
		return false;
	}
	for (size_t i = 0; i < config->ndevices; i++) {
		if (devices.made[i]) {
			log_made(span_str(config->device[i].account), "device");
		}
	}
	return true;
}

/* ---- verifiers in place of a hash ---- */

struct upgrade {
	struct commit_job job;
	int64_t wall;
	struct buf account, verifiers, limits;
};

static void upgrade_free(struct upgrade *upgrade)
{
	buf_done(&upgrade->account);
	buf_done(&upgrade->verifiers);
	buf_done(&upgrade->limits);
	free(upgrade);
}

static void upgrade_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	(void)now;
	struct upgrade *upgrade = (struct upgrade *)job;
	struct account account;
	if (account_get(txn, buf_span(&upgrade->account), &account) != STORE_OK ||
	    !secret_is_crypt(account.secret) || account.changed_wall >= upgrade->wall) {
		return;
	}
	/* Copied: they point into the map. The time of the secret stays: it is the same
	 * password, and open sessions need not end. */
	buf_clear(&upgrade->limits);
	if (!buf_put(&upgrade->limits, account.limits)) {
		return;
	}
	account.limits = buf_span(&upgrade->limits);
	account.secret = buf_span(&upgrade->verifiers);
	account_put(txn, buf_span(&upgrade->account), &account);
}

static void upgrade_done(struct commit_job *job, enum store_result result)
{
	struct upgrade *upgrade = (struct upgrade *)job;
	(void)result;
	upgrade_free(upgrade);
}

void enrol_upgrade(struct server *server, struct span account, struct span verifiers,
                   int64_t wall)
{
	struct upgrade *upgrade = calloc(1, sizeof *upgrade);
	if (!upgrade) {
		return;
	}
	buf_init(&upgrade->account, account.len);
	buf_init(&upgrade->limits, JOB_BYTES);
	buf_init_secret(&upgrade->verifiers, SECRET_VERIFIER_MAX);
	upgrade->wall = wall;
	if (!buf_put(&upgrade->account, account) || !buf_put(&upgrade->verifiers, verifiers)) {
		upgrade_free(upgrade);
		return;
	}
	upgrade->job = (struct commit_job){
		.run = upgrade_run,
		.done = upgrade_done,
		.bytes = JOB_BYTES,
	};
	commit_submit(server->commit, &upgrade->job);
}
