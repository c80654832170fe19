#include "server/smarthost.h"

#include <stdio.h>

#include "server/schedule.h"

static unsigned working(const struct smarthost *host)
{
	return host->links[SMARTHOST_IDLE] + host->links[SMARTHOST_BUSY];
}

static void hold(struct smarthost *host, const struct smarthost_backoff *backoff, int64_t now,
                 unsigned tries)
{
	host->hold_until = now + schedule_retry(backoff->retry, backoff->nretry, tries,
	                                        backoff->random);
}

static enum smarthost_change fail(struct smarthost *host,
                                  const struct smarthost_backoff *backoff, int64_t now,
                                  const char *reason)
{
	hold(host, backoff, now, host->failures);
	host->down_since = host->failures ? host->down_since : now;
	host->failures++;
	host->proven = false;
	snprintf(host->reason, sizeof host->reason, "%s", reason);
	return SMARTHOST_DOWN;
}

enum smarthost_change smarthost_unreached(struct smarthost *host,
                                          const struct smarthost_backoff *backoff, int64_t now,
                                          const char *reason)
{
	if (now < host->hold_until) {
		return SMARTHOST_SAME;
	}
	if (working(host)) {
		hold(host, backoff, now, 0);
		snprintf(host->reason, sizeof host->reason, "%s", reason);
		return SMARTHOST_CROWDED;
	}
	return fail(host, backoff, now, reason);
}

enum smarthost_change smarthost_cut(struct smarthost *host,
                                    const struct smarthost_backoff *backoff, int64_t now,
                                    const char *reason)
{
	host->cuts++;
	if (host->cuts < SMARTHOST_CUTS || (host->failures && now < host->hold_until)) {
		return SMARTHOST_SAME;
	}
	return fail(host, backoff, now, reason);
}

static enum smarthost_change prove(struct smarthost *host)
{
	bool was_down = host->failures > 0;
	host->proven = true;
	if (was_down) {
		host->failures = 0;
		host->hold_until = 0;
	}
	return was_down ? SMARTHOST_UP : SMARTHOST_SAME;
}

enum smarthost_change smarthost_reached(struct smarthost *host)
{
	/* One that says hello and then cuts every mail is not back because it says hello. */
	return host->cuts < SMARTHOST_CUTS ? prove(host) : SMARTHOST_SAME;
}

enum smarthost_change smarthost_answered(struct smarthost *host)
{
	host->cuts = 0;
	return prove(host);
}

void smarthost_wake(struct smarthost *host)
{
	host->hold_until = 0;
	host->failures = host->failures ? 1 : 0;
}

/* How many links it may have now, those that are leaving not counted. */
static unsigned allowed(const struct smarthost *host, int64_t now)
{
	unsigned most = host->connections - (host->links[SMARTHOST_LEAVING] < host->connections
	                                         ? host->links[SMARTHOST_LEAVING]
	                                         : host->connections);
	unsigned wanted = now < host->hold_until ? working(host) : host->proven ? most : 1;
	return wanted < most ? wanted : most;
}

bool smarthost_may_open(const struct smarthost *host, int64_t now)
{
	return now >= host->hold_until &&
	       working(host) + host->links[SMARTHOST_OPENING] < allowed(host, now);
}

size_t smarthost_room(const struct smarthost *host, int64_t now)
{
	unsigned most = allowed(host, now);
	unsigned busy = host->links[SMARTHOST_BUSY];
	return busy < most ? most - busy : 0;
}

bool smarthost_is_hopeful(const struct smarthost *host, int64_t now)
{
	return now >= host->hold_until || working(host) || host->links[SMARTHOST_OPENING];
}

bool smarthost_is_down(const struct smarthost *host)
{
	return host->failures > 0 && working(host) == 0;
}
