#include "server/whatif_read.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)256 * 1024)

/* ---- bytes, and lines ---- */

/* A file while it is read from its beginning to its end. */
struct source {
	const struct whatif_file *file;
	int fd;           /* to read from: the file's, or gzip's */
	pid_t pid;        /* of gzip; 0: there is none */
	uint64_t line;    /* number of the last */
	struct span rest; /* read, and not yet taken */
	bool ended;
	bool too_long; /* the last line was cut */
	char bytes[LINE_MAX_BYTES];
};

static bool complain(struct error *error, const char *path, const char *text)
{
	error_set(error, "%s: %s", path, text);
	return false;
}

/* gzip -dc, its input the file. */
static bool unpack(struct source *source, struct error *error)
{
	static char name[] = "gzip", option[] = "-dc";
	char *const words[] = { name, option, NULL };
	extern char **environ;
	posix_spawn_file_actions_t actions;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC)) {
		return complain(error, source->file->path, strerror(errno));
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, source->file->fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	int fault = posix_spawnp(&source->pid, name, &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (fault) {
		close(ends[0]);
		source->pid = 0;
		error_set(error, "%s: gzip: %s", source->file->path, strerror(fault));
		return false;
	}
	source->fd = ends[0];
	return true;
}

static bool source_open(struct source *source, const struct whatif_file *file,
                        struct error *error)
{
	source->file = file;
	source->fd = file->fd;
	source->pid = 0;
	source->line = 0;
	source->rest = SPAN_NONE;
	source->ended = false;
	if (lseek(file->fd, 0, SEEK_SET) != 0) {
		return complain(error, file->path, strerror(errno));
	}
	return !file->packed || unpack(source, error);
}

/* False when gzip was not content with a file that was read to its end. */
static bool source_close(struct source *source, struct error *error)
{
	int status = 0;
	if (!source->pid) {
		return true;
	}
	close(source->fd);
	pid_t pid = waitpid(source->pid, &status, 0);
	bool good = pid == source->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return good || !source->ended ||
	       complain(error, source->file->path, "can not be unpacked by gzip");
}

/* More bytes behind those that are there. */
static bool fill(struct source *source, struct error *error)
{
	size_t have = source->rest.len;
	if (have) {
		memmove(source->bytes, source->rest.ptr, have);
	}
	ssize_t n;
	do {
		n = read(source->fd, source->bytes + have, sizeof source->bytes - have);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return complain(error, source->file->path, strerror(errno));
	}
	source->ended = n == 0;
	source->rest = span_of(source->bytes, have + (size_t)n);
	return true;
}

/* The next line without its end, valid until the next call; false at the end of the file, or
 * with a sentence in `error`. One that is too long is its beginning. */
static bool next_line(struct source *source, struct span *line_out, struct error *error)
{
	bool cut = false;
	for (;;) {
		size_t len = span_find(source->rest, '\n');
		bool whole = len < source->rest.len;
		if (whole || (source->ended && (len || cut))) {
			*line_out = cut ? SPAN_NONE : span_first(source->rest, len);
			source->rest = span_from(source->rest, len + whole);
			source->too_long = cut;
			source->line++;
			return true;
		}
		if (source->ended) {
			return false;
		}
		if (len == sizeof source->bytes) {
			cut = true;
			source->rest = SPAN_NONE;
		}
		if (!fill(source, error)) {
			return false;
		}
	}
}

/* ---- opening ---- */

static bool has_prefix(const unsigned char *bytes, ssize_t n, struct span prefix)
{
	return n >= (ssize_t)prefix.len && memcmp(bytes, prefix.ptr, prefix.len) == 0;
}

static bool look_inside(struct whatif_file *file, struct error *error)
{
	static const struct {
		struct span magic;
		const char *name;
	} others[] = {
		{ SPAN_LIT("\xfd"
		           "7zXZ"),
		  "xz" },
		{ SPAN_LIT("\x28\xb5\x2f\xfd"), "zstd" },
		{ SPAN_LIT("BZh"), "bzip2" },
	};
	unsigned char bytes[8];
	ssize_t n = pread(file->fd, bytes, sizeof bytes, 0);
	if (n < 0) {
		return complain(error, file->path, strerror(errno));
	}
	file->packed = has_prefix(bytes, n, SPAN_LIT("\x1f\x8b"));
	for (size_t i = 0; i < COUNT(others); i++) {
		if (has_prefix(bytes, n, others[i].magic)) {
			error_set(error,
			          "%s: unpack it first: it is %s, and only gzip is known",
			          file->path, others[i].name);
			return false;
		}
	}
	return true;
}

static bool open_file(struct whatif_file *file, struct error *error)
{
	struct stat info;
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file->fd < 0 || fstat(file->fd, &info)) {
		return complain(error, file->path, strerror(errno));
	}
	if (!S_ISREG(info.st_mode)) {
		return complain(error, file->path, "not a file (it is read twice)");
	}
	file->until = (int64_t)info.st_mtim.tv_sec * 1000;
	return look_inside(file, error);
}

