#include "server/notice_event.h"

#include "auth/gate.h"

static const struct notice_event events[] = {
	[SCREENING_BLOCK] = { "block", "Logins shut out",
	                      "Somebody tried many wrong passwords.",
	                      "It refuses logins from there until then; a next time is longer.",
	                      "screen", "an hour" },
	[SCREENING_SPRAY] = { "spray", "Logins shut out",
	                      "Somebody tried passwords on many accounts.",
	                      "It refuses logins from there until then; a next time is longer.",
	                      "screen", "an hour" },
	[SCREENING_GUESS] = { "guess", "An account is being guessed",
	                      "The password of one account is being guessed from many places.",
	                      "It checks no password for this account until then, but from "
	                      "networks that have logged in to it lately.",
	                      "account", "an hour" },
	[SCREENING_UNKNOWN_ACCOUNT] = { "unknown-account", "A login without an account",
	                                "A good password came from somebody who has no "
	                                "account here.",
	                                "It refused the login, as a fault that may pass.",
	                                "unknown", "an hour" },
	[SCREENING_BACKEND] = { "backend", "Logins can not be checked",
	                        "What checks the passwords can not be asked.",
	                        "It refused the login, as a fault that may pass; it counts as "
	                        "no failure of the user.",
	                        "backend", "an hour" },
	/* Those of the gate, behind the alarms of the screen. */
	{ "held", "Mail is held at a limit",
	  "An account has used up its limit, and its mail is kept here.",
	  "It takes what goes beyond the limit, up to as much again, and keeps it in the "
	  "queue; "
	  "then it defers the rest. Nobody is suspended.",
	  "held", "a day" },
	{ "crowd", "MANY ACCOUNTS at their limits",
	  "So many accounts have used up their limits that no more of them are suspended: an "
	  "event of your own, or many stolen passwords.",
	  "It suspends no more than suspend_max for now; mail beyond the limits of all others "
	  "is "
	  "kept in the queue, up to as much again, and then deferred.",
	  "held", "a day" },
	{ "strangers", "Mail to strangers is held",
	  "An account has written to more strangers than stranger_limits allows; it is not "
	  "known "
	  "to be stolen.",
	  "It takes its mail to strangers and keeps it in the queue; all other mail goes on. "
	  "Nobody is suspended.",
	  "held", "a day" },
	{ "provoked", "Mail is held at a limit",
	  "An account has used up its limit, but hardly by a thief: by strangers to whom it "
	  "writes from where it always is, or by dead addresses, traps and large lists.",
	  "It takes its mail and keeps it in the queue, up to as much again. Nobody is "
	  "suspended.",
	  "held", "a day" },
	{ "waits", "Mail to strangers waits",
	  "An account writes to strangers from a network that is not familiar, and has used up "
	  "half of its limit.",
	  "It relays such mail hours later, longer the more there is, so that you can look at "
	  "it: if the account was stolen, suspend it. Nobody is suspended.",
	  "waits", "a day" },
	{ "site", "MANY ACCOUNTS write to strangers",
	  "Accounts write to strangers from networks that are not familiar, all together to "
	  "more "
	  "than site_strangers allows: many stolen passwords, or a journey of many.",
	  "It keeps such mail in the queue, of all accounts; all other mail goes on.", "held",
	  "a day" },
	{ "ill", "Recipients are refused to many accounts",
	  "The next server says of the recipients of many accounts at once that they do not "
	  "exist: most likely it is out of order.",
	  "It charges nothing for refused recipients until that is over.", "relay", "a day" },
	{ "exempt", "An exempt account sends very much",
	  "An account that is exempt has written to more than ten times as many recipients as "
	  "it ever has; or, the first time, as others may.",
	  "Nothing: it is exempt.", "account", "a day" },
};

static const struct notice_event other = {
	"", "Logins", "Something about logins.", "It is written in the log.", "", "an hour"
};

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
