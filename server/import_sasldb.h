/* The users of a sasldb2, as Cyrus keeps them: a Berkeley DB of user, realm and password in
 * clear. */
#ifndef GATEPOST_SERVER_IMPORT_SASLDB_H
#define GATEPOST_SERVER_IMPORT_SASLDB_H

#include "proto/error.h"
#include "proto/span.h"

struct sasldb_user {
	unsigned number; /* of its record, from 1 */
	struct span user, realm, password;
};

/* Calls `each` for all users of the file `fd`, in no order, until it says false. The file need
 * not be readable by its name, and is not changed. False with a sentence when it is no sasldb
 * or `each` said so. Spans live for the call. */
bool import_sasldb(int fd, bool (*each)(void *context, const struct sasldb_user *user),
                   void *context, struct error *error);

#endif
