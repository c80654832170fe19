/* gatepostctl screen list, add, remove: who may not log in. */
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/screening.h"
#include "server/wall.h"

/* ---- list ---- */

static json_t *network_text(const struct network *network)
{
	struct buf text = { .cap = NETWORK_TEXT_MAX };
	network_write(network, &text);
	json_t *json = command_text(buf_span(&text));
	buf_done(&text);
	return json;
}

static json_t *until_text(struct command_call *call, int64_t until)
{
	return until == INT64_MAX ? json_string("removed")
	                          : command_time(wall_ms() + until - store_now(call->store));
}

static json_t *block_row(struct command_call *call, const struct screen_block *block)
{
	return json_pack("{s:o, s:o, s:s, s:I, s:I}", "network", network_text(&block->network),
	                 "until", until_text(call, block->until), "by",
	                 block->by_hand ? "hand" : "screen", "failures",
	                 (json_int_t)block->failures, "times", (json_int_t)block->level);
}

bool command_screen_list(struct command_call *call)
{
	size_t n = 0;
	struct screen_block *blocks = screening_list(call->server, &n);
	if (!blocks) {
		return command_fail(call, "out of memory");
	}
	command_layout(call, COMMAND_TABLE, "network until by failures times");
	for (size_t i = 0; i < n; i++) {
		call->emit(call->context, block_row(call, &blocks[i]));
	}
	free(blocks);
	return true;
}

/* ---- add, remove ---- */

static bool read_network(struct command_call *call, struct network *network)
{
	const char *reason;
	return network_parse(span_str(call->argv[0]), network, &reason) ||
	       command_fail(call, "%s: %s", call->argv[0], reason);
}

static bool nothing_else(struct command_write *write, struct store_txn *txn, int64_t now)
{
	(void)write, (void)txn, (void)now;
	return true;
}

/* It is done; now it is written down who did it. */
static bool journal(struct command_call *call, const char *verb)
{
	char act[200];
	snprintf(act, sizeof act, "screen %s %s%s%s", verb, call->argv[0],
	         call->argc > 1 ? " " : "", call->argc > 1 ? call->argv[1] : "");
	struct command_write write = { .run = nothing_else, .call = call, .act = act };
	return command_commit(&write);
}

bool command_screen_add(struct command_call *call)
{
	struct network network;
	int64_t length = 0;
	if (!read_network(call, &network) ||
	    (call->argc > 1 && !command_duration(call, call->argv[1], &length))) {
		return false;
	}
	int64_t until = length ? store_now(call->store) + length : INT64_MAX;
	if (!screening_add(call->server, &network, until)) {
		return command_fail(call, "%s: not stored, or there are %d such blocks already",
		                    call->argv[0], SCREEN_BY_HAND);
	}
	return journal(call, "add");
}

/* It may stand inside one that is left. */
static bool still_blocked(struct command_call *call, const struct network *network)
{
	size_t n = 0;
	struct screen_block *blocks = screening_list(call->server, &n);
	struct buf text = { .cap = NETWORK_TEXT_MAX };
	for (size_t i = 0; blocks && i < n && !text.len; i++) {
		if (network_contains(&blocks[i].network, network->address)) {
			network_write(&blocks[i].network, &text);
		}
	}
	bool is = text.len;
	if (is) {
		command_fail(call, "%s: still in %.*s", call->argv[0],
		             SPAN_ARG(buf_span(&text)));
	}
	buf_done(&text);
	free(blocks);
	return is;
}

bool command_screen_remove(struct command_call *call)
{
	struct network network;
	if (!read_network(call, &network)) {
		return false;
	}
	bool removed = screening_remove(call->server, &network);
	if (removed && !journal(call, "remove")) {
		return false;
	}
	return !still_blocked(call, &network) &&
	       (removed || command_fail(call, "%s: is not shut out", call->argv[0]));
}
