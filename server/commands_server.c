#include "server/commands.h"

#include <stdlib.h>
#include <time.h>

#include "server/log.h"

bool command_status(struct command_call *call)
{
	struct server *server = call->server;
	struct delivery_status delivery;
	delivery_status(server->delivery, &delivery);
	int64_t up = (int64_t)time(NULL) - server->started_wall / 1000;
	command_layout(call, COMMAND_CARD,
	               "version uptime connections in_flight links relayed deferred failed smarthost reason "
	               "retry_in store_bytes store_size log_dropped");
	call->emit(call->context,
	           json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I}",
	                     "version", GATEPOST_VERSION, "uptime", (json_int_t)up, "connections",
	                     (json_int_t)census_connections(server->census), "in_flight",
	                     (json_int_t)delivery.in_flight, "links", (json_int_t)delivery.links, "relayed",
	                     (json_int_t)delivery.relayed, "deferred", (json_int_t)delivery.deferred,
	                     "failed", (json_int_t)delivery.failed, "smarthost",
	                     delivery.smarthost_down ? "down" : "up", "reason", delivery.reason, "retry_in",
	                     (json_int_t)(delivery.retry_in / 1000), "store_bytes",
	                     (json_int_t)store_live_bytes(server->store), "store_size",
	                     (json_int_t)store_size(server->store), "log_dropped",
	                     (json_int_t)log_dropped()));
	if (delivery.smarthost_down) {
		return command_fail(call, "the smarthost is down: %s", delivery.reason);
	}
	if (store_room(server->store) != STORE_ROOM) {
		return command_fail(call, "the store is nearly full");
	}
	return true;
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
