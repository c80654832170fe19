/* A word to the service manager: one datagram to $NOTIFY_SOCKET, nothing when that is not set.
 */
#ifndef GATEPOST_SERVER_NOTIFY_H
#define GATEPOST_SERVER_NOTIFY_H

/* "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=..." (several with line ends between). */
void notify_send(const char *state);

#endif
