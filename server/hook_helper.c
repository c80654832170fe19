#include "server/hook_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "proto/pack.h"
#include "server/privs.h"

#define SOCKET 3 /* in the helper, which has nothing else */

/* ---- what is said ---- */

static bool pack_request(const struct hook_request *request, struct buf *out)
{
	pack_u64(out, request->id);
	pack_i64(out, request->timeout);
	pack_span(out, request->event);
	pack_span(out, request->facts);
	pack_varint(out, request->narguments);
	for (size_t i = 0; i < request->narguments; i++) {
		pack_span(out, request->argument[i]);
	}
	return !out->failed;
}

/* `arguments` are what the request's own point to. */
static bool unpack_request(struct span message, struct span arguments[HOOK_ARGUMENTS_MAX],
                           struct hook_request *request_out)
{
	struct unpacker in = unpack_from(message);
	*request_out = (struct hook_request){ .id = unpack_u64(&in), .argument = arguments };
	request_out->timeout = unpack_i64(&in);
	request_out->event = unpack_span(&in);
	request_out->facts = unpack_span(&in);
	request_out->narguments = unpack_varint(&in);
	in.bad |= request_out->narguments < 1 || request_out->narguments > HOOK_ARGUMENTS_MAX;
	for (size_t i = 0; !in.bad && i < request_out->narguments; i++) {
		arguments[i] = unpack_span(&in);
	}
	return unpack_ok(&in);
}

