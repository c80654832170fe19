#include "server/lesson.h"

#include "proto/address.h"
#include "server/envelope.h"
#include "server/origin.h"
#include "server/wall.h"

/* Most that one message teaches at a time; what is beyond it is learned from the next. */
#define LESSONS_MAX 1000

bool lesson_of(const struct lesson_rules *rules, const struct queue_entry *entry,
               const struct lesson_answer *answer, struct lesson *lesson_out)
{
	bool taken = answer->code / 100 == 2;
	bool refused = answer->code / 100 == 5 &&
	               span_eq(span_first(answer->status, 4), SPAN_LIT("5.1."));
	struct address parsed;
	const struct envelope envelope = { .fold = rules->fold };
	struct buf text;
	if (entry->kind != QUEUE_MAIL || !entry->account.len || (!taken && !refused) ||
	    address_parse(answer->address, &parsed) != ADDRESS_OK) {
		return false;
	}
	buf_init(&text, ADDRESS_MAX);
	envelope_write_key(&envelope, &parsed, &text);
	bool can = !text.failed;
	if (can) {
		*lesson_out = (struct lesson){
			.contact = familiar_contact(rules->key, entry->account,
			                            buf_span(&text)),
			.refused = refused,
		};
	}
	buf_done(&text);
	return can;
}

/* Where the mail came from, as far as that is known today. */
static struct origin origin_of_entry(const struct config *config, const struct secret_key *key,
                                     const struct queue_entry *entry)
{
	unsigned char address[NETWORK_ADDRESS_BYTES];
	static const struct origin nowhere;
	return network_address_parse(entry->client, address) ? origin_of(config, key, address)
	                                                     : nowhere;
}

static size_t pick(const struct lesson *lessons, size_t n, bool refused, uint64_t *contacts)
{
	size_t found = 0;
	for (size_t i = 0; i < n && found < LESSONS_MAX; i++) {
		if (lessons[i].refused == refused) {
			contacts[found++] = lessons[i].contact;
		}
	}
	return found;
}

enum gate_verdict lesson_learn(struct store_txn *txn, const struct config *config,
                               const struct secret_key *key, const struct queue_entry *entry,
                               const struct lesson *lessons, size_t n, int64_t now,
                               struct gate_result *result_out)
{
	uint64_t contacts[LESSONS_MAX];
	const struct gate_rules rules = config_gate_rules(config);
	const struct origin origin = origin_of_entry(config, key, entry);
	size_t taken = pick(lessons, n, false, contacts);
	if (taken) {
		const struct familiar_lesson lesson = { .account = entry->account,
			                                .contact = contacts,
			                                .n = taken,
			                                .origin = origin,
			                                .now = entry->accepted_at };
		gate_learn(txn, &rules, &lesson);
	}
	size_t refused = pick(lessons, n, true, contacts);
	if (!refused || gate_was_held(txn, entry->account, entry->accepted_at)) {
		return GATE_ALLOW; /* nothing is charged for mail that was held */
	}
	const struct act act = { .account = entry->account,
		                 .recipients = (uint32_t)refused,
		                 .contact = contacts,
		                 .ncontacts = refused,
		                 .origin = origin,
		                 .client = entry->client,
		                 .now = now,
		                 .wall = wall_ms() };
	return gate_refused(txn, &rules, &act, result_out);
}
