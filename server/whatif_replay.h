/*
 * Past mail before the gate of today: the same code as the daemon's, in a store of its own
 * whose one transaction is never committed. All of what-if that knows the gate is in this file
 * and whatif_replay.c.
 */
#ifndef GATEPOST_SERVER_WHATIF_REPLAY_H
#define GATEPOST_SERVER_WHATIF_REPLAY_H

#include "auth/gate.h"
#include "proto/error.h"

struct whatif_message;
struct whatif_replay;

/* What the guard remembers of a recipient of an account: 64 bits of a digest. */
uint64_t whatif_contact(struct span account, struct span recipient);

/*
 * `rules` are borrowed, and read as if everything at the limit were `suspend`, with no bound
 * for how many: each account is judged as if it were the only one. NULL with a sentence.
 */
struct whatif_replay *whatif_replay_new(const struct gate_rules *rules, struct error *error);
/* NULL is accepted. Nothing stays behind. */
void whatif_replay_free(struct whatif_replay *replay);
/* "stranger=5". False with a sentence. */
bool whatif_replay_price(struct whatif_replay *replay, struct span text, struct error *error);
/* Is it ruled by the limits that hold for all? Not when it is exempt, or has its own. */
bool whatif_replay_is_ruled(const struct whatif_replay *replay, struct span account);

struct whatif_judgement {
	enum gate_verdict verdict; /* ALLOW, TRIPPED, or NEVER: too large, and refused */
	uint32_t price;            /* tokens */
	struct budget_limit limit; /* that it broke */
	uint32_t spent;            /* of that, before */
};
/* The next message, no earlier than the one before. After TRIPPED the account has been unlocked
 * with a full budget, and the message been sent again. False with a sentence when the store
 * fails. */
bool whatif_replay_judge(struct whatif_replay *replay, const struct whatif_message *message,
                         struct whatif_judgement *judgement_out, struct error *error);

#endif
