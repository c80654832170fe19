#include "server/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

const char *file_read(const char *path, struct buf *out)
{
	/* A pipe without a writer must not stop a reload. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0) {
		char *room = buf_reserve(out, 1);
		size_t left = out->size - out->head - out->len;
		size_t most = out->cap - out->len;
		n = room ? read(fd, room, left < most ? left : most) : 0;
		buf_grow(out, n > 0 ? (size_t)n : 0);
	}
	const char *reason = n < 0         ? strerror(errno ? errno : EIO)
	                     : out->failed ? "is too large"
	                                   : NULL;
	if (fd >= 0) {
		close(fd);
	}
	return reason;
}
