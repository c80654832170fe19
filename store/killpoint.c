#include "store/killpoint.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proto/span.h"

void killpoint(const char *name)
{
	static atomic_ulong reached;
	struct span order = span_str(getenv("GATEPOST_KILL"));
	size_t colon = span_find(order, ':');
	if (!span_eq(span_first(order, colon), span_str(name))) {
		return;
	}
	unsigned long when = colon < order.len ? strtoul(order.ptr + colon + 1, NULL, 10) : 1;
	if (atomic_fetch_add(&reached, 1) + 1 == when) {
		raise(SIGKILL);
	}
}
