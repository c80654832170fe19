/* Whether an account is only observed, and where its owner is warned. */
#include "server/commands.h"

#include <stdio.h>

#include "auth/gate.h"
#include "auth/sender.h"
#include "proto/address.h"

static bool no_such(struct command_call *call, struct span name)
{
	return command_fail(call, "%.*s: no such account", SPAN_ARG(name));
}

/* ---- mode ---- */

const char *command_mode_name(enum gate_mode mode)
{
	static const char *const names[] = {
		[GATE_MODE_ENFORCE] = "enforce",
		[GATE_MODE_OBSERVE] = "observe",
		[GATE_MODE_DEFAULT] = "default",
	};
	return (size_t)mode < COUNT(names) ? names[mode] : NULL;
}

struct new_mode {
	enum gate_mode mode;
	int64_t length; /* 0: until it is changed */
};

static bool mode_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	const struct new_mode *new = write->data;
	const struct gate_stance stance = { .mode = new->mode,
		                            .until = new->length ? now + new->length : 0 };
	return gate_set_mode(txn, write->account, &stance) == STORE_OK ||
	       no_such(write->call, write->account);
}

static bool read_mode(struct command_call *call, struct new_mode *new)
{
	const char *word = call->argv[1];
	while (command_mode_name(new->mode) &&
	       strcmp(command_mode_name(new->mode), word) != 0) {
		new->mode++;
	}
	if (!command_mode_name(new->mode)) {
		return command_fail(call, "%s: not enforce, observe or default", word);
	}
	if (call->argc == 2) {
		return true;
	}
	if (call->argc != 4 || strcmp(call->argv[2], "--for") != 0 ||
	    new->mode == GATE_MODE_DEFAULT) {
		return command_fail(call, "%s --for 2h, or nothing behind it",
		                    command_mode_name(GATE_MODE_OBSERVE));
	}
	return command_duration(call, call->argv[3], &new->length);
}

static bool set_mode(struct command_call *call, struct span name)
{
	char act[100];
	struct new_mode new = { .mode = GATE_MODE_ENFORCE };
	if (!read_mode(call, &new)) {
		return false;
	}
	snprintf(act, sizeof act, "account mode %s%s%s", call->argv[1],
	         new.length ? " --for " : "", new.length ? call->argv[3] : "");
	struct command_write write = {
		.run = mode_run,
		.call = call,
		.account = name,
		.act = act,
		.data = &new,
	};
	return command_commit(&write);
}

bool command_account_mode(struct command_call *call)
{
	return command_with_account(call, set_mode);
}

/* ---- recovery ---- */

/* Does mail to `address` come to the account itself: is it its name, with a detail or
 * without, or one of its aliases? Where it is aliased behind us nobody here can know. */
static bool is_itself(struct store_txn *txn, struct span account, const struct address *address)
{
	struct address own;
	bool may = false;
	struct buf keys[2] = { { .cap = ADDRESS_MAX + 1 }, { .cap = ADDRESS_MAX + 1 } };
	struct buf folded[2] = { { .cap = ADDRESS_MAX + 1 }, { .cap = ADDRESS_MAX + 1 } };
	bool same = sender_may(txn, account, address->whole, &may) != STORE_OK || may;
	if (!same && address_parse(account, &own) == ADDRESS_OK) {
		address_key(address, &keys[0]);
		address_key(&own, &keys[1]);
		address_key_fold(buf_span(&keys[0]), &folded[0]);
		address_key_fold(buf_span(&keys[1]), &folded[1]);
		same = span_eq_nocase(buf_span(&folded[0]), buf_span(&folded[1]));
	}
	for (size_t i = 0; i < COUNT(keys); i++) {
		buf_done(&keys[i]);
		buf_done(&folded[i]);
	}
	return same;
}

static bool recovery_run(struct command_write *write, struct store_txn *txn, int64_t now)
{
	const struct address *address = write->data;
	(void)now;
	if (address && is_itself(txn, write->account, address)) {
		return command_fail(write->call,
		                    "%.*s: is the account itself, where a thief reads it",
		                    SPAN_ARG(address->whole));
	}
	return gate_set_recovery(txn, write->account, address ? address->whole : SPAN_NONE) ==
	           STORE_OK ||
	       no_such(write->call, write->account);
}

static bool set_recovery(struct command_call *call, struct span name)
{
	char act[ADDRESS_MAX + 32];
	struct address address;
	bool none = strcmp(call->argv[1], "-") == 0;
	if (!none && (address_parse(span_str(call->argv[1]), &address) != ADDRESS_OK ||
	              !address.domain.len)) {
		return command_fail(call, "%s: not a mail address", call->argv[1]);
	}
	snprintf(act, sizeof act, "account recovery %s", call->argv[1]);
	struct command_write write = {
		.run = recovery_run,
		.call = call,
		.account = name,
		.act = act,
		.data = none ? NULL : &address,
	};
	return command_commit(&write);
}

bool command_account_recovery(struct command_call *call)
{
	return command_with_account(call, set_recovery);
}
