#include "auth/drill.h"

#include "store/journal.h"

#define NOTE_MAX ((size_t)4096)

enum store_result drill_begin(struct store_txn *txn, const struct suspend_rules *rules,
                              int64_t now, int64_t wall)
{
	struct meta_drill drill = { .passed_wall = 0 };
	enum store_result result = meta_drill_get(txn, &drill);
	if (result == STORE_DAMAGED) {
		drill.passed_wall = 0; /* another drill will tell */
	}
	drill.sent_at = now;
	drill.sent_wall = wall;
	drill.answers = 0;
	meta_drill_put(txn, &drill);
	return suspend_put_notice(txn, rules, QUEUE_NOTICE_DRILL, DRILL_INCIDENT, SPAN_NONE,
	                          now, wall);
}

/* ---- the report ---- */

static const char *const effects[STANDING_EVENTS] = {
	[STANDING_UNLOCK] = "it would have unlocked the account, and sent its held mail",
	[STANDING_KEEP] = "it would have unlocked the account; its held mail would have stayed",
	[STANDING_DISCARD] = "it would have unlocked the account, and deleted its held mail",
	[STANDING_SPAM] = "it would have deleted the held mail; the account would have stayed "
			  "suspended",
	[STANDING_NOTHING] = "it would have changed nothing, as it says",
};

static void write_note(const struct unlock_rules *rules, const struct unlock_answer *answer,
                       enum unlock_verdict verdict, struct buf *out)
{
	bool machine = answer->kind == ORDERS_MACHINE;
	struct span by = unlock_giver(rules, answer);
	buf_printf(out, "It came in by %.*s from %.*s, was given by %.*s, and was read as %s: ",
	           SPAN_ARG(answer->way), SPAN_ARG(answer->client), SPAN_ARG(by),
	           machine ? "machine mail" : order_name(answer->order));
	const char *complaint = unlock_verdict_complaint(verdict);
	if (verdict == UNLOCK_DONE) {
		buf_put_str(out, effects[unlock_event(answer->order)]);
	} else {
		buf_printf(out, "it would not have counted: %s",
		           complaint ? complaint : "it says itself that nobody wrote it");
	}
	buf_put_str(out, ".");
}

static void report(struct store_txn *txn, const struct unlock_rules *rules,
                   const struct unlock_answer *answer, enum unlock_verdict verdict)
{
	struct buf note = { .cap = NOTE_MAX }, text = { .cap = NOTE_MAX };
	write_note(rules, answer, verdict, &note);
	suspend_put_notice(txn, &rules->suspend, QUEUE_NOTICE_DRILLED, DRILL_INCIDENT,
	                   buf_span(&note), answer->now, answer->wall);
	buf_printf(&text, "answer to a drill, by %.*s: %s",
	           SPAN_ARG(unlock_giver(rules, answer)), unlock_verdict_name(verdict));
	const struct journal_row row = {
		.kind = JOURNAL_STANDING,
		.at = answer->now,
		.wall = answer->wall,
		.id = store_next_id(store_txn_store(txn)),
		.sender = answer->sender,
		.client = answer->client,
		.text = buf_span(&text),
	};
	journal_put(txn, &row);
	buf_done(&note);
	buf_done(&text);
}

/* ---- the answer ---- */

/* As the answer to a notice of the same age, about an account that nobody has: no login has a
 * blank in it. */
static enum unlock_verdict judge(const struct unlock_rules *rules,
                                 const struct unlock_answer *answer,
                                 const struct meta_drill *drill)
{
	const struct incident sample = { .number = DRILL_INCIDENT,
		                         .account = SPAN_LIT("the drill"),
		                         .state = INCIDENT_OPEN,
		                         .opened_at = drill->sent_at };
	return unlock_judge(rules, answer, &sample, DRILL_INCIDENT);
}

static bool is_right(const struct unlock_rules *rules, const struct meta_drill *drill,
                     struct span token)
{
	char want[UNLOCK_TOKEN_LEN + 1];
	unlock_drill_token(&rules->key, drill->sent_at, want);
	bool right = unlock_token_is(want, token);
	secret_cleanse(want, sizeof want);
	return right;
}

enum unlock_verdict drill_redeem(struct store_txn *txn, const struct unlock_rules *rules,
                                 const struct unlock_answer *answer)
{
	struct meta_drill drill = { .sent_at = 0 };
	bool found = meta_drill_get(txn, &drill) == STORE_OK;
	if (!is_right(rules, &drill, answer->tag.token) || !found) {
		return store_txn_result(txn) == STORE_OK ? UNLOCK_WRONG : UNLOCK_FAILED;
	}
	enum unlock_verdict verdict = judge(rules, answer, &drill);
	/* An auto-responder that answers the reports, too, comes to an end. */
	bool counts = drill.answers < DRILL_ANSWERS_MAX;
	if (counts) {
		drill.answers++;
		report(txn, rules, answer, verdict);
	}
	if (verdict == UNLOCK_DONE) {
		drill.passed_wall = answer->wall;
	}
	if (counts || verdict == UNLOCK_DONE) {
		meta_drill_put(txn, &drill);
	}
	return store_txn_result(txn) == STORE_OK ? verdict : UNLOCK_FAILED;
}
