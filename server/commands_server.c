#include "server/commands.h"

#include <stdlib.h>
#include <time.h>

#include "server/log.h"
#include "server/screening.h"
#include "server/suspension.h"
#include "store/meta.h"
#include "store/queue.h"

/* All that `status` shows, read at one time. */
struct state {
	struct delivery_status delivery;
	struct queue_usage queue;
	uint64_t waiting; /* for the guard's sake */
	uint64_t suspended;
	uint64_t undelivered; /* notices */
	int64_t drill_passed; /* ms since 1970; 0: never */
	enum gate_mode mode;
	size_t observed; /* accounts, by a mode of their own */
};

/* Before anything happened, and where its row can not be read, none has passed. */
static int64_t drill_passed(struct store_txn *txn)
{
	struct meta_drill drill = { .passed_wall = 0 };
	return meta_drill_get(txn, &drill) == STORE_OK ? drill.passed_wall : 0;
}

static json_t *drill_text(int64_t passed)
{
	return passed ? command_time(passed) : json_string("never passed");
}

static json_t *status_row(struct server *server, const struct state *state)
{
	const struct delivery_status *delivery = &state->delivery;
	int64_t up = (int64_t)time(NULL) - server->started_wall / 1000;
	return json_pack(
	    "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:I, "
	    "s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:s, s:I}",
	    "version", GATEPOST_VERSION, "uptime", (json_int_t)up, "connections",
	    (json_int_t)census_connections(server->census), "queued",
	    (json_int_t)state->queue.entries, "queued_bytes", (json_int_t)state->queue.bytes,
	    "waiting", (json_int_t)state->waiting, "in_flight", (json_int_t)delivery->in_flight,
	    "links", (json_int_t)delivery->links, "relayed", (json_int_t)delivery->relayed,
	    "deferred", (json_int_t)delivery->deferred, "failed", (json_int_t)delivery->failed,
	    "smarthost", delivery->smarthost_down ? "down" : "up", "reason", delivery->reason,
	    "retry_in", (json_int_t)(delivery->retry_in / 1000), "store_bytes",
	    (json_int_t)store_live_bytes(server->store), "store_size",
	    (json_int_t)store_size(server->store), "log_dropped", (json_int_t)log_dropped(),
	    "suspended", (json_int_t)state->suspended, "notices_undelivered",
	    (json_int_t)state->undelivered, "shut_out", (json_int_t)screening_count(server),
	    "drill", drill_text(state->drill_passed), "mode", command_mode_name(state->mode),
	    "observed", (json_int_t)state->observed);
}

/* The first thing that needs the admin; false with it. */
static bool judge(struct command_call *call, const struct state *state)
{
	if (state->delivery.smarthost_down) {
		return command_fail(call, "the smarthost is down: %s", state->delivery.reason);
	}
	if (state->undelivered) {
		return command_fail(call,
		                    "a notice is undelivered; its text is in %s/incidents",
		                    call->config->data_dir);
	}
	if (atomic_load(&call->server->hooks_lost)) {
		return command_fail(call, "the helper of on_suspend and on_unlock is gone: "
		                          "restart the daemon");
	}
	if (store_room(call->store) != STORE_ROOM) {
		return command_fail(call, "the store is nearly full");
	}
	return true;
}

bool command_status(struct command_call *call)
{
	struct state state = { .suspended = 0 };
	delivery_status(call->server->delivery, &state.delivery);
	struct store_txn *txn = command_read(call);
	if (!txn) {
		return false;
	}
	enum store_result result = queue_total(txn, &state.queue);
	if (result == STORE_OK) {
		result = suspension_count(txn, &state.suspended, &state.undelivered);
	}
	if (result == STORE_OK) {
		result = queue_count_dwelling(txn, store_now(call->store), &state.waiting);
	}
	state.drill_passed = drill_passed(txn);
	state.mode = call->config->mode;
	state.observed = gate_count_observed(txn, store_now(call->store));
	store_abort(txn);
	command_layout(
	    call, COMMAND_CARD,
	    "version uptime connections queued queued_bytes waiting in_flight links relayed "
	    "deferred failed smarthost reason retry_in suspended notices_undelivered "
	    "shut_out drill mode observed store_bytes store_size log_dropped");
	call->emit(call->context, status_row(call->server, &state));
	return result == STORE_OK ? judge(call, &state)
	                          : command_fail(call, "the queue can not be read");
}

bool command_reload(struct command_call *call)
{
	struct error notes;
	if (!server_reload(call->server, &notes)) {
		return command_fail(call, "nothing was changed: %s", notes.text);
	}
	command_layout(call, COMMAND_CARD, "notes");
	if (notes.text[0]) {
		call->emit(call->context, json_pack("{s:s}", "notes", notes.text));
	}
	return true;
}

bool command_backup(struct command_call *call)
{
	return store_copy(call->store, call->file, &call->error) == STORE_OK;
}

#ifdef GATEPOST_HOOKS
bool command_clock(struct command_call *call)
{
	store_advance(call->store, strtoll(call->argv[0], NULL, 10));
	delivery_tell(call->server->delivery, DELIVERY_RELEASED, 0);
	return true;
}
#endif
