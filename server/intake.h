/*
 * A message coming in: header fix-ups as it passes, 64 KiB filling and 64 KiB at the writer,
 * then one job that judges, charges and queues it with the tail of its body. It survives its
 * session: rows that were staged for a message that does not come to its end are deleted at
 * once.
 */
#ifndef GATEPOST_SERVER_INTAKE_H
#define GATEPOST_SERVER_INTAKE_H

#include "auth/gate.h"
#include "proto/header.h"
#include "proto/smtp_data.h"
#include "server/server.h"

#define INTAKE_BLOCK (4 * BODY_ROW) /* a multiple of the row: only the last row is short */

struct intake;

struct intake_envelope {
	struct span account;
	struct span apppass; /* empty: none */
	struct span sender;
	struct span client;            /* address, text */
	struct origin origin;          /* the same for the guard */
	const struct span *recipients; /* each once */
	const uint64_t *contacts;      /* a digest of each */
	uint32_t traps;                /* of them */
	size_t nrecipients;
	uint32_t members; /* of lists among them, beyond the one recipient each */
};

enum intake_verdict {
	INTAKE_QUEUED,
	INTAKE_SPENT,     /* budget */
	INTAKE_DEFERRED,  /* budget of an account that is to wait */
	INTAKE_HELD_FULL, /* the same, and as much again is held already */
	INTAKE_NEVER,
	INTAKE_BARRED,  /* its network, for this account */
	INTAKE_TRIPPED, /* the account is suspended, by this very message */
	INTAKE_STOPPED, /* it was already */
	INTAKE_UNKNOWN, /* the account is gone */
	INTAKE_FULL,    /* store */
	INTAKE_ACCOUNT_FULL,
	INTAKE_ERROR,
};

struct intake_handler {
	/* The writer took a block: there is room again. */
	void (*room)(void *owner);
	/* After intake_finish, once durable (or refused). `id` is of the entry; of the incident
	 * when TRIPPED or STOPPED; the time to try again, ms since 1970, when DEFERRED. The
	 * intake is freed after it. */
	void (*end)(void *owner, enum intake_verdict verdict, uint64_t id);
};

/* Copies the envelope; takes a reference to `config`. NULL without memory. */
struct intake *intake_new(struct worker *worker, struct config *config,
                          const struct intake_envelope *envelope,
                          const struct intake_handler *handler, void *owner);
uint64_t intake_id(const struct intake *intake);
/* The Received field goes in front. Its id and time are filled in here. */
void intake_trace(struct intake *intake, struct header_received *facts);
/* Text as it comes. Beyond a fault (too many bytes of the account, memory) text is dropped, and
 * the end says so. */
void intake_put(struct intake *intake, struct span text);
/* False while both blocks are full: give no more until `room`. */
bool intake_wants(const struct intake *intake);
/* Received fields seen so far, and bytes. */
const struct header_facts *intake_header(const struct intake *intake);
/* The value of the first From field, as header_from; when the text is over. */
bool intake_from(const struct intake *intake, struct buf *out);
/* The text is over and good: judge, charge, queue. `end` follows. */
void intake_finish(struct intake *intake, const struct smtp_data_facts *facts);
/* It will not be: drops what was staged, frees itself in time; no call-back follows. NULL is
 * accepted. */
void intake_drop(struct intake *intake);
/* The owner is gone while `end` is awaited: the message goes on, nobody is told. */
void intake_orphan(struct intake *intake);

#endif
