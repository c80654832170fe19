#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum store_result store_backup(struct store *store, const char *path, struct error *error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		error_set(error, "%s: %s", path, strerror(errno));
		return STORE_FAILED;
	}
	struct error fault = { "" };
	enum store_result result = store_copy(store, fd, &fault);
	if (result == STORE_OK && fsync(fd) != 0) {
		error_set(&fault, "%s", strerror(errno));
		result = STORE_FAILED;
	}
	close(fd);
	if (result != STORE_OK) {
		error_set(error, "%s: %s", path, fault.text);
		unlink(path);
	}
	return result;
}
