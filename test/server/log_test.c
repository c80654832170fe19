#include "server/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a child whose stderr is ours ---- */

struct log {
	char *text;
	size_t len;
};

/* Runs `body` in a child with stderr in a file, which is said to be the journal or not. */
static struct log logged(void (*body)(const void *), const void *argument, bool journal)
{
	char name[] = "/tmp/gatepost-log-XXXXXX";
	int fd = mkstemp(name), status = -1;
	struct stat info;
	assert_true(fd >= 0 && unlink(name) == 0 && fstat(fd, &info) == 0);
	pid_t child = fork();
	if (child == 0) {
		char stream[64];
		snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)info.st_dev,
		         (unsigned long long)info.st_ino + !journal);
		setenv("JOURNAL_STREAM", stream, 1);
		dup2(fd, STDERR_FILENO);
		body(argument);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	off_t len = lseek(fd, 0, SEEK_END);
	struct log log = { .text = calloc(1, (size_t)len + 1), .len = (size_t)len };
	assert_non_null(log.text);
	assert_int_equal(pread(fd, log.text, log.len, 0), len);
	close(fd);
	if (status != 0) {
		fail_msg("status %d: %s", status, log.text);
	}
	return log;
}

static size_t count(struct log log, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < log.len; i++) {
		n += log.text[i] == c;
	}
	return n;
}

/* ---- one line ---- */

enum kind { NUMBER, WORD, TEXT, ID, FAULT };

struct row {
	enum kind kind;
	int64_t number;
	struct span text;
	const char *want;
};

static void one_field(const void *argument)
{
	const struct row *row = argument;
	struct log_line line;
	if (row->kind == FAULT) {
		log_fault(LOG_LEVEL_ERROR, "broken", row->text.ptr);
		return;
	}
	log_begin(&line, LOG_LEVEL_INFO, "test");
	switch (row->kind) {
	case NUMBER:
		log_number(&line, "n", row->number);
		break;
	case WORD:
		log_word(&line, "w", row->text);
		break;
	case TEXT:
		log_text(&line, "t", row->text);
		break;
	case ID:
		log_id(&line, (uint64_t)row->number);
		break;
	case FAULT:
		break;
	}
	log_end(&line);
}

static void fields(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ NUMBER, 0, SPAN_NONE, "<6>event=test n=0\n" },
		{ NUMBER, INT64_MIN, SPAN_NONE, "<6>event=test n=-9223372036854775808\n" },
		{ WORD,
		  0,
		  { "mail.example.org:587", 20 },
		  "<6>event=test w=mail.example.org:587\n" },
		{ WORD, 0, { "[2001:db8::1]", 13 }, "<6>event=test w=[2001:db8::1]\n" },
		{ WORD, 0, { "a b", 3 }, "<6>event=test w=\"a b\"\n" },
		{ WORD, 0, { "a\0b", 3 }, "<6>event=test w=\"a\\x00b\"\n" },
		{ WORD, 0, { "a=b", 3 }, "<6>event=test w=\"a=b\"\n" },
		{ WORD, 0, { "", 0 }, "<6>event=test w=\"\"\n" },
		{ TEXT, 0, { NULL, 0 }, "<6>event=test t=\"\"\n" },
		{ TEXT, 0, { "plain text", 10 }, "<6>event=test t=\"plain text\"\n" },
		{ TEXT, 0, { "\" ok=\"1\\", 8 }, "<6>event=test t=\"\\x22 ok=\\x221\\x5c\"\n" },
		{ TEXT,
		  0,
		  { "a\r\n<0>event=forged", 18 },
		  "<6>event=test t=\"a\\x0d\\x0a<0>event=forged\"\n" },
		{ TEXT, 0, { "\033[2J\177\t", 6 }, "<6>event=test t=\"\\x1b[2J\\x7f\\x09\"\n" },
		{ TEXT,
		  0,
		  { "\342\200\256\0", 4 },
		  "<6>event=test t=\"\\xe2\\x80\\xae\\x00\"\n" },
		{ FAULT,
		  0,
		  { "disk \"a\"", 8 },
		  "<3>event=broken reason=\"disk \\x22a\\x22\"\n" },
		{ FAULT, 0, { "", 0 }, "<3>event=broken\n" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct log log = logged(one_field, &rows[i], true);
		assert_string_equal(log.text, rows[i].want);
		free(log.text);
	}
	struct log log = logged(one_field, &(struct row){ .kind = ID, .number = 1 }, true);
	assert_memory_equal(log.text, "<6>event=test qid=", 18);
	free(log.text);
}

