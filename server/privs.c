#include "server/privs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUPS_MAX 256
#define NAMES_MAX  16384

/* All that the name stands for, looked up before a fork or a drop: nothing is allocated behind
 * them. */
struct person {
	uid_t uid;
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	size_t ngroups;
};

bool privs_is_root(void)
{
	return geteuid() == 0;
}

static bool look_up(const char *user, struct person *person_out, struct error *error)
{
	struct passwd entry, *found = NULL;
	int count = GROUPS_MAX;
	char *names = malloc(NAMES_MAX);
	int fault = names ? getpwnam_r(user, &entry, names, NAMES_MAX, &found) : ENOMEM;
	bool good = false;
	if (!found) {
		error_set(error, "user %s: %s", user,
		          fault ? strerror(fault) : "there is no such user");
	} else if (entry.pw_uid == 0) {
		error_set(error, "user %s: is root, which the daemon must not be", user);
	} else if (getgrouplist(user, entry.pw_gid, person_out->groups, &count) < 0) {
		error_set(error, "user %s: is in more than %d groups", user, GROUPS_MAX);
	} else {
		person_out->uid = entry.pw_uid;
		person_out->gid = entry.pw_gid;
		person_out->ngroups = (size_t)count;
		good = true;
	}
	free(names);
	return good;
}

/* ---- folders ---- */

/* In a folder that others may write to without the sticky bit, anybody could put another in its
 * place. */
static bool check_dir(const struct stat *info, uid_t owner, const char *dir,
                      struct error *error)
{
	if (info->st_uid != owner && info->st_uid != 0 && info->st_uid != geteuid()) {
		error_set(error, "%s: belongs to another user (%u)", dir,
		          (unsigned)info->st_uid);
		return false;
	}
	if ((info->st_mode & S_IWOTH) && !(info->st_mode & S_ISVTX)) {
		error_set(error, "%s: anybody may write there", dir);
		return false;
	}
	return true;
}

bool privs_make_dir(const char *dir, const char *user, unsigned mode, struct error *error)
{
	struct person person = { .uid = geteuid() };
	bool root = privs_is_root();
	struct stat info;
	if (root && !look_up(user, &person, error)) {
		return false;
	}
	bool made = mkdir(dir, 0700) == 0;
	if (!made && errno != EEXIST) {
		error_set(error, "%s: %s", dir, strerror(errno));
		return false;
	}
	/* What we have just made is no link. */
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (made ? O_NOFOLLOW : 0));
	bool good = fd >= 0 && fstat(fd, &info) == 0;
	if (good && made) {
		good = (!root || fchown(fd, person.uid, person.gid) == 0) &&
		       fchmod(fd, mode) == 0;
	}
	if (!good) {
		error_set(error, "%s: %s", dir, strerror(errno));
	} else if (!made) {
		good = check_dir(&info, person.uid, dir, error);
	}
	if (fd >= 0) {
		close(fd);
	}
	return good;
}

/* ---- another user ---- */

/* For good. No allocation and no lock: it runs in a child, too. */
static bool become(const struct person *person)
{
	return setgroups(person->ngroups, person->groups) == 0 &&
	       setresgid(person->gid, person->gid, person->gid) == 0 &&
	       setresuid(person->uid, person->uid, person->uid) == 0;
}

/* The errno with which reading ended, 0 for none. */
static int try_to_read(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || read(fd, &byte, 1) < 0) {
		return errno;
	}
	close(fd);
	return 0;
}

static int try_in_child(const struct person *person, const char *path)
{
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		_exit(become(person) ? try_to_read(path) : EPERM);
	}
	if (child < 0) {
		return errno;
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR) {
			return errno;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

bool privs_can_read(const char *user, const char *path, struct error *error)
{
	struct person person;
	bool root = privs_is_root();
	if (root && !look_up(user, &person, error)) {
		return false;
	}
	int fault = root ? try_in_child(&person, path) : try_to_read(path);
	if (fault) {
		error_set(error, "%s: user %s cannot read it: %s", path, user, strerror(fault));
	}
	return fault == 0;
}

bool privs_enter(const char *user, struct error *error)
{
	struct person person;
	if (!privs_is_root()) {
		return true;
	}
	if (!look_up(user, &person, error)) {
		return false;
	}
	if (setgroups(person.ngroups, person.groups) != 0 || setegid(person.gid) != 0 ||
	    seteuid(person.uid) != 0) {
		error_set(error, "user %s: %s", user, strerror(errno));
		privs_leave();
		return false;
	}
	return true;
}

void privs_leave(void)
{
	gid_t none = 0;
	if (getuid() != 0) {
		return;
	}
	/* From here on files would be made as root, or not at all: neither is a state to go on
	 * in. */
	bool back = seteuid(0) == 0 && setegid(0) == 0 && setgroups(1, &none) == 0;
	assert(back);
}

bool privs_drop(const char *user, struct error *error)
{
	struct person person;
	uid_t real, effective, saved;
	if (!privs_is_root()) {
		return true;
	}
	if (!look_up(user, &person, error)) {
		return false;
	}
	if (!become(&person)) {
		error_set(error, "user %s: %s", user, strerror(errno));
		return false;
	}
	/* A way back would be a fault of the kernel's or of ours, and the end of the promise.
	 */
	if (getresuid(&real, &effective, &saved) != 0 || real != person.uid ||
	    effective != person.uid || saved != person.uid || setuid(0) == 0) {
		error_set(error, "user %s: root can be had again after the change", user);
		return false;
	}
	return true;
}

void privs_harden(void)
{
	static const struct rlimit none = { 0, 0 };
	/* Each stands alone; a kernel without one of them is no reason not to send mail. */
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifndef __SANITIZE_ADDRESS__ /* its leak checker attaches to the process at the end */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}
