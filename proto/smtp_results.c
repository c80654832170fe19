#include "proto/smtp_results.h"

bool smtp_results_begin(struct smtp_results *results, size_t n)
{
	size_t each = sizeof *results->rows + sizeof(struct reply_in);
	smtp_results_done(results);
	arena_init(&results->arena, n * each + sizeof(struct reply_in));
	results->rows = arena_alloc(&results->arena, n * sizeof *results->rows);
	results->n = results->rows ? n : 0;
	return results->rows != NULL;
}

void smtp_results_done(struct smtp_results *results)
{
	arena_done(&results->arena);
	*results = (struct smtp_results){ 0 };
}

static const char *keep_text(struct smtp_results *results, const char *text)
{
	struct span copy;
	if (results->last_text && strcmp(results->last_text, text) == 0) {
		return results->last_text;
	}
	if (!arena_copy(&results->arena, span_str(text), &copy)) {
		return ""; /* the code alone decides what becomes of the mail */
	}
	results->last_text = copy.ptr;
	return copy.ptr;
}

static struct smtp_client_result verdict(struct smtp_results *results,
                                         const struct reply_in *reply)
{
	struct smtp_client_result said = { .code = reply->code };
	_Static_assert(sizeof said.enhanced == sizeof reply->enhanced, "both hold 5.123.123");
	memcpy(said.enhanced, reply->enhanced, sizeof said.enhanced);
	said.text = keep_text(results, reply->text);
	return said;
}

/*
 * RFC 5321 4.5.3.1.10: 552 to RCPT may be an old way to say "too many recipients", which is
 * 452. Without an enhanced code it is believed only where an earlier one was taken: the first
 * can not be one too many, that is a full mailbox.
 */
static void soften_too_many(struct smtp_client_result *said, bool after_others)
{
	bool named = strcmp(said->enhanced, "5.5.3") == 0;
	if (said->code == 552 && (named || (said->enhanced[0] == '\0' && after_others))) {
		said->code = 452;
		memcpy(said->enhanced, "4.5.3", sizeof "4.5.3");
	}
}

void smtp_results_set(struct smtp_results *results, size_t i, const struct reply_in *reply,
                      bool after_others)
{
	struct smtp_client_result said = verdict(results, reply);
	soften_too_many(&said, after_others);
	results->rows[i] = said;
}

void smtp_results_set_open(struct smtp_results *results, const struct reply_in *reply)
{
	struct smtp_client_result said = verdict(results, reply);
	smtp_results_refuse(results, &said);
}

void smtp_results_refuse(struct smtp_results *results, const struct smtp_client_result *own)
{
	for (size_t i = 0; i < results->n; i++) {
		if (results->rows[i].code == 0) {
			results->rows[i] = *own;
		}
	}
}

const struct smtp_client_result *smtp_results_get(const struct smtp_results *results, size_t i)
{
	return i < results->n && results->rows[i].code ? &results->rows[i] : NULL;
}