bool hook_helper_send(int fd, const struct hook_request *request)
{
	struct buf message = { .cap = HOOK_REQUEST_MAX };
	bool sent = pack_request(request, &message) &&
	            send(fd, message.ptr, message.len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	                (ssize_t)message.len;
	buf_done(&message);
	return sent;
}

enum hook_received hook_helper_receive(int fd, struct hook_report *report_out)
{
	struct hook_report report;
	ssize_t n = recv(fd, &report, sizeof report, MSG_DONTWAIT);
	if (n == (ssize_t)sizeof report) {
		*report_out = report;
		return HOOK_RECEIVED;
	}
	bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
	return waits ? HOOK_NOTHING_YET : HOOK_HELPER_GONE;
}

/* ---- in the helper: a program ---- */

struct program {
	pid_t pid; /* and its process group; 0: free */
	uint64_t id;
	int64_t deadline;
	bool late;
};

static struct program programs[HOOK_PROGRAMS_MAX];

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A daemon that does not listen loses its report with itself; nothing else is waited for. */
static void report(const struct hook_report *report)
{
	(void)!send(SOCKET, report, sizeof *report, MSG_NOSIGNAL);
}

static struct program *free_program(void)
{
	for (size_t i = 0; i < HOOK_PROGRAMS_MAX; i++) {
		if (!programs[i].pid) {
			return &programs[i];
		}
	}
	return NULL;
}

/* A file in memory, so that nobody has to wait for a program that does not read. */
static int open_facts(struct span facts)
{
	int fd = memfd_create("facts", MFD_CLOEXEC);
	if (fd >= 0 && (write(fd, facts.ptr, facts.len) != (ssize_t)facts.len ||
	                lseek(fd, 0, SEEK_SET) != 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Its signals as at the start of any program, and a process group of its own, to be killed
 * as one. Returns an errno. */
static int spawn(char **argv, char **environment, int facts, pid_t *pid_out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, facts, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
	                                          POSIX_SPAWN_SETPGROUP);
	int fault = posix_spawn(pid_out, argv[0], &files, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return fault;
}

/* Returns an errno. */
static int start(const struct hook_request *request, struct program *program)
{
	static char path[] =
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char event[64];
	char *argv[HOOK_ARGUMENTS_MAX + 1] = { NULL };
	char *environment[] = { path, event, NULL };
	int facts = open_facts(request->facts);
	int fault = facts < 0 ? errno : 0;
	snprintf(event, sizeof event, "GATEPOST_HOOK=%.*s", SPAN_ARG(request->event));
	for (size_t i = 0; i < request->narguments; i++) {
		struct span text = request->argument[i];
		argv[i] = strndup(text.ptr ? text.ptr : "", text.len);
		fault = argv[i] ? fault : ENOMEM;
	}
	if (!fault) {
		fault = spawn(argv, environment, facts, &program->pid);
	}
	for (size_t i = 0; i < request->narguments; i++) {
		free(argv[i]);
	}
	if (facts >= 0) {
		close(facts);
	}
	return fault;
}

/* ---- in the helper: all of them ---- */

/* False when the daemon is gone. */
static bool take_request(void)
{
	static char message[HOOK_REQUEST_MAX];
	struct span arguments[HOOK_ARGUMENTS_MAX];
	struct hook_request request;
	ssize_t n = recv(SOCKET, message, sizeof message, MSG_DONTWAIT);
	if (n <= 0) {
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	}
	if (!unpack_request(span_of(message, (size_t)n), arguments, &request)) {
		return false; /* whoever that is */
	}
	struct program *program = free_program();
	struct program begun = { .id = request.id, .deadline = now_ms() + request.timeout };
	int fault = program ? start(&request, &begun) : EAGAIN;
	if (fault) {
		report(&(struct hook_report){ .id = request.id, .fault = fault });
	} else {
		*program = begun;
	}
	return true;
}

static void reap(void)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < HOOK_PROGRAMS_MAX; i++) {
			if (programs[i].pid == pid) {
				report(&(struct hook_report){
				    .id = programs[i].id,
				    .status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
				    .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
				    .late = programs[i].late,
				});
				programs[i].pid = 0;
			}
		}
	}
}

/* Returns how many ms until the next one must go; -1 for never. */
static int kill_late(void)
{
	int64_t now = now_ms(), next = -1;
	for (size_t i = 0; i < HOOK_PROGRAMS_MAX; i++) {
		struct program *program = &programs[i];
		if (program->pid && !program->late && program->deadline <= now) {
			program->late = true;
			kill(-program->pid, SIGKILL);
		}
		int64_t left = program->deadline - now;
		if (program->pid && !program->late && (next < 0 || left < next)) {
			next = left;
		}
	}
	return next > 60000 ? 60000 : (int)next;
}

/* They are run again by the next daemon: two at a time would be worse than none. */
static void kill_all(void)
{
	for (size_t i = 0; i < HOOK_PROGRAMS_MAX; i++) {
		if (programs[i].pid) {
			kill(-programs[i].pid, SIGKILL);
		}
	}
}

static void serve(int signals)
{
	struct pollfd wait[] = { { .fd = SOCKET, .events = POLLIN },
		                 { .fd = signals, .events = POLLIN } };
	bool there = true;
	while (there) {
		struct signalfd_siginfo child;
		if (poll(wait, COUNT(wait), kill_late()) < 0 && errno != EINTR) {
			break;
		}
		while (read(signals, &child, sizeof child) > 0) {
		}
		reap();
		there = !wait[0].revents || take_request();
	}
	kill_all();
}

/* ---- its life ---- */

/* Not even what a library has left open; no core with what the daemon had read before, and no
 * debugger of what runs as the same user. New privileges are not forbidden: a rule of sudo's is
 * the admin's own. */
static bool keep_nothing(int fd)
{
	static const struct rlimit none = { 0, 0 };
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_SET_NAME, "gatepost-hooks", 0, 0, 0);
	return (fd == SOCKET || dup2(fd, SOCKET) == SOCKET) &&
	       close_range(SOCKET + 1, ~0U, 0) == 0 &&
	       fcntl(SOCKET, F_SETFD, FD_CLOEXEC) == 0 && chdir("/") == 0;
}

_Noreturn static void be_helper(int fd, const char *user)
{
	struct error error;
	sigset_t child;
	/* A TERM for the whole group is the daemon's matter: it ends, and its socket with it.
	 */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (!privs_drop(user, &error) || !keep_nothing(fd) ||
	    sigprocmask(SIG_BLOCK, &child, NULL) != 0) {
		_exit(EX_OSERR);
	}
	int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0) {
		_exit(EX_OSERR);
	}
	serve(signals);
	_exit(0);
}

int hook_helper_start(const char *user, struct error *error)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
		error_set(error, "socketpair: %s", strerror(errno));
		return -1;
	}
	pid_t child = fork();
	if (child == 0) {
		close(ends[0]);
		be_helper(ends[1], user);
	}
	close(ends[1]);
	if (child < 0) {
		error_set(error, "fork: %s", strerror(errno));
		close(ends[0]);
		return -1;
	}
	return ends[0];
}
