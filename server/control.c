#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/commands.h"
#include "server/log.h"

#define CLIENTS_MAX      16
#define REQUEST_MAX      ((size_t)64 * 1024)
#define WORDS_MAX        32
#define PATIENCE_SECONDS 30

struct client {
	struct control *control;
	pthread_t thread;
	int fd;
	int file;   /* passed with the request, or -1 */
	bool used;  /* the slot has a thread to be joined */
	bool ended; /* it is done */
	FILE *out;
};

struct control {
	struct server *server;
	int fd;
	int stop[2]; /* a pipe: closed to stop */
	pthread_t thread;
	pthread_mutex_t lock;
	char path[108];
	struct client client[CLIENTS_MAX];
};

/* ---- one request ---- */

static void emit(void *context, json_t *line)
{
	struct client *client = context;
	if (line) {
		json_dumpf(line, client->out, JSON_COMPACT);
		fputc('\n', client->out);
		json_decref(line);
	}
}

/* Reads up to a line end, and the file that may come with the first bytes. NULL when there is
 * no whole line in time. */
static char *read_request(struct client *client)
{
	char *text = malloc(REQUEST_MAX + 1);
	size_t len = 0;
	while (text && len < REQUEST_MAX) {
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(sizeof(int))];
		} ancillary;
		struct iovec part = { .iov_base = text + len, .iov_len = REQUEST_MAX - len };
		struct msghdr message = {
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = &ancillary,
			.msg_controllen = sizeof ancillary,
		};
		ssize_t n = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
		if (n <= 0) {
			break;
		}
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		if (header && header->cmsg_type == SCM_RIGHTS && client->file < 0) {
			memcpy(&client->file, CMSG_DATA(header), sizeof client->file);
		}
		len += (size_t)n;
		text[len] = '\0';
		if (strlen(text) == len && text[len - 1] == '\n') {
			return text;
		}
	}
	secret_free(text);
	return NULL;
}

static void end_line(struct client *client, bool good, const char *reason)
{
	emit(client,
	     good ? json_pack("{s:b}", "ok", 1)
	          : json_pack("{s:b, s:o}", "ok", 0, "error", command_text(span_str(reason))));
	fflush(client->out);
}

static void log_command(const struct command_call *call, const struct command *command,
                        bool good)
{
	struct log_line line;
	log_begin(&line, good ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "command");
	log_text(&line, "command", span_str(command->name));
	log_text(&line, "argument", call->argc ? span_str(call->argv[0]) : SPAN_NONE);
	log_text(&line, "who", span_str(call->who));
	if (!good) {
		log_text(&line, "reason", span_str(call->error.text));
	}
	log_end(&line);
}

static void run_command(struct client *client, json_t *request, const char *const *words,
                        size_t count)
{
	size_t used = 0;
	const struct command *command = command_find(words, count, &used);
	if (!command || count - used < command->least || count - used > command->most) {
		end_line(client, false, "no such command");
		return;
	}
	char who[32];
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof peer;
	getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	snprintf(who, sizeof who, "uid %u", (unsigned)peer.uid);
	struct command_call call = {
		.server = client->control->server,
		.store = client->control->server->store,
		.config = server_config(client->control->server),
		.argv = words + used,
		.argc = count - used,
		.password = json_string_value(json_object_get(request, "password")),
		.file = client->file,
		.who = who,
		.emit = emit,
		.context = client,
	};
	bool good = command->file != COMMAND_FILE_NONE && call.file < 0
	                ? command_fail(&call, "no file was given")
	                : command->run(&call);
	if (strncmp(command->name, "status", 6) != 0) {
		log_command(&call, command, good);
	}
	end_line(client, good, call.error.text);
	config_unref(call.config);
}

static void serve(struct client *client)
{
	const char *words[WORDS_MAX];
	size_t count = 0;
	char *text = read_request(client);
	json_t *request = text ? json_loads(text, 0, NULL) : NULL;
	json_t *list = json_object_get(request, "command");
	for (size_t i = 0; i < json_array_size(list) && count < WORDS_MAX; i++) {
		const char *word = json_string_value(json_array_get(list, i));
		if (word) {
			words[count++] = word;
		}
	}
	if (count) {
		run_command(client, request, words, count);
	} else {
		end_line(client, false, "not a request");
	}
	json_decref(request);
	secret_free(text); /* it may hold a password */
}

