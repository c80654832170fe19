#include "server/import_sasldb.h"

#include <db.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((off_t)256 * 1024 * 1024)
#define PROPERTY SPAN_LIT("userPassword")

/* libdb opens files by name, and we, who are not root any more, may not open this one: it gets
 * a copy of its own, in memory. -1 with errno. */
static int copy_file(int fd)
{
	struct stat status;
	off_t at = 0;
	if (fstat(fd, &status)) {
		return -1;
	}
	if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX) {
		errno = EFBIG;
		return -1;
	}
	int copy = memfd_create("sasldb", MFD_CLOEXEC);
	while (copy >= 0 && at < status.st_size) {
		ssize_t n = sendfile(copy, fd, &at, (size_t)(status.st_size - at));
		if (n <= 0) {
			close(copy);
			return -1;
		}
	}
	return copy;
}

/* A damaged file may lead libdb anywhere: it is looked over first. */
static int verify(const char *path)
{
	DB *db;
	int result = db_create(&db, NULL, 0);
	if (result) {
		return result;
	}
	db->set_errfile(db, NULL);
	db->set_errcall(db, NULL);
	return db->verify(db, path, NULL, NULL, 0); /* the end of `db`, too */
}

static int open_db(const char *path, DB **db_out)
{
	DB *db;
	int result = db_create(&db, NULL, 0);
	if (result) {
		return result;
	}
	result = db->open(db, NULL, path, NULL, DB_UNKNOWN, DB_RDONLY, 0);
	if (result) {
		db->close(db, 0);
		return result;
	}
	*db_out = db;
	return 0;
}

/* The key: user, NUL, realm, NUL, property. Other properties are nobody's. */
static bool read_user(const DBT *key, const DBT *data, struct sasldb_user *user)
{
	struct span rest = span_of(key->data, key->size);
	user->user = span_first(rest, span_find(rest, '\0'));
	rest = span_from(rest, user->user.len + 1);
	user->realm = span_first(rest, span_find(rest, '\0'));
	rest = span_from(rest, user->realm.len + 1);
	user->password = span_of(data->data, data->size);
	return span_eq(rest, PROPERTY);
}

static int walk(DB *db, bool (*each)(void *context, const struct sasldb_user *user),
                void *context, bool *stopped)
{
	DBC *cursor;
	DBT key = { .data = NULL };
	DBT data = { .data = NULL };
	struct sasldb_user user = { .number = 0 };
	int result = db->cursor(db, NULL, &cursor, 0);
	if (result) {
		return result;
	}
	while (!*stopped && (result = cursor->get(cursor, &key, &data, DB_NEXT)) == 0) {
		user.number++;
		*stopped = read_user(&key, &data, &user) && !each(context, &user);
	}
	cursor->close(cursor);
	return result == DB_NOTFOUND ? 0 : result;
}

bool import_sasldb(int fd, bool (*each)(void *context, const struct sasldb_user *user),
                   void *context, struct error *error)
{
	char path[64];
	DB *db = NULL;
	bool stopped = false;
	int copy = copy_file(fd);
	if (copy < 0) {
		error_set(error, "the sasldb can not be read: %s", strerror(errno));
		return false;
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", copy);
	int result = verify(path);
	if (result == 0) {
		result = open_db(path, &db);
	}
	if (result == 0) {
		result = walk(db, each, context, &stopped);
		db->close(db, 0);
	}
	close(copy);
	if (result) {
		error_set(error, "not a sasldb that can be read: %s", db_strerror(result));
	}
	return result == 0 && !stopped;
}
