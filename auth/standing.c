#include "auth/standing.h"

#include "auth/budget.h"
#include "proto/pack.h"

/* Mail that an answer keeps stays held by the incident that held it: no sweep at all. */
static const struct standing_effect effects[][STANDING_EVENTS] = {
	[STANDING_GOOD] = {
		[STANDING_TRIP] = { true, STANDING_SUSPENDED, INCIDENT_HOLD, false, false },
	},
	[STANDING_SUSPENDED] = {
		[STANDING_UNLOCK]  = { true, STANDING_GOOD, INCIDENT_RELEASE, true, true },
		[STANDING_KEEP]    = { true, STANDING_GOOD, INCIDENT_SWEPT, true, true },
		[STANDING_DISCARD] = { true, STANDING_GOOD, INCIDENT_DISCARD, true, true },
		[STANDING_SPAM]    = { true, STANDING_SUSPENDED, INCIDENT_DISCARD, false, false },
		[STANDING_NOTHING] = { true, STANDING_SUSPENDED, INCIDENT_SWEPT, false, false },
	},
};

/* What the table leaves out changes nothing. */
struct standing_effect standing_effect(enum standing_state state, enum standing_event event)
{
	const struct standing_effect nothing = { .state = state };
	const struct standing_effect *effect = &effects[state][event];
	return effect->legal ? *effect : nothing;
}

bool standing_note_trip(struct standing *standing, uint64_t incident, int64_t now)
{
	int64_t *trips = standing->trips;
	standing->state = STANDING_SUSPENDED;
	standing->incident = incident;
	memmove(trips + 1, trips, (STANDING_TRIPS_KEPT - 1) * sizeof *trips);
	trips[0] = now > 0 ? now : 1; /* 0 is none */
	int64_t oldest = trips[STANDING_TRIPS_MAX - 1];
	return oldest && now - oldest < STANDING_TRIPS_SPAN;
}

/* ---- the stored row ---- */

/* An account that never tripped has no row at all. */
void standing_pack(const struct standing *standing, struct buf *out)
{
	if (standing->state == STANDING_GOOD && !standing->incident && !standing->trips[0]) {
		return;
	}
	pack_u8(out, (uint8_t)standing->state);
	pack_varint(out, standing->incident);
	for (size_t i = 0; i < STANDING_TRIPS_KEPT; i++) {
		pack_varint(out, (uint64_t)standing->trips[i]);
	}
}

bool standing_unpack(struct span row, struct standing *standing_out)
{
	struct standing standing = { .state = STANDING_GOOD };
	struct unpacker in = unpack_from(row);
	if (row.len == 0) {
		*standing_out = standing;
		return true;
	}
	uint8_t state = unpack_u8(&in);
	standing.incident = unpack_varint(&in);
	for (size_t i = 0; i < STANDING_TRIPS_KEPT; i++) {
		uint64_t trip = unpack_varint(&in);
		in.bad = in.bad || trip > (uint64_t)BUDGET_TIME_MAX;
		standing.trips[i] = (int64_t)trip;
	}
	if (!unpack_ok(&in) || state > STANDING_SUSPENDED ||
	    (state == STANDING_SUSPENDED && !standing.incident)) {
		return false;
	}
	standing.state = (enum standing_state)state;
	*standing_out = standing;
	return true;
}
