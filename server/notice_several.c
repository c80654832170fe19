#include "server/notice_several.h"

#define BODY_MAX ((size_t)256 * 1024)

bool notice_several_is_one(const struct queue_entry *entry, struct queue_entry *alone_out)
{
	struct span note = entry->note;
	uint64_t number;
	if (!several_next(&note, &number) || note.len) {
		return false;
	}
	*alone_out = *entry;
	alone_out->kind = QUEUE_NOTICE_SUSPENDED;
	alone_out->incident = number;
	alone_out->note = SPAN_NONE;
	return true;
}

/* The parts of the message, as they grow. */
struct parts {
	struct buf cases, commands;
	size_t n;
	uint64_t first, last;
	bool failed;
};

static void add_case(const struct notice_several *s, struct notice_facts *facts,
                     struct parts *parts)
{
	char token[UNLOCK_TOKEN_LEN + 1] = "";
	if (facts->suspended) {
		notice_write_token(s->key, &facts->incident, token);
	}
	notice_add_ways(s->config, facts, span_str(token), false);
	notice_text_fill(notice_template_several_case, facts->value, facts->nvalues,
	                 &parts->cases);
	notice_text_fill("{?suspended}  gatepostctl account unlock {command}\n", facts->value,
	                 facts->nvalues, &parts->commands);
	parts->failed = parts->failed || facts->failed;
	parts->first = parts->n++ ? parts->first : facts->incident.number;
	parts->last = facts->incident.number;
}

static enum store_result add_cases(const struct notice_several *s, struct span note,
                                   struct parts *parts)
{
	uint64_t number;
	while (several_next(&note, &number)) {
		struct notice_facts facts;
		enum store_result result = notice_facts_read(&facts, s->config, s->key, number,
		                                             s->txn);
		if (result == STORE_OK) {
			add_case(s, &facts, parts);
		}
		notice_facts_done(&facts);
		if (result == STORE_FAILED) {
			return result;
		}
	}
	return parts->n ? STORE_OK : STORE_NOT_FOUND;
}

static struct span number(struct notice_facts *facts, uint64_t n)
{
	return notice_facts_text(facts, "%llu", (unsigned long long)n);
}

static void put_body(const struct notice_several *s, const struct queue_entry *entry,
                     const struct parts *parts, struct notice_facts *facts, struct buf *body)
{
	int64_t until = entry->accepted_wall + UNLOCK_LIFETIME;
	notice_facts_add(facts, "count", number(facts, parts->n));
	notice_facts_add(facts, "first", number(facts, parts->first));
	notice_facts_add(facts, "last", number(facts, parts->last));
	notice_facts_add(facts, "hostname", span_str(s->config->hostname));
	notice_facts_add(facts, "until", notice_facts_time(facts, until));
	notice_text_fill(notice_template_several, facts->value, facts->nvalues, body);
	buf_put(body, buf_span(&parts->cases));
	notice_text_fill(notice_template_several_end, facts->value, facts->nvalues, body);
	buf_put(body, buf_span(&parts->commands));
	notice_text_fill("  gatepostctl relayed --incident CASE --ids | postsuper -h -\n", NULL,
	                 0, body);
}

/* One that has grown (server/outcome) is another message than what may have been sent. */
static struct span write_id(const struct queue_entry *entry, const struct parts *parts,
                            struct notice_facts *facts)
{
	char id[QUEUE_ID_TEXT];
	queue_id_write(entry->id, id);
	return notice_facts_text(facts, "cases.%s.%lld.%zu", id,
	                         (long long)(entry->accepted_wall / 1000), parts->n);
}

static enum store_result put_message(const struct notice_several *s,
                                     const struct queue_entry *entry, const struct parts *parts,
                                     struct buf *out)
{
	struct notice_facts facts = { .nvalues = 0 };
	struct buf body = { .cap = 2 * BODY_MAX };
	arena_init(&facts.arena, NOTICE_FACTS_ARENA);
	put_body(s, entry, parts, &facts, &body);
	const struct notice_message message = {
		.hostname = s->config->hostname,
		.from = span_str(s->config->notice_from),
		.to = notice_recipients(entry, &facts),
		.subject = notice_facts_text(
		    &facts, "Suspended: %zu account%s (cases %llu to %llu)", parts->n,
		    parts->n == 1 ? "" : "s", (unsigned long long)parts->first,
		    (unsigned long long)parts->last),
		.id = write_id(entry, parts, &facts),
		.seconds = s->wall / 1000,
		.body = buf_span(&body),
	};
	notice_text_message(&message, out);
	bool failed = parts->failed || body.failed || out->failed || facts.failed ||
	              parts->cases.failed || parts->commands.failed;
	buf_done(&body);
	notice_facts_done(&facts);
	return failed ? STORE_FAILED : STORE_OK;
}

enum store_result notice_several_write(const struct notice_several *several,
                                       const struct queue_entry *entry, struct buf *out)
{
	struct parts parts = { .cases = { .cap = BODY_MAX }, .commands = { .cap = BODY_MAX } };
	enum store_result result = add_cases(several, entry->note, &parts);
	if (result == STORE_OK) {
		result = put_message(several, entry, &parts, out);
	}
	buf_done(&parts.cases);
	buf_done(&parts.commands);
	return result;
}