bool whatif_read_open(const char *const *path, size_t n, struct whatif_reading *reading_out,
                      struct error *error)
{
	struct whatif_reading reading = { .nfiles = n };
	reading.file = calloc(n + 1, sizeof *reading.file);
	if (!reading.file) {
		error_set(error, "out of memory");
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		reading.file[i].fd = -1;
	}
	for (size_t i = 0; i < n; i++) {
		reading.file[i].path = path[i];
		if (!open_file(&reading.file[i], error)) {
			whatif_read_done(&reading);
			return false;
		}
	}
	*reading_out = reading;
	return true;
}

void whatif_read_done(struct whatif_reading *reading)
{
	for (size_t i = 0; reading && i < reading->nfiles; i++) {
		if (reading->file[i].fd >= 0) {
			close(reading->file[i].fd);
		}
	}
	if (reading) {
		free(reading->file);
		*reading = (struct whatif_reading){ .nfiles = 0 };
	}
}

/* ---- reading ---- */

struct pass {
	struct whatif_reading *reading;
	struct source *source;
	struct maillog *log;
	bool (*take)(void *context, const struct maillog_event *event, struct error *error);
	void *context;
	struct error *error;
};

/* When it begins, and in which year. */
static bool look(struct pass *pass, struct whatif_file *file)
{
	struct maillog_scan scan = { .any = false };
	struct span line;
	pass->error->text[0] = '\0';
	if (!source_open(pass->source, file, pass->error)) {
		return false;
	}
	while (next_line(pass->source, &line, pass->error)) {
		maillog_scan_line(&scan, line);
	}
	maillog_scan_end(&scan, file->until, &file->year, &file->begin);
	return source_close(pass->source, pass->error) && !pass->error->text[0];
}

/* What the wall showed, as UTC: by the zone of this machine, which is taken to be the log's. */
static int64_t to_utc(int64_t at)
{
	time_t seconds = (time_t)(at / 1000);
	struct tm parts;
	gmtime_r(&seconds, &parts);
	parts.tm_isdst = -1;
	int64_t utc = (int64_t)mktime(&parts) * 1000 + at % 1000;
	return utc < 0 ? 0 : utc;
}

static bool drain(struct pass *pass)
{
	struct maillog_event event;
	while (maillog_next(pass->log, &event)) {
		event.at = event.local ? to_utc(event.at) : event.at;
		if (!pass->take(pass->context, &event, pass->error)) {
			return false;
		}
	}
	if (maillog_failed(pass->log)) {
		error_set(pass->error, "out of memory");
	}
	return !maillog_failed(pass->log);
}

static void note_bad(struct pass *pass)
{
	struct whatif_reading *reading = pass->reading;
	if (!reading->bad++) {
		snprintf(reading->first_bad, sizeof reading->first_bad, "%s:%llu",
		         pass->source->file->path, (unsigned long long)pass->source->line);
	}
}

static bool read_file(struct pass *pass, const struct whatif_file *file)
{
	struct span line;
	bool good = true;
	pass->error->text[0] = '\0';
	if (!source_open(pass->source, file, pass->error)) {
		return false;
	}
	maillog_file(pass->log, file->year);
	while (good && next_line(pass->source, &line, pass->error)) {
		pass->reading->lines++;
		if (pass->source->too_long || maillog_feed(pass->log, line) == MAILLOG_BAD) {
			note_bad(pass);
		}
		good = drain(pass);
	}
	/* It may be at its end because it could not be read on. */
	good = good && !pass->error->text[0];
	return source_close(pass->source, good ? pass->error : NULL) && good;
}

static int by_begin(const void *left, const void *right)
{
	const struct whatif_file *a = left, *b = right;
	return (a->begin > b->begin) - (a->begin < b->begin);
}

/* A message may begin in one file and end in the next, whatever their order was. */
static bool read_all(struct pass *pass)
{
	struct whatif_reading *reading = pass->reading;
	for (size_t i = 0; i < reading->nfiles; i++) {
		if (!look(pass, &reading->file[i])) {
			return false;
		}
	}
	qsort(reading->file, reading->nfiles, sizeof *reading->file, by_begin);
	for (size_t i = 0; i < reading->nfiles; i++) {
		if (!read_file(pass, &reading->file[i])) {
			return false;
		}
	}
	maillog_end(pass->log);
	return drain(pass);
}

bool whatif_read(struct whatif_reading *reading,
                 bool (*take)(void *context, const struct maillog_event *event,
                              struct error *error),
                 void *context, struct error *error)
{
	struct pass pass = { .reading = reading,
		             .source = malloc(sizeof *pass.source),
		             .log = maillog_new(0),
		             .take = take,
		             .context = context,
		             .error = error };
	bool good = pass.source && pass.log;
	if (good) {
		good = read_all(&pass);
	} else {
		error_set(error, "out of memory");
	}
	free(pass.source);
	maillog_free(pass.log);
	return good;
}
