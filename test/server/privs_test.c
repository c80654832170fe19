/* As root and as anybody else: the same calls, other promises. */
#include "server/privs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define USER "nobody"

static char base[] = "/tmp/gatepost-privs-XXXXXX";

static int make_base(void **state)
{
	(void)state;
	return mkdtemp(base) && chmod(base, 0755) == 0 ? 0 : -1;
}

static int remove_base(void **state)
{
	(void)state;
	return rmdir(base);
}

static const char *in_base(const char *name)
{
	static char path[2][128];
	static size_t turn;
	char *to = path[turn++ % 2];
	snprintf(to, sizeof path[0], "%s/%s", base, name);
	return to;
}

static void make_file(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0 && write(fd, "x", 1) == 1 && fchmod(fd, mode) == 0);
	close(fd);
}

/* Whose things are after a call as root. */
static uid_t owner(void)
{
	return privs_is_root() ? getpwnam(USER)->pw_uid : geteuid();
}

/* The body in a child, which must return 0. */
static void in_child(int (*body)(void))
{
	int status = -1;
	pid_t child = fork();
	if (child == 0) {
		_exit(body());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void folders(void **state)
{
	(void)state;
	static const struct {
		mode_t umask;
		unsigned mode;
	} rows[] = { { 0, 0700 }, { 077, 0755 }, { 022, 0750 } };
	struct error error = { "" };
	struct stat info;
	const char *dir = in_base("new");
	for (size_t i = 0; i < COUNT(rows); i++) {
		mode_t old = umask(rows[i].umask);
		bool good = privs_make_dir(dir, USER, rows[i].mode, &error);
		umask(old);
		assert_true(good);
		assert_int_equal(stat(dir, &info), 0);
		assert_int_equal(info.st_mode & 07777, rows[i].mode);
		assert_int_equal(info.st_uid, owner());
		/* Once more: it is there, and stays as it is. */
		assert_true(privs_make_dir(dir, USER, 0711, &error));
		assert_int_equal(stat(dir, &info), 0);
		assert_int_equal(info.st_mode & 07777, rows[i].mode);
		assert_int_equal(rmdir(dir), 0);
	}
}

static void folders_that_are_none(void **state)
{
	(void)state;
	struct error error;
	char want[256];
	const char *file = in_base("file");
	make_file(file, 0644);
	assert_false(privs_make_dir(file, USER, 0700, &error));
	snprintf(want, sizeof want, "%s: Not a directory", file);
	assert_string_equal(error.text, want);
	unlink(file);
	assert_false(privs_make_dir("/nonexistent/dir", USER, 0700, &error));
	assert_string_equal(error.text, "/nonexistent/dir: No such file or directory");
	/* Anybody's folder is nobody's. */
	const char *open_dir = in_base("open");
	assert_true(mkdir(open_dir, 0700) == 0 && chmod(open_dir, 0777) == 0);
	assert_false(privs_make_dir(open_dir, USER, 0700, &error));
	snprintf(want, sizeof want, "%s: anybody may write there", open_dir);
	assert_string_equal(error.text, want);
	assert_int_equal(chmod(open_dir, 01777), 0);
	assert_true(privs_make_dir(open_dir, USER, 0700, &error));
	/* /var/lib/gatepost may be a link to another disk. */
	const char *link = in_base("link");
	assert_int_equal(symlink(open_dir, link), 0);
	assert_true(privs_make_dir(link, USER, 0700, &error));
	unlink(link);
	if (privs_is_root()) {
		assert_int_equal(chown(open_dir, 12345, 12345), 0);
		assert_false(privs_make_dir(open_dir, USER, 0700, &error));
		snprintf(want, sizeof want, "%s: belongs to another user (12345)", open_dir);
		assert_string_equal(error.text, want);
	}
	rmdir(open_dir);
}

static void reading(void **state)
{
	(void)state;
	const char *path = in_base("key");
	static const struct {
		mode_t mode;
		bool as_root,
		    as_other; /* what a test run as root and one run as another user finds */
	} rows[] = { { 0644, true, true }, { 0600, false, true }, { 0, false, false } };
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		make_file(path, rows[i].mode);
		bool want = privs_is_root() ? rows[i].as_root : rows[i].as_other;
		assert_int_equal(privs_can_read(USER, path, &error), want);
		assert_int_equal(error.text[0] == '\0', want);
		if (!want) {
			char text[256];
			snprintf(text, sizeof text,
			         "%s: user %s cannot read it: Permission denied", path, USER);
			assert_string_equal(error.text, text);
		}
		unlink(path);
	}
	/* 0640 and the user's group, as a key may be. */
	if (privs_is_root()) {
		make_file(path, 0640);
		assert_int_equal(chown(path, 0, getpwnam(USER)->pw_gid), 0);
		assert_true(privs_can_read(USER, path, NULL));
		unlink(path);
	}
	assert_false(privs_can_read(USER, "/nonexistent", NULL));
	assert_false(privs_can_read(USER, "/tmp", NULL));
}

static void users_that_are_none(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "no-such-user", "user no-such-user: there is no such user" },
		{ "root", "user root: is root, which the daemon must not be" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = { "" };
		bool root = privs_is_root();
		assert_int_equal(privs_enter(rows[i][0], &error), !root);
		assert_int_equal(privs_drop(rows[i][0], &error), !root);
		assert_int_equal(privs_is_root(), root);
		assert_string_equal(error.text, root ? rows[i][1] : "");
	}
}