/* The time in front, when stderr is not the journal. */
static void times(void **state)
{
	(void)state;
	static const char shape[] = "0000-00-00T00:00:00.000Z event=test n=5\n";
	struct log log = logged(one_field, &(struct row){ .kind = NUMBER, .number = 5 }, false);
	assert_int_equal(log.len, sizeof shape - 1);
	for (size_t i = 0; i < log.len; i++) {
		bool digit = log.text[i] >= '0' && log.text[i] <= '9';
		assert_true(log.text[i] == shape[i] || (shape[i] == '0' && digit));
	}
	free(log.text);
}

static char noise[10240];

/* Everything that could be too long, from outside; the keys of ours must stay. */
static void too_much(const void *argument)
{
	size_t texts = *(const size_t *)argument;
	struct log_line line;
	log_begin(&line, LOG_LEVEL_WARNING, "long");
	for (size_t i = 0; i < texts; i++) {
		log_text(&line, "t", span_of(noise, sizeof noise));
	}
	log_word(
	    &line, "word",
	    span_of(
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		128));
	log_number(&line, "last", 7);
	log_text(&line, "t", SPAN_LIT("x"));
	log_end(&line);
}

static void cutting(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof noise; i++) {
		noise[i] = (char)(i * 7 + i / 256);
	}
	for (size_t texts = 0; texts < 200; texts = texts * 2 + 1) {
		struct log log = logged(too_much, &texts, true);
		assert_int_equal(count(log, '\n'), 1);
		assert_true(log.len < 1600);
		assert_int_equal(count(log, '"') % 2, 0);
		for (size_t i = 0; i + 1 < log.len; i++) {
			assert_in_range(log.text[i], ' ', 126);
		}
		assert_int_equal(strstr(log.text, " cut=1\n") != NULL, texts > 0);
		if (texts < 8) {
			assert_non_null(strstr(log.text, " word=aaaa"));
			assert_non_null(strstr(log.text, " last=7"));
		}
		free(log.text);
	}
}

/* ---- many ---- */

enum { THREADS = 8, LINES = 3000 };

static void *write_many(void *argument)
{
	for (int i = 0; i < LINES; i++) {
		struct log_line line;
		log_begin(&line, LOG_LEVEL_INFO, "many");
		log_number(&line, "thread", *(const int *)argument);
		log_number(&line, "line", i);
		log_text(&line, "text", SPAN_LIT("as long as others are"));
		log_end(&line);
	}
	return NULL;
}

static void many_threads(const void *argument)
{
	pthread_t threads[THREADS];
	int numbers[THREADS];
	(void)argument;
	log_start();
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, write_many, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	log_stop();
	log_stop();
	/* After that lines are written at once. */
	log_fault(LOG_LEVEL_INFO, "end", "");
	_exit(log_dropped() == 0 ? 0 : 9);
}

static void all_arrive_in_order(void **state)
{
	(void)state;
	struct log log = logged(many_threads, NULL, true);
	int next[THREADS] = { 0 }, thread, line, used;
	char *at = log.text;
	for (int i = 0; i < THREADS * LINES; i++) {
		assert_int_equal(
		    sscanf(at,
		           "<6>event=many thread=%d line=%d text=\"as long as others are\"%n",
		           &thread, &line, &used),
		    2);
		assert_in_range(thread, 0, THREADS - 1);
		assert_int_equal(line, next[thread]++);
		assert_int_equal(at[used], '\n');
		at += used + 1;
	}
	assert_string_equal(at, "<6>event=end\n");
	free(log.text);
}

