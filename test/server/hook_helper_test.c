/* The helper with real programs: what they are given, what is reported, and what ends them. */
#include "server/hook_helper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define USER "nobody"

static char folder[] = "/tmp/gatepost-hooks-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) && chmod(folder, 0777) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	char command[100];
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

/* What a program has written there, once it is whole (it ends with a line "."). */
static char *told(const char *name, char *text, size_t size)
{
	char path[128];
	size_t n = 0;
	snprintf(path, sizeof path, "%s/%s", folder, name);
	do {
		FILE *file = fopen(path, "r");
		n = file ? fread(text, 1, size - 1, file) : 0;
		text[n] = '\0';
		if (file) {
			fclose(file);
		}
		usleep(1000);
	} while (n < 2 || strcmp(text + n - 2, ".\n") != 0);
	text[n - 2] = '\0';
	return text;
}

static int start(void)
{
	struct error error;
	int fd = hook_helper_start(USER, &error);
	assert_true(fd >= 0);
	return fd;
}

static bool ask(int fd, uint64_t id, const char *const *words, const char *facts,
                int64_t timeout)
{
	struct span argument[HOOK_ARGUMENTS_MAX];
	struct hook_request request = {
		.id = id,
		.timeout = timeout,
		.event = SPAN_LIT("on_suspend"),
		.argument = argument,
		.facts = span_str(facts),
	};
	while (words[request.narguments]) {
		argument[request.narguments] = span_str(words[request.narguments]);
		request.narguments++;
	}
	return hook_helper_send(fd, &request);
}

static struct hook_report answer(int fd)
{
	struct hook_report report = { .id = 0 };
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&wait, 1, -1), 1);
	assert_int_equal(hook_helper_receive(fd, &report), HOOK_RECEIVED);
	return report;
}

/* How programs end. */
static void reports(void **state)
{
	(void)state;
	static const struct {
		const char *words[5];
		int64_t timeout;
		int fault, status, signal;
		bool late;
	} rows[] = {
		{ { "/bin/true" }, 60000, .status = 0 },
		{ { "/bin/sh", "-c", "exit 7" }, 60000, .status = 7 },
		{ { "/bin/sh", "-c", "kill -HUP $$" }, 60000, .signal = SIGHUP },
		{ { "/bin/sh", "-c", "kill -PIPE $$" }, 60000, .signal = SIGPIPE },
		{ { "/bin/sleep", "1000" }, 20, .signal = SIGKILL, .late = true },
		/* deaf, and with a child of its own */
		{ { "/bin/sh", "-c", "trap '' TERM INT HUP; sleep 1000; sleep 1000" },
		  20,
		  .signal = SIGKILL,
		  .late = true },
		{ { "/nonexistent/program" }, 60000, .fault = ENOENT },
		{ { "/etc/passwd" }, 60000, .fault = EACCES },
		{ { "" }, 60000, .fault = ENOENT },
	};
	int fd = start();
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(ask(fd, 100 + i, rows[i].words, "{}", rows[i].timeout));
		struct hook_report report = answer(fd);
		assert_int_equal(report.id, 100 + i);
		assert_int_equal(report.fault, rows[i].fault);
		assert_int_equal(report.status, rows[i].status);
		assert_int_equal(report.signal, rows[i].signal);
		assert_int_equal(report.late, rows[i].late);
	}
	close(fd);
}

/* All facts on stdin, arguments as they are, and nothing else of where it comes from. */
static void what_a_program_is_given(void **state)
{
	(void)state;
	static char facts[64 * 1024];
	static char text[128 * 1024], want[128 * 1024];
	char script[1000], path[128];
	memset(facts, 'f', sizeof facts - 1);
	snprintf(script, sizeof script,
	         "exec > %s/given; cat; echo; echo \"$1|$2\"; env | grep -v ^_= | sort; pwd; "
	         "umask; id -u; ls /proc/$$/fd | tr '\\n' ' '; echo; echo .",
	         folder);
	const char *words[] = {
		"/bin/sh", "-c", script, "sh", "an argument", "$HOME;`x`", NULL
	};
	snprintf(path, sizeof path, "%s/open", folder);
	int leak = open(path, O_RDWR | O_CREAT, 0600); /* without CLOEXEC */
	setenv("GATEPOST_TEST_SECRET", "leaks", 1);
	umask(077);
	int fd = start();
	assert_true(ask(fd, 1, words, facts, 60000));
	assert_int_equal(answer(fd).status, 0);
	snprintf(want, sizeof want,
	         "%s\nan argument|$HOME;`x`\nGATEPOST_HOOK=on_suspend\n"
	         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n/\n"
	         "0077\n%d\n0 1 2 \n",
	         facts, geteuid() == 0 ? 65534 : (int)geteuid());
	assert_string_equal(told("given", text, sizeof text), want);
	close(leak);
	close(fd);
}

