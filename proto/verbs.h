/*
 * The verb table: what a command is called, when it is legal, what it needs, and who parses its
 * argument. smtp_server walks it; a new verb is a row here and its function.
 */
#ifndef GATEPOST_PROTO_VERBS_H
#define GATEPOST_PROTO_VERBS_H

#include "proto/smtp_server.h"

#define VERB_HELO_MAX 255 /* RFC 5321 4.5.3.1.2 */

enum verb_id {
	VERB_HELO,
	VERB_EHLO,
	VERB_STARTTLS,
	VERB_AUTH,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_RSET,
	VERB_NOOP,
	VERB_VRFY,
	VERB_HELP,
	VERB_QUIT,
	VERB_REFUSED, /* known, not supported: 502 */
};

/* Phases of a session, as bits so that a row can name several. */
enum verb_phase {
	PHASE_START = 1, /* before EHLO */
	PHASE_IDLE = 2,  /* after EHLO, no transaction */
	PHASE_MAIL = 4,  /* MAIL was taken, no recipient yet */
	PHASE_RCPT = 8,  /* at least one recipient was taken */
	PHASE_ANY = 15,
};

struct verb {
	const char *name;
	enum verb_id id;
	unsigned phases; /* where it is legal; elsewhere 503 */
	bool before_tls; /* legal before TLS where TLS is needed */
	bool needs_auth; /* else 530 */
	/* Reads the argument (what follows the verb, blanks at both ends skipped) into the
	 * event; REPLY_OK or a refusal. AUTH: `text` is the mechanism as written, `response`
	 * still base64. */
	enum reply (*parse)(struct span argument, struct smtp_event *event);
};

/* Finds the verb at the front of a command line, in any case, and its argument; NULL when
 * unknown. */
const struct verb *verb_find(struct span line, struct span *argument_out);

/* What of a session decides whether a verb may come now. */
struct verb_context {
	enum verb_phase phase;
	bool tls; /* active */
	bool need_tls;
	bool starttls; /* offered while TLS is not active */
	bool authenticated;
	bool no_auth; /* none is asked for */
};

/* Why the verb may not come now, the first thing that a client should mend; REPLY_OK when it
 * may. */
enum reply verb_objection(const struct verb *verb, const struct verb_context *now);

/* The name of another protocol that begins like this line ("http", "ssh"), or NULL. */
const char *verb_foreign(struct span line);

#endif
