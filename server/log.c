#include "server/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/queue.h"

#define TEXT_MAX      400 /* of one escaped value */
#define WORD_MAX      255 /* an account */
#define RESERVE       400 /* what texts leave free for the keys behind them */
#define PREFIX_MAX    32
#define REST_NS       (20 * 1000 * 1000)
#define WAITING_MAX   ((size_t)2 * 1024 * 1024)
#define STUCK_SECONDS 3 /* how long log_stop waits for a stuck reader of stderr */

/* ---- one line ---- */

static const char cut_mark[] = " cut=1\n"; /* room for it is never given away */

static size_t room(const struct log_line *line)
{
	return sizeof line->text - strlen(cut_mark) - line->len;
}

static void put(struct log_line *line, const char *bytes, size_t len)
{
	assert(len <= room(line));
	memcpy(line->text + line->len, bytes, len);
	line->len += len;
}

/* " key=" when there is room for it and `len` bytes of value: a key never stands without its
 * value. */
static bool put_key(struct log_line *line, const char *key, size_t len)
{
	size_t n = strlen(key);
	if (n + 2 + len > room(line)) {
		line->cut = true;
		return false;
	}
	put(line, " ", line->len > 0);
	put(line, key, n);
	put(line, "=", 1);
	return true;
}

static bool is_word(struct span text)
{
	static const char marks[] = ".:/_-+[]@";
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		bool alnum = (c >= '0' && c <= '9') ||
		             (span_lower(c) >= 'a' && span_lower(c) <= 'z');
		if (!alnum && !memchr(marks, c, sizeof marks - 1)) {
			return false;
		}
	}
	return text.len > 0 && text.len <= WORD_MAX;
}

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
	assert(is_word(span_str(event)));
	line->level = level;
	line->len = 0;
	line->cut = false;
	put_key(line, "event", strlen(event));
	put(line, event, strlen(event));
}

void log_number(struct log_line *line, const char *key, int64_t number)
{
	char digits[24];
	size_t n = (size_t)snprintf(digits, sizeof digits, "%" PRId64, number);
	if (put_key(line, key, n)) {
		put(line, digits, n);
	}
}

void log_word(struct log_line *line, const char *key, struct span word)
{
	if (!is_word(word)) {
		log_text(line, key, word);
	} else if (put_key(line, key, word.len)) {
		put(line, word.ptr, word.len);
	}
}

/* No byte of `text` can end the quotes or the line, or speak to a terminal (TESTS OP09). */
void log_text(struct log_line *line, const char *key, struct span text)
{
	static const char hex[] = "0123456789abcdef";
	if (!put_key(line, key, 2)) {
		return;
	}
	put(line, "\"", 1);
	size_t left = room(line) > RESERVE ? room(line) - RESERVE : 0;
	left = left < TEXT_MAX ? left : TEXT_MAX;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		bool plain = c >= ' ' && c < 127 && c != '"' && c != '\\';
		char escape[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
		size_t len = plain ? 1 : sizeof escape;
		if (len > left) {
			line->cut = true;
			break;
		}
		put(line, plain ? text.ptr + i : escape, len);
		left -= len;
	}
	put(line, "\"", 1);
}

void log_id(struct log_line *line, uint64_t id)
{
	char text[QUEUE_ID_TEXT];
	queue_id_write(id, text);
	log_word(line, "qid", span_str(text));
}

void log_fault(enum log_level level, const char *event, const char *reason)
{
	struct log_line line;
	log_begin(&line, level, event);
	if (reason[0]) {
		log_text(&line, "reason", span_str(reason));
	}
	log_end(&line);
}

/* ---- where lines go ---- */

/*
 * Lines gather in one block while the thread writes the other: what came in meanwhile leaves
 * with one write. The log is the process's: the only globals of the server.
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake, ended;
	pthread_t thread;
	char *waiting,
	    *writing; /* WAITING_MAX each; NULL: no thread, lines are written at once */
	size_t len;
	uint64_t lines; /* in `waiting` */
	uint64_t dropped;
	bool stop, done, stuck;
	bool resting; /* the thread looks again by itself: it need not be woken */
} ring = { .lock = PTHREAD_MUTEX_INITIALIZER,
	   .wake = PTHREAD_COND_INITIALIZER,
	   .ended = PTHREAD_COND_INITIALIZER };

/* Is stderr the journal? Then it wants priorities, and has times of its own. INVOCATION_ID says
 * less: every process of a terminal that a service started has it. */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat info;
	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &info) == 0 && info.st_dev == device &&
	       info.st_ino == inode;
}

static bool journal;

static void look_at_stderr(void)
{
	journal = to_journal();
}

/* What stands before the event: <6> or the time, UTC. */
static size_t write_prefix(enum log_level level, char prefix_out[PREFIX_MAX])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct timespec now;
	struct tm day;
	pthread_once(&once, look_at_stderr);
	if (journal) {
		return (size_t)snprintf(prefix_out, PREFIX_MAX, "<%d>", (int)level);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &day);
	size_t n = strftime(prefix_out, PREFIX_MAX, "%Y-%m-%dT%H:%M:%S", &day);
	return n + (size_t)snprintf(prefix_out + n, PREFIX_MAX - n, ".%03ldZ ",
	                            now.tv_nsec / 1000000);
}

