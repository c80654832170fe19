#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RESERVE_BYTES   ((off_t)4 << 20)
#define LOCK_FILE_BYTES 40960 /* 512 readers of 64 bytes and the head, rounded up */

/*
 * LMDB's lock lives in shared memory and its readers trust the page cache: over a network two
 * machines would both believe that they own the store, and FUSE promises neither.
 */
static const struct {
	unsigned long magic;
	const char *name;
} distrusted[] = {
	{ 0x6969, "NFS" },      { 0x65735546, "FUSE" },  { 0x517b, "SMB" },
	{ 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB2" },  { 0x01021997, "9P" },
	{ 0x5346414f, "AFS" },  { 0x00c36400, "Ceph" },  { 0x73757245, "Coda" },
	{ 0x01161970, "GFS2" }, { 0x7461636f, "OCFS2" },
};

static enum store_result judge(const char *dir, struct error *error)
{
	struct statfs fs;
	if (statfs(dir, &fs) != 0) {
		error_set(error, "%s: %s", dir, strerror(errno));
		return STORE_FAILED;
	}
	for (size_t i = 0; i < COUNT(distrusted); i++) {
		if (((unsigned long)fs.f_type & 0xffffffff) == distrusted[i].magic) {
			error_set(error, "%s is on %s; the store needs a local filesystem", dir,
			          distrusted[i].name);
			return STORE_FAILED;
		}
	}
	return STORE_OK;
}

/*
 * Takes the blocks of LMDB's lock file now: it is written through a map, where a full disk is
 * no error but a SIGBUS. Only while nobody here has it open: a close drops all of a process'
 * fcntl locks on a file.
 */
static enum store_result reserve_lock_file(const char *dir, struct error *error)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/lock.mdb", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int code = fd < 0 ? errno : posix_fallocate(fd, 0, LOCK_FILE_BYTES);
	if (fd >= 0) {
		close(fd);
	}
	if (code == ENOSPC || code == EDQUOT) {
		error_set(error, "%s: %s", path, strerror(code));
		return STORE_FULL;
	}
	return STORE_OK; /* what else is wrong with it LMDB finds out */
}

/* The pid that the holder of the claim has written, 0 when it is not readable. */
static long holder(int claim)
{
	char text[24] = "";
	long pid = 0;
	ssize_t n = pread(claim, text, sizeof text - 1, 0);
	return n > 0 && sscanf(text, "%ld", &pid) == 1 && pid > 0 ? pid : 0;
}

static enum store_result refuse(const char *dir, int claim, int code, struct error *error)
{
	if (code != EWOULDBLOCK) {
		error_set(error, "%s/gatepost.lock: %s", dir, strerror(code));
		return STORE_FAILED;
	}
	long pid = holder(claim);
	if (pid) {
		error_set(error, "%s is in use by another gatepost, process %ld", dir, pid);
	} else {
		error_set(error, "%s is in use by another gatepost", dir);
	}
	return STORE_IN_USE;
}

/*
 * flock, not fcntl: it belongs to the open file, so that a second opening in this process is
 * refused too, and no close of another descriptor drops it.
 */
enum store_result folder_enter(const char *dir, int *claim_out, struct error *error)
{
	if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
		error_set(error, "cannot create %s: %s", dir, strerror(errno));
		return STORE_FAILED;
	}
	enum store_result result = judge(dir, error);
	if (result != STORE_OK) {
		return result;
	}
	char path[PATH_MAX];
	if (snprintf(path, sizeof path, "%s/gatepost.lock", dir) >= (int)sizeof path) {
		error_set(error, "%.64s...: the name is too long", dir);
		return STORE_FAILED;
	}
	int claim = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (claim < 0) {
		error_set(error, "%s: %s", path, strerror(errno));
		return STORE_FAILED;
	}
	if (flock(claim, LOCK_EX | LOCK_NB) != 0) {
		result = refuse(dir, claim, errno, error);
		close(claim);
		return result;
	}
	result = reserve_lock_file(dir, error);
	if (result != STORE_OK) {
		close(claim);
		return result;
	}
	/* For the sentence above only: a disk too full for it stops nobody. */
	if (ftruncate(claim, 0) == 0) {
		(void)!dprintf(claim, "%ld\n", (long)getpid());
	}
	*claim_out = claim;
	return STORE_OK;
}

void folder_leave(int claim)
{
	if (claim >= 0) {
		close(claim);
	}
}

enum store_result folder_sync(const char *dir, struct error *error)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	if (!synced) {
		error_set(error, "cannot sync %s: %s", dir, strerror(errno));
	}
	if (fd >= 0) {
		close(fd);
	}
	return synced ? STORE_OK : STORE_FAILED;
}

uint64_t folder_space(int fd)
{
	struct statvfs fs;
	return fstatvfs(fd, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

void folder_reserve(int fd, uint64_t end)
{
	(void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)end, RESERVE_BYTES);
}
