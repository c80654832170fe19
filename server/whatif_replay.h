/*
 * Past mail before the gate of today: the same code as the daemon's, history and all, in a
 * store of its own whose one transaction is never committed. All of what-if that drives the
 * gate is in this file and whatif_replay.c.
 */
#ifndef GATEPOST_SERVER_WHATIF_REPLAY_H
#define GATEPOST_SERVER_WHATIF_REPLAY_H

#include "auth/gate.h"
#include "proto/error.h"

struct config;
struct whatif_message;
struct whatif_replay;

/* What the guard remembers of a recipient of an account: 64 bits of a digest. */
uint64_t whatif_contact(const struct secret_key *key, struct span account,
                        struct span recipient);

/* All borrowed. */
struct whatif_rules {
	struct gate_rules gate;
	const struct config *config; /* what is declared of networks; NULL: nothing */
	bool history; /* each account has one from its first message on, in which the network of
	                 that message is its own */
	bool unlimited; /* nobody is stopped by anything: what it all would cost */
};
/*
 * Read as if everything at the limit were `suspend`, with no bound for how many, and nothing
 * waited: each account is judged as if it were the only one, but that networks which many use
 * are shared. NULL with a sentence.
 */
struct whatif_replay *whatif_replay_new(const struct whatif_rules *rules, struct error *error);
/* NULL is accepted. Nothing stays behind. */
void whatif_replay_free(struct whatif_replay *replay);
/* Is it ruled by the limits that hold for all? Not when it is exempt, or has its own. */
bool whatif_is_ruled(const struct gate_rules *rules, struct span account);

struct whatif_judgement {
	enum gate_verdict verdict; /* ALLOW, TRIPPED, HOLD; or NEVER: too large, and refused */
	uint32_t price, strangers; /* as in gate_result, for what was taken in the end */
	struct gate_beyond beyond; /* the limit that it broke */
	struct tariff_bill lines;  /* TRIPPED: its bill, */
	struct tariff tariff;      /* at these prices */
};
/* The next message, no earlier than the one before. After TRIPPED the account has been unlocked
 * with a full budget and a new password, and the message been sent again; what was held has
 * been released. False with a sentence when the store fails. */
bool whatif_replay_judge(struct whatif_replay *replay, const struct whatif_message *message,
                         struct whatif_judgement *judgement_out, struct error *error);

#endif