/* ---- connections ---- */

static void *client_thread(void *context)
{
	struct client *client = context;
	struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	char buffer[4096]; /* ours, to be cleansed: an app password goes out */
	int copy = dup(client->fd);
	client->out = copy >= 0 ? fdopen(copy, "w") : NULL;
	if (client->out) {
		setvbuf(client->out, buffer, _IOFBF, sizeof buffer);
		serve(client);
		fclose(client->out);
		secret_cleanse(buffer, sizeof buffer);
	} else if (copy >= 0) {
		close(copy);
	}
	if (client->file >= 0) {
		close(client->file);
	}
	pthread_mutex_lock(&client->control->lock);
	close(client->fd);
	client->fd = -1;
	client->ended = true;
	pthread_mutex_unlock(&client->control->lock);
	return NULL;
}

static struct client *free_slot(struct control *control)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &control->client[i];
		pthread_mutex_lock(&control->lock);
		bool ended = client->used && client->ended;
		pthread_mutex_unlock(&control->lock);
		if (ended) {
			pthread_join(client->thread, NULL);
			client->used = false;
		}
		if (!client->used) {
			return client;
		}
	}
	return NULL;
}

static void take_client(struct control *control, int fd)
{
	struct client *client = free_slot(control);
	if (!client) {
		close(fd);
		return;
	}
	*client = (struct client){ .control = control, .fd = fd, .file = -1, .used = true };
	if (pthread_create(&client->thread, NULL, client_thread, client)) {
		client->used = false;
		close(fd);
	}
}

static void *accept_thread(void *context)
{
	struct control *control = context;
	struct pollfd fds[] = {
		{ .fd = control->fd, .events = POLLIN },
		{ .fd = control->stop[0], .events = POLLIN },
	};
	for (;;) {
		if (poll(fds, COUNT(fds), -1) < 0 && errno != EINTR) {
			return NULL;
		}
		if (fds[1].revents) {
			return NULL;
		}
		int fd = fds[0].revents ? accept4(control->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd >= 0) {
			take_client(control, fd);
		}
	}
}

/* ---- start, stop ---- */

static bool listen_at(struct control *control, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(control->path) >= sizeof address.sun_path) {
		error_set(error, "control: %s: path too long", control->path);
		return false;
	}
	memcpy(address.sun_path, control->path, strlen(control->path));
	/* A socket left by a crash is in the way; the store's lock says that nobody else uses
	 * it. */
	unlink(control->path);
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mode_t mask = umask(0117);
	bool good = control->fd >= 0 &&
	            bind(control->fd, (struct sockaddr *)&address, sizeof address) == 0 &&
	            listen(control->fd, CLIENTS_MAX) == 0;
	umask(mask);
	if (!good) {
		error_set(error, "control: %s: %s", control->path, strerror(errno));
	}
	return good;
}

struct control *control_start(struct server *server, const char *path, struct error *error)
{
	struct control *control = calloc(1, sizeof *control);
	if (!control) {
		error_set(error, "out of memory");
		return NULL;
	}
	control->server = server;
	control->fd = control->stop[0] = control->stop[1] = -1;
	snprintf(control->path, sizeof control->path, "%s", path);
	pthread_mutex_init(&control->lock, NULL);
	if (!listen_at(control, error) || pipe2(control->stop, O_CLOEXEC) ||
	    pthread_create(&control->thread, NULL, accept_thread, control)) {
		if (control->fd >= 0) {
			close(control->fd);
		}
		free(control);
		return NULL;
	}
	return control;
}

void control_stop(struct control *control)
{
	if (!control) {
		return;
	}
	close(control->stop[1]);
	pthread_join(control->thread, NULL);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &control->client[i];
		pthread_mutex_lock(&control->lock);
		if (client->used && client->fd >= 0) {
			shutdown(client->fd, SHUT_RD); /* it may finish what it says */
		}
		pthread_mutex_unlock(&control->lock);
		if (client->used) {
			pthread_join(client->thread, NULL);
		}
	}
	close(control->stop[0]);
	close(control->fd);
	unlink(control->path);
	pthread_mutex_destroy(&control->lock);
	free(control);
}
