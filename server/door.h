/*
 * Mail to our own address: never relayed, read as an order, redeemed. It gathers the tags of a
 * transaction and as much of its text as an order needs; it survives its session.
 */
#ifndef GATEPOST_SERVER_DOOR_H
#define GATEPOST_SERVER_DOOR_H

#include "proto/orders.h"
#include "server/server.h"

#define DOOR_TAGS_MAX 10
#define DOOR_TEXT_MAX ((size_t)256 * 1024) /* what is behind it is not read */

struct door;

struct door_handler {
	/* After door_finish, once durable; `kept` false: the store failed, 451. The door is
	 * freed behind it. */
	void (*end)(void *owner, bool kept);
};

/* Who hands it in. */
struct door_visitor {
	struct span login; /* empty at the reply listener */
	/* By an app password, or a device: whoever has that has proved nothing, and who it says
	 * it is counts for nothing, either. */
	bool nobody;
	struct span client; /* for the log */
};

/* Copies the visitor. NULL without memory. */
struct door *door_new(struct worker *worker, struct config *config,
                      const struct door_visitor *visitor, const struct door_handler *handler,
                      void *owner);
/* Whether the address is one of ours by its form (reply_address with anything for the `*`). */
bool door_is_ours(const struct config *config, struct span address);
bool door_is_full(const struct door *door);
/* False when it is no well-formed tag, or the door is full. */
bool door_add(struct door *door, struct span address);
/* The envelope sender; empty for <>. False without memory. */
bool door_sender(struct door *door, struct span sender);
void door_put(struct door *door, struct span text);
void door_finish(struct door *door);
/* Frees it, at once or behind its commit; no call-back follows. NULL is accepted. */
void door_drop(struct door *door);

#endif
