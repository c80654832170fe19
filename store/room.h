/* How full the store is, by what was measured last. Read from any thread. */
#ifndef GATEPOST_STORE_ROOM_H
#define GATEPOST_STORE_ROOM_H

#include <stdatomic.h>

#include "store/store.h"

#define ROOM_DISK_RESERVE ((uint64_t)64 << 20)

struct room {
	_Atomic uint64_t size;  /* high-water mark */
	_Atomic uint64_t live;  /* bytes in use */
	_Atomic uint64_t spare; /* bytes left on the disk and in the file's own free pages */
};

/* Free pages inside the file count: a full disk stops no store that has emptied. */
static inline enum store_room room_judge(const struct room *room)
{
	uint64_t size = atomic_load(&room->size);
	uint64_t live = atomic_load(&room->live);
	uint64_t reserve = size / 20 < ROOM_DISK_RESERVE ? size / 20 : ROOM_DISK_RESERVE;
	if (live >= size || atomic_load(&room->spare) < reserve) {
		return STORE_NO_ROOM;
	}
	return live >= size - size / 10 ? STORE_RESERVED : STORE_ROOM;
}

#endif
