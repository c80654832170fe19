/* What a hook is told. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/facts.h"
#include "server/commands.h"
#include "server/hook.h"

/* How it began. NULL without memory. */
static json_t *facts_of_beginning(const struct incident *incident)
{
	struct bill bill;
	if (!bill_unpack(incident->reasons, &bill)) {
		memset(&bill, 0, sizeof bill);
	}
	json_t *networks = json_array();
	for (size_t i = 0; i < FACTS_NETWORKS && bill.facts.network[i].text[0]; i++) {
		json_array_append_new(networks,
		                      command_text(span_str(bill.facts.network[i].text)));
	}
	json_t *subjects = json_array();
	for (size_t i = 0; i < FACTS_SUBJECTS && bill.facts.subject[i][0]; i++) {
		json_array_append_new(subjects, command_text(span_str(bill.facts.subject[i])));
	}
	return json_pack(
	    "{s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:s, s:o, s:o}", "incident",
	    (json_int_t)incident->number, "account", command_text(incident->account), "opened",
	    command_time(incident->opened_wall), "cause", command_text(incident->cause),
	    "limit", (json_int_t)bill.limit.tokens, "window_seconds",
	    (json_int_t)(bill.limit.window / 1000), "spent", (json_int_t)bill.spent, "apppass",
	    bill.apppass, "networks", networks, "subjects", subjects);
}

/* How it ended. NULL without memory. */
static json_t *facts_of_end(const struct incident *incident)
{
	return json_pack("{s:o, s:o, s:o}", "ended", command_time(incident->ended_wall), "by",
	                 command_text(incident->ended_by), "how",
	                 command_text(incident->ended_how));
}

char *hook_facts(const struct incident *incident, enum hook_event event)
{
	static const char *const names[] = {
		[HOOK_SUSPEND] = "suspended", [HOOK_UNLOCK] = "unlocked"
	};
	json_t *json = json_pack("{s:s}", "event", names[event]);
	json_t *beginning = facts_of_beginning(incident);
	json_t *end = event == HOOK_UNLOCK ? facts_of_end(incident) : json_object();
	bool good = json && beginning && end && json_object_update(json, beginning) == 0 &&
	            json_object_update(json, end) == 0;
	char *text = good ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	json_decref(beginning);
	json_decref(end);
	return text;
}
