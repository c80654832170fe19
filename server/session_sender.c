/* Under whose name a login writes (RFC 6409 6.1): MAIL FROM, and the header's From. */
#include "server/session_state.h"

#include <stdlib.h>

#include "auth/sender.h"
#include "proto/mailbox.h"
#include "server/wall.h"

#define NOTES_MOST 4 /* of a session: each is a commit */
#define JOB_BYTES  1024

/* ---- what an admin may make an alias of ---- */

struct note {
	struct commit_job job;
	struct buf account, address;
};

static void note_free(struct note *note)
{
	buf_done(&note->account);
	buf_done(&note->address);
	free(note);
}

static void note_run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct note *note = (struct note *)job;
	(void)now;
	sender_note(txn, buf_span(&note->account), buf_span(&note->address), wall_ms());
}

static void note_done(struct commit_job *job, enum store_result result)
{
	(void)result; /* it is only for people to look at */
	note_free((struct note *)job);
}

static void note_address(struct session *session, struct span address)
{
	struct note *note = session->notes < NOTES_MOST ? calloc(1, sizeof *note) : NULL;
	if (!note) {
		return;
	}
	session->notes++;
	buf_init(&note->account, ADDRESS_ACCOUNT_MAX);
	buf_init(&note->address, ADDRESS_MAX);
	note->job =
	    (struct commit_job){ .run = note_run, .done = note_done, .bytes = JOB_BYTES };
	if (buf_put(&note->account, session_account(session)) &&
	    buf_put(&note->address, address)) {
		commit_submit(session->worker->server->commit, &note->job);
	} else {
		note_free(note);
	}
}

/* ---- the question ---- */

static void log_mismatch(const struct session *session, const char *where, bool refused,
                         struct span address)
{
	struct log_line line;
	session_log(&line, session, LOG_LEVEL_INFO, "sender-mismatch");
	log_word(&line, "account", session_account(session));
	log_word(&line, "where", span_str(where));
	log_word(&line, "refused", refused ? SPAN_LIT("yes") : SPAN_LIT("no"));
	log_text(&line, "address", address);
	log_end(&line);
}

/* One address; `refuses`: from which setting on it is more than a line in the log. */
static enum reply judge(struct session *session, struct span address, const char *where,
                        enum sender_check refuses)
{
	bool may = false;
	bool noted = false;
	struct store_txn *txn = store_begin_read(session->worker->server->store, NULL);
	bool asked = txn &&
	             sender_may(txn, session_account(session), address, &may) == STORE_OK;
	noted = asked && !may && sender_is_noted(txn, session_account(session), address);
	store_abort(txn);
	if (!asked) {
		return REPLY_STORE_ERROR;
	}
	if (may) {
		return REPLY_OK;
	}
	bool refused = session->config->sender_check >= refuses;
	log_mismatch(session, where, refused, address);
	if (!noted) {
		note_address(session, address);
	}
	return refused ? REPLY_NOT_YOUR_NAME : REPLY_OK;
}

static bool is_asked(const struct session *session)
{
	return session->account && session->config->sender_check != SENDER_CHECK_OFF;
}

enum reply session_judge_sender(struct session *session, struct span address)
{
	return is_asked(session) ? judge(session, address, "envelope", SENDER_CHECK_ENVELOPE)
	                         : REPLY_OK;
}

/* Two fields, none, a group, or what readers take differently: nobody could say whose name it
 * is. */
enum reply session_judge_from(struct session *session)
{
	struct buf value = { .cap = MAILBOX_VALUE_MAX };
	struct buf address = { .cap = ADDRESS_MAX };
	enum reply reply = REPLY_OK;
	if (!is_asked(session) || !session->intake) {
		return reply;
	}
	bool both = session->config->sender_check == SENDER_CHECK_BOTH;
	bool one = intake_header(session->intake)->from == 1 &&
	           intake_from(session->intake, &value) &&
	           mailbox_parse(buf_span(&value), &address);
	if (one) {
		reply = judge(session, buf_span(&address), "header", SENDER_CHECK_BOTH);
	} else if (both) {
		log_mismatch(session, "header", true, buf_span(&value));
		reply = REPLY_FROM_NOT_ONE;
	}
	buf_done(&value);
	buf_done(&address);
	return reply;
}
