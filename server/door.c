#include "server/door.h"

#include <pthread.h>
#include <stdlib.h>

#include "auth/drill.h"
#include "server/log.h"
#include "server/suspension.h"
#include "server/wall.h"

#define DOOR_ARENA ((size_t)16 * 1024)
#define FROM_MAX   ((size_t)1024)

struct door {
	struct commit_job job;
	struct worker *worker;
	struct config *config;
	const struct door_handler *handler;
	void *owner; /* NULL: dropped */
	struct arena arena;
	struct door_visitor visitor;
	struct span sender, from;
	struct buf text;
	bool finished;
	/* one a tag */
	struct unlock_answer answer[DOOR_TAGS_MAX];
	enum unlock_verdict verdict[DOOR_TAGS_MAX];
	struct suspend_result result[DOOR_TAGS_MAX];
	size_t ntags;
};

static void door_free(struct door *door)
{
	config_unref(door->config);
	buf_done(&door->text);
	arena_done(&door->arena);
	free(door);
}

struct door *door_new(struct worker *worker, struct config *config,
                      const struct door_visitor *visitor, const struct door_handler *handler,
                      void *owner)
{
	struct door *door = calloc(1, sizeof *door);
	if (!door) {
		return NULL;
	}
	door->worker = worker;
	door->config = config_ref(config);
	door->handler = handler;
	door->owner = owner;
	buf_init(&door->text, DOOR_TEXT_MAX);
	arena_init(&door->arena, DOOR_ARENA);
	door->visitor = *visitor;
	if (!arena_copy(&door->arena, visitor->login, &door->visitor.login) ||
	    !arena_copy(&door->arena, visitor->client, &door->visitor.client)) {
		door_free(door);
		return NULL;
	}
	return door;
}

bool door_is_ours(const struct config *config, struct span address)
{
	return gate_pattern_matches(span_str(config->reply_address), address);
}

bool door_is_full(const struct door *door)
{
	return door->ntags == DOOR_TAGS_MAX;
}

bool door_add(struct door *door, struct span address)
{
	struct span copy;
	struct orders_tag tag;
	if (door_is_full(door) || !arena_copy(&door->arena, address, &copy) ||
	    !orders_read_address(span_str(door->config->reply_address), copy, &tag)) {
		return false;
	}
	door->answer[door->ntags++].tag = tag;
	return true;
}

bool door_sender(struct door *door, struct span sender)
{
	return arena_copy(&door->arena, sender, &door->sender);
}

void door_put(struct door *door, struct span text)
{
	buf_put(&door->text, span_first(text, DOOR_TEXT_MAX - door->text.len));
}

/* ---- the end ---- */

static bool is_drill(const struct unlock_answer *answer)
{
	return answer->tag.incident == DRILL_INCIDENT;
}

/* For people. */
static struct span way_of(const struct door_visitor *visitor)
{
	return visitor->nobody ? SPAN_LIT("submission, with an app password or as a device,")
	       : visitor->login.len ? SPAN_LIT("submission")
	                            : SPAN_LIT("the reply listener");
}

static void run(struct commit_job *job, struct store_txn *txn, int64_t now)
{
	struct door *door = (struct door *)job;
	struct unlock_rules rules = config_unlock_rules(door->config,
	                                                &door->worker->server->key);
	for (size_t i = 0; i < door->ntags; i++) {
		struct unlock_answer *answer = &door->answer[i];
		answer->now = now;
		answer->wall = wall_ms();
		answer->way = way_of(&door->visitor);
		answer->client = door->visitor.client;
		door->verdict[i] = is_drill(answer)
		                       ? drill_redeem(txn, &rules, answer)
		                       : unlock_redeem(txn, &rules, answer, &door->result[i]);
	}
}

/* An address that is harvested is written to ten thousand times, and guessed at as often: of
 * what changed nothing there are so many lines a minute, then one that counts the others. */
#define LINES_A_MINUTE 60

static struct {
	pthread_mutex_t lock;
	int64_t minute; /* of T */
	unsigned said, unsaid;
} hush = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool may_say(int64_t now)
{
	pthread_mutex_lock(&hush.lock);
	unsigned unsaid = 0;
	if (now / 60000 != hush.minute) {
		unsaid = hush.unsaid;
		hush.minute = now / 60000;
		hush.said = hush.unsaid = 0;
	}
	bool may = hush.said < LINES_A_MINUTE;
	hush.said += may;
	hush.unsaid += !may;
	pthread_mutex_unlock(&hush.lock);
	if (unsaid) {
		struct log_line line;
		log_begin(&line, LOG_LEVEL_INFO, "unlogged-answers");
		log_number(&line, "count", unsaid);
		log_end(&line);
	}
	return may;
}

static void log_answer(const struct door *door, size_t i)
{
	const struct unlock_answer *answer = &door->answer[i];
	struct log_line line;
	if (door->verdict[i] != UNLOCK_DONE && !may_say(answer->now)) {
		return;
	}
	bool self = door->verdict[i] == UNLOCK_SELF; /* a thief at work, most likely */
	log_begin(&line, self ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
	          is_drill(answer) ? "drill" : "answer");
	log_word(&line, "client_ip", door->visitor.client);
	log_number(&line, "incident", (int64_t)answer->tag.incident);
	log_text(&line, "verdict", span_str(unlock_verdict_name(door->verdict[i])));
	log_text(&line, "order",
	         answer->kind == ORDERS_HUMAN ? span_str(order_name(answer->order))
	                                      : SPAN_NONE);
	log_text(&line, "login", door->visitor.login);
	log_text(&line, "from", door->visitor.login.len ? door->sender : door->from);
	log_end(&line);
}

static void done(struct commit_job *job, enum store_result result)
{
	struct door *door = (struct door *)job;
	for (size_t i = 0; result == STORE_OK && i < door->ntags; i++) {
		log_answer(door, i);
		if (door->verdict[i] != UNLOCK_WRONG) { /* a notice may be due, too */
			suspension_changed(door->worker->server);
		}
	}
	if (door->owner) {
		door->handler->end(door->owner, result == STORE_OK);
	}
	door_free(door);
}

/* The text is read here, on the loop: its size is bounded, and so is the work. */
static void read_orders(struct door *door)
{
	struct buf from;
	buf_init(&from, FROM_MAX);
	if (orders_from(buf_span(&door->text), &from)) {
		arena_copy(&door->arena, buf_span(&from), &door->from);
	}
	buf_done(&from);
	for (size_t i = 0; i < door->ntags; i++) {
		struct unlock_answer *answer = &door->answer[i];
		if (!door->visitor.nobody) {
			answer->login = door->visitor.login;
			answer->sender = door->sender;
			answer->from = door->from;
		}
		answer->kind = orders_read_message(buf_span(&door->text), door->sender,
		                                   &answer->tag, &answer->order);
	}
	buf_done(&door->text);
}

void door_finish(struct door *door)
{
	read_orders(door);
	door->finished = true;
	door->job = (struct commit_job){
		.run = run,
		.done = done,
		.port = door->worker->port,
		.bytes = 4096,
	};
	commit_submit(door->worker->server->commit, &door->job);
}

void door_drop(struct door *door)
{
	if (!door) {
		return;
	}
	if (door->finished) {
		door->owner = NULL;
	} else {
		door_free(door);
	}
}