/* One that hangs is in nobody's way; one too many is not taken. */
static void many_at_a_time(void **state)
{
	(void)state;
	static const char *const hangs[] = { "/bin/sleep", "1000", NULL };
	static const char *const quick[] = { "/bin/true", NULL };
	int fd = start();
	for (size_t i = 1; i < HOOK_PROGRAMS_MAX; i++) {
		assert_true(ask(fd, i, hangs, "{}", 600000));
	}
	for (size_t i = 0; i < 20; i++) {
		assert_true(ask(fd, 1000 + i, quick, "{}", 600000));
		assert_int_equal(answer(fd).id, 1000 + i);
	}
	assert_true(ask(fd, 8, hangs, "{}", 600000));
	assert_true(ask(fd, 9, hangs, "{}", 600000));
	struct hook_report report = answer(fd);
	assert_int_equal(report.id, 9);
	assert_int_equal(report.fault, EAGAIN);
	close(fd);
}

/* With the socket end the helper, the programs and what those have started. */
static void all_end_with_the_socket(void **state)
{
	(void)state;
	char script[200], text[100];
	int helper, program, child;
	snprintf(script, sizeof script,
	         "sleep 1000 & { echo $PPID $$ $!; echo .; } > %s/pids; wait", folder);
	const char *words[] = { "/bin/sh", "-c", script, NULL };
	int fd = start();
	assert_true(ask(fd, 1, words, "{}", 600000));
	assert_int_equal(
	    sscanf(told("pids", text, sizeof text), "%d %d %d", &helper, &program, &child), 3);
	assert_int_equal(kill(helper, SIGTERM), 0); /* is not for it */
	assert_int_equal(kill(helper, 0), 0);
	close(fd);
	/* The helper is ours to wait for; the others are gone once nobody holds the pipe. */
	for (const int *pid = (int[]){ program, child, 0 }; *pid; pid++) {
		char path[40], stat[512] = "";
		snprintf(path, sizeof path, "/proc/%d/stat", *pid);
		for (bool gone = false; !gone; usleep(1000)) {
			FILE *file = fopen(path, "r");
			gone = !file || !fgets(stat, sizeof stat, file) || strstr(stat, ") Z ");
			if (file) {
				fclose(file);
			}
		}
	}
}

/* A helper that dies is seen, and to talk to it kills nobody. */
static void a_helper_that_dies(void **state)
{
	(void)state;
	char script[200], text[100];
	snprintf(script, sizeof script, "{ echo $PPID; echo .; } > %s/parent", folder);
	const char *words[] = { "/bin/sh", "-c", script, NULL };
	struct hook_report report;
	struct pollfd wait = { .fd = start(), .events = POLLIN };
	assert_int_equal(hook_helper_receive(wait.fd, &report), HOOK_NOTHING_YET);
	assert_true(ask(wait.fd, 1, words, "{}", 60000));
	assert_int_equal(answer(wait.fd).status, 0);
	assert_int_equal(kill(atoi(told("parent", text, sizeof text)), SIGKILL), 0);
	assert_int_equal(poll(&wait, 1, -1), 1);
	assert_int_equal(hook_helper_receive(wait.fd, &report), HOOK_HELPER_GONE);
	assert_false(ask(wait.fd, 2, words, "{}", 60000));
	close(wait.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports),
		cmocka_unit_test(what_a_program_is_given),
		cmocka_unit_test(many_at_a_time),
		cmocka_unit_test(all_end_with_the_socket),
		cmocka_unit_test(a_helper_that_dies),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
