#include "server/notice_event.h"

static const struct notice_event events[] = {
	[SCREENING_BLOCK] = { "block", "Logins shut out",
	                      "Somebody tried many wrong passwords.",
	                      "It refuses logins from there until then; a next time is longer.",
	                      "screen" },
	[SCREENING_SPRAY] = { "spray", "Logins shut out",
	                      "Somebody tried passwords on many accounts.",
	                      "It refuses logins from there until then; a next time is longer.",
	                      "screen" },
	[SCREENING_GUESS] = { "guess", "An account is being guessed",
	                      "The password of one account is being guessed from many places.",
	                      "It checks no password for this account until then, but from "
	                      "networks that have logged in to it lately.",
	                      "account" },
	[SCREENING_UNKNOWN_ACCOUNT] = { "unknown-account", "A login without an account",
	                                "A good password came from somebody who has no "
	                                "account here.",
	                                "It refused the login, as a fault that may pass.",
	                                "unknown" },
	[SCREENING_BACKEND] = { "backend", "Logins can not be checked",
	                        "What checks the passwords can not be asked.",
	                        "It refused the login, as a fault that may pass; it counts as "
	                        "no failure of the user.",
	                        "backend" },
};

static const struct notice_event other = { "", "Logins", "Something about logins.",
	                                   "It is written in the log.", "" };

const char *screening_alarm_word(enum screening_alarm alarm)
{
	return events[alarm].word;
}

const struct notice_event *notice_event_of(struct span *note)
{
	struct span word = span_first(*note, span_find(*note, '\n'));
	*note = span_from(*note, word.len + 1);
	for (size_t i = 0; i < COUNT(events); i++) {
		if (span_eq(word, span_str(events[i].word))) {
			return &events[i];
		}
	}
	return &other;
}