/* False when the rest can not be written, ever: the reader is gone, the disk is full. */
static bool write_all(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, bytes, len);
		if (n < 0 && errno == EAGAIN) {
			struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };
			poll(&writable, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return false;
		} else if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* Ends the line; the length of the prefix. */
static size_t finish(struct log_line *line, char prefix_out[PREFIX_MAX])
{
	const char *end = line->cut ? cut_mark : "\n";
	memcpy(line->text + line->len, end, strlen(end));
	line->len += strlen(end);
	return write_prefix(line->level, prefix_out);
}

void log_end(struct log_line *line)
{
	char prefix[PREFIX_MAX];
	size_t n = finish(line, prefix);
	pthread_mutex_lock(&ring.lock);
	if (!ring.waiting) {
		char whole[PREFIX_MAX + sizeof line->text];
		memcpy(whole, prefix, n);
		memcpy(whole + n, line->text, line->len);
		ring.dropped += ring.stuck || !write_all(whole, n + line->len);
	} else if (n + line->len > WAITING_MAX - ring.len) {
		ring.dropped++;
	} else {
		memcpy(ring.waiting + ring.len, prefix, n);
		memcpy(ring.waiting + ring.len + n, line->text, line->len);
		bool first = ring.len == 0;
		ring.len += n + line->len;
		if (ring.resting ? ring.len >= WAITING_MAX / 2 : first) {
			pthread_cond_signal(&ring.wake);
		}
		ring.lines++;
	}
	pthread_mutex_unlock(&ring.lock);
}

uint64_t log_dropped(void)
{
	pthread_mutex_lock(&ring.lock);
	uint64_t dropped = ring.dropped;
	pthread_mutex_unlock(&ring.lock);
	return dropped;
}

/* ---- the thread ---- */

static void tell_dropped(uint64_t count)
{
	struct log_line line;
	char prefix[PREFIX_MAX];
	log_begin(&line, LOG_LEVEL_WARNING, "log-dropped");
	log_number(&line, "count", (int64_t)count);
	size_t n = finish(&line, prefix);
	(void)(write_all(prefix, n) && write_all(line.text, line.len));
}

/* Takes all that waits and writes it, the lock open meanwhile. */
static void write_waiting(uint64_t *told)
{
	char *block = ring.waiting;
	size_t len = ring.len;
	uint64_t lines = ring.lines, dropped = ring.dropped;
	ring.waiting = ring.writing;
	ring.writing = block;
	ring.len = 0;
	ring.lines = 0;
	pthread_mutex_unlock(&ring.lock);
	bool good = write_all(block, len);
	if (good && dropped > *told) {
		tell_dropped(dropped - *told);
		*told = dropped;
	}
	pthread_mutex_lock(&ring.lock);
	ring.dropped += good ? 0 : lines;
}

/* After a write a short rest: a busy server then pays for fifty wake-ups a second, not for one
 * a line. */
static void rest(void)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += REST_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	ring.resting = true;
	while (!ring.stop && ring.len < WAITING_MAX / 2 &&
	       !pthread_cond_clockwait(&ring.wake, &ring.lock, CLOCK_MONOTONIC, &until)) {
	}
	ring.resting = false;
}

static void *write_lines(void *unused)
{
	pthread_mutex_lock(&ring.lock);
	uint64_t told = ring.dropped;
	while (ring.len > 0 || !ring.stop) {
		if (ring.len > 0) {
			write_waiting(&told);
			rest();
		} else {
			pthread_cond_wait(&ring.wake, &ring.lock);
		}
	}
	ring.done = true;
	pthread_cond_signal(&ring.ended);
	pthread_mutex_unlock(&ring.lock);
	return unused;
}

void log_start(void)
{
	sigset_t all, old;
	assert(!ring.waiting);
	char *waiting = malloc(WAITING_MAX), *writing = malloc(WAITING_MAX);
	sigfillset(&all);
	pthread_mutex_lock(&ring.lock);
	/* Signals are the main thread's business. */
	pthread_sigmask(SIG_BLOCK, &all, &old);
	if (waiting && writing && pthread_create(&ring.thread, NULL, write_lines, NULL) == 0) {
		ring.waiting = waiting;
		ring.writing = writing;
		ring.stop = ring.done = false;
		ring.len = 0;
		ring.lines = 0;
	} else {
		free(waiting);
		free(writing);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_mutex_unlock(&ring.lock);
}

void log_stop(void)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STUCK_SECONDS;
	pthread_mutex_lock(&ring.lock);
	if (!ring.waiting) {
		pthread_mutex_unlock(&ring.lock);
		return;
	}
	ring.stop = true;
	pthread_cond_signal(&ring.wake);
	for (int fault = 0; !ring.done && !fault;) {
		fault = pthread_cond_clockwait(&ring.ended, &ring.lock, CLOCK_MONOTONIC,
		                               &until);
	}
	/* A reader that takes nothing any more must not keep the process: the thread is left to
	 * its write. */
	bool stuck = ring.stuck = !ring.done;
	ring.dropped += stuck ? ring.lines : 0;
	free(ring.waiting);
	free(stuck ? NULL : ring.writing);
	ring.waiting = NULL;
	ring.len = 0;
	pthread_mutex_unlock(&ring.lock);
	if (stuck) {
		pthread_detach(ring.thread);
	} else {
		pthread_join(ring.thread, NULL);
	}
}