/* ---- a stderr that takes nothing ---- */

struct pipes {
	int log[2], word[2], go[2];
};

enum { FLOOD = 60000 };

/* Writes FLOOD lines, tells how many were dropped, waits for a word, stops. */
static void flood(const struct pipes *pipes, bool gone)
{
	uint64_t dropped;
	char go;
	signal(SIGPIPE, SIG_IGN);
	dup2(pipes->log[1], STDERR_FILENO);
	close(pipes->log[1]);
	close(pipes->log[0]);
	close(pipes->go[1]);
	log_start();
	for (int i = 0; i < FLOOD; i++) {
		log_fault(LOG_LEVEL_INFO, "flood",
		          "a line of about a hundred bytes, so that memory would show it");
	}
	dropped = log_dropped();
	bool told = write(pipes->word[1], &dropped, sizeof dropped) == sizeof dropped;
	bool heard = read(pipes->go[0], &go, 1) >= 0;
	log_stop();
	dropped = log_dropped();
	told = told && write(pipes->word[1], &dropped, sizeof dropped) == sizeof dropped;
	_exit(told && heard && (!gone || dropped == FLOOD) ? 0 : 9);
}

static pid_t start_flood(struct pipes *pipes, bool gone)
{
	assert_true(pipe(pipes->log) == 0 && pipe(pipes->word) == 0 && pipe(pipes->go) == 0);
	if (gone) {
		close(pipes->log[0]);
	}
	pid_t child = fork();
	if (child == 0) {
		flood(pipes, gone);
	}
	close(pipes->log[1]);
	close(pipes->word[1]);
	close(pipes->go[0]);
	return child;
}

static uint64_t hear(struct pipes *pipes)
{
	uint64_t dropped = 0;
	assert_int_equal(read(pipes->word[0], &dropped, sizeof dropped), sizeof dropped);
	return dropped;
}

static void end_flood(struct pipes *pipes, pid_t child)
{
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(pipes->word[0]);
}

/* Nobody is waited for; what is lost is counted and told once there is room again. */
static void dropped_lines(void **state)
{
	(void)state;
	struct pipes pipes;
	pid_t child = start_flood(&pipes, false);
	assert_true(hear(&pipes) > 0);
	close(pipes.go[1]);
	FILE *in = fdopen(pipes.log[0], "r");
	char line[4096];
	uint64_t whole = 0, told = 0;
	while (fgets(line, sizeof line, in)) {
		unsigned long long n;
		const char *event = strstr(line, "event=");
		assert_non_null(event);
		if (sscanf(event, "event=log-dropped count=%llu\n", &n) == 1) {
			told += n;
		} else {
			assert_memory_equal(event, "event=flood reason=\"a line", 25);
			whole++;
		}
	}
	fclose(in);
	assert_int_equal(hear(&pipes), told);
	assert_int_equal(whole + told, FLOOD);
	end_flood(&pipes, child);
}

static void nobody_reads(void **state)
{
	(void)state;
	struct pipes pipes;
	pid_t child = start_flood(&pipes, true);
	hear(&pipes);
	close(pipes.go[1]);
	assert_int_equal(hear(&pipes), FLOOD);
	end_flood(&pipes, child);
}

/* The process can end, all the same. */
static void a_stuck_reader(void **state)
{
	(void)state;
	struct pipes pipes;
	pid_t child = start_flood(&pipes, false);
	hear(&pipes);
	close(pipes.go[1]);
	assert_true(hear(&pipes) > 0);
	end_flood(&pipes, child);
	close(pipes.log[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),         cmocka_unit_test(times),
		cmocka_unit_test(cutting),        cmocka_unit_test(all_arrive_in_order),
		cmocka_unit_test(dropped_lines),  cmocka_unit_test(nobody_reads),
		cmocka_unit_test(a_stuck_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
