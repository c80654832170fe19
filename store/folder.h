/*
 * The folder of the store, before LMDB sees it: made when missing, refused where a map can not
 * be trusted, claimed for one process.
 */
#ifndef GATEPOST_STORE_FOLDER_H
#define GATEPOST_STORE_FOLDER_H

#include "store/store.h"

/*
 * Makes `dir` (0700) when missing and claims it: `claim_out` is to be closed by folder_leave.
 * IN_USE when another process has it, or this one already.
 */
enum store_result folder_enter(const char *dir, int *claim_out, struct error *error);
/* Below 0 is accepted. */
void folder_leave(int claim);
/* Makes the names of new files in `dir` survive a power cut. */
enum store_result folder_sync(const char *dir, struct error *error);
/* Has blocks in hand behind `end` of the file `fd`. Even a delete writes new pages first:
 * without them a store on a full disk could not get smaller. */
void folder_reserve(int fd, uint64_t end);
/* Bytes of the disk of an open file that are free for an ordinary user; 0 when that can not be
 * told. Not by name: folders above may be shut for a moment. */
uint64_t folder_space(int fd);

#endif
