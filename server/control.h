/*
 * The admin socket: a line of JSON in, lines of JSON out (rows, then a last line with `ok` or
 * `error`). A thread a connection, a few at a time, blocking; writes go through the writer. The
 * command table is in server/commands.h.
 */
#ifndef GATEPOST_SERVER_CONTROL_H
#define GATEPOST_SERVER_CONTROL_H

#include "server/server.h"

/* Binds the socket (0660, `user`'s group) and starts the thread. NULL with a sentence. */
struct control *control_start(struct server *server, const char *path, struct error *error);
/* Ends it and removes the socket. NULL is accepted. */
void control_stop(struct control *control);

#endif
