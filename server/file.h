/* All of a file that is read at once: what the configuration names. */
#ifndef GATEPOST_SERVER_FILE_H
#define GATEPOST_SERVER_FILE_H

#include "proto/buf.h"

/* Appends it, up to the cap of `out`. NULL, else why not (until the next call of strerror). */
const char *file_read(const char *path, struct buf *out);

#endif
