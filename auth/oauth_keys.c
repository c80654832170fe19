#include "auth/oauth_keys.h"

#include "auth/jwt.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* By which a file is known again; all zero when it could not be opened. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct oauth_keys {
	char *path;
	pthread_rwlock_t lock; /* of what tokens are checked with */
	struct jwt_keys *set;
	pthread_mutex_t looking; /* of all below */
	int64_t looked_at;
	struct stamp stamp;
	struct error note; /* the last fault; empty when there is none */
	bool has_note;     /* and nobody has been told */
};

static struct stamp stamp_of(const struct stat *st)
{
	struct stamp stamp;
	memset(&stamp, 0, sizeof stamp); /* memcmp sees the padding */
	stamp.device = st->st_dev;
	stamp.inode = st->st_ino;
	stamp.size = st->st_size;
	stamp.modified = st->st_mtim;
	return stamp;
}

static bool read_all(int fd, struct buf *text)
{
	ssize_t n = 1;
	while (n > 0) {
		char bytes[4096];
		n = read(fd, bytes, sizeof bytes);
		if (n > 0 && !buf_put(text, span_of(bytes, (size_t)n))) {
			errno = EFBIG;
			return false;
		}
	}
	return n == 0;
}

/* The stamp is from before the bytes: a writer in between is seen the next time. */
static struct jwt_keys *read_file(const char *path, struct stamp *stamp_out,
                                  struct error *error)
{
	struct buf text = { .cap = OAUTH_KEYS_FILE_MAX };
	struct jwt_keys *set = NULL;
	struct error why;
	struct stat st;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	memset(stamp_out, 0, sizeof *stamp_out);
	if (fd < 0 || fstat(fd, &st) != 0) {
		error_set(error, "%s: %s", path, strerror(errno));
		goto out;
	}
	*stamp_out = stamp_of(&st);
	if (!S_ISREG(st.st_mode)) {
		error_set(error, "%s: is not a file", path);
	} else if (!read_all(fd, &text)) {
		error_set(error, "%s: %s", path, strerror(errno));
	} else {
		set = jwt_keys_read(buf_span(&text), &why);
		if (!set) {
			error_set(error, "%s: %s", path, why.text);
		}
	}
out:
	if (fd >= 0) {
		close(fd);
	}
	buf_done(&text);
	return set;
}

static bool has_changed(const struct oauth_keys *keys)
{
	struct stat st;
	struct stamp now;
	memset(&now, 0, sizeof now);
	if (stat(keys->path, &st) == 0) {
		now = stamp_of(&st);
	}
	return memcmp(&now, &keys->stamp, sizeof now) != 0;
}

/* What can not be opened is tried each time, as a chmod leaves no trace in a stamp: the same
 * fault of it is no news. */
static void take_fault(struct oauth_keys *keys, const struct error *why)
{
	static const struct stamp none;
	struct error note;
	error_set(&note, "%.400s (the keys from before stay)", why->text);
	if (memcmp(&keys->stamp, &none, sizeof none) != 0 ||
	    strcmp(note.text, keys->note.text) != 0) {
		keys->note = note;
		keys->has_note = true;
	}
}

static void read_again(struct oauth_keys *keys)
{
	struct error why;
	struct jwt_keys *fresh = read_file(keys->path, &keys->stamp, &why);
	if (!fresh) {
		take_fault(keys, &why);
		return;
	}
	keys->note.text[0] = '\0';
	keys->has_note = false;
	pthread_rwlock_wrlock(&keys->lock);
	struct jwt_keys *old = keys->set;
	keys->set = fresh;
	pthread_rwlock_unlock(&keys->lock);
	jwt_keys_free(old);
}

/* One thread looks, the others go on with the keys that are there. */
static void look(struct oauth_keys *keys, int64_t wall)
{
	if (pthread_mutex_trylock(&keys->looking) != 0) {
		return;
	}
	/* A clock that was set back is no reason not to look for an hour. */
	if (wall < keys->looked_at || wall - keys->looked_at >= OAUTH_KEYS_LOOK_MS) {
		keys->looked_at = wall;
		if (has_changed(keys)) {
			read_again(keys);
		}
	}
	pthread_mutex_unlock(&keys->looking);
}

/* Readers without end must not keep new keys out, as they may by default. */
static void init_lock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t kind;
	pthread_rwlockattr_init(&kind);
	pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &kind);
	pthread_rwlockattr_destroy(&kind);
}

struct oauth_keys *oauth_keys_open(const char *path, struct error *error)
{
	struct oauth_keys *keys = calloc(1, sizeof *keys);
	if (!keys) {
		error_set(error, "no memory");
		return NULL;
	}
	init_lock(&keys->lock);
	pthread_mutex_init(&keys->looking, NULL);
	keys->path = strdup(path);
	keys->set = keys->path ? read_file(path, &keys->stamp, error) : NULL;
	if (!keys->set) {
		oauth_keys_close(keys);
		return NULL;
	}
	return keys;
}

void oauth_keys_close(struct oauth_keys *keys)
{
	if (!keys) {
		return;
	}
	jwt_keys_free(keys->set);
	pthread_mutex_destroy(&keys->looking);
	pthread_rwlock_destroy(&keys->lock);
	free(keys->path);
	free(keys);
}

bool oauth_keys_verify(struct oauth_keys *keys, struct span token, int64_t wall,
                       struct buf *payload_out, struct error *reason)
{
	look(keys, wall);
	pthread_rwlock_rdlock(&keys->lock);
	bool ok = jwt_open(keys->set, token, payload_out, reason);
	pthread_rwlock_unlock(&keys->lock);
	return ok;
}

bool oauth_keys_take_note(struct oauth_keys *keys, struct error *note_out)
{
	pthread_mutex_lock(&keys->looking);
	bool has_note = keys->has_note;
	if (has_note) {
		*note_out = keys->note;
		keys->has_note = false;
	}
	pthread_mutex_unlock(&keys->looking);
	return has_note;
}
