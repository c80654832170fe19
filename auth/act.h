/* One attempt to send, as values: all that the judge sees. */
#ifndef GATEPOST_AUTH_ACT_H
#define GATEPOST_AUTH_ACT_H

#include "proto/span.h"

struct act {
	struct span account; /* canonical */
	struct span apppass; /* by which of its app passwords; empty: none */
	uint32_t recipients; /* each once */
	struct span client;  /* the client's address, text */
	struct span subject; /* as in the header, may be empty or anything */
	int64_t now;         /* T */
	int64_t wall;        /* ms since 1970 */
};

#endif