static int drop_for_good(void)
{
	gid_t groups[64];
	bool root = privs_is_root();
	uid_t want = owner(), real, effective, saved;
	struct error error;
	if (!privs_drop(USER, &error) || getresuid(&real, &effective, &saved) != 0) {
		return 1;
	}
	if (real != want || effective != want || saved != want) {
		return 2;
	}
	if (root && (setuid(0) == 0 || seteuid(0) == 0 || setgroups(0, NULL) == 0)) {
		return 3;
	}
	for (int i = 0, n = getgroups(64, groups); root && i < n; i++) {
		if (groups[i] == 0) {
			return 4;
		}
	}
	/* Again, it is nothing. */
	return root && open("/etc/shadow", O_RDONLY) >= 0 ? 5
	       : privs_drop(USER, &error)                 ? 0
	                                                  : 6;
}

static int enter_and_leave(void)
{
	struct error error;
	struct stat info;
	bool root = privs_is_root();
	uid_t want = owner(), before = geteuid();
	const char *path = in_base("between");
	if (chmod(base, 0777) != 0 || !privs_enter(USER, &error) || geteuid() != want) {
		return 1;
	}
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	if (fd < 0 || fstat(fd, &info) != 0 || info.st_uid != want) {
		return 2;
	}
	privs_leave();
	if (geteuid() != before || privs_is_root() != root) {
		return 3;
	}
	privs_leave();
	unlink(path);
	return geteuid() == before ? drop_for_good() : 4;
}

static int harden(void)
{
	struct rlimit core;
	privs_harden();
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0) {
		return 1;
	}
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 2;
}

static void dropping(void **state)
{
	(void)state;
	in_child(drop_for_good);
}

static void for_a_while(void **state)
{
	(void)state;
	in_child(enter_and_leave);
	assert_int_equal(chmod(base, 0755), 0);
}

static void hardening(void **state)
{
	(void)state;
	in_child(harden);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folders),   cmocka_unit_test(folders_that_are_none),
		cmocka_unit_test(reading),   cmocka_unit_test(users_that_are_none),
		cmocka_unit_test(dropping),  cmocka_unit_test(for_a_while),
		cmocka_unit_test(hardening),
	};
	return cmocka_run_group_tests(tests, make_base, remove_base);
}
