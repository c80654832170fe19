/*
 * The process that starts the programs of on_suspend and on_unlock: forked before there is a
 * thread, a listening socket, an open store or a sandbox, and at once the daemon's user, never
 * root. Its programs inherit nothing of the daemon but stderr. It ends with the daemon, and
 * ends what it has started then.
 *
 * Requests and reports are messages of a SEQPACKET socket: none is ever half.
 */
#ifndef GATEPOST_SERVER_HOOK_HELPER_H
#define GATEPOST_SERVER_HOOK_HELPER_H

#include "proto/buf.h"
#include "proto/error.h"

#define HOOK_ARGUMENTS_MAX 32 /* with the program */
#define HOOK_REQUEST_MAX   ((size_t)96 * 1024)
#define HOOK_PROGRAMS_MAX  8 /* at a time */

/* Please run this. */
struct hook_request {
	uint64_t id;       /* comes back in the report */
	int64_t timeout;   /* ms; then it is killed, and what it has started */
	struct span event; /* GATEPOST_HOOK in its environment */
	const struct span *argument;
	size_t narguments; /* 1 to HOOK_ARGUMENTS_MAX; the first is the program's path */
	struct span facts; /* its stdin */
};

/* This has ended. */
struct hook_report {
	uint64_t id;
	int fault; /* errno: it could not be started */
	int status, signal;
	bool late; /* killed, as its time was over */
};

/* Forks it, and returns our end of the socket (which does not block); -1 with a sentence. As
 * root it becomes `user`. */
int hook_helper_start(const char *user, struct error *error);
/* False when there is no room at present, or nobody (then a receive says so, too). */
bool hook_helper_send(int fd, const struct hook_request *request);
enum hook_received { HOOK_RECEIVED, HOOK_NOTHING_YET, HOOK_HELPER_GONE };
enum hook_received hook_helper_receive(int fd, struct hook_report *report_out);

#endif
