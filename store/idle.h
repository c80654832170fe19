/* A stack of things to be used again. Any thread. */
#ifndef GATEPOST_STORE_IDLE_H
#define GATEPOST_STORE_IDLE_H

#include <pthread.h>
#include <stddef.h>

/* The first member of each thing. */
struct idle_link {
	struct idle_link *next;
};

struct idle {
	pthread_mutex_t lock;
	struct idle_link *top;
};

static inline void idle_give(struct idle *idle, struct idle_link *link)
{
	pthread_mutex_lock(&idle->lock);
	link->next = idle->top;
	idle->top = link;
	pthread_mutex_unlock(&idle->lock);
}

/* The one given last; NULL when there is none. */
static inline void *idle_take(struct idle *idle)
{
	pthread_mutex_lock(&idle->lock);
	struct idle_link *link = idle->top;
	idle->top = link ? link->next : NULL;
	pthread_mutex_unlock(&idle->lock);
	return link;
}

#endif
