#include "server/resolver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/link.h"

#define KEEP ((uint64_t)60 * 1000)

/* Outlives its resolver while a thread of the pool has it. */
struct lookup {
	uv_getaddrinfo_t request;
	struct resolver *resolver; /* NULL: nobody is interested any more */
};

struct resolver {
	uv_loop_t *loop;
	void (*done)(void *owner);
	void *owner;
	struct lookup *lookup;
	struct sockaddr_storage addresses[LINK_ADDRESSES_MAX];
	size_t naddresses;
	uint64_t fresh_until;
	bool number;
	bool failed;
	char reason[256];
	unsigned port;
	char name[256];
};

static bool read_number(struct resolver *resolver)
{
	struct sockaddr_storage *at = &resolver->addresses[0];
	int port = (int)resolver->port;
	return uv_ip4_addr(resolver->name, port, (struct sockaddr_in *)at) == 0 ||
	       uv_ip6_addr(resolver->name, port, (struct sockaddr_in6 *)at) == 0;
}

struct resolver *resolver_new(uv_loop_t *loop, const char *name, unsigned port,
                              void (*done)(void *owner), void *owner)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);
	if (resolver) {
		resolver->loop = loop;
		resolver->port = port;
		resolver->done = done;
		resolver->owner = owner;
		snprintf(resolver->name, sizeof resolver->name, "%s", name);
		resolver->number = read_number(resolver);
		resolver->naddresses = resolver->number;
	}
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	if (resolver && resolver->lookup) {
		resolver->lookup->resolver = NULL;
		uv_cancel((uv_req_t *)&resolver->lookup->request);
	}
	free(resolver);
}

static void take_addresses(struct resolver *resolver, const struct addrinfo *list)
{
	resolver->naddresses = 0;
	for (; list && resolver->naddresses < LINK_ADDRESSES_MAX; list = list->ai_next) {
		if (list->ai_addrlen <= sizeof resolver->addresses[0]) {
			memcpy(&resolver->addresses[resolver->naddresses++], list->ai_addr,
			       list->ai_addrlen);
		}
	}
}

static void looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct lookup *lookup = (struct lookup *)request;
	struct resolver *resolver = lookup->resolver;
	free(lookup);
	if (resolver) {
		resolver->lookup = NULL;
		if (status == 0) {
			take_addresses(resolver, list);
		}
		/* A name server that is away does not part us from a smarthost we know. */
		resolver->fresh_until = uv_now(resolver->loop) + KEEP;
		resolver->failed = resolver->naddresses == 0;
		if (resolver->failed) {
			snprintf(resolver->reason, sizeof resolver->reason, "%.200s: %s",
			         resolver->name, uv_strerror(status ? status : UV_EAI_NODATA));
		}
	}
	uv_freeaddrinfo(list);
	if (resolver) {
		resolver->done(resolver->owner);
	}
}

static void look_up(struct resolver *resolver)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	char port[16];
	snprintf(port, sizeof port, "%u", resolver->port);
	struct lookup *lookup = calloc(1, sizeof *lookup);
	int failure = lookup ? uv_getaddrinfo(resolver->loop, &lookup->request, looked_up,
	                                      resolver->name, port, &hints)
	                     : UV_ENOMEM;
	if (failure) {
		free(lookup);
		resolver->failed = true;
		snprintf(resolver->reason, sizeof resolver->reason, "%.200s: %s",
		         resolver->name, uv_strerror(failure));
		return;
	}
	lookup->resolver = resolver;
	resolver->lookup = lookup;
}

enum resolver_answer resolver_ask(struct resolver *resolver,
                                  const struct sockaddr_storage **addresses_out, size_t *n_out,
                                  const char **reason_out)
{
	bool fresh = resolver->naddresses &&
	             (resolver->number || uv_now(resolver->loop) < resolver->fresh_until);
	if (!fresh && !resolver->failed && !resolver->lookup) {
		look_up(resolver);
	}
	if (resolver->failed) {
		resolver->failed = false;
		*reason_out = resolver->reason;
		return RESOLVER_FAILED;
	}
	if (!fresh) {
		return RESOLVER_WAIT;
	}
	*addresses_out = resolver->addresses;
	*n_out = resolver->naddresses;
	return RESOLVER_READY;
}

bool resolver_is_number(const struct resolver *resolver)
{
	return resolver->number;
}
